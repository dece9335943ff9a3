//! Files that are found below a directory, and none that are not.
//!
//! A path is resolved once, to a descriptor that can neither be read nor written (`O_PATH`). Where the kernel says that this
//! descriptor is decides whether it is below, and what is read is this same descriptor, opened again: there is no check that a
//! symbolic link made a moment later could outrun.
//!
//! openat2(2) would do it in one step, but a service with `DynamicUser=` has not got it: `RestrictSUIDSGID=`, which comes with
//! that, forbids it, as its filter cannot look at the arguments.

use std::fs::read_link;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

/// A descriptor of what is at `path`, seen from `directory`, which does nothing to it. Where the path or a link in it leads out
/// of the directory, there is nothing.
pub(crate) fn find_beneath(directory: &Path, path: &Path) -> io::Result<OwnedFd> {
    let (directory, found) = resolve(directory, path)?;
    if place(&found)?.starts_with(place(&directory)?) { Ok(found) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// The same, wherever it leads.
pub(crate) fn find(directory: &Path, path: &Path) -> io::Result<OwnedFd> {
    resolve(directory, path).map(|(_, found)| found)
}

/// Opens what a descriptor is of, to read it.
pub(crate) fn open_again(found: &OwnedFd, flags: OFlag) -> io::Result<OwnedFd> {
    Ok(open(&*by_descriptor(found), OFlag::O_RDONLY | OFlag::O_CLOEXEC | flags, Mode::empty())?)
}

/// Where the kernel says that a descriptor is, whatever way it was found by.
pub(crate) fn place(found: &OwnedFd) -> io::Result<PathBuf> {
    let link = by_descriptor(found);
    read_link(&link).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", link.display())))
}

fn resolve(directory: &Path, path: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let directory = open(directory, flags | OFlag::O_DIRECTORY, Mode::empty())?;
    let found = openat(&directory, path, flags, Mode::empty())?;
    Ok((directory, found))
}

fn by_descriptor(found: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", found.as_raw_fd()).into()
}
