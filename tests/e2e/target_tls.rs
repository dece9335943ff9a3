//! TLS towards the target: whom to believe, what is said of a certificate that is wrong, and that no byte is lost.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::support::client::Client;
use crate::support::command::run;
use crate::support::proxy::Proxy;
use crate::support::target::{Target, echo};
use crate::support::tls::SelfSigned;
use crate::support::tls_target::{TlsTarget, end};
use crate::support::{eventually, noise};

/// A route to `localhost` at that port by TLS, with what stands in `[targets.tls]`.
fn route(port: u16, tls: &str) -> Proxy {
    Proxy::serve(&format!("listen = \"127.0.0.1:0\"\ntarget = \"tls:localhost:{port}\"\n[targets.tls]\n{tls}\n"))
}

fn believing(certificate: &SelfSigned) -> String {
    format!("ca = \"{}\"", certificate.certificate.display())
}

fn assert_echoes(proxy: &Proxy) {
    let mut client = Client::open(proxy.address());
    let bytes = noise(300_000);
    let sent = bytes.clone();
    let mut writer = Client { stream: client.stream.try_clone().unwrap() };
    thread::scope(|scope| {
        scope.spawn(move || sent.chunks(60_000).for_each(|piece| writer.send_binary(piece)));
        assert!(client.read_binary(bytes.len()) == bytes);
    });
    client.send_close(1000, "");
    assert_eq!(client.read_close().0, 1000);
}

/// What a client is answered, and what the log says of it.
fn refused(proxy: &Proxy) -> (u16, String) {
    let status = Client::connect(proxy.address()).request("/", &[]).status;
    (status, proxy.log_line(" WARN refused: "))
}

#[test]
fn a_target_is_believed_by_the_word_of_an_authority() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = SelfSigned::in_directory(directory.path());
    let port = TlsTarget::listen(&certificate).echo().port();
    let proxy = route(port, &believing(&certificate));
    assert_echoes(&proxy);
    proxy.log_line(&format!(" target=tls:localhost:{port} "));
    let ended = proxy.log_line("session ended: client closed with code 1000");
    assert!(ended.contains(" bytes_in=300000 bytes_out=300000 "), "{ended}");
}

#[test]
fn what_is_wrong_with_the_target_s_certificate_is_said_of_the_target() {
    let directory = tempfile::tempdir().unwrap();
    let right = SelfSigned::in_directory(directory.path());
    let others = tempfile::tempdir().unwrap();
    let other = SelfSigned::in_directory(others.path());
    let past = tempfile::tempdir().unwrap();
    let expired = SelfSigned::until(past.path(), SystemTime::now() - Duration::from_mins(1));
    expired.install();
    let own = TlsTarget::listen(&right).echo().port();
    let pin = "spki-sha256 = \"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"";
    let cases = [
        (own, believing(&other), "is signed by nobody who is trusted here"),
        (own, format!("{}\nserver-name = \"vm.example.com\"", believing(&right)), "is for another name"),
        (own, pin.to_owned(), "has another key than those that are pinned: "),
        (own, format!("{pin}\n{}", believing(&right)), "has another key than those that are pinned: "),
        (TlsTarget::listen(&expired).echo().port(), believing(&expired), "has expired"),
    ];
    for (port, tls, expected) in cases {
        let proxy = route(port, &tls);
        let (status, line) = refused(&proxy);
        assert_eq!(status, 502, "{tls}");
        assert!(line.contains(&format!("refused: the target's certificate {expected}")), "{line}");
        assert!(line.contains(&format!(" target=tls:localhost:{port}")), "{line}");
    }
}

/// As the manual says how to get it.
fn pin_of(certificate: &Path) -> String {
    let script = "openssl x509 -in \"$0\" -pubkey -noout | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | \
                  base64";
    let output = Command::new("sh").args(["-c", script]).arg(certificate).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_pinned_key_is_right_whoever_signed_it_and_for_whatever_name() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = SelfSigned::in_directory(directory.path());
    let port = TlsTarget::listen(&certificate).echo().port();
    let pins = format!("[\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\", \"{}\"]", pin_of(&certificate.certificate));
    assert_echoes(&route(port, &format!("spki-sha256 = {pins}\nserver-name = \"vm.example.com\"")));
    let both = format!("spki-sha256 = {pins}\n{}", believing(&certificate));
    assert_echoes(&route(port, &both));
    let (status, line) = refused(&route(port, &format!("{both}\nserver-name = \"vm.example.com\"")));
    assert!(status == 502 && line.contains("the target's certificate is for another name"), "{line}");
}

