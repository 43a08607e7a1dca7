//! How the text of one variable becomes a value. Which variable it is, and where it came from, is the reader's
//! business: nothing here names a variable.

use std::fs::File;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use super::Allowed;
use crate::keys::Secret;
use crate::monitor::alert::Webhook;
use crate::upstream::BaseUrl;
use crate::upstream::outbound::OutboundProxy;

/// What is accepted, as the end of the sentence "… is not".
pub(super) mod accepted {
    pub(crate) const FILES: &str = "a whole number from 0 to 100000";
    pub(crate) const WEBHOOK: &str = "a URL that begins with https:// or http://";
    pub(crate) const BASE_URLS: &str = "a base URL, or several separated by commas";
    pub(crate) const CONCURRENCY: &str = "a whole number from 1 to 1000000";
    pub(crate) const COOLDOWN: &str = "a whole number of seconds from 1 to 86400 (a day)";
    pub(crate) const FLAG: &str = "true or false (or 1/0, yes/no, on/off)";
    pub(crate) const FORMAT: &str = "one of text, json";
    pub(crate) const FROM_ONE: &str = "a whole number from 1 to 1000000";
    pub(crate) const HEADERS: &str = "a list of header names separated by commas, or *";
    pub(crate) const HOST: &str = "a host name or an IP address (without a port)";
    pub(crate) const INDEX: &str = "a whole number from 0";
    pub(crate) const LEVEL: &str = "one of debug, info, warn, error";
    pub(crate) const METHODS: &str = "a list of HTTP methods separated by commas, or *";
    pub(crate) const NO_PROXY: &str =
        "a list of host names, addresses and networks separated by commas, or *";
    pub(crate) const ORIGINS: &str = "a list of origins (https://app.example.com) separated by commas, or *";
    pub(crate) const PATH: &str = "a path";
    pub(crate) const PORT: &str = "a port: a whole number from 0 to 65535 (0 = any free port)";
    pub(crate) const PROXY: &str = "the URL of a proxy, http://host:port or socks5://host:port";
    pub(crate) const READABLE_FILE: &str = "a file that can be read";
    pub(crate) const RETRIES: &str = "a whole number from 0 to 1000 (0 = no retries)";
    pub(crate) const SECONDS: &str = "a whole number of seconds from 1 to 31536000 (a year)";
    pub(crate) const SECONDS_OR_NEVER: &str =
        "a whole number of seconds from 0 to 31536000 (a year; 0 = never)";
    pub(crate) const SECONDS_OR_NONE: &str =
        "a whole number of seconds from 0 to 31536000 (a year; 0 = not at all)";
    pub(crate) const SIZE: &str =
        "a size from 1 byte: a whole number, alone or with K, M, G, KiB, MiB or GiB";
    pub(crate) const TOKENS: &str = "a token, or several separated by commas";
    pub(crate) const WORKERS: &str = "a whole number from 1 to 1024";
}

const DAY: u64 = 86_400;
const YEAR: u64 = 365 * DAY;

/// What is wrong with a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is not what is accepted.
    Value,
    /// These things about it, each a sentence without its subject's name. They never quote a secret.
    Parts(Vec<String>),
}

impl From<String> for Wrong {
    fn from(reason: String) -> Self {
        Self::Parts(vec![reason])
    }
}

/// A text in quotes for people: control characters escaped, not longer than a line.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

pub(super) fn proxy(text: &str) -> Result<OutboundProxy, Wrong> {
    OutboundProxy::parse(text.trim())
        .map_err(|reason| Wrong::from(format!("the value is not {}: {reason}", accepted::PROXY)))
}

pub(super) fn whole<N: FromStr + PartialOrd>(
    range: RangeInclusive<N>,
) -> impl FnOnce(&str) -> Result<N, Wrong> {
    move |text| {
        let number = text.trim();
        // `parse` would take a plus sign.
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse().ok().filter(|number| digits && range.contains(number)).ok_or(Wrong::Value)
    }
}

