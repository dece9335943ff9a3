//! Starting a program: its process group, its environment, its standard streams.
//!
//! Unsafe in one place, between fork and exec, where nothing but system calls are made.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::libc::{TIOCSCTTY, ioctl};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, rlim_t, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid, setgid, setgroups, setsid, setuid};

use super::descendants::MARK;
use super::ids::Ids;
use super::settings::Settings;

/// What systemd told this process, and meant for nobody else.
const OURS: [&str; 8] = [
    "CREDENTIALS_DIRECTORY",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// A program that is to be started once.
pub(super) struct Start<'a> {
    pub(super) settings: &'a Settings,
    /// As whom it runs.
    pub(super) ids: &'a Ids,
    /// By what its processes are known.
    pub(super) mark: &'a str,
    /// What is set in its environment besides, and what is taken out of it.
    pub(super) variables: Vec<(&'static str, Option<OsString>)>,
    pub(super) streams: Streams,
    /// The limits that this process was started with.
    pub(super) descriptors: (rlim_t, rlim_t),
}

/// What a program has as standard input, output and error.
#[derive(Debug)]
pub(super) enum Streams {
    /// Nothing, and two pipes.
    Heard,
    /// A socket, and a pipe.
    Socket(OwnedFd),
    /// A terminal, which becomes the one of its session.
    Terminal(OwnedFd),
}

/// Starts a program in a process group of its own. It gets SIGTERM when the thread that calls this ends, so that must be one
/// that lives as long as the process.
#[expect(unsafe_code, reason = "what happens between fork and exec is for the kernel alone")]
pub(super) fn spawn(start: Start<'_>) -> io::Result<Child> {
    let Start { settings, ids, mark, variables, streams, descriptors } = start;
    let command = &settings.command;
    let mut process = Command::new(&command.program);
    process.args(&command.arguments);
    let terminal = matches!(streams, Streams::Terminal(_));
    match streams {
        Streams::Heard => process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()),
        Streams::Socket(socket) => {
            process.stdin(socket.try_clone()?).stdout(Stdio::from(socket)).stderr(Stdio::piped())
        }
        Streams::Terminal(terminal) => {
            process.stdin(terminal.try_clone()?).stdout(terminal.try_clone()?).stderr(Stdio::from(terminal))
        }
    };
    if !terminal {
        process.process_group(0); // a session of its own has one
    }
    for name in OURS {
        process.env_remove(name);
    }
    if let Some(user) = ids.user() {
        process.env("HOME", &user.dir).env("SHELL", &user.shell).env("USER", &user.name).env("LOGNAME", &user.name);
    }
    for (name, value) in variables {
        match value {
            Some(value) => process.env(name, value),
            None => process.env_remove(name),
        };
    }
    process.envs(&settings.environment).env(MARK, mark);
    if let Some(directory) = &settings.working_directory {
        process.current_dir(directory);
    }
    let ids = ids.to_set();
    let parent = Pid::this();
    let prepare = move || {
        if terminal {
            setsid()?;
            // SAFETY: standard input is the terminal, and the request takes no pointer.
            Errno::result(unsafe { ioctl(0, TIOCSCTTY, 0) })?;
        }
        setrlimit(Resource::RLIMIT_NOFILE, descriptors.0, descriptors.1)?;
        if let Some((groups, gid, uid)) = &ids {
            setgroups(groups)?;
            setgid(*gid)?;
            if let Some(uid) = uid {
                setuid(*uid)?;
            }
        }
        // A change of ids has forgotten it.
        set_pdeathsig(Signal::SIGTERM)?;
        if getppid() != parent {
            return Err(io::ErrorKind::Interrupted.into()); // the parent is gone already, and nobody will tell
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made: nothing is allocated and no lock is taken.
    unsafe { process.pre_exec(prepare) };
    let _nobody_opens = between_forks();
    process.spawn()
}

/// Nothing is forked as long as this is held: for descriptors that are told to close at an exec only after they were opened.
pub(super) fn between_forks() -> MutexGuard<'static, ()> {
    static FORKS: Mutex<()> = Mutex::new(());
    FORKS.lock().unwrap_or_else(PoisonError::into_inner)
}
