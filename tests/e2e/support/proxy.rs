//! The binary, started as a user would, with its log at hand.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{PATIENCE, eventually};

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_websockify");

/// A running proxy. Dropping it kills it, and shows its log if the test has failed.
pub struct Proxy {
    child: Child,
    log: Arc<Log>,
    /// Its TOML files, where there are any.
    pub directory: Option<TempDir>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Lines>,
    grown: Condvar,
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Proxy {
    /// With a classic command line, once it listens.
    pub fn classic(arguments: &[&str]) -> Self {
        Self::start(Command::new(BINARY).args(arguments))
    }

    /// With a route file of this text, in service as the route `test`, once it listens.
    pub fn serve(toml: &str) -> Self {
        Self::serve_files(&[("test", toml)])
    }

    /// With route files, each a name and a text.
    pub fn serve_files(routes: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, toml) in routes {
            fs::write(directory.path().join(format!("{name}.toml")), toml).unwrap();
        }
        let mut proxy = Self::start(Command::new(BINARY).arg("serve").arg("--config").arg(directory.path()));
        proxy.directory = Some(directory);
        proxy
    }

    /// Any command that becomes a proxy, once it listens.
    pub fn start(command: &mut Command) -> Self {
        let proxy = Self::spawn(command);
        proxy.log_line("listening on ");
        proxy
    }

    /// Any command, without waiting for anything.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary starts");
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(Log::default());
        let filled = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                filled.lines.lock().unwrap().lines.push(line);
                filled.grown.notify_all();
            }
            filled.lines.lock().unwrap().ended = true;
            filled.grown.notify_all();
        });
        Self { child, log, directory: None }
    }

    /// Where the first listener listens; on loopback, when it listens everywhere.
    pub fn address(&self) -> SocketAddr {
        self.addresses()[0]
    }

    /// Where all listeners listen, in the order of the log.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let lines = self.log_lines();
        let names = lines.iter().filter_map(|line| line.split_once("listening on ")?.1.split(' ').next());
        let addresses = names.filter_map(|name| name.parse::<SocketAddr>().ok());
        addresses
            .map(
                |address| if address.ip().is_unspecified() { ([127, 0, 0, 1], address.port()).into() } else { address },
            )
            .collect()
    }

    /// The first line of the log with `needle` in it, waited for.
    pub fn log_line(&self, needle: &str) -> String {
        self.nth_log_line(needle, 0)
    }

    /// The line after `n` others with `needle` in it, waited for.
    pub fn nth_log_line(&self, needle: &str, n: usize) -> String {
        self.line_within(needle, n, PATIENCE)
    }

    /// The first line with `needle` in it, of which is known that it takes its time.
    pub fn log_line_within(&self, needle: &str, limit: Duration) -> String {
        self.line_within(needle, 0, limit)
    }

    fn line_within(&self, needle: &str, n: usize, limit: Duration) -> String {
        let deadline = Instant::now() + limit;
        let mut log = self.log.lines.lock().unwrap();
        loop {
            if let Some(line) = log.lines.iter().filter(|line| line.contains(needle)).nth(n) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if log.ended || left.is_zero() {
                let lines = log.lines.join("\n");
                drop(log); // the drop of the proxy locks it, too
                panic!("no line '{needle}' ({n} before it) in the log:\n{lines}");
            }
            log = self.log.grown.wait_timeout(log, left).unwrap().0;
        }
    }

    /// All of the log so far.
    pub fn log_lines(&self) -> Vec<String> {
        // A test that failed while it held the lock still wants its log shown.
        self.log.lines.lock().unwrap_or_else(PoisonError::into_inner).lines.clone()
    }

    /// Its standard output, for a command that was given a pipe for it.
    pub fn stdout(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.child.stdout.take().expect("a pipe, taken once"))
    }

    /// Writes a route's file anew, as editors do: beside it, and then by renaming.
    pub fn write_route(&self, name: &str, toml: &str) {
        let directory = self.directory.as_ref().expect("a proxy with route files").path();
        let beside = directory.join(format!(".{name}.toml.new"));
        fs::write(&beside, toml).unwrap();
        fs::rename(beside, directory.join(format!("{name}.toml"))).unwrap();
    }

    /// Takes a route's file away.
    pub fn remove_route(&self, name: &str) {
        let directory = self.directory.as_ref().expect("a proxy with route files").path();
        fs::remove_file(directory.join(format!("{name}.toml"))).unwrap();
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the process ends", || self.child.try_wait().unwrap())
    }

    /// Waits for its end, and returns its exit code; a death by a signal is a failure.
    pub fn exit_code(&mut self) -> i32 {
        let status = self.wait();
        status.code().unwrap_or_else(|| panic!("died by signal {:?}", status.signal()))
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Memory that the process has written to and nobody else has, in bytes. Pages of files are left out, clean or dirty:
    /// a binary that was linked a moment ago is still to be written to the disk, and its pages count as dirty till then.
    pub fn private_memory(&self) -> u64 {
        let smaps = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).unwrap();
        let anonymous = smaps.lines().filter(|line| line.starts_with("Anonymous:"));
        anonymous.map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024).sum()
    }

    /// Processor time it has used.
    pub fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(10 * ticks)
    }

    /// Descriptors it has open.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the proxy's log:\n{}", self.log_lines().join("\n"));
        }
    }
}
