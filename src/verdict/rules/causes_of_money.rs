//! Causes told in words alone: money, budgets, plans and quotas. See `causes.rs`.

use super::Test::{NotOfRequest, Says, Silent, Status, Then};
use super::odd_statuses::{NAMELESS, ODD};
use super::{Row, row};
use crate::verdict::Verdict::KeyExhausted;

const SEEN: &str = "what providers and relays say, see tests/corpus";
/// Statuses with which an answer speaks of the key, or an event that has none.
const OF_KEY: &[u16] = &[400, 401, 402, 403, 412, 429, 0, NAMELESS];
const MONEY: &[&str] = &["balance", "credit", "funds", "wallet", "余额", "积分", "点数"];
const QUOTA: &[&str] = &[
    "quota",
    "allowance",
    "free tier",
    "free usage",
    "配额",
    "额度",
    "调用次数",
    "免费次数",
    "用量",
    "included usage",
    "free tokens",
    "free requests",
    "free allocation",
    "allotment",
    "plan limit",
];
const PERIOD: &[&str] =
    &["monthly", "daily", "weekly", "per day", "per month", "this month", "for today", "per week"];
const FREE: &[&str] = &["free credit", "free tier", "free plan", "free usage", "free quota"];
const BUDGET: &[&str] = &["budget", "预算"];
const ALL_OF: &[&str] = &[
    "exceeded",
    "exhausted",
    "used up",
    "used all",
    "reached",
    "insufficient",
    "not enough",
    "no remaining",
    "no more",
    "consumed all",
    "have hit",
    "maxed out",
];
const STOPPED: &[&str] = &["resource", "service", "instance", "资源", "服务", "实例"];
const FROZEN: &[&str] = &["frozen", "isolated", "in arrears", "冻结", "隔离"];
const SPENT: &[&str] = &[
    "insufficient",
    "not enough",
    "exhaust",
    "deplet",
    "used up",
    "been used",
    "is 0 ",
    "is 0.",
    "is zero",
    "is $0",
    "negative",
    "expired",
    "too low",
    "below the",
    "lower than",
    "not suffice",
    "not cover",
    "not sufficient",
    "run out",
    "ran out",
    "exceed",
    "reached",
    "不足",
    "不够",
    "用完",
    "用尽",
    "耗尽",
    "到期",
    "过期",
    "超",
    "上限",
];
const NOT_ENOUGH: &[&str] = &[
    "insufficient",
    "not enough",
    "not have enough",
    "sufficient",
    "out of",
    "no remaining",
    "no available",
    "没有可用",
    "用完",
    "all of your",
];
const SUBSCRIPTION: &[&str] = &[
    "trial",
    "evaluation period",
    "free period",
    "subscription",
    "membership",
    "套餐",
    "免费试用",
    "试用期",
    "会员",
];
const OVER: &[&str] = &[
    "expired",
    "ended",
    "is over",
    "cancelled",
    "canceled",
    "inactive",
    "not active",
    "is required",
    "frozen",
    "suspended",
    "paused",
    "lapsed",
    "past due",
    "到期",
    "过期",
    "用完",
];

/// What was not taken is not lacking.
const NOT_CHARGED: &[&str] = &["no credits were", "no credits have been", "no credit was"];

