//! The same causes in the languages of providers and relays that answer in neither English nor Chinese.

use super::Test::{NotOfRequest, Says, Status, Then};
use super::{Row, row};
use crate::verdict::Verdict::{KeyExhausted, KeyInvalid, KeyLimited, UpstreamFault};

const SEEN: &str = "relays that answer in their own languages, see tests/corpus";

const NOT_ENOUGH: &[&str] = &["недостаточно", "insuficiente", "insuffisant", "nicht genügend", "nicht genug"];
const MONEY: &[&str] = &[
    "средств",
    "баланс",
    "saldo",
    "solde",
    "crédit",
    "crédito",
    "guthaben",
    "残高",
    "クレジット",
    "잔액",
    "크레딧",
];
const SPENT: &[&str] =
    &["不足", "недостаточно", "insuficiente", "insuffisant", "aufgebraucht", "исчерпан", "부족"];
const KEY: &[&str] = &[
    "apiキー",
    "apiキ",
    "api 키",
    "api키",
    "ключ",
    "токен",
    "clave de api",
    "clave api",
    "chave de api",
    "clé api",
    "clé d'api",
    "api-schlüssel",
];
const IS_BAD: &[&str] = &[
    "無効",
    "期限切れ",
    "正しくありません",
    "недействител",
    "неверн",
    "не найден",
    "истек",
    "истёк",
    "отозван",
    "inválid",
    "no es válid",
    "no válid",
    "invalide",
    "expirad",
    "expirée",
    "ungültig",
    "abgelaufen",
    "유효하지",
    "만료",
    "révoqu",
    "revocad",
    "widerrufen",
    "gesperrt",
    "gelöscht",
    "supprim",
    "eliminad",
    "удален",
    "удалён",
    "заблокирован",
    "просрочен",
    "削除",
    "失効",
    "존재하지",
    "삭제",
];
const HERE: &[&str] = &[
    "in ihrer region",
    "in ihrem land",
    "в вашем регионе",
    "в вашей стране",
    "en su país",
    "en tu país",
    "en su región",
    "dans votre pays",
    "dans votre région",
    "no seu país",
    "お住まいの国",
    "お住まいの地域",
    "この地域",
    "귀하의 국가",
    "해당 지역",
];
const NOT_SERVED: &[&str] = &[
    "nicht verfügbar",
    "недоступ",
    "не доступ",
    "не поддержива",
    "no está disponible",
    "no disponible",
    "pas disponible",
    "não está disponível",
    "利用できません",
    "ご利用いただけません",
    "지원되지",
    "제공되지",
];
const BAD: &[&str] = &["недействительн", "неверный", "неправильный", "ungültiger", "無効な"];

pub(super) static ROWS: &[Row] = &[
    row(
        "abroad.region",
        SEEN,
        UpstreamFault,
        &[Status(&[400, 401, 403, 451]), Then(HERE, NOT_SERVED), NotOfRequest],
    )
    .barred(),
    row(
        "abroad.not_here",
        SEEN,
        UpstreamFault,
        &[Status(&[400, 401, 403, 451]), Then(NOT_SERVED, HERE), NotOfRequest],
    )
    .barred(),
    row(
        "abroad.busy",
        SEEN,
        UpstreamFault,
        &[
            Status(&[400, 403, 429, 0]),
            Says(&[
                "混み合って",
                "混雑して",
                "過負荷",
                "перегружен",
                "überlastet",
                "sobrecargad",
                "surchargé",
                "과부하",
            ]),
            NotOfRequest,
        ],
    ),
    row(
        "abroad.rate",
        SEEN,
        KeyLimited,
        &[
            Status(&[403, 429, 0]),
            Says(&[
                "лимит запросов",
                "слишком много запросов",
                "レート制限",
                "リクエストが多すぎ",
                "リクエスト数の上限",
                "요청이 너무 많",
                "요청 한도",
                "demasiadas solicitudes",
                "muitas solicitações",
                "trop de requêtes",
                "zu viele anfragen",
            ]),
        ],
    ),
    row("abroad.balance", SEEN, KeyExhausted, &[Status(&[401, 402, 403, 429, 0]), Then(MONEY, SPENT)]),
    row(
        "abroad.no_balance",
        SEEN,
        KeyExhausted,
        &[Status(&[401, 402, 403, 429, 0]), Then(NOT_ENOUGH, MONEY)],
    ),
    row("abroad.key", SEEN, KeyInvalid, &[Status(&[401, 403]), Then(KEY, IS_BAD)]),
    row("abroad.bad_key", SEEN, KeyInvalid, &[Status(&[401, 403]), Then(BAD, KEY)]),
];
