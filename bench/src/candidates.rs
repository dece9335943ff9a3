//! The proxies that are compared: how each is started, watched and ended.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::generator::Wire;
use crate::machine::Cpus;
use crate::process_tree::{self, Usage};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Floor,
    Websockify,
    Debian,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Floor, Self::Websockify, Self::Debian];

    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Websockify => "websockify",
            Self::Debian => "debian",
        }
    }

    pub fn wire(self) -> Wire {
        match self {
            Self::Floor => Wire::Raw,
            Self::Websockify | Self::Debian => Wire::WebSocket,
        }
    }
}

/// Where the candidates are and where they run.
pub struct Settings {
    pub websockify: PathBuf,
    pub debian: PathBuf,
    pub cpus: Cpus,
}

/// Starting, settling and ending take far less; beyond it something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);
/// A tree is quiet when it uses less than one part in a hundred of an interval of this length.
const QUIET_INTERVAL: Duration = Duration::from_millis(25);
const LOG_LINES_KEPT: usize = 30;

/// A running candidate. It is ended, with all it started, when this is dropped.
pub struct Proxy {
    pub kind: Kind,
    pub address: SocketAddr,
    child: Child,
    log: Log,
}

impl Proxy {
    /// Starts a candidate on the proxies' CPU and waits until it accepts connections.
    pub fn start(kind: Kind, settings: &Settings, target: SocketAddr) -> Self {
        Self::start_with(kind, settings, target, &[])
    }

    /// The same, with these options; the floor has none.
    pub fn start_with(kind: Kind, settings: &Settings, target: SocketAddr, options: &[&str]) -> Self {
        let this = std::env::current_exe().expect("this program has a path");
        let mut command = Command::new(&this);
        // Our own launcher pins the process, ties its life to ours, and becomes the candidate.
        command.args(["launch", &settings.cpus.proxy.to_string()]);
        let chosen = match kind {
            Kind::Floor => {
                command.arg(&this).args(["floor", &target.to_string()]);
                None
            }
            Kind::Websockify => {
                command.arg(&settings.websockify).args(options).args(["127.0.0.1:0", &target.to_string()]);
                None
            }
            Kind::Debian => {
                // It does not tell which port it was given for a zero.
                let free = free_address();
                command.arg(&settings.debian).args(options).args([free.to_string(), target.to_string()]);
                Some(free)
            }
        };
        let mut child = std::os::unix::process::CommandExt::process_group(&mut command, 0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", this.display()));
        let log = Log::follow(child.stderr.take().expect("stderr is piped"));
        // From here on a panic must end the child, so the proxy is made before its address is known.
        let mut proxy = Self { kind, address: SocketAddr::from(([127, 0, 0, 1], 0)), child, log };
        proxy.address = match chosen {
            Some(address) => proxy.wait_until_it_accepts(address),
            None => proxy.log.address().unwrap_or_else(|| proxy.fail("did not say where it listens")),
        };
        proxy
    }

    fn wait_until_it_accepts(&mut self, address: SocketAddr) -> SocketAddr {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > deadline || self.has_ended() {
                self.fail("does not listen");
            }
            thread::sleep(Duration::from_millis(5));
        }
        address
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("a process id is positive"))
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our child can be waited for").is_some()
    }

    /// The usage once nothing more is going on, in a tree of so many processes if that is given.
    ///
    /// What a session costs includes what its end leaves to be done, after the client has gone.
    pub fn settled_usage(&self, processes: Option<usize>) -> Usage {
        let deadline = Instant::now() + PATIENCE;
        let mut before = process_tree::usage(self.pid());
        loop {
            thread::sleep(QUIET_INTERVAL);
            let after = process_tree::usage(self.pid());
            // The sum can shrink by a tick when a child moves from the living to the waited for.
            let spent = after.cpu.checked_sub(before.cpu);
            let quiet = spent.is_some_and(|spent| spent < QUIET_INTERVAL / 100);
            let complete = processes.is_none_or(|expected| expected == after.processes);
            if quiet && complete && after.zombies == 0 {
                return after;
            }
            if Instant::now() > deadline {
                self.fail(&format!("does not come to rest: {before:?}, then {after:?}"));
            }
            before = after;
        }
    }

    /// Bytes of anonymous memory in the whole tree, at rest.
    pub fn settled_memory(&self) -> u64 {
        self.settled_usage(None);
        process_tree::memory(self.pid())
    }

    /// Ends the candidate, which must have lived until now.
    pub fn stop(mut self) {
        if self.has_ended() {
            self.fail("ended during a measurement");
        }
        killpg(self.pid(), Signal::SIGTERM).expect("our process group can be signalled");
        if !self.log.wait_for_the_end() {
            self.fail("does not end on SIGTERM");
        }
        let status = self.child.wait().expect("our child can be waited for");
        if self.kind == Kind::Websockify && !status.success() {
            self.fail(&format!("ended with {status} on SIGTERM"));
        }
    }

    fn fail(&self, what: &str) -> ! {
        panic!("{} {what}. Its last words:\n{}", self.kind.name(), self.log.tail());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // After `stop` the group is empty and the signal finds nobody, which is as well.
        if !self.has_ended() {
            let _ = killpg(self.pid(), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    listener.local_addr().expect("a bound socket has an address")
}

/// The candidate's stderr. It is read all the time, or the candidate would block on a full pipe.
struct Log {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// The addresses that were announced. Disconnected when the last process of the tree has ended.
    addresses: Receiver<SocketAddr>,
}

impl Log {
    fn follow(stderr: impl std::io::Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let (announce, addresses) = mpsc::channel();
        let kept = Arc::clone(&lines);
        thread::spawn(move || {
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if let Some(address) = listening_address(&text) {
                    // Nobody waits for an address any more once there is one.
                    let _ = announce.send(address);
                }
                let mut kept = kept.lock().expect("no holder of this lock panics");
                if kept.len() == LOG_LINES_KEPT {
                    kept.pop_front();
                }
                kept.push_back(text);
                line.clear();
            }
        });
        Self { lines, addresses }
    }

    fn address(&self) -> Option<SocketAddr> {
        self.addresses.recv_timeout(PATIENCE).ok()
    }

    fn wait_for_the_end(&self) -> bool {
        loop {
            match self.addresses.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(end) => return end == RecvTimeoutError::Disconnected,
            }
        }
    }

    fn tail(&self) -> String {
        let lines = self.lines.lock().expect("no holder of this lock panics");
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

fn listening_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_address_in_a_log_line() {
        let line = "2026-11-22T07:03:48.123Z  INFO listening on 127.0.0.1:43211";
        assert_eq!(listening_address(line), Some(SocketAddr::from(([127, 0, 0, 1], 43211))));
        assert_eq!(listening_address("listening on /run/websockify.sock"), None);
        assert_eq!(listening_address("nothing of the kind"), None);
    }

    #[test]
    fn keeps_the_last_words_and_notices_the_end() {
        let text = (0..100).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n");
        let log = Log::follow(std::io::Cursor::new(text));
        assert!(log.wait_for_the_end());
        let tail = log.tail();
        assert!(tail.starts_with("line 70\n") && tail.ends_with("line 99"), "{tail}");
    }
}
