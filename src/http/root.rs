//! A directory below which files are opened, and above which none is.
//!
//! Whatever may not be served is "not found", so that an answer does not tell what exists elsewhere.

use std::fs::{File, Metadata};
use std::future::{Ready, ready};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::fs::{Backend, File as ServedFile};

use crate::beneath::{self, open_again};

/// A web root: where it is and whether links may lead out of it.
#[derive(Clone, Debug)]
pub(super) struct Root {
    path: Arc<Path>,
    follow_symlinks: bool,
}

impl Root {
    /// Finds the directory and proves that files can be found beneath it.
    pub(super) fn new(path: &Path, follow_symlinks: bool) -> io::Result<Self> {
        // absolute, because a daemon leaves the directory that it was started in
        let root = Self { path: std::path::absolute(path)?.into(), follow_symlinks };
        root.find(Path::new("."))?;
        Ok(root)
    }

    /// Opens a directory to read its names.
    pub(super) fn open_directory(&self, path: &Path) -> io::Result<OwnedFd> {
        open_again(&self.find_named(path)?, OFlag::O_DIRECTORY)
    }

    /// What a path is, when it may be served.
    pub(super) fn metadata_of(&self, path: &Path) -> io::Result<Metadata> {
        File::from(self.find_named(path)?).metadata()
    }

    fn open_file(&self, path: &Path) -> io::Result<RegularFile> {
        let found = self.find_named(path)?;
        let metadata = File::from(found.try_clone()?).metadata()?;
        // before it is opened: to open a FIFO waits for its writer, and to open a device may do anything
        if !metadata.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = File::from(open_again(&found, OFlag::empty())?);
        Ok(RegularFile { file: tokio::fs::File::from_std(file), metadata })
    }

    /// Finds a path as the request named it: hidden names do not exist, nor does what leads nowhere.
    fn find_named(&self, path: &Path) -> io::Result<OwnedFd> {
        let path = visible(path).ok_or(io::ErrorKind::NotFound)?;
        self.find(&path).map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ELOOP | Errno::ENAMETOOLONG) => io::ErrorKind::NotFound.into(),
            _ => error,
        })
    }

    /// A descriptor of what is at a path, which does nothing to it. Where a link leads out of the root, there is nothing.
    fn find(&self, path: &Path) -> io::Result<OwnedFd> {
        if self.follow_symlinks { beneath::find(&self.path, path) } else { beneath::find_beneath(&self.path, path) }
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
