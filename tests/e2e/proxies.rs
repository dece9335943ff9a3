//! Proxies in front of a route: whose word about a client's address counts, and what a target is told of it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;

use crate::support::client::{Client, upgrade_request};
use crate::support::proxy::Proxy;
use crate::support::route::{Secure, serve};
use crate::support::target::{Target, echo};

const PROXY: [u8; 4] = [127, 0, 0, 2];
const STRANGER: [u8; 4] = [127, 0, 0, 3];

/// A route that trusts [`PROXY`].
fn trusting(more: &str) -> Proxy {
    serve(echo(), &format!("[access]\ntrusted-proxies = [\"127.0.0.2\"]\n{more}"))
}

fn required(more: &str) -> Proxy {
    trusting(&format!("proxy-protocol = \"required\"\n{more}"))
}

fn line(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 198.51.100.1 56324 443\r\n").into_bytes()
}

/// A header of version 2 for a client of IPv4.
fn binary(command: u8, client: [u8; 4], values: &[u8]) -> Vec<u8> {
    let length = u16::try_from(12 + values.len()).unwrap().to_be_bytes();
    let addresses = [&client[..], &[198, 51, 100, 1], &56324_u16.to_be_bytes(), &443_u16.to_be_bytes()].concat();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, 0x11][..], &length, &addresses, values].concat()
}

/// A connection of `source` that begins with `header`.
fn connect(proxy: &Proxy, source: [u8; 4], header: &[u8]) -> Client {
    let mut client = Client::connect_from(source, None, proxy.address());
    client.send(header);
    client
}

/// That the connection ends without a byte.
fn assert_closed(mut client: Client) {
    let mut answer = Vec::new();
    let _ = client.stream.read_to_end(&mut answer); // an end or a reset, by how much was read
    assert_eq!(answer, b"");
}

#[test]
fn a_client_is_known_by_the_address_that_its_proxy_tells() {
    let proxy = required("");
    for (header, address) in [(line("192.0.2.7"), "192.0.2.7"), (binary(0x21, [192, 0, 2, 8], b""), "192.0.2.8")] {
        let mut client = connect(&proxy, PROXY, &header);
        client.upgrade();
        client.assert_echoes();
        let opened = proxy.log_line(&format!(" client={address}:56324 "));
        assert!(opened.contains("session opened") && opened.contains(" proxy=127.0.0.2:"), "{opened}");
        client.send_close(1000, "");
        client.read_close();
    }
    proxy.nth_log_line("session ended: client closed", 1);
    let ended = proxy.log_lines().into_iter().filter(|line| line.contains("session ended"));
    assert!(ended.clone().all(|line| line.contains(" client=192.0.2.")), "{:?}", ended.collect::<Vec<_>>());
}

#[test]
fn a_header_may_come_byte_by_byte_and_in_one_piece_with_the_request() {
    let proxy = required("");
    let binary = binary(0x21, [192, 0, 2, 7], b"\x04\x00\x03abc");
    for header in [line("192.0.2.7"), binary] {
        let mut slow = Client::connect_from(PROXY, None, proxy.address());
        for byte in &header {
            slow.send(&[*byte]);
        }
        slow.upgrade();
        let whole = [&header[..], upgrade_request("/", &[]).as_bytes()].concat();
        let mut quick = connect(&proxy, PROXY, &whole);
        assert_eq!(quick.read_head().status, 101);
        quick.assert_echoes();
    }
}

#[test]
fn tls_begins_behind_the_header() {
    let access = "[access]\ntrusted-proxies = \"127.0.0.2\"\nproxy-protocol = \"required\"";
    let route = Secure::serve(echo(), access);
    let mut stream = Client::connect_from(PROXY, None, route.proxy.address()).stream;
    stream.write_all(&binary(0x21, [192, 0, 2, 7], b"")).unwrap();
    let mut client = route.over(stream);
    client.upgrade();
    client.assert_echoes();
    assert!(route.proxy.log_line("session opened").contains(" client=192.0.2.7:56324 "));
}

