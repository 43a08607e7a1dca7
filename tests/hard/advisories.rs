//! Advisories of the crates that gpt-load is made of, and incidents of how others were built and shipped.

use std::time::Duration;

use crate::outcome;
use crate::support::{A, GptLoad};

/// With TLS in front, and a certificate of its own.
fn with_tls() -> (tempfile::TempDir, GptLoad) {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let env = [("TLS_CERT_FILE", cert.to_str().unwrap()), ("TLS_KEY_FILE", key.to_str().unwrap())];
    let gpt_load = GptLoad::start(&env, &[A]);
    (folder, gpt_load)
}

/// A record of TLS 1.2's: 21 is an alert, 22 a piece of a handshake.
fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3, 0, u8::try_from(payload.len()).unwrap()], payload].concat()
}

#[test]
fn a_client_hello_in_pieces_panics_nobody_rustls_rustsec_2024_0399() {
    let (_folder, gpt_load) = with_tls();
    // The head of a ClientHello of 64 bytes, and as many bytes that are none.
    let hello = [&[1, 0, 0, 64, 3, 3][..], &[0x5a; 62]].concat();
    for size in [1, 2, 4, 5, 30] {
        let mut client = gpt_load.raw();
        for piece in hello.chunks(size) {
            client.send(record(22, piece));
        }
        client.finish();
        client.rest_in_time();
    }
    // The harness fails the test if anything in it says "panic".
    let mut client = gpt_load.raw();
    client.send(record(22, &hello)).finish();
    let answer = client.rest_in_time();
    assert!(!answer.is_empty(), "it still answers with an alert");
    outcome("TLS: a ClientHello in pieces (rustls, RUSTSEC-2024-0399)", "an alert, no panic");
}

#[test]
fn a_farewell_before_the_handshake_spins_nobody_rustls_rustsec_2024_0336() {
    let (_folder, gpt_load) = with_tls();
    let mut clients: Vec<_> = (0..20).map(|_| gpt_load.raw()).collect();
    for client in &mut clients {
        client.send(record(21, &[1, 0])).finish();
    }
    for client in &mut clients {
        client.rest();
    }
    let before = gpt_load.cpu_time();
    std::thread::sleep(Duration::from_secs(1));
    let spent = gpt_load.cpu_time().saturating_sub(before);
    assert!(spent < Duration::from_millis(300), "{spent:?} of processor time in a second");
    outcome("TLS: close_notify before the handshake (rustls, RUSTSEC-2024-0336)", "closed, nothing spins");
}

/// Where each crate's last advisory was fixed. `cargo deny` knows more, but has to be fetched; this runs everywhere.
const FLOORS: [(&str, [u64; 3], &str); 9] = [
    ("hyper", [1, 11, 0], "a length before a transfer-encoding"),
    ("h2", [0, 4, 18], "RUSTSEC-2026-0258, and what a HPACK table and small DATA frames may cost"),
    ("rustls", [0, 23, 18], "RUSTSEC-2024-0399, -0336"),
    ("rustls-webpki", [0, 103, 13], "RUSTSEC-2026-0049, -0098, -0099, -0104"),
    ("bytes", [1, 11, 1], "RUSTSEC-2026-0007"),
    ("time", [0, 3, 47], "RUSTSEC-2026-0009"),
    ("tracing-subscriber", [0, 3, 20], "RUSTSEC-2025-0055"),
    ("ring", [0, 17, 12], "RUSTSEC-2025-0009"),
    ("tokio", [1, 43, 1], "RUSTSEC-2025-0023"),
];
/// What has open advisories, or had, and is not needed.
const ABSENT: [&str; 7] =
    ["hickory-proto", "aws-lc-sys", "lru", "openssl-sys", "rustls-pemfile", "dotenv", "native-tls"];

#[test]
fn no_crate_is_older_than_its_last_advisory() {
    let lock = include_str!("../../Cargo.lock");
    let crates: Vec<(&str, Vec<u64>)> = lock
        .split("[[package]]")
        .filter_map(|package| {
            let field = |name: &str| {
                package.lines().find_map(|line| line.strip_prefix(name)?.trim_matches('"').into())
            };
            let version: &str = field("version = ")?;
            let version = version.split(['-', '+']).next()?;
            Some((field("name = ")?, version.split('.').map(|part| part.parse().unwrap()).collect()))
        })
        .collect();
    for (name, floor, advisory) in FLOORS {
        let versions: Vec<_> = crates.iter().filter(|(other, _)| *other == name).collect();
        assert!(!versions.is_empty(), "{name} is not there any more: take it off the list");
        for (_, version) in versions {
            assert!(version[..] >= floor[..], "{name} {version:?}: {advisory}");
        }
    }
    for name in ABSENT {
        assert!(crates.iter().all(|(other, _)| *other != name), "{name}");
    }
    outcome(
        "advisories of hyper, h2, rustls, webpki, bytes, time, hickory, aws-lc, lru",
        "all fixed in what is built in, or not there",
    );
}

#[test]
fn what_publishes_runs_no_scanner_and_little_of_others_litellm_1_82_7() {
    // LiteLLM's releases of 2026-03-24 were made by a scanner in the job that could publish.
    for (name, workflow) in [
        ("release.yml", include_str!("../../.github/workflows/release.yml")),
        ("images.yml", include_str!("../../.github/workflows/images.yml")),
    ] {
        let used = workflow.lines().filter_map(|line| line.split("uses: ").nth(1));
        for action in used {
            assert!(action.starts_with("actions/") || action.starts_with("docker/"), "{name}: {action}");
        }
        // By jobs: each begins two spaces in.
        let mut jobs: Vec<String> = vec![String::new()];
        for line in workflow.lines() {
            if line.starts_with("  ") && !line.starts_with("   ") && line.ends_with(':') {
                jobs.push(String::new());
            }
            jobs.last_mut().unwrap().extend([line, "\n"]);
        }
        let publishing: Vec<_> = jobs.iter().filter(|job| job.contains(": write")).collect();
        assert!(!publishing.is_empty(), "{name}");
        for job in publishing {
            for tool in ["trivy", "snyk", "grype", "curl ", "wget ", "pip ", "npm ", "cargo "] {
                assert!(!job.contains(tool), "{name}: {tool} in\n{job}");
            }
        }
        assert!(workflow.contains("permissions:"), "{name}");
    }
    let ci = include_str!("../../.github/workflows/ci.yml");
    assert!(
        ci.contains("permissions:\n  contents: read") && !ci.contains(": write") && !ci.contains("secrets.")
    );
    outcome("a scanner that publishes (LiteLLM 1.82.7)", "no scanner beside a credential");
}
