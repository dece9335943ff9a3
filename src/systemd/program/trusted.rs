//! Reading a route's file that decides what is run, and as whom.
//!
//! Promise: the text comes from a file that nobody could have written but who runs this process, or root: the file and each
//! directory above it are looked at, the file by the very descriptor that is read; and where the directories above are reached by
//! links, each directory that a link lies in, however many lead on to the next. Links to the file or its directory are not
//! followed. What a route's file says wrongly is not the matter here.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlink};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, lstat};
use nix::unistd::{Uid, geteuid};

/// No route's file is so long.
const LENGTH_MAX: u64 = 1 << 20;

/// As many as the kernel follows.
const LINKS_MAX: u32 = 40;

/// Why a file is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// It could be a path, a pattern or an option.
    #[error(
        "'{0}' is not the name of a route: it is the name of its file without .toml, of letters, digits, '-', '_' and '.'"
    )]
    Name(String),
    /// It starts nowhere.
    #[error("{} is refused: the directory of the routes is to be given from / on", .0.display())]
    Relative(PathBuf),
    /// It cannot be looked at.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: nix::Error,
    },
    /// It leads elsewhere.
    #[error("{} is refused: it is a symbolic link; put the file itself there", .0.display())]
    Link(PathBuf),
    /// A device, a pipe, a directory.
    #[error("{} is refused: it is not a file", .0.display())]
    NotAFile(PathBuf),
    /// Somebody else's.
    #[error(
        "{path} is refused: user {owner} owns it, and could have any program run as any user; chown {wanted} {path}",
        path = path.display()
    )]
    Owner {
        /// The file or directory.
        path: PathBuf,
        /// Whose it is.
        owner: Uid,
        /// Whose it is to be.
        wanted: Uid,
    },
    /// Others may write there.
    #[error(
        "{path} is refused: others than its owner may write to it (mode {mode:04o}), and have any program run as any user; \
         chmod go-w {path}",
        path = path.display()
    )]
    Writable {
        /// The file or directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// More than a route's file is.
    #[error("{} is refused: it is longer than 1 MiB", .0.display())]
    Long(PathBuf),
    /// The disk.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The path and the text of the file of route `name` in `directory`.
pub(super) fn read(directory: &Path, name: &str) -> Result<(PathBuf, String), Untrusted> {
    if !is_name(name) {
        return Err(Untrusted::Name(name.to_owned()));
    }
    if !directory.is_absolute() {
        return Err(Untrusted::Relative(directory.to_owned()));
    }
    walk(directory.parent().unwrap_or(directory))?;
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let opened = |path: &Path, result: nix::Result<_>| {
        result.map_err(|source| match source {
            // A directory is asked for, and a link is none.
            Errno::ELOOP | Errno::ENOTDIR if path.is_symlink() => Untrusted::Link(path.to_owned()),
            source => Untrusted::Open { path: path.to_owned(), source },
        })
    };
    let shelf = opened(directory, open(directory, flags | OFlag::O_DIRECTORY, Mode::empty()))?;
    judge(directory, &look(directory, &shelf)?)?;
    let path = directory.join(format!("{name}.toml"));
    let file = opened(&path, openat(&shelf, path.file_name().unwrap_or_default(), flags, Mode::empty()))?;
    let found = look(&path, &file)?;
    if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(Untrusted::NotAFile(path));
    }
    judge(&path, &found)?;
    let mut text = String::new();
    match File::from(file).take(LENGTH_MAX + 1).read_to_string(&mut text) {
        Ok(length) if length as u64 > LENGTH_MAX => Err(Untrusted::Long(path)),
        Ok(_) => Ok((path, text)),
        Err(source) => Err(Untrusted::Read { path, source }),
    }
}

/// Goes to a directory from / on, as the kernel does, and judges all that lies on the way: whoever may change one link or one
/// directory there decides where it ends.
fn walk(directory: &Path) -> Result<(), Untrusted> {
    let mut ahead: Vec<OsString> = steps(directory);
    let (mut here, mut links) = (PathBuf::from("/"), 0);
    let judged = |path: &Path| {
        let found = lstat(path).map_err(|source| Untrusted::Open { path: path.to_owned(), source })?;
        judge(path, &found).map(|()| SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT)
    };
    judged(&here)?;
    while let Some(step) = ahead.pop() {
        if step == ".." {
            here.pop();
            continue;
        }
        let next = here.join(step);
        if judged(&next)? != SFlag::S_IFLNK {
            here = next;
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(Untrusted::Open { path: next, source: Errno::ELOOP });
        }
        let leads = readlink(&next).map(PathBuf::from);
        let leads = leads.map_err(|source| Untrusted::Open { path: next.clone(), source })?;
        if leads.is_absolute() {
            here = PathBuf::from("/");
        }
        ahead.extend(steps(&leads));
    }
    Ok(())
}

/// The names in a path, the first one last.
fn steps(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir));
    names.map(|step| step.as_os_str().to_owned()).collect()
}

/// As in [`crate::config`]; and with nothing that systemctl would take for an option.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(['.', '-'])
        && name.len() <= 200
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn look(path: &Path, opened: &impl AsFd) -> Result<FileStat, Untrusted> {
    fstat(opened).map_err(|source| Untrusted::Open { path: path.to_owned(), source })
}

