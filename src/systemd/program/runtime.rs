//! What is known of a program from one short-lived process to the next, and by the daemon: files below `/run`.
//!
//! Only whoever starts the program writes there. All may read its state, in which no words of the program stand: a route's
//! service runs as a user that is made anew for it. What the program's environment holds, nobody else may.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::super::generator::Scope;
use crate::program::state::{self, State};

/// Seen from the manager's own runtime directory.
const PROGRAMS: &str = "websockify/programs";

/// Everybody's to read, or the owner's alone.
const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;

/// Something below `/run` cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", path.display())]
pub struct RuntimeError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The files of one program.
#[derive(Clone, Debug)]
pub(super) struct Runtime {
    programs: PathBuf,
    directory: PathBuf,
}

impl Runtime {
    /// Of the program of route `name`. `root`: the manager's runtime directory.
    pub(super) fn new(root: &Path, name: &str) -> Self {
        let programs = root.join(PROGRAMS);
        Self { directory: programs.join(name), programs }
    }

    /// The same as a unit file writes it, where the manager puts in its own directory.
    pub(super) fn in_unit(scope: Scope, name: &str) -> String {
        let root = match scope {
            Scope::System => "/run",
            Scope::User => "%t",
        };
        format!("{root}/{PROGRAMS}/{name}")
    }

    /// Makes the directory, which everybody may enter.
    pub(super) fn create(&self) -> Result<(), RuntimeError> {
        let made = |path: &Path| match DirBuilder::new().mode(0o755).create(path) {
            // Whatever the umask is.
            Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o755)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        };
        let above = self.programs.parent().unwrap_or(&self.programs);
        for path in [above, &self.programs, &self.directory] {
            made(path).map_err(|source| RuntimeError { what: "make", path: path.to_owned(), source })?;
        }
        Ok(())
    }

    /// What was said last. None: nothing that could be understood.
    pub(super) fn state(&self) -> Option<State> {
        state::read(&self.directory)
    }

    pub(super) fn tell(&self, state: &State) -> Result<(), RuntimeError> {
        write(&state::file(&self.directory), PUBLIC, &state.to_string())
    }

    /// The environment that is found out before each start, for `EnvironmentFile=`.
    pub(super) fn environment(&self) -> PathBuf {
        self.directory.join("environment")
    }

    pub(super) fn set_environment(&self, text: &str) -> Result<(), RuntimeError> {
        write(&self.environment(), PRIVATE, text)
    }

    /// What the program's unit was made of.
    pub(super) fn definition(&self) -> Option<String> {
        fs::read_to_string(self.directory.join("definition")).ok()
    }

    pub(super) fn set_definition(&self, text: &str) -> Result<(), RuntimeError> {
        write(&self.directory.join("definition"), PRIVATE, text)
    }

    /// When the program was started, as text.
    pub(super) fn starts(&self) -> String {
        fs::read_to_string(self.directory.join("starts")).unwrap_or_default()
    }

    pub(super) fn set_starts(&self, text: &str) -> Result<(), RuntimeError> {
        write(&self.directory.join("starts"), PRIVATE, text)
    }

    /// Which invocation of the program's unit was started for the route's service.
    pub(super) fn companion(&self) -> Option<String> {
        fs::read_to_string(self.directory.join("companion")).ok()
    }

    pub(super) fn set_companion(&self, id: &str) -> Result<(), RuntimeError> {
        write(&self.directory.join("companion"), PRIVATE, id)
    }

    /// Which invocation of the program's unit ended last.
    pub(super) fn invocation(&self) -> Option<String> {
        fs::read_to_string(self.directory.join("invocation")).ok().filter(|id| !id.is_empty())
    }

    pub(super) fn set_invocation(&self, id: &str) -> Result<(), RuntimeError> {
        write(&self.directory.join("invocation"), PRIVATE, id)
    }

    /// The environment of one start is not for the next.
    pub(super) fn forget_environment(&self) {
        forget(&self.environment());
    }

    /// Nothing that runs is what the file says.
    pub(super) fn forget_definition(&self) {
        forget(&self.directory.join("definition"));
    }

    /// The ports of all other programs. While the lock is held, nobody else looks for one.
    pub(super) fn ports_of_others(&self) -> Result<(Vec<u16>, Flock<File>), RuntimeError> {
        let path = self.programs.join(".lock");
        let failed = |source| RuntimeError { what: "lock", path: path.clone(), source };
        let file = OpenOptions::new().create(true).append(true).mode(PRIVATE).open(&path).map_err(failed)?;
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| failed(errno.into()))?;
        let programs = fs::read_dir(&self.programs).map_err(failed)?;
        let others = programs.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| *path != self.directory);
        Ok((others.filter_map(|directory| state::read(&directory)?.port).collect(), lock))
    }
}

/// Replaces a file as a whole.
fn write(path: &Path, mode: u32, text: &str) -> Result<(), RuntimeError> {
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let written = || {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&new)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, path)
    };
    written().map_err(|source| {
        forget(&new);
        RuntimeError { what: "write", path: path.to_owned(), source }
    })
}

fn forget(path: &Path) {
    let _ = fs::remove_file(path); // what is not there is forgotten
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::program::state::Phase;

    #[test]
    fn the_state_is_everybodys_to_read_and_the_environment_is_not() {
        let root = tempfile::tempdir().unwrap();
        let runtime = Runtime::new(root.path(), "vnc");
        runtime.create().unwrap();
        runtime.create().unwrap();
        let state = State { port: Some(61_000), phase: Phase::Running };
        runtime.tell(&state).unwrap();
        runtime.set_environment("A=secret\n").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let directory = root.path().join("websockify/programs/vnc");
        assert_eq!((mode(&directory), mode(&directory.join("state"))), (0o755, 0o644));
        assert_eq!(mode(&runtime.environment()), 0o600);
        assert_eq!(runtime.state(), Some(state));
    }

    #[test]
    fn a_port_of_another_program_is_known_before_it_is_bound() {
        let root = tempfile::tempdir().unwrap();
        for (name, port) in [("a", 61_001), ("b", 61_002)] {
            let runtime = Runtime::new(root.path(), name);
            runtime.create().unwrap();
            runtime.tell(&State { port: Some(port), phase: Phase::Running }).unwrap();
        }
        let (ports, _lock) = Runtime::new(root.path(), "a").ports_of_others().unwrap();
        assert_eq!(ports, [61_002]);
    }
}
