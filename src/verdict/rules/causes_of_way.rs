//! Causes told in words alone: no key was seen, we may not come from where we are, too many others come, or a relay has no
//! account to ask with. See `causes.rs`.

use super::Test::{NotOfRequest, Says, Silent, Status, Then};
use super::{Row, row};
use crate::verdict::Verdict::{KeyExhausted, UpstreamFault};

const SEEN: &str = "what providers and relays say, see tests/corpus";
const OPENAI: &str = "https://platform.openai.com/docs/guides/error-codes";
const PLACE: &[&str] =
    &["region", "country", "territory", "location", "jurisdiction", "地区", "国家", "区域"];
const NOT_SERVED: &[&str] = &[
    "not supported",
    "not available",
    "unsupported",
    "prohibited",
    "not allowed",
    "restricted",
    "blocked",
    "不支持",
    "暂不",
    "不可用",
    "无法使用",
];
const NOT_HERE: &[&str] = &[
    "not available",
    "n't available",
    "n't offered",
    "n't supported",
    "unavailable",
    "not supported",
    "not offered",
    "not serve",
    "not accessible",
    "n't serve",
    "not accept",
    "not permitted",
    "not yet",
    "restricted",
    "blocked",
];
const HERE: &[&str] = &[
    "in your country",
    "in your region",
    "in your location",
    "at your location",
    "for your location",
    "in your area",
    "in your territory",
    "from your country",
    "from mainland",
    "in mainland",
    "from your region",
    "from your location",
    "in this country",
    "in this region",
];
const NO_KEY: &[&str] = &[
    "no auth",
    "no api key",
    "no api token",
    "no key",
    "no token",
    "no credentials",
    "no access token",
    "no bearer",
];
const FOUND: &[&str] =
    &["found", "provided", "supplied", "given", "sent", "present", "included", "detected", "received"];
const NOT_GIVEN: &[&str] = &[
    "did not pass a",
    "did not provide",
    "didn't provide",
    "failed to get the",
    "failed to resolve",
    "missing",
    "must provide",
    "must include",
    "need to provide",
    "please provide",
];
const CREDENTIAL: &[&str] = &[
    "api key",
    "api-key",
    "apikey",
    "authorization",
    "authentication token",
    "access token",
    "bearer token",
];
const ADDRESS: &[&str] = &[" ip ", "ip address", "your ip", "referer", "referrer"];
const BARRED: &[&str] = &[
    "not allowed",
    "not authorized",
    "not permitted",
    "restriction",
    "whitelist",
    "allowlist",
    "blocked",
    "not have access",
    "不在",
    "不允许",
];

/// It is the key's owner who asks too much.
const OURS: &[&str] = &[
    "your ",
    "you are",
    "you're",
    "您当前",
    "您的",
    "你的",
    "账户",
    "账号",
    "帐户",
    "帐号",
    "个用户",
    "该用户",
    "用户请求",
    "用户调用",
    "key",
    "密钥",
    "令牌",
    "限流",
    "限速",
    "频率",
];
/// It is the account of the one who asks that is not there, or not good any more.
const OF_ONE_ACCOUNT: &[&str] = &[
    "found",
    "given ",
    "this api key",
    "this key",
    "your ",
    "login",
    "log in",
    "sign in",
    "expired",
    "invalid",
    "credit",
    "balance",
    "subscription",
    "cancel",
];

