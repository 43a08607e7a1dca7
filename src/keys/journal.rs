//! `STATE_FILE`: an append-only file of which keys are out, and why, so that a restart, a crash and a `kill -9` forget
//! at most the last second (spec §7). Written on the background's threads, never on a worker's. Appends are left to
//! the system to bring to the disk, since they need only outlive the process; what a power cut leaves of them is told
//! by their checksums.

mod record;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::mem;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use self::record::{Contents, Out, Record, Records, Salt, millis, put};
use super::blacklist::Changed;
use super::file::KeyTable;
use super::pool::KeyPool;
use super::reload::{Replaced, States};

/// How long a change may wait to be written.
pub const INTERVAL: Duration = Duration::from_millis(250);
/// How long after a failure the next write is tried.
const RETRY: Duration = Duration::from_secs(5);
/// A file is compacted when it has so many lines beside twice those that it needs.
const SLACK: usize = 1000;

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
#[error("STATE_FILE: {}: {problem}: {source}", path.display())]
pub struct JournalError {
    path: PathBuf,
    problem: &'static str,
    source: io::Error,
}

/// The journal of a pool.
pub struct Journal {
    path: PathBuf,
    /// The upstreams' URLs, by index.
    upstreams: Vec<String>,
    /// Another process may go on with the file.
    leaves: AtomicBool,
    inner: Mutex<Inner>,
}

struct Inner {
    salt: Salt,
    /// `None`: what is there can't be added to, so all has to be written anew.
    file: Option<File>,
    /// When that may be tried again.
    retry_at: Option<Instant>,
    /// How many lines there are, and how many the last compaction left.
    lines: usize,
    compacted: usize,
    /// Where keys stand that are not in the keys file: they may be put back.
    absent: Records,
}

