//! Bytes go through, whole and in order, whatever the pieces.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use crate::support::client::{BINARY, CONTINUATION, Client, FIN, frame};
use crate::support::noise;
use crate::support::proxy::Proxy;
use crate::support::route::{Secure, toml};
use crate::support::target::{Target, echo};

#[test]
fn bytes_come_back_as_they_went() {
    let proxy = Proxy::classic(&["127.0.0.1:0", &echo().to_string()]);
    let mut client = Client::open(proxy.address());
    for length in [1, 125, 126, 127, 65535, 65536, 65537, 200_000] {
        let bytes = noise(length);
        client.send_binary(&bytes);
        assert_eq!(client.read_binary(length), bytes, "{length} bytes");
    }
}

/// A fragmented message there and an answer back, a byte at a time.
fn talk_in_single_bytes<S: Read + Write>(client: &mut Client<S>, server: &mut TcpStream) {
    for byte in [frame(BINARY, b"frag"), frame(CONTINUATION, b"men"), frame(FIN | CONTINUATION, b"ted")].concat() {
        client.send(&[byte]);
    }
    let mut got = [0; 10];
    server.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"fragmented");
    for byte in b"answer" {
        server.write_all(&[*byte]).unwrap();
    }
    assert_eq!(client.read_binary(6), b"answer");
}

#[test]
fn segments_of_one_byte_are_as_good_as_any() {
    let target = Target::listen();
    let proxy = Proxy::classic(&["127.0.0.1:0", &target.address().to_string()]);
    let mut client = Client::open(proxy.address());
    talk_in_single_bytes(&mut client, &mut target.accept());
}

#[test]
fn bytes_come_back_through_tls_as_they_went() {
    let secure = Secure::serve(echo(), "");
    let mut client = secure.open();
    for length in [1, 125, 126, 16_384, 65_535, 65_536, 65_537, 200_000] {
        let bytes = noise(length);
        client.send_binary(&bytes);
        assert_eq!(client.read_binary(length), bytes, "{length} bytes");
    }
}

/// Each byte is a TLS record of its own.
#[test]
fn tls_records_of_one_byte_are_as_good_as_any() {
    let target = Target::listen();
    let secure = Secure::serve(target.address(), "");
    let mut client = secure.open();
    talk_in_single_bytes(&mut client, &mut target.accept());
}

#[test]
fn each_route_leads_to_its_own_target() {
    let targets = [Target::listen(), Target::listen()];
    let [one, other] = [toml(targets[0].address(), ""), toml(targets[1].address(), "")];
    let proxy = Proxy::serve_files(&[("one", &one), ("other", &other)]);
    let lines = [proxy.log_line("route=one"), proxy.log_line("route=other")];
    for (number, line) in lines.iter().enumerate() {
        let address = line.split_once("listening on ").unwrap().1.split(' ').next().unwrap();
        let mut client = Client::open(address.parse().unwrap());
        client.send_binary(&[b'a', b'0' + u8::try_from(number).unwrap()]);
        let mut got = [0; 2];
        targets[number].accept().read_exact(&mut got).unwrap();
        assert_eq!(usize::from(got[1] - b'0'), number);
    }
}

#[test]
fn sessions_at_the_same_time_never_mix() {
    let secure = Secure::serve(echo(), "");
    thread::scope(|scope| {
        for number in 1..=8 {
            let secure = &secure;
            scope.spawn(move || {
                // The same bytes for nobody else: shifted by a session's number.
                let bytes: Vec<u8> = noise(20_000).iter().map(|byte| byte.wrapping_add(number)).collect();
                let mut plain = Client::open(secure.proxy.address());
                let mut encrypted = secure.open();
                for _ in 0..10 {
                    plain.send_binary(&bytes);
                    encrypted.send_binary(&bytes[1..]);
                    assert!(plain.read_binary(bytes.len()) == bytes, "session {number}");
                    assert!(encrypted.read_binary(bytes.len() - 1) == bytes[1..], "session {number}");
                }
            });
        }
    });
}
