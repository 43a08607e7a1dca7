//! What a key is and where it stands. Knows no HTTP.

mod secret;

pub use secret::Secret;