pub(super) static ROWS: &[Row] = &[
    row("cause.credit_spent", SEEN, KeyExhausted, &[Status(OF_KEY), Then(MONEY, SPENT), NotOfRequest]),
    row("cause.no_credit", SEEN, KeyExhausted, &[Status(OF_KEY), Then(NOT_ENOUGH, MONEY), NotOfRequest]),
    // With which hardly anybody speaks of money.
    row(
        "cause.credit_as_other_fault",
        SEEN,
        KeyExhausted,
        &[
            Status(ODD),
            Says(&["insufficient", "not enough", "too low", "ran out of", "不足"]),
            Says(&["credits", "your balance", "balance is", "funds", "wallet", "余额"]),
            NotOfRequest,
        ],
    ),
    row(
        "cause.credit",
        SEEN,
        KeyExhausted,
        &[
            Status(OF_KEY),
            Says(&[
                "no credits",
                "no credit left",
                "no credit available",
                "no remaining credit",
                "any credits",
                "in good standing",
                "credits are required",
                "have enough credit",
                "enough credits",
                "card on file",
                "card was declined",
                "charge your",
                "add funds",
                "add credits",
                "buy credits",
                "purchase credits",
                "add money",
                "outstanding balance",
                "in arrears",
                "in debt",
                "no money",
                "negative balance",
                "add a payment",
                "top up",
                "top_up",
                "recharge",
                "欠费",
                "充值",
                "资源包",
            ]),
            Silent(NOT_CHARGED),
            NotOfRequest,
        ],
    ),
    row(
        "cause.billing",
        SEEN,
        KeyExhausted,
        &[
            Status(OF_KEY),
            Says(&[
                "check your billing",
                "check your plan and billing",
                "billing to be enabled",
                "billing hard limit",
                "billing is not active",
                "payment required",
                "payment is required",
                "payment method",
                "payment failed",
                "unpaid",
                "past due",
                "overdue",
                "spend limit",
                "spend cap",
                "spending limit",
                "spending cap",
                "账单",
                "逾期",
            ]),
            NotOfRequest,
        ],
    ),
    row(
        "cause.usage_paused",
        SEEN,
        KeyExhausted,
        &[
            Status(OF_KEY),
            Then(
                &["usage", "api access"],
                &["is paused", "been paused", "is suspended", "been suspended", "is blocked", "been blocked"],
            ),
            NotOfRequest,
        ],
    ),
    row(
        "cause.amount",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 402, 403]),
            Then(&["$", "usd ", "€", "¥"], &["account", "wallet", "balance", "deposit"]),
        ],
    ),
    row(
        "cause.billing_cycle",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 402, 403, 429]),
            Says(&["billing cycle", "billing period", "billing date", "next renewal", "until renewal"]),
        ],
    ),
    row(
        "cause.none_left",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 402, 403, 429, 0, NAMELESS]),
            Then(
                &[
                    "no messages",
                    "no requests",
                    "no calls",
                    "no generations",
                    "no tokens",
                    "no points",
                    "no credits",
                    "no characters",
                ],
                &["left", "remaining"],
            ),
        ],
    )
    .of_model_if_told()
    .brief(),
    row(
        "cause.all_used",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 402, 403, 429, 0]),
            Then(
                &["used all", "used up", "spent all", "run out of", "ran out of", "no more"],
                &["points", "requests", "messages", "tokens", "calls", "generations"],
            ),
        ],
    )
    .of_model_if_told()
    .brief(),
    row(
        "cause.budget",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 402, 403, 429, 0]),
            Says(&["budget exceeded", "budget limit", "exceeded your budget"]),
        ],
    ),
    row(
        "cause.budget_spent",
        SEEN,
        KeyExhausted,
        &[Status(OF_KEY), Then(BUDGET, SPENT), Silent(&["token"]), NotOfRequest],
    ),
    row(
        "cause.spent_budget_as_bad_request",
        SEEN,
        KeyExhausted,
        &[
            Status(&[400, NAMELESS]),
            Then(&["exceeded", "exhausted", "reached", "is over"], BUDGET),
            Silent(&["token"]),
            NotOfRequest,
        ],
    ),
    row("cause.spent_budget", SEEN, KeyExhausted, &[Status(&[401, 402, 403, 429, 0]), Then(ALL_OF, BUDGET)]),
    row("cause.frozen", SEEN, KeyExhausted, &[Status(&[401, 402, 403, 429, 0]), Then(STOPPED, FROZEN)]),
    row(
        "cause.no_subscription",
        SEEN,
        KeyExhausted,
        &[
            Status(OF_KEY),
            Says(&[
                "requires a subscription",
                "no active subscription",
                "no valid subscription",
                "no active plan",
                "no subscription",
                "not subscribed",
                "without a subscription",
                "not licensed",
                "no license",
            ]),
            NotOfRequest,
        ],
    ),
    row(
        "cause.subscription",
        SEEN,
        KeyExhausted,
        &[Status(OF_KEY), Then(SUBSCRIPTION, OVER), Silent(&["subscription key"]), NotOfRequest],
    ),
    row(
        "cause.plan",
        SEEN,
        KeyExhausted,
        &[
            Status(OF_KEY),
            Says(&[
                "usage limit",
                "usage cap",
                "package has expired",
                "plan has expired",
                "requires a paid plan",
                "套餐",
            ]),
            Silent(&["current free model"]),
            NotOfRequest,
        ],
    ),
    row("cause.free_model", SEEN, KeyExhausted, &[Status(&[403, 429]), Says(&["current free model"])])
        .of_model(),
    row(
        "cause.free_restricted",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 402, 403, 429]),
            Then(
                FREE,
                &["restricted", "no longer", "not available", "unavailable", "disabled", "discontinued"],
            ),
        ],
    ),
    row(
        "cause.kind_of_account",
        "https://docs.wandb.ai/support/inference_rate_limit_429_error",
        KeyExhausted,
        &[
            Status(&[401, 403, 429]),
            Says(&["available for", "available to"]),
            Then(
                &["not available", "isn't available", "unavailable"],
                &["for personal", "for free", "for trial", "for individual", "to free", "to personal"],
            ),
            Silent(&["model"]),
        ],
    ),
    row(
        "cause.total_spent",
        SEEN,
        KeyExhausted,
        &[
            Status(&[402, 403, 429, 0]),
            Then(&["total"], &["limit reached", "limit exceeded", "limit has been"]),
            Silent(&["token", "context", "per minute", "per second", "qps", "concurren"]),
        ],
    ),
    row(
        "cause.period_as_bad_request",
        SEEN,
        KeyExhausted,
        &[
            Status(&[400, NAMELESS]),
            Then(&["exceeded", "exhausted", "reached", "used up"], PERIOD),
            Silent(&["file", "upload", "storage"]),
            NotOfRequest,
        ],
    )
    .brief(),
    row(
        "cause.quota_as_bad_request",
        SEEN,
        KeyExhausted,
        &[
            Status(&[400, NAMELESS]),
            Then(QUOTA, SPENT),
            Silent(&[
                "storage",
                "file",
                "upload",
                "per request",
                "per minute",
                "per second",
                "模型",
                "输入",
                "上下文",
            ]),
            NotOfRequest,
        ],
    )
    .brief(),
    row("cause.quota_spent", SEEN, KeyExhausted, &[Status(&[401, 402, 403, 429, 0]), Then(QUOTA, SPENT)])
        .of_model_if_told()
        .brief(),
    row("cause.spent_quota", SEEN, KeyExhausted, &[Status(&[401, 402, 403, 429, 0]), Then(ALL_OF, QUOTA)])
        .of_model_if_told()
        .brief(),
    row(
        "cause.quota",
        SEEN,
        KeyExhausted,
        &[
            Status(&[402, 403, 429, 0]),
            Says(&[
                "exceeded your current quota",
                "exceeded current quota",
                "exceeded your quota",
                "exceeded your current token quota",
                "used up your quota",
                "insufficient quota",
                "out of quota",
                "no quota",
                "quota left",
                "usage quota",
                "per day",
                "daily",
                "requests today",
                "tomorrow",
                "明天再",
                "24 hours",
                "24小时",
                "24 小时",
                "total limit",
                "quota limit",
                "per month",
                "monthly",
                "weekly",
                "for today",
                "today's quota",
                "today's limit",
                "today's allowance",
                "for the day",
                "this week",
                "this month",
                "per week",
                "hour limit",
                "(tpd)",
                "(rpd)",
                "tpd limit",
                "rpd limit",
                "配额",
                "额度",
                "今日",
                "今天",
                "每日",
                "当日",
                "当天",
                "日限额",
                "每天",
                "本月",
                "每月",
                "月度",
                "每周",
                "本周",
            ]),
        ],
    )
    .brief(),
    row(
        "cause.billing_off",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 402, 403, 429, 0]),
            Then(&["billing"], &["disabled", "inactive", "not active", "not enabled", "suspended", "closed"]),
        ],
    ),
];