pub(super) static ROWS: &[Row] = &[
    // We did send a key.
    row(
        "cause.no_key_seen",
        OPENAI,
        UpstreamFault,
        &[
            Status(&[400, 401, 403]),
            Says(&[
                "no api key supplied",
                "no api key provided",
                "no api key found",
                "no api key passed",
                "no auth credentials found",
                "no cookie auth credentials",
                "api key is required",
                "api key is missing",
                "api key required",
                "missing api key",
                "missing authorization",
                "missing authentication",
                "authorization header missing",
                "authorization header is missing",
                "authorization header is required",
                "-key header is required",
                "缺少 authorization",
                "authentication key is required",
                "token is required",
                "jwt is missing",
                "missing authentication token",
                "header not found",
                "key not provided",
                "api key missing",
                "api token missing",
                "credentials missing",
                "key was not provided",
            ]),
            Silent(&["scope", "permission", "valid", "match", "wrong or", "incorrect or"]),
            NotOfRequest,
        ],
    )
    .barred(),
    row(
        "cause.no_key_given",
        SEEN,
        UpstreamFault,
        &[
            Status(&[401, 403]),
            Then(NOT_GIVEN, CREDENTIAL),
            Silent(&["valid", "incorrect", "wrong", "expired", "bad or", "permission", "scope", "role"]),
        ],
    )
    .barred(),
    row(
        "cause.no_key_found",
        SEEN,
        UpstreamFault,
        &[
            Status(&[401, 403]),
            Then(NO_KEY, FOUND),
            Silent(&["valid", "match", "found for", "with that", "with this", "wrong or", "incorrect or"]),
        ],
    )
    .barred(),
    row(
        "cause.region",
        SEEN,
        UpstreamFault,
        &[
            Status(&[400, 401, 403, 451, 0]),
            Says(&[
                "region, or territory not supported",
                "location is not supported",
                "not available in your country",
                "not available in your region",
                "not available in your location",
                "not supported in your region",
                "not supported in your country",
                "unsupported region",
                "unsupported country",
                "country not supported",
                "region not supported",
                "所在地区",
                "所在的地区",
            ]),
            NotOfRequest,
        ],
    )
    .barred(),
    row(
        "cause.key_not_for_place",
        SEEN,
        UpstreamFault,
        &[
            Status(&[401, 403]),
            Then(&["not valid for", "n't valid for", "invalid for"], &["region", "country", "location"]),
        ],
    )
    .barred(),
    row("cause.place", SEEN, UpstreamFault, &[Status(&[401, 403, 451]), Then(PLACE, NOT_SERVED)]).barred(),
    row(
        "cause.not_served_here",
        SEEN,
        UpstreamFault,
        &[Status(&[400, 401, 403, 451, 0]), Then(NOT_HERE, HERE), NotOfRequest],
    )
    .barred(),
    row("cause.address", SEEN, KeyExhausted, &[Status(&[401, 403]), Then(ADDRESS, BARRED)]),
    row(
        "cause.barred_address",
        SEEN,
        KeyExhausted,
        &[Status(&[401, 403]), Then(BARRED, &["from ip", "from your ip", "from this ip"])],
    ),
    row(
        "cause.only_from_addresses",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Then(
                &["only from", "must come from", "only allowed from", "only be used from", "restricted to"],
                &[" ip ", " ips", "ip range", "ip address", "network", "cidr"],
            ),
        ],
    ),
    row("cause.address_unlisted", SEEN, KeyExhausted, &[Status(&[401, 403]), Then(&["ip"], &["白名单"])]),
    // Lists of models are not of addresses.
    row(
        "cause.model_not_listed",
        "https://support.huaweicloud.com/model-call-maas/model-call-035.html",
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Then(&["model ", "models ", "模型"], &["allowlist", "whitelist", "白名单"]),
            Silent(&["ip ", "ip地址", "network", "cidr"]),
        ],
    )
    .denied(),
    row(
        "cause.address_told",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Says(&[
                "allowlist",
                "disallowed ip",
                "ip 白名单",
                "ip白名单",
                "的 ip 不在",
                "的ip不在",
                "网段",
                "不在白名单",
            ]),
        ],
    ),
    row(
        "cause.crowded",
        SEEN,
        UpstreamFault,
        &[
            Status(&[400, 401, 402, 403, 429, 498, 0]),
            Says(&["调用量过大", "请求量过大", "请求量较大", "人数过多", "人数较多", "too many people"]),
            Silent(OURS),
            NotOfRequest,
        ],
    ),
    // A relay has none of its own to ask with.
    row(
        "cause.no_account_to_ask_with",
        SEEN,
        UpstreamFault,
        &[
            Status(&[400, 401, 402, 403, 429, 498, 0]),
            Says(&["no auth available", "no active account", "no available account"]),
            Silent(OF_ONE_ACCOUNT),
            NotOfRequest,
        ],
    ),
    row(
        "cause.accounts_are_cooling",
        SEEN,
        UpstreamFault,
        &[
            Status(&[400, 401, 402, 403, 429, 498, 0]),
            Then(&["all credential", "all account", "all auth", "credentials are"], &["cooling"]),
            Silent(&["your "]),
            NotOfRequest,
        ],
    ),
];
