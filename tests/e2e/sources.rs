//! Where the proxy listens.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::sys::signal::Signal;

use crate::support::client::Client;
use crate::support::command::run;
use crate::support::proxy::Proxy;
use crate::support::target::echo;

/// That bytes go through and come back.
fn assert_echoes(address: SocketAddr) {
    let mut client = Client::open(address);
    client.assert_echoes();
}

fn assert_echoes_at(path: &Path) {
    let mut client = Client { stream: UnixStream::connect(path).unwrap() };
    client.upgrade();
    client.assert_echoes();
}

#[test]
fn an_ipv4_source_is_listened_on_alone() {
    let proxy = Proxy::classic(&["127.0.0.2:0", &echo().to_string()]);
    let address = proxy.address();
    assert_eq!(address.ip().to_string(), "127.0.0.2");
    assert_echoes(address);
    // At 127.0.0.1 another test may have got the same port.
    assert!(std::net::TcpStream::connect(("127.0.0.9", address.port())).is_err());
}

#[test]
fn an_ipv6_source_needs_no_brackets() {
    for source in ["[::1]:0", "::1:0"] {
        let proxy = Proxy::classic(&[source, &echo().to_string()]);
        assert_eq!(proxy.address().ip().to_string(), "::1", "{source}");
        assert_echoes(proxy.address());
    }
}

#[test]
fn a_name_is_listened_on() {
    let proxy = Proxy::classic(&["localhost:0", &echo().to_string()]);
    for address in proxy.addresses() {
        assert!(address.ip().is_loopback());
        assert_echoes(address);
    }
}

#[test]
fn a_port_alone_takes_ipv4_and_ipv6_clients_and_shows_ipv4_as_such() {
    for options in [&[][..], &["-6"], &["--prefer-ipv6"]] {
        for source in ["0", ":0"] {
            let target = echo().to_string();
            let proxy = Proxy::classic(&[options, &[source, &target]].concat());
            let port = proxy.address().port();
            assert!(proxy.log_line("listening on").contains(&format!("[::]:{port}")));
            assert_echoes(([127, 0, 0, 1], port).into());
            assert_echoes(([0, 0, 0, 0, 0, 0, 0, 1_u16], port).into());
            for client in [" client=127.0.0.1:", " client=[::1]:"] {
                assert!(proxy.log_line(client).contains("session opened"));
            }
        }
    }
}

#[test]
fn a_port_that_is_taken_ends_the_start_with_71_and_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let outcome = run(&[&address, "127.0.0.1:1"]);
    assert_eq!(outcome.code, 71, "{}", outcome.stderr);
    let sentence = format!("websockify: error: cannot listen on {address}: Address already in use (os error 98)");
    assert_eq!(outcome.stderr.lines().last(), Some(sentence.as_str()));
    assert!(!outcome.stderr.contains("Usage:"));
}

#[test]
fn an_address_of_another_machine_ends_the_start_with_71() {
    let outcome = run(&["192.0.2.1:0", "127.0.0.1:1"]);
    assert_eq!(outcome.code, 71, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("cannot listen on 192.0.2.1:0: "), "{}", outcome.stderr);
}

#[test]
fn a_unix_socket_is_its_owners_alone_unless_told_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    for (options, mode) in
        [(&[][..], 0o600), (&["--unix-listen-mode", "660"], 0o660), (&["--unix-listen-mode=777"], 0o777)]
    {
        let path = directory.path().join(format!("{mode:o}.sock"));
        let target = echo().to_string();
        let _proxy = Proxy::classic(&[options, &["--unix-listen", path.to_str().unwrap(), &target]].concat());
        let metadata = fs::metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{options:?}");
        assert_echoes_at(&path);
    }
}

#[test]
fn a_unix_socket_is_removed_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.sock");
    let mut proxy = Proxy::classic(&["--unix-listen", path.to_str().unwrap(), "127.0.0.1:1"]);
    assert!(path.exists());
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.exit_code(), 0);
    assert!(!path.exists());
}

#[test]
fn a_stale_unix_socket_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.sock");
    let mut crashed = Proxy::classic(&["--unix-listen", path.to_str().unwrap(), "127.0.0.1:1"]);
    crashed.signal(Signal::SIGKILL);
    crashed.wait();
    assert!(fs::metadata(&path).unwrap().file_type().is_socket(), "what a killed process leaves behind");
    let _proxy = Proxy::classic(&["--unix-listen", path.to_str().unwrap(), &echo().to_string()]);
    assert_echoes_at(&path);
}

/// The original unlinks whatever is there first: a mistyped path has cost people files.
#[test]
fn a_regular_file_in_the_way_of_a_unix_socket_is_never_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("precious");
    fs::write(&path, "data").unwrap();
    let outcome = run(&["--unix-listen", path.to_str().unwrap(), "127.0.0.1:1"]);
    assert_eq!(outcome.code, 71);
    assert!(outcome.stderr.contains("a file that is not a socket is in the way"), "{}", outcome.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), "data");
}

#[test]
fn the_unix_socket_of_a_running_program_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.sock");
    let running = UnixListener::bind(&path).unwrap();
    let outcome = run(&["--unix-listen", path.to_str().unwrap(), "127.0.0.1:1"]);
    assert_eq!(outcome.code, 71);
    assert!(outcome.stderr.contains("the socket of a running program is in the way"), "{}", outcome.stderr);
    running.set_nonblocking(true).unwrap();
    while running.accept().is_ok() {} // the probe
    let _client = UnixStream::connect(&path).unwrap();
    running.accept().expect("its clients still find it");
}
