//! The table: which answer means what. Read top to bottom, the first row whose tests all hold decides; so what is
//! more specific stands higher. Rows look at causes, not at hosts: gateways and relays pass on others' errors.
//!
//! A provider is added by adding rows here and cases in `tests/corpus/`.

use super::Verdict::{self, KeyExhausted, KeyInvalid, KeyLimited, RequestFault, UpstreamFault};
use super::envelope::Envelope;

/// One row of the table.
pub(super) struct Row {
    /// Stable name, shown in `/blacklist` and the log.
    pub(super) id: &'static str,
    /// Where the rule comes from.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reader, and a test that it is there"))]
    source: &'static str,
    /// All of them have to hold.
    tests: &'static [Test],
    pub(super) verdict: Verdict,
    /// It is about one model, not about the key.
    pub(super) per_model: bool,
}

/// What a row looks at. Words are lower case and looked for in codes and messages alike.
enum Test {
    /// The status is one of these.
    Status(&'static [u16]),
    /// A code, type, reason or status word is one of these.
    Code(&'static [&'static str]),
    /// It says one of these.
    Says(&'static [&'static str]),
    /// It says none of these.
    Silent(&'static [&'static str]),
    /// It is a page for browsers: something before the provider's API speaks.
    Page,
    /// It says nothing at all.
    Nothing,
}

use Test::{Code, Nothing, Page, Says, Silent, Status};

/// The row for an answer. The last rows know every status of 400 and above.
pub(super) fn row_for(status: u16, envelope: &Envelope) -> &'static Row {
    let holds = |test: &Test| match test {
        Status(statuses) => statuses.contains(&status),
        Code(codes) => envelope.codes.iter().any(|code| codes.contains(&code.as_str())),
        Says(words) => words.iter().any(|word| envelope.text.contains(word)),
        Silent(words) => !words.iter().any(|word| envelope.text.contains(word)),
        Page => envelope.is_html,
        Nothing => envelope.is_empty,
    };
    TABLE.iter().find(|row| row.tests.iter().all(holds)).unwrap_or(match status {
        500.. => &UPSTREAM,
        _ => &REQUEST,
    })
}

const fn row(id: &'static str, source: &'static str, verdict: Verdict, tests: &'static [Test]) -> Row {
    Row { id, source, tests, verdict, per_model: false }
}

const fn of_model(id: &'static str, source: &'static str, verdict: Verdict, tests: &'static [Test]) -> Row {
    Row { id, source, tests, verdict, per_model: true }
}

const OPENAI: &str = "https://platform.openai.com/docs/guides/error-codes";
const ANTHROPIC: &str = "https://docs.anthropic.com/en/api/errors";
const GOOGLE: &str = "https://ai.google.dev/gemini-api/docs/troubleshooting";
const AZURE: &str = "https://learn.microsoft.com/azure/ai-services/openai/quotas-limits";
const DASHSCOPE: &str = "https://www.alibabacloud.com/help/en/model-studio/error-code";
const ZHIPU: &str = "https://docs.bigmodel.cn/cn/faq/api-code";
const OPENROUTER: &str = "https://openrouter.ai/docs/api-reference/errors";
const RELAYS: &str = "https://github.com/songquanpeng/one-api";
const SPEC: &str = "the status alone, where nothing else is known";

const REFUSALS: &[u16] = &[400, 401, 402, 403, 404, 412, 413, 422, 429];

static UPSTREAM: Row = row("status.5xx", SPEC, UpstreamFault, &[]);
static REQUEST: Row = row("status.4xx", SPEC, RequestFault, &[]);

