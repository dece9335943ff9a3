//! The only loop that moves bytes: it feeds a [`Tunnel`] and obeys it.
//!
//! Promise: one task a session, which sleeps only when each direction waits for something that will wake it; one read, one
//! write; no buffer of a session's own. The thread's scratch buffer is borrowed inside a poll and returned before it ends,
//! so an idle session costs its sockets and its [`Tunnel`]. A flood of the target's bytes goes to a plain client past this
//! process, by [`splice`](crate::splice): its frames are as large as a pipe, and the pipe is the thread's again when it is over.
//!
//! Cancel-safe: dropping the future closes both sockets; polling it again after a lost wake-up changes nothing.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Sleep, sleep_until, timeout};

use super::end::{Cause, End, TargetFailed};
use super::stride::Stride;
use super::traffic::Traffic;
use super::tunnel::Tunnel;
use super::turn::Turn;
use crate::record::format::Side;
use crate::record::recorder::Recording;
use crate::splice::{Pipe, Splice};
use crate::websocket::codec::{HEADROOM, Outgoing, buffer_bytes};

/// The most that one read takes. Larger reads save a little on a fast machine, and delay the first byte of a frame on
/// a slow network, as browsers deliver only whole frames.
const READ_BYTES: usize = 64 * 1024;

/// How long a client of TLS may take for what was encrypted for it: a socket without TLS leaves that to the kernel.
const LAST_FLUSH_TIME: Duration = Duration::from_secs(30);

/// How long a target may take to end its stream after the session has ended otherwise.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// How much it may still say: what was on its way, and not what a flood brings.
const DISCARD_BYTES_MAX: u64 = 1024 * 1024;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// Room for a read, and for what it becomes; pages that no session needs are never touched.
struct Scratch {
    bytes: Box<[u8]>,
    start: usize,
}

impl Scratch {
    const PAGE: usize = 4096;

    /// A read then lies in the middle of a page. The kernel copies from and to the starts of pages, and where the low bits
    /// of both addresses are nearly the same, processors take a write for one of what is to be read next, and wait: a copy
    /// took a tenth longer.
    fn new() -> Self {
        let bytes: Box<[u8]> = vec![0; Self::PAGE + buffer_bytes(READ_BYTES)].into();
        let start = (bytes.as_ptr().align_offset(Self::PAGE) + Self::PAGE / 2 - HEADROOM) % Self::PAGE;
        Self { bytes, start }
    }

    fn space(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
}

/// Relays between a client, whose 101 has been sent, and its target, until the end of both. `early` are bytes that the
/// client sent behind its request; `stop` resolves when the session is to end; payload in plain bytes goes to the `recording`
/// too.
///
/// Not an `async fn`, for those keep their arguments beside what becomes of them, and there are thousands of these.
pub fn drive<C, T, S>(
    client: C,
    target: T,
    early: Bytes,
    tunnel: Tunnel,
    mut stop: S,
    traffic: bool,
    recording: Option<Box<Recording>>,
) -> impl Future<Output = End>
where
    C: AsyncRead + AsyncWrite + Splice + Unpin,
    T: AsyncRead + AsyncWrite + Splice + Unpin,
    S: Future<Output = Cause> + Unpin,
{
    let may_splice = client.is_bare() && target.is_bare() && tunnel.is_transparent() && recording.is_none();
    let mut relay = Relay {
        client,
        target,
        tunnel,
        early,
        client_unflushed: false,
        target_unflushed: false,
        stride: may_splice.then(|| Stride::new(now())),
        pipe: None,
        timer: None,
        traffic: Traffic::begin(traffic),
        recording,
    };
    let mut stopped = false;
    async move {
        let end = poll_fn(|cx| {
            if !stopped && let Poll::Ready(cause) = Pin::new(&mut stop).poll(cx) {
                stopped = true;
                relay.tunnel.stop(now(), cause);
            }
            relay.poll(cx)
        })
        .await;
        let unflushed = relay.client_unflushed && !matches!(end.cause, Cause::ClientLost | Cause::ClientSilent);
        // Boxed: the room for it is needed when all else is over.
        Box::pin(part(relay.client, relay.target, unflushed)).await;
        end
    }
}

/// Takes leave of both sides.
async fn part(mut client: impl AsyncWrite + Unpin, target: impl AsyncRead + Unpin, unflushed: bool) {
    // TLS may still hold the last frames of a client that takes them slowly.
    if unflushed {
        let _ = timeout(LAST_FLUSH_TIME, client.flush()).await;
    }
    // The alert that ends TLS, if it can go at once; a socket without TLS just gets its FIN a moment earlier.
    poll_fn(|cx| Poll::Ready(Pin::new(&mut client).poll_shutdown(cx).is_ready())).await;
    drop(client);
    discard(target).await;
}

/// Reads what a target still says, which its write side was told is too late: no session has accepted it. To close a socket
/// with unread bytes would send a reset, and a reset takes away what the target has not read yet.
async fn discard(target: impl AsyncRead + Unpin) {
    let mut rest = target.take(DISCARD_BYTES_MAX);
    let read = poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|scratch| {
            loop {
                let mut buffer = ReadBuf::new(scratch.space());
                if ready!(Pin::new(&mut rest).poll_read(cx, &mut buffer)).is_err() || buffer.filled().is_empty() {
                    return Poll::Ready(());
                }
            }
        })
    });
    let _ = timeout(DISCARD_TIME, read).await;
}

