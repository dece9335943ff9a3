//! Certificates that are renewed while the proxy runs.

use std::fs;
use std::net::SocketAddr;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::proxy::Proxy;
use crate::support::target::echo;
use crate::support::tls::SelfSigned;

fn start() -> (Proxy, SocketAddr, SelfSigned, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let made = SelfSigned::in_directory(directory.path());
    let (cert, key) = (made.certificate.to_str().unwrap(), made.key.to_str().unwrap());
    let proxy = Proxy::classic(&["--cert", cert, "--key", key, "127.0.0.1:0", &echo().to_string()]);
    let address = proxy.address();
    assert!(made.is_served(address));
    (proxy, address, made, directory)
}

#[test]
fn a_renewed_certificate_is_served_without_a_reload() {
    let (proxy, address, old, directory) = start();
    let mut running = old.connect(address);
    running.upgrade();
    let renewed = SelfSigned::unwritten(directory.path());
    renewed.install();
    eventually("the renewed certificate is served", || renewed.is_served(address).then_some(()));
    assert!(!old.is_served(address));
    proxy.log_line("certificate changed: new connections get the new one");
    running.send_binary(b"still here");
    assert_eq!(running.read_binary(10), b"still here");
}

#[test]
fn a_broken_renewal_keeps_the_old_certificate_and_is_told() {
    let (proxy, address, old, _directory) = start();
    fs::write(&old.certificate, "no certificate at all").unwrap();
    eventually("the broken certificate is looked at", || {
        assert!(old.is_served(address));
        proxy.log_lines().into_iter().find(|line| line.contains("not usable: the old one stays"))
    });
    let told = proxy.log_line("certificate changed, but the new one is not usable");
    assert!(told.contains(" WARN ") && told.contains("no certificate in "), "{told}");
    assert!(old.is_served(address));
    old.install();
    assert!(old.is_served(address));
}

#[test]
fn sighup_is_harmless_to_a_classic_command_line() {
    let (mut proxy, address, old, _directory) = start();
    let mut running = old.connect(address);
    running.upgrade();
    proxy.signal(Signal::SIGHUP);
    proxy.log_line("SIGHUP: there is no file to read again");
    running.send_binary(b"still here");
    assert_eq!(running.read_binary(10), b"still here");
    assert!(old.is_served(address) && proxy.is_running());
}

#[test]
fn a_stop_reaches_tls_clients_too() {
    let (mut proxy, address, made, _directory) = start();
    let mut client = made.connect(address);
    client.upgrade();
    proxy.signal(Signal::SIGTERM);
    let (code, reason) = client.read_close();
    assert_eq!((code, reason.as_str()), (1001, "Server shutting down"));
    client.send_close(1001, "");
    client.read_end(); // with TLS's own word for it, or this fails
    assert_eq!(proxy.exit_code(), 0);
}
