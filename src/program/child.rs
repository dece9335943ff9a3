//! Starting a program: its process group, its environment, its standard streams.
//!
//! Unsafe in one place, between fork and exec, where nothing but system calls are made.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, rlim_t, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

use super::preload::Preload;

/// What systemd told this process, and meant for nobody else.
const OURS: [&str; 7] =
    ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "LISTEN_PIDFDID", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// Starts a program in a process group of its own, with pipes for its output. It gets SIGTERM when the thread that calls this
/// ends, so that must be one that lives as long as the process. `descriptors`: the limits that this process was started with.
#[expect(unsafe_code, reason = "what happens between fork and exec is for the kernel alone")]
pub(super) fn spawn(
    command: &super::Command,
    preload: Option<&Preload>,
    descriptors: (rlim_t, rlim_t),
) -> io::Result<Child> {
    let mut process = Command::new(&command.program);
    process.args(&command.arguments);
    process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    process.process_group(0);
    for name in OURS {
        process.env_remove(name);
    }
    if let Some(preload) = preload {
        // What an outer program was told may not come before what this one is.
        process.env_remove("REBIND_PORTS").envs(preload.variables());
    }
    let parent = Pid::this();
    let prepare = move || {
        set_pdeathsig(Signal::SIGTERM)?;
        if getppid() != parent {
            return Err(io::ErrorKind::Interrupted.into()); // the parent is gone already, and nobody will tell
        }
        setrlimit(Resource::RLIMIT_NOFILE, descriptors.0, descriptors.1)?;
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made: nothing is allocated and no lock is taken.
    unsafe { process.pre_exec(prepare) };
    process.spawn()
}
