//! The keys file (spec §3): lines → keys, with what was wrong by line number. Leaves noticing changes to the watcher
//! and the state of keys to the pool.
//!
//! A file of a million keys is normal here, so nothing is allocated per key: the file's own buffer, with everything
//! that is no key squeezed out, is what the keys are slices of. It is overwritten when they are dropped.

use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use hashbrown::HashTable;
use zeroize::{Zeroize as _, Zeroizing};

/// A larger file is a mistake, and would not fit `u32` offsets with room to spare.
const LARGEST_FILE: u64 = 1 << 30;

/// A longer line is no key: common servers refuse headers of more than 8 KiB.
const LONGEST_KEY: usize = 8 * 1024;

/// How many line numbers are kept for people to look at.
const LISTED_LINES: usize = 20;

/// What a keys file held: at least one key.
#[derive(Debug)]
pub struct KeyFile {
    /// The keys, in file order.
    pub keys: KeyTable,
    /// How many lines repeated an earlier key.
    pub duplicates: usize,
    /// The lines that can't travel in an HTTP header.
    pub skipped: SkippedLines,
}

impl KeyFile {
    /// What to tell people about the lines that were skipped, if any were.
    pub fn skipped_warning(&self, path: &Path) -> Option<String> {
        let skipped = &self.skipped;
        (skipped.total > 0).then(|| {
            format!(
                "KEYS_FILE: {}: skipped {skipped}: spaces or special characters inside can't travel in an HTTP header",
                path.display()
            )
        })
    }
}

/// The lines that were skipped, by number; never their text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkippedLines {
    /// The first of them, counted from 1.
    pub first: Vec<usize>,
    /// How many there are in all.
    pub total: usize,
}

/// `line 7`, `lines 3 and 7`, `lines 1, 2, 3 and 480 more`.
impl fmt::Display for SkippedLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.total == 1 { "line " } else { "lines " })?;
        let more = self.total.saturating_sub(self.first.len());
        for (position, line) in self.first.iter().enumerate() {
            let separator = match position {
                0 => "",
                _ if more == 0 && position + 1 == self.first.len() => " and ",
                _ => ", ",
            };
            write!(f, "{separator}{line}")?;
        }
        if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
    }
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is no such file.
    #[error(
        "KEYS_FILE: {}: no such file: create it with one key a line, or copy keys.txt.example",
        .path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Docker makes a directory of a mounted file that does not exist: common enough for words of its own.
    #[error(
        "KEYS_FILE: {}: is a directory: it has to be a file with one key a line \
         (Docker creates a directory where a file that it should mount does not exist)",
        .path.display()
    )]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// The system would not let us read it.
    #[error("KEYS_FILE: {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was read, and no key was found.
    #[error("KEYS_FILE: {}: {reason}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with its text.
        reason: Unusable,
    },
}

/// Why a text gives no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Nothing but blank lines, comments and lines that can't be keys.
    #[error("holds no usable key: write one key a line{}", unusable_lines(.skipped))]
    NoKey {
        /// The lines that are no comments and yet can't be keys.
        skipped: SkippedLines,
    },
    /// What Windows' editors call "Unicode".
    #[error("is UTF-16 text: save it as UTF-8")]
    Utf16,
    /// More than 1 GiB.
    #[error("is larger than 1 GiB, which is more than a keys file can be")]
    TooLarge,
}

fn unusable_lines(skipped: &SkippedLines) -> String {
    match skipped.total {
        0 => String::new(),
        _ => format!(" ({skipped} can't travel in an HTTP header: spaces or special characters inside)"),
    }
}

/// Reads a keys file.
///
/// # Errors
/// [`KeyFileError`], each of which names the file and says what to do.
pub fn read(path: &Path) -> Result<KeyFile, KeyFileError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing { path: path.into() },
        io::ErrorKind::IsADirectory => KeyFileError::Directory { path: path.into() },
        _ => KeyFileError::Unreadable { path: path.into(), source },
    };
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len().min(LARGEST_FILE);
    let mut text = Vec::with_capacity(usize::try_from(size + 1).unwrap_or_default());
    // The size is a promise that pipes and growing files don't keep.
    file.take(LARGEST_FILE + 1).read_to_end(&mut text).map_err(unreadable)?;
    parse(text).map_err(|reason| KeyFileError::Unusable { path: path.into(), reason })
}

/// Finds the keys in a keys file's text, which is taken so that it can become the keys' memory.
///
/// # Errors
/// [`Unusable`] if there is not one.
pub fn parse(text: Vec<u8>) -> Result<KeyFile, Unusable> {
    if text.len() as u64 > LARGEST_FILE {
        return Err(Unusable::TooLarge);
    }
    if text.starts_with(&[0xff, 0xfe]) || text.starts_with(&[0xfe, 0xff]) {
        return Err(Unusable::Utf16);
    }
    let mut reading = Reading::new(text);
    while reading.next_line().is_some() {}
    reading.finish()
}

/// The key on a line of a keys file, if there is one.
pub fn key_on(line: &[u8]) -> Option<&str> {
    let key = trim_end(trim_start(line));
    is_key(key).then(|| str::from_utf8(key).ok()).flatten()
}

/// Visible ASCII is what `HeaderValue::from_str` takes, less spaces, which a credential can't have inside.
fn is_key(text: &[u8]) -> bool {
    !text.is_empty()
        && !text.starts_with(b"#")
        && text.len() <= LONGEST_KEY
        && text.iter().all(u8::is_ascii_graphic)
}

