//! Another service decides: it is asked about each client by a request of its own, as nginx's `auth_request` and Traefik's
//! `ForwardAuth` do.
//!
//! Promise: bounded in time and size, and no redirect is followed. 2xx lets in, 401 and 403 do not, and all else means that
//! the service cannot say. The service sees the method, the URI and the address under the names that both of those use, and
//! the headers that the route lists; of its answer two headers are looked at, if the route names them. What a client sends
//! under such a name goes nowhere.

use std::time::Duration;

use http::header::{HOST, HeaderName, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use super::Proved;
use super::attempt::Attempt;
use super::denied::Denied;
use crate::target::Target;
use crate::target::source::http::{Url, exchange};
use crate::target::source::service::{Address, Service};
use crate::target::source::{AnswerError, SourceError};

/// Whom to ask, and what about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it is.
    pub address: Address,
    /// What is asked for.
    pub url: Url,
    /// Headers of the client that it sees.
    pub headers: Vec<HeaderName>,
    /// The header of its answer that names the user; None: it names none.
    pub user_header: Option<HeaderName>,
    /// The header of its answer that names the target; None: the route does.
    pub target_header: Option<HeaderName>,
    /// How long it may take.
    pub timeout: Duration,
}

/// The service, in use.
#[derive(Debug)]
pub(super) struct Forward {
    service: Service,
    settings: Settings,
}

impl Forward {
    /// Loads what its certificate is judged by.
    pub(super) fn open(settings: &Settings) -> Result<Self, SourceError> {
        Ok(Self { service: Service::open(&settings.address)?, settings: settings.clone() })
    }

    /// What the service says of `request`.
    pub(super) async fn prove(&self, request: &Request<()>, attempt: &Attempt<'_>) -> Result<Proved, Denied> {
        let limit = self.settings.timeout.min(attempt.deadline.saturating_duration_since(Instant::now()));
        let asked = timeout(limit, async {
            let question = self.question(request, attempt)?;
            let wire = self.service.connect(limit).await?;
            // The body says nothing, and is not waited for.
            exchange(wire, question, async |answer: Response<Incoming>| Ok(answer.map(drop))).await
        });
        let answer = asked.await.unwrap_or(Err(SourceError::TimedOut(limit))).map_err(Denied::Unknown)?;
        match answer.status() {
            status if status.is_success() => self.proved(&answer).map_err(Denied::Unknown),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                let challenges = answer.headers().get_all(WWW_AUTHENTICATE).iter().cloned().collect();
                Err(Denied::Service { status, challenges })
            }
            status => Err(Denied::Unknown(SourceError::Status { status })),
        }
    }

    fn question(
        &self,
        request: &Request<()>,
        attempt: &Attempt<'_>,
    ) -> Result<Request<Empty<bytes::Bytes>>, SourceError> {
        let Settings { url, headers, .. } = &self.settings;
        let method = request.method().as_str();
        let mut question = url.get(url.path());
        let scheme = if attempt.caller.is_encrypted { "https" } else { "http" };
        let uri = request.uri().path_and_query().map_or("/", |uri| uri.as_str());
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        question = question
            .header("X-Original-Method", method)
            .header("X-Original-URI", uri)
            .header("X-Original-URL", format!("{scheme}://{host}{uri}"))
            .header("X-Forwarded-Method", method)
            .header("X-Forwarded-Proto", scheme)
            .header("X-Forwarded-Host", host)
            .header("X-Forwarded-Uri", uri);
        if let Some(address) = attempt.caller.peer.ip() {
            question = question.header("X-Forwarded-For", address.to_string()).header("X-Real-IP", address.to_string());
        }
        for name in headers {
            // What is said here is said by this program alone.
            let is_address = name == "x-forwarded-for" || name == "x-real-ip";
            if is_address || question.headers_ref().is_some_and(|said| said.contains_key(name)) {
                continue;
            }
            for value in request.headers().get_all(name) {
                question = question.header(name, value);
            }
        }
        question.body(Empty::new()).map_err(|_| SourceError::Request)
    }

    fn proved(&self, answer: &Response<()>) -> Result<Proved, SourceError> {
        let named = |name: &Option<HeaderName>| {
            let value = answer.headers().get(name.as_ref()?)?;
            Some(String::from_utf8_lossy(value.as_bytes()).trim().to_owned()).filter(|value| !value.is_empty())
        };
        let mut proved = named(&self.settings.user_header).map_or_else(Proved::default, Proved::user);
        if let Some(target) = named(&self.settings.target_header) {
            proved.target = Some(Target::foreign(&target).map_err(AnswerError::from)?);
        }
        Ok(proved)
    }
}
