//! What `gpt-load check` prints: the effective configuration, redacted, and everything that is wrong or strange
//! about it and about the keys file.

use std::fmt;
use std::path::Path;

use super::documents::groups;
use super::reader::Setting;
use super::{ConfigErrors, Loaded};
use crate::keys::file;

/// A report in the making: what else is found wrong can be added before it is printed.
#[derive(Debug)]
pub struct Report {
    /// What is strange, a line each.
    pub warnings: Vec<String>,
    /// What keeps gpt-load from starting, a line each.
    pub problems: Vec<String>,
    settings: Vec<Setting>,
    keys: Option<String>,
}

/// Reports on a configuration, and on the keys file that it names.
pub fn report(loaded: Result<Loaded, ConfigErrors>) -> Report {
    let (problems, warnings, settings) = match loaded {
        Ok(loaded) => (Vec::new(), loaded.warnings, loaded.settings),
        Err(errors) => (errors.problems, errors.warnings, errors.settings),
    };
    let mut report = Report { warnings, problems, settings, keys: None };
    // Also where other values are wrong: people want to know everything at once.
    let keys_file = report.settings.iter().find(|setting| setting.variable.name == "KEYS_FILE");
    if let Some(path) = keys_file.and_then(|setting| setting.shown.clone()) {
        report.look_at_keys(Path::new(&path));
    }
    report
}

impl Report {
    /// Whether gpt-load would start, as far as a configuration can tell.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    fn look_at_keys(&mut self, path: &Path) {
        match file::read(path) {
            Ok(read) => {
                let keys = counted(read.keys.len() as usize, "key");
                let duplicates = match read.duplicates {
                    0 => String::new(),
                    count => format!(", {} dropped", counted(count, "duplicate")),
                };
                self.keys = Some(format!("{}: {keys}{duplicates}", path.display()));
                self.warnings.extend(read.skipped_warning(path));
            }
            Err(error) => self.problems.push(error.to_string()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "gpt-load {}", env!("CARGO_PKG_VERSION"))?;
        let width =
            |text: &dyn Fn(&Setting) -> usize| self.settings.iter().map(text).max().unwrap_or_default();
        let names = width(&|setting| setting.variable.name.len());
        let values = width(&|setting| value(setting).chars().count()).min(40);
        for (group, _) in groups() {
            writeln!(f, "\n{}", group.headings().0)?;
            for setting in self.settings.iter().filter(|setting| setting.variable.group == group) {
                let name = setting.variable.name;
                writeln!(f, "  {name:names$}  {:values$}  {}", value(setting), setting.origin)?;
            }
        }
        if let Some(keys) = &self.keys {
            writeln!(f, "\nKeys file\n  {keys}")?;
        }
        for (heading, lines) in [("Warnings", &self.warnings), ("Problems", &self.problems)] {
            if !lines.is_empty() {
                writeln!(f, "\n{heading}\n  {}", lines.join("\n  "))?;
            }
        }
        match self.problems.len() {
            0 => writeln!(f, "\nNo problems."),
            count => writeln!(f, "\n{}: gpt-load would not start.", counted(count, "problem")),
        }
    }
}

fn value(setting: &Setting) -> &str {
    match setting.shown.as_deref() {
        Some("") => "–",
        Some(shown) => shown,
        None => "wrong, see below",
    }
}

fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}
