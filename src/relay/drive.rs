//! The only loop that moves bytes: it feeds a [`Tunnel`] and obeys it.
//!
//! Promise: one task a session, which sleeps only when each direction waits for something that will wake it; one read, one
//! write; no buffer of a session's own. The thread's scratch buffer is borrowed inside a poll and returned before it ends,
//! so an idle session costs its sockets and its [`Tunnel`].
//!
//! Cancel-safe: dropping the future closes both sockets; polling it again after a lost wake-up changes nothing.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Sleep, sleep_until, timeout};

use super::end::{Cause, End};
use super::traffic::Traffic;
use super::tunnel::Tunnel;
use crate::record::format::Side;
use crate::record::recorder::Recording;
use crate::websocket::codec::{HEADROOM, Outgoing, buffer_bytes};

/// The most that one read takes. Larger reads save a little on a fast machine, and delay the first byte of a frame on
/// a slow network, as browsers deliver only whole frames.
const READ_BYTES: usize = 64 * 1024;

/// Reads in each direction before other sessions of the thread get their turn.
const TURNS: u32 = 16;

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
/// client sent behind its request; `stop` resolves when the daemon wants the end, with its reason; payload in plain bytes
/// goes to the `recording` too.
pub async fn drive<C, T, S>(
    client: C,
    target: T,
    early: Bytes,
    tunnel: Tunnel,
    stop: S,
    traffic: bool,
    recording: Option<Recording>,
) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
    S: Future<Output = Cause>,
{
    let mut stop = std::pin::pin!(stop);
    let mut stopped = false;
    let traffic = Traffic::begin(traffic);
    let mut relay = Relay { client, target, tunnel, early, client_unflushed: false, timer: None, traffic, recording };
    let end = std::future::poll_fn(|cx| {
        if !stopped && let Poll::Ready(cause) = stop.as_mut().poll(cx) {
            stopped = true;
            relay.tunnel.stop(now(), cause);
        }
        relay.poll(cx)
    })
    .await;
    // TLS may still hold the last frames of a client that takes them slowly.
    if relay.client_unflushed && !matches!(end.cause, Cause::ClientLost | Cause::ClientSilent) {
        let _ = timeout(LAST_FLUSH_TIME, relay.client.flush()).await;
    }
    // The alert that ends TLS, if it can go at once; a socket without TLS just gets its FIN a moment earlier.
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut relay.client).poll_shutdown(cx).is_ready())).await;
    drop(relay.client);
    discard(relay.target).await;
    end
}

/// Reads what a target still says, which its write side was told is too late: no session has accepted it. To close a socket
/// with unread bytes would send a reset, and a reset takes away what the target has not read yet.
async fn discard(target: impl AsyncRead + Unpin) {
    let mut rest = target.take(DISCARD_BYTES_MAX);
    let _ = timeout(DISCARD_TIME, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
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
    /// Set to the deadline or earlier. It is not moved with each message: when it fires, the tunnel says how far off the
    /// deadline has moved since.
    timer: Option<Pin<Box<Sleep>>>,
    traffic: Traffic,
    recording: Option<Recording>,
}

impl<C: AsyncRead + AsyncWrite + Unpin, T: AsyncRead + AsyncWrite + Unpin> Relay<C, T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        SCRATCH.with_borrow_mut(|scratch| {
            let scratch = scratch.space();
            let now = now();
            for _ in 0..TURNS {
                if let Some(end) = self.tunnel.end() {
                    return Poll::Ready(end.clone()); // before anything more goes out: what was lost is counted
                }
                // To the client first: what goes there includes the answers to what came from it.
                let down = self.poll_down(cx, now, scratch).is_ready();
                let up = self.poll_up(cx, now, scratch).is_ready();
                // After something was read: the sign of life may be there, and this thread may have come late to it. And also
                // while something moves: a side may never pause.
                if self.tunnel.deadline().is_some_and(|deadline| deadline <= now) {
                    self.tunnel.tick(now);
                } else if !down && !up && self.tunnel.end().is_none() && self.poll_timer(cx).is_pending() {
                    return Poll::Pending;
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    /// One step from the target to the client. Ready: it was made, and the next may follow.
    fn poll_down(&mut self, cx: &mut Context<'_>, now: Instant, scratch: &mut [u8]) -> Poll<()> {
        while !self.tunnel.to_client().is_empty() {
            let waiting = self.tunnel.to_client();
            match ready!(Pin::new(&mut self.client).poll_write(cx, waiting)) {
                Ok(count) if count > 0 => {
                    self.traffic.sent_to_client(count == waiting.len());
                    self.client_unflushed = true;
                    self.tunnel.sent_to_client(now, count);
                }
                _ => self.tunnel.handle_client_unwritable(now),
            }
        }
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
        let mut buffer = ReadBuf::new(&mut scratch[HEADROOM..HEADROOM + READ_BYTES]);
        let outcome = ready!(Pin::new(&mut self.target).poll_read(cx, &mut buffer));
        let count = buffer.filled().len();
        match outcome {
            Ok(()) if count > 0 => {
                self.traffic.received_from_target();
                if let Some(recording) = &self.recording {
                    recording.say(Side::Target, now, &scratch[HEADROOM..HEADROOM + count]);
                }
                let Outgoing { frame, payload, .. } =
                    self.tunnel.handle_target(now, scratch, HEADROOM..HEADROOM + count);
                self.write_to_client(cx, now, &scratch[frame], payload);
            }
            Ok(()) => self.tunnel.handle_target_eof(now),
            Err(_) => self.tunnel.handle_target_lost(now),
        }
        Poll::Ready(())
    }

    /// One step from the client to the target. Ready: it was made, and the next may follow.
    fn poll_up(&mut self, cx: &mut Context<'_>, now: Instant, scratch: &mut [u8]) -> Poll<()> {
        // Where it gets stuck, the tunnel knows what can be done all the same.
        let _ = self.poll_to_target(cx, now);
        if self.tunnel.wants_target_shut() {
            // An error says that it is shut already.
            let _ = ready!(Pin::new(&mut self.target).poll_shutdown(cx));
            self.tunnel.target_shut();
            return Poll::Ready(());
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
                    return Poll::Ready(());
                }
                (Ok(()), 0) => {
                    self.tunnel.handle_client_eof(now);
                    return Poll::Ready(());
                }
                (Ok(()), count) => &mut scratch[HEADROOM..HEADROOM + count],
            }
        } else {
            let early = self.early.split_to(self.early.len().min(READ_BYTES));
            scratch[..early.len()].copy_from_slice(&early);
            &mut scratch[..early.len()]
        };
        self.traffic.received_from_client();
        let payload = self.tunnel.handle_client(now, input);
        if let Some(recording) = &self.recording {
            recording.say(Side::Client, now, &input[payload.clone()]);
        }
        self.write_to_target(cx, now, &input[payload]);
        Poll::Ready(())
    }

    /// Ready: the target has taken all that waited for it.
    fn poll_to_target(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        while !self.tunnel.to_target().is_empty() {
            let waiting = self.tunnel.to_target();
            match ready!(Pin::new(&mut self.target).poll_write(cx, waiting)) {
                Ok(count) if count > 0 => {
                    self.traffic.sent_to_target(count == waiting.len());
                    self.tunnel.sent_to_target(now, count);
                }
                _ => self.tunnel.handle_target_unwritable(now),
            }
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
