//! Sessions that have said one word and then nothing: user memory per session, as the slope between a smaller
//! and a larger number of them, so that what the program itself takes does not count. What the kernel
//! holds for the sockets is the same for all and not in it.

use std::time::Instant;

use super::{Amount, Bench, Measurement, Scenario};
use crate::candidates::{Kind, Proxy};
use crate::generator::{Image, SMALL_BUFFER, Session};
use crate::machine::Steal;

pub const SCENARIO: Scenario = Scenario {
    name: "idle",
    title: "Idle session, user memory",
    unit: "KiB/session",
    // The floor holds next to nothing: a ratio to that would say how little, not how good.
    against_floor: false,
    takes_turns: true,
    measure,
};

const FEWER: Amount = Amount { full: 500, quick: 500, debian_full: 20, debian_quick: 10 };
const MORE: Amount = Amount { full: 2500, quick: 1500, debian_full: 60, debian_quick: 30 };
/// Two sockets a session in the proxy, and both their other ends in this process, with room for the rest.
pub const OPEN_FILES: u64 = 2 * 2500 + 1000;

fn measure(bench: &Bench, kind: Kind) -> Measurement {
    let proxy = Proxy::start(kind, &bench.settings, bench.targets.echo);
    let mut message = Image::new(kind.wire(), &[0x5a; 64]);
    let mut sessions: Vec<Session> = Vec::new();
    let (fewer, more) = (bench.amount(kind, &FEWER), bench.amount(kind, &MORE));
    let steal = Steal::now();
    let start = Instant::now();
    let mut memory_with = |count: usize| {
        while sessions.len() < count {
            let number = sessions.len();
            let mut session = Session::open(proxy.address, kind.wire(), SMALL_BUFFER, number);
            session.echo(&mut message, number as u64);
            sessions.push(session);
        }
        proxy.settled_memory()
    };
    let used = memory_with(fewer) as f64;
    let used = memory_with(more) as f64 - used;
    let (wall, steal) = (start.elapsed(), steal.since());
    // A session that was dropped takes no memory: all of them must still be there.
    for (number, session) in sessions.iter_mut().enumerate() {
        session.echo(&mut message, number as u64 + 1_000_000);
    }
    sessions.into_iter().for_each(Session::close);
    proxy.stop();
    let amount = more - fewer;
    Measurement { value: used / 1024.0 / amount as f64, amount, used, wall, steal }
}
