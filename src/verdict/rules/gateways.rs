//! What stands before a provider's API and speaks in its place: CDNs, proxies, firewalls. No key can be told from it.

use super::Test::{Code, CodeWith, Has, Header, Says, Silent, Status, Then};
use super::{Form, Row, row};
use crate::verdict::Verdict::{KeyExhausted, RequestFault, UpstreamFault};

const CLOUDFLARE: &str =
    "https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors";
const ENVOY: &str =
    "https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/response_code_details";

const UNCHECKED: &str = "a check that fails says nothing of the key, see tests/corpus";
const CHECK: &[&str] = &[
    "authenticat",
    "authorization",
    "verify",
    "verification",
    "validat",
    "身份验证",
    "鉴权",
    "认证",
    "校验",
    "验证",
    "look up",
    "looking up",
    "查询",
];
const FAILS: &[&str] = &[
    "service unavailable",
    "service is unavailable",
    "service is down",
    "backend unavailable",
    "temporarily unavailable",
    "timeout",
    "timed out",
    "server busy",
    "server is busy",
    "internal error",
    "unknown error",
    "unexpected error",
    "at this time",
    "未知错误",
    "发生错误",
    "查询错误",
    "服务内部错误",
    "服务错误",
    "服务异常",
    "服务暂时",
    "服务不可用",
    "服务超时",
    "unreachable",
    "unavailable",
    "database",
    "connection",
    "数据库",
];

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
        "gateway.silent",
        "what refuses without a word is no API",
        UpstreamFault,
        &[Status(&[403]), Has(Form::Nothing)],
    ),
    row(
        "gateway.firewall",
        "what firewalls say, see tests/corpus",
        UpstreamFault,
        &[
            Status(&[403]),
            Says(&["firewall", "captcha", "bot detection", " waf ", "cloudflare", "akamai", "are you human"]),
            Silent(&["key", "account"]),
        ],
    ),
    // Whoever checks keys could not, and says so with the codes of keys that are wrong.
    row("gateway.keys_unchecked", UNCHECKED, UpstreamFault, &[Status(&[401, 403]), Then(CHECK, FAILS)]),
    row(
        "gateway.check_timed_out",
        "https://github.com/jina-ai/reader/issues/1214",
        UpstreamFault,
        &[
            Status(&[401, 403]),
            Says(&[
                "failed to authenticate",
                "authentication failed",
                "failed to verify",
                "failed to validate",
            ]),
            Says(&[
                "timeout of",
                "timed out",
                "econnrefused",
                "econnreset",
                "socket hang up",
                "fetch failed",
            ]),
        ],
    ),
    row(
        "gateway.keys_unchecked_told",
        UNCHECKED,
        UpstreamFault,
        &[
            Status(&[401]),
            Says(&[
                "internal server error",
                "internal error",
                "server error",
                "service unavailable",
                "service is temporarily unavailable",
                "server busy",
                "under maintenance",
                "system maintenance",
                "服务内部错误",
                "内部错误",
                "系统维护",
                "查询错误",
                "查询失败",
            ]),
            Silent(&["model"]),
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
