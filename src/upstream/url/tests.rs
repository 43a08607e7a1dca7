use proptest::prelude::*;

use super::*;

fn base(text: &str) -> BaseUrl {
    BaseUrl::parse(text).unwrap()
}

#[test]
fn a_base_url_is_taken_apart() {
    for (text, scheme, host, port, authority) in [
        ("https://api.openai.com", Scheme::Https, "api.openai.com", 443, "api.openai.com"),
        ("HTTPS://API.OpenAI.com/", Scheme::Https, "api.openai.com", 443, "api.openai.com"),
        ("https://api.openai.com:443/v1", Scheme::Https, "api.openai.com", 443, "api.openai.com"),
        ("http://localhost:11434", Scheme::Http, "localhost", 11434, "localhost:11434"),
        ("http://h:443", Scheme::Http, "h", 443, "h:443"),
        ("http://127.0.0.1:80", Scheme::Http, "127.0.0.1", 80, "127.0.0.1"),
        ("http://[::1]:8080/v1", Scheme::Http, "::1", 8080, "[::1]:8080"),
        ("https://[2001:db8::1]", Scheme::Https, "2001:db8::1", 443, "[2001:db8::1]"),
        ("https://bücher.example", Scheme::Https, "xn--bcher-kva.example", 443, "xn--bcher-kva.example"),
        ("https://a_b.example:/x", Scheme::Https, "a_b.example", 443, "a_b.example"),
        ("https://h?api-version=1", Scheme::Https, "h", 443, "h"),
    ] {
        let url = base(text);
        assert_eq!((url.scheme(), url.host(), url.port()), (scheme, host, port), "{text}");
        assert_eq!(url.authority(), authority, "{text}");
    }
}

