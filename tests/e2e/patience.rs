//! Clients that take their time before there is a session: each is cut at its deadline, and nobody waits for another.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::PATIENCE;
use crate::support::client::{Client, upgrade_request};
use crate::support::route::{Secure, serve};
use crate::support::target::echo;

const TIMEOUT: Duration = Duration::from_secs(1);
const LIMITS: &str = "[limits]\nhandshake-timeout = \"1s\"";

/// Sends a piece each 50 milliseconds, for ever, until the connection ends: how long that took.
fn trickle(mut stream: &TcpStream, mut pieces: impl Iterator<Item = u8>) -> Duration {
    let started = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    loop {
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return started.elapsed(),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return started.elapsed(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(_) => panic!("an answer to half a request"),
            Err(error) => panic!("{error}"),
        }
        assert!(started.elapsed() < PATIENCE, "it was never cut");
        if let Some(piece) = pieces.next() {
            let _ = stream.write_all(&[piece]); // the end is seen by the next read
        }
    }
}

#[track_caller]
fn assert_in_time(took: Duration) {
    assert!(took >= TIMEOUT - Duration::from_millis(100) && took < TIMEOUT * 6, "{took:?}");
}

#[test]
fn a_head_that_trickles_in_for_ever_is_cut_at_the_handshake_timeout() {
    let proxy = serve(echo(), LIMITS);
    let client = Client::connect(proxy.address());
    let head = b"GET / HTTP/1.1\r\nHost: test\r\nX-Slow: ".iter().copied();
    assert_in_time(trickle(&client.stream, head.chain(std::iter::repeat(b'a'))));
}

#[test]
fn a_silent_client_is_cut_at_the_handshake_timeout() {
    let proxy = serve(echo(), LIMITS);
    assert_in_time(trickle(&Client::connect(proxy.address()).stream, std::iter::empty()));
}

#[test]
fn a_tls_client_that_falls_silent_or_trickles_is_cut_too() {
    let secure = Secure::serve(echo(), LIMITS);
    let silent = Client::connect(secure.proxy.address());
    assert_in_time(trickle(&silent.stream, [0x16].into_iter()));
    let slow = Client::connect(secure.proxy.address());
    let hello = [0x16, 3, 1, 0x40, 0, 1, 0, 0x3F, 0xFC, 3, 3].into_iter();
    assert_in_time(trickle(&slow.stream, hello.chain(std::iter::repeat(7))));
}

#[test]
fn a_tls_client_that_never_asks_is_cut_too() {
    let secure = Secure::serve(echo(), LIMITS);
    let mut client = secure.connect();
    let started = Instant::now();
    assert!(matches!(client.stream.read(&mut [0]), Ok(0) | Err(_)));
    assert_in_time(started.elapsed());
}

#[test]
fn nobody_waits_for_a_silent_client() {
    let secure = Secure::serve(echo(), "[limits]\nhandshake-timeout = \"1h\"");
    let address = secure.proxy.address();
    let silent: Vec<Client> = (0..20).map(|_| Client::connect(address)).collect();
    let half: Vec<Client> = (0..20).map(|_| Client::connect(address)).collect();
    for (mut client, byte) in half.iter().map(|client| &client.stream).zip(b"\x16G".iter().cycle()) {
        client.write_all(&[*byte]).unwrap();
    }
    let started = Instant::now();
    for client in [&mut Client::open(address), &mut Client::open(address)] {
        client.send_binary(b"hello");
        assert_eq!(client.read_binary(5), b"hello");
    }
    secure.open();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    for client in silent.iter().chain(&half) {
        client.stream.set_nonblocking(true).unwrap();
        let kind = (&client.stream).read(&mut [0]).unwrap_err().kind();
        assert_eq!(kind, ErrorKind::WouldBlock, "they are all still there");
    }
}

#[test]
fn a_connection_that_was_served_and_asks_no_more_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("index.html"), "the page").unwrap();
    let toml = format!("web = \"{}\"\n{LIMITS}", directory.path().display());
    let proxy = serve(echo(), &toml);
    let mut client = Client::connect(proxy.address());
    client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.read_head().status, 200);
    client.stream.read_exact(&mut [0; 8]).unwrap();
    assert_in_time(trickle(&client.stream, std::iter::empty()));
}

/// The clock of the handshake is that of one request: a page that was open for a while can still open its session.
#[test]
fn each_request_of_a_connection_has_its_own_time() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("index.html"), "the page").unwrap();
    let toml = format!("web = \"{}\"\n{LIMITS}", directory.path().display());
    let proxy = serve(echo(), &toml);
    let mut client = Client::connect(proxy.address());
    let started = Instant::now();
    while started.elapsed() < TIMEOUT * 3 / 2 {
        client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.read_head().status, 200);
        client.stream.read_exact(&mut [0; 8]).unwrap();
        crate::support::pass(Duration::from_millis(300));
    }
    client.send(upgrade_request("/", &[]).as_bytes());
    assert_eq!(client.read_head().status, 101);
}
