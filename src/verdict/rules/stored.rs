//! What is stored with a provider and belongs to somebody: a file or a thread that the request names, and may not be seen by
//! whoever asks. Another key would be told the same, unless it is the one with which it was made.

use super::Test::{Of, Says, Silent, Status, Then, Told};
use super::not_ours::NO_CODE_OF_KEYS;
use super::vocabulary::{ACCOUNT, DEAD, GONE, KEY};
use super::{Row, row};
use crate::verdict::Verdict::RequestFault;

const NAMED: &str = "what requests name: files, threads, voices, see tests/corpus";

/// What is stored with a provider and has an owner.
const STORED: &[&str] = &[
    "dataset",
    "data set",
    "file",
    "thread",
    "assistant",
    "voice",
    "vector store",
    "knowledge base",
    "conversation",
    "batch ",
    "container",
    "document",
    "数据集",
    "文件",
    "知识库",
    "音色",
    "会话",
    "对话",
    "response ",
];
const ITS_OWNER: &[&str] = &[
    "its owner",
    "the owner",
    "'s owner",
    "owner account",
    "its creator",
    "its author",
    "所有者",
    "拥有者",
    "创建者",
];
const TO_SEE: &[&str] = &[
    "access to",
    "denied to",
    "not access",
    "n't access",
    "not allowed to use",
    "not allowed to access",
    "not allowed to read",
    "not permitted to use",
    "not permitted to access",
    "not authorized to use",
    "not authorized to access",
    "permission to access",
    "permission to use",
    "permission to read",
    "permission to view",
    "permission for",
    "permissions for",
    "权限访问",
    "无权访问",
    "权限使用",
    "无权使用",
    "权限读取",
    "无权读取",
    "denied for",
];
const NOT_GIVEN: &[&str] = &[
    "not ",
    "n't ",
    "no access",
    "no permission",
    "denied",
    "forbidden",
    "lack",
    "without",
    "missing",
    "insufficient",
    "无权",
    "没有",
    "无访问",
];
/// What may be done with all of them is a part of what a key may do.
const OF_A_PART: &[&str] = &[
    " api",
    "endpoint",
    "feature",
    "search",
    "upload",
    "scope",
    "models",
    "model ",
    "plan",
    "processing",
    "generation",
    "cloning",
    "files.",
    "mode ",
    "files",
    "assistants",
    "threads",
    "voices",
    "vector stores",
    "file input",
    "understanding",
    "synthesis",
    "inference",
    "tier",
    "this token",
    "this key",
    "your key",
    "your project",
    "开通",
    "upgrade",
    "subscri",
    "service",
    "功能",
    "服务",
    "接口",
    "模型",
    "套餐",
];

/// Nothing at all is given to whoever has no money, or is shut out.
const FOR_ALL: &[&str] = &[
    "suspended",
    "arrears",
    "overdue",
    "unpaid",
    "balance",
    "banned",
    "deactivated",
    "key blocked",
    "key is blocked",
    "欠费",
    "余额",
    "封禁",
    "停用",
];

pub(super) static ROWS: &[Row] = &[
    row(
        "stored.of_owner",
        NAMED,
        RequestFault,
        &[
            Status(&[401, 403]),
            Then(STORED, ITS_OWNER),
            Told(KEY | ACCOUNT, DEAD | GONE),
            Silent(&["key", "token", "model", "organi", "project", "workspace"]),
        ],
    ),
    row(
        "stored.of_others",
        NAMED,
        RequestFault,
        &[
            Status(&[401, 403]),
            Then(
                STORED,
                &["to another", "by another", "to a different", "by a different", "属于其他", "属于他人"],
            ),
            Silent(&["key", "token", "model"]),
        ],
    ),
    row(
        "stored.not_given",
        "https://platform.openai.com/docs/guides/error-codes",
        RequestFault,
        &[
            Status(&[403]),
            Of(TO_SEE, STORED),
            Says(NOT_GIVEN),
            Silent(OF_A_PART),
            Silent(FOR_ALL),
            NO_CODE_OF_KEYS,
        ],
    ),
];
