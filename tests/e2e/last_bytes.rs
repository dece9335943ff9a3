//! A target that sends much and goes at once: all of it arrives, then the Close.

use std::io::{Read, Write};
use std::os::fd::AsRawFd as _;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::socket::MsgFlags;

use crate::support::client::{Client, Head};
use crate::support::proxy::Proxy;
use crate::support::route::{Secure, serve};
use crate::support::target::Target;
use crate::support::{noise, pass};

/// Sends `bytes` and closes, from a thread that ends when the kernel has taken all.
fn burst(target: &Target, bytes: &[u8]) -> JoinHandle<()> {
    let (mut server, bytes) = (target.accept(), bytes.to_vec());
    thread::spawn(move || server.write_all(&bytes).unwrap())
}

#[track_caller]
fn assert_all_arrives<S: Read + Write>(client: &mut Client<S>, bytes: &[u8]) {
    let (got, close) = client.read_to_close();
    assert!(got == bytes, "{} of {} bytes, or others", got.len(), bytes.len());
    assert_eq!(close, Some((1000, "Target closed".to_owned())));
    client.send_close(1000, "");
    client.read_end();
}

#[test]
fn every_byte_before_the_targets_eof_arrives_and_then_the_close() {
    let target = Target::listen();
    let secure = Secure::serve(target.address(), "");
    for length in [1, 300_000, 6_000_000] {
        let bytes = noise(length);
        let mut plain = Client::open(secure.proxy.address());
        let burst_to_plain = burst(&target, &bytes);
        assert_all_arrives(&mut plain, &bytes);
        burst_to_plain.join().unwrap();

        let mut encrypted = secure.open();
        let burst_to_encrypted = burst(&target, &bytes);
        assert_all_arrives(&mut encrypted, &bytes);
        burst_to_encrypted.join().unwrap();
    }
}

/// As a telnet host does when its user interrupts a flood. The byte itself is not one of the stream's.
#[test]
fn urgent_data_in_a_flood_stops_nothing_and_hides_no_end() {
    let target = Target::listen();
    let proxy = serve(target.address(), "");
    for behind in [0, 1, 3_000_000] {
        let bytes = noise(8_000_000 + behind);
        let mut client = Client::open(proxy.address());
        let (mut server, sent) = (target.accept(), bytes.clone());
        let flood = thread::spawn(move || {
            let (before, after) = sent.split_at(8_000_000);
            server.write_all(before).unwrap();
            nix::sys::socket::send(server.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
            server.write_all(after).unwrap();
        });
        assert_all_arrives(&mut client, &bytes);
        flood.join().unwrap();
    }
}

/// The whole burst and the FIN are in the proxy's hands before its client reads the first byte.
#[test]
fn a_client_that_begins_to_read_after_the_target_has_gone_misses_nothing() {
    let target = Target::listen();
    let secure = Secure::serve(target.address(), "");
    let bytes = noise(300_000);
    let mut plain = Client::open(secure.proxy.address());
    burst(&target, &bytes).join().unwrap();
    let mut encrypted = secure.open();
    burst(&target, &bytes).join().unwrap();
    assert_all_arrives(&mut plain, &bytes);
    assert_all_arrives(&mut encrypted, &bytes);
}

/// The bound of an ending is for peers that do nothing; one that goes on reading, however slowly, gets it all.
#[test]
fn a_slow_client_gets_every_byte_though_it_takes_longer_than_an_ending_may() {
    let target = Target::listen();
    let proxy = serve(target.address(), "[limits]\nclose-timeout = \"500ms\"");
    let bytes = noise(8_000_000);
    let (mut client, _) = open_slowly(&proxy);
    let burst = burst(&target, &bytes);
    let started = Instant::now();
    let mut got = Vec::new();
    while got.len() < bytes.len() {
        // As slow whatever the frames are like: a large one is many pieces, and several small ones are one.
        let before = got.len() >> 16;
        got.extend(client.read_frame().payload);
        let pieces = u32::try_from((got.len() >> 16) - before).unwrap();
        pass(pieces * Duration::from_millis(20));
    }
    assert!(started.elapsed() > Duration::from_millis(1500), "not slow: {:?}", started.elapsed());
    assert!(got == bytes);
    assert_eq!(client.read_close(), (1000, "Target closed".to_owned()));
    burst.join().unwrap();
}

fn open_slowly(proxy: &Proxy) -> (Client, Head) {
    let mut client = Client::connect_from([127, 0, 0, 1], Some(8192), proxy.address());
    let head = client.upgrade();
    (client, head)
}