/// A text in the course of becoming keys: what lies before `kept` are the keys so far, back to back, what lies
/// behind `position` is still to be read.
struct Reading {
    text: Zeroizing<Vec<u8>>,
    position: usize,
    kept: usize,
    line: usize,
    ends: Vec<u32>,
    by_hash: HashTable<u32>,
    hasher: RandomState,
    duplicates: usize,
    skipped: SkippedLines,
}

impl Reading {
    fn new(text: Vec<u8>) -> Self {
        // Never more keys than lines; and a file of nothing but line feeds must not reserve gigabytes.
        let likely = memchr::memchr_iter(b'\n', &text).count().min(text.len() / 32) + 1;
        Self {
            text: text.into(),
            position: 0,
            kept: 0,
            line: 0,
            ends: Vec::with_capacity(likely),
            by_hash: HashTable::with_capacity(likely),
            hasher: RandomState::new(),
            duplicates: 0,
            skipped: SkippedLines::default(),
        }
    }

    fn next_line(&mut self) -> Option<()> {
        let rest = self.text.get(self.position..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..length)?;
        let key = trim_start(line);
        let start = self.position + (line.len() - key.len());
        let key = trim_end(key);
        self.position += length + 1;
        self.line += 1;
        if key.is_empty() || key.starts_with(b"#") {
            return Some(());
        }
        if !is_key(key) {
            self.skipped.total += 1;
            if self.skipped.first.len() < LISTED_LINES {
                self.skipped.first.push(self.line);
            }
            return Some(());
        }
        let hash = self.hasher.hash_one(key);
        if self.by_hash.find(hash, |&index| slice(&self.text, &self.ends, index) == key).is_some() {
            self.duplicates += 1;
            return Some(());
        }
        let end = start + key.len();
        self.text.copy_within(start..end, self.kept);
        self.kept += end - start;
        let index = u32::try_from(self.ends.len()).ok()?;
        self.ends.push(u32::try_from(self.kept).ok()?);
        self.by_hash
            .insert_unique(hash, index, |&index| self.hasher.hash_one(slice(&self.text, &self.ends, index)));
        Some(())
    }

    fn finish(mut self) -> Result<KeyFile, Unusable> {
        if self.ends.is_empty() {
            return Err(Unusable::NoKey { skipped: self.skipped });
        }
        // What shrinks may move, and leave behind what it was: it is overwritten first.
        if let Some(rest) = self.text.get_mut(self.kept..) {
            rest.zeroize();
        }
        self.text.truncate(self.kept);
        if self.text.capacity() / 2 > self.kept {
            self.text = self.text.to_vec().into();
        }
        self.ends.shrink_to_fit();
        #[expect(clippy::expect_used, reason = "only lines of visible ASCII were kept")]
        let text = String::from_utf8(std::mem::take(&mut *self.text)).expect("keys are ASCII").into();
        let keys = KeyTable { text, ends: self.ends, by_hash: self.by_hash, hasher: self.hasher };
        Ok(KeyFile { keys, duplicates: self.duplicates, skipped: self.skipped })
    }
}

/// The keys of one reading of the file, numbered from 0 in file order; each is there once. Never changes.
pub struct KeyTable {
    text: Zeroizing<String>,
    /// Where each key ends; it begins where the one before it ends.
    ends: Vec<u32>,
    by_hash: HashTable<u32>,
    /// Seeded at random, so that nobody can write a file whose keys collide.
    hasher: RandomState,
}

#[expect(clippy::len_without_is_empty, reason = "a table without keys does not exist")]
impl KeyTable {
    /// How many keys there are: at least one, and fewer than 2³⁰.
    #[expect(clippy::cast_possible_truncation, reason = "no more keys than the file has bytes, which fit")]
    pub fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// The key with this number.
    ///
    /// # Panics
    /// If there is no such key: numbers come from this table.
    #[expect(clippy::string_slice, reason = "the bounds are those of keys, and keys are ASCII")]
    pub fn get(&self, index: u32) -> &str {
        let (start, end) = bounds(&self.ends, index);
        &self.text[start..end]
    }

    /// The number of this key, if it is here.
    pub fn find(&self, key: &str) -> Option<u32> {
        let key = key.as_bytes();
        let same = |&index: &u32| slice(self.text.as_bytes(), &self.ends, index) == key;
        self.by_hash.find(self.hasher.hash_one(key), same).copied()
    }

    /// All keys, in file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// Shows how many there are, and nothing of them.
impl fmt::Debug for KeyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyTable({} keys)", self.len())
    }
}

#[expect(clippy::indexing_slicing, reason = "indices are below ends.len(); `get` documents its panic")]
fn bounds(ends: &[u32], index: u32) -> (usize, usize) {
    let index = index as usize;
    let start = if index == 0 { 0 } else { ends[index - 1] };
    (start as usize, ends[index] as usize)
}

#[expect(clippy::indexing_slicing, reason = "the bounds are those of keys that lie in this text")]
fn slice<'a>(text: &'a [u8], ends: &[u32], index: u32) -> &'a [u8] {
    let (start, end) = bounds(ends, index);
    &text[start..end]
}

/// White space in the sense of Unicode; a BOM also in the middle, where files were put together.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}

fn trim_start(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii_start();
    match line.first() {
        Some(byte) if !byte.is_ascii_graphic() => {
            str::from_utf8(line).map_or(line, |line| line.trim_start_matches(is_blank).as_bytes())
        }
        _ => line,
    }
}

fn trim_end(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii_end();
    match line.last() {
        Some(byte) if !byte.is_ascii_graphic() => {
            str::from_utf8(line).map_or(line, |line| line.trim_end_matches(is_blank).as_bytes())
        }
        _ => line,
    }
}

#[cfg(test)]
mod tests;
