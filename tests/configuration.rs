//! Spec §2: every variable, every wrong value, and what is told about them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use gpt_load::config::{
    Allowed, Config, ConfigErrors, Format, Level, Loaded, Origin, VARIABLES, env_example, report,
};
use gpt_load::keys::Secret;
use gpt_load::upstream::BaseUrl;
use tempfile::TempDir;

type Outcome = Result<Loaded, ConfigErrors>;

fn load_in(directory: &Path, variables: &[(&str, &str)]) -> Outcome {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::load(variables, directory)
}

/// Loads with nothing else around.
fn load(variables: &[(&str, &str)]) -> Outcome {
    load_in(TempDir::new().unwrap().path(), variables)
}

fn config(variables: &[(&str, &str)]) -> Config {
    load(variables).expect("valid").config
}

fn problems(variables: &[(&str, &str)]) -> Vec<String> {
    load(variables).expect_err("invalid").problems
}

fn with_dot_env(text: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join(".env"), text).unwrap();
    directory
}

#[test]
fn an_empty_environment_gives_the_defaults_of_the_contract() {
    let seconds = Duration::from_secs;
    let loaded = load(&[]).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let Config { listen, auth, policy, limits, timeouts, cors, log, .. } = &loaded.config;
    assert_eq!((&*listen.host, listen.port, listen.tls.is_none()), ("0.0.0.0", 3000, true));
    assert_eq!(listen.workers, std::thread::available_parallelism().unwrap());
    assert!(auth.tokens.is_empty() && auth.admin.is_empty());
    assert_eq!(loaded.config.keys_file, Path::new("keys.txt"));
    assert_eq!((loaded.config.start_index, &loaded.config.state_file), (0, &None));
    assert_eq!(loaded.config.upstreams, [BaseUrl::parse("https://api.openai.com").unwrap()]);
    assert_eq!((policy.blacklist_threshold, policy.max_retries), (1, 3));
    assert_eq!((policy.key_cooldown, policy.key_cooldown_max), (seconds(30), seconds(3600)));
    assert_eq!((policy.key_revalidate_interval, policy.max_key_wait), (Some(seconds(3600)), seconds(5)));
    assert_eq!(limits.max_concurrent_requests, 100);
    assert_eq!((limits.max_replay_body, limits.max_request_body), (16 << 20, 1 << 30));
    assert_eq!((timeouts.server_read, timeouts.server_write), (seconds(120), seconds(1800)));
    assert_eq!((timeouts.server_idle, timeouts.graceful_shutdown), (seconds(120), seconds(60)));
    assert_eq!((timeouts.request, timeouts.response), (seconds(30), seconds(30)));
    assert_eq!(timeouts.idle_conn, seconds(120));
    assert!(loaded.config.gzip);
    let cors = cors.as_ref().unwrap();
    assert_eq!((&cors.origins, &cors.headers, cors.credentials), (&Allowed::Any, &Allowed::Any, false));
    let Allowed::These(methods) = &cors.methods else { panic!("every method is allowed") };
    assert_eq!(methods, &["GET", "POST", "PUT", "DELETE", "OPTIONS"]);
    assert_eq!((log.level, log.format, log.request, &log.file), (Level::Info, Format::Text, true, &None));
}

#[test]
fn every_variable_of_the_table_is_read_once() {
    let settings = load(&[]).unwrap().settings;
    let read: Vec<_> = settings.iter().map(|setting| setting.variable.name).collect();
    let table: Vec<_> = VARIABLES.iter().map(|variable| variable.name).collect();
    assert_eq!(read, table);
}