impl Journal {
    /// Opens the file, or makes it; sets aside in the pool the keys that it says are out, and compacts it.
    ///
    /// # Errors
    /// If it can't be read or written. A damaged file is none: it is set aside, and a new one begun.
    pub fn open(path: &Path, upstreams: Vec<String>, keys: &KeyPool) -> Result<Self, JournalError> {
        let fail = |problem, source| JournalError { path: path.to_owned(), problem, source };
        // What is replaced must be the file, not a link to it.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        // It is replaced when it is compacted, and a device or a pipe would be too.
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(fail("can't be used", io::Error::other("it is no regular file")));
        }
        let contents = match File::open(&path) {
            Ok(file) => read(file, &path).map_err(|error| fail("can't be read", error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(fail("can't be read", error)),
        };
        let (salt, absent) = match contents {
            Some(contents) => (contents.salt, contents.records),
            None => (Salt::random().map_err(|error| fail("can't be made", error))?, Records::default()),
        };
        let mut inner = Inner { salt, file: None, retry_at: None, lines: 0, compacted: 0, absent };
        let restored = inner.join(keys, &upstreams);
        inner.compact(&path, keys, &upstreams).map_err(|error| {
            fail(
                "can't be written (its folder has to be writable too, and it can't be a mount by itself)",
                error,
            )
        })?;
        tracing::info!(path = %path.display(), restored, "the keys' states were restored");
        Ok(Self { path, upstreams, leaves: AtomicBool::new(false), inner: Mutex::new(inner) })
    }

    /// Writes what changed. Blocks: it is not for a worker's thread.
    pub fn write(&self, keys: &KeyPool) {
        let mut inner = self.lock();
        let changes = keys.take_changes();
        if inner.file.is_some() && changes.is_empty() {
            return;
        }
        if inner.retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let leaves = self.leaves.load(Ordering::Relaxed);
        let written = inner.append(&self.path, leaves, keys, changes, &self.upstreams);
        let full = inner.lines > inner.compacted * 2 + SLACK && !leaves;
        let done = match written {
            Ok(true) if !full => Ok(()),
            _ => inner.compact(&self.path, keys, &self.upstreams),
        };
        self.note(&mut inner, &done);
    }

    /// The process ends. What it still learns is added to the file of the one that has taken its place, if one has.
    pub fn leave(&self) {
        self.leaves.store(true, Ordering::Relaxed);
    }

    /// Whether there is something to [write](Self::write).
    pub fn is_behind(&self, keys: &KeyPool) -> bool {
        // While a reload holds it, nobody is behind: this runs where the clock does, and must not wait.
        keys.has_changes() || self.inner.try_lock().is_ok_and(|inner| inner.file.is_none())
    }

    /// Replaces the pool's keys, and brings the file after it before anything else is written. Keys that leave are
    /// remembered, keys that are put back get their state, a reset forgets all. Blocks.
    pub fn replace(&self, keys: &KeyPool, table: KeyTable, states: States) -> Replaced {
        let mut inner = self.lock();
        let before: Vec<_> = match states {
            States::Clear => Vec::new(),
            States::Keep => keys
                .blacklisted()
                .into_iter()
                .filter_map(|told| Some((keys.expose(told.index)?, told)))
                .collect(),
        };
        let done = keys.replace(table, states);
        if states == States::Clear {
            inner.absent.clear();
        }
        inner.join(keys, &self.upstreams);
        let now = millis(SystemTime::now());
        for (key, told) in before.into_iter().filter(|(key, _)| keys.find(key).is_none()) {
            let mut out = Out::of(&told, &key, &self.upstreams);
            out.absent_since = Some(now);
            let hash = inner.salt.hash(&key);
            put(&mut inner.absent, hash, told.model, Some(out));
        }
        let compacted = inner.compact(&self.path, keys, &self.upstreams);
        self.note(&mut inner, &compacted);
        done
    }

    fn note(&self, inner: &mut Inner, done: &io::Result<()>) {
        match done {
            Ok(()) if inner.retry_at.take().is_some() => {
                tracing::info!(path = %self.path.display(), "STATE_FILE is written again");
            }
            Ok(()) => {}
            Err(error) => {
                inner.file = None;
                if inner.retry_at.replace(Instant::now() + RETRY).is_none() {
                    let path = self.path.display();
                    tracing::warn!(%path, %error, "STATE_FILE can't be written: trying on, and serving meanwhile");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Sets aside the keys in the pool that were absent so far. Returns how many.
    fn join(&mut self, keys: &KeyPool, upstreams: &[String]) -> usize {
        let now = SystemTime::now();
        let mut joined = 0;
        for index in 0..u32::try_from(keys.total()).unwrap_or(u32::MAX) {
            if self.absent.is_empty() {
                break;
            }
            let Some(key) = keys.expose(index) else { break };
            let Some(of_key) = self.absent.remove(&self.salt.hash(&key)) else { continue };
            for (model, out) in of_key.into_iter().filter(|(_, out)| out.matters(now)) {
                let about = Changed { index, model: model.clone() };
                // What the pool has learnt meanwhile is newer.
                if let Some(told) = out.told(index, model, now, upstreams)
                    && keys.blacklisted_key(&about).is_none()
                {
                    keys.set_aside(&told);
                    joined += 1;
                }
            }
        }
        joined
    }

    /// Adds what changed to the file; false if it can't be added to.
    fn append(
        &mut self,
        path: &Path,
        leaves: bool,
        keys: &KeyPool,
        changes: Vec<Changed>,
        upstreams: &[String],
    ) -> io::Result<bool> {
        // In a restart two processes have the file: each writes it anew as it knows the keys, so that it is one's or the
        // other's, and the one that stays has the last word.
        if self.file.as_ref().is_some_and(|file| !is_at(file, path)) {
            self.file = if leaves { open_with(&self.salt, path) } else { None };
        }
        let Some(file) = &mut self.file else { return Ok(false) };
        let (mut seen, mut lines, mut count) = (HashSet::new(), Vec::new(), 0);
        // What is written is where a key stands now, so once is enough.
        for changed in changes.into_iter().filter(|changed| seen.insert(changed.clone())) {
            let Some(key) = keys.expose(changed.index) else { continue };
            let told = keys.blacklisted_key(&changed);
            let out = told.map(|told| Out::of(&told, &key, upstreams));
            let record = Record { key: self.salt.hash(&key), model: changed.model, out };
            self.salt.write(&record, &mut lines)?;
            count += 1;
        }
        file.write_all(&lines)?;
        self.lines += count;
        Ok(true)
    }

    /// Writes the file anew, with what it has to hold and no more: whatever happens meanwhile, either the old or the
    /// new one is there.
    fn compact(&mut self, path: &Path, keys: &KeyPool, upstreams: &[String]) -> io::Result<()> {
        self.file = None;
        // What changes from here on is in the list or among the next changes.
        drop(keys.take_changes());
        let mut name = path.as_os_str().to_owned();
        // Another process may do so at the same time.
        name.push(format!(".{}.new", process::id()));
        let new = PathBuf::from(name);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = self.write_anew(&new, keys, upstreams);
        let (file, count) = written
            .and_then(|written| fs::rename(&new, path).map(|()| written))
            .inspect_err(|_| drop(fs::remove_file(&new)))?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            // Some file systems can't: then the old file may be there after a power cut.
            drop(File::open(folder).and_then(|folder| folder.sync_all()));
        }
        (self.file, self.lines, self.compacted) = (Some(file), count, count);
        Ok(())
    }

    /// Writes all that the file has to hold to a new one. Gives it, and how many lines it has.
    fn write_anew(&mut self, new: &Path, keys: &KeyPool, upstreams: &[String]) -> io::Result<(File, usize)> {
        let now = SystemTime::now();
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(new)?;
        let mut writer = BufWriter::new(file);
        writer.write_all(self.salt.header().as_bytes())?;
        let (mut count, mut line) = (0, Vec::new());
        let mut write = |record: &Record| {
            count += 1;
            line.clear();
            self.salt.write(record, &mut line)?;
            writer.write_all(&line)
        };
        for told in keys.blacklisted() {
            let Some(key) = keys.expose(told.index) else { continue };
            let out = Some(Out::of(&told, &key, upstreams));
            write(&Record { key: self.salt.hash(&key), model: told.model, out })?;
        }
        let mut absent = Records::default();
        for (key, of_key) in mem::take(&mut self.absent) {
            for (model, mut out) in of_key {
                out.absent_since.get_or_insert(millis(now));
                if out.matters(now) {
                    put(&mut absent, key, model, Some(out));
                }
            }
        }
        self.absent = absent;
        for (key, of_key) in &self.absent {
            for (model, out) in of_key {
                write(&Record { key: *key, model: model.clone(), out: Some(out.clone()) })?;
            }
        }
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok((file, count))
    }
}

/// Whether a path still leads to an open file.
fn is_at(file: &File, path: &Path) -> bool {
    let places = (file.metadata(), fs::metadata(path));
    let (Ok(open), Ok(there)) = places else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

/// Opens a file to add to, if what is added under this salt can be read from it.
fn open_with(salt: &Salt, path: &Path) -> Option<File> {
    let mut file = OpenOptions::new().read(true).append(true).open(path).ok()?;
    let mut header = vec![0; salt.header().len()];
    file.read_exact(&mut header).ok()?;
    (header == salt.header().as_bytes()).then_some(file)
}

/// What the file holds; `None`, and out of the way, if it is damaged from its beginning on.
fn read(file: File, path: &Path) -> io::Result<Option<Contents>> {
    let empty = file.metadata()?.len() == 0;
    let contents = Contents::read(BufReader::new(file))?;
    match &contents {
        Some(contents) if contents.damaged > 0 => {
            let (path, lines) = (path.display(), contents.damaged);
            tracing::warn!(%path, lines, "STATE_FILE has damaged lines: left out");
        }
        None if !empty => {
            let mut name = path.as_os_str().to_owned();
            name.push(".damaged");
            fs::rename(path, &name)?;
            let (path, now) = (path.display(), Path::new(&name).display());
            tracing::warn!(%path, now = %now, "STATE_FILE is damaged: set aside, all keys begin anew");
        }
        _ => {}
    }
    Ok(contents)
}

#[cfg(all(test, not(feature = "loom")))]
mod tests;
