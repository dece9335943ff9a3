//! A stream whose every fault the test decides: reads cut anywhere, short writes, pauses, stalls, resets and ends.
//!
//! A pause registers only the waker of the poll that found it, with tokio's clock: whoever forgets to ask again is never
//! woken for it, and the virtual time runs into the test's deadline.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::future::Future as _;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use websockify::splice::{Pipe, Splice};
use websockify::websocket::codec::Protocol;

use super::frames::{BINARY, Received, first_whole, received};

/// What one splice moves at most: what a socket of this machine holds without anybody's reading it.
const SPLICED_BYTES_MAX: usize = 32 * 1024;

/// What a side does next.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    Bytes(Vec<u8>),
    Pause(Duration),
    /// Says no more until our Close has reached it.
    AwaitClose,
    /// Says no more until we have shut down our direction.
    AwaitShut,
    Eof,
    Reset,
    /// Says nothing any more, and does not go.
    Silence,
    /// Never stops talking.
    Endless,
}

/// How it lets bytes through, in turn and over and over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    AtMost(usize),
    /// For a millisecond.
    Pause,
    Wait(Duration),
    /// Not now, but as soon as asked again.
    Blink,
}

pub(crate) fn pace() -> impl Strategy<Value = Vec<Pace>> {
    let step = prop_oneof![
        3 => (1..20_usize).prop_map(Pace::AtMost),
        2 => (20..2000_usize).prop_map(Pace::AtMost),
        2 => Just(Pace::AtMost(usize::MAX)),
        2 => Just(Pace::Pause),
        1 => Just(Pace::Blink),
    ];
    prop::collection::vec(step, 1..6).prop_map(|mut pace| {
        pace.push(Pace::AtMost(100_000)); // whatever is in it, it moves
        pace
    })
}

#[derive(Clone)]
pub(crate) struct Stream(pub(crate) Rc<RefCell<State>>);

pub(crate) struct State {
    say: VecDeque<Say>,
    reads: Gate,
    writes: Gate,
    reader: Option<Waker>,
    /// What it got, when from us it was shut down, and what was read from it.
    pub(crate) got: Vec<u8>,
    pub(crate) shut: Option<Instant>,
    pub(crate) said: usize,
    /// It fails at this byte of what it gets.
    pub(crate) breaks_at: Option<(usize, io::ErrorKind)>,
    /// It takes nothing before.
    pub(crate) stalled_until: Option<Instant>,
    /// Whether it says that bytes may go past the loop, and if so, whether the kernel then knows how.
    splices: Option<bool>,
    /// It got something out of a pipe.
    spliced: bool,
    /// It is a client, which speaks this: what it gets is frames.
    client: Option<Protocol>,
    /// Where the frame begins of which the rest has not come.
    frame: usize,
    /// Our Close has come.
    closed: bool,
}

impl State {
    /// How many bytes it takes now, at least one.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        assert!(self.shut.is_none(), "written behind the shutdown");
        if let Some(until) = self.stalled_until {
            ready!(self.writes.pause(cx, until - Instant::now()));
            self.stalled_until = None;
        }
        let count = ready!(self.writes.poll(cx));
        let Some((byte, kind)) = self.breaks_at else { return Poll::Ready(Ok(count)) };
        let left = byte - self.got.len();
        Poll::Ready(if left == 0 { Err(kind.into()) } else { Ok(count.min(left)) })
    }

    fn look_for_close(&mut self) {
        let Some(protocol) = self.client else { return };
        while let Some((closes, length)) = first_whole(protocol, &self.got[self.frame..]) {
            self.frame += length;
            self.closed |= closes;
        }
        if self.closed
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
    }
}

impl Stream {
    pub(crate) fn client(say: Vec<Say>, reads: &[Pace], writes: &[Pace]) -> Self {
        Self::client_of(BINARY, say, reads, writes)
    }

    pub(crate) fn client_of(protocol: Protocol, say: Vec<Say>, reads: &[Pace], writes: &[Pace]) -> Self {
        Self::new(say, reads, writes, Some(protocol))
    }

    pub(crate) fn target(say: Vec<Say>, reads: &[Pace], writes: &[Pace]) -> Self {
        Self::new(say, reads, writes, None)
    }

    /// A client that takes everything and is not asked what it got.
    pub(crate) fn sink(say: Vec<Say>) -> Self {
        Self::new(say, &[], &[], None)
    }

    fn new(say: Vec<Say>, reads: &[Pace], writes: &[Pace], client: Option<Protocol>) -> Self {
        Self(Rc::new(RefCell::new(State {
            say: say.into(),
            reads: Gate::new(reads),
            writes: Gate::new(writes),
            reader: None,
            got: Vec::new(),
            shut: None,
            said: 0,
            breaks_at: None,
            stalled_until: None,
            splices: None,
            spliced: false,
            client,
            frame: 0,
            closed: false,
        })))
    }

    pub(crate) fn breaks_at(self, byte: usize, kind: io::ErrorKind) -> Self {
        self.0.borrow_mut().breaks_at = Some((byte, kind));
        self
    }

    pub(crate) fn stalled_for(self, time: Duration) -> Self {
        self.0.borrow_mut().stalled_until = Some(Instant::now() + time);
        self
    }