/// Tokio's clock, so that tests can stop it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

struct Relay<C, T> {
    client: C,
    target: T,
    tunnel: Tunnel,
    early: Bytes,
    /// Something was written to the client that TLS may still hold back.
    client_unflushed: bool,
    /// And to the target.
    target_unflushed: bool,
    /// None: somebody looks at the bytes, or has to change them.
    stride: Option<Stride>,
    /// What the client has not yet taken of a frame that is spliced.
    pipe: Option<Pipe>,
    /// Set to the deadline or earlier. It is not moved with each message: when it fires, the tunnel says how far off the
    /// deadline has moved since.
    timer: Option<Pin<Box<Sleep>>>,
    traffic: Traffic,
    recording: Option<Box<Recording>>,
}

impl<C, T> Relay<C, T>
where
    C: AsyncRead + AsyncWrite + Splice + Unpin,
    T: AsyncRead + AsyncWrite + Splice + Unpin,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        SCRATCH.with_borrow_mut(|scratch| {
            let scratch = scratch.space();
            let now = now();
            let mut turn = Turn::begin(std::ptr::from_ref(self).addr(), now);
            while !turn.is_over() {
                if let Some(end) = self.tunnel.end() {
                    return Poll::Ready(end.clone()); // before anything more goes out: what was lost is counted
                }
                // To the client first: what goes there includes the answers to what came from it.
                let down = self.poll_down(cx, now, scratch, turn.size());
                let up = self.poll_up(cx, now, scratch);
                for step in [down, up] {
                    if let Poll::Ready(bytes) = step {
                        turn.spend(bytes);
                    }
                }
                // After something was read: the sign of life may be there, and this thread may have come late to it. And also
                // while something moves: a side may never pause.
                if self.tunnel.deadline().is_some_and(|deadline| deadline <= now) {
                    self.tunnel.tick(now);
                } else if down.is_pending()
                    && up.is_pending()
                    && self.tunnel.end().is_none()
                    && self.poll_timer(cx).is_pending()
                {
                    return Poll::Pending;
                }
            }
            // Behind all that the kernel has news of: a plain wake-up would come before the runtime asks.
            let _ = std::pin::pin!(tokio::task::yield_now()).poll(cx);
            Poll::Pending
        })
    }

    /// One step from the target to the client, of at most `most` bytes. Ready: it was made, with so many, and the next may
    /// follow.
    fn poll_down(&mut self, cx: &mut Context<'_>, now: Instant, scratch: &mut [u8], most: usize) -> Poll<usize> {
        ready!(self.poll_to_client(cx, now));
        if self.client_unflushed {
            if ready!(Pin::new(&mut self.client).poll_flush(cx)).is_err() {
                self.tunnel.handle_client_unwritable(now);
            }
            self.client_unflushed = false;
        }
        if self.tunnel.wants_client_shut() {
            // An error says that it is shut already.
            let _ = ready!(Pin::new(&mut self.client).poll_shutdown(cx));
            self.tunnel.client_shut();
        }
        if !self.tunnel.wants_target() {
            return Poll::Pending;
        }
        match self.stride.as_ref().and_then(Stride::splice) {
            Some(limit) => self.poll_splice(cx, now, scratch, limit.min(most)),
            None => self.poll_copy(cx, now, scratch),
        }
    }

    /// Ready: the client has taken all that waited for it.
    fn poll_to_client(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        loop {
            let waiting = self.tunnel.to_client();
            if !waiting.is_empty() {
                match ready!(Pin::new(&mut self.client).poll_write(cx, waiting)) {
                    Ok(count) if count > 0 => {
                        self.traffic.sent_to_client(count == waiting.len());
                        self.client_unflushed = true;
                        self.tunnel.sent_to_client(now, count);
                    }
                    _ => self.tunnel.handle_client_unwritable(now),
                }
            } else if let Some(pipe) = self.pipe.as_mut().filter(|_| self.tunnel.piped() > 0) {
                match ready!(self.client.poll_drain(cx, pipe)) {
                    Ok(count) if count > 0 => {
                        self.traffic.sent_to_client(pipe.held() == 0);
                        self.tunnel.spliced_to_client(now, count);
                    }
                    _ => self.tunnel.handle_client_unwritable(now),
                }
            } else {
                self.pipe = None; // it is empty, or what is left in it is nobody's
                return Poll::Ready(());
            }
        }
    }

    fn poll_copy(&mut self, cx: &mut Context<'_>, now: Instant, scratch: &mut [u8]) -> Poll<usize> {
        let mut buffer = ReadBuf::new(&mut scratch[HEADROOM..HEADROOM + READ_BYTES]);
        let outcome = ready!(Pin::new(&mut self.target).poll_read(cx, &mut buffer));
        let count = buffer.filled().len();
        match outcome {
            Ok(()) if count > 0 => {
                self.traffic.received_from_target();
                if let Some(stride) = &mut self.stride {
                    stride.took(now, count, READ_BYTES);
                }
                if let Some(recording) = &self.recording {
                    recording.say(Side::Target, now, &scratch[HEADROOM..HEADROOM + count]);
                }
                let Outgoing { frame, payload, .. } =
                    self.tunnel.handle_target(now, scratch, HEADROOM..HEADROOM + count);
                self.write_to_client(cx, now, &scratch[frame], payload);
            }
            Ok(()) => self.tunnel.handle_target_eof(now),
            Err(error) => match TargetFailed::of(&error) {
                Some(failed) => self.tunnel.handle_target_failed(now, failed),
                None => self.tunnel.handle_target_lost(now),
            },
        }
        Poll::Ready(count)
    }

    fn poll_splice(&mut self, cx: &mut Context<'_>, now: Instant, scratch: &mut [u8], limit: usize) -> Poll<usize> {
        let Some(mut pipe) = Pipe::take() else {
            self.stride = Some(Stride::new(now)); // they are all in use: copied, it gets there as well
            return Poll::Ready(0);
        };
        let limit = limit.min(pipe.capacity());
        match ready!(self.target.poll_fill(cx, &mut pipe, limit)) {
            // The end; or urgent data is in the way of it. A read tells.
            Ok(0) => self.stride = None,
            Ok(count) => {
                self.traffic.received_from_target();
                if let Some(stride) = &mut self.stride {
                    stride.took(now, count, limit);
                }
                self.pipe = Some(pipe);
                let header = self.tunnel.handle_target_piped(now, &mut scratch[..HEADROOM], count);
                self.begin_spliced_frame(cx, now, &scratch[header]);
                let _ = self.poll_to_client(cx, now); // what it does not take waits
                return Poll::Ready(count);
            }
            // Something is in the way that a read goes round.
            Err(error) if error.kind() == ErrorKind::Interrupted => self.stride = Some(Stride::new(now)),
            // The kernel cannot, with this kind of socket.
            Err(error) if error.kind() == ErrorKind::InvalidInput => self.stride = None,
            Err(_) => self.tunnel.handle_target_lost(now),
        }
        Poll::Ready(0)
    }

    /// One step from the client to the target. Ready: it was made, with so many bytes, and the next may follow.
    fn poll_up(&mut self, cx: &mut Context<'_>, now: Instant, scratch: &mut [u8]) -> Poll<usize> {
        // Where it gets stuck, the tunnel knows what can be done all the same.
        let _ = self.poll_to_target(cx, now);
        if self.tunnel.wants_target_shut() {
            // An error says that it is shut already.
            let _ = ready!(Pin::new(&mut self.target).poll_shutdown(cx));
            self.tunnel.target_shut();
            return Poll::Ready(0);
        }
        if !self.tunnel.wants_client() {
            return Poll::Pending;
        }
        let input = if self.early.is_empty() {
            let mut buffer = ReadBuf::new(&mut scratch[HEADROOM..HEADROOM + READ_BYTES]);
            let outcome = ready!(Pin::new(&mut self.client).poll_read(cx, &mut buffer));
            match (outcome, buffer.filled().len()) {
                (Err(_), _) => {
                    self.tunnel.handle_client_lost(now);
                    return Poll::Ready(0);
                }
                (Ok(()), 0) => {
                    self.tunnel.handle_client_eof(now);
                    return Poll::Ready(0);
                }
                (Ok(()), count) => &mut scratch[HEADROOM..HEADROOM + count],
            }
        } else {
            let early = self.early.split_to(self.early.len().min(READ_BYTES));
            scratch[..early.len()].copy_from_slice(&early);
            &mut scratch[..early.len()]
        };
        let read = input.len();
        self.traffic.received_from_client();
        let payload = self.tunnel.handle_client(now, input);
        if let Some(recording) = &self.recording {
            recording.say(Side::Client, now, &input[payload.clone()]);
        }
        self.write_to_target(cx, now, &input[payload]);
        Poll::Ready(read)
    }

    /// Ready: the target has taken all that waited for it.
    fn poll_to_target(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        while !self.tunnel.to_target().is_empty() {
            let waiting = self.tunnel.to_target();
            match ready!(Pin::new(&mut self.target).poll_write(cx, waiting)) {
                Ok(count) if count > 0 => {
                    self.traffic.sent_to_target(count == waiting.len());
                    self.target_unflushed = true;
                    self.tunnel.sent_to_target(now, count);
                }
                _ => self.tunnel.handle_target_unwritable(now),
            }
        }
        if self.target_unflushed {
            if ready!(Pin::new(&mut self.target).poll_flush(cx)).is_err() {
                self.tunnel.handle_target_unwritable(now);
            }
            self.target_unflushed = false;
        }
        Poll::Ready(())
    }

    /// Hands a fresh frame to the client's socket, and what it does not take to the tunnel.
    fn write_to_client(&mut self, cx: &mut Context<'_>, now: Instant, frame: &[u8], payload: usize) {
        if frame.is_empty() {
            return;
        }
        let outcome = Pin::new(&mut self.client).poll_write(cx, frame);
        let taken = match outcome {
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        self.client_unflushed = true;
        self.traffic.sent_to_client(taken == frame.len());
        self.tunnel.keep_for_client(&frame[taken..], payload);
        if let Poll::Ready(Err(_) | Ok(0)) = outcome {
            self.tunnel.handle_client_unwritable(now);
        }
    }

    /// Hands the header of a frame to the client's socket, ahead of its payload.
    fn begin_spliced_frame(&mut self, cx: &mut Context<'_>, now: Instant, header: &[u8]) {
        let outcome = self.client.poll_write_more(cx, header);
        let taken = match outcome {
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        self.tunnel.keep_for_client(&header[taken..], 0);
        if let Poll::Ready(Err(_) | Ok(0)) = outcome {
            self.tunnel.handle_client_unwritable(now);
        }
    }

    /// Hands fresh payload to the target's socket, and what it does not take to the tunnel.
    fn write_to_target(&mut self, cx: &mut Context<'_>, now: Instant, payload: &[u8]) {
        if payload.is_empty() {
            return;
        }
        let outcome = Pin::new(&mut self.target).poll_write(cx, payload);
        let taken = match outcome {
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        self.target_unflushed = true;
        self.traffic.sent_to_target(taken == payload.len());
        self.tunnel.keep_for_target(&payload[taken..]);
        if let Poll::Ready(Err(_) | Ok(0)) = outcome {
            self.tunnel.handle_target_unwritable(now);
        }
    }

    /// Ready: the deadline may have come, or has moved since the timer was set.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.tunnel.deadline() else {
            self.timer = None;
            return Poll::Pending;
        };
        let deadline = tokio::time::Instant::from_std(deadline);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline || timer.is_elapsed() {
            timer.as_mut().reset(deadline);
        }
        // A timer that fires early only leads back here, with a later `now`.
        timer.as_mut().poll(cx)
    }
}
