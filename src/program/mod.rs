//! A wrapped program: the service that sessions are relayed to is started, watched and ended by the daemon itself.
//!
//! Promise: the program binds the port that it was written for and gets another one on loopback, which is held for it from the
//! start; its output becomes records of the log; what ends the daemon ends the program, with all that it has started. When it
//! ends, a [`pacing`] rule without a clock says what follows. A program of a [`session`] speaks on standard input and output; one
//! of a [`mod@unit`] is started by the service manager.
//! This module knows of routes only their names, and nothing of WebSocket.

mod child;
mod children;
mod descendants;
mod ids;
mod lines;
mod linkage;
mod listening;
pub mod pacing;
pub mod place;
mod preload;
pub mod session;
pub mod settings;
pub mod state;
mod supervisor;
pub mod terminal;
pub mod unit;
pub mod watch;

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use nix::sys::resource::{Resource, getrlimit, rlim_t};

pub use self::children::{Children, GRACE};
pub use self::linkage::obstacle;
pub use self::pacing::OnExit;
use self::place::Held;
pub use self::place::Place;
pub use self::preload::Preload;
pub use self::session::{Launcher, Launches};
pub use self::settings::{Command, Settings};
pub use self::supervisor::Supervisor;

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
    /// The unit of its session ended, and it had not been started.
    #[error(
        "systemd cannot start the program '{program}' for the session; 'journalctl --unit=\"websockify-session-*\"' tells more"
    )]
    Unit {
        /// As it was written.
        program: String,
        /// What is known of it.
        source: io::Error,
    },
    /// systemd does not listen for sessions.
    #[error(
        "systemd does not listen on {}: 'systemctl status websockify-session-*.socket' tells why; after a restart of that, restart the \
         route",
        path.display()
    )]
    UnitSocket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The limits of descriptors that this process was started with, and its programs are.
#[derive(Clone, Copy, Debug)]
pub struct Descriptors(rlim_t, rlim_t);

impl Descriptors {
    /// To be called before the process raises its own, which are not everybody's.
    pub fn of_this_process() -> Self {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the kernel has this limit");
        Self(soft, hard)
    }

    /// A way for sessions to have programs started.
    pub fn launcher(self) -> (Launcher, Launches) {
        Launcher::pair((self.0, self.1))
    }
}

/// A program that is about to be run, and its port, if it has one of its own.
#[derive(Debug)]
pub struct Program {
    settings: Settings,
    place: Place,
    moved: Option<(Held, Preload)>,
    descriptors: (rlim_t, rlim_t),
}

impl Program {
    /// Holds a port for it, and finds the library that moves it there.
    pub fn prepare(settings: Settings, descriptors: Descriptors) -> Result<Self, ProgramError> {
        let moved = match settings.moved_port() {
            None => None,
            Some(old) => {
                let held = Held::new().map_err(ProgramError::Port)?;
                let preload = Preload::new(old, held.port())?;
                Some((held, preload))
            }
        };
        let place = match &moved {
            Some((held, _)) => held.place().clone(),
            None => Place::fixed(settings.port().map(|port| port.number)),
        };
        Ok(Self { settings, place, moved, descriptors: (descriptors.0, descriptors.1) })
    }

    /// Where it will listen, and how it stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What it was made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
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
