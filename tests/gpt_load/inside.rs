//! Spec §6: errors inside a 200 and streams that break, in all the shapes that careless servers and odd networks give them.

use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use mock_provider::{Play, Step};
use serde_json::{Value, json};

use crate::support::{A, B, GptLoad, asked, chat, chat_with, provider};

pub const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
pub const LIMIT: &str =
    r#"{"error": {"message": "Rate limit reached for requests", "code": "rate_limit_exceeded"}}"#;
const OK: &str = "200 OK\r\ncontent-type: application/json";
pub const EVENTS: &str = "200 OK\r\ncontent-type: text/event-stream";
pub const EVENT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}";

fn pause() -> Step {
    Step::Wait(Duration::from_millis(30))
}

fn chunk(piece: &[u8]) -> Step {
    Step::Write([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat())
}

/// An answer in chunks with a pause behind each; its end comes by itself.
pub fn pieces(head: &str, pieces: &[&[u8]]) -> Vec<Step> {
    let head = format!("HTTP/1.1 {head}\r\ntransfer-encoding: chunked\r\n\r\n");
    let pieces = pieces.iter().flat_map(|piece| [chunk(piece), pause()]);
    std::iter::once(Step::Write(head.into())).chain(pieces).collect()
}

pub fn whole(head: &str, piece_after_piece: &[&[u8]]) -> Play {
    let end = [Step::Write(b"0\r\n\r\n".to_vec())];
    Play::Raw(pieces(head, piece_after_piece).into_iter().chain(end).collect())
}

pub fn gzip(flushed: &str, rest: &str) -> [Vec<u8>; 2] {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(flushed.as_bytes()).unwrap();
    encoder.flush().unwrap();
    let first = std::mem::take(encoder.get_mut());
    encoder.write_all(rest.as_bytes()).unwrap();
    [first, encoder.finish().unwrap()]
}

/// An error as the first thing that an answer has.
fn careless() -> Vec<(String, Play)> {
    let mark = b"\xef\xbb\xbf";
    let error = LIMIT.as_bytes();
    let (begins, ends) = error.split_at(20);
    let mut cases: Vec<(String, Play)> = [
        "200 OK\r\ncontent-type: text/html; charset=utf-8",
        "200 OK\r\ncontent-type: application/octet-stream",
        "200 OK\r\ncontent-type: */*",
        "200 OK\r\ncontent-type: application/xml",
        "201 Created\r\ncontent-type: application/json",
        "202 Accepted\r\ncontent-type: text/html",
    ]
    .map(|head| (head.to_owned(), whole(head, &[error])))
    .into();
    let event = format!("data: {LIMIT}\n\n");
    let long_member = format!("{{\"request_id\": \"{}\", ", "a".repeat(600));
    let shapes: [(&str, &str, &[&[u8]]); 11] = [
        (
            "another provider's",
            OK,
            &[br#"{"id":"1","choices":null,"base_resp":{"status_code":1002,"status_msg":"rate limit"}}"#],
        ),
        ("a byte order mark", OK, &[&[mark, error].concat()]),
        ("a byte order mark by itself", OK, &[mark, error]),
        ("a byte order mark in two", OK, &[&mark[..1], &mark[1..], begins, ends]),
        ("a spaced array", OK, &[b"[\n", &[b' '; 40], error, b"]"]),
        ("a long member first", OK, &[long_member.as_bytes(), &error[1..]]),
        (
            "half of a long member",
            OK,
            &[&long_member.as_bytes()[..300], &long_member.as_bytes()[300..], &error[1..]],
        ),
        (
            "an object first",
            OK,
            &[b"{\"meta\": {\"id\": \"12345678901234567890\", \"n\": [1, 2]}", b", ", &error[1..]],
        ),
        ("an event that complains", EVENTS, &[b"data: {\"detail\": \"Rate limit reached\"}\n\n"]),
        ("JSON instead of events", EVENTS, &[b"{\"detail\": \"Rate ", b"limit reached\"}"]),
        ("an event without data", EVENTS, &[b"data:\n\n", event.as_bytes()]),
    ];
    cases.extend(shapes.map(|(name, head, parts)| (name.to_owned(), whole(head, parts))));
    for (head, text) in [(OK, LIMIT.to_owned()), (EVENTS, format!("data: {LIMIT}\n\ndata: [DONE]\n\n"))] {
        let head = format!("{head}\r\ncontent-encoding: gzip");
        let [first, rest] = gzip(&text, "");
        let all = [&*first, &*rest].concat();
        cases.push((format!("{head}, its end later"), whole(&head, &[&all])));
        cases.push((format!("{head}, flushed"), whole(&head, &[&first, &rest])));
        cases.push((format!("{head}, cut"), whole(&head, &[&all[..20], &all[20..]])));
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(text.as_bytes()).unwrap();
        let head = head.replace("gzip", "deflate");
        cases.push((format!("{head}, its end later"), whole(&head, &[&zlib.finish().unwrap()])));
    }
    cases
}

#[test]
fn an_error_inside_a_200_is_healed_however_careless_its_server_is() {
    let mock = provider(&[(B, "valid")]);
    for (name, play) in careless() {
        mock.reset();
        mock.play(A, play);
        let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
        let ask = gpt_load.post(CHAT).header("accept-encoding", "gzip, deflate");
        let answer = ask.json(&chat_with(json!({"max_tokens": 3}))).send();
        assert!(answer.status == 200 && answer.text().contains("Hello"), "{name}: {}", answer.text());
        assert_eq!((asked(&mock, &[A, B]), gpt_load.blacklist().len()), (vec![1, 1], 1), "{name}");
    }
}

#[test]
fn what_begins_like_no_error_is_not_waited_for() {
    let mock = provider(&[]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let event = format!("{EVENT}\n\n");
    let json = r#"{"id": "chatcmpl-1234567890", "object": "chat.completion", "model": "m", "#;
    let cases: [(&str, &[u8]); 8] = [
        ("200 OK\r\ncontent-type: text/html", b"<svg>"),
        ("200 OK\r\ncontent-type: application/octet-stream", b"ID3\x04"),
        ("201 Created\r\ncontent-type: text/plain", b"Hi"),
        (OK, json.as_bytes()),
        (OK, b"[0.1234, 0.5678, 0.1234, 0.5678, 0.1234, 0.5678, "),
        (OK, b"[{\"candidates\": [{\"content\": {}}]}"),
        ("200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip", &gzip(json, "")[0]),
        ("200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip", &gzip(&event, "")[0]),
    ];
    for (head, begins) in cases {
        mock.play(A, Play::Raw(pieces(head, &[begins]).into_iter().chain([Step::Hang]).collect()));
        let began = Instant::now();
        // Where the provider does not encode it, we would.
        let coding = if head.ends_with("gzip") { "gzip" } else { "identity" };
        let ask = gpt_load.post(CHAT).header("accept-encoding", coding);
        let mut stream = ask.json(&chat_with(json!({}))).open();
        assert_eq!(stream.next().unwrap().unwrap(), begins, "{head}");
        assert!(began.elapsed() < Duration::from_secs(3), "{head}: {:?}", began.elapsed());
    }
}

#[test]
fn events_are_known_whatever_their_stream_is_called() {
    let mock = provider(&[(B, "valid")]);
    let error = format!("data: {LIMIT}\n\n");
    for head in ["200 OK\r\ncontent-type: text/plain; charset=utf-8", "200 OK"] {
        let (begins, ends) = error.split_at(40);
        for parts in [&[error.as_bytes()][..], &[begins.as_bytes(), ends.as_bytes()]] {
            mock.reset();
            mock.play(A, whole(head, parts));
            let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
            let answer = gpt_load.post(CHAT).json(&chat_with(json!({"stream": true}))).send();
            assert!(!answer.text().contains("Rate limit"), "{head}: {}", answer.text());
            assert_eq!((asked(&mock, &[A, B]), gpt_load.blacklist().len()), (vec![1, 1], 1), "{head}");
        }
        let steps = pieces(head, &[format!("{EVENT}\n\n").as_bytes()]).into_iter().chain([Step::Reset]);
        mock.play(A, Play::Raw(steps.collect()));
        let gpt_load = GptLoad::before(&mock, &[], &[A]);
        let answer = gpt_load.post(CHAT).json(&chat_with(json!({"stream": true}))).send();
        assert!(answer.broken && answer.text().contains("data: {\"error\":"), "{head}: {}", answer.text());
    }
}

#[test]
fn a_flood_of_comments_is_not_held() {
    let mock = provider(&[]);
    let flood = b":\n".repeat(4096);
    let steps = pieces(EVENTS, &[&*flood; 9]).into_iter().chain([Step::Hang]);
    mock.play(A, Play::Raw(steps.collect()));
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let began = Instant::now();
    let mut stream = gpt_load.post(CHAT).json(&chat_with(json!({"stream": true}))).open();
    assert!(stream.next().unwrap().unwrap().starts_with(b":\n:\n"));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

/// The events of a stream, read as the standard has it.
fn read(stream: &str) -> Vec<String> {
    let (mut events, mut data) = (Vec::new(), Vec::new());
    for line in stream.replace("\r\n", "\n").replace('\r', "\n").split('\n') {
        if let Some(value) = line.strip_prefix("data:") {
            data.push(value.trim_start());
        } else if line.is_empty() && !data.is_empty() {
            events.push(std::mem::take(&mut data).join("\n"));
        }
    }
    events
}

#[test]
fn a_broken_stream_ends_with_an_error_of_its_own_wherever_it_breaks() {
    let mock = provider(&[]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    for (broken, want) in [
        (&["\n\n", "d"][..], "\n\nd\n\n"),
        (&["\n\n", "da", "t", "a"], "\n\ndata\n\n"),
        (&["\n", "\n"], "\n\n"),
        (&["\r\n\r\n"], "\r\n\r\n"),
        (&["\r\n", "\r", "\n"], "\r\n\r\n"),
        (&["\r\n\r\n", EVENT, "\r\n"], "\r\n\r\n{}\r\n\n"),
        (&["\r\n\r\n", EVENT, "\r", "\n"], "\r\n\r\n{}\r\n\n"),
        (&["\r\r"], "\r\r"),
        (&["\r\r", EVENT, "\r"], "\r\r{}\r\n\n"),
        (&["\n\n", EVENT, "\n"], "\n\n{}\n\n"),
        (&["\n\n", EVENT], "\n\n{}\n\n"),
    ] {
        let parts: Vec<&[u8]> = [EVENT].iter().chain(broken).map(|part| part.as_bytes()).collect();
        let steps = pieces(EVENTS, &parts).into_iter().chain([Step::Reset]);
        mock.play(A, Play::Raw(steps.collect()));
        let answer = gpt_load.post(CHAT).json(&chat_with(json!({"stream": true}))).send();
        let text = answer.text();
        let begins = format!("{EVENT}{}data: {{\"error\":", want.replace("{}", EVENT));
        assert!(answer.broken && text.starts_with(&begins), "{broken:?}: {text:?}");
        let last: Value = serde_json::from_str(read(&text).last().unwrap()).unwrap();
        assert!(last["error"]["message"].is_string(), "{broken:?}: {text:?}");
    }
}

#[test]
fn a_stream_that_has_said_that_it_is_over_is_whole_however_its_connection_ends() {
    let mock = provider(&[]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let completed = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"error\":null}}\n\n";
    let (begins, ends) = completed.split_at(80);
    let anthropic = "/v1/messages";
    let stop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let mut broken = 0;
    for (path, last, is_whole) in [
        (CHAT, &["data: [DONE]\n\n"][..], true),
        (CHAT, &["data: [DO", "NE]\n"], true),
        (anthropic, &[stop], true),
        (RESPONSES, &[completed], true),
        (RESPONSES, &[begins, ends], true),
        (RESPONSES, &[begins], false),
        (CHAT, &[stop], false),
        (anthropic, &[&completed[..40]], false),
    ] {
        for end in [Step::Close, Step::Reset] {
            let event = format!("{EVENT}\n\n");
            let parts: Vec<&[u8]> = [event.as_str()].iter().chain(last).map(|part| part.as_bytes()).collect();
            mock.play(A, Play::Raw(pieces(EVENTS, &parts).into_iter().chain([end]).collect()));
            for http2 in [false, true] {
                let ask = gpt_load.post(path).json(&chat_with(json!({"stream": true})));
                let answer = if http2 { ask.http2().send() } else { ask.send() };
                let text = answer.text();
                assert_eq!(answer.broken, !is_whole, "{last:?}: {text}");
                assert_eq!(
                    text.contains("upstream_error") || text.contains("api_error"),
                    !is_whole,
                    "{text}"
                );
                if is_whole {
                    assert_eq!(text.trim_end(), format!("{event}{}", last.concat()).trim_end());
                    assert!(text.ends_with("\n\n"), "{text:?}");
                }
                broken += u64::from(!is_whole);
            }
        }
    }
    assert_eq!(gpt_load.told("/stats")["requests"]["failures"]["broken_answer"], broken);
}

#[test]
fn an_encoded_stream_that_breaks_is_cut_and_nothing_is_put_into_it() {
    let mock = provider(&[]);
    let [encoded, _] = gzip(&format!("{EVENT}\n\n"), "");
    let steps = pieces(&format!("{EVENTS}\r\ncontent-encoding: gzip"), &[&encoded]);
    mock.play(A, Play::Raw(steps.into_iter().chain([Step::Close]).collect()));
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let answer = gpt_load.post("/v1/messages").json(&chat_with(json!({"stream": true}))).send();
    assert!(answer.broken && answer.body == encoded, "{:?}", answer.body);
}

#[test]
fn a_refusal_that_stands_still_is_judged_by_what_there_is_where_another_key_is_next() {
    let mock = provider(&[(B, "valid")]);
    for (head, permanent) in [
        (
            "401 X\r\n\r\n{\"error\": {\"message\": \"Incorrect API key provided\", \"code\": \"invalid_api_key\"",
            true,
        ),
        ("429 X\r\n\r\n{\"error\": {\"message\": \"Rate limit", false),
        ("402 X\r\n\r\n", false),
    ] {
        let head = format!("HTTP/1.1 {}", head.replace("\r\n\r\n", "\r\ncontent-length: 500\r\n\r\n"));
        mock.play(A, Play::Raw(vec![Step::Write(head.clone().into()), Step::Hang]));
        let gpt_load = GptLoad::before(&mock, &[("BLACKLIST_THRESHOLD", "1")], &[A, B]);
        let began = Instant::now();
        assert!(gpt_load.chat().text().contains("Hello"), "{head}");
        assert!(began.elapsed() < Duration::from_secs(3), "{head}: {:?}", began.elapsed());
        assert_eq!(gpt_load.blacklist()[0]["permanent"], permanent, "{head}");
    }
}

#[test]
fn what_may_be_the_requests_fault_is_heard_out_before_it_is_judged() {
    let mock = provider(&[(B, "valid")]);
    let error = json!({"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}});
    let (head, body) =
        (format!("HTTP/1.1 400 X\r\ncontent-length: {}\r\n\r\n", error.to_string().len()), error);
    let late = vec![
        Step::Write(head.into()),
        Step::Wait(Duration::from_secs(1)),
        Step::Write(body.to_string().into()),
        Step::Close,
    ];
    mock.play(A, Play::Raw(late));
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    assert!(gpt_load.chat().text().contains("Hello"));
    assert_eq!(gpt_load.blacklist()[0]["permanent"], true);
}

/// Errors as events, and the path that they come on.
fn late() -> Vec<(&'static str, &'static str)> {
    vec![
        (CHAT, "data: {\"error\":{\"message\":\"Provider disconnected\",\"code\":502}}\n\n"),
        (CHAT, "data: {\"error\":\"boom\"}"),
        (
            CHAT,
            "data: {\"id\":\"gen-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"error\":{\"code\":\"server_error\",\"message\":\"Provider disconnected\"},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n",
        ),
        (CHAT, "data: {\"id\":\"x\",\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n"),
        (
            "/v1/completions",
            "data: {\"object\":\"text_completion\",\"error\":{\"message\":\"overloaded\"}}\n\n",
        ),
        (CHAT, "data: {\"error\":{\"message\":\"x\"}}\r\r"),
        (CHAT, "data: {\ndata:   \"error\": {\ndata:     \"message\": \"x\"\ndata: }}\n\n"),
        (
            RESPONSES,
            "data: {\"code\":\"server_error\",\"message\":\"x\",\"sequence_number\":3,\"type\":\"error\"}\n\n",
        ),
        (
            RESPONSES,
            "event: response.failed\r\ndata: {\"sequence_number\":3,\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\",\"message\":\"x\"}}}\r\n\r\n",
        ),
        (
            RESPONSES,
            "data: {\"sequence_number\":3,\"type\":\"response.failed\",\"response\":{\"id\":\"r\"}}\n\n",
        ),
        (
            "/v1/messages",
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
        ),
    ]
}

#[test]
fn an_error_later_in_a_stream_is_counted_in_whatever_shape_it_comes() {
    let mock = provider(&[]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let mut counted = 0;
    for (path, error) in late() {
        for cut in [0, 1, error.len() * 2 / 3] {
            let event = format!("{EVENT}{}", if error.contains("\r\r") { "\r\r" } else { "\n\n" });
            let parts = [event.as_bytes(), &error.as_bytes()[..cut], &error.as_bytes()[cut..]];
            let parts: Vec<&[u8]> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            mock.play(A, whole(EVENTS, &parts));
            let answer = gpt_load.post(path).json(&chat_with(json!({"stream": true}))).send();
            assert_eq!(answer.text(), format!("{event}{error}"));
            counted += 1;
            let failures = gpt_load.told("/stats")["requests"]["failures"]["broken_answer"].clone();
            assert_eq!(failures, counted, "{error} cut at {cut}");
        }
    }
    assert!(gpt_load.blacklist().is_empty());
}

#[test]
fn a_key_in_an_event_that_is_cut_does_not_leave_before_the_word_that_tells_what_it_is() {
    let mock = provider(&[]);
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    let first = format!("{EVENT}\n\n");
    for event in [
        format!(
            "data: {{\"code\":\"invalid\",\"message\":\"Incorrect key provided: {A}. Bad\",\"type\":\"error\"}}\n\n"
        ),
        format!("data: {{\"code\":401,\"msg\":\"invalid token {A} x\"}}\n\n"),
    ] {
        let key = event.find(A).unwrap();
        let cuts = [key + 4, key + 8, key + 9, key + 20, key + A.len(), key + A.len() + 2, event.len() - 3];
        let halves = cuts.map(|cut| vec![&event.as_bytes()[..cut], &event.as_bytes()[cut..]]);
        let odd = vec![
            &event.as_bytes()[..key + 5],
            &event.as_bytes()[key + 5..key + 20],
            &event.as_bytes()[key + 20..],
        ];
        for cut in halves.into_iter().chain([odd]) {
            let parts: Vec<&[u8]> = [first.as_bytes()].into_iter().chain(cut).collect();
            mock.play(A, whole(EVENTS, &parts));
            let text = gpt_load.post(CHAT).json(&chat_with(json!({"stream": true}))).send().text();
            assert!(!text.contains(&A[9..]), "{:?}: {text}", parts.last().map(|part| part.len()));
        }
    }
}

#[test]
fn a_jobs_error_and_what_a_file_has_in_it_are_what_was_asked_for() {
    let mock = provider(&[]);
    let exhausted = json!({"error": {"code": 8, "message": "Resource exhausted: quota exceeded", "status": "RESOURCE_EXHAUSTED"}});
    let job = json!({"name": "operations/abc", "done": true, "error": exhausted["error"]});
    let revoked = json!({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}});
    for (path, body) in [
        ("/v1beta/models/veo-3/operations/abc", job),
        (
            "/v1/responses/resp_1",
            json!({"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "No."}}),
        ),
        ("/v1/files/file-1/content", exhausted),
        ("/v1/files/file-1/content", revoked.clone()),
    ] {
        for key in [A, B] {
            mock.play(key, Play::answer(200, &[], body.clone()));
        }
        let before = mock.requests();
        let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
        let token = if path.starts_with("/v1beta") { "x-goog-api-key" } else { "authorization" };
        let answer = gpt_load.get(path).header(token, "Bearer a-clients").send();
        assert_eq!((answer.status.as_u16(), answer.json()), (200, body), "{path}");
        assert_eq!(mock.requests() - before, 1, "{path}");
        assert_eq!(gpt_load.blacklist(), Vec::<Value>::new(), "{path}");
    }
    mock.play(A, Play::answer(200, &[], revoked));
    mock.play(B, Play::Valid);
    let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
    assert!(
        gpt_load.get("/v1/models").send().json()["data"].is_array(),
        "a list of models has no errors in it"
    );
}

/// An answer with its length, which comes in one piece.
fn in_one_piece(head: &str, body: &str) -> Play {
    let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    Play::Raw(vec![Step::Write(answer.into())])
}

#[test]
fn a_maintenance_page_with_status_200_is_no_models_answer() {
    let page = "<!DOCTYPE html>\n<html><head><title>Scheduled maintenance</title></head><body>Back soon</body></html>";
    let html = "200 OK\r\ncontent-type: text/html; charset=utf-8";
    let challenge = "202 Accepted\r\nx-amzn-waf-action: challenge";
    let mock = provider(&[(B, "valid")]);
    let (begins, ends) = page.split_at(8);
    let in_pieces = whole(html, &[begins.as_bytes(), ends.as_bytes()]);
    for (head, play) in
        [(html, in_one_piece(html, page)), ("in pieces", in_pieces), (challenge, in_one_piece(challenge, ""))]
    {
        mock.reset();
        mock.play(A, play);
        let gpt_load = GptLoad::before(&mock, &[], &[A, B]);
        let answer = gpt_load.post(CHAT).json(&chat()).send();
        assert!(answer.status == 200 && answer.text().contains("Hello"), "{head}: {}", answer.text());
        assert_eq!((asked(&mock, &[A, B]), gpt_load.blacklist().len()), (vec![1, 1], 0), "{head}");
    }
    // What a model wrote, and what is a page by itself.
    let gpt_load = GptLoad::before(&mock, &[], &[A]);
    mock.play(A, in_one_piece("200 OK\r\ncontent-type: text/plain", page));
    assert_eq!(gpt_load.post(CHAT).json(&chat()).send().text(), page);
    mock.play(A, in_one_piece(html, page));
    assert_eq!(gpt_load.get("/v1/files/file-1/content").send().text(), page);
}

#[test]
fn a_stream_of_objects_that_only_speaks_of_errors_is_not_waited_for() {
    let gemini = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";
    let element =
        br#"[{"candidates": [{"content": {"parts": [{"text": "A mirror can fail. Errors happen."}]}}]}"#;
    let line = b"{\"model\":\"llama\",\"message\":{\"content\":\"Error\"},\"done\":false}\n";
    let ndjson = "200 OK\r\ncontent-type: application/x-ndjson";
    for (path, token, head, piece) in
        [(gemini, "x-goog-api-key", OK, &element[..]), ("/api/chat", "authorization", ndjson, line)]
    {
        let mock = provider(&[]);
        let steps = pieces(head, &[piece]).into_iter().chain([Step::Wait(Duration::from_secs(4))]);
        mock.play(A, Play::Raw(steps.collect()));
        let gpt_load = GptLoad::before(&mock, &[], &[A]);
        let began = Instant::now();
        let mut stream = gpt_load.post(path).header(token, "Bearer a-clients").json(&chat()).open();
        assert_eq!(stream.next().unwrap().unwrap().as_ref(), piece, "{path}");
        assert!(began.elapsed() < Duration::from_secs(3), "{path}");
    }
}