fn judge(path: &Path, found: &FileStat) -> Result<(), Untrusted> {
    let (wanted, owner) = (geteuid(), Uid::from_raw(found.st_uid));
    if owner != wanted && !owner.is_root() {
        return Err(Untrusted::Owner { path: path.to_owned(), owner, wanted });
    }
    // In a directory as /tmp nobody can replace what is another's. Of a user's own group nobody else is, as a rule: only
    // root's files decide over others.
    let (mode, kind) =
        (Mode::from_bits_truncate(found.st_mode), SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT);
    if kind == SFlag::S_IFLNK {
        return Ok(()); // whoever may write to its directory may change it, and its mode says nothing
    }
    let is_shared = mode.contains(Mode::S_ISVTX) && kind == SFlag::S_IFDIR;
    let others = if wanted.is_root() { Mode::S_IWGRP | Mode::S_IWOTH } else { Mode::S_IWOTH };
    if mode.intersects(others) && !is_shared {
        return Err(Untrusted::Writable { path: path.to_owned(), mode: mode.bits() });
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// A directory with a route `vnc`, in a place that only this user writes to.
    fn routes() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("vnc.toml"), "listen = \"6080\"\n").unwrap();
        set_mode(&directory.path().join("vnc.toml"), 0o644);
        directory
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn refusal(directory: &Path, name: &str) -> String {
        read(directory, name).unwrap_err().to_string()
    }

    #[test]
    fn a_file_of_ones_own_is_read() {
        let routes = routes();
        let (path, text) = read(routes.path(), "vnc").unwrap();
        assert_eq!((path, text.as_str()), (routes.path().join("vnc.toml"), "listen = \"6080\"\n"));
    }

    #[test]
    fn a_name_is_no_path_no_pattern_and_no_option() {
        let routes = routes();
        for name in ["", "../vnc", "a/b", ".vnc", "-vnc", "v*c", "vnc\n", "a b", "vnc@1", "ä"] {
            assert!(matches!(read(routes.path(), name), Err(Untrusted::Name(_))), "{name:?}");
        }
        assert!(is_name("Lab_1.vnc-2"));
    }

    #[test]
    fn what_others_may_write_to_is_refused() {
        let routes = routes();
        let file = routes.path().join("vnc.toml");
        set_mode(&file, 0o646);
        assert!(
            refusal(routes.path(), "vnc").contains("(mode 0646), and have any program run as any user; chmod go-w")
        );
        set_mode(&file, 0o644);
        set_mode(routes.path(), 0o777);
        assert!(refusal(routes.path(), "vnc").contains("(mode 0777)"));
        let below = routes.path().join("below");
        fs::create_dir(&below).unwrap();
        fs::copy(&file, below.join("vnc.toml")).unwrap();
        assert!(refusal(&below, "vnc").contains("(mode 0777)"), "the directory above could be renamed");
        set_mode(routes.path(), 0o1777);
        assert!(read(&below, "vnc").is_ok());
    }

    #[test]
    fn a_link_is_refused() {
        let routes = routes();
        symlink(routes.path().join("vnc.toml"), routes.path().join("link.toml")).unwrap();
        assert!(refusal(routes.path(), "link").ends_with("it is a symbolic link; put the file itself there"));
        let elsewhere = tempfile::tempdir().unwrap();
        let directory = elsewhere.path().join("routes");
        symlink(routes.path(), &directory).unwrap();
        assert!(matches!(read(&directory, "vnc"), Err(Untrusted::Link(path)) if path == directory));
    }

    /// Who changes the one in the middle decides where the way ends.
    #[test]
    fn each_directory_on_a_way_of_links_is_looked_at() {
        let (routes, between, first) = (routes(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(routes.path().join("routes")).unwrap();
        fs::copy(routes.path().join("vnc.toml"), routes.path().join("routes/vnc.toml")).unwrap();
        symlink(routes.path(), between.path().join("next")).unwrap();
        symlink(between.path().join("next"), first.path().join("way")).unwrap();
        let relative = first.path().join("../").join(first.path().file_name().unwrap()).join("way/./routes");
        for way in [first.path().join("way/routes"), relative] {
            set_mode(between.path(), 0o700);
            assert!(read(&way, "vnc").is_ok(), "{}", way.display());
            set_mode(between.path(), 0o777);
            let expected = format!("{} is refused: others", between.path().display());
            assert!(refusal(&way, "vnc").starts_with(&expected), "{}", refusal(&way, "vnc"));
        }
    }

    #[test]
    fn a_circle_of_links_ends() {
        let directory = tempfile::tempdir().unwrap();
        symlink("circle", directory.path().join("circle")).unwrap();
        let way = directory.path().join("circle/routes");
        assert!(matches!(read(&way, "vnc"), Err(Untrusted::Open { source: Errno::ELOOP, .. })));
    }

    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let routes = routes();
        nix::unistd::mkfifo(&routes.path().join("pipe.toml"), Mode::S_IRUSR).unwrap();
        assert!(matches!(read(routes.path(), "pipe"), Err(Untrusted::NotAFile(_))));
        fs::create_dir(routes.path().join("directory.toml")).unwrap();
        assert!(matches!(read(routes.path(), "directory"), Err(Untrusted::NotAFile(_))));
        assert!(matches!(read(routes.path(), "missing"), Err(Untrusted::Open { source: Errno::ENOENT, .. })));
        assert!(matches!(read(Path::new("etc"), "vnc"), Err(Untrusted::Relative(_))));
    }
}
