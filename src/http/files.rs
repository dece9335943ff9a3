//! What a route serves to plain requests: built-in pages or a directory, and an answer to each request for them.

use std::io;
use std::path::PathBuf;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{Either, Empty};
use tower_http::services::ServeDir;
use tower_http::services::fs::DefaultServeDirFallback;
use tracing::debug;

use super::pages::Pages;
use super::response::{self, Body};
use super::root::Root;
use super::{Web, listing};

/// The files of a route, opened and ready to be served.
#[derive(Debug)]
pub enum Files {
    /// From the program itself.
    Builtin(Pages),
    /// From a directory.
    Directory(Tree),
}

/// A directory that is served.
#[derive(Debug)]
pub struct Tree {
    root: Root,
    service: ServeDir<DefaultServeDirFallback, Root>,
    listing: bool,
}

/// A web root cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// It is missing, not a directory, closed to us, or /proc is not mounted.
    #[error("cannot open the web root {path}", path = path.display())]
    Open {
        /// As configured.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Files {
    /// Opens what is configured.
    pub fn open(web: &Web) -> Result<Self, WebError> {
        match web {
            Web::Builtin(set) => Ok(Self::Builtin(Pages::new(*set))),
            Web::Directory(directory) => {
                let root = Root::new(&directory.root, directory.follow_symlinks)
                    .map_err(|source| WebError::Open { path: directory.root.clone(), source })?;
                let service = ServeDir::with_backend("", root.clone())
                    .precompressed_br()
                    .precompressed_gzip()
                    .precompressed_zstd()
                    .ignore_multi_range_requests(true); // the whole file is an answer too, and browsers take it
                Ok(Self::Directory(Tree { root, service, listing: directory.listing }))
            }
        }
    }

    /// The answer to a plain request. Errors are answers too.
    pub(super) async fn respond(&self, method: &Method, uri: &Uri, headers: HeaderMap) -> Response<Body> {
        if method != Method::GET && method != Method::HEAD {
            return response::method_not_allowed("GET, HEAD", "Only GET and HEAD are served here.\n");
        }
        match self {
            Self::Builtin(pages) => pages.respond(uri, &headers),
            Self::Directory(tree) => tree.respond(method.clone(), uri, headers).await,
        }
    }
}

/// The answer to a plain request where there are no files.
pub(super) fn nothing_here() -> Response<Body> {
    // an empty Allow: no method at all does anything here (RFC 9110, 10.2.1)
    response::method_not_allowed("", "This is a WebSocket endpoint: connect with a WebSocket client.\n")
}

impl Tree {
    async fn respond(&self, method: Method, uri: &Uri, headers: HeaderMap) -> Response<Body> {
        let Some(uri) = local(uri) else { return response::error(StatusCode::BAD_REQUEST) };
        let path = uri.path().to_owned();
        let mut request = Request::new(Empty::<bytes::Bytes>::new());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let response = match self.service.clone().try_call(request).await {
            Ok(response) => response.map(Either::Right),
            Err(error) => failure(&path, &error),
        };
        match response.status() {
            StatusCode::NOT_FOUND if self.listing && path.ends_with('/') => self.list(path).await,
            status if status.is_client_error() || status.is_server_error() => response::explained(response),
            _ => response,
        }
    }

    async fn list(&self, path: String) -> Response<Body> {
        let (root, directory) = (self.root.clone(), path.clone());
        match tokio::task::spawn_blocking(move || listing::page(&root, &directory)).await.map_err(io::Error::from) {
            Ok(Ok(page)) => response::whole(StatusCode::OK, HeaderValue::from_static("text/html; charset=utf-8"), page),
            Ok(Err(error)) | Err(error) => failure(&path, &error),
        }
    }
}

/// The path and query of a request, with one slash in front: `//host/..` must not come back as the `Location` of a
/// redirect, which a browser would take for another host. The scheme and host of an absolute form go for the same
/// reason.
fn local(uri: &Uri) -> Option<Uri> {
    let text = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    format!("/{}", text.trim_start_matches('/')).parse().ok()
}

fn failure(path: &str, error: &io::Error) -> Response<Body> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied => {
            response::error(StatusCode::NOT_FOUND)
        }
        _ => {
            debug!(path, %error, "cannot read a file");
            response::error(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_local_address_names_no_host(uri in "(http://[a-z]{1,5})?[/a%2f.]{0,10}(\\?[a/]{0,3})?") {
            if let Ok(uri) = uri.parse::<Uri>()
                && let Some(local) = local(&uri)
            {
                prop_assert!(local.host().is_none());
                prop_assert!(!local.to_string().starts_with("//"), "{uri} is {local}");
                prop_assert_eq!(local.query(), uri.query());
            }
        }
    }
}
