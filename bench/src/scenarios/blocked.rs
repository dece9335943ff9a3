//! Clients that have stopped reading while their targets flood: user memory per session, as a slope.

use std::time::Instant;

use super::idle::slope;
use super::{Bench, Measurement, Metric, Scenario, Subject};
use crate::candidates::Kind;
use crate::generator::{SMALL_BUFFER, Session};
use crate::machine::Steal;
use crate::targets::FLOOD;

pub const SCENARIO: Scenario = Scenario {
    name: "blocked",
    chart: "memory",
    metrics: &[Metric {
        name: "blocked",
        title: "Session whose client does not read, user memory",
        unit: "KiB/session",
        base: None,
    }],
    // Not Debian's: it reads on and holds whatever comes, without a bound, and never comes to rest.
    kinds: &[Kind::Copy64, Kind::Websockify, Kind::Haproxy, Kind::Nginx, Kind::Websocat],
    takes_turns: false,
    steady: true,
    measure,
};

const SESSIONS: [usize; 3] = [50, 150, 250];
const QUICK_SESSIONS: [usize; 3] = [10, 25, 50];

fn measure(bench: &Bench, kind: Kind) -> Vec<Measurement> {
    let subject = Subject::start(bench, kind, bench.targets.source);
    let counts = if bench.quick { QUICK_SESSIONS } else { SESSIONS };
    let mut sessions: Vec<Session> = Vec::new();
    let (steal, start) = (Steal::now(), Instant::now());
    let points = counts.map(|count| {
        while sessions.len() < count {
            let mut session = subject.open(SMALL_BUFFER, sessions.len());
            session.send_payload(&FLOOD.to_be_bytes());
            session.receive(&mut [0]); // the flood has begun
            sessions.push(session);
        }
        (count as f64, subject.proxy.settled_memory() as f64)
    });
    let bytes = slope(&points);
    let (wall, steal) = (start.elapsed(), steal.since());
    // All of them must still be there, and have more to say than was read.
    for session in &mut sessions {
        session.receive(&mut [0; 4 * SMALL_BUFFER]);
    }
    drop(sessions);
    subject.proxy.stop();
    let amount = counts[2];
    vec![Measurement { value: bytes / 1024.0, amount, used: bytes * amount as f64, wall, steal }]
}
