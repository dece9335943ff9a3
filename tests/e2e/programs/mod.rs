//! Programs in the daemon's care: behind `--` on the command line, in route files, and one for each session.

mod classic;
mod per_session;
mod routes;

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::SystemTime;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::proxy::{BINARY, Proxy};

const ORIGIN: &[(&str, &str)] = &[("Origin", "http://localhost:6080")];

/// A service as people write it: it binds its port on all addresses, and answers each line with its own words before it. A line
/// `end N` ends it with that status.
const SERVICE: &str = "
import os, socket, sys, threading
def serve(connection):
    for line in connection.makefile('rb'):
        if line.startswith(b'end '):
            os._exit(int(line[4:]))
        connection.sendall(b'heard ' + line)
listener = socket.create_server(('', int(sys.argv[1])))
print('serving at', listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()";

/// A port that is free, for a program that wants to know it before.
fn free_port() -> String {
    TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port().to_string()
}

/// The binary, which finds the preload library beside the directory that it was built in.
fn websockify() -> Command {
    static PRELOAD: LazyLock<()> = LazyLock::new(|| {
        let target = Path::new(BINARY).ancestors().nth(2).unwrap();
        let mut preload = Command::new(env!("CARGO"));
        preload.args(["preload", "--quiet", "--target-dir"]).arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(preload.status().unwrap().success());
    });
    LazyLock::force(&PRELOAD);
    Command::new(BINARY)
}

/// A proxy at a free port with a program, once the proxy listens.
fn wrap(mode: &str, program: &[&str]) -> Proxy {
    let port = free_port();
    let program = program.iter().map(|word| if *word == "PORT" { &port } else { *word });
    Proxy::start(websockify().args([&port, "--wrap-mode", mode, "--"]).args(program))
}

fn wrap_service(mode: &str) -> Proxy {
    wrap(mode, &["python3", "-c", SERVICE, "PORT"])
}

fn shell(mode: &str, script: &str) -> Proxy {
    wrap(mode, &["sh", "-c", script, "sh", "PORT"])
}

/// Says a line in a session, and hears the service's answer.
fn talk(client: &mut Client, line: &str) {
    client.send_binary(format!("{line}\n").as_bytes());
    let answer = format!("heard {line}\n");
    assert_eq!(client.read_binary(answer.len()), answer.as_bytes());
}

/// The number that the program says behind `word`.
fn number_after(proxy: &Proxy, word: &str) -> Pid {
    let said = format!(" INFO {word}");
    let line = proxy.log_line(&said);
    let (_, rest) = line.split_once(&said).unwrap();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Pid::from_raw(digits.parse().unwrap())
}

fn eventually_gone(pid: Pid) {
    eventually("a process is gone", || (kill(pid, None) == Err(Errno::ESRCH)).then_some(()));
}

/// When the program was started after `n` other times.
fn started(proxy: &Proxy, n: usize) -> SystemTime {
    let line = proxy.nth_log_line("Starting '", n);
    humantime::parse_rfc3339(line.split(' ').next().unwrap()).unwrap()
}
