//! Tokens that a route makes itself, for one session: `websockify grant`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::client::Client;
use crate::support::command::{Outcome, outcome, run};
use crate::support::eventually;
use crate::support::proxy::{BINARY, Proxy};
use crate::support::route::refusing;
use crate::support::service::HttpService;
use crate::support::target::{Target, echo};

/// A route that makes grants, and has its control socket in a directory of the test's.
struct Granting {
    proxy: Proxy,
    directory: tempfile::TempDir,
}

impl Granting {
    fn start(more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("test.control");
        Self { proxy: Proxy::serve(&Self::toml(&socket, more)), directory }
    }

    fn toml(socket: &std::path::Path, more: &str) -> String {
        format!("listen = \"127.0.0.1:0\"\n[grants]\nsocket = \"{}\"\n{more}\n", socket.display())
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("test.control")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let routes = self.proxy.directory.as_ref().unwrap().path();
        let mut command = Command::new(BINARY);
        command.args(["grant", "test", "--config"]).arg(routes).args(arguments);
        command
    }

    fn try_grant(&self, arguments: &[&str]) -> Outcome {
        outcome(&mut self.command(arguments))
    }

    /// The token of a grant that must succeed.
    fn grant(&self, target: &str, arguments: &[&str]) -> String {
        let granted = self.try_grant(&[&["--target", target], arguments].concat());
        assert_eq!(granted.code, 0, "{}", granted.stderr);
        granted.stdout.trim_end().split_once("/?token=").unwrap_or_else(|| panic!("{granted:?}")).1.to_owned()
    }

    fn status(&self, token: &str) -> u16 {
        Client::connect(self.proxy.address()).request(&format!("/?token={token}"), &[]).status
    }

    fn open(&self, token: &str) -> Client {
        let mut client = Client::connect(self.proxy.address());
        assert_eq!(client.request(&format!("/?token={token}"), &[]).status, 101, "{token}");
        client.send_binary(b"hello");
        assert_eq!(client.read_binary(5), b"hello");
        client
    }

    /// That a token is nowhere in the log.
    fn assert_untold(&self, token: &str) {
        let lines = self.proxy.log_lines();
        assert!(lines.iter().all(|line| !line.contains(token)), "{lines:#?}");
    }
}

#[test]
fn a_granted_token_opens_one_session_and_no_other() {
    let (target, granting) = (echo().to_string(), Granting::start(""));
    let token = granting.grant(&target, &[]);
    assert_eq!(token.len(), 22, "128 bits in base64");
    let mut session = granting.open(&token);
    assert_eq!(granting.status(&token), 404);
    session.send_binary(b"still");
    assert_eq!(session.read_binary(5), b"still");
    let other = granting.grant(&target, &["--once"]);
    assert_ne!(token, other);
    drop(granting.open(&other));
    let made = granting.proxy.log_line(" INFO a grant was made ");
    let name = made.split_once(" token=").unwrap().1.split(' ').next().unwrap();
    assert!(name.starts_with("sha256:") && made.contains(&format!(" target={target} ")), "{made}");
    assert!(made.contains(" ttl=1m ") && made.contains(" uses=1"), "{made}");
    for line in [" INFO a grant was used ", " INFO session opened "] {
        let line = granting.proxy.log_line(line);
        assert!(line.contains(&format!(" token={name}")), "{line}");
    }
    granting.assert_untold(&token);
    granting.assert_untold(&other);
}

#[test]
fn a_token_may_be_for_several_sessions_and_has_an_end() {
    let (target, granting) = (echo().to_string(), Granting::start(""));
    let token = granting.grant(&target, &["--uses", "3", "--ttl=1h"]);
    let _sessions: Vec<Client> = (0..3).map(|_| granting.open(&token)).collect();
    assert_eq!(granting.status(&token), 404);
    let short = granting.grant(&target, &["--ttl=1s"]);
    let line = granting.proxy.log_line(" INFO a grant has expired before it was used up ");
    assert!(line.contains(" uses_left=1"), "{line}");
    assert_eq!(granting.status(&short), 404);
    granting.assert_untold(&short);
}

