//! The way out: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, which other programs read too. Says which
//! proxy an upstream is reached through; connecting is left to [`connect`](super::connect).

use std::fmt;
use std::net::IpAddr;

use super::url::percent_decode;
use super::{BaseUrl, Scheme};
use crate::keys::Secret;

/// RFC 1929 §2 has one byte for a length; HTTP proxies have no use for more either.
const LONGEST_CREDENTIAL: usize = 255;

/// Which upstreams are reached through which proxy.
#[derive(Clone, Debug, Default)]
pub struct Outbound {
    https: Option<OutboundProxy>,
    http: Option<OutboundProxy>,
    exceptions: Vec<Exception>,
}

/// A proxy that upstreams are reached through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundProxy {
    /// What it speaks.
    pub kind: ProxyKind,
    /// Its name, or its address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What it wants to see.
    pub credentials: Option<ProxyCredentials>,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// HTTP with `CONNECT`.
    Http,
    /// SOCKS 5; names are resolved by the proxy, whether the URL says `socks5` or `socks5h`.
    Socks5,
}

/// What came as `user:password@`, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyCredentials {
    /// At most 255 bytes.
    pub user: Secret,
    /// At most 255 bytes; may be empty.
    pub password: Secret,
}

/// What `NO_PROXY` says is reached directly.
#[derive(Clone, Debug)]
pub struct Exception(Covers);

#[derive(Clone, Debug)]
enum Covers {
    Everything,
    /// The name and all that is below it, at every port or at one.
    Name(String, Option<u16>),
    /// The addresses whose first bits are these.
    Network(IpAddr, u8, Option<u16>),
}

impl Outbound {
    /// A proxy for each scheme, and what is reached without.
    pub fn new(
        https: Option<OutboundProxy>,
        http: Option<OutboundProxy>,
        exceptions: Vec<Exception>,
    ) -> Self {
        Self { https, http, exceptions }
    }

    /// The proxy for this upstream; `None`: it is reached directly.
    pub fn proxy_for(&self, upstream: &BaseUrl) -> Option<&OutboundProxy> {
        let proxy = match upstream.scheme() {
            Scheme::Https => self.https.as_ref(),
            Scheme::Http => self.http.as_ref(),
        }?;
        let host = upstream.host().trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok().map(|address: IpAddr| address.to_canonical());
        let excepted =
            self.exceptions.iter().any(|exception| exception.0.covers(&host, address, upstream.port()));
        (!excepted).then_some(proxy)
    }
}

impl OutboundProxy {
    /// Reads a proxy's URL.
    ///
    /// # Errors
    /// What is wrong with it. Never quotes the URL, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        // A bare `host:port` is what curl and Go take for an HTTP proxy.
        let (scheme, authority) = text.split_once("://").unwrap_or(("http", text));
        let (kind, own_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (ProxyKind::Http, 80),
            "socks5" | "socks5h" => (ProxyKind::Socks5, 1080),
            "https" => return Err("proxies that are spoken to over TLS are not supported".to_owned()),
            _ => return Err("it has to begin with http:// or socks5://".to_owned()),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority
            .chars()
            .any(|c| matches!(c, '/' | '?' | '#' | '\\') || c.is_whitespace() || c.is_control())
        {
            return Err(
                "nothing may follow the port, and special characters in user or password have to be \
                        percent-encoded"
                    .to_owned(),
            );
        }
        // Under this made-up scheme no port is taken for the default and left out.
        let url = url::Url::parse(&format!("proxy://{authority}/"))
            .map_err(|error| format!("its host or port can't be read ({error})"))?;
        let host = match url.host() {
            Some(url::Host::Domain(name)) if !name.is_empty() => name.to_ascii_lowercase(),
            Some(url::Host::Ipv4(address)) => address.to_string(),
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(url::Host::Domain(_)) | None => return Err("it has no host".to_owned()),
        };
        let port = url.port().unwrap_or(own_port);
        if port == 0 {
            return Err("its port can't be 0".to_owned());
        }
        Ok(Self { kind, host, port, credentials: ProxyCredentials::parse(&url)? })
    }
}

/// The URL, without what is secret in it.
impl fmt::Display for OutboundProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Http => "http",
            ProxyKind::Socks5 => "socks5",
        };
        let hidden = if self.credentials.is_some() { "****@" } else { "" };
        if self.host.contains(':') {
            write!(f, "{scheme}://{hidden}[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{hidden}{}:{}", self.host, self.port)
        }
    }
}

impl ProxyCredentials {
    fn parse(url: &url::Url) -> Result<Option<Self>, String> {
        if url.username().is_empty() && url.password().is_none() {
            return Ok(None);
        }
        let decode = |text: &str| {
            let decoded = String::from_utf8(percent_decode(text).into_owned()).ok();
            decoded.filter(|text| text.len() <= LONGEST_CREDENTIAL && !text.chars().any(char::is_control))
        };
        match (decode(url.username()), decode(url.password().unwrap_or_default())) {
            (Some(user), _) if user.is_empty() => Err("its user is empty".to_owned()),
            // RFC 7617 §2: the first colon ends the user.
            (Some(user), _) if user.contains(':') => Err("its user has a colon in it".to_owned()),
            (Some(user), Some(password)) => {
                Ok(Some(Self { user: Secret::new(user), password: Secret::new(password) }))
            }
            _ => Err(format!("its user and password have to be text of at most {LONGEST_CREDENTIAL} bytes")),
        }
    }
}

impl Exception {
    /// Reads one item of the list. What can't be understood is taken for a name that no host has: other programs read
    /// this variable too, and none of them refuses it.
    pub fn parse(item: &str) -> Self {
        Self(Covers::parse(item))
    }
}

