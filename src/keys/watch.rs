//! Notices that the keys file changed on disk. By looking at it twice a second: that sees edits, renames over it and
//! Kubernetes' symbolic links alike, on every file system and through every mount, which notifications do not.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

/// How often it looks. A change counts once it has been still for that long, so that no half-written file is read.
const INTERVAL: Duration = Duration::from_millis(500);

/// What tells one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    /// The version that is there now; `None` if there is none.
    pub fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::from(&metadata))
    }
}

impl From<&Metadata> for Version {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Calls `changed` whenever the file is another than the one that was last read. Never returns.
pub async fn run(path: &Path, mut read: Option<Version>, changed: impl AsyncFn()) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = read;
    loop {
        ticks.tick().await;
        let now = Version::of(path);
        if now.is_some() && now != read && now == before {
            read = now;
            changed().await;
        }
        before = now;
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn edits_renames_and_swapped_links_are_noticed_once_each() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.txt");
        let target = |name: &str, text: &str| {
            let target = folder.path().join(name);
            fs::write(&target, text).unwrap();
            target
        };
        fs::write(&path, "a").unwrap();
        let changes = Cell::new(0);
        let read = Version::of(&path);
        let test = async {
            let settled = || tokio::time::sleep(INTERVAL * 3);
            settled().await;
            assert_eq!(changes.get(), 0);
            fs::write(&path, "a\nb").unwrap();
            settled().await;
            assert_eq!(changes.get(), 1, "an edit");
            fs::rename(target("new", "a\nc"), &path).unwrap();
            settled().await;
            assert_eq!(changes.get(), 2, "a rename");
            fs::remove_file(&path).unwrap();
            settled().await;
            assert_eq!(changes.get(), 2, "a missing file is no change");
            std::os::unix::fs::symlink(target("one", "d"), &path).unwrap();
            settled().await;
            assert_eq!(changes.get(), 3, "a file that is back");
            std::os::unix::fs::symlink(target("two", "e"), folder.path().join("link")).unwrap();
            fs::rename(folder.path().join("link"), &path).unwrap();
            settled().await;
            assert_eq!(changes.get(), 4, "a link that points elsewhere");
        };
        tokio::select! {
            () = run(&path, read, async || changes.set(changes.get() + 1)) => unreachable!(),
            () = test => {}
        }
    }
}
