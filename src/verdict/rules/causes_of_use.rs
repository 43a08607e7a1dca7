//! Causes told in words alone: what was done with a key, by which program and from which kind of network, and what a
//! model is to be used with and by whom. See `causes.rs`.

use super::Test::{NamesModel, NotOfRequest, OfModel, Says, Silent, Status, Then};
use super::of_model::NOT_FOR_ALL;
use super::{Row, row};
use crate::verdict::Verdict::{KeyExhausted, KeyInvalid, RequestFault, UpstreamFault};

const SEEN: &str = "what providers and relays say, see tests/corpus";

const ENDED: &[&str] = &[
    "ended your",
    "ended access",
    "withdrawn your",
    "withdrew your",
    "closed your",
    "terminated",
    "suspended",
    "revoked",
    "banned",
    "deactivated",
    "closed",
];
const BREACH: &[&str] = &["violat", "breach", "abus", "misus"];
/// What is shut for somebody, not what they said.
const WHAT_ENDS: &[&str] =
    &["access", "account", "api key", "this key", "your key", "organization", "token "];
const SAID: &[&str] = &["prompt", "request", "content", "input", "output", "message "];
/// Others that are shut out for what they did.
const NO_KEYS: &[&str] = &["model", "ip ", "network", "vpn", "region", "country"];
const ENDED_IN_CHINESE: &[&str] =
    &["禁止访问", "封禁", "封号", "被封", "停用", "冻结", "限制访问", "被限制", "关闭", "禁用"];

/// Whoever is spoken of, it is no program, route or network.
const OF_KEYS: &[&str] = &[
    "key",
    "token",
    "account",
    "organi",
    "project",
    "plan",
    "subscription",
    "tier",
    "密钥",
    "令牌",
    "账",
    "帐",
    "套餐",
];
const PROGRAM: &[&str] = &[
    "this client",
    "your client",
    "client not",
    "client is",
    "clients are",
    "user agent",
    "user-agent",
    "客户端",
];
/// Others that are called clients.
const NO_PROGRAM: &[&str] = &[
    "ip ",
    "ips",
    "ip地址",
    "客户端ip",
    "client id",
    "client has",
    "client does",
    "certificate",
    "model",
    "region",
    "country",
    "地区",
    "国家",
    "模型",
];
const SHUT_OUT: &[&str] = &[
    "not allowed",
    "not permitted",
    "not supported",
    "not whitelisted",
    "whitelist",
    "allowlist",
    "is blocked",
    "are blocked",
    "拒绝",
    "允许",
    "禁止",
    "白名单",
];
const NETWORKS: &[&str] = &[
    "your network",
    "this network",
    "autonomous system",
    " asn ",
    "datacenter",
    "data center",
    "data-center",
    "hosting provider",
    "hosting ip",
    "cloud provider ip",
    "cloud ip",
    " vpn",
    "vpn ",
    "使用vpn",
    "proxy connection",
    "proxy ip",
    "via proxies",
    "anonymous prox",
    "through tor ",
    "tor exit",
    "机房",
    "代理ip",
    "代理 ip",
    "数据中心",
];
const BARRED: &[&str] = &[
    "blocked",
    "not allowed",
    "not permitted",
    "denied",
    "forbidden",
    "prohibited",
    "refused",
    "not accepted",
    "n't accepted",
    "n't allowed",
    "rejected",
    "check your network",
    "拒绝",
    "禁止",
    "不允许",
    "屏蔽",
];
const ROUTES: &[&str] = &[
    "responses api",
    "responses 接口",
    "responses endpoint",
    "messages api",
    "messages endpoint",
    "chat completions",
    "completions api",
    "completions endpoint",
    "v1/",
    "/responses",
    "/messages",
    "/completions",
];
const GO_THERE: &[&str] = &[
    "only be ",
    "only available",
    "only accessible",
    "only support",
    "only works",
    "must be called",
    "must be used",
    "please use",
    "仅支持",
    "只支持",
    "只能",
    "请使用",
];
const OFF: &[&str] = &["blocked", "disabled", "not allowed", "not permitted", "not enabled", "禁止"];

