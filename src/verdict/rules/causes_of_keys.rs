//! Causes told in words alone: accounts and keys that are closed or wrong, and what they may not do. See `causes.rs`.

use super::Test::{NotOfRequest, Says, Silent, Status, Then};
use super::{Row, row};
use crate::verdict::Verdict::{KeyExhausted, KeyInvalid, KeyLimited};

const SEEN: &str = "what providers and relays say, see tests/corpus";
const KEY: &[&str] = &[
    "api key",
    "api-key",
    "api_key",
    "apikey",
    "api token",
    "access key",
    "secret key",
    "subscription key",
    "密钥",
    "令牌",
];
pub(super) const IS_BAD: &[&str] = &[
    "invalid",
    "not valid",
    "incorrect",
    "wrong",
    "expired",
    "revoked",
    "deleted",
    "disabled",
    "deactivated",
    "inactive",
    "not active",
    "no longer active",
    "not found",
    "not exist",
    "unknown",
    "unrecognized",
    "unrecognised",
    "not recognized",
    "not recognised",
    "malformed",
    "blocked",
    "suspended",
    "rotated",
    "banned",
    "leaked",
    "compromised",
    "exposed",
    "cancelled",
    "canceled",
    "not match",
    "n't match",
    "in a public ",
    "by risk control",
    "no longer",
    "无效",
    "失效",
    "错误",
    "不正确",
    "不存在",
    "过期",
    "删除",
    "不合法",
    "禁用",
    "停用",
    "重置",
    "作废",
    "吊销",
    "撤销",
];
const BAD: &[&str] = &[
    "no such",
    "unrecognized",
    "unrecognised",
    "malformed",
    "unknown",
    "invalid",
    "wrong",
    "incorrect",
    "expired",
    "revoked",
    "无效",
];
/// What is unknown is not the key that stands near it.
const UNKNOWN_ELSE: &[&str] =
    &["unknown endpoint", "unknown model", "unknown route", "unknown path", "unknown url"];
const ACCOUNT: &[&str] = &[
    "account",
    "organization",
    "organisation",
    "workspace",
    "tenant",
    "team ",
    "user has been",
    "user is ",
    "user was ",
    "project has been",
    "consumer",
    "账户",
    "账号",
    "帐户",
    "帐号",
    "用户",
    "组织",
];
pub(super) const CLOSED: &[&str] = &[
    "deactivated",
    "suspended",
    "terminated",
    "banned",
    "restricted",
    "disabled",
    "blocked",
    "locked",
    "inactive",
    "not active",
    "closed",
    "frozen",
    "封",
    "禁用",
    "停用",
    "冻结",
    "锁定",
    "注销",
    "限制使用",
];
/// What whoever runs an account chose for those within it closes no account.
const BY_CHOICE: &[&str] = &[
    "has disabled",
    "have disabled",
    "has blocked",
    "have blocked",
    "has restricted",
    "have restricted",
    "has locked",
    "has banned",
    "has closed",
    "restricted access",
    "restricted to",
    "restricted from",
    "blocked from",
    "locked to",
    "closed to",
    "organization policy",
    "禁用了",
    "停用了",
    "封禁了",
    "该模型",
    "此模型",
];
/// Parts of what a key may do: who may not do them may do all else.
pub(super) const PARTS_OF_USE: &[&str] = &[
    "this feature",
    "web search",
    "file search",
    "file upload",
    "image generation",
    "此功能",
    "该功能",
    "联网",
];

const UPGRADE: &[&str] = &[
    "upgrade your plan",
    "upgrade your subscription",
    "upgrade your account",
    "upgrade to a paid plan",
    "升级会员",
];
const BIND: &[&str] = &["bind your", "link your", "bind an", "bind a ", "绑定"];

