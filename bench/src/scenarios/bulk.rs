//! Streams: CPU seconds of the proxy per gigabyte of payload, down, up, and both ways at once; plain, and over TLS.
//! Up, clients send frames of 64 KiB; what relays bytes gets the same payload in the same pieces, but no headers and no masks.

use std::io::Write as _;
use std::thread;

use super::{Amount, Bench, Measurement, Metric, RELAYS, Scenario, Subject, TLS_PROXIES, cpu_cost};
use crate::candidates::Kind;
use crate::generator::{BULK_BUFFER, Image, Session};
use crate::payload::{BLOCK, BLOCK_BYTES};
use crate::tls::{Handshake, Key};

pub const DOWN: Scenario = Scenario {
    name: "bulk-down",
    chart: "bulk",
    metrics: &[metric("bulk-down", "Bulk, target to client", Kind::Copy64)],
    kinds: RELAYS,
    takes_turns: false,
    steady: false,
    measure: |bench, kind| measure(Subject::start(bench, kind, bench.targets.source), download),
};

pub const UP: Scenario = Scenario {
    name: "bulk-up",
    metrics: &[metric("bulk-up", "Bulk, client to target, 64 KiB frames", Kind::Copy64)],
    measure: |bench, kind| measure(Subject::start(bench, kind, bench.targets.sink), upload),
    ..DOWN
};

pub const BOTH: Scenario = Scenario {
    name: "bulk-both",
    metrics: &[metric("bulk-both", "Bulk, both ways at once", Kind::Copy64)],
    measure: |bench, kind| measure(Subject::start(bench, kind, bench.targets.both), both),
    ..DOWN
};

pub const TLS_DOWN: Scenario = Scenario {
    name: "tls-down",
    chart: "tls",
    metrics: &[metric("tls-down", "Bulk over TLS, target to client", Kind::Haproxy)],
    kinds: TLS_PROXIES,
    measure: |bench, kind| measure(over_tls(bench, kind, bench.targets.source), download),
    ..DOWN
};

pub const TLS_UP: Scenario = Scenario {
    name: "tls-up",
    metrics: &[metric("tls-up", "Bulk over TLS, client to target", Kind::Haproxy)],
    measure: |bench, kind| measure(over_tls(bench, kind, bench.targets.sink), upload),
    ..TLS_DOWN
};

const fn metric(name: &'static str, title: &'static str, base: Kind) -> Metric {
    Metric { name, title, unit: "CPU s/GB", base: Some(base) }
}

const BLOCKS: Amount = Amount { full: 6144, debian: 1536, websocat: 6144 };
/// Lets the sockets' buffers grow to their size before anything counts.
const WARM_UP_BLOCKS: usize = 256;

fn over_tls(bench: &Bench, kind: Kind, target: std::net::SocketAddr) -> Subject<'_> {
    Subject::start_tls(bench, kind, target, Key::Ecdsa, Handshake::Full)
}

fn measure(subject: Subject, work: fn(&mut Session, &Image, usize)) -> Vec<Measurement> {
    let mut session = subject.open(BULK_BUFFER, 0);
    let block = Image::new(session.wire(), &BLOCK);
    work(&mut session, &block, WARM_UP_BLOCKS);
    let blocks = subject.amount(&BLOCKS);
    let measurement = cpu_cost(&subject.proxy, blocks * BLOCK_BYTES, 1e9, || work(&mut session, &block, blocks));
    session.close();
    subject.proxy.stop();
    vec![measurement]
}

fn download(session: &mut Session, _: &Image, blocks: usize) {
    let bytes = blocks * BLOCK_BYTES;
    session.send_payload(&(bytes as u64).to_be_bytes());
    session.receive_bulk(bytes);
}

/// `block` is [`BLOCK_BYTES`] of payload, in whatever frames.
pub(super) fn upload(session: &mut Session, block: &Image, blocks: usize) {
    let announced = announce(session, blocks);
    for _ in 0..blocks {
        session.send(block);
    }
    confirm(session, announced);
}

fn both(session: &mut Session, block: &Image, blocks: usize) {
    let announced = announce(session, blocks);
    let mut writer = session.writer();
    thread::scope(|scope| {
        let sending = scope.spawn(move || {
            for _ in 0..blocks {
                writer.write_all(block.bytes()).expect("the proxy takes what the client sends");
            }
        });
        session.receive_bulk(blocks * BLOCK_BYTES);
        sending.join().expect("sending does not panic");
    });
    confirm(session, announced);
}

fn announce(session: &mut Session, blocks: usize) -> [u8; 8] {
    let announced = ((blocks * BLOCK_BYTES) as u64).to_be_bytes();
    session.send_payload(&announced);
    announced
}

/// The target answers when it has received, and checked, all of it.
fn confirm(session: &mut Session, announced: [u8; 8]) {
    let mut received = [0; 8];
    session.receive(&mut received);
    assert_eq!(received, announced, "the target received another amount than was sent");
}
