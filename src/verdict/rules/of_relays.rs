//! What a relay lacks, not whoever asks it: money with the provider, and keys of its own. Read before what its users lack,
//! which is told in the same words.

use super::Test::{NoCodeWith, NotOfRequest, Of, Says, Silent, Status, Then};
use super::not_ours::BETWEEN;
use super::{Row, row};
use crate::verdict::Verdict::UpstreamFault;

const SEEN: &str = "relays that pay providers for their users, see tests/corpus";

const PURSES: &[&str] = &[
    "account", "balance", "credit", "fund", "quota", "budget", "billing", "账号", "账户", "帐号", "帐户",
    "余额", "额度", "配额", "欠费",
];
const OURS: &[&str] =
    &["our account", "our provider", "our upstream", "our balance", "our credit", "our own "];
const SPENT: &[&str] = &[
    "insufficient",
    "not enough",
    "run out",
    "ran out",
    "out of",
    "exhaust",
    "exceed",
    "deplet",
    "too low",
    "used up",
    "unpaid",
    "overdue",
    "不足",
    "不够",
    "用完",
    "用尽",
    "耗尽",
    "欠费",
    "透支",
    "已用",
];
/// It is the money of the one who asks after all.
const YOURS: &[&str] = &[
    "your account",
    "your own",
    "your provider",
    "your upstream",
    "your balance",
    "your credit",
    "your quota",
    "your plan",
    "your key",
    "your api key",
    "your wallet",
    "your prepaid",
    "your channel",
    "user's",
    // The advice to pay is one to whoever can.
    "recharge",
    "top up",
    "top-up",
    "充值",
    "续费",
    "您",
    "你",
    "用户",
    "令牌",
];
const PAID: &[u16] = &[400, 401, 402, 403, 429, 0];

const NO_KEY: &[&str] = &["no api key", "no key", "no credential", "no provider credential", "no token"];
const KEY: &[&str] = &["api key", "api_key", "apikey", "api-key", "credentials", "密钥", "凭证"];
const NOT_SET: &[&str] =
    &["not set ", "n't set ", "not configured", "n't configured", "not been configured", "未配置", "未设置"];
/// The key that was sent, and what it may do.
const SENT: &[&str] = &["this api key", "this key", "your ", "permission", "scope", "该", "此", "您", "你"];
/// It was looked for among those that are known, or is one that is not good.
const LOOKED_FOR: &[&str] = &[
    "invalid api key",
    "invalid key",
    "invalid token",
    "unknown key",
    "matching",
    "matches",
    "with this",
    "set to ",
    "无效",
    "有效",
];

pub(super) static ROWS: &[Row] = &[
    row(
        "relay.funds",
        SEEN,
        UpstreamFault,
        &[
            Status(PAID),
            Of(BETWEEN, PURSES),
            Says(SPENT),
            Silent(YOURS),
            NoCodeWith(&["insufficient_user_quota"]),
            NotOfRequest,
        ],
    ),
    row(
        "relay.own_funds",
        SEEN,
        UpstreamFault,
        &[Status(PAID), Then(OURS, SPENT), Silent(YOURS), NotOfRequest],
    ),
    row(
        "relay.no_key_set",
        SEEN,
        UpstreamFault,
        &[Status(&[401, 403]), Then(NO_KEY, &[" set ", "configured"]), Silent(SENT), Silent(LOOKED_FOR)],
    )
    .barred(),
    row(
        "relay.key_not_set",
        SEEN,
        UpstreamFault,
        &[Status(&[401, 403]), Then(KEY, NOT_SET), Silent(SENT), Silent(LOOKED_FOR)],
    )
    .barred(),
    row(
        "relay.no_key_set_chinese",
        SEEN,
        UpstreamFault,
        &[
            Status(&[401, 403]),
            Then(&["未配置", "未设置", "没有配置", "没有设置"], KEY),
            Silent(SENT),
            Silent(LOOKED_FOR),
        ],
    )
    .barred(),
];
