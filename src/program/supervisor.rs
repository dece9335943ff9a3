//! The life of a program that runs as long as its route: started, heard, followed, started again, and ended.
//!
//! Promise: how it stands is told at its [`Place`](super::Place); what has ended is started again at the pace of its rule; all
//! its processes end with it. Deliberately not here: who waits for children ([`Children`] does), and what becomes of sessions.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use super::child::{Start, Streams};
use super::children::{Child, Children, Speaker};
use super::descendants::{Mark, Whose, descendants};
use super::ids::Ids;
use super::linkage::{immune, not_moved};
use super::listening::{have_any, listeners};
use super::pacing::{OnExit, Pacing};
use super::place::Standing;
use super::{Ended, Program, ProgramError};
use crate::log::Kind;

/// After its start it is looked where a program listens: then, and each time after twice as long.
const FIRST_LOOK: Duration = Duration::from_millis(100);
/// Whoever takes longer is not looked at any more.
const LOOKS: u32 = 9;

/// A program in the daemon's care.
pub struct Supervisor {
    program: Program,
    children: Children,
    speaker: Speaker,
    mark: Mark,
    pacing: Pacing,
    state: State,
    /// The group of the program that was started last.
    group: Option<Pid>,
    /// Where it listens is to be looked at then. None: that is known, or no matter.
    look: Option<Look>,
    /// Its file says that its port cannot be moved.
    is_immune: bool,
}

#[derive(Debug)]
enum State {
    Running(Child),
    /// Between two lives.
    Resting {
        until: Instant,
    },
    /// It will not be started again, but may have left something.
    Left,
    /// Nothing is left.
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    number: u32,
}

/// What has happened.
enum Event {
    Buried,
    Ended(ExitStatus),
    Look,
    Rested,
}

impl Supervisor {
    /// Starts the program of the route.
    pub fn start(program: Program, route: &str, children: &Children) -> Result<Self, ProgramError> {
        // No two programs of this process ever have the same.
        static LIVES: AtomicU32 = AtomicU32::new(0);
        let number = LIVES.fetch_add(1, Ordering::Relaxed);
        let name = program.settings.command.name();
        let mut supervisor = Self {
            speaker: Speaker { program: name, route: route.to_owned(), session: None },
            mark: Mark::new(format!("{route}.{}.{number}", Pid::this())),
            pacing: Pacing::new(Instant::now().into_std()),
            program,
            children: children.clone(),
            state: State::Gone,
            group: None,
            look: None,
            is_immune: false,
        };
        supervisor.warn_if_immune();
        supervisor.launch().map_err(|source| {
            let program = supervisor.program.settings.command.program.to_string_lossy().into_owned();
            let error = ProgramError::Start { program, source };
            supervisor.program.place.stands(Standing::NotStarted(crate::config::chain(&error)));
            error
        })?;
        Ok(supervisor)
    }

    /// Resolves when the route is to end because the program has. Can be dropped and called again at any time.
    pub async fn over(&mut self) -> Ended {
        loop {
            match self.next().await {
                Event::Ended(status) => {
                    if let Some(ended) = self.ended(status) {
                        return ended;
                    }
                    self.desert_if_alone();
                }
                Event::Buried => self.desert_if_alone(),
                Event::Look => self.look(),
                Event::Rested => self.relaunch(),
            }
        }
    }

