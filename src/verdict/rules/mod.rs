//! The table: which answer means what. Read top to bottom, the first row whose tests all hold decides; so what is
//! more specific stands higher. Rows look at causes, not at hosts: gateways and relays pass on others' errors, with
//! other statuses too.
//!
//! The files are read in the order of [`TABLE`]. First what stands before a provider's API, then provider by provider
//! what its own codes and words mean, then OpenAI's codes, which everybody borrowed, then causes that are told in
//! words alone or in codes that nobody listed, then sentences that nobody foresaw, by the meaning of their words, then
//! types that say no more than a status, and last the status where nothing else is known. A provider is added by adding rows and cases in `tests/corpus/`.

mod anthropic;
mod at_once;
mod azure;
mod causes;
mod causes_abroad;
mod causes_for_now;
mod causes_in_codes;
mod causes_of_books;
mod causes_of_grants;
mod causes_of_keys;
mod causes_of_models;
mod causes_of_money;
mod causes_of_no_key;
mod causes_of_requests;
mod causes_of_rights;
mod causes_of_trouble;
mod causes_of_use;
mod causes_of_way;
mod checks;
mod china;
mod combined;
mod doubt;
mod gateways;
mod google;
mod named_in_request;
mod not_ours;
mod odd_statuses;
mod of_model;
mod of_relays;
mod of_request;
mod openai;
mod others;
mod plain_key;
mod routers;
mod stored;
mod types;
mod vocabulary;

use std::cell::OnceCell;
use std::sync::OnceLock;

use http::HeaderMap;

use self::odd_statuses::is_among;
use self::of_request::OPENING;
use self::types::SPEC;
use super::envelope::{Envelope, Form};
use super::heard::Heard;
use super::words::{self, Words};
use super::{Scope, Verdict};

pub(super) use self::causes_of_keys::PARTS_OF_USE;
pub(super) use self::doubt::{is_temporary, is_weak};
#[cfg(test)]
pub(super) use self::vocabulary::{ACCOUNT, DEAD, DOWN, MONEY, PROVIDER, SPENT, WRONG};
pub(super) use self::vocabulary::{KEY, LOOSE, Meaning, NOT, Things, VOCABULARY};

/// One row of the table.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "marks, each by itself")]
pub(super) struct Row {
    /// Stable name, shown in `/blacklist` and the log.
    pub(super) id: &'static str,
    /// Where the rule comes from.
    pub(super) source: &'static str,
    /// All of them have to hold.
    tests: &'static [Test],
    pub(super) verdict: Verdict,
    scope: Scope,
    /// The key may not use the model, or nobody may.
    denied_model: bool,
    /// The same, if a model is named.
    denied_if_named: bool,
    /// It is of one model, if it says so.
    of_model_if_told: bool,
    /// It is of what was asked for, which is more than the key may do or can pay for.
    pub(super) of_use: bool,
    /// It rests on a bare status, or on little more.
    weak: bool,
    /// Our way to the upstream is barred, whichever key we send.
    pub(super) barred: bool,
    /// When a spent quota is whole again where the provider keeps it by the calendar.
    pub(super) until: Option<Until>,
    /// Dates in its messages that name no zone are China's.
    pub(super) in_china: bool,
    /// A quota that may be whole again within a minute, if its message says so.
    pub(super) brief: bool,
}

/// A reset by the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The next midnight in Los Angeles.
    PacificMidnight,
    /// The next midnight UTC.
    UtcMidnight,
    /// The first of the next month, UTC.
    NextMonth,
}

