//! Clients that are known by their certificates, made by openssl as administrators make them.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use nix::sys::signal::Signal;
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use tempfile::TempDir;

use crate::support::authority::{Authority, Issued, Kind, Visitor};
use crate::support::client::Client;
use crate::support::command::outcome;
use crate::support::eventually;
use crate::support::proxy::{BINARY, Proxy};
use crate::support::target::echo;
use crate::support::tls::SelfSigned;

/// The authorities of a house, and a server with a certificate of its own.
struct House {
    directory: TempDir,
    server: SelfSigned,
    root: Authority,
    desks: Authority,
}

impl House {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = SelfSigned::in_directory(directory.path());
        let root = Authority::root("root");
        let desks = root.intermediate("desks");
        let house = Self { directory, server, root, desks };
        house.write("clients.pem", &format!("{}{}", house.root.pem(), house.desks.pem()));
        house
    }

    /// Puts a file into the directory, as renewal tools do.
    fn write(&self, name: &str, text: &str) {
        let beside = self.directory.path().join("new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.directory.path().join(name)).unwrap();
    }

    fn visitor(&self, shows: Option<&Issued>) -> Visitor {
        Visitor::new(&self.server.certificate, shows)
    }

    fn write_lists(&self) {
        self.write("clients.crl", &format!("{}{}", self.root.revocation_list(), self.desks.revocation_list()));
    }

    /// A route whose `[tls.client]` has these keys beside the CAs.
    fn toml(&self, client: &str) -> String {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        format!(
            "listen = \"127.0.0.1:0\"\ntarget = \"{}\"\n[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
             [tls.client]\nca = \"{}\"\n{}\n",
            echo(),
            path("cert.pem"),
            path("key.pem"),
            path("clients.pem"),
            client.replace("CRL", &path("clients.crl"))
        )
    }
}

fn status(visitor: &Visitor, address: SocketAddr) -> u16 {
    visitor.status(address, &[]).unwrap()
}

#[track_caller]
fn refused_by_tls(visitor: &Visitor, address: SocketAddr) {
    let outcome = visitor.status(address, &[]);
    assert!(outcome.is_err(), "{outcome:?}");
}

#[test]
fn the_originals_example_lets_in_whom_it_names_and_nobody_else() {
    let house = House::new();
    let proxy = Proxy::start(
        Command::new(BINARY)
            .current_dir(house.directory.path())
            .args(["127.0.0.1:0", &echo().to_string(), "--cert=cert.pem", "--key=key.pem", "--verify-client"])
            .args(["--cafile=clients.pem", "--auth-plugin=ClientCertCNAuth"])
            .arg("--auth-source=jane@example.com Joe User9824510"),
    );
    let address = proxy.address();
    for (kind, name) in [(Kind::Rsa, "jane@example.com"), (Kind::Ecdsa, "Joe"), (Kind::Ed25519, "User9824510")] {
        let issued = house.desks.issue(kind, &format!("/CN={name}"), "");
        let mut client = house.visitor(Some(&issued)).connect(address).unwrap();
        client.upgrade();
        client.send_binary(b"hello");
        assert_eq!(client.read_binary(5), b"hello", "{name}");
        assert!(proxy.log_line(&format!("user={name}")).contains("session opened"));
    }
    for name in ["Joe User9824510", "joe", "jane@example.com.evil"] {
        let wrong = house.visitor(Some(&house.desks.issue(Kind::Ecdsa, &format!("/CN={name}"), "")));
        assert_eq!(status(&wrong, address), 403, "{name}");
        proxy.log_line(&format!("cn '{name}' is not among tls.client.allow"));
    }
    refused_by_tls(&house.visitor(None), address);
    proxy.log_line("refused: the client's certificate is refused: it has shown none");
    refused_by_tls(&house.visitor(Some(&house.desks.issue_expired("/CN=Joe"))), address);
    proxy.log_line("refused: the client's certificate is refused: it has expired");
    for (name, told) in
        [("elsewhere", "it is not below a CA of tls.client.ca"), ("root", "its CA is not the one of that name")]
    {
        let elsewhere = Authority::root(name);
        refused_by_tls(&house.visitor(Some(&elsewhere.issue(Kind::Ecdsa, "/CN=Joe", ""))), address);
        proxy.log_line(&format!("refused: the client's certificate is refused: {told}"));
    }
}

