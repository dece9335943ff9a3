//! Where a token is looked up: files, directories, an HTTP service, the token itself, Redis.
//!
//! Promise: a lookup tells "unknown" from "the source cannot say", and none takes longer than it may. No error holds a
//! token: it may be logged as it is.

pub mod answer;
pub mod directory;
pub mod followed;
pub mod http;
pub mod jwt;
pub mod recheck;
pub mod redis;
pub mod resp;
pub mod service;
pub mod table;
pub mod table_files;
mod text;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ::http::StatusCode;
use tokio::time::{sleep, timeout};

use super::Target;
use super::allow::Reach;
use super::dial::DialError;
use super::token::Token;
use crate::tls::client::ConnectError;
use crate::tls::{Pem, TlsError};
pub use answer::AnswerError;
use directory::{Names, Sockets};
use http::Http;
use jwt::{Jwt, JwtKeyError};
use redis::Redis;
use resp::RespError;
use table_files::TableFiles;
pub use text::{SourceText, SourceTextError};

/// Between two questions to a source that is asked about one token after the other.
const PAUSE: Duration = Duration::from_millis(20);

/// A source that failed so often in a row is left alone until the next time.
const FAILURES_MAX: u32 = 3;

/// Which source a route has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    /// A file of lines `token: target`, or a directory of such files.
    File(PathBuf),
    /// A directory with a file for each token, which holds its target.
    Names(PathBuf),
    /// A directory of sockets, by their names.
    Sockets(PathBuf),
    /// A service that is asked by HTTP.
    Http(http::Settings),
    /// The token itself, by this key.
    Jwt(Pem),
    /// A Redis server.
    Redis(redis::Settings),
}

/// A source in service.
#[derive(Debug)]
pub enum Source {
    /// See [`Settings::File`].
    File(TableFiles),
    /// See [`Settings::Names`].
    Names(Names),
    /// See [`Settings::Sockets`].
    Sockets(Sockets),
    /// See [`Settings::Http`].
    Http(Box<Http>),
    /// See [`Settings::Jwt`].
    Jwt(Box<Jwt>),
    /// See [`Settings::Redis`].
    Redis(Box<Redis>),
}

/// What a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The target.
    pub target: Target,
    /// When the token ends. None: it does not say.
    pub until: Option<SystemTime>,
}

/// Why a token stands for nothing.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The source does not know it.
    #[error("the token is unknown")]
    Unknown,
    /// It was good, and is no more.
    #[error("the token has expired")]
    Expired,
    /// It will be good, and is not yet.
    #[error("the token is not valid yet")]
    TooEarly,
    /// It says of itself what is not so.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// The source could not say.
    #[error("the token source cannot say")]
    Source(#[from] SourceError),
}

