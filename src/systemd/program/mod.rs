//! `websockify program`: the short-lived half that starts and stops a route's program as a transient unit.
//!
//! Promise: what is run, and as whom, is said by a file that nobody else could have written ([`trusted`]); when
//! [`start`](Supervised::start) returns, the program runs as that file says, or its state says why not; one that runs so
//! already, because the route's service crashed or is being restarted, is taken over and not disturbed. The daemon, which
//! strangers talk to, has no part in this: it cannot start or stop anything, and reads the state
//! ([`crate::program::watch`]).
//!
//! systemd runs these processes as root, beside the route's service and beside the program: `start` and `stop` for the
//! route (`ExecStartPre=`, `ExecStopPost=` of the generator's drop-in), [`place`](Supervised::place) and
//! [`ended`](Supervised::ended) for the program's own unit. A user's manager runs them without any right.

pub(super) mod drop_in;
mod manager;
mod outcome;
mod pace;
mod port;
mod runtime;
pub(super) mod session;
mod trusted;
mod unit;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use tracing::{error, info, warn};

pub use self::manager::ManagerError;
pub use self::outcome::Outcome;
pub use self::port::NoPort;
pub use self::runtime::RuntimeError;
pub use self::trusted::Untrusted;

use self::manager::Manager;
use self::pace::Starts;
use self::runtime::Runtime;
use self::unit::{Definition, route_unit, unit_name};
use super::generator::Scope;
use crate::config::{self, ConfigError, Route, chain};
use crate::log::Kind;
use crate::program::settings::{Isolation, Settings, Supervision};
use crate::program::state::{Phase, State};
use crate::program::{Preload, ProgramError, obstacle};

/// So many of a program's last lines say why it cannot be started.
const LAST_LINES: usize = 5;

/// Why a program was not started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum SupervisionError {
    /// Its file is not believed.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// Its file is not sound.
    #[error("{0}")]
    Config(ConfigError),
    /// Its file asks for something that is not this one's to do.
    #[error("{path}: {what}", path = path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What it asks for, and what to do.
        what: &'static str,
    },
    /// The manager's commands.
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// Files below `/run`.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// No port.
    #[error(transparent)]
    Port(#[from] NoPort),
    /// The preload library.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Nobody says where a user's files of `/run` are.
    #[error(
        "XDG_RUNTIME_DIR is not set: only a user's service manager, or a session of the user, can run this with --user"
    )]
    NoRuntimeDirectory,
    /// This binary cannot be named.
    #[error("cannot tell where this program itself lies")]
    Myself(#[source] io::Error),
    /// It ended before it began.
    #[error("{program} {how}{said}")]
    NotStarted {
        /// What it is called.
        program: String,
        /// As in "cannot be executed".
        how: String,
        /// Its last lines, behind a colon, or nothing.
        said: String,
    },
}

impl SupervisionError {
    /// What everybody may know, as everybody can read the state and the status that is made of it. What the program itself has
    /// said may be anything, and stands in the journal, for those who may read that.
    fn in_public(&self) -> String {
        match self {
            Self::NotStarted { program, how, said } if !said.is_empty() => {
                format!("{program} {how}: its last lines are in the journal")
            }
            error => chain(error),
        }
    }
}

/// A route whose program the service manager supervises.
#[derive(Debug)]
pub struct Supervised {
    route: String,
    manager: Manager,
    runtime: Runtime,
}

impl Supervised {
    /// The program of a route, of the system's manager or of a user's.
    pub fn new(route: &str, scope: Scope) -> Result<Self, SupervisionError> {
        if !trusted::is_name(route) {
            return Err(Untrusted::Name(route.to_owned()).into());
        }
        let root = match scope {
            Scope::System => PathBuf::from("/run"),
            Scope::User => env::var_os("XDG_RUNTIME_DIR").ok_or(SupervisionError::NoRuntimeDirectory)?.into(),
        };
        Ok(Self { route: route.to_owned(), manager: Manager { scope }, runtime: Runtime::new(&root, route) })
    }

    /// Makes the program run as its route's file in `routes` says, and waits until it does.
    pub fn start(&self, routes: &Path) -> Result<(), SupervisionError> {
        let started = self.try_start(routes);
        if let Err(error) = &started {
            let route = &self.route;
            // Whatever runs is not what the file says, and a respawn would try the same for ever.
            let stopped = self.manager.stop(&unit_name(route)).map_err(SupervisionError::from);
            let state = State { port: None, phase: Phase::Failed(error.in_public()) };
            let told = self.runtime.create().and_then(|()| self.runtime.tell(&state)).map_err(SupervisionError::from);
            for error in [stopped, told].into_iter().filter_map(Result::err) {
                error!(kind = Kind::ProgramHelperFailed.id(), route, "{}", chain(&error));
            }
        }
        started
    }

