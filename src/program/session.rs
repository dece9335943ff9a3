//! A program that a session has for itself, as inetd's services are: on a socket pair, or on a terminal of its own.
//!
//! Promise: the program learns who has come; it ends with its session, and the session with it, when all that it has written
//! was read. Sessions are on many threads, and children are started on one: a [`Launcher`] is the way there. What the service
//! manager starts is in a [`mod@unit`].

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::resource::rlim_t;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::{OnceCell, mpsc, oneshot};
use tokio::task::{spawn_blocking, spawn_local};
use tracing::debug;

use super::child::{Start, Streams};
use super::children::{Child, Children, Speaker};
use super::descendants::{Whose, descendants};
use super::ids::Ids;
use super::settings::{Command, Role, Settings, Stdio};
use super::terminal::{Window, open_terminal};
use super::{Ended, ProgramError, unit};
use crate::relay::end::TargetFailed;

/// Sessions that wait for their programs at a time.
const QUEUE: usize = 64;

/// Who has come.
#[derive(Clone, Debug, Default)]
pub struct Guest {
    /// None: a client of a Unix socket has none.
    pub address: Option<SocketAddr>,
    /// What the log calls the session.
    pub session: String,
    /// How large its window is, for a terminal.
    pub window: Window,
}

/// What a program is told of its session, by variables; None is one that it must not have.
pub fn variables(guest: &Guest, stdio: Stdio) -> Vec<(&'static str, Option<OsString>)> {
    let ip = guest.address.map(|address| address.ip().to_string().into());
    let port = guest.address.map(|address| address.port().to_string().into());
    let mut variables =
        vec![("REMOTE_ADDR", ip), ("REMOTE_PORT", port), ("WEBSOCKIFY_SESSION", Some(guest.session.clone().into()))];
    if stdio == Stdio::Terminal {
        variables.push(("TERM", Some("xterm-256color".into())));
        // Of the terminal that this process may have been started from.
        variables.extend([("COLUMNS", None), ("LINES", None)]);
    }
    variables
}

/// What a session and its program speak through: the session's end, and what the program gets.
pub(super) fn ends(stdio: Stdio, window: Window) -> io::Result<(OwnedFd, Streams)> {
    match stdio {
        Stdio::Socket => {
            let (ours, theirs) = StdUnixStream::pair()?;
            Ok((ours.into(), Streams::Socket(theirs.into())))
        }
        Stdio::Terminal => {
            let (ours, theirs) = open_terminal(window)?;
            Ok((ours, Streams::Terminal(theirs)))
        }
    }
}

/// The program of each session of a route.
#[derive(Clone, Debug)]
pub struct PerSession {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    route: String,
    stdio: Stdio,
    starter: Starter,
    /// As whom, since the first session; only children of this process need it.
    ids: OnceCell<Ids>,
}

/// Who starts the programs of sessions.
#[derive(Clone, Debug)]
enum Starter {
    /// This process, on the thread of its children.
    Children(Launcher),
    /// The service manager, which listens there.
    Units(Arc<Path>),
}

impl PerSession {
    /// Children of this process. None: the program is not for sessions.
    pub fn new(settings: &Settings, route: &str, launcher: &Launcher) -> Option<Self> {
        Self::by(settings, route, Starter::Children(launcher.clone()))
    }

    /// The same as units, which the service manager makes for whoever connects to `socket`.
    pub fn of_units(settings: &Settings, route: &str, socket: &Path) -> Option<Self> {
        Self::by(settings, route, Starter::Units(socket.into()))
    }

    fn by(settings: &Settings, route: &str, starter: Starter) -> Option<Self> {
        let Role::PerSession { stdio } = settings.role else { return None };
        let (settings, route) = (settings.clone(), route.to_owned());
        Some(Self { shared: Arc::new(Shared { settings, route, stdio, starter, ids: OnceCell::new() }) })
    }

    /// What is run.
    pub fn command(&self) -> &Command {
        &self.shared.settings.command
    }

