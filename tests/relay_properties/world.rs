//! A tunnel between a client and a target of which the test decides every step; and the assertions that hold after each.
//!
//! It stands where the driver does, and does what a driver may do, in any order.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use websockify::relay::end::{Cause, End};
use websockify::relay::tunnel::{Settings, Tunnel};
use websockify::websocket::close::CloseCode;
use websockify::websocket::codec::{HEADROOM, Outgoing, Protocol, buffer_bytes};

use super::frames::{BINARY, Closed, Received, Script, closes_with, deliverable, received, target_bytes_in};

pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// No ending takes longer when nothing moves: the timeout, and the last words after it.
pub(crate) const ENDING_MAX: Duration = Duration::from_secs(7);

/// More than any flood of pings may leave waiting: the 2048 bytes of the bound, the last pong that still fitted, the
/// latest one, a ping and a Close.
pub(crate) const CONTROL_WAITING_MAX: usize = 2048 + 4 * 127;

pub(crate) const QUIET: Settings =
    Settings { protocol: BINARY, heartbeat: None, idle_timeout: None, close_timeout: CLOSE_TIMEOUT };

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// The client's next bytes are read, and of their payload the target takes so many at once.
    FromClient {
        read: usize,
        taken: usize,
    },
    /// The target's next bytes are read, and of their frame the client takes so many at once.
    FromTarget {
        read: usize,
        taken: usize,
    },
    /// The target's next bytes go into a pipe, and of the header the client takes so many at once.
    Pipe {
        read: usize,
        taken: usize,
    },
    ClientTakes(usize),
    TargetTakes(usize),
    ClientEof,
    ClientLost,
    ClientUnwritable,
    TargetEof,
    TargetLost,
    TargetUnwritable,
    /// Whatever is to be shut down is.
    Shut,
    /// So many milliseconds pass.
    Wait(u64),
    /// A tick that nobody asked for.
    Tick,
    Stop(u16),
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) tunnel: Tunnel,
    pub(crate) now: Instant,
    pub(crate) script: Script,
    /// How many bytes of the script may be given.
    pub(crate) limit: usize,
    /// How many bytes of the script the tunnel was given.
    pub(crate) fed: usize,
    /// How many bytes of the target's it was given.
    pub(crate) target_fed: usize,
    pub(crate) client_got: Vec<u8>,
    pub(crate) target_got: Vec<u8>,
    /// What was piped and the client has not taken.
    pipe: VecDeque<u8>,
    pub(crate) client_shut: bool,
    pub(crate) target_shut: bool,
    /// Whether a reset excuses a loss.
    pub(crate) client_failed: bool,
    pub(crate) target_failed: bool,
    pub(crate) ended: Option<End>,
    timed_out: bool,
    /// The payload of the whole script.
    all_said: Vec<u8>,
    /// How much of what the target got was compared with it.
    checked: usize,
    /// How much waited for the target at the last look.
    waiting_for_target: usize,
}

impl World {
    /// The script's protocol is the session's.
    pub(crate) fn new(now: Instant, settings: Settings, script: Script) -> Self {
        Self {
            tunnel: Tunnel::new(now, Settings { protocol: script.protocol, ..settings }),
            now,
            limit: script.bytes.len(),
            all_said: script.said(usize::MAX).payload,
            checked: 0,
            waiting_for_target: 0,
            script,
            fed: 0,
            target_fed: 0,
            client_got: Vec::new(),
            target_got: Vec::new(),
            pipe: VecDeque::new(),
            client_shut: false,
            target_shut: false,
            client_failed: false,
            target_failed: false,
            ended: None,
            timed_out: false,
        }
    }

    pub(crate) fn quiet(script: Script) -> Self {
        Self::new(Instant::now(), QUIET, script)
    }

    pub(crate) fn ops(&mut self, ops: &[Op]) {
        for op in ops {
            self.op(op);
        }
    }

