//! What every test needs: a network of its own, the library, programs of C, and what is seen from outside.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// No single wait of a test takes longer, unless something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Every address that this network has, and 127.0.0.2, which a wildcard has too.
pub const ADDRESSES: [&str; 5] = ["127.0.0.1", "127.0.0.2", "192.0.2.1", "::1", "2001:db8::1"];

/// Set where a test is alone, to the library.
const MARK: &str = "REBIND_TEST_IS_ALONE_WITH";

/// The first words of a test: it goes on in a process that has a network of its own.
macro_rules! alone {
    () => {
        fn here() {}
        if $crate::support::ran_alone(std::any::type_name_of_val(&here)) {
            return;
        }
    };
}

/// Runs the test that this function is in, once more, in a network of its own; or says that this is it.
pub fn ran_alone(function: &str) -> bool {
    if std::env::var_os(MARK).is_some() {
        return false;
    }
    let test = function.strip_suffix("::here").unwrap();
    let (_program, test) = test.split_once("::").unwrap();
    let network = "ip link set lo up && ip address add 192.0.2.1/24 dev lo &&
        ip address add 2001:db8::1/64 dev lo nodad && exec \"$0\" \"$@\"";
    let done = Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-c", network])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(MARK, library())
        .output()
        .expect("unshare is there: Debian's package util-linux has it");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&done.stderr));
    true
}

/// The library, made by the command that makes what is shipped.
pub fn library() -> &'static Path {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
        if let Some(library) = std::env::var_os(MARK) {
            return library.into();
        }
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        run(Command::new(env!("CARGO"))
            .args(["preload", "--quiet", "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR")));
        target.join("preload/librebind.so")
    });
    &LIBRARY
}

/// A program of C that lies in tests/programs, compiled by `compiler` with more arguments, such as `-static`.
pub fn compiled_by(compiler: &str, name: &str, arguments: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name).with_extension("c");
    // Tests run side by side, each in a process of its own: whoever compiles moves it there when it is complete.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let fresh = directory.path().join(name);
    let warnings = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread"];
    run(Command::new(compiler).args(warnings).arg("-o").arg(&fresh).arg(source).args(arguments));
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}{}-{compiler}", arguments.concat()));
    std::fs::rename(fresh, &program).unwrap();
    program
}

pub fn compiled(name: &str) -> PathBuf {
    compiled_by("cc", name, &[])
}

/// A command with the library preloaded, and the ports in one variable: `5901=43211`.
pub fn preloaded(program: impl AsRef<OsStr>, ports: &str) -> Command {
    let mut command = Command::new(program);
    command.env("LD_PRELOAD", library()).env("REBIND_PORTS", ports);
    command
}

/// Runs a command to its end, which is a good one, and returns what it printed.
pub fn run(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{command:?}: {}\n{said}{}", done.status, String::from_utf8_lossy(&done.stderr));
    said
}

/// A program that runs until it is dropped, or until its standard input ends.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    /// Starts it, and waits for a line with this text on standard output.
    pub fn until(command: &mut Command, text: &str) -> (Self, Vec<String>) {
        let program = Self::start(command);
        let mut lines = Vec::new();
        loop {
            let line = program.line();
            if line.contains(text) {
                return (program, lines);
            }
            lines.push(line);
        }
    }

    pub fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// The next line of its standard output.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the program says something more")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Every TCP socket that listens in this network, as `ss` shows it: `*:5901` is both families, `[::]:5901` IPv6 alone.
pub fn listeners() -> Vec<String> {
    let shown = run(Command::new("ss").args(["-H", "--tcp", "--listening", "--numeric"]));
    let mut listeners: Vec<String> =
        shown.lines().map(|line| line.split_whitespace().nth(3).unwrap().to_owned()).collect();
    listeners.sort();
    listeners
}

/// Which of the network's addresses take a connection at this port.
pub fn open_at(port: u16) -> Vec<&'static str> {
    let open = |address: &&str| {
        let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
        TcpStream::connect_timeout(&address, PATIENCE).is_ok()
    };
    ADDRESSES.into_iter().filter(open).collect()
}

/// What a server says first.
pub fn greeting(address: &str) -> String {
    let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut greeting = String::new();
    stream.read_to_string(&mut greeting).unwrap();
    greeting
}

/// Waits until these, and no others, listen.
pub fn eventually_listening(expected: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    let expected: HashSet<&str> = expected.iter().copied().collect();
    loop {
        let listeners = listeners();
        if expected == listeners.iter().map(String::as_str).collect() {
            return;
        }
        assert!(Instant::now() < deadline, "{listeners:?} listen, and not {expected:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