/// The original's option checked nothing, and old command lines are to work.
#[test]
fn a_route_that_checks_no_certificate_works_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let port = TlsTarget::listen(&SelfSigned::in_directory(directory.path())).echo().port();
    let target = format!("127.0.0.1:{port}");
    let tokens = directory.path().join("tokens");
    fs::write(&tokens, format!("vm: {target}\n")).unwrap();
    let source = format!("--token-source={}", tokens.display());
    let by_token = ["--ssl-target", "--token-plugin=TokenFile", &source, "127.0.0.1:0"];
    for proxy in [
        Proxy::classic(&["--ssl-target", "127.0.0.1:0", &target]),
        route(port, "insecure = true"),
        Proxy::classic(&by_token),
    ] {
        proxy.log_line(" WARN the certificates of targets are not checked");
        let mut client = Client::connect(proxy.address());
        assert_eq!(client.request("/?token=vm", &[]).status, 101);
        client.send_binary(b"hello");
        assert_eq!(client.read_binary(5), b"hello");
        assert!(proxy.log_line("session opened").contains(" target=tls:"));
    }
    let converted = run(&["convert", "--", "--ssl-target", "127.0.0.1:0", &target]);
    assert!(converted.stdout.contains(&format!("target = \"tls:{target}\"\n")), "{}", converted.stdout);
    assert!(converted.stdout.contains("[targets.tls]\ninsecure = true\n"), "{}", converted.stdout);
}

#[test]
fn tokens_may_lead_to_targets_by_tls_and_to_others() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = SelfSigned::in_directory(directory.path());
    let port = TlsTarget::listen(&certificate).echo().port();
    let tokens = directory.path().join("tokens");
    fs::write(&tokens, format!("safe: tls:localhost:{port}\nplain: {}\n", echo())).unwrap();
    let proxy = Proxy::serve(&format!(
        "listen = \"127.0.0.1:0\"\n[tokens]\nsource = \"file:{}\"\n[targets.tls]\n{}\n",
        tokens.display(),
        believing(&certificate)
    ));
    for token in ["safe", "plain"] {
        let mut client = Client::connect(proxy.address());
        assert_eq!(client.request(&format!("/?token={token}"), &[]).status, 101, "{token}");
        client.send_binary(b"hello");
        assert_eq!(client.read_binary(5), b"hello", "{token}");
    }
}

/// A server of somebody else's that turns each line around, until it is dropped.
struct OpenSsl {
    child: Child,
    address: SocketAddr,
}

impl OpenSsl {
    fn start(certificate: &SelfSigned, options: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_server", "-rev", "-accept", "127.0.0.1:0", "-cert"])
            .arg(&certificate.certificate)
            .arg("-key")
            .arg(&certificate.key)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl must be installed (Debian: openssl)");
        let mut stdout = child.stdout.take().unwrap();
        let mut said = Vec::new();
        // ACCEPT 127.0.0.1:PORT
        while !said.ends_with(b"\n") || !said.starts_with(b"ACCEPT ") {
            if said.ends_with(b"\n") {
                said.clear();
            }
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            said.push(byte[0]);
        }
        thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let address = String::from_utf8(said).unwrap().trim_start_matches("ACCEPT ").trim().parse().unwrap();
        Self { child, address }
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn openssl_as_the_target_is_shown_the_certificate_that_it_asks_for() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let server = SelfSigned::in_directory(directories[0].path());
    let client = SelfSigned::in_directory(directories[1].path());
    let ca = client.certificate.to_str().unwrap();
    let identity = format!("certificate = \"{}\"\nkey = \"{}\"", client.certificate.display(), client.key.display());
    for version in ["-tls1_2", "-tls1_3"] {
        let target = OpenSsl::start(&server, &[version, "-Verify", "1", "-verify_return_error", "-CAfile", ca]);
        let with = |more: &str| route(target.address.port(), &format!("{}\n{more}", believing(&server)));
        let shown = with(&identity);
        let mut session = Client::open(shown.address());
        session.send_binary(b"stressed\n");
        assert_eq!(session.read_binary(9), b"desserts\n", "{version}");
        drop(session);
        let nothing = with("");
        if version == "-tls1_2" {
            let (status, line) = refused(&nothing);
            assert_eq!(status, 502);
            assert!(line.contains("no TLS with the target") && line.contains("HandshakeFailure"), "{line}");
        } else {
            // By TLS 1.3 a client is done before its certificate has been looked at.
            let mut session = Client::open(nothing.address());
            assert_eq!(session.read_close().0, 1011);
        }
    }
}

#[test]
fn a_target_that_does_not_speak_tls_is_told_apart() {
    let proxy = route(echo().port(), "insecure = true");
    let (status, line) = refused(&proxy);
    assert_eq!(status, 502);
    assert!(line.contains("refused: no TLS with the target ") && line.contains(" cause="), "{line}");
}

#[test]
fn a_target_that_says_nothing_takes_no_more_than_its_time() {
    let target = Target::listen();
    let proxy = route(target.address().port(), "insecure = true\n[limits]\nconnect-timeout = \"1s\"");
    let (status, line) = refused(&proxy);
    assert_eq!(status, 504);
    assert!(line.contains("refused: no answer from tls:localhost:"), "{line}");
    drop(target);
}

/// What a target says before its end arrives, and so does what it says after the client's.
#[test]
fn last_bytes_arrive_both_ways_and_both_ends_are_said() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = SelfSigned::in_directory(directory.path());
    let target = TlsTarget::listen(&certificate);
    let proxy = route(target.address().port(), &believing(&certificate));
    let burst = noise(4 << 20);

