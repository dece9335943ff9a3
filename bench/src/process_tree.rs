//! CPU time and memory of a process and all its descendants.
//!
//! CPU time has two sources, each where it is exact. A live process answers to its own CPU clock: nanoseconds, all
//! its threads, ended ones too, up to this moment (`/proc/PID/schedstat` lags behind a running thread
//! and forgets ended ones). Children that ended and were waited for are in their parent's `cutime` and
//! `cstime`: the kernel adds these up from exact figures and rounds to clock ticks of 10 ms only when
//! it prints them, so a difference of two readings is off by 20 ms at most, however many children
//! there were. A scenario in which children end must spend far more than that.

use std::fs;
use std::time::Duration;

use nix::errno::Errno;
use nix::time::clock_getcpuclockid;
use nix::unistd::{Pid, SysconfVar, sysconf};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    pub cpu: Duration,
    pub processes: usize,
    /// Processes that have ended and that nobody has waited for yet.
    pub zombies: usize,
}

/// One line of `/proc/PID/stat`, as far as it matters here.
struct Stat {
    zombie: bool,
    parent: i32,
    waited_for_ticks: u64,
}

/// The usage of the tree below and including `root`.
pub fn usage(root: Pid) -> Usage {
    // A process may end between being listed and being asked; then the list is out of date.
    loop {
        if let Some(usage) = try_usage(root) {
            return usage;
        }
    }
}

fn try_usage(root: Pid) -> Option<Usage> {
    let tree = tree(root);
    let mut usage = Usage { cpu: Duration::ZERO, processes: tree.len(), zombies: 0 };
    for &(pid, ref stat) in &tree {
        let own = match clock_getcpuclockid(pid).and_then(nix::time::ClockId::now) {
            Ok(time) => Duration::from(time),
            Err(Errno::ESRCH | Errno::EINVAL) if pid != root => return None,
            Err(error) => panic!("the CPU clock of process {pid} cannot be read: {error}"),
        };
        usage.cpu += own + ticks(stat.waited_for_ticks);
        usage.zombies += usize::from(stat.zombie);
    }
    Some(usage)
}

/// Anonymous memory in bytes: what the processes hold for themselves, swapped out or not.
///
/// Proportional (`Pss_Anon`), because a forked child shares its parent's pages until one of them writes:
/// `Anonymous` would count a shared page once for each, and `Private_Dirty` not at all.
pub fn memory(root: Pid) -> u64 {
    tree(root).iter().filter(|(_, stat)| !stat.zombie).map(|&(pid, _)| memory_of(pid)).sum()
}

fn memory_of(pid: Pid) -> u64 {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    ["Pss_Anon:", "SwapPss:"].iter().map(|key| 1024 * kibibytes(&rollup, key)).sum()
}

fn kibibytes(rollup: &str, key: &str) -> u64 {
    rollup
        .lines()
        .find_map(|line| line.strip_prefix(key)?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or_else(|| panic!("smaps_rollup has no {key} (it is there since Linux 5.9)"))
}

fn tree(root: Pid) -> Vec<(Pid, Stat)> {
    let mut all: Vec<(Pid, Stat)> = fs::read_dir("/proc")
        .expect("/proc is mounted")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| {
            let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((Pid::from_raw(pid), parse(&line)?))
        })
        .collect();
    let mut tree = Vec::new();
    let mut parents = vec![root];
    tree.extend(all.extract_if(.., |(pid, _)| *pid == root));
    while let Some(parent) = parents.pop() {
        for child in all.extract_if(.., |(_, stat)| stat.parent == parent.as_raw()) {
            parents.push(child.0);
            tree.push(child);
        }
    }
    tree
}

fn parse(line: &str) -> Option<Stat> {
    // The name in parentheses may hold anything, parentheses and spaces too.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        zombie: *fields.first()? == "Z",
        parent: fields.get(1)?.parse().ok()?,
        waited_for_ticks: fields.get(13)?.parse::<u64>().ok()? + fields.get(14)?.parse::<u64>().ok()?,
    })
}

fn ticks(count: u64) -> Duration {
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().expect("the clock has ticks");
    Duration::from_secs_f64(count as f64 / per_second as f64)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::time::Instant;

    use super::*;

    /// A shell that does `work`, says so, and then waits to be ended.
    fn after(work: &str) -> (Child, Pid) {
        let mut shell = Command::new("sh")
            .args(["-c", &format!("{work}; echo done; read line")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(shell.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "done\n");
        let pid = Pid::from_raw(shell.id().try_into().unwrap());
        (shell, pid)
    }

    fn end(mut shell: Child) {
        shell.kill().unwrap();
        shell.wait().unwrap();
    }

    #[test]
    fn counts_its_own_time_in_nanoseconds() {
        let (shell, pid) = after(":");
        let usage = usage(pid);
        end(shell);
        assert_eq!((usage.processes, usage.zombies), (1, 0));
        assert!(!usage.cpu.is_zero());
        assert_ne!(usage.cpu.subsec_nanos() % 10_000_000, 0, "finer than a tick");
    }

    #[test]
    fn counts_children_that_ended_each_far_below_a_tick() {
        // One child takes about a millisecond: rounded one by one, they would all be lost.
        let (shell, pid) = after("i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done");
        let whole = usage(pid);
        let waited_for = ticks(tree(pid)[0].1.waited_for_ticks);
        end(shell);
        assert_eq!(whole.processes, 1);
        assert!(waited_for >= Duration::from_millis(20), "{waited_for:?}");
        assert!(whole.cpu > waited_for);
    }

    #[test]
    fn counts_living_grandchildren() {
        // The grandchild reads from the same pipe as the shell and so lives as long.
        let (shell, pid) = after("exec 3<&0; (sh -c 'read line; :' <&3; :) & :");
        let deadline = Instant::now() + Duration::from_secs(10);
        while usage(pid).processes < 3 {
            assert!(Instant::now() < deadline, "only {:?} found", usage(pid));
        }
        end(shell);
    }

    #[test]
    fn memory_sees_what_a_process_holds() {
        let small = after(":");
        let large = after("x=$(head -c 8000000 /dev/zero | tr '\\0' x)");
        let (less, more) = (memory(small.1), memory(large.1));
        end(small.0);
        end(large.0);
        assert!(less > 0);
        assert!(more - less >= 8_000_000, "{less} {more}");
    }

    #[test]
    fn a_name_may_hold_anything() {
        let line = "7 (a) b (c) S 3 7 7 0 -1 0 0 0 0 0 10 20 30 40 20 0 1 0 5 0 0";
        let stat = parse(line).unwrap();
        assert_eq!((stat.zombie, stat.parent, stat.waited_for_ticks), (false, 3, 70));
    }
}
