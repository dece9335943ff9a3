//! `-D`: in the background.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getsid};
use tempfile::TempDir;

use crate::support::client::Client;
use crate::support::command::{outcome, run};
use crate::support::eventually;
use crate::support::proxy::BINARY;
use crate::support::target::echo;
use crate::support::tls::SelfSigned;
use crate::support::web::get;

/// A process that nobody is the parent of, known by its directory, which is in its environment.
struct Daemon {
    pid: Pid,
    address: SocketAddr,
    log: PathBuf,
    directory: TempDir,
}

impl Daemon {
    /// Starts in a directory that is made as `prepare` says, with a log file in it.
    fn start(prepare: impl FnOnce(&Path), options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let mut command = Command::new(BINARY);
        command.current_dir(directory.path()).env("STARTED_IN", directory.path());
        command.args(["-D", "--log-file", "the.log"]).args(options).args(["127.0.0.1:0", &echo().to_string()]);
        let ended = outcome(&mut command);
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "", ""));
        let pid = eventually("the daemon is found", || find(directory.path()));
        let log = directory.path().join("the.log");
        let address = eventually("it listens", || {
            let text = fs::read_to_string(&log).unwrap();
            text.split_once("listening on ")?.1.split_whitespace().next()?.parse().ok()
        });
        Self { pid, address, log, directory }
    }

    fn link(&self, name: &str) -> PathBuf {
        fs::read_link(format!("/proc/{}/{name}", self.pid)).unwrap()
    }

    fn is_gone(&self) -> bool {
        // Whoever inherits orphans may take its time to bury them.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('Z'))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if find(self.directory.path()) == Some(self.pid) {
            kill(self.pid, Signal::SIGKILL).unwrap();
        }
    }
}

/// The process with this directory in its environment.
fn find(directory: &Path) -> Option<Pid> {
    let mark = format!("STARTED_IN={}", directory.display());
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let mut pids = processes.filter_map(|name| name.parse::<i32>().ok());
    let has_mark = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    pids.find(has_mark).map(Pid::from_raw)
}

#[test]
fn a_daemon_goes_on_without_a_terminal_a_directory_or_a_session_of_others() {
    let daemon = Daemon::start(|_| {}, &[]);
    for stream in 0..3 {
        assert_eq!(daemon.link(&format!("fd/{stream}")), Path::new("/dev/null"));
    }
    assert_eq!(daemon.link("cwd"), Path::new("/"));
    assert_ne!(getsid(Some(daemon.pid)).unwrap(), getsid(None).unwrap());
    let mut client = Client::open(daemon.address);
    client.send_binary(b"hello");
    assert_eq!(client.read_binary(5), b"hello");
}

/// The original's plugins' relative paths broke with -D, because it leaves the directory.
#[test]
fn relative_paths_start_where_the_daemon_was_started() {
    let mut made = None;
    let daemon = Daemon::start(
        |directory| {
            made = Some(SelfSigned::in_directory(directory));
            fs::create_dir(directory.join("www")).unwrap();
            fs::write(directory.join("www/index.html"), "the page").unwrap();
        },
        &["--cert", "cert.pem", "--key", "key.pem", "--web", "www"],
    );
    assert_eq!(get(daemon.address, "/").body, "the page");
    made.unwrap().connect(daemon.address).upgrade();
    // And the certificate is read again from there, too.
    let renewed = SelfSigned::unwritten(daemon.directory.path());
    renewed.install();
    eventually("the renewed certificate is served", || renewed.is_served(daemon.address).then_some(()));
}

#[test]
fn a_daemon_stops_as_any_proxy_does() {
    let daemon = Daemon::start(|_| {}, &[]);
    let mut client = Client::open(daemon.address);
    kill(daemon.pid, Signal::SIGTERM).unwrap();
    assert_eq!(client.read_close().0, 1001);
    client.send_close(1001, "");
    client.read_end();
    eventually("it ends", || daemon.is_gone().then_some(()));
    let log = fs::read_to_string(&daemon.log).unwrap();
    assert!(log.contains("session ended: server stopped") && log.ends_with(" INFO stopped\n"), "{log}");
}

#[test]
fn what_stops_the_start_of_a_daemon_reaches_the_terminal() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = run(&["-D", &address, "127.0.0.1:1"]);
    assert_eq!(ended.code, 71);
    assert_eq!(
        ended.stderr,
        format!("websockify: error: cannot listen on {address}: Address already in use (os error 98)\n")
    );
}
