//! Any values of any variables make a configuration or problems that are told, and never tell what is secret: lines of a
//! byte that chooses the variable and its value; what follows a 0xff is the `.env` file.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use gpt_load::config::{Config, Secrecy, VARIABLES, Variable, report};

const SECRET: &[u8] = b"Hush-7731-Hush";

pub fn check(input: &[u8]) {
    let (lines, file) = match input.iter().position(|byte| *byte == 0xff) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[][..]),
    };
    let directory = directory();
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join(".env"), file).unwrap();
    let environment = lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let (choice, value) = line.split_first()?;
        let variable = VARIABLES[usize::from(*choice) % VARIABLES.len()];
        // What opens files is tested elsewhere: a name that means something here would make this depend on the machine.
        if variable.name.ends_with("_FILE") {
            return None;
        }
        let value = with_secret(variable, value);
        let value = value.into_iter().filter(|byte| *byte != 0).collect();
        Some((OsString::from(variable.name), OsString::from_vec(value)))
    });
    let loaded = Config::load(environment.collect::<Vec<_>>(), directory);
    fs::remove_dir_all(directory).unwrap();
    let (said, good) = match &loaded {
        Ok(loaded) => (format!("{:?}", loaded.config), true),
        Err(errors) => {
            assert!(!errors.problems.is_empty());
            (errors.to_string(), false)
        }
    };
    let report = report(loaded);
    assert!(good || !report.is_good());
    let said = format!("{said}\n{report}");
    let told = said.as_bytes().windows(SECRET.len()).any(|window| window == SECRET);
    assert!(!told || input.windows(SECRET.len()).any(|window| window == SECRET), "{said}");
}

/// A byte 1 becomes a secret where secrets can be: in a token, and as a password in a URL.
fn with_secret(variable: &Variable, value: &[u8]) -> Vec<u8> {
    let mut pieces = value.split(|byte| *byte == 1);
    let mut made = pieces.next().unwrap_or_default().to_vec();
    for piece in pieces {
        if variable.name.ends_with("_KEY") {
            made.extend_from_slice(SECRET);
        } else if variable.secrecy == Secrecy::Secret
            && made.ends_with(b"://")
            && !made[..made.len() - 3].contains(&b'/')
        {
            made.extend_from_slice(b"user:");
            made.extend_from_slice(SECRET);
            made.push(b'@');
        }
        made.extend_from_slice(piece);
    }
    made
}

/// A folder of this process's own; in memory where the system has such a place.
fn directory() -> &'static PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        parent.join(format!("gpt-load-fuzz-{}", std::process::id()))
    })
}
