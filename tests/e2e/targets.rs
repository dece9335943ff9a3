//! Where sessions go.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::Command;

use crate::support::client::Client;
use crate::support::proxy::{BINARY, Proxy};
use crate::support::target::Target;

#[test]
fn an_ipv6_target_needs_no_brackets() {
    let target = Target::listen_on("[::1]:0");
    let port = target.address().port();
    for name in [format!("[::1]:{port}"), format!("::1:{port}")] {
        let proxy = Proxy::classic(&["127.0.0.1:0", &name]);
        let mut client = Client::open(proxy.address());
        client.send_binary(b"hello");
        let mut got = [0; 5];
        target.accept().read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hello", "{name}");
    }
}

#[test]
fn a_target_without_a_host_is_this_machine() {
    let target = Target::listen();
    let proxy = Proxy::classic(&["127.0.0.1:0", &format!(":{}", target.address().port())]);
    let _client = Client::open(proxy.address());
    target.accept();
}

/// The original tries the first address only, so `localhost:5900` fails where the service listens on the other family.
#[test]
fn every_address_of_a_name_is_tried() {
    let hosts = tempfile::NamedTempFile::new().unwrap();
    fs::write(hosts.path(), "127.0.0.1 many.test\n127.0.0.2 many.test\n127.0.0.3 many.test\n").unwrap();
    // Whichever address the resolver puts first, two of the three targets are reached only behind another.
    for ip in ["127.0.0.1", "127.0.0.2", "127.0.0.3"] {
        let target = Target::listen_on(&format!("{ip}:0"));
        let name = format!("many.test:{}", target.address().port());
        let proxy = Proxy::start(Command::new("unshare").args(["--map-root-user", "--mount", "sh", "-c"]).args([
            "mount --bind \"$0\" /etc/hosts && exec \"$@\"",
            hosts.path().to_str().unwrap(),
            BINARY,
            "127.0.0.1:0",
            &name,
        ]));
        let mut client = Client::open(proxy.address());
        client.send_binary(b"x");
        target.accept().read_exact(&mut [0]).unwrap();
    }
}

#[test]
fn a_name_that_is_unknown_is_told_as_such() {
    let name = format!("{}:1", "x".repeat(64)); // no label of a name is that long: nobody has to be asked
    let proxy = Proxy::classic(&["127.0.0.1:0", &name]);
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.request("/", &[]).status, 502);
    assert!(proxy.log_line("refused: cannot resolve 'xxx").contains(" WARN "));
}

#[test]
fn a_unix_target_is_reached_by_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let target = UnixListener::bind(directory.path().join("t.sock")).unwrap();
    // A relative path starts where the proxy was started.
    let proxy = Proxy::start(Command::new(BINARY).current_dir(directory.path()).args([
        "--unix-target",
        "t.sock",
        "127.0.0.1:0",
    ]));
    let mut client = Client::open(proxy.address());
    let (mut server, _) = target.accept().unwrap();
    server.write_all(b"hello").unwrap();
    assert_eq!(client.read_binary(5), b"hello");
}

#[test]
fn a_target_is_looked_for_anew_by_each_session() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sock");
    let proxy = Proxy::classic(&["--unix-target", path.to_str().unwrap(), "127.0.0.1:0"]);
    assert_eq!(Client::connect(proxy.address()).request("/", &[]).status, 502);
    let target = UnixListener::bind(&path).unwrap();
    let _client = Client::open(proxy.address());
    target.accept().unwrap();
}
