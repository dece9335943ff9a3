//! Sessions one after another, each with one message there and back: CPU microseconds of the proxy per
//! session, from the accept to the last of its end. What relays bytes has no upgrade to do.

use super::{Amount, Measurement, Metric, PROXIES, Scenario, Subject, TLS_PROXIES, cpu_cost};
use crate::candidates::Kind;
use crate::generator::{Image, SMALL_BUFFER};
use crate::tls::{Handshake, Key};

pub const PLAIN: Scenario = Scenario {
    name: "connects",
    chart: "connects",
    metrics: &[metric("connects", "Connect, upgrade, one echo, close", Kind::Copy64)],
    kinds: PROXIES,
    takes_turns: true,
    steady: false,
    measure: |bench, kind| measure(Subject::start(bench, kind, bench.targets.echo), Handshake::Full),
};

pub const ECDSA: Scenario = Scenario {
    name: "connects-ecdsa",
    metrics: &[metric("connects-ecdsa", "Connect and so on over TLS, ECDSA", Kind::Haproxy)],
    kinds: TLS_PROXIES,
    measure: |bench, kind| {
        let subject = Subject::start_tls(bench, kind, bench.targets.echo, Key::Ecdsa, Handshake::Full);
        measure(subject, Handshake::Full)
    },
    ..PLAIN
};

pub const RSA: Scenario = Scenario {
    name: "connects-rsa",
    metrics: &[metric("connects-rsa", "Connect and so on over TLS, RSA 2048", Kind::Haproxy)],
    measure: |bench, kind| {
        let subject = Subject::start_tls(bench, kind, bench.targets.echo, Key::Rsa, Handshake::Full);
        measure(subject, Handshake::Full)
    },
    ..ECDSA
};

pub const RESUMED: Scenario = Scenario {
    name: "connects-resumed",
    metrics: &[metric("connects-resumed", "Connect and so on over TLS, resumed", Kind::Haproxy)],
    // A process for each session has no secrets of another's.
    kinds: &[Kind::Websockify, Kind::Haproxy],
    measure: |bench, kind| {
        let subject = Subject::start_tls(bench, kind, bench.targets.echo, Key::Ecdsa, Handshake::Resumed);
        measure(subject, Handshake::Resumed)
    },
    ..ECDSA
};

const fn metric(name: &'static str, title: &'static str, base: Kind) -> Metric {
    Metric { name, title, unit: "CPU µs/connection", base: Some(base) }
}

/// Debian's ends a child for each: enough of them that 20 ms (see `process_tree`) are little of the whole.
const CONNECTIONS: Amount = Amount { full: 2_000, debian: 120, websocat: 2_000 };
const WARM_UP_CONNECTIONS: usize = 10;

fn measure(subject: Subject, handshake: Handshake) -> Vec<Measurement> {
    let mut message = Image::new(subject.proxy.kind.wire(), &[0x5a; 64]);
    let mut connect = |connections: usize| {
        let mut resumed = 0;
        for number in 0..connections {
            let mut session = subject.open(SMALL_BUFFER, number);
            session.echo(&mut message, number as u64);
            resumed += usize::from(session.is_resumed());
            session.close();
        }
        resumed
    };
    connect(WARM_UP_CONNECTIONS);
    let connections = subject.amount(&CONNECTIONS);
    let cost = cpu_cost(&subject.proxy, connections, 1e6, || {
        let expected = if handshake == Handshake::Resumed { connections } else { 0 };
        assert_eq!(connect(connections), expected, "sessions whose TLS was resumed");
    });
    subject.proxy.stop();
    vec![cost]
}
