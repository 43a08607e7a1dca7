//! Anthropic, and Claude wherever it is sold.

use super::Test::{Code, CodeWith, NamesModel, Says, Silent, Status, Then};
use super::{Row, row};
use crate::verdict::Verdict::{KeyExhausted, KeyInvalid, KeyLimited, RequestFault, UpstreamFault};

const ERRORS: &str = "https://platform.claude.com/docs/en/api/errors";
const LIMITS: &str = "https://platform.claude.com/docs/en/api/rate-limits";

pub(super) static ROWS: &[Row] = &[
    // We sent a key: something on the way took the header.
    row(
        "anthropic.no_key_seen",
        ERRORS,
        UpstreamFault,
        &[Code(&["authentication_error"]), Says(&["header is required", "header is missing"])],
    )
    .barred(),
    row(
        "anthropic.browser",
        "https://github.com/anthropics/anthropic-sdk-typescript, README: dangerouslyAllowBrowser",
        RequestFault,
        &[Status(&[400, 401, 403]), Says(&["cors requests"]), Says(&["header", "not allowed"])],
    ),
    row(
        "anthropic.edge",
        ERRORS,
        UpstreamFault,
        &[Status(&[403]), Code(&["forbidden"]), Says(&["request not allowed"])],
    ),
    // Money speaks as a bad request or as a rate limit.
    row(
        "anthropic.spend_limit",
        "https://platform.claude.com/docs/en/api/rate-limits, /docs/en/api/typescript/$shared",
        KeyExhausted,
        &[Code(&["enforced_spend_limit_reached", "contract_spend_limit_reached"])],
    ),
    // The workspace's own key for its data, which is no matter of a model.
    row(
        "anthropic.encryption_key",
        "https://platform.claude.com/docs/en/api/http/$shared",
        KeyExhausted,
        &[Status(&[400, 403]), CodeWith(&["cmek_key_", "cmek_context_"])],
    ),
    row(
        "anthropic.encryption_key_told",
        "https://platform.claude.com/docs/en/api/http/$shared",
        KeyExhausted,
        &[Status(&[403]), Code(&["permission_error"]), Says(&["encryption key"])],
    ),
    row(
        "anthropic.credit",
        ERRORS,
        KeyExhausted,
        &[Says(&["credit balance is too low", "out of extra usage", "draw from your extra usage"])],
    ),
    row(
        "anthropic.usage_limit",
        LIMITS,
        KeyExhausted,
        &[Says(&["you will regain access on", "api usage limits", "usage blocked until"])],
    ),
    row("anthropic.billing", ERRORS, KeyExhausted, &[Code(&["billing_error"])]),
    row(
        "anthropic.long_context",
        LIMITS,
        KeyExhausted,
        &[
            Status(&[400, 403, 429]),
            Code(&["rate_limit_error", "invalid_request_error", "permission_error"]),
            Says(&["long context"]),
        ],
    )
    .of_model()
    .of_use(),
    row(
        "anthropic.organization_disabled",
        ERRORS,
        KeyInvalid,
        &[
            Says(&["organization has been disabled", "oauth token has been revoked"]),
            Silent(&["payment", "billing", "invoice"]),
        ],
    ),
    // It depends on what the client is.
    row("anthropic.other_use", ERRORS, KeyExhausted, &[Says(&["only authorized for use with claude code"])])
        .weak(),
    // Said of good tokens while the service was down, of organisations that may switch it on again, and of keys that came as
    // a bearer's.
    row(
        "anthropic.oauth_not_now",
        "https://github.com/anthropics/claude-code/issues/6131",
        KeyExhausted,
        &[Status(&[401, 403]), Says(&["oauth authentication is currently not"])],
    )
    .weak(),
    row(
        "anthropic.usage_credits",
        "https://docs.claude.com/en/docs/claude-code/fast-mode",
        KeyExhausted,
        &[Status(&[400, 403, 429]), Says(&["usage credits are required", "requires usage credits"])],
    )
    .of_model()
    .of_use(),
    row("anthropic.overloaded", ERRORS, UpstreamFault, &[Code(&["overloaded_error", "timeout_error"])]),
    row("anthropic.too_large", ERRORS, RequestFault, &[Code(&["request_too_large"])]),
    row(
        "anthropic.model",
        ERRORS,
        RequestFault,
        &[Status(&[404, 0]), Code(&["not_found_error"]), Says(&["model: "])],
    )
    .denied(),
    // An endpoint's, which is none of its models.
    row(
        "anthropic.endpoint",
        ERRORS,
        KeyExhausted,
        &[
            Status(&[403]),
            Code(&["permission_error"]),
            Says(&[
                "files api",
                "batches api",
                "batch api",
                "models api",
                "admin api",
                "skills api",
                " endpoint",
            ]),
            Silent(&["model ", "claude-"]),
        ],
    )
    .of_model()
    .of_use(),
    row(
        "anthropic.permission",
        ERRORS,
        KeyExhausted,
        &[Status(&[403]), Code(&["permission_error"]), Says(&["the specified resource"])],
    )
    .denied(),
    row(
        "anthropic.model_denied",
        ERRORS,
        KeyExhausted,
        &[
            Status(&[403]),
            Code(&["permission_error"]),
            Says(&["permission to use", "permission to access", "access to"]),
            NamesModel,
            Silent(&["suspended", "locked", "limit", "trial", "unpaid", "credit", "balance", "plan"]),
            Silent(&["countr", "region", "territor", "ip address", "upstream"]),
        ],
    )
    .denied(),
    // What is shut belongs to a workspace, which is not.
    row(
        "anthropic.part_of_account",
        ERRORS,
        KeyExhausted,
        &[
            Status(&[403]),
            Code(&["permission_error"]),
            Then(
                &[" of this ", " of your ", " of the ", " in this ", " in your ", " for this ", " for your "],
                &["disabled", "archived", "expired"],
            ),
            Silent(&["api key", "api-key"]),
        ],
    )
    .of_model(),
    row(
        "anthropic.rate_of_model",
        LIMITS,
        KeyLimited,
        &[
            Code(&["rate_limit_error"]),
            Says(&["tokens per minute", "requests per minute", "model: ", "tokens per day"]),
        ],
    )
    .of_model(),
];
