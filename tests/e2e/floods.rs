//! Peers that send without end and read nothing: each costs a bounded amount of memory, and nobody else's time.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{BINARY, Client, FIN, PING, PONG, frame, frame_header};
use crate::support::pass;
use crate::support::proxy::Proxy;
use crate::support::route::{Secure, serve};
use crate::support::target::{Target, echo};

const MIB: u64 = 1 << 20;
const FLOOD: Duration = Duration::from_secs(10);

/// Writes `bytes` over and over, as much as is taken until `deadline`: whether the second half of the time was spent
/// waiting for the other side.
fn flood<S: Write>(mut stream: S, bytes: &[u8], deadline: Instant) -> bool {
    let half = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
    let mut blocked = true;
    while Instant::now() < deadline {
        match stream.write(bytes) {
            Ok(_) => blocked &= Instant::now() < half,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
    }
    blocked
}

/// A blocked writer looks at the clock now and then.
fn impatient(stream: &TcpStream) {
    stream.set_write_timeout(Some(Duration::from_millis(250))).unwrap();
}

/// Asks on a session of its own until `deadline`: the slowest answer, and the most memory seen meanwhile.
fn echo_beside(proxy: &Proxy, client: &mut Client, server: &TcpStream, deadline: Instant) -> (Duration, u64) {
    let (mut slowest, mut memory) = (Duration::ZERO, 0);
    while Instant::now() < deadline {
        let asked = Instant::now();
        client.send_binary(b"there?");
        let mut question = [0; 6];
        std::io::Read::read_exact(&mut { server }, &mut question).unwrap();
        { server }.write_all(b"yes").unwrap();
        assert_eq!(client.read_binary(3), b"yes");
        slowest = slowest.max(asked.elapsed());
        memory = memory.max(proxy.private_memory());
        pass(Duration::from_millis(100));
    }
    (slowest, memory)
}

/// What `seen` is more than `before`, for each session less than a mebibyte.
#[track_caller]
fn assert_bounded(before: u64, seen: u64, sessions: usize) {
    let growth = seen.saturating_sub(before);
    assert!(growth < sessions as u64 * MIB, "{} KiB more for {sessions} sessions", growth / 1024);
}

#[test]
fn a_client_that_never_reads_costs_no_memory_and_delays_nobody() {
    let target = Target::listen();
    let secure = Secure::serve(target.address(), "");
    let mut asking = Client::open(secure.proxy.address());
    let answering = target.accept();
    let plain: Vec<_> = (0..4).map(|_| (Client::open(secure.proxy.address()), target.accept())).collect();
    let encrypted: Vec<_> = (0..2).map(|_| (secure.open(), target.accept())).collect();
    let before = secure.proxy.private_memory();
    let deadline = Instant::now() + FLOOD;
    let (slowest, memory) = thread::scope(|scope| {
        let servers = plain.iter().map(|(_, server)| server).chain(encrypted.iter().map(|(_, server)| server));
        let floods: Vec<_> = servers
            .map(|server| {
                impatient(server);
                scope.spawn(move || flood(server, &[7; 65536], deadline))
            })
            .collect();
        let seen = echo_beside(&secure.proxy, &mut asking, &answering, deadline);
        assert!(floods.into_iter().all(|flood| flood.join().unwrap()), "the targets were never made to wait");
        seen
    });
    assert_bounded(before, memory, plain.len() + encrypted.len());
    assert!(slowest < Duration::from_secs(2), "an answer took {slowest:?}");
}

#[test]
fn a_target_that_never_reads_costs_no_memory_and_delays_nobody() {
    let target = Target::listen();
    let secure = Secure::serve(target.address(), "");
    let mut asking = Client::open(secure.proxy.address());
    let answering = target.accept();
    let mut plain: Vec<_> = (0..4).map(|_| (Client::open(secure.proxy.address()), target.accept())).collect();
    let mut encrypted: Vec<_> = (0..2).map(|_| (secure.open(), target.accept())).collect();
    // One frame without end: a write that was cut short does no harm.
    let header = frame_header(FIN | BINARY, 1 << 40, [1, 2, 3, 4]);
    plain.iter_mut().for_each(|(client, _)| client.send(&header));
    encrypted.iter_mut().for_each(|(client, _)| client.send(&header));
    let before = secure.proxy.private_memory();
    let deadline = Instant::now() + FLOOD;
    let (slowest, memory) = thread::scope(|scope| {
        let mut floods = Vec::new();
        for (client, _) in &plain {
            impatient(&client.stream);
            floods.push(scope.spawn(move || flood(&client.stream, &[7; 65536], deadline)));
        }
        for (client, _) in &mut encrypted {
            impatient(&client.stream.sock);
            floods.push(scope.spawn(move || flood(&mut client.stream, &[7; 16384], deadline)));
        }
        let seen = echo_beside(&secure.proxy, &mut asking, &answering, deadline);
        assert!(floods.into_iter().all(|flood| flood.join().unwrap()), "the clients were never made to wait");
        seen
    });
    assert_bounded(before, memory, plain.len() + encrypted.len());
    assert!(slowest < Duration::from_secs(2), "an answer took {slowest:?}");
}

/// RFC 6455 section 5.5.3: of pings that could not be answered yet, only the latest needs an answer.
#[test]
fn a_flood_of_pings_costs_no_memory_and_the_last_is_answered() {
    let proxy = serve(echo(), "");
    let mut client = Client::connect_from([127, 0, 0, 1], Some(8192), proxy.address());
    client.upgrade();
    let before = proxy.private_memory();
    let pings = frame(FIN | PING, &[b'p'; 125]).repeat(500);
    let (mut sent, mut memory) = (0, before);
    // More than all buffers on the way can hold as pongs, so that the proxy is left with some.
    while sent < 40 * MIB {
        client.send(&pings);
        sent += pings.len() as u64;
        memory = memory.max(proxy.private_memory());
    }
    client.send(&frame(FIN | PING, b"the last"));
    client.send_binary(b"and now?");
    let mut received = 0;
    let last = loop {
        let pong = client.read_frame();
        assert_eq!(pong.first, FIN | PONG);
        received += pong.payload.len() as u64;
        if pong.payload != [b'p'; 125] {
            break pong.payload;
        }
    };
    assert_eq!(last, b"the last");
    assert_eq!(client.read_binary(8), b"and now?");
    assert!(received < sent / 2, "there was no flood: {received} of {sent} bytes were answered");
    assert_bounded(before, memory.max(proxy.private_memory()), 1);
}

#[test]
fn a_client_that_reads_gets_an_answer_to_each_ping() {
    let proxy = serve(echo(), "");
    let mut client = Client::open(proxy.address());
    for number in 0..2000_u32 {
        client.send(&frame(FIN | PING, &number.to_be_bytes()));
        let pong = client.read_frame();
        assert_eq!((pong.first, pong.payload.as_slice()), (FIN | PONG, &number.to_be_bytes()[..]));
    }
}

#[test]
fn a_ping_between_fragments_is_answered_before_what_comes_later() {
    let target = Target::listen();
    let proxy = serve(target.address(), "");
    let mut client = Client::open(proxy.address());
    let mut server = target.accept();
    client.send(&[frame(BINARY, b"frag"), frame(FIN | PING, b"between"), frame(FIN, b"ment")].concat());
    let mut got = [0; 8];
    std::io::Read::read_exact(&mut server, &mut got).unwrap();
    assert_eq!(&got, b"fragment");
    server.write_all(b"answer").unwrap();
    let pong = client.read_frame();
    assert_eq!((pong.first, pong.payload.as_slice()), (FIN | PONG, &b"between"[..]));
    assert_eq!(client.read_binary(6), b"answer");
}
