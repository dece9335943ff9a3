//! A service that is asked by HTTP: `GET` of a URL with the token in it, answered with a target.
//!
//! Promise: the token is escaped, so that it stays one value wherever it stands; the answer is bounded in time and size; no
//! redirect is followed, for it would let the service send this program anywhere. A token that is unknown (400, 401, 403, 404,
//! 410, 422, or nothing in the answer) is told from a service that cannot say.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Builder;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::service::{Address, Secret, Service, port};
use super::{LookupError, SourceError, answer};
use crate::target::Target;
use crate::target::token::Token;
use crate::tls::Outward;

/// An answer is one target.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// All but what RFC 3986 calls unreserved.
pub(crate) const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A service and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it is.
    pub address: Address,
    /// What is asked for.
    pub url: Url,
    /// How it answers.
    pub format: Format,
}

/// How a service answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `host:port`.
    #[default]
    Text,
    /// `{"host": ..., "port": ...}`.
    Json,
}

/// A URL, with a place for the token or without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// By TLS.
    pub is_https: bool,
    /// Without brackets.
    pub host: String,
    /// That of the scheme, unless it is written.
    pub port: u16,
    /// As the `Host` header has it.
    authority: String,
    /// Path and query; up to the token, where one goes.
    before: Secret,
    /// And behind it.
    after: Secret,
    /// `user:password`.
    credentials: Option<Secret>,
}

/// A URL was written in a way that none is. None of the messages repeats it: there may be a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not a URL.
    #[error("it is not a URL of http or https: write https://HOST/PATH?token=%s")]
    Form,
    /// Nowhere to put the token, or several places.
    #[error("it needs one %s, where the token goes, such as https://HOST/PATH?token=%s; a % itself is written %%")]
    Placeholder,
    /// A token would decide whom to ask.
    #[error("the %s of the token must stand in its path or its query, not before")]
    Authority,
}

/// A service in use.
#[derive(Debug)]
pub struct Http {
    service: Service,
    url: Url,
    format: Format,
}

impl Url {
    /// `https://HOST/PATH?token=%s`, as the original had it.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        Self::divided(text, halves)
    }

    /// `https://HOST/PATH`, where no token goes.
    pub fn whole(text: &str) -> Result<Self, UrlError> {
        Self::divided(text, |path| Some((path.to_owned(), String::new())))
    }

    fn divided(text: &str, halves: impl Fn(&str) -> Option<(String, String)>) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Form)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split('#').next().unwrap_or(path);
        if authority.contains("%s") {
            return Err(UrlError::Authority);
        }
        let (before, after) = halves(path).ok_or(UrlError::Placeholder)?;
        // The rest is judged by what will be sent.
        let sample: Uri = format!("{scheme}://{authority}{before}x{after}").parse().map_err(|_| UrlError::Form)?;
        let (is_https, default_port) = match sample.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => return Err(UrlError::Form),
        };
        let host = sample.host().filter(|host| !host.is_empty()).ok_or(UrlError::Form)?;
        let (credentials, authority) = match authority.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials), authority),
            None => (None, authority),
        };
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(|text| Secret(text.into_owned()));
        let slash = if before.starts_with('/') { "" } else { "/" };
        Ok(Self {
            is_https,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port(authority, default_port).ok_or(UrlError::Form)?,
            authority: authority.to_owned(),
            before: Secret(format!("{slash}{before}")),
            after: Secret(after),
            credentials: credentials.map(decoded).transpose().map_err(|_| UrlError::Form)?,
        })
    }

    /// A request for `path`, as far as all are alike.
    pub fn get(&self, path: &str) -> Builder {
        let request = Request::builder()
            .uri(path)
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, "websockify")
            .header(header::CONNECTION, "close");
        match &self.credentials {
            Some(Secret(credentials)) => {
                request.header(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(credentials)))
            }
            None => request,
        }
    }

    /// Path and query, of a URL in which no token goes.
    pub fn path(&self) -> &str {
        &self.before.0
    }

    /// What is asked for. None: such a token could not be told from the directory that it stands in.
    fn with(&self, token: &str) -> Option<String> {
        let token = utf8_percent_encode(token, ESCAPED).to_string();
        (token != "." && token != "..").then(|| format!("{}{token}{}", self.before.0, self.after.0))
    }
}

/// What stands before and behind the one `%s`; `%%` is a `%`, as it was for the original.
fn halves(path: &str) -> Option<(String, String)> {
    let (mut halves, mut rest) = (vec![String::new()], path);
    while let Some(at) = rest.find('%') {
        let half = halves.last_mut().expect("never empty");
        half.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.as_bytes().first() {
            Some(b's') => halves.push(String::new()),
            Some(b'%') => half.push('%'),
            _ => {
                half.push('%'); // %20 and the like
                continue;
            }
        }
        rest = &rest[1..];
    }
    halves.last_mut()?.push_str(rest);
    let [before, after] = halves.try_into().ok()?;
    Some((before, after))
}

/// Without its path and query, in which there may be a key, and without a password.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/...", if self.is_https { "https" } else { "http" }, self.authority)
    }
}

impl Http {
    /// Loads what its certificate is judged by.
    pub fn open(settings: &Settings) -> Result<Self, SourceError> {
        let Settings { address, url, format } = settings;
        Ok(Self { service: Service::open(address)?, url: url.clone(), format: *format })
    }

