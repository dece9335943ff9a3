//! How many recordings of a route are kept, and for how long.
//!
//! Promise: it removes recordings of its own route alone, known by their names, and none that is being written, by this or any
//! other process: that one is locked.

use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::libc;

use super::reader::Form;
use super::{Naming, Settings};
use crate::session::SessionId;

/// `20261122T101935Z`.
const TIME_BYTES: usize = 16;

/// Eight hexadecimal digits.
const SESSION_BYTES: usize = 8;

/// What is behind the session.
const ENDINGS: [&str; 3] = [".js", ".js.gz", ".js.zst"];

/// Something that should go and stays, or could not be looked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum RotationError {
    #[error("cannot list {}", path.display())]
    List { path: PathBuf, source: io::Error },
    #[error("cannot remove {}", path.display())]
    Remove { path: PathBuf, source: io::Error },
}

/// What the file of a session is called.
pub(super) fn file_name(route: &str, time: SystemTime, session: SessionId, form: Form) -> String {
    let time = humantime::format_rfc3339_seconds(time).to_string().replace(['-', ':'], "");
    let ending = match form {
        Form::Plain => ENDINGS[0],
        Form::Gzip => ENDINGS[1],
        Form::Zstd => ENDINGS[2],
    };
    format!("{route}-{time}-{session}{ending}")
}

/// Removes what is more or older than the settings allow. What cannot be removed keeps nothing else from it: the first such
/// error is returned when all is done.
pub(super) fn rotate(route: &str, settings: &Settings, now: SystemTime) -> Result<(), RotationError> {
    let Naming::InDirectory(directory) = &settings.naming else { return Ok(()) };
    if settings.files_max.is_none() && settings.age_max.is_none() {
        return Ok(());
    }
    let mut files = match recordings(directory, route) {
        // The first recording makes it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|source| RotationError::List { path: directory.clone(), source })?,
    };
    files.sort_unstable(); // by time: the newest last
    let surplus = settings.files_max.map_or(0, |max| files.len().saturating_sub(max.get()));
    let mut outcome = Ok(());
    for (index, path) in files.into_iter().enumerate() {
        let is_old = || {
            let changed = fs::metadata(&path).and_then(|found| found.modified()).ok()?;
            Some(now.duration_since(changed).ok()? > settings.age_max?)
        };
        if (index < surplus || is_old() == Some(true))
            && let Err(source) = remove(&path)
        {
            outcome = outcome.and(Err(RotationError::Remove { path, source }));
        }
    }
    outcome
}

/// The recordings of `route` in the directory.
fn recordings(directory: &Path, route: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| is_recording_of(route, name)) {
            files.push(entry.path());
        }
    }
    Ok(files)
}

fn is_recording_of(route: &str, name: &str) -> bool {
    let parts = || {
        let rest = name.strip_prefix(route)?.strip_prefix('-')?;
        let (time, rest) = rest.split_at_checked(TIME_BYTES)?;
        let (session, ending) = rest.strip_prefix('-')?.split_at_checked(SESSION_BYTES)?;
        Some((time, session, ending))
    };
    let is_time = |time: &str| {
        time.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
    };
    let is_session = |session: &str| session.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts().is_some_and(|(time, session, ending)| is_time(time) && is_session(session) && ENDINGS.contains(&ending))
}

/// Removes a recording that nobody is writing.
fn remove(path: &Path) -> io::Result<()> {
    // What stands there may be a link, or a FIFO without anybody at its other end.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if gone(&error) => return Ok(()),
        opened => opened?,
    };
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return Ok(());
    }
    match fs::remove_file(path) {
        Err(error) if gone(&error) => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use super::*;

    fn settings(directory: &Path) -> Settings {
        Settings {
            naming: Naming::InDirectory(directory.to_owned()),
            compression: Form::Plain,
            size_max: None,
            files_max: None,
            age_max: None,
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_name_says_route_time_and_session_and_is_known_again() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_342_775);
        let session = SessionId::next();
        for form in [Form::Plain, Form::Gzip, Form::Zstd] {
            let name = file_name("lab-1", time, session, form);
            assert!(name.starts_with(&format!("lab-1-20261122T101935Z-{session}.js")), "{name}");
            assert!(is_recording_of("lab-1", &name));
            assert!(!is_recording_of("lab", &name) && !is_recording_of("lab-", &name));
        }
        for other in ["lab-1-20261122T101935Z-0123456.js", "lab-1-20261122T101935Z-01234567.txt", "lab-1-x", "lab-1"] {
            assert!(!is_recording_of("lab-1", other), "{other}");
        }
    }

    #[test]
    fn the_oldest_go_first_and_only_those_of_the_route_that_nobody_writes() {
        let directory = tempfile::tempdir().unwrap();
        let name = |day: u8| format!("vnc-202611{day:02}T000000Z-0000000{day}.js");
        for day in 1..=5 {
            fs::write(directory.path().join(name(day)), "").unwrap();
        }
        fs::write(directory.path().join("vnc-notes.txt"), "").unwrap();
        fs::write(directory.path().join("vnc-2-20250101T000000Z-00000000.js"), "").unwrap();
        let written = fs::File::open(directory.path().join(name(1))).unwrap();
        written.lock().unwrap();
        let settings = Settings { files_max: NonZeroUsize::new(2), ..settings(directory.path()) };
        rotate("vnc", &settings, SystemTime::now()).unwrap();
        let mut left = vec![name(1), name(4), name(5), "vnc-notes.txt".to_owned()];
        left.insert(0, "vnc-2-20250101T000000Z-00000000.js".to_owned());
        left.sort_unstable();
        assert_eq!(names(directory.path()), left);
    }

    #[test]
    fn what_cannot_be_removed_is_named_and_keeps_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = |day: u8| directory.path().join(format!("vnc-202611{day:02}T000000Z-0000000{day}.js"));
        std::os::unix::fs::symlink("/dev/null", path(1)).unwrap();
        fs::create_dir(path(2)).unwrap();
        for day in 3..=5 {
            fs::write(path(day), "").unwrap();
        }
        let settings = Settings { files_max: NonZeroUsize::new(1), ..settings(directory.path()) };
        let error = rotate("vnc", &settings, SystemTime::now()).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot remove {}", path(1).display()));
        let left = [1, 2, 5].map(|day| path(day).file_name().unwrap().to_str().unwrap().to_owned());
        assert_eq!(names(directory.path()), left);
    }

    #[test]
    fn a_directory_that_is_not_there_yet_has_nothing_to_remove() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { files_max: NonZeroUsize::new(1), ..settings(&directory.path().join("later")) };
        rotate("vnc", &settings, SystemTime::now()).unwrap();
    }

    #[test]
    fn what_is_too_old_goes_whatever_its_number() {
        let directory = tempfile::tempdir().unwrap();
        for (name, age) in [("vnc-20261101T000000Z-00000001.js.gz", 8), ("vnc-20261102T000000Z-00000002.js.gz", 6)] {
            let file = fs::File::create(directory.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_hours(24 * age)).unwrap();
        }
        let settings = Settings { age_max: Some(Duration::from_hours(24 * 7)), ..settings(directory.path()) };
        rotate("vnc", &settings, SystemTime::now()).unwrap();
        assert_eq!(names(directory.path()), ["vnc-20261102T000000Z-00000002.js.gz"]);
    }
}
