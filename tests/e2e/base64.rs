//! Base64 on the frames of RFC 6455, for clients that offer nothing else; their library decodes each message by itself.

use std::io::{Read, Write};

use crate::support::client::{BINARY, CONTINUATION, Client, FIN, TEXT, frame, upgrade_request};
use crate::support::hixie::{decode, encode};
use crate::support::noise;
use crate::support::proxy::Proxy;
use crate::support::route::{Secure, serve};
use crate::support::target::{Target, echo};

const OFFER: [(&str, &str); 1] = [("Sec-WebSocket-Protocol", "base64")];

fn open(proxy: &Proxy) -> Client {
    let mut client = Client::connect(proxy.address());
    agree(&mut client);
    client
}

fn agree<S: Read + Write>(client: &mut Client<S>) {
    let head = client.request("/", &OFFER);
    assert_eq!(head.status, 101, "{}", head.text);
    assert!(head.text.contains("\r\nSec-WebSocket-Protocol: base64\r\n"), "{}", head.text);
}

/// Reads text messages, each decoded by itself, until so many bytes have come.
fn read<S: Read + Write>(client: &mut Client<S>, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let frame = client.read_frame();
        assert_eq!(frame.first, FIN | TEXT);
        bytes.extend(decode(&frame.payload));
    }
    assert_eq!(bytes.len(), length);
    bytes
}

fn text(bytes: &[u8]) -> Vec<u8> {
    frame(FIN | TEXT, encode(bytes).as_bytes())
}

fn echo_eight_mib<S: Read + Write>(client: &mut Client<S>) {
    let bytes = noise(8 << 20);
    let mut rest = bytes.as_slice();
    for size in (1..).map(|turn| turn * 7919 % 60_000 + 1) {
        let (message, more) = rest.split_at(size.min(rest.len()));
        client.send(&text(message));
        assert!(read(client, message.len()) == message, "at {}", bytes.len() - rest.len());
        rest = more;
        if rest.is_empty() {
            return;
        }
    }
}

#[test]
fn eight_mib_come_back_plain_and_encrypted() {
    let secure = Secure::serve(echo(), "[websocket]\nheartbeat = \"off\"");
    echo_eight_mib(&mut open(&secure.proxy));
    let mut encrypted = secure.connect();
    agree(&mut encrypted);
    echo_eight_mib(&mut encrypted);
}

#[test]
fn it_may_come_in_text_and_in_binary_messages() {
    let proxy = serve(echo(), "");
    let mut client = open(&proxy);
    client.send(&text(b"text"));
    assert_eq!(read(&mut client, 4), b"text");
    client.send(&frame(FIN | BINARY, encode(b"binary").as_bytes()));
    assert_eq!(read(&mut client, 6), b"binary");
    proxy.log_line(" websocket_version=13 encoding=base64");
}

#[test]
fn it_may_be_cut_into_fragments_and_messages_anywhere() {
    let proxy = serve(echo(), "");
    let mut client = open(&proxy);
    let pieces = [(TEXT, "c"), (CONTINUATION, ""), (CONTINUATION, "HV6e"), (FIN | CONTINUATION, "mxlc")];
    for (first, piece) in pieces.into_iter().chain([(FIN | BINARY, "w="), (FIN | TEXT, "="), (FIN | TEXT, "IQ==")]) {
        client.send(&frame(first, piece.as_bytes()));
    }
    assert_eq!(read(&mut client, 8), b"puzzles!");
}

#[test]
fn the_first_200_bytes_may_be_cut_anywhere() {
    let proxy = serve(echo(), "");
    let bytes = noise(40);
    let head = upgrade_request("/", &OFFER);
    let all = [head.as_bytes(), &text(&bytes[..1]), &text(&bytes[1..39]), &text(&bytes[39..])].concat();
    for cut in (1..200).chain(head.len()..all.len()) {
        let mut client = Client::connect(proxy.address());
        client.send(&all[..cut]);
        client.send(&all[cut..]);
        assert_eq!(client.read_head().status, 101);
        assert_eq!(read(&mut client, 40), bytes, "cut at {cut}");
    }
}

#[test]
fn what_is_no_base64_ends_the_session_with_1007_behind_what_was() {
    for (wrong, reason) in [
        ("QUJD QUJD", "Invalid base64: byte 0x20"),
        ("QUJD-_", "Invalid base64: byte 0x2d"),
        ("QUJDQQ==QQ==", "Invalid base64: padding not at the end of a message"),
        ("QUJD=", "Invalid base64: padding not at the end of a message"),
    ] {
        let target = Target::listen();
        let proxy = serve(target.address(), "");
        let mut client = open(&proxy);
        client.send(&frame(FIN | TEXT, wrong.as_bytes()));
        assert_eq!(client.read_close(), (1007, reason.to_owned()));
        let mut got = Vec::new();
        target.accept().read_to_end(&mut got).unwrap();
        assert!(got.starts_with(b"ABC"), "{wrong}: {got:?}");
    }
}

#[test]
fn the_route_s_text_mode_does_not_concern_it() {
    for mode in ["refuse", "accept", "reply"] {
        let proxy = serve(echo(), &format!("[websocket]\ntext = \"{mode}\""));
        let mut client = open(&proxy);
        client.send(&text(b"\xff\xfe"));
        assert_eq!(read(&mut client, 2), b"\xff\xfe");
    }
}