/// A desktop that starts slowly, or a link that a program opens to look at it, costs nobody the session.
#[test]
fn what_does_not_become_a_session_uses_up_nothing() {
    let granting = Granting::start("");
    let nobody: SocketAddr = refusing();
    let token = granting.grant(&nobody.to_string(), &[]);
    assert_eq!(granting.status(&token), 502);
    let plain = crate::support::web::get(granting.proxy.address(), &format!("/?token={token}"));
    assert_eq!(plain.head.status, 405);
    let late = Target::listen_on(&nobody.to_string());
    assert_eq!(granting.status(&token), 101);
    late.accept();
    assert_eq!(granting.status(&token), 404);
}

/// Of many who come with one token at once, one gets in.
#[test]
fn a_token_that_many_show_at_once_lets_one_of_them_in() {
    let (target, granting) = (echo().to_string(), Granting::start(""));
    let token = granting.grant(&target, &[]);
    let barrier = std::sync::Barrier::new(16);
    let open = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(granting.proxy.address());
                    barrier.wait();
                    let status = client.request(&format!("/?token={token}"), &[]).status;
                    assert!(status == 101 || status == 404, "{status}");
                    status == 101
                })
            })
            .collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).filter(|open| *open).count()
    });
    assert_eq!(open, 1);
}

#[test]
fn a_target_that_the_route_does_not_allow_is_refused_with_the_reason() {
    let target = echo();
    let port = target.port();
    let allow = format!("[targets]\nallow = [\"127.0.0.1:{port}\"]");
    let granting = Granting::start(&allow);
    for (wrong, why) in [
        (format!("127.0.0.2:{port}"), "refused: 127.0.0.2:"),
        (format!("localhost:{}", port.wrapping_add(1).max(1)), "is not among targets.allow"),
        ("unix:/".to_owned(), "refused: unix:/ is not among targets.allow"),
        ("host".to_owned(), "refused: 'host' is not a target: write host:port"),
        ("unix:relative".to_owned(), "the path of a Unix socket must begin with /"),
    ] {
        let refused = granting.try_grant(&["--target", &wrong]);
        assert_eq!((refused.code, refused.stdout.as_str()), (77, ""), "{wrong}");
        assert!(refused.stderr.contains(why), "{wrong}: {}", refused.stderr);
    }
    granting.proxy.log_line(" WARN no grant: 127.0.0.2:");
    drop(granting.open(&granting.grant(&format!("localhost:{port}"), &[])));
}

#[test]
fn grants_stand_beside_another_source_and_lead_where_that_may_not() {
    let target = echo();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("known: {target}\n")).unwrap();
    let tokens = |source: &str| format!("[tokens]\nsource = \"{source}\"\n");
    let granting = Granting::start(&tokens(&format!("file:{}", file.path().display())));
    drop(granting.open("known"));
    drop(granting.open(&granting.grant(&target.to_string(), &[])));
    assert_eq!(granting.status("unknown"), 404);
    // What a service says leads to other machines only; what this machine's administrator says leads anywhere.
    let service = Granting::start(&tokens("http://127.0.0.1:1/%s"));
    drop(service.open(&service.grant(&target.to_string(), &[])));
    assert_eq!(service.status("unknown"), 503);
}

#[test]
fn a_reload_keeps_grants_and_the_socket_and_a_restart_forgets_them() {
    let (target, mut granting) = (echo().to_string(), Granting::start(""));
    let token = granting.grant(&target, &[]);
    let inode = fs::metadata(granting.socket()).unwrap().ino();
    granting.proxy.write_route("test", &Granting::toml(&granting.socket(), "[websocket]\nheartbeat = \"20s\""));
    granting.proxy.signal(Signal::SIGHUP);
    granting.proxy.log_line("configuration reloaded");
    assert_eq!(fs::metadata(granting.socket()).unwrap().ino(), inode);
    drop(granting.open(&token));
    let lost = granting.grant(&target, &[]);

    granting.proxy.signal(Signal::SIGTERM);
    assert_eq!(granting.proxy.exit_code(), 0);
    assert!(!granting.socket().exists(), "the socket stays behind");
    let ended = granting.try_grant(&["--target", &target]);
    assert_eq!(ended.code, 71);
    assert!(ended.stderr.contains("(does it run? systemctl start websockify@test.service)"), "{}", ended.stderr);
    let routes = granting.proxy.directory.take();
    granting.proxy =
        Proxy::start(Command::new(BINARY).args(["serve", "--config"]).arg(routes.as_ref().unwrap().path()));
    granting.proxy.directory = routes;
    assert_eq!(granting.status(&lost), 404);
    drop(granting.open(&granting.grant(&target, &[])));
}

