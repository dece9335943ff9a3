//! A service manager, as far as a daemon sees one: it passes sockets, and listens to what it is told.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use tempfile::TempDir;

use super::PATIENCE;
use super::proxy::{BINARY, Proxy};

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

    /// The next notification.
    pub fn told(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.notifications.recv(&mut buffer).expect("a notification comes");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// The next notification with `needle` in it; others are passed over.
    pub fn told_of(&self, needle: &str) -> String {
        loop {
            let told = self.told();
            if told.contains(needle) {
                return told;
            }
        }
    }
}
