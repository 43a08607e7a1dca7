//! Where lines end: stdout, and a file that is rotated daily. Nothing that goes wrong here stops anybody.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// How long a file that can't be written is left alone.
const PAUSE: Duration = Duration::from_secs(10);
const DAY: u64 = 24 * 60 * 60;

/// Stdout and maybe a file.
pub(super) struct Sink {
    file: Option<LogFile>,
}

impl Sink {
    pub(super) fn new(file: Option<LogFile>) -> Self {
        Self { file }
    }
}

impl Write for Sink {
    /// Takes whole lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        // Nobody may be reading any more; the proxy goes on.
        let _ = io::stdout().write_all(lines);
        if let Some(file) = &mut self.file {
            file.write(lines, SystemTime::now());
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = io::stdout().flush();
        Ok(())
    }
}

/// The log file of today. Yesterday's is beside it, with its date at the end of its name.
pub(super) struct LogFile {
    path: PathBuf,
    file: Option<File>,
    /// The day of what is in the file, in days since 1970.
    day: u64,
    /// How many of earlier days are kept; `None`: all.
    keep: Option<u32>,
    reopen: Arc<AtomicBool>,
    /// Since when it can't be written.
    failing: Option<Instant>,
}

impl LogFile {
    pub(super) fn open(path: PathBuf, keep: Option<u32>, reopen: Arc<AtomicBool>) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let file = append(&path)?;
        let metadata = file.metadata()?;
        let written = u64::try_from(metadata.mtime()).unwrap_or_default() / DAY;
        let day = if metadata.len() == 0 { today(SystemTime::now()) } else { written };
        Ok(Self { path, file: Some(file), day, keep, reopen, failing: None })
    }

    fn write(&mut self, line: &[u8], now: SystemTime) {
        if self.failing.is_some_and(|since| since.elapsed() < PAUSE) {
            return;
        }
        match self.try_write(line, now) {
            Ok(()) => self.failing = None,
            Err(error) => {
                if self.failing.is_none() {
                    let path = self.path.display();
                    let _ =
                        writeln!(io::stderr(), "LOG_FILE_PATH: {path}: {error}; logging goes on without it");
                }
                self.failing = Some(Instant::now());
                self.file = None;
            }
        }
    }

    fn try_write(&mut self, line: &[u8], now: SystemTime) -> io::Result<()> {
        if self.reopen.swap(false, Ordering::Relaxed) {
            self.file = None;
        }
        if self.day != today(now) {
            self.file = None;
            if self.path.exists() {
                std::fs::rename(&self.path, self.name_of_day())?;
            }
            self.day = today(now);
            self.remove_oldest();
        }
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(append(&self.path)?),
        };
        file.write_all(line)
    }

    /// Removes files of earlier days beyond those that are kept. Other files, whatever their names, are let be.
    fn remove_oldest(&self) {
        let Some(keep) = self.keep else { return };
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let Ok(files) = std::fs::read_dir(folder.unwrap_or(Path::new("."))) else { return };
        let Some(name) = self.path.file_name().and_then(|name| name.to_str()) else { return };
        let mut days: Vec<((String, u32), PathBuf)> = files
            .flatten()
            .filter_map(|file| {
                let day = day_of(file.file_name().to_str()?.strip_prefix(name)?.strip_prefix('.')?)?;
                Some((day, file.path()))
            })
            .collect();
        days.sort_unstable();
        let surplus = days.len().saturating_sub(keep as usize);
        for (_, path) in days.iter().take(surplus) {
            // One that can't be removed is no reason to stop logging.
            let _ = std::fs::remove_file(path);
        }
    }

    /// `app.log.2026-11-23`, or with a number behind it where that is taken.
    fn name_of_day(&self) -> PathBuf {
        let date = Timestamp::try_from(UNIX_EPOCH + Duration::from_secs(self.day * DAY)).unwrap_or_default();
        let date = date.to_string();
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(date.get(..10).unwrap_or_default());
        let numbered = |number: u32| {
            let mut name = name.clone();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        let names = std::iter::once(PathBuf::from(&name)).chain((1..1000).map(numbered));
        // The thousandth restart in a day may overwrite.
        names.into_iter().find(|path| !path.exists()).unwrap_or_else(|| PathBuf::from(&name))
    }
}

/// The date at a file's end, and the number behind it.
fn day_of(end: &str) -> Option<(String, u32)> {
    let (date, number) = end.split_once('.').map_or((end, "0"), |(date, number)| (date, number));
    let is_date = date.len() == 10
        && date
            .bytes()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    is_date.then_some(())?;
    Some((date.to_owned(), number.parse().ok()?))
}

fn append(path: &Path) -> io::Result<File> {
    // What is logged is for its owner alone.
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn today(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / DAY
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_day_gets_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/app.log");
        let mut log = LogFile::open(path.clone(), None, Arc::default()).unwrap();
        let now = SystemTime::now();
        log.write(b"one\n", now);
        log.write(b"two\n", now + Duration::from_secs(DAY));
        log.write(b"three\n", now + Duration::from_secs(DAY));
        assert_eq!(fs::read(&path).unwrap(), b"two\nthree\n");
        let date = Timestamp::try_from(now).unwrap().to_string();
        let yesterdays = format!("app.log.{}", date.get(..10).unwrap());
        assert_eq!(names(path.parent().unwrap()), ["app.log", &yesterdays]);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_oldest_days_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        for name in [
            "app.log.2026-01-01",
            "app.log.2026-01-02",
            "app.log.2026-01-02.1",
            "app.log.old",
            "other.log.2026-01-01",
        ] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let mut log = LogFile::open(path, Some(2), Arc::default()).unwrap();
        let now = SystemTime::now();
        log.write(b"one\n", now);
        log.write(b"two\n", now + Duration::from_secs(DAY));
        let date = Timestamp::try_from(now).unwrap().to_string();
        let yesterdays = format!("app.log.{}", date.get(..10).unwrap());
        let left = ["app.log", "app.log.2026-01-02.1", &yesterdays, "app.log.old", "other.log.2026-01-01"];
        assert_eq!(names(folder.path()), left);
    }

    #[test]
    fn a_file_that_was_moved_away_is_opened_anew_when_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        let reopen = Arc::new(AtomicBool::new(false));
        let mut log = LogFile::open(path.clone(), None, Arc::clone(&reopen)).unwrap();
        let now = SystemTime::now();
        log.write(b"one\n", now);
        fs::rename(&path, folder.path().join("moved")).unwrap();
        log.write(b"two\n", now);
        reopen.store(true, Ordering::Relaxed);
        log.write(b"three\n", now);
        assert_eq!(fs::read(&path).unwrap(), b"three\n");
        assert_eq!(fs::read(folder.path().join("moved")).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn a_disk_that_is_full_stops_nobody() {
        // Linux' own full disk.
        let mut log = LogFile { file: Some(append(Path::new("/dev/full")).unwrap()), ..open_null() };
        log.write(b"lost\n", SystemTime::now());
        assert!(log.failing.is_some());
        log.write(b"not even tried\n", SystemTime::now());
    }

    fn open_null() -> LogFile {
        let day = today(SystemTime::now());
        LogFile {
            path: "/dev/null".into(),
            file: None,
            day,
            keep: None,
            reopen: Arc::default(),
            failing: None,
        }
    }
}
