//! Directories that are looked into with a token's text: a file for each token, or sockets by their names.
//!
//! Promise: nothing outside the directory is ever read or connected to: no `..`, no absolute path and no symbolic link leads
//! out ([`crate::beneath`]). Whatever may not be reached is unknown, so that an answer does not tell what exists elsewhere. A name
//! with a dot at its start is nobody's token.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, fstat};
use tokio::task::spawn_blocking;

use super::{LookupError, SourceError, answer};
use crate::beneath::{find_beneath, open_again, place};
use crate::target::Target;
use crate::target::token::Token;

/// A file that holds one target is no larger.
const BYTES_MAX: u64 = 4096;

/// A directory with a file for each token, which holds its target.
#[derive(Debug)]
pub struct Names(PathBuf);

/// A directory of sockets. A token is the path of one, from there.
#[derive(Debug)]
pub struct Sockets(PathBuf);

impl Names {
    /// Proves that there is such a directory.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        proved(path).map(Self)
    }

    /// What `token` stands for.
    pub async fn look_up(&self, token: &Token) -> Result<Target, LookupError> {
        let (directory, name) = (self.0.clone(), PathBuf::from(token.as_str()));
        if name.components().count() != 1 || token.as_str().contains('/') {
            return Err(LookupError::Unknown);
        }
        let content = blocking(move || {
            let found = found_by(&directory, &name)?;
            let failed = |source| SourceError::Read { path: directory.clone(), source };
            // Before it is opened: to open a FIFO waits for its writer, and to open a device may do anything.
            if !is(&found, SFlag::S_IFREG).map_err(failed)? {
                return Err(LookupError::Unknown);
            }
            let file = File::from(open_again(&found, OFlag::empty()).map_err(failed)?);
            let mut content = Vec::new();
            file.take(BYTES_MAX + 1).read_to_end(&mut content).map_err(failed)?;
            Ok(content)
        });
        let content = content.await?;
        if content.len() as u64 > BYTES_MAX {
            // The file's name is the token.
            return Err(SourceError::TooLarge { path: self.0.join("..."), bytes_max: BYTES_MAX }.into());
        }
        Ok(answer::text(&content).map_err(SourceError::from)?)
    }
}

