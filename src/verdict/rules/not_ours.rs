//! Keys and accounts that are not the leased one's: a relay's own. And clocks that differ.

use super::Test::{Code, CodeLike, CodeWith, NoCodeWith, NotOfRequest, Of, Says, Silent, Status, Then, Told};
use super::causes_of_keys::{CLOSED, IS_BAD};
use super::odd_statuses::NAMELESS;
use super::vocabulary::{ABSENT, ACCOUNT, DEAD, GONE, KEY, REJECTED, WRONG};
use super::{Row, Test, row};
use crate::verdict::Verdict::{RequestFault, UpstreamFault};

const RELAYS: &str = "relays that have keys of their own, see tests/corpus";
const CLOCK: &str = "https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html";

pub(super) const WITH: &[u16] = &[400, 401, 403, 406, 409, 410, 412, 417, 422, 423, 424, 426, 428, NAMELESS];
const OF_MONEY: &[u16] = &[400, 401, 402, 403, 429, NAMELESS];
/// A code that names the key which was sent tells more than words that stand near each other, but where they name a
/// server of the request.
pub(super) const NO_CODE_OF_KEYS: Test = NoCodeWith(&["api_key", "apikey"]);
/// Tokens that are counted are no keys.
pub(super) const NOT_COUNTED: Test = Silent(&[
    "token limit",
    "token count",
    "token budget",
    "max token",
    "maximum token",
    "input token",
    "output token",
    "tokens per",
    "tokens exceed",
]);
/// Whoever stands between us and the provider.
pub(super) const BETWEEN: &[&str] = &[
    "upstream",
    "provider's",
    "gateway's",
    "relay's",
    "proxy's",
    "router's",
    "operator's",
    "provider's own",
    "gateway's own",
    "relay's own",
    "proxy's own",
    "router's own",
    "operator's own",
    "channel",
    "backend",
    "上游",
    "渠道",
    "通道",
    "网关",
    "后端",
    "供应商",
    "服务商",
    "vendor",
    "supplier",
    "中转",
];
pub(super) const KEYS: &[&str] = &[
    "key",
    "token",
    "credential",
    "account",
    "secret",
    "auth",
    "password",
    "login",
    "cookie",
    "session",
    "signature",
    "签名",
    "密码",
    "密钥",
    "秘钥",
    "令牌",
    "凭证",
    "鉴权",
    "认证",
    "账号",
    "账户",
    "帐号",
];
pub(super) const REFUSED: &[&str] = &[
    "reject",
    "refused",
    "fail",
    "denied",
    "not work",
    "logged out",
    "signed out",
    "失败",
    "被拒",
    "失效",
    "无效",
];
pub(super) static ROWS: &[Row] = &[
    row(
        "not_ours.channel",
        "https://github.com/QuantumNous/new-api types/error.go",
        UpstreamFault,
        &[Status(OF_MONEY), CodeWith(&["channel:"])],
    ),
    row(
        "not_ours.providers_key",
        RELAYS,
        UpstreamFault,
        &[Status(WITH), CodeLike(&["providerauthenticationerror", "upstreamauthenticationerror"])],
    ),
    row(
        "not_ours.upstream_authentication",
        "https://github.com/Wei-Shaw/sub2api",
        UpstreamFault,
        &[
            Status(WITH),
            Then(
                &[
                    "upstream authenticat",
                    "provider authenticat",
                    "upstream access",
                    "channel authenticat",
                    "上游认证",
                    "上游鉴权",
                ],
                &["fail", "reject", "refused", "forbidden", "失败", "被拒"],
            ),
            NotOfRequest,
        ],
    ),
    row(
        "not_ours.upstream_key",
        RELAYS,
        UpstreamFault,
        &[Status(WITH), Of(BETWEEN, KEYS), Says(IS_BAD), NotOfRequest, NO_CODE_OF_KEYS, NOT_COUNTED],
    ),
    row(
        "not_ours.upstream_refused",
        RELAYS,
        UpstreamFault,
        &[Status(WITH), Of(BETWEEN, KEYS), Says(REFUSED), NotOfRequest, NO_CODE_OF_KEYS, NOT_COUNTED],
    ),
    row(
        "not_ours.upstream_account",
        RELAYS,
        UpstreamFault,
        &[Status(WITH), Of(BETWEEN, KEYS), Then(KEYS, CLOSED), NotOfRequest, NO_CODE_OF_KEYS, NOT_COUNTED],
    ),
    row(
        "not_ours.upstream_told",
        RELAYS,
        UpstreamFault,
        &[
            Status(WITH),
            Of(BETWEEN, KEYS),
            Told(KEY | ACCOUNT, DEAD | WRONG | REJECTED | GONE | ABSENT),
            NotOfRequest,
            NO_CODE_OF_KEYS,
            NOT_COUNTED,
        ],
    ),
    row(
        "not_ours.endpoint_off",
        "https://github.com/Wei-Shaw/sub2api/issues/750",
        RequestFault,
        &[
            Status(&[403]),
            Then(&["endpoint"], &["not enabled", "is disabled", "not supported"]),
            Says(&["channel", "group", "deployment"]),
            Silent(&["model"]),
        ],
    ),
    // Two clocks differ.
    row(
        "not_ours.clock",
        CLOCK,
        UpstreamFault,
        &[
            Status(WITH),
            Says(&["is now earlier than", "is still later than", "not yet current"]),
            NotOfRequest,
            NO_CODE_OF_KEYS,
        ],
    ),
    row(
        "not_ours.clock_ahead",
        CLOCK,
        UpstreamFault,
        &[
            Status(WITH),
            Then(
                &["iat", "nbf", "issued at", "not before", "timestamp", "date header"],
                &["in the future", "later than", "ahead of"],
            ),
            NotOfRequest,
            NO_CODE_OF_KEYS,
        ],
    ),
    row("not_ours.clock_told", CLOCK, UpstreamFault, &[Status(WITH), Code(&["requesttimetooskewed"])]),
    row(
        "not_ours.time",
        CLOCK,
        RequestFault,
        &[
            Status(WITH),
            Then(
                &["timestamp", "时间戳", "date header", "request time", "request date", "clock"],
                &[
                    "too old",
                    "minutes old",
                    "seconds old",
                    "too large",
                    "相差",
                    "too skewed",
                    "too far",
                    "expired",
                    "skew",
                    "differ",
                    "out of range",
                    "过期",
                    "超时",
                    "无效",
                ],
            ),
            // Tokens that are signed with a key end, too, and a dead one's time is told so.
            Silent(&["api key", "jwt expired", "allowed clock skew", "authorization token"]),
            NO_CODE_OF_KEYS,
        ],
    ),
];