    /// Starts it for a session.
    pub async fn start(&self, guest: Guest) -> Result<Stream, ProgramError> {
        let failed = |source| {
            let program = self.shared.settings.command.program.to_string_lossy().into_owned();
            ProgramError::Start { program, source }
        };
        let launcher = match &self.shared.starter {
            Starter::Children(launcher) => launcher,
            Starter::Units(socket) => {
                let (end, (ended, leash)) = unit::start(&self.shared.settings, socket, &guest).await?;
                let end = self.end(end).map_err(failed)?;
                return Ok(Stream { end, ended, status: None, leash: Some(leash) });
            }
        };
        let ids = self.shared.ids.get_or_try_init(|| self.look_up()).await.map_err(failed)?.clone();
        let (end, streams) = ends(self.shared.stdio, guest.window).map_err(failed)?;
        let end = self.end(end).map_err(failed)?;
        let (answer, started) = oneshot::channel();
        let request = Request { program: self.clone(), ids, guest, streams, answer };
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        launcher.requests.send(request).await.map_err(|_| failed(io::ErrorKind::BrokenPipe.into()))?;
        let (ended, leash) = started.await.map_err(gone).flatten().map_err(failed)?;
        Ok(Stream { end, ended, status: None, leash: Some(leash) })
    }

    /// Off the threads of sessions: the tables may be far away.
    async fn look_up(&self) -> io::Result<Ids> {
        let shared = Arc::clone(&self.shared);
        spawn_blocking(move || Ids::of(&shared.settings)).await?
    }

    fn end(&self, ours: OwnedFd) -> io::Result<End> {
        fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))?;
        match self.shared.stdio {
            Stdio::Socket => Ok(End::Socket(UnixStream::from_std(ours.into())?)),
            Stdio::Terminal => {
                // Not pipes, and used like two: it has a side for each direction.
                let writes = pipe::Sender::from_owned_fd_unchecked(ours.try_clone()?)?;
                let reads = pipe::Receiver::from_owned_fd_unchecked(ours)?;
                Ok(End::Terminal { reads, writes })
            }
        }
    }
}

impl PartialEq for PerSession {
    fn eq(&self, other: &Self) -> bool {
        self.shared.settings == other.shared.settings && self.shared.route == other.shared.route
    }
}

impl Eq for PerSession {}

/// A session that wants its program.
#[derive(Debug)]
struct Request {
    program: PerSession,
    ids: Ids,
    guest: Guest,
    streams: Streams,
    answer: oneshot::Sender<io::Result<Started>>,
}

/// How the program ends, and what ends it when it is dropped.
pub(super) type Started = (oneshot::Receiver<ExitStatus>, oneshot::Sender<()>);

/// The way from sessions to the thread that starts children.
#[derive(Clone, Debug)]
pub struct Launcher {
    requests: mpsc::Sender<Request>,
}

/// Where requests of sessions arrive.
#[derive(Debug)]
pub struct Launches {
    requests: mpsc::Receiver<Request>,
    descriptors: (rlim_t, rlim_t),
}

impl Launcher {
    /// `descriptors`: the limits that programs get.
    pub(super) fn pair(descriptors: (rlim_t, rlim_t)) -> (Self, Launches) {
        let (requests, arriving) = mpsc::channel(QUEUE);
        (Self { requests }, Launches { requests: arriving, descriptors })
    }
}

impl Launches {
    /// Starts what is asked for, until nobody can ask any more. Runs where the children are.
    pub async fn serve(mut self, children: Children) {
        while let Some(Request { program, ids, guest, streams, answer }) = self.requests.recv().await {
            let Shared { settings, route, stdio, .. } = &*program.shared;
            let speaker = Speaker {
                program: settings.command.name(),
                route: route.clone(),
                session: Some(guest.session.clone()),
            };
            let start = Start {
                settings,
                ids: &ids,
                mark: &guest.session,
                variables: variables(&guest, *stdio),
                streams,
                descriptors: self.descriptors,
            };
            let started = children.start(start, &speaker).map(|child| {
                let ((tell, ended), (leash, end)) = (oneshot::channel(), oneshot::channel());
                let keeping = keep(child, children.clone(), *stdio, speaker, tell, end);
                spawn_local(keeping);
                (ended, leash)
            });
            // A session that did not wait has dropped its end of the leash with the answer.
            let _ = answer.send(started);
        }
    }
}

