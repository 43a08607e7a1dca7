//! OpenAI's codes and types, which nearly everybody has borrowed. Those that name a cause decide whatever the status;
//! those that say no more than a status are in `types.rs`.

use super::Test::{Code, CodeLike, CodeWith, Names, NoCodeWith, Says, Silent, Status, Then};
use super::{Row, row};
use crate::verdict::Verdict::{KeyExhausted, KeyInvalid, KeyLimited, RequestFault, UpstreamFault};

const ERRORS: &str = "https://platform.openai.com/docs/guides/error-codes";
const LIMITS: &str = "https://platform.openai.com/docs/guides/rate-limits";
const SPECIFICATION: &str = "https://github.com/openai/openai-openapi";
const VERIFIED: &str = "https://help.openai.com/en/articles/10910291-api-organization-verification";
const COUNTRIES: &str = "https://platform.openai.com/docs/supported-countries";

const BAD_KEY: &[&str] =
    &["incorrect api key", "invalid api key", "invalid x-api-key", "invalid authentication"];
/// How a quota is named that is none of a minute.
const OF_LONG: &[&str] = &[
    "day",
    "daily",
    "week",
    "month",
    "balance",
    "credit",
    "plan",
    "subscription",
    "billing",
    // Google names the time within quotation marks.
    "quota metric",
    "insufficient",
    "天",
    "日",
    "周",
    "月",
    "余额",
    "套餐",
];
const QUOTA_EXCEEDED: &[&str] = &[
    "quota exceeded",
    "quota is exceeded",
    "quota has been exceeded",
    "exceeded quota",
    "exceeded your quota",
    "exceeded the quota",
    "exceeds your quota",
    "超出配额",
    "配额已超",
];