#[test]
fn an_identity_in_a_header_is_nobodys() {
    let house = House::new();
    let proxy = Proxy::serve(&house.toml("mode = \"optional\"\nallow = { cn = [\"jane\"] }"));
    let address = proxy.address();
    let stranger = house.visitor(Some(&house.desks.issue(Kind::Ecdsa, "/CN=stranger", "")));
    for header in [
        "SSL_CLIENT_S_DN_CN",
        "ssl_client_s_dn_cn",
        "Ssl-Client-S-Dn-Cn",
        "X-SSL-Client-CN",
        "X-Client-Cert",
        "X-Remote-User",
        "Remote_User",
    ] {
        let claim = [(header, "jane")];
        assert_eq!(Client::connect(address).request("/", &claim).status, 403, "{header}, plain");
        assert_eq!(house.visitor(None).status(address, &claim).unwrap(), 403, "{header}, without a certificate");
        assert_eq!(stranger.status(address, &claim).unwrap(), 403, "{header}, with another's");
    }
    assert_eq!(status(&house.visitor(Some(&house.desks.issue(Kind::Ecdsa, "/CN=jane", ""))), address), 101);
}

#[test]
fn a_plain_connection_gets_no_session_where_a_certificate_is_required() {
    let house = House::new();
    let proxy = Proxy::serve(&house.toml(""));
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.request("/", &[]).status, 403);
    let line = proxy.log_line("refused: the connection is not encrypted, and this route asks for a client certificate");
    assert!(line.contains(" INFO "), "{line}");
    // A browser is told by a Close what it would not see otherwise, and not why.
    let mut browser = Client::connect(proxy.address());
    assert_eq!(browser.request("/", &[("Origin", "http://localhost")]).status, 101);
    let (code, reason) = browser.read_close();
    assert_eq!(code, 1008);
    assert!(reason.starts_with("A client certificate is needed (session "), "{reason}");
}

#[test]
fn an_optional_certificate_opens_pages_to_all_and_sessions_to_those_who_are_named() {
    let house = House::new();
    fs::create_dir(house.directory.path().join("www")).unwrap();
    fs::write(house.directory.path().join("www/index.html"), "the page").unwrap();
    let web = format!("web = \"{}\"\n", house.directory.path().join("www").display());
    let allow = "mode = \"optional\"\nallow = { cn = [\"Joe User9824510\"] }";
    let proxy = Proxy::serve(&(web + &house.toml(allow)));
    let address = proxy.address();
    let page = house.visitor(None).connect(address).unwrap().fetch("GET", "/", &[]);
    assert_eq!(page.body, "the page");
    assert_eq!(status(&house.visitor(None), address), 403);
    proxy.log_line("refused: the client has shown no certificate");
    let named = house.desks.issue(Kind::Ecdsa, "/CN=Joe User9824510", "");
    assert_eq!(status(&house.visitor(Some(&named)), address), 101);
    refused_by_tls(&house.visitor(Some(&house.desks.issue_expired("/CN=Joe User9824510"))), address);
}

#[test]
fn lists_of_names_decide_by_unit_alternative_names_and_key() {
    let house = House::new();
    let ops = house.desks.issue(Kind::Ecdsa, "/OU=Operations/CN=a", "email:on-call@example.com,DNS:desk7.example.com");
    let lonely = house.desks.issue(Kind::Ecdsa, "/OU=Operations/CN=b", "URI:spiffe://example.com/desk8");
    let pinned = house.desks.issue(Kind::Ecdsa, "/CN=c", "");
    let hash = {
        let mut openssl = Command::new("openssl");
        openssl.args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(&pinned.key);
        let public = openssl.output().unwrap().stdout;
        let file = house.directory.path().join("public");
        fs::write(&file, public).unwrap();
        let said = Command::new("sha256sum").arg(&file).output().unwrap().stdout;
        String::from_utf8(said).unwrap().split(' ').next().unwrap().to_owned()
    };
    let allow = format!(
        "[[tls.client.allow]]\nou = \"Operations\"\nsan-email = [\"on-call@example.com\"]\nsan-dns = \"desk7.example.com\"\n\
         [[tls.client.allow]]\nspki-sha256 = \"{hash}\"\n"
    );
    let proxy = Proxy::serve(&house.toml(&allow));
    assert_eq!(status(&house.visitor(Some(&ops)), proxy.address()), 101);
    assert_eq!(status(&house.visitor(Some(&pinned)), proxy.address()), 101);
    assert_eq!(status(&house.visitor(Some(&lonely)), proxy.address()), 403);
    let told = proxy.log_line("refused: the certificate of 'b' is not allowed: it has no san-dns; spki-sha256 ");
    assert!(told.contains("is not among tls.client.allow"), "{told}");
}

