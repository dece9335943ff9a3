//! The file of a Unix socket: made way for, and removed again, but only if it is nobody else's.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::listener::ListenError;

/// Makes way at `path`, if what is there is a socket of a process that is gone.
pub(super) fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let occupied = |what| ListenError::Occupied { path: path.to_owned(), what };
    let failed = |source| ListenError::Bind { address: path.display().to_string(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if metadata.is_dir() => return Err(occupied("a directory")),
        Ok(metadata) if metadata.is_symlink() => return Err(occupied("a symbolic link")),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(occupied("a file that is not a socket")),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(_) => Err(occupied("the socket of a running program")),
    }
}

/// The file of a Unix socket that was made here.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: somebody else's socket of the same name is left alone.
    identity: (u64, u64),
}

impl SocketFile {
    /// The socket that was bound at `path` a moment ago.
    pub(super) fn made(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours =
            fs::symlink_metadata(&self.path).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if is_ours {
            let _ = fs::remove_file(&self.path); // a file that stays is stale, and known as such next time
        }
    }
}
