//! Where a session goes: the one target of its route, or what its token stands for.
//!
//! Promise: nothing is looked up for a client that was not admitted, by type; and what a token stands for may be connected
//! to only within the route's [`Reach`], which [`dial`](super::dial::dial()) asks about the very address that it connects to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use tokio::time::Instant;

use super::allow::{AllowedTargets, Reach};
use super::lease::Lease;
use super::source::recheck::Rechecks;
use super::source::{self, Found, LookupError, Source, SourceError};
use super::token::{NoToken, Place, Token, TokenName};
use super::{Settings, Target};
use crate::access::Admitted;

/// How tokens are found and looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Where they are looked up.
    pub source: source::Settings,
    /// Where in a request they stand; the first that holds one counts. Never empty.
    pub from: Vec<Place>,
    /// How long a lookup may take.
    pub timeout: Duration,
    /// Whether a session ends when its token does, and how often the source is asked about that.
    pub end_sessions: Option<Duration>,
}

/// The targets of a route in service.
#[derive(Debug)]
pub struct Targets {
    way: Way,
    reach: Reach,
    /// As a log names them.
    name: String,
}

#[derive(Debug)]
enum Way {
    Fixed(Target),
    ByToken {
        source: Arc<Source>,
        from: Vec<Place>,
        timeout: Duration,
        /// None: sessions outlive their tokens.
        rechecks: Option<Arc<Rechecks>>,
    },
}

/// Where one session goes.
#[derive(Debug)]
pub struct Resolved {
    /// Where.
    pub target: Target,
    /// By which token. None: the route has one target.
    pub token: Option<TokenName>,
    /// How long the session may live.
    pub lease: Lease,
}

/// Why a session goes nowhere.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// No token was shown.
    #[error(transparent)]
    NoToken(NoToken),
    /// A token was, and stands for nothing.
    #[error("the token {token} leads nowhere")]
    Token {
        /// Which.
        token: TokenName,
        /// Why.
        source: LookupError,
    },
}

impl ResolveError {
    /// The token that was shown, as a log may name it.
    pub fn token(&self) -> Option<TokenName> {
        match self {
            Self::NoToken(_) => None,
            Self::Token { token, .. } => Some(*token),
        }
    }

    /// The token, if whoever showed it may be guessing.
    pub fn guess(&self) -> Option<TokenName> {
        match self {
            Self::Token { token, source: LookupError::Unknown | LookupError::Invalid(_) } => Some(*token),
            _ => None,
        }
    }
}

impl Targets {
    /// Loads what the settings name. `allowed` is the list of the route, if it has one. The texts say what is wrong with the
    /// source, and does not keep it from being used.
    pub fn open(settings: &Settings, allowed: Option<&AllowedTargets>) -> Result<(Self, Vec<String>), SourceError> {
        let mut problems = Vec::new();
        let (way, reach) = match settings {
            Settings::Program => (Way::Fixed(Target::Unix("/dev/null".into())), Reach::Everything),
            Settings::Fixed(target) => (Way::Fixed(target.clone()), Reach::Everything),
            Settings::ByToken(tokens) => {
                let Tokens { source, from, timeout, end_sessions } = tokens.as_ref();
                let (opened, found) = Source::open(source)?;
                problems = found;
                let opened = Arc::new(opened);
                let rechecks = end_sessions.map(|interval| Rechecks::new(Arc::clone(&opened), interval, *timeout));
                (Way::ByToken { source: opened, from: from.clone(), timeout: *timeout, rechecks }, source.reach())
            }
        };
        let reach = allowed.cloned().map_or(reach, Reach::Listed);
        Ok((Self { way, reach, name: settings.to_string() }, problems))
    }

    /// Where the session goes that an admitted client asks for, before `deadline`.
    pub async fn resolve(
        &self,
        admitted: &Admitted,
        request: &Request<()>,
        deadline: Instant,
    ) -> Result<Resolved, ResolveError> {
        if let Some(target) = admitted.target() {
            return Ok(Resolved { target: target.clone(), token: None, lease: Lease::default() });
        }
        let (source, from, timeout, rechecks) = match &self.way {
            Way::Fixed(target) => {
                return Ok(Resolved { target: target.clone(), token: None, lease: Lease::default() });
            }
            Way::ByToken { source, from, timeout, rechecks } => (source, from, *timeout, rechecks),
        };
        let token = Token::of(request, from).map_err(ResolveError::NoToken)?;
        let limit = timeout.min(deadline.saturating_duration_since(Instant::now()));
        match source.look_up(&token, limit).await {
            Ok(Found { target, until }) => {
                let name = token.name();
                let lease = match rechecks {
                    None => Lease::default(),
                    Some(rechecks) if until.is_none() => Lease::held(rechecks.hold(token)),
                    Some(_) => Lease::default().up_to(until),
                };
                Ok(Resolved { target, token: Some(name), lease })
            }
            Err(source) => Err(ResolveError::Token { token: token.name(), source }),
        }
    }

    /// What the targets may be.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
