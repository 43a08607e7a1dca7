//! Causes told in words alone: what was asked for, not who asked. See `causes.rs`.

use super::Test::{Begins, Says, Silent, Status, Then, Told};
use super::vocabulary::{ACCOUNT, CONTENT, DENIED, KEY, UNSAFE};
use super::{Row, row};
use crate::verdict::Verdict::RequestFault;

const SEEN: &str = "what providers and relays say, see tests/corpus";
const OPENAI: &str = "https://platform.openai.com/docs/guides/error-codes";

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
            Status(&[400, 403, 422]),
            Then(
                &["your prompt", "your request", "the prompt", "the content", "your content", "your input"],
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
            Told(CONTENT, UNSAFE | DENIED),
            Begins(CONTENT, CONTENT | KEY | ACCOUNT),
            Silent(&["upgrade your"]),
        ],
    ),
];