pub(super) static ROWS: &[Row] = &[
    // What to do about it: a limit stands before what is not for everybody.
    row(
        "cause.limit_of_plan",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Says(UPGRADE),
            Says(&[
                "reached",
                "exceeded",
                "exhausted",
                "used up",
                "used all",
                "ran out",
                "hit your",
                "hit the",
            ]),
        ],
    )
    .of_model_if_told()
    .brief(),
    row("cause.better_plan", SEEN, KeyExhausted, &[Status(&[401, 403]), Says(UPGRADE)]).denied_if_named(),
    row(
        "cause.no_api_in_plan",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 402, 403]),
            Then(
                &["api access", "api calls", "api usage", "access to the api", "the api is"],
                &["not part of", "not included in", "not available on", "not available in", "not covered by"],
            ),
        ],
    ),
    // Whoever has the key can cure it.
    row(
        "cause.unverified",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Says(&[
                "verify your identity",
                "verify your account",
                "verify your email",
                "identity verification",
                "email verification",
                "phone verification",
                "实名认证",
            ]),
        ],
    ),
    row(
        "cause.unbound",
        SEEN,
        KeyExhausted,
        &[Status(&[401, 403]), Then(BIND, &["account", "phone", "email", "账号", "账户", "手机", "邮箱"])],
    ),
    row(
        "cause.verification_open",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Then(&["verification", "实名"], &["not completed", "not been completed", "incomplete", "未完成"]),
        ],
    ),
    // Wrong, revoked, expired, closed.
    row(
        "cause.account_for_now",
        SEEN,
        KeyLimited,
        &[
            Status(&[403, 429]),
            Then(ACCOUNT, CLOSED),
            Says(&["temporar", "try again", "too many", "暂时", "稍后"]),
        ],
    ),
    row(
        "cause.account",
        SEEN,
        KeyInvalid,
        &[
            Status(&[400, 401, 403, 412]),
            Then(ACCOUNT, CLOSED),
            Silent(&["ip address has been", "your ip"]),
            Silent(BY_CHOICE),
            Silent(PARTS_OF_USE),
            NotOfRequest,
        ],
    ),
    row(
        "cause.account_told",
        SEEN,
        KeyInvalid,
        &[
            Status(&[400, 401, 403, 412]),
            Says(&["account banned", "account locked", "封禁", "封号"]),
            Silent(&["封禁了"]),
            NotOfRequest,
        ],
    ),
    row(
        "cause.key",
        SEEN,
        KeyInvalid,
        &[
            Status(&[400, 401, 403, 0]),
            Says(&[
                "key has been revoked",
                "not a valid api key",
                "invalid x-api-key",
                "missing apikey",
                "authentication fails",
                "authentication failed",
                "invalid authentication",
                "invalid credentials",
                "鉴权失败",
                "认证失败",
                "身份验证失败",
            ]),
            NotOfRequest,
        ],
    ),
    row(
        "cause.key_is_bad",
        SEEN,
        KeyInvalid,
        &[
            Status(&[400, 401, 403, 0]),
            Then(KEY, IS_BAD),
            Silent(&["permission", "scope"]),
            Silent(UNKNOWN_ELSE),
            Silent(BY_CHOICE),
            Silent(PARTS_OF_USE),
            NotOfRequest,
        ],
    ),
    row(
        "cause.bearer_is_bad",
        SEEN,
        KeyInvalid,
        &[
            Status(&[400, 401, 403, 0]),
            Then(&["bearer token", "authorization token", "auth token"], IS_BAD),
            Silent(&["permission", "scope"]),
            NotOfRequest,
        ],
    ),
    row(
        "cause.credential_is_bad",
        SEEN,
        KeyInvalid,
        &[
            Status(&[401, 403]),
            Then(&["credential", "access token", "secret "], IS_BAD),
            Silent(&["permission", "scope"]),
        ],
    ),
    row(
        "cause.terms",
        SEEN,
        KeyInvalid,
        &[
            Status(&[401, 403]),
            Says(&[
                "violation of terms of service",
                "violation of our terms",
                "violating our terms",
                "violates our terms of service",
                "disabled in this account",
                "disabled for this account for",
            ]),
            Silent(&["prompt", "your request", "content", "input", "output"]),
        ],
    ),
    row(
        "cause.account_gone",
        SEEN,
        KeyInvalid,
        &[
            Status(&[401, 403]),
            Then(
                ACCOUNT,
                &["been deleted", "been closed", "no longer exists", "does not exist", "不存在", "已删除"],
            ),
        ],
    ),
    row(
        "cause.this_key",
        SEEN,
        KeyInvalid,
        &[
            Status(&[401, 403]),
            Then(&["this key", "your key", "the key", "该 key", "该key", "此 key", "此key"], IS_BAD),
            Silent(&["permission", "scope", "model", "rate"]),
        ],
    ),
    row(
        "cause.bad_key",
        SEEN,
        KeyInvalid,
        &[Status(&[400, 401, 403, 0]), Then(BAD, KEY), Silent(UNKNOWN_ELSE), NotOfRequest],
    ),
    // Said of much else with 400: JSON has tokens too.
    row(
        "cause.token",
        SEEN,
        KeyInvalid,
        &[
            Status(&[401, 403]),
            Says(&[
                "invalid key",
                "bad key",
                "wrong key",
                "unknown key",
                "invalid token",
                "invalid access token",
                "invalid bearer",
                "invalid auth",
                "token is invalid",
                "token has expired",
                "token is expired",
                "token expired",
                "token has been revoked",
                "token is no longer valid",
                "key has expired",
                "key has been disabled",
                "key has been deleted",
                "key has been deactivated",
                "key has been blocked",
                "key is invalid",
                "key is expired",
                "key not found",
                "jwt is expired",
                "invalid username or password",
                "incorrect credentials",
                "bad credentials",
                "has disabled this api key",
                "has disabled this key",
                "has disabled this account",
                "has disabled your api key",
                "has disabled your account",
            ]),
        ],
    ),
    row(
        "cause.scope",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Says(&["missing permission", "missing scope", "required scope", "insufficient scope"]),
        ],
    )
    .of_model(),
    row(
        "cause.no_scope",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Then(
                &["lacks", "lacking", "missing", "without", "not have", "not granted", "requires"],
                &["scope", "the permission"],
            ),
        ],
    )
    .of_model(),
    row(
        "cause.permission_required",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401]),
            Then(&["permission"], &["is required", "are required", "is missing", "not granted"]),
        ],
    )
    .of_model(),
    row(
        "cause.permission",
        SEEN,
        KeyExhausted,
        &[
            Status(&[403]),
            Says(&[
                "permission",
                "not authorized to",
                "not authorized for",
                "not permitted to",
                "not allowed to",
                "权限",
                "not entitled",
            ]),
        ],
    )
    .of_model(),
    row(
        "cause.other_owner",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Then(
                &["not have access to", "n't have access to"],
                &["organization", "organisation", "workspace", "project", "group "],
            ),
        ],
    ),
    row(
        "cause.no_access",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Says(&["not have access to", "n't have access to", "无权使用", "无权访问", "没有权限使用"]),
        ],
    )
    .of_model(),
    row(
        "cause.too_many",
        SEEN,
        KeyLimited,
        &[Status(&[403, 429, 0]), Says(&["too many requests", "rate limit", "请求过多", "请求太多"])],
    ),
];
