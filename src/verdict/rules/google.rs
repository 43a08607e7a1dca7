//! Google: Gemini, its OpenAI route, Vertex, Cloud Code.

use super::Test::{Code, CodeWith, Has, NoCodeWith, NotOfRequest, Says, Silent, Status};
use super::{Form, Row, Until, row};
use crate::verdict::Verdict::{KeyExhausted, KeyInvalid, KeyLimited, RequestFault, UpstreamFault};

const GEMINI: &str = "https://ai.google.dev/gemini-api/docs/troubleshooting";
const LIMITS: &str = "https://ai.google.dev/gemini-api/docs/rate-limits";
const QUOTAS: &str = "https://docs.cloud.google.com/docs/quotas/view-manage";
const REASONS: &str = "https://cloud.google.com/service-infrastructure/docs/service-control/reference/rpc/google.api/servicecontrol.v1#errorreason";
const VERTEX: &str = "https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429";
const VERTEX_ERRORS: &str =
    "https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/api-errors";
const BILLING: &str = "https://ai.google.dev/gemini-api/docs/billing";

pub(super) static ROWS: &[Row] = &[
    row(
        "google.key_invalid",
        REASONS,
        KeyInvalid,
        &[Code(&["api_key_invalid", "api_key_not_found", "access_token_expired"])],
    ),
    row(
        "google.key_told",
        GEMINI,
        KeyInvalid,
        &[Status(&[400]), Says(&["api key not valid. please pass a valid api key"]), NotOfRequest],
    ),
    row("google.key_leaked", GEMINI, KeyInvalid, &[Says(&["reported as leaked"])]),
    row(
        "google.consumer_closed",
        REASONS,
        KeyInvalid,
        &[Code(&["consumer_suspended", "consumer_invalid", "project_deleted", "project_invalid"])],
    ),
    row("google.project_denied", GEMINI, KeyInvalid, &[Says(&["project has been denied access"])]),
    // A restriction that the key's owner set, or a switch that is off: curable, by people.
    row(
        "google.key_restricted",
        REASONS,
        KeyExhausted,
        &[Code(&[
            "service_disabled",
            "billing_disabled",
            "api_key_service_blocked",
            "api_key_http_referrer_blocked",
            "api_key_ip_address_blocked",
            "api_key_android_app_blocked",
            "api_key_ios_app_blocked",
            "validation_required",
            "insufficient_g1_credits_balance",
        ])],
    ),
    // The key came in a place where it is not looked for, or did not come at all.
    row(
        "google.key_not_seen",
        REASONS,
        UpstreamFault,
        &[Code(&["credentials_missing", "access_token_type_unsupported"])],
    )
    .barred(),
    row(
        "google.key_not_wanted",
        GEMINI,
        UpstreamFault,
        &[
            Status(&[401, 403]),
            Says(&["api keys are not supported by this api", "expected oauth", "unregistered callers"]),
        ],
    )
    .barred(),
    row(
        "google.authentication_down",
        GEMINI,
        UpstreamFault,
        &[Says(&["authentication backend unavailable"])],
    ),
    row("google.region", GEMINI, UpstreamFault, &[Says(&["user location is not supported"])]).barred(),
    row("google.capacity", GEMINI, UpstreamFault, &[Code(&["model_capacity_exhausted"])]),
    row(
        "google.shared_capacity",
        VERTEX,
        UpstreamFault,
        &[Code(&["resource_exhausted"]), Says(&["error-code-429", "resource exhausted, please try again"])],
    ),
    row("google.billed_only", BILLING, KeyExhausted, &[Says(&["only accessible to billed users"])])
        .of_model(),
    row(
        "google.key_restricted_told",
        REASONS,
        KeyExhausted,
        &[
            Status(&[403]),
            Says(&["requests from referer", "requests to this api", "client application"]),
            Says(&["are blocked"]),
        ],
    ),
    row(
        "google.service_off_told",
        REASONS,
        KeyExhausted,
        &[Status(&[403]), Says(&["has not been used in project", "has not been enabled in project"])],
    ),
    // The file belongs to another key.
    row(
        "google.file_of_another",
        "https://ai.google.dev/gemini-api/docs/files",
        RequestFault,
        &[Status(&[403]), Says(&["access the file", "cachedcontent not found"])],
    ),
    row(
        "google.model",
        GEMINI,
        RequestFault,
        &[Status(&[404]), Says(&["is not found for api version", "publisher model"])],
    )
    .denied(),
    row(
        "google.model_not_allowed",
        VERTEX_ERRORS,
        RequestFault,
        &[Status(&[400]), Code(&["failed_precondition"]), Says(&["not allowed to use publisher model"])],
    )
    .denied(),
    row(
        "google.prepaid",
        BILLING,
        KeyExhausted,
        &[
            Says(&["prepayment credits", "prepay credit", "prepaid credit", "monthly spending cap"]),
            NotOfRequest,
        ],
    ),
    // No quota at all for this model on this tier.
    row(
        "google.no_quota",
        LIMITS,
        KeyExhausted,
        &[
            Says(&["quota exceeded for metric", "quota exceeded for quota metric"]),
            Says(&["limit: 0,", "limit: 0 "]),
        ],
    )
    .of_model(),
    row("google.no_quota_in_metadata", LIMITS, KeyExhausted, &[Code(&["quota_limit_value=0"])]).of_model(),
    // Quotas name the model where they are kept per model.
    row(
        "google.per_day_of_project",
        QUOTAS,
        KeyExhausted,
        &[
            Code(&["resource_exhausted"]),
            CodeWith(&["perday"]),
            CodeWith(&["perproject"]),
            NoCodeWith(&["model"]),
            Silent(&["model"]),
        ],
    )
    .until(Until::PacificMidnight),
    row("google.per_day", LIMITS, KeyExhausted, &[CodeWith(&["perday"])])
        .of_model()
        .until(Until::PacificMidnight),
    row(
        "google.per_day_told",
        VERTEX,
        KeyExhausted,
        &[Code(&["resource_exhausted"]), Says(&["per_day", "per day", "daily quota", "daily limit"])],
    )
    .of_model()
    .until(Until::PacificMidnight),
    row(
        "google.quota_exhausted",
        GEMINI,
        KeyExhausted,
        &[Code(&["resource_exhausted"]), Code(&["quota_exhausted"])],
    )
    .of_model(),
    row(
        "google.per_minute_of_project",
        QUOTAS,
        KeyLimited,
        &[
            Code(&["resource_exhausted"]),
            CodeWith(&["perminute", "persecond", "perhour"]),
            CodeWith(&["perproject"]),
            NoCodeWith(&["model"]),
            Silent(&["model"]),
        ],
    ),
    row("google.per_minute", LIMITS, KeyLimited, &[CodeWith(&["perminute", "persecond", "perhour"])])
        .of_model(),
    row(
        "google.per_minute_told",
        VERTEX,
        KeyLimited,
        &[Says(&["quota exceeded for"]), Says(&["per_minute", "per minute", "please retry in"])],
    )
    .of_model(),
    row(
        "google.quota",
        LIMITS,
        KeyExhausted,
        &[
            Code(&["resource_exhausted"]),
            Says(&["exceeded your current quota"]),
            Silent(&["please retry in"]),
        ],
    )
    .of_model(),
    row(
        "google.quota_array",
        LIMITS,
        KeyExhausted,
        &[
            Has(Form::Array),
            Code(&["429", "resource_exhausted"]),
            Says(&["exceeded your current quota"]),
            Silent(&["please retry in", "per minute"]),
        ],
    )
    .of_model(),
    row(
        "google.quota_reached",
        "https://github.com/google-gemini/gemini-cli/issues/27761",
        KeyExhausted,
        &[
            Status(&[429, 0]),
            Code(&["resource_exhausted"]),
            Says(&["quota reached", "quota has been reached"]),
        ],
    )
    .of_model()
    .brief(),
    row("google.resource_exhausted", LIMITS, KeyLimited, &[Status(&[429, 0]), Code(&["resource_exhausted"])])
        .of_model(),
];
