//! What is measured. A scenario starts its candidate anew, so that no accident of one process's placement
//! in memory lasts longer than one measurement, and proves that the work was really done.

mod bulk_down;
mod bulk_up;
mod connects;
mod echo;
mod idle;

use std::time::{Duration, Instant};

use crate::candidates::{Kind, Proxy, Settings};
use crate::machine::{self, Steal};
use crate::targets::Targets;

pub use idle::OPEN_FILES;

pub const ALL: [Scenario; 5] =
    [bulk_down::SCENARIO, bulk_up::SCENARIO, echo::SCENARIO, connects::SCENARIO, idle::SCENARIO];

#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    /// Whether a ratio to the floor says anything.
    pub against_floor: bool,
    /// Client, proxy and target take turns, and so share a CPU (see `Cpus`).
    takes_turns: bool,
    measure: fn(&Bench, Kind) -> Measurement,
}

/// What all measurements of a run share.
pub struct Bench {
    pub settings: Settings,
    pub targets: Targets,
    pub quick: bool,
}

impl Bench {
    pub fn measure(&self, scenario: &Scenario, kind: Kind) -> Measurement {
        let cpus = self.settings.cpus;
        machine::pin(if scenario.takes_turns { cpus.turns() } else { cpus.generator });
        (scenario.measure)(self, kind)
    }

    /// How much work, by candidate: the fork and the interpreter of Debian's make it slower by so much that
    /// equal work would be either endless for it or nothing for the others. All figures are per unit.
    fn amount(&self, kind: Kind, amount: &Amount) -> usize {
        match (kind, self.quick) {
            (Kind::Floor | Kind::Websockify, false) => amount.full,
            (Kind::Floor | Kind::Websockify, true) => amount.quick,
            (Kind::Debian, false) => amount.debian_full,
            (Kind::Debian, true) => amount.debian_quick,
        }
    }
}

struct Amount {
    full: usize,
    quick: usize,
    debian_full: usize,
    debian_quick: usize,
}

/// One figure, and what it was computed from.
pub struct Measurement {
    /// In the scenario's unit.
    pub value: f64,
    /// Bytes, messages, connections or sessions.
    pub amount: usize,
    /// What the proxy used: CPU seconds, or bytes of memory.
    pub used: f64,
    pub wall: Duration,
    pub steal: f64,
}

/// The CPU time that `work` costs the proxy, in units of `scale` of them per second and amount.
pub fn cpu_cost(proxy: &Proxy, amount: usize, scale: f64, work: impl FnOnce()) -> Measurement {
    let before = proxy.settled_usage(None);
    let steal = Steal::now();
    let start = Instant::now();
    work();
    let wall = start.elapsed();
    let steal = steal.since();
    let after = proxy.settled_usage(Some(before.processes));
    let used = after.cpu.checked_sub(before.cpu).expect("CPU time only grows").as_secs_f64();
    Measurement { value: used * scale / amount as f64, amount, used, wall, steal }
}
