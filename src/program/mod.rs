//! A wrapped program: the service that sessions are relayed to is started, watched and ended by the daemon itself.
//!
//! Promise: the program binds the port that it was written for and gets another one on loopback, which is held for it from the
//! start; its output becomes records of the log; what ends the daemon ends the program, with all that it has started. When it
//! ends, a [`pacing`] rule without a clock says what follows. This module knows neither sessions nor WebSocket.

mod child;
mod descendants;
mod lines;
pub mod pacing;
pub mod place;
mod preload;
pub mod settings;
pub mod state;
mod supervisor;
pub mod watch;

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use nix::sys::resource::{Resource, getrlimit, rlim_t};

pub use self::pacing::OnExit;
use self::place::Held;
pub use self::place::Place;
pub use self::preload::Preload;
use self::settings::Isolation;
pub use self::settings::{Command, Settings};
pub use self::supervisor::{GRACE, Supervisor};

/// Why a program cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The preload library is not where it should be.
    #[error(
        "the library that moves the program's port is missing: none of {} is there; install websockify again, or run 'make build'",
        .0.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    LibraryMissing(Vec<PathBuf>),
    /// The loader takes spaces and colons as the end of a path.
    #[error("the loader cannot preload {}: install websockify where the path has neither space nor colon", .0.display())]
    LibraryPath(PathBuf),
    /// This process cannot become the parent of what its children leave behind.
    #[error("cannot follow the program into the background")]
    Follow(#[source] nix::Error),
    /// The limits of this process are not known.
    #[error("cannot read the limit of descriptors")]
    Limits(#[source] nix::Error),
    /// No port of loopback could be bound.
    #[error("cannot hold a port of loopback for the program")]
    Port(#[source] io::Error),
    /// The kernel tells of no children.
    #[error("cannot hear of the program's end")]
    Signal(#[source] io::Error),
    /// It is not there, is not executable, or there is no room for it.
    #[error("cannot start the program '{program}'")]
    Start {
        /// As it was written.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A program that is about to be run, and its port, if it has one of its own.
#[derive(Debug)]
pub struct Program {
    settings: Settings,
    moved: Option<(Held, Preload)>,
    /// This process raises its own limits, which are not everybody's.
    descriptors: (rlim_t, rlim_t),
}

impl Program {
    /// Holds a port for it, and finds the library that moves it there. To be called before the process raises its limits.
    pub fn prepare(settings: Settings) -> Result<Self, ProgramError> {
        let moved = match settings.port().filter(|port| port.isolation == Isolation::Rebind) {
            None => None,
            Some(settings::Port { number: old, .. }) => {
                let held = Held::new().map_err(ProgramError::Port)?;
                let preload = Preload::new(old, held.port())?;
                Some((held, preload))
            }
        };
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_err(ProgramError::Limits)?;
        Ok(Self { settings, moved, descriptors })
    }

    /// Where it will listen, if its port is moved.
    pub fn place(&self) -> Option<&Place> {
        self.moved.as_ref().map(|(held, _)| held.place())
    }
}

/// How a program ended, as a shell shows it: its exit status, or 128 and the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended(u8);

impl Ended {
    /// The status for the parent of this process.
    pub fn status(self) -> u8 {
        self.0
    }
}

impl Ended {
    /// As somebody else has told it.
    pub fn from_status(status: u8) -> Self {
        Self(status)
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        let number = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        Self(number.and_then(|number| u8::try_from(number).ok()).unwrap_or(u8::MAX))
    }
}
