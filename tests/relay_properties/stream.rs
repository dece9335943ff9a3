//! A stream whose every fault the test decides: reads cut anywhere, short writes, pauses, stalls, resets and ends.
//!
//! A pause registers only the waker of the poll that found it, with tokio's clock: whoever forgets to ask again is never
//! woken for it, and the virtual time runs into the test's deadline.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use websockify::websocket::codec::Protocol;

use super::frames::{BINARY, Received, first_whole, received};

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
    /// It is a client, which speaks this: what it gets is frames.
    client: Option<Protocol>,
    /// Where the frame begins of which the rest has not come.
    frame: usize,
    /// Our Close has come.
    closed: bool,
}

impl State {
    fn look_for_close(&mut self, protocol: Protocol) {
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
        assert!(state.shut.is_none(), "written behind the shutdown");
        if let Some(until) = state.stalled_until {
            ready!(state.writes.pause(cx, until - Instant::now()));
            state.stalled_until = None;
        }
        let mut count = ready!(state.writes.poll(cx)).min(buf.len());
        if let Some((byte, kind)) = state.breaks_at {
            count = count.min(byte - state.got.len());
            if count == 0 {
                return Poll::Ready(Err(kind.into()));
            }
        }
        state.got.extend(&buf[..count]);
        if let Some(protocol) = state.client {
            state.look_for_close(protocol);
        }
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
