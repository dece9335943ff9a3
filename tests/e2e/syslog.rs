//! `--syslog`: records to a server, over UDP or a local socket.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;

use nix::unistd::Pid;

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::command::run;
use crate::support::proxy::Proxy;
use crate::support::target::echo;

/// The first packet with `needle` in it.
fn packet(needle: &str, mut receive: impl FnMut(&mut [u8]) -> std::io::Result<usize>) -> String {
    loop {
        let mut buffer = vec![0; 65536];
        let count = receive(&mut buffer).unwrap_or_else(|error| panic!("no packet with {needle}: {error}"));
        let text = String::from_utf8(buffer[..count].to_vec()).unwrap();
        if text.contains(needle) {
            return text;
        }
    }
}

fn udp() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

/// `<14>1 2026-11-22T06:03:46Z HOST websockify PID - - TEXT`: user facility, INFO.
fn assert_rfc5424(packet: &str, pid: Pid) {
    let words: Vec<_> = packet.splitn(8, ' ').collect();
    assert_eq!((words[0], words[3], words[5], words[6]), ("<14>1", "websockify", "-", "-"), "{packet}");
    assert_eq!(words[4], pid.to_string());
    assert_eq!((words[1].len(), words[1].as_bytes()[10], words[1].as_bytes()[19]), (20, b'T', b'Z'), "{packet}");
    assert!(words[7].starts_with("session opened session="), "{packet}");
}

#[test]
fn syslog_over_udp_is_rfc_5424() {
    let (server, address) = udp();
    let proxy = Proxy::classic(&["--syslog", &address, "127.0.0.1:0", &echo().to_string()]);
    let _client = Client::open(proxy.address());
    assert_rfc5424(&packet("session opened", |buffer| server.recv(buffer)), proxy.pid());
    proxy.log_line("session opened"); // standard error has it as well
}

#[test]
fn syslog_to_a_local_socket_is_rfc_5424() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let server = UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let proxy = Proxy::classic(&["--syslog", path.to_str().unwrap(), "127.0.0.1:0", &echo().to_string()]);
    let _client = Client::open(proxy.address());
    assert_rfc5424(&packet("session opened", |buffer| server.recv(buffer)), proxy.pid());
}

#[test]
fn legacy_syslog_is_the_older_format() {
    let (server, address) = udp();
    let proxy = Proxy::classic(&["--syslog", &address, "--legacy-syslog", "127.0.0.1:0", &echo().to_string()]);
    let _client = Client::open(proxy.address());
    let packet = packet("session opened", |buffer| server.recv(buffer));
    assert!(packet.starts_with(&format!("<14>websockify[{}]: session opened session=", proxy.pid())), "{packet}");
}

#[test]
fn a_warning_has_its_own_severity() {
    let (server, address) = udp();
    let proxy = Proxy::classic(&["--syslog", &address, "127.0.0.1:0", "127.0.0.1:1"]);
    Client::connect(proxy.address()).request("/", &[]);
    let packet = packet("refused: cannot connect to 127.0.0.1:1", |buffer| server.recv(buffer));
    assert!(packet.starts_with("<12>1 "), "{packet}");
}

#[test]
fn a_syslog_server_that_is_not_there_ends_the_start_with_71() {
    let ended = run(&["--syslog", "/nonexistent/log", "0", "127.0.0.1:1"]);
    assert_eq!(ended.code, 71);
    assert!(
        ended.stderr.starts_with("websockify: error: cannot reach the syslog server at /nonexistent/log: "),
        "{}",
        ended.stderr
    );
}
