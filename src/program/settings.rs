//! What a route says of its program: `[program]`, and what stands behind `--` on the classic command line.
//!
//! Combinations that make no sense cannot be written down here; whoever reads them from text says why.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Group, User};

use super::pacing::OnExit;

/// A program, and who runs it how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The program and its arguments.
    pub command: Command,
    /// What it is to the route's sessions.
    pub role: Role,
    /// Who starts and ends it.
    pub supervision: Supervision,
    /// As whom it runs. None: as whoever starts it.
    pub user: Option<String>,
    /// In which group. None: the user's own.
    pub group: Option<String>,
    /// Where it starts. None: where whoever starts it is.
    pub working_directory: Option<PathBuf>,
    /// What is added to its environment.
    pub environment: BTreeMap<String, String>,
}

/// What a program is to the sessions of its route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It runs as long as the route does.
    Service {
        /// Where it listens, and sessions go. None: they go elsewhere, and it only runs.
        port: Option<Port>,
        /// What follows its end.
        on_exit: OnExit,
    },
    /// Each session has one of its own, which speaks on standard input and output.
    PerSession {
        /// What those are.
        stdio: Stdio,
    },
}

/// What a program of a session has as standard input and output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdio {
    /// A socket, as inetd gives one.
    Socket,
    /// A pseudo-terminal.
    Terminal,
}

/// The port that a program binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// As the program knows it. Never 0.
    pub number: u16,
    /// What keeps others from it.
    pub isolation: Isolation,
    /// How long a client is held until somebody listens there. None: as long as the way to any target may take.
    pub start_timeout: Option<Duration>,
}

/// What keeps others than the proxy from a program's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Nothing: it binds what it wants to.
    None,
    /// A preloaded library moves the port to loopback.
    Rebind,
    /// It has a network of its own, which is the route's too.
    PrivateNetwork,
}

/// Who starts and ends a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Supervision {
    /// The daemon itself.
    Child,
    /// The service manager.
    Systemd {
        /// What else is set for the program's unit.
        properties: Vec<Property>,
    },
}

/// A setting of a unit, as systemd's manual pages write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its name.
    pub name: String,
    /// Its value; several are assigned one after the other.
    pub values: Vec<String>,
}

/// A program with its arguments: never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
}

impl Settings {
    /// Where the program listens; None: nowhere that sessions go.
    pub fn port(&self) -> Option<Port> {
        match self.role {
            Role::Service { port, .. } => port,
            Role::PerSession { .. } => None,
        }
    }

    /// The port that is moved elsewhere by the preloaded library; None: there is none, or it stays.
    pub fn moved_port(&self) -> Option<u16> {
        self.port().filter(|port| port.isolation == Isolation::Rebind).map(|port| port.number)
    }

    /// What follows the program's end. That of one of a session is the session's.
    pub fn on_exit(&self) -> OnExit {
        match self.role {
            Role::Service { on_exit, .. } => on_exit,
            Role::PerSession { .. } => OnExit::Ignore,
        }
    }

    /// Who of those as whom it is to run is not there, in words. None: nobody that could be told by name.
    pub fn stranger(&self) -> Option<String> {
        let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(user) = self.user.as_deref().filter(|user| !is_number(user))
            && matches!(User::from_name(user), Ok(None))
        {
            return Some(format!("there is no such user as {user}"));
        }
        let group = self.group.as_deref().filter(|group| !is_number(group))?;
        let is_missing = matches!(Group::from_name(group), Ok(None));
        is_missing.then(|| format!("there is no such group as {group}"))
    }

    /// Whether the manager runs it as a unit for each session.
    pub fn is_for_units_of_sessions(&self) -> bool {
        matches!((&self.supervision, &self.role), (Supervision::Systemd { .. }, Role::PerSession { .. }))
    }
}

impl Command {
    /// The words of a command; None: there are none.
    pub fn new(words: Vec<OsString>) -> Option<Self> {
        let mut words = words.into_iter();
        Some(Self { program: words.next()?, arguments: words.collect() })
    }

    /// The words, the program first.
    pub fn words(&self) -> impl Iterator<Item = &OsStr> {
        std::iter::once(self.program.as_os_str()).chain(self.arguments.iter().map(OsString::as_os_str))
    }

    /// What the program is called in the log: the last part of its path.
    pub fn name(&self) -> String {
        let name = Path::new(&self.program).file_name().unwrap_or(&self.program);
        name.to_string_lossy().into_owned()
    }
}

impl fmt::Display for Command {
    /// The words with spaces between them, as the original showed them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program.to_string_lossy())?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", argument.to_string_lossy()))
    }
}
