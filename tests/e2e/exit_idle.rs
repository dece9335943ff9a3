//! `exit-idle`: under socket activation a daemon ends when nobody is there, and comes back with the next client.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::client::{Client, FIN, PING, PONG, frame};
use crate::support::manager::Manager;
use crate::support::pass;
use crate::support::proxy::Proxy;
use crate::support::target::echo;

fn route(listen: &str, more: &str) -> String {
    format!("listen = \"{listen}\"\ntarget = \"{}\"\n{more}\n", echo())
}

fn vnc(more: &str) -> (Manager, SocketAddr) {
    let mut manager = Manager::new();
    let address = manager.listen("websockify@vnc.socket");
    manager.write("vnc", &route(&address.to_string(), more));
    (manager, address)
}

/// Connects, shakes hands, and gets an answer from the target.
fn visit(address: SocketAddr) {
    let mut client = Client::open(address);
    client.send_binary(b"hello");
    assert_eq!(client.read_binary(5), b"hello");
    client.send_close(1000, "");
    client.read_to_close();
}

#[test]
fn an_idle_daemon_says_so_and_ends_with_0_and_without_a_drain() {
    let (manager, address) = vnc("exit-idle = \"1s\"\n[limits]\ndrain-timeout = \"1h\"");
    let mut proxy = manager.spawn(&["vnc"]);
    visit(address);
    let told = manager.told_of("STOPPING=1");
    assert_eq!(told, "STOPPING=1\nSTATUS=idle: the next connection starts the daemon again\n");
    assert_eq!(proxy.exit_code(), 0);
    proxy.log_line("listener exit due to exit-idle");
}

#[test]
fn a_session_keeps_the_daemon() {
    let (manager, address) = vnc("exit-idle = \"1s\"\n[websocket]\nheartbeat = \"700ms\"");
    let mut proxy = manager.spawn(&["vnc"]);
    let mut client = Client::open(address);
    // Pings tell the time: more than the limit has passed when the second one comes.
    for _ in 0..2 {
        assert_eq!(client.read_frame().first, FIN | PING);
        client.send(&frame(FIN | PONG, b""));
    }
    assert!(proxy.is_running());
    drop(client);
    assert_eq!(proxy.exit_code(), 0);
}

/// Does what systemd does: starts the daemon when somebody waits and it is not there.
fn supervise(manager: &Manager, starts: &AtomicUsize, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        if !manager.has_client(Duration::from_millis(20)) {
            continue;
        }
        starts.fetch_add(1, Ordering::Relaxed);
        let mut proxy = manager.spawn(&["vnc"]);
        while proxy.is_running() && !done.load(Ordering::Relaxed) {
            thread::park_timeout(Duration::from_millis(1));
        }
        if !done.load(Ordering::Relaxed) {
            assert_eq!(proxy.exit_code(), 0);
        }
    }
}

/// Ends the supervisor also when the test fails.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn clients_that_come_as_it_ends_are_served_by_the_next_one() {
    let (manager, address) = vnc("exit-idle = \"1s\"");
    let (starts, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| supervise(&manager, &starts, &done));
        let _finish = Finish(&done);
        visit(address);
        for delay in [0, 50, 200, 500, 1000, 3000] {
            manager.told_of("STOPPING=1");
            pass(Duration::from_micros(delay)); // somewhere between that word and the end of the process
            let crowd: Vec<_> = (0..8).map(|_| scope.spawn(move || visit(address))).collect();
            for client in crowd {
                client.join().unwrap();
            }
        }
    });
    assert_eq!(starts.load(Ordering::Relaxed), 7);
}

#[test]
fn clients_that_come_around_the_moment_of_its_decision_are_served() {
    thread::scope(|scope| {
        for lane in 0..3 {
            scope.spawn(move || {
                let (manager, address) = vnc("exit-idle = \"1s\"");
                let (starts, done) = (AtomicUsize::new(0), AtomicBool::new(false));
                thread::scope(|scope| {
                    scope.spawn(|| supervise(&manager, &starts, &done));
                    let _finish = Finish(&done);
                    for round in 0..5 {
                        visit(address);
                        pass(Duration::from_micros(994_000 + 1000 * (3 * round + lane)));
                    }
                    visit(address);
                });
                assert!(starts.load(Ordering::Relaxed) >= 1);
            });
        }
    });
}

#[test]
fn a_reload_can_ask_for_it() {
    let (manager, address) = vnc("");
    let mut proxy = manager.spawn(&["vnc"]);
    manager.told_of("READY=1");
    manager.write("vnc", &route(&address.to_string(), "exit-idle = \"1s\""));
    proxy.signal(Signal::SIGHUP);
    assert_eq!(proxy.exit_code(), 0);
    proxy.log_line("listener exit due to exit-idle");
}

#[test]
fn a_route_that_does_not_ask_keeps_the_daemon_for_all() {
    let (mut manager, _) = vnc("exit-idle = \"1s\"");
    let other = manager.listen("websockify@other.socket");
    manager.write("other", &route(&other.to_string(), ""));
    let mut proxy = manager.spawn(&[]);
    manager.told_of("READY=1");
    pass(Duration::from_millis(1500));
    assert!(proxy.is_running());
    manager.write("other", &route(&other.to_string(), "exit-idle = \"1100ms\""));
    proxy.signal(Signal::SIGHUP);
    assert_eq!(proxy.exit_code(), 0);
}

/// What waits in it would start the daemon again at once, for ever.
#[test]
fn a_socket_that_cannot_be_used_keeps_the_daemon() {
    let (mut manager, _) = vnc("exit-idle = \"1s\"");
    manager.pass("websockify@vnc.socket", UdpSocket::bind("127.0.0.1:0").unwrap().into());
    let mut proxy = manager.spawn(&["vnc"]);
    manager.told_of("READY=1");
    pass(Duration::from_millis(1500));
    assert!(proxy.is_running());
}

#[test]
fn a_daemon_that_listens_by_itself_stays_and_says_why() {
    let mut proxy = Proxy::serve(&route("127.0.0.1:0", "exit-idle = \"1s\""));
    let warning = proxy.log_line("WARN exit-idle has no effect");
    assert!(warning.contains("systemctl enable --now websockify@test.socket"), "{warning}");
    pass(Duration::from_millis(1500));
    assert!(proxy.is_running());
}