pub(super) fn seconds(text: &str) -> Result<Duration, Wrong> {
    whole(1..=YEAR)(text).map(Duration::from_secs)
}

pub(super) fn seconds_or_zero(text: &str) -> Result<Duration, Wrong> {
    whole(0..=YEAR)(text).map(Duration::from_secs)
}

pub(super) fn cooldown(text: &str) -> Result<Duration, Wrong> {
    // No provider's wait is believed beyond a day (spec §6), nor is ours.
    whole(1..=DAY)(text).map(Duration::from_secs)
}

pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).ok_or(Wrong::Value)?;
    let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return Err(Wrong::Value),
    };
    number.parse().ok().and_then(|n: u64| n.checked_mul(factor)).filter(|size| *size > 0).ok_or(Wrong::Value)
}

pub(super) fn flag(text: &str) -> Result<bool, Wrong> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(Wrong::Value),
    }
}

pub(super) fn one_of<T: Copy>(names: &[(&str, T)]) -> impl FnOnce(&str) -> Result<T, Wrong> {
    move |text| {
        let found = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim()));
        found.map(|(_, value)| *value).ok_or(Wrong::Value)
    }
}

pub(super) fn path(text: &str) -> Result<PathBuf, Wrong> {
    let path = text.trim();
    if path.is_empty() || path.contains('\0') { Err(Wrong::Value) } else { Ok(path.into()) }
}

pub(super) fn readable_file(text: &str) -> Result<PathBuf, Wrong> {
    let path = path(text)?;
    let about = |reason: &str| Wrong::from(format!("{}: {reason}", path.display()));
    let file = File::open(&path).map_err(|error| about(&error.to_string()))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(about("is a directory, not a file"));
    }
    Ok(path)
}

/// A name or an address as `ToSocketAddrs` takes it: IPv6 without its brackets.
pub(super) fn host(text: &str) -> Result<String, Wrong> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    // A zone (`fe80::1%eth0`) is the resolver's business.
    let (address, zone) = bare.split_once('%').map_or((bare, None), |(address, zone)| (address, Some(zone)));
    let right = match address.parse() {
        Ok(IpAddr::V6(_)) => zone != Some(""),
        Ok(IpAddr::V4(_)) => zone.is_none() && bare == text,
        Err(_) => zone.is_none() && bare == text && is_host_name(bare),
    };
    if right { Ok(bare.to_owned()) } else { Err(Wrong::Value) }
}

fn is_host_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    // A name whose last part is a number is an address with a mistake in it (256.1.1.1).
    let number = |last: &str| last.bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(label) && !name.rsplit('.').next().is_some_and(number)
}

pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Reads every item, and says what is wrong with every one that is. A list of nothing is not accepted: `AUTH_KEY=,`
/// must not mean the same as no `AUTH_KEY`.
fn list<T>(text: &str, mut read: impl FnMut(usize, &str) -> Result<T, String>) -> Result<Vec<T>, Wrong> {
    let (mut values, mut reasons) = (Vec::new(), Vec::new());
    for (number, item) in (1..).zip(items(text)) {
        match read(number, item) {
            Ok(value) => values.push(value),
            Err(reason) => reasons.push(reason),
        }
    }
    match (values.is_empty(), reasons.is_empty()) {
        (_, false) => Err(Wrong::Parts(reasons)),
        (true, true) => Err(Wrong::Value),
        (false, true) => Ok(values),
    }
}

pub(super) fn tokens(text: &str) -> Result<Vec<Secret>, Wrong> {
    list(text, |number, token| {
        // What a client can put behind `Bearer `.
        if token.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Secret::new(token))
        } else {
            Err(format!(
                "token {number} can't travel in an HTTP header: use visible ASCII characters, and no spaces"
            ))
        }
    })
}

pub(super) fn webhook(text: &str) -> Result<Webhook, Wrong> {
    Webhook::parse(text.trim()).ok_or(Wrong::Value)
}

