//! What an answer says, and about whom (spec §6). Bytes in, judgement out: knows neither keys nor sockets.

/// What an attempt's answer says, and about whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// 2xx, 3xx, 101: the key and the upstream did what was asked.
    Success,
    /// The request's own fault: passed to the client untouched.
    RequestFault,
    /// The key is no good, for good: wrong, revoked, expired, deactivated.
    KeyInvalid,
    /// The key has no credit or quota, for long.
    KeyExhausted,
    /// The key is rate limited, for now.
    KeyLimited,
    /// The upstream failed; nobody's key is to blame.
    UpstreamFault,
}
