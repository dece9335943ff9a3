//! Why a client may not have a session, or a page: what it is told, and how.
//!
//! A client learns no more than it needs: not whether it was the name or the password. The log has the rest, but never what
//! was shown.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::certificate::CertificateDenied;
use super::limiter::Wait;
use super::origin::OriginError;
use crate::log::Kind;
use crate::target::source::{LookupError, SourceError};

/// Why a client may not have a session, or a page.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// By where it comes from.
    #[error("not among access.allow-clients")]
    Address,
    /// By where it comes from, and somebody has said so of just that.
    #[error("among access.deny-clients")]
    AddressDenied,
    /// By where it comes from, which is no proxy.
    #[error("not among access.trusted-proxies, and access.proxy-protocol is \"required\"")]
    NoProxy,
    /// By its certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateDenied),
    /// More hashes are to be verified than can be in time.
    #[error("too many passwords are being checked")]
    Busy,
    /// What it shows is no user and password.
    #[error("what it shows is no user and password")]
    Malformed,
    /// It shows nothing of what it could.
    #[error("it shows no user and password, or token")]
    Missing,
    /// The page that it acts for.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// Its user or password.
    #[error("its user or password is wrong")]
    Password {
        /// A user, if there is one of that name.
        user: Option<String>,
    },
    /// The service that was asked said no.
    #[error("access.forward-auth says no ({status})")]
    Service {
        /// 401 or 403.
        status: StatusCode,
        /// What it wants to be shown.
        challenges: Vec<HeaderValue>,
    },
    /// Its bearer token.
    #[error("its bearer token is not accepted")]
    Token(#[source] LookupError),
    /// It, or its neighbours, were wrong too often.
    #[error("its address was wrong too often")]
    TooManyFailures(Wait),
    /// The service that was asked could not say.
    #[error("access.forward-auth cannot say")]
    Unknown(#[source] SourceError),
}

impl Denied {
    /// What kind of record tells of it.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Address | Self::AddressDenied | Self::NoProxy => Kind::ClientDenied,
            Self::Certificate(_) => Kind::CertificateRefused,
            Self::Busy | Self::Unknown(_) => Kind::AccessUnknown,
            Self::TooManyFailures(_) => Kind::AddressBlocked,
            _ => Kind::AccessRefused,
        }
    }

    /// What the client is told.
    pub(crate) fn reason(&self) -> String {
        let reason = match self {
            Self::Address | Self::AddressDenied | Self::NoProxy => "Your address may not connect",
            Self::Busy | Self::Unknown(_) => "Who you are cannot be found out now, try again later",
            Self::Certificate(CertificateDenied::NotAllowed { .. }) => "Your certificate is not allowed here",
            Self::Certificate(_) => "A client certificate is needed",
            Self::Malformed => "What you show is no user and password",
            Self::Missing => "Log in first",
            Self::Origin(_) => "This page may not connect here",
            Self::Password { .. } => "The user or the password is wrong",
            Self::Service { .. } => "You may not connect",
            Self::Token(LookupError::Expired) => "Your login has expired",
            Self::Token(_) => "Your login is not valid",
            Self::TooManyFailures(Wait { left }) => {
                return format!("Too many failures from your address, wait {}s", seconds(*left));
            }
        };
        reason.to_owned()
    }

    /// The status of an HTTP answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Address
            | Self::AddressDenied
            | Self::Certificate(_)
            | Self::Malformed
            | Self::NoProxy
            | Self::Origin(_) => StatusCode::FORBIDDEN,
            Self::Busy | Self::Unknown(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Missing | Self::Password { .. } | Self::Token(_) => StatusCode::UNAUTHORIZED,
            Self::Service { status, .. } => *status,
            Self::TooManyFailures(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The headers of an HTTP answer: what would have been right (`challenges` of the route), or when to come back.
    pub(crate) fn headers(&self, challenges: &[HeaderValue]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let challenges = match self {
            Self::Service { challenges, .. } => challenges,
            _ if self.status() == StatusCode::UNAUTHORIZED => challenges,
            _ => &[][..],
        };
        for challenge in challenges {
            headers.append(header::WWW_AUTHENTICATE, challenge.clone());
        }
        if let Self::TooManyFailures(Wait { left }) = self {
            headers.insert(header::RETRY_AFTER, seconds(*left).into());
        }
        headers
    }

    /// Whether the answer asks for something that a browser may have, and sends only when it is asked. It gets the HTTP
    /// status then: in a Close frame it would not see the question.
    pub(crate) fn is_question(&self, challenges: &[HeaderValue]) -> bool {
        match self {
            Self::Missing => !challenges.is_empty(),
            Self::Service { challenges, .. } => !challenges.is_empty(),
            _ => false,
        }
    }

    /// Which of two reasons says more: that something was wrong, and not that nothing was there.
    pub(super) fn or(self, other: Self) -> Self {
        let weight = |denied: &Self| match denied {
            // It asks for nothing, so that who could show something else would not be asked for that either.
            Self::Service { challenges, .. } if challenges.is_empty() => 0,
            Self::Missing => 1,
            Self::Malformed => 2,
            Self::Service { .. } => 3,
            Self::Unknown(_) | Self::Busy => 4,
            _ => 5,
        };
        if weight(&other) > weight(&self) { other } else { self }
    }
}

/// Rounded up: whoever comes back then is not told again.
fn seconds(left: Duration) -> u64 {
    left.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}
