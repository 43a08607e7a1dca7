//! Causes told in words alone: what was asked for, not who asked. See `causes.rs`.

use super::Test::{Begins, CodeLike, Says, Silent, Speaks, Status, Then, Told};
use super::vocabulary::{ACCOUNT, CONTENT, DENIED, HARM, KEY, REJECTED, UNSAFE};
use super::{Row, row};
use crate::verdict::Verdict::RequestFault;

const SEEN: &str = "what providers and relays say, see tests/corpus";
const OPENAI: &str = "https://platform.openai.com/docs/guides/error-codes";

/// What is stored or made once, and counted.
const STORES: &[&str] = &[
    "batches",
    "bucket",
    "disk ",
    "storage",
    "stored",
    "vector store",
    "voice clone",
    "custom voice",
    "voices",
    " file ",
    " files ",
    "ing job",
    "batch job",
    "assistants",
    "fine-tuned",
    "custom model",
    "knowledge base",
    "dataset",
    "存储",
    "文件",
    "音色",
    "知识库",
    "数据集",
];
/// What else is counted.
const FLOWS: &[&str] =
    &["rate limit", "per minute", "per second", "tokens", "requests", "credit", "balance", "余额"];
const FULL: &[&str] = &[
    "exceed", "reached", "exhaust", "used up", "is full", "超出", "超过", "超限", "已满", "用尽", "不足",
    "上限",
];

pub(super) static ROWS: &[Row] = &[
    row(
        "cause.context_length",
        OPENAI,
        RequestFault,
        &[
            Status(&[400, 402, 403, 422, 0]),
            Says(&[
                "context length",
                "context window",
                "context limit",
                "maximum context",
                "maximum token limit",
                "prompt is too long",
                "input is too long",
                "maximum prompt length",
                "context size",
                "上下文长度",
                "最大长度",
            ]),
        ],
    ),
    row(
        "cause.too_long",
        SEEN,
        RequestFault,
        &[
            Status(&[400, 402, 403, 422, 0]),
            Then(
                &["input", "prompt", "content", "text", "message", "输入", "内容"],
                &["too long", "too large", "character limit", "过长", "超长"],
            ),
            Silent(&["per minute", "per day", "quota", "rate limit", "balance", "credit"]),
        ],
    ),
    row(
        "cause.too_much",
        SEEN,
        RequestFault,
        &[Status(&[400, 403, 422]), Says(&["input content has reached", "input has reached the limit"])],
    ),
    row(
        "cause.content",
        OPENAI,
        RequestFault,
        &[
            Status(&[400, 403, 422, 451, 0]),
            Says(&[
                "content policy",
                "content filter",
                "content management policy",
                "content moderation",
                "content safety",
                "usage policies",
                "acceptable use",
                "safety system",
                "safety filter",
                "safety reasons",
                "safety polic",
                "inappropriate content",
                "prohibited content",
                "prohibited_content",
                "prompt has been blocked",
                "guardrail",
                "敏感内容",
                "内容安全",
                "内容审核",
                "内容违规",
                "违规内容",
                "涉嫌违规",
                "审核不通过",
                "审核未通过",
                "敏感信息",
                "sensitive information",
                "sensitive content",
                "sensitive words",
                "content blocked",
                "content violates",
                "input violates",
                "prompt violates",
                "message violates",
                "moderation system",
                "safety checker",
                "flagged as sensitive",
                "flagged as inappropriate",
                "flagged as unsafe",
                "flagged as harmful",
                "flagged as nsfw",
                "nsfw content",
                "security audit",
                "安全审计",
                "安全审核",
            ]),
            Silent(&[
                "has been terminated",
                "has been suspended",
                "has been deactivated",
                "has been disabled",
                "account was",
                "account has been",
                "organization was",
                "organization has been",
                "api key",
            ]),
        ],
    ),
    row(
        "cause.content_told",
        SEEN,
        RequestFault,
        &[
            Status(&[400, 403, 422, 0]),
            Then(
                &["prompt", "your request", "the content", "your content", "your input", "output"],
                &["violation of", "violates", "violated", "violating", "flagged"],
            ),
            Silent(&["account", "api key"]),
        ],
    ),
    // A prompt may speak of keys and accounts.
    row(
        "cause.content_first",
        SEEN,
        RequestFault,
        &[
            Status(&[403]),
            Told(CONTENT, UNSAFE | DENIED | REJECTED),
            Begins(CONTENT, CONTENT | KEY | ACCOUNT),
            Silent(&["upgrade your", "upgrade to"]),
        ],
    ),
    row(
        "cause.harm_first",
        SEEN,
        RequestFault,
        &[Status(&[403]), Speaks(HARM), Begins(CONTENT, CONTENT | KEY | ACCOUNT)],
    ),
    // A model speaks, or somebody in its place.
    row(
        "cause.refusal",
        "https://github.com/diegosouzapw/OmniRoute/issues/14258",
        RequestFault,
        &[
            Status(&[403]),
            Says(&[
                "i can't help with",
                "i cannot help with",
                "i can't assist",
                "i cannot assist",
                "i cannot provide",
                "i can't provide",
                "i'm sorry, but i ",
                "sorry, i can",
                "sorry, but i can",
                "抱歉，我无法",
                "抱歉，我不能",
                "对不起，我无法",
                "对不起，我不能",
                "我不能帮",
                "我无法帮",
                "我不能提供",
                "我无法提供",
                "i cannot fulfill",
                "i can't fulfill",
                "i cannot comply",
                "i can't comply",
                "i'm unable to help",
                "i'm not able to help",
                "i won't help",
                "无法回答",
                "不能回答",
                "无法满足您的请求",
                "无法提供帮助",
            ]),
        ],
    ),
    // A store that is full: whoever wants an answer of a model gets it.
    row(
        "cause.store_is_full",
        "https://www.volcengine.com/docs/82379/1299023",
        RequestFault,
        &[
            Status(&[400, 403, 409, 413, 422]),
            CodeLike(&["filequota", "storagequota", "storagelimit", "filelimit"]),
        ],
    ),
    row(
        "cause.store_is_full_told",
        SEEN,
        RequestFault,
        &[
            Status(&[400, 403, 409, 413, 422]),
            Then(STORES, &["quota", "limit", "配额", "额度", "上限"]),
            Says(FULL),
            Silent(FLOWS),
        ],
    ),
    row(
        "cause.files_are_full_told",
        SEEN,
        RequestFault,
        &[
            Status(&[400, 403, 409, 413, 422]),
            Then(&["file ", "files "], &["quota", "limit"]),
            Says(FULL),
            Silent(FLOWS),
            Silent(&["profile"]),
        ],
    ),
    // With a 403 they are those that answer, and have a quota of the key's.
    row(
        "cause.deployments_are_full_told",
        SEEN,
        RequestFault,
        &[
            Status(&[400, 409, 413, 422]),
            Says(&["deployments"]),
            Says(&["quota", "limit", "配额", "额度", "上限"]),
            Says(FULL),
            Silent(FLOWS),
        ],
    ),
    row(
        "cause.full_store_told",
        SEEN,
        RequestFault,
        &[Status(&[400, 403, 409, 413, 422]), Then(&["quota", "配额"], STORES), Says(FULL), Silent(FLOWS)],
    ),
    row(
        "cause.operation",
        "https://www.volcengine.com/docs/82379/1299023",
        RequestFault,
        &[
            Status(&[403]),
            CodeLike(&[
                "operationdeniedunsupported",
                "operationdeniedcustomization",
                "operationdeniedinvalid",
            ]),
        ],
    ),
];