#[test]
fn whoever_is_not_trusted_cannot_say_who_it_is() {
    let accepted = trusting("proxy-protocol = \"accepted\"");
    let off = serve(echo(), "");
    for proxy in [&accepted, &off] {
        for header in [line("192.0.2.7"), binary(0x21, [192, 0, 2, 7], b"")] {
            assert_closed(connect(proxy, STRANGER, &header));
        }
        let told = proxy.nth_log_line(" WARN refused: it begins with a PROXY protocol header", 1);
        assert!(told.contains(" client=127.0.0.3:"), "{told}");
        // Without one it is its own client.
        let mut client = connect(proxy, STRANGER, b"");
        client.upgrade();
        assert!(proxy.log_line("session opened").contains(" client=127.0.0.3:"));
    }
    let required = required("");
    assert_closed(connect(&required, STRANGER, b""));
    required.log_line("refused: not among access.trusted-proxies, and access.proxy-protocol is \"required\"");
}

#[test]
fn a_proxy_that_is_trusted_and_says_nothing_right_gets_no_session() {
    for mode in ["required", "accepted"] {
        let proxy = trusting(&format!("proxy-protocol = \"{mode}\""));
        assert_closed(connect(&proxy, PROXY, upgrade_request("/", &[]).as_bytes()));
        proxy.log_line(" WARN refused: a trusted proxy is not believed: it begins without a PROXY protocol header");
        assert_closed(connect(&proxy, PROXY, b"PROXY TCP4 192.0.2.7 lies 1 2\r\n"));
        proxy.log_line("header is not 'PROXY TCP4|TCP6 SOURCE DESTINATION PORT PORT': 'PROXY TCP4 192.0.2.7 lies 1 2'");
        let wrong_sum = binary(0x21, [192, 0, 2, 7], b"\x03\x00\x04\0\0\0\0");
        assert_closed(connect(&proxy, PROXY, &wrong_sum));
        proxy.log_line("the checksum of its PROXY protocol header is wrong");
    }
}

#[test]
fn a_proxy_that_does_not_say_whose_connection_it_is_does_not_keep_its_place() {
    let proxy = required("[limits]\nhandshake-timeout = \"1s\"\nconnect-timeout = \"500ms\"");
    for start in [&b""[..], b"PROXY TCP4 192.0.2.7", b"\r\n\r\n\0\r\nQUIT\n\x21\x11"] {
        assert_closed(connect(&proxy, PROXY, start));
    }
}

#[test]
fn a_proxy_s_health_checks_are_served_and_nobody_is_told() {
    let proxy = required("allow-clients = [\"192.0.2.0/24\"]");
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), binary(0x20, [0; 4], b"")] {
        drop(connect(&proxy, PROXY, &header));
        let client = connect(&proxy, PROXY, &header);
        client.shut();
        assert_closed(client);
        let mut asking = connect(&proxy, PROXY, &header);
        asking.send(b"GET / HTTP/1.1\r\nHost: check\r\n\r\n");
        assert_eq!(asking.read_head().status, 405, "no web root, and it lives");
    }
    drop(connect(&proxy, PROXY, b""));
    proxy.signal(Signal::SIGTERM);
    proxy.log_line(" INFO stopped");
    let lines = proxy.log_lines();
    let others = lines.iter().filter(|line| !["listening", "stopp"].iter().any(|word| line.contains(word)));
    assert_eq!(others.count(), 0, "{lines:?}");
}

#[test]
fn lists_and_bounds_are_about_the_real_address() {
    let lists = "allow-clients = [\"192.0.2.0/24\"]\ndeny-clients = [\"192.0.2.66\"]";
    let proxy = required(&format!("{lists}\n[limits]\nconnections-per-address = 1"));
    let mut first = connect(&proxy, PROXY, &line("192.0.2.7"));
    first.upgrade();
    let mut second = connect(&proxy, PROXY, &line("192.0.2.7"));
    assert_eq!(second.request("/", &[]).status, 503);
    proxy.log_line("refused: Too many connections from your address");
    let mut other = connect(&proxy, PROXY, &line("192.0.2.8"));
    other.upgrade();
    assert_closed(connect(&proxy, PROXY, &line("198.51.100.9")));
    assert!(proxy.log_line("refused: not among access.allow-clients").contains(" client=198.51.100.9:56324"));
    assert_closed(connect(&proxy, PROXY, &line("192.0.2.66")));
    assert!(proxy.log_line("refused: among access.deny-clients").contains(" client=192.0.2.66:56324"));
}

