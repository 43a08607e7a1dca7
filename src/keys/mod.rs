//! What a key is and where it stands. Knows no HTTP.

mod bitmap;
mod blacklist;
mod busy;
mod census;
pub mod clock;
mod doubts;
mod escaped;
pub mod file;
mod generation;
mod here;
pub mod journal;
mod lease;
mod line;
mod outlook;
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

pub use blacklist::{Blacklisted, Changed, Condemned};
pub use census::{Counts, KeyState, KeyView, Query, Sort, Wanted};
pub use clock::Due;
pub use generation::{Replaced, States};
pub use lease::{Failure, Hider, Lease, Left, Settled};
pub use pool::{KeyPool, Need, PoolPolicy};
pub(crate) use quoted::Marks;
pub use roster::{BY_OPERATOR, Cause};
pub use secret::Secret;
pub(crate) use secret::preview;
pub use state::{CooldownPolicy, Effect, LONGEST_COOLDOWN};
pub use storm::Accuser;
