//! The headers that tell how much of a limit is left and when it is whole again: OpenAI's, Anthropic's, Groq's,
//! Mistral's, Cerebras', Together's, Cohere's, OpenRouter's, and the forms of the IETF's draft.

use std::iter;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName};

use super::dates;
use super::rules::Until;
use super::wait::{self, Wait};

/// From how many requests on nobody keeps count of them.
const FEW: f64 = 32.0;

/// What an answer's headers say of the answers to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Nothing remains of a limit, or of several: the time until the last of them is whole again.
    pub spent: Option<Wait>,
    /// The smallest number of requests that remain, where the provider tells.
    pub remaining_requests: Option<u32>,
    /// Where these are few: the time until the last of their limits is whole again, if the provider tells.
    pub whole_in: Option<Duration>,
    /// The limits are kept per model.
    pub per_model: bool,
}

/// What any answer's headers, even a 200's, say of the limits ahead; `None` where they say nothing.
///
/// It is asked of every answer: without such headers it is one look at each name's beginning. A limit of tokens is spent
/// when less is left than a request costs, as far as that is known (`price`, else 0). `now` is asked for only where a
/// limit is spent, or nearly: and so is how long ago the request was sent (`since_sent`), since what is said of a limit
/// that is whole again by now says nothing any more.
pub fn ahead(
    headers: &HeaderMap,
    price: u32,
    now: impl FnOnce() -> SystemTime,
    since_sent: impl FnOnce() -> Duration,
) -> Option<Ahead> {
    let mut ahead = None;
    let mut any_scarce = false;
    for (name, value) in headers {
        if !is_of_limit(name.as_str()) {
            continue;
        }
        let Some(left) = value.to_str().ok().and_then(|value| remaining(name.as_str(), value)) else {
            continue;
        };
        let known = ahead.get_or_insert(Ahead {
            spent: None,
            remaining_requests: None,
            whole_in: None,
            per_model: false,
        });
        known.per_model = known.per_model || is_per_model(name);
        let price = if is_of_tokens(name.as_str()) { f64::from(price) } else { 0.0 };
        any_scarce |= left <= FEW * price.max(1.0);
        if is_of_requests(name.as_str()) || price > 0.0 {
            let left = requests(left, price);
            known.remaining_requests = Some(known.remaining_requests.map_or(left, |known| known.min(left)));
        }
    }
    if any_scarce && let Some(ahead) = &mut ahead {
        look_closer(ahead, headers, price, wait::their_time(headers, now()), since_sent());
    }
    ahead
}

/// How many requests fit into what is left; `price` is 0 where requests are what is counted.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float's cast saturates")]
fn requests(left: f64, price: f64) -> u32 {
    let requests = if price > 0.0 { left / price } else { left };
    requests as u32
}

/// Little is left of a limit: whether that is still so, and until when nothing is.
#[cold]
fn look_closer(ahead: &mut Ahead, headers: &HeaderMap, price: u32, now: SystemTime, since_sent: Duration) {
    ahead.spent = spent(headers, price)
        .filter(|window| !window.is_over(now, since_sent))
        .filter_map(|window| window.wait(now))
        .filter(|wait| !wait.is_zero())
        .max()
        .map(|wait| Wait { duration: wait.min(wait::LONGEST), from: "reset header" });
    (ahead.remaining_requests, ahead.whole_in) = (None, None);
    for line in lines(headers, is_of_limit) {
        let price = if is_of_tokens(line.name) { f64::from(price) } else { 0.0 };
        if !is_of_requests(line.name) && price == 0.0 {
            continue;
        }
        let Some((left, window)) = line.scarcest().filter(|(_, window)| !window.is_over(now, since_sent))
        else {
            continue;
        };
        let requests = requests(left, price);
        ahead.remaining_requests =
            Some(ahead.remaining_requests.map_or(requests, |least| least.min(requests)));
        if f64::from(requests) <= FEW {
            ahead.whole_in = ahead.whole_in.max(window.wait(now));
        }
    }
}

