//! The files that come of it: lists of keys for their owner alone, written whole or not at all, and the keys file
//! without its invalid keys.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;

use super::ValidateError;
use super::finding::State;
use super::run::Done;
use crate::keys::file::{KeyTable, key_on};

/// Which line each key stands on.
pub(super) struct Lines {
    /// By the key's index: the number of its first line, from 1.
    first: Vec<usize>,
    /// Further lines with the same key: line and the key's index.
    pub(super) duplicates: Vec<(usize, u32)>,
}

impl Lines {
    pub(super) fn read(path: &Path, keys: &KeyTable) -> Result<Self, ValidateError> {
        let text = fs::read(path).map_err(|source| ValidateError::Write { path: path.into(), source })?;
        let mut lines = Self { first: vec![0; keys.len() as usize], duplicates: Vec::new() };
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let Some(index) = key_on(line).and_then(|key| keys.find(key)) else { continue };
            match lines.first.get_mut(index as usize) {
                Some(first) if *first == 0 => *first = number,
                _ => lines.duplicates.push((number, index)),
            }
        }
        Ok(lines)
    }

    /// The line of a key.
    pub(super) fn of(&self, index: u32) -> usize {
        self.first.get(index as usize).copied().unwrap_or_default()
    }
}

/// Writes `valid_keys.txt`, `invalid_keys.txt`, `duplicate_keys.txt`, and `unknown_keys.txt` if there are any.
pub(super) fn write(folder: &Path, done: &Done, lines: &Lines) -> Result<(), ValidateError> {
    let mut valid = "# Keys that work. Those that are limited for now say so above them.\n".to_owned();
    let mut invalid = "# Keys that don't work, and why.\n".to_owned();
    let mut unknown = "# Keys of which nothing could be found out, and why.\n".to_owned();
    let (mut any_unknown, why) = (false, |text: &mut String, line: usize, why: &str, key: &str| {
        // Writing to a string can't fail, here and below.
        let _ = writeln!(text, "# line {line}: {why}\n{key}");
    });
    for (index, key, finding) in done.all() {
        match finding.state {
            State::Valid => drop(writeln!(valid, "{key}")),
            State::Limited => why(&mut valid, lines.of(index), &finding.why(), key),
            State::OutOfQuota | State::Invalid => why(&mut invalid, lines.of(index), &finding.why(), key),
            State::Unknown => {
                any_unknown = true;
                why(&mut unknown, lines.of(index), &finding.why(), key);
            }
        }
    }
    let mut duplicates = "# Keys that are there more than once: each further line.\n".to_owned();
    for (line, index) in &lines.duplicates {
        let key = done.keys.get(*index);
        let _ = writeln!(duplicates, "# line {line}, first on line {}\n{key}", lines.of(*index));
    }
    replace(&folder.join("valid_keys.txt"), &valid, 0o600)?;
    replace(&folder.join("invalid_keys.txt"), &invalid, 0o600)?;
    replace(&folder.join("duplicate_keys.txt"), &duplicates, 0o600)?;
    let path = folder.join("unknown_keys.txt");
    if any_unknown {
        return replace(&path, &unknown, 0o600);
    }
    // An earlier run's.
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ValidateError::Write { path, source }),
        _ => Ok(()),
    }
}

/// What became of the keys file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// It was left as it was: there is no invalid key in it.
    Nothing,
    /// It was left as it was: no key would remain.
    All,
    /// So many lines were taken out; the file as it was is here.
    Lines(usize, PathBuf),
}

/// Takes the invalid keys' lines out of the keys file. Everything else stays as it is, byte for byte.
pub(super) fn remove_invalid(path: &Path, done: &Done) -> Result<Removed, ValidateError> {
    let failed = |path: &Path, source| ValidateError::Write { path: path.into(), source };
    // Behind a symbolic link is the file that is meant.
    let path = fs::canonicalize(path).map_err(|source| failed(path, source))?;
    let text = fs::read(&path).map_err(|source| failed(&path, source))?;
    let (mut kept, mut removed, mut remain) = (Vec::with_capacity(text.len()), 0, 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let key = key_on(line);
        let is_invalid = key.is_some_and(|key| done.state_of(key) == Some(State::Invalid));
        if is_invalid {
            removed += 1;
            continue;
        }
        remain += usize::from(key.is_some());
        kept.extend_from_slice(line);
    }
    if removed == 0 {
        return Ok(Removed::Nothing);
    }
    if remain == 0 {
        return Ok(Removed::All);
    }
    let mode = fs::metadata(&path).map_err(|source| failed(&path, source))?.permissions().mode() & 0o777;
    let backup = backup_name(&path);
    replace_bytes(&backup, &text, mode)?;
    replace_bytes(&path, &kept, mode)?;
    Ok(Removed::Lines(removed, backup))
}

/// `keys.txt.2026-11-25T04-17-01Z.bak`
fn backup_name(path: &Path) -> PathBuf {
    let now = Timestamp::try_from(SystemTime::now()).unwrap_or_default();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{now:.0}.bak").replace(':', "-"));
    PathBuf::from(name)
}

pub(super) fn replace(path: &Path, text: &str, mode: u32) -> Result<(), ValidateError> {
    replace_bytes(path, text.as_bytes(), mode)
}

/// Writes a file beside the one that is meant and renames it over that: nobody ever sees half of it.
fn replace_bytes(path: &Path, bytes: &[u8], mode: u32) -> Result<(), ValidateError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let write = || -> io::Result<()> {
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&beside);
        ValidateError::Write { path: path.into(), source }
    })
}
