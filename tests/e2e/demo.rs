//! `demo`: the first command of the README.

use std::io::BufRead as _;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::support::client::Client;
use crate::support::command::run;
use crate::support::proxy::{BINARY, Proxy};
use crate::support::web::get;

/// A demo, and the address that it printed.
fn start() -> (Proxy, SocketAddr) {
    let mut proxy = Proxy::start(Command::new(BINARY).args(["demo", "127.0.0.1:0"]).stdout(Stdio::piped()));
    let mut line = String::new();
    proxy.stdout().read_line(&mut line).unwrap();
    let address = line.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap().parse().unwrap();
    (proxy, address)
}

/// A session in the mode that its first line chooses.
fn session(address: SocketAddr, mode: &str) -> Client {
    let mut client = Client::open(address);
    client.send_binary(format!("{mode}\n").as_bytes());
    client
}

fn read_until(client: &mut Client, needle: &str) {
    let mut text = String::new();
    while !text.contains(needle) {
        text += &String::from_utf8(client.read_frame().payload).unwrap();
    }
}

#[test]
fn the_demo_prints_where_it_is_and_ends_as_any_proxy_does() {
    let (mut proxy, address) = start();
    assert_eq!(address, proxy.address());
    proxy.signal(Signal::SIGINT);
    assert_eq!(proxy.exit_code(), 0);
}

#[test]
fn the_demos_page_comes_from_the_program_itself() {
    let (_proxy, address) = start();
    let page = get(address, "/");
    assert_eq!(page.head.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.header("content-security-policy").contains("default-src 'self'"));
    for part in ["/demo.js", "/style.css", "/favicon.svg"] {
        assert!(page.body.contains(&part[1..]), "the page uses {part}");
        assert_eq!(get(address, part).head.status, 200);
    }
    assert_eq!(get(address, "/missing").head.status, 404);
}

#[test]
fn the_demos_target_talks_and_answers_what_is_typed() {
    let (_proxy, address) = start();
    let mut client = session(address, "talk");
    read_until(&mut client, "say Hello.");
    client.send_binary(b"anybody there?\n");
    read_until(&mut client, "echo anybody there?\n");
}

#[test]
fn the_demos_target_echoes_and_floods() {
    let (_proxy, address) = start();
    let mut echo = session(address, "echo");
    echo.send_binary(b"ping");
    assert_eq!(echo.read_binary(4), b"ping");
    let mut flood = session(address, "flood");
    let mut seen = 0;
    while seen < 100_000 {
        seen += flood.read_frame().payload.len();
    }
}

#[test]
fn a_demo_whose_port_is_taken_ends_with_71() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = run(&["demo", &address]);
    assert_eq!((ended.code, ended.stdout.as_str()), (71, ""));
    assert!(ended.stderr.contains(&format!("cannot listen on {address}: Address already in use")), "{}", ended.stderr);
}
