//! `--inetd`: the socket is standard input.

use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::client::Client;
use crate::support::command::{outcome, run};
use crate::support::proxy::{BINARY, Proxy};
use crate::support::target::{Target, echo};

fn inetd(input: impl Into<OwnedFd>, target: &str) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["--inetd", target]).stdin(input.into());
    command
}

#[test]
fn a_listening_socket_is_accepted_from() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut proxy = Proxy::start(&mut inetd(listener, &echo().to_string()));
    assert_eq!(proxy.address(), address);
    for _ in 0..2 {
        let mut client = Client::open(address);
        client.send_binary(b"hello");
        assert_eq!(client.read_binary(5), b"hello");
    }
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.exit_code(), 0);
}

#[test]
fn a_listening_unix_socket_is_accepted_from_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let mut proxy = Proxy::start(&mut inetd(listener, &echo().to_string()));
    let mut client = Client { stream: UnixStream::connect(&path).unwrap() };
    client.upgrade();
    client.send_binary(b"hello");
    assert_eq!(client.read_binary(5), b"hello");
    drop(client);
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.exit_code(), 0);
    assert!(path.exists(), "it is not the proxy's");
}

/// The original fails with a connected socket in an endless loop.
#[test]
fn a_connected_socket_is_one_session() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Client::connect(listener.local_addr().unwrap());
    let (accepted, _) = listener.accept().unwrap();
    let mut proxy = Proxy::spawn(&mut inetd(accepted, &echo().to_string()));
    client.upgrade();
    client.send_binary(b"hello");
    assert_eq!(client.read_binary(5), b"hello");
    client.send_close(1000, "");
    client.read_close();
    assert_eq!(proxy.exit_code(), 0);
    let name = format!("client={}", client.stream.local_addr().unwrap());
    assert!(proxy.log_line("session opened").contains(&name));
}

/// It has no listener, and so nobody whose drain timeout could be asked for but its own route's.
#[test]
fn a_connected_client_has_time_to_answer_a_stop() {
    let (here, there) = UnixStream::pair().unwrap();
    let mut proxy = Proxy::spawn(&mut inetd(there, &echo().to_string()));
    let mut client = Client { stream: here };
    client.upgrade();
    proxy.signal(Signal::SIGTERM);
    assert_eq!(client.read_close().0, 1001);
    // Not answered for as long as another program takes: only a second word may cut it so soon.
    assert_eq!(run(&["--version"]).code, 0);
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.exit_code(), 0);
    proxy.log_line("told to stop again: sessions are cut");
}

#[test]
fn a_connected_unix_socket_is_one_session() {
    let (here, there) = UnixStream::pair().unwrap();
    let target = Target::listen();
    let mut proxy = Proxy::spawn(&mut inetd(there, &target.address().to_string()));
    let mut client = Client { stream: here };
    client.upgrade();
    drop(target.accept());
    assert_eq!(client.read_close().0, 1000);
    client.send_close(1000, "");
    assert_eq!(proxy.exit_code(), 0);
}

/// inetd gives the socket as standard output and standard error too.
#[test]
fn the_log_does_not_go_into_the_clients_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Client::connect(listener.local_addr().unwrap());
    let (accepted, _) = listener.accept().unwrap();
    let mut command = inetd(accepted.try_clone().unwrap(), &echo().to_string());
    command.stdout(OwnedFd::from(accepted.try_clone().unwrap())).stderr(OwnedFd::from(accepted));
    let mut child = command.spawn().unwrap();
    drop(command);
    client.upgrade(); // the answer is the first thing that comes
    client.send_close(1000, "");
    assert_eq!(client.read_close().0, 1000);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_connected_client_that_says_nothing_and_leaves_ends_it_with_0() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let mut proxy = Proxy::spawn(&mut inetd(accepted, "127.0.0.1:1"));
    drop(client);
    assert_eq!(proxy.exit_code(), 0);
}

#[test]
fn standard_input_that_is_no_stream_socket_is_told() {
    let inputs: [OwnedFd; 2] =
        [File::open("/dev/null").unwrap().into(), UdpSocket::bind("127.0.0.1:0").unwrap().into()];
    for input in inputs {
        let ended = outcome(&mut inetd(input, "127.0.0.1:1"));
        assert_eq!(ended.code, 71);
        assert!(
            ended.stderr.ends_with(
                "websockify: error: cannot take standard input over: --inetd needs a stream socket from inetd or from \
                 StandardInput=socket: it is not a stream socket\n"
            ),
            "{}",
            ended.stderr
        );
    }
}