pub(super) static ROWS: &[Row] = &[
    // More than the limit ever allows: no wait and no key of this kind cures it.
    row(
        "openai.request_too_large",
        LIMITS,
        RequestFault,
        &[Says(&["request too large"]), Silent(&["try again in"])],
    ),
    row(
        "openai.unverified",
        VERIFIED,
        RequestFault,
        &[Status(&[400, 404]), Says(&["organization must be verified"])],
    )
    .denied(),
    row("openai.unverified_model", VERIFIED, KeyExhausted, &[Says(&["organization must be verified"])])
        .denied(),
    // What was asked for, not who asked.
    row(
        "openai.request",
        SPECIFICATION,
        RequestFault,
        &[Code(&[
            "context_length_exceeded",
            "exceed_context_size_error",
            "content_filter",
            "content_policy_violation",
            "responsibleaipolicyviolation",
            "misalignment_policy_violation",
            "moderation_blocked",
            "invalid_prompt",
            "bio_policy",
            "cyber_policy",
            "string_above_max_length",
            "array_above_max_length",
            "integer_above_max_value",
            "integer_below_min_value",
            "decimal_above_max_value",
            "decimal_below_min_value",
            "unsupported_parameter",
            "unsupported_value",
            "unknown_parameter",
            "missing_required_parameter",
            "invalid_value",
            "invalid_type",
            "invalid_json",
            "tool_use_failed",
            "json_validate_failed",
            "invalid_encrypted_content",
            "previous_response_not_found",
            "mismatched_organization",
            "mismatched_project",
            "data_residency_mismatch",
            "unsupported_content_type",
            "method_not_supported",
        ])],
    ),
    row(
        "openai.session_over",
        "https://platform.openai.com/docs/guides/realtime-conversations#session-lifecycle-events",
        RequestFault,
        &[Code(&["session_expired"]), Says(&["maximum duration", "maximum length"])],
    ),
    row("openai.image_of_request", SPECIFICATION, RequestFault, &[Status(&[400, 0]), CodeWith(&["image_"])]),
    row("openai.region", COUNTRIES, UpstreamFault, &[Code(&["unsupported_country_region_territory"])])
        .barred(),
    // OpenAI says so where the header is lost on the way to it, and where the client's token came in another place
    // (`x-api-key`, `?key=`), in which the leased key then goes too. See `barred`.
    row(
        "openai.no_key_seen",
        ERRORS,
        UpstreamFault,
        &[Status(&[401, 403]), Says(&["didn't provide an api key", "missing bearer"])],
    )
    .barred(),
    // Busy, whatever status it says so with. `server_error` alone is said of much else.
    row(
        "openai.overloaded",
        ERRORS,
        UpstreamFault,
        &[Code(&[
            "server_is_overloaded",
            "service_unavailable_error",
            "serviceunavailable",
            "vector_store_timeout",
        ])],
    ),
    // The code tells more than the type.
    row(
        "openai.rate_as_server_error",
        "https://github.com/anomalyco/opencode/issues/2244",
        KeyLimited,
        &[Status(&[429, 0]), Code(&["server_error"]), Code(&["rate_limit_exceeded"])],
    )
    .of_model(),
    row(
        "openai.overloaded_told",
        ERRORS,
        UpstreamFault,
        &[Status(&[429, 0]), Code(&["server_error", "resource_unavailable"])],
    ),
    // No money, no quota.
    row(
        "openai.billing",
        ERRORS,
        KeyExhausted,
        &[Code(&[
            "billing_not_active",
            "billing_hard_limit_reached",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
            "credit_balance_exhausted",
            "insufficient_balance",
            "insufficient_credits",
            "not_enough_balance",
            "account_overdue",
        ])],
    ),
    row(
        "openai.insufficient_quota",
        ERRORS,
        KeyExhausted,
        // Together they come from relays that put them beside any 403.
        &[Code(&["insufficient_quota", "quota_exceeded"]), NoCodeWith(&["permission_error"])],
    ),
    // The key is known and may not do this. What it may do otherwise is not touched.
    row("openai.ip", ERRORS, KeyExhausted, &[Code(&["ip_not_authorized"])]),
    // Who lacks this one may ask no model for anything.
    row(
        "openai.scope_to_infer",
        ERRORS,
        KeyExhausted,
        &[Status(&[401, 403]), Then(&["missing scopes"], &["model.request"])],
    )
    .of_model(),
    row("openai.scope", ERRORS, KeyExhausted, &[Code(&["missing_scope", "missing_permissions"])])
        .of_model()
        .of_use(),
    row("openai.scope_told", ERRORS, KeyExhausted, &[Status(&[401, 403]), Says(&["missing scopes"])])
        .of_model()
        .of_use(),
    row("openai.model_not_allowed", ERRORS, KeyExhausted, &[Status(&[401, 403]), Code(&["model_not_found"])])
        .denied(),
    row(
        "openai.model_gone",
        "https://platform.openai.com/docs/deprecations",
        RequestFault,
        &[Code(&["model_not_found"]), Says(&["has been deprecated", "decommissioned", "has been retired"])],
    ),
    row(
        "openai.model_not_found",
        ERRORS,
        RequestFault,
        &[Status(&[400, 404, 0]), Code(&["model_not_found"])],
    )
    .denied(),
    // Wrong, revoked, expired, closed.
    row(
        "openai.account",
        ERRORS,
        KeyInvalid,
        &[Code(&[
            "account_deactivated",
            "account_suspended",
            "access_terminated",
            "organization_deactivated",
            "deactivated_workspace",
            "organization_membership_required",
        ])],
    ),
    row(
        "openai.key",
        ERRORS,
        KeyInvalid,
        &[Code(&["invalid_api_key", "incorrect_api_key", "invalid_authentication_error"]), Says(BAD_KEY)],
    ),
    row(
        "openai.authentication",
        ERRORS,
        KeyInvalid,
        &[Status(&[400, 401, 403, 0]), Code(&["authentication_error"]), Says(BAD_KEY)],
    ),
    // Some look for a key with the status of limits.
    row(
        "openai.key_as_limit",
        "relays that ask another for the key, see tests/corpus",
        KeyInvalid,
        &[
            Status(&[429]),
            Code(&["invalid_api_key"]),
            Names(&["密钥不存在", "key not found", "key does not exist"]),
        ],
    ),
    // Limits. One of nothing is never whole again, and a quota that is spent is one whatever stands beside it.
    row(
        "openai.no_quota",
        LIMITS,
        KeyExhausted,
        &[Status(&[429]), Code(&["rate_limit_exceeded"]), Says(&["limit: 0/", "limit 0,"])],
    )
    .of_model(),
    row(
        "openai.quota_as_rate",
        "https://docs.litellm.ai/docs/proxy/error_reference",
        KeyExhausted,
        &[
            Status(&[403, 429]),
            CodeLike(&[
                "quotaexhausted",
                "quotareached",
                "organizationquotaexceeded",
                "accountquotaexceeded",
                "projectquotaexceeded",
                "dailyquotaexceeded",
                "monthlyquotaexceeded",
            ]),
            Silent(&["per minute", "per second"]),
        ],
    )
    .brief(),
    row(
        "openai.quota_told_as_rate",
        "https://docs.dify.ai/zh/api-reference/guides/errors",
        KeyExhausted,
        &[
            Status(&[403, 429]),
            Code(&["rate_limit_error", "rate_limit_exceeded"]),
            Then(&["quota", "配额", "额度"], &["used up", "exhausted", "depleted", "用完", "用尽", "耗尽"]),
            Silent(&["per minute", "per second", "每分钟"]),
        ],
    )
    .brief(),
    // A quota that nobody calls a long one, and a code that calls it a rate.
    row(
        "openai.quota_of_rate",
        LIMITS,
        KeyLimited,
        &[Status(&[403, 429]), Code(&["rate_limit_exceeded"]), Says(QUOTA_EXCEEDED), Silent(OF_LONG)],
    )
    .of_model(),
    row(
        "openai.quota_of_rate_of_key",
        LIMITS,
        KeyLimited,
        &[Status(&[403, 429]), Code(&["rate_limit_error"]), Says(QUOTA_EXCEEDED), Silent(OF_LONG)],
    ),
    row(
        "openai.spending_as_rate",
        LIMITS,
        KeyExhausted,
        &[
            Code(&["rate_limit_exceeded", "rate_limit_error"]),
            Says(&[
                "spend cap",
                "spend limit",
                "spending cap",
                "spending limit",
                "monthly",
                "per month",
                "weekly",
                "daily rate limit",
                "daily limit",
                "daily cap",
                "daily request limit",
                "daily quota",
                "daily usage",
                "try again tomorrow",
            ]),
            Silent(&["per min", "per second", "concurren"]),
        ],
    )
    .brief(),
    // A limit with a status of the upstream's: the code says so, and nothing says that all are meant.
    row(
        "openai.rate_as_unavailable",
        LIMITS,
        KeyLimited,
        &[
            Status(&[503, 529]),
            Code(&["rate_limit_exceeded", "rate_limit_error", "too_many_requests", "slow_down", "slowdown"]),
            Silent(&[
                "provider", "upstream", "capacity", "overload", "channel", "busy", "traffic", "server",
                "demand", "渠道", "上游", "负载", "繁忙",
            ]),
        ],
    ),
    row(
        "openai.rate",
        LIMITS,
        KeyLimited,
        &[
            Code(&["rate_limit_exceeded", "slow_down"]),
            Says(&[
                "rate limit",
                "requests per min",
                "tokens per min",
                "too many requests",
                "slow down",
                "concurrency limit",
                "频率",
            ]),
        ],
    )
    .of_model(),
];
