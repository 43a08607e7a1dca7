//! What a key is and where it stands. Knows no HTTP.

mod bitmap;
mod census;
pub mod clock;
pub mod file;
pub mod journal;
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

pub use census::{BY_OPERATOR, Counts, KeyState, KeyView, Query, Sort, Wanted};
pub use lease::{Failure, Lease, Left};
pub use pool::{Blacklisted, Changed, Condemned, Due, KeyPool, Need, PoolPolicy, Replaced, States};
pub use roster::Cause;
pub(crate) use secret::preview;
pub use secret::{Secret, redact};
pub use state::{CooldownPolicy, Effect, LONGEST_COOLDOWN};
