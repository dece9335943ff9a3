//! A program that the service manager runs, as the daemon sees it: where it listens, and how it stands.
//!
//! The daemon reads a file ([`super::state`]) when the kernel says that it has changed. It cannot start or stop the program,
//! and asks nobody.

use std::env;
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tracing::{error, info};

use super::settings::{Isolation, Role, Settings, Supervision};
use super::state::{self, Phase, State};
use super::{Ended, OnExit, Place};
use crate::log::Kind;

/// The program of this process's route.
#[derive(Clone, Debug)]
pub struct Supervised {
    directory: PathBuf,
    place: Place,
    /// As the route's file said when the daemon started; None: the file is not sound.
    settings: Option<Settings>,
}

/// How a program stands, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// As it should.
    Well(String),
    /// Not so.
    Ill(String),
}

/// What is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stands so.
    Condition(Condition),
    /// It has ended so, and the daemon is to end too.
    Over(Ended),
}

impl Supervised {
    /// What the unit of this process says. None: it is not of a route whose program the manager runs.
    pub fn of_this_process() -> Option<Self> {
        let directory = env::var_os(state::VARIABLE)?.into();
        Some(Self { directory, place: Place::unknown(), settings: None })
    }

    /// The program of a route is this one, if the manager runs it.
    pub fn meet(&mut self, program: Option<&Settings>) {
        let program = program.filter(|program| is_supervised(program));
        if let Some(port) = program.and_then(Settings::port).filter(|port| port.isolation != Isolation::Rebind) {
            self.place.settle(port.number);
        }
        // What is known already, the log names from the first record on.
        if let Some(port) = state::read(&self.directory).and_then(|state| state.port) {
            self.place.settle(port);
        }
        self.settings = program.cloned();
    }

    /// Where it listens.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether a route's file says something else of its program than when the daemon started.
    pub fn differs_from(&self, program: Option<&Settings>) -> bool {
        self.settings.as_ref() != program
    }

    /// Begins to look.
    pub fn watch(&self) -> Watch {
        let changes = changes_in(&self.directory).inspect_err(|error| {
            let (route, directory) = (self.route(), self.directory.display());
            error!(kind = Kind::ProgramHelperFailed.id(), route, %error, "cannot watch the program by {directory}");
        });
        Watch { supervised: self.clone(), changes: changes.ok(), seen: None, begun: false }
    }

