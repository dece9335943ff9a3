//! Pings, clients that do not answer them, and sessions in which nothing moves.

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{Client, FIN, PING, PONG, frame};
use crate::support::pass;
use crate::support::proxy::Proxy;
use crate::support::route::serve;
use crate::support::target::{Target, echo};

#[test]
fn a_ping_comes_each_heartbeat_and_is_no_data() {
    let target = Target::listen();
    let proxy = Proxy::classic(&["--heartbeat=1", "127.0.0.1:0", &target.address().to_string()]);
    let mut client = Client::open(proxy.address());
    let mut server = target.accept();
    let mut last = Instant::now();
    for _ in 0..3 {
        let ping = client.read_frame();
        assert_eq!((ping.first, ping.payload.len()), (FIN | PING, 0));
        let interval = last.elapsed();
        assert!(interval > Duration::from_millis(800) && interval < Duration::from_secs(3), "{interval:?}");
        last = Instant::now();
        client.send(&frame(FIN | PONG, b""));
    }
    client.send_binary(b"only this");
    client.send_close(1000, "");
    let mut got = Vec::new();
    std::io::Read::read_to_end(&mut server, &mut got).unwrap();
    assert_eq!(got, b"only this");
}

/// Any byte is a sign of life, and so is reading on: a browser that is busy with a large picture answers late.
#[test]
fn only_a_client_that_gives_no_sign_of_life_after_a_ping_is_ended() {
    let target = Target::listen();
    let proxy = serve(target.address(), "[websocket]\nheartbeat = \"1s\"");
    let mut silent = Client::open(proxy.address());
    let silent_server = target.accept();
    let mut talking = Client::open(proxy.address());
    let mut talking_server = target.accept();
    let mut slow = Client::connect_from([127, 0, 0, 1], Some(8192), proxy.address());
    slow.upgrade();
    let mut slow_server = target.accept();
    let deadline = Instant::now() + Duration::from_secs(14);
    thread::scope(|scope| {
        scope.spawn(|| {
            let started = Instant::now();
            assert_eq!(silent.read_close(), (1001, "No answer to a ping".to_owned()));
            silent.read_end();
            let took = started.elapsed();
            assert!(took > Duration::from_secs(10) && took < Duration::from_secs(14), "{took:?}");
            drop(silent_server);
        });
        scope.spawn(|| {
            while Instant::now() < deadline {
                talking.send_binary(b"x");
                pass(Duration::from_millis(500));
            }
            talking.send_close(1000, "");
            std::io::copy(&mut talking_server, &mut std::io::sink()).unwrap();
        });
        scope.spawn(|| {
            while Instant::now() < deadline {
                slow.read_frame();
                pass(Duration::from_millis(100));
            }
            slow.stream.shutdown(std::net::Shutdown::Both).unwrap();
        });
        while slow_server.write_all(&[7; 65536]).is_ok() {}
    });
    let ended = |needle: &str| proxy.log_lines().iter().filter(|line| line.contains(needle)).count();
    proxy.nth_log_line("session ended: ", 1);
    assert_eq!(ended("session ended: client did not answer a ping"), 1);
    proxy.log_line("session ended: client closed with code 1000");
}

#[test]
fn a_session_in_which_nothing_moves_is_ended() {
    let proxy = serve(echo(), "[limits]\nidle-timeout = \"1s\"");
    let mut client = Client::open(proxy.address());
    for _ in 0..5 {
        client.send_binary(b"busy");
        assert_eq!(client.read_binary(4), b"busy");
        pass(Duration::from_millis(400));
    }
    // Pings keep nobody from being idle.
    client.send(&frame(FIN | PING, b"?"));
    assert_eq!(client.read_frame().first, FIN | PONG);
    assert_eq!(client.read_close(), (1001, "Idle for too long".to_owned()));
    client.send_close(1001, "");
    client.read_end();
    let line = proxy.log_line("session ended: idle for too long");
    assert!(line.contains(" closed_by=proxy "), "{line}");
}
