//! Plays every provider and its faults on loopback: for gpt-load's tests, demo and benches.
