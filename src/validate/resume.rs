//! What an interrupted run has found out, for the next one: a line a key, written as it is found out. It holds keys, as
//! the lists beside it do, and like them is for its owner alone.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::ValidateError;
use super::finding::{Finding, State};

const NAME: &str = ".validate-keys.resume";
/// What is older says little of today.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// What was asked: another question's answers are of no use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) upstreams: Vec<String>,
    pub(super) model: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    finding: Finding,
}

/// The file that is written to.
pub(super) struct Resume {
    path: PathBuf,
    file: File,
}

impl Resume {
    /// Reads what an earlier run left behind, and goes on writing to it.
    pub(super) fn open(
        folder: &Path,
        asked: &Asked,
        fresh: bool,
    ) -> Result<(Self, HashMap<String, Finding>), ValidateError> {
        let path = folder.join(NAME);
        let failed = |source| ValidateError::Write { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(|source| ValidateError::Write { path: folder.into(), source })?;
        let known = if fresh { None } else { read(&path, asked) };
        let mut options = OpenOptions::new();
        options.create(true).write(true).mode(0o600);
        // Written anew either way: a line that was cut off must not run into the next one.
        let mut file = options.truncate(true).open(&path).map_err(failed)?;
        let known = known.unwrap_or_default();
        let mut text = json(asked);
        for (key, finding) in &known {
            text.push_str(&json(&Line { key: key.clone(), finding: finding.clone() }));
        }
        file.write_all(text.as_bytes()).map_err(failed)?;
        Ok((Self { path, file }, known))
    }

    /// Remembers a finding. That it can't is no reason to stop.
    pub(super) fn note(&mut self, key: &str, finding: &Finding) {
        let line = json(&Line { key: key.to_owned(), finding: finding.clone() });
        let _ = self.file.write_all(line.as_bytes());
    }

    /// The run has come to its end: nothing is left to resume.
    pub(super) fn finish(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn read(path: &Path, asked: &Asked) -> Option<HashMap<String, Finding>> {
    let file = File::open(path).ok()?;
    let modified = file.metadata().ok()?.modified().ok()?;
    if SystemTime::now().duration_since(modified).is_ok_and(|age| age > STALE) {
        return None;
    }
    let mut lines = BufReader::new(file).lines().map_while(Result::ok);
    if serde_json::from_str::<Asked>(&lines.next()?).ok()? != *asked {
        return None;
    }
    let lines = lines.filter_map(|line| serde_json::from_str::<Line>(&line).ok());
    // What was not found out is asked again.
    let known = lines.filter(|line| line.finding.state != State::Unknown);
    Some(known.map(|line| (line.key, line.finding)).collect())
}

fn json(value: &impl Serialize) -> String {
    // Strings and numbers can always be written as JSON.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}