    fn try_start(&self, routes: &Path) -> Result<(), SupervisionError> {
        let (path, text) = trusted::read(routes, &self.route)?;
        let route = config::understand(&self.route, &path, &text).map_err(SupervisionError::Config)?;
        let program = self.ours(&route, &path)?;
        let helper = env::current_exe().map_err(SupervisionError::Myself)?;
        let environment = self.runtime.environment();
        let definition = Definition {
            route: &self.route,
            description: route.description.as_deref(),
            program,
            scope: self.manager.scope,
            helper: &helper.to_string_lossy(),
            environment: &environment.to_string_lossy(),
        };
        let arguments = definition.arguments();
        let (unit, written) = (unit_name(&self.route), arguments.join("\n"));
        let before = self.runtime.state();
        let running = self.running(&unit)?;
        let is_the_same = before.is_some() && self.runtime.definition().as_ref() == Some(&written);
        // One that was started again while the route was down may have made a network of its own.
        let is_near = !has_private_network(program) || running == self.runtime.companion();
        if running.is_some() && is_the_same && is_near {
            let route = &self.route;
            info!(
                kind = Kind::ProgramTakenOver.id(),
                route,
                "{} runs already and is taken over",
                program.command.name()
            );
            return Ok(());
        }
        if let Some(how) = stranger(program) {
            return Err(SupervisionError::NotStarted { program: program.command.name(), how, said: String::new() });
        }
        // It may yet start another one that the library can be loaded into: so it is told, and tried.
        if let Some(obstacle) = obstacle(program, may_gain_rights(program, self.manager.scope)) {
            let (route, program) = (&self.route, program.command.name());
            warn!(kind = Kind::ProgramNotMoved.id(), program, route, "{obstacle}");
        }
        self.manager.stop(&unit)?;
        self.runtime.create()?;
        self.runtime.set_starts("")?;
        self.runtime.set_definition(&written)?;
        // The port of before is tried first.
        let port = before.and_then(|state| state.port).filter(|_| program.moved_port().is_some());
        self.runtime.tell(&State { port, phase: Phase::Running })?;
        self.manager.run(&arguments).map_err(|error| match self.runtime.state() {
            Some(State { phase: Phase::Ended { how, .. }, .. }) => {
                SupervisionError::NotStarted { program: program.command.name(), how, said: self.last_words() }
            }
            _ => error.into(),
        })?;
        let companion = self.running(&unit)?.unwrap_or_default();
        Ok(self.runtime.set_companion(&companion)?)
    }

    /// The program, if it is for this manager to run.
    fn ours<'a>(&self, route: &'a Route, path: &Path) -> Result<&'a Settings, SupervisionError> {
        let not_ours = |what| SupervisionError::NotOurs { path: path.to_owned(), what };
        let program = route.program.as_ref().ok_or_else(|| not_ours("there is no table [program] in it"))?;
        if program.supervision == Supervision::Child {
            return Err(not_ours("supervisor = \"child\": the daemon itself starts the program"));
        }
        if program.is_for_units_of_sessions() {
            return Err(not_ours("per-session = true: systemd starts the program when a session begins"));
        }
        match misfit(program, self.manager.scope) {
            Some(what) => Err(not_ours(what)),
            None => Ok(program),
        }
    }

    /// The invocation of a unit that runs, or is about to.
    fn running(&self, unit: &str) -> Result<Option<String>, ManagerError> {
        let shown = self.manager.show(unit, &["ActiveState", "InvocationID"])?;
        let state = shown.get("ActiveState").map_or("", String::as_str);
        let runs = matches!(state, "active" | "activating" | "reloading");
        Ok(shown.get("InvocationID").filter(|_| runs).cloned())
    }

    /// What the unit that failed had to say, as the end of a sentence.
    fn last_words(&self) -> String {
        let Some(invocation) = self.runtime.invocation() else { return String::new() };
        let lines = self.manager.last_lines(&invocation, LAST_LINES);
        if lines.is_empty() { String::new() } else { format!(": {}", lines.join(" | ")) }
    }

    /// Stops the program, waits until it has ended, and forgets it.
    pub fn stop(&self) -> Result<(), SupervisionError> {
        self.manager.stop(&unit_name(&self.route))?;
        // How it ended stays: a daemon may look.
        self.runtime.forget_definition();
        Ok(())
    }

    /// The route's service has ended so: stops the program, unless the service is about to be back.
    pub fn stop_if_over(&self, outcome: &Outcome) -> Result<(), SupervisionError> {
        let unit = route_unit(&self.route);
        let job = self.manager.job(&unit)?;
        let shown = self.manager.show(&unit, &["Restart"])?;
        let restart = shown.get("Restart").map_or("", String::as_str);
        if outcome.comes_back(job.as_deref(), restart) {
            return Ok(());
        }
        self.stop()
    }

    /// Before each start of the program: keeps the pace, and finds the port that `old` is moved to.
    pub fn place(&self, old: Option<u16>, respawn: bool) -> Result<(), SupervisionError> {
        self.runtime.create()?;
        if respawn {
            let mut starts = Starts::read(&self.runtime.starts());
            let (wait, too_fast) = starts.next(uptime());
            if too_fast {
                warn!(kind = Kind::ProgramUnitPaced.id(), route = self.route, "Command respawning too fast");
            }
            sleep(wait);
            self.runtime.set_starts(&starts.text())?;
        }
        let Some(old) = old else {
            return Ok(self.runtime.tell(&State { port: None, phase: Phase::Running })?);
        };
        let before = self.runtime.state().and_then(|state| state.port);
        let (others, _lock) = self.runtime.ports_of_others()?;
        let port = port::find(before, &others)?;
        let preload = Preload::new(old, port)?;
        let variables = preload.variables().map(|(name, value)| format!("{name}=\"{}\"\n", value.to_string_lossy()));
        self.runtime.set_environment(&variables.concat())?;
        Ok(self.runtime.tell(&State { port: Some(port), phase: Phase::Running })?)
    }

    /// After each end of the program: says how it ended.
    pub fn ended(&self, outcome: &Outcome) -> Result<(), SupervisionError> {
        let port = self.runtime.state().and_then(|state| state.port);
        self.runtime.create()?;
        // It is not for the helper of the next start, which systemd would give it to as well.
        self.runtime.forget_environment();
        self.runtime.set_invocation(&env::var("INVOCATION_ID").unwrap_or_default())?;
        Ok(self.runtime.tell(&State { port, phase: outcome.phase() })?)
    }
}