    /// Does `op` if a driver could, now.
    pub(crate) fn op(&mut self, op: &Op) {
        match *op {
            Op::FromClient { read, taken } if self.tunnel.wants_client() => self.read_client(read, taken),
            Op::FromTarget { read, taken } if self.tunnel.wants_target() => self.read_target(read, taken),
            Op::Pipe { read, taken } if self.tunnel.wants_target() && self.tunnel.is_transparent() => {
                self.pipe_target(read, taken);
            }
            Op::ClientTakes(count) => self.client_takes(count),
            Op::TargetTakes(count) => self.target_takes(count),
            Op::ClientEof if self.tunnel.wants_client() => self.tunnel.handle_client_eof(self.now),
            Op::ClientLost if self.tunnel.wants_client() => {
                self.client_failed = true;
                self.tunnel.handle_client_lost(self.now);
            }
            Op::ClientUnwritable if self.has_for_client() && self.ended.is_none() => {
                self.client_failed = true;
                self.tunnel.handle_client_unwritable(self.now);
            }
            Op::TargetEof if self.tunnel.wants_target() => self.tunnel.handle_target_eof(self.now),
            Op::TargetLost if self.tunnel.wants_target() => {
                self.target_failed = true;
                self.tunnel.handle_target_lost(self.now);
            }
            Op::TargetUnwritable if !self.tunnel.to_target().is_empty() && self.ended.is_none() => {
                self.target_failed = true;
                self.tunnel.handle_target_unwritable(self.now);
            }
            Op::Shut => self.shut(),
            Op::Wait(milliseconds) => self.wait(Duration::from_millis(milliseconds)),
            Op::Tick => self.tunnel.tick(self.now),
            Op::Stop(code) => self.tunnel.stop(self.now, Cause::Stopped(CloseCode::from_wire(code).unwrap())),
            _ => {}
        }
        self.holds();
    }

    /// Both sides are as helpful as they can be, until the end. The client says all of its script, then EOF.
    pub(crate) fn finish(&mut self) {
        for _ in 0..100_000 {
            if self.ended.is_some() {
                return;
            }
            self.client_takes(usize::MAX);
            self.target_takes(usize::MAX);
            self.shut();
            let fed = self.fed;
            self.op(&Op::FromClient { read: 4096, taken: usize::MAX });
            if self.fed > fed {
                continue;
            }
            if self.tunnel.wants_client() {
                self.op(&Op::ClientEof);
            } else if self.tunnel.wants_target() {
                self.op(&Op::TargetEof);
            }
            self.holds();
        }
        panic!("no end with two helpful sides: {self:?}");
    }

    /// Both sides are helpful, and nobody leaves, until this is so or the client has said all that it may.
    pub(crate) fn finish_until(&mut self, so: impl Fn(&Tunnel) -> bool) {
        for _ in 0..100_000 {
            self.client_takes(usize::MAX);
            self.target_takes(usize::MAX);
            self.shut();
            if so(&self.tunnel) || self.ended.is_some() {
                return;
            }
            let fed = self.fed;
            self.op(&Op::FromClient { read: 4096, taken: usize::MAX });
            if self.fed == fed {
                return;
            }
        }
        panic!("it never comes to it: {self:?}");
    }

    /// Both sides do nothing any more. Returns how long it took to end.
    pub(crate) fn stall(&mut self) -> Duration {
        let start = self.now;
        for _ in 0..20 {
            if self.ended.is_some() {
                return self.now - start;
            }
            let deadline = self.tunnel.deadline().expect("an ending has a deadline");
            self.wait(deadline.saturating_duration_since(self.now));
        }
        panic!("no end, however long it waits: {self:?}");
    }

    /// A timeout cut it off.
    pub(crate) fn timed_out(&self) -> bool {
        self.timed_out
    }

    pub(crate) fn received(&self) -> Received {
        received(self.script.protocol, &self.client_got)
    }

    /// What a Close with this code is to the client.
    pub(crate) fn closes_with(&self, code: u16) -> Closed {
        closes_with(self.script.protocol, Some(code))
    }

