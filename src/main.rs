//! What the command line asked for → exit code; nothing else.

fn main() {}
