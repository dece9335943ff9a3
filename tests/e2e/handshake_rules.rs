//! What of TLS is spoken: versions, suites, certificates by name, keys that are encrypted, tickets.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, HandshakeKind};

use crate::support::authority::{Authority, Issued, Kind, Visitor};
use crate::support::client::Client;
use crate::support::command::{outcome, run};
use crate::support::eventually;
use crate::support::proxy::{BINARY, Proxy};
use crate::support::target::echo;
use crate::support::tls::TlsStream;

fn toml(tls: &str) -> String {
    format!("listen = \"127.0.0.1:0\"\ntarget = \"{}\"\n[tls]\n{tls}\n", echo())
}

fn served(issued: &Issued) -> String {
    format!("certificate = \"{}\"\nkey = \"{}\"\n", issued.certificate.display(), issued.key.display())
}

fn leaf(client: &Client<TlsStream>) -> CertificateDer<'static> {
    client.stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

fn der(issued: &Issued) -> CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_file(&issued.certificate).unwrap()
}

#[test]
fn the_oldest_version_and_the_suites_are_the_routes() {
    let authority = Authority::root("root");
    let server = authority.issue(Kind::Ecdsa, "/CN=x", "DNS:localhost");
    let speak = |version| Visitor::with_versions(&authority.file(), None, &[version]);
    let rules = served(&server) + "min-version = \"1.3\"";
    let newest = Proxy::serve(&toml(&rules));
    speak(&TLS13).connect(newest.address()).unwrap();
    speak(&TLS12).connect(newest.address()).map(|_| ()).unwrap_err();

    let rules = served(&server) + "ciphers = \"ECDHE-ECDSA-CHACHA20-POLY1305:AES256-SHA\"";
    let one = Proxy::serve(&toml(&rules));
    let suite = |version, proxy: &Proxy| {
        let client = speak(version).connect(proxy.address()).unwrap();
        client.stream.conn.negotiated_cipher_suite().unwrap().suite()
    };
    assert_eq!(suite(&TLS12, &one), CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    // The server's order counts once it has said one; and suites of 1.3 may be named.
    let rules = served(&server) + "ciphers = \"ECDHE+AES128:ECDHE:TLS_CHACHA20_POLY1305_SHA256\"";
    let ordered = Proxy::serve(&toml(&rules));
    assert_eq!(suite(&TLS12, &ordered), CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
    assert_eq!(suite(&TLS13, &ordered), CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
}

#[test]
fn an_unknown_cipher_stops_the_start_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("self.pem"), "").unwrap();
    let ended = outcome(Command::new(BINARY).current_dir(directory.path()).args([
        "--ssl-ciphers=HIGH:!aNUL",
        "0",
        "127.0.0.1:1",
    ]));
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("'--ssl-ciphers': 'aNUL' is not a cipher suite"), "{}", ended.stderr);
}

#[test]
fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
    let authority = Authority::root("root");
    let first = authority.issue(Kind::Ecdsa, "/CN=first", "DNS:localhost");
    let lab = authority.issue(Kind::Rsa, "/CN=lab", "DNS:lab.example,DNS:*.lab.example");
    let other = authority.issue(Kind::Ed25519, "/CN=other", "DNS:other.example");
    let more = [&lab, &other].map(|issued| format!("[[tls.certificates]]\n{}", served(issued))).join("");
    let proxy = Proxy::serve(&toml(&(served(&first) + &more)));
    let visitor = Visitor::new(&authority.file(), None);
    for (name, expected) in
        [("localhost", &first), ("lab.example", &lab), ("vm7.lab.example", &lab), ("other.example", &other)]
    {
        let client = visitor.asking_for(name).connect(proxy.address()).unwrap();
        assert_eq!(leaf(&client), der(expected), "{name}");
    }
    // A name of nobody's: the first is served, and the client sees that it is another's.
    let error = visitor.asking_for("elsewhere.example").connect(proxy.address()).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[test]