#[test]
fn who_is_denied_is_turned_away_also_without_a_proxy() {
    let proxy = serve(echo(), "[access]\nallow-clients = [\"127.0.0.0/8\"]\ndeny-clients = [\"127.0.0.3\"]");
    assert_closed(connect(&proxy, STRANGER, b""));
    assert!(proxy.log_line("refused: among access.deny-clients").contains(" client=127.0.0.3:"));
    connect(&proxy, PROXY, b"").upgrade();
}

fn forwarded(proxy: &Proxy, source: [u8; 4], headers: &[(&str, &str)]) -> u16 {
    let mut client = Client::connect_from(source, None, proxy.address());
    let status = client.request("/", headers).status;
    if status == 101 {
        client.assert_echoes();
    }
    status
}

#[test]
fn a_client_is_known_by_what_the_proxy_s_header_says() {
    let proxy = trusting("");
    // What a client has written itself stands to the left.
    assert_eq!(forwarded(&proxy, PROXY, &[("X-Forwarded-For", "10.0.0.1, 192.0.2.7")]), 101);
    let opened = proxy.log_line("session opened");
    assert!(opened.contains(" client=192.0.2.7 ") && opened.contains(" proxy=127.0.0.2:"), "{opened}");
    assert_eq!(forwarded(&proxy, STRANGER, &[("X-Forwarded-For", "192.0.2.8"), ("X-Real-IP", "192.0.2.8")]), 101);
    assert!(proxy.nth_log_line("session opened", 1).contains(" client=127.0.0.3:"));
    assert_eq!(forwarded(&proxy, PROXY, &[("Forwarded", "for=192.0.2.9")]), 101);
    assert!(proxy.nth_log_line("session opened", 2).contains(" client=127.0.0.2:"), "the other header");
    assert_eq!(forwarded(&proxy, PROXY, &[("X-Forwarded-For", "192.0.2.7, nonsense")]), 400);
    proxy.log_line(" WARN refused: the header X-Forwarded-For of a trusted proxy cannot be read");

    let proxy = trusting("forwarded-header = \"forwarded\"");
    assert_eq!(forwarded(&proxy, PROXY, &[("Forwarded", "for=10.0.0.1, for=\"[2001:db8::7]:4711\";proto=https")]), 101);
    assert!(proxy.log_line("session opened").contains(" client=[2001:db8::7]:4711 "));
}

#[test]
fn lists_and_bounds_are_about_the_address_that_a_header_tells() {
    let lists = "allow-clients = [\"192.0.2.0/24\"]\ndeny-clients = [\"192.0.2.66\"]";
    let proxy = trusting(&format!("{lists}\n[limits]\nconnections-per-address = 1"));
    let from = |address: &str| {
        let mut client = Client::connect_from(PROXY, None, proxy.address());
        let status = client.request("/", &[("X-Forwarded-For", address)]).status;
        (status, client)
    };
    let (status, _first) = from("192.0.2.7");
    assert_eq!(status, 101);
    assert_eq!(from("192.0.2.7").0, 503);
    assert_eq!(from("192.0.2.8").0, 101);
    assert_eq!(from("192.0.2.66").0, 403);
    assert_eq!(from("198.51.100.9").0, 403);
    assert!(proxy.log_line("refused: not among access.allow-clients").contains(" client=198.51.100.9"));
}

/// A connection of a proxy is many clients', one after the other.
#[test]
fn files_too_are_for_those_who_may_connect() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("page.txt"), "a page").unwrap();
    let lists = "[access]\ntrusted-proxies = [\"127.0.0.2\"]\nallow-clients = [\"192.0.2.0/24\"]\ndeny-clients = [\"192.0.2.66\"]";
    let proxy = serve(echo(), &format!("web = \"{}\"\n{lists}", directory.path().display()));
    let mut client = Client::connect_from(PROXY, None, proxy.address());
    for (address, status) in
        [("192.0.2.7", 200), ("192.0.2.66", 403), ("192.0.2.8", 200), ("198.51.100.9", 403), ("x", 400)]
    {
        let answer = client.fetch("GET", "/page.txt", &[("X-Forwarded-For", address)]);
        assert_eq!(answer.head.status, status, "{address}");
    }
}

