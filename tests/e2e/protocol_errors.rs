//! A client that breaks the protocol gets one Close that says how, and then the end of the connection: not a reset,
//! which would take the Close away.

use std::io::{Read, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::client::{BINARY, CLOSE, CONTINUATION, Client, FIN, PING, TEXT, frame};
use crate::support::route::{Secure, serve};
use crate::support::target::{Target, echo};

/// Everything that is wrong, with the code and the reason that answer it.
fn faults() -> Vec<(Vec<u8>, u16, &'static str)> {
    let masked = |first: u8, length: &[u8]| [&[first], length, &[0; 4][..]].concat();
    vec![
        (frame(FIN | TEXT, b"hello"), 1003, "Unsupported: Text frames are not supported"),
        (frame(TEXT, b"hel"), 1003, "Unsupported: Text frames are not supported"),
        (b"\x82\x05hello".to_vec(), 1002, "Frame not masked"),
        (frame(0xC0 | BINARY, b"x"), 1002, "Reserved bits set"),
        (frame(0x90 | BINARY, b"x"), 1002, "Reserved bits set"),
        (frame(FIN | 0x3, b"x"), 1002, "Unknown opcode 0x03"),
        (frame(FIN | 0xB, b"x"), 1002, "Unknown opcode 0x0b"),
        (frame(FIN | CONTINUATION, b"x"), 1002, "Unexpected continuation frame"),
        ([frame(BINARY, b"x"), frame(FIN | BINARY, b"y")].concat(), 1002, "Unexpected new frame"),
        (frame(PING, b"x"), 1002, "Fragmented control frame"),
        (frame(FIN | PING, &[b'x'; 126]), 1002, "Control frame of more than 125 bytes"),
        (masked(FIN | BINARY, b"\xFE\x00\x05"), 1002, "Frame length not minimally encoded"),
        (masked(FIN | BINARY, b"\xFF\0\0\0\0\0\0\xFF\xFF"), 1002, "Frame length not minimally encoded"),
        (masked(FIN | BINARY, b"\xFF\x80\0\0\0\0\0\0\0"), 1002, "Frame length of 64 bits"),
        (frame(FIN | CLOSE, b"\x03"), 1002, "Close payload of one byte"),
        (frame(FIN | CLOSE, &1005_u16.to_be_bytes()), 1002, "Invalid close code 1005"),
        (frame(FIN | CLOSE, &999_u16.to_be_bytes()), 1002, "Invalid close code 999"),
        (frame(FIN | CLOSE, b"\x03\xE8\xFF\xFE"), 1007, "Invalid UTF-8 in close"),
    ]
}

#[test]
fn each_fault_gets_one_close_with_its_code_and_then_the_end() {
    let proxy = serve(echo(), "");
    for (number, (bytes, code, reason)) in faults().into_iter().enumerate() {
        let mut client = Client::open(proxy.address());
        client.send(&bytes);
        assert_eq!(client.read_close(), (code, reason.to_owned()));
        client.read_end();
        drop(client);
        let line = proxy.nth_log_line("session ended: ", number);
        assert!(line.contains(&format!("session ended: client broke the protocol: {reason}")), "{line}");
        assert!(line.contains(" closed_by=proxy "), "{line}");
    }
}

#[test]
fn what_came_before_the_fault_arrives_and_what_came_behind_it_does_not() {
    let target = Target::listen();
    let proxy = serve(target.address(), "");
    let mut client = Client::open(proxy.address());
    client.send(&[frame(FIN | BINARY, b"good"), frame(FIN | 0x3, b"bad"), frame(FIN | BINARY, b"late")].concat());
    let mut got = Vec::new();
    target.accept().read_to_end(&mut got).unwrap();
    assert_eq!(got, b"good");
    assert_eq!(client.read_close().0, 1002);
    client.read_end();
}

/// A socket that is closed with unread bytes in it sends a reset, and a reset overtakes the Close.
#[test]
fn a_flood_behind_the_fault_does_not_take_the_close_away() {
    let secure = Secure::serve(echo(), "");
    let mut client = Client::open(secure.proxy.address());
    let done = AtomicBool::new(false);
    let mut writer = client.stream.try_clone().unwrap();
    thread::scope(|scope| {
        writer.write_all(b"\x82\x05not masked").unwrap();
        let flood =
            scope.spawn(|| while !done.load(Ordering::Relaxed) && writer.write_all(&[0x82; 16 * 1024]).is_ok() {});
        assert_eq!(client.read_close(), (1002, "Frame not masked".to_owned()));
        client.read_end();
        done.store(true, Ordering::Relaxed);
        flood.join().unwrap();
    });

    let mut encrypted = secure.open();
    encrypted.send(b"\x82\x05not masked");
    for _ in 0..64 {
        encrypted.send(&[0x82; 16 * 1024]);
    }
    assert_eq!(encrypted.read_close(), (1002, "Frame not masked".to_owned()));
    encrypted.read_end();
}

/// Nobody may keep a session by flooding it after its end.
#[test]
fn a_flood_behind_the_fault_is_cut_after_a_while() {
    let proxy = serve(echo(), "");
    let mut client = Client::open(proxy.address());
    client.send(b"\x82\x05not masked");
    while client.stream.write_all(&[0x82; 16 * 1024]).is_ok() {}
    proxy.log_line("session ended: client broke the protocol");
}
