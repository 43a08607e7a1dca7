//! Statuses that mean something else, and with which some say all the same, in plain words, that it is the key, its account
//! or its money. What is vague is about the request.

use super::Test::{Code, CodeLike, NotOfRequest, OpensWithKey, Says, Silent, Status, Then, Told, Unheard};
use super::causes_of_keys::KEY as KEYS;
use super::vocabulary::{
    ACCOUNT as ACCOUNTS, CONTENT, DEAD, GONE, MODEL, MONEY, NOW, PLAN as PLANS, SHAPE, WRONG,
};
use super::{Row, row};
use crate::verdict::Verdict::{KeyExhausted, KeyInvalid, KeyLimited, RequestFault};

const SEEN: &str = "relays that answer with statuses of their own, see tests/corpus";
const OPENAI: &str = "https://developers.openai.com/api/docs/guides/error-codes";
const ALIYUN: &str = "https://help.aliyun.com/document_detail/51132.html";

/// Stands in a list of statuses for any 4xx that HTTP gives no meaning: whoever chose it had a cause of his own.
pub(super) const NAMELESS: u16 = 1;
/// With which a refusal may be about anything.
pub(super) const ODD: &[u16] = &[404, 406, 409, 410, 412, 417, 422, 423, 424, 426, 428, 499, NAMELESS];
/// A conflict that is told to slow down is one with the client's own requests, and what is not found or gone may be any key.
const ODD_OF_RATE: &[u16] = &[404, 406, 410, 412, 417, 422, 423, 424, 426, 428, 499];
const ODD_OF_KEYS: &[u16] = &[406, 409, 412, 417, 422, 423, 424, 426, 428, 499];
/// Whether a status is one of these.
pub(super) fn is_among(status: u16, statuses: &[u16]) -> bool {
    statuses.contains(&status) || is_nameless(status) && statuses.contains(&NAMELESS)
}

/// RFC 9110 §15.5 and IANA's registry name the others, and all servers mean the same by 499.
const fn is_nameless(status: u16) -> bool {
    matches!(status, 418..=420 | 427 | 430 | 432..=450 | 452..=498)
}

const ENDED: &[&str] = &[
    "is revoked",
    "been revoked",
    "was revoked",
    "is expired",
    "has expired",
    "been deleted",
    "was deleted",
    "been disabled",
    "is disabled",
    "was disabled",
    "deactivated",
    "suspended",
    "been banned",
    "is banned",
    "is blocked",
    "been blocked",
    "no longer valid",
    "is not valid",
    "is invalid",
    "已失效",
    "已过期",
    "已被",
    "已删除",
    "已禁用",
    "已吊销",
    "已停用",
    "无效",
];
/// What is a key's, and not the key.
const THE_KEYS: &[&str] = &["key's assistant", "key's thread", "key's file", "key's batch", "key's vector"];
const REFUSED: &[&str] = &[
    "not recogni",
    "n't recogni",
    "is unknown",
    "unknown to",
    "not known",
    "is incorrect",
    "is wrong",
    "not accepted",
    " rejected",
    " invalid",
    " refused",
    "not match any",
    "不正确",
    "错误",
];
const NEAR_ANOTHER: &[&str] = &["model", "模型", "field", "字段"];
const QUOTA: &[&str] = &[
    "usage limit",
    "monthly limit",
    "daily limit",
    "weekly limit",
    "plan limit",
    "plan's limit",
    "spending limit",
    "spend limit",
    "monthly quota",
    "daily quota",
    "usage quota",
    "credit limit",
    "monthly budget",
    "spending budget",
];
const ACCOUNT: &[&str] = &[
    "your account",
    "this account",
    "account has been",
    "your organi",
    "this organi",
    "your workspace",
    "your team",
    "账号",
    "账户",
    "帐号",
];
const CLOSED: &[&str] = &[
    "suspended",
    "deactivated",
    "terminated",
    "is banned",
    "been banned",
    "is disabled",
    "been disabled",
    "封禁",
    "冻结",
    "停用",
    "注销",
];
const PLAN: &[&str] = &[
    "套餐",
    "订阅",
    "会员",
    "试用",
    "subscription",
    "your plan",
    "your trial",
    "free trial",
    "trial period",
    "membership",
];
const OVER: &[&str] = &["到期", "过期", "expired", " ended", "is over", "lapsed", "cancelled", "canceled"];
/// What is made or stored may be over as well, and a plan is told only to say when.
const MADE: &[&str] =
    &["file", "responses", "batch", "output", "webhook", "conversation", "not found", "文件", "不存在"];
/// What is full may be a store.
const STORES: &[&str] = &["storage", "file", "upload", "vector", "voice", "deployment", "job"];

const THIS_KEY: &[&str] = &[
    "this api key",
    "this key",
    "your api key",
    "your key",
    "this access key",
    "该密钥",
    "此密钥",
    "该令牌",
    "您的密钥",
];

