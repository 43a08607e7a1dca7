//! Causes told in codes that nobody listed: a code is its provider's own word, and most are made of the same few.

use super::Test::{Code, CodeLike, NoCodeWith, NotOfRequest, Silent, Status, Then};
use super::causes_of_keys::IS_BAD;
use super::odd_statuses::{NAMELESS, ODD};
use super::{Row, row};
use crate::verdict::Verdict::{KeyExhausted, KeyInvalid, KeyLimited, RequestFault, UpstreamFault};

const SEEN: &str = "the codes of providers and relays, see tests/corpus";

/// Whose keys are not the one that was sent.
const OF_OTHER_THINGS: &[&str] = &[
    "kms",
    "encrypt",
    "managed",
    "session",
    "idempotency",
    "partition",
    "cache",
    "public",
    "signing",
    "ssh",
    "webhook",
];

const KEYS_OF_DATA: &[&str] = &[
    "encryption key",
    "customer-managed key",
    "customer managed key",
    "kms key",
    "cmk ",
    "data key",
    "加密密钥",
    "key vault",
    "cmek",
    "客户管理的密钥",
    "托管密钥",
];

/// No money, for whatever is asked.
const NO_MONEY: &[&str] = &[
    "insufficientbalance",
    "insufficientcredit",
    "insufficientfund",
    "insufficientquota",
    "insufficientuserquota",
    "notenoughbalance",
    "notenoughcredit",
    "notenoughquota",
    "balanceinsufficient",
    "balancenotenough",
    "balanceempty",
    "emptybalance",
    "balancezero",
    "zerobalance",
    "outofcredit",
    "nocredit",
    "creditsexhausted",
    "creditexhausted",
    "creditsdepleted",
    "creditdepleted",
    "creditlimitreached",
    "balancedepleted",
    "creditserror",
    "paymentrequired",
    "paymentmethodrequired",
    "billingnotactive",
    "billingrequired",
    "billingrefused",
    "accountoverdue",
    "accountarrear",
    "billinghardlimit",
    "billoverdue",
    "arrearage",
];

