//! The original's security holes in tokens, and what was broken beside them: one test a hole, which fails on what the original
//! does.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::client::Client;
use crate::support::proxy::Proxy;
use crate::support::service::{HttpService, reply};
use crate::support::target::Target;
use crate::support::token::{by_token, is_refused, leads_to, named};

const ORIGIN: (&str, &str) = ("Origin", "http://localhost:6080");

/// A directory of sockets in service, and beside it another whose name begins the same.
struct Sockets {
    proxy: Proxy,
    root: TempDir,
    inside: UnixListener,
    outside: UnixListener,
}

impl Sockets {
    fn serve() -> Self {
        let root = tempfile::tempdir().unwrap();
        for name in ["vnc/lab", "vnc-admin"] {
            fs::create_dir_all(root.path().join(name)).unwrap();
        }
        let bind = |name: &str| UnixListener::bind(root.path().join(name)).unwrap();
        let (inside, outside) = (bind("vnc/one.sock"), bind("vnc-admin/admin.sock"));
        let proxy = Proxy::classic(&[
            "--token-plugin=UnixDomainSocketDirectory",
            &format!("--token-source={}", root.path().join("vnc").display()),
            "127.0.0.1:0",
        ]);
        Self { proxy, root, inside, outside }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// None of the tokens leads anywhere, though the one socket that may be reached is.
    #[track_caller]
    fn refuse(&self, tokens: &[&str]) {
        for token in tokens {
            is_refused(&self.proxy, &format!("/?token={token}"), 404);
        }
        for listener in [&self.inside, &self.outside] {
            listener.set_nonblocking(true).unwrap();
            assert!(listener.accept().is_err(), "somebody reached a socket by one of {tokens:?}");
            listener.set_nonblocking(false).unwrap();
        }
        let mut client = Client::connect(self.proxy.address());
        assert_eq!(client.request("/?token=one.sock", &[]).status, 101);
        self.inside.accept().unwrap();
    }
}

/// The original compared the beginnings of texts, so that `vnc-admin` was taken to be in `vnc`.
#[test]
fn a_sibling_directory_whose_name_begins_the_same_is_outside() {
    Sockets::serve().refuse(&[
        "../vnc-admin/admin.sock",
        "lab/../../vnc-admin/admin.sock",
        "..%2Fvnc-admin%2Fadmin.sock",
    ]);
}

/// The original joined it to the directory, which gives the absolute path again.
#[test]
fn the_absolute_path_of_a_socket_is_no_token() {
    let sockets = Sockets::serve();
    let (inside, outside) = (sockets.path("vnc/one.sock"), sockets.path("vnc-admin/admin.sock"));
    sockets.refuse(&[inside.to_str().unwrap(), outside.to_str().unwrap()]);
}

/// The original cut a name at its last slash, and took what was left.
#[test]
fn two_dots_in_a_name_lead_nowhere_not_even_back_into_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    fs::write(tokens.join("one"), named("one").to_string()).unwrap();
    fs::write(directory.path().join("secret"), named("secret").to_string()).unwrap();
    let proxy = by_token(&format!("names:{}", tokens.display()), "");
    for name in ["..%2Fsecret", "../secret", "%2Fetc%2Fpasswd", "..", ".", "..%2Ftokens%2Fone", "one%2F..%2Fone"] {
        is_refused(&proxy, &format!("/?token={name}"), 404);
    }
    leads_to(&proxy, "/?token=one", "one");
    Sockets::serve().refuse(&["lab/../one.sock", "../vnc/one.sock"]);
}

/// The original followed it.
#[test]
fn a_symbolic_link_leads_nowhere_out_of_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    fs::write(tokens.join("one"), named("one").to_string()).unwrap();
    fs::write(directory.path().join("secret"), named("secret").to_string()).unwrap();
    symlink("one", tokens.join("inside")).unwrap();
    symlink("../secret", tokens.join("outside")).unwrap();
    symlink(directory.path().join("secret"), tokens.join("absolute")).unwrap();
    let proxy = by_token(&format!("names:{}", tokens.display()), "");
    leads_to(&proxy, "/?token=inside", "one");
    is_refused(&proxy, "/?token=outside", 404);
    is_refused(&proxy, "/?token=absolute", 404);

    let sockets = Sockets::serve();
    symlink(sockets.path("vnc-admin/admin.sock"), sockets.path("vnc/link.sock")).unwrap();
    symlink("../vnc-admin", sockets.path("vnc/away")).unwrap();
    sockets.refuse(&["link.sock", "away/admin.sock"]);
}