impl Covers {
    fn parse(item: &str) -> Self {
        if item == "*" {
            return Self::Everything;
        }
        let network = |text: &str, port| {
            let (address, bits) = text.split_once('/').map_or((text, None), |(a, bits)| (a, Some(bits)));
            let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
            let address: IpAddr = bare.parse().ok()?;
            let whole = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(whole), |bits| bits.parse().ok().filter(|bits| *bits <= whole))?;
            Some(Self::Network(address, bits, port))
        };
        if let Some(exception) = network(item, None) {
            return exception;
        }
        let (host, port) = match item.rsplit_once(':').map(|(host, port)| (host, port.parse().ok())) {
            Some((host, Some(port))) => (host, Some(port)),
            _ => (item, None),
        };
        network(host, port).unwrap_or_else(|| {
            let name = host.trim_start_matches("*.").trim_matches('.').to_ascii_lowercase();
            Self::Name(name, port)
        })
    }

    fn covers(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        let same_port = |only: &Option<u16>| only.is_none_or(|only| only == port);
        match self {
            Self::Everything => true,
            Self::Name(name, only) => same_port(only) && is_under(host, name),
            Self::Network(network, bits, only) => {
                same_port(only) && address.is_some_and(|address| shares_bits(address, *network, *bits))
            }
        }
    }
}

fn is_under(host: &str, name: &str) -> bool {
    !name.is_empty() && host.strip_suffix(name).is_some_and(|below| below.is_empty() || below.ends_with('.'))
}

fn shares_bits(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let differing = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return false,
    };
    differing >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways_out(no_proxy: &str) -> Outbound {
        let proxy = |text| OutboundProxy::parse(text).ok();
        Outbound {
            https: proxy("http://secure:1"),
            http: proxy("http://plain:2"),
            exceptions: no_proxy.split(',').map(|item| Exception::parse(item.trim())).collect(),
        }
    }

    fn way(outbound: &Outbound, url: &str) -> Option<String> {
        outbound.proxy_for(&BaseUrl::parse(url).unwrap()).map(|proxy| proxy.host.clone())
    }

    #[test]
    fn proxies_are_read_and_shown_without_their_password() {
        for (text, shown) in [
            ("http://proxy:3128", "http://proxy:3128"),
            ("http://proxy:3128/", "http://proxy:3128"),
            ("proxy:3128", "http://proxy:3128"),
            ("Proxy", "http://proxy:80"),
            ("HTTP://10.0.0.1:80", "http://10.0.0.1:80"),
            ("socks5://proxy", "socks5://proxy:1080"),
            ("socks5h://[::1]:80", "socks5://[::1]:80"),
            ("http://me:hunter2@proxy:3128", "http://****@proxy:3128"),
            ("me:hunter2@proxy:3128", "http://****@proxy:3128"),
        ] {
            assert_eq!(OutboundProxy::parse(text).unwrap().to_string(), shown, "{text}");
        }
        let proxy = OutboundProxy::parse("socks5://m%65:p%40ss%3a%C3%BC@h").unwrap();
        let credentials = proxy.credentials.unwrap();
        assert_eq!((credentials.user.expose(), credentials.password.expose()), ("me", "p@ss:ü"));
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_quoting_it() {
        for (text, reason) in [
            ("https://hunter2@h", "over TLS"),
            ("socks4://hunter2@h", "begin with"),
            ("http://", "host"),
            ("http://:80", "host"),
            ("http://hunter2@h:0", "port"),
            ("http://hunter2@h:99999", "port"),
            ("http://hunter2@h/path", "follow the port"),
            ("http://u:hunter2#@h", "percent-encoded"),
            ("http://:hunter2@h", "user is empty"),
            ("http://hunter2%ff@h", "text"),
            ("http://hunter2%3a@h", "colon"),
        ] {
            let error = OutboundProxy::parse(text).unwrap_err();
            assert!(error.contains(reason) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn each_scheme_has_its_proxy_for_this_machine_too() {
        let outbound = ways_out("");
        for (url, want) in [
            ("https://api.openai.com", Some("secure")),
            ("http://api.openai.com", Some("plain")),
            ("https://10.0.0.1", Some("secure")),
            ("http://localhost:11434", Some("plain")),
            ("https://[::1]:8443", Some("secure")),
        ] {
            assert_eq!(way(&outbound, url).as_deref(), want, "{url}");
        }
    }

    #[test]
    fn exceptions_are_reached_directly() {
        let exceptions = "example.com, .dot.test, *.star.test, one.test:8080, 10.0.0.0/8, 192.168.1.5, 2001:db8::/32, [fd00::1]:81, 10.1.1.1/99";
        let outbound = ways_out(exceptions);
        for (url, direct) in [
            ("https://example.com", true),
            ("https://EXAMPLE.com.", true),
            ("https://api.example.com:8443", true),
            ("https://badexample.com", false),
            ("https://example.com.evil.test", false),
            ("https://a.dot.test", true),
            ("https://a.star.test", true),
            ("http://one.test:8080", true),
            ("http://one.test", false),
            ("http://10.255.0.1", true),
            ("http://11.0.0.1", false),
            ("http://192.168.1.5:99", true),
            ("http://192.168.1.6", false),
            ("http://[2001:db8:1::1]", true),
            ("http://[2001:db9::1]", false),
            ("http://[fd00::1]:81", true),
            ("http://[fd00::1]:82", false),
        ] {
            assert_eq!(way(&outbound, url).is_none(), direct, "{url}");
        }
        assert_eq!(way(&ways_out("*"), "https://anything.test"), None);
    }
}