/// What a row looks at. Words are in lower case.
#[derive(Debug)]
enum Test {
    /// The status is one of these, [`odd_statuses::NAMELESS`] among them.
    Status(&'static [u16]),
    /// A code, type, reason or status word is one of these.
    Code(&'static [&'static str]),
    /// A code contains one of these: names of quotas are long.
    CodeWith(&'static [&'static str]),
    /// No code contains one of these, however it joins its words.
    NoCodeWith(&'static [&'static str]),
    /// A code contains one of these, however it joins its words: `INSUFFICIENT_BALANCE`, `InsufficientBalanceError`.
    CodeLike(&'static [&'static str]),
    /// The message says one of these. See [`Answer::says`].
    Says(&'static [&'static str]),
    /// The message says one of the first of these, and soon after it, in the same sentence, one of the second.
    Then(&'static [&'static str], &'static [&'static str]),
    /// The same, in quotation marks too: names of quotas stand in them.
    Names(&'static [&'static str]),
    /// One of the second belongs to one of the first: it stands right behind, or a word later.
    Of(&'static [&'static str], &'static [&'static str]),
    /// One of the second is said of one of the first, near it in the same sentence: see `vocabulary.rs`.
    Told(Things, Things),
    /// The message speaks of one of these.
    Speaks(Things),
    /// It speaks of one of the first before it speaks of any other of the second.
    Begins(Things, Things),
    /// The message speaks of none of these.
    Unheard(Things),
    /// The message says none of these.
    Silent(&'static [&'static str]),
    /// The message speaks of a model, or names one.
    NamesModel,
    /// One of these is said of a model.
    OfModel(&'static [&'static str]),
    /// It tells of no state that is for good.
    NotForGood,
    /// It opens with a dead key, in a clause of its own.
    OpensWithKey,
    /// A model stands right behind one of these.
    ModelBehind(&'static [&'static str]),
    /// It says that a part of the request is unknown, wrong or not there.
    FindsFault,
    /// It is no bad request that begins by naming a part of the request: that is what it is about then.
    NotOfRequest,
    /// The answer has this form.
    Has(Form),
    /// A header is there.
    Header(&'static str),
    /// A header has this value.
    HeaderIs(&'static str, &'static str),
    /// A header's value has this in it.
    HeaderWith(&'static str, &'static str),
}

/// An answer that came as an event within a stream that began well, and names no status.
pub(super) const IN_STREAM: u16 = 0;

/// What rows are held against.
struct Answer<'a> {
    status: u16,
    headers: &'a HeaderMap,
    envelope: &'a Envelope,
    /// Read once, and only where no row before knew the answer.
    heard: OnceCell<Heard>,
}

impl Answer<'_> {
    fn holds(&self, test: &Test) -> bool {
        let codes = &self.envelope.codes;
        match test {
            // Only rows of the answer's status are held against it.
            Test::Status(_) => true,
            Test::Code(words) => codes.iter().any(|code| words.contains(&code.as_str())),
            Test::CodeWith(parts) => codes.iter().any(|code| parts.iter().any(|part| code.contains(part))),
            Test::NoCodeWith(parts) => {
                let mut all = codes.iter().chain(&self.envelope.joined);
                !all.any(|code| parts.iter().any(|part| code.contains(part)))
            }
            Test::CodeLike(parts) => {
                self.envelope.joined.iter().any(|code| parts.iter().any(|part| code.contains(part)))
            }
            Test::Says(words) => self.says(words),
            Test::Then(first, second) => self.envelope.words.follows(first, second),
            Test::Names(words) => self.envelope.names(words),
            Test::Of(owners, things) => self.envelope.words.belong(owners, things),
            Test::Told(subjects, said) => self.heard().tells(*subjects, *said),
            Test::Speaks(things) => self.heard().speaks_of(*things),
            Test::Begins(those, things) => self.heard().begins_with(*those, *things),
            Test::Unheard(things) => !self.heard().speaks_of(*things),
            Test::NotOfRequest => {
                let is_vague = self.speaks_of_request() || is_among(self.status, odd_statuses::ODD);
                !(is_vague && of_request::names_a_part(self.envelope))
            }
            Test::NamesModel => of_model::is_named(self.envelope),
            Test::OfModel(words) => of_model::is_what(self.envelope, words),
            Test::ModelBehind(words) => of_model::stands_behind(self.envelope, words),
            Test::NotForGood => !doubt::is_for_good(&self.envelope.words),
            Test::OpensWithKey => plain_key::opens_with_it(&self.envelope.words),
            Test::FindsFault => of_request::finds_fault(&self.envelope.words),
            Test::Silent(words) => !words.iter().any(|word| self.envelope.words.find(word).is_some()),
            Test::Has(form) => self.envelope.forms.contains(form),
            Test::Header(name) => self.headers.contains_key(*name),
            Test::HeaderIs(name, value) => {
                self.headers.get(*name).is_some_and(|found| found.as_bytes() == value.as_bytes())
            }
            Test::HeaderWith(name, part) => {
                let values = self.headers.get_all(*name);
                values.iter().any(|found| found.to_str().is_ok_and(|found| found.contains(part)))
            }
        }
    }

    fn heard(&self) -> &Heard {
        // What is wrong with a request may have keys of its own.
        self.heard.get_or_init(|| Heard::of(&self.envelope.words, matches!(self.status, 401 | 403)))
    }

    /// Whether it has a status that tells of something wrong with the request.
    fn speaks_of_request(&self) -> bool {
        matches!(self.status, 400 | 404 | 413 | 422)
    }

    /// Whether the message says one of these words. What speaks of the request may repeat it, so that only its beginning
    /// counts.
    fn says(&self, words: &[&str]) -> bool {
        let before = if self.speaks_of_request() { OPENING } else { usize::MAX };
        words.iter().any(|word| self.envelope.words.find(word).is_some_and(|at| at < before))
    }
}

