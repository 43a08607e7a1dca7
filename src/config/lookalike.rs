//! Variables that look like ours but are not (`BLACKLIST_TRESHOLD`). The environment is full of other programs'
//! variables, so a name has to be a typing error away, not merely alike.

use std::cmp::Reverse;

use super::variables::VARIABLES;

/// Shorter names (`PORTS`, `HOSTS`) are too easily somebody else's.
const SHORTEST: usize = 6;

/// A warning for each name that is nearly one of ours, in alphabetical order.
pub(super) fn warnings<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut warnings: Vec<_> = names
        .filter_map(|name| {
            nearest(name).map(|ours| format!("{name} is not a variable of gpt-load: did you mean {ours}?"))
        })
        .collect();
    warnings.sort();
    warnings.dedup();
    warnings
}

/// Our variable that this name was probably meant to be; `None` if it is one of ours, or not like any.
fn nearest(name: &str) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase();
    // The proxies' lower-case forms are read too, so they are no mistakes.
    let known = |ours: &str| ours == name || (ours == upper && ours.ends_with("_PROXY"));
    if name.len() < SHORTEST || VARIABLES.iter().any(|variable| known(variable.name)) {
        return None;
    }
    let ours = VARIABLES.iter().map(|variable| variable.name).filter(|ours| ours.len() >= SHORTEST);
    ours.filter_map(|ours| likeness(&upper, ours).map(|distance| (Reverse(distance), ours)))
        .max_by_key(|(nearness, _)| *nearness)
        .map(|(_, ours)| ours)
}

/// How many slips of the keyboard lie between the two; `None` if they are different names.
fn likeness(name: &str, ours: &str) -> Option<usize> {
    let (mut words, mut our_words): (Vec<_>, Vec<_>) = (name.split('_').collect(), ours.split('_').collect());
    if words.len() == our_words.len() {
        let slips: Vec<_> = words.iter().zip(&our_words).map(|(a, b)| (distance(a, b), b.len())).collect();
        let total = slips.iter().map(|(slips, _)| slips).sum();
        // Two slips make another word of a short one: ENABLE_DOCS was not meant to be ENABLE_CORS.
        if total <= 2 && slips.iter().all(|(slips, length)| *slips <= if *length < 8 { 1 } else { 2 }) {
            return Some(total);
        }
    } else if distance(&words.concat(), &our_words.concat()) <= 1 {
        return Some(1);
    }
    words.sort_unstable();
    our_words.sort_unstable();
    (words == our_words).then_some(2)
}

/// Optimal string alignment: letters added, left out, changed, or two neighbours swapped.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (row, letter) in (1..).zip(a.chars()) {
        let mut current = vec![row];
        for column in 1..=b.len() {
            let at = |line: &[usize], back: usize| {
                column
                    .checked_sub(back)
                    .and_then(|column| line.get(column))
                    .copied()
                    .unwrap_or(usize::MAX / 2)
            };
            let other = b.get(column - 1).copied();
            let changed = at(&above, 1) + usize::from(other != Some(letter));
            let mut least = changed.min(at(&above, 0) + 1).min(at(&current, 1) + 1);
            let swapped = column > 1 && previous == other && b.get(column.wrapping_sub(2)) == Some(&letter);
            if swapped {
                least = least.min(at(&before, 2) + 1);
            }
            current.push(least);
        }
        previous = Some(letter);
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_slips_of_the_keyboard() {
        for (a, b, want) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abc", "ab", 1),
            ("abc", "axc", 1),
            ("abcd", "badc", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), want, "{a} {b}");
        }
    }

    #[test]
    fn a_typing_error_away_is_near() {
        for (name, ours) in [
            ("BLACKLIST_TRESHOLD", "BLACKLIST_THRESHOLD"),
            ("LOGLEVEL", "LOG_LEVEL"),
            ("LOG_LEVELS", "LOG_LEVEL"),
            ("log_level", "LOG_LEVEL"),
            ("KEY_FILE", "KEYS_FILE"),
            ("KEYSFILE", "KEYS_FILE"),
            ("FILE_KEYS", "KEYS_FILE"),
            ("OPENAI_BASE_URLS", "OPENAI_BASE_URL"),
            ("BASE_URL_OPENAI", "OPENAI_BASE_URL"),
            ("MAX_RETIRES", "MAX_RETRIES"),
            ("MAXRETRIES", "MAX_RETRIES"),
            ("ALLOWED_ORIGIN", "ALLOWED_ORIGINS"),
            ("SERVER_RAED_TIMEOUT", "SERVER_READ_TIMEOUT"),
            ("GZIP_ENABLE", "ENABLE_GZIP"),
            ("AUTHKEY", "AUTH_KEY"),
            ("WORKER", "WORKERS"),
            ("MAX_CONCURENT_REQUEST", "MAX_CONCURRENT_REQUESTS"),
        ] {
            assert_eq!(nearest(name), Some(ours), "{name}");
        }
        for variable in VARIABLES {
            assert_eq!(nearest(variable.name), None);
        }
    }

    #[test]
    fn other_programs_variables_are_left_alone() {
        let foreign = "PATH HOME HOST HOSTNAME HOSTS PORTS USER LOGNAME SHELL TERM LANG LC_ALL TZ PWD OLDPWD SHLVL \
            EDITOR MAIL TMPDIR XDG_RUNTIME_DIR SSH_AUTH_SOCK SSL_CERT_FILE SSL_CERT_DIR SSL_KEY_FILE FTP_PROXY \
            http_proxy https_proxy all_proxy no_proxy RSYNC_PROXY OPENAI_API_KEY OPENAI_ORG_ID OPENAI_API_BASE \
            ANTHROPIC_API_KEY KUBERNETES_PORT KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT GPT_LOAD_PORT \
            GPT_LOAD_SERVICE_HOST GPT_LOAD_SERVICE_PORT DOCKER_HOST RUST_LOG RUST_BACKTRACE CARGO_HOME CI \
            GITHUB_TOKEN NVIDIA_VISIBLE_DEVICES NODE_ENV ENABLE_DOCS HASH_KEY API_KEY SECRET_KEY LOG_DIR LOG_FILE \
            DEBUG MAKEFLAGS MAKELEVEL INVOCATION_ID JOURNAL_STREAM SYSTEMD_EXEC_PID LS_COLORS LESSOPEN \
            DATABASE_URL REDIS_URL SERVER_PORT WEB_CONCURRENCY";
        for name in foreign.split_whitespace() {
            assert_eq!(nearest(name), None, "{name}");
        }
    }

    #[test]
    fn a_warning_gives_the_nearest_name_once() {
        assert_eq!(
            warnings(["PATH", "LOGLEVEL", "LOGLEVEL", "AUTHKEY"].into_iter()),
            [
                "AUTHKEY is not a variable of gpt-load: did you mean AUTH_KEY?",
                "LOGLEVEL is not a variable of gpt-load: did you mean LOG_LEVEL?",
            ]
        );
    }
}
