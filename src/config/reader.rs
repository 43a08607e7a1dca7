//! Reads one variable after the other, and remembers what was read, from where, and everything that was wrong: a
//! value that is wrong is `None` and does not keep the others from being read.

use super::environment::{Environment, Origin};
use super::values::{Wrong, quoted};
use super::variables::{Secrecy, Variable};

/// What a variable is set to, for people.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Which variable.
    pub variable: &'static Variable,
    /// Its value as it may be shown, empty if it is not set; `None` if it is wrong.
    pub shown: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
}

pub(super) struct Reader<'a> {
    environment: &'a Environment,
    pub(super) settings: Vec<Setting>,
    pub(super) problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(environment: &'a Environment) -> Self {
        Self { environment, settings: Vec::new(), problems: environment.problems().to_vec() }
    }

    /// The value of a variable that always has one: its default where it is not set.
    pub(super) fn read<T>(
        &mut self,
        variable: &'static Variable,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        self.read_optional(variable, parse).flatten()
    }

    /// The value of a variable that need not have one: `Some(None)` where it is not set and has no default.
    #[expect(clippy::option_option, reason = "wrong, not set, and set are three things")]
    pub(super) fn read_optional<T>(
        &mut self,
        variable: &'static Variable,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<Option<T>> {
        let (text, origin) = match self.environment.get(variable) {
            Some((value, origin)) => (value.to_str(), origin),
            None => (Some(variable.default), Origin::Default),
        };
        let Some(text) = text else {
            self.remember(variable, None, origin);
            self.complain(variable, origin, "the value is not UTF-8 text");
            return None;
        };
        if text.is_empty() {
            self.remember(variable, Some(String::new()), origin);
            return Some(None);
        }
        let wrong = match parse(text) {
            Ok(value) => {
                let shown = if variable.secrecy == Secrecy::Open { text.trim() } else { "****" };
                self.remember(variable, Some(shown.to_owned()), origin);
                return Some(Some(value));
            }
            Err(wrong) => wrong,
        };
        self.remember(variable, None, origin);
        match wrong {
            Wrong::Value => {
                let value = if variable.secrecy == Secrecy::Open { quoted(text) } else { "the value".into() };
                self.complain(variable, origin, &format!("{value} is not {}", variable.accepted));
            }
            Wrong::Parts(parts) => {
                for part in parts {
                    self.complain(variable, origin, &part);
                }
            }
        }
        None
    }

    /// Shows a variable's value in better words than the ones it was written with.
    pub(super) fn show(&mut self, variable: &'static Variable, shown: String) {
        let setting = self.settings.iter_mut().rfind(|setting| setting.variable.name == variable.name);
        if let Some(setting) = setting {
            setting.shown = Some(shown);
        }
    }

    /// Notes what is wrong with two variables together.
    pub(super) fn refuse(&mut self, variable: &'static Variable, reason: &str) {
        self.problems.push(format!("{}: {reason}", variable.name));
    }

    fn remember(&mut self, variable: &'static Variable, shown: Option<String>, origin: Origin) {
        self.settings.push(Setting { variable, shown, origin });
    }

    fn complain(&mut self, variable: &'static Variable, origin: Origin, what: &str) {
        let place = match origin {
            Origin::DotEnv { .. } => format!(" ({origin})"),
            Origin::Default | Origin::Environment => String::new(),
        };
        let default = match variable.default {
            "" => String::new(),
            default => format!("; default {default}"),
        };
        self.problems.push(format!("{}{place}: {what}{default}", variable.name));
    }
}
