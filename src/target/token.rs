//! The token that a client shows to be connected with its target, and where in a request it stands.
//!
//! Promise: only reading a request makes a [`Token`], and its length is bounded. It cannot be printed: what logs show is its
//! [`TokenName`], 32 bits of its SHA-256, enough to tell sessions apart and to find one's own
//! (`printf %s TOKEN | sha256sum`), and too little to get in with.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use http::{HeaderMap, Request, header};
use percent_encoding::percent_decode_str;

/// A longer one is none: a JWT with a chain of names in it is half of that.
pub const TOKEN_BYTES_MAX: usize = 8192;

/// What a client has shown. Never empty, and without control characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(String);

/// What a log may say of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenName([u8; 4]);

/// A request shows no token that could be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// Nothing where tokens stand.
    #[error("there is no token in the request")]
    Missing,
    /// Something that no token is.
    #[error("the token is not UTF-8, has control characters in it, or is longer than {TOKEN_BYTES_MAX} bytes")]
    Malformed,
}

/// Where in a request tokens stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A parameter of the query: `?token=`.
    Query(String),
    /// The last segment of the path.
    Path,
    /// The host that the client wanted to reach, without the port.
    Host,
    /// A cookie.
    Cookie(String),
}

/// A place was written in a way that none is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no place of a token: write \"query\", \"query:NAME\", \"path\", \"host\" or \"cookie:NAME\"")]
pub struct PlaceError(String);

impl Token {
    /// The token of `request`: from the first of `places` that holds one.
    pub fn of(request: &Request<()>, places: &[Place]) -> Result<Self, NoToken> {
        for place in places {
            if let Some(shown) = place.find(request)? {
                return Self::parse(&shown);
            }
        }
        Err(NoToken::Missing)
    }

    fn parse(text: &str) -> Result<Self, NoToken> {
        // The original forgave a line break at the end, which links out of files have.
        let text = text.trim_end_matches('\n');
        match text {
            "" => Err(NoToken::Missing),
            _ if text.len() > TOKEN_BYTES_MAX || text.contains(char::is_control) => Err(NoToken::Malformed),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// All of it, for whoever looks it up. Not to be logged.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What may be logged of it.
    pub fn name(&self) -> TokenName {
        TokenName::of(&self.0)
    }
}

impl TokenName {
    /// Of a token's text.
    pub(super) fn of(token: &str) -> Self {
        let digest = digest(&SHA256, token.as_bytes());
        Self(*digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.name())
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{:08x}", u32::from_be_bytes(self.0))
    }
}

impl Place {
    /// What stands there. None: nothing.
    fn find<'a>(&self, request: &'a Request<()>) -> Result<Option<Cow<'a, str>>, NoToken> {
        let found = match self {
            Self::Query(name) => query(request.uri().query().unwrap_or_default(), name)?,
            Self::Path => Some(decoded(request.uri().path().rsplit('/').next().unwrap_or_default())?),
            Self::Host => host(request.headers()).map(Cow::Owned),
            Self::Cookie(name) => cookie(request.headers(), name).map(Cow::Borrowed),
        };
        Ok(found.filter(|found| !found.is_empty()))
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=');
        match text.split_once(':') {
            None if text == "query" => Ok(Self::Query("token".to_owned())),
            None if text == "path" => Ok(Self::Path),
            None if text == "host" => Ok(Self::Host),
            Some(("query", name)) if is_name(name) => Ok(Self::Query(name.to_owned())),
            Some(("cookie", name)) if is_name(name) => Ok(Self::Cookie(name.to_owned())),
            _ => Err(PlaceError(text.to_owned())),
        }
    }
}

/// As in the file of a route.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Path => f.write_str("path"),
            Self::Host => f.write_str("host"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

/// The first value of a parameter that has one, as the original read it: `&` separates, `+` is a space.
fn query<'a>(query: &'a str, wanted: &str) -> Result<Option<Cow<'a, str>>, NoToken> {
    for pair in query.split('&') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let is_wanted = name == wanted || spaced(name).is_ok_and(|name| name == wanted);
        if is_wanted && !value.is_empty() {
            return spaced(value).map(Some);
        }
    }
    Ok(None)
}

fn spaced(text: &str) -> Result<Cow<'_, str>, NoToken> {
    if text.contains('+') {
        let text = text.replace('+', " ");
        return decoded(&text).map(|text| Cow::Owned(text.into_owned()));
    }
    decoded(text)
}

fn decoded(text: &str) -> Result<Cow<'_, str>, NoToken> {
    percent_decode_str(text).decode_utf8().map_err(|_| NoToken::Malformed)
}

/// In small letters, for names of hosts are the same in both.
fn host(headers: &HeaderMap) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?.trim();
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or(bracketed),
        None => host.split(':').next().unwrap_or(host),
    };
    Some(name.to_ascii_lowercase())
}

