use http::HeaderValue;

use super::*;

/// 2026-11-24T05:00:00Z
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_496_400)
}

fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
    headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect()
}

fn told(headers: &[(&'static str, &str)]) -> Option<(Option<u128>, Option<u32>, bool)> {
    let headers = map(headers);
    told_after(&headers, Duration::ZERO)
}

fn told_after(headers: &HeaderMap, took: Duration) -> Option<(Option<u128>, Option<u32>, bool)> {
    ahead(headers, 0, now, || took).map(|ahead| {
        (ahead.spent.map(|wait| wait.duration.as_millis()), ahead.remaining_requests, ahead.per_model)
    })
}

#[test]
fn every_dialect_of_what_remains_is_read() {
    for (headers, want) in [
        (&[("content-type", "application/json"), ("x-request-id", "a")][..], None),
        (
            &[
                ("x-ratelimit-remaining-requests", "59"),
                ("x-ratelimit-reset-requests", "1s"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ],
            Some((Some(360_000), Some(59), true)),
        ),
        (
            &[
                ("anthropic-ratelimit-requests-remaining", "0"),
                ("anthropic-ratelimit-requests-reset", "2026-11-24T05:00:07Z"),
                ("anthropic-ratelimit-output-tokens-remaining", "800"),
                ("anthropic-ratelimit-output-tokens-reset", "2026-11-24T05:00:50Z"),
            ],
            Some((Some(7_000), Some(0), true)),
        ),
        (&[("x-ratelimit-remaining-req-minute", "0")], Some((Some(60_000), Some(0), false))),
        (
            &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-renewalperiod-requests", "60")],
            Some((Some(60_000), Some(0), true)),
        ),
        (
            &[("x-ratelimit-remaining-tokens-minute", "0"), ("x-ratelimit-reset-tokens-minute", "12.382")],
            Some((Some(12_382), None, true)),
        ),
        (
            &[("x-ratelimitbysize-remaining-minute", "0"), ("x-ratelimitbysize-limit-minute", "500000")],
            Some((Some(60_000), None, true)),
        ),
        (
            &[("ratelimitbysize-remaining", "0"), ("ratelimitbysize-reset", "12")],
            Some((Some(12_000), None, true)),
        ),
        // It is 5 o'clock.
        (&[("x-ratelimit-remaining-tokens-day", "0")], Some((Some(19 * 3_600_000), None, true))),
        (&[("x-ratelimitbysize-remaining-month", "0")], Some((Some(86_400_000), None, true))),
        (
            &[("x-ratelimit-remaining-requests-day", "0"), ("x-ratelimit-reset-requests-day", "12.5")],
            Some((Some(12_500), Some(0), true)),
        ),
        (
            &[("x-tokenlimit-remaining-dynamic", "0"), ("x-ratelimit-reset", "1")],
            Some((Some(1_000), None, true)),
        ),
        (
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795496430000")],
            Some((Some(30_000), Some(0), false)),
        ),
        (&[("ratelimit-remaining", "0"), ("ratelimit-reset", "30")], Some((Some(30_000), Some(0), false))),
        (&[("ratelimit", "limit=100, remaining=0, reset=30")], Some((Some(30_000), Some(0), false))),
        (&[("ratelimit", "\"default\";r=5;t=30")], Some((None, Some(5), false))),
        (
            &[("x-trial-endpoint-call-limit", "40"), ("x-trial-endpoint-call-remaining", "0")],
            Some((None, Some(0), false)),
        ),
        (&[("ratelimit-policy", "100;w=60")], None),
        // Long past, without limit, or no number.
        (
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000000")],
            Some((None, Some(0), false)),
        ),
        (&[("x-ratelimit-remaining-requests", "-1"), ("x-ratelimit-reset-requests", "9s")], None),
        (
            &[
                ("x-ratelimit-limit-requests", "0"),
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "9s"),
            ],
            Some((None, None, true)),
        ),
        (
            &[("x-ratelimit-limit", "-1"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "600")],
            Some((None, None, false)),
        ),
        (
            &[
                ("x-ratelimit-limit-requests", "0"),
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-limit-tokens", "900"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "9s"),
            ],
            Some((Some(9_000), None, true)),
        ),
        (&[("x-ratelimit-remaining-requests", "many")], None),
    ] {
        assert_eq!(told(headers), want, "{headers:?}");
    }
}

#[test]
fn what_several_windows_tell_is_told_apart() {
    for (headers, want) in [
        (
            &[("ratelimit", "\"burst\";r=0;t=8, \"day\";r=0;t=51000, \"month\";r=9;t=99999")][..],
            Some((Some(51_000_000), Some(0), false)),
        ),
        // Brave's two windows, a second and a month.
        (
            &[("x-ratelimit-remaining", "0, 1000"), ("x-ratelimit-reset", "3, 1419704")],
            Some((Some(3_000), Some(0), false)),
        ),
        (
            &[("x-ratelimit-remaining", "1, 0"), ("x-ratelimit-reset", "3, 1419")],
            Some((Some(1_419_000), Some(0), false)),
        ),
        // What it meters may have no limit for the month.
        (
            &[
                ("x-ratelimit-limit", "50, 0"),
                ("x-ratelimit-remaining", "49, 0"),
                ("x-ratelimit-reset", "1, 1419704"),
            ],
            Some((None, Some(49), false)),
        ),
        (
            &[
                ("x-ratelimit-limit", "50, 0"),
                ("x-ratelimit-remaining", "0, 0"),
                ("x-ratelimit-reset", "1, 1419704"),
            ],
            Some((Some(1_000), Some(0), false)),
        ),
        (
            &[
                ("x-ratelimit-limit", "0, 50"),
                ("x-ratelimit-remaining", "0, 0"),
                ("x-ratelimit-reset", "1419704, 1"),
            ],
            Some((Some(1_000), Some(0), false)),
        ),
        (&[("x-ratelimit-remaining", "1,000"), ("x-ratelimit-reset", "3")], None),
        (&[("x-ratelimit-timeremaining", "0"), ("x-ratelimit-reset", "9")], None),
        // The minute's reset says nothing of the month.
        (
            &[("x-ratelimitbysize-remaining-month", "0"), ("ratelimitbysize-reset", "28")],
            Some((Some(86_400_000), None, true)),
        ),
        (
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "2026-11-24 05:00:07.9")],
            Some((Some(7_000), Some(0), false)),
        ),
        (
            &[
                ("x-ratelimit-remaining-requests", "9"),
                ("x-ratelimit-reset-requests", "23h"),
                ("x-tokenlimit-remaining", "0"),
                ("x-tokenlimit-reset", "7"),
            ],
            Some((Some(7_000), Some(9), true)),
        ),
    ] {
        assert_eq!(told(headers), want, "{headers:?}");
    }
}