pub(super) static ROWS: &[Row] = &[
    // A server of the client's own that a model asks for tools: its answer is about no key of ours.
    row("odd.connector", OPENAI, RequestFault, &[Status(ODD), Code(&["external_connector_error"])]),
    row(
        "odd.connector_told",
        OPENAI,
        RequestFault,
        &[Status(ODD), Says(&["mcp server", "mcp tool", "connector", "tool list"])],
    ),
    row(
        "odd.credit",
        SEEN,
        KeyExhausted,
        &[
            Status(ODD),
            Says(&[
                "out of credit",
                "no credits",
                "insufficient credit",
                "insufficient balance",
                "insufficient funds",
                "not enough credit",
                "balance is too low",
                "ran out of credit",
                "credits exhausted",
                "out of funds",
                "add funds",
                "add credits",
                "purchase credits",
                "buy credits",
                "top up your",
                "请充值",
                "余额不足",
                "额度不足",
                "额度已用",
                "欠费",
            ]),
            NotOfRequest,
        ],
    ),
    row(
        "odd.billing",
        SEEN,
        KeyExhausted,
        &[
            Status(ODD),
            Says(&[
                "unpaid",
                "past due",
                "overdue",
                "payment required",
                "payment is required",
                "payment failed",
                "billing is not active",
                "逾期",
            ]),
            NotOfRequest,
        ],
    ),
    row("odd.plan", SEEN, KeyExhausted, &[Status(ODD), Then(PLAN, OVER), Silent(MADE), NotOfRequest]),
    row(
        "odd.no_plan",
        SEEN,
        KeyExhausted,
        &[
            Status(ODD),
            Says(&["no active subscription", "no active plan", "no valid subscription"]),
            NotOfRequest,
        ],
    ),
    row(
        "odd.rate",
        SEEN,
        KeyLimited,
        &[
            Status(ODD_OF_RATE),
            Says(&[
                "too many requests",
                "too many calls",
                "rate limit exceeded",
                "rate limit reached",
                "rate limit hit",
                "exceeded the rate limit",
                "exceeded your rate limit",
                "rate limited",
                "throttled",
                "requests per minute",
                "request limit per",
                "slow down",
                "请求过于频繁",
                "请求频繁",
                "请求过快",
                "限流",
            ]),
            NotOfRequest,
        ],
    ),
    // Where all keys come from, for as long as it says: whoever asks on lengthens it.
    row(
        "odd.address_for_now",
        "https://developers.binance.com/docs/binance-spot-api-docs/rest-api/limits",
        KeyLimited,
        &[Status(&[NAMELESS]), Then(&["ip ", "ip address"], &["banned", "blocked", "restricted"])],
    ),
    row(
        "odd.rate_as_conflict",
        SEEN,
        KeyLimited,
        &[
            Status(&[409]),
            Says(&[
                "too many requests",
                "rate limit exceeded",
                "rate limit reached",
                "requests per minute",
                "请求过于频繁",
            ]),
            NotOfRequest,
        ],
    ),
    row(
        "odd.quota",
        SEEN,
        KeyExhausted,
        &[
            Status(ODD),
            Then(
                &["your", "account", "monthly", "daily", "plan"],
                &[
                    "quota exceeded",
                    "quota exhausted",
                    "quota has been",
                    "quota is",
                    "limit reached",
                    "limit exceeded",
                ],
            ),
            Silent(STORES),
            NotOfRequest,
        ],
    )
    .brief(),
    row(
        "odd.quota_reached",
        SEEN,
        KeyExhausted,
        &[
            Status(ODD),
            Then(
                &[
                    "reached your",
                    "exceeded your",
                    "hit your",
                    "used up your",
                    "exhausted your",
                    "exceeds your",
                ],
                QUOTA,
            ),
            Silent(STORES),
            NotOfRequest,
        ],
    )
    .brief(),
    row(
        "odd.key",
        SEEN,
        KeyInvalid,
        &[Status(ODD), Then(KEYS, ENDED), Silent(&["model", "模型"]), Silent(THE_KEYS), NotOfRequest],
    ),
    row(
        "odd.bad_key",
        SEEN,
        KeyInvalid,
        &[
            Status(ODD),
            Says(&[
                "invalid api key",
                "invalid api-key",
                "invalid x-api-key",
                "invalid api_key",
                "invalid api token",
                "invalid access key",
                "incorrect api key",
                "wrong api key",
                "expired api key",
                "revoked api key",
            ]),
            Silent(NEAR_ANOTHER),
            NotOfRequest,
        ],
    )
    .weak(),
    // Whoever looks a key up is told so, too, with other statuses.
    row(
        "odd.key_refused",
        SEEN,
        KeyInvalid,
        &[Status(ODD_OF_KEYS), Then(KEYS, REFUSED), Silent(NEAR_ANOTHER), NotOfRequest],
    )
    .weak(),
    // Whoever looks a key up is told so with these.
    row("odd.key_not_there", SEEN, KeyInvalid, &[Status(&[404, 410]), Says(KEYS), OpensWithKey]).weak(),
    row(
        "odd.owner_gone",
        SEEN,
        KeyInvalid,
        &[
            Status(&[404, 410]),
            Says(THIS_KEY),
            Told(ACCOUNTS, DEAD | WRONG | GONE),
            Unheard(MODEL | CONTENT | SHAPE | MONEY | PLANS | NOW),
            Silent(&["thread", "assistant", "fine-tun", "batch", "vector", "deployment"]),
        ],
    )
    .weak(),
    row(
        "odd.key_revoked",
        SEEN,
        KeyInvalid,
        &[
            Status(&[400]),
            Then(&["the key", "this key", "your key", "api key"], &["revoked"]),
            Unheard(MODEL),
            NotOfRequest,
        ],
    )
    .weak(),
    row("odd.key_unknown", ALIYUN, KeyInvalid, &[Status(&[404]), CodeLike(&["invalidaccesskeyid"])]),
    row(
        "odd.account",
        SEEN,
        KeyInvalid,
        &[Status(ODD), Then(ACCOUNT, CLOSED), Silent(&["model", "模型"]), NotOfRequest],
    ),
];