/// RFC 6265, 4.2.1; a value may stand in quotes.
fn cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, value)| *name == wanted && !value.is_empty())?;
    Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn from_query(uri: &str) -> Result<String, NoToken> {
        Token::of(&request(uri, &[]), &["query".parse().unwrap()]).map(|token| token.as_str().to_owned())
    }

    #[test]
    fn a_token_of_the_query_is_read_as_the_original_read_it() {
        for (uri, token) in [
            ("/?token=abc", "abc"),
            ("/websockify?a=b&token=abc&token=def", "abc"),
            ("/any/path?token=&token=x", "x"),
            ("/?token=a+b%2Bc", "a b+c"),
            ("/?token=gr%C3%BCn", "grün"),
            ("/?token=a;b", "a;b"),
            ("/?token=x%0A", "x"),
            ("/?%74oken=x", "x"),
            ("/?token=a=b", "a=b"),
        ] {
            assert_eq!(from_query(uri).as_deref(), Ok(token), "{uri}");
        }
        for uri in ["/", "/?", "/?token", "/?token=", "/?Token=x", "/?xtoken=y", "/token=x", "/?a=token=x"] {
            assert_eq!(from_query(uri), Err(NoToken::Missing), "{uri}");
        }
        for uri in ["/?token=%FF", "/?token=a%00b", "/?token=a%0Ab", "/?token=%1b%5b2J"] {
            assert_eq!(from_query(uri), Err(NoToken::Malformed), "{uri}");
        }
        assert!(from_query(&format!("/?token={}", "x".repeat(TOKEN_BYTES_MAX))).is_ok());
        let longer = format!("/?token={}", "x".repeat(TOKEN_BYTES_MAX + 1));
        assert_eq!(from_query(&longer), Err(NoToken::Malformed));
    }

    #[test]
    fn a_token_is_found_in_every_place() {
        let host = |value| ("host", value);
        let cases = [
            ("query:vm", "/?vm=a&token=b", vec![], "a"),
            ("path", "/websockify/a%2Fb.sock?token=x", vec![], "a/b.sock"),
            ("path", "/a+b", vec![], "a+b"),
            ("host", "/?token=x", vec![host("VM1.example.com:6080")], "vm1.example.com"),
            // The original cut it at the first colon.
            ("host", "/", vec![host("[2001:DB8::1]:6080")], "2001:db8::1"),
            ("cookie:vm", "/", vec![("cookie", "xvm=no; vm=a=b; vm=c")], "a=b"),
            ("cookie:vm", "/", vec![("cookie", "other=1"), ("cookie", "vm=\"quoted\"")], "quoted"),
        ];
        for (place, uri, headers, token) in cases {
            let found = Token::of(&request(uri, &headers), &[place.parse().unwrap()]);
            assert_eq!(found.as_ref().map(Token::as_str), Ok(token), "{place} {uri}");
        }
        for (place, uri) in [("path", "/"), ("path", "/websockify/"), ("host", "/"), ("cookie:vm", "/?vm=x")] {
            let found = Token::of(&request(uri, &[]), &[place.parse().unwrap()]);
            assert_eq!(found, Err(NoToken::Missing), "{place} {uri}");
        }
    }

    #[test]
    fn the_first_place_that_holds_a_token_counts() {
        let places = ["query", "cookie:token"].map(|place| place.parse().unwrap());
        let both = request("/?token=a", &[("cookie", "token=b")]);
        assert_eq!(Token::of(&both, &places).unwrap().as_str(), "a");
        let one = request("/?token=", &[("cookie", "token=b")]);
        assert_eq!(Token::of(&one, &places).unwrap().as_str(), "b");
    }

    #[test]
    fn places_are_read_and_shown() {
        for text in ["query:token", "query:vm", "path", "host", "cookie:session"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        assert_eq!("query".parse(), Ok(Place::Query("token".to_owned())));
        for text in ["", "Query", "query:", "cookie", "cookie:", "cookie:a b", "path:x", "host:", "header:x"] {
            assert_eq!(text.parse::<Place>(), Err(PlaceError(text.to_owned())));
        }
    }

    #[test]
    fn nothing_prints_a_token_but_four_bytes_of_its_hash() {
        let token = Token("abc".to_owned());
        // printf %s abc | sha256sum
        assert_eq!(token.name().to_string(), "sha256:ba7816bf");
        assert_eq!(format!("{token:?}"), "Token(sha256:ba7816bf)");
    }

    proptest! {
        /// Whatever a link holds as a token is what is looked up, and no request makes one that is out of bounds.
        #[test]
        fn what_is_escaped_is_read_back(token in "[^\\p{Cc}]{1,20}", before in "[a-z]{0,3}") {
            let escaped = percent_encoding::utf8_percent_encode(&token, percent_encoding::NON_ALPHANUMERIC);
            prop_assert_eq!(from_query(&format!("/{before}?{before}=1&token={escaped}&x")), Ok(token));
        }

        #[test]
        fn any_query_gives_a_bounded_token_or_none(text in "[ -~&&[^ #\"<>\\\\^`{|}]]{0,60}") {
            if let Ok(token) = from_query(&format!("/?token={text}")) {
                prop_assert!(!token.is_empty() && !token.contains(char::is_control));
            }
        }
    }
}
