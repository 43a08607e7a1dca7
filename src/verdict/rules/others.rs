//! Groq, Mistral, Cohere, Cerebras, Together, Fireworks, xAI, NVIDIA, AWS, Ollama, Perplexity, Hugging Face and others
//! with words of their own.

use super::Test::{
    Code, CodeLike, CodeWith, Has, HeaderIs, NamesModel, NotOfRequest, Says, Silent, Status, Then,
};
use super::{Form, Row, Until, row};
use crate::verdict::Verdict::{KeyExhausted, KeyInvalid, KeyLimited, RequestFault, UpstreamFault};

const GROQ: &str = "https://console.groq.com/docs/errors";
const MISTRAL: &str = "https://docs.mistral.ai/deployment/laplateforme/tier";
const COHERE: &str = "https://docs.cohere.com/reference/errors";
const CEREBRAS: &str = "https://inference-docs.cerebras.ai/support/error";
const TOGETHER: &str = "https://docs.together.ai/docs/error-codes";
const FIREWORKS: &str = "https://docs.fireworks.ai/guides/inference-error-codes";
const XAI: &str = "https://docs.x.ai/docs/key-information/debugging";
const NVIDIA: &str = "https://docs.api.nvidia.com/nim/docs/api-reference";
const AWS: &str = "https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html";
const OLLAMA: &str = "https://docs.ollama.com/cloud";
const HUGGING_FACE: &str = "https://huggingface.co/docs/inference-providers/pricing";

