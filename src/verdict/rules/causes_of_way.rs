//! Causes told in words alone: we may not come from where we are, too many others come, or a relay has no account to ask
//! with. See `causes.rs`.

use super::Test::{NotOfRequest, Says, Silent, Status, Then};
use super::{Row, row};
use crate::verdict::Verdict::{KeyExhausted, UpstreamFault};

const SEEN: &str = "what providers and relays say, see tests/corpus";
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

const OUR_ADDRESS: &[&str] = &[
    " ip ",
    "ip address",
    "your ip",
    "this ip",
    "client ip",
    "source ip",
    "ip地址",
    "ip 地址",
    "您的ip",
    "您的 ip",
    "当前ip",
    "当前 ip",
    "your network",
];
const ILL_REPUTE: &[&str] = &[
    "banned",
    "flagged",
    "blacklist",
    "blocklist",
    "denylist",
    "reputation",
    "suspicious",
    "abus",
    "malicious",
    "threat",
    "异常",
    "封禁",
    "拉黑",
    "黑名单",
    "风险",
    "unusual activity",
    "unusual traffic",
];
const OF_A_KEY: &[&str] = &["key", "account", "project", "organi", "token", "密钥", "账", "令牌"];

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
    // A network's rule, not a key's: whichever key we send from there.
    row(
        "cause.network_policy",
        "https://docs.snowflake.com/en/user-guide/network-policies",
        UpstreamFault,
        &[
            Status(&[401, 403]),
            Says(&[
                "network policy",
                "network policies",
                "network access policy",
                "network rule",
                "ip access list",
                "ip acl",
                "ip firewall",
                "firewall rule",
                "网络策略",
                "防火墙规则",
            ]),
            Says(&[
                "not allow",
                "n't allow",
                "reject",
                "denied",
                "denies",
                "deny",
                "block",
                "forbid",
                "prohibit",
                "refus",
                "拒绝",
                "禁止",
                "不允许",
            ]),
            Silent(&["key's", "this key", "your key", "api key", "密钥"]),
        ],
    )
    .barred(),
    // It has a bad name, which no key's list of addresses gives it.
    row(
        "cause.address_of_ill_repute",
        SEEN,
        UpstreamFault,
        &[Status(&[401, 403]), Then(OUR_ADDRESS, ILL_REPUTE), Silent(OF_A_KEY)],
    )
    .barred(),
    row(
        "cause.ill_repute_of_address",
        SEEN,
        UpstreamFault,
        &[Status(&[401, 403]), Then(ILL_REPUTE, OUR_ADDRESS), Silent(OF_A_KEY)],
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
];
