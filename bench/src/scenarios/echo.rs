//! Messages of 64 bytes there and back, one in flight: CPU microseconds of the proxy per round trip.

use super::{Amount, Bench, Measurement, Scenario, cpu_cost};
use crate::candidates::{Kind, Proxy};
use crate::generator::{Image, SMALL_BUFFER, Session};

pub const SCENARIO: Scenario = Scenario {
    name: "echo",
    title: "Echo of 64 bytes, one in flight",
    unit: "CPU µs/message",
    against_floor: true,
    takes_turns: true,
    measure,
};

const MESSAGES: Amount = Amount { full: 20_000, quick: 8_000, debian_full: 8_000, debian_quick: 4_000 };
const WARM_UP_MESSAGES: usize = 500;

fn measure(bench: &Bench, kind: Kind) -> Measurement {
    let proxy = Proxy::start(kind, &bench.settings, bench.targets.echo);
    let mut session = Session::open(proxy.address, kind.wire(), SMALL_BUFFER, 0);
    let mut message = Image::new(session.wire(), &[0x5a; 64]);
    let mut number = 0;
    let mut echo = |messages: usize| {
        for _ in 0..messages {
            number += 1;
            session.echo(&mut message, number);
        }
    };
    echo(WARM_UP_MESSAGES);
    let messages = bench.amount(kind, &MESSAGES);
    let measurement = cpu_cost(&proxy, messages, 1e6, || echo(messages));
    session.close();
    proxy.stop();
    measurement
}
