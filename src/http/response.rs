//! What all answers to plain requests have in common: their body's type, and headers that each of them carries.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{Either, Full};
use tower_http::services::fs::ServeFileSystemResponseBody;

/// Text of our own, or a file.
pub(super) type Body = Either<Full<Bytes>, ServeFileSystemResponseBody>;

/// Plain text, short, for people.
pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A complete answer in memory.
pub(super) fn whole(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// An error: its status in words.
pub(super) fn error(status: StatusCode) -> Response<Body> {
    whole(status, TEXT, format!("{}\n", status.canonical_reason().unwrap_or("Error")))
}

/// 405, for everything but the methods in `allow`.
pub(super) fn method_not_allowed(allow: &'static str, text: &'static str) -> Response<Body> {
    let mut response = whole(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// The same answer with a short text in place of an empty body, its other headers kept.
pub(super) fn explained(response: Response<Body>) -> Response<Body> {
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let (text, body) = error(parts.status).into_parts();
    parts.headers.extend(text.headers);
    Response::from_parts(parts, body)
}

/// Headers of every answer. no-cache lets browsers keep files but ask each time whether they are still the same: after
/// an upgrade of noVNC, half old and half new pages do not work. nosniff: a file is what its type says.
pub(super) fn common_headers(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
