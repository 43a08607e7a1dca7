//! Routers and relays: OpenRouter, one-api and new-api, LiteLLM, Vercel, Cloudflare's AI gateway. Between us and the
//! provider stands somebody who has keys and limits too.

use super::Test::{Code, CodeWith, Has, NamesModel, NotOfRequest, Says, Silent, Status, Then};
use super::{Form, Row, Until, row};
use crate::verdict::Verdict::{KeyExhausted, KeyInvalid, KeyLimited, RequestFault, UpstreamFault};

const OPENROUTER: &str = "https://openrouter.ai/docs/api-reference/errors";
const OPENROUTER_LIMITS: &str = "https://openrouter.ai/docs/api-reference/limits";
const ONE_API: &str = "https://github.com/songquanpeng/one-api";
const NEW_API: &str = "https://github.com/QuantumNous/new-api";
const LITELLM: &str = "https://docs.litellm.ai/docs/proxy/virtual_keys";
const CLOUDFLARE: &str = "https://developers.cloudflare.com/ai-gateway";
const WORKERS_AI: &str = "https://developers.cloudflare.com/workers-ai/platform/errors";

pub(super) static ROWS: &[Row] = &[
    // The provider behind the router, not the key that we have with it.
    row(
        "openrouter.provider_behind",
        OPENROUTER,
        UpstreamFault,
        &[
            Status(&[401, 402, 403, 408, 429, 0]),
            Says(&["provider returned error", "rate-limited upstream", "rate limited upstream"]),
        ],
    ),
    row(
        "openrouter.capacity",
        OPENROUTER,
        UpstreamFault,
        &[Code(&["capacity_exhausted", "provider_overloaded", "provider_unavailable"])],
    ),
    row(
        "openrouter.limited_within",
        OPENROUTER,
        UpstreamFault,
        &[Has(Form::Chunk), Code(&["rate_limit_exceeded", "429", "rate_limited"])],
    ),
    row("openrouter.region", OPENROUTER, UpstreamFault, &[Code(&["region_restricted"])]).barred(),
    row(
        "openrouter.in_flight",
        OPENROUTER_LIMITS,
        KeyLimited,
        &[CodeWith(&["in_flight_budget", "in_flight"])],
    ),
    row(
        "openrouter.too_dear",
        OPENROUTER,
        KeyExhausted,
        &[Status(&[402, 403]), Says(&["requires more credits", "can only afford"])],
    ),
    row(
        "openrouter.budget",
        OPENROUTER,
        KeyExhausted,
        &[Code(&["openrouter_key_limit", "openrouter_credits"])],
    ),
    row(
        "openrouter.key_limit_of_day",
        OPENROUTER_LIMITS,
        KeyExhausted,
        &[Says(&["key limit exceeded (daily"])],
    )
    .until(Until::UtcMidnight),
    row("openrouter.key_limit", OPENROUTER_LIMITS, KeyExhausted, &[Says(&["key limit exceeded"])]),
    row("openrouter.free_per_day", OPENROUTER_LIMITS, KeyExhausted, &[Says(&["free-models-per-day"])])
        .of_model()
        .until(Until::UtcMidnight),
    row("openrouter.free_per_minute", OPENROUTER_LIMITS, KeyLimited, &[Says(&["free-models-per-min"])])
        .of_model(),
    row(
        "openrouter.moderation",
        OPENROUTER,
        RequestFault,
        &[
            Status(&[403]),
            Says(&[
                "prompt injection",
                "requires moderation",
                "was flagged",
                "blocked by guardrail",
                "moderation",
            ]),
        ],
    ),
    row("openrouter.credentials", OPENROUTER, KeyInvalid, &[Code(&["authentication"])]),
    row("openrouter.user", OPENROUTER, KeyInvalid, &[Status(&[401]), Says(&["user not found"])]),
    // one-api, new-api and their many children.
    row(
        "relay.no_channel",
        NEW_API,
        UpstreamFault,
        &[Status(&[500, 502, 503, 504]), Code(&["model_not_found"])],
    ),
    row(
        "relay.no_channel_told",
        NEW_API,
        UpstreamFault,
        &[Says(&[
            "无可用渠道",
            "no available channel",
            "没有可用渠道",
            "渠道已被禁用",
            "渠道已禁用",
            "上游负载",
            "分组负载",
            "no deployments available",
        ])],
    ),
    row(
        "relay.channel_off",
        "https://docs.aihubmix.com/cn/FAQs/HTTP-Codes",
        UpstreamFault,
        &[Status(&[401, 403, 429]), Says(&["channel has been disabled", "channel is disabled"])],
    ),
    // All the keys behind the relay are out: ours with it is none of them.
    row(
        "relay.cooldown",
        "https://github.com/router-for-me/CLIProxyAPI",
        UpstreamFault,
        &[Status(&[429, 0]), Code(&["model_cooldown", "auth_unavailable"])],
    ),
    row(
        "relay.quota",
        ONE_API,
        KeyExhausted,
        &[Code(&[
            "insufficient_user_quota",
            "pre_consume_token_quota_failed",
            "insufficient_token_quota",
            "reject_no_credit",
            "quote_exceeded",
        ])],
    ),
    row(
        "relay.quota_told",
        ONE_API,
        KeyExhausted,
        &[
            Says(&[
                "quota is not enough",
                "令牌额度",
                "用户额度",
                "额度已用尽",
                "额度不足",
                "quota has been used up",
            ]),
            NotOfRequest,
        ],
    ),
    row(
        "relay.no_token_seen",
        ONE_API,
        UpstreamFault,
        &[Status(&[401, 403]), Says(&["未提供令牌", "未提供 api", "no token provided"])],
    )
    .barred(),
    row(
        "relay.model",
        NEW_API,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Says(&["令牌无权", "无权使用模型", "无权访问模型", "token has no access to model"]),
            Silent(&["余额", "欠费", "充值"]),
            NamesModel,
        ],
    )
    .denied(),
    // A token has one group, whatever model is asked for.
    row(
        "relay.group",
        "https://github.com/QuantumNous/new-api, https://github.com/MartialBE/one-hub model/token.go",
        KeyExhausted,
        &[Status(&[401, 403]), Then(&["无权"], &["分组"])],
    ),
    row(
        "relay.token",
        ONE_API,
        KeyInvalid,
        &[
            Status(&[401, 403]),
            Says(&["无效的令牌", "令牌无效", "令牌已过期", "令牌状态不可用", "令牌已被", "用户已被封禁"]),
        ],
    ),
    // LiteLLM answers 400 to a spent budget and 401 to a model that is not allowed.
    row(
        "litellm.budget_of_model",
        LITELLM,
        KeyExhausted,
        &[Code(&["budget_exceeded"]), Says(&["exceeded budget for model"])],
    )
    .of_model(),
    row(
        "litellm.budget",
        LITELLM,
        KeyExhausted,
        &[Code(&["budget_exceeded", "key_over_budget", "team_over_budget", "max_budget_exceeded"])],
    ),
    row(
        "litellm.budget_told",
        LITELLM,
        KeyExhausted,
        &[Says(&["budget has been exceeded", "exceededbudget", "exceededtokenbudget"])],
    ),
    row(
        "litellm.model",
        LITELLM,
        KeyExhausted,
        &[Code(&["key_model_access_denied", "team_model_access_denied", "user_model_access_denied"])],
    )
    .denied(),
    row(
        "litellm.key",
        LITELLM,
        KeyInvalid,
        &[Code(&["token_not_found_in_db", "expired_key", "key_blocked"])],
    ),
    row("litellm.database", LITELLM, UpstreamFault, &[Code(&["no_db_connection"])]),
    row(
        "vercel.free",
        "https://vercel.com/docs/ai-gateway/pricing",
        KeyLimited,
        &[Status(&[429]), Says(&["free credits temporarily"])],
    )
    .of_model(),
    row(
        "vercel.budget",
        "https://vercel.com/docs/ai-gateway",
        KeyExhausted,
        &[Status(&[402, 403, 429]), Says(&["budget exceeded", "budget limit", "insufficient funds"])],
    ),
    // Cloudflare.
    row("cloudflare.gateway_key", CLOUDFLARE, UpstreamFault, &[Has(Form::Unsuccessful), Code(&["2009"])])
        .barred(),
    row(
        "cloudflare.key",
        WORKERS_AI,
        KeyInvalid,
        &[Has(Form::Unsuccessful), Code(&["6111", "9106", "9109", "10000"])],
    ),
    row(
        "cloudflare.account_blocked",
        WORKERS_AI,
        KeyInvalid,
        &[Status(&[403]), Has(Form::Unsuccessful), Code(&["3023"])],
    ),
    row(
        "cloudflare.model",
        WORKERS_AI,
        KeyExhausted,
        &[Status(&[403]), Has(Form::Unsuccessful), Code(&["3041", "5016", "5018", "5035"])],
    )
    .denied(),
    row(
        "cloudflare.blocked",
        CLOUDFLARE,
        RequestFault,
        &[Has(Form::Unsuccessful), Code(&["2016", "2017", "2019"])],
    ),
    row(
        "cloudflare.capacity",
        WORKERS_AI,
        UpstreamFault,
        &[Has(Form::Unsuccessful), Code(&["3040", "3043"])],
    ),
    row(
        "cloudflare.rate",
        CLOUDFLARE,
        KeyLimited,
        &[Has(Form::Unsuccessful), Code(&["2003", "971", "10429"])],
    ),
    row("cloudflare.neurons", WORKERS_AI, KeyExhausted, &[Has(Form::Unsuccessful), Code(&["3036"])])
        .until(Until::UtcMidnight),
    row("cloudflare.free_per_day", WORKERS_AI, KeyExhausted, &[Says(&["daily free allocation"])])
        .until(Until::UtcMidnight),
];