impl Answer<'_> {
    /// Whether a row of the answer's status holds and may speak: words of a message that finds fault with the request may be
    /// the client's.
    fn is_judged_by(&self, row: &Row) -> bool {
        row.tests.iter().all(|test| self.holds(test))
            && !(row.verdict == Verdict::KeyInvalid && self.spares_the_key(row))
            && !plain_key::is_beside_it(row, self.status, self.envelope)
            && !(row.verdict != Verdict::RequestFault
                && self.speaks_of_request()
                && row.rests_on_words()
                && of_request::finds_fault(&self.envelope.words))
    }
}

/// The row for an answer. The last rows know every status.
pub(super) fn row_for(status: u16, headers: &HeaderMap, envelope: &Envelope) -> &'static Row {
    let answer = Answer { status, headers, envelope, heard: OnceCell::new() };
    let mut rows =
        rows_of(status).iter().filter(|held| held.may_be_told_by(&envelope.words)).map(|held| held.row);
    rows.find(|row| answer.is_judged_by(row)).unwrap_or(match status {
        400..500 => &REQUEST,
        _ => &UPSTREAM,
    })
}

/// A row that may hold for a status.
#[derive(Debug)]
struct Held {
    row: &'static Row,
    /// The middles of the words of which its message has to say one: that it does not is told sooner by them.
    middles: Option<Box<[u16]>>,
}

impl Held {
    fn may_be_told_by(&self, words: &Words) -> bool {
        self.middles.as_ref().is_none_or(|middles| words.may_have(middles))
    }
}

/// The rows that may hold for a status: most of the table is about others.
fn rows_of(status: u16) -> &'static [Held] {
    /// HTTP's have three digits.
    static BY_STATUS: [OnceLock<Box<[Held]>>; 1000] = [const { OnceLock::new() }; 1000];
    let rows = || {
        let rows = TABLE.iter().flat_map(|rows| rows.iter()).filter(|row| row.may_hold_for(status));
        rows.map(|row| Held { row, middles: row.middles() }).collect()
    };
    BY_STATUS.get(usize::from(status)).map_or(&[], |known| known.get_or_init(rows))
}

/// What the row for an answer is about, and whether that is a model that is denied.
pub(super) fn about(row: &Row, envelope: &Envelope) -> (Scope, bool) {
    let may_be_of_one =
        row.verdict == Verdict::KeyExhausted && row.scope == Scope::Key && !row.rests_on_codes();
    let of_one = if may_be_of_one { of_model::is_of_one(envelope) } else { None };
    let is_denied =
        of_one == Some(true) || row.denied_model || row.denied_if_named && of_model::is_named(envelope);
    let is_of_model = is_denied || of_one.is_some() || row.of_model_if_told && of_model::is_meant(envelope);
    (if is_of_model { Scope::KeyAndModel } else { row.scope }, is_denied)
}

static TABLE: &[&[Row]] = &[
    gateways::ROWS,
    checks::ROWS,
    not_ours::ROWS,
    named_in_request::ROWS,
    stored::ROWS,
    of_relays::ROWS,
    anthropic::ROWS,
    google::ROWS,
    azure::ROWS,
    routers::ROWS,
    china::ROWS,
    others::ROWS,
    openai::ROWS,
    causes_of_use::ROWS,
    causes_of_requests::ROWS,
    causes_of_no_key::ROWS,
    causes_of_way::ROWS,
    causes_of_books::ROWS,
    causes::ROWS,
    causes_of_models::ROWS,
    causes_of_grants::ROWS,
    causes_in_codes::ROWS,
    causes_of_money::ROWS,
    causes_for_now::ROWS,
    causes_of_keys::ROWS,
    causes_of_rights::ROWS,
    causes_abroad::ROWS,
    odd_statuses::ROWS,
    at_once::ROWS,
    causes_of_trouble::ROWS,
    causes_in_codes::LIMITS,
    combined::ROWS,
    types::ROWS,
    types::STATUSES,
];

