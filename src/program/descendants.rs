//! The processes of a program: also those that went to the background, as long as this process is the parent of what its
//! children leave behind.
//!
//! Of several programs, each has its own: what descends from one that is, what is in its process group, and what has its
//! [`Mark`] in the environment. That finds a daemon that has left its parent and its group, and did not wipe what it inherited.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::unistd::Pid;

/// The variable that each process of a program inherits, and no process of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark(String);

/// Its name.
pub(super) const MARK: &str = "WEBSOCKIFY_MARK";

impl Mark {
    pub(super) fn new(value: String) -> Self {
        Self(value)
    }

    pub(super) fn value(&self) -> &str {
        &self.0
    }

    /// Whether a process that may be read about has it.
    fn is_on(&self, pid: i32) -> bool {
        let wanted = format!("{MARK}={}", self.0);
        let environment = environment(pid);
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    }
}

/// Whose processes are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Of all programs.
    Everybodys,
    /// Of the program with this mark, whose group is that of `group`.
    Marked { mark: Mark, group: Option<Pid> },
    /// Those in this group.
    Group(Pid),
}

/// The descendants of `ancestor` that are meant, at this moment; those that are only to be buried left out.
pub(super) fn descendants(ancestor: Pid, whose: &Whose) -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // It may have ended since.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some(process) = Process::living(pid, &stat) {
            children.entry(process.parent).or_default().push(process);
        }
    }
    let mut all = children.remove(&ancestor.as_raw()).unwrap_or_default();
    let mut members: HashSet<i32> = HashSet::new();
    let mut next = 0;
    while let Some(process) = all.get(next) {
        let (pid, parent, group) = (process.pid, process.parent, process.group);
        let is_meant = match whose {
            Whose::Everybodys => true,
            Whose::Marked { mark, group: its } => {
                members.contains(&parent) || its.is_some_and(|its| its.as_raw() == group) || mark.is_on(pid)
            }
            Whose::Group(its) => its.as_raw() == group,
        };
        if is_meant {
            members.insert(pid);
        }
        all.extend(children.remove(&pid).unwrap_or_default());
        next += 1;
    }
    members.into_iter().map(Pid::from_raw).collect()
}

/// The variables of a process, each with a zero behind it; none, if they may not be read.
///
/// A process that becomes another program has none for a moment, and what was opened before reads as empty after. So they are
/// read at once, and again if there should be some, for as long as a loaded machine may leave a process in an `execve`.
fn environment(pid: i32) -> Vec<u8> {
    const ENOUGH: usize = 256 * 1024;
    const PATIENCE: Duration = Duration::from_millis(100);
    let since = Instant::now();
    loop {
        let variables = File::open(format!("/proc/{pid}/environ")).and_then(|mut file| {
            let mut variables = vec![0; ENOUGH];
            let length = file.read(&mut variables)?;
            variables.truncate(length);
            file.read_to_end(&mut variables)?;
            Ok(variables)
        });
        let is_between = variables.as_ref().is_ok_and(Vec::is_empty) && !is_bare(pid);
        if !is_between || since.elapsed() > PATIENCE {
            return variables.unwrap_or_default();
        }
        thread::yield_now();
    }
}

/// Whether a process has no variables, or is no more. In an `execve` the kernel learns where variables begin, where they end
/// and where the code is, in this order.
fn is_bare(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    if Process::living(pid, &stat).is_none() {
        return true;
    }
    // As proc_pid_stat(5) counts, with the state as the third.
    let fields: Vec<&str> =
        stat.rsplit_once(") ").map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let [code, start, end] = [26, 50, 51].map(|number| fields.get(number - 3).copied().unwrap_or("0"));
    code != "0" && start == end
}

struct Process {
    pid: i32,
    parent: i32,
    group: i32,
}

impl Process {
    /// What lives, of its `/proc/PID/stat`: `PID (NAME) STATE PARENT GROUP`, and a name may hold anything.
    fn living(pid: i32, stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        fields.next().filter(|state| !matches!(*state, "Z" | "X"))?;
        Some(Self { pid, parent: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_parent_and_a_group_are_found_behind_any_name() {
        let ids = |stat| Process::living(7, stat).map(|process| (process.parent, process.group));
        assert_eq!(ids("7 (a) b) (c) S 3 5 7 0"), Some((3, 5)));
        assert_eq!(ids("7 (a) Z 3 7 7 0"), None);
        assert_eq!(ids(""), None);
    }

    #[test]
    fn a_mark_is_a_whole_variable() {
        let name = std::process::id().cast_signed();
        assert!(!Mark::new("desktop.1".to_owned()).is_on(name));
    }

    #[test]
    fn a_process_that_becomes_another_program_all_the_time_has_its_mark_all_the_time() {
        let again = r#"exec sh -c "$1" sh "$1""#;
        let mut restless = Command::new("sh").args(["-c", again, "sh", again]).env(MARK, "desktop.1").spawn().unwrap();
        let (pid, mark) = (restless.id().cast_signed(), Mark::new("desktop.1".to_owned()));
        let misses = (0..20_000).filter(|_| !mark.is_on(pid)).count();
        restless.kill().unwrap();
        restless.wait().unwrap();
        assert_eq!(misses, 0);
    }

    #[test]
    fn a_process_without_variables_is_known_at_once() {
        let mut bare = Command::new("tail").args(["-f", "/dev/null"]).env_clear().spawn().unwrap();
        let pid = bare.id().cast_signed();
        assert!(is_bare(pid));
        assert!(!Mark::new("desktop.1".to_owned()).is_on(pid));
        bare.kill().unwrap();
        bare.wait().unwrap();
        assert!(is_bare(pid), "it is no more");
        assert!(!is_bare(std::process::id().cast_signed()));
    }
}