const MODEL: &[&str] = &["model", "模型"];
const GONE: &[&str] = &[
    "was deactivated",
    "been deactivated",
    "was retired",
    "been decommissioned",
    "discontinued",
    "was removed",
    "been removed",
    "end of life",
    "end-of-life",
    "sunset",
    "下架",
    "退役",
    "停止服务",
    "停止提供",
];
const SOME: &[&str] = &[
    "free tier",
    "paid tier",
    "this tier",
    "your tier",
    "current tier",
    "usage tier",
    " plan",
    "subscri",
    "paid",
    "pro user",
    "plus user",
    "premium",
    "enterprise",
    "members",
    "for your account",
    "for your organi",
    "for your workspace",
    "for your team",
    "for your project",
    "for your key",
    "for your api key",
    "for this account",
    "to your account",
    "to this account",
    "for this key",
    "to this key",
    "付费",
    "会员",
    "套餐",
    "订阅",
    "企业",
];

/// For nobody there, or in that way.
const ELSEWHERE: &[&str] =
    &["region", "countr", "location", "endpoint", "api version", "service tier", "service_tier"];
/// What lacks is money, or a time is over, whatever else is told.
const OF_MONEY: &[&str] = &[
    "balance",
    "credit",
    "quota",
    "trial",
    "unpaid",
    "overdue",
    "subscription",
    "payment",
    "billing",
    "余额",
    "欠费",
    "充值",
    "续费",
    "额度",
    "到期",
    "试用",
];
/// All that is asked for can't be paid.
const OVER_FOR_ALL: &[&str] = &[
    "balance",
    "out of credit",
    "no credit",
    "quota",
    "expired",
    "ended",
    "overdue",
    "unpaid",
    "suspended",
    "余额",
    "欠费",
    "额度",
    "到期",
    "过期",
];

/// What a key has of time.
const LIFE: &[&str] =
    &["lifetime", "validity", "life span", "lifespan", "valid period", "time to live", "its ttl", "the ttl"];
const OVER: &[&str] = &[
    "is over",
    "has ended",
    "ended",
    "is up",
    "run out",
    "ran out",
    "elapsed",
    "passed",
    "lapsed",
    "expired",
    "exceeded",
    "reached its end",
    "came to an end",
];

