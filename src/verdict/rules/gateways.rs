//! What stands before a provider's API and speaks in its place: CDNs, proxies, firewalls. No key can be told from it.

use super::Test::{Code, CodeWith, Has, Header, Says, Status};
use super::{Form, Row, row};
use crate::verdict::Verdict::{KeyExhausted, RequestFault, UpstreamFault};

const CLOUDFLARE: &str =
    "https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors";
const ENVOY: &str =
    "https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/response_code_details";

pub(super) static ROWS: &[Row] = &[
    row(
        "gateway.challenge",
        "https://developers.cloudflare.com/cloudflare-challenges/challenge-types/challenge-pages/detect-response",
        UpstreamFault,
        &[Status(&[401, 403, 429]), Header("cf-mitigated")],
    ),
    row("gateway.page", CLOUDFLARE, UpstreamFault, &[Status(&[403, 429, 451]), Has(Form::Page)]),
    row("gateway.blocked", CLOUDFLARE, UpstreamFault, &[Status(&[403, 429]), Says(&["error code: 10"])]),
    row(
        "gateway.silent",
        "what refuses without a word is no API",
        UpstreamFault,
        &[Status(&[403]), Has(Form::Nothing)],
    ),
    row("gateway.proxy_authentication", "RFC 9110 §15.5.8", UpstreamFault, &[Status(&[407])]),
    row("gateway.not_implemented", "RFC 9110 §15.6.2", RequestFault, &[Status(&[501])]),
    row("gateway.misdirected", "RFC 9110 §15.5.20", UpstreamFault, &[Status(&[421])]),
    row(
        "gateway.envoy",
        ENVOY,
        UpstreamFault,
        &[Says(&["upstream connect error", "no healthy upstream", "rbac: access denied"])],
    ),
    row(
        "gateway.no_key_seen",
        "https://apim.docs.wso2.com/en/latest/troubleshooting/error-handling/",
        UpstreamFault,
        &[Status(&[401]), Code(&["900902", "steps.oauth.v2.failedtoresolveapikey"])],
    )
    .barred(),
    row(
        "gateway.quota",
        "https://cloud.google.com/apigee/docs/api-platform/troubleshoot/runtime/runtime-errors",
        KeyExhausted,
        &[Status(&[429]), CodeWith(&["ratelimit.quotaviolation"])],
    )
    .brief(),
    row(
        "gateway.quota_of_plan",
        "https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html",
        KeyExhausted,
        &[Status(&[429]), Code(&["limitexceededexception"])],
    ),
];