    /// The client knows that it is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.received().close.is_some() || self.script.protocol == Protocol::Hixie75 && self.client_shut
    }

    /// What of the target's bytes can have arrived.
    pub(crate) fn deliverable(&self) -> Vec<u8> {
        deliverable(self.script.protocol, self.target_said(0..self.target_fed))
    }

    pub(crate) fn target_said(&self, range: Range<usize>) -> Vec<u8> {
        target_bytes_in(self.script.protocol, range)
    }

    /// The payload in what the tunnel was given of the client's bytes.
    pub(crate) fn said(&self) -> Vec<u8> {
        self.script.said(self.fed).payload
    }

    pub(crate) fn end(&self) -> &End {
        self.ended.as_ref().expect("the session has ended")
    }

    /// Everything that arrived is the beginning of what was sent, and the end counts the rest.
    pub(crate) fn accounts(&self) {
        let (end, received, said) = (self.end(), self.received(), self.said());
        assert_eq!(end.to_target.accepted, said.len() as u64, "all payload is counted");
        assert_eq!(end.to_target.accepted - end.to_target.lost, self.target_got.len() as u64);
        assert_eq!(end.to_client.accepted, self.target_fed as u64);
        assert_eq!(end.to_client.accepted - end.to_client.lost, received.payload.len() as u64);
    }

    fn read_client(&mut self, read: usize, taken: usize) {
        let read = read.min(self.limit - self.fed);
        if read == 0 {
            return;
        }
        let mut input = self.script.bytes[self.fed..self.fed + read].to_vec();
        self.fed += read;
        let payload = self.tunnel.handle_client(self.now, &mut input);
        let payload = &input[payload];
        let (now, later) = payload.split_at(taken.min(payload.len()));
        self.target_got.extend(now);
        self.tunnel.keep_for_target(later);
        assert!(later.is_empty() || self.tunnel.to_target().len() <= read, "no more waits than was read");
    }

    fn read_target(&mut self, read: usize, taken: usize) {
        let mut buffer = vec![0xEE; buffer_bytes(read)];
        let place = HEADROOM..HEADROOM + read;
        buffer[place.clone()].copy_from_slice(&self.target_said(self.target_fed..self.target_fed + read));
        self.target_fed += read;
        let Outgoing { frame, payload, replaced } = self.tunnel.handle_target(self.now, &mut buffer, place);
        assert_eq!(replaced, 0, "what the target says can be delivered");
        let frame = &buffer[frame];
        let (now, later) = frame.split_at(taken.min(frame.len()));
        self.client_got.extend(now);
        self.tunnel.keep_for_client(later, payload);
        let frame_max = read.div_ceil(3) * 4 + HEADROOM;
        assert!(self.tunnel.to_client().len() <= frame_max.max(CONTROL_WAITING_MAX), "one frame waits at most");
    }

    fn pipe_target(&mut self, read: usize, taken: usize) {
        let said = self.target_said(self.target_fed..self.target_fed + read);
        self.target_fed += read;
        let mut space = [0xEE; HEADROOM];
        let header = self.tunnel.handle_target_piped(self.now, &mut space, read);
        let (now, later) = space[header.clone()].split_at(taken.min(header.len()));
        self.client_got.extend(now);
        self.tunnel.keep_for_client(later, 0);
        self.pipe = said.into();
    }

    fn has_for_client(&self) -> bool {
        !self.tunnel.to_client().is_empty() || self.tunnel.piped() > 0
    }

    fn client_takes(&mut self, count: usize) {
        while self.has_for_client() && self.ended.is_none() {
            let header = self.tunnel.to_client();
            let taken = count.min(if header.is_empty() { self.tunnel.piped() } else { header.len() });
            if taken == 0 {
                return;
            }
            if header.is_empty() {
                self.client_got.extend(self.pipe.drain(..taken));
                self.tunnel.spliced_to_client(self.now, taken);
            } else {
                self.client_got.extend(&header[..taken]);
                self.tunnel.sent_to_client(self.now, taken);
            }
            self.holds();
            if count != usize::MAX {
                return;
            }
        }
    }

    fn target_takes(&mut self, count: usize) {
        let taken = count.min(self.tunnel.to_target().len());
        if taken > 0 && self.ended.is_none() {
            self.target_got.extend(&self.tunnel.to_target()[..taken]);
            self.tunnel.sent_to_target(self.now, taken);
            self.holds();
        }
    }

    fn shut(&mut self) {
        if self.ended.is_none() && !self.has_for_client() && self.tunnel.wants_client_shut() {
            self.client_shut = true;
            self.tunnel.client_shut();
        }
        if self.ended.is_none() && self.tunnel.wants_target_shut() {
            assert!(self.tunnel.to_target().is_empty(), "shut before everything went out");
            self.target_shut = true;
            self.tunnel.target_shut();
        }
        self.holds();
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        if self.tunnel.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.tunnel.tick(self.now);
            self.timed_out |= self.tunnel.end().is_some();
        }
        self.holds();
    }

    /// What is true at any time.
    fn holds(&mut self) {
        let tunnel = &self.tunnel;
        let waiting = std::mem::replace(&mut self.waiting_for_target, tunnel.to_target().len());
        assert!(waiting == 0 || tunnel.to_target().len() <= waiting, "more waits although the target takes nothing");
        if self.has_for_client() {
            assert!(!tunnel.wants_target(), "the target is read although the client takes nothing");
        }
        assert!(!self.target_shut || tunnel.to_target().is_empty(), "something waits for a target that was shut");
        if let Some(end) = &self.ended {
            assert_eq!(tunnel.end(), Some(end), "an end changed");
            assert!(!tunnel.wants_client() && !tunnel.wants_target(), "read after the end");
        }
        self.ended = tunnel.end().cloned();
        let new = self.checked..self.target_got.len();
        assert_eq!(self.all_said.get(new.clone()), Some(&self.target_got[new]), "the target got something else");
        self.checked = self.target_got.len();
    }
}

