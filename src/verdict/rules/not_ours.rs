//! Keys and accounts that are not the leased one's: a relay's own, a server's that the request names, an end user's. And
//! clocks that differ.

use super::Test::{Code, CodeLike, CodeWith, NoCodeWith, NotOfRequest, Of, Says, Silent, Status, Then};
use super::causes_of_keys::{CLOSED, IS_BAD};
use super::{Row, Test, row};
use crate::verdict::Verdict::{RequestFault, UpstreamFault};

const RELAYS: &str = "relays that have keys of their own, see tests/corpus";
const NAMED: &str = "what requests name: connectors, sessions, end users, see tests/corpus";
const CLOCK: &str = "https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html";

const WITH: &[u16] = &[400, 401, 403];
const OF_MONEY: &[u16] = &[400, 401, 402, 403, 429];
/// A code that names the key which was sent tells more than words that stand near each other, but where they name a
/// server of the request.
const NO_CODE_OF_KEYS: Test = NoCodeWith(&["api_key", "apikey"]);
/// Tokens that are counted are no keys.
const NOT_COUNTED: Test = Silent(&[
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
const KEYS: &[&str] = &[
    "key",
    "token",
    "credential",
    "account",
    "secret",
    "auth",
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
const REFUSED: &[&str] = &["reject", "refused", "fail", "denied", "not work", "失败", "被拒", "失效", "无效"];
/// What a request tells its provider to ask, and what has tokens that are no keys.
const SERVERS: &[&str] = &[
    "connector",
    "connected ",
    "mcp ",
    "webhook",
    "callback",
    "plugin",
    "csrf",
    "xsrf",
    "knowledge base",
    "azure search",
    "elasticsearch",
    "pinecone",
    "weaviate",
    "qdrant",
    "s3 ",
    "sharepoint",
    "google drive",
    "gmail",
    "dropbox",
    "notion ",
    "jira",
    "salesforce",
    "integration",
    "连接器",
    "插件",
    "回调",
    "知识库",
    "向量库",
];
/// Refusals name these as places where help is found.
const SOCIAL: &[&str] = &["twitter", "slack", "discord", "facebook", "instagram", "linkedin"];
/// Those that the provider names before it tells what they said.
const ASKED: &[&str] = &[
    "database ",
    "azure search",
    "elasticsearch",
    "pinecone",
    "weaviate",
    "qdrant",
    "mcp ",
    "connector",
    "webhook",
    "callback",
    "knowledge base",
    "vector store",
    "s3 ",
    "知识库",
    "插件",
    "回调",
];
/// Tokens that a request goes on with.
const HANDLES: &[&str] = &[
    "session",
    "ephemeral",
    "sync",
    "upload",
    "download",
    "continuation",
    "resume",
    "resumption",
    "cursor",
    "sort",
    "thought",
    "thinking",
    "client",
    "思考",
    "会话",
    "上传",
    "下载",
];
/// Whom a request is made for, and whom it names.
const USERS: &[&str] = &[
    "end user",
    "end_user",
    "end-user",
    "enduser",
    "safety_identifier",
    "safety identifier",
    "recipient",
    "their account",
    "account of the",
    "voice owner",
    "speaker",
    "引用的",
    "音色",
    "终端用户",
    "最终用户",
    "对方",
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
                &["upstream authenticat", "upstream access", "channel authenticat", "上游认证", "上游鉴权"],
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
    row("not_ours.server", NAMED, RequestFault, &[Status(WITH), Of(SERVERS, KEYS), Says(IS_BAD)]),
    row(
        "not_ours.tool",
        NAMED,
        RequestFault,
        &[Status(WITH), Says(&["for mcp server", "for the mcp server"]), NO_CODE_OF_KEYS],
    ),
    // What it found in a text may be a key's error.
    row("not_ours.guardrail", NAMED, RequestFault, &[Status(WITH), CodeLike(&["guardrail"])]),
    row(
        "not_ours.social",
        NAMED,
        RequestFault,
        &[Status(&[400]), Of(SOCIAL, KEYS), Says(IS_BAD), NO_CODE_OF_KEYS],
    ),
    row(
        "not_ours.social_refused",
        NAMED,
        RequestFault,
        &[Status(&[400]), Of(SOCIAL, KEYS), Says(REFUSED), NO_CODE_OF_KEYS],
    ),
    row(
        "not_ours.social_token",
        NAMED,
        RequestFault,
        &[
            Status(&[401, 403]),
            Of(SOCIAL, &["token", "account", "credential"]),
            Says(IS_BAD),
            Silent(&["api key"]),
            NO_CODE_OF_KEYS,
        ],
    ),
    row(
        "not_ours.server_account",
        NAMED,
        RequestFault,
        &[Status(WITH), Of(SERVERS, KEYS), Then(KEYS, CLOSED)],
    ),
    row("not_ours.server_refused", NAMED, RequestFault, &[Status(WITH), Of(SERVERS, KEYS), Says(REFUSED)]),
    row("not_ours.server_as_bad_request", NAMED, RequestFault, &[Status(&[400]), Then(ASKED, KEYS)]),
    row(
        "not_ours.handle",
        NAMED,
        RequestFault,
        &[
            Status(&[400]),
            Of(HANDLES, &["token", " key", "signature", "secret", "凭证", "令牌", "签名"]),
            Silent(&["client api key", "client's api key", "client api-key"]),
            NO_CODE_OF_KEYS,
        ],
    ),
    // Where the status is of keys a session's token may be one.
    row(
        "not_ours.handle_as_refusal",
        NAMED,
        RequestFault,
        &[
            Status(&[401, 403]),
            Of(&["upload", "download", "continuation", "thought"], &["token", "signature"]),
        ],
    ),
    // What opens a file.
    row(
        "not_ours.password",
        NAMED,
        RequestFault,
        &[Status(&[400]), Says(&["password", "密码"]), Silent(&["username", "user name", "api", "用户名"])],
    ),
    row(
        "not_ours.of_integration",
        NAMED,
        RequestFault,
        &[
            Status(&[400]),
            Then(
                &["token for", "token of", "key for", "key of", "credentials for", "credentials of"],
                &["integration", "connector", "connection", "tool", "server"],
            ),
            Says(IS_BAD),
        ],
    ),
    row("not_ours.user", NAMED, RequestFault, &[Status(&[400, 403]), Then(USERS, CLOSED)]),
    row(
        "not_ours.user_gone",
        NAMED,
        RequestFault,
        &[
            Status(&[400]),
            Then(
                &["owner deleted", "'s owner", "owner of the file", "speaker", "引用的"],
                &["account", "账号", "注销", "deleted", "removed"],
            ),
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
