//! What the figures were taken on, and how the work is spread over it.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

use crate::candidates::{Kind, Settings};

/// Where the work runs. A proxy that sizes itself to its CPUs sees one.
///
/// In the bulk scenarios the generator and the targets have a CPU of their own, so that data really streams. In the
/// others client, proxy and target only ever take turns, and there all share the proxy's CPU: a second one
/// would add nothing but wake-ups of a halted CPU. In a virtual machine each of these is an exit to the
/// hypervisor, billed to whoever wakes: on the machine this was written on, 43 of the floor's 60 µs per echo.
/// It is the same for every candidate, says nothing about any, and would pull all ratios towards one.
#[derive(Clone, Copy, Debug)]
pub struct Cpus {
    pub proxy: usize,
    pub generator: usize,
    /// Keep them apart in every scenario, wake-ups and all.
    pub apart: bool,
}

impl Cpus {
    /// The first two CPUs that this process may use.
    pub fn choose(apart: bool) -> Self {
        let allowed = sched_getaffinity(Pid::from_raw(0)).expect("a process knows its CPUs");
        let mut cpus = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false));
        match (cpus.next(), cpus.next()) {
            (Some(proxy), Some(generator)) => Self { proxy, generator, apart },
            _ => panic!("two CPUs are needed, one for the proxies and one for the load"),
        }
    }

    /// The load's CPU where it takes turns with the proxy.
    pub fn turns(self) -> usize {
        if self.apart { self.generator } else { self.proxy }
    }
}

/// Ties the calling thread, and all it starts from now on, to one CPU.
pub fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu).expect("the CPU's number is in range");
    sched_setaffinity(Pid::from_raw(0), &set).unwrap_or_else(|error| panic!("CPU {cpu} cannot be had: {error}"));
}

/// Lets every other thread of the CPU go before the calling one.
pub fn step_back() {
    let thread = nix::unistd::gettid().to_string();
    let status = Command::new("renice").args(["-n", "19", "-p", &thread]).stdout(std::process::Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "renice does not work: install Debian's package bsdutils");
}

/// The idle scenario holds thousands of sessions, with two sockets each in the proxy and here.
pub fn allow_open_files(wanted: u64) {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limits can be read");
    assert!(hard >= wanted, "{wanted} open files are needed, the hard limit is {hard} (ulimit -Hn)");
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).expect("up to the hard limit we may go");
    }
}

pub struct Description {
    pub processor: String,
    pub memory: String,
    pub kernel: String,
    pub revision: String,
    /// Of the candidates that are programs.
    pub versions: Vec<(&'static str, String)>,
}

impl Description {
    pub fn new(settings: &Settings, kinds: &[Kind], root: &Path) -> Self {
        let versions = kinds.iter().filter_map(|&kind| {
            let path = settings.program(kind)?.display().to_string();
            let version = match kind {
                Kind::Debian => output("dpkg-query", &["--show", "--showformat=${Version}", "websockify"]),
                Kind::Haproxy | Kind::HaproxySplice => output(&path, &["-v"]),
                Kind::Nginx => output("sh", &["-c", "\"$0\" -v 2>&1", &path]),
                // Bounded, because what knows no such option may just start.
                _ => output("timeout", &["5", &path, "--version"]),
            };
            Some((kind.name(), version.lines().next().unwrap_or_default().to_owned()))
        });
        let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            processor: processor(),
            memory: info
                .lines()
                .next()
                .and_then(|line| line.split_once(':'))
                .map_or("", |line| line.1.trim())
                .to_owned(),
            kernel: output("uname", &["-sr"]),
            revision: output("git", &["-C", &root.display().to_string(), "describe", "--always", "--dirty"]),
            versions: versions.collect(),
        }
    }
}

/// The output of a command that only describes; without it the description says "unknown".
fn output(program: &str, arguments: &[&str]) -> String {
    Command::new(program)
        .args(arguments)
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .filter(|line| line.starts_with("model name"))
        .find_map(|line| Some(line.split_once(':')?.1.trim().to_owned()))
        .unwrap_or_else(|| "unknown".to_owned());
    let count = info.lines().filter(|line| line.starts_with("processor")).count();
    format!("{count} x {name}")
}

/// How much of the machine's time has gone to other machines on the same host, in ticks.
#[derive(Clone, Copy)]
pub struct Steal {
    stolen: u64,
    total: u64,
}

impl Steal {
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").expect("/proc is mounted");
        let line = stat.lines().next().expect("/proc/stat begins with all CPUs together");
        // user nice system idle iowait irq softirq steal; guest time after it is part of user time.
        let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|field| field.parse().ok()).collect();
        Self { stolen: ticks.get(7).copied().unwrap_or(0), total: ticks.iter().sum() }
    }

    /// The part that was stolen since then.
    pub fn since(self) -> f64 {
        let now = Self::now();
        (now.stolen - self.stolen) as f64 / (now.total - self.total).max(1) as f64
    }
}
