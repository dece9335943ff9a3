//! Pages that are part of the program: no file is opened, and they cannot be missing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use sha1::{Digest, Sha1};

use super::Builtin;
use super::response::{self, Body};

/// The demo's parts, all of them from web/demo.
const DEMO: [(&str, &str, &[u8]); 4] = [
    ("/", "text/html; charset=utf-8", include_bytes!("../../web/demo/index.html")),
    ("/demo.js", "text/javascript; charset=utf-8", include_bytes!("../../web/demo/demo.js")),
    ("/favicon.svg", "image/svg+xml", include_bytes!("../../web/demo/favicon.svg")),
    ("/style.css", "text/css; charset=utf-8", include_bytes!("../../web/demo/style.css")),
];

/// These pages need nothing from anywhere else. `ws:` and `wss:` are named because Safari before 15.4 does not count
/// them as 'self'.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// A set of pages, ready to be sent.
#[derive(Debug)]
pub struct Pages(Vec<Page>);

#[derive(Debug)]
struct Page {
    path: &'static str,
    kind: HeaderValue,
    etag: HeaderValue,
    content: Bytes,
}

impl Pages {
    /// The pages of a set.
    pub(super) fn new(set: Builtin) -> Self {
        match set {
            Builtin::Demo => Self(DEMO.iter().map(|&(path, kind, content)| Page::new(path, kind, content)).collect()),
        }
    }

    /// Answers a GET or a HEAD.
    pub(super) fn respond(&self, path: &str, headers: &HeaderMap) -> Response<Body> {
        let path = if path == "/index.html" { "/" } else { path };
        match self.0.iter().find(|page| page.path == path) {
            Some(page) => page.respond(headers),
            None => response::error(StatusCode::NOT_FOUND),
        }
    }
}

impl Page {
    fn new(path: &'static str, kind: &'static str, content: &'static [u8]) -> Self {
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha1::digest(content)));
        Self {
            path,
            kind: HeaderValue::from_static(kind),
            etag: HeaderValue::try_from(etag).expect("base64 in quotes is a header value"),
            content: Bytes::from_static(content),
        }
    }

    fn respond(&self, headers: &HeaderMap) -> Response<Body> {
        let mut response = if self.is_known_to(headers) {
            let mut response = response::whole(StatusCode::NOT_MODIFIED, self.kind.clone(), Bytes::new());
            response.headers_mut().remove(CONTENT_TYPE);
            response
        } else {
            response::whole(StatusCode::OK, self.kind.clone(), self.content.clone())
        };
        response.headers_mut().insert(ETAG, self.etag.clone());
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
        response
    }

    /// Whether If-None-Match lists this page (RFC 9110, 13.1.2: weak comparison). Our tags have no commas in them.
    fn is_known_to(&self, headers: &HeaderMap) -> bool {
        let tags = headers.get_all(IF_NONE_MATCH).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
        tags.map(<[u8]>::trim_ascii).any(|tag| tag == b"*" || self.etag == tag.strip_prefix(b"W/").unwrap_or(tag))
    }
}
