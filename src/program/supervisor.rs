//! The life of a program: started, heard, buried, started again, and ended with the daemon.
//!
//! The process becomes the parent of what its children leave behind, so that a program which goes to the background is
//! followed there. This is the only place that waits for children: it buries all that there are.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error, info, warn};

use super::descendants::descendants;
use super::lines::Lines;
use super::pacing::{OnExit, Pacing};
use super::settings::Role;
use super::{Ended, Program, ProgramError, child};
use crate::log::Kind;

/// From SIGTERM to SIGKILL.
pub const GRACE: Duration = Duration::from_secs(5);
/// What was written is read soon.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What was killed is gone soon, or hangs in the kernel.
const KILLED: Duration = Duration::from_secs(2);

/// A program in the daemon's care.
pub struct Supervisor {
    program: Program,
    name: String,
    on_exit: OnExit,
    pacing: Pacing,
    state: State,
    /// The group of the program that was started last.
    group: Option<Pid>,
    children: tokio::signal::unix::Signal,
    /// Those who read what it writes.
    readers: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running(Pid),
    /// Between two lives.
    Resting {
        until: Instant,
    },
    /// It will not be started again.
    Over,
}

impl Supervisor {
    /// Starts the program. Called within a runtime, on the thread that lives as long as the process.
    pub fn start(program: Program) -> Result<Self, ProgramError> {
        set_child_subreaper(true).map_err(ProgramError::Follow)?;
        let children = signal(SignalKind::child()).map_err(ProgramError::Signal)?;
        let on_exit = match program.settings.role {
            Role::Service { on_exit, .. } => on_exit,
            Role::PerSession { .. } => OnExit::Ignore,
        };
        let mut supervisor = Self {
            on_exit,
            name: program.settings.command.name(),
            pacing: Pacing::new(Instant::now().into_std()),
            program,
            state: State::Over,
            group: None,
            children,
            readers: JoinSet::new(),
        };
        supervisor.launch().map_err(|source| {
            let program = supervisor.program.settings.command.program.to_string_lossy().into_owned();
            ProgramError::Start { program, source }
        })?;
        Ok(supervisor)
    }

    /// Resolves when the daemon is to end because the program has. Can be dropped and called again at any time.
    pub async fn over(&mut self) -> Ended {
        loop {
            match self.state {
                State::Resting { until } => {
                    tokio::select! {
                        () = sleep_until(until) => self.relaunch(),
                        _ = self.children.recv() => drop(self.bury()),
                    }
                }
                State::Running(_) | State::Over => {
                    if self.children.recv().await.is_none() {
                        pending::<()>().await;
                    }
                    let buried = self.bury();
                    if let Some(ended) = buried.status.and_then(|status| self.ended(status)) {
                        return ended;
                    }
                    if buried.alone
                        && self.state == State::Over
                        && let Some(place) = self.program.place()
                    {
                        place.desert();
                    }
                }
            }
        }
    }

    /// Ends the program and all that it has started: asks first, and kills whoever has not gone after a while, or when
    /// `impatient` resolves.
    pub async fn stop(mut self, impatient: impl Future<Output = ()>) {
        self.state = State::Over;
        if !self.bury().alone {
            self.end(impatient).await;
        }
        // Nobody is left who could write, so that what there is ends.
        while let Ok(Some(_)) = timeout(LAST_WORDS, self.readers.join_next()).await {}
    }

    /// From the first signal to the last.
    async fn end(&mut self, impatient: impl Future<Output = ()>) {
        info!(kind = Kind::ProgramStopping.id(), program = self.name, "ending the program");
        self.signal_all(Signal::SIGTERM);
        tokio::select! {
            gone = timeout(GRACE, self.alone()) => if gone.is_ok() { return },
            () = impatient => {}
        }
        let left = descendants(Pid::this()).len();
        warn!(
            kind = Kind::ProgramKilled.id(),
            program = self.name,
            processes = left,
            "the program did not end in time and is killed"
        );
        let killed = timeout(KILLED, async {
            // Who forks while it is killed leaves another to be killed.
            while !self.bury().alone {
                self.signal_all(Signal::SIGKILL);
                self.children.recv().await;
            }
        });
        if killed.await.is_err() {
            debug!(program = self.name, "something of the program is left, and cannot be killed");
        }
    }