#[test]
fn a_reload_opens_and_closes_the_control_socket() {
    let (target, granting) = (echo().to_string(), Granting::start(""));
    let without = format!("listen = \"127.0.0.1:0\"\ntarget = \"{target}\"\n");
    granting.proxy.write_route("test", &without);
    granting.proxy.signal(Signal::SIGHUP);
    granting.proxy.log_line("configuration reloaded");
    eventually("the socket is gone", || (!granting.socket().exists()).then_some(()));
    let none = granting.try_grant(&["--target", &target]);
    assert_eq!(none.code, 78);
    assert!(none.stderr.contains("the route 'test' has no table [grants]"), "{}", none.stderr);
    granting.proxy.write_route("test", &Granting::toml(&granting.socket(), ""));
    granting.proxy.signal(Signal::SIGHUP);
    granting.proxy.nth_log_line("configuration reloaded", 1);
    drop(granting.open(&granting.grant(&target, &[])));
}

/// A service that lets somebody in need not say whom; then a token of jane's is not theirs.
#[test]
fn a_token_of_a_user_is_good_for_nobody_whom_the_route_cannot_name() {
    let target = echo().to_string();
    let portal = HttpService::start_with_heads(|head, wire| {
        let named = head.lines().any(|line| line.eq_ignore_ascii_case("cookie: session=jane"));
        let user = if named { "Remote-User: jane\r\n" } else { "" };
        let _ = write!(wire, "HTTP/1.1 204 No Content\r\n{user}Connection: close\r\n\r\n");
    });
    let asks = format!("[access.forward-auth]\nurl = \"http://{}/\"\nuser-header = \"Remote-User\"", portal.address);
    let granting = Granting::start(&asks);
    let token = granting.grant(&target, &["--user", "jane"]);
    let status = |cookie: &str| {
        let path = format!("/?token={token}");
        Client::connect(granting.proxy.address()).request(&path, &[("cookie", cookie)]).status
    };
    assert_eq!((status("session=other"), status("session=jane")), (404, 101));
    // Where nobody is asked, the token is the proof.
    let unasked = Granting::start("");
    drop(unasked.open(&unasked.grant(&target, &["--user", "jane"])));
    assert!(unasked.proxy.log_line("session opened").contains(" user=jane"));
}

/// The old route holds the socket until it is over, and its heir must not be refused it.
#[test]
fn a_route_that_gets_another_name_keeps_its_control_socket() {
    let (target, granting) = (echo().to_string(), Granting::start(""));
    let inode = fs::metadata(granting.socket()).unwrap().ino();
    let routes = granting.proxy.directory.as_ref().unwrap().path();
    fs::rename(routes.join("test.toml"), routes.join("other.toml")).unwrap();
    granting.proxy.signal(Signal::SIGHUP);
    granting.proxy.log_line("configuration reloaded");
    let granted = outcome(Command::new(BINARY).args(["grant", "other", "--target", &target, "--config"]).arg(routes));
    assert_eq!(granted.code, 0, "{}", granted.stderr);
    assert_eq!(fs::metadata(granting.socket()).unwrap().ino(), inode, "it was never closed");
    let told = granting.proxy.log_line("a grant was made");
    assert!(told.contains("other"), "{told}");
    drop(granting.open(granted.stdout.trim_end().split_once("/?token=").unwrap().1));
}

