//! Sessions that have said one word and then nothing: user memory per session, as the slope over three numbers of them, so that what
//! the program itself takes does not count; and what of it is there again after each has carried a block and then been idle. What
//! the kernel holds for the sockets is the same for all and not in it.

use std::thread;
use std::time::{Duration, Instant};

use super::{Bench, Measurement, Metric, PROXIES, Scenario, Subject, TLS_PROXIES};
use crate::candidates::Kind;
use crate::generator::{Image, SMALL_BUFFER, Session};
use crate::machine::Steal;
use crate::payload::BLOCK;
use crate::tls::{Handshake, Key};

pub const PLAIN: Scenario = Scenario {
    name: "idle",
    chart: "memory",
    metrics: &[
        metric("idle", "Idle session, user memory"),
        metric("idle-after", "Idle session after 64 KiB each way and a rest"),
    ],
    kinds: PROXIES,
    takes_turns: true,
    steady: true,
    measure: |bench, kind| measure(Subject::start(bench, kind, bench.targets.echo), counts(bench, kind, SESSIONS)),
};

pub const TLS: Scenario = Scenario {
    name: "idle-tls",
    metrics: &[
        metric("idle-tls", "Idle session with TLS, user memory"),
        metric("idle-tls-after", "Idle session with TLS after 64 KiB each way and a rest"),
    ],
    kinds: TLS_PROXIES,
    measure: |bench, kind| {
        let subject = Subject::start_tls(bench, kind, bench.targets.echo, Key::Ecdsa, Handshake::Full);
        measure(subject, counts(bench, kind, TLS_SESSIONS))
    },
    ..PLAIN
};

/// A floor holds next to nothing: a ratio to that would say how little, not how good.
const fn metric(name: &'static str, title: &'static str) -> Metric {
    Metric { name, title, unit: "KiB/session", base: None }
}

const SESSIONS: [usize; 3] = [1000, 4000, 8000];
const TLS_SESSIONS: [usize; 3] = [500, 1500, 3000];
const QUICK_SESSIONS: [usize; 3] = [250, 500, 1000];
/// A process each.
const DEBIAN_SESSIONS: [usize; 3] = [10, 25, 50];
/// After what was carried.
const REST: Duration = Duration::from_secs(5);
const QUICK_REST: Duration = Duration::from_secs(1);

/// The most sessions that one proxy has in a run, with room for the rest.
pub fn sessions_max(quick: bool) -> usize {
    let [.., most] = if quick { QUICK_SESSIONS } else { SESSIONS };
    most + 200
}

fn counts(bench: &Bench, kind: Kind, full: [usize; 3]) -> [usize; 3] {
    match kind {
        Kind::Debian => DEBIAN_SESSIONS,
        // Eight thousand of its sessions would take gigabytes.
        Kind::Websocat => QUICK_SESSIONS,
        _ if bench.quick => QUICK_SESSIONS,
        _ => full,
    }
}

fn measure(subject: Subject, counts: [usize; 3]) -> Vec<Measurement> {
    let proxy = &subject.proxy;
    let mut message = Image::new(proxy.kind.wire(), &[0x5a; 64]);
    let mut sessions: Vec<Session> = Vec::new();
    let (steal, start) = (Steal::now(), Instant::now());
    let points = counts.map(|count| {
        while sessions.len() < count {
            let number = sessions.len();
            let mut session = subject.open(SMALL_BUFFER, number);
            session.echo(&mut message, number as u64);
            sessions.push(session);
        }
        (count as f64, proxy.settled_memory() as f64)
    });
    let fresh = slope(&points);
    let block = Image::new(proxy.kind.wire(), &BLOCK);
    let mut received = vec![0; BLOCK.len()];
    for session in &mut sessions {
        session.send(&block);
        session.receive(&mut received);
        assert!(received == **BLOCK, "what came back is not what was sent");
    }
    thread::sleep(if subject.bench.quick { QUICK_REST } else { REST });
    let [.., (count, before)] = points;
    let more = (proxy.settled_memory() as f64 - before) / count;
    let (wall, steal) = (start.elapsed(), steal.since());
    // A session that was dropped takes no memory: all of them must still be there.
    for (number, session) in sessions.iter_mut().enumerate() {
        session.echo(&mut message, number as u64 + 1_000_000);
    }
    sessions.into_iter().for_each(Session::close);
    subject.proxy.stop();
    let amount = counts[2];
    [fresh, fresh + more]
        .map(|bytes| Measurement { value: bytes / 1024.0, amount, used: bytes * count, wall, steal })
        .to_vec()
}

/// Of the line that lies nearest to the points, by least squares.
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let middle = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (middle(|point| point.0), middle(|point| point.1));
    let along = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>();
    let across = points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>();
    along / across
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_what_each_takes_and_not_what_all_share() {
        let line = [(1000.0, 5000.0), (4000.0, 11_000.0), (8000.0, 19_000.0)];
        assert!((slope(&line) - 2.0).abs() < 1e-9);
    }
}
