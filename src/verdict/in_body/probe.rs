//! The members that tell an error from an answer, at the top of a JSON object.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::InBody;
use super::told::{goes_on, is_success, is_well, tells_of_error};

/// What is longer is no code, nor said in passing.
pub(super) const LONGEST_CODE: usize = 128;

/// A member, unparsed.
type Raw<'a> = Option<&'a RawValue>;

/// What a member is for, whatever it is called.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Member {
    Error,
    Errors,
    /// What others call an error.
    Err,
    Fault,
    #[serde(rename = "type")]
    Kind,
    Status,
    Object,
    Success,
    /// Whether it went well.
    #[serde(alias = "isSuccess", alias = "is_success", alias = "Success")]
    Ok,
    /// The same, if that is all it says.
    Result,
    BaseResp,
    Header,
    #[serde(
        alias = "error_code",
        alias = "errcode",
        alias = "err_code",
        alias = "ErrorCode",
        alias = "errorCode",
        alias = "errno",
        alias = "err_no",
        alias = "ret",
        alias = "retcode",
        alias = "ret_code",
        alias = "resultCode",
        alias = "returnCode",
        alias = "infocode"
    )]
    Code,
    #[serde(rename = "statusCode", alias = "status_code", alias = "http_code")]
    StatusCode,
    #[serde(rename = "Response")]
    Response,
    #[serde(
        alias = "msg",
        alias = "error_msg",
        alias = "error_message",
        alias = "errmsg",
        alias = "err_msg",
        alias = "errMsg",
        alias = "ErrorMessage",
        alias = "errorMessage"
    )]
    Message,
    /// What may say what is wrong as well.
    #[serde(alias = "title", alias = "detail", alias = "info", alias = "description")]
    Reason,
    /// It is of something that was made.
    #[serde(alias = "created", alias = "created_at")]
    Id,
    #[serde(alias = "taskId", alias = "job_id", alias = "jobId")]
    TaskId,
    /// What was asked for.
    #[serde(
        alias = "data",
        alias = "output",
        alias = "content",
        alias = "candidates",
        alias = "results",
        alias = "embeddings",
        alias = "embedding",
        alias = "predictions",
        alias = "images",
        alias = "image",
        alias = "audio",
        alias = "video"
    )]
    Answer,
    Choices,
    Text,
    #[serde(other)]
    Other,
}

/// The members that tell an error from an answer.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "answers to as many questions")]
pub(super) struct Probe<'a> {
    error: Raw<'a>,
    errors: Raw<'a>,
    kind: Raw<'a>,
    status: Raw<'a>,
    object: Raw<'a>,
    success: Raw<'a>,
    base_resp: Raw<'a>,
    header: Raw<'a>,
    response: Raw<'a>,
    choices: Raw<'a>,
    /// It has an error that is not called so, or what may be one.
    has_err: bool,
    may_be_err: bool,
    /// It says that it went well, or that it did not.
    is_ok: bool,
    is_not_ok: bool,
    /// It has a code that is not "all well".
    has_bad_code: bool,
    /// It has a message, and that is a text; or it is a text that says that all is well.
    has_message: bool,
    is_said: bool,
    is_well: bool,
    /// Something else says why, or says anything.
    has_reason: bool,
    has_remark: bool,
    /// Its message is of an error for certain.
    tells_of_error: bool,
    /// It is the state of something.
    has_id: bool,
    has_task: bool,
    has_answer: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Probe<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Probe<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut probe = Probe::default();
        while let Some(member) = members.next_key()? {
            probe.note(&member, members.next_value()?);
        }
        Ok(probe)
    }
}

impl<'a> Probe<'a> {
    fn note(&mut self, member: &Member, value: Raw<'a>) {
        match member {
            Member::Error => self.error = value,
            Member::Errors => self.errors = value,
            Member::Err => {
                self.has_err |= is_err(value);
                self.may_be_err |= may_be_err(value);
            }
            Member::Fault => self.has_err |= is_fault(value),
            Member::Kind => self.kind = value,
            Member::Status => self.status = value,
            Member::Object => self.object = value,
            Member::Success => {
                self.success = value;
                self.is_not_ok |= is(value, &["\"false\""]);
            }
            Member::Ok => {
                self.is_ok |= is(value, &["true"]);
                self.is_not_ok |= is(value, &["false"]);
            }
            Member::Result => {
                self.is_not_ok |= is(value, &["false"]);
                self.has_answer |= is_true(value);
            }
            Member::BaseResp => self.base_resp = value,
            Member::Header => self.header = value,
            Member::Code => self.has_bad_code |= value.is_some_and(|code| is_bad_code(code.get())),
            Member::StatusCode => self.has_bad_code |= value.is_some_and(|code| is_bad_status(code.get())),
            Member::Response => self.response = value,
            Member::Message => {
                self.has_message |= is_true(value);
                self.is_said |= is_said(value);
                self.is_well |= value.is_some_and(|value| is_well(value.get()) || goes_on(value.get()));
                self.tells_of_error |= tells(value);
            }
            Member::Reason => {
                self.has_remark |= is_said(value);
                self.has_reason |= tells(value);
                self.is_well |= value.is_some_and(|value| is_well(value.get()));
            }
            Member::Id => self.has_id |= is_true(value),
            Member::TaskId => self.has_task |= is_true(value),
            Member::Answer => self.has_answer |= is_true(value),
            Member::Text => self.has_answer |= is_true(value) && !is(value, &["\"[DONE]\""]),
            Member::Choices => {
                self.choices = value;
                self.has_answer |= is_true(value);
            }
            Member::Other => {}
        }
    }