/// Tells how the program ends, and ends it with its session, with all that is in its group.
async fn keep(
    child: Child,
    children: Children,
    stdio: Stdio,
    speaker: Speaker,
    tell: oneshot::Sender<ExitStatus>,
    mut end: oneshot::Receiver<()>,
) {
    let Child { pid, mut ended } = child;
    tokio::select! {
        status = &mut ended => {
            let status = status.unwrap_or_default();
            let Speaker { program, route, session } = &speaker;
            debug!(program, route, session, "the program has ended: {status}");
            let _ = tell.send(status);
            if descendants(Pid::this(), &Whose::Group(pid)).is_empty() {
                return; // the number of its group may be somebody else's by the time the session ends
            }
            let _ = end.await;
        }
        _ = &mut end => {}
    }
    // A terminal that is gone hangs up; shells hear of nothing else.
    let signal = if stdio == Stdio::Terminal { Signal::SIGHUP } else { Signal::SIGTERM };
    children.end(&Whose::Group(pid), signal, &speaker.program, std::future::pending()).await;
}

/// A session's end of its program. Dropped, it ends the program.
#[derive(Debug)]
pub struct Stream {
    end: End,
    ended: oneshot::Receiver<ExitStatus>,
    /// How it ended.
    status: Option<ExitStatus>,
    leash: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
enum End {
    Socket(UnixStream),
    Terminal { reads: pipe::Receiver, writes: pipe::Sender },
}

impl Stream {
    /// The program's end, once it is there.
    fn poll_status(&mut self, cx: &mut Context<'_>) -> Poll<ExitStatus> {
        let status = match self.status {
            Some(status) => status,
            // Without a word it was ended by us, in the end of the daemon.
            None => ready!(Pin::new(&mut self.ended).poll(cx)).unwrap_or_default(),
        };
        self.status = Some(status);
        Poll::Ready(status)
    }

    /// The end of what the program says, when its status is there.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let status = ready!(self.poll_status(cx));
        if status.success() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Ready(Err(io::Error::other(TargetFailed(Ended::from(status).status()))))
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        // First: what it has written before its end is there by now, and read below.
        let is_over = stream.poll_status(cx).is_ready();
        let before = buf.filled().len();
        let read = match &mut stream.end {
            End::Socket(socket) => Pin::new(socket).poll_read(cx, buf),
            End::Terminal { reads, .. } => Pin::new(reads).poll_read(cx, buf),
        };
        match read {
            Poll::Ready(Ok(())) if buf.filled().len() > before => Poll::Ready(Ok(())),
            Poll::Pending if !is_over => Poll::Pending,
            // What it wrote last may be there although the runtime has not heard of it.
            Poll::Pending => match nix::unistd::read(stream.end.as_fd(), buf.initialize_unfilled()) {
                Ok(count @ 1..) => {
                    buf.advance(count);
                    Poll::Ready(Ok(()))
                }
                Ok(0) | Err(_) => stream.poll_end(cx),
            },
            Poll::Ready(Err(error)) if !is_lost(&error) => Poll::Ready(Err(error)),
            // What it has left in the background may still hold the other end: that is not waited for.
            Poll::Ready(_) => stream.poll_end(cx),
        }
    }
}

/// Nobody has the other end any more.
fn is_lost(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EIO as i32)
        || matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { end, status, .. } = self.get_mut();
        let written = match end {
            End::Socket(socket) => ready!(Pin::new(socket).poll_write(cx, bytes)),
            End::Terminal { writes, .. } => ready!(Pin::new(writes).poll_write(cx, bytes)),
        };
        match written {
            // It hears no more, which is no end: the read side tells of that, and how it came about.
            Err(error) if is_lost(&error) && status.is_none() => Poll::Pending,
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// A socket can say that no more comes. A terminal cannot: it hangs up.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        match &mut stream.end {
            End::Socket(socket) => Pin::new(socket).poll_shutdown(cx),
            End::Terminal { .. } => {
                drop(stream.leash.take());
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Socket(socket) => socket.as_fd(),
            Self::Terminal { reads, .. } => reads.as_fd(),
        }
    }
}
