//! What a key is and where it stands. Knows no HTTP.

mod bitmap;
pub mod clock;
pub mod file;
mod lease;
mod pool;
mod quoted;
mod ration;
mod roster;
mod rotation;
mod secret;
mod served;
mod state;
mod storm;
pub mod watch;

pub use lease::{Failure, Lease, Left};
pub use pool::{Blacklisted, Changed, Due, KeyPool, Need, PoolPolicy, Replaced, States};
pub use roster::Cause;
pub use secret::Secret;
pub use state::{CooldownPolicy, Effect, LONGEST_COOLDOWN};