pub(super) fn base_urls(text: &str) -> Result<Vec<BaseUrl>, Wrong> {
    list(text, |number, url| {
        BaseUrl::parse(url).map_err(|reason| {
            // A password can have a comma in it, so that an item with half of it looks harmless.
            let named = if text.contains('@') { format!("URL {number}") } else { without_query(url) };
            format!("{named} is not a base URL: {reason}")
        })
    })
}

fn without_query(url: &str) -> String {
    match url.split_once('?') {
        Some((address, _)) => quoted(&format!("{address}?…")),
        None => quoted(url),
    }
}

fn allowed<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Allowed<T>, Wrong> {
    let values = list(text, |_, item| if item == "*" { Ok(None) } else { read(item).map(Some) })?;
    // `None` is the star, and it takes in all the others.
    Ok(values.into_iter().collect::<Option<_>>().map_or(Allowed::Any, Allowed::These))
}

pub(super) fn methods(text: &str) -> Result<Allowed<Method>, Wrong> {
    allowed(text, |name| {
        Method::from_bytes(name.to_ascii_uppercase().as_bytes())
            .map_err(|_| format!("{} is not an HTTP method", quoted(name)))
    })
}

pub(super) fn headers(text: &str) -> Result<Allowed<HeaderName>, Wrong> {
    allowed(text, |name| {
        HeaderName::from_str(name).map_err(|_| format!("{} is not a header's name", quoted(name)))
    })
}

pub(super) fn origins(text: &str) -> Result<Allowed<HeaderValue>, Wrong> {
    allowed(text, |written| {
        origin(written).map_err(|reason| format!("{} is not an origin: {reason}", quoted(written)))
    })
}