    async fn next(&mut self) -> Event {
        let mut burials = self.children.burials();
        let look_at = self.look.map(|look| look.at);
        let looking = async {
            match look_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        match &mut self.state {
            State::Running(child) => tokio::select! {
                // Without its sender there is no process either.
                status = &mut child.ended => Event::Ended(status.unwrap_or_default()),
                () = looking => Event::Look,
            },
            State::Resting { until } => {
                sleep_until(*until).await;
                Event::Rested
            }
            State::Left => tokio::select! {
                _ = burials.changed() => Event::Buried,
                () = looking => Event::Look,
            },
            State::Gone => std::future::pending().await,
        }
    }

    /// Ends the program and all that it has started: asks first, and kills whoever has not gone after a while, or when
    /// `impatient` resolves.
    pub async fn stop(self, impatient: impl Future<Output = ()>) {
        let whose = self.whose();
        if !descendants(Pid::this(), &whose).is_empty() {
            let Speaker { program, route, .. } = &self.speaker;
            info!(kind = Kind::ProgramStopping.id(), program, route, "ending the program");
            self.children.end(&whose, Signal::SIGTERM, program, impatient).await;
        }
    }

    fn whose(&self) -> Whose {
        Whose::Marked { mark: self.mark.clone(), group: self.group }
    }

    fn launch(&mut self) -> io::Result<()> {
        self.renew_port()?;
        // Anew for each life: a service that knows the user may be there by now.
        let ids = Ids::of(&self.program.settings)?;
        let start = Start {
            settings: &self.program.settings,
            ids: &ids,
            mark: self.mark.value(),
            variables: self.variables(),
            streams: Streams::Heard,
            descriptors: self.program.descriptors,
        };
        let child = self.children.start(start, &self.speaker)?;
        let now = Instant::now();
        self.pacing.started(now.into_std());
        self.group = Some(child.pid);
        let looks = self.program.moved.is_some() && !self.is_immune;
        self.look = looks.then(|| Look { at: now + FIRST_LOOK, number: 1 });
        let (command, Speaker { program, route, .. }) = (&self.program.settings.command, &self.speaker);
        info!(kind = Kind::ProgramStarted.id(), program, pid = child.pid.as_raw(), route, "Starting '{command}'");
        self.state = State::Running(child);
        self.program.place.stands(if self.is_immune { Standing::NotMoved } else { Standing::Running });
        Ok(())
    }

    /// What is set in its environment.
    fn variables(&self) -> Vec<(&'static str, Option<OsString>)> {
        let Some((_, preload)) = &self.program.moved else { return Vec::new() };
        let moved = preload.variables().into_iter().map(|(name, value)| (name, Some(value)));
        // What an outer program was told may not come before what this one is.
        moved.chain([("REBIND_PORTS", None)]).collect()
    }

    /// The port is held, and whoever wants to can take it all the same: then another is chosen.
    fn renew_port(&mut self) -> io::Result<()> {
        let Some((held, preload)) = &mut self.program.moved else { return Ok(()) };
        let before = held.port();
        if held.renew()? {
            preload.moves_to(held.port());
            let (port, Speaker { program, route, .. }) = (held.port(), &self.speaker);
            warn!(
                kind = Kind::ProgramPortLost.id(),
                program,
                route,
                port,
                "somebody else listens at port {before}, which was the program's: it gets another"
            );
        }
        Ok(())
    }

    fn relaunch(&mut self) {
        if let Err(error) = self.launch() {
            let Speaker { program, route, .. } = &self.speaker;
            error!(kind = Kind::ProgramNotStarted.id(), program, route, %error, "the program cannot be started again");
            let now = Instant::now().into_std();
            self.pacing.started(now);
            self.state = State::Resting { until: self.pacing.next(now).into() };
        }
    }

    /// The program has ended. Some: and so is the route to.
    fn ended(&mut self, status: ExitStatus) -> Option<Ended> {
        let Speaker { program, route, .. } = &self.speaker;
        let (code, signal) = (status.code(), status.signal());
        info!(kind = Kind::ProgramEnded.id(), program, code, signal, route, "the program has ended: {status}");
        match self.program.settings.on_exit() {
            OnExit::Exit => {
                self.state = State::Gone;
                self.program.place.stands(Standing::Over(status.into()));
                return Some(status.into());
            }
            OnExit::Ignore => {
                self.state = State::Left;
                self.program.place.stands(Standing::Background);
            }
            OnExit::Respawn => {
                let now = Instant::now().into_std();
                if self.pacing.is_too_fast(now) {
                    warn!(kind = Kind::ProgramTooFast.id(), program, route, "Command respawning too fast");
                }
                self.state = State::Resting { until: self.pacing.next(now).into() };
                self.look = None;
                self.program.place.stands(Standing::Resting);
            }
        }
        None
    }

    /// What it has left in the background is gone, too.
    fn desert_if_alone(&mut self) {
        if matches!(self.state, State::Left) && descendants(Pid::this(), &self.whose()).is_empty() {
            (self.state, self.look) = (State::Gone, None);
            self.program.place.stands(Standing::Over(Ended::from(ExitStatus::default())));
        }
    }

    /// Whether the program listens where it should, or where it would have without the library.
    fn look(&mut self) {
        let Some((look, (held, preload))) = self.look.take().zip(self.program.moved.as_ref()) else { return };
        if !listeners(held.port()).is_empty() {
            return;
        }
        let at_original = listeners(preload.original());
        if !at_original.is_empty() && have_any(&descendants(Pid::this(), &self.whose()), &at_original) {
            self.tell_not_moved("it listens at that port itself: preloading has no effect on it");
            return;
        }
        if look.number < LOOKS {
            let at = look.at + FIRST_LOOK * 2_u32.pow(look.number);
            self.look = Some(Look { at, number: look.number + 1 });
        }
    }

    fn warn_if_immune(&mut self) {
        let Some(reason) = self.program.moved.as_ref().and_then(|_| immune(&self.program.settings.command)) else {
            return;
        };
        self.is_immune = true;
        self.tell_not_moved(reason.reason());
    }

    fn tell_not_moved(&self, reason: &str) {
        let Some((_, preload)) = &self.program.moved else { return };
        let (port, Speaker { program, route, .. }) = (preload.original(), &self.speaker);
        warn!(kind = Kind::ProgramNotMoved.id(), program, route, "{}", not_moved(port, reason));
        self.program.place.stands(Standing::NotMoved);
    }
}
