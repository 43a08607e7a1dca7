//! Causes in words that nobody foresaw: what is spoken of × what is said of it, near each other in one sentence. Read
//! last, where only the status would decide. See `vocabulary.rs`.
//!
//! A permanent verdict wants a key or an account that is dead, and not a word of anything else that could be meant.

use super::Test::{
    Begins, Code, Names, NoCodeWith, NotOfRequest, OpensWithKey, Says, Silent, Speaks, Status, Told, Unheard,
};
use super::causes_of_books::ALL;
use super::causes_of_keys::PARTS_OF_USE;
use super::causes_of_trouble::{OF_BOOKS, WORK};
use super::odd_statuses::NAMELESS;
use super::types::{NAMED_FOR_KEYS, OF_KEYS};
use super::vocabulary::{
    ABSENT, ACCOUNT, ADDRESS, CONTENT, DEAD, DENIED, DOWN, FAST, GONE, HARM, KEY, LIMIT, LONG, MODEL, MONEY,
    NOT, NOW, OUTAGE, PAY, PLACE, PLAN, PROVIDER, QUOTA, REJECTED, SHAPE, SHORT, SPENT, THROTTLED, TOO_LONG,
    TRAFFIC, Things, UNCHECKED, UNSAFE, WRONG, YOURS,
};
use super::{Row, row};
use crate::verdict::Verdict::{KeyExhausted, KeyInvalid, KeyLimited, RequestFault, UpstreamFault};

const SEEN: &str = "free wordings of documented causes, see tests/corpus";
/// Statuses that may tell of a limit, and that mean something else by themselves.
const OF_LIMITS: &[u16] = &[400, 401, 403, 412, 0, NAMELESS];
/// Those that mean something else to everybody.
const OF_OTHERS: &[u16] = &[406, 409, 410, 417, 422, 423, 424, 426, 428];
/// With which some say of a limit that they failed.
const FAILED: &[u16] = &[500, 503, 529];
/// What a request is made of.
const OWN: Things = CONTENT | SHAPE;
/// With any of these a key is not lost for good.
const ELSE: Things =
    OWN | MODEL | PLACE | ADDRESS | NOW | MONEY | PLAN | QUOTA | TRAFFIC | LIMIT | DOWN | UNCHECKED;
/// What is disabled is something else, for this key.
const FOR_A_KEY: &[&str] =
    &["disabled for key", "disabled for this key", "disabled for your key", "disabled for the key"];
/// What its bearer may not do: a key near it is the one that may not.
const OF_PERMISSION: &[&str] = &["permission_error"];
/// It is about the one who asks.
const OF_US: Things = YOURS | KEY | ACCOUNT;