/// What is left of a limit, and when it is whole again.
pub(super) struct Window<'a> {
    left: &'a str,
    reset: Option<&'a str>,
    /// The window's length, where its name tells it.
    length: Option<Duration>,
    /// The calendar's day or month that it is of, where its name tells it.
    calendar: Option<Until>,
}

impl Window<'_> {
    /// The time until it is whole again, zero if that is past.
    pub(super) fn wait(&self, now: SystemTime) -> Option<Duration> {
        let told = self.reset.and_then(|reset| wait::moment_or_length(reset, now)).or(self.length);
        told.or_else(|| dates::next(self.calendar?, now))
    }

    /// Whether it has become whole again since the request was sent. A reset of zero tells nothing.
    fn is_over(&self, now: SystemTime, since_sent: Duration) -> bool {
        let from_then = now.checked_sub(since_sent).and_then(|sent| self.wait(sent));
        from_then.is_some_and(|wait| !wait.is_zero() && wait <= since_sent)
    }
}

/// How many tokens are left, where that was too few: of a limit's smaller half, while requests are left.
pub fn too_few_tokens(headers: &HeaderMap) -> Option<u32> {
    let mut fewest: Option<f64> = None;
    for line in lines(headers, is_of_limit) {
        let Some((left, _)) = line.scarcest() else { continue };
        if !is_of_tokens(line.name) {
            if left <= 0.0 {
                return None;
            }
        } else if line.is_smaller_half(left) {
            fewest = Some(fewest.map_or(left, |fewest| fewest.min(left)));
        }
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float's cast saturates")]
    fewest.map(|left| left as u32)
}

/// The limits of which nothing is left, or fewer tokens than `price`.
pub(super) fn spent(headers: &HeaderMap, price: u32) -> impl Iterator<Item = Window<'_>> {
    lines(headers, is_of_any_limit).flat_map(move |line| line.spent(f64::from(price)))
}

/// A line that may say what is left of a limit, or of several.
#[derive(Clone, Copy)]
struct Line<'a> {
    headers: &'a HeaderMap,
    name: &'a str,
    /// How many lines with the same name stand before it.
    nth: usize,
    value: &'a str,
}

fn lines(headers: &HeaderMap, is_meant: fn(&str) -> bool) -> impl Iterator<Item = Line<'_>> {
    headers.keys().map(HeaderName::as_str).filter(move |name| is_meant(name)).flat_map(move |name| {
        let values = headers.get_all(name).iter().enumerate();
        values.filter_map(move |(nth, value)| Some(Line { headers, name, nth, value: value.to_str().ok()? }))
    })
}