#[test]
fn every_variable_is_taken_from_the_environment() {
    let config = config(&[
        ("HOST", "[::1]"),
        ("PORT", "0"),
        ("WORKERS", "3"),
        ("REUSE_PORT", "yes"),
        ("KEYS_FILE", " /run/keys "),
        ("START_INDEX", "18446744073709551615"),
        ("STATE_FILE", "state"),
        ("OPENAI_BASE_URL", "https://a/v1, http://b:8080,"),
        ("AUTH_KEY", "one, two"),
        ("ADMIN_KEY", "three"),
        ("BLACKLIST_THRESHOLD", "2"),
        ("MAX_RETRIES", "0"),
        ("KEY_COOLDOWN", "60"),
        ("KEY_COOLDOWN_MAX", "60"),
        ("KEY_REVALIDATE_INTERVAL", "0"),
        ("MAX_KEY_WAIT", "0"),
        ("MAX_CONCURRENT_REQUESTS", "7"),
        ("MAX_CONNECTIONS", "8"),
        ("TRUST_FORWARDED", "on"),
        ("MAX_REPLAY_BODY", "1"),
        ("MAX_REQUEST_BODY", "2K"),
        ("IDLE_CONN_TIMEOUT", "1"),
        ("ENABLE_GZIP", "off"),
        ("ENABLE_CORS", "no"),
        ("LOG_LEVEL", "ERROR"),
        ("LOG_FORMAT", "json"),
        ("LOG_ENABLE_REQUEST", "0"),
        ("LOG_ENABLE_FILE", "1"),
        ("https_proxy", "http://proxy:3128"),
    ]);
    assert_eq!((&*config.listen.host, config.listen.port), ("::1", 0));
    assert_eq!(config.listen.workers, NonZeroUsize::new(3).unwrap());
    assert!(config.listen.shared);
    assert_eq!((config.keys_file.as_path(), config.start_index), (Path::new("/run/keys"), u64::MAX));
    assert_eq!(config.state_file.as_deref(), Some(Path::new("state")));
    let upstreams: Vec<_> = config.upstreams.iter().map(BaseUrl::to_string).collect();
    assert_eq!(upstreams, ["https://a/v1", "http://b:8080"]);
    let tokens: Vec<_> = config.auth.tokens.iter().map(Secret::expose).collect();
    assert_eq!((tokens, config.auth.admin[0].expose()), (vec!["one", "two"], "three"));
    assert_eq!((config.policy.blacklist_threshold, config.policy.max_retries), (2, 0));
    assert_eq!(config.policy.key_cooldown, config.policy.key_cooldown_max);
    assert_eq!(config.policy.key_revalidate_interval, None);
    assert_eq!(config.policy.max_key_wait, Duration::ZERO);
    assert_eq!((config.limits.max_replay_body, config.limits.max_request_body), (1, 2048));
    assert_eq!((config.limits.max_concurrent_requests, config.limits.max_connections), (7, 8));
    assert!(config.trust_forwarded);
    assert_eq!(config.timeouts.idle_conn, Duration::from_secs(1));
    assert!(!config.gzip && config.cors.is_none() && !config.log.request);
    assert_eq!((config.log.level, config.log.format), (Level::Error, Format::Json));
    assert_eq!(config.log.file.as_deref(), Some(Path::new("logs/app.log")));
    assert_eq!(config.outbound.proxy_for(&config.upstreams[0]).unwrap().host, "proxy");
    assert!(config.outbound.proxy_for(&config.upstreams[1]).is_none());
}

