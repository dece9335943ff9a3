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
use super::grants::{self, Grants, Use};
use super::lease::Lease;
use super::leg::{self, Leg};
use super::source::recheck::Rechecks;
use super::source::{self, Found, LookupError, Source, SourceError};
use super::token::{self, NoToken, Token, TokenName};
use super::{Settings, Target};
use crate::access::Admitted;
use crate::program::Place;
use crate::tls::TlsError;

/// How tokens are found and looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Where they are looked up. None: only those that are granted are good.
    pub source: Option<source::Settings>,
    /// Where in a request they stand; the first that holds one counts. Never empty.
    pub from: Vec<token::Place>,
    /// How long a lookup may take.
    pub timeout: Duration,
    /// Whether a session ends when its token does, and how often the source is asked about that.
    pub end_sessions: Option<Duration>,
    /// Whether this process makes tokens of its own.
    pub grants: Option<grants::Settings>,
}

/// The targets of a route in service.
#[derive(Debug)]
pub struct Targets {
    way: Way,
    reach: Reach,
    /// Of granted tokens: whoever grants them may as well write the route.
    granted_reach: Reach,
    leg: Leg,
    /// As a log names them.
    name: String,
}

#[derive(Debug)]
enum Way {
    Fixed(Target),
    ByToken {
        source: Option<Arc<Source>>,
        grants: Option<(grants::Settings, Arc<Grants>)>,
        from: Vec<token::Place>,
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
    /// What is spent when it begins. None: its token was not granted here.
    pub granted: Option<Use>,
}

/// Why targets cannot be put into service.
#[derive(Debug, thiserror::Error)]
pub enum TargetsError {
    /// Tokens cannot be looked up.
    #[error(transparent)]
    Source(SourceError),
    /// What TLS with them needs is not there.
    #[error("TLS with the targets is not usable")]
    Tls(#[source] TlsError),
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
    /// Loads what the settings name. `allowed` is the list of the route, if it has one; `granted` are the grants that it has
    /// already. The texts say what is wrong with the source, and does not keep it from being used.
    pub fn open(
        settings: &Settings,
        allowed: Option<&AllowedTargets>,
        granted: Arc<Grants>,
        leg: &leg::Settings,
    ) -> Result<(Self, Vec<String>), TargetsError> {
        let mut problems = Vec::new();
        let (way, reach) = match settings {
            // Whoever opens the route has put the program's place here; without one, nobody answers.
            Settings::Program => (Way::Fixed(Target::Program(Place::fixed(None))), Reach::Everything),
            Settings::Fixed(target) => (Way::Fixed(target.clone()), Reach::Everything),
            Settings::ByToken(tokens) => {
                let Tokens { source, from, timeout, end_sessions, grants } = tokens.as_ref();
                let mut opened = None;
                if let Some(source) = source {
                    let (source, found) = Source::open(source).map_err(TargetsError::Source)?;
                    problems = found;
                    opened = Some(Arc::new(source));
                }
                let rechecks = opened.as_ref().zip(*end_sessions);
                let rechecks = rechecks.map(|(source, interval)| Rechecks::new(Arc::clone(source), interval, *timeout));
                let grants = grants.clone().map(|settings| (settings, granted));
                let reach = source.as_ref().map_or(Reach::Everything, source::Settings::reach);
                (Way::ByToken { source: opened, grants, from: from.clone(), timeout: *timeout, rechecks }, reach)
            }
        };
        let granted_reach = allowed.cloned().map_or(Reach::Everything, Reach::Listed);
        let reach = allowed.cloned().map_or(reach, Reach::Listed);
        let leg = Leg::open(leg).map_err(TargetsError::Tls)?;
        Ok((Self { way, reach, granted_reach, leg, name: settings.to_string() }, problems))
    }

    /// Where the session goes that an admitted client asks for, before `deadline`.
    pub async fn resolve(
        &self,
        admitted: &Admitted,
        request: &Request<()>,
        deadline: Instant,
    ) -> Result<Resolved, ResolveError> {
        if let Some(target) = admitted.target() {
            let target = self.leg.target(target.clone());
            return Ok(Resolved { target, token: None, lease: Lease::default(), granted: None });
        }
        let (source, grants, from, timeout, rechecks) = match &self.way {
            Way::Fixed(target) => {
                return Ok(Resolved { target: target.clone(), token: None, lease: Lease::default(), granted: None });
            }
            Way::ByToken { source, grants, from, timeout, rechecks } => (source, grants, from, *timeout, rechecks),
        };
        let token = Token::of(request, from).map_err(ResolveError::NoToken)?;
        let name = token.name();
        let (who, now) = (admitted.who(), Instant::now().into_std());
        let granted = grants.as_ref().and_then(|(_, grants)| grants.set_aside(&token, who, now));
        if let Some(granted) = granted {
            let target = self.leg.target(granted.target().clone());
            return Ok(Resolved { target, token: Some(name), lease: Lease::default(), granted: Some(granted) });
        }
        let refused = |source| ResolveError::Token { token: name, source };
        let Some(source) = source else { return Err(refused(LookupError::Unknown)) };
        let limit = timeout.min(deadline.saturating_duration_since(Instant::now()));
        let Found { target, until } = source.look_up(&token, limit).await.map_err(refused)?;
        let target = self.leg.target(target);
        let lease = match rechecks {
            None => Lease::default(),
            Some(rechecks) if until.is_none() => Lease::held(rechecks.hold(token)),
            Some(_) => Lease::default().up_to(until),
        };
        Ok(Resolved { target, token: Some(name), lease, granted: None })
    }

    /// The grants of the route, and how they are set up. None: it has none.
    pub fn grants(&self) -> Option<(&grants::Settings, &Arc<Grants>)> {
        match &self.way {
            Way::ByToken { grants: Some((settings, grants)), .. } => Some((settings, grants)),
            Way::ByToken { .. } | Way::Fixed(_) => None,
        }
    }

    /// What targets of granted tokens may be.
    pub fn granted_reach(&self) -> &Reach {
        &self.granted_reach
    }

    /// What the target of a session may be.
    pub fn reach(&self, granted: Option<&Use>) -> &Reach {
        if granted.is_some() { &self.granted_reach } else { &self.reach }
    }

    /// The way to them.
    pub fn leg(&self) -> &Leg {
        &self.leg
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