/// What a manager cannot do for a program, though its file is sound.
pub(super) fn misfit(program: &Settings, scope: Scope) -> Option<&'static str> {
    match scope {
        _ if program.supervision == Supervision::Child => None,
        Scope::User if has_private_network(program) => Some(
            "isolation = \"private-network\": only the system's manager can make networks; write isolation = \"rebind\"",
        ),
        Scope::User if program.user.is_some() || program.group.is_some() => {
            Some("user, group: a user's manager runs everything as that user; leave them out")
        }
        Scope::System | Scope::User => None,
    }
}

/// Whether a program shares a network with its route and nobody else.
pub(super) fn has_private_network(program: &Settings) -> bool {
    program.port().is_some_and(|port| port.isolation == Isolation::PrivateNetwork)
}

/// Whether a setuid program has more rights than whoever starts it: not in the sandbox, and not if that is root.
fn may_gain_rights(program: &Settings, scope: Scope) -> bool {
    match &program.user {
        Some(user) => user != "root" && user != "0",
        None => scope == Scope::User,
    }
}

/// What is named and is not there: then systemd runs nothing of the unit at all, not even what would say so.
fn stranger(program: &Settings) -> Option<String> {
    if let Some(directory) = program.working_directory.as_deref().filter(|directory| !directory.is_dir()) {
        let directory = directory.display();
        return Some(format!("cannot be started: its working-directory {directory} cannot be entered"));
    }
    program.stranger().map(|stranger| format!("cannot be started: {stranger}"))
}

/// Milliseconds since the boot, the same for all processes.
fn uptime() -> u64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
    u64::try_from(Duration::try_from_secs_f64(seconds.unwrap_or_default()).unwrap_or_default().as_millis())
        .unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn told(keys: &str, scope: Scope) -> Option<&'static str> {
        let text = format!("listen = \"127.0.0.1:1\"\n[program]\ncommand = [\"a\"]\n{keys}\n");
        let route = config::understand("vnc", Path::new("/etc/websockify/vnc.toml"), &text).unwrap();
        misfit(&route.program.unwrap(), scope)
    }

    #[test]
    fn what_a_program_has_said_is_not_for_everybody() {
        let not_started = |said: &str| SupervisionError::NotStarted {
            program: "vncserver".to_owned(),
            how: "has ended with status 3".to_owned(),
            said: said.to_owned(),
        };
        let public = not_started(": password is hunter2 | bye").in_public();
        assert_eq!(public, "vncserver has ended with status 3: its last lines are in the journal");
        assert_eq!(not_started("").in_public(), "vncserver has ended with status 3");
    }

    #[test]
    fn what_a_manager_cannot_do_is_told() {
        for keys in ["port = 1", "port = 1\nsupervisor = \"child\"\nuser = \"root\""] {
            assert_eq!((told(keys, Scope::System), told(keys, Scope::User)), (None, None), "{keys}");
        }
        for keys in ["port = 1\nisolation = \"private-network\"", "port = 1\nuser = \"a\"", "port = 1\ngroup = \"a\""] {
            assert_eq!(told(keys, Scope::System), None, "{keys}");
            let (key, _) = keys["port = 1\n".len()..].split_once(' ').unwrap();
            assert!(told(keys, Scope::User).unwrap().contains(key), "{keys}");
        }
        for keys in ["per-session = true", "per-session = true\npty = true"] {
            assert_eq!((told(keys, Scope::System), told(keys, Scope::User)), (None, None), "{keys}");
        }
    }
}
