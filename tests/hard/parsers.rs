//! How servers read bytes as requests: strictly, as RFC 9112 has it, and in the lax ways that made proxies smuggle. If all
//! of them read the same in what gpt-load sends, nobody behind it can be made to see another request.

/// A request, as somebody reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }
}

/// Reads what a connection brought as RFC 9112 has it; anything dubious is an error.
pub fn strict(mut bytes: &[u8]) -> Result<Vec<Request>, String> {
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        let end = find(bytes, b"\r\n\r\n").ok_or("a head without an end")?;
        // Values may have any byte above ASCII (RFC 9110 §5.5): they frame nothing.
        let head = String::from_utf8_lossy(&bytes[..end]);
        if head.bytes().any(|byte| byte == 0) || head.replace("\r\n", "").contains(['\r', '\n']) {
            return Err(format!("a stray control character: {head:?}"));
        }
        bytes = &bytes[end + 4..];
        let mut lines = head.split("\r\n");
        let words: Vec<_> = lines.next().unwrap_or_default().split(' ').collect();
        let [method, target, "HTTP/1.1"] = words[..] else {
            return Err(format!("a request line: {words:?}"));
        };
        if !is_token(method)
            || !target.starts_with('/')
            || target.bytes().any(|byte| byte <= b' ' || byte == 0x7f)
        {
            return Err(format!("a request line: {words:?}"));
        }
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| format!("no header: {line:?}"))?;
            if !is_token(name) {
                return Err(format!("a header's name: {line:?}"));
            }
            headers.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
        let mut request =
            Request { method: method.to_owned(), target: target.to_owned(), headers, body: Vec::new() };
        if request.values("host").len() != 1 {
            return Err(format!("hosts: {:?}", request.values("host")));
        }
        match (&request.values("content-length")[..], &request.values("transfer-encoding")[..]) {
            ([], []) => {}
            ([length], []) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
                let length: usize = length.parse().map_err(|_| "a length too large")?;
                request.body = bytes.get(..length).ok_or("a body cut short")?.to_vec();
                bytes = &bytes[length..];
            }
            ([], ["chunked"]) => loop {
                let end = find(bytes, b"\r\n").ok_or("a chunk without a size")?;
                let size = std::str::from_utf8(&bytes[..end]).map_err(|_| "a chunk's size")?;
                let hex = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
                let size = usize::from_str_radix(size, 16)
                    .ok()
                    .filter(|_| hex)
                    .ok_or_else(|| format!("a chunk's size: {size:?}"))?;
                bytes = &bytes[end + 2..];
                if size == 0 {
                    let end = if bytes.starts_with(b"\r\n") {
                        0
                    } else {
                        find(bytes, b"\r\n\r\n").ok_or("trailers")? + 2
                    };
                    bytes = &bytes[end + 2..];
                    break;
                }
                request.body.extend_from_slice(bytes.get(..size).ok_or("a chunk cut short")?);
                bytes = bytes[size..].strip_prefix(b"\r\n").ok_or("a chunk without an end")?;
            },
            framing => return Err(format!("framing: {framing:?}")),
        }
        requests.push(request);
    }
    Ok(requests)
}

/// A lax way to read.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a way of its own")]
pub struct Lax {
    /// Of several lengths the last one counts, not the first.
    pub last_length: bool,
    /// A length counts even beside a transfer-encoding.
    pub length_wins: bool,
    /// A carriage return alone ends a line as well.
    pub bare_cr: bool,
    /// A NUL ends a header's value, as in C.
    pub nul_ends: bool,
}

