//! Statuses that mean something else, and with which some say all the same, in plain words, that it is the key, its account
//! or its money. What is vague is about the request.

use super::Test::{Code, CodeLike, NotOfRequest, Says, Silent, Status, Then};
use super::causes_of_keys::KEY;
use super::{Row, row};
use crate::verdict::Verdict::{KeyExhausted, KeyInvalid, KeyLimited, RequestFault};

const SEEN: &str = "relays that answer with statuses of their own, see tests/corpus";
const OPENAI: &str = "https://developers.openai.com/api/docs/guides/error-codes";
const ALIYUN: &str = "https://help.aliyun.com/document_detail/51132.html";

pub(super) const ODD: &[u16] =
    &[404, 406, 409, 410, 418, 420, 422, 423, 424, 426, 428, 430, 434, 440, 450, 460, 498, 499];
/// A conflict that is told to slow down is one with the client's own requests.
const ODD_OF_RATE: &[u16] =
    &[404, 406, 410, 418, 420, 422, 423, 424, 426, 428, 430, 434, 440, 450, 460, 498, 499];
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
    "is no longer valid",
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
const ACCOUNT: &[&str] =
    &["your account", "this account", "account has been", "your organization", "账号", "账户", "帐号"];
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
                "rate limit exceeded",
                "rate limit reached",
                "rate limited",
                "requests per minute",
                "request limit per",
                "slow down",
                "请求过于频繁",
                "请求频繁",
                "请求过快",
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
        "odd.key",
        SEEN,
        KeyInvalid,
        &[Status(ODD), Then(KEY, ENDED), Silent(&["model", "模型"]), NotOfRequest],
    ),
    row("odd.key_unknown", ALIYUN, KeyInvalid, &[Status(&[404]), CodeLike(&["invalidaccesskeyid"])]),
    row(
        "odd.account",
        SEEN,
        KeyInvalid,
        &[Status(ODD), Then(ACCOUNT, CLOSED), Silent(&["model", "模型"]), NotOfRequest],
    ),
];
