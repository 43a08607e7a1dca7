//! Causes told in words alone: what the key is good for, and what not. See `causes.rs`.

use super::Test::{Says, Status, Then};
use super::{Row, row};
use crate::verdict::Verdict::{KeyExhausted, KeyLimited};

const SEEN: &str = "what providers and relays say, see tests/corpus";

pub(super) static ROWS: &[Row] = &[
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
        "cause.not_to_be_called",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Says(&[
                "cannot call",
                "can't call",
                "may not call",
                "not allowed to call",
                "cannot access /",
                "cannot use /",
            ]),
        ],
    )
    .of_model()
    .denied_if_named(),
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
        "cause.permission_as_unauthorized",
        "https://cloud.baidu.com/doc/qianfan-api/s/Om9b4yj3w",
        KeyExhausted,
        &[
            Status(&[401]),
            Says(&[
                "no permission to",
                "not have permission",
                "not permitted to",
                "not authorized to use",
                "not authorized to access",
                "无权限",
                "没有权限",
            ]),
        ],
    )
    .of_model(),
    row(
        "cause.upgrade",
        SEEN,
        KeyExhausted,
        &[Status(&[401, 403]), Says(&["upgrade to use", "upgrade to access", "upgrade for "])],
    )
    .of_model()
    .denied_if_named(),
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
