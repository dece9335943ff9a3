//! The daemon's side of a session's unit.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::super::ProgramError;
use super::super::session::{Guest, Started};
use super::super::settings::Settings;
use super::message::{LINE_BYTES_MAX, MessageError, News, introduction, take_line};

/// Has systemd make a unit for `guest`: the session's end of its program, and how that ends.
pub(in super::super) async fn start(
    settings: &Settings,
    socket: &Path,
    guest: &Guest,
) -> Result<(OwnedFd, Started), ProgramError> {
    let program = || settings.command.program.to_string_lossy().into_owned();
    let mut unit = UnixStream::connect(socket)
        .await
        .map_err(|source| ProgramError::UnitSocket { path: socket.to_owned(), source })?;
    let ended = |error: io::Error| {
        let why = settings.stranger().unwrap_or_else(|| "its unit ended before it began".to_owned());
        ProgramError::Unit { program: program(), source: io::Error::new(error.kind(), why) }
    };
    unit.write_all(introduction(guest).as_bytes()).await.map_err(ended)?;
    let mut read = Vec::new();
    let (news, end) = first_news(&unit, &mut read).await.map_err(ended)?;
    match (news, end) {
        (News::Started, Some(end)) => {
            let ((tell, told), (leash, hang_up)) = (oneshot::channel(), oneshot::channel());
            spawn_local(follow(unit, read, tell, hang_up));
            Ok((end, (told, leash)))
        }
        (News::Failed(errno), _) => {
            Err(ProgramError::Start { program: program(), source: io::Error::from_raw_os_error(errno) })
        }
        (News::Started | News::Ended(_), _) => Err(ended(MessageError.into())),
    }
}

/// The first line, and what comes with it. What was read beyond is left in `read`.
async fn first_news(unit: &UnixStream, read: &mut Vec<u8>) -> io::Result<(News, Option<OwnedFd>)> {
    let mut end = None;
    loop {
        if let Some(line) = take_line(read)? {
            return Ok((line.parse()?, end));
        }
        unit.readable().await?;
        let mut buffer = [0; LINE_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut message = RecvAncillaryBuffer::new(&mut space);
        let received = unit.try_io(Interest::READABLE, || {
            Ok(recvmsg(unit, &mut [IoSliceMut::new(&mut buffer)], &mut message, RecvFlags::CMSG_CLOEXEC)?.bytes)
        });
        match received {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => read.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        for part in message.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = part {
                end = descriptors.last().or(end);
            }
        }
    }
}

/// Tells how the program ends, and hangs up with its session.
async fn follow(
    mut unit: UnixStream,
    mut read: Vec<u8>,
    tell: oneshot::Sender<ExitStatus>,
    hang_up: oneshot::Receiver<()>,
) {
    let ended = async {
        loop {
            match take_line(&mut read) {
                Ok(Some(line)) => return line.parse().ok(),
                Ok(None) => {}
                Err(MessageError) => return None,
            }
            let mut buffer = [0; LINE_BYTES_MAX];
            match unit.read(&mut buffer).await {
                Ok(length @ 1..) => read.extend_from_slice(&buffer[..length]),
                Ok(0) | Err(_) => return None,
            }
        }
    };
    tokio::select! {
        news = ended => {
            let status = match news {
                Some(News::Ended(ended)) => ended.status(),
                // The unit was stopped, or killed as a whole.
                _ => u8::MAX,
            };
            let _ = tell.send(ExitStatus::from_raw(i32::from(status) << 8)); // a session that is over has dropped its end
        }
        _ = hang_up => {}
    }
}
