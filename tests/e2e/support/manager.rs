//! A service manager, as far as a daemon sees one: it passes sockets, and listens to what it is told.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tempfile::TempDir;

use super::PATIENCE;
use super::proxy::{BINARY, Proxy};

/// What stands in the way of notifications.
const FILLING: &[u8] = b"X_FILLING=1";

/// What a daemon is started by.
pub struct Manager {
    directory: TempDir,
    notifications: UnixDatagram,
    sockets: Vec<(String, OwnedFd)>,
    environment: Vec<(&'static str, String)>,
}

impl Manager {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let notifications = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        notifications.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { directory, notifications, sockets: Vec::new(), environment: Vec::new() }
    }

    /// Passes a listening TCP socket of this name, and says where it is.
    pub fn listen(&mut self, name: &str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        self.pass(name, listener.into());
        address
    }

    /// Passes any descriptor.
    pub fn pass(&mut self, name: &str, descriptor: OwnedFd) {
        self.sockets.push((name.to_owned(), descriptor));
    }

    /// Sets a variable of the daemon's.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.environment.push((name, value.to_owned()));
    }

    /// Writes the file of a route.
    pub fn write(&self, route: &str, toml: &str) -> PathBuf {
        let path = self.directory.path().join(format!("{route}.toml"));
        fs::write(&path, toml).unwrap();
        path
    }

    /// Starts `serve` with these routes, and waits for nothing.
    pub fn spawn(&self, routes: &[&str]) -> Proxy {
        // Only a shell knows its process id before it becomes the daemon.
        let mut script = String::from("export LISTEN_PID=${LISTEN_PID:-$$}; ");
        for (position, (_, descriptor)) in self.sockets.iter().enumerate() {
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
            write!(script, "exec {}<&{}; ", position + 3, descriptor.as_raw_fd()).unwrap();
        }
        script += "exec \"$@\"";
        let names: Vec<&str> = self.sockets.iter().map(|(name, _)| name.as_str()).collect();
        let mut command = Command::new("bash");
        command.args(["-c", &script, "bash", BINARY, "serve", "--config"]).arg(self.directory.path()).args(routes);
        command.env("NOTIFY_SOCKET", self.directory.path().join("notify"));
        if !names.is_empty() {
            command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Proxy::spawn(&mut command)
    }

    /// Lets no notification in, as a manager that stands still, until as many as this returns have been
    /// [`drained`](Self::drained).
    pub fn fill(&self) -> usize {
        let filler = UnixDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        let path = self.directory.path().join("notify");
        std::iter::repeat_with(|| filler.send_to(FILLING, &path)).take_while(Result::is_ok).count()
    }

    /// Takes out what [`fill`](Self::fill) put in.
    pub fn drained(&self, count: usize) {
        for _ in 0..count {
            assert_eq!(self.told().as_bytes(), FILLING, "something got in");
        }
    }

    /// Whether somebody waits on the first socket, or comes within so long.
    pub fn has_client(&self, patience: Duration) -> bool {
        let mut wanted = [PollFd::new(self.sockets[0].1.as_fd(), PollFlags::POLLIN)];
        poll(&mut wanted, PollTimeout::try_from(patience).unwrap()).unwrap() > 0
    }

    /// The next notification.
    pub fn told(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.notifications.recv(&mut buffer).expect("a notification comes");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// The next notification with `needle` in it; others are passed over.
    pub fn told_of(&self, needle: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "nobody says '{needle}'");
            let told = self.told();
            if told.contains(needle) {
                return told;
            }
        }
    }
}
