//! What stands in a journal: a header with the file's salt, then one record a line, each with a checksum and complete
//! in itself, the last of a key and model counting. Keys are there as HMAC-SHA256 under the salt, never as text.

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::time::{Duration, SystemTime};

use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

use super::super::blacklist::Blacklisted;
use super::super::roster::Cause;
use super::super::state::{Effect, LONGEST_COOLDOWN};

/// What every journal begins with.
const HEADER: &str = "gpt-load-state 1";
/// No header is longer.
const HEADER_MAX: u64 = 128;

/// A key, unrecognisable.
pub(super) type Hash = u128;

/// Where keys stand: by key, for all models or for one.
pub(super) type Records = HashMap<Hash, Vec<(Option<Box<str>>, Out)>>;

/// A key's standing in one respect.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Record {
    #[serde(serialize_with = "hex", deserialize_with = "unhex")]
    pub(super) key: Hash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<Box<str>>,
    /// None: it is back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) out: Option<Out>,
}

/// Why a key is out. Times are milliseconds of the wall clock.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Out {
    effect: Box<str>,
    /// None: for good.
    until: Option<u64>,
    since: u64,
    /// When the key was first missing from the keys file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) absent_since: Option<u64>,
    fail_count: u32,
    cooldowns: u32,
    rule: Box<str>,
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<Box<str>>,
    error: Box<str>,
    /// In milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wait: Option<u64>,
    wait_from: Option<Box<str>>,
    /// The upstream's URL: its index may be another after a restart.
    upstream: Option<Box<str>>,
    #[serde(default)]
    of_credit: bool,
}

impl Out {
    /// As the pool tells of `key`.
    pub(super) fn of(told: &Blacklisted, key: &str, upstreams: &[String]) -> Self {
        let upstream = told.cause.upstream.and_then(|index| upstreams.get(index));
        Self {
            effect: told.effect.tag().into(),
            until: told.recovers_at.map(millis),
            since: millis(told.blacklist_at),
            absent_since: None,
            fail_count: told.fail_count,
            cooldowns: told.cooldowns,
            rule: told.cause.rule.clone(),
            status: told.cause.status,
            code: told.cause.code.as_deref().map(|code| without(code, key)),
            error: without(&told.cause.error, key),
            wait: told.cause.wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            wait_from: told.cause.wait_from.clone(),
            upstream: upstream.map(|url| url.as_str().into()),
            of_credit: told.cause.of_credit,
        }
    }

    /// As the pool is told; `None` for an effect that this version does not know.
    pub(super) fn told(
        &self,
        index: u32,
        model: Option<Box<str>>,
        now: SystemTime,
        upstreams: &[String],
    ) -> Option<Blacklisted> {
        let upstream = self.upstream.as_deref();
        Some(Blacklisted {
            index,
            preview: String::new(),
            model,
            effect: Effect::tagged(&self.effect)?,
            permanent: self.until.is_none(),
            // A clock that was set back must not make a minute a year.
            blacklist_at: time(self.since).min(now),
            recovers_at: self.until.map(|until| time(until).min(now + LONGEST_COOLDOWN)),
            fail_count: self.fail_count,
            cooldowns: self.cooldowns,
            cause: Cause {
                rule: self.rule.clone(),
                status: self.status,
                code: self.code.clone(),
                error: self.error.clone(),
                wait: self.wait.map(Duration::from_millis),
                wait_from: self.wait_from.clone(),
                upstream: upstreams.iter().position(|url| upstream == Some(url.as_str())),
                of_credit: self.of_credit,
            },
        })
    }

    /// Whether it still matters: what is for good does for a day longer than its key is in the file.
    pub(super) fn matters(&self, now: SystemTime) -> bool {
        match (self.until, self.absent_since) {
            (Some(until), _) => time(until) > now,
            (None, Some(since)) => time(since) + LONGEST_COOLDOWN > now,
            (None, None) => true,
        }
    }
}

/// A file's salt, and what is made with it.
pub(super) struct Salt {
    salt: [u8; 16],
    key: hmac::Key,
}

impl Salt {
    fn from(salt: [u8; 16]) -> Self {
        Self { salt, key: hmac::Key::new(hmac::HMAC_SHA256, &salt) }
    }