#[test]
fn a_revoked_certificate_is_refused_and_so_is_one_of_a_revoked_authority() {
    let house = House::new();
    let (good, bad) = (house.desks.issue(Kind::Ecdsa, "/CN=a", ""), house.desks.issue(Kind::Ecdsa, "/CN=b", ""));
    house.desks.revoke(&bad);
    house.write_lists();
    let proxy = Proxy::serve(&house.toml("crl = \"CRL\""));
    assert_eq!(status(&house.visitor(Some(&good)), proxy.address()), 101);
    refused_by_tls(&house.visitor(Some(&bad)), proxy.address());
    proxy.log_line("refused: the client's certificate is refused: it is revoked");
    let authority = Issued { certificate: house.desks.file(), key: house.desks.file() };
    house.root.revoke(&authority);
    house.write_lists();
    let visitor = house.visitor(Some(&good));
    eventually("the authority's clients are refused", || visitor.status(proxy.address(), &[]).err());
}

/// A ticket of the time when a certificate was good must not let it in: there are none.
#[test]
fn nothing_that_was_good_once_is_resumed() {
    let house = House::new();
    let jane = house.desks.issue(Kind::Ecdsa, "/CN=jane", "");
    house.write_lists();
    let proxy = Proxy::serve(&house.toml("crl = \"CRL\""));
    let visitors =
        [&TLS12, &TLS13].map(|version| Visitor::with_versions(&house.server.certificate, Some(&jane), &[version]));
    for visitor in &visitors {
        for _ in 0..2 {
            let mut client = visitor.connect(proxy.address()).unwrap();
            client.upgrade(); // and reads what tickets there are
            assert_eq!(client.stream.conn.handshake_kind(), Some(HandshakeKind::Full));
        }
    }
    house.desks.revoke(&jane);
    house.write_lists();
    for visitor in &visitors {
        eventually("the revoked one is refused", || visitor.status(proxy.address(), &[]).err());
    }
}

#[test]
fn an_authority_that_is_taken_away_lets_nobody_in_and_running_sessions_go_on() {
    let house = House::new();
    let jane = house.visitor(Some(&house.desks.issue(Kind::Ecdsa, "/CN=jane", "")));
    let proxy = Proxy::serve(&house.toml(""));
    let mut running = jane.connect(proxy.address()).unwrap();
    running.upgrade();
    house.write("clients.pem", &Authority::root("another").pem());
    proxy.signal(Signal::SIGHUP);
    proxy.log_line("configuration reloaded");
    refused_by_tls(&jane, proxy.address());
    running.send_binary(b"still here");
    assert_eq!(running.read_binary(10), b"still here");
}

#[test]
fn a_revocation_list_that_has_ended_or_is_missing_stops_the_start_and_never_a_running_daemon() {
    let house = House::new();
    let jane = house.visitor(Some(&house.desks.issue(Kind::Ecdsa, "/CN=jane", "")));
    let ended = format!("{}{}", house.root.revocation_list(), house.desks.ended_revocation_list());
    let start = || {
        let routes = tempfile::tempdir().unwrap();
        fs::write(routes.path().join("vnc.toml"), house.toml("crl = \"CRL\"")).unwrap();
        outcome(Command::new(BINARY).arg("serve").arg("--config").arg(routes.path()))
    };
    for (lists, told) in [
        (ended.clone(), "the revocation list of 'CN=desks' in "),
        (house.desks.revocation_list(), "there is no revocation list of the CA 'CN=root' in "),
        (house.desks.pem(), "no revocation list in "),
    ] {
        house.write("clients.crl", &lists);
        let refused = start();
        assert_eq!(refused.code, 78, "{}", refused.stderr);
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
    house.write_lists();
    let proxy = Proxy::serve(&house.toml("crl = \"CRL\""));
    house.write("clients.crl", &ended);
    eventually("the ended list is looked at", || {
        assert_eq!(status(&jane, proxy.address()), 101);
        proxy.log_lines().into_iter().find(|line| line.contains("not usable: the old one stays"))
    });
}