/// The original put the token into the URL as it came, so that a client could ask for anything.
#[test]
fn a_token_cannot_change_what_is_asked_for() {
    let service = HttpService::start(|_, wire| reply(wire, "404 Not Found", ""));
    let route = by_token(&format!("http://{}/token/%s/target?role=user", service.address), "");
    for token in ["a%2F..%2F..%2Fadmin%3Fx%3D1%23", "x%26role%3Dadmin", "%20HTTP%2F1.1", "%252e%252e", "..", "."] {
        is_refused(&route, &format!("/?token={token}"), 404);
    }
    let asked: Vec<String> = service.heads().iter().map(|head| head.lines().next().unwrap().to_owned()).collect();
    assert_eq!(
        asked,
        [
            "GET /token/a%2F..%2F..%2Fadmin%3Fx%3D1%23/target?role=user HTTP/1.1",
            "GET /token/x%26role%3Dadmin/target?role=user HTTP/1.1",
            "GET /token/%20HTTP%2F1.1/target?role=user HTTP/1.1",
            "GET /token/%252e%252e/target?role=user HTTP/1.1",
        ]
    );
}

/// The original wrote the path of each request, and each token that it did not know.
#[test]
fn a_token_is_not_in_the_log_whatever_becomes_of_it() {
    let directory = tempfile::tempdir().unwrap();
    for (name, target) in [("s3cret-one", named("one").to_string()), ("s3cret-odd", "h".to_owned())] {
        fs::write(directory.path().join(name), target).unwrap();
    }
    fs::write(directory.path().join("s3cret-dead"), crate::support::route::refusing().to_string()).unwrap();
    let proxy = Proxy::classic(&[
        "-v",
        "--token-plugin=TokenFileName",
        &format!("--token-source={}", directory.path().display()),
        "127.0.0.1:0",
    ]);
    for (path, status, line) in [
        ("/?token=s3cret-one", 101, "session ended"),
        ("/websockify?x=y&token=%733cret-odd", 503, "the token source cannot say"),
        ("/?token=s3cret-dead", 502, "cannot connect to "),
        ("/?token=%73%33cret-unknown", 404, "refused: Unknown token"),
        ("/?token=s3cret-%FF", 400, "refused: The token is malformed"),
    ] {
        let mut client = Client::connect(proxy.address());
        assert_eq!(client.request(path, &[]).status, status, "{path}");
        drop(client);
        proxy.log_line(line);
    }
    proxy.log_line(" token=sha256:"); // what tells two tokens apart in its place
    for line in proxy.log_lines() {
        assert!(!["3cret", "%73", "%33", "-unknown"].iter().any(|part| line.contains(part)), "{line}");
    }
}

/// The original passed the brackets on to the resolver, and from a file named for its token read no IPv6 at all.
#[test]
fn an_ipv6_target_may_stand_in_brackets_and_bare() {
    let target = Target::listen_on("[::1]:0");
    let port = target.address().port();
    let directory = tempfile::tempdir().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    for (name, text) in [("bare", format!("::1:{port}")), ("brackets", format!("[::1]:{port}"))] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    fs::write(file.path(), format!("bare: ::1:{port}\nbrackets: [::1]:{port}\n")).unwrap();
    for source in [format!("file:{}", file.path().display()), format!("names:{}", directory.path().display())] {
        let proxy = by_token(&source, "");
        for token in ["bare", "brackets"] {
            let mut client = Client::connect(proxy.address());
            assert_eq!(client.request(&format!("/?token={token}"), &[]).status, 101, "{source} {token}");
            target.accept();
        }
    }
}

/// The original's later versions called these lines syntax errors, and kept the blanks as a part of the token.
#[test]
fn blank_lines_and_indented_ones_are_no_mistakes() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (one, two) = (named("one"), named("two"));
    fs::write(file.path(), format!("\n   \n\t# a comment: h:1\n  one: {one}\r\n\n\ttwo: {two}\n\n")).unwrap();
    let proxy = by_token(&format!("file:{}", file.path().display()), "");
    leads_to(&proxy, "/?token=one", "one");
    leads_to(&proxy, "/?token=two", "two");
    is_refused(&proxy, "/?token=%20%20one", 404);
    proxy.log_line("refused: Unknown token");
    assert!(proxy.log_lines().iter().all(|line| !line.contains(" WARN ")), "{:#?}", proxy.log_lines());
}

/// The original failed where it took the target apart, and closed the connection without a word.
#[test]
fn a_target_without_a_port_is_refused_and_the_log_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("half"), "vm1.example.com\n").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("one: {}\nhalf: vm1.example.com\n", named("one"))).unwrap();
    let service = HttpService::start(|_, wire| reply(wire, "200 OK", "vm1.example.com"));

    let lines = by_token(&format!("file:{}", file.path().display()), "");
    lines.log_line("line 2 does not end in a target: write 'token: host:port'");
    is_refused(&lines, "/?token=half", 404);
    leads_to(&lines, "/?token=one", "one");

    for source in [format!("names:{}", directory.path().display()), format!("http://{}/%s", service.address)] {
        let proxy = by_token(&source, "");
        is_refused(&proxy, "/?token=half", 503);
        proxy.log_line("what it says is no target: 'vm1.example.com' is not a target: write host:port");
        let mut browser = Client::connect(proxy.address());
        assert_eq!(browser.request("/?token=half", &[ORIGIN]).status, 101);
        let (code, reason) = browser.read_close();
        assert!(code == 1013 && reason.starts_with("The token cannot be looked up now"), "{code} {reason}");
    }
}