#[test]
fn a_wrong_value_is_told_with_what_is_accepted_and_the_default() {
    for (name, value, want) in [
        (
            "PORT",
            "abc",
            "PORT: \"abc\" is not a port: a whole number from 0 to 65535 (0 = any free port); default 3000",
        ),
        ("PORT", "65536", "PORT: \"65536\" is not a port"),
        ("HOST", "http://x", "HOST: \"http://x\" is not a host name or an IP address (without a port)"),
        (
            "REQUEST_TIMEOUT",
            "0",
            "REQUEST_TIMEOUT: \"0\" is not a whole number of seconds from 1 to 31536000",
        ),
        ("REQUEST_TIMEOUT", "30s", "REQUEST_TIMEOUT: \"30s\" is not a whole number of seconds"),
        ("BLACKLIST_THRESHOLD", "0", "BLACKLIST_THRESHOLD: \"0\" is not a whole number from 1"),
        ("MAX_RETRIES", "-1", "MAX_RETRIES: \"-1\" is not a whole number from 0 to 1000 (0 = no retries)"),
        ("MAX_REPLAY_BODY", "16MB", "MAX_REPLAY_BODY: \"16MB\" is not a size"),
        ("WORKERS", "0", "WORKERS: \"0\" is not a whole number from 1 to 1024"),
        ("KEY_COOLDOWN", "86401", "KEY_COOLDOWN: \"86401\" is not a whole number of seconds from 1 to 86400"),
        (
            "ENABLE_GZIP",
            "maybe",
            "ENABLE_GZIP: \"maybe\" is not true or false (or 1/0, yes/no, on/off); default true",
        ),
        ("LOG_LEVEL", "loud", "LOG_LEVEL: \"loud\" is not one of debug, info, warn, error; default info"),
        ("LOG_LEVEL", " ", "LOG_LEVEL: \" \" is not one of"),
        (
            "OPENAI_BASE_URL",
            "foo",
            "OPENAI_BASE_URL: \"foo\" is not a base URL: it has to begin with https:// or http://; \
             default https://api.openai.com",
        ),
        ("OPENAI_BASE_URL", ",", "OPENAI_BASE_URL: the value is not a base URL"),
        ("ALLOWED_ORIGINS", "a.example", "ALLOWED_ORIGINS: \"a.example\" is not an origin"),
        ("ALLOWED_METHODS", "GET,P ST", "ALLOWED_METHODS: \"P ST\" is not an HTTP method"),
        ("ALLOWED_HEADERS", "x y", "ALLOWED_HEADERS: \"x y\" is not a header's name"),
        ("AUTH_KEY", "a b", "AUTH_KEY: token 1 can't travel in an HTTP header"),
        ("AUTH_KEY", " ", "AUTH_KEY: the value is not a token"),
        ("ADMIN_KEY", "ключ", "ADMIN_KEY: token 1 can't travel in an HTTP header"),
        ("ALL_PROXY", "ftp://x", "ALL_PROXY: the value is not the URL of a proxy"),
        ("TLS_KEY_FILE", "/nowhere/key.pem", "TLS_KEY_FILE: /nowhere/key.pem: No such file"),
    ] {
        let problems = problems(&[(name, value)]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(want), "{}", problems[0]);
    }
}

#[test]
fn all_wrong_values_are_told_at_once() {
    let errors = load(&[
        ("PORT", "abc"),
        ("OPENAI_BASE_URL", "foo,https://fine,bar"),
        ("LOG_FORMAT", "xml"),
        ("KEY_COOLDOWN", "100"),
        ("KEY_COOLDOWN_MAX", "10"),
        ("ALLOW_CREDENTIALS", "true"),
    ])
    .unwrap_err();
    assert_eq!(errors.problems.len(), 6, "{errors}");
    assert_eq!(errors.to_string().lines().count(), 6);
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let pem = file.path().to_str().unwrap();
    for (variables, want) in [
        (vec![("ALLOW_CREDENTIALS", "true")], "ALLOWED_ORIGINS: * together with ALLOW_CREDENTIALS=true"),
        (vec![("TLS_CERT_FILE", pem)], "TLS_KEY_FILE: is not set, but TLS_CERT_FILE is"),
        (vec![("TLS_KEY_FILE", pem)], "TLS_CERT_FILE: is not set, but TLS_KEY_FILE is"),
        (vec![("KEY_COOLDOWN", "7200")], "KEY_COOLDOWN_MAX: 3600 is less than KEY_COOLDOWN (7200)"),
        (vec![("STATE_FILE", "keys.txt")], "STATE_FILE: is the same file as KEYS_FILE"),
        (
            vec![("LOG_ENABLE_FILE", "true"), ("LOG_FILE_PATH", "keys.txt")],
            "LOG_FILE_PATH: is the same file as KEYS_FILE",
        ),
    ] {
        let problems = problems(&variables);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(want), "{}", problems[0]);
    }
    assert!(config(&[("TLS_CERT_FILE", pem), ("TLS_KEY_FILE", pem)]).listen.tls.is_some());
    let listed = config(&[("ALLOW_CREDENTIALS", "true"), ("ALLOWED_ORIGINS", "https://a")]);
    assert!(listed.cors.unwrap().credentials);
    assert!(config(&[("ALLOW_CREDENTIALS", "true"), ("ENABLE_CORS", "false")]).cors.is_none());
}

