//! A directory below which files are opened, and above which none is.
//!
//! The kernel resolves each path, in one step, beneath a descriptor of the root (openat2(2)): there is no check that
//! a symbolic link made a moment later could outrun. Whatever may not be served is "not found", so that an answer does
//! not tell what exists elsewhere.

use std::fs::{File, Metadata, read_link};
use std::future::{Ready, ready};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::fs::{Backend, File as ServedFile};

/// A web root: where it is and whether links may lead out of it.
#[derive(Clone, Debug)]
pub(super) struct Root {
    path: Arc<Path>,
    follow_symlinks: bool,
}

impl Root {
    /// Finds the directory and proves that this kernel can open files beneath it.
    pub(super) fn new(path: &Path, follow_symlinks: bool) -> io::Result<Self> {
        // absolute, because a daemon leaves the directory that it was started in
        let root = Self { path: std::path::absolute(path)?.into(), follow_symlinks };
        root.open_beneath(Path::new("."), OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        Ok(root)
    }

    /// Opens a directory to read its names.
    pub(super) fn open_directory(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open_named(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
    }

    /// What a path is, when it may be served.
    pub(super) fn metadata_of(&self, path: &Path) -> io::Result<Metadata> {
        // an O_PATH descriptor does nothing to what it names: no device is touched, no FIFO is waited for
        File::from(self.open_named(path, OFlag::O_PATH)?).metadata()
    }

    fn open_file(&self, path: &Path) -> io::Result<RegularFile> {
        // O_NONBLOCK: to open a FIFO must not wait for its writer
        let file = File::from(self.open_named(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(RegularFile { file: tokio::fs::File::from_std(file), metadata })
    }

    /// Opens a path as the request named it: hidden names do not exist, nor does what the kernel refused.
    fn open_named(&self, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
        let path = visible(path).ok_or(io::ErrorKind::NotFound)?;
        self.open_beneath(&path, flags).map_err(|error| match error {
            Errno::EXDEV | Errno::ELOOP | Errno::ENAMETOOLONG | Errno::ENXIO => io::ErrorKind::NotFound.into(),
            other => other.into(),
        })
    }

    fn open_beneath(&self, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
        let directory = open(&*self.path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        if self.follow_symlinks {
            return resolve(&directory, path, flags, ResolveFlag::RESOLVE_NO_MAGICLINKS);
        }
        match resolve(&directory, path, flags, ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS) {
            Err(Errno::EXDEV) => {
                let path = inside(&directory, path).ok_or(Errno::EXDEV)?;
                resolve(&directory, &path, flags, ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS)
            }
            result => result,
        }
    }
}

/// The path with its dots for "here" removed; None when a name in it is hidden, leads up, or has a NUL, which no name
/// has, or a backslash, which browsers take for a slash.
fn visible(path: &Path) -> Option<PathBuf> {
    let mut names = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) if !name.as_encoded_bytes().starts_with(b".") => names.push(name),
            Component::Normal(_) | Component::ParentDir | Component::Prefix(_) | Component::RootDir => return None,
        }
    }
    if names.as_os_str().as_encoded_bytes().iter().any(|byte| matches!(byte, b'\\' | 0)) {
        return None;
    }
    Some(if names.as_os_str().is_empty() { ".".into() } else { names })
}

fn resolve(directory: &OwnedFd, path: &Path, flags: OFlag, how: ResolveFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(how);
    for _ in 0..8 {
        match openat2(directory.as_fd(), path, how) {
            // something was renamed while the kernel followed a ".." of a link, and it could not tell inside from
            // outside
            Err(Errno::EAGAIN) => {}
            result => return result,
        }
    }
    Err(Errno::EXDEV)
}

/// Where below the root a path leads whose links are absolute, which `RESOLVE_BENEATH` refuses even when they stay
/// inside. Only a name comes of this: the caller opens it beneath the root again, without any link.
fn inside(directory: &OwnedFd, path: &Path) -> Option<PathBuf> {
    let found = resolve(directory, path, OFlag::O_PATH, ResolveFlag::RESOLVE_NO_MAGICLINKS).ok()?;
    let root = place(directory).ok()?;
    place(&found).ok()?.strip_prefix(root).ok().map(Path::to_owned).filter(|path| !path.as_os_str().is_empty())
}

fn place(file: &OwnedFd) -> io::Result<PathBuf> {
    read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// tower-http's way to files. A slow disk must not hold up the sessions of this thread, so each operation runs on the
/// blocking pool.
impl Backend for Root {
    type File = RegularFile;
    type Metadata = Metadata;
    type OpenFuture = Pin<Box<dyn Future<Output = io::Result<RegularFile>> + Send>>;
    type MetadataFuture = Pin<Box<dyn Future<Output = io::Result<Metadata>> + Send>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let root = self.clone();
        Box::pin(async move { tokio::task::spawn_blocking(move || root.open_file(&path)).await? })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let root = self.clone();
        Box::pin(async move { tokio::task::spawn_blocking(move || root.metadata_of(&path)).await? })
    }
}

/// An open regular file, and what was known of it when it was opened.
#[derive(Debug)]
pub(super) struct RegularFile {
    file: tokio::fs::File,
    metadata: Metadata,
}

impl ServedFile for RegularFile {
    type Metadata = Metadata;
    type MetadataFuture<'a> = Ready<io::Result<Metadata>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        ready(Ok(self.metadata.clone()))
    }
}

impl AsyncRead for RegularFile {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().file).poll_read(cx, buf)
    }
}

impl AsyncSeek for RegularFile {
    fn start_seek(self: Pin<&mut Self>, position: io::SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.get_mut().file).start_seek(position)
    }

    fn poll_complete(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.get_mut().file).poll_complete(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_visible_stays_below_and_is_not_hidden(path in "[a.\\\\/ \0]{0,12}") {
            if let Some(visible) = visible(Path::new(&path)) {
                let names: Vec<_> = visible.components().collect();
                prop_assert!(names == [Component::CurDir] || names.iter().all(|name| match name {
                    Component::Normal(name) => !name.as_encoded_bytes().starts_with(b"."),
                    _ => false,
                }), "{path:?} is {visible:?}");
                prop_assert!(!path.starts_with('/') && !path.contains(['\\', '\0']), "{path:?} is {visible:?}");
            }
        }
    }
}