pub(super) static ROWS: &[Row] = &[
    // For good, though what is said of prompts is said in the same words.
    row(
        "cause.breach",
        SEEN,
        KeyInvalid,
        &[Status(&[401, 403]), Then(ENDED, BREACH), Says(WHAT_ENDS), Silent(SAID), Silent(NO_KEYS)],
    ),
    row(
        "cause.breach_chinese",
        SEEN,
        KeyInvalid,
        &[
            Status(&[401, 403]),
            Then(&["ak", "key", "密钥", "令牌", "账号", "账户", "帐号", "帐户"], &["违规"]),
            Says(ENDED_IN_CHINESE),
            Silent(&["提示词", "输入", "输出", "请求内容", "请求的内容", "prompt", "ip"]),
        ],
    ),
    row(
        "cause.key_past_its_time",
        SEEN,
        KeyInvalid,
        &[
            Status(&[401, 403]),
            Then(
                &["key", "密钥", "金钥", "令牌"],
                &["过有效期", "出有效期", "有效期已", "不在有效期", "已到期"],
            ),
            Silent(&["额度", "余额", "套餐", "会员", "试用", "订阅"]),
            Silent(&["续费", "续订", "充值", "购买", "服务", "产品", "体验", "资源包"]),
        ],
    ),
    row(
        "cause.key_at_its_end",
        SEEN,
        KeyInvalid,
        &[
            Status(&[401, 403]),
            Then(&["key", "token", "credential", "secret"], LIFE),
            Then(LIFE, OVER),
            Silent(OF_MONEY),
            Silent(&["limit", "spend", "budget", "usage", "model", "plan "]),
        ],
    ),
    row(
        "cause.end_of_a_key",
        SEEN,
        KeyInvalid,
        &[
            Status(&[401, 403]),
            Then(
                LIFE,
                &[
                    "of the key",
                    "of this key",
                    "of your key",
                    "of your api key",
                    "of the api key",
                    "of the token",
                    "of this token",
                    "of your token",
                ],
            ),
            Then(&["key", "token"], OVER),
            Silent(OF_MONEY),
        ],
    ),
    row(
        "cause.key_outlived",
        SEEN,
        KeyInvalid,
        &[
            Status(&[401, 403]),
            Then(
                &["key", "token", "credential"],
                &["outlived its", "past its lifetime", "past its validity", "at the end of its life"],
            ),
            Silent(OF_MONEY),
        ],
    ),
    // The program that the client is, not where it is.
    row(
        "cause.program",
        SEEN,
        RequestFault,
        &[Status(&[403]), Then(PROGRAM, SHUT_OUT), Silent(NO_PROGRAM), Silent(OF_KEYS), Silent(OF_MONEY)],
    ),
    row(
        "cause.no_such_program",
        SEEN,
        RequestFault,
        &[
            Status(&[403]),
            Then(
                &[
                    "unsupported",
                    "unofficial",
                    "only official",
                    "仅允许",
                    "仅支持",
                    "不支持",
                    "非官方",
                    "非白名单",
                ],
                &["client", "客户端"],
            ),
            Silent(NO_PROGRAM),
            Silent(OF_KEYS),
            Silent(OF_MONEY),
        ],
    ),
    // Of which kind our own address is, whichever key we send from there.
    row(
        "cause.kind_of_network",
        SEEN,
        UpstreamFault,
        &[Status(&[401, 403]), Says(NETWORKS), Says(BARRED), Silent(OF_KEYS)],
    )
    .barred(),
    row(
        "cause.other_route",
        SEEN,
        RequestFault,
        &[Status(&[401, 403]), Then(GO_THERE, ROUTES), NamesModel, Silent(OF_KEYS)],
    ),
    row(
        "cause.off_on_route",
        SEEN,
        RequestFault,
        &[
            Status(&[403]),
            Then(&["blocked", "disabled", "not enabled"], &["this route", "this endpoint", "this gateway"]),
            Silent(MODEL),
            Silent(&["you "]),
            Silent(OF_KEYS),
        ],
    ),
    row(
        "cause.uploads_off",
        SEEN,
        RequestFault,
        &[
            Status(&[403]),
            Then(&["uploads", "attachments", "streaming"], OFF),
            Silent(OF_KEYS),
            Silent(OF_MONEY),
        ],
    ),
    row(
        "cause.model_gone",
        SEEN,
        RequestFault,
        &[
            Status(&[403]),
            Then(MODEL, GONE),
            Silent(OF_KEYS),
            Silent(OF_MONEY),
            Silent(&["your ", "allowlist", "whitelist", "白名单", "workspace", "administr", "free "]),
        ],
    ),
    row(
        "cause.model_of_tier_refused",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 402, 403, 429]),
            Then(NOT_FOR_ALL, SOME),
            OfModel(NOT_FOR_ALL),
            Silent(ELSEWHERE),
            Silent(OVER_FOR_ALL),
            Silent(&["requests", "per minute", "per day", "tokens", "rate limit", "limit reached", "次"]),
        ],
    )
    .denied(),
    row(
        "cause.model_of_tier",
        SEEN,
        RequestFault,
        &[
            Status(&[400, 404]),
            Then(NOT_FOR_ALL, SOME),
            OfModel(NOT_FOR_ALL),
            Silent(ELSEWHERE),
            NotOfRequest,
        ],
    )
    .denied(),
];
