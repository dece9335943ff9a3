//! What a route's bounds do to the clients beyond them, and a want of descriptors to those who come then.

use std::io::{ErrorKind, Read as _};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::client::{Client, upgrade_request};
use crate::support::eventually;
use crate::support::proxy::{BINARY, Proxy};
use crate::support::route::{serve, toml};
use crate::support::target::echo;

/// Proves that nothing comes for a while; that it comes later, the test shows.
fn assert_waits(client: &mut Client) {
    client.stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert_eq!(client.stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    client.stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
}

#[test]
fn exactly_as_many_connections_as_allowed_are_served_and_the_next_waits_its_turn() {
    let proxy = serve(echo(), "[limits]\nconnections = 3");
    let mut served: Vec<Client> = (0..3).map(|_| Client::open(proxy.address())).collect();
    served.iter_mut().for_each(Client::assert_echoes);
    assert_eq!(count(&proxy, "the route is full"), 0, "nobody waits yet");
    let mut waiting = Client::connect(proxy.address());
    waiting.send(upgrade_request("/", &[]).as_bytes());
    let mut behind = Client::connect(proxy.address());
    behind.send(upgrade_request("/", &[]).as_bytes());
    proxy.log_line("the route is full: clients wait");
    assert_waits(&mut waiting);
    served.iter_mut().for_each(Client::assert_echoes);

    drop(served.pop());
    assert_eq!(waiting.read_head().status, 101);
    waiting.assert_echoes();
    assert_waits(&mut behind);
    drop(served);
    assert_eq!(behind.read_head().status, 101);
    behind.assert_echoes();
}

#[test]
fn one_address_gets_no_more_connections_than_its_share() {
    let proxy = serve(echo(), "[limits]\nconnections-per-address = 2");
    let first = Client::open(proxy.address());
    let mut second = Client::open(proxy.address());
    let mut refused = Client::connect(proxy.address());
    assert_eq!(refused.request("/", &[]).status, 503);
    let mut browser = Client::connect(proxy.address());
    assert_eq!(browser.request("/", &[("Origin", "http://localhost")]).status, 101);
    let (code, reason) = browser.read_close();
    assert_eq!(code, 1013);
    assert!(reason.starts_with("Too many connections from your address (session "), "{reason}");
    browser.read_end();
    proxy.nth_log_line("refused: Too many connections from your address", 1);

    let mut other = Client::connect_from([127, 0, 0, 2], None, proxy.address());
    other.upgrade();
    other.assert_echoes();
    second.assert_echoes();
    drop(first);
    let mut next = eventually("a place is free again", || {
        let mut next = Client::connect(proxy.address());
        (next.request("/", &[]).status == 101).then_some(next)
    });
    next.assert_echoes();
}

/// Silent connections of one address would otherwise take all places, for the handshake's time each.
#[test]
fn one_address_cannot_take_the_places_of_all() {
    let proxy = serve(
        echo(),
        "[limits]\nconnections = 5\nconnections-per-address = 2\nhandshake-timeout = \"5s\"\nconnect-timeout = \"1s\"",
    );
    let mut silent: Vec<Client> =
        (0..16).map(|_| Client::connect_from([127, 0, 0, 9], None, proxy.address())).collect();
    let mut other = Client::connect(proxy.address());
    other.upgrade();
    other.assert_echoes();
    // The two of its share may be silent for the handshake's time, all others are gone before.
    let gone = |client: &mut Client| matches!(client.stream.read(&mut [0]), Ok(0) | Err(_));
    assert!(silent.iter_mut().skip(2).all(gone));
}

#[test]
fn a_head_beyond_the_bound_is_too_large() {
    let ask = |proxy: &Proxy, length: usize| {
        let mut client = Client::connect(proxy.address());
        client.send(upgrade_request("/", &[("X-Long", &"x".repeat(length))]).as_bytes());
        client.read_head().status
    };
    let small = serve(echo(), "[limits]\nrequest-size = \"8KiB\"");
    assert_eq!((ask(&small, 7_000), ask(&small, 8_192), ask(&small, 100_000)), (101, 431, 431));
    let default = serve(echo(), "");
    assert_eq!((ask(&default, 15_000), ask(&default, 17_000)), (101, 431));
}

/// A recording is a file beside the two sockets; the process has files of its own.
#[test]
fn too_few_descriptors_for_all_connections_are_told_at_the_start_and_recordings_count() {
    let start = |record: &str| {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(
            directory.path().join("test.toml"),
            toml(echo(), &format!("[limits]\nconnections = 20\n{record}")),
        )
        .unwrap();
        let serve = ["--nofile=300:300", BINARY, "serve", "--config", directory.path().to_str().unwrap()];
        Proxy::start(Command::new("prlimit").args(serve))
    };
    let recorded = start("[record]\ndirectory = \"recordings\"");
    let warning = recorded.log_line("fewer descriptors are allowed than limits.connections may need");
    assert!(warning.contains("WARN") && warning.contains("limit=300") && warning.contains("needed=316"), "{warning}");
    let plain = start("");
    Client::open(plain.address()).assert_echoes();
    assert_eq!(count(&plain, "fewer descriptors"), 0, "296 suffice");
}

/// A server that is out of descriptors finds its listener ready for ever: it must neither spin nor fill the log.
#[test]
fn a_want_of_descriptors_is_told_once_burns_nothing_and_is_over_when_it_is_over() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("test.toml"), toml(echo(), "[limits]\nhandshake-timeout = \"1h\"")).unwrap();
    let mut command = Command::new("prlimit");
    let proxy =
        Proxy::start(command.args(["--nofile=48:48", BINARY, "serve", "--config", directory.path().to_str().unwrap()]));
    let mut session = Client::open(proxy.address());
    for episode in 0..2 {
        let crowd: Vec<Client> = (0..80).map(|_| Client::connect(proxy.address())).collect();
        let line = proxy.nth_log_line("cannot accept on ", episode);
        assert!(line.contains("Too many open files"), "{line}");
        assert!(proxy.open_files() >= 48, "beside those that it was born with");

        let (cpu, start) = (proxy.cpu_time(), Instant::now());
        while start.elapsed() < Duration::from_secs(2) {
            session.assert_echoes(); // a session that is there already is not touched
            crate::support::pass(Duration::from_millis(200));
        }
        let burnt = proxy.cpu_time().saturating_sub(cpu);
        assert!(burnt < Duration::from_millis(300), "{burnt:?} of processor time in {:?}", start.elapsed());

        drop(crowd);
        eventually("new sessions are served, and the log says so", || {
            let mut client = Client::connect(proxy.address());
            // The first ones may still find no descriptor for their target.
            if client.request("/", &[]).status == 101 {
                client.assert_echoes();
            }
            (count(&proxy, "accepting again") > episode).then_some(())
        });
        assert_eq!(count(&proxy, "cannot accept on "), episode + 1);
    }
}

fn count(proxy: &Proxy, needle: &str) -> usize {
    proxy.log_lines().iter().filter(|line| line.contains(needle)).count()
}
