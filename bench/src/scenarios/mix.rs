//! One session in bulk among fifty that talk: how long the slowest percentile of their messages takes beside it, and how much longer
//! that is than without it.
//!
//! The load's threads of the bulk session step back for those that are timed, or the load's CPU would be what is measured.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Bench, Measurement, Metric, Scenario, Subject};
use crate::candidates::Kind;
use crate::generator::{BULK_BUFFER, Image, SMALL_BUFFER, Session};
use crate::machine::{self, Steal};
use crate::statistics::quantile;
use crate::targets::FLOOD;

pub const SCENARIO: Scenario = Scenario {
    name: "mix",
    chart: "mix",
    metrics: &[
        Metric {
            name: "mix-latency",
            title: "Message beside a session in bulk, 99th percentile",
            unit: "µs",
            base: Some(Kind::Copy64),
        },
        Metric {
            name: "mix",
            title: "Message beside a session in bulk, 99th percentile over that without it",
            unit: "×",
            base: None,
        },
    ],
    // Not websocat: with it each message waits for seconds, and the run with them.
    kinds: &[Kind::Copy64, Kind::Websockify, Kind::Haproxy, Kind::Nginx, Kind::Debian],
    takes_turns: false,
    steady: false,
    measure,
};

const TALKING: usize = 50;
const MESSAGES: usize = 1_500;
const QUICK_MESSAGES: usize = 500;
const PAUSE: Duration = Duration::from_millis(1);
/// Less than the slowest candidate moves.
const BULK_BYTES_MIN: usize = 4 << 20;

fn measure(bench: &Bench, kind: Kind) -> Vec<Measurement> {
    let subject = Subject::start(bench, kind, bench.targets.mixed);
    let mut sessions: Vec<Session> = (0..TALKING).map(|number| subject.open(SMALL_BUFFER, number)).collect();
    let messages = if bench.quick { QUICK_MESSAGES } else { MESSAGES };
    let mut message = Image::new(kind.wire(), &[0x5a; 64]);
    let mut number = 0;
    // A target of two kinds: it echoes, until it is asked for a flood.
    let mut talk = || {
        let mut times = Vec::with_capacity(messages);
        for _ in 0..messages {
            let session = &mut sessions[usize::try_from(number).expect("small") % TALKING];
            number += 1;
            thread::sleep(PAUSE);
            let sent = Instant::now();
            session.echo(&mut message, number);
            times.push(sent.elapsed().as_secs_f64());
        }
        quantile(&times, 0.99).expect("messages were sent")
    };
    let alone = talk();
    let (steal, start) = (Steal::now(), Instant::now());
    let mut bulk = subject.open(BULK_BUFFER, TALKING);
    bulk.send_payload(&FLOOD.to_be_bytes());
    let ended = AtomicBool::new(false);
    let beside = thread::scope(|scope| {
        let flood = scope.spawn(|| {
            machine::step_back();
            bulk.receive_bulk_while(|| !ended.load(Ordering::Relaxed))
        });
        // Should talking fail, the other thread must end all the same, for the scope waits for it.
        let beside = catch_unwind(AssertUnwindSafe(&mut talk));
        ended.store(true, Ordering::Relaxed);
        let bytes = flood.join().expect("reading does not panic");
        assert!(bytes > BULK_BYTES_MIN, "the session in bulk moved {bytes} bytes only");
        beside.unwrap_or_else(|panic| resume_unwind(panic))
    });
    drop(bulk);
    let (wall, steal) = (start.elapsed(), steal.since());
    sessions.into_iter().for_each(Session::close);
    subject.proxy.stop();
    let latency = Measurement { value: beside * 1e6, amount: messages, used: beside, wall, steal };
    vec![latency, Measurement { value: beside / alone, ..latency }]
}
