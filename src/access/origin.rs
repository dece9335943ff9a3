//! The pages whose scripts may connect: a browser says in `Origin` which page a script is of, and scripts cannot change it.
//!
//! Without this, a page anywhere on the web could open a session with the password or the cookies of whoever looks at it
//! (cross-site WebSocket hijacking). It is no proof of who a client is: a program can write into `Origin` what it likes.
//! Pure.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use http::uri::Authority;
use http::{Request, header};

/// Which pages may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// These; with none, `Origin` need not be there.
    pub listed: Vec<Origin>,
    /// And those that come from this route's own address.
    pub own: bool,
}

/// Scheme, host and port of a page: `https://desk.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

/// An origin was written in a way that none is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an origin: write https://HOST or https://HOST:PORT, without a path")]
pub struct OriginTextError(String);

/// A page may not connect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// The client acts for no page.
    #[error("it sends no Origin, and access.origins wants one")]
    Missing,
    /// Another page than those that may.
    #[error(
        "the page's origin '{0}' is not among access.origins{hint}",
        hint = if *.1 { ", nor is it this route's own: behind a reverse proxy pass the Host header on" } else { "" }
    )]
    Foreign(String, bool),
    /// A page that anybody on its way could have changed.
    #[error("the page '{0}' came without TLS, and asks for a session with it")]
    Insecure(String),
}

impl Origins {
    /// Whether all pages may connect.
    pub fn is_open(&self) -> bool {
        self.listed.is_empty() && !self.own
    }

    /// Whether the page may connect that sent `request`, which came by TLS or not.
    pub fn admit(&self, request: &Request<()>, is_tls: bool) -> Result<(), OriginError> {
        if self.is_open() {
            return Ok(());
        }
        let Some(written) = request.headers().get(header::ORIGIN) else {
            return if self.listed.is_empty() { Ok(()) } else { Err(OriginError::Missing) };
        };
        let shown: String = String::from_utf8_lossy(written.as_bytes()).chars().take(200).collect();
        let Ok(origin) = shown.parse::<Origin>() else { return Err(OriginError::Foreign(shown, self.own)) };
        if self.listed.contains(&origin) {
            return Ok(());
        }
        let is_own = self.own && host_of(request).is_some_and(|host| origin.is_at(host));
        match is_own {
            false => Err(OriginError::Foreign(shown, self.own)),
            // The other way round is right: TLS may have ended at a proxy.
            true if is_tls && origin.scheme == "http" => Err(OriginError::Insecure(shown)),
            true => Ok(()),
        }
    }
}

impl Origin {
    fn is_at(&self, authority: &str) -> bool {
        let at = host_and_port(authority);
        at.is_some_and(|(host, port)| host == self.host && port.or(default_port(&self.scheme)) == self.port_in_use())
    }

    fn port_in_use(&self) -> Option<u16> {
        self.port.or(default_port(&self.scheme))
    }
}

/// `HOST[:PORT]`, the host in small letters, an IPv6 address in brackets. None: it is neither.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, behind) = if let Some(rest) = text.strip_prefix('[') {
        let (address, behind) = rest.split_once(']')?;
        (format!("[{}]", address.parse::<Ipv6Addr>().ok()?), behind)
    } else {
        let (host, behind) = text.split_at(text.find(':').unwrap_or(text.len()));
        (host.to_ascii_lowercase(), behind)
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host) {
        return None;
    }
    let port = match behind.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => Some(digits.parse().ok()?),
        None if behind.is_empty() => None,
        _ => return None,
    };
    Some((host, port))
}

