//! The main process of a session's unit: starts the program, and stays to tell how it ends.
//!
//! Promise: it ends with the program, and as soon as the daemon hangs up; whatever the program has started, systemd ends then,
//! by the unit's control group. It reads one line of the connection and takes nothing from it but who has come.
//!
//! It runs with the program's own rights, behind everything that the unit sets. Who has connected is not asked: the socket lies
//! where nobody but root and the route's service gets.

use std::io::{self, IoSlice, Read as _, Write as _, stdin};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{ChildStderr, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tracing::info;

use super::super::child::{Start, spawn};
use super::super::ids::Ids;
use super::super::lines::Lines;
use super::super::session::{Guest, ends, variables};
use super::super::settings::{Command, Role, Settings, Stdio, Supervision};
use super::super::{Descriptors, Ended, ProgramError};
use super::message::{LINE_BYTES_MAX, MessageError, News, introduced, take_line};
use crate::log::Kind;

/// A daemon says at once who has come.
const INTRODUCTION: Duration = Duration::from_secs(10);

/// What the program wrote into its standard error before its end is read until then, should something of it go on writing.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs `command` for the session that is on standard input, and returns when it has ended.
pub fn attend(route: &str, command: Command, stdio: Stdio) -> Result<(), ProgramError> {
    let program = command.name();
    let failed = |source| ProgramError::Start { program: program.clone(), source };
    let mut daemon = stdin().as_fd().try_clone_to_owned().map(UnixStream::from).map_err(failed)?;
    let guest = meet(&mut daemon).map_err(failed)?;
    let settings = Settings {
        command,
        role: Role::PerSession { stdio },
        supervision: Supervision::Child,
        // All of this is set already, by the unit.
        user: None,
        group: None,
        working_directory: None,
        environment: std::collections::BTreeMap::new(),
    };
    let started = begin(&settings, stdio, &guest);
    let (end, mut child) = started.map_err(|source| {
        let errno = source.raw_os_error().unwrap_or(Errno::EIO as i32);
        // A daemon that is gone need not know.
        let _ = daemon.write_all(News::Failed(errno).to_string().as_bytes());
        failed(source)
    })?;
    hand_over(&daemon, &end).map_err(failed)?;
    drop(end); // the daemon's alone, so that each side hears of the other's end
    let errors = child.stderr.take().map(|stderr| hear(stderr, program.clone(), route.to_owned(), guest.session));
    let (tell, first) = mpsc::channel();
    let (tell_too, line) = (tell.clone(), daemon.try_clone().map_err(failed)?);
    thread::spawn(move || {
        wait_for_end(line);
        tell_too.send(First::HungUp)
    });
    thread::spawn(move || tell.send(First::Ended(child.wait())));
    // Both threads live until one of them has told.
    let Ok(First::Ended(status)) = first.recv() else { return Ok(()) };
    let ended = Ended::from(status.map_err(failed)?);
    if let Some(errors) = errors {
        let _ = errors.recv_timeout(LAST_WORDS);
    }
    let _ = daemon.write_all(News::Ended(ended).to_string().as_bytes()); // a daemon that is gone need not know
    Ok(())
}

/// Who is gone first.
enum First {
    Ended(io::Result<ExitStatus>),
    HungUp,
}

/// Reads who has come.
fn meet(daemon: &mut UnixStream) -> io::Result<Guest> {
    daemon.set_read_timeout(Some(INTRODUCTION))?;
    let mut read = Vec::new();
    loop {
        if let Some(line) = take_line(&mut read)? {
            daemon.set_read_timeout(None)?;
            return Ok(introduced(&line)?);
        }
        let mut buffer = [0; LINE_BYTES_MAX];
        match daemon.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => read.extend_from_slice(&buffer[..length]),
        }
    }
}

/// Starts the program: the session's end of it, and the child.
fn begin(settings: &Settings, stdio: Stdio, guest: &Guest) -> io::Result<(OwnedFd, std::process::Child)> {
    let (ours, streams) = ends(stdio, guest.window)?;
    let Descriptors(soft, hard) = Descriptors::of_this_process();
    let child = spawn(Start {
        settings,
        ids: &Ids::of(settings)?,
        mark: &guest.session,
        variables: variables(guest, stdio),
        streams,
        descriptors: (soft, hard),
    })?;
    Ok((ours, child))
}

/// Tells that the program runs, and gives the session's end of it away.
fn hand_over(daemon: &UnixStream, end: &OwnedFd) -> io::Result<()> {
    let line = News::Started.to_string();
    let ends = [end.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    message.push(SendAncillaryMessage::ScmRights(&ends));
    let sent = sendmsg(daemon, &[IoSlice::new(line.as_bytes())], &mut message, SendFlags::NOSIGNAL)?;
    if sent == line.len() { Ok(()) } else { Err(MessageError.into()) }
}

/// Nothing more is said: whatever comes, only its end counts.
fn wait_for_end(mut daemon: UnixStream) {
    while let Ok(1..) = daemon.read(&mut [0; LINE_BYTES_MAX]) {}
}

/// Makes records of what the program writes to its standard error; says when that has ended.
fn hear(mut stderr: ChildStderr, program: String, route: String, session: String) -> mpsc::Receiver<()> {
    let (over, heard) = mpsc::channel();
    thread::spawn(move || {
        let say = |line: &str| {
            info!(kind = Kind::ProgramOutput.id(), program, stream = "stderr", route, session, "{line}");
        };
        let (mut lines, mut buffer) = (Lines::default(), [0; 4096]);
        while let Ok(length @ 1..) = stderr.read(&mut buffer) {
            lines.read(&buffer[..length], say);
        }
        lines.end(say);
        drop(over);
    });
    heard
}
