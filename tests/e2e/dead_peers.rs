//! Peers that vanish without a word, as when a cable is cut: the proxy and its peers have networks of their own, with a cable
//! between them.

use std::fmt::Display;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::command::run;
use crate::support::proxy::{BINARY, Proxy};

/// A target that says nothing, and a client of it by the proxy that answers pings; each says when it is there.
const PEER: &str = r#"
import socket, sys
def client(route):
    stream = socket.create_connection((route, 6080))
    stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += stream.recv(1)
    assert b" 101 " in head, head
    print("open", flush=True)
    while data := stream.recv(4096):
        if data[0] == 0x89:
            stream.sendall(b"\x8a\x80\0\0\0\0")
def target():
    listener = socket.create_server(("0.0.0.0", 5900))
    print("open", flush=True)
    keep = []
    while True:
        keep.append(listener.accept())
client(sys.argv[2]) if sys.argv[1] == "client" else target()
"#;

/// A peer in a network of its own or in the proxy's.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    /// Runs these words in the networks of the proxy.
    fn start(proxy: &Proxy, arguments: &[&str]) -> Self {
        let mut child = inside(proxy.pid())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter is there (Debian: util-linux)");
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command in the networks of a process.
fn inside(pid: impl Display) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--preserve-credentials", "--user", "--net", "--target", &pid.to_string()]);
    command
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A proxy at one end of a cable, and the shell of a peer at the other, 10.9.0.2, which runs python3 when it gets a line.
fn cable(target: &str, more: &str) -> (Proxy, Peer, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let route = format!("listen = \"10.9.0.1:6080\"\ntarget = \"{target}\"\n{more}");
    std::fs::write(directory.path().join("test.toml"), route).unwrap();
    let network = "ip link set lo up && ip link add here type veth peer name there && \
                   ip addr add 10.9.0.1/24 dev here && ip link set here up && exec \"$@\"";
    let proxy = Proxy::start(
        Command::new("unshare")
            .args(["--map-root-user", "--net", "sh", "-c", network, "sh", BINARY, "serve", "--config"])
            .arg(directory.path()),
    );
    let script = "echo $$; read -r kind; ip addr add 10.9.0.2/24 dev there; ip link set there up; \
                  exec python3 -c \"$0\" \"$kind\" 10.9.0.1";
    let mut peer = Peer::start(&proxy, &["unshare", "--net", "sh", "-c", script, PEER]);
    let pid = peer.line();
    succeed(inside(proxy.pid()).args(["ip", "link", "set", "there", "netns", &pid]));
    (proxy, peer, directory)
}

/// Whatever is sent into the cable from now on is gone, and nobody is told: not even that the neighbour does not answer.
fn cut(proxy: &Proxy, peer: &Peer) {
    let neighbour =
        ["ip", "neigh", "replace", "10.9.0.2", "lladdr", "02:00:00:00:00:02", "dev", "here", "nud", "permanent"];
    succeed(inside(proxy.pid()).args(neighbour));
    succeed(inside(peer.child.id()).args(["ip", "link", "set", "there", "down"]));
}

#[test]
fn a_client_that_is_cut_off_is_ended_and_told_of() {
    let (proxy, mut client, _directory) = cable("10.9.0.1:5900", "[websocket]\nheartbeat = \"1s\"");
    let mut target = Peer::start(&proxy, &["python3", "-c", PEER, "target"]);
    assert_eq!(target.line(), "open");
    client.input.write_all(b"client\n").unwrap();
    assert_eq!(client.line(), "open");
    proxy.log_line("session opened");
    cut(&proxy, &client);
    let cut_off = Instant::now();
    let line = proxy.log_line_within("session ended: client did not answer a ping", Duration::from_secs(40));
    let took = cut_off.elapsed();
    assert!(line.contains(" closed_by=proxy ") && line.contains(" close_code=1001 "), "{line}");
    assert!(took > Duration::from_secs(8), "{took:?}: its answers were on their way until then");
}

/// Nobody pings a target: TCP itself asks whether it is there.
#[test]
fn a_target_that_is_cut_off_is_noticed_within_a_minute_or_so_although_nothing_is_sent_to_it() {
    let (proxy, mut target, _directory) = cable("10.9.0.2:5900", "");
    target.input.write_all(b"target\n").unwrap();
    assert_eq!(target.line(), "open");
    let mut client = Peer::start(&proxy, &["python3", "-c", PEER, "client", "10.9.0.1"]);
    assert_eq!(client.line(), "open");
    cut(&proxy, &target);
    let cut_off = Instant::now();
    let line = proxy.log_line_within("session ended: target connection reset", Duration::from_secs(100));
    let took = cut_off.elapsed();
    assert!(line.contains(" closed_by=target ") && line.contains(" close_code=1011 "), "{line}");
    assert!(took > Duration::from_secs(50), "{took:?}: three probes were sent");
}

#[test]
fn the_heartbeat_of_a_route_is_a_time_or_off() {
    let directory = tempfile::tempdir().unwrap();
    let checked = |heartbeat: &str| {
        let text = format!("listen = \"6080\"\ntarget = \"127.0.0.1:1\"\n[websocket]\n{heartbeat}\n");
        std::fs::write(directory.path().join("test.toml"), text).unwrap();
        run(&["check", "--config", directory.path().to_str().unwrap()])
    };
    for heartbeat in ["", "heartbeat = \"off\"", "heartbeat = \"20s\""] {
        let ended = checked(heartbeat);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "test: ok\n"), "{heartbeat}: {}", ended.stderr);
    }
    let ended = checked("heartbeat = false");
    assert!(
        ended.stderr.contains("'websocket.heartbeat' is a boolean: write heartbeat = \"30s\" or \"off\""),
        "{}",
        ended.stderr
    );
}
