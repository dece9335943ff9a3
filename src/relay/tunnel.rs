//! A session's rules, from the 101 to its end: bytes and time go in, bytes, wishes and a deadline come out.
//!
//! The shape is quinn-proto's: `handle_*` takes what happened, and afterwards the driver asks what to do: write
//! [`to_client`](Tunnel::to_client) and [`to_target`](Tunnel::to_target), read where [`wants_client`](Tunnel::wants_client)
//! and [`wants_target`](Tunnel::wants_target) say so, shut down where asked, call [`tick`](Tunnel::tick) at the
//! [`deadline`](Tunnel::deadline), until there is an [`end`](Tunnel::end).
//!
//! Invariants, each a property test in `tests/relay_properties/tunnel.rs`:
//!
//! 1. Every byte accepted from a side is delivered in order, or the [`End`] says how many were not.
//! 2. At most one read's worth of bytes, or a pipe's, waits for a side; while it does, nothing more is read from the other.
//! 3. Target EOF: all of it goes to the client, then Close 1000; the client's bytes flow until its Close, bounded in time.
//! 4. Client Close: all of it goes to the target, whose write side is then shut; the target's remaining bytes still reach
//!    the client, bounded in time; then the Close is answered.
//! 5. The client's connection ends without a Close: as 4.
//! 6. A reset is an ending, not an error: what can still be delivered is.
//! 7. A ping is answered before anything read later, and no flood of them can grow memory.
//! 8. A protocol error sends exactly one Close with its code, and nothing is interpreted after it.
//! 9. Time passes only by [`tick`](Tunnel::tick) and the `now` of the handlers.
//! 10. [`stop`](Tunnel::stop) sends Close once, then as 3.
//! 11. After [`end`](Tunnel::end) is there, nothing changes.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::control::Control;
use super::end::{Cause, Delivery, End, TargetFailed};
use super::liveness::{Due, Liveness};
use super::outbox::Outbox;
use crate::websocket::codec::{Codec, Outgoing, Protocol, Said};
use crate::websocket::error::ProtocolError;

/// After a protocol error the rest of the client's bytes is thrown away for at most this long, so that the Close frame
/// is not torn up by the reset that closing a socket with unread bytes sends.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// An ending in which bytes still move may take so many times as long as one in which nothing does. A client that takes a
/// byte now and then would otherwise hold its session for days.
const ENDING_FACTOR_MAX: u32 = 20;

/// A session whose time is up may still hand its last frames to the socket for this long.
const LAST_WORDS_TIME: Duration = Duration::from_secs(1);

/// What a tunnel is told about its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the handshake has agreed on.
    pub protocol: Protocol,
    /// Interval of pings; None: none are sent. Where the protocol has none, none are either.
    pub heartbeat: Option<Duration>,
    /// How long no payload may move; None: for ever.
    pub idle_timeout: Option<Duration>,
    /// How long the end may take once it has begun.
    pub close_timeout: Duration,
}

/// A session after its 101.
#[derive(Debug)]
pub struct Tunnel {
    protocol: Protocol,
    close_timeout: Duration,
    codec: Codec,
    client: Client,
    target: Target,
    /// Frames of the target's bytes that the client has not taken.
    to_client: Outbox,
    /// How many of the target's bytes lie in a pipe, to be spliced to the client once `to_client` has their header.
    piped: usize,
    to_client_count: Delivery,
    /// Payload that the target has not taken.
    to_target: Outbox,
    to_target_count: Delivery,
    /// Sent when `to_client` and the pipe are empty, which is always between two frames.
    control: Control,
    liveness: Liveness,
    /// From when the session is ending.
    ending: Option<Box<Ending>>,
    end: Option<Box<End>>,
}

/// The end of a session, from its cause on. Boxed there: a session is long, and its end is short.
#[derive(Debug)]
struct Ending {
    cause: Cause,
    /// When it must be over, unless something moves.
    until: Option<Instant>,
    /// When it must be over in any case.
    at_last: Option<Instant>,
    last_words: bool,
}

#[derive(Debug)]
struct Client {
    input: ClientInput,
    output: Output,
}

#[derive(Debug)]
struct Target {
    input: TargetInput,
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientInput {
    Open,
    /// After a Close frame: nothing follows.
    Closed,
    /// After a protocol error: read and thrown away.
    Discarded,
    /// EOF, or lost.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TargetInput {
    Open,
    /// EOF, or lost, or read no more because the session ends otherwise.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Open,
    Shut,
    Lost,
}

/// What came in.
impl Tunnel {
    /// A session whose 101 has been sent.
    pub fn new(now: Instant, settings: Settings) -> Self {
        Self {
            codec: Codec::new(settings.protocol),
            client: Client { input: ClientInput::Open, output: Output::Open },
            target: Target { input: TargetInput::Open, output: Output::Open },
            to_client: Outbox::default(),
            piped: 0,
            to_client_count: Delivery::default(),
            to_target: Outbox::default(),
            to_target_count: Delivery::default(),
            control: Control::default(),
            liveness: Liveness::new(
                now,
                settings.heartbeat.filter(|_| settings.protocol.has_pings()),
                settings.idle_timeout,
            ),
            ending: None,
            end: None,
            protocol: settings.protocol,
            close_timeout: settings.close_timeout,
        }
    }

