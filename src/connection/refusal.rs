//! Why a client with a right handshake gets no session: what it is told, and what the log is.
//!
//! A client learns no more than it needs; the log has the reason, and never a token.

use std::borrow::Cow;

use http::{HeaderMap, Request, StatusCode, header};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::access::Denied;
use crate::access::forwarded::ForwardedError;
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
use crate::websocket::codec::TextFrames;
use crate::websocket::encoder;
use crate::websocket::handshake::Upgrade;

/// Why a client with a right handshake gets no session.
#[derive(Debug)]
pub(super) enum Refusal {
    Access(Denied),
    Forwarded(ForwardedError),
    Dial { target: Target, token: Option<TokenName>, error: DialError },
    OutOfOrder,
    Resolve(ResolveError),
    TooManyFromAddress,
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self::Access(denied)
    }
}

impl From<ForwardedError> for Refusal {
    fn from(error: ForwardedError) -> Self {
        Self::Forwarded(error)
    }
}

impl From<ResolveError> for Refusal {
    fn from(error: ResolveError) -> Self {
        Self::Resolve(error)
    }
}

impl Refusal {
    /// As far as the quota allows: whoever likes can be refused, as fast as they like.
    pub(super) fn log(&self, id: SessionId, peer: Peer, site: &Site) {
        if let Self::Access(denied) = self {
            return log_denied(denied, Some(id), peer, site);
        }
        let Some(unlogged) = site.quotas.admit(self.kind(), Instant::now().into_std()) else { return };
        let unlogged = (unlogged > 0).then_some(unlogged);
        let route = &site.name;
        match self {
            Self::Access(_) => {}
            Self::Dial { target, token, error } => log_dial_error(id, peer, site, (target, *token), error, unlogged),
            Self::Resolve(error) => log_resolve_error(id, peer, site, error, &self.reason(), unlogged),
            Self::Forwarded(error) => {
                let kind = Kind::ProxyDisbelieved.id();
                warn!(kind, session = %id, client = %peer, route, unlogged, "refused: {error}");
            }
            Self::OutOfOrder => {
                let kind = Kind::OutOfOrder.id();
                info!(kind, session = %id, client = %peer, route, unlogged, "refused: {}", self.reason());
            }
            Self::TooManyFromAddress => {
                let kind = Kind::AddressFull.id();
                info!(kind, session = %id, client = %peer, route, unlogged, "refused: {}", self.reason());
            }
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Access(denied) => denied.kind(),
            Self::Forwarded(_) => Kind::ProxyDisbelieved,
            Self::Dial { error: DialError::NotAllowed(_), .. } => Kind::TargetNotAllowed,
            Self::Dial { .. } => Kind::TargetUnreachable,
            Self::OutOfOrder => Kind::OutOfOrder,
            Self::Resolve(ResolveError::Token { source: LookupError::Source(_), .. }) => Kind::TokenSourceFailed,
            Self::Resolve(_) => Kind::TokenRefused,
            Self::TooManyFromAddress => Kind::AddressFull,
        }
    }

