//! When to ping a client, when to give it up, and when nothing has moved for too long.
//!
//! Any byte from the client is a sign of life, and so is its taking what it was blocked on: a client that is busy with a
//! large download may be slow to answer a ping.

use std::time::{Duration, Instant};

/// A client may take this long to answer a ping, or one heartbeat interval when that is longer: long enough for a
/// mobile network to wake up, and short enough that with a heartbeat of 25 s a dead client is noticed within a minute.
const PONG_TIME_MIN: Duration = Duration::from_secs(10);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A ping is to be sent.
    Ping,
    /// The client did not answer the last one.
    Silent,
    /// No payload has moved for the idle limit.
    Idle,
}

/// The clocks of a session.
#[derive(Debug)]
pub(super) struct Liveness {
    heartbeat: Option<Duration>,
    idle_timeout: Option<Duration>,
    /// When the last ping went out, or when the next is due after it.
    phase: Phase,
    last_payload: Instant,
}

#[derive(Debug)]
enum Phase {
    /// The next ping is due one heartbeat later.
    Quiet(Instant),
    /// A ping went out then and nothing has come since.
    Pinged(Instant),
}

impl Liveness {
    pub(super) fn new(now: Instant, heartbeat: Option<Duration>, idle_timeout: Option<Duration>) -> Self {
        Self { heartbeat, idle_timeout, phase: Phase::Quiet(now), last_payload: now }
    }

    /// The client gave a sign of life.
    pub(super) fn sign_of_life(&mut self, now: Instant) {
        if let Phase::Pinged(_) = self.phase {
            self.phase = Phase::Quiet(now);
        }
    }

    /// Payload moved.
    pub(super) fn payload(&mut self, now: Instant) {
        self.last_payload = now;
    }

    /// When to ask [`due`](Self::due) next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.beat(), self.idle()].into_iter().flatten().min()
    }

    /// What is due, once.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        if self.idle().is_some_and(|at| at <= now) {
            return Some(Due::Idle);
        }
        if self.beat().is_none_or(|at| at > now) {
            return None;
        }
        match self.phase {
            Phase::Pinged(_) => Some(Due::Silent),
            Phase::Quiet(_) => {
                self.phase = Phase::Pinged(now);
                Some(Due::Ping)
            }
        }
    }

    fn beat(&self) -> Option<Instant> {
        let heartbeat = self.heartbeat?;
        // A time beyond what the clock can say never comes.
        match self.phase {
            Phase::Quiet(since) => since.checked_add(heartbeat),
            Phase::Pinged(at) => at.checked_add(heartbeat.max(PONG_TIME_MIN)),
        }
    }

    fn idle(&self) -> Option<Instant> {
        self.last_payload.checked_add(self.idle_timeout?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_ping_is_due_each_interval_and_an_answer_in_time() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, Some(25 * SECOND), None);
        assert_eq!(liveness.due(start + 24 * SECOND), None);
        assert_eq!(liveness.due(start + 25 * SECOND), Some(Due::Ping));
        assert_eq!(liveness.due(start + 26 * SECOND), None);
        liveness.sign_of_life(start + 26 * SECOND);
        assert_eq!(liveness.due(start + 50 * SECOND), None);
        assert_eq!(liveness.due(start + 51 * SECOND), Some(Due::Ping));
        assert_eq!(liveness.due(start + 76 * SECOND), Some(Due::Silent));
    }

    #[test]
    fn a_short_heartbeat_still_leaves_time_for_an_answer() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, Some(SECOND), None);
        assert_eq!(liveness.due(start + SECOND), Some(Due::Ping));
        assert_eq!(liveness.deadline(), Some(start + 11 * SECOND));
        assert_eq!(liveness.due(start + 11 * SECOND), Some(Due::Silent));
    }

    #[test]
    fn only_payload_counts_against_idleness() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, Some(4 * SECOND), Some(10 * SECOND));
        liveness.payload(start + SECOND);
        assert_eq!(liveness.due(start + 4 * SECOND), Some(Due::Ping));
        liveness.sign_of_life(start + 5 * SECOND);
        assert_eq!(liveness.due(start + 11 * SECOND), Some(Due::Idle));
    }
}