/// Where the client thinks that it is: of an absolute URI, or of the Host header (RFC 9112, 3.2.2).
fn host_of(request: &Request<()>) -> Option<&str> {
    let of_uri = request.uri().authority().map(Authority::as_str);
    of_uri.or_else(|| Some(request.headers().get(header::HOST)?.to_str().ok()?.trim()))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

impl FromStr for Origin {
    type Err = OriginTextError;

    fn from_str(text: &str) -> Result<Self, OriginTextError> {
        let wrong = || OriginTextError(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let scheme = scheme.to_ascii_lowercase();
        let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if scheme.is_empty() || !scheme.bytes().all(is_scheme) {
            return Err(wrong());
        }
        let (host, port) = host_and_port(rest).ok_or_else(wrong)?;
        Ok(Self { host, port: port.filter(|port| Some(*port) != default_port(&scheme)), scheme })
    }
}

/// As a browser writes it.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(origin: &str, host: &str) -> Request<()> {
        let mut request = Request::builder().uri("/websockify");
        if !origin.is_empty() {
            request = request.header("Origin", origin);
        }
        if !host.is_empty() {
            request = request.header("Host", host);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_page_of_the_same_address_may_connect_and_no_other() {
        let own = Origins { listed: Vec::new(), own: true };
        for (origin, host, is_tls) in [
            ("http://desk:6080", "desk:6080", false),
            ("https://desk:6080", "DESK:6080", true),
            ("https://desk.example.com", "desk.example.com", false), // TLS ends at a proxy
            ("https://desk.example.com", "desk.example.com:443", true),
            ("http://desk:80", "desk", false),
            ("http://[2001:db8::1]:6080", "[2001:db8::1]:6080", false),
            ("", "desk:6080", false), // no browser
        ] {
            assert_eq!(own.admit(&request(origin, host), is_tls), Ok(()), "{origin} at {host}");
        }
        for (origin, host) in [
            ("https://evil.example", "desk:6080"),
            ("http://desk:6081", "desk:6080"),
            ("http://desk", "desk:6080"),
            ("http://desk:6080.evil.example", "desk:6080"),
            ("http://desk:6080@evil.example", "desk:6080"),
            ("http://evil.example/desk:6080", "desk:6080"),
            ("https://desk.evil", "desk"),
            ("null", "desk:6080"),
            ("null", "null"),
            ("file://", ""),
            ("http://desk:6080", ""),
        ] {
            assert!(matches!(own.admit(&request(origin, host), false), Err(OriginError::Foreign(..))), "{origin}");
        }
        let insecure = own.admit(&request("http://desk:6080", "desk:6080"), true);
        assert_eq!(insecure, Err(OriginError::Insecure("http://desk:6080".to_owned())));
    }

    #[test]
    fn of_listed_pages_the_whole_origin_counts() {
        let listed = ["https://portal.example.com", "http://lab:8080"].map(|text| text.parse().unwrap()).to_vec();
        let origins = Origins { listed, own: false };
        for origin in ["https://portal.example.com", "https://portal.example.com:443", "HTTP://LAB:8080"] {
            assert_eq!(origins.admit(&request(origin, "desk"), true), Ok(()), "{origin}");
        }
        for origin in ["http://portal.example.com", "https://portal.example.com:8443", "https://desk", "http://lab"] {
            assert!(matches!(origins.admit(&request(origin, "desk"), true), Err(OriginError::Foreign(..))), "{origin}");
        }
        assert_eq!(origins.admit(&request("", "desk"), true), Err(OriginError::Missing));
        assert_eq!(Origins::default().admit(&request("https://evil.example", "desk"), true), Ok(()));
    }

    #[test]
    fn what_is_no_origin_says_what_one_is() {
        for text in
            ["", "null", "*", "desk", "desk:6080", "https://", "https://desk/", "https://desk/x", "https://u@desk"]
        {
            assert_eq!(text.parse::<Origin>(), Err(OriginTextError(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(text in "(https?|app)://[a-z\\[\\]:0-9.@/]{0,20}") {
            if let Ok(origin) = text.parse::<Origin>() {
                prop_assert_eq!(origin.to_string().parse::<Origin>(), Ok(origin));
            }
        }

        /// As a browser compares: an origin is another unless scheme, host and port are the same.
        #[test]
        fn no_other_host_passes_for_the_own(host in "[a-z]{1,3}(\\.[a-z]{1,3})?", page in "[a-z]{1,3}(\\.[a-z]{1,3})?[:@/]?[a-z]{0,2}") {
            let own = Origins { listed: Vec::new(), own: true };
            let admitted = own.admit(&request(&format!("http://{page}"), &host), false).is_ok();
            prop_assert_eq!(admitted, page == host);
        }
    }
}
