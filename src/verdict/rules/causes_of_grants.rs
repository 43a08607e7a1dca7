//! Causes told in words alone: a model that is not for the key that asks, told with a status of bad requests. Another
//! account may have it. See `causes.rs` and `causes_of_models.rs`.

use super::Test::{CodeLike, ModelBehind, Names, NamesModel, NotOfRequest, Says, Silent, Status, Then};
use super::causes_of_keys::PARTS_OF_USE;
use super::odd_statuses::NAMELESS;
use super::of_model::{NOT_IN, PLANS};
use super::{Row, row};
use crate::verdict::Verdict::{KeyExhausted, RequestFault};

const SEEN: &str = "what providers and relays say, see tests/corpus";
const POLICIES: &str = "https://docs.cloud.google.com/vertex-ai/generative-ai/docs/control-model-access";

const BAD_REQUEST: &[u16] = &[400, 404, 406, 409, 412, 417, 422, 423, 424, 428, NAMELESS];
/// It is for nobody there, or not in that way.
const ELSEWHERE: &[&str] = &[
    "region",
    "countr",
    "location",
    "endpoint",
    "api version",
    "service tier",
    "service_tier",
    "/completions",
    "responses api",
    "/responses",
    "/messages",
    "streaming",
    "parameter",
    " with images",
    "地区",
    "区域",
    "接口",
];
const GRANTED_TO: &[&str] = &[
    "given access to ",
    "granted access to ",
    "no access to ",
    "not have access to ",
    "n't have access to ",
    "lacks access to ",
    "lack access to ",
    "without access to ",
    "not access ",
    "n't access ",
    "not entitled to ",
    "not entitled to use ",
    "not subscribed to ",
    "may not call ",
    "may not use ",
    "not allowed to call ",
    "not allowed to use ",
    "not allowed to access ",
    "not permitted to call ",
    "not permitted to use ",
    "not permitted to access ",
    "not authorized to use ",
    "not authorized to access ",
    "not authorised to use ",
    "not authorised to access ",
    "not approved for ",
    "not enabled for ",
    "not cleared for ",
];
const WHOSE: &[&str] = &[
    "you ",
    "you've",
    "your ",
    " key",
    "account",
    "organi",
    "project",
    "team",
    "workspace",
    "plan",
    "subscription",
    "tier",
    "tenant",
    "token ",
];
const UPGRADE: &[&str] = &["upgrade", "subscribe", "paid plan", "higher plan", "higher tier", "pro plan"];
const TO_USE: &[&str] = &["to use ", "to access ", "to call ", "to unlock ", "for access to ", "to get "];
const LISTS: &[&str] = &[
    "allowed list",
    "allow list",
    "allowlist",
    "whitelist",
    "permitted list",
    "list of allowed",
    "list of permitted",
    "allowed models",
    "permitted models",
    "models allowed",
    "models this key",
    "models your",
    "model list",
    "白名单",
    "可用模型",
    "允许的模型",
];
const LACK: &[&str] = &[
    "not contain",
    "n't contain",
    "not include",
    "n't include",
    "does not list",
    "doesn't list",
    "lacks",
    "outside",
    "不包含",
    "不含",
    "没有",
];
const POLICY: &[&str] = &[
    "organization policy",
    "organisation policy",
    "org policy",
    "organization's policy",
    "workspace policy",
    "admin policy",
    "team policy",
    "account policy",
    "your administrator",
    "your admin",
    "workspace admin",
    "organization admin",
    "组织策略",
    "管理员",
];
const FORBIDS: &[&str] = &[
    "forbid",
    "disallow",
    "not allow",
    "n't allow",
    "not permit",
    "n't permit",
    "prohibit",
    "block",
    "denies",
    "denied",
    "disabled",
    "turned off",
    "switched off",
    "violated",
    "restrict",
    "禁止",
    "禁用",
    "不允许",
];

/// What lacks is money, or a time is over, whatever else is told.
const OF_MONEY: &[&str] = &[
    "balance",
    "credit",
    "quota",
    "used up",
    "used all",
    "exceeded",
    "exhausted",
    "reached",
    "run out",
    "ran out",
    "expired",
    "ended",
    "overdue",
    "unpaid",
    "fine-tun",
    "余额",
    "额度",
    "欠费",
    "到期",
    "过期",
    "用完",
    "用尽",
    "上限",
    "参数",
];