/// RFC 9110 §5.3: lines with the same name keep their order.
#[test]
fn of_lines_with_the_same_name_those_at_the_same_place_belong_together() {
    let lines = |first: (&str, &str), second: (&str, &str)| {
        let [remaining, reset] = ["x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
        let of_first = [(remaining, first.0), (reset, first.1)];
        map(&[of_first, [(remaining, second.0), (reset, second.1)]].concat())
    };
    for (headers, want) in [
        (lines(("9", "1s"), ("0", "30s")), Some((Some(30_000), Some(0), true))),
        (lines(("0", "1s"), ("9", "30s")), Some((Some(1_000), Some(0), true))),
        (lines(("0", "1s"), ("0", "30s")), Some((Some(30_000), Some(0), true))),
    ] {
        assert_eq!(told_after(&headers, Duration::ZERO), want, "{headers:?}");
    }
    let one_reset =
        [("x-ratelimit-remaining", "9"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "7")];
    assert_eq!(told(&one_reset), Some((Some(7_000), Some(0), false)));
    let limits = [
        ("x-ratelimit-limit", "50"),
        ("x-ratelimit-limit", "0"),
        ("x-ratelimit-remaining", "49"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1"),
        ("x-ratelimit-reset", "1419704"),
    ];
    assert_eq!(told(&limits), Some((None, Some(49), false)));
}

#[test]
fn tokens_are_too_few_where_requests_are_left() {
    for (limit, left, want) in [
        ("50", "0", None),
        ("50", "49", Some(100)),
        // Without a limit.
        ("0", "0", Some(100)),
        ("50, 0", "49, 0", Some(100)),
        ("50, 0", "0, 0", None),
    ] {
        let headers = map(&[
            ("x-ratelimit-limit-requests", limit),
            ("x-ratelimit-remaining-requests", left),
            ("x-ratelimit-limit-tokens", "1000"),
            ("x-ratelimit-remaining-tokens", "100"),
        ]);
        assert_eq!(too_few_tokens(&headers), want, "{limit}: {left}");
    }
}

#[test]
fn no_clock_is_read_where_much_is_left() {
    let headers = HeaderMap::from_iter([(
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderValue::from_static("70"),
    )]);
    let ahead = ahead(&headers, 0, || panic!("the clock"), || panic!("the clock"));
    assert_eq!(ahead.unwrap().remaining_requests, Some(70));
}

#[test]
fn what_was_left_of_a_limit_that_is_whole_again_says_nothing() {
    for (headers, took, want) in [
        (&[("x-ratelimit-remaining-requests", "2"), ("x-ratelimit-reset-requests", "1s")][..], 900, Some(2)),
        (&[("x-ratelimit-remaining-requests", "2"), ("x-ratelimit-reset-requests", "1s")], 1_000, None),
        (&[("x-ratelimit-remaining-requests", "2"), ("x-ratelimit-reset-requests", "0s")], 1_000, Some(2)),
        (&[("x-ratelimit-remaining-requests", "2")], 60_000, Some(2)),
        // A moment: it is 5 o'clock now, not when the request was sent.
        (
            &[
                ("anthropic-ratelimit-requests-remaining", "3"),
                ("anthropic-ratelimit-requests-reset", "2026-11-24T05:00:01Z"),
            ],
            60_000,
            Some(3),
        ),
        (
            &[
                ("anthropic-ratelimit-requests-remaining", "3"),
                ("anthropic-ratelimit-requests-reset", "2026-11-24T04:59:59Z"),
            ],
            60_000,
            None,
        ),
        // Of two limits one is whole again.
        (
            &[("x-ratelimit-remaining-req-minute", "1"), ("x-ratelimit-remaining-req-day", "9")],
            60_000,
            Some(9),
        ),
        (&[("ratelimit", "\"burst\";r=1;t=3, \"day\";r=7;t=99")], 3_000, None),
    ] {
        let headers = map(headers);
        let told = told_after(&headers, Duration::from_millis(took));
        assert_eq!(told.and_then(|(_, left, _)| left), want, "{headers:?}");
    }
    let spent = map(&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1s")]);
    let after = |took| told_after(&spent, Duration::from_millis(took)).unwrap();
    assert_eq!(after(900), (Some(1_000), Some(0), true));
    assert_eq!(after(1_000), (None, None, true));
}

#[test]
fn what_is_counted_is_of_the_model_and_a_mere_window_of_the_account() {
    for (name, want) in [
        ("x-ratelimit-remaining-images", true),
        ("x-ratelimit-remaining-audio", true),
        ("x-ratelimit-remaining-requests", true),
        ("anthropic-ratelimit-input-tokens-remaining", true),
        ("x-ratelimit-remaining", false),
        ("ratelimit-remaining", false),
        ("x-ratelimit-remaining-minute", false),
        ("x-ratelimit-remaining-day", false),
        ("x-ratelimit-remaining-24h", false),
        ("x-ratelimit-remaining-credits", false),
        ("ratelimit", false),
    ] {
        assert_eq!(is_per_model(&HeaderName::from_static(name)), want, "{name}");
    }
}
