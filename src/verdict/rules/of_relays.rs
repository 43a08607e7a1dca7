//! What a relay lacks, not whoever asks it: money with the provider, and keys of its own. Read before what its users lack,
//! which is told in the same words.

use super::Test::{NoCodeWith, NotOfRequest, Of, Says, Silent, Status, Then, Told};
use super::not_ours::{BETWEEN, KEYS, NOT_COUNTED};
use super::odd_statuses::NAMELESS;
use super::vocabulary as keys;
use super::{Row, Test, row};
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
const KEYED: &[u16] = &[400, 401, 403, NAMELESS];
const PAID: &[u16] = &[400, 401, 402, 403, 406, 409, 410, 412, 417, 422, 423, 424, 429, 0, NAMELESS];

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

/// Keys that a relay calls its own, or a provider's.
const OWN_KEYS: &[&str] = &[
    "our key",
    "our api key",
    "our token",
    "our credential",
    "our account",
    "our login",
    "our pool",
    "provider key",
    "provider api key",
    "provider token",
    "provider credential",
    "provider account",
    "provider login",
    "我们的密钥",
    "我们的账",
    "我们的 key",
    "本站的密钥",
    "本站密钥",
    "本站账",
    "system's api key",
    "system's key",
];
/// With whom it has them.
const OUR_PROVIDERS: &[&str] = &[
    "our own",
    "our provider",
    "our upstream",
    "our vendor",
    "our openai",
    "our anthropic",
    "our claude",
    "our azure",
    "our google",
    "our gemini",
    "our bedrock",
];
const FAILED: &[&str] = &[
    "reject",
    "refus",
    "declin",
    "invalid",
    "not valid",
    "incorrect",
    "unknown",
    "revok",
    "expire",
    "laps",
    "banned",
    "suspend",
    "disabl",
    "deactivat",
    "block",
    "lock",
    "delet",
    "closed",
    "terminat",
    "not accept",
    "n't accept",
    "logged out",
    "signed out",
    "signed in",
    "stale",
    "fail",
    "be used",
    "usable",
    "no longer",
    "失效",
    "无效",
    "被封",
    "封禁",
    "过期",
    "禁用",
    "停用",
    "被拒",
];
const POOLS: &[&str] = &[
    "account pool",
    "accounts pool",
    "key pool",
    "credential pool",
    "token pool",
    "pool of accounts",
    "pool of keys",
    "accounts in the pool",
    "account in the pool",
    "keys in the pool",
    "in our pool",
    "号池",
    "账号池",
    "密钥池",
];
/// Whose a key is stands behind it.
const KEYS_OF: &[&str] = &[
    "key of this",
    "keys of this",
    "key of the",
    "keys of the",
    "token of this",
    "token of the",
    "account of this",
    "accounts of this",
    "account of the",
    "accounts of the",
    "credential of this",
    "credentials of this",
    "credential of the",
    "credentials of the",
];
const RELAY: &[&str] =
    &["proxy", "gateway", "relay", "router", "operator", "upstream", "backend", "vendor", "provider"];
const KEYS_FOR: &[&str] =
    &["key for", "keys for", "token for", "account for", "accounts for", "credential for", "credentials for"];
const FOR_WHOM: &[&str] = &["upstream", "channel", "backend", "vendor"];
/// Who runs a relay is to see to it.
const ASK_THEM: &[&str] = &[
    "your admin",
    "your operator",
    "your platform",
    "your gateway",
    "your workspace admin",
    "your organization admin",
    "your org admin",
    "your system admin",
];
const OF_YOURS: &[&str] = &[
    "your key",
    "your api",
    "your token",
    "your provider",
    "your account",
    "your credential",
    "your own",
    "this key",
    "this api key",
    "you sent",
    "you provided",
    "supplied",
    "your request",
];
/// It is the key of the one who asks, or one that is nobody's.
const OF_CALLER: &[&str] = &[
    "your ",
    "this key",
    "this api key",
    "this token",
    "you sent",
    "you provided",
    "you passed",
    "key provided",
    "token provided",
    "supplied",
    "presented",
    "by our",
    "contact our",
    "team",
    "any of our",
    "not one of our",
    "n't one of our",
    "to one of our",
    "match one of our",
    "add one under",
    "您",
    "你",
    "该密钥",
    "此密钥",
];

/// A code that says that it is the key which was sent.
const NO_CODE_OF_SENT: Test = NoCodeWith(&["invalid_api_key"]);