pub(super) static ROWS: &[Row] = &[
    row(
        "code.no_key_seen",
        SEEN,
        UpstreamFault,
        &[
            Status(&[401, 403]),
            CodeLike(&[
                "apikeyrequired",
                "apikeymissing",
                "missingapikey",
                "noapikey",
                "missingauthorization",
                "missingcredential",
                "nocredential",
            ]),
        ],
    )
    .barred(),
    row(
        "code.region",
        SEEN,
        UpstreamFault,
        &[
            Status(&[400, 401, 403, 451, 0]),
            CodeLike(&[
                "unsupportedcountry",
                "unsupportedregion",
                "countrynotsupported",
                "regionnotsupported",
                "regionrestricted",
                "regionblocked",
                "georestricted",
            ]),
        ],
    )
    .barred(),
    row(
        "code.balance",
        SEEN,
        KeyExhausted,
        &[Status(&[400, 401, 402, 403, 412, 429, 0]), CodeLike(NO_MONEY), NotOfRequest],
    ),
    row("code.balance_as_other_fault", SEEN, KeyExhausted, &[Status(ODD), CodeLike(NO_MONEY), NotOfRequest]),
    // Relays turn statuses into others, and the code says more. Whether it is the key that has no money or whoever was asked
    // next, another key has to tell.
    row(
        "code.balance_as_failure",
        "https://github.com/QuantumNous/new-api",
        KeyExhausted,
        &[
            Status(&[500, 502, 503, 529]),
            CodeLike(NO_MONEY),
            NoCodeWith(&["upstream", "channel", "provider", "badresponse"]),
            Silent(&["upstream", "provider", "channel", " our ", "上游", "渠道", "供应商", "服务商"]),
        ],
    )
    .weak(),
    row(
        "code.quota",
        SEEN,
        KeyExhausted,
        &[
            Status(&[400, 401, 402, 403, 409, 412, 422, 423, 424, 429, 0, NAMELESS]),
            CodeLike(&[
                "quotaexceeded",
                "quotaexhausted",
                "quotadepleted",
                "quotareached",
                "usagelimit",
                "usagecap",
                "planrequired",
                "planlimit",
                "upgraderequired",
                "usageexceeded",
                "usagenotincluded",
                "usageexhausted",
                "spendlimit",
                "spendinglimit",
                "budgetexceeded",
                "budgetexhausted",
                "budgetlimit",
                "dailylimit",
                "weeklylimit",
                "monthlylimit",
                "monthlyrequest",
                "subscriptionexpired",
                "subscriptionnotfound",
                "subscriptionrequired",
            ]),
            Silent(&["per minute", "per second", "storage", "file"]),
            NotOfRequest,
        ],
    )
    .brief(),
    row(
        "code.unverified",
        "https://novita.ai/docs/api-reference/basic-error-code.md",
        KeyExhausted,
        &[Status(&[401, 403]), CodeLike(&["realname", "verificationrequired", "verificationneeded"])],
    ),
    row(
        "code.account",
        SEEN,
        KeyInvalid,
        &[
            Status(&[401, 402, 403, 409, 410, 412, 423, 429, 0, NAMELESS]),
            CodeLike(&[
                "accountsuspended",
                "accountdisabled",
                "accountdeactivated",
                "accountterminated",
                "accountbanned",
                "accountlocked",
                "accountclosed",
                "userbanned",
                "userdisabled",
                "usersuspended",
                "organizationdisabled",
                "organizationsuspended",
                "deactivatedworkspace",
                "workspacedeactivated",
            ]),
            Silent(&["payment", "billing", "balance", "overdue", "invoice", "unpaid", "余额", "欠费"]),
        ],
    ),
    // Keys that a request names, not the one that it came with.
    row(
        "code.key_of_data",
        "https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html",
        RequestFault,
        &[
            Status(&[400, 401, 403, 0]),
            CodeLike(&[
                "kmskey",
                "kmsdisabled",
                "kmsinvalid",
                "kmsnotfound",
                "kmsaccessdenied",
                "customermanagedkey",
                "encryptionkey",
                "idempotencykey",
                "partitionkey",
                "cachekey",
            ]),
        ],
    ),
    row(
        "cause.key_of_data",
        "https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html",
        RequestFault,
        &[
            Status(&[400, 401, 403]),
            Then(KEYS_OF_DATA, IS_BAD),
            Silent(&["api key", "your key ", "this key "]),
        ],
    ),
    row(
        "code.key_ended",
        SEEN,
        KeyInvalid,
        &[
            Status(&[401, 403, 0]),
            CodeLike(&[
                "keysuspended",
                "keyrevoked",
                "keydisabled",
                "keyexpired",
                "keydeleted",
                "keybanned",
                "keyfrozen",
                "keyleaked",
                "keycompromised",
            ]),
            NoCodeWith(OF_OTHER_THINGS),
            Silent(&["permission", "scope"]),
        ],
    ),
    // Nobody has sent an object's key that was revoked.
    row(
        "code.key_revoked_as_bad_request",
        SEEN,
        KeyInvalid,
        &[
            Status(&[400, NAMELESS]),
            CodeLike(&[
                "keyrevoked",
                "revokedkey",
                "revokedapikey",
                "keydisabled",
                "apikeyexpired",
                "apikeydeleted",
                "keybanned",
            ]),
            NoCodeWith(OF_OTHER_THINGS),
            NotOfRequest,
        ],
    )
    .weak(),
    row(
        "code.key_as_other_fault",
        SEEN,
        KeyInvalid,
        &[
            Status(ODD),
            CodeLike(&[
                "invalidapikey",
                "apikeyinvalid",
                "incorrectapikey",
                "apikeyexpired",
                "expiredapikey",
                "apikeyrevoked",
                "revokedapikey",
                "apikeydisabled",
                "apikeydeleted",
                "apikeysuspended",
            ]),
            NoCodeWith(OF_OTHER_THINGS),
            NotOfRequest,
        ],
    )
    .weak(),
    row(
        "code.model_not_allowed",
        SEEN,
        KeyExhausted,
        &[
            Status(&[401, 403]),
            CodeLike(&[
                "modelaccessdenied",
                "modelnotallowed",
                "modelforbidden",
                "modelrestricted",
                "modelnotavailable",
                "modelnotsupported",
                "modelnotfound",
                "proonlymodel",
            ]),
        ],
    )
    .denied(),
    row(
        "code.model_not_found",
        SEEN,
        RequestFault,
        &[Status(&[404]), CodeLike(&["modelnotfound", "modelnotexist", "unknownmodel"])],
    )
    .denied(),
    // Where the plan of the one who asks lacks it. That a route lacks it is told with the same code.
    row(
        "code.model_not_supported",
        "https://github.com/github/copilot-cli/issues/639",
        RequestFault,
        &[
            Status(&[400]),
            CodeLike(&["modelnotsupported"]),
            Silent(&["endpoint", " api", "/completions", "responses", "parameter", "image", "tool"]),
            // Something that the model lacks.
            Silent(&["not support ", "n't support "]),
        ],
    )
    .denied(),
];

/// Read last: words tell better for how long a limit is.
pub(super) static LIMITS: &[Row] = &[
    row(
        "code.overloaded",
        SEEN,
        UpstreamFault,
        &[
            Status(&[400, 403, 404, 409, 412, 422, 423, 424, 429, 0, NAMELESS]),
            CodeLike(&[
                "overload",
                "serverbusy",
                "servicebusy",
                "systembusy",
                "modelbusy",
                "nocapacity",
                "capacityexceeded",
                "serviceunavailable",
            ]),
        ],
    ),
    row(
        "code.failed",
        SEEN,
        UpstreamFault,
        &[
            Status(&[400, 401, 403, 404, 409, 412, 422, 423, 424, NAMELESS]),
            CodeLike(&["internalservererror", "badgateway", "gatewaytimeout"]),
            NotOfRequest,
        ],
    ),
    // A bad request that a relay passes on has its type as well.
    row(
        "code.failed_as_refusal",
        SEEN,
        UpstreamFault,
        &[Status(&[401, 403]), CodeLike(&["internalerror", "upstreamerror"])],
    ),
    row("code.server_error", SEEN, UpstreamFault, &[Status(&[403]), Code(&["server_error"])]),
    row(
        "code.permission",
        "https://cloud.baidu.com/doc/qianfan-api/s/Om9b4yj3w",
        KeyExhausted,
        &[Status(&[401]), CodeLike(&["nopermission", "noparameterpermission", "permissiondenied"])],
    )
    .of_model(),
    row(
        "code.rate",
        SEEN,
        KeyLimited,
        &[
            Status(&[400, 403, 404, 409, 410, 412, 422, 423, 424, 0, NAMELESS]),
            CodeLike(&["ratelimit", "toomanyrequest", "throttl", "concurrencylimit", "requestlimit"]),
            NotOfRequest,
        ],
    ),
];
