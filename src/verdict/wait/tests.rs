use http::{HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::verdict::{Answer, judge};

fn at(text: &str) -> SystemTime {
    let since_1970 = text.parse::<Timestamp>().unwrap().as_second();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since_1970.try_into().unwrap())
}

fn now() -> SystemTime {
    at("2026-11-24T05:00:00Z")
}

fn waited(headers: &[(&str, &str)], body: &str) -> Option<(u128, &'static str)> {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect();
    let answer = Answer {
        status: StatusCode::TOO_MANY_REQUESTS,
        headers: &headers,
        body: body.as_bytes(),
        model: None,
    };
    judge(&answer, now()).wait.map(|wait| (wait.duration.as_millis(), wait.from))
}

#[test]
fn headers_name_it_in_many_ways() {
    for (headers, want) in [
        (&[("retry-after", "20")][..], Some((20_000, "retry-after"))),
        (&[("retry-after", "1.5")], Some((1_500, "retry-after"))),
        (&[("retry-after", "Tue, 24 Nov 2026 05:01:00 GMT")], Some((60_000, "retry-after"))),
        (&[("retry-after", "Tue, 24 Nov 2026 04:01:00 GMT")], Some((1_000, "retry-after"))),
        (&[("retry-after", "0")], Some((1_000, "retry-after"))),
        (&[("retry-after", "-5")], None),
        (&[("retry-after", "NaN")], None),
        (&[("retry-after", "inf")], None),
        (&[("retry-after", "soon")], None),
        (&[("retry-after", "20"), ("retry-after-ms", "20500")], Some((20_500, "retry-after-ms"))),
        (&[("retry-after", "9999999")], Some((86_400_000, "retry-after"))),
        (&[("retry-after", "10000000")], Some((86_400_000, "retry-after"))),
        (&[("retry-after", "31536000")], Some((86_400_000, "retry-after"))),
        (&[("retry-after", "31536000000")], Some((86_400_000, "retry-after"))),
        (&[("retry-after", "1795496430")], Some((30_000, "retry-after"))),
        (&[("retry-after-ms", "259200000000")], Some((86_400_000, "retry-after-ms"))),
        (&[("retry-after-ms", "1795496430000")], Some((30_000, "retry-after-ms"))),
        (&[("retry-after-ms", "1500ms")], Some((1_500, "retry-after-ms"))),
        (&[("retry-after", "30, 60")], Some((60_000, "retry-after"))),
        (&[("retry-after", "\"30\"")], Some((30_000, "retry-after"))),
        (&[("retry-after", "\"Tue, 24 Nov 2026 05:01:00 GMT\"")], Some((60_000, "retry-after"))),
        (
            &[("helicone-ratelimit-remaining", "0"), ("helicone-ratelimit-reset", "41")],
            Some((41_000, "reset header")),
        ),
        (&[("helicone-ratelimit-remaining", "7"), ("helicone-ratelimit-reset", "41")], None),
        (
            &[("x-ai-ratelimit-remaining-gpt", "0"), ("x-ai-ratelimit-reset-gpt", "23")],
            Some((23_000, "reset header")),
        ),
        (&[("x-ai-ratelimit-reset", "47")], Some((47_000, "reset header"))),
        (&[("retry-after", "PT30S")], Some((30_000, "retry-after"))),
        (&[("retry-after", "PT1M30S")], Some((90_000, "retry-after"))),
        (
            &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s")],
            Some((360_000, "reset header")),
        ),
        (
            &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "250ms")],
            Some((250, "reset header")),
        ),
        (&[("x-ratelimit-remaining-tokens", "12"), ("x-ratelimit-reset-tokens", "6m0s")], None),
        (&[("x-ratelimit-reset", "7")], Some((7_000, "reset header"))),
        (&[("x-ratelimit-reset-after", "7")], Some((7_000, "reset header"))),
        (&[("x-ratelimit-remaining-requests", "5"), ("x-ratelimit-reset", "40")], None),
        (&[("x-ratelimit-remaining", "3"), ("x-ratelimit-reset-after", "40")], None),
        (
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset-after", "40")],
            Some((40_000, "reset header")),
        ),
        (&[("x-ratelimit-reset", "7"), ("retry-after", "2")], Some((2_000, "retry-after"))),
        (
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795496430")],
            Some((30_000, "reset header")),
        ),
        (
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795496430500")],
            Some((30_500, "reset header")),
        ),
        (
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795496430500000")],
            Some((30_500, "reset header")),
        ),
        (
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795496430500000000")],
            Some((30_500, "reset header")),
        ),
        (&[("retry-after", "1e300")], None),
        (&[("x-ratelimit-timeremaining", "55")], Some((55_000, "retry-after"))),
        (
            &[
                ("anthropic-ratelimit-unified-5h-status", "rejected"),
                ("anthropic-ratelimit-unified-5h-reset", "1795496430"),
                ("anthropic-ratelimit-unified-7d-utilization", "0.3"),
                ("anthropic-ratelimit-unified-7d-reset", "1795500000"),
                ("anthropic-ratelimit-unified-overage-status", "rejected"),
                ("anthropic-ratelimit-unified-overage-reset", "1795560000"),
            ],
            Some((30_000, "reset header")),
        ),
        (
            &[
                ("anthropic-ratelimit-unified-5h-utilization", "1.04"),
                ("anthropic-ratelimit-unified-5h-reset", "1795496430"),
            ],
            Some((30_000, "reset header")),
        ),
        (
            &[
                ("anthropic-ratelimit-tokens-remaining", "0"),
                ("anthropic-ratelimit-tokens-reset", "2026-11-24T05:00:07Z"),
            ],
            Some((7_000, "reset header")),
        ),
    ] {
        assert_eq!(waited(headers, "no"), want, "{headers:?}");
    }
}