    pub(super) fn told(&self) -> InBody {
        match () {
            () if self.is_error() => InBody::Error,
            () if self.has_status() || self.has_errors() || self.has_failed() => InBody::Complaint,
            () => InBody::Answer,
        }
    }

    fn is_error(&self) -> bool {
        // A fine-tuning job or a batch that failed is an answer. New API names no object where it has none.
        let is_of_job = self.object.is_some_and(|object| match object.get() {
            "\"error\"" | "\"response\"" | "\"text_completion\"" | "\"\"" => false,
            "\"list\"" => self.has_answer,
            object => !object.starts_with("\"chat."),
        });
        if is_of_job {
            return false;
        }
        is_error(self.error)
            || is(self.object, &["\"error\""])
            || is(self.kind, &["\"error\"", "\"response.failed\"", "\"response.error\""])
            || is(self.success, &["false"])
            || self.has_code()
            || self.response.is_some_and(|response| is_tencents_error(response.get()))
            || self.base_resp.is_some_and(|resp| names_a_status(resp.get()))
            || self.header.is_some_and(|header| names_a_code(header.get())) && !self.has_answer
            || self.choices.is_some_and(|choices| is_broken_off(choices.get()))
    }

    /// A code that is not "all well", a message that is not either, and nothing that was asked for. What has a task was done,
    /// if it does not say otherwise: asked for again, it would be done twice.
    fn has_code(&self) -> bool {
        let is_done = self.has_task && !(self.tells_of_error || self.has_reason);
        self.has_bad_code
            && (self.has_message || self.has_reason)
            && !(is_done || self.says_well() || self.has_answer)
    }

    fn says_well(&self) -> bool {
        self.is_well || self.is_ok || is(self.success, &["true", "\"true\""])
    }

    /// GraphQL's list of what is wrong, and nothing that was asked for.
    fn has_errors(&self) -> bool {
        let has_objects = |errors: &str| errors.strip_prefix('[')?.trim_start().strip_prefix('{').map(drop);
        self.errors.is_some_and(|errors| has_objects(errors.get()).is_some()) && !self.has_answer
    }

    /// "error" or an error's status as its status, a message in words, and nothing that was asked for.
    fn has_status(&self) -> bool {
        let is_failure = |status: &RawValue| {
            is(Some(status), &["\"error\"", "\"Error\""]) || is_status_of_failure(status.get())
        };
        self.status.is_some_and(is_failure) && self.is_said && !self.has_answer
    }

    /// It says no more than that it failed, and why: nothing was asked for that has an id, or went on. A flag may be the
    /// answer, and what stands beside it a remark.
    fn has_failed(&self) -> bool {
        let failed = ["error", "fail", "failed", "failure"];
        let is_failed = |status: &RawValue| {
            let status = status.get();
            let word = status.trim_matches('"');
            status == "false" || failed.iter().any(|failed| word.eq_ignore_ascii_case(failed))
        };
        let is_refused = self.status.is_some_and(|status| is_status_of_failure(status.get()));
        let is_told = self.is_said || self.has_reason;
        let has_err = self.has_err || self.may_be_err && self.is_said;
        let is_flagged = self.is_not_ok || self.status.is_some_and(is_failed);
        let is_error = has_err
            || is_refused && (is_told || self.has_remark)
            || is_flagged && is_told && !self.is_event();
        let is_of_something = self.has_id || self.has_task || self.object.is_some();
        is_error && !(is_of_something || self.says_well() || self.has_answer)
    }

    /// It is a step on the way, of a type of its own: more follows.
    fn is_event(&self) -> bool {
        let is_step = |kind: &RawValue| {
            let kind = kind.get().to_ascii_lowercase();
            !["err", "fail", "exception", ":"].iter().any(|word| kind.contains(word))
        };
        is_said(self.kind) && self.kind.is_some_and(is_step) && !tells(self.kind)
    }
}

fn is(value: Raw<'_>, texts: &[&str]) -> bool {
    value.is_some_and(|value| texts.contains(&value.get()))
}

/// As the SDKs have it: there, and not empty. An object in which nothing says anything is empty too: some relays send one
/// with every answer.
fn is_true(value: Raw<'_>) -> bool {
    has_any(value, |value| !is_empty(value))
}

/// The same of an error: one that says that there is none is none.
fn is_error(value: Raw<'_>) -> bool {
    has_any(value, |value| !is_empty(value) && !is_fine(value) && !is_success(value))
}

