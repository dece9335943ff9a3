//! Plain requests on a connection, until one of them asks for an upgrade.
//!
//! hyper reads the requests. When one asks for a WebSocket, its service keeps the request and never answers; the
//! connection is then taken apart, with whatever hyper has read past that request. Answers to earlier requests have
//! been flushed by then: hyper reads no request before it has written the answer to the one before.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Body as _;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::files::{self, Files};
use super::refusal::linger;
use super::response::{self, Body, common_headers};
use super::stall::Stall;

/// hyper's smallest buffer; a smaller bound of the head is kept all the same.
const BUFFER_BYTES_MIN: usize = 8192;

/// The bounds of a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How long a head may take, from when one may begin; so also how long a connection may wait between requests,
    /// and how long an answer may wait for a client that does not read.
    pub timeout: Duration,
    /// Of the request line and the headers together.
    pub bytes_max: usize,
}

/// Who may have what a plain request asks for: gives the request back, or says why not.
pub type Gate = Rc<dyn Fn(Request<()>) -> Pin<Box<dyn Future<Output = Result<Request<()>, Barred>>>>>;

/// A plain request that is not served.
#[derive(Debug)]
pub struct Barred {
    /// The status of the answer.
    pub status: StatusCode,
    /// For people.
    pub text: String,
    /// More headers.
    pub headers: HeaderMap,
}

/// What plain requests get.
#[derive(Clone, Default)]
pub struct Plain {
    /// From here; None: 405.
    pub files: Option<Arc<Files>>,
    /// If whoever asks is let through; None: everybody is.
    pub gate: Option<Gate>,
}

/// A connection that asked for an upgrade.
#[derive(Debug)]
pub struct Incoming<S> {
    /// The request that did.
    pub request: Request<()>,
    /// The connection. Nothing was answered to `request`.
    pub stream: S,
    /// What was read past the request: the client's first frames.
    pub leftover: Bytes,
    /// Plain requests that were served before.
    pub requests: u64,
}

/// A connection that ended without an upgrade.
#[derive(Debug, thiserror::Error)]
#[error("the connection ended after {requests} plain requests")]
pub struct Closed {
    /// Plain requests that were served.
    pub requests: u64,
    /// Why it ended.
    #[source]
    pub reason: Reason,
}

/// Why a connection ended without an upgrade.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// What came was no HTTP request, or too large; the client got a 4xx, but for HTTP/2.
    #[error("what the client sent was no request, or too large a one")]
    BadRequest(#[source] hyper::Error),
    /// It was closed in order, by the client or after an answer that said so.
    #[error("it was closed in order")]
    Finished,
    /// The client vanished in the middle of a request or an answer.
    #[error("the client vanished")]
    Lost(#[source] hyper::Error),
    /// No complete request came in time, or an answer was not read.
    #[error("the client was too slow")]
    Timeout,
}

impl From<hyper::Error> for Reason {
    fn from(error: hyper::Error) -> Self {
        if error.is_timeout() || is_stalled(&error) {
            Self::Timeout
        } else if error.is_parse() {
            Self::BadRequest(error)
        } else {
            Self::Lost(error)
        }
    }
}

/// Serves plain requests until one asks for an upgrade.
pub async fn next_upgrade<S>(stream: S, plain: Plain, head: &Head) -> Result<Incoming<S>, Closed>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let exchange = Rc::new(Exchange { plain, ..Exchange::default() });
    let io = TokioIo::new(Stall::new(stream, head.timeout));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head.timeout)
        .max_buf_size(head.bytes_max.max(BUFFER_BYTES_MIN))
        .max_header_size(head.bytes_max)
        .half_close(true) // a client may shut its write side after its last request and still read the answer
        .serve_connection(io, Answering(Rc::clone(&exchange)));

    let ended = poll_fn(|cx| {
        let polled = Pin::new(&mut connection).poll(cx);
        if exchange.upgrade.borrow().is_some() {
            return Poll::Ready(Ok(())); // whatever else hyper has seen, the stream will show again
        }
        polled
    })
    .await;

    let requests = exchange.requests.get();
    let request = exchange.upgrade.take();
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner().into_inner();
    if let Some(request) = request {
        // a slice of it would keep hyper's whole buffer for as long as the session lives
        let leftover = Bytes::copy_from_slice(&parts.read_buf);
        return Ok(Incoming { request, stream, leftover, requests });
    }
    let reason = ended.map_or_else(Reason::from, |()| Reason::Finished);
    if matches!(reason, Reason::BadRequest(_) | Reason::Finished) {
        linger(&mut stream).await;
    }
    Err(Closed { requests, reason })
}

/// Whether the head asks to become a WebSocket. `Connection` is not looked at, and HTTP/1.0 will do, as always.
fn is_upgrade(method: &Method, headers: &HeaderMap) -> bool {
    let values = headers.get_all(UPGRADE).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    *method == Method::GET && values.map(<[u8]>::trim_ascii).any(|token| token.eq_ignore_ascii_case(b"websocket"))
}

/// What the requests of one connection share.
#[derive(Default)]
struct Exchange {
    plain: Plain,
    /// The request that ends the exchange.
    upgrade: RefCell<Option<Request<()>>>,
    requests: Cell<u64>,
}

impl Plain {
    async fn respond(self, request: Request<()>) -> Response<Body> {
        let request = match &self.gate {
            None => request,
            Some(gate) => match gate(request).await {
                Ok(request) => request,
                Err(barred) => return barred.into_response(),
            },
        };
        match self.files {
            Some(files) => {
                let (parts, ()) = request.into_parts();
                files.respond(&parts.method, &parts.uri, parts.headers).await
            }
            None => files::nothing_here(),
        }
    }
}

impl Barred {
    fn into_response(self) -> Response<Body> {
        let mut response = response::whole(self.status, response::TEXT, format!("{}\n", self.text));
        response.headers_mut().extend(self.headers);
        response
    }
}

struct Answering(Rc<Exchange>);

impl Service<Request<hyper::body::Incoming>> for Answering {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>>>>;

    fn call(&self, request: Request<hyper::body::Incoming>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let empty = body.is_end_stream();
        parts.extensions.clear(); // hyper's own
        if is_upgrade(&parts.method, &parts.headers) && empty {
            self.0.upgrade.replace(Some(Request::from_parts(parts, ())));
            return Box::pin(pending());
        }
        self.0.requests.set(self.0.requests.get() + 1);
        let plain = self.0.plain.clone();
        Box::pin(async move {
            let request = Request::from_parts(parts, ());
            // never the query: it may hold a token
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let mut response = if is_upgrade(request.method(), request.headers()) {
                response::error(StatusCode::BAD_REQUEST) // its first frames could not be told from its body
            } else {
                plain.respond(request).await
            };
            common_headers(response.headers_mut());
            if !empty {
                // nobody reads the body, so the next request could not be found
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            debug!(%method, path, status = response.status().as_u16(), "served");
            Ok(response)
        })
    }
}

fn is_stalled(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|source| source.kind() == std::io::ErrorKind::TimedOut)
}
