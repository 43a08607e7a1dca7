//! Tells the program which commit it was built from, where that can be known.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "cargo::rerun-if-env-changed=GPT_LOAD_COMMIT")?;
    // What changes when another commit is checked out, or made. What is not there would have Cargo build anew each time.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]).filter(|path| Path::new(path).exists()) {
            writeln!(out, "cargo::rerun-if-changed={path}")?;
        }
    }
    let commit = std::env::var("GPT_LOAD_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = commit.or_else(|| git(&["rev-parse", "--short=12", "HEAD"])).unwrap_or_default();
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let long = if commit.is_empty() { version } else { format!("{version} ({commit})") };
    writeln!(out, "cargo::rustc-env=GPT_LOAD_COMMIT={commit}")?;
    writeln!(out, "cargo::rustc-env=GPT_LOAD_VERSION={long}")
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
