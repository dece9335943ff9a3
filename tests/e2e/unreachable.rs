//! Targets that cannot be reached, and who is told what about it.

use std::io::Read as _;
use std::time::{Duration, Instant};

use crate::support::client::{Client, upgrade_request};
use crate::support::route::{Full, Secure, refusing, serve};

const ORIGIN: &[(&str, &str)] = &[("Origin", "http://localhost:6080")];

/// The eight digits of "(session 0123abcd)", which the log must have too.
fn session_in(text: &str) -> &str {
    let (_, rest) = text.split_once("(session ").unwrap_or_else(|| panic!("no session in '{text}'"));
    let id = rest.split(')').next().unwrap();
    assert!(id.len() == 8 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{text}");
    id
}

/// A browser shows the status of a failed upgrade to nobody: only a Close frame reaches the page.
#[test]
fn a_browser_gets_a_close_with_the_reason_when_the_target_refuses() {
    let secure = Secure::serve(refusing(), "");
    let mut plain = Client::connect(secure.proxy.address());
    assert_eq!(plain.request("/", ORIGIN).status, 101);
    let (code, reason) = plain.read_close();
    plain.read_end();
    assert_eq!(code, 1011);
    assert_eq!(reason, format!("Failed to connect to downstream server (session {})", session_in(&reason)));
    let line = secure.proxy.log_line(&format!("session={}", session_in(&reason)));
    assert!(line.contains("refused: cannot connect to 127.0.0.1:"), "{line}");

    let mut encrypted = secure.connect();
    assert_eq!(encrypted.request("/", ORIGIN).status, 101);
    assert_eq!(encrypted.read_close().0, 1011);
    encrypted.read_end();
}

#[test]
fn others_get_502_when_the_target_refuses() {
    let proxy = serve(refusing(), "");
    let mut client = Client::connect(proxy.address());
    client.send(upgrade_request("/", &[]).as_bytes());
    let mut answer = String::new();
    client.stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(body, format!("Failed to connect to downstream server (session {})\n", session_in(body)));
    proxy.log_line(&format!("session={}", session_in(body)));
}

#[test]
fn a_target_that_never_answers_is_given_up_after_the_connect_timeout() {
    let full = Full::listen();
    let proxy = serve(full.address, "[limits]\nhandshake-timeout = \"15s\"\nconnect-timeout = \"700ms\"");
    let started = Instant::now();
    let mut browser = Client::connect(proxy.address());
    let mut other = Client::connect(proxy.address());
    browser.send(upgrade_request("/", ORIGIN).as_bytes());
    assert_eq!(other.request("/", &[]).status, 504);
    assert_eq!(browser.read_head().status, 101);
    assert_eq!(browser.read_close().0, 1011);
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(700) && took < Duration::from_secs(8), "{took:?}");
    proxy.log_line("refused: no answer from 127.0.0.1:");
}

/// A client that has gone away must not keep a session half open: the target would wait for its first byte for ever.
#[test]
fn a_client_that_left_during_the_connect_leaves_nothing_behind() {
    let full = Full::listen();
    let proxy = serve(full.address, "[limits]\nhandshake-timeout = \"2s\"\nconnect-timeout = \"500ms\"");
    let before = proxy.open_files();
    let mut client = Client::connect(proxy.address());
    client.send(upgrade_request("/", &[]).as_bytes());
    client.reset();
    proxy.log_line("refused: no answer from 127.0.0.1:");
    crate::support::eventually("its descriptors are closed", || (proxy.open_files() == before).then_some(()));
}
