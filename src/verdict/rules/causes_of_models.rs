//! Causes told in words alone: the key is known and may not use the model, or nobody may. See `causes.rs`.

use super::Test::{Code, NamesModel, NotOfRequest, Says, Silent, Status, Then};
use super::causes_of_keys::PARTS_OF_USE;
use super::{Row, row};
use crate::verdict::Verdict::{KeyExhausted, KeyInvalid, RequestFault};

const SEEN: &str = "what providers and relays say, see tests/corpus";
const VERIFIED: &str = "https://help.openai.com/en/articles/10910291-api-organization-verification";
const MODEL: &[&str] = &["model", "模型"];
/// Databricks serves each model at an endpoint of its name.
const MODEL_OR_ENDPOINT: &[&str] = &["model", "模型", "on endpoint"];
const NOT_FOR_YOU: &[&str] = &[
    "not available",
    "not enabled",
    "restricted",
    "requires a",
    "requires enterprise",
    "needs a",
    "needs enterprise",
    "not include",
    "not allowed",
    "not permitted",
    "not authorized",
    "not authorised",
    "access denied",
    "access is denied",
    "not have access",
    "no access",
    "not supported",
    "not found",
    "not exist",
    "only available",
    "only for",
    "仅对",
    "仅限",
    "未授权",
    "无权",
    "没有权限",
    "无权限",
    "未开通",
];
const HIGHER_TIER: &[&str] = &[
    "requires usage tier",
    "requires tier",
    "requires a paid",
    "requires a subscription",
    "requires a pro",
    "requires a plus",
    "requires a premium",
    "requires a higher",
    "not included in your",
    "not available on your",
    "not available in your plan",
    "not part of your",
];
const OFF: &[&str] =
    &["has been disabled", "is disabled", "has been deprecated", "has been retired", "停用", "禁用", "下线"];
const NOT_YOURS: &[&str] = &[
    "not include",
    "no permission",
    "not have permission",
    "lacks permission",
    "not entitled",
    "not authorized for",
    "not authorised for",
    "not allowed to",
    "cannot access",
    "can't access",
    "未授权",
    "未开通",
    "无权",
    "没有权限",
];

const AGREE: &[&str] = &[
    "agree to",
    "agreed to",
    "accept the",
    "accepted the",
    "accept our",
    "not accepted",
    "acceptance of",
    "接受",
    "同意",
];
const TERMS: &[&str] = &["license", "licence", "terms", "agreement", "协议", "条款"];

/// What lacks is money, or a time is over, whatever else is told.
const OF_MONEY: &[&str] = &[
    "balance",
    "余额",
    "usage limit",
    "quota",
    "trial has",
    "trial is over",
    "trial period",
    "unpaid",
    "invoice",
    "overdue",
    "充值",
    "欠费",
    "到期",
    "过期",
];
/// What is there for those who asked for it.
const ON_REQUEST: &[&str] = &[
    "request access",
    "apply for access",
    "been granted access",
    "private beta",
    "limited preview",
    "waitlist",
    "is gated",
    "申请开通",
];

/// Whoever is shut out for what they did agreed to it before.
const BROKEN: &[&str] = &["violat", "breach", "suspend", "terminat", "banned", "违反", "封禁"];