fn an_encrypted_key_is_opened_by_its_passphrase() {
    let authority = Authority::root("root");
    let server = authority.issue(Kind::Rsa, "/CN=x", "DNS:localhost");
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let visitor = Visitor::new(&authority.file(), None);
    for form in ["pkcs8 -topk8 -v2 aes256", "rsa -traditional -aes128", "rsa -traditional -des3"] {
        let mut openssl = Command::new("openssl");
        openssl.args(form.split(' ')).args(["-passout", "pass:s3cret", "-out", &path("key.pem"), "-in"]);
        assert!(openssl.arg(&server.key).output().unwrap().status.success());
        let (cert, key, target) = (server.certificate.to_str().unwrap(), path("key.pem"), echo().to_string());
        let line = ["--cert", cert, "--key", &key, "127.0.0.1:0", &target];
        let proxy = Proxy::classic(&[&line[..], &["--key-password", "s3cret"]].concat());
        visitor.connect(proxy.address()).unwrap().upgrade();
        let wrong = run(&[&line[..], &["--key-password", "guessed"]].concat());
        assert_eq!(wrong.code, 78);
        assert!(wrong.stderr.contains("the passphrase does not open the private key in "), "{}", wrong.stderr);
        assert!(!wrong.stderr.contains("guessed"), "{}", wrong.stderr);
        assert!(run(&line).stderr.contains("is encrypted: name a file with its passphrase as tls.key-password"));
    }
    fs::write(path("password"), "s3cret\n").unwrap();
    let rules = format!(
        "certificate = \"{}\"\nkey = \"{}\"\nkey-password = \"{}\"",
        server.certificate.display(),
        path("key.pem"),
        path("password")
    );
    let proxy = Proxy::serve(&toml(&rules));
    visitor.connect(proxy.address()).unwrap().upgrade();
}

/// How the next connection's handshake is done, by a client that has the tickets of those before.
fn next_handshake(visitor: &Visitor, address: SocketAddr) -> HandshakeKind {
    let mut client = visitor.connect(address).unwrap();
    client.upgrade(); // and reads the tickets
    client.stream.conn.handshake_kind().unwrap()
}

#[test]
fn sessions_of_tls_are_resumed_until_a_reload_changes_the_keys_of_tickets() {
    let authority = Authority::root("root");
    let server = authority.issue(Kind::Ecdsa, "/CN=x", "DNS:localhost");
    let proxy = Proxy::serve(&toml(&served(&server)));
    for version in [&TLS12, &TLS13] {
        let visitor = Visitor::with_versions(&authority.file(), None, &[version]);
        assert_eq!(next_handshake(&visitor, proxy.address()), HandshakeKind::Full);
        assert_eq!(next_handshake(&visitor, proxy.address()), HandshakeKind::Resumed, "{version:?}");
        let reloads = proxy.log_lines().iter().filter(|line| line.contains("configuration reloaded")).count();
        proxy.signal(Signal::SIGHUP);
        proxy.nth_log_line("configuration reloaded", reloads);
        assert_eq!(next_handshake(&visitor, proxy.address()), HandshakeKind::Full, "{version:?}, after a reload");
    }
}

/// libfaketime, which shows the daemon another time of day than ours.
fn clock_library() -> String {
    let places = ["x86_64-linux-gnu", "aarch64-linux-gnu"];
    let libraries = places.map(|place| format!("/usr/lib/{place}/faketime/libfaketimeMT.so.1"));
    libraries
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("libfaketime must be installed (Debian: faketime)")
}