    /// A new one.
    pub(super) fn random() -> io::Result<Self> {
        let mut salt = [0; 16];
        SystemRandom::new().fill(&mut salt).map_err(|_| io::Error::other("the system has no randomness"))?;
        Ok(Self::from(salt))
    }

    /// The line that a file begins with.
    pub(super) fn header(&self) -> String {
        let told = format!("{HEADER} {:032x}", u128::from_be_bytes(self.salt));
        format!("{told} {:016x}\n", self.checksum(told.as_bytes()))
    }

    fn read(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let (told, _) = line.trim_end().rsplit_once(' ')?;
        let salt = u128::from_str_radix(told.rsplit_once(' ')?.1, 16).ok()?;
        let salt = Self::from(salt.to_be_bytes());
        (salt.header() == line).then_some(salt)
    }

    fn tag(&self, about: &[u8], text: &[u8]) -> Hash {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(about);
        context.update(text);
        let tag = context.sign();
        tag.as_ref().iter().take(16).fold(0, |hash, byte| hash << 8 | Hash::from(*byte))
    }

    /// What stands for a key.
    pub(super) fn hash(&self, key: &str) -> Hash {
        self.tag(b"key ", key.as_bytes())
    }

    fn checksum(&self, text: &[u8]) -> u64 {
        (self.tag(b"line ", text) >> 64) as u64
    }

    /// Appends a record's line.
    pub(super) fn write(&self, record: &Record, lines: &mut Vec<u8>) -> io::Result<()> {
        let json = serde_json::to_vec(record)?;
        lines.extend_from_slice(format!("{:016x} ", self.checksum(&json)).as_bytes());
        lines.extend_from_slice(&json);
        lines.push(b'\n');
        Ok(())
    }

    fn record(&self, line: &[u8]) -> Option<Record> {
        let (checksum, json) = line.split_at_checked(16)?;
        let json = json.strip_prefix(b" ")?;
        let checksum = u64::from_str_radix(std::str::from_utf8(checksum).ok()?, 16).ok()?;
        if checksum != self.checksum(json) {
            return None;
        }
        serde_json::from_slice(json).ok()
    }
}

/// What a file holds.
pub(super) struct Contents {
    pub(super) salt: Salt,
    pub(super) records: Records,
    /// Lines that were damaged, and are left out.
    pub(super) damaged: usize,
}

impl Contents {
    /// Reads a file; `None` if its header is damaged, or of another kind of file.
    pub(super) fn read(mut file: impl BufRead) -> io::Result<Option<Self>> {
        let mut header = Vec::new();
        io::Read::take(&mut file, HEADER_MAX).read_until(b'\n', &mut header)?;
        let Some(salt) = Salt::read(&header) else { return Ok(None) };
        let mut contents = Self { salt, records: Records::default(), damaged: 0 };
        for line in file.split(b'\n') {
            match contents.salt.record(&line?) {
                Some(Record { key, model, out }) => put(&mut contents.records, key, model, out),
                None => contents.damaged += 1,
            }
        }
        Ok(Some(contents))
    }
}

/// Notes where a key stands, in the place of what was noted before.
pub(super) fn put(records: &mut Records, key: Hash, model: Option<Box<str>>, out: Option<Out>) {
    let of_key = records.entry(key).or_default();
    of_key.retain(|(other, _)| *other != model);
    of_key.extend(out.map(|out| (model, out)));
    if of_key.is_empty() {
        records.remove(&key);
    }
}

/// `text` without the words that tell something of the key: itself, its preview, or what a provider makes of it
/// (`sk-proj-****cdef`).
fn without(text: &str, key: &str) -> Box<str> {
    let head: String = key.chars().take(6).collect();
    let tail: String = key.chars().skip(key.chars().count().saturating_sub(4)).collect();
    let tells = |word: &str| word.contains(&head) || word.contains(&tail);
    text.split(' ').map(|word| if tells(word) { "****" } else { word }).collect::<Vec<_>>().join(" ").into()
}

pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn time(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn hex<S: serde::Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{hash:032x}"))
}

fn unhex<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    Hash::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
}
