//! Group: a key pool, its upstreams and their policy. One today, built from the environment; nothing may assume
//! that there will never be a second.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::keys::file::{self, KeyFile, KeyFileError};
use crate::keys::journal::{INTERVAL, Journal};
use crate::keys::{KeyPool, States};
use crate::upstream::Upstreams;

/// A key pool + its upstreams + their policy.
pub struct Group {
    /// The keys.
    pub keys: KeyPool,
    /// Where requests go.
    pub upstreams: Upstreams,
    /// `MAX_RETRIES`: attempts after the first.
    pub max_retries: u32,
    /// `MAX_KEY_WAIT`: how long a request waits for a key to come back.
    pub max_key_wait: Duration,
    /// `KEYS_FILE`.
    pub keys_file: PathBuf,
    /// `STATE_FILE`, where one is set.
    pub journal: Option<Journal>,
    /// One reload at a time, from the reading on: of two the later reading stays.
    pub reloading: Mutex<()>,
}

impl Group {
    /// Reads the keys file again. Blocks: it is not for a worker's thread.
    ///
    /// # Errors
    /// If the file can't be read or holds no usable key; keys and states are then as they were.
    pub fn reload(&self, states: States) -> Result<(), KeyFileError> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let file = file::read(&self.keys_file).inspect_err(|error| {
            tracing::error!(error = %error, "the keys file was not reloaded; the keys stay as they were");
        })?;
        warn(&file);
        let (keys, duplicates) = (file.keys.len(), file.duplicates);
        let done = match &self.journal {
            None => self.keys.replace(file.keys, states),
            Some(journal) => journal.replace(&self.keys, file.keys, states),
        };
        tracing::info!(
            keys,
            added = done.added,
            removed = done.removed,
            duplicates,
            states_cleared = states == States::Clear,
            "keys file reloaded"
        );
        Ok(())
    }

    /// Writes what changed to the journal, if there is one. Blocks.
    pub fn write_journal(&self) {
        if let Some(journal) = &self.journal {
            journal.write(&self.keys);
        }
    }
}

/// Keeps the journal up with the keys. Never returns.
///
/// # Cancel safety
/// Dropping it lets a write that has begun run to its end.
pub async fn keep_journal(group: Arc<Group>) {
    let Some(journal) = &group.journal else { return std::future::pending().await };
    loop {
        tokio::time::sleep(INTERVAL).await;
        if journal.is_behind(&group.keys) {
            let group = Arc::clone(&group);
            drop(spawn_blocking(move || group.write_journal()).await);
        }
    }
}

/// Says what was wrong with a keys file that could be used all the same. By line number, never by text.
pub fn warn(file: &KeyFile) {
    if file.skipped.total > 0 {
        tracing::warn!(
            lines = %file.skipped,
            "the keys file has lines that can't travel in an HTTP header (spaces or special characters inside): skipped"
        );
    }
    if file.duplicates > 0 {
        tracing::warn!(
            duplicates = file.duplicates,
            "the keys file has keys more than once: each is used once"
        );
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use std::fs;
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::keys::{CooldownPolicy, PoolPolicy};
    use crate::upstream::BaseUrl;

    #[test]
    fn of_two_reloads_at_once_the_later_reading_stays() {
        let folder = tempfile::tempdir().unwrap();
        let keys_file = folder.path().join("keys.txt");
        fs::write(&keys_file, "sk-first").unwrap();
        let second = Duration::from_secs(1);
        let cooldown = CooldownPolicy { threshold: 1, first: second, longest: second };
        let policy = PoolPolicy { cooldown, probe_interval: None };
        let (keys, _due) = KeyPool::new(file::read(&keys_file).unwrap().keys, policy, 0, false);
        let upstreams = Upstreams::new(vec![BaseUrl::parse("https://one.example").unwrap()]);
        let group = Group {
            keys,
            upstreams,
            max_retries: 0,
            max_key_wait: second,
            keys_file,
            journal: None,
            reloading: Mutex::default(),
        };
        let first = group.reloading.lock().unwrap();
        thread::scope(|scope| {
            let later = scope.spawn(|| group.reload(States::Keep));
            let began = Instant::now();
            while !later.is_finished() && began.elapsed() < Duration::from_millis(200) {
                thread::yield_now();
            }
            fs::write(&group.keys_file, "sk-second").unwrap();
            drop(first);
        });
        assert_eq!(group.keys.find("sk-second"), Some(0));
    }
}