fn tells(value: Raw<'_>) -> bool {
    value.is_some_and(|value| tells_of_error(value.get()))
}

/// What is called `err` may be a deviation as well: as an error it has words, or says what it is.
fn is_err(value: Raw<'_>) -> bool {
    tells(value) || is_fault(value)
}

/// The same, beside a message.
fn may_be_err(value: Raw<'_>) -> bool {
    let is_number = |value: &RawValue| value.get().contains('.');
    is_error(value) && !value.is_some_and(|value| is_number(value) && !is_said(Some(value)))
}

/// Apigee's, and whoever else calls an error so: there are faults that are somebody's.
fn is_fault(value: Raw<'_>) -> bool {
    #[derive(Deserialize)]
    struct Fault<'a> {
        #[serde(borrow, alias = "faultstring", alias = "msg")]
        message: Raw<'a>,
    }
    let fault = value.and_then(|value| serde_json::from_str::<Fault<'_>>(value.get()).ok());
    fault.is_some_and(|fault| is_said(fault.message) && is_error(fault.message))
}

fn has_any(value: Raw<'_>, is_there: fn(&str) -> bool) -> bool {
    let Some(text) = value.map(RawValue::get) else { return false };
    if text.starts_with('{') {
        serde_json::from_str::<HashMap<Cow<'_, str>, &RawValue>>(text)
            .is_ok_and(|fields| fields.into_values().any(|value| is_there(value.get())))
    } else {
        is_there(text)
    }
}

fn is_empty(value: &str) -> bool {
    let is_open = |open, close| value.strip_prefix(open).is_some_and(|rest| rest.trim_start() == close);
    ["null", "false", "\"\"", "0"].contains(&value) || is_open('{', "}") || is_open('[', "]")
}

/// "All well" as a code, or in place of an error.
fn is_fine(value: &str) -> bool {
    let code = value.trim_matches('"');
    let words = ["ok", "success", "succeeded", "none", "null", "nil", "false", "n/a", "no error"];
    !code.is_empty() && code.bytes().all(|byte| byte == b'0')
        || ["200", "201", "202", "20000", "200000"].contains(&code)
        || words.iter().any(|word| code.eq_ignore_ascii_case(word))
}

/// A code that is not "all well", and no text: a program is called its code, too.
fn is_bad_code(value: &str) -> bool {
    let code = value.strip_prefix('"').and_then(|code| code.strip_suffix('"')).unwrap_or(value);
    let is_of_code = |letter: char| letter.is_alphanumeric() || "_-.:/# ".contains(letter);
    !is_empty(value)
        && !is_fine(value)
        && value != "true"
        && code.len() <= LONGEST_CODE
        && code.chars().all(is_of_code)
}

/// The same of a code that may be HTTP's.
fn is_bad_status(value: &str) -> bool {
    let is_good = value.trim_matches('"').parse().is_ok_and(|status: u16| (100..400).contains(&status));
    !is_good && is_bad_code(value)
}

/// 4xx or 5xx, as a number or as a text.
fn is_status_of_failure(status: &str) -> bool {
    status.trim_matches('"').parse().is_ok_and(|status: u16| (400..600).contains(&status))
}

/// A text that says what is wrong, as far as can be told.
pub(super) fn is_error_told(value: &RawValue) -> bool {
    is_said(Some(value)) && !is_well(value.get())
}

/// A text with something in it.
fn is_said(value: Raw<'_>) -> bool {
    value.is_some_and(|value| value.get().starts_with('"') && value.get().len() > 2)
}

fn names_a_status(base_resp: &str) -> bool {
    #[derive(Deserialize)]
    struct BaseResp {
        status_code: i64,
    }
    serde_json::from_str::<BaseResp>(base_resp).is_ok_and(|resp| resp.status_code != 0)
}

/// iFlytek's header: beside what was asked for, which is left out of an error.
fn names_a_code(header: &str) -> bool {
    #[derive(Deserialize)]
    struct Header {
        code: i64,
        #[serde(rename = "message")]
        _message: String,
    }
    serde_json::from_str::<Header>(header).is_ok_and(|header| header.code != 0)
}

fn is_tencents_error(response: &str) -> bool {
    #[derive(Deserialize)]
    struct Response<'a> {
        #[serde(borrow, rename = "Error")]
        error: Raw<'a>,
    }
    serde_json::from_str::<Response<'_>>(response).is_ok_and(|response| is_true(response.error))
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    error: Raw<'a>,
    #[serde(borrow)]
    finish_reason: Raw<'a>,
}

fn is_broken_off(choices: &str) -> bool {
    serde_json::from_str::<Vec<Choice<'_>>>(choices).is_ok_and(|choices| {
        choices.first().is_some_and(|choice| {
            let reasons = ["\"error\"", "\"insufficient_system_resource\""];
            is_true(choice.error)
                || choice.finish_reason.is_some_and(|reason| reasons.contains(&reason.get()))
        })
    })
}
