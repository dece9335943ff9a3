//! Recordings of sessions: what was said by whom and when, in the format of the original, which noVNC plays.
//!
//! Promise: recording is off the way of the data. A session's thread copies a payload into a bounded [`queue`] and goes on;
//! everything that may wait, from making the directory to the last byte, is done by the [`writer`]'s thread, one for each route.
//! A disk that is full, slow or gone, and a queue that is full, end the recording, are told once in the log, and never stall or end
//! a session. A recording is nobody's business but the user's whom the program runs as: it holds whatever was typed.
//!
//! [`escape`], [`mod@format`] and [`parse`] are pure; [`reader`] reads files of every age; [`recorder`] is what a session is given.

mod escape;
mod file;
pub mod format;
pub mod parse;
mod queue;
pub mod reader;
pub mod recorder;
mod rotation;
mod writer;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

pub use self::escape::StringError;
pub use self::reader::Form;
pub use self::recorder::wait_until_written;

/// What of a route's sessions is kept, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the files are called.
    pub naming: Naming,
    /// How they are compressed.
    pub compression: Form,
    /// A file does not grow beyond this. None: no bound.
    pub size_max: Option<u64>,
    /// How many files are kept. None: all.
    pub files_max: Option<NonZeroUsize>,
    /// How long files are kept after the last word in them. None: for ever.
    pub age_max: Option<Duration>,
}

/// What files are called. Absolute: a daemon changes its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By route, time and session, in this directory.
    InDirectory(PathBuf),
    /// As the original did: this path, a dot, and which of the process's connections it was. One that is there is replaced.
    Numbered(PathBuf),
}