#[test]
fn what_is_no_base_url_is_refused_with_the_reason() {
    for (text, reason) in [
        ("", "https://"),
        ("foo", "https://"),
        ("api.openai.com/v1", "https://"),
        ("https:/api.openai.com", "https://"),
        ("ftp://h", "https://"),
        ("https://", "no host"),
        ("https:///v1", "no host"),
        ("https://:443", "no host"),
        ("https://h:0", "port can't be 0"),
        ("https://h:99999", "host or port"),
        ("https://h:abc", "host or port"),
        ("https://[::1", "host or port"),
        ("https://a%20b", "host or port"),
        ("https://h/a b", "white space"),
        ("https://h\\v1", "backslash"),
        ("https://h/v1#top", "fragment"),
        ("https://h/ü", "percent-encoded"),
        ("https://h/a/../b", "\"..\""),
        ("https://h/a/%2E./b", "\"..\""),
        ("https://h/?k%65y=sk-1", "keys file"),
        ("https://h/<v1>\u{7f}", "control character"),
    ] {
        let error = BaseUrl::parse(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
    assert!(BaseUrl::parse(&format!("https://h/{}", "a".repeat(3000))).is_err());
    assert!(BaseUrl::parse(&format!("https://{}h", "a.".repeat(127))).is_err());
}

#[test]
fn user_and_password_are_refused_and_never_printed() {
    for text in ["https://user:hunter2@h/v1", "http://hunter2@h", "https://a@hunter2@h:99999"] {
        let error = BaseUrl::parse(text).unwrap_err();
        assert!(error.contains("user or password") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn base_and_request_are_joined_byte_for_byte() {
    for (url, request, want) in [
        ("https://h", "/v1/chat/completions", "/v1/chat/completions"),
        ("https://h/", "/v1/chat", "/v1/chat"),
        ("https://h/v1", "/v1/chat", "/v1/chat"),
        ("https://h/v1/", "/v1/chat", "/v1/chat"),
        ("https://h/v1", "/chat", "/v1/chat"),
        ("https://h/v1", "/v1", "/v1"),
        ("https://h/v1", "/v1/", "/v1/"),
        ("https://h/v1", "/v1?x", "/v1?x"),
        ("https://h/v1", "/v1beta/models", "/v1/v1beta/models"),
        ("https://h/v1beta", "/v1beta/models", "/v1beta/models"),
        ("https://h/v1beta", "/v1/models", "/v1beta/v1/models"),
        ("https://h/v1", "/v1/v1/chat", "/v1/v1/chat"),
        ("https://h/v1", "/V1/chat", "/v1/V1/chat"),
        ("https://h/api/v1", "/v1/chat", "/api/v1/chat"),
        ("https://h/api/v1.1", "/v1.1/chat", "/api/v1.1/chat"),
        ("https://h/openai", "/openai/x", "/openai/openai/x"),
        ("https://h/video", "/video/x", "/video/video/x"),
        ("https://h/v", "/v/x", "/v/v/x"),
        ("https://h", "", "/"),
        ("https://h", "/", "/"),
        ("https://h/v1", "/", "/v1/"),
        ("https://h/v1", "", "/v1/"),
        ("https://h", "//double//slash", "//double//slash"),
        ("https://h", "/a%2Fb/%3f%zz?q=%2F+x&&y", "/a%2Fb/%3f%zz?q=%2F+x&&y"),
        ("https://h", "/a?", "/a?"),
        ("https://h", "/a??b?", "/a??b?"),
        ("https://h?api-version=1", "/a", "/a?api-version=1"),
        ("https://h?api-version=1", "/a?", "/a?api-version=1"),
        ("https://h?api-version=1", "/a?b=2", "/a?api-version=1&b=2"),
        ("https://h/d/?api-version=1", "?b", "/d/?api-version=1&b"),
        ("https://h/d?", "/a?b", "/d/a?b"),
        ("https://h/d%20e", "/ü", "/d%20e/ü"),
        ("https://h", "/../x", "/../x"),
        ("https://h/v1", "/files/a..b/...", "/v1/files/a..b/..."),
    ] {
        let joined = base(url).join(request);
        assert_eq!(joined.as_ref().map(PathAndQuery::as_str), Ok(want), "{url} + {request}");
    }
}

#[test]
fn no_dot_dot_segment_leaves_a_base_path() {
    for request in [
        "/..",
        "/../admin",
        "/v1/../../admin",
        "/%2e%2e/admin",
        "/%2E./admin",
        "/.%2e",
        "/a/..;x=y/b",
        "/..%2fadmin",
        "/a%2F..%5cb",
        "/..\\admin",
        "/..?q",
    ] {
        assert_eq!(base("https://h/team").join(request), Err(JoinError::LeavesBasePath), "{request}");
    }
}

#[test]
fn what_is_no_path_is_refused() {
    for (request, want) in [
        ("*", JoinError::NotAPath),
        ("a/b", JoinError::NotAPath),
        ("http://other/", JoinError::NotAPath),
        ("/a b", JoinError::Unsendable),
        ("/a\r\nHost: x", JoinError::Unsendable),
        ("/a#b", JoinError::Unsendable),
    ] {
        assert_eq!(base("https://h").join(request), Err(want), "{request}");
    }
    let long = format!("/{}", "a".repeat(70_000));
    assert_eq!(base("https://h").join(&long), Err(JoinError::Unsendable));
}

#[test]
fn the_leased_key_takes_the_place_of_the_clients() {
    for (query, key, want) in [
        ("key=client", Some("leased"), "key=leased"),
        ("a=1&key=client&b=2", Some("leased"), "a=1&key=leased&b=2"),
        ("k%65y=client&b", Some("leased"), "key=leased&b"),
        ("%6B%65%79=client", Some("leased"), "key=leased"),
        ("key=one&a&key=two&ke%79", Some("leased"), "key=leased&a"),
        ("key", Some("leased"), "key=leased"),
        ("key=client", Some("a+b/c=&?#%ü"), "key=a%2Bb%2Fc%3D%26%3F%23%25%C3%BC"),
        ("monkey=1&keys=2&Key=3&x=key", Some("leased"), "monkey=1&keys=2&Key=3&x=key&key=leased"),
        ("", Some("leased"), "key=leased"),
        ("key=client", None, ""),
        ("a=1&key=client", None, "a=1"),
        ("key=client&a=1", None, "a=1"),
        ("a=1&k%65y=client&key&b=2", None, "a=1&b=2"),
        ("&&a=%6b&=&", None, "&&a=%6b&=&"),
        ("", None, ""),
    ] {
        assert_eq!(replace_key(query, key), want, "{query}");
    }
}

#[test]
fn a_request_is_joined_with_the_leased_key_in_its_query() {
    for (request, key, want) in [
        ("/v1beta/m:generateContent?key=client", Some("AIza"), "/v1beta/m:generateContent?x=1&key=AIza"),
        ("/m?alt=sse&key=client", Some("AIza"), "/v1beta/m?x=1&alt=sse&key=AIza"),
        ("/m?key=client", None, "/v1beta/m?x=1"),
        ("/m", None, "/v1beta/m?x=1"),
    ] {
        let joined = base("https://h/v1beta?x=1").join_with_key(request, key).unwrap();
        assert_eq!(joined.as_str(), want, "{request}");
    }
    for (request, want) in [("/m?key=client", "/m"), ("/m?", "/m?"), ("/m", "/m")] {
        assert_eq!(base("https://h").join_with_key(request, None).unwrap().as_str(), want);
    }
}

#[test]
fn the_clients_token_is_found_in_the_query() {
    for (query, want) in [
        ("key=token", Some("token")),
        ("a=1&k%65y=to%6ben&key=second", Some("token")),
        ("key=a+b%2Bc", Some("a+b+c")),
        ("key=", Some("")),
        ("key", Some("")),
        ("key=100%&a", Some("100%")),
        ("keys=1&Key=2", None),
        ("", None),
    ] {
        assert_eq!(query_key(query).as_deref(), want.map(str::as_bytes), "{query}");
    }
}

#[test]
fn what_logs_show_hides_secrets_in_the_query() {
    for (text, shown) in [
        ("HTTPS://H:443/v1/", "https://h/v1"),
        ("http://[::1]:81", "http://[::1]:81"),
        (
            "https://h/d?api-version=1&api-%6Bey=s3cret&sig=s3cret",
            "https://h/d?api-version=1&api-%6Bey=****&sig=****",
        ),
    ] {
        assert_eq!(base(text).to_string(), shown);
        assert_eq!(format!("{:?}", base(text)), format!("BaseUrl({shown})"));
    }
}

proptest! {
    #[test]
    fn joining_never_panics_and_never_leaves_the_base_path(request in "(/|\\?|\\.|%2[eEfF]|%|v1|key=|&|[ -~]|.){0,24}") {
        for (url, prefix) in [("https://h", "/"), ("https://h/a/v1?x=1", "/a/v1")] {
            if let Ok(joined) = base(url).join(&request) {
                prop_assert!(joined.path().starts_with(prefix));
                prop_assert!(!joined.path().starts_with("/a/v1/v1/") || request.starts_with("/v1/v1/"));
            }
            let _ = base(url).join_with_key(&request, Some("leased"));
        }
    }

    #[test]
    fn a_target_is_untouched_behind_a_bare_host(target in "/[a-z%./-]{0,20}(\\?[a-z&=%?/]{0,20})?") {
        let joined = base("https://h").join(&target).unwrap();
        prop_assert_eq!(joined.as_str(), target);
    }

    #[test]
    fn no_credential_of_the_client_survives(query in "(key|k%65y|ke%79|=|&|client|x){0,12}", leased: bool) {
        let replaced = replace_key(&query, leased.then_some("leased"));
        let wanted = leased.then_some(b"leased".as_slice());
        let found = query_key(&replaced);
        prop_assert_eq!(found.as_deref(), wanted);
        let keys = replaced.split('&').filter(|parameter| is_key(parameter)).count();
        prop_assert_eq!(keys, usize::from(leased));
    }

    #[test]
    fn a_key_comes_back_as_it_was_sent(key in "[ -~]{1,40}") {
        let query = replace_key("a&key=client", Some(&key));
        let found = query_key(&query);
        prop_assert_eq!(found.as_deref(), Some(key.as_bytes()));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(https?://)?.{0,30}") {
        let _ = BaseUrl::parse(&text);
    }
}
