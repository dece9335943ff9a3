//! Whether a file is a program that a library can be loaded into: read off its first bytes, as the kernel and the loader do.

use std::env;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::settings::{Command, Settings};

/// Why preloading has no effect on a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Immune {
    /// No loader runs.
    Static,
    /// The loader does not trust who starts it.
    Privileged,
}

impl Immune {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Static => "it is linked statically",
            Self::Privileged => "it runs with more rights than who starts it (setuid or setgid)",
        }
    }
}

/// Why the port of a program cannot be moved, and what to do, before somebody else than this process starts it. None: nothing is
/// known that would be in the way. `gains`: whether a setuid program has more rights than whoever starts it.
pub fn obstacle(settings: &Settings, gains: bool) -> Option<String> {
    let port = settings.moved_port()?;
    Some(not_moved(port, found(&settings.command, gains)?.reason()))
}

/// The port stays where it is, for this reason.
pub(super) fn not_moved(port: u16, reason: &str) -> String {
    format!(
        "the port {port} of the program cannot be moved, for {reason}: let systemd run it in a network of its own, by isolation = \
         \"private-network\" in the [program] of a route's file"
    )
}

/// What the program is found to be, if this process starts it. None: nothing is known that would be in the way.
pub(super) fn immune(command: &Command) -> Option<Immune> {
    found(command, !nix::unistd::geteuid().is_root())
}

fn found(command: &Command, gains: bool) -> Option<Immune> {
    let path = find(Path::new(&command.program))?;
    let mut file = File::open(&path).ok()?;
    let is_privileged = file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o6000 != 0);
    if is_privileged && gains {
        return Some(Immune::Privileged);
    }
    let mut head = [0; 64];
    file.read_exact(&mut head).ok()?;
    let Headers { offset, size, count } = Headers::read(&head)?;
    file.seek(SeekFrom::Start(offset)).ok()?;
    let mut table = vec![0; usize::from(size) * usize::from(count)];
    file.read_exact(&mut table).ok()?;
    (!asks_for_loader(&table, size)).then_some(Immune::Static)
}

/// As `execvp` finds it.
fn find(program: &Path) -> Option<PathBuf> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        return Some(program.to_owned());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|candidate| candidate.is_file())
}

/// Where the table of an ELF file's segments is.
#[derive(Debug, PartialEq, Eq)]
struct Headers {
    offset: u64,
    /// Of one entry.
    size: u16,
    count: u16,
}

impl Headers {
    /// Of the first bytes of a file. None: they are of no ELF file of this machine's kind; a script, for example.
    fn read(head: &[u8; 64]) -> Option<Self> {
        const NATIVE: u8 = if cfg!(target_endian = "little") { 1 } else { 2 };
        if head[..4] != *b"\x7fELF" || head[5] != NATIVE {
            return None;
        }
        let half = |at: usize| u16::from_ne_bytes([head[at], head[at + 1]]);
        let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        match head[4] {
            1 => Some(Self { offset: word(28).into(), size: half(42), count: half(44) }),
            2 => Some(Self {
                offset: u64::from_ne_bytes(head[32..40].try_into().expect("eight bytes")),
                size: half(54),
                count: half(56),
            }),
            _ => None,
        }
    }
}

/// Whether one of the segments is the name of a loader. An unreadable table does not say no.
fn asks_for_loader(table: &[u8], size: u16) -> bool {
    const INTERPRETER: u32 = 3;
    if size < 4 {
        return true;
    }
    let kind = |entry: &[u8]| u32::from_ne_bytes([entry[0], entry[1], entry[2], entry[3]]);
    table.is_empty() || table.chunks_exact(size.into()).any(|entry| kind(entry) == INTERPRETER)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;

    fn command(path: &Path) -> Command {
        Command::new(vec![path.into()]).unwrap()
    }

    #[test]
    fn programs_of_this_machine_are_told_apart() {
        assert_eq!(immune(&command(Path::new("sh"))), None);
        assert_eq!(immune(&command(&env::current_exe().unwrap())), None);
        assert_eq!(immune(&command(Path::new("/no/such/program"))), None);
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("script");
        fs::write(&script, "#!/bin/sh\nexec nothing at all, but long enough to have sixty-four bytes of head\n")
            .unwrap();
        assert_eq!(immune(&command(&script)), None);
        // A file without the entry that names the loader.
        let whole = fs::read(env::current_exe().unwrap()).unwrap();
        let Headers { offset, size, count } = Headers::read(whole[..64].try_into().unwrap()).unwrap();
        let mut without = whole[..usize::try_from(offset).unwrap() + usize::from(size) * usize::from(count)].to_vec();
        for entry in without[usize::try_from(offset).unwrap()..].chunks_exact_mut(size.into()) {
            if entry[..4] == 3_u32.to_ne_bytes() {
                entry[..4].copy_from_slice(&0_u32.to_ne_bytes());
            }
        }
        let stripped = directory.path().join("static");
        fs::write(&stripped, without).unwrap();
        assert_eq!(immune(&command(&stripped)), Some(Immune::Static));
        fs::set_permissions(&script, fs::Permissions::from_mode(0o4755)).unwrap();
        let expected = (!nix::unistd::geteuid().is_root()).then_some(Immune::Privileged);
        assert_eq!(immune(&command(&script)), expected, "the loader trusts root");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(head: [[u8; 32]; 2], table: Vec<u8>, size: u16, magic: bool) {
            let mut head: [u8; 64] = head.concat().try_into().unwrap();
            if magic {
                head[..4].copy_from_slice(b"\x7fELF");
            }
            let _ = Headers::read(&head);
            let _ = asks_for_loader(&table, size);
        }
    }
}