#[test]
fn a_header_of_another_retry_names_none() {
    for name in
        ["x-max-retry-after", "x-last-retry-after", "x-previous-retry-after", "original-retry-after-ms"]
    {
        assert_eq!(waited(&[(name, "44")], ""), None, "{name}");
    }
    assert_eq!(waited(&[("x-upstream-retry-after", "44")], ""), Some((44_000, "retry-after")));
}

#[test]
fn people_name_it_in_many_ways() {
    for (body, want) in [
        (r#"{"error":{"message":"请稍后（约 20 秒）重试"}}"#, Some((20_000, "message"))),
        (r#"{"error":{"message":"You have been rate limited for 90 seconds."}}"#, Some((90_000, "message"))),
        (r#"{"error":{"message":"Time until reset: 35s"}}"#, Some((35_000, "message"))),
        (r#"{"error":{"message":"Try again in a few seconds."}}"#, None),
        (
            r#"{"error":{"message":"Slow down, retry after 2026-11-24T05:00:10Z"}}"#,
            Some((10_000, "date in the message")),
        ),
        (
            r#"{"error":{"message":"Slow down, retry after 2026/11/24 05:00:10"}}"#,
            Some((10_000, "date in the message")),
        ),
        (r#"{"error":{"message":"retry after 1795496430"}}"#, Some((30_000, "date in the message"))),
        (
            r#"{"error":{"message":"limited, retry_after=1795496430000"}}"#,
            Some((30_000, "date in the message")),
        ),
        (r#"{"error":{"message":"Try again after 05:30 UTC"}}"#, Some((1_800_000, "date in the message"))),
        (
            r#"{"error":{"message":"Try again after 05:30:00 (UTC)"}}"#,
            Some((1_800_000, "date in the message")),
        ),
        (r#"{"error":{"message":"retry after 05:30 UTC"}}"#, Some((1_800_000, "date in the message"))),
        (r#"{"error":{"message":"retry after 14:30:00 JST"}}"#, Some((1_800_000, "date in the message"))),
        (r#"{"error":{"message":"retry after 2026-11-24 06:00:00 IST"}}"#, None),
        (r#"{"error":{"message":"Retry after 30: slow down"}}"#, Some((30_000, "message"))),
        (r#"{"error":{"message":"Too fast. New limits apply after Jan 1, 2026"}}"#, None),
        (r#"{"error":{"message":"Too fast. Your limit was reset at 1795496000"}}"#, None),
        (
            r#"{"error":{"message":"You've reached your limit of 50 messages in 3 hours. Try again in 12 minutes"}}"#,
            Some((720_000, "message")),
        ),
        (
            r#"{"error":{"message":"Exceeded 60 times in 1 minute, try again in 2s"}}"#,
            Some((2_000, "message")),
        ),
        (r#"{"error":{"message":"1 request in 60 seconds. Try again in 2s"}}"#, Some((2_000, "message"))),
        (r#"{"error":{"message":"Slow down: timed out after waiting 600 seconds"}}"#, None),
        (r#"{"error":{"message":"Try again in 10s (retry after 30)"}}"#, Some((30_000, "message"))),
        (r#"{"error":{"message":"Wait 8 more seconds"}}"#, Some((8_000, "message"))),
        (
            r#"{"error":{"message":"请于 2026-11-24 13:02:00 后重试"}}"#,
            Some((120_000, "date in the message")),
        ),
        (r#"{"error":{"message":"距离下次请求还需 18 秒"}}"#, Some((18_000, "message"))),
        (r#"{"error":{"message":"Limit hit; cooldown 30s"}}"#, Some((30_000, "message"))),
        (r#"{"error":{"message":"Limit 10. Resets in: 20s"}}"#, Some((20_000, "message"))),
        (r#"{"error":{"message":"Your next request can be made in 20 seconds"}}"#, Some((20_000, "message"))),
        (r#"{"error":{"message":"Try again in less than 1 minute"}}"#, Some((60_000, "message"))),
        (r#"{"error":{"message":"Retry delay: 30s"}}"#, Some((30_000, "message"))),
        (r#"{"error":{"message":"Wait for 5 to 10 seconds"}}"#, Some((10_000, "message"))),
        (r#"{"error":{"message":"请等待 5-10 秒"}}"#, Some((10_000, "message"))),
        (
            r#"{"error":{"message":"Retry after Tue, 24 Nov 2026 05:01:00 GMT"}}"#,
            Some((60_000, "date in the message")),
        ),
        (r#"{"error":{"message":"Try again 30 seconds from now"}}"#, Some((30_000, "message"))),
        (r#"{"error":{"message":"Retry 30s later. If not, try again later"}}"#, Some((30_000, "message"))),
        (r#"{"error":{"message":"Slow down (reset: 1795496430)"}}"#, Some((30_000, "date in the message"))),
        (r#"{"error":{"message":"Reset time: 1795496430"}}"#, Some((30_000, "date in the message"))),
        (r#"{"error":{"message":"Reset it (request id: 20261124050000123456)"}}"#, None),
        (
            r#"{"error":{"message":"Your limit resets at midnight UTC"}}"#,
            Some((19 * 3_600_000, "date in the message")),
        ),
        (r#"{"error":{"details":{"remaining":0,"reset":1795496430}}}"#, Some((30_000, "body field"))),
        (r#"{"error":{"message":"太频繁","resetTime":"2026-11-24 13:00:30"}}"#, Some((30_000, "body field"))),
        (
            r#"{"error":{"message":"too often","resetTime":"2026-11-24T05:00:30"}}"#,
            Some((30_000, "body field")),
        ),
    ] {
        assert_eq!(waited(&[], body), want, "{body}");
    }
}

#[test]
fn bodies_name_it_too() {
    for (body, want) in [
        (r#"{"error":{"message":"Please try again in 1m2.5s. Visit"}}"#, Some((62_500, "message"))),
        (r#"{"error":{"message":"Please try again in 250ms."}}"#, Some((250, "message"))),
        (r#"{"error":{"message":"Please try again in 2h31m16.752s."}}"#, Some((9_076_752, "message"))),
        (r#"{"error":{"message":"Please retry after 2 hours."}}"#, Some((7_200_000, "message"))),
        (r#"{"error":{"message":"Please retry after 7 days."}}"#, Some((86_400_000, "message"))),
        (r#"{"error":{"message":"Try again in about 5 minutes"}}"#, Some((300_000, "message"))),
        (r#"{"error":{"message":"please try again after 1 seconds"}}"#, Some((1_000, "message"))),
        (r#"{"error":{"message":"replenished in 01:02:03."}}"#, Some((3_723_000, "message"))),
        (r#"{"error":{"message":"请在5秒后重试"}}"#, Some((5_000, "message"))),
        (r#"{"error":{"message":"Повторите попытку через 20 секунд."}}"#, Some((20_000, "message"))),
        (r#"{"error":{"message":"20秒後に再試行してください"}}"#, Some((20_000, "message"))),
        (r#"{"error":{"message":"30초 후에 다시 시도하세요"}}"#, Some((30_000, "message"))),
        (r#"{"error":{"message":"Inténtelo dentro de 2 minutos"}}"#, Some((120_000, "message"))),
        (r#"{"error":{"message":"请 2 分钟后再试"}}"#, Some((120_000, "message"))),
        (r#"{"error":{"details":[{"retryDelay":"34.07s"}]}}"#, Some((34_070, "body field"))),
        (r#"{"error":{"retry_after_ms":1500}}"#, Some((1_500, "body field"))),
        (r#"{"error":{"retry_after_minutes":5}}"#, Some((300_000, "body field"))),
        (
            r#"{"error":{"details":[{"retryDelay":{"seconds":"34","nanos":500000000}}]}}"#,
            Some((34_500, "body field")),
        ),
        (r#"{"error":{"message":"Rate limit; this preview model is available until 2026-12-31"}}"#, None),
        (
            r#"{"error":{"message":"Not available until 2026-11-24T05:30:00Z"}}"#,
            Some((1_800_000, "date in the message")),
        ),
        (
            r#"{"error":{"message":"Please try again at 2026-11-24T05:30:00Z"}}"#,
            Some((1_800_000, "date in the message")),
        ),
        (r#"{"error":{"message":"Please retry your request after 20 seconds."}}"#, Some((20_000, "message"))),
        (r#"{"error":{"message":"try again in 1,234 seconds"}}"#, Some((1_234_000, "message"))),
        (r#"{"error":{"message":"try again in 1,200,000 ms"}}"#, Some((1_200_000, "message"))),
        (r#"{"error":{"message":"try again in an hour"}}"#, Some((3_600_000, "message"))),
        (r#"{"error":{"message":"try again in one minute"}}"#, Some((60_000, "message"))),
        (r#"{"error":{"message":"limited, retry_after=17"}}"#, Some((17_000, "message"))),
        (r#"{"error":{"message":"limited. Retry-After: 25"}}"#, Some((25_000, "message"))),
        (r#"{"error":{"message":"请稍等 20 秒"}}"#, Some((20_000, "message"))),
        (r#"{"error":{"message":"30 秒钟后重试"}}"#, Some((30_000, "message"))),
        (r#"{"error":{"message":"请三十秒后重试"}}"#, Some((30_000, "message"))),
        (r#"{"error":{"message":"四十五秒后重试"}}"#, Some((45_000, "message"))),
        (r#"{"error":{"message":"请十秒后重试"}}"#, Some((10_000, "message"))),
        (r#"{"error":{"message":"账号已临时封禁10分钟"}}"#, Some((600_000, "message"))),
        (r#"{"error":{"message":"请求过快，冷却时间：25秒"}}"#, Some((25_000, "message"))),
        (r#"{"error":{"resets_in_seconds":15}}"#, Some((15_000, "body field"))),
        (r#"{"error":{"requests_per_minute_reset_seconds":15}}"#, Some((15_000, "body field"))),
        (r#"{"error":{"resets_in_days":3}}"#, Some((86_400_000, "body field"))),
        (r#"{"error":{"resets_in_days":0.5}}"#, Some((43_200_000, "body field"))),
        (r#"{"error":{"window_reset_at":"2026-11-24T05:00:10Z"}}"#, Some((10_000, "body field"))),
        (r#"{"error":{"reset_interval":86400}}"#, None),
        (r#"{"error":{"max_retry_after":900}}"#, None),
        (r#"{"error":{"retry_limit_in_minutes":5}}"#, None),
        (r#"{"error":{"retry_policy_delay_max":700}}"#, None),
        (r#"{"error":{"max_retry_delay":600}}"#, None),
        (r#"{"error":{"retry_attempts_in_total":3}}"#, None),
        (r#"{"error":{"rate_limit_retry_after":9}}"#, Some((9_000, "body field"))),
        (r#"{"error":{"reset_count_at_start":900}}"#, None),
        (r#"{"error":{"password_reset_at":"2026-11-24T05:00:10Z"}}"#, None),
        (r#"{"error":{"uptime_reset_at":"2026-11-24T05:00:10Z"}}"#, None),
        (r#"{"error":{"message":"Rate limit exceeded. Your plan renews on 2026-12-28."}}"#, None),
        (
            r#"{"error":{"message":"Rate limit exceeded. It renews on 2026-11-24T05:30:00Z."}}"#,
            Some((1_800_000, "date in the message")),
        ),
        (r#"{"error":{"reset_window_seconds":3600}}"#, None),
        (r#"{"error":{"resetPeriodInSeconds":3600}}"#, None),
        (r#"{"error":{"last_reset_at":"2026-11-24T04:00:00Z"}}"#, None),
        (r#"{"error":{"previousResetTime":"2026-11-24T04:00:00Z"}}"#, None),
        (r#"{"error":{"metadata":{"resets_at":"2026-11-24T05:00:10Z"}}}"#, Some((10_000, "body field"))),
        (
            r#"{"error":{"message":"Your limit resets on Nov 24, 2026 at 5:30 am UTC."}}"#,
            Some((1_800_000, "date in the message")),
        ),
        (
            r#"{"error":{"message":"Bitte versuchen Sie es in 25 Sekunden erneut."}}"#,
            Some((25_000, "message")),
        ),
        (r#"{"error":{"message":"Réessayez dans 1 minute"}}"#, Some((60_000, "message"))),
        (r#"{"error":{"message":"подождите 45 секунд"}}"#, Some((45_000, "message"))),
        (r#"{"error":{"message":"2分後に再度お試しください"}}"#, Some((120_000, "message"))),
        (r#"{"error":{"message":"Come back in three hours"}}"#, Some((10_800_000, "message"))),
        (r#"{"error":{"message":"Cooldown active: 22 seconds remaining"}}"#, Some((22_000, "message"))),
        (r#"{"error":{"message":"过两分钟再试试吧"}}"#, Some((120_000, "message"))),
        (r#"{"error":{"retry_at":"2026-11-24T05:00:25Z"}}"#, Some((25_000, "body field"))),
        (r#"{"error":{"retry_attempts":3}}"#, None),
        (r#"{"error":{"message":"At most 5 requests in 1 second, 3 requests remaining"}}"#, None),
        (r#"{"error":{"message":"try again later"}}"#, None),
        (r#"{"error":{"message":"try again in a minute"}}"#, Some((60_000, "message"))),
        (r#"{"error":{"message":"try again in a moment"}}"#, None),
        (r#"{"error":{"message":"try again in a few minutes"}}"#, None),
        (r#"{"error":{"message":"wait a minute"}}"#, None),
        (r#"{"error":{"message":"try again in -5s"}}"#, None),
        (r#"{"error":{"message":"the message '请在5秒后重试' is wrong"}}"#, None),
    ] {
        assert_eq!(waited(&[], body), want, "{body}");
    }
}

#[test]
fn a_date_is_measured_by_the_clock_that_named_it() {
    let retry = ("retry-after", "Tue, 24 Nov 2026 05:11:00 GMT");
    assert_eq!(
        waited(&[retry, ("date", "Tue, 24 Nov 2026 05:10:00 GMT")], ""),
        Some((60_000, "retry-after"))
    );
    assert_eq!(
        waited(&[retry, ("date", "Tue, 24 Nov 1998 05:10:00 GMT")], ""),
        Some((660_000, "retry-after"))
    );
    // Their clock is ten minutes behind or before ours, and their reset seven seconds away.
    for (date, reset) in [("04:50:00", "04:50:07"), ("05:10:00", "05:10:07")] {
        let date = format!("Tue, 24 Nov 2026 {date} GMT");
        let rfc3339 = format!("2026-11-24T{reset}Z");
        let epoch = at(&rfc3339).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string();
        for (limit, reset) in [
            (["anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"], &rfc3339),
            (["x-ratelimit-remaining", "x-ratelimit-reset"], &epoch),
        ] {
            let headers = [("date", &*date), (limit[0], "0"), (limit[1], reset)];
            assert_eq!(waited(&headers, ""), Some((7_000, "reset header")), "{headers:?}");
        }
        let body = format!(r#"{{"error":{{"metadata":{{"resets_at":"{rfc3339}"}}}}}}"#);
        assert_eq!(waited(&[("date", &date)], &body), Some((7_000, "body field")));
    }
}

#[test]
fn a_short_wait_beside_a_spent_quota_is_not_the_quotas() {
    let quota = r#"{"error":{"code":"insufficient_quota"}}"#;
    assert_eq!(waited(&[("retry-after", "600")], quota), Some((600_000, "retry-after")));
    assert_eq!(waited(&[("retry-after", "5")], quota), Some((5_000, "retry-after")));
    let said = r#"{"error":{"code":"insufficient_quota","message":"Please try again in 5s"}}"#;
    assert_eq!(waited(&[], said), None);
    // A header's word counts, whatever else names a time.
    for (also, fields) in [
        (&[][..], r#""retry_after":30"#),
        (&[], r#""message":"Please try again in 45 seconds""#),
        (
            &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "35s")],
            r#""message":"no""#,
        ),
    ] {
        let body = format!(r#"{{"error":{{"code":"insufficient_quota",{fields}}}}}"#);
        let headers = [&[("retry-after", "30")], also].concat();
        assert_eq!(waited(&headers, &body), Some((30_000, "retry-after")), "{body}");
        assert_eq!(waited(also, &body), None, "{body}");
    }
}

#[test]
fn what_ends_at_a_time_that_is_not_clear_ends_all_the_same() {
    let verdict = |ends: &str| {
        let body = format!(r#"{{"error":{{"message":"Your API key is deactivated{ends}"}}}}"#);
        let headers = HeaderMap::new();
        let answer =
            Answer { status: StatusCode::FORBIDDEN, headers: &headers, body: body.as_bytes(), model: None };
        let judgement = judge(&answer, now());
        (judgement.verdict, judgement.wait.map(|wait| wait.duration.as_secs()))
    };
    assert_eq!(verdict(""), (Verdict::KeyInvalid, None));
    assert_eq!(verdict(" until 2026-11-24 06:00:00 UTC"), (Verdict::KeyExhausted, Some(3_600)));
    assert_eq!(verdict(" until 2026-11-25 06:00:00 IST").1, None);
    assert_ne!(verdict(" until 2026-11-25 06:00:00 IST").0, Verdict::KeyInvalid);
}

proptest! {
    #[test]
    fn whatever_is_said_the_wait_is_within_a_day(
        text in "\\PC{0,40}",
        number in any::<f64>(),
        words in "[a-z0-9.:+ ]{0,30}",
        date in "20[0-9]{2}-[0-9]{2}-[0-9]{2}[t ][0-9:.]{0,12}( utc|z|[+-][0-9:]{0,9})?",
        since_1970 in 0..u64::MAX / 2,
    ) {
        for value in [text, number.to_string(), words, date] {
            let header = HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("0"));
            let names = [http::header::RETRY_AFTER, DATE, HeaderName::from_static("x-ratelimit-reset")];
            let headers: HeaderMap = names.into_iter().map(|name| (name, header.clone())).collect();
            let body = format!("try again in {value}, resets {value}");
            let now = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since_1970)).unwrap_or_else(now);
            let answer =
                Answer { status: StatusCode::TOO_MANY_REQUESTS, headers: &headers, body: body.as_bytes(), model: None };
            if let Some(wait) = judge(&answer, now).wait {
                prop_assert!(wait.duration <= LONGEST && !wait.duration.is_zero());
            }
        }
    }
}
