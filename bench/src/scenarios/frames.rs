//! Small frames: many in one segment, as from a client that writes faster than it is sent; and writes of the target that each
//! leave at once, as from a desktop whose pointer moves. What relays bytes gets the same payload in as many segments.

use super::bulk::upload;
use super::{Amount, Bench, Measurement, Metric, PROXIES, Scenario, Subject, cpu_cost};
use crate::candidates::Kind;
use crate::generator::{BULK_BUFFER, Image, SMALL_BUFFER};
use crate::payload::{BLOCK, BLOCK_BYTES};
use crate::targets::SMALL_WRITE;

const FRAME: usize = 100;

pub const UP: Scenario = Scenario {
    name: "frames-up",
    chart: "small",
    metrics: &[Metric {
        name: "frames-up",
        title: "Frames of 100 bytes up, batched",
        unit: "CPU s/GB",
        base: Some(Kind::Copy64),
    }],
    kinds: PROXIES,
    takes_turns: false,
    steady: false,
    measure: up,
};

pub const BOTH: Scenario = Scenario {
    name: "frames-both",
    metrics: &[Metric {
        name: "frames-both",
        title: "Frames of 100 bytes each way, 20 in flight",
        unit: "CPU µs/message",
        base: Some(Kind::Copy64),
    }],
    takes_turns: true,
    measure: both,
    ..UP
};

pub const SMALL_DOWN: Scenario = Scenario {
    name: "small-down",
    metrics: &[Metric {
        name: "small-down",
        title: "Writes of 100 bytes by the target, one by one",
        unit: "CPU µs/message",
        base: Some(Kind::Copy64),
    }],
    measure: small_down,
    ..UP
};

/// Blocks of 64 KiB, in frames of 100 bytes; the last is shorter.
const BLOCKS: Amount = Amount { full: 2048, debian: 16, websocat: 256 };
const WARM_UP_BLOCKS: usize = 4;

fn up(bench: &Bench, kind: Kind) -> Vec<Measurement> {
    let subject = Subject::start(bench, kind, bench.targets.sink);
    let mut session = subject.open(SMALL_BUFFER, 0);
    let block = Image::batch(session.wire(), &BLOCK, FRAME);
    upload(&mut session, &block, WARM_UP_BLOCKS);
    let blocks = subject.amount(&BLOCKS);
    let cost = cpu_cost(&subject.proxy, blocks * BLOCK_BYTES, 1e9, || upload(&mut session, &block, blocks));
    session.close();
    subject.proxy.stop();
    vec![cost]
}

const BATCH: usize = 20;
/// Websocat leaves it to the kernel to wait with small segments, and each batch takes it 40 ms.
const BATCHES: Amount = Amount { full: 8_000, debian: 2_000, websocat: 80 };
const WARM_UP_BATCHES: usize = 20;

fn both(bench: &Bench, kind: Kind) -> Vec<Measurement> {
    let subject = Subject::start(bench, kind, bench.targets.echo);
    let mut session = subject.open(SMALL_BUFFER, 0);
    let payload = &BLOCK[..BATCH * FRAME];
    let batch = Image::batch(session.wire(), payload, FRAME);
    let mut exchange = |batches: usize| {
        let mut received = [0; BATCH * FRAME];
        for _ in 0..batches {
            session.send(&batch);
            session.receive(&mut received);
            assert!(received == payload, "what came back is not what was sent");
        }
    };
    exchange(WARM_UP_BATCHES);
    let batches = subject.amount(&BATCHES);
    let cost = cpu_cost(&subject.proxy, batches * BATCH, 1e6, || exchange(batches));
    session.close();
    subject.proxy.stop();
    vec![cost]
}

const WRITES: Amount = Amount { full: 30_000, debian: 10_000, websocat: 30_000 };
const WARM_UP_WRITES: usize = 1_000;

fn small_down(bench: &Bench, kind: Kind) -> Vec<Measurement> {
    let subject = Subject::start(bench, kind, bench.targets.small);
    let mut session = subject.open(BULK_BUFFER, 0);
    let mut download = |writes: usize| {
        let bytes = writes * SMALL_WRITE;
        session.send_payload(&(bytes as u64).to_be_bytes());
        session.receive_bulk(bytes);
    };
    download(WARM_UP_WRITES);
    let writes = subject.amount(&WRITES);
    let cost = cpu_cost(&subject.proxy, writes, 1e6, || download(writes));
    session.close();
    subject.proxy.stop();
    vec![cost]
}