/// By the permissions of the socket; and where those are wrong, by what the kernel says of who is there.
#[test]
fn only_root_and_the_daemon_s_own_user_are_heard() {
    let (target, granting) = (echo().to_string(), Granting::start(""));
    assert_eq!(fs::metadata(granting.socket()).unwrap().mode() & 0o777, 0o600);
    // Everything that this user would have to see, it may.
    for path in [granting.directory.path(), granting.proxy.directory.as_ref().unwrap().path()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let another = |granting: &Granting| {
        let mut command = granting.command(&["--target", &target]);
        command.uid(65534).gid(65534);
        outcome(&mut command)
    };
    let refused = another(&granting);
    assert_eq!(refused.code, 71, "{refused:?}");
    assert!(refused.stderr.contains("(only root and the user that it runs as may)"), "{}", refused.stderr);
    fs::set_permissions(granting.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let refused = another(&granting);
    assert_eq!((refused.code, refused.stdout.as_str()), (71, ""), "{refused:?}");
    granting.proxy.log_line(" WARN no grant: only root and the daemon's own user may make some ");
    drop(granting.open(&granting.grant(&target, &[])));
}

/// Whoever may speak to the socket may do so slowly, too much, or nonsense: the next one is heard all the same.
#[test]
fn a_control_socket_is_not_stopped_by_who_does_not_speak_its_language() {
    let (target, granting) = (echo().to_string(), Granting::start(""));
    let say = |bytes: &[u8]| {
        let mut socket = UnixStream::connect(granting.socket()).unwrap();
        socket.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        socket.write_all(bytes).unwrap();
        let mut line = String::new();
        let _ = BufReader::new(socket).read_line(&mut line); // a reset is an answer too
        line
    };
    for nonsense in [
        &b"\n"[..],
        b"GET / HTTP/1.1\r\n",
        b"{\"grant\":{}}\n",
        b"{\"grant\":{\"target\":\"h:1\",\"ttl-seconds\":1,\"uses\":1,\"x\":1}}\n",
    ] {
        assert!(say(nonsense).contains("the request cannot be understood"), "{}", String::from_utf8_lossy(nonsense));
    }
    assert!(
        say(b"{\"grant\":{\"target\":\"h:1\",\"ttl-seconds\":0,\"uses\":1}}\n")
            .contains("a grant is good from 1s to 7days")
    );
    let silent = UnixStream::connect(granting.socket()).unwrap();
    let mut endless = UnixStream::connect(granting.socket()).unwrap();
    let _ = endless.write_all(&vec![b'x'; 100_000]);
    drop(granting.open(&granting.grant(&target, &[])));
    drop(silent);
}

#[test]
fn the_url_is_what_a_browser_opens() {
    let target = echo().to_string();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("vnc.html"), "noVNC").unwrap();
    let url = |more: &str, listen: &str| {
        let granting = Granting::start(more);
        // What the verb reads is the file; that the daemon has another port is nobody's loss.
        let routes = granting.proxy.directory.as_ref().unwrap().path().join("test.toml");
        let text = fs::read_to_string(&routes).unwrap();
        let top = format!("listen = \"{listen}\"\nweb = \"{}\"\n", directory.path().display());
        fs::write(&routes, text.replacen("listen = \"127.0.0.1:0\"\n", &top, 1)).unwrap();
        let granted = granting.try_grant(&["--target", &target, "--json", "--user", "jane", "--ttl", "90s"]);
        assert_eq!(granted.code, 0, "{}", granted.stderr);
        let value: serde_json::Value = serde_json::from_str(&granted.stdout).unwrap();
        let token = value["token"].as_str().unwrap().to_owned();
        assert_eq!((value["uses"].as_u64(), value["user"].as_str()), (Some(1), Some("jane")));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let left = value["expires"].as_u64().unwrap() - now;
        assert!((60..=90).contains(&left), "{left}");
        value["url"].as_str().unwrap().replace(&token, "TOKEN")
    };
    assert_eq!(
        url("", "127.0.0.1:6080"),
        "http://127.0.0.1:6080/vnc.html?autoconnect=true&path=websockify%3Ftoken%3DTOKEN"
    );
    assert_eq!(
        url("[tokens]\nfrom = [\"cookie:x\", \"path\"]", "[::1]:6080"),
        "http://[::1]:6080/vnc.html?autoconnect=true&path=websockify%2FTOKEN"
    );
    let name = nix::unistd::gethostname().unwrap().into_string().unwrap();
    assert!(url("", "6080").starts_with(&format!("http://{name}:6080/vnc.html?")));
    assert_eq!(
        url("url = \"https://lab.example.com/desk/vnc.html?resize=scale\"", "6080"),
        "https://lab.example.com/desk/vnc.html?resize=scale&autoconnect=true&path=websockify%3Ftoken%3DTOKEN"
    );
    assert_eq!(
        url("url = \"wss://lab.example.com/websockify\"\n[tokens]\nfrom = \"query:vm\"", "6080"),
        "wss://lab.example.com/websockify?vm=TOKEN"
    );
}

/// The place of the socket when nobody says one: below the directory that systemd makes, and the user's own.
#[test]
fn the_socket_is_in_the_service_s_own_directory() {
    let target = echo().to_string();
    let runtime = tempfile::tempdir().unwrap();
    let routes = tempfile::tempdir().unwrap();
    fs::write(routes.path().join("lab.toml"), "listen = \"127.0.0.1:0\"\n[grants]\n").unwrap();
    let own = runtime.path().join("websockify-lab");
    fs::DirBuilder::new().mode(0o700).create(&own).unwrap();
    let proxy = Proxy::start(
        Command::new(BINARY)
            .args(["serve", "--config"])
            .arg(routes.path())
            .env("RUNTIME_DIRECTORY", format!("{}:/nonexistent", own.display())),
    );
    assert!(own.join("lab.control").exists());
    let granted = outcome(
        Command::new(BINARY)
            .args(["grant", "lab", "--target", &target, "--config"])
            .arg(routes.path())
            .arg("--socket")
            .arg(own.join("lab.control")),
    );
    assert_eq!(granted.code, 0, "{}", granted.stderr);
    drop(proxy);
}

#[test]
fn a_socket_that_cannot_be_made_is_told_and_costs_no_session() {
    let target = echo();
    let directory = tempfile::tempdir().unwrap();
    let occupied = directory.path().join("file");
    fs::write(&occupied, "somebody's").unwrap();
    let tokens = directory.path().join("tokens");
    fs::write(&tokens, format!("known: {target}\n")).unwrap();
    let more = format!("[tokens]\nsource = \"file:{}\"", tokens.display());
    let proxy = Proxy::serve(&Granting::toml(&occupied, &more));
    let line = proxy.log_line(" ERROR no grants can be made: the control socket cannot be opened");
    assert!(line.contains("a file that is not a socket"), "{line}");
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.request("/?token=known", &[]).status, 101);
    assert_eq!(fs::read_to_string(&occupied).unwrap(), "somebody's");
}