    // The target says much, and ends.
    let server = thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut server = target.accept();
            server.write_all(&burst).unwrap();
            end(&mut server);
            server
        });
        let mut client = Client::open(proxy.address());
        let (bytes, close) = client.read_to_close();
        assert!(bytes == burst, "{} of {} bytes", bytes.len(), burst.len());
        assert_eq!(close, Some((1000, "Target closed".to_owned())));
        client.send_close(1000, "");
        client.read_end();
        server.join().unwrap()
    });
    drop(server);

    // The client says much, and ends; the target hears all, hears the end as one of TLS, and answers then.
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut server = target.accept();
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).expect("a close_notify before the end");
            server.write_all(b"the answer").unwrap();
            end(&mut server);
            heard
        });
        let mut client = Client::open(proxy.address());
        burst.chunks(100_000).for_each(|piece| client.send_binary(piece));
        client.send_close(1000, "");
        assert_eq!(client.read_to_close().0, b"the answer");
        let heard = server.join().unwrap();
        assert!(heard == burst, "{} of {} bytes", heard.len(), burst.len());
    });
    eventually("both sessions are told", || {
        let lines = proxy.log_lines();
        let ends = lines.iter().filter(|line| line.contains("session ended: ") && !line.contains("_lost="));
        (ends.count() == 2).then_some(())
    });
}

/// TLS may hold bytes back that its socket did not take: they go when there is room, and nobody has to say more for that.
#[test]
fn a_target_that_reads_late_gets_everything() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = SelfSigned::in_directory(directory.path());
    let target = TlsTarget::listen(&certificate);
    let proxy = route(target.address().port(), &believing(&certificate));
    let bytes = noise(32 << 20);
    thread::scope(|scope| {
        let (written, stopped) = std::sync::mpsc::channel();
        let (target, bytes) = (&target, &bytes);
        let server = scope.spawn(move || {
            let mut server = target.accept();
            server.write_all(b"!").unwrap(); // the handshake
            stopped.recv().unwrap(); // the client can write no more
            let mut heard = vec![0; bytes.len()];
            server.read_exact(&mut heard).unwrap();
            heard
        });
        let mut client = Client::open(proxy.address());
        assert_eq!(client.read_binary(1), b"!");
        client.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let frames: Vec<u8> =
            bytes.chunks(100_000).flat_map(|piece| crate::support::client::frame(0x82, piece)).collect();
        let mut sent = 0;
        while let Ok(count) = client.stream.write(&frames[sent..]) {
            sent += count;
            assert!(sent < frames.len(), "nothing stopped the client");
        }
        written.send(()).unwrap();
        client.stream.set_write_timeout(Some(crate::support::PATIENCE)).unwrap();
        client.stream.write_all(&frames[sent..]).unwrap();
        assert!(server.join().unwrap() == *bytes);
    });
}