pub(super) static ROWS: &[Row] = &[
    // A key that is bad may use no model either.
    row(
        "cause.key_before_models",
        SEEN,
        KeyInvalid,
        &[
            Status(&[401]),
            Then(&["api key", "api-key", "apikey"], &["invalid", "incorrect", "expired", "revoked"]),
            Says(&[
                "is invalid. ",
                "is incorrect. ",
                "has expired. ",
                "is expired. ",
                "been revoked. ",
                "was revoked. ",
                "key revoked",
                "key expired",
            ]),
        ],
    ),
    // The key is known and may not use the model.
    row(
        "cause.model_not_allowed",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Says(&[
                "does not have access to",
                "do not have access to",
                "don't have access to",
                "not have access to model",
                "not allowed to sample",
                "not allowed to access model",
                "not allowed to use model",
                "not allowed to use this model",
                "not authorized to access this model",
                "model access denied",
                "access to model denied",
                "not include model",
                "on usage tier",
                "无权使用",
                "无权访问",
                "没有权限使用",
            ]),
            Silent(OF_MONEY),
            NamesModel,
        ],
    )
    .denied(),
    row(
        "cause.model_restricted",
        SEEN,
        KeyExhausted,
        &[Status(&[401, 403]), Then(MODEL, NOT_FOR_YOU), Silent(OF_MONEY)],
    )
    .denied(),
    row(
        "cause.not_to_be_used",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Says(&[
                "not allowed to use",
                "not permitted to use",
                "not authorized to use",
                "not entitled to use",
            ]),
            Silent(OF_MONEY),
            Silent(&["invalid", "expired", "revoked", "suspended"]),
            Silent(PARTS_OF_USE),
            NamesModel,
        ],
    )
    .denied(),
    row(
        "cause.not_enabled",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Then(
                &["not enabled", "disabled", "not available", "not included"],
                &[
                    "for your",
                    "for this account",
                    "for this org",
                    "for this workspace",
                    "on your plan",
                    "in your plan",
                ],
            ),
            Silent(&["key"]),
        ],
    )
    .of_model(),
    row(
        "cause.other_models_only",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Then(
                &["only be used with", "only be used for", "only access", "restricted to", "limited to"],
                MODEL,
            ),
        ],
    )
    .denied(),
    row(
        "cause.not_in_plan",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 402, 403]),
            Then(
                &["not part of", "not included in", "not available on", "not available in", "not covered by"],
                &["plan", "subscription", "tier"],
            ),
            NamesModel,
        ],
    )
    .denied(),
    row("cause.tier_as_bad_request", SEEN, RequestFault, &[Status(&[400, 404]), Then(MODEL, HIGHER_TIER)])
        .denied(),
    row(
        "cause.access",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Then(&["access to"], &["not enabled", "not granted", "not been granted"]),
            NamesModel,
        ],
    )
    .denied(),
    row("cause.access_told", SEEN, KeyExhausted, &[Status(&[401, 403]), Says(ON_REQUEST)])
        .of_model()
        .denied_if_named(),
    row(
        "cause.model_not_yours",
        SEEN,
        KeyExhausted,
        &[Status(&[401, 403]), Then(NOT_YOURS, MODEL_OR_ENDPOINT), Silent(OF_MONEY)],
    )
    .denied(),
    row("cause.terms_open", SEEN, KeyExhausted, &[Status(&[401, 403]), Then(AGREE, TERMS), Silent(BROKEN)])
        .denied_if_named(),
    row(
        "cause.not_usable",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Says(&[
                "不允许使用",
                "不可使用",
                "不能使用",
                "不能调用",
                "不允许调用",
                "不可调用",
                "不允许访问",
                "不可访问",
                "不能访问",
                "无法调用",
                "无法访问",
                "未对该",
                "不开放",
                "vip 可用",
                "会员可用",
                "无法使用",
                "不能用于",
                "不可用于",
            ]),
            Silent(OF_MONEY),
            Silent(&["失效", "禁用", "封", "无效", "错误", "不正确", "不存在", "吊销", "作废", "删除"]),
            Silent(&["地区", "区域", "上游", "网络", "服务"]),
            NamesModel,
        ],
    )
    .denied(),
    row(
        "cause.model_of_level",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Then(
                &["会员", "等级", "用户", "套餐", "版本", "分组", "账号", "账户", "令牌"],
                &["不支持", "不包含", "不含"],
            ),
            NamesModel,
            Silent(&["余额", "欠费", "到期", "过期", "封", "无效", "地区", "区域"]),
        ],
    )
    .denied(),
    row(
        "cause.model_wants",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Then(&["模型"], &["需要企业", "需要开通", "需开通", "需要申请", "需要升级", "需要会员"]),
        ],
    )
    .denied(),
    row(
        "cause.for_a_tier",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Says(&[
                "is for tier",
                "is for paid",
                "is for enterprise",
                "is for pro ",
                "is for verified",
                "is reserved for",
            ]),
            NamesModel,
        ],
    )
    .denied(),
    row(
        "cause.for_others",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Then(
                &[
                    "is off for",
                    "are off for",
                    "is not available for",
                    "is not enabled for",
                    "is disabled for",
                ],
                &[" keys", " accounts", " tier", " plans", " users"],
            ),
        ],
    )
    .of_model()
    .denied_if_named(),
    row(
        "cause.verify_for_model",
        VERIFIED,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Then(&["to access ", "to use "], &["verif"]),
            Says(&["organization", "organisation"]),
            Silent(&["the api", "this api", "api access"]),
        ],
    )
    .denied(),
    row(
        "cause.unverified_organization",
        VERIFIED,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            Says(&[
                "verify your organization",
                "verify your org ",
                "verify your organisation",
                "organization verification",
                "organization must complete verification",
                "organization is not verified",
            ]),
        ],
    )
    .denied_if_named(),
    // It is good for all else.
    row(
        "cause.key_not_for_model",
        SEEN,
        KeyExhausted,
        &[
            Status(&[400, 401, 403]),
            Says(&["valid for", "key for this model", "key for the model", "key for model", "incorrect for"]),
            Says(&["invalid", "not valid", "n't valid", "incorrect"]),
            Says(&[
                "api key",
                "key is",
                "key not",
                "token is",
                "token not",
                "this key",
                "your key",
                "this token",
                "your token",
            ]),
            // What may not be done with it is no model.
            Silent(&["model list", "models list"]),
            NamesModel,
            NotOfRequest,
        ],
    )
    .denied(),
    row("cause.model_off", SEEN, RequestFault, &[Status(&[400, 403, 404, 410]), Then(MODEL, OFF)]).denied(),
    row(
        "cause.model_off_told",
        SEEN,
        RequestFault,
        &[
            Status(&[400, 403, 404, 410]),
            Says(&["model disabled", "model deactivated", "model retired", "model decommissioned"]),
        ],
    )
    .denied(),
    row(
        "cause.model_not_found",
        SEEN,
        RequestFault,
        &[
            Status(&[404]),
            Says(&["model"]),
            Says(&[
                "not found",
                "not exist",
                "not be found",
                "unknown model",
                "unable to access",
                "not have access",
                "inaccessible",
                "不存在",
                "无权",
            ]),
        ],
    )
    .denied(),
    row(
        "cause.model_not_there",
        SEEN,
        RequestFault,
        &[
            Status(&[404]),
            Then(
                &["密钥", "令牌", "账号", "deployment"],
                &["模型不存在", "模型未", "没有该模型", "not found", "not exist"],
            ),
        ],
    )
    .denied(),
    row(
        "cause.model_unsupported",
        "https://www.volcengine.com/docs/82379/1299023",
        RequestFault,
        &[Status(&[404]), Code(&["unsupportedmodel"])],
    )
    .denied(),
    row(
        "cause.no_model_for_account",
        SEEN,
        RequestFault,
        &[
            Status(&[400]),
            Then(
                &["not a valid model", "invalid model", "unknown model"],
                &["for this account", "for your account"],
            ),
        ],
    )
    .denied(),
];
