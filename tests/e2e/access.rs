//! Who may connect.

use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;

use crate::support::client::{Client, upgrade_request};
use crate::support::proxy::Proxy;
use crate::support::route::{serve, toml};
use crate::support::target::{Target, echo};

/// That a client which has not sent a byte is turned away without one.
fn assert_refused(proxy: &Proxy, source: [u8; 4], address: SocketAddr) {
    let mut client = Client::connect_from(source, None, address);
    let mut answer = Vec::new();
    client.stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"");
    let [a, b, c, d] = source;
    let refused = format!(" INFO refused: not among access.allow-clients route=test client={a}.{b}.{c}.{d}:");
    proxy.log_line(&refused);
}

fn assert_served(source: [u8; 4], address: SocketAddr) {
    let mut client = Client::connect_from(source, None, address);
    client.upgrade();
    client.send_binary(b"hello");
    assert_eq!(client.read_binary(5), b"hello");
}

#[test]
fn clients_from_elsewhere_are_turned_away_before_anything_is_read() {
    let proxy = serve(echo(), "access.allow-clients = [\"127.0.0.1\", \"127.1.0.0/16\"]");
    assert_served([127, 0, 0, 1], proxy.address());
    assert_served([127, 1, 255, 254], proxy.address());
    assert_refused(&proxy, [127, 0, 0, 2], proxy.address());
    assert_refused(&proxy, [127, 2, 0, 1], proxy.address());
    assert_served([127, 0, 0, 1], proxy.address());
}

#[test]
fn those_who_are_turned_away_take_nobody_s_place() {
    let more = "limits.connections = 1\naccess.allow-clients = [\"127.0.0.1\"]";
    let proxy = serve(echo(), more);
    for last in 2..10 {
        assert_refused(&proxy, [127, 0, 0, last], proxy.address());
    }
    assert_served([127, 0, 0, 1], proxy.address());
}

#[test]
fn a_reload_changes_who_may_connect_and_ends_no_session() {
    let target = echo();
    let proxy = Proxy::serve_files(&[("test", &toml(target, "access.allow-clients = [\"127.0.0.1\"]"))]);
    let address = proxy.address();
    let mut running = Client::open(address);
    proxy.write_route("test", &toml(target, "access.allow-clients = [\"127.0.0.2\"]"));
    proxy.signal(Signal::SIGHUP);
    proxy.log_line("configuration reloaded");
    assert_served([127, 0, 0, 2], address);
    assert_refused(&proxy, [127, 0, 0, 1], address);
    running.send_binary(b"still here");
    assert_eq!(running.read_binary(10), b"still here");
}

#[test]
fn a_unix_socket_s_permissions_decide_about_its_clients() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vnc.sock");
    let target = Target::listen();
    let _proxy = Proxy::serve(&format!(
        "listen = \"{}\"\ntarget = \"{}\"\naccess.allow-clients = [\"192.0.2.1\"]\n",
        path.display(),
        target.address()
    ));
    let mut client = Client { stream: UnixStream::connect(&path).unwrap() };
    client.upgrade();
}

/// Clients in the log, and how many of them.
fn logged(proxy: &Proxy, needle: &str) -> usize {
    proxy.log_lines().iter().filter(|line| line.contains(needle)).count()
}

#[test]
fn a_flood_of_those_who_may_not_come_is_logged_in_part() {
    let proxy = serve(echo(), "access.allow-clients = [\"127.0.0.9\"]");
    for _ in 0..200 {
        let mut client = Client::connect_from([127, 0, 0, 2], None, proxy.address());
        assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    }
    proxy.signal(Signal::SIGTERM);
    proxy.log_line(" INFO stopped"); // nothing comes behind it
    let count = logged(&proxy, "refused: not among access.allow-clients");
    assert!((20..=40).contains(&count), "{count}");
}

#[test]
fn a_flood_of_wrong_requests_is_logged_in_part() {
    let proxy = serve(echo(), "");
    for _ in 0..200 {
        let mut client = Client::connect(proxy.address());
        client.send(upgrade_request("/", &[]).replace("Version: 13", "Version: 1").as_bytes());
        assert_eq!(client.read_head().status, 426);
    }
    proxy.signal(Signal::SIGTERM);
    proxy.log_line(" INFO stopped");
    let count = logged(&proxy, " INFO refused: ");
    assert!((20..=40).contains(&count), "{count}");
}