/// Reading and taking in any order and amount, and time that passes.
fn flow() -> impl Strategy<Value = Op> {
    let amount = || prop_oneof![1 => Just(0), 4 => 1..30_usize, 2 => 30..500_usize, 2 => Just(65_536)];
    let read = || prop_oneof![4 => 1..30_usize, 2 => 30..500_usize, 2 => Just(65_536)];
    prop_oneof![
        6 => (read(), amount()).prop_map(|(read, taken)| Op::FromClient { read, taken }),
        6 => (read(), amount()).prop_map(|(read, taken)| Op::FromTarget { read, taken }),
        4 => (read(), amount()).prop_map(|(read, taken)| Op::Pipe { read, taken }),
        6 => amount().prop_map(Op::ClientTakes),
        6 => amount().prop_map(Op::TargetTakes),
        2 => Just(Op::Shut),
        1 => (0..400_u64).prop_map(Op::Wait),
        1 => Just(Op::Tick),
    ]
}

/// What flows, while nobody leaves.
pub(crate) fn flowing() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(flow(), 0..60)
}

/// Whatever can happen.
pub(crate) fn anything() -> impl Strategy<Value = Vec<Op>> {
    let ending = prop::sample::select(vec![
        Op::ClientEof,
        Op::ClientLost,
        Op::ClientUnwritable,
        Op::TargetEof,
        Op::TargetLost,
        Op::TargetUnwritable,
        Op::Stop(1001),
        Op::Stop(1012),
        Op::Wait(6_000),
        Op::Wait(30_000),
    ]);
    prop::collection::vec(prop_oneof![12 => flow(), 1 => ending], 0..80)
}

pub(crate) fn any_settings() -> impl Strategy<Value = Settings> {
    (prop::option::of(1..60_u64), prop::option::of(1..60_u64)).prop_map(|(heartbeat, idle)| Settings {
        protocol: BINARY,
        heartbeat: heartbeat.map(Duration::from_secs),
        idle_timeout: idle.map(Duration::from_secs),
        close_timeout: CLOSE_TIMEOUT,
    })
}
