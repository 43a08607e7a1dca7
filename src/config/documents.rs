//! What people read about the variables, made from their table: `.env.example` and the READMEs' configuration
//! chapter.

use std::fmt::Write as _;

use super::variables::{Group, VARIABLES, Variable};

/// A language of the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// `README.md`
    English,
    /// `README_CN.md`
    Chinese,
}

/// The text of `.env.example`: every variable with its default, a line of explanation above it.
pub fn env_example() -> String {
    let mut text = "# Copy this file to .env: gpt-load reads it from its working directory. What the environment sets \
                    counts more.\n# An empty value is the same as none. `gpt-load check` shows what is in force, and \
                    what is wrong.\n# Single \
                    quotes belong around a value with spaces, quotes, $, # or backslashes in it.\n"
        .to_owned();
    for (group, variables) in groups() {
        let _ = write!(text, "\n# --- {} ---\n", group.headings().0);
        for variable in variables {
            let _ = write!(text, "\n# {}\n{}={}\n", variable.doc, variable.name, variable.default);
        }
    }
    text
}

/// The tables for a README: one for each heading.
pub fn readme_table(language: Language) -> String {
    let header = match language {
        Language::English => "| Variable | Default | Meaning |",
        Language::Chinese => "| 变量 | 默认值 | 说明 |",
    };
    let mut text = String::new();
    for (group, variables) in groups() {
        let (heading, heading_cn) = group.headings();
        let heading = if language == Language::English { heading } else { heading_cn };
        let separator = if text.is_empty() { "" } else { "\n" };
        let _ = write!(text, "{separator}**{heading}**\n\n{header}\n|---|---|---|\n");
        for variable in variables {
            let doc = if language == Language::English { variable.doc } else { variable.doc_cn };
            let default = match variable.default {
                "" => "–".to_owned(),
                default => format!("`{default}`"),
            };
            let _ = writeln!(text, "| `{}` | {default} | {doc} |", variable.name);
        }
    }
    text
}

pub(super) fn groups() -> impl Iterator<Item = (Group, &'static [&'static Variable])> {
    VARIABLES
        .chunk_by(|a, b| a.group == b.group)
        .filter_map(|variables| Some((variables.first()?.group, variables)))
}
