//! Where values come from: the process's environment, and the `.env` file that fills in what it does not set. Both
//! are handed in or read here once; nothing is ever written to the environment.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use super::variables::{Group, Variable};

/// Where a setting's value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The process's environment.
    Environment,
    /// The `.env` file.
    DotEnv {
        /// Counted from 1.
        line: usize,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Environment => f.write_str("environment"),
            Self::DotEnv { line } => write!(f, ".env line {line}"),
        }
    }
}

pub(super) struct Environment {
    given: HashMap<OsString, OsString>,
    file: DotEnv,
}

#[derive(Default)]
struct DotEnv {
    values: HashMap<String, (OsString, usize)>,
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Environment {
    pub(super) fn new(given: impl IntoIterator<Item = (OsString, OsString)>, directory: &Path) -> Self {
        let file = match std::fs::read(directory.join(".env")) {
            Ok(text) => DotEnv::read(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => DotEnv::default(),
            Err(error) => {
                DotEnv { problems: vec![format!(".env: can't be read: {error}")], ..DotEnv::default() }
            }
        };
        Self { given: given.into_iter().collect(), file }
    }

    /// What is wrong with the `.env` file.
    pub(super) fn problems(&self) -> &[String] {
        &self.file.problems
    }

    /// What is strange about the `.env` file.
    pub(super) fn warnings(&self) -> &[String] {
        &self.file.warnings
    }

    /// A variable's value and where it came from. An empty value counts as not set (spec §2).
    pub(super) fn get(&self, variable: &Variable) -> Option<(&OsStr, Origin)> {
        // curl and others read the lower-case forms of the proxies' variables.
        let lower_case = (variable.group == Group::OutboundProxy).then(|| variable.name.to_ascii_lowercase());
        let names = || [Some(variable.name), lower_case.as_deref()].into_iter().flatten();
        let given = names().filter_map(|name| {
            let value = self.given.get(OsStr::new(name))?;
            Some((value.as_os_str(), Origin::Environment))
        });
        let filled_in = names().filter_map(|name| {
            let (value, line) = self.file.values.get(name)?;
            Some((value.as_os_str(), Origin::DotEnv { line: *line }))
        });
        given.chain(filled_in).find(|(value, _)| !value.is_empty())
    }

    /// The names of everything that is set, ours or not.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.given.keys().filter_map(|name| name.to_str()).chain(self.file.values.keys().map(String::as_str))
    }
}

impl DotEnv {
    fn read(text: &[u8]) -> Self {
        let mut file = Self::default();
        let text = match str::from_utf8(text) {
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
            Err(error) => {
                let before = text.get(..error.valid_up_to()).unwrap_or_default();
                let line = memchr::memchr_iter(b'\n', before).count() + 1;
                file.problems.push(format!(".env: line {line} is not UTF-8 text"));
                return file;
            }
        };
        // dotenvy takes white space at the end of a last line without line feed for an open quote.
        let text = format!("{text}\n");
        let lines_read = Cell::new(0);
        for item in dotenvy::from_read_iter(LineByLine { rest: text.as_bytes(), lines_read: &lines_read }) {
            let line = lines_read.get();
            match item {
                Ok((name, value)) => {
                    if let Some((_, earlier)) = file.values.get(&name) {
                        file.warnings.push(format!(
                            ".env: {name} is there twice, on lines {earlier} and {line}: the last one counts"
                        ));
                    }
                    file.values.insert(name, (value.into(), line));
                }
                // The error's own words quote the line, which may hold a secret.
                Err(dotenvy::Error::LineParse(broken, _)) => {
                    let first = (line + 1).saturating_sub(broken.lines().count().max(1));
                    file.problems.push(format!(
                        ".env: line {first} can't be read: it has to look like NAME=value, with quotes around \
                         a value that has spaces, quotes, $, # or backslashes in it"
                    ));
                }
                Err(error) => file.problems.push(format!(".env: {error}")),
            }
        }
        file
    }
}

/// Hands out one line at a time, so that the count of lines read is the number of the line being parsed: dotenvy
/// itself does not say which line an item came from.
struct LineByLine<'a> {
    rest: &'a [u8],
    lines_read: &'a Cell<usize>,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let line = memchr::memchr(b'\n', self.rest).map_or(self.rest.len(), |end| end + 1);
        let mut part = self.rest.get(..line.min(buffer.len())).unwrap_or_default();
        let length = part.read(buffer)?;
        self.lines_read.set(self.lines_read.get() + usize::from(buffer.get(..length).is_some_and(ends_line)));
        self.rest = self.rest.get(length..).unwrap_or_default();
        Ok(length)
    }
}

