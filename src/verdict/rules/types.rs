//! Types and codes that say no more than a status does: relays put them beside whatever they were told with it. So they
//! decide where nothing is known of what the message says; and last the status, where nothing is known at all.

use super::Test::{Code, CodeLike, FindsFault, Silent, Status, Then};
use super::odd_statuses::NAMELESS;
use super::of_request::NOT_OF_IT;
use super::{IN_STREAM, Row, row};
use crate::verdict::Verdict::{KeyExhausted, KeyInvalid, KeyLimited, RequestFault, UpstreamFault};

const OPENAI: &str = "https://platform.openai.com/docs/guides/error-codes";
const ANTHROPIC: &str = "https://platform.claude.com/docs/en/api/errors";
const MOONSHOT: &str = "https://platform.moonshot.ai/docs/api/errors";

/// With one of these beside them words mean the key.
pub(super) const OF_KEYS: &[&str] = &[
    "invalid_api_key",
    "incorrect_api_key",
    "incorrect_api_key_error",
    "invalid_authentication_error",
    "invalid_authentication",
    "expired_api_key",
    "api_key_expired",
];

/// Codes with one of these in them are of keys too.
pub(super) const NAMED_FOR_KEYS: &[&str] = &[
    "invalidapikey",
    "apikeyinvalid",
    "invaliduserkey",
    "incorrectapikey",
    "unknownapikey",
    "apikeyexpired",
    "expiredapikey",
    "apikeyrevoked",
    "revokedapikey",
    "apikeydisabled",
    "apikeydeleted",
    "apikeynotfound",
    "apikeysuspended",
    "apikeybanned",
    "invalidaccesskey",
    "invalidaccesstoken",
    "invalidtoken",
    "tokeninvalid",
    "tokenexpired",
    "expiredtoken",
    "tokenrevoked",
    "badcredentials",
    "invalidcredential",
    "authenticationfailed",
];

const SEEN: &str = "the codes of providers and relays, see tests/corpus";

pub(super) static ROWS: &[Row] = &[
    row(
        "code.key",
        SEEN,
        KeyInvalid,
        &[Status(&[401, 403, 0, NAMELESS]), CodeLike(NAMED_FOR_KEYS), Silent(&["permission", "scope"])],
    ),
    row("type.key", OPENAI, KeyInvalid, &[Code(OF_KEYS)]),
    row(
        "type.authentication",
        ANTHROPIC,
        KeyInvalid,
        &[Status(&[400, 401, 403, 0]), Code(&["authentication_error"])],
    )
    .weak(),
    row(
        "type.permission",
        ANTHROPIC,
        KeyExhausted,
        &[
            Status(&[403]),
            Code(&["permission_error"]),
            Silent(&["suspended", "locked", "usage limit", "billing cycle"]),
            Silent(&["trial", "upgrade your plan", "unpaid", "credit", "balance", "limit reached"]),
        ],
    )
    .denied(),
    row("type.rate_of_model", OPENAI, KeyLimited, &[Code(&["rate_limit_exceeded", "slow_down"])]).of_model(),
    row("type.rate_reached", MOONSHOT, KeyLimited, &[Code(&["rate_limit_reached_error"])]),
    row(
        "type.rate",
        ANTHROPIC,
        KeyLimited,
        &[Status(&[400, 403, 429, 0, NAMELESS]), Code(&["rate_limit_error"]), Silent(&["usage limit"])],
    ),
];

pub(super) const SPEC: &str = "the status alone, where nothing else is known";

/// What no row knows (spec §6).
pub(super) static STATUSES: &[Row] = &[
    row("status.401", SPEC, KeyInvalid, &[Status(&[401])]).weak(),
    row("status.401_of_money", SPEC, KeyExhausted, &[Status(&[401])]),
    row("status.402", SPEC, KeyExhausted, &[Status(&[402])]),
    row("status.403", SPEC, KeyLimited, &[Status(&[403])]).weak(),
    row("status.408", SPEC, UpstreamFault, &[Status(&[408, 425])]),
    row("status.429", SPEC, KeyLimited, &[Status(&[429])]),
    // No status, so that it is the upstream's unless its words say otherwise.
    row(
        "within_200.model",
        SPEC,
        RequestFault,
        &[
            Status(&[IN_STREAM]),
            FindsFault,
            Then(&["model "], &["not found", "not exist", "n't exist"]),
            Silent(NOT_OF_IT),
        ],
    )
    .denied(),
    row("within_200.request", SPEC, RequestFault, &[Status(&[IN_STREAM]), FindsFault, Silent(NOT_OF_IT)]),
];
