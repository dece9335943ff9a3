//! TLS and plain on one port.

use std::fs;
use std::process::Command;

use crate::support::client::Client;
use crate::support::command::{outcome, run};
use crate::support::proxy::{BINARY, Proxy};
use crate::support::target::echo;
use crate::support::tls::{SelfSigned, answer_to_hello};
use crate::support::web::get;

#[test]
fn https_wss_http_and_ws_are_served_on_the_same_port() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("www")).unwrap();
    fs::write(directory.path().join("www/index.html"), "the page").unwrap();
    let made = SelfSigned::in_directory(directory.path());
    let proxy = Proxy::start(Command::new(BINARY).current_dir(directory.path()).args([
        "--cert",
        "cert.pem",
        "--key",
        "key.pem",
        "--web",
        "www",
        "127.0.0.1:0",
        &echo().to_string(),
    ]));
    let address = proxy.address();
    let mut wss = made.connect(address);
    wss.upgrade();
    let mut ws = Client::open(address);
    assert_eq!(made.connect(address).fetch("GET", "/", &[]).body, "the page");
    assert_eq!(get(address, "/").body, "the page");
    for round in 0..3 {
        let large = vec![round; 100_000];
        wss.send_binary(&large);
        ws.send_binary(&[round; 10]);
        assert_eq!(wss.read_binary(100_000), large);
        assert_eq!(ws.read_binary(10), [round; 10]);
    }
    let tls = |line: &String| line.contains("session opened") && line.contains("tls=true");
    let plain = |line: &String| line.contains("session opened") && line.contains("tls=false");
    let lines = proxy.log_lines();
    assert_eq!(
        (lines.iter().filter(|line| tls(line)).count(), lines.iter().filter(|line| plain(line)).count()),
        (1, 1)
    );
}

#[test]
fn the_key_may_be_in_the_certificates_file() {
    let directory = tempfile::tempdir().unwrap();
    let made = SelfSigned::unwritten(directory.path());
    // The original's default name, found where the proxy is started.
    fs::write(directory.path().join("self.pem"), made.both()).unwrap();
    let proxy =
        Proxy::start(Command::new(BINARY).current_dir(directory.path()).args(["127.0.0.1:0", &echo().to_string()]));
    let mut client = made.connect(proxy.address());
    client.upgrade();
    client.send_binary(b"hello");
    assert_eq!(client.read_binary(5), b"hello");
}

#[test]
fn ssl_only_tells_a_plain_client_what_to_use() {
    let directory = tempfile::tempdir().unwrap();
    let made = SelfSigned::in_directory(directory.path());
    let (cert, key) = (made.certificate.to_str().unwrap(), made.key.to_str().unwrap());
    let target = echo().to_string();
    let proxy = Proxy::classic(&["--ssl-only", "--cert", cert, "--key", key, "127.0.0.1:0", &target]);
    let mut plain = Client::connect(proxy.address());
    assert_eq!(plain.request("/", &[]).status, 400);
    let mut text = [0; 51];
    std::io::Read::read_exact(&mut plain.stream, &mut text).unwrap();
    assert_eq!(&text, b"This port speaks TLS only: use https:// or wss://\r\n");
    plain.read_end();
    made.connect(proxy.address()).upgrade();
}

#[test]
fn without_a_certificate_all_is_plain_and_the_log_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let proxy =
        Proxy::start(Command::new(BINARY).current_dir(directory.path()).args(["127.0.0.1:0", &echo().to_string()]));
    assert!(proxy.log_line("no TLS: there is no certificate ").ends_with("/self.pem"));
    Client::open(proxy.address());
}

#[test]
fn a_tls_client_of_a_plain_route_gets_an_alert() {
    let proxy = Proxy::classic(&["-v", "127.0.0.1:0", "127.0.0.1:1"]);
    assert_eq!(answer_to_hello(proxy.address()), [0x15, 3, 1, 0, 2, 2, 40], "a fatal handshake_failure");
    proxy.log_line("TLS connection, but this route has no certificate");
}

#[test]
fn ssl_only_without_a_certificate_is_a_usage_error() {
    let directory = tempfile::tempdir().unwrap();
    let ended = outcome(Command::new(BINARY).current_dir(directory.path()).args(["--ssl-only", "0", "127.0.0.1:1"]));
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("websockify: error: SSL only and "), "{}", ended.stderr);
}

#[test]
fn a_key_of_another_certificate_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let made = SelfSigned::in_directory(directory.path());
    let other = tempfile::tempdir().unwrap();
    let strange = SelfSigned::in_directory(other.path());
    let (cert, key) = (made.certificate.to_str().unwrap(), strange.key.to_str().unwrap());
    let ended = run(&["--cert", cert, "--key", key, "127.0.0.1:0", "127.0.0.1:1"]);
    assert_eq!(ended.code, 78, "{}", ended.stderr);
    assert!(ended.stderr.contains("does not belong to the first certificate in"), "{}", ended.stderr);
}
