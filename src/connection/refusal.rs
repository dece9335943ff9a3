//! Why a client with a right handshake gets no session: what it is told, and what the log is.
//!
//! A client learns no more than it needs; the log has the reason, and never a token.

use http::{HeaderMap, Request, StatusCode, header};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::http::{farewell, refuse};
use crate::log::Kind;
use crate::server::site::Site;
use crate::session::SessionId;
use crate::socket::Peer;
use crate::target::Target;
use crate::target::dial::DialError;
use crate::target::source::LookupError;
use crate::target::targets::ResolveError;
use crate::target::token::{NoToken, TokenName};
use crate::tls::Stream;
use crate::websocket::close::{Close, CloseCode};
use crate::websocket::encoder;
use crate::websocket::handshake::Upgrade;

/// Why a client with a right handshake gets no session.
#[derive(Debug)]
pub(super) enum Refusal {
    Dial { target: Target, token: Option<TokenName>, error: DialError },
    OutOfOrder,
    Resolve(ResolveError),
    TooManyFromAddress,
}

impl From<ResolveError> for Refusal {
    fn from(error: ResolveError) -> Self {
        Self::Resolve(error)
    }
}

impl Refusal {
    pub(super) fn log(&self, id: SessionId, peer: Peer, site: &Site) {
        match self {
            Self::Dial { target, token, error } => log_dial_error(id, peer, site, (target, *token), error),
            Self::Resolve(error) => log_resolve_error(id, peer, site, error, self.reason()),
            Self::OutOfOrder => {
                let kind = Kind::OutOfOrder.id();
                info!(kind, session = %id, client = %peer, route = site.name, "refused: {}", self.reason());
            }
            Self::TooManyFromAddress => {
                let kind = Kind::AddressFull.id();
                info!(kind, session = %id, client = %peer, route = site.name, "refused: {}", self.reason());
            }
        }
    }

    /// What the client is told.
    fn reason(&self) -> &'static str {
        match self {
            Self::Dial { error: DialError::NotAllowed(_), .. } => "This target is not allowed",
            Self::Dial { .. } => "Failed to connect to downstream server",
            Self::OutOfOrder => "This route is out of order: its configuration is broken",
            Self::Resolve(ResolveError::NoToken(NoToken::Missing)) => "There is no token in the request",
            Self::Resolve(ResolveError::NoToken(NoToken::Malformed)) => "The token is malformed",
            Self::Resolve(ResolveError::Token { source: LookupError::Expired, .. }) => "The token has expired",
            Self::Resolve(ResolveError::Token { source: LookupError::TooEarly, .. }) => "The token is not valid yet",
            Self::Resolve(ResolveError::Token { source: LookupError::Unknown | LookupError::Invalid(_), .. }) => {
                "Unknown token"
            }
            Self::Resolve(ResolveError::Token { source: LookupError::Source(_), .. }) => {
                "The token cannot be looked up now, try again later"
            }
            Self::TooManyFromAddress => "Too many connections from your address",
        }
    }

    fn close_code(&self) -> CloseCode {
        match self {
            Self::Dial { error: DialError::NotAllowed(_), .. } => CloseCode::POLICY_VIOLATION,
            Self::Dial { .. } => CloseCode::INTERNAL_ERROR,
            Self::OutOfOrder
            | Self::TooManyFromAddress
            | Self::Resolve(ResolveError::Token { source: LookupError::Source(_), .. }) => CloseCode::TRY_AGAIN_LATER,
            Self::Resolve(_) => CloseCode::POLICY_VIOLATION,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Dial { error: DialError::NotAllowed(_), .. } => StatusCode::FORBIDDEN,
            Self::Dial { error: DialError::TimedOut(_), .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Dial { .. } => StatusCode::BAD_GATEWAY,
            Self::Resolve(ResolveError::NoToken(_)) => StatusCode::BAD_REQUEST,
            Self::Resolve(ResolveError::Token { source, .. }) => match source {
                LookupError::Unknown | LookupError::Invalid(_) => StatusCode::NOT_FOUND,
                LookupError::Expired | LookupError::TooEarly => StatusCode::FORBIDDEN,
                LookupError::Source(_) => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::OutOfOrder | Self::TooManyFromAddress => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A browser, known by its Origin, shows the HTTP status of a failed upgrade to nobody, only a Close frame: it gets
    /// the 101 and then the reason. Others get the status.
    pub(super) async fn answer(&self, client: &mut Stream, id: SessionId, request: &Request<()>, upgrade: &Upgrade) {
        let reason = format!("{} (session {id})", self.reason());
        if request.headers().contains_key(header::ORIGIN) {
            let mut answer = upgrade.answer();
            encoder::close(&mut answer, Some(&Close::new(self.close_code(), reason)));
            farewell(client, &answer).await;
        } else {
            refuse(client, self.status(), &reason, HeaderMap::new()).await;
        }
    }
}

fn log_dial_error(id: SessionId, peer: Peer, site: &Site, to: (&Target, Option<TokenName>), error: &DialError) {
    let (target, token) = (to.0, to.1.map(tracing::field::display));
    let route = &site.name;
    if let DialError::NotAllowed(_) = error {
        return warn!(
            kind = Kind::TargetNotAllowed.id(),
            session = %id,
            client = %peer,
            %target,
            route,
            token,
            "refused: {error}"
        );
    }
    let cause = std::error::Error::source(error).map(tracing::field::display);
    warn!(
        kind = Kind::TargetUnreachable.id(),
        session = %id,
        client = %peer,
        %target,
        route,
        token,
        cause,
        "refused: {error}"
    );
}

/// Guesses are told at a bounded pace: anybody can make them, as fast as they like.
fn log_resolve_error(id: SessionId, peer: Peer, site: &Site, error: &ResolveError, reason: &str) {
    let Some(held_back) = site.refused_tokens.lets_through(Instant::now().into_std()) else {
        return debug!(session = %id, client = %peer, route = site.name, "refused: {reason}");
    };
    let held_back = (held_back > 0).then_some(held_back);
    let (token, route) = (error.token().map(tracing::field::display), &site.name);
    if let ResolveError::Token { source: LookupError::Source(source), .. } = error {
        return warn!(
            kind = Kind::TokenSourceFailed.id(),
            session = %id,
            client = %peer,
            route,
            token,
            source = %site.service,
            error = source as &dyn std::error::Error,
            held_back,
            "refused: the token source cannot say what the token stands for"
        );
    }
    let why = match error {
        ResolveError::Token { source: LookupError::Invalid(why), .. } => Some(why),
        _ => None,
    };
    let kind = Kind::TokenRefused.id();
    info!(kind, session = %id, client = %peer, route, token, why, held_back, "refused: {reason}");
}
