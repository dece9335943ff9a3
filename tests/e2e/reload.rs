//! SIGHUP: the routes are read again.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use nix::sys::signal::Signal;

use crate::support::client::{Client, upgrade_request};
use crate::support::eventually;
use crate::support::proxy::Proxy;
use crate::support::target::Target;

const RELOADED: &str = "configuration reloaded: new connections use it, running sessions keep theirs";
const NOT_RELOADED: &str = "ERROR configuration NOT reloaded: the old one stays in force";

fn toml(listen: &str, target: &Target) -> String {
    format!("listen = \"{listen}\"\ntarget = \"{}\"\n", target.address())
}

fn reload(proxy: &Proxy) {
    proxy.signal(Signal::SIGHUP);
    proxy.log_line(RELOADED);
}

/// A session and its target's end of it.
fn open(address: SocketAddr, target: &Target) -> (Client, TcpStream) {
    let client = Client::open(address);
    let server = target.accept();
    (client, server)
}

/// That bytes go both ways.
fn assert_alive((client, server): &mut (Client, TcpStream)) {
    client.send_binary(b"ping");
    let mut got = [0; 4];
    server.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"ping");
    server.write_all(b"pong").unwrap();
    assert_eq!(client.read_binary(4), b"pong");
}

fn refused(address: SocketAddr) {
    eventually("nobody listens there any more", || TcpStream::connect(address).err());
}

#[test]
fn new_sessions_go_to_the_new_target_and_running_ones_keep_theirs() {
    let (old, new) = (Target::listen(), Target::listen());
    let proxy = Proxy::serve(&toml("127.0.0.1:0", &old));
    let mut running = open(proxy.address(), &old);
    proxy.write_route("test", &toml("127.0.0.1:0", &new));
    reload(&proxy);
    assert_alive(&mut open(proxy.address(), &new));
    assert_alive(&mut running);
}

#[test]
fn a_broken_file_keeps_the_old_configuration_and_is_told() {
    let target = Target::listen();
    let proxy = Proxy::serve(&toml("127.0.0.1:0", &target));
    let mut running = open(proxy.address(), &target);
    proxy.write_route("test", "listen = \"127.0.0.1:0\"\ntarget = 5\n");
    proxy.signal(Signal::SIGHUP);
    proxy.log_line(NOT_RELOADED);
    assert!(proxy.log_line("test.toml:2:10: ").contains(" ERROR "));
    assert_alive(&mut running);
    assert_alive(&mut open(proxy.address(), &target));
}

#[test]
fn a_reload_that_cannot_bind_changes_nothing_at_all() {
    let (old, new) = (Target::listen(), Target::listen());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::serve(&toml("127.0.0.1:0", &old));
    // The good one comes first, so that half of the work is done when the bad one fails.
    proxy.write_route("another", &toml("127.0.0.2:0", &new));
    proxy.write_route("test", &toml("127.0.0.1:0", &new));
    proxy.write_route("wrong", &toml(&taken.local_addr().unwrap().to_string(), &new));
    proxy.signal(Signal::SIGHUP);
    proxy.log_line(NOT_RELOADED);
    proxy.log_line("Address already in use");
    assert_alive(&mut open(proxy.address(), &old));
    assert_eq!(proxy.addresses().len(), 1);
}

#[test]
fn an_added_route_is_served_and_a_removed_one_is_not() {
    let (one, other) = (Target::listen(), Target::listen());
    let proxy = Proxy::serve_files(&[("one", &toml("127.0.0.1:0", &one))]);
    let first = proxy.address();
    let mut running = open(first, &one);
    proxy.write_route("other", &toml("127.0.0.2:0", &other));
    proxy.remove_route("one");
    reload(&proxy);
    assert_alive(&mut open(proxy.addresses()[1], &other));
    proxy.log_line("no longer listening on 127.0.0.1:0");
    refused(first);
    assert_alive(&mut running);
}

#[test]
fn a_changed_address_is_listened_on_in_place_of_the_old_one() {
    let target = Target::listen();
    let proxy = Proxy::serve(&toml("127.0.0.1:0", &target));
    let old = proxy.address();
    let mut running = open(old, &target);
    proxy.write_route("test", &toml("127.0.0.2:0", &target));
    reload(&proxy);
    let new = proxy.addresses()[1];
    assert_eq!(new.ip().to_string(), "127.0.0.2");
    assert_alive(&mut open(new, &target));
    refused(old);
    assert_alive(&mut running);
}