    fn launch(&mut self) -> io::Result<()> {
        let settings = &self.program.settings;
        let preload = self.program.moved.as_ref().map(|(_, preload)| preload);
        let mut child = child::spawn(&settings.command, preload, self.program.descriptors)?;
        let pid = Pid::from_raw(child.id().cast_signed());
        while self.readers.try_join_next().is_some() {} // those of former lives
        self.pacing.started(Instant::now().into_std());
        (self.state, self.group) = (State::Running(pid), Some(pid));
        info!(
            kind = Kind::ProgramStarted.id(),
            program = self.name,
            pid = pid.as_raw(),
            "Starting '{}'",
            settings.command
        );
        for (stream, output) in
            [("stdout", child.stdout.take().map(OwnedFd::from)), ("stderr", child.stderr.take().map(OwnedFd::from))]
        {
            if let Some(output) = output {
                self.readers.spawn_local(tell(self.name.clone(), stream, output));
            }
        }
        Ok(())
    }

    fn relaunch(&mut self) {
        if let Err(error) = self.launch() {
            let program = &self.name;
            error!(kind = Kind::ProgramNotStarted.id(), program, %error, "the program cannot be started again");
            let now = Instant::now().into_std();
            self.pacing.started(now);
            self.state = State::Resting { until: self.pacing.next(now).into() };
        }
    }

    /// The program has ended. Some: and the daemon is to end.
    fn ended(&mut self, status: ExitStatus) -> Option<Ended> {
        let (program, code, signal) = (&self.name, status.code(), status.signal());
        info!(kind = Kind::ProgramEnded.id(), program, code, signal, "the program has ended: {status}");
        self.state = State::Over;
        match self.on_exit {
            OnExit::Exit => return Some(status.into()),
            OnExit::Ignore => {}
            OnExit::Respawn => {
                let now = Instant::now().into_std();
                if self.pacing.is_too_fast(now) {
                    warn!(kind = Kind::ProgramTooFast.id(), program, "Command respawning too fast");
                }
                self.state = State::Resting { until: self.pacing.next(now).into() };
            }
        }
        None
    }

    /// Waits for all children that have ended: only one of them is the program.
    fn bury(&mut self) -> Buried {
        let mut buried = Buried { status: None, alone: false };
        loop {
            let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, ExitStatus::from_raw(code << 8)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, ExitStatus::from_raw(signal as i32)),
                Ok(WaitStatus::StillAlive) => return buried,
                Err(Errno::ECHILD) => {
                    buried.alone = true;
                    return buried;
                }
                Ok(_) | Err(_) => continue,
            };
            if self.state == State::Running(pid) {
                buried.status = Some(status);
            } else {
                debug!(
                    program = self.name,
                    pid = pid.as_raw(),
                    "something that the program left behind has ended: {status}"
                );
            }
        }
    }

    /// Resolves when the program and all that it has started are gone.
    async fn alone(&mut self) {
        while !self.bury().alone {
            self.children.recv().await;
        }
    }

    /// The group, in which nobody can be missed, and whoever has left it.
    fn signal_all(&self, signal: Signal) {
        // Whoever is gone meanwhile need not be told.
        if let Some(group) = self.group {
            let _ = killpg(group, signal);
        }
        for pid in descendants(Pid::this()) {
            let _ = kill(pid, signal);
        }
    }
}

/// What became of the children.
struct Buried {
    /// The program's own end.
    status: Option<ExitStatus>,
    /// There are no more.
    alone: bool,
}

/// Makes records of what a program writes, until nobody can write any more.
async fn tell(program: String, stream: &'static str, output: OwnedFd) {
    let Ok(mut output) = pipe::Receiver::from_owned_fd(output) else { return };
    let mut lines = Lines::default();
    let mut buffer = vec![0; 4096];
    let say = |line: &str| info!(kind = Kind::ProgramOutput.id(), program, stream, "{line}");
    while let Ok(length @ 1..) = output.read(&mut buffer).await {
        lines.read(&buffer[..length], say);
    }
    lines.end(say);
}
