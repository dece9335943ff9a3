//! Messages there and back, one in flight in each session: CPU microseconds of the proxy per round trip, and, of a single
//! session, how much longer the proxy makes it.

use std::time::{Duration, Instant};

use super::{Amount, Bench, Measurement, Metric, PROXIES, Scenario, Subject, cpu_cost};
use crate::candidates::Kind;
use crate::generator::{Image, SMALL_BUFFER, Session, Wire};
use crate::statistics::median;

const CPU: &str = "CPU µs/message";

pub const ONE_OF_64: Scenario = Scenario {
    name: "echo",
    chart: "echo",
    metrics: &[cost("echo", "Echo of 64 bytes"), latency("echo-latency", "Echo of 64 bytes, added median latency")],
    kinds: PROXIES,
    takes_turns: true,
    steady: false,
    measure: |bench, kind| alone(bench, kind, 64),
};

pub const MANY_OF_64: Scenario = Scenario {
    name: "echo-32",
    metrics: &[cost("echo-32", "Echo of 64 bytes, 32 sessions")],
    measure: |bench, kind| among(bench, kind, 64, 32),
    ..ONE_OF_64
};

pub const CROWD_OF_64: Scenario = Scenario {
    name: "echo-256",
    metrics: &[cost("echo-256", "Echo of 64 bytes, 256 sessions")],
    measure: |bench, kind| among(bench, kind, 64, 256),
    ..ONE_OF_64
};

pub const ONE_OF_1K: Scenario = Scenario {
    name: "echo-1k",
    metrics: &[cost("echo-1k", "Echo of 1 KiB"), latency("echo-1k-latency", "Echo of 1 KiB, added median latency")],
    measure: |bench, kind| alone(bench, kind, 1024),
    ..ONE_OF_64
};

pub const MANY_OF_1K: Scenario = Scenario {
    name: "echo-1k-32",
    metrics: &[cost("echo-1k-32", "Echo of 1 KiB, 32 sessions")],
    measure: |bench, kind| among(bench, kind, 1024, 32),
    ..ONE_OF_64
};

pub const CROWD_OF_1K: Scenario = Scenario {
    name: "echo-1k-256",
    metrics: &[cost("echo-1k-256", "Echo of 1 KiB, 256 sessions")],
    measure: |bench, kind| among(bench, kind, 1024, 256),
    ..ONE_OF_64
};

const fn cost(name: &'static str, title: &'static str) -> Metric {
    Metric { name, title, unit: CPU, base: Some(Kind::Copy64) }
}

const fn latency(name: &'static str, title: &'static str) -> Metric {
    Metric { name, title, unit: "µs", base: Some(Kind::Copy64) }
}

const MESSAGES: Amount = Amount { full: 20_000, debian: 8_000, websocat: 20_000 };
const WARM_UP_MESSAGES: usize = 500;
/// With a process for each of so many sessions, Debian's is measured with fewer.
const DEBIAN_SESSIONS_MAX: usize = 32;

fn alone(bench: &Bench, kind: Kind, size: usize) -> Vec<Measurement> {
    let subject = Subject::start(bench, kind, bench.targets.echo);
    let messages = subject.amount(&MESSAGES);
    let direct = {
        let mut session = Session::open(bench.targets.echo, Wire::Raw, SMALL_BUFFER, 0);
        let mut loop_ = Loop::new(&session, size);
        loop_.run(&mut session, WARM_UP_MESSAGES);
        let median = loop_.run(&mut session, messages / 2);
        session.close();
        median
    };
    let mut session = subject.open(SMALL_BUFFER, 0);
    let mut loop_ = Loop::new(&session, size);
    loop_.run(&mut session, WARM_UP_MESSAGES);
    let mut through = Duration::ZERO;
    let cost = cpu_cost(&subject.proxy, messages, 1e6, || through = loop_.run(&mut session, messages));
    session.close();
    subject.proxy.stop();
    let added = through.saturating_sub(direct).as_secs_f64();
    vec![cost, Measurement { value: added * 1e6, used: added, ..cost }]
}

fn among(bench: &Bench, kind: Kind, size: usize, sessions: usize) -> Vec<Measurement> {
    let subject = Subject::start(bench, kind, bench.targets.echo);
    let sessions = if kind == Kind::Debian { sessions.min(DEBIAN_SESSIONS_MAX) } else { sessions };
    let mut sessions: Vec<Session> = (0..sessions).map(|number| subject.open(SMALL_BUFFER, number)).collect();
    let mut message = Image::new(kind.wire(), &vec![0x5a; size]);
    let mut number = 0;
    let mut rounds = |sessions: &mut [Session], rounds: usize| {
        for _ in 0..rounds {
            number += 1;
            for session in &mut *sessions {
                session.send_stamped(&mut message, number);
            }
            for session in &mut *sessions {
                session.receive_echo(&mut message, number);
            }
        }
    };
    rounds(&mut sessions, 2);
    let many = subject.amount(&MESSAGES).div_ceil(sessions.len());
    let cost = cpu_cost(&subject.proxy, many * sessions.len(), 1e6, || rounds(&mut sessions, many));
    sessions.into_iter().for_each(Session::close);
    subject.proxy.stop();
    vec![cost]
}

/// One session's messages, each unlike all others.
struct Loop {
    message: Image,
    number: u64,
}

impl Loop {
    fn new(session: &Session, size: usize) -> Self {
        Self { message: Image::new(session.wire(), &vec![0x5a; size]), number: 0 }
    }

    /// The median of so many round trips.
    fn run(&mut self, session: &mut Session, messages: usize) -> Duration {
        let mut times = Vec::with_capacity(messages);
        for _ in 0..messages {
            self.number += 1;
            let sent = Instant::now();
            session.echo(&mut self.message, self.number);
            times.push(sent.elapsed().as_secs_f64());
        }
        Duration::from_secs_f64(median(&times).expect("at least one message was sent"))
    }
}