#[test]
fn proxies_may_come_by_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("route.sock");
    let proxy = Proxy::serve(&format!(
        "listen = \"{}\"\ntarget = \"{}\"\n[access]\ntrusted-proxies = \"unix\"\nproxy-protocol = \"required\"\n",
        path.display(),
        echo()
    ));
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(&line("192.0.2.7")).unwrap();
    let mut client = Client { stream };
    client.upgrade();
    client.assert_echoes();
    let opened = proxy.log_line("session opened");
    assert!(opened.contains(" client=192.0.2.7:56324 ") && opened.contains(" proxy=unix "), "{opened}");
}

/// The addresses, and what follows them, of a header of version 2.
fn read_binary(stream: &mut TcpStream) -> (Vec<u8>, Vec<(u8, Vec<u8>)>) {
    let mut head = [0; 16];
    stream.read_exact(&mut head).unwrap();
    assert!(head.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11"), "{head:?}");
    let mut body = vec![0; usize::from(u16::from_be_bytes([head[14], head[15]]))];
    stream.read_exact(&mut body).unwrap();
    let (addresses, mut rest) = body.split_at(12);
    let mut values = Vec::new();
    while let [kind, high, low, more @ ..] = rest {
        let (value, behind) = more.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        values.push((*kind, value.to_vec()));
        rest = behind;
    }
    (addresses.to_vec(), values)
}

#[test]
fn a_target_is_told_whose_session_it_gets() {
    let target = Target::listen();
    let text = serve(target.address(), "[targets]\nsend-proxy = \"v1\"");
    let mut client = Client::connect_from([127, 0, 0, 9], None, text.address());
    client.upgrade();
    let source = client.stream.local_addr().unwrap();
    let mut server = target.accept();
    let expected = format!("PROXY TCP4 127.0.0.9 127.0.0.1 {} {}\r\n", source.port(), text.address().port());
    let mut told = vec![0; expected.len()];
    server.read_exact(&mut told).unwrap();
    assert_eq!(String::from_utf8(told).unwrap(), expected);
    client.send_binary(b"hello");
    let mut said = [0; 5];
    server.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"hello", "and then the session");

    let route = Secure::serve(target.address(), "[targets]\nsend-proxy = \"v2\"");
    let _client = route.open();
    let (addresses, values) = read_binary(&mut target.accept());
    assert_eq!(&addresses[..8], &[127, 0, 0, 1, 127, 0, 0, 1]);
    assert_eq!(addresses[10..], route.proxy.address().port().to_be_bytes());
    let value = |kind: u8| values.iter().find(|(found, _)| *found == kind).map(|(_, value)| value.clone());
    assert_eq!(value(0x02).as_deref(), Some(&b"localhost"[..]), "the name that was asked for by TLS");
    let id = String::from_utf8(value(0x05).unwrap()).unwrap();
    assert!(route.proxy.log_line("session opened").contains(&format!(" session={id} ")), "{id}");
    let ssl = value(0x20).unwrap();
    assert_eq!(ssl[..5], [1, 0, 0, 0, 1], "by TLS, and without a certificate");
    assert!(ssl.windows(10).any(|part| part == b"\x21\0\x07TLSv1.3"), "{ssl:?}");
}

#[test]
fn what_came_by_a_proxy_is_passed_on_to_the_target() {
    let target = Target::listen();
    let access = "[access]\ntrusted-proxies = \"127.0.0.2\"\nproxy-protocol = \"required\"";
    let proxy = serve(target.address(), &format!("[targets]\nsend-proxy = \"v2\"\n{access}"));
    let mut client = connect(&proxy, PROXY, &binary(0x21, [192, 0, 2, 7], b""));
    client.upgrade();
    let (addresses, _) = read_binary(&mut target.accept());
    let (source, destination): (SocketAddr, SocketAddr) =
        ("192.0.2.7:56324".parse().unwrap(), "198.51.100.1:443".parse().unwrap());
    let mut expected = vec![192, 0, 2, 7, 198, 51, 100, 1];
    expected.extend(source.port().to_be_bytes());
    expected.extend(destination.port().to_be_bytes());
    assert_eq!(addresses, expected);
}
