//! Sessions one after another, each with one message there and back: CPU microseconds of the proxy per
//! session, from the accept to the last of its end. The floor has no upgrade to do.

use super::{Amount, Bench, Measurement, Scenario, cpu_cost};
use crate::candidates::{Kind, Proxy};
use crate::generator::{Image, SMALL_BUFFER, Session};

pub const SCENARIO: Scenario = Scenario {
    name: "connects",
    title: "Connect, upgrade, one echo, close",
    unit: "CPU µs/connection",
    against_floor: true,
    takes_turns: true,
    measure,
};

/// Debian's ends a child for each: enough of them that 20 ms (see `process_tree`) are little of the whole.
const CONNECTIONS: Amount = Amount { full: 2_000, quick: 800, debian_full: 80, debian_quick: 40 };
const WARM_UP_CONNECTIONS: usize = 10;

fn measure(bench: &Bench, kind: Kind) -> Measurement {
    let proxy = Proxy::start(kind, &bench.settings, bench.targets.echo);
    let mut message = Image::new(kind.wire(), &[0x5a; 64]);
    let mut connect = |connections: usize| {
        for number in 0..connections {
            let mut session = Session::open(proxy.address, kind.wire(), SMALL_BUFFER, number);
            session.echo(&mut message, number as u64);
            session.close();
        }
    };
    connect(WARM_UP_CONNECTIONS);
    let connections = bench.amount(kind, &CONNECTIONS);
    let measurement = cpu_cost(&proxy, connections, 1e6, || connect(connections));
    proxy.stop();
    measurement
}
