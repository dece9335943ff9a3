//! A source as a route's file writes it: one text, whose beginning says which kind it is.
//!
//! Pure. No error repeats what follows the kind, for there may be a password in it.

use std::path::PathBuf;

use super::http::{Url, UrlError};
use super::redis::{RedisUrl, RedisUrlError};

/// A source as it is written in a route's file, with nothing looked up yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceText {
    /// `file:PATH`.
    File(PathBuf),
    /// `names:DIRECTORY`.
    Names(PathBuf),
    /// `sockets:DIRECTORY`.
    Sockets(PathBuf),
    /// `http://...%s` or `https://...%s`.
    Http(Url),
    /// `jwt:FILE` or `jwt:credential:NAME`.
    Jwt(String),
    /// `redis://HOST` or `rediss://HOST`.
    Redis(RedisUrl),
}

/// A source was written in a way that none is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceTextError {
    /// No source begins like this. What follows is not repeated: there may be a password in it.
    #[error("'{0}' is no kind of token source: write {KINDS}")]
    Kind(String),
    /// Nothing behind the kind.
    #[error("'{0}:' does not say which: write {KINDS}")]
    Empty(String),
    /// A URL that no service can be asked by.
    #[error("the source cannot be asked")]
    Url(#[from] UrlError),
    /// A URL that no Redis server is found by.
    #[error("the source cannot be asked")]
    Redis(#[from] RedisUrlError),
}

const KINDS: &str =
    "file:PATH, names:DIRECTORY, sockets:DIRECTORY, http(s)://HOST/PATH?token=%s, jwt:KEYFILE or redis(s)://HOST";

impl SourceText {
    /// Reads it.
    pub fn parse(text: &str) -> Result<Self, SourceTextError> {
        let (kind, what) = text.split_once(':').unwrap_or((text, ""));
        let some = |what: &str| {
            if what.is_empty() { Err(SourceTextError::Empty(kind.to_owned())) } else { Ok(PathBuf::from(what)) }
        };
        match kind {
            "file" => some(what).map(Self::File),
            "names" => some(what).map(Self::Names),
            "sockets" => some(what).map(Self::Sockets),
            "http" | "https" => Ok(Self::Http(Url::parse(text)?)),
            "jwt" => some(what).map(|_| Self::Jwt(what.to_owned())),
            "redis" | "rediss" => Ok(Self::Redis(RedisUrl::parse(text)?)),
            _ => Err(SourceTextError::Kind(kind.to_owned())),
        }
    }
}