impl<'a> Line<'a> {
    /// The line with another name that stands beside this one: of several the one at the same place.
    fn beside(self, name: &str) -> Option<&'a str> {
        let line = self.headers.get_all(name).iter().nth(self.nth).or_else(|| self.headers.get(name));
        line.and_then(|value| value.to_str().ok())
    }

    fn limit(self) -> Option<&'a str> {
        self.beside(&self.name.replace("remaining", "limit"))
    }

    /// Whether less than half of a limit is left: what does not fit into more than that is the request's own size.
    fn is_smaller_half(self, left: f64) -> bool {
        let limit = self.limit().and_then(|limit| limit.trim().parse().ok());
        limit.is_some_and(|limit: f64| left < limit / 2.0)
    }

    /// The limit of which it says that least is left, and how much of it is.
    fn scarcest(self) -> Option<(f64, Window<'a>)> {
        remaining(self.name, self.value)?;
        let windows = self.windows().into_iter();
        windows
            .filter_map(|window| Some((number(window.left)?, window)))
            .min_by(|(left, _), (other, _)| left.total_cmp(other))
    }

    /// The limits of which nothing is left, or too little.
    fn spent(self, price: f64) -> Vec<Window<'a>> {
        let is_of_tokens = is_of_tokens(self.name);
        let is_spent = |left| left <= 0.0 || left < price && is_of_tokens && self.is_smaller_half(left);
        if !remaining(self.name, self.value).is_some_and(is_spent) {
            return Vec::new();
        }
        let mut windows = self.windows();
        windows.retain(|window| number(window.left).is_some_and(is_spent));
        windows
    }

    /// The limits of which it says what is left. None where the limit is 0 or less: so some say "unlimited".
    fn windows(self) -> Vec<Window<'a>> {
        let (name, value) = (self.name, self.value);
        if name == "ratelimit" {
            let of_policy = |policy| {
                let left = item(policy, &["remaining", "r"])?;
                Some(Window { left, reset: item(policy, &["reset", "t"]), length: None, calendar: None })
            };
            return policies(value).filter_map(of_policy).collect();
        }
        let (length, calendar) = (length(name), calendar(name));
        let most = if value.contains(LIST) { usize::MAX } else { 1 };
        let resets = self.reset(calendar).unwrap_or_default().splitn(most, LIST);
        let limits = self.limit().unwrap_or_default().split(LIST).chain(iter::repeat(""));
        let windows = value.splitn(most, LIST).zip(resets).zip(limits);
        windows
            .filter(|(_, limit)| limit.trim() != "0" && !limit.trim().starts_with('-'))
            .map(|((left, reset), _)| Window { left, reset: Some(reset), length, calendar })
            .collect()
    }

    fn reset(self, calendar: Option<Until>) -> Option<&'a str> {
        let named = |word| self.beside(&self.name.replace("remaining", word));
        let bare = match () {
            // Mistral's is the minute's, not the month's.
            () if self.name.contains("bysize") => calendar.is_none().then_some("ratelimitbysize-reset"),
            () if self.name.starts_with('r') => Some("ratelimit-reset"),
            () => Some("x-ratelimit-reset"),
        };
        named("reset")
            .or_else(|| named("reset-after"))
            .or_else(|| self.beside(bare?))
            .or_else(|| self.beside("ratelimit-reset"))
            // Azure's, which names no reset beside it: a window is over when as much time is.
            .or_else(|| named("renewalperiod"))
    }
}

/// Resets of limits of which the answer does not say what is left.
pub(super) fn resets_without_remaining(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let remaining = |reset: &str| reset.trim_end_matches("-after").replace("reset", "remaining");
    headers
        .iter()
        .filter(|(name, _)| is_of_any_limit(name.as_str()) && name.as_str().contains("reset"))
        .filter(move |(name, _)| !headers.contains_key(remaining(name.as_str())))
        .filter(|(name, _)| !is_of_all(headers, name.as_str()))
        .filter(|(name, _)| !is_left_of_subscription(headers, name.as_str()))
        .filter_map(|(_, value)| value.to_str().ok())
}

/// Whether it is the reset of the limits of which the answer says what is left, each by its name.
fn is_of_all(headers: &HeaderMap, reset: &str) -> bool {
    let of_each = match reset {
        "x-ratelimit-reset" => "x-ratelimit-remaining-",
        "ratelimit-reset" => "ratelimit-remaining-",
        _ => return false,
    };
    headers.keys().any(|name| name.as_str().starts_with(of_each))
}

/// Anthropic's subscriptions tell with a word whether a window is spent, or how much of it is used. What may be paid for
/// beyond them is no window.
fn is_left_of_subscription(headers: &HeaderMap, reset: &str) -> bool {
    let text = |word| headers.get(reset.replace("reset", word)).and_then(|value| value.to_str().ok());
    let is_left = || text("utilization")?.parse().ok().map(|used: f64| used < 1.0);
    reset.contains("overage")
        || text("status").map_or_else(|| is_left() == Some(true), |status| status.starts_with("allowed"))
}

/// Resets of the windows that an Anthropic subscription has spent, as it says itself.
pub(super) fn resets_of_rejected(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .iter()
        .filter(|(name, value)| name.as_str().starts_with(UNIFIED) && value.as_bytes() == b"rejected")
        .filter(|(name, _)| !name.as_str().contains("overage"))
        .filter_map(|(name, _)| headers.get(name.as_str().strip_suffix("status")?.to_owned() + "reset"))
        .filter_map(|value| value.to_str().ok())
}

const UNIFIED: &str = "anthropic-ratelimit-unified-";

