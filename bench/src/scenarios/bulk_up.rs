//! The client floods with frames of 64 KiB, the target reads: CPU seconds of the proxy per gigabyte of payload.
//! The floor gets the same payload in the same pieces, but no headers and no masks.

use super::{Amount, Bench, Measurement, Scenario, cpu_cost};
use crate::candidates::{Kind, Proxy};
use crate::generator::{Image, SMALL_BUFFER, Session};
use crate::payload::{BLOCK, BLOCK_BYTES};

pub const SCENARIO: Scenario = Scenario {
    name: "bulk-up",
    title: "Bulk, client to target, 64 KiB frames",
    unit: "CPU s/GB",
    against_floor: true,
    takes_turns: false,
    measure,
};

const BLOCKS: Amount = Amount { full: 8192, quick: 3072, debian_full: 1536, debian_quick: 768 };
/// Lets the sockets' buffers grow to their size before anything counts.
const WARM_UP_BLOCKS: usize = 256;

fn measure(bench: &Bench, kind: Kind) -> Measurement {
    let proxy = Proxy::start(kind, &bench.settings, bench.targets.sink);
    let mut session = Session::open(proxy.address, kind.wire(), SMALL_BUFFER, 0);
    let block = Image::new(session.wire(), &BLOCK);
    let mut upload = |blocks: usize| {
        let announced = ((blocks * BLOCK_BYTES) as u64).to_be_bytes();
        session.send_payload(&announced);
        for _ in 0..blocks {
            session.send(&block);
        }
        // The target answers when it has received, and checked, all of it.
        let mut received = [0; 8];
        session.receive(&mut received);
        assert_eq!(received, announced, "the target received another amount than was sent");
    };
    upload(WARM_UP_BLOCKS);
    let blocks = bench.amount(kind, &BLOCKS);
    let measurement = cpu_cost(&proxy, blocks * BLOCK_BYTES, 1e9, || upload(blocks));
    session.close();
    proxy.stop();
    measurement
}