/// An origin as browsers send it: lower case, without the scheme's own port, without a path. Schemes of apps and
/// browser extensions are origins too, which is why no URL parser decides.
fn origin(written: &str) -> Result<HeaderValue, String> {
    let lower = written.to_ascii_lowercase();
    if lower == "null" {
        return Ok(HeaderValue::from_static("null"));
    }
    let (scheme, authority) = lower
        .split_once("://")
        .filter(|(scheme, authority)| !scheme.is_empty() && !authority.is_empty())
        .ok_or("it has to look like https://app.example.com")?;
    if authority.contains('*') {
        return Err("patterns are not supported: list each origin, or write * alone for all".to_owned());
    }
    if let Some(end) = authority.find(['/', '?', '#', '@']) {
        let host = authority.get(..end).filter(|host| !host.is_empty()).unwrap_or("host");
        return Err(format!("it is scheme, host and port alone: {scheme}://{host}"));
    }
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let origin = format!("{scheme}://{}", authority.strip_suffix(default_port).unwrap_or(authority));
    let sendable = origin.bytes().all(|byte| byte.is_ascii_graphic());
    let value = HeaderValue::try_from(origin).ok().filter(|_| sendable);
    value.ok_or_else(|| "it has a character that a browser would have encoded".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_in_any_case() {
        for (texts, want) in [
            (["true", "1", "YES", " On "], Ok(true)),
            (["False", "0", "no", "OFF"], Ok(false)),
            (["", "2", "enable", "truee"], Err(Wrong::Value)),
        ] {
            for text in texts {
                assert_eq!(flag(text), want, "{text:?}");
            }
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, want) in [
            ("1", Ok(1)),
            ("16MiB", Ok(16 << 20)),
            ("16m", Ok(16 << 20)),
            ("2 K", Ok(2048)),
            ("2kib", Ok(2048)),
            ("1G", Ok(1 << 30)),
            (" 1GiB ", Ok(1 << 30)),
            ("0", Err(Wrong::Value)),
            ("0K", Err(Wrong::Value)),
            ("", Err(Wrong::Value)),
            ("MiB", Err(Wrong::Value)),
            ("1.5M", Err(Wrong::Value)),
            ("16MB", Err(Wrong::Value)),
            ("-1", Err(Wrong::Value)),
            ("17179869184GiB", Err(Wrong::Value)),
        ] {
            assert_eq!(size(text), want, "{text:?}");
        }
    }

    #[test]
    fn numbers_keep_to_their_range() {
        for (text, want) in [
            ("1", Ok(1)),
            ("007", Ok(7)),
            (" 10 ", Ok(10)),
            ("0", Err(Wrong::Value)),
            ("11", Err(Wrong::Value)),
            ("+5", Err(Wrong::Value)),
            ("-5", Err(Wrong::Value)),
            ("5s", Err(Wrong::Value)),
            ("", Err(Wrong::Value)),
            ("99999999999999999999", Err(Wrong::Value)),
        ] {
            assert_eq!(whole(1_u32..=10)(text), want, "{text:?}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for (text, want) in [
            ("0.0.0.0", Some("0.0.0.0")),
            ("::", Some("::")),
            ("[::]", Some("::")),
            ("[::1]", Some("::1")),
            ("fe80::1%eth0", Some("fe80::1%eth0")),
            ("localhost", Some("localhost")),
            ("my_host.example.", Some("my_host.example.")),
            ("", None),
            ("*", None),
            ("256.1.1.1", None),
            ("1.2.3.4:80", None),
            ("[1.2.3.4]", None),
            ("[localhost]", None),
            ("::1%", None),
            ("1.2.3.4%eth0", None),
            ("http://localhost", None),
            ("a b", None),
            ("a..b", None),
        ] {
            assert_eq!(host(text).ok().as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn origins_become_what_browsers_send() {
        for (text, want) in [
            ("*", Allowed::Any),
            ("https://a, *", Allowed::Any),
            ("https://App.Example.com:443", Allowed::These(vec!["https://app.example.com"])),
            (" http://a:80 ,,http://a:8080,", Allowed::These(vec!["http://a", "http://a:8080"])),
            ("null,app://obsidian.md", Allowed::These(vec!["null", "app://obsidian.md"])),
        ] {
            let read = origins(text).unwrap();
            match (read, want) {
                (Allowed::Any, Allowed::Any) => {}
                (Allowed::These(read), Allowed::These(want)) => assert_eq!(read, want),
                (read, want) => panic!("{text:?}: {read:?} is not {want:?}"),
            }
        }
        for (text, reason) in [
            ("app.example.com", "has to look like"),
            ("https://a/", "alone: https://a"),
            ("https://*.a", "patterns"),
            ("https://ü", "encoded"),
        ] {
            assert!(matches!(origins(text), Err(Wrong::Parts(parts)) if parts.concat().contains(reason)));
        }
    }

    #[test]
    fn a_list_says_what_is_wrong_with_each_item() {
        let Err(Wrong::Parts(parts)) = base_urls("foo, https://ok, ftp://x?key=sk-1") else { panic!() };
        assert_eq!(
            parts,
            [
                "\"foo\" is not a base URL: it has to begin with https:// or http://",
                "\"ftp://x?…\" is not a base URL: it has to begin with https:// or http://",
            ]
        );
        assert_eq!(base_urls(" , "), Err(Wrong::Value));
        assert_eq!(tokens(","), Err(Wrong::Value));
    }

    #[test]
    fn no_part_of_a_password_is_quoted() {
        let Err(Wrong::Parts(parts)) = base_urls("https://user:pass,word@h,foo") else { panic!() };
        let told = parts.concat();
        assert!(told.contains("URL 1") && !told.contains("pass,") && !told.contains("word@"), "{told}");
        let Err(Wrong::Parts(parts)) = tokens("good,bad token") else { panic!() };
        assert!(parts.concat().starts_with("token 2 can't travel") && !parts.concat().contains("bad token"));
    }

    #[test]
    fn long_values_are_cut_where_they_are_quoted() {
        assert_eq!(quoted("a\n\""), "\"a\\n\\\"\"");
        assert_eq!(quoted(&"ü".repeat(100)).chars().count(), 83);
    }
}
