//! What a key is and where it stands. Knows no HTTP.

mod bitmap;
pub mod clock;
pub mod file;
mod pool;
mod rotation;
mod secret;
mod state;
pub mod watch;

pub use pool::{Blacklisted, Cause, Due, KeyPool, Lease, Replaced, States};
pub use rotation::Need;
pub use secret::{Secret, redact};
pub use state::{CooldownPolicy, Effect, LONGEST_COOLDOWN};