impl Sockets {
    /// Proves that there is such a directory.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        proved(path).map(Self)
    }

    /// What `token` stands for.
    pub async fn look_up(&self, token: &Token) -> Result<Target, LookupError> {
        let (directory, name) = (self.0.clone(), PathBuf::from(token.as_str()));
        let found = blocking(move || {
            let socket = found_by(&directory, &name)?;
            let failed = |source| SourceError::Read { path: directory.clone(), source };
            if !is(&socket, SFlag::S_IFSOCK).map_err(failed)? {
                return Err(LookupError::Unknown);
            }
            // Where it really is: no link is left in this path that could lead elsewhere.
            Ok(Target::Unix(place(&socket).map_err(failed)?))
        });
        found.await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LookupError> + Send + 'static,
) -> Result<T, LookupError> {
    match spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

fn proved(path: &Path) -> Result<PathBuf, SourceError> {
    let absolute = std::path::absolute(path);
    let path = absolute.map_err(|source| SourceError::Read { path: path.to_owned(), source })?;
    match find_beneath(&path, Path::new(".")) {
        Ok(_) => Ok(path),
        Err(source) => Err(SourceError::Read { path, source }),
    }
}

fn found_by(directory: &Path, name: &Path) -> Result<OwnedFd, LookupError> {
    let is_visible = |part| matches!(part, Component::Normal(name) if !name.to_string_lossy().starts_with('.'));
    if !name.components().all(is_visible) {
        return Err(LookupError::Unknown);
    }
    find_beneath(directory, name).map_err(|source| {
        let errno = source.raw_os_error().map(Errno::from_raw);
        let leads_nowhere = matches!(errno, Some(Errno::ENOTDIR | Errno::ELOOP | Errno::ENAMETOOLONG));
        if leads_nowhere || source.kind() == io::ErrorKind::NotFound {
            return LookupError::Unknown;
        }
        SourceError::Read { path: directory.to_owned(), source }.into()
    })
}

fn is(found: &OwnedFd, kind: SFlag) -> io::Result<bool> {
    let mode = SFlag::from_bits_truncate(fstat(found)?.st_mode);
    Ok(mode & SFlag::S_IFMT == kind)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use http::Request;
    use nix::sys::stat::Mode;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    use super::*;

    fn token(text: &str) -> Token {
        let escaped = utf8_percent_encode(text, NON_ALPHANUMERIC);
        let request = Request::builder().uri(format!("/?token={escaped}")).body(()).unwrap();
        Token::of(&request, &["query".parse().unwrap()]).unwrap()
    }

    fn shown(found: Result<Target, LookupError>) -> String {
        match found {
            Ok(found) => found.to_string(),
            Err(LookupError::Source(error)) => error.to_string(),
            Err(error) => error.to_string().replace("the token is ", ""),
        }
    }

    #[tokio::test]
    async fn a_file_is_found_by_its_name_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("tokens");
        fs::create_dir_all(inside.join("sub")).unwrap();
        fs::write(directory.path().join("secret"), "secret:1").unwrap();
        for (name, text) in
            [("a", "h:1\n"), ("b", "[::1]:5901"), ("c", "unix_socket:/run/vm.vnc"), ("d", "h"), (".e", "h:1")]
        {
            fs::write(inside.join(name), text).unwrap();
        }
        fs::write(inside.join("large"), "x".repeat(5000)).unwrap();
        symlink("a", inside.join("link")).unwrap();
        symlink("../secret", inside.join("out")).unwrap();
        symlink(directory.path().join("secret"), inside.join("absolute")).unwrap();
        nix::unistd::mkfifo(&inside.join("fifo"), Mode::S_IRWXU).unwrap();
        let names = Names::open(&inside).unwrap();
        for (name, found) in [
            ("a", "h:1"),
            ("b", "[::1]:5901"),
            ("c", "unix:/run/vm.vnc"),
            ("link", "h:1"),
            ("d", "what it says is no target"),
            ("x", "unknown"),
            ("sub", "unknown"),
            ("fifo", "unknown"),
            (".e", "unknown"),
            (".", "unknown"),
            ("..", "unknown"),
            ("a/", "unknown"),
            ("./a", "unknown"),
            ("sub/../a", "unknown"),
            ("../secret", "unknown"),
            ("out", "unknown"),
            ("absolute", "unknown"),
            ("/etc/passwd", "unknown"),
        ] {
            assert_eq!(shown(names.look_up(&token(name)).await), found, "{name}");
        }
        assert_eq!(shown(names.look_up(&token(inside.join("a").to_str().unwrap())).await), "unknown");
        assert!(shown(names.look_up(&token("large")).await).ends_with("is larger than 4096 bytes"));
        assert_eq!(shown(names.look_up(&token(&"x".repeat(300))).await), "unknown");
    }

    /// The original took any path whose text began with the directory's.
    #[tokio::test]
    async fn a_socket_is_found_beneath_its_directory_only() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let (inside, sibling) = (root.join("vnc"), root.join("vnc-admin"));
        fs::create_dir_all(inside.join("lab")).unwrap();
        fs::create_dir(&sibling).unwrap();
        let sockets =
            [inside.join("a.sock"), inside.join("lab/b.sock"), sibling.join("x.sock"), inside.join(".hidden")];
        let _listeners = sockets.clone().map(|path| UnixListener::bind(path).unwrap());
        fs::write(inside.join("file"), "").unwrap();
        symlink("a.sock", inside.join("link")).unwrap();
        symlink("../vnc-admin/x.sock", inside.join("out")).unwrap();
        symlink("../vnc-admin", inside.join("outside")).unwrap();
        symlink(sibling.join("x.sock"), inside.join("absolute")).unwrap();
        let source = Sockets::open(&inside).unwrap();
        let unix = |path: &Path| format!("unix:{}", path.display());
        assert_eq!(shown(source.look_up(&token("a.sock")).await), unix(&sockets[0]));
        assert_eq!(shown(source.look_up(&token("lab/b.sock")).await), unix(&sockets[1]));
        assert_eq!(shown(source.look_up(&token("link")).await), unix(&sockets[0]));
        let absolute = sibling.join("x.sock");
        for name in [
            "x",
            "file",
            "lab",
            ".hidden",
            "../vnc-admin/x.sock",
            "lab/../../vnc-admin/x.sock",
            "outside/x.sock",
            "out",
            "absolute",
            absolute.to_str().unwrap(),
            sockets[0].to_str().unwrap(),
        ] {
            assert_eq!(shown(source.look_up(&token(name)).await), "unknown", "{name}");
        }
    }

    #[test]
    fn what_is_no_directory_is_an_error_at_the_start() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let not_a_directory = format!("cannot read {}", file.path().display());
        assert_eq!(Names::open(file.path()).unwrap_err().to_string(), not_a_directory);
        assert!(Sockets::open(Path::new("/nonexistent")).is_err());
    }
}