    /// Its bytes may go past the loop.
    pub(crate) fn bare(self) -> Self {
        self.0.borrow_mut().splices = Some(true);
        self
    }

    /// They may, it says, and cannot.
    pub(crate) fn bare_in_vain(self) -> Self {
        self.0.borrow_mut().splices = Some(false);
        self
    }

    pub(crate) fn is_spliced(&self) -> bool {
        self.0.borrow().spliced
    }

    pub(crate) fn got(&self) -> Vec<u8> {
        self.0.borrow().got.clone()
    }

    /// What it got, read as a client does.
    pub(crate) fn received(&self) -> Received {
        let state = self.0.borrow();
        received(state.client.expect("a client"), &state.got)
    }

    pub(crate) fn said(&self) -> usize {
        self.0.borrow().said
    }

    pub(crate) fn shut(&self) -> Option<Instant> {
        self.0.borrow().shut
    }
}

/// Lets bytes through at a pace.
struct Gate {
    pace: Vec<Pace>,
    turn: usize,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Gate {
    fn new(pace: &[Pace]) -> Self {
        Self { pace: pace.to_vec(), turn: 0, pause: None }
    }

    fn pause(&mut self, cx: &mut Context<'_>, time: Duration) -> Poll<()> {
        ready!(self.pause.get_or_insert_with(|| Box::pin(sleep(time))).as_mut().poll(cx));
        self.pause = None;
        Poll::Ready(())
    }

    /// How many bytes may pass.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            match self.pace.get(self.turn % self.pace.len().max(1)) {
                None => return Poll::Ready(usize::MAX),
                Some(&Pace::AtMost(count)) => {
                    self.turn += 1;
                    return Poll::Ready(count);
                }
                Some(Pace::Blink) => {
                    self.turn += 1;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Pace::Pause) => {
                    ready!(self.pause(cx, Duration::from_millis(1)));
                    self.turn += 1;
                }
                Some(&Pace::Wait(time)) => {
                    ready!(self.pause(cx, time));
                    self.turn += 1;
                }
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.0.borrow_mut();
        loop {
            match state.say.front_mut() {
                None | Some(Say::Eof) => return Poll::Ready(Ok(())),
                Some(Say::Reset) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Some(Say::Silence) => return Poll::Pending,
                Some(say @ (Say::AwaitClose | Say::AwaitShut)) => {
                    let come = match say {
                        Say::AwaitClose => state.closed,
                        _ => state.shut.is_some(),
                    };
                    if !come {
                        state.reader = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                }
                Some(&mut Say::Pause(time)) => ready!(state.reads.pause(cx, time)),
                Some(Say::Endless) => {
                    let count = ready!(state.reads.poll(cx)).min(buf.remaining());
                    state.said += count;
                    buf.put_slice(&vec![0xAA; count]);
                    return Poll::Ready(Ok(()));
                }
                Some(Say::Bytes(bytes)) if !bytes.is_empty() => {
                    let count = ready!(state.reads.poll(cx)).min(buf.remaining()).min(bytes.len());
                    state.said += count;
                    buf.put_slice(&bytes[..count]);
                    bytes.drain(..count);
                    return Poll::Ready(Ok(()));
                }
                Some(Say::Bytes(_)) => {}
            }
            state.say.pop_front();
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let state = &mut *self.0.borrow_mut();
        assert!(!buf.is_empty(), "a write of nothing");
        let count = ready!(state.poll_room(cx))?.min(buf.len());
        state.got.extend(&buf[..count]);
        state.look_for_close();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.0.borrow_mut();
        state.shut.get_or_insert_with(Instant::now);
        state.closed |= state.client == Some(Protocol::Hixie75);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(()))
    }
}

/// The pipe is a real one. It is filled with what the stream says, and drained into what it got.
impl Splice for Stream {
    fn is_bare(&self) -> bool {
        self.0.borrow().splices.is_some()
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe, limit: usize) -> Poll<io::Result<usize>> {
        if self.0.borrow().splices == Some(false) {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        let mut bytes = vec![0; limit.min(SPLICED_BYTES_MAX)];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut *self).poll_read(cx, &mut buffer))?;
        let (mut said, source) = UnixStream::pair()?;
        said.write_all(buffer.filled())?;
        said.shutdown(Shutdown::Write)?;
        assert_eq!(pipe.fill(&source, limit)?, buffer.filled().len());
        Poll::Ready(Ok(pipe.held()))
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        let state = &mut *self.0.borrow_mut();
        let most = ready!(state.poll_room(cx))?;
        if state.breaks_at.is_some_and(|(byte, _)| byte < state.got.len() + pipe.held()) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let (source, sink) = nix::unistd::pipe2(OFlag::O_NONBLOCK)?;
        // A page is the least that the kernel moves.
        let pages = if most < pipe.held() { 4096 } else { 1024 * 1024 };
        fcntl(&sink, FcntlArg::F_SETPIPE_SZ(pages))?;
        let count = pipe.drain(&sink)?;
        drop(sink);
        state.spliced = true;
        assert_eq!(File::from(source).read_to_end(&mut state.got)?, count);
        state.look_for_close();
        Poll::Ready(Ok(count))
    }

    fn poll_write_more(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, bytes)
    }
}