#[test]
fn a_mistake_in_the_command_or_the_table_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().to_str().unwrap();
    for (toml, said) in [
        ("target = \"h:1\"\n[grants]", "test.toml:3:1: 'target' and '[grants]' exclude each other"),
        ("exit-idle = \"1h\"\n[grants]", "test.toml:3:1: '[grants]' and 'exit-idle' exclude each other"),
        (
            "[tokens]\nfrom = [\"host\", \"cookie:x\"]\n[grants]",
            "test.toml:4:1: '[grants]' needs a place of tokens in the URL",
        ),
        ("[grants]\nurl = \"lab/vnc.html\"", "test.toml:3:7: 'lab/vnc.html' is not a value of 'grants.url'"),
        ("[grants]\nsocket = \"\"", "'grants.socket' is empty: write a file"),
        ("[tokens]\nfrom = \"path\"", "test.toml:2:1: 'tokens.source' is missing"),
    ] {
        fs::write(directory.path().join("test.toml"), format!("listen = \"1\"\n{toml}\n")).unwrap();
        let ended = run(&["check", "--config", config]);
        assert_eq!(ended.code, 78, "{}", ended.stderr);
        assert!(ended.stderr.contains(said), "no '{said}' in\n{}", ended.stderr);
    }
    for (arguments, said) in [
        (&["--ttl", "0s"][..], "from 1s to 7days"),
        (&["--ttl", "8days"], "from 1s to 7days"),
        (&["--uses", "0"], "0 is not in 1..=1000"),
        (&["--uses", "2", "--once"], "cannot be used with"),
    ] {
        let ended = run(&[&["grant", "test", "--target", "h:1", "--config", config], arguments].concat());
        assert_eq!(ended.code, 64, "{}", ended.stderr);
        assert!(ended.stderr.contains(said), "no '{said}' in\n{}", ended.stderr);
    }
    let ended = run(&["grant", "tset", "--target", "h:1", "--config", config]);
    assert_eq!(ended.code, 78);
    assert!(ended.stderr.contains("no route 'tset' here: did you mean 'test'?"), "{}", ended.stderr);
}