    /// Bytes from the client. Returns where in `input` the payload for the target now lies, decoded and in one piece;
    /// what of it the target did not take at once is to be given to [`keep_for_target`](Self::keep_for_target).
    pub fn handle_client(&mut self, now: Instant, input: &mut [u8]) -> Range<usize> {
        self.liveness.sign_of_life(now);
        let mut payload = 0..0;
        if self.client.input == ClientInput::Open {
            payload = self.read_frames(now, input);
        }
        if !payload.is_empty() {
            self.liveness.payload(now);
            self.to_target_count.accepted += payload.len() as u64;
            if self.target.output != Output::Open {
                self.to_target_count.lost += payload.len() as u64;
                payload = 0..0;
            }
        }
        self.settle();
        payload
    }

    /// The client sends no more: EOF.
    pub fn handle_client_eof(&mut self, now: Instant) {
        self.begin_ending(now, Cause::ClientGone);
        self.client.input = ClientInput::Ended;
        self.settle();
    }

    /// Reading from the client failed.
    pub fn handle_client_lost(&mut self, now: Instant) {
        self.client.input = ClientInput::Ended;
        self.handle_client_unwritable(now);
    }

    /// Writing to the client failed. It may still have sent something that is worth delivering.
    pub fn handle_client_unwritable(&mut self, now: Instant) {
        self.begin_ending(now, Cause::ClientLost);
        self.client.output = Output::Lost;
        self.target.input = TargetInput::Ended; // there is nobody to read for
        self.to_client_count.lost += self.undelivered_to_client();
        self.to_client = Outbox::default();
        self.piped = 0;
        self.control.abandon();
        self.settle();
    }

    /// Bytes from the target, at `payload` in `buffer`, with [`HEADROOM`](crate::websocket::codec::HEADROOM) before them,
    /// and the room behind them that [`buffer_bytes`](crate::websocket::codec::buffer_bytes) speaks of. Returns the frame
    /// that carries them; what of it the client did not take at once is to be given to
    /// [`keep_for_client`](Self::keep_for_client).
    pub fn handle_target(&mut self, now: Instant, buffer: &mut [u8], payload: Range<usize>) -> Outgoing {
        self.liveness.payload(now);
        self.to_client_count.accepted += payload.len() as u64;
        let outgoing = self.codec.frame(buffer, payload);
        self.to_client_count.lost += outgoing.replaced as u64;
        outgoing
    }

    /// `count` bytes of the target's have gone into a pipe. Writes the header of their frame to the end of `space`, where it is
    /// returned, and what of it the client does not take at once is to be given to [`keep_for_client`](Self::keep_for_client);
    /// the bytes follow it when there is nothing left of [`to_client`](Self::to_client).
    pub fn handle_target_piped(&mut self, now: Instant, space: &mut [u8], count: usize) -> Range<usize> {
        debug_assert_eq!(self.piped, 0, "a frame is spliced when the one before has gone");
        self.liveness.payload(now);
        self.to_client_count.accepted += count as u64;
        self.piped = count;
        self.codec.header(space, count)
    }

    /// The target sends no more: EOF.
    pub fn handle_target_eof(&mut self, now: Instant) {
        self.begin_ending(now, Cause::TargetClosed);
        self.target.input = TargetInput::Ended;
        self.settle();
    }

    /// The target has ended, and says that it has failed: all that it had to say is here.
    pub fn handle_target_failed(&mut self, now: Instant, failed: TargetFailed) {
        self.begin_ending(now, Cause::TargetFailed(failed));
        self.target.input = TargetInput::Ended;
        self.handle_target_unwritable(now);
    }

    /// Reading from the target failed.
    pub fn handle_target_lost(&mut self, now: Instant) {
        self.target.input = TargetInput::Ended;
        self.handle_target_unwritable(now);
    }

    /// Writing to the target failed. It may still have sent something that is worth delivering.
    pub fn handle_target_unwritable(&mut self, now: Instant) {
        self.begin_ending(now, Cause::TargetLost);
        self.target.output = Output::Lost;
        self.to_target_count.lost += self.to_target.waiting().len() as u64;
        self.to_target = Outbox::default();
        self.settle();
    }