    /// The last part of the directory.
    fn route(&self) -> String {
        self.directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn name(&self) -> String {
        self.settings.as_ref().map_or_else(|| "the program".to_owned(), |settings| settings.command.name())
    }

    /// Takes a state to heart.
    fn react(&self, state: Option<&State>) -> Change {
        let (name, route) = (self.name(), self.route());
        let Some(State { port, phase }) = state else {
            self.place.desert();
            return Change::Condition(Condition::Ill(format!(
                "{name} was not started: see journalctl WEBSOCKIFY_ROUTE={route}"
            )));
        };
        if let Some(port) = port {
            self.place.settle(*port);
        }
        match phase {
            Phase::Running => {
                self.place.inhabit();
                Change::Condition(Condition::Well(format!("{name} runs")))
            }
            Phase::Failed(reason) => {
                self.place.desert();
                Change::Condition(Condition::Ill(format!("the program is not started: {reason}")))
            }
            Phase::Ended { status, how } => {
                info!(kind = Kind::ProgramUnitEnded.id(), route, "{name} {how}");
                match self.settings.as_ref().map_or(OnExit::Ignore, Settings::on_exit) {
                    OnExit::Exit => return Change::Over(*status),
                    OnExit::Ignore => self.place.desert(),
                    OnExit::Respawn => {
                        return Change::Condition(Condition::Ill(format!("{name} {how}, and is started again")));
                    }
                }
                Change::Condition(Condition::Ill(format!("{name} {how}")))
            }
        }
    }
}

/// Whether the manager runs a program, and not each session one of its own.
pub fn is_supervised(program: &Settings) -> bool {
    matches!((&program.supervision, &program.role), (Supervision::Systemd { .. }, Role::Service { .. }))
}

/// Sees what changes.
#[derive(Debug)]
pub struct Watch {
    supervised: Supervised,
    /// None: the kernel tells nothing.
    changes: Option<pipe::Receiver>,
    /// What was read last.
    seen: Option<State>,
    /// Whether anything was.
    begun: bool,
}

impl Watch {
    /// Resolves when there is something new; at first, with what there is. Can be dropped and called again at any time.
    pub async fn change(&mut self) -> Change {
        loop {
            let state = state::read(&self.supervised.directory);
            if !self.begun || self.seen != state {
                let change = self.supervised.react(state.as_ref());
                (self.seen, self.begun) = (state, true);
                return change;
            }
            let Some(changes) = &mut self.changes else { return pending().await };
            // Whatever has changed, the state is read anew.
            if !matches!(changes.read(&mut [0; 1024]).await, Ok(1..)) {
                self.changes = None;
            }
        }
    }
}

/// What can be read whenever a file of the directory is replaced. It reads as a pipe does.
fn changes_in(directory: &Path) -> io::Result<pipe::Receiver> {
    let changes = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    changes.add_watch(directory, AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE)?;
    pipe::Receiver::from_owned_fd_unchecked(changes.into())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::super::Command;
    use super::super::settings::Port;
    use std::fs;

    use super::*;

    fn supervised(directory: &Path, on_exit: OnExit) -> Supervised {
        let port = Some(Port { number: 5901, isolation: Isolation::Rebind, start_timeout: None });
        let settings = Settings {
            command: Command::new(vec!["/usr/bin/vncserver".into()]).unwrap(),
            role: Role::Service { port, on_exit },
            supervision: Supervision::Systemd { properties: Vec::new() },
            user: None,
            group: None,
            working_directory: None,
            environment: BTreeMap::new(),
        };
        Supervised { directory: directory.to_owned(), place: Place::unknown(), settings: Some(settings) }
    }

    fn say(directory: &Path, text: &str) {
        let new = directory.join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, state::file(directory)).unwrap();
    }

    async fn next(watch: &mut Watch) -> Change {
        timeout(Duration::from_secs(20), watch.change()).await.unwrap()
    }

    fn ill(words: &str) -> Change {
        Change::Condition(Condition::Ill(words.to_owned()))
    }

    #[tokio::test]
    async fn each_state_is_seen_and_told_in_words() {
        let directory = tempfile::tempdir().unwrap();
        let supervised = supervised(directory.path(), OnExit::Ignore);
        let mut watch = supervised.watch();
        let route = supervised.route();
        let missing = ill(&format!("vncserver was not started: see journalctl WEBSOCKIFY_ROUTE={route}"));
        assert_eq!(next(&mut watch).await, missing);
        assert!(supervised.place().is_deserted());
        say(directory.path(), "port 61000\nrunning\n");
        assert_eq!(next(&mut watch).await, Change::Condition(Condition::Well("vncserver runs".to_owned())));
        assert!(!supervised.place().is_deserted());
        assert_eq!(supervised.place().addresses().map(|address| address.port()), [61_000; 2]);
        say(directory.path(), "port 61000\nended 137 was killed by SIGKILL\n");
        assert_eq!(next(&mut watch).await, ill("vncserver was killed by SIGKILL"));
        assert!(supervised.place().is_deserted());
        say(directory.path(), "failed no such user\n");
        assert_eq!(next(&mut watch).await, ill("the program is not started: no such user"));
    }

    #[tokio::test]
    async fn an_end_means_what_on_exit_says() {
        let directory = tempfile::tempdir().unwrap();
        say(directory.path(), "ended 3 has ended with status 3\n");
        let exit = supervised(directory.path(), OnExit::Exit).watch().change().await;
        assert_eq!(exit, Change::Over(Ended::from_status(3)));
        let respawn = supervised(directory.path(), OnExit::Respawn);
        let words = ill("vncserver has ended with status 3, and is started again");
        assert_eq!(respawn.watch().change().await, words);
        assert!(!respawn.place().is_deserted(), "clients are held until it listens again");
    }
}
