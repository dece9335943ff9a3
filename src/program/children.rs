//! The one place that starts children of this process, and waits for them: whoever has started one is told how it ended.
//!
//! The process becomes the parent of what its children leave behind, so that a program which goes to the background is followed
//! there. All of it happens on one thread, which lives as long as the process: the kernel ends a child with the thread that has
//! started it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid, getpgrp};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::ProgramError;
use super::child::{self, Start};
use super::descendants::{Whose, descendants};
use super::lines::Lines;
use crate::log::Kind;

/// From SIGTERM to SIGKILL.
pub const GRACE: Duration = Duration::from_secs(5);
/// What was written is read soon.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What was killed is gone soon, or hangs in the kernel.
const KILLED: Duration = Duration::from_secs(2);

/// Who is not this process's to bury is looked for so often.
const LOOK: Duration = Duration::from_millis(200);

/// The children of this process.
#[derive(Clone, Debug)]
pub struct Children {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    awaited: RefCell<HashMap<Pid, oneshot::Sender<ExitStatus>>>,
    /// Counts who was buried.
    buried: watch::Sender<u64>,
    /// Those who read what programs write.
    readers: RefCell<JoinSet<()>>,
}

/// A child that was started.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) ended: oneshot::Receiver<ExitStatus>,
}

/// Whose words they are, in the log.
#[derive(Clone, Debug)]
pub(super) struct Speaker {
    pub(super) program: String,
    pub(super) route: String,
    pub(super) session: Option<String>,
}

impl Children {
    /// Called within a runtime, on a [`LocalSet`](tokio::task::LocalSet), on the thread that lives as long as the process.
    pub fn new() -> Result<Self, ProgramError> {
        set_child_subreaper(true).map_err(ProgramError::Follow)?;
        let mut ends = signal(SignalKind::child()).map_err(ProgramError::Signal)?;
        let inner = Inner { awaited: RefCell::default(), buried: watch::Sender::new(0), readers: RefCell::default() };
        let children = Self { inner: Rc::new(inner) };
        let burying = Rc::clone(&children.inner);
        spawn_local(async move {
            while ends.recv().await.is_some() {
                burying.bury();
            }
        });
        Ok(children)
    }

    /// Starts a program, and makes records of what it writes.
    pub(super) fn start(&self, start: Start<'_>, speaker: &Speaker) -> io::Result<Child> {
        let mut child = child::spawn(start)?;
        let pid = Pid::from_raw(child.id().cast_signed());
        let (tell, ended) = oneshot::channel();
        self.inner.awaited.borrow_mut().insert(pid, tell);
        let mut readers = self.inner.readers.borrow_mut();
        while readers.try_join_next().is_some() {} // those of former lives
        for (stream, output) in
            [("stdout", child.stdout.take().map(OwnedFd::from)), ("stderr", child.stderr.take().map(OwnedFd::from))]
        {
            if let Some(output) = output {
                readers.spawn_local(hear(speaker.clone(), stream, output));
            }
        }
        Ok(Child { pid, ended })
    }

    /// Changes when somebody was buried.
    pub(super) fn burials(&self) -> watch::Receiver<u64> {
        self.inner.buried.subscribe()
    }

    /// Ends all that is meant: asks by `signal`, and kills whoever has not gone after a while, or when `impatient` resolves.
    pub(super) async fn end(&self, whose: &Whose, signal: Signal, name: &str, impatient: impl Future<Output = ()>) {
        let mut burials = self.burials();
        let mut gone = async || {
            while !descendants(Pid::this(), whose).is_empty() {
                let _ = timeout(LOOK, burials.changed()).await;
            }
        };
        send(whose, signal);
        tokio::select! {
            gone = timeout(GRACE, gone()) => if gone.is_ok() { return },
            () = impatient => {}
        }
        let processes = descendants(Pid::this(), whose).len();
        warn!(
            kind = Kind::ProgramKilled.id(),
            program = name,
            processes,
            "the program did not end in time and is killed"
        );
        let mut burials = self.burials();
        let killed = timeout(KILLED, async {
            // Who forks while it is killed leaves another to be killed.
            while send(whose, Signal::SIGKILL) {
                let _ = timeout(LOOK, burials.changed()).await;
            }
        });
        if killed.await.is_err() {
            debug!(program = name, "something of the program is left, and cannot be killed");
        }
    }

    /// Ends whatever any program has left.
    pub async fn end_all(&self, names: &str, impatient: impl Future<Output = ()>) {
        self.inner.bury();
        if !descendants(Pid::this(), &Whose::Everybodys).is_empty() {
            self.end(&Whose::Everybodys, Signal::SIGTERM, names, impatient).await;
        }
        // Nobody is left who could write, so that what there is ends.
        let mut readers = self.inner.readers.take();
        while let Ok(Some(_)) = timeout(LAST_WORDS, readers.join_next()).await {}
    }
}

impl Inner {
    /// Waits for all children that have ended, also for those that nobody has asked for.
    fn bury(&self) {
        loop {
            let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, ExitStatus::from_raw(code << 8)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, ExitStatus::from_raw(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(_) => continue,
            };
            if let Some(tell) = self.awaited.borrow_mut().remove(&pid) {
                let _ = tell.send(status); // whoever has started it may not want to know any more
            } else {
                debug!(pid = pid.as_raw(), "something that a program left behind has ended: {status}");
            }
            self.buried.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

/// Sends the signal to all that are meant: to their groups as a whole, in which nobody can be missed. Says whether there was
/// somebody.
fn send(whose: &Whose, signal: Signal) -> bool {
    let meant = descendants(Pid::this(), whose);
    let own = getpgrp();
    let groups: BTreeSet<(Pid, Option<Pid>)> = meant
        .iter()
        .map(|pid| match getpgid(Some(*pid)) {
            Ok(group) if group != own => (group, None),
            _ => (own, Some(*pid)), // who has joined the group of this process is meant alone
        })
        .collect();
    for (group, alone) in groups {
        // Whoever is gone meanwhile need not be told.
        let _ = match alone {
            None => killpg(group, signal),
            Some(pid) => kill(pid, signal),
        };
    }
    !meant.is_empty()
}

/// Makes records of what a program writes, until nobody can write any more.
async fn hear(speaker: Speaker, stream: &'static str, output: OwnedFd) {
    let Ok(mut output) = pipe::Receiver::from_owned_fd(output) else { return };
    let Speaker { program, route, session } = speaker;
    let mut lines = Lines::default();
    let mut buffer = vec![0; 4096];
    let say = |line: &str| info!(kind = Kind::ProgramOutput.id(), program, stream, route, session, "{line}");
    while let Ok(length @ 1..) = output.read(&mut buffer).await {
        lines.read(&buffer[..length], say);
    }
    lines.end(say);
}
