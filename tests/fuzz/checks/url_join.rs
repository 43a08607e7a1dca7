//! Whatever target is put behind a base URL, it stays on that host, under that path, with that query: the base URL's line,
//! then the target.

use gpt_load::upstream::{BaseUrl, query_key};

const KEY: &str = "sk-a+b/c=d&e%f?g#h";

pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some((base, target)) = text.split_once('\n') else { return };
    let Ok(base) = BaseUrl::parse(base) else { return };
    assert!(!base.path().ends_with('/'));
    let shown = base.to_string();
    // Longer than it was written: names become ASCII.
    assert!(BaseUrl::parse(&shown).is_ok() || shown.contains("****") || shown.len() > 2048, "{shown}");
    let with_key = base.join_with_key(target, Some(KEY));
    let without_key = base.join_with_key(target, None);
    let joined = base.join(target);
    for joined in [&joined, &with_key, &without_key].into_iter().flatten() {
        stays(&base, joined.as_str());
    }
    assert!(joined.is_err() || without_key.is_ok(), "{joined:?} {without_key:?}");
    if let Ok(joined) = with_key {
        let query = joined.query().unwrap_or_default();
        assert_eq!(query_key(query).as_deref(), Some(KEY.as_bytes()), "{joined}");
        assert_eq!(
            query.split('&').filter(|parameter| query_key(parameter).is_some()).count(),
            1,
            "{joined}"
        );
    }
    if let Ok(joined) = without_key {
        assert_eq!(query_key(joined.query().unwrap_or_default()), None, "{joined}");
    }
}

/// As an upstream reads it that resolves dots.
fn stays(base: &BaseUrl, joined: &str) {
    assert!(joined.starts_with(base.path()) && joined.starts_with('/'), "{joined}");
    assert!(joined.bytes().all(|byte| byte > b' ' && byte != 0x7f && byte != b'#'), "{joined}");
    let authority = base.authority().to_str().unwrap();
    let origin = format!("{}://{authority}", base.scheme().as_str());
    let read = |target: &str| url::Url::parse(&format!("{origin}{target}")).unwrap();
    let (under, read) = (read(base.path()), read(joined));
    assert_eq!(under.origin(), read.origin(), "{joined}");
    if !base.path().is_empty() {
        assert!(read.path().starts_with(under.path()), "{} is not under {}", read.path(), under.path());
    }
}