/// Gateways' own limits too: they are looked for where something is refused or spent, not in every answer.
fn is_of_any_limit(name: &str) -> bool {
    is_of_limit(name) || name.starts_with("helicone-ratelimit-") || name.starts_with("x-ai-ratelimit-")
}

/// Told from a name's beginning: nearly every header fails at its first bytes.
fn is_of_limit(name: &str) -> bool {
    match name.as_bytes() {
        [b'x', _, b'r', ..] => name.starts_with("x-ratelimit") || name.starts_with("x-rate-limit-"),
        // Cohere's, of its trial keys.
        [b'x', _, b't', ..] => name.starts_with("x-tokenlimit-") || name.starts_with("x-trial-endpoint-"),
        // Not `anthropic-fast-`: without its fast mode the key serves on.
        [b'a', ..] => name.starts_with("anthropic-ratelimit-"),
        [b'r', ..] => name.starts_with("ratelimit"),
        _ => false,
    }
}

/// What is left by this header, of the limit of which least is.
fn remaining(name: &str, value: &str) -> Option<f64> {
    let left = match name {
        "ratelimit" => {
            let left = |policy| number(item(policy, &["remaining", "r"])?);
            return policies(value).filter_map(left).min_by(f64::total_cmp);
        }
        // Not `timeremaining`.
        _ if name.contains("-remaining") => value,
        _ => return None,
    };
    number(left).or_else(|| least(left))
}

/// As much as that. Less than nothing is how Azure says "no limit".
fn number(left: &str) -> Option<f64> {
    left.trim().parse().ok().filter(|left: &f64| *left >= 0.0)
}

/// Between the limits of a header that tells of several: in "1,000" it is one number.
const LIST: &str = ", ";

/// What is left of that of several limits of which least is: `0, 1000`.
#[cold]
fn least(numbers: &str) -> Option<f64> {
    let numbers = numbers.contains(LIST).then(|| numbers.split(LIST))?;
    numbers.filter_map(number).min_by(f64::total_cmp)
}

/// The limits of a `RateLimit` header: `"burst";r=5;t=3, "day";r=0;t=99`, or the old form, in which it is one.
fn policies(value: &str) -> impl Iterator<Item = &str> {
    let is_list = value.contains(';');
    value.split(move |c| is_list && c == ',')
}

/// A member of `limit=100, remaining=0, reset=30` or `"default";r=0;t=30`.
fn item<'a>(value: &'a str, names: &[&str]) -> Option<&'a str> {
    let members = value.split([',', ';']).filter_map(|member| member.trim().split_once('='));
    members.filter(|(name, _)| names.contains(name)).map(|(_, value)| value).next()
}

fn is_of_tokens(name: &str) -> bool {
    // Mistral's limits by size count tokens.
    name.contains("token") || name.contains("bysize")
}

fn is_of_requests(name: &str) -> bool {
    name.contains("req") || !is_of_tokens(name) && !name.contains("remaining-")
}

/// Where only the account is limited, names say no more than the window.
fn is_per_model(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.contains("requests") || is_of_tokens(name) || name.contains("dynamic") || counts_for_model(name)
}

/// Whether it names what it counts, and that is no window and nothing of the account's.
#[cold]
fn counts_for_model(name: &str) -> bool {
    let counted = name.rsplit_once("remaining").map_or("", |(_, counted)| counted.trim_start_matches('-'));
    let of_account =
        ["second", "minute", "hour", "day", "daily", "week", "month", "year", "credit", "budget"];
    let is_window = counted.is_empty() || counted.starts_with(|first: char| first.is_ascii_digit());
    !is_window && !of_account.iter().any(|word| counted.contains(word))
}

fn length(name: &str) -> Option<Duration> {
    let windows = [("second", 1), ("minute", 60), ("hour", 3600)];
    let of_name = windows.iter().find(|(window, _)| name.ends_with(window));
    of_name.map(|(_, seconds)| Duration::from_secs(*seconds))
}

fn calendar(name: &str) -> Option<Until> {
    let windows = [("day", Until::UtcMidnight), ("month", Until::NextMonth)];
    windows.iter().find(|(window, _)| name.ends_with(window)).map(|(_, until)| *until)
}

#[cfg(test)]
mod tests;
