//! Futures of what happens rarely.

use std::pin::Pin;

/// Boxes a future, and keeps its code out of that which every request runs through: a request's way is longer than what a
/// processor keeps at hand of instructions, so that all that lies between costs as well (`docs/performance.md`).
pub(crate) fn rare<'a, T>(future: impl Future<Output = T> + 'a) -> Pin<Box<dyn Future<Output = T> + 'a>> {
    Box::pin(future)
}