static TABLE: &[Row] = &[
    // The request asks for more than the limit ever allows: no key can cure that.
    row(
        "request.too_large",
        OPENAI,
        RequestFault,
        &[Status(&[413, 429]), Says(&["request too large"]), Silent(&["try again in"])],
    ),
    row(
        "request.over_limit_now",
        "https://console.groq.com/docs/rate-limits",
        KeyLimited,
        &[Status(&[413]), Code(&["rate_limit_exceeded"])],
    ),
    // What was asked for, not who asked.
    row(
        "request.context_length",
        OPENAI,
        RequestFault,
        &[
            Status(REFUSALS),
            Says(&[
                "context_length_exceeded",
                "maximum context length",
                "context length",
                "prompt is too long",
            ]),
        ],
    ),
    row(
        "request.content_policy",
        OPENAI,
        RequestFault,
        &[
            Status(REFUSALS),
            Says(&[
                "content_filter",
                "content_policy",
                "responsibleaipolicy",
                "misalignment_policy",
                "content filtering policy",
                "data_inspection_failed",
                "blocked by our usage policies",
                "prompt injection",
                "only available for coding agents",
            ]),
        ],
    ),
    row(
        "request.mismatched_account",
        OPENAI,
        RequestFault,
        &[Code(&["mismatched_organization", "mismatched_project"])],
    ),
    // The upstream is busy, whatever status it says so with.
    row(
        "upstream.overloaded",
        OPENAI,
        UpstreamFault,
        &[
            Status(&[400, 402, 403, 429, 498]),
            Says(&[
                "overloaded",
                "model_capacity_exhausted",
                "capacity_exceeded",
                "queue_exceeded",
                "throttling.serviceoverloaded",
                "no capacity available",
                "experiencing high demand",
                "experiencing high traffic",
                "error-code-429",
                "unable to verify your membership",
                "访问量过大",
                "服务繁忙",
                "负载已饱和",
            ]),
        ],
    ),
    row(
        "upstream.provider_behind",
        OPENROUTER,
        UpstreamFault,
        &[
            Status(&[403, 429]),
            Says(&["provider returned error", "rate-limited upstream", "upstream connect error"]),
        ],
    ),
    // Where we call from, not the key.
    row(
        "upstream.region",
        OPENAI,
        UpstreamFault,
        &[
            Status(&[400, 401, 403]),
            Says(&[
                "unsupported_country_region_territory",
                "location is not supported",
                "not available in your country",
                "region_restricted",
                "not available in your region",
                "public access is disabled",
            ]),
        ],
    ),
    row(
        "upstream.no_credential_seen",
        OPENAI,
        UpstreamFault,
        &[
            Status(&[401, 403]),
            Says(&[
                "didn't provide an api key",
                "api-key header is required",
                "no auth credentials found",
                "no api key supplied",
                "api keys are not supported by this api",
                "authentication backend unavailable",
                "request not allowed",
            ]),
        ],
    ),
    row(
        "upstream.page",
        "https://developers.cloudflare.com/support/troubleshooting/http-status-codes",
        UpstreamFault,
        &[Status(&[403, 429]), Page],
    ),
    row(
        "upstream.silent_403",
        "what refuses without a word is no API",
        UpstreamFault,
        &[Status(&[403]), Nothing],
    ),
    row(
        "upstream.gateway",
        "https://developers.cloudflare.com/ai-gateway",
        UpstreamFault,
        &[Status(&[401]), Code(&["2009"])],
    ),
    row("upstream.misdirected", "RFC 9110 §15.5.8, §15.5.20", UpstreamFault, &[Status(&[407, 421, 498])]),
    // No money, no quota: before "invalid", since "account suspended due to insufficient balance" is curable.
    row(
        "exhausted.credit",
        ANTHROPIC,
        KeyExhausted,
        &[
            Status(REFUSALS),
            Says(&[
                "credit balance is too low",
                "insufficient balance",
                "insufficient_balance",
                "balance is insufficient",
                "account balance",
                "insufficient credits",
                "out of credits",
                "doesn't have any credits",
                "no credits",
                "credits are depleted",
                "balance is depleted",
                "out of extra usage",
                "insufficient_user_quota",
                "pre_consume_token_quota_failed",
                "quota is not enough",
                "余额不足",
                "额度不足",
                "欠费",
                "arrearage",
                "billoverdue",
                "credit_limit",
                "good standing",
            ]),
        ],
    ),
    row(
        "exhausted.billing",
        OPENAI,
        KeyExhausted,
        &[
            Status(REFUSALS),
            Says(&[
                "billing_not_active",
                "billing_hard_limit",
                "billing_error",
                "billing_disabled",
                "requires billing to be enabled",
                "spend limit",
                "spend_limit",
                "spending limit",
                "usage limit",
                "usage_limit",
                "budget limit",
                "budgetlimitexceeded",
                "commoditynotpurchased",
                "not active, please check your billing",
                "key limit exceeded",
                "usage blocked until",
                "crossed its monthly",
                "package has expired",
            ]),
        ],
    ),
    row(
        "limited.per_minute",
        GOOGLE,
        KeyLimited,
        &[
            Status(&[429]),
            Says(&[
                "perminute",
                "per minute",
                "per_minute",
                "tokens per min",
                "requests per min",
                "/ minute",
            ]),
            Silent(&["perday", "per day", "per_day"]),
        ],
    ),
    row(
        "exhausted.free_tier",
        DASHSCOPE,
        KeyExhausted,
        &[
            Status(REFUSALS),
            Says(&[
                "free tier of the model has been exhausted",
                "freetieronly",
                "free allocated",
                "free usage quota exhausted",
                "usage limit for the current free model",
                "trial key",
            ]),
        ],
    ),
    row(
        "exhausted.daily",
        GOOGLE,
        KeyExhausted,
        &[
            Status(&[403, 429]),
            Says(&[
                "perday",
                "per day",
                "per_day",
                "-per-day",
                "per month",
                "/ month",
                "quota_exhausted",
                "out of call volume quota",
                "request_quota_exceeded",
                "token_quota_exceeded",
                "今日",
                "每日",
            ]),
        ],
    ),
    row(
        "exhausted.quota",
        OPENAI,
        KeyExhausted,
        &[
            Status(REFUSALS),
            Says(&["insufficient_quota", "exceeded_current_quota", "exceeded your current quota"]),
        ],
    ),
    row(
        "exhausted.plan",
        ZHIPU,
        KeyExhausted,
        &[Status(&[403, 429]), Code(&["1113", "1304", "1308", "1309", "1310", "1311", "1313", "30001"])],
    ),
    row("upstream.zhipu_busy", ZHIPU, UpstreamFault, &[Status(&[429]), Code(&["1305", "1312"])]),
    // The key is known and may not do this. What it may do otherwise is not touched.
    of_model(
        "denied.model",
        OPENAI,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Says(&[
                "does not have access to model",
                "not have access to",
                "not allowed to sample",
                "model.accessdenied",
                "model access denied",
                "access to model denied",
                "model_not_found",
                "blocked at the project level",
                "model_permission",
            ]),
        ],
    ),
    of_model(
        "denied.scope",
        OPENAI,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Says(&[
                "missing scope",
                "missing_scope",
                "insufficient permissions for this operation",
                "lacks the required data action",
                "api_key_service_blocked",
                "service_disabled",
                "api_key_ip_address_blocked",
                "ip address restriction",
                "api_key_http_referrer_blocked",
                "validation_required",
                "no permission for this resource",
                "do not have permission to access this api",
                "is not open",
                "temporarily blocked",
            ]),
        ],
    ),
    // Wrong, revoked, expired, closed.
    row(
        "invalid.key",
        OPENAI,
        KeyInvalid,
        &[
            Status(REFUSALS),
            Says(&[
                "invalid_api_key",
                "incorrect api key",
                "incorrect_api_key",
                "api_key_invalid",
                "api key not valid",
                "api key expired",
                "invalid api key",
                "invalidapikey",
                "wrong_api_key",
                "invalid x-api-key",
                "reported as leaked",
                "api key has been revoked",
                "invalid_authentication",
                "authenticationtypedisabled",
                "无效的令牌",
                "无效的api",
                "令牌已过期",
                "apikey无效",
            ]),
        ],
    ),
    row(
        "invalid.account",
        OPENAI,
        KeyInvalid,
        &[
            Status(REFUSALS),
            Says(&[
                "account_deactivated",
                "access_terminated",
                "access was terminated",
                "organization has been disabled",
                "organization_restricted",
                "organization has been restricted",
                "consumer_suspended",
                "project_deleted",
                "project has been denied access",
                "team is blocked",
                "account is currently inactive",
                "account locked",
                "账号已被",
            ]),
        ],
    ),
    row(
        "invalid.cloudflare",
        "https://developers.cloudflare.com/fundamentals/api/troubleshooting",
        KeyInvalid,
        &[Code(&["9106"])],
    ),
    row(
        "invalid.authorization_failed",
        "https://docs.api.nvidia.com/nim",
        KeyInvalid,
        &[Status(&[403]), Says(&["authorization failed"])],
    ),
    row(
        "exhausted.account_suspended",
        "https://docs.fireworks.ai/guides/inference-error-codes",
        KeyExhausted,
        &[Status(&[403, 412]), Says(&["is suspended"])],
    ),
    row(
        "limited.azure",
        AZURE,
        KeyLimited,
        &[Status(&[429]), Code(&["ratelimitreached", "toomanyrequests"])],
    ),
    row("limited.relay", RELAYS, KeyLimited, &[Status(&[429]), Says(&["请求过于频繁", "too many requests"])]),
    // What no row knows.
    row("status.401", SPEC, KeyInvalid, &[Status(&[401])]),
    row("status.402", SPEC, KeyExhausted, &[Status(&[402])]),
    row("status.403", SPEC, KeyLimited, &[Status(&[403])]),
    row("status.408", SPEC, UpstreamFault, &[Status(&[408, 425])]),
    row("status.429", SPEC, KeyLimited, &[Status(&[429])]),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own_a_source_and_words_in_lower_case() {
        let mut names = HashSet::new();
        for row in TABLE.iter().chain([&UPSTREAM, &REQUEST]) {
            assert!(names.insert(row.id), "{} is there twice", row.id);
            assert!(!row.source.is_empty(), "{}", row.id);
            for test in row.tests {
                if let Code(words) | Says(words) | Silent(words) = test {
                    assert!(words.iter().all(|word| word.to_lowercase() == **word), "{}", row.id);
                }
            }
        }
    }
}