fn ends_line(part: &[u8]) -> bool {
    part.last() == Some(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<(String, String, usize)> {
        let file = DotEnv::read(text.as_bytes());
        assert_eq!(file.problems, Vec::<String>::new(), "{text:?}");
        let mut entries: Vec<_> = file
            .values
            .into_iter()
            .map(|(name, (value, line))| (name, value.into_string().unwrap(), line))
            .collect();
        entries.sort_by_key(|(_, _, line)| *line);
        entries
    }

    #[test]
    fn values_are_read_with_their_line() {
        for (text, want) in [
            ("", vec![]),
            ("A=1", vec![("A", "1", 1)]),
            ("A=1 ", vec![("A", "1", 1)]),
            (
                "\u{feff}A=1\r\n\r\n# no\r\nexport B='x y' # yes\r\nC=\r\n",
                vec![("A", "1", 1), ("B", "x y", 4), ("C", "", 5)],
            ),
            ("A=\"one\ntwo\"\nB=2", vec![("A", "one\ntwo", 2), ("B", "2", 3)]),
        ] {
            let want: Vec<_> = want
                .into_iter()
                .map(|(name, value, line)| (name.to_owned(), value.to_owned(), line))
                .collect();
            assert_eq!(entries(text), want, "{text:?}");
        }
        let long = format!("A={}\nB=2", "x".repeat(100_000));
        assert_eq!(entries(&long)[1], ("B".to_owned(), "2".to_owned(), 2));
    }

    #[test]
    fn broken_lines_are_told_by_number_and_never_quoted() {
        for (text, lines) in [
            ("PORT 3000", &["line 1"][..]),
            ("A=1\n\nhunter2\nB=hunter2 hunter2\nC=3", &["line 3", "line 4"]),
            ("A=1\nB=\"hunter2\nC=3\n", &["line 2"]),
            ("A=hunter2\\q", &["line 1"]),
        ] {
            let problems = DotEnv::read(text.as_bytes()).problems;
            assert_eq!(problems.len(), lines.len(), "{text:?}: {problems:?}");
            for (problem, line) in problems.iter().zip(lines) {
                assert!(problem.starts_with(&format!(".env: {line} can't be read")), "{problem}");
                assert!(!problem.contains("hunter2"), "{problem}");
            }
        }
        assert_eq!(DotEnv::read(b"A=1\n\xff\n").problems, [".env: line 2 is not UTF-8 text"]);
    }

    #[test]
    fn the_last_of_two_lines_counts_and_is_warned_about() {
        let file = DotEnv::read(b"A=1\nB=2\nA=3\n");
        assert_eq!(file.values["A"], ("3".into(), 3));
        assert_eq!(file.warnings, [".env: A is there twice, on lines 1 and 3: the last one counts"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(A=|export |=|\"|'|\\\\|\\$|\\{|\\}|#| |\n|\r\n|[a-z]|.){0,40}") {
            let file = DotEnv::read(text.as_bytes());
            let lines = text.lines().count();
            proptest::prop_assert!(file.values.values().all(|(_, line)| (1..=lines).contains(line)));
        }
    }
}