    /// The session is to end for this reason of the daemon's own.
    pub fn stop(&mut self, now: Instant, cause: Cause) {
        self.begin_ending(now, cause);
        self.target.input = TargetInput::Ended;
        self.settle();
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        if let Some(ending) = &self.ending {
            if ending.until.is_some_and(|until| until <= now) {
                self.time_is_up(now);
            }
            return;
        }
        match self.liveness.due(now) {
            None => return,
            Some(Due::Ping) => self.control.ping(),
            // The answer may lie unread behind bytes that the target does not take.
            Some(Due::Silent) if !self.to_target.is_empty() => self.liveness.sign_of_life(now),
            Some(Due::Silent) => {
                self.begin_ending(now, Cause::ClientSilent);
                // Only a miracle would deliver anything more: hand over what there is, and go.
                self.client.input = ClientInput::Ended;
                self.target.input = TargetInput::Ended;
                self.end_by(now + LAST_WORDS_TIME);
            }
            Some(Due::Idle) => {
                self.begin_ending(now, Cause::Idle);
                self.target.input = TargetInput::Ended;
            }
        }
        self.settle();
    }
}

/// What came of it.
impl Tunnel {
    /// The client took only part of a frame that [`handle_target`](Self::handle_target) returned: `rest` is the rest, and
    /// `payload` how many of the target's bytes the frame carries.
    pub fn keep_for_client(&mut self, rest: &[u8], payload: usize) {
        self.to_client.keep(rest, payload);
    }

    /// The target took only part of the payload that [`handle_client`](Self::handle_client) returned.
    pub fn keep_for_target(&mut self, rest: &[u8]) {
        self.to_target.keep(rest, rest.len());
    }

    /// What the client is to get now. While it is not empty, nothing is read from the target.
    pub fn to_client(&self) -> &[u8] {
        match (self.to_client.is_empty(), self.piped) {
            (false, _) => self.to_client.waiting(),
            (true, 0) => self.control.waiting(),
            (true, _) => &[], // a frame is not interrupted
        }
    }

    /// How many bytes of the target's are to be spliced to the client, behind [`to_client`](Self::to_client). While there are
    /// any, nothing is read from the target.
    pub fn piped(&self) -> usize {
        self.piped
    }

    /// The client took so many of the bytes in the pipe.
    pub fn spliced_to_client(&mut self, now: Instant, count: usize) {
        self.liveness.sign_of_life(now);
        self.liveness.payload(now);
        self.piped -= count;
        self.client_progressed(now);
    }

    /// The client took so many bytes of [`to_client`](Self::to_client).
    pub fn sent_to_client(&mut self, now: Instant, count: usize) {
        if self.to_client.is_empty() {
            if self.control.sent(count) {
                self.liveness.sign_of_life(now);
            }
        } else {
            self.liveness.sign_of_life(now);
            self.liveness.payload(now);
            self.to_client.sent(count);
        }
        self.client_progressed(now);
    }

    /// What the target is to get now. While it is not empty, nothing is read from the client.
    pub fn to_target(&self) -> &[u8] {
        self.to_target.waiting()
    }

    /// The target took so many bytes of [`to_target`](Self::to_target).
    pub fn sent_to_target(&mut self, now: Instant, count: usize) {
        self.to_target.sent(count);
        self.liveness.payload(now);
        if self.to_target.is_empty() {
            self.liveness.sign_of_life(now); // the client is read again, and has its time to be heard
        }
        if self.client.input != ClientInput::Open {
            self.extend_ending(now);
        }
        self.settle();
    }

    /// Whether to read from the client.
    pub fn wants_client(&self) -> bool {
        let has_room = match self.client.input {
            ClientInput::Open => self.to_target.is_empty(),
            ClientInput::Discarded => true,
            ClientInput::Closed | ClientInput::Ended => false,
        };
        self.end.is_none() && has_room
    }

    /// Whether to read from the target.
    pub fn wants_target(&self) -> bool {
        self.end.is_none() && self.target.input == TargetInput::Open && self.piped == 0 && self.to_client().is_empty()
    }

    /// Whether what is read from the target may go to the client by a pipe.
    pub fn is_transparent(&self) -> bool {
        self.codec.is_transparent()
    }

    /// Whether to shut down the connection to the client for writing: behind the Close that answers a broken protocol, and
    /// where the end of the stream is the Close, or part of it.
    pub fn wants_client_shut(&self) -> bool {
        let due = self.client.input == ClientInput::Discarded || self.protocol.ends_with_stream();
        self.client.output == Output::Open && due && self.client_has_all()
    }

    /// It was done.
    pub fn client_shut(&mut self) {
        self.client.output = Output::Shut;
        self.settle();
    }

    /// Whether to shut down the connection to the target for writing: the client sends no more, and the target has it all.
    pub fn wants_target_shut(&self) -> bool {
        self.target.output == Output::Open && self.client.input != ClientInput::Open && self.to_target.is_empty()
    }