pub(super) static ROWS: &[Row] = &[
    row(
        "grant.code",
        SEEN,
        RequestFault,
        &[
            Status(BAD_REQUEST),
            CodeLike(&[
                "modelnotinplan",
                "modelnotallowed",
                "modelaccessdenied",
                "modelforbidden",
                "modelrestricted",
                "modelnotenabled",
                "modelnotgranted",
                "modelnotentitled",
                "modelnotincluded",
                "modelnotpermitted",
                "modelnotauthorized",
                "nomodelaccess",
                "nomodelpermission",
                "modelpermissiondenied",
            ]),
            Silent(ELSEWHERE),
        ],
    )
    .denied(),
    row("grant.google_policy", POLICIES, RequestFault, &[Status(&[400]), Names(&["vertexai.allowedmodels"])])
        .denied(),
    row(
        "grant.policy",
        SEEN,
        RequestFault,
        &[
            Status(BAD_REQUEST),
            Says(POLICY),
            ModelBehind(FORBIDS),
            Silent(ELSEWHERE),
            Silent(PARTS_OF_USE),
            Silent(OF_MONEY),
            NotOfRequest,
        ],
    )
    .denied(),
    row(
        "grant.not_given",
        SEEN,
        RequestFault,
        &[
            Status(BAD_REQUEST),
            ModelBehind(GRANTED_TO),
            Says(WHOSE),
            Silent(ELSEWHERE),
            Silent(PARTS_OF_USE),
            Silent(OF_MONEY),
            NotOfRequest,
        ],
    )
    .denied(),
    row(
        "grant.plan_forbids",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 402, 403, 429]),
            Then(PLANS, NOT_IN),
            ModelBehind(NOT_IN),
            Silent(ELSEWHERE),
            Silent(OF_MONEY),
        ],
    )
    .denied(),
    row(
        "grant.to_be_paid",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 402, 403, 429]),
            Then(&["模型"], &["需要付费", "需付费", "付费后"]),
            Silent(ELSEWHERE),
            Silent(OF_MONEY),
        ],
    )
    .denied(),
    row(
        "grant.plan",
        SEEN,
        RequestFault,
        &[
            Status(BAD_REQUEST),
            Then(PLANS, NOT_IN),
            ModelBehind(NOT_IN),
            Silent(ELSEWHERE),
            Silent(OF_MONEY),
            NotOfRequest,
        ],
    )
    .denied(),
    row(
        "grant.access",
        SEEN,
        RequestFault,
        &[
            Status(BAD_REQUEST),
            ModelBehind(&["access to ", "use of ", "usage of "]),
            Says(&[
                "not granted",
                "not been granted",
                "not been given",
                "not enabled",
                "not been enabled",
                "not been approved",
                "is restricted",
                "must be requested",
                "requires approval",
                "not included",
                "not part of",
                "n't included",
                "n't part of",
            ]),
            Silent(ELSEWHERE),
            Silent(PARTS_OF_USE),
            Silent(OF_MONEY),
            NotOfRequest,
        ],
    )
    .denied(),
    row(
        "grant.upgrade",
        SEEN,
        RequestFault,
        &[
            Status(BAD_REQUEST),
            Says(UPGRADE),
            ModelBehind(TO_USE),
            Silent(ELSEWHERE),
            Silent(PARTS_OF_USE),
            Silent(OF_MONEY),
            Silent(&["sdk", "client", "library", "version"]),
            NotOfRequest,
        ],
    )
    .denied(),
    row(
        "grant.list",
        SEEN,
        RequestFault,
        &[
            Status(BAD_REQUEST),
            Then(LISTS, LACK),
            NamesModel,
            Says(WHOSE),
            Silent(ELSEWHERE),
            Silent(OF_MONEY),
            NotOfRequest,
        ],
    )
    .denied(),
    row(
        "grant.not_on_list",
        SEEN,
        RequestFault,
        &[
            Status(BAD_REQUEST),
            Then(&["not on", "not in", "n't on", "n't in", "not among", "outside", "不在"], LISTS),
            NamesModel,
            Says(WHOSE),
            Silent(ELSEWHERE),
            Silent(OF_MONEY),
            NotOfRequest,
        ],
    )
    .denied(),
    row(
        "grant.chinese",
        SEEN,
        RequestFault,
        &[
            Status(BAD_REQUEST),
            Says(&["模型"]),
            Then(
                &["账号", "账户", "帐号", "帐户", "密钥", "令牌", "套餐", "您", "你", "分组"],
                &[
                    "未开通",
                    "未授权",
                    "无权",
                    "没有权限",
                    "不支持该模型",
                    "不支持此模型",
                    "不包含",
                    "不可用",
                    "未开放",
                    "开放",
                    "无法使用",
                ],
            ),
            Silent(ELSEWHERE),
            Silent(OF_MONEY),
            NotOfRequest,
        ],
    )
    .denied(),
];
