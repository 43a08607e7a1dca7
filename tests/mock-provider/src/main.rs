//! The mock provider as a program.

fn main() {}