    /// It was done.
    pub fn target_shut(&mut self) {
        self.target.output = Output::Shut;
        self.settle();
    }

    /// When to call [`tick`](Self::tick), unless something happens before. It may move, but only later calls ask again:
    /// a driver may keep an earlier timer and ask when it fires.
    pub fn deadline(&self) -> Option<Instant> {
        self.ending.as_ref().map_or_else(|| self.liveness.deadline(), |ending| ending.until)
    }

    /// How it ended, once it has.
    pub fn end(&self) -> Option<&End> {
        self.end.as_deref()
    }
}

impl Tunnel {
    /// Decodes `input` and draws the payloads in it together.
    fn read_frames(&mut self, now: Instant, input: &mut [u8]) -> Range<usize> {
        let mut position = 0;
        let mut all = 0..0;
        loop {
            match self.codec.read(input, &mut position, &mut all) {
                Ok(None) => break,
                Ok(Some(Said::Ping(payload))) => self.control.pong(payload),
                Ok(Some(Said::Pong)) => {} // a sign of life like every byte
                Ok(Some(Said::Close(close))) => {
                    self.begin_ending(now, Cause::ClientClosed(close));
                    self.client.input = ClientInput::Closed;
                    break;
                }
                Err(error) => {
                    self.refuse(now, error);
                    break;
                }
            }
        }
        all
    }

    /// The client broke a rule: one Close, and nothing it says counts any more.
    fn refuse(&mut self, now: Instant, error: ProtocolError) {
        self.begin_ending(now, Cause::Protocol(error));
        self.client.input = ClientInput::Discarded;
        self.target.input = TargetInput::Ended;
        self.end_by(now + DISCARD_TIME.min(self.close_timeout));
    }

    /// The first cause is the one that counts.
    fn begin_ending(&mut self, now: Instant, cause: Cause) {
        if self.ending.is_none() {
            let until = now.checked_add(self.close_timeout);
            let at_last = now.checked_add(self.close_timeout.saturating_mul(ENDING_FACTOR_MAX));
            self.ending = Some(Box::new(Ending { cause, until, at_last, last_words: false }));
        }
    }

    fn end_by(&mut self, until: Instant) {
        if let Some(ending) = &mut self.ending {
            ending.until = Some(until);
        }
    }

    fn client_progressed(&mut self, now: Instant) {
        if self.target.input == TargetInput::Ended {
            self.extend_ending(now); // what remains is finite, and moves
        }
        self.settle();
    }

    fn extend_ending(&mut self, now: Instant) {
        let Some(ending) = &mut self.ending else { return };
        if !ending.last_words && self.client.input != ClientInput::Discarded {
            let until = ending.until.max(now.checked_add(self.close_timeout));
            ending.until = until.min(ending.at_last.or(until));
        }
    }

    /// The end took too long. A client whose Close is not answered yet still gets the answer if its socket has room.
    fn time_is_up(&mut self, now: Instant) {
        let Some(ending) = &mut self.ending else { return };
        if ending.last_words || self.control.is_closing() || self.client.output != Output::Open {
            self.finish();
            return;
        }
        ending.last_words = true;
        ending.until = Some(now + LAST_WORDS_TIME);
        self.client.input = ClientInput::Ended;
        self.target.input = TargetInput::Ended;
        self.settle();
    }

    /// Queues the Close when it is time for it, and sees whether all is done.
    fn settle(&mut self) {
        let Some(ending) = &self.ending else { return };
        let target_done = self.target.input == TargetInput::Ended;
        if target_done {
            self.control.close(|frames| self.protocol.close(frames, ending.cause.close().as_ref()));
        }
        let client_has_all = self.client_has_all();
        let client_said_all = matches!(self.client.input, ClientInput::Closed | ClientInput::Ended);
        let target_has_all = self.target.output != Output::Open;
        if target_done && client_has_all && client_said_all && target_has_all {
            self.finish();
        }
    }

    /// The Close has gone, or its turn has come where there is none; and so has all before it.
    fn client_has_all(&self) -> bool {
        self.control.is_closed() && self.to_client.is_empty() && self.piped == 0
    }

    /// The target's bytes in a frame of which the client has not taken all.
    fn undelivered_to_client(&self) -> u64 {
        (self.piped + self.codec.undelivered(self.to_client.payload(), self.to_client.waiting().len())) as u64
    }

    fn finish(&mut self) {
        let Some(cause) = self.ending.as_ref().map(|ending| ending.cause.clone()) else { return };
        if self.end.is_none() {
            self.to_client_count.lost += self.undelivered_to_client() + self.codec.held() as u64;
            self.to_target_count.lost += self.to_target.waiting().len() as u64;
            self.end = Some(Box::new(End { cause, to_target: self.to_target_count, to_client: self.to_client_count }));
        }
    }
}