pub(super) static ROWS: &[Row] = &[
    row(
        "relay.own_key",
        SEEN,
        UpstreamFault,
        &[
            Status(KEYED),
            Then(OWN_KEYS, FAILED),
            Silent(OF_CALLER),
            NO_CODE_OF_SENT,
            NotOfRequest,
            NOT_COUNTED,
        ],
    ),
    row(
        "relay.own_key_for_them",
        SEEN,
        UpstreamFault,
        &[
            Status(KEYED),
            Says(ASK_THEM),
            Then(OWN_KEYS, FAILED),
            Silent(OF_YOURS),
            NO_CODE_OF_SENT,
            NotOfRequest,
            NOT_COUNTED,
        ],
    ),
    row(
        "relay.key_put_in",
        SEEN,
        UpstreamFault,
        &[
            Status(KEYED),
            Then(
                &[
                    "key configured for",
                    "credentials configured for",
                    "key stored for",
                    "credentials stored for",
                    "key set for",
                ],
                &["provider", "upstream", "channel", "gateway", "vendor", "backend"],
            ),
            Says(FAILED),
            Silent(OF_CALLER),
            NO_CODE_OF_SENT,
            NotOfRequest,
        ],
    ),
    row(
        "relay.key_with_provider",
        SEEN,
        UpstreamFault,
        &[
            Status(KEYED),
            Of(OUR_PROVIDERS, KEYS),
            Says(FAILED),
            Silent(OF_CALLER),
            NO_CODE_OF_SENT,
            NotOfRequest,
            NOT_COUNTED,
        ],
    ),
    row(
        "relay.own_key_refused",
        SEEN,
        UpstreamFault,
        &[
            Status(KEYED),
            Then(FAILED, OWN_KEYS),
            Silent(OF_CALLER),
            NO_CODE_OF_SENT,
            NotOfRequest,
            NOT_COUNTED,
        ],
    ),
    row(
        "relay.no_own_key",
        SEEN,
        UpstreamFault,
        &[Status(KEYED), Then(&["none of ", "no "], OWN_KEYS), Silent(OF_CALLER), NotOfRequest],
    ),
    row(
        "relay.its_own_key",
        SEEN,
        UpstreamFault,
        &[
            Status(KEYED),
            Then(
                RELAY,
                &[
                    "its own",
                    "its key",
                    "its api key",
                    "its openai",
                    "its provider",
                    "its account",
                    "its credential",
                    "its token",
                    "its login",
                ],
            ),
            Told(keys::KEY | keys::ACCOUNT, keys::DEAD | keys::WRONG | keys::REJECTED | keys::GONE),
            Silent(OF_CALLER),
            NO_CODE_OF_SENT,
            NotOfRequest,
        ],
    ),
    row("relay.pool", SEEN, UpstreamFault, &[Status(KEYED), Says(POOLS), Silent(OF_CALLER), NotOfRequest]),
    row(
        "relay.its_key",
        SEEN,
        UpstreamFault,
        &[
            Status(KEYED),
            Of(KEYS_OF, RELAY),
            Told(keys::KEY | keys::ACCOUNT, keys::DEAD | keys::WRONG | keys::REJECTED | keys::GONE),
            Silent(OF_CALLER),
            NO_CODE_OF_SENT,
            NotOfRequest,
        ],
    ),
    row(
        "relay.key_for_upstream",
        SEEN,
        UpstreamFault,
        &[
            Status(KEYED),
            Of(KEYS_FOR, FOR_WHOM),
            Told(keys::KEY | keys::ACCOUNT, keys::DEAD | keys::WRONG | keys::REJECTED | keys::GONE),
            Silent(OF_CALLER),
            NO_CODE_OF_SENT,
            NotOfRequest,
        ],
    ),
    row(
        "relay.told_by_channel",
        SEEN,
        UpstreamFault,
        &[
            Status(KEYED),
            Then(
                &[
                    "status code",
                    "response",
                    "answer",
                    "error",
                    "refused",
                    "rejected",
                    "key",
                    "token",
                    "credential",
                ],
                &[
                    "from upstream channel",
                    "from the upstream channel",
                    "by upstream channel",
                    "by channel",
                    "of channel",
                    "on channel",
                    "from channel",
                ],
            ),
            Silent(&["your "]),
            NotOfRequest,
        ],
    ),
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