#[test]
fn the_keys_of_tickets_change_by_themselves_within_half_a_day() {
    let authority = Authority::root("root");
    let server = authority.issue(Kind::Ecdsa, "/CN=x", "DNS:localhost");
    let directory = tempfile::tempdir().unwrap();
    let clock = directory.path().join("clock");
    let set_clock = |text: &str| {
        fs::write(clock.with_extension("new"), text).unwrap();
        fs::rename(clock.with_extension("new"), &clock).unwrap();
    };
    set_clock("+0");
    let mut command = Command::new(BINARY);
    let (cert, key) = (server.certificate.to_str().unwrap(), server.key.to_str().unwrap());
    command.args(["--cert", cert, "--key", key, "127.0.0.1:0", &echo().to_string()]);
    command.env("LD_PRELOAD", clock_library()).env("FAKETIME_TIMESTAMP_FILE", &clock);
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    let proxy = Proxy::start(&mut command);
    let address = proxy.address();
    // A ticket of TLS 1.2 is used again as long as it is good, and its own age is not asked by our client.
    let visitor = || Visitor::with_versions(&authority.file(), None, &[&TLS12]);
    let [old, newer] = [visitor(), visitor()];
    assert_eq!(next_handshake(&old, address), HandshakeKind::Full);
    assert_eq!(next_handshake(&old, address), HandshakeKind::Resumed);
    set_clock("+7h");
    assert_eq!(next_handshake(&newer, address), HandshakeKind::Full); // by the next keys
    set_clock("+14h");
    assert_eq!(next_handshake(&newer, address), HandshakeKind::Resumed, "by the keys before the current ones");
    assert_eq!(next_handshake(&old, address), HandshakeKind::Full, "two changes later");
}

/// As certbot's live directory is changed: the link to a directory is replaced.
fn swap(link: &Path, to: &str) {
    let beside = link.with_extension("new");
    symlink(to, &beside).unwrap();
    fs::rename(beside, link).unwrap();
}

#[test]
fn a_renewal_by_a_swapped_link_fails_no_handshake_and_is_served_at_once_after_a_reload() {
    let authority = Authority::root("root");
    let directory = tempfile::tempdir().unwrap();
    let issued = [0, 1].map(|_| authority.issue(Kind::Ecdsa, "/CN=x", "DNS:localhost"));
    for (version, issued) in issued.iter().enumerate() {
        let place = directory.path().join(version.to_string());
        fs::create_dir(&place).unwrap();
        fs::copy(&issued.certificate, place.join("cert.pem")).unwrap();
        fs::copy(&issued.key, place.join("key.pem")).unwrap();
    }
    let live = directory.path().join("live");
    symlink("0", &live).unwrap();
    let rules = format!("certificate = \"{0}/cert.pem\"\nkey = \"{0}/key.pem\"", live.display());
    let proxy = Proxy::serve(&toml(&rules));
    let address = proxy.address();
    let visitor = Visitor::new(&authority.file(), None);
    let (over, shaken) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // A client of its own each time, which has no ticket.
                    let client = Visitor::new(&authority.file(), None).connect(address).expect("no handshake fails");
                    assert!(issued.iter().any(|issued| der(issued) == leaf(&client)));
                    shaken.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let renewals = scope.spawn(|| {
            for round in 0..6 {
                let next = (round + 1) % 2;
                swap(&live, &next.to_string());
                proxy.signal(Signal::SIGHUP);
                let asked = Instant::now();
                proxy.nth_log_line("configuration reloaded", round);
                assert_eq!(leaf(&visitor.connect(address).unwrap()), der(&issued[next]), "after reload {round}");
                assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
                let so_far = shaken.load(Ordering::Relaxed);
                eventually("clients come all the time", || {
                    (shaken.load(Ordering::Relaxed) >= so_far + 4).then_some(())
                });
            }
        });
        let renewed = renewals.join();
        over.store(true, Ordering::Relaxed);
        renewed.unwrap();
    });
    // And without a reload: it is looked for when a client comes.
    swap(&live, "1");
    eventually("the renewed certificate is served", || {
        (leaf(&visitor.connect(address).unwrap()) == der(&issued[1])).then_some(())
    });
}
