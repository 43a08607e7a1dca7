//! What a key is and where it stands. Knows no HTTP.

pub mod file;
mod secret;

pub use secret::Secret;
