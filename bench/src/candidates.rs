//! The proxies that are compared: how each is started, watched and ended.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::configuration;
use crate::floor::Way;
use crate::generator::Wire;
use crate::machine::Cpus;
use crate::process_tree::{self, Usage};
use crate::tls::{Certificates, Key};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The floors (see `floor`).
    Copy64,
    Copy256,
    Splice,
    Websockify,
    Haproxy,
    HaproxySplice,
    Nginx,
    Debian,
    Websocat,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Copy64,
        Self::Copy256,
        Self::Splice,
        Self::Websockify,
        Self::Haproxy,
        Self::HaproxySplice,
        Self::Nginx,
        Self::Debian,
        Self::Websocat,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Copy64 => "copy-64k",
            Self::Copy256 => "copy-256k",
            Self::Splice => "splice",
            Self::Websockify => "websockify",
            Self::Haproxy => "haproxy",
            Self::HaproxySplice => "haproxy-splice",
            Self::Nginx => "nginx",
            Self::Debian => "debian",
            Self::Websocat => "websocat",
        }
    }

    /// A relay of bytes is compared with what carries the same bytes without frames.
    pub fn wire(self) -> Wire {
        match self {
            Self::Websockify | Self::Debian | Self::Websocat => Wire::WebSocket,
            _ => Wire::Raw,
        }
    }

    /// Which of the floors it is.
    pub fn floor(self) -> Option<Way> {
        match self {
            Self::Copy64 => Some(Way::Copy(64 << 10)),
            Self::Copy256 => Some(Way::Copy(256 << 10)),
            Self::Splice => Some(Way::Splice(1 << 20)),
            _ => None,
        }
    }
}

/// Where the candidates are and where they run.
pub struct Settings {
    pub websockify: PathBuf,
    pub debian: PathBuf,
    pub websocat: PathBuf,
    /// Where `haproxy` and `nginx` were unpacked.
    pub unpacked: PathBuf,
    /// For what they are told in files.
    pub scratch: PathBuf,
    pub certificates: Certificates,
    /// For those that must be told how many to expect.
    pub sessions: usize,
    pub cpus: Cpus,
}

impl Settings {
    pub fn program(&self, kind: Kind) -> Option<PathBuf> {
        match kind {
            Kind::Copy64 | Kind::Copy256 | Kind::Splice => None,
            Kind::Websockify => Some(self.websockify.clone()),
            Kind::Haproxy | Kind::HaproxySplice => Some(self.unpacked.join("usr/sbin/haproxy")),
            Kind::Nginx => Some(self.unpacked.join("usr/sbin/nginx")),
            Kind::Debian => Some(self.debian.clone()),
            Kind::Websocat => Some(self.websocat.clone()),
        }
    }
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
        Self::launch(kind, settings, target, None, None)
    }

    /// The same, with TLS towards its clients.
    pub fn start_tls(kind: Kind, settings: &Settings, target: SocketAddr, key: Key) -> Self {
        Self::launch(kind, settings, target, Some(key), None)
    }

    /// websockify by a command line, with these options or with none.
    pub fn start_with(settings: &Settings, target: SocketAddr, options: &[&str]) -> Self {
        Self::launch(Kind::Websockify, settings, target, None, Some(options))
    }

    fn launch(kind: Kind, settings: &Settings, target: SocketAddr, key: Option<Key>, options: Option<&[&str]>) -> Self {
        let this = std::env::current_exe().expect("this program has a path");
        // Most do not tell which port they were given for a zero.
        let free = free_address();
        let certificate = key.map(|key| settings.certificates.file(key).display().to_string());
        let mut command = Command::new(&this);
        // Our own launcher pins the process, ties its life to ours, and becomes the candidate.
        command.args(["launch", &settings.cpus.proxy.to_string()]);
        command.arg(settings.program(kind).unwrap_or_else(|| this.clone()));
        match kind {
            Kind::Copy64 | Kind::Copy256 | Kind::Splice => {
                command.args(["floor", kind.name(), &free.to_string(), &target.to_string()]);
            }
            // As a route: no option raises the bound of connections, which the idle sessions go over.
            Kind::Websockify if certificate.is_none() && options.is_none() => {
                let routes = settings.scratch.join("routes");
                std::fs::create_dir_all(&routes).unwrap_or_else(|error| panic!("{}: {error}", routes.display()));
                let text = configuration::websockify(free, target, settings.sessions);
                written(&routes.join("bench.toml"), &text);
                command.args(["serve", "--config"]).arg(routes);
            }
            Kind::Websockify => {
                command
                    .args(options.unwrap_or_default())
                    .args(certificate.iter().flat_map(|file| ["--cert", file, "--ssl-only"]));
                command.args([free.to_string(), target.to_string()]);
            }
            Kind::Debian => {
                command.args(certificate.iter().flat_map(|file| ["--cert", file, "--ssl-only"]));
                command.args([free.to_string(), target.to_string()]);
            }
            Kind::Haproxy | Kind::HaproxySplice => {
                let splices = kind == Kind::HaproxySplice;
                let text = configuration::haproxy(free, target, settings.sessions, certificate.as_deref(), splices);
                command.args(["-db", "-f"]).arg(written(&settings.scratch.join("haproxy.cfg"), &text));
            }
            Kind::Nginx => {
                let module = settings.unpacked.join("usr/lib/nginx/modules/ngx_stream_module.so");
                let text = configuration::nginx(free, target, settings.sessions, &module, &settings.scratch);
                command.args(["-e", "stderr", "-p"]).arg(&settings.scratch);
                command.arg("-c").arg(written(&settings.scratch.join("nginx.conf"), &text));
            }
            Kind::Websocat => {
                command.args(["--binary", "--exit-on-eof"]);
                command.args([format!("ws-listen:{free}"), format!("tcp:{target}")]);
            }
        }
        let child = std::os::unix::process::CommandExt::process_group(&mut command, 0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{}: {error}", this.display()));
        let log = Log::follow(child.stderr.take().expect("stderr is piped"));
        // From here on a panic must end the child.
        let mut proxy = Self { kind, address: free, child, log };
        proxy.wait_until_it_accepts();
        proxy
    }

    fn wait_until_it_accepts(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            if Instant::now() > deadline || self.has_ended() {
                self.fail("does not listen");
            }
            thread::sleep(Duration::from_millis(5));
        }
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

/// The path, after the text was written there.
fn written<'a>(path: &'a Path, text: &str) -> &'a Path {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    listener.local_addr().expect("a bound socket has an address")
}

/// The candidate's stderr. It is read all the time, or the candidate would block on a full pipe.
struct Log {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// Disconnected when the last process of the tree has ended.
    end: Receiver<()>,
}

impl Log {
    fn follow(stderr: impl std::io::Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let (until_the_end, end) = mpsc::channel();
        let kept = Arc::clone(&lines);
        thread::spawn(move || {
            let _held: mpsc::Sender<()> = until_the_end;
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let mut kept = kept.lock().expect("no holder of this lock panics");
                if kept.len() == LOG_LINES_KEPT {
                    kept.pop_front();
                }
                kept.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        });
        Self { lines, end }
    }

    fn wait_for_the_end(&self) -> bool {
        self.end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Disconnected)
    }

    fn tail(&self) -> String {
        let lines = self.lines.lock().expect("no holder of this lock panics");
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_words_and_notices_the_end() {
        let text = (0..100).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n");
        let log = Log::follow(std::io::Cursor::new(text));
        assert!(log.wait_for_the_end());
        let tail = log.tail();
        assert!(tail.starts_with("line 70\n") && tail.ends_with("line 99"), "{tail}");
    }
}
