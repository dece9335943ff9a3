//! The end by a signal.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;

use nix::sys::signal::Signal;

use crate::support::client::{BINARY, CLOSE, Client, FIN, parse_close, upgrade_request};
use crate::support::proxy::Proxy;
use crate::support::target::{Target, echo};
use crate::support::{eventually, noise};

const SHUTTING_DOWN: (u16, &str) = (1001, "Server shutting down");

/// A route that allows its sessions so long for their end.
fn route(target: SocketAddr, drain_timeout: &str) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\ntarget = \"{target}\"\n\
         [limits]\ndrain-timeout = \"{drain_timeout}\"\nclose-timeout = \"1h\"\n"
    )
}

#[test]
fn a_stop_sends_close_1001_to_every_session_and_ends_with_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut proxy = Proxy::classic(&["127.0.0.1:0", &echo().to_string()]);
        let mut clients: Vec<_> = (0..3).map(|_| Client::open(proxy.address())).collect();
        proxy.signal(signal);
        for client in &mut clients {
            let (code, reason) = client.read_close();
            assert_eq!((code, reason.as_str()), SHUTTING_DOWN);
            client.send_close(1001, "");
            client.read_end();
        }
        assert_eq!(proxy.exit_code(), 0, "{signal}");
        proxy.nth_log_line("session ended: server stopped", 2);
        assert!(proxy.log_line("closed_by=").contains("closed_by=proxy"));
        proxy.log_line("INFO stopped");
    }
}

#[test]
fn a_stop_ends_an_unused_proxy_at_once() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut proxy = Proxy::classic(&["127.0.0.1:0", "127.0.0.1:1"]);
        proxy.signal(signal);
        assert_eq!(proxy.exit_code(), 0);
    }
}

#[test]
fn nobody_is_accepted_while_sessions_end() {
    let target = Target::listen();
    let proxy = Proxy::serve(&route(target.address(), "1h"));
    let address = proxy.address();
    let mut client = Client::open(address);
    proxy.signal(Signal::SIGTERM);
    assert_eq!(client.read_close().0, 1001); // and it is not answered, so the drain goes on
    eventually("new clients are refused", || TcpStream::connect(address).err());
}

#[test]
fn a_reload_during_the_drain_means_nothing() {
    let target = Target::listen();
    let mut proxy = Proxy::serve(&route(target.address(), "1h"));
    let mut client = Client::open(proxy.address());
    proxy.signal(Signal::SIGTERM);
    assert_eq!(client.read_close().0, 1001);
    proxy.signal(Signal::SIGHUP);
    client.send_close(1001, "");
    client.read_end();
    assert_eq!(proxy.exit_code(), 0);
    assert!(!proxy.log_lines().iter().any(|line| line.contains("reloaded") || line.contains("are cut")));
}

#[test]
fn a_second_stop_cuts_the_sessions() {
    let target = Target::listen();
    let mut proxy = Proxy::serve(&route(target.address(), "1h"));
    let mut client = Client::open(proxy.address());
    proxy.signal(Signal::SIGTERM);
    assert_eq!(client.read_close().0, 1001);
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.exit_code(), 0);
    proxy.log_line("told to stop again: sessions are cut");
}

#[test]
fn a_client_that_never_answers_is_cut_when_the_drain_timeout_is_over() {
    let target = Target::listen();
    // Time enough to read the Close: the reset that cuts takes away what was not read.
    let mut proxy = Proxy::serve(&route(target.address(), "2s"));
    let mut client = Client::open(proxy.address());
    proxy.signal(Signal::SIGTERM);
    assert_eq!(client.read_close().0, 1001);
    assert_eq!(proxy.exit_code(), 0);
    proxy.log_line("WARN sessions did not end in time and are cut connections=1");
}

#[test]
fn a_client_in_the_middle_of_its_request_does_not_hold_up_the_end() {
    let target = Target::listen();
    let mut proxy = Proxy::serve(&(route(target.address(), "1h") + "handshake-timeout = \"1h\"\n"));
    let mut client = Client::connect(proxy.address());
    client.send(&upgrade_request("/", &[]).as_bytes()[..20]);
    // Served behind it, so the first one is a connection by now.
    Client::open(proxy.address()).send_close(1000, "");
    drop(target.accept());
    proxy.log_line("session ended");
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.exit_code(), 0);
}

/// Fifty sessions in full flow: a Close in the middle of a frame, a lost byte, or a session that is cut would show.
#[test]
fn a_stop_under_load_ends_each_session_behind_a_whole_frame() {
    const SESSIONS: usize = 50;
    let pattern = Arc::new(noise(1 << 16));
    let target = flood(&pattern);
    // Time enough on a machine with too much to do: who takes how long is not the question here.
    let mut proxy = Proxy::serve(&route(target, "1m"));
    let flowing = Arc::new(Barrier::new(SESSIONS + 1));
    let sessions: Vec<_> = (0..SESSIONS)
        .map(|_| {
            let (address, flowing, pattern) = (proxy.address(), Arc::clone(&flowing), Arc::clone(&pattern));
            thread::spawn(move || read_flood(address, &flowing, &pattern))
        })
        .collect();
    flowing.wait();
    proxy.signal(Signal::SIGTERM);
    for session in sessions {
        let (code, reason) = session.join().unwrap();
        assert_eq!((code, reason.as_str()), SHUTTING_DOWN);
    }
    assert_eq!(proxy.exit_code(), 0);
    let lines = proxy.log_lines();
    assert_eq!(lines.iter().filter(|line| line.contains("session ended: server stopped")).count(), SESSIONS);
    assert!(!lines.iter().any(|line| line.contains("are cut") || line.contains("bytes_out_lost")), "{lines:?}");
}

/// Reads the pattern over and over; returns the Close that ends it.
fn read_flood(address: SocketAddr, flowing: &Barrier, pattern: &[u8]) -> (u16, String) {
    let mut client = Client::open(address);
    let mut expected = pattern.iter().cycle();
    let mut waits = true;
    loop {
        let frame = client.read_frame();
        if frame.first == FIN | CLOSE {
            client.send_close(1001, "");
            client.read_end();
            return parse_close(&frame.payload).unwrap();
        }
        assert_eq!(frame.first, FIN | BINARY);
        assert!(frame.payload.iter().eq(expected.by_ref().take(frame.payload.len())), "a byte is wrong");
        if std::mem::take(&mut waits) {
            flowing.wait();
        }
    }
}

/// A target that sends the pattern over and over to everybody.
fn flood(pattern: &Arc<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let pattern = Arc::clone(pattern);
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let pattern = Arc::clone(&pattern);
            thread::spawn(move || while stream.write_all(&pattern).is_ok() {});
        }
    });
    address
}

#[test]
fn the_target_sees_an_end_when_the_proxy_stops() {
    let target = Target::listen();
    let mut proxy = Proxy::classic(&["127.0.0.1:0", &target.address().to_string()]);
    let mut client = Client::open(proxy.address());
    let mut server = target.accept();
    client.send_binary(b"last words");
    proxy.signal(Signal::SIGTERM);
    assert_eq!(client.read_close().0, 1001);
    client.send_close(1001, "");
    let mut got = Vec::new();
    server.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"last words");
    assert_eq!(proxy.exit_code(), 0);
}
