//! When the proxy ends by itself.

use std::fs;
use std::net::TcpStream;

use nix::sys::signal::Signal;

use crate::support::client::{Client, FIN, PING, PONG, frame, upgrade_request};
use crate::support::eventually;
use crate::support::proxy::Proxy;
use crate::support::target::{Target, echo};
use crate::support::web::get;

#[test]
fn run_once_ends_with_0_after_the_first_session() {
    let mut proxy = Proxy::classic(&["--run-once", "127.0.0.1:0", &echo().to_string()]);
    let mut client = Client::open(proxy.address());
    client.send_binary(b"hello");
    assert_eq!(client.read_binary(5), b"hello");
    client.send_close(1000, "");
    assert_eq!(client.read_close().0, 1000);
    assert_eq!(proxy.exit_code(), 0);
    proxy.log_line("exiting due to --run-once");
}

#[test]
fn run_once_counts_sessions_and_nothing_else() {
    let web = tempfile::tempdir().unwrap();
    fs::write(web.path().join("index.html"), "page").unwrap();
    let target = Target::listen();
    let mut proxy = Proxy::classic(&[
        "--run-once",
        "--web",
        web.path().to_str().unwrap(),
        "127.0.0.1:0",
        &target.address().to_string(),
    ]);
    let address = proxy.address();
    assert_eq!(get(address, "/").body, "page");
    let mut outdated = Client::connect(address);
    outdated.send(upgrade_request("/", &[]).replace("Version: 13", "Version: 1").as_bytes());
    assert_eq!(outdated.read_head().status, 426);
    drop(TcpStream::connect(address).unwrap());
    let client = Client::open(address);
    assert!(proxy.is_running());
    drop(client);
    drop(target.accept());
    assert_eq!(proxy.exit_code(), 0);
}

#[test]
fn timeout_stops_accepting_and_waits_for_the_running_session() {
    let mut proxy = Proxy::classic(&["--timeout", "1", "127.0.0.1:0", &echo().to_string()]);
    let address = proxy.address();
    let mut client = Client::open(address);
    proxy.log_line("listener exit due to --timeout");
    eventually("new clients are refused", || TcpStream::connect(address).err());
    client.send_binary(b"still here");
    assert_eq!(client.read_binary(10), b"still here");
    client.send_close(1000, "");
    assert_eq!(client.read_close().0, 1000);
    assert_eq!(proxy.exit_code(), 0);
}

#[test]
fn a_stop_ends_the_waiting_for_the_last_session() {
    let mut proxy = Proxy::classic(&["--timeout", "1", "127.0.0.1:0", &echo().to_string()]);
    let mut client = Client::open(proxy.address());
    proxy.log_line("waiting for the last session to end");
    proxy.signal(Signal::SIGTERM);
    assert_eq!(client.read_close().0, 1001);
    client.send_close(1001, "");
    assert_eq!(proxy.exit_code(), 0);
}

#[test]
fn timeout_ends_an_unused_proxy_with_0() {
    let mut proxy = Proxy::classic(&["--timeout=1", "127.0.0.1:0", "127.0.0.1:1"]);
    assert_eq!(proxy.exit_code(), 0);
    proxy.log_line("listener exit due to --timeout");
}

#[test]
fn idle_timeout_counts_only_time_without_a_connection() {
    let mut proxy = Proxy::classic(&["--idle-timeout", "1", "--heartbeat", "1", "127.0.0.1:0", &echo().to_string()]);
    let mut client = Client::open(proxy.address());
    // Pings tell the time: more than the limit has passed when the second one comes.
    for _ in 0..2 {
        assert_eq!(client.read_frame().first, FIN | PING);
        client.send(&frame(FIN | PONG, b""));
    }
    assert!(proxy.is_running());
    client.send_close(1000, "");
    client.read_to_close();
    assert_eq!(proxy.exit_code(), 0);
    proxy.log_line("listener exit due to --idle-timeout");
}

#[test]
fn zero_seconds_switch_a_timeout_off() {
    let mut proxy = Proxy::classic(&[
        "--timeout",
        "0",
        "--idle-timeout",
        "0",
        "--heartbeat",
        "0",
        "127.0.0.1:0",
        &echo().to_string(),
    ]);
    let mut client = Client::open(proxy.address());
    client.send_binary(b"hello");
    assert_eq!(client.read_frame().payload, b"hello", "and no ping before it");
    assert!(proxy.is_running());
}
