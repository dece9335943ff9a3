//! What is measured. A scenario starts its candidate anew, so that no accident of one process's placement
//! in memory lasts longer than one measurement, and proves that the work was really done.

mod blocked;
mod bulk;
mod connects;
mod echo;
mod frames;
mod idle;
mod mix;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::candidates::{Kind, Proxy, Settings};
use crate::generator::Session;
use crate::machine::{self, Steal};
use crate::targets::Targets;
use crate::tls::{Handshake, Key};

pub use idle::sessions_max;

pub const ALL: [Scenario; 22] = [
    bulk::DOWN,
    bulk::UP,
    bulk::BOTH,
    bulk::TLS_DOWN,
    bulk::TLS_UP,
    echo::ONE_OF_64,
    echo::MANY_OF_64,
    echo::CROWD_OF_64,
    echo::ONE_OF_1K,
    echo::MANY_OF_1K,
    echo::CROWD_OF_1K,
    frames::UP,
    frames::BOTH,
    frames::SMALL_DOWN,
    connects::PLAIN,
    connects::ECDSA,
    connects::RSA,
    connects::RESUMED,
    idle::PLAIN,
    idle::TLS,
    blocked::SCENARIO,
    mix::SCENARIO,
];

#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    /// The picture that it is drawn in.
    pub chart: &'static str,
    /// One measurement has a figure for each.
    pub metrics: &'static [Metric],
    pub kinds: &'static [Kind],
    /// Client, proxy and target take turns, and so share a CPU (see `Cpus`).
    takes_turns: bool,
    /// Figures that hardly differ between rounds, and take long.
    pub steady: bool,
    measure: fn(&Bench, Kind) -> Vec<Measurement>,
}

/// A figure of which less is better.
#[derive(Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    /// What the others are compared with, where a ratio says anything.
    pub base: Option<Kind>,
}

/// Who carries plain bytes in bulk.
const RELAYS: &[Kind] = &Kind::ALL;
/// Without those that differ in bulk alone.
const PROXIES: &[Kind] = &[Kind::Copy64, Kind::Websockify, Kind::Haproxy, Kind::Nginx, Kind::Debian, Kind::Websocat];
const TLS_PROXIES: &[Kind] = &[Kind::Websockify, Kind::Haproxy, Kind::Debian];

/// What all measurements of a run share.
pub struct Bench {
    pub settings: Settings,
    pub targets: Targets,
    pub quick: bool,
}

impl Bench {
    pub fn measure(&self, scenario: &Scenario, kind: Kind) -> Vec<Measurement> {
        let cpus = self.settings.cpus;
        machine::pin(if scenario.takes_turns { cpus.turns() } else { cpus.generator });
        (scenario.measure)(self, kind)
    }

    /// How much work, by candidate: some are slower by so much that equal work would be either endless for
    /// them or nothing for the others. All figures are per unit.
    fn amount(&self, kind: Kind, amount: &Amount) -> usize {
        let full = match kind {
            Kind::Debian => amount.debian,
            Kind::Websocat => amount.websocat,
            _ => amount.full,
        };
        if self.quick { full.div_ceil(QUICK_PART) } else { full }
    }
}

const QUICK_PART: usize = 4;

struct Amount {
    full: usize,
    debian: usize,
    websocat: usize,
}

/// A candidate at work, and how its clients reach it.
struct Subject<'a> {
    proxy: Proxy,
    client: Option<Arc<ClientConfig>>,
    bench: &'a Bench,
}

impl<'a> Subject<'a> {
    fn start(bench: &'a Bench, kind: Kind, target: SocketAddr) -> Self {
        Self { proxy: Proxy::start(kind, &bench.settings, target), client: None, bench }
    }

    fn start_tls(bench: &'a Bench, kind: Kind, target: SocketAddr, key: Key, handshake: Handshake) -> Self {
        let client = bench.settings.certificates.client(key, handshake);
        Self { proxy: Proxy::start_tls(kind, &bench.settings, target, key), client: Some(client), bench }
    }

    fn open(&self, buffer: usize, number: usize) -> Session {
        let (address, wire) = (self.proxy.address, self.proxy.kind.wire());
        match &self.client {
            None => Session::open(address, wire, buffer, number),
            Some(config) => Session::open_tls(address, wire, buffer, number, config),
        }
    }

    fn amount(&self, amount: &Amount) -> usize {
        self.bench.amount(self.proxy.kind, amount)
    }
}

/// One figure, and what it was computed from.
#[derive(Clone, Copy)]
pub struct Measurement {
    /// In the metric's unit.
    pub value: f64,
    /// Bytes, messages, connections or sessions.
    pub amount: usize,
    /// What the proxy used: CPU seconds, or bytes of memory; or the time that passed.
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