impl Lax {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..16).map(|bits: u8| Self {
            last_length: bits & 1 != 0,
            length_wins: bits & 2 != 0,
            bare_cr: bits & 4 != 0,
            nul_ends: bits & 8 != 0,
        })
    }

    /// What it takes a connection's bytes for: it never complains.
    pub fn read(self, mut bytes: &[u8]) -> Vec<Request> {
        let mut requests = Vec::new();
        loop {
            let mut lines: Vec<String> = Vec::new();
            while let Some(line) = self.line(&mut bytes) {
                match line.as_str() {
                    "" if lines.is_empty() => {}
                    "" => break,
                    // Obsolete folding goes on with the line before.
                    line if line.starts_with([' ', '\t']) && lines.len() > 1 => {
                        lines.last_mut().unwrap().push_str(line);
                    }
                    line => lines.push(line.to_owned()),
                }
            }
            if lines.is_empty() {
                return requests;
            }
            let mut words = lines[0].split_whitespace();
            let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let header = |line: &String| {
                let (name, value) = line.split_once(':')?;
                let value = if self.nul_ends { value.split('\0').next().unwrap_or_default() } else { value };
                Some((name.trim().to_owned(), value.trim().to_owned()))
            };
            let headers = lines[1..].iter().filter_map(header).collect();
            let mut request =
                Request { method: method.to_owned(), target: target.to_owned(), headers, body: Vec::new() };
            let lengths = request.values("content-length");
            let length = if self.last_length { lengths.last() } else { lengths.first() };
            let length = length.map(|length| {
                let digits: String =
                    length.trim_start_matches('+').chars().take_while(char::is_ascii_digit).collect();
                digits.parse().unwrap_or(0)
            });
            let chunked = request
                .values("transfer-encoding")
                .iter()
                .any(|value| value.to_ascii_lowercase().contains("chunked"));
            request.body = match length {
                Some(length) if self.length_wins || !chunked => take(&mut bytes, length),
                _ if chunked => self.chunks(&mut bytes),
                _ => Vec::new(),
            };
            requests.push(request);
        }
    }

    fn chunks(self, bytes: &mut &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        while let Some(line) = self.line(bytes) {
            let digits: String =
                line.trim().trim_start_matches("0x").chars().take_while(char::is_ascii_hexdigit).collect();
            let size = usize::from_str_radix(&digits, 16).unwrap_or(0);
            if size == 0 {
                while self.line(bytes).is_some_and(|trailer| !trailer.is_empty()) {}
                break;
            }
            body.extend(take(bytes, size));
            self.line(bytes);
        }
        body
    }

    fn line(self, bytes: &mut &[u8]) -> Option<String> {
        let ends = |byte: &u8| *byte == b'\n' || self.bare_cr && *byte == b'\r';
        let end = bytes.iter().position(ends)?;
        let line = String::from_utf8_lossy(&bytes[..end]).trim_end_matches('\r').to_owned();
        let both = bytes[end..].starts_with(b"\r\n");
        *bytes = &bytes[end + 1 + usize::from(both)..];
        Some(line)
    }
}

/// What everybody reads, if all of them read the same.
pub fn agreed(bytes: &[u8]) -> Result<Vec<Request>, String> {
    let strictly = strict(bytes)?;
    let essence = |requests: &[Request]| -> Vec<(String, String, Vec<u8>)> {
        let of = |request: &Request| (request.method.clone(), request.target.clone(), request.body.clone());
        requests.iter().map(of).collect()
    };
    for lax in Lax::all() {
        let laxly = lax.read(bytes);
        if essence(&laxly) != essence(&strictly) {
            return Err(format!("{lax:?} reads {laxly:?}, RFC 9112 {strictly:?}"));
        }
    }
    Ok(strictly)
}

fn take(bytes: &mut &[u8], length: usize) -> Vec<u8> {
    let (taken, rest) = bytes.split_at(length.min(bytes.len()));
    *bytes = rest;
    taken.to_vec()
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[test]
fn the_parsers_tell_a_smuggle_when_they_see_one() {
    let good =
        b"GET /a HTTP/1.1\r\nhost: x\r\n\r\nPOST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi\
        POST /c HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let targets: Vec<_> = agreed(good).unwrap().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/a", "/b", "/c"]);
    for bad in [
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nx: y\n\n\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nx : y\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\n y\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\n",
    ] {
        assert!(agreed(bad.as_bytes()).is_err(), "{bad:?}");
    }
    // Each is a difference that some lax reading makes.
    let smuggle = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n";
    let counts: std::collections::HashSet<_> = Lax::all().map(|lax| lax.read(smuggle).len()).collect();
    assert!(
        counts.len() > 1
            || Lax::all().any(|lax| lax.read(smuggle).iter().any(|request| request.target == "/smuggled"))
    );
}
