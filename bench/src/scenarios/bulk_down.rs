//! The target floods, the client reads: CPU seconds of the proxy per gigabyte of payload.

use super::{Amount, Bench, Measurement, Scenario, cpu_cost};
use crate::candidates::{Kind, Proxy};
use crate::generator::{BULK_BUFFER, Session};

pub const SCENARIO: Scenario = Scenario {
    name: "bulk-down",
    title: "Bulk, target to client",
    unit: "CPU s/GB",
    against_floor: true,
    takes_turns: false,
    measure,
};

const BYTES: Amount = Amount { full: 512 << 20, quick: 192 << 20, debian_full: 256 << 20, debian_quick: 96 << 20 };
/// Lets the sockets' buffers grow to their size before anything counts.
const WARM_UP_BYTES: usize = 16 << 20;

fn measure(bench: &Bench, kind: Kind) -> Measurement {
    let proxy = Proxy::start(kind, &bench.settings, bench.targets.source);
    let mut session = Session::open(proxy.address, kind.wire(), BULK_BUFFER, 0);
    let mut download = |bytes: usize| {
        session.send_payload(&(bytes as u64).to_be_bytes());
        session.receive_bulk(bytes);
    };
    download(WARM_UP_BYTES);
    let bytes = bench.amount(kind, &BYTES);
    let measurement = cpu_cost(&proxy, bytes, 1e9, || download(bytes));
    session.close();
    proxy.stop();
    measurement
}
