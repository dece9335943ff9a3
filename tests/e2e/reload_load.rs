//! Reloads while clients come.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nix::sys::signal::Signal;

use crate::support::client::Client;
use crate::support::proxy::Proxy;

/// A target that says its letter to everybody.
fn announce(letter: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::io::Write::write_all(&mut stream, &[letter]).unwrap();
            thread::spawn(move || wait_for_end(&stream));
        }
    });
    address
}

fn wait_for_end(mut stream: &TcpStream) {
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

/// The letter that a new session gets.
fn letter(address: SocketAddr) -> u8 {
    let mut client = Client::open(address);
    let letter = client.read_binary(1)[0];
    client.send_close(1000, "");
    client.read_close();
    letter
}

#[test]
fn no_client_is_refused_or_misled_during_reloads() {
    const RELOADS: usize = 20;
    let targets = [announce(b'A'), announce(b'B')];
    let toml = |target: SocketAddr| format!("listen = \"127.0.0.1:0\"\ntarget = \"{target}\"\n");
    let proxy = Proxy::serve(&toml(targets[0]));
    let address = proxy.address();
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let letter = letter(address); // which fails when it is refused or cut
                    assert!(b"AB".contains(&letter));
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let ended = scope.spawn(|| {
            for round in 0..RELOADS {
                let target = (round + 1) % 2;
                proxy.write_route("test", &toml(targets[target]));
                proxy.signal(Signal::SIGHUP);
                proxy.nth_log_line("configuration reloaded", round);
                assert_eq!(letter(address), b"AB"[target], "after reload {round}");
            }
        });
        let ended = ended.join();
        over.store(true, Ordering::Relaxed);
        ended.unwrap();
    });
    assert!(served.into_inner() >= RELOADS, "clients came all the time");
    let lines = proxy.log_lines();
    assert_eq!(lines.iter().filter(|line| line.contains("listening on ")).count(), 1, "and one socket took them all");
    assert!(!lines.iter().any(|line| line.contains("refused") || line.contains("NOT reloaded")), "{lines:?}");
}
