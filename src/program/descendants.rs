//! The processes of a program: also those that went to the background, as long as this process is the parent of what its
//! children leave behind.
//!
//! Of several programs, each has its own: what descends from one that is, what is in its process group, and what has its
//! [`Mark`] in the environment. That finds a daemon that has left its parent and its group, and did not wipe what it inherited.

use std::collections::{HashMap, HashSet};
use std::fs;

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
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
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
mod tests {
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
}
