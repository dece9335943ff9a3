//! Where a token is looked up: files, directories, an HTTP service, the token itself, Redis.
//!
//! Promise: a lookup tells "unknown" from "the source cannot say", and none takes longer than it may. No error holds a
//! token: it may be logged as it is.

pub mod answer;
pub mod directory;
pub mod followed;
pub mod table;
pub mod table_files;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::timeout;

use super::Target;
use super::allow::Reach;
use super::token::Token;
use answer::AnswerError;
use directory::{Names, Sockets};
use table_files::TableFiles;

/// Which source a route has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    /// A file of lines `token: target`, or a directory of such files.
    File(PathBuf),
    /// A directory with a file for each token, which holds its target.
    Names(PathBuf),
    /// A directory of sockets, by their names.
    Sockets(PathBuf),
}

/// A source as it is written in a route's file, with nothing looked up yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceText {
    /// `file:PATH`.
    File(PathBuf),
    /// `names:DIRECTORY`.
    Names(PathBuf),
    /// `sockets:DIRECTORY`.
    Sockets(PathBuf),
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
}

const KINDS: &str = "file:PATH, names:DIRECTORY or sockets:DIRECTORY";

/// A source in service.
#[derive(Debug)]
pub enum Source {
    /// See [`Settings::File`].
    File(TableFiles),
    /// See [`Settings::Names`].
    Names(Names),
    /// See [`Settings::Sockets`].
    Sockets(Sockets),
}

/// Why a token stands for nothing.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The source does not know it.
    #[error("the token is unknown")]
    Unknown,
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
            _ => Err(SourceTextError::Kind(kind.to_owned())),
        }
    }
}

impl Settings {
    /// Where its targets may be, unless the route says more. Whoever may write the files of a source could as well write
    /// the route; a source that another program or machine fills may not lead back to this one.
    pub fn reach(&self) -> Reach {
        match self {
            Self::File(_) | Self::Names(_) | Self::Sockets(_) => Reach::Everything,
        }
    }

    /// What it reads of this machine's files, and from which key of the route's file it is known.
    pub fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::File(path) | Self::Names(path) | Self::Sockets(path) => Some(path),
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
        };
        Ok((source, Vec::new()))
    }

    /// What `token` stands for, within `limit`.
    pub async fn look_up(&self, token: &Token, limit: Duration) -> Result<Target, LookupError> {
        let found = match self {
            Self::File(files) => return files.look_up(token, limit).await, // which has something better than a failure
            Self::Names(names) => timeout(limit, names.look_up(token)).await,
            Self::Sockets(sockets) => timeout(limit, sockets.look_up(token)).await,
        };
        found.unwrap_or_else(|_| Err(SourceError::TimedOut(limit).into()))
    }
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
