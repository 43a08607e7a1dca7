//! A door opens for its token alone, and the leased key takes the token's place: a line of the query, then headers, a byte
//! that chooses the name before each value.

use gpt_load::keys::Secret;
use gpt_load::proxy::credentials::{Place, Tokens};
use gpt_load::upstream::{hide_secrets, query_key, replace_key};
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderName, HeaderValue, Request, Uri};

const TOKEN: &str = "t0ken-t0ken";
const KEY: &str = "sk-leased-key";

const NAMES: [HeaderName; 5] = [
    AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
    SEC_WEBSOCKET_PROTOCOL,
];

pub fn check(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let query = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let Ok(uri) = format!("/v1/models?{query}").parse::<Uri>() else { return };
    let mut request = Request::new(());
    *request.uri_mut() = uri;
    for line in lines {
        let Some((choice, value)) = line.split_first() else { continue };
        let name = NAMES[usize::from(*choice) % NAMES.len()].clone();
        if let Ok(value) = HeaderValue::from_bytes(value) {
            request.headers_mut().append(name, value);
        }
    }
    let (mut parts, ()) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let opened = Tokens::new(vec![Secret::new("another"), Secret::new(TOKEN)]).check(&parts);
    // An open door looks in the same place.
    let found = Tokens::default().check(&parts).ok().flatten();
    if let Ok(place) = &opened {
        assert_eq!(*place, found);
        let by_header = parts.headers.values().any(|value| {
            let value = value.as_bytes();
            [TOKEN, "another"]
                .iter()
                .any(|token| value.windows(token.len()).any(|part| part == token.as_bytes()))
        });
        let by_query =
            query_key(&query).is_some_and(|token| [TOKEN, "another"].iter().any(|t| *token == *t.as_bytes()));
        assert!(if *place == Some(Place::Query) { by_query } else { by_header });
    }
    let shown = hide_secrets(parts.uri.path_and_query().unwrap().as_str()).into_owned();
    let shown = shown.split_once('?').map_or("", |(_, query)| query);
    assert!(query_key(shown).is_none_or(|value| matches!(&*value, b"****")), "{shown}");
    assert_eq!(query_key(&replace_key(&query, None)), None);
    assert_eq!(query_key(&replace_key(&query, Some(KEY))).as_deref(), Some(KEY.as_bytes()));
    if let Some(place) = found.filter(|place| *place != Place::Query) {
        for name in NAMES.iter().filter(|name| **name != SEC_WEBSOCKET_PROTOCOL) {
            parts.headers.remove(name);
        }
        place.put(KEY, &mut parts.headers).unwrap();
        let carries =
            |value: &&HeaderValue| value.as_bytes().ends_with(KEY.as_bytes()) && value.is_sensitive();
        assert_eq!(parts.headers.values().filter(carries).count(), 1, "{place:?}");
    }
}