/// What can be wrong with a source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It was asked, and said what is no target.
    #[error("what it says is no target")]
    Answer(#[from] AnswerError),
    /// An answer far longer than a target.
    #[error("the answer is longer than {0} bytes")]
    AnswerTooLarge(usize),
    /// There is nothing to judge its certificate by.
    #[error("its certificate cannot be judged")]
    Authorities(#[source] Box<TlsError>),
    /// It cannot be reached.
    #[error("it cannot be reached")]
    Connect(#[source] Box<DialError>),
    /// It does not speak HTTP, or broke off.
    #[error("no HTTP answer")]
    Http(#[source] hyper::Error),
    /// The key's file holds none.
    #[error("the key of its tokens cannot be used")]
    Key(#[source] JwtKeyError),
    /// A connection broke.
    #[error("the connection to it broke")]
    Lost(#[source] io::Error),
    /// It answered with an error.
    #[error("it answers: {0}")]
    Redis(String),
    /// No request can be made of the URL.
    #[error("no request can be made of its URL")]
    Request,
    /// It does not speak the protocol of Redis.
    #[error("it is no Redis server, or a broken one")]
    Resp(#[from] RespError),
    /// Its name cannot stand in a certificate.
    #[error("'{0}' is no name that a certificate could have")]
    ServerName(String),
    /// It answered with a status that says nothing of the token.
    #[error("it answers with the HTTP status {status}{}", redirect(*status))]
    Status {
        /// The status.
        status: StatusCode,
    },
    /// No TLS came about: most often, its certificate is not what it should be.
    #[error("no TLS with it")]
    Tls(#[source] ConnectError),
    /// A file or directory cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It took too long.
    #[error("no answer within {}", humantime::Duration::from(*.0))]
    TimedOut(Duration),
    /// A file is much too large for what it should be.
    #[error("{} is larger than {bytes_max} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
}

impl From<Target> for Found {
    fn from(target: Target) -> Self {
        Self { target, until: None }
    }
}

impl Settings {
    /// Where its targets may be, unless the route says more. Whoever may write the files of a source could as well write
    /// the route; a source that another program or machine fills may not lead back to this one.
    pub fn reach(&self) -> Reach {
        match self {
            Self::File(_) | Self::Names(_) | Self::Sockets(_) => Reach::Everything,
            Self::Http(_) | Self::Jwt(_) | Self::Redis(_) => Reach::OtherMachines,
        }
    }

    /// What of this machine's files is looked into for each token.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::Names(path) | Self::Sockets(path) => Some(path),
            Self::Http(_) | Self::Jwt(_) | Self::Redis(_) => None,
        }
    }

    /// The files that hold what is needed to ask or to believe it, each under its key in the table `[tokens]`.
    pub fn pems(&self) -> Vec<(&'static str, &Pem)> {
        let ca = self.address().and_then(service::Address::ca).map(|pem| ("tokens.ca", pem));
        match self {
            Self::Http(_) => ca.into_iter().collect(),
            Self::Jwt(key) => vec![("tokens.source", key)],
            Self::Redis(settings) => {
                let password = settings.password_file.as_ref().map(|pem| ("tokens.password", pem));
                ca.into_iter().chain(password).collect()
            }
            Self::File(_) | Self::Names(_) | Self::Sockets(_) => Vec::new(),
        }
    }

    /// The service that is asked; None: none is.
    pub fn address(&self) -> Option<&service::Address> {
        match self {
            Self::Http(settings) => Some(&settings.address),
            Self::Redis(settings) => Some(&settings.address),
            Self::File(_) | Self::Names(_) | Self::Sockets(_) | Self::Jwt(_) => None,
        }
    }
}

/// As it is written in a route's file, but for passwords.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Names(path) => write!(f, "names:{}", path.display()),
            Self::Sockets(path) => write!(f, "sockets:{}", path.display()),
            Self::Http(settings) => settings.url.fmt(f),
            Self::Jwt(Pem::File(path)) => write!(f, "jwt:{}", path.display()),
            Self::Jwt(Pem::Credential(name)) => write!(f, "jwt:credential:{name}"),
            Self::Redis(settings) => settings.fmt(f),
        }
    }
}

impl Source {
    /// Reads what is to be read before the first token comes. The texts say what of it cannot be used.
    pub fn open(settings: &Settings) -> Result<(Self, Vec<String>), SourceError> {
        let source = match settings {
            Settings::File(path) => {
                let (files, problems) = TableFiles::open(path)?;
                return Ok((Self::File(files), problems));
            }
            Settings::Names(path) => Self::Names(Names::open(path)?),
            Settings::Sockets(path) => Self::Sockets(Sockets::open(path)?),
            Settings::Http(settings) => Self::Http(Box::new(Http::open(settings)?)),
            Settings::Jwt(key) => Self::Jwt(Box::new(Jwt::open(&key.file()?)?)),
            Settings::Redis(settings) => Self::Redis(Box::new(Redis::open(settings)?)),
        };
        Ok((source, Vec::new()))
    }

    /// What `token` stands for, within `limit`.
    pub async fn look_up(&self, token: &Token, limit: Duration) -> Result<Found, LookupError> {
        let found = match self {
            // These two have something better than a failure when their disk hangs.
            Self::File(files) => return files.look_up(token, limit).await.map(Found::from),
            Self::Jwt(jwt) => return jwt.look_up(token, limit).await,
            Self::Names(names) => timeout(limit, names.look_up(token)).await,
            Self::Sockets(sockets) => timeout(limit, sockets.look_up(token)).await,
            Self::Http(http) => timeout(limit, http.look_up(token, limit)).await,
            Self::Redis(redis) => timeout(limit, redis.look_up(token, limit)).await,
        };
        found.unwrap_or_else(|_| Err(SourceError::TimedOut(limit).into())).map(Found::from)
    }

    /// Which of `tokens` the source knows no more. Those about which it cannot say count as known.
    pub async fn unknown_among(&self, tokens: Vec<Token>, limit: Duration) -> Vec<Token> {
        match self {
            Self::File(files) => files.unknown_among(tokens, limit).await,
            Self::Redis(redis) => redis.unknown_among(tokens, limit).await,
            // It says itself how long it is good; that its issuer has a new key takes nothing back.
            Self::Jwt(_) => Vec::new(),
            Self::Names(_) | Self::Sockets(_) | Self::Http(_) => self.unknown_one_by_one(tokens, limit).await,
        }
    }

    async fn unknown_one_by_one(&self, mut tokens: Vec<Token>, limit: Duration) -> Vec<Token> {
        // Wherever the source fails today, all get their turn in time.
        let first = recheck::random_below(u32::try_from(tokens.len()).unwrap_or(u32::MAX).max(1));
        tokens.rotate_left(first as usize);
        let (mut unknown, mut failures) = (Vec::new(), 0);
        for token in tokens {
            match self.look_up(&token, limit).await {
                Err(LookupError::Unknown | LookupError::Expired) => unknown.push(token),
                Err(LookupError::Source(_)) if failures + 1 == FAILURES_MAX => break,
                Err(LookupError::Source(_)) => failures += 1,
                Ok(_) | Err(LookupError::TooEarly | LookupError::Invalid(_)) => failures = 0,
            }
            sleep(PAUSE).await;
        }
        unknown
    }
}

fn redirect(status: StatusCode) -> &'static str {
    if status.is_redirection() { ", which is not followed: name the place that it leads to" } else { "" }
}

/// What is wrong, on one line: a file in which everything is does not fill the log.
pub fn summary(problems: &[String]) -> String {
    const SHOWN: usize = 5;
    let text = problems.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("; ");
    match problems.len().checked_sub(SHOWN) {
        None | Some(0) => text,
        Some(more) => format!("{text}; and {more} more"),
    }
}

/// An error and its reasons, for a problem that is one of several.
fn with_reasons(error: &SourceError) -> String {
    let mut line = error.to_string();
    let mut reason = std::error::Error::source(error);
    while let Some(error) = reason {
        line = format!("{line}: {error}");
        reason = error.source();
    }
    line
}
