//! Azure OpenAI, Azure AI Foundry, Azure API Management, GitHub Models.

use super::Test::{Code, Header, Says, Silent, Status};
use super::{Row, row};
use crate::verdict::Verdict::{KeyExhausted, KeyInvalid, KeyLimited, RequestFault, UpstreamFault};

const OPENAI: &str = "https://learn.microsoft.com/azure/ai-foundry/openai/quotas-limits";
const APIM: &str = "https://learn.microsoft.com/azure/api-management/rate-limit-policy";
const ACCESS: &str = "https://learn.microsoft.com/azure/ai-foundry/openai/how-to/role-based-access-control";
const NETWORK: &str = "https://learn.microsoft.com/azure/ai-services/cognitive-services-virtual-networks";

pub(super) static ROWS: &[Row] = &[
    row(
        "azure.network",
        NETWORK,
        UpstreamFault,
        &[Status(&[403]), Says(&["public access is disabled", "virtual network", "private endpoint"])],
    )
    .barred(),
    row("azure.key_login_disabled", ACCESS, KeyInvalid, &[Code(&["authenticationtypedisabled"])]),
    row(
        "azure.key_login_told",
        ACCESS,
        KeyInvalid,
        &[Status(&[403]), Says(&["authentication is turned off", "authentication is disabled"])],
    ),
    row("azure.subscription_key", APIM, KeyInvalid, &[Status(&[401]), Says(&["invalid subscription key"])]),
    row("azure.no_key_seen", APIM, UpstreamFault, &[Status(&[401]), Says(&["missing subscription key"])])
        .barred(),
    row(
        "azure.role",
        ACCESS,
        KeyExhausted,
        &[Status(&[401, 403]), Says(&["lacks the required data action"])],
    )
    .of_model(),
    row(
        "azure.subscription_off",
        "https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-states",
        KeyExhausted,
        &[Code(&["readonlydisabledsubscription", "subscriptiondisabled"])],
    ),
    row("azure.call_volume", APIM, KeyExhausted, &[Says(&["out of call volume quota"])]),
    row(
        "azure.blocked",
        OPENAI,
        KeyExhausted,
        &[Status(&[403]), Says(&["resource has been temporarily blocked"])],
    ),
    // A deployment is made with it, and no key serves it.
    row(
        "azure.capacity_asked_for",
        "https://learn.microsoft.com/azure/ai-foundry/openai/how-to/quota",
        RequestFault,
        &[Status(&[400, 403, 409]), Code(&["insufficientquota"]), Says(&["new capacity in quota"])],
    ),
    row(
        "azure.version",
        "https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle",
        RequestFault,
        &[
            Status(&[400, 401, 403, 404]),
            Code(&["invalidapiversionparameter", "missingapiversionparameter", "unsupportedapiversion"]),
        ],
    ),
    // Files that fill a store keep no model from answering.
    row(
        "azure.quota",
        OPENAI,
        KeyExhausted,
        &[Code(&["quotaexceeded"]), Silent(&["quota for files", "storage"])],
    )
    .of_model(),
    row(
        "azure.high_demand",
        OPENAI,
        UpstreamFault,
        &[Says(&["experiencing high demand", "experiencing high traffic"])],
    ),
    row(
        "azure.dependency",
        "https://learn.microsoft.com/azure/ai-foundry/openai/how-to/on-your-data",
        UpstreamFault,
        &[Status(&[424]), Header("apim-request-id")],
    ),
    row("azure.capacity", OPENAI, UpstreamFault, &[Code(&["nocapacity"])]),
    row("azure.deployment", OPENAI, RequestFault, &[Code(&["deploymentnotfound"])]).denied(),
    row(
        "azure.rate",
        OPENAI,
        KeyLimited,
        &[
            Status(&[429]),
            Says(&[
                "token rate limit",
                "call rate limit",
                "request rate limit",
                "utilization of your deployment",
            ]),
        ],
    )
    .of_model(),
    row(
        "github_models.rate",
        "https://docs.github.com/github-models/prototyping-with-ai-models#rate-limits",
        KeyLimited,
        &[Code(&["ratelimitreached"])],
    )
    .of_model(),
    row(
        "github_models.model",
        "https://docs.github.com/rest/models/inference",
        RequestFault,
        &[Status(&[400, 404]), Code(&["unknown_model", "unavailable_model"])],
    )
    .denied(),
];