    /// What the client is told.
    pub(super) fn reason(&self) -> Cow<'static, str> {
        let reason = match self {
            Self::Access(denied) => return denied.reason().into(),
            Self::Dial { error: DialError::NotAllowed(_), .. } => "This target is not allowed",
            Self::Dial { .. } => "Failed to connect to downstream server",
            Self::Forwarded(_) => "The proxy does not say in a readable way who asks",
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
        };
        reason.into()
    }

    fn close_code(&self) -> CloseCode {
        match self {
            Self::Access(denied) if denied.status() == StatusCode::SERVICE_UNAVAILABLE => CloseCode::TRY_AGAIN_LATER,
            Self::Access(_) | Self::Forwarded(_) | Self::Dial { error: DialError::NotAllowed(_), .. } => {
                CloseCode::POLICY_VIOLATION
            }
            Self::Dial { .. } => CloseCode::INTERNAL_ERROR,
            Self::OutOfOrder
            | Self::TooManyFromAddress
            | Self::Resolve(ResolveError::Token { source: LookupError::Source(_), .. }) => CloseCode::TRY_AGAIN_LATER,
            Self::Resolve(_) => CloseCode::POLICY_VIOLATION,
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Access(denied) => denied.status(),
            Self::Dial { error: DialError::NotAllowed(_), .. } => StatusCode::FORBIDDEN,
            Self::Dial { error: DialError::TimedOut(_), .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Dial { .. } => StatusCode::BAD_GATEWAY,
            Self::Forwarded(_) | Self::Resolve(ResolveError::NoToken(_)) => StatusCode::BAD_REQUEST,
            Self::Resolve(ResolveError::Token { source, .. }) => match source {
                LookupError::Unknown | LookupError::Invalid(_) => StatusCode::NOT_FOUND,
                LookupError::Expired | LookupError::TooEarly => StatusCode::FORBIDDEN,
                LookupError::Source(_) => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::OutOfOrder | Self::TooManyFromAddress => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A browser, known by its Origin, shows the HTTP status of a failed upgrade to nobody, only a Close frame: it gets
    /// the 101 and then the reason. Others get the status; so do the old versions, whose Close says nothing, and whoever is
    /// asked for a password: a browser that knows one sends it at a 401 only, and tries again by itself.
    pub(super) async fn answer(
        &self,
        client: &mut Stream,
        id: SessionId,
        site: &Site,
        request: &Request<()>,
        upgrade: &Upgrade,
    ) {
        let challenges = site.access.challenges();
        let (is_question, headers) = match self {
            Self::Access(denied) => (denied.is_question(challenges), denied.headers(challenges)),
            _ => (false, HeaderMap::new()),
        };
        let reason = format!("{} (session {id})", self.reason());
        let shows_close = upgrade.protocol(TextFrames::Refuse).has_close_codes();
        if shows_close && !is_question && request.headers().contains_key(header::ORIGIN) {
            let mut answer = upgrade.answer().to_vec();
            encoder::close(&mut answer, Some(&Close::new(self.close_code(), reason)));
            farewell(client, &answer).await;
        } else {
            refuse(client, self.status(), &reason, headers).await;
        }
    }
}

/// Why a client may not have a session, or a page where there is none. That a browser's first request shows nothing is how
/// it learns that it should: of pages that is for those who look for it.
pub(super) fn log_denied(denied: &Denied, session: Option<SessionId>, peer: Peer, site: &Site) {
    let (route, session) = (&site.name, session.map(tracing::field::display));
    if matches!(denied, Denied::Missing) && session.is_none() {
        return debug!(client = %peer, route, "a page was refused: {denied}");
    }
    let Some(unlogged) = site.quotas.admit(denied.kind(), Instant::now().into_std()) else { return };
    let unlogged = (unlogged > 0).then_some(unlogged);
    let error = std::error::Error::source(denied);
    match denied {
        Denied::Address | Denied::AddressDenied | Denied::NoProxy => {
            let kind = Kind::ClientDenied.id();
            info!(kind, session, client = %peer, route, unlogged, "refused: {denied}");
        }
        Denied::Certificate(_) => {
            let kind = Kind::CertificateRefused.id();
            info!(kind, session, client = %peer, route, unlogged, "refused: {denied}");
        }
        Denied::Busy | Denied::Unknown(_) => {
            let kind = Kind::AccessUnknown.id();
            warn!(kind, session, client = %peer, route, error, unlogged, "refused: {denied}");
        }
        Denied::TooManyFailures(_) => {
            let kind = Kind::AddressBlocked.id();
            warn!(kind, session, client = %peer, route, unlogged, "refused: {denied}");
        }
        Denied::Password { user } => {
            let (kind, user) = (Kind::AccessRefused.id(), user.as_ref());
            warn!(kind, session, client = %peer, route, user, unlogged, "refused: {denied}");
        }
        Denied::Origin(_) | Denied::Token(_) => {
            let kind = Kind::AccessRefused.id();
            warn!(kind, session, client = %peer, route, error, unlogged, "refused: {denied}");
        }
        Denied::Malformed | Denied::Missing | Denied::Service { .. } => {
            let kind = Kind::AccessRefused.id();
            info!(kind, session, client = %peer, route, unlogged, "refused: {denied}");
        }
    }
}

fn log_dial_error(
    id: SessionId,
    peer: Peer,
    site: &Site,
    to: (&Target, Option<TokenName>),
    error: &DialError,
    unlogged: Option<u64>,
) {
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
            unlogged,
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
        unlogged,
        "refused: {error}{}",
        hint(site)
    );
}

fn log_resolve_error(
    id: SessionId,
    peer: Peer,
    site: &Site,
    error: &ResolveError,
    reason: &str,
    unlogged: Option<u64>,
) {
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
            unlogged,
            "refused: the token source cannot say what the token stands for{}",
            hint(site)
        );
    }
    let why = match error {
        ResolveError::Token { source: LookupError::Invalid(why), .. } => Some(why),
        _ => None,
    };
    let kind = Kind::TokenRefused.id();
    info!(kind, session = %id, client = %peer, route, token, why, unlogged, "refused: {reason}");
}

/// The unit may be why nothing answers: its sandbox lets through what the route's file said when the unit was made.
fn hint(site: &Site) -> String {
    site.target_excluded.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default()
}
