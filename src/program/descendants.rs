//! All processes that a process has started, and those that they have: also those that went to the background, as long as this
//! process is the parent of what its children leave behind.

use std::collections::HashMap;
use std::fs;

use nix::unistd::Pid;

/// The descendants of `ancestor` at this moment, those that are only to be buried left out.
pub(super) fn descendants(ancestor: Pid) -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // It may have ended since.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some(parent) = living_parent(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = children.remove(&ancestor.as_raw()).unwrap_or_default();
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let theirs = children.remove(pid).unwrap_or_default();
        found.extend(theirs);
        next += 1;
    }
    found.into_iter().map(Pid::from_raw).collect()
}

/// The parent of a process that lives, from its `/proc/PID/stat`: `PID (NAME) STATE PARENT`, and a name may hold anything.
fn living_parent(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    fields.next().filter(|state| !matches!(*state, "Z" | "X"))?;
    fields.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_found_behind_any_name() {
        assert_eq!(living_parent("7 (a) b) (c) S 3 7 7 0"), Some(3));
        assert_eq!(living_parent("7 (a) Z 3 7 7 0"), None);
        assert_eq!(living_parent(""), None);
    }
}