/// A listener belongs to its address: nobody is refused while it changes hands.
#[test]
fn an_address_may_move_from_one_route_to_another() {
    let (one, other) = (Target::listen(), Target::listen());
    let proxy = Proxy::serve_files(&[("one", &toml("127.0.0.1:0", &one)), ("other", &toml("127.0.0.2:0", &other))]);
    proxy.nth_log_line("listening on", 1);
    let addresses = proxy.addresses();
    proxy.write_route("one", &toml("127.0.0.2:0", &one));
    proxy.write_route("other", &toml("127.0.0.1:0", &other));
    reload(&proxy);
    assert_alive(&mut open(addresses[0], &other));
    assert_alive(&mut open(addresses[1], &one));
    assert_eq!(proxy.addresses(), addresses, "nothing was bound anew");
}

#[test]
fn new_limits_and_new_files_are_for_new_connections() {
    let target = Target::listen();
    let proxy = Proxy::serve(&toml("127.0.0.1:0", &target));
    let _running = open(proxy.address(), &target);
    let limited = toml("127.0.0.1:0", &target) + "web = \".\"\n[limits]\nconnections-per-address = 1\n";
    proxy.write_route("test", &limited);
    reload(&proxy);
    let mut first = Client::connect(proxy.address());
    assert_eq!(first.fetch("GET", "/test.toml", &[]).body, limited);
    assert_eq!(Client::connect(proxy.address()).request("/", &[]).status, 503, "the first one is one already");
}

#[test]
fn a_raised_bound_lets_those_in_who_wait() {
    let target = Target::listen();
    let bounded = |connections: u32| toml("127.0.0.1:0", &target) + &format!("[limits]\nconnections = {connections}\n");
    let proxy = Proxy::serve(&bounded(1));
    let mut running = open(proxy.address(), &target);
    let mut waiting = Client::connect(proxy.address());
    waiting.send(upgrade_request("/", &[]).as_bytes());
    proxy.log_line("the route is full: clients wait");
    proxy.write_route("test", &bounded(2));
    reload(&proxy);
    assert_eq!(waiting.read_head().status, 101);
    assert_alive(&mut running);
}

#[test]
fn the_clients_of_a_full_route_are_served_by_the_one_that_takes_its_address() {
    let (full, other) = (Target::listen(), Target::listen());
    let proxy = Proxy::serve_files(&[("full", &(toml("127.0.0.1:0", &full) + "[limits]\nconnections = 1\n"))]);
    let mut running = open(proxy.address(), &full);
    let mut waiting = Client::connect(proxy.address());
    waiting.send(upgrade_request("/", &[]).as_bytes());
    proxy.log_line("the route is full: clients wait");
    proxy.write_route("other", &toml("127.0.0.1:0", &other));
    proxy.remove_route("full");
    reload(&proxy);
    assert_eq!(waiting.read_head().status, 101);
    other.accept();
    assert_alive(&mut running);
}

#[test]
fn the_connections_of_a_route_are_counted_on_over_a_reload() {
    let target = Target::listen();
    let bounded = toml("127.0.0.1:0", &target) + "[limits]\nconnections-per-address = 1\n";
    let proxy = Proxy::serve(&bounded);
    let mut running = open(proxy.address(), &target);
    reload(&proxy);
    assert_eq!(Client::connect(proxy.address()).request("/", &[]).status, 503);
    assert_alive(&mut running);
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_listener_is_made_narrower_and_wider_by_a_reload() {
    let target = Target::listen();
    let port = free_port();
    let (wide, narrow) = (format!("{port}"), format!("127.0.0.1:{port}"));
    let by_ipv6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port));
    let by_ipv4 = SocketAddr::from(([127, 0, 0, 1], port));
    let proxy = Proxy::serve(&toml(&wide, &target));
    let mut running = open(by_ipv6, &target);
    proxy.write_route("test", &toml(&narrow, &target));
    reload(&proxy);
    assert_alive(&mut open(by_ipv4, &target));
    refused(by_ipv6);
    assert_alive(&mut running);

    proxy.write_route("test", &toml(&wide, &target));
    proxy.signal(Signal::SIGHUP);
    proxy.nth_log_line(RELOADED, 1);
    assert_alive(&mut open(by_ipv6, &target));
    assert_alive(&mut open(by_ipv4, &target));
    assert_alive(&mut running);
}

#[test]
fn a_narrower_listener_beside_one_that_fails_leaves_the_wide_one() {
    let target = Target::listen();
    let port = free_port();
    let proxy = Proxy::serve(&toml(&port.to_string(), &target));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let both = format!("listen = [\"127.0.0.1:{port}\", \"{}\"]", taken.local_addr().unwrap());
    proxy.write_route("test", &format!("{both}\ntarget = \"{}\"", target.address()));
    proxy.signal(Signal::SIGHUP);
    proxy.log_line(NOT_RELOADED);
    for address in [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)), ([127, 0, 0, 1], port).into()] {
        assert_alive(&mut open(address, &target));
    }
}