pub(super) static ROWS: &[Row] = &[
    // Groq.
    row("groq.restricted", GROQ, KeyInvalid, &[Code(&["organization_restricted"])]),
    row("groq.capacity", GROQ, UpstreamFault, &[Code(&["capacity_exceeded"])]),
    row(
        "groq.model_blocked",
        GROQ,
        KeyExhausted,
        &[Status(&[401, 403]), CodeWith(&["model_permission_blocked"])],
    )
    .denied(),
    row("groq.terms", GROQ, RequestFault, &[Code(&["model_terms_required"])]).denied(),
    row("groq.model_gone", GROQ, RequestFault, &[Code(&["model_decommissioned"])]),
    // Mistral: a limit of nothing means that the plan lacks the model.
    row(
        "mistral.model_of_plan",
        MISTRAL,
        KeyExhausted,
        &[Status(&[429]), HeaderIs("x-ratelimit-limit-req-minute", "0")],
    )
    .denied(),
    // Its servers know no models.
    row(
        "graphql.rate",
        "https://shopify.dev/docs/api/usage/limits, see tests/corpus",
        KeyLimited,
        &[Has(Form::Extensions), CodeLike(&["ratelimit", "throttled", "toomanyrequests"])],
    ),
    row(
        "mistral.rate",
        MISTRAL,
        KeyLimited,
        &[Code(&["rate_limited", "service_tier_capacity_exceeded", "3505"]), Silent(&["per day", "month"])],
    )
    .of_model(),
    // Cohere.
    row(
        "cohere.trial_of_month",
        COHERE,
        KeyExhausted,
        &[Says(&["trial key"]), Says(&["/ month", "per month", "this month", "monthly"])],
    )
    .until(Until::NextMonth),
    row("cohere.trial", COHERE, KeyLimited, &[Status(&[429]), Says(&["trial key"])]),
    row("cohere.payment", COHERE, KeyExhausted, &[Says(&["add or update your payment method"])]),
    // Of a text, in which no such token may be.
    row(
        "cohere.token_on_deny_list",
        COHERE,
        RequestFault,
        &[Status(&[498]), Says(&["invalid token"]), Silent(&["expired", "key", "your "])],
    ),
    // Cerebras.
    row("cerebras.queue", CEREBRAS, UpstreamFault, &[Code(&["queue_exceeded"])]),
    row(
        "cerebras.per_day",
        CEREBRAS,
        KeyExhausted,
        &[Code(&["request_quota_exceeded", "token_quota_exceeded"]), Says(&["per day", "daily"])],
    )
    .of_model()
    .until(Until::UtcMidnight),
    row("cerebras.rate", CEREBRAS, KeyLimited, &[Code(&["request_quota_exceeded", "token_quota_exceeded"])])
        .of_model(),
    row("cerebras.key", CEREBRAS, KeyInvalid, &[Code(&["wrong_api_key"])]),
    row("cerebras.payment", CEREBRAS, KeyExhausted, &[Code(&["payment_required_error", "payment_required"])]),
    // Together.
    row(
        "together.rate",
        TOGETHER,
        KeyLimited,
        &[Code(&["dynamic_request_limited", "dynamic_token_limited", "model_rate_limit"])],
    )
    .of_model(),
    row(
        "together.credit",
        TOGETHER,
        KeyExhausted,
        &[Code(&["credit_limit"]), Silent(&["per minute", "rate limited"])],
    ),
    row("together.context_length", TOGETHER, RequestFault, &[Status(&[403]), Says(&["context length"])]),
    row("together.model", TOGETHER, RequestFault, &[Status(&[400, 404]), Code(&["model_not_available"])])
        .denied(),
    // Fireworks.
    row("fireworks.suspended", FIREWORKS, KeyExhausted, &[Status(&[403, 412]), Says(&["is suspended"])]),
    row(
        "fireworks.permission",
        FIREWORKS,
        KeyExhausted,
        &[Status(&[403]), Says(&["no permission for this resource"])],
    )
    .denied(),
    // Too many at once, though it speaks of usage.
    row("fireworks.rate", FIREWORKS, KeyLimited, &[Status(&[429]), Says(&["explore dedicated capacity"])]),
    // xAI tells with words; its codes are gRPC's.
    row("xai.blocked", XAI, KeyInvalid, &[Says(&["team is blocked", "api key is currently blocked"])]),
    row("xai.key", XAI, KeyInvalid, &[CodeWith(&["unauthenticated:"])]),
    row(
        "xai.key_as_argument",
        XAI,
        KeyInvalid,
        &[
            Status(&[400]),
            Code(&["client specified an invalid argument", "invalid-argument"]),
            Says(&["incorrect api key provided"]),
        ],
    ),
    row(
        "xai.model_of_plan",
        XAI,
        KeyExhausted,
        &[Code(&["resource-exhausted"]), Says(&["(actual/limit): 0/0"])],
    )
    .denied(),
    row("xai.free_usage", XAI, KeyExhausted, &[Says(&["free usage quota"])]),
    row("xai.free_usage_of_model", XAI, KeyExhausted, &[CodeWith(&["free-usage-exhausted"])]).of_model(),
    row(
        "xai.credits",
        XAI,
        KeyExhausted,
        &[Says(&["have any credits", "used all available credits", "monthly spending limit"])],
    ),
    row("xai.rate", XAI, KeyLimited, &[Code(&["resource-exhausted"]), Silent(&["credit", "spending"])])
        .of_model(),
    row(
        "xai.rate_told",
        XAI,
        KeyLimited,
        &[Status(&[429]), Then(&["too many requests for team"], &["and model"])],
    )
    .of_model(),
    row(
        "xai.usage_guidelines",
        XAI,
        RequestFault,
        &[Status(&[403]), Says(&["usage guidelines"]), Silent(&["api key", "account", "team", "access"])],
    ),
    // NVIDIA.
    row("nvidia.key", NVIDIA, KeyInvalid, &[Status(&[401, 403]), Says(&["authorization failed"])]),
    row(
        "nvidia.credits",
        NVIDIA,
        KeyExhausted,
        &[Says(&["cloud credits expired", "credits exhausted"]), NotOfRequest],
    ),
    row("nvidia.degraded", NVIDIA, UpstreamFault, &[Status(&[400]), Says(&["degraded function"])]),
    row(
        "nvidia.function",
        NVIDIA,
        RequestFault,
        &[Status(&[404]), Says(&["not found for account", "not provisioned for"])],
    )
    .denied(),
    // AWS.
    row("aws.per_day", AWS, KeyExhausted, &[Says(&["too many tokens per day", "too many requests per day"])])
        .of_model()
        .until(Until::UtcMidnight),
    row("aws.capacity", AWS, UpstreamFault, &[Code(&["insufficient_model_capacity"])]),
    row(
        "aws.per_month",
        "https://github.com/aws/aws-toolkit-jetbrains/issues/5059",
        KeyExhausted,
        &[Code(&["throttlingexception"]), Says(&["this month", "per month", "monthly"])],
    ),
    row("aws.throttled", AWS, KeyLimited, &[Code(&["throttlingexception"])]).of_model(),
    // Of all that an account asks for.
    row(
        "aws.requests_of_month",
        "what Kiro's clients meet, see tests/corpus",
        KeyExhausted,
        &[Code(&["monthly_request_count"])],
    ),
    row("aws.quota", AWS, KeyExhausted, &[Code(&["servicequotaexceededexception"])]).of_model(),
    row(
        "aws.not_ready",
        AWS,
        UpstreamFault,
        &[Code(&["modelnotreadyexception", "modeltimeoutexception", "modelerrorexception"])],
    ),
    row(
        "aws.key",
        AWS,
        KeyInvalid,
        &[Code(&["unrecognizedclientexception", "expiredtokenexception", "invalidclienttokenid"])],
    ),
    row(
        "aws.key_told",
        AWS,
        KeyInvalid,
        &[
            Status(&[400, 401, 403]),
            Says(&["security token included in the request is", "not match the signature you provided"]),
        ],
    ),
    row(
        "aws.operation",
        AWS,
        KeyExhausted,
        &[Code(&["validationexception"]), Says(&["operation not allowed"])],
    )
    .denied(),
    row(
        "aws.key_refused",
        AWS,
        KeyInvalid,
        &[
            Status(&[401, 403]),
            Code(&["accessdeniedexception"]),
            Then(&["authentication", "token", "api key"], &["failed", "expired", "revoked", "invalid"]),
        ],
    ),
    // A form that each account has to fill in for a maker's models.
    row(
        "aws.use_case",
        "https://docs.aws.amazon.com/bedrock/latest/userguide/model-access.html",
        KeyExhausted,
        &[
            Status(&[400, 403, 404]),
            Code(&["resourcenotfoundexception", "accessdeniedexception", "validationexception"]),
            Says(&["use case details", "use case form"]),
        ],
    )
    .denied(),
    row(
        "aws.model_not_found",
        AWS,
        RequestFault,
        &[Status(&[404]), Code(&["resourcenotfoundexception"]), Says(&["model"])],
    )
    .denied(),
    row("aws.model", AWS, KeyExhausted, &[Code(&["accessdeniedexception"])]).denied(),
    // Hugging Face's server of models, Databricks, Yandex.
    row(
        "tgi.generation",
        "https://huggingface.github.io/text-generation-inference",
        UpstreamFault,
        &[Status(&[424]), Code(&["generation", "incomplete_generation"])],
    ),
    row(
        "databricks.rate_of_nothing",
        "https://docs.databricks.com/aws/en/machine-learning/model-serving/model-serving-limits",
        KeyExhausted,
        &[Status(&[403]), Says(&["rate limit set to 0"])],
    )
    .of_model(),
    row(
        "yandex.at_once",
        "https://yandex.cloud/docs/foundation-models/concepts/limits",
        KeyLimited,
        &[
            Status(&[429]),
            Says(&["grpc quota limit exceed", "gauge quota limit exceed", "rate quota limit exceed"]),
        ],
    ),
    row(
        "scaleway.key",
        "https://www.scaleway.com/en/developers/api/#statuses",
        KeyInvalid,
        &[Status(&[401, 403]), Code(&["denied_authentication"])],
    ),
    // Ollama, Hugging Face, and what others call a plan.
    row(
        "ollama.subscription",
        OLLAMA,
        KeyExhausted,
        &[Status(&[401, 402, 403]), Says(&["requires a subscription", "upgrade for access"]), NamesModel],
    )
    .denied(),
    row(
        "huggingface.credits",
        HUGGING_FACE,
        KeyExhausted,
        &[Says(&["exceeded your monthly included credits", "monthly included credits"])],
    ),
    row(
        "huggingface.no_provider",
        HUGGING_FACE,
        RequestFault,
        &[Status(&[400]), Code(&["model_not_supported"]), Says(&["you have enabled"])],
    )
    .denied(),
    row(
        "perplexity.model",
        "https://docs.perplexity.ai/guides/api-error-handling",
        RequestFault,
        &[Status(&[400, 404, 422, 0]), Code(&["invalid_model"])],
    ),
    // An account's network policy looks at where we come from, whichever key we send.
    row(
        "snowflake.network_policy",
        "https://docs.snowflake.com/en/user-guide/network-policies",
        UpstreamFault,
        &[Status(&[401, 403]), Code(&["390422"])],
    )
    .barred(),
    row(
        "snowflake.network_policy_told",
        "https://docs.snowflake.com/en/user-guide/network-policies",
        UpstreamFault,
        &[Status(&[400, 401, 403]), Says(&["with ip/token"]), Says(&["not allowed to access"])],
    )
    .barred(),
];
