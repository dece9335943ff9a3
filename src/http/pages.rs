//! Pages that are part of the program: no file is opened, and they cannot be missing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use sha1::{Digest, Sha1};

use super::builtin::{Builtin, File};
use super::response::{self, Body};

/// A set of pages, ready to be sent.
#[derive(Debug)]
pub struct Pages {
    all: Vec<Page>,
    home: &'static str,
    policy: HeaderValue,
}

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
        let set = set.set();
        let all = set.files.iter().map(Page::new).collect();
        Self { all, home: set.home, policy: HeaderValue::from_static(set.policy) }
    }

    /// Answers a GET or a HEAD.
    pub(super) fn respond(&self, uri: &Uri, headers: &HeaderMap) -> Response<Body> {
        let path = uri.path().strip_suffix("index.html").unwrap_or(uri.path());
        if let Some(page) = self.all.iter().find(|page| page.path == path) {
            let mut response = page.respond(headers);
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, self.policy.clone());
            return response;
        }
        // / and /telnet: for both, the relative address is right, below the prefix of a reverse proxy too
        match path.strip_prefix('/') {
            Some(above) if above.is_empty() || self.home.strip_suffix('/') == Some(above) => {
                self.lead_home(uri.query())
            }
            _ => response::error(StatusCode::NOT_FOUND),
        }
    }

    /// To where people are to go, with the query, which may hold a token or a host.
    fn lead_home(&self, query: Option<&str>) -> Response<Body> {
        let location = query.map_or_else(|| self.home.to_owned(), |query| format!("{}?{query}", self.home));
        let mut response = response::error(StatusCode::TEMPORARY_REDIRECT);
        let location = HeaderValue::try_from(location).expect("a query that was parsed is a header value");
        response.headers_mut().insert(LOCATION, location);
        response
    }
}

impl Page {
    fn new(&(path, kind, content): &File) -> Self {
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
        response
    }

    /// Whether If-None-Match lists this page (RFC 9110, 13.1.2: weak comparison). Our tags have no commas in them.
    fn is_known_to(&self, headers: &HeaderMap) -> bool {
        let tags = headers.get_all(IF_NONE_MATCH).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
        tags.map(<[u8]>::trim_ascii).any(|tag| tag == b"*" || self.etag == tag.strip_prefix(b"W/").unwrap_or(tag))
    }
}