#[test]
fn an_empty_value_counts_as_not_set() {
    let empty: Vec<_> = VARIABLES.iter().map(|variable| (variable.name, "")).collect();
    let loaded = load(&empty).unwrap();
    assert!(loaded.settings.iter().all(|setting| setting.origin == Origin::Default));
    assert_eq!(loaded.config.listen.port, 3000);
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_utf8_is_a_problem_and_not_a_panic() {
    use std::os::unix::ffi::OsStringExt as _;
    let broken = || OsString::from_vec(b"k\xff".to_vec());
    let directory = TempDir::new().unwrap();
    let variables = [("PORT".into(), broken()), ("AUTH_KEY".into(), broken()), (broken(), broken())];
    let errors = Config::load(variables, directory.path()).unwrap_err();
    assert_eq!(
        errors.problems,
        ["PORT: the value is not UTF-8 text; default 3000", "AUTH_KEY: the value is not UTF-8 text"]
    );
}

#[test]
fn dot_env_fills_in_what_the_environment_does_not_set() {
    let directory = with_dot_env("PORT=1\nHOST=::1\nWORKERS=1\nHTTP_PROXY=http://file:1\n");
    let loaded =
        load_in(directory.path(), &[("PORT", "2"), ("WORKERS", ""), ("http_proxy", "http://given:1")])
            .unwrap();
    assert_eq!((loaded.config.listen.port, &*loaded.config.listen.host), (2, "::1"));
    assert_eq!(loaded.config.listen.workers, NonZeroUsize::MIN);
    let upstream = BaseUrl::parse("http://upstream").unwrap();
    assert_eq!(loaded.config.outbound.proxy_for(&upstream).unwrap().host, "given");
    let origin = |name| loaded.settings.iter().find(|setting| setting.variable.name == name).unwrap().origin;
    assert_eq!(
        (origin("PORT"), origin("HOST"), origin("LOG_LEVEL")),
        (Origin::Environment, Origin::DotEnv { line: 2 }, Origin::Default)
    );
}

#[test]
fn a_wrong_dot_env_is_told_by_line_and_never_quoted() {
    let directory = with_dot_env("\nPORT=abc\nAUTH_KEY=hunter2 hunter2\nnonsense hunter2\n");
    let errors = load_in(directory.path(), &[]).unwrap_err();
    assert_eq!(errors.problems.len(), 3, "{errors}");
    assert!(errors.problems[0].starts_with(".env: line 3 can't be read"), "{errors}");
    assert!(errors.problems[1].starts_with(".env: line 4 can't be read"), "{errors}");
    assert!(errors.problems[2].starts_with("PORT (.env line 2): \"abc\" is not a port"), "{errors}");
    assert!(!errors.to_string().contains("hunter2"));

    let directory = TempDir::new().unwrap();
    std::fs::create_dir(directory.path().join(".env")).unwrap();
    assert!(load_in(directory.path(), &[]).unwrap_err().to_string().starts_with(".env: can't be read"));
}

#[test]
fn the_example_is_a_dot_env_with_the_defaults() {
    let directory = with_dot_env(&env_example());
    let loaded = load_in(directory.path(), &[]).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let shown =
        |loaded: &Loaded| -> Vec<_> { loaded.settings.iter().map(|setting| setting.shown.clone()).collect() };
    assert_eq!(shown(&loaded), shown(&load(&[]).unwrap()));
}

#[test]
fn a_variable_that_looks_like_ours_is_warned_about() {
    let directory = with_dot_env("LOGLEVEL=debug\n");
    let loaded =
        load_in(directory.path(), &[("BLACKLIST_TRESHOLD", "3"), ("PATH", "/bin"), ("HOSTNAME", "x")])
            .unwrap();
    assert_eq!(
        loaded.warnings,
        [
            "BLACKLIST_TRESHOLD is not a variable of gpt-load: did you mean BLACKLIST_THRESHOLD?",
            "LOGLEVEL is not a variable of gpt-load: did you mean LOG_LEVEL?",
        ]
    );
}

#[test]
fn no_secret_is_ever_printed() {
    let directory = TempDir::new().unwrap();
    let keys = directory.path().join("keys.txt");
    std::fs::write(&keys, "sk-hunter2\nsk hunter2\nsk-hunter2\n").unwrap();
    let common = [("KEYS_FILE", keys.to_str().unwrap())];
    let secrets = [
        ("AUTH_KEY", "hunter2,hunter2-too"),
        ("ADMIN_KEY", "hunter2"),
        ("HTTPS_PROXY", "http://me:hunter2@proxy"),
        ("OPENAI_BASE_URL", "https://h/?sig=hunter2"),
    ];
    let wrong_secrets = [
        ("AUTH_KEY", "hunter2 "),
        ("AUTH_KEY", "hunter2 hunter2"),
        ("ADMIN_KEY", "hunter2\u{7f}"),
        ("HTTPS_PROXY", "gopher://me:hunter2@proxy"),
        ("ALL_PROXY", "http://me:hunter2@"),
        ("OPENAI_BASE_URL", "https://me:hunter2@h"),
        ("OPENAI_BASE_URL", "https://me:a,hunter2@h"),
        ("OPENAI_BASE_URL", "https://h/?key=hunter2"),
    ];
    let mut outcomes = vec![load_in(directory.path(), &[&common[..], &secrets].concat())];
    assert!(outcomes[0].is_ok());
    outcomes.extend(wrong_secrets.map(|wrong| load_in(directory.path(), &[common[0], wrong])));
    for outcome in outcomes {
        let debug = format!("{outcome:?}");
        let told = format!("{debug}{}", report(outcome));
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn the_report_shows_what_is_in_force_and_where_it_came_from() {
    let directory = with_dot_env("PORT=8080\n");
    let keys = directory.path().join("keys.txt");
    std::fs::write(&keys, "sk-1\nsk-2\nsk-1\nsk 3\n").unwrap();
    let keys = keys.to_str().unwrap();
    let report = report(load_in(
        directory.path(),
        &[("KEYS_FILE", keys), ("AUTH_KEY", "a,b"), ("LOGLEVEL", "debug"), ("WORKERS", "4")],
    ));
    assert!(report.is_good());
    let text = report.to_string();
    let words: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "Listening",
        "HOST 0.0.0.0 default",
        "PORT 8080 .env line 1",
        "WORKERS 4 environment",
        "AUTH_KEY **** (2 tokens) environment",
        "ADMIN_KEY – default",
        "MAX_REPLAY_BODY 16MiB default",
        &format!("{keys}: 2 keys, 1 duplicate dropped"),
        &format!(
            "KEYS_FILE: {keys}: skipped line 4: spaces or special characters inside can't travel in an HTTP header"
        ),
        "LOGLEVEL is not a variable of gpt-load: did you mean LOG_LEVEL?",
        "No problems.",
    ] {
        assert!(words.iter().any(|word| word == line), "{line} is not in\n{text}");
    }
}

#[test]
fn the_report_has_every_problem_of_configuration_and_keys() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("keys.txt");
    let mut report = report(load_in(
        directory.path(),
        &[("PORT", "abc"), ("LOG_LEVEL", "loud"), ("KEYS_FILE", missing.to_str().unwrap())],
    ));
    report.problems.push("TLS_CERT_FILE: holds no certificate".to_owned());
    assert!(!report.is_good());
    let text = report.to_string();
    for part in
        ["PORT: \"abc\"", "LOG_LEVEL: \"loud\"", "no such file", "holds no certificate", "4 problems: "]
    {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}