    /// What `token` stands for. A connection of its own: the time it takes is the service's.
    pub async fn look_up(&self, token: &Token, limit: Duration) -> Result<Target, LookupError> {
        let path = self.url.with(token.as_str()).ok_or(LookupError::Unknown)?;
        let wire = self.service.connect(limit).await?;
        let (status, body) = exchange(wire, self.request(&path)?, read).await?;
        match status {
            _ if status.is_success() && body.trim_ascii().is_empty() => Err(LookupError::Unknown),
            _ if status.is_success() => {
                let target = match self.format {
                    Format::Text => answer::text(&body),
                    Format::Json => answer::json(&body),
                };
                Ok(target.map_err(SourceError::from)?)
            }
            StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::GONE
            | StatusCode::UNPROCESSABLE_ENTITY => Err(LookupError::Unknown),
            _ => Err(SourceError::Status { status }.into()),
        }
    }

    fn request(&self, path: &str) -> Result<Request<Empty<Bytes>>, SourceError> {
        let accept = match self.format {
            Format::Text => "text/plain, */*",
            Format::Json => "application/json, */*",
        };
        // The URL was tried with another token when the route was read.
        self.url.get(path).header(header::ACCEPT, accept).body(Empty::new()).map_err(|_| SourceError::Request)
    }
}

/// One request, and what `read` makes of its answer.
pub async fn exchange<T>(
    wire: Outward,
    request: Request<Empty<Bytes>>,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, SourceError>,
) -> Result<T, SourceError> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(ANSWER_BYTES_MAX)
        .handshake(TokioIo::new(wire))
        .await
        .map_err(SourceError::Http)?;
    let mut connection = pin!(connection);
    let mut answered = pin!(async { read(sender.send_request(request).await.map_err(SourceError::Http)?).await });
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        // What it has read, it has passed on.
        _ = &mut connection => answered.await,
    }
}

async fn read(response: Response<Incoming>) -> Result<(StatusCode, Bytes), SourceError> {
    let status = response.status();
    if !status.is_success() {
        return Ok((status, Bytes::new()));
    }
    match Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await {
        Ok(body) => Ok((status, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(SourceError::AnswerTooLarge(ANSWER_BYTES_MAX)),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(error) => SourceError::Http(*error),
            Err(_) => SourceError::AnswerTooLarge(ANSWER_BYTES_MAX),
        }),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(url: &str, token: &str) -> Option<String> {
        Url::parse(url).unwrap().with(token)
    }

    #[test]
    fn a_url_is_read_as_the_original_read_it() {
        let url = Url::parse("https://us%40er:p%3Aw@portal.example.com:8443/api/%s/vnc?key=a%20b%%20c").unwrap();
        assert_eq!((url.is_https, url.host.as_str(), url.port), (true, "portal.example.com", 8443));
        assert_eq!(url.authority, "portal.example.com:8443");
        assert_eq!(url.with("t").as_deref(), Some("/api/t/vnc?key=a%20b%20c"));
        assert_eq!(url.credentials, Some(Secret("us@er:p:w".to_owned())));
        assert_eq!(url.to_string(), "https://portal.example.com:8443/...");
        assert!(!format!("{url:?}").contains("key") && !format!("{url:?}").contains("p:w"), "{url:?}");
        let plain = Url::parse("http://[::1]?token=%s#x").unwrap();
        assert_eq!((plain.is_https, plain.host.as_str(), plain.port), (false, "::1", 80));
        assert_eq!(plain.with("t").as_deref(), Some("/?token=t"));
    }

    #[test]
    fn what_is_no_url_says_what_one_is() {
        for (text, error) in [
            ("portal/%s", UrlError::Form),
            ("ftp://portal/%s", UrlError::Form),
            ("http:///%s", UrlError::Form),
            ("http://portal/a b?%s", UrlError::Form),
            ("http://portal:x/%s", UrlError::Form),
            ("http://portal:0/%s", UrlError::Form),
            ("http://[::1]x/%s", UrlError::Form),
            ("http://portal/", UrlError::Placeholder),
            ("http://portal/%%s", UrlError::Placeholder),
            ("http://portal/%s/%s", UrlError::Placeholder),
            ("http://portal/#%s", UrlError::Placeholder),
            ("http://%s.example.com/", UrlError::Authority),
            ("http://%s@portal/%s", UrlError::Authority),
        ] {
            assert_eq!(Url::parse(text), Err(error), "{text}");
        }
    }

    /// The original put the token into the URL as it came.
    #[test]
    fn a_token_cannot_leave_its_place() {
        let path = "http://portal/token/%s/target";
        assert_eq!(asked(path, "a/../../admin?x=#").as_deref(), Some("/token/a%2F..%2F..%2Fadmin%3Fx%3D%23/target"));
        assert_eq!(asked(path, ".."), None);
        assert_eq!(asked(path, "."), None);
        assert_eq!(
            asked("http://p/?t=%s&role=user", "x&role=admin").as_deref(),
            Some("/?t=x%26role%3Dadmin&role=user")
        );
        assert_eq!(asked("http://p/?t=%s", "%2e\u{e9} +").as_deref(), Some("/?t=%252e%C3%A9%20%2B"));
    }

    proptest! {
        #[test]
        fn whatever_a_token_holds_the_url_stays_the_same_around_it(token in "\\PC{1,30}") {
            if let Some(path) = asked("http://portal/a/%s/b?c", &token) {
                let uri: Uri = path.parse().unwrap();
                let segments: Vec<&str> = uri.path().split('/').collect();
                prop_assert_eq!((segments.len(), segments[1], segments[3], uri.query()), (4, "a", "b", Some("c")));
                prop_assert_eq!(percent_decode_str(segments[2]).decode_utf8().unwrap(), token);
            }
        }

        #[test]
        fn any_text_is_a_url_that_can_be_asked_or_none(text in "https?://[ -~]{0,30}") {
            if let Ok(url) = Url::parse(&text) {
                prop_assert!(url.with("x").unwrap().parse::<Uri>().is_ok(), "{}", text);
            }
        }
    }
}