/// What would be for good, if the answer did not say that it is not.
pub(super) static FOR_NOW: Row =
    row("cause.for_now", "its own words: temporary, or a time when it ends", Verdict::KeyLimited, &[]);
static UPSTREAM: Row = row("status.5xx", SPEC, Verdict::UpstreamFault, &[]);
static REQUEST: Row = row("status.4xx", SPEC, Verdict::RequestFault, &[]);

const fn row(id: &'static str, source: &'static str, verdict: Verdict, tests: &'static [Test]) -> Row {
    let scope = match verdict {
        Verdict::KeyInvalid | Verdict::KeyExhausted | Verdict::KeyLimited => Scope::Key,
        Verdict::UpstreamFault => Scope::Upstream,
        Verdict::RequestFault | Verdict::Success => Scope::Request,
    };
    Row {
        id,
        source,
        tests,
        verdict,
        scope,
        denied_model: false,
        denied_if_named: false,
        of_model_if_told: false,
        of_use: false,
        weak: false,
        barred: false,
        until: None,
        in_china: false,
        brief: false,
    }
}

impl Row {
    /// Whether it may hold for an answer with this status. A 5xx is the upstream's whatever its words say, and about no key of
    /// ours unless a row knows a provider that says so with it. A 429 is a limit, however harsh its words.
    fn may_hold_for(&self, status: u16) -> bool {
        let may_hold = |test: &Test| match test {
            Test::Status(statuses) => is_among(status, statuses),
            Test::Says(_) | Test::Then(..) | Test::Of(..) => status < 500,
            _ => true,
        };
        self.tests.iter().all(may_hold)
            && !(status == 429 && self.verdict == Verdict::KeyInvalid && self.rests_on_words())
            && (status < 500 || !self.verdict.blames_the_key() || self.names(status))
    }

    /// The middles of the fewest words of which a message has to say one, if it has to.
    fn middles(&self) -> Option<Box<[u16]>> {
        let wanted = self.tests.iter().filter_map(|test| match test {
            Test::Says(words) => Some(*words),
            Test::Then(first, second) | Test::Of(first, second) => {
                Some(if second.len() < first.len() { *second } else { *first })
            }
            _ => None,
        });
        let fewest = wanted.min_by_key(|words| words.len())?;
        fewest.iter().map(|word| words::middle(word)).collect()
    }

    /// Whether no code says what it says.
    fn rests_on_words_alone(&self) -> bool {
        self.rests_on_words() && !self.rests_on_codes()
    }

    fn rests_on_codes(&self) -> bool {
        self.tests.iter().any(|test| matches!(test, Test::Code(_) | Test::CodeWith(_) | Test::CodeLike(_)))
    }

    fn names(&self, status: u16) -> bool {
        self.tests.iter().any(|test| matches!(test, Test::Status(statuses) if is_among(status, statuses)))
    }

    fn rests_on_words(&self) -> bool {
        self.tests.iter().any(|test| {
            matches!(test, Test::Says(_) | Test::Then(..) | Test::Of(..) | Test::Told(..) | Test::Speaks(_))
        })
    }

    /// Kept per model.
    const fn of_model(mut self) -> Self {
        self.scope = Scope::KeyAndModel;
        self
    }

    /// "This key may not use that model."
    const fn denied(mut self) -> Self {
        self.denied_model = true;
        self.of_model()
    }

    const fn of_use(mut self) -> Self {
        self.of_use = true;
        self
    }

    const fn denied_if_named(mut self) -> Self {
        self.denied_if_named = true;
        self
    }

    const fn of_model_if_told(mut self) -> Self {
        self.of_model_if_told = true;
        self
    }

    const fn until(mut self, until: Until) -> Self {
        self.until = Some(until);
        self
    }

    const fn in_china(mut self) -> Self {
        self.in_china = true;
        self
    }

    /// Known by words alone, which many say of a limit too.
    const fn brief(mut self) -> Self {
        self.brief = true;
        self
    }

    const fn weak(mut self) -> Self {
        self.weak = true;
        self
    }

    /// "I saw no key", "not in your country". We always send a key: something on the way took it, or the client's token
    /// came in a place where this provider does not look. Neither is the key's fault, nor cured by asking the same
    /// upstream for ever, so that it stays an `upstream_fault` (retried elsewhere) that is believed when it is said twice.
    const fn barred(mut self) -> Self {
        self.barred = true;
        self
    }
}

#[cfg(test)]
mod tests;
