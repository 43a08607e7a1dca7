//! A key or an account that is busy with its own requests, told with statuses of a conflict: it is limited, until one of them
//! has ended. What has a state of its own, a thread or a file, may be in conflict as well: that is the request's.

use super::Test::{Says, Silent, Speaks, Status, Then};
use super::odd_statuses::NAMELESS;
use super::vocabulary::{ACCOUNT, KEY, PLAN, Things, YOURS};
use super::{Row, row};
use crate::verdict::Verdict::KeyLimited;

const SEEN: &str = "relays that answer with statuses of their own, see tests/corpus";

/// With which some say that a key or an account is busy: with others it is a limit anyway.
const OF_BUSY: &[u16] = &[403, 409, 412, 423, 424, 425, 428, NAMELESS];
const CONCURRENT: &[&str] = &[
    "concurren",
    "simultan",
    "parallel",
    "in flight",
    "in-flight",
    "at a time",
    "at the same time",
    "并发",
    "同时",
];
const MOST: &[&str] = &[
    "too many", "max ", "maximum", "limit", "only one", "only 1", "exceed", "already", "上限", "超过",
    "超出", "最多", "只能",
];
const ONE: &[&str] = &[
    "one at a time",
    "one request at",
    "1 request at",
    "one generation at",
    "1 generation at",
    "one call at",
    "1 call at",
    "one concurrent",
    "1 concurrent",
    "一次只能",
    "同一时间只能",
    "只能同时",
];
const ANOTHER: &[&str] =
    &["another", "other ", "previous", "earlier", "另一个", "其他", "上一个", "上一次", "上一条"];
const REQUEST: &[&str] =
    &["generation", "request", "call", "completion", "inference", "请求", "生成", "调用"];
const OTHER_WORK: &[&str] = &[
    "another job",
    "another task",
    "other job",
    "a job",
    "a task",
    "有任务",
    "其他任务",
    "另一个任务",
    "上一个任务",
];
const RUNS: &[&str] = &[
    "running",
    "runs",
    "in progress",
    "being processed",
    "processing",
    "at a time",
    "until it",
    "when it",
    "once it",
    "正在",
    "执行中",
    "进行中",
    "处理中",
    "未完成",
];
const THEIRS: Things = KEY | ACCOUNT | PLAN | YOURS;
/// What has a state of its own, with which a request may be in conflict.
const STATEFUL: &[&str] = &[
    "idempoten",
    "checkpoint",
    "image is",
    "response resp_",
    "response is",
    "thread",
    "conversation",
    "assistant",
    "fine-tun",
    "file",
    "upload",
    "batch",
    "dataset",
    "vector",
    "resource",
    "deployment",
    "cache",
    "same ",
    "modif",
    "updat",
    "version",
    "edit",
    "会话",
    "文件",
    "幂等",
    "修改",
    "更新",
];

pub(super) static ROWS: &[Row] = &[
    row(
        "odd.at_once",
        SEEN,
        KeyLimited,
        &[
            Status(&[409, 412, 423, 424, 425, 428, NAMELESS]),
            Says(CONCURRENT),
            Says(MOST),
            Speaks(THEIRS),
            Silent(STATEFUL),
        ],
    ),
    row(
        "odd.request_runs",
        SEEN,
        KeyLimited,
        &[Status(OF_BUSY), Then(ANOTHER, REQUEST), Says(RUNS), Speaks(THEIRS), Silent(STATEFUL)],
    ),
    row(
        "odd.one_at_a_time",
        SEEN,
        KeyLimited,
        &[Status(OF_BUSY), Says(ONE), Speaks(THEIRS), Silent(STATEFUL)],
    ),
    row(
        "odd.key_busy",
        SEEN,
        KeyLimited,
        &[Status(OF_BUSY), Says(OTHER_WORK), Says(RUNS), Speaks(KEY), Silent(STATEFUL)],
    ),
];