pub(super) static ROWS: &[Row] = &[
    row(
        "told.too_long",
        SEEN,
        RequestFault,
        &[Status(&[401, 403, 429]), Told(CONTENT, TOO_LONG), Unheard(SHORT)],
    ),
    row(
        "told.content",
        SEEN,
        RequestFault,
        &[
            Status(&[401, 403]),
            Told(CONTENT, UNSAFE | DENIED),
            Unheard(ACCOUNT | ADDRESS),
            Silent(&["upgrade your", "upgrade to"]),
        ],
    ),
    row(
        "told.harm",
        SEEN,
        RequestFault,
        &[Status(&[401, 403]), Speaks(HARM), Unheard(ACCOUNT | ADDRESS | KEY | MONEY)],
    ),
    // Keys have formats as well.
    row(
        "told.request",
        SEEN,
        RequestFault,
        &[
            Status(&[401, 403]),
            Told(SHAPE, DEAD | WRONG | REJECTED | SPENT),
            Unheard(ACCOUNT),
            Silent(&[
                "authorization header",
                "authorization field",
                "认证",
                "鉴权",
                "token格式",
                "key format",
            ]),
            NoCodeWith(NAMED_FOR_KEYS),
            NoCodeWith(OF_KEYS),
        ],
    ),
    row(
        "told.place",
        SEEN,
        UpstreamFault,
        &[
            Status(&[400, 401, 403, 451]),
            Told(PLACE, DENIED | DOWN | ABSENT | DEAD | WRONG),
            Unheard(OWN | ADDRESS),
            NotOfRequest,
        ],
    )
    .barred(),
    row(
        "told.not_in_place",
        SEEN,
        UpstreamFault,
        &[Status(&[401, 403, 451]), Told(PLACE, NOT), Unheard(OWN | ADDRESS | KEY)],
    )
    .barred(),
    row(
        "told.address",
        SEEN,
        KeyExhausted,
        &[Status(&[401, 403]), Told(ADDRESS, DENIED | REJECTED), Unheard(OWN | DOWN)],
    ),
    // Limits of now, before quotas: they speak of each other.
    row(
        "told.throttled",
        SEEN,
        KeyLimited,
        &[Status(OF_LIMITS), Speaks(THROTTLED), Unheard(OWN | DEAD | WRONG | LONG | MONEY), NotOfRequest],
    ),
    row(
        "told.too_fast",
        SEEN,
        KeyLimited,
        &[
            Status(OF_LIMITS),
            Told(TRAFFIC, FAST),
            Unheard(OWN | MODEL | DEAD | WRONG | LONG | MONEY | PLAN),
            NotOfRequest,
        ],
    ),
    row(
        "told.limit_for_now",
        SEEN,
        KeyLimited,
        &[
            Status(OF_LIMITS),
            Told(TRAFFIC | SHORT | LIMIT | QUOTA, SPENT),
            Speaks(TRAFFIC | SHORT),
            Speaks(OF_US | SHORT | LIMIT),
            Unheard(OWN | MODEL | DEAD | WRONG | LONG | MONEY),
            NotOfRequest,
        ],
    ),
    row(
        "told.throttled_as_failure",
        SEEN,
        KeyLimited,
        &[Status(FAILED), Speaks(THROTTLED), Speaks(OF_US), Unheard(OWN | PROVIDER | LONG), Silent(ALL)],
    ),
    row(
        "told.limit_as_failure",
        SEEN,
        KeyLimited,
        &[
            Status(FAILED),
            Told(TRAFFIC, FAST | SPENT | LIMIT),
            Speaks(OF_US),
            Unheard(OWN | PROVIDER | LONG | MONEY | PLAN),
        ],
    ),
    // Money, plans and quotas.
    row(
        "told.spent",
        SEEN,
        KeyExhausted,
        &[Status(OF_LIMITS), Told(MONEY | PLAN | QUOTA, SPENT), Unheard(OWN), NotOfRequest],
    )
    .of_model_if_told()
    .brief(),
    row(
        "told.plan_over",
        SEEN,
        KeyExhausted,
        &[
            Status(OF_LIMITS),
            Told(PLAN, DEAD | WRONG | GONE),
            Speaks(YOURS | ACCOUNT),
            Unheard(OWN | KEY),
            NotOfRequest,
        ],
    ),
    row(
        "told.spent_for_long",
        SEEN,
        KeyExhausted,
        &[
            Status(&[400, 401, 403, 412, 429, 0, NAMELESS]),
            Told(LIMIT | TRAFFIC | QUOTA | PLAN | KEY, SPENT),
            Speaks(LONG),
            Unheard(OWN | SHORT),
            NotOfRequest,
        ],
    )
    .of_model_if_told()
    .brief(),
    row(
        "told.spent_as_other_fault",
        SEEN,
        KeyExhausted,
        &[
            Status(OF_OTHERS),
            Told(MONEY, SPENT),
            Unheard(OWN | MODEL | PROVIDER | PLAN),
            Silent(WORK),
            Silent(&["amount", "minimum"]),
            NotOfRequest,
        ],
    ),
    row(
        "told.ours_spent_as_other_fault",
        SEEN,
        KeyExhausted,
        &[
            Status(OF_OTHERS),
            Told(MONEY | PLAN | QUOTA, SPENT),
            Speaks(OF_US | LONG),
            Unheard(OWN | MODEL | PROVIDER),
            Silent(WORK),
            Silent(&["voice", "assistants", "seats", "members"]),
            NotOfRequest,
        ],
    )
    .brief(),
    row(
        "told.too_fast_as_other_fault",
        SEEN,
        KeyLimited,
        &[
            Status(OF_OTHERS),
            Told(TRAFFIC, FAST),
            Speaks(OF_US),
            Unheard(OWN | MODEL | DEAD | WRONG | LONG | MONEY),
            Silent(WORK),
            NotOfRequest,
        ],
    ),
    // Which plan it is does not matter, if it is too fast for it.
    row(
        "told.too_fast_for_plan",
        SEEN,
        KeyLimited,
        &[
            Status(OF_LIMITS),
            Told(TRAFFIC, FAST),
            Unheard(OWN | MODEL | DEAD | WRONG | LONG | MONEY),
            NotOfRequest,
        ],
    ),
    row(
        "told.at_once",
        SEEN,
        KeyLimited,
        &[
            Status(OF_LIMITS),
            Says(&[
                "parallel",
                "concurren",
                "simultan",
                "in flight",
                "in-flight",
                "at once",
                "at the same time",
                "并发",
                "同时",
            ]),
            Says(&[
                "already",
                "running",
                "reached",
                "in progress",
                "open",
                "in use",
                "full",
                "until",
                "已达",
                "上限",
            ]),
            Told(TRAFFIC, LIMIT | DENIED | SPENT),
            Unheard(OWN | MODEL | DEAD | WRONG | LONG | MONEY),
            Silent(&["job", "batch", "training", "fine-tun", "任务"]),
            NotOfRequest,
        ],
    ),
    row(
        "told.money_spent",
        SEEN,
        KeyExhausted,
        &[Status(&[429]), Told(MONEY | PLAN, SPENT), Unheard(OWN | SHORT | TRAFFIC)],
    )
    .brief(),
    row(
        "told.lack_as_failure",
        SEEN,
        KeyExhausted,
        &[
            Status(FAILED),
            Told(MONEY, SPENT),
            Names(&[
                "insufficient",
                "not enough",
                "exhausted",
                "too low",
                "run out",
                "used up",
                "depleted",
                "不足",
                "用尽",
            ]),
            Unheard(OWN | PROVIDER | QUOTA | SHORT | TRAFFIC),
        ],
    ),
    row(
        "told.spent_as_failure",
        SEEN,
        KeyExhausted,
        &[
            Status(FAILED),
            Told(MONEY, SPENT),
            Unheard(OWN | PROVIDER | QUOTA | SHORT | TRAFFIC),
            Silent(OF_BOOKS),
        ],
    ),
    row(
        "told.quota_as_failure",
        SEEN,
        KeyExhausted,
        &[
            Status(FAILED),
            Told(QUOTA, SPENT),
            Speaks(ACCOUNT | KEY),
            Unheard(OWN | PROVIDER | SHORT | TRAFFIC),
            Silent(OF_BOOKS),
        ],
    ),
    row(
        "told.to_pay",
        SEEN,
        KeyExhausted,
        &[
            Status(&[400, 401, 403, NAMELESS]),
            Speaks(PAY),
            Speaks(OF_US | PLAN | MONEY),
            Unheard(OWN | DEAD | WRONG | SHORT | TRAFFIC | DOWN),
            NotOfRequest,
        ],
    ),
    row(
        "told.nothing_left",
        SEEN,
        KeyExhausted,
        &[Status(&[401, 403]), Told(MONEY | PLAN | QUOTA, NOT), Unheard(OWN | DEAD | DOWN | SHORT | TRAFFIC)],
    ),
    // The provider's own trouble.
    row(
        "told.not_checked",
        SEEN,
        UpstreamFault,
        &[Status(&[401, 403]), Speaks(UNCHECKED), Speaks(NOW | DOWN | PROVIDER), Unheard(OWN | DEAD)],
    ),
    row(
        "told.down",
        SEEN,
        UpstreamFault,
        &[Status(&[401, 403, 429]), Told(PROVIDER, DOWN | ABSENT), Unheard(OWN | DEAD)],
    ),
    row(
        "told.model_down",
        SEEN,
        UpstreamFault,
        &[Status(&[401, 403]), Told(MODEL, DOWN), Unheard(OWN | DEAD)],
    ),
    row(
        "told.down_as_bad_request",
        SEEN,
        UpstreamFault,
        &[Status(&[400, NAMELESS]), Told(PROVIDER | MODEL, DOWN), Unheard(OWN | DEAD | WRONG), NotOfRequest],
    ),
    // The client's own work may have failed, or be under way, and a file's server may be down.
    row(
        "told.down_as_other_fault",
        SEEN,
        UpstreamFault,
        &[
            Status(&[406, 409, 412, 417, 422, 423, 424, 426, 428]),
            Told(PROVIDER | MODEL, DOWN),
            Unheard(OWN | KEY | ACCOUNT | DEAD | WRONG),
            Silent(WORK),
            NotOfRequest,
        ],
    ),
    // A model that nobody loaded is not there.
    row(
        "told.down_as_not_found",
        SEEN,
        UpstreamFault,
        &[
            Status(&[404]),
            Told(PROVIDER, DOWN),
            Unheard(OWN | KEY | ACCOUNT | DEAD | WRONG),
            Silent(WORK),
            NotOfRequest,
        ],
    ),
    row(
        "told.outage",
        SEEN,
        UpstreamFault,
        &[
            Status(&[400, 401, 403, 404, 409, 412, 422, 423, 424, 429, NAMELESS]),
            Speaks(OUTAGE),
            Unheard(OWN | DEAD | WRONG),
            NotOfRequest,
        ],
    ),
    // For good.
    row(
        "told.key",
        SEEN,
        KeyInvalid,
        &[
            Status(&[400, 401, 403, NAMELESS]),
            Told(KEY, DEAD | WRONG | REJECTED),
            Unheard(ELSE),
            Silent(PARTS_OF_USE),
            Silent(FOR_A_KEY),
            NoCodeWith(OF_PERMISSION),
            NotOfRequest,
        ],
    ),
    // It is the key that is spoken of, not what else there is for it.
    row(
        "told.key_itself",
        SEEN,
        KeyInvalid,
        &[
            Status(&[403]),
            Code(OF_PERMISSION),
            Told(KEY, DEAD | WRONG | REJECTED),
            Begins(KEY, KEY | DEAD | WRONG | REJECTED),
            Unheard(ELSE),
            Silent(PARTS_OF_USE),
        ],
    ),
    row(
        "told.account",
        SEEN,
        KeyInvalid,
        &[
            Status(&[400, 401, 403, NAMELESS]),
            Told(ACCOUNT, DEAD),
            Unheard(ELSE),
            Silent(PARTS_OF_USE),
            NotOfRequest,
        ],
    ),
    row(
        "told.account_unknown",
        SEEN,
        KeyInvalid,
        &[
            Status(&[401, 403]),
            Told(ACCOUNT, WRONG | GONE),
            Unheard(ELSE | DENIED),
            NoCodeWith(OF_PERMISSION),
        ],
    )
    .weak(),
    row("told.key_gone", SEEN, KeyInvalid, &[Status(&[401, 403]), Told(KEY, GONE), Unheard(ELSE | DENIED)])
        .weak(),
    row("told.key_first", SEEN, KeyInvalid, &[Status(&[401, 403]), OpensWithKey, NoCodeWith(OF_PERMISSION)]),
    // What the key may not do.
    row(
        "told.model_denied",
        SEEN,
        KeyExhausted,
        &[Status(&[401, 403]), Told(MODEL, DENIED), Unheard(OWN | DOWN)],
    )
    .denied(),
    row(
        "told.denied",
        SEEN,
        KeyExhausted,
        &[Status(&[401, 403]), Told(KEY | ACCOUNT | PLAN | YOURS, DENIED), Unheard(OWN | DOWN)],
    )
    .of_model()
    .denied_if_named(),
];
