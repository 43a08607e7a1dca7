//! What somebody at a terminal is told at start: what is served where, with which keys, and what is open to whom.

use std::fmt;
use std::net::SocketAddr;

use crate::config::Config;
use crate::keys::file::KeyFile;

/// What is told.
#[derive(Clone, Debug)]
pub struct Banner {
    address: SocketAddr,
    tls: bool,
    workers: usize,
    keys: u32,
    duplicates: usize,
    skipped: usize,
    upstreams: Vec<String>,
    /// Whether the proxy asks for no token.
    proxy_open: bool,
    /// Whether the monitoring paths don't.
    monitoring_open: bool,
}

impl Banner {
    /// From what the process starts with.
    pub fn new(config: &Config, file: &KeyFile, address: SocketAddr) -> Self {
        let proxy_open = config.auth.tokens.is_empty();
        Self {
            address,
            tls: config.listen.tls.is_some(),
            workers: config.listen.workers.get(),
            keys: file.keys.len(),
            duplicates: file.duplicates,
            skipped: file.skipped.total,
            upstreams: config.upstreams.iter().map(ToString::to_string).collect(),
            proxy_open,
            monitoring_open: proxy_open && config.auth.admin.is_empty(),
        }
    }

    /// What is open without a token, in words; `None`: nothing that matters.
    fn open(&self) -> Option<&'static str> {
        match (self.proxy_open, self.monitoring_open) {
            (true, true) => Some("everything, the keys' use too: set AUTH_KEY"),
            (true, false) => Some("the keys' use: set AUTH_KEY"),
            (false, _) => None,
        }
    }
}

/// The word for so many lines.
pub(crate) fn lines(count: usize) -> &'static str {
    if count == 1 { "line" } else { "lines" }
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let port = self.address.port();
        let here = if self.address.ip().is_unspecified() {
            format!("{scheme}://localhost:{port}")
        } else {
            format!("{scheme}://{}", self.address)
        };
        writeln!(f, "gpt-load {}", env!("GPT_LOAD_VERSION"))?;
        writeln!(f, "  serving    {scheme}://{} with {} workers", self.address, self.workers)?;
        write!(f, "  keys       {}", self.keys)?;
        if self.duplicates > 0 {
            write!(f, ", {} duplicate {}", self.duplicates, lines(self.duplicates))?;
        }
        if self.skipped > 0 {
            write!(f, ", {} {} that can't be keys", self.skipped, lines(self.skipped))?;
        }
        writeln!(f)?;
        for (number, upstream) in self.upstreams.iter().enumerate() {
            writeln!(f, "  {:10} {upstream}", if number == 0 { "upstreams" } else { "" })?;
        }
        writeln!(f, "  base_url   {here}/v1")?;
        writeln!(f, "  dashboard  {here}/dashboard")?;
        writeln!(f, "  no token   {}", self.open().unwrap_or("/health, /livez and /readyz alone"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_is_served_with_what_and_what_is_open() {
        let banner = Banner {
            address: "0.0.0.0:3000".parse().unwrap(),
            tls: false,
            workers: 2,
            keys: 7,
            duplicates: 1,
            skipped: 2,
            upstreams: vec!["https://a.example".into(), "https://b.example".into()],
            proxy_open: true,
            monitoring_open: true,
        };
        let text = banner.to_string();
        for line in [
            "  serving    http://0.0.0.0:3000 with 2 workers\n",
            "  keys       7, 1 duplicate line, 2 lines that can't be keys\n",
            "  upstreams  https://a.example\n             https://b.example\n",
            "  dashboard  http://localhost:3000/dashboard\n",
            "  no token   everything, the keys' use too: set AUTH_KEY\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        let closed = Banner { proxy_open: false, monitoring_open: false, ..banner };
        assert!(closed.to_string().contains("/livez and /readyz alone"));
    }
}
