//! What stands before a provider's API and speaks in its place: CDNs, proxies, firewalls. No key can be told from it.

use super::Test::{Code, CodeWith, Has, Header, HeaderWith, Says, Silent, Status, Then};
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
    row(
        "gateway.captcha",
        "https://docs.aws.amazon.com/waf/latest/developerguide/waf-captcha-and-challenge-actions.html",
        UpstreamFault,
        &[Status(&[405]), Header("x-amzn-waf-action")],
    ),
    row("gateway.page", CLOUDFLARE, UpstreamFault, &[Status(&[0, 403, 429, 451]), Has(Form::Page)]),
    // A server's own page has the status' name in its title, too.
    row(
        "gateway.blocked_with_405",
        "the page of Alibaba Cloud's firewall, see tests/corpus",
        UpstreamFault,
        &[
            Status(&[405]),
            Has(Form::Page),
            Says(&["<title>405</title>", "访问被阻断", "potential threats to the server"]),
        ],
    ),
    row(
        "gateway.blocked",
        CLOUDFLARE,
        UpstreamFault,
        &[
            Status(&[403, 429]),
            Says(&[
                "error code: 101",
                "error code: 102",
                "error code: 1005",
                "error code: 1006",
                "error code: 1007",
                "error code: 1008",
                "error code: 1009",
            ]),
        ],
    ),
    row(
        "gateway.scope",
        "RFC 6750 §3.1",
        KeyExhausted,
        &[Status(&[403]), Has(Form::Nothing), HeaderWith("www-authenticate", "insufficient_scope")],
    )
    .of_model(),
    row(
        "gateway.silent",
        "what refuses without a word is no API",
        UpstreamFault,
        &[Status(&[403]), Has(Form::Nothing)],
    ),
    // What lets us out does not let us there.
    row(
        "gateway.way_out",
        "proxies that name why they refuse",
        UpstreamFault,
        &[Status(&[403]), Header("x-deny-reason")],
    )
    .barred(),
    row(
        "gateway.way_out_told",
        "proxies that name why they refuse",
        UpstreamFault,
        &[
            Status(&[403]),
            Then(
                &["host", "domain"],
                &["not in allowlist", "not in the allowlist", "not in whitelist", "not in the whitelist"],
            ),
            Silent(&["key", "token", "account", "organi", "project"]),
        ],
    )
    .barred(),
    row(
        "gateway.firewall",
        "what firewalls say, see tests/corpus",
        UpstreamFault,
        &[
            Status(&[403]),
            Says(&[
                "firewall",
                "captcha",
                "bot detection",
                "bot protection",
                "bot detected",
                "anti-bot",
                "bot traffic",
                "automated traffic",
                "unusual traffic",
                "suspicious traffic",
                " waf ",
                "cloudflare",
                "akamai",
                "are you human",
            ]),
            Silent(&["key", "api token", "account", "organi", "user suspended", "user banned", "user is "]),
        ],
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
