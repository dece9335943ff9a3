//! `websockify program`: what systemd runs as root, and an administrator may.

use std::env;
use std::path::PathBuf;

use tracing::error;

use super::exit::Exit;
use crate::config::chain;
use crate::log::{self, Kind};
use crate::program::settings::{Command, Stdio};
use crate::program::unit;
use crate::systemd::generator::Scope;
use crate::systemd::program::{Outcome, Supervised, SupervisionError};

/// One short-lived process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The route.
    pub route: String,
    /// Whose manager.
    pub scope: Scope,
    /// What to do.
    pub action: Action,
}

/// What there is to do with a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start it as the route's file in this directory says.
    Start(PathBuf),
    /// Stop it.
    Stop,
    /// Stop it, unless the route's service, which has ended, is about to be back.
    StopIfOver,
    /// Before each start: find a port for the one that it binds, and keep the pace if it is started again and again.
    Place {
        /// The port that it binds.
        port: Option<u16>,
        /// Whether it is started again whenever it ends.
        respawn: bool,
    },
    /// After each end: say how.
    Ended,
    /// As the main process of a session's unit: run this for the session.
    Session {
        /// The program.
        command: Command,
        /// What it speaks on.
        stdio: Stdio,
    },
}

impl Program {
    /// Does it.
    pub fn run(&self) -> Exit {
        if let Err(error) = log::init(&log::Settings::default(), false) {
            eprintln!("websockify: error: {}", chain(&error));
            return Exit::SystemError;
        }
        match self.carry_out() {
            Ok(()) => Exit::Success,
            Err(error) => {
                let (route, why) = (&self.route, chain(&error));
                if matches!(self.action, Action::Start(_)) {
                    error!(kind = Kind::ProgramUnitFailed.id(), route, "the program is not started: {why}");
                } else {
                    error!(kind = Kind::ProgramHelperFailed.id(), route, "{why}");
                }
                match error {
                    SupervisionError::Untrusted(_) | SupervisionError::Config(_) | SupervisionError::NotOurs { .. } => {
                        Exit::Config
                    }
                    _ => Exit::SystemError,
                }
            }
        }
    }

    fn carry_out(&self) -> Result<(), SupervisionError> {
        let supervised = || Supervised::new(&self.route, self.scope);
        match &self.action {
            Action::Start(routes) => supervised()?.start(routes),
            Action::Stop => supervised()?.stop(),
            Action::StopIfOver => supervised()?.stop_if_over(&outcome()),
            Action::Place { port, respawn } => supervised()?.place(*port, *respawn),
            Action::Ended => supervised()?.ended(&outcome()),
            Action::Session { command, stdio } => Ok(unit::attend(&self.route, command.clone(), *stdio)?),
        }
    }
}

/// What systemd tells `ExecStopPost=`.
fn outcome() -> Outcome {
    let variable = |name| env::var(name).unwrap_or_default();
    Outcome { result: variable("SERVICE_RESULT"), code: variable("EXIT_CODE"), status: variable("EXIT_STATUS") }
}
