//! What clients show to be let in: passwords, tokens that name somebody, another service's word, and the page that they act
//! for.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::command::run;
use crate::support::eventually;
use crate::support::proxy::{BINARY, Proxy};
use crate::support::route::{refusing, serve, toml};
use crate::support::service::{HttpService, reply};
use crate::support::target::echo;
use crate::support::web::get;

/// Of "s3cret", as `htpasswd -nbB -C 4` prints it.
const JANE: &str = "$2y$04$x2ySYw4ga5JXxZNn7tBhcuAoKa8G9mJCUvxS4fe7M0MObNP9dnnT.";

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The status of an answer to an upgrade request from this address of the loopback.
fn status_from(source: [u8; 4], address: SocketAddr, headers: &[(&str, &str)]) -> u16 {
    Client::connect_from(source, None, address).request("/websockify", headers).status
}

fn status(address: SocketAddr, headers: &[(&str, &str)]) -> u16 {
    status_from([127, 0, 0, 1], address, headers)
}

/// What a browser is told: by a Close frame behind a 101.
fn told(address: SocketAddr, headers: &[(&str, &str)]) -> (u16, String) {
    let mut client = Client::connect(address);
    let head = client.request("/websockify", headers);
    assert_eq!(head.status, 101, "{}", head.text);
    let (code, reason) = client.read_close();
    (code, reason.split(" (session ").next().unwrap().to_owned())
}

/// A route with users, beside a file of them.
struct Guarded {
    proxy: Proxy,
    directory: tempfile::TempDir,
}

impl Guarded {
    fn serve(users: &str, more: &str) -> Self {
        Self::serve_with(users, more, "")
    }

    /// With `access`, keys of that table.
    fn serve_with(users: &str, more: &str, access: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        fs::write(&path, users).unwrap();
        let proxy = serve(echo(), &format!("{more}\n[access]\nusers = \"{}\"\n{access}\n", path.display()));
        Self { proxy, directory }
    }

    fn address(&self) -> SocketAddr {
        self.proxy.address()
    }
}

#[test]
fn the_original_s_basic_authentication_works_as_it_did() {
    let target = echo().to_string();
    let proxy = Proxy::classic(&["--auth-plugin=BasicHTTPAuth", "--auth-source=jane:s3c:ret", "127.0.0.1:0", &target]);
    let address = proxy.address();
    let mut client = Client::connect(address);
    assert_eq!(client.request("/websockify", &[("authorization", &basic("jane", "s3c:ret"))]).status, 101);
    client.send_binary(b"hello");
    assert_eq!(client.read_binary(5), b"hello");
    assert!(proxy.log_line("session opened").contains(" user=jane"));

    let head = Client::connect(address).request("/websockify", &[]);
    assert_eq!(head.status, 401);
    assert!(head.text.contains("\r\nwww-authenticate: Basic realm=\"Websockify\""), "{}", head.text);
    assert_eq!(status(address, &[("authorization", &basic("jane", "s3c"))]), 401);
    assert_eq!(status(address, &[("authorization", &basic("joe", "s3c:ret"))]), 401);
    // Of another scheme, or no user and password: 403, as the original had it.
    for wrong in ["Bearer abc", "Basic", "Basic !", "Basic amFuZQ=="] {
        assert_eq!(status(address, &[("authorization", wrong)]), 403, "{wrong}");
    }
    // Without --web-auth there is nothing to guard.
    assert_eq!(get(address, "/").head.status, 405);
}

#[test]
fn auth_options_that_say_nothing_are_told_what_to_say() {
    for (options, error) in [
        (&["--auth-plugin=BasicHTTPAuth"][..], "You must use --auth-source to use --auth-plugin"),
        (&["--auth-plugin=BasicHTTPAuth", "--auth-source=jane"], "write USER:PASSWORD"),
        (&["--auth-plugin=mine.Auth", "--auth-source=x"], "unknown auth plugin 'mine.Auth'"),
        (&["--auth-plugin=ExpectOrigin", "--auth-source=desk"], "'desk' is not an origin"),
        (&["--auth-source=x"], "You must use --auth-plugin to use --auth-source"),
        (&["--web-auth"], "You must use --auth-plugin to use --web-auth"),
    ] {
        let ended = run(&[options, &["6080", "localhost:5900"]].concat());
        assert_eq!(ended.code, 2, "{options:?}");
        assert!(ended.stderr.contains(error), "{}", ended.stderr);
    }
}

/// The tools that administrators make such lines with.
#[test]
fn hashes_of_htpasswd_and_mkpasswd_are_verified() {
    let line = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let users = [
        line("htpasswd", &["-nbB", "-C", "4", "htpasswd", "s3cret"]),
        format!("bcrypt:{}", line("mkpasswd", &["-m", "bcrypt", "-R", "5", "s3cret"])),
        format!("sha256:{}", line("mkpasswd", &["-m", "sha256crypt", "s3cret"])),
        format!("sha512:{}", line("mkpasswd", &["-m", "sha512crypt", "-R", "1000", "s3cret"])),
        // echo -n s3cret | argon2 saltsalt -id -e -t 1 -k 64
        "argon2:$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$/ZWgniz0ffmS6EeyQrPbDGw2ZDYqu/MINT2KbFWjxow".to_owned(),
        line("htpasswd", &["-nbm", "weak", "s3cret"]),
        format!("yescrypt:{}", line("mkpasswd", &["-m", "yescrypt", "s3cret"])),
    ];
    let guarded = Guarded::serve(&users.join("\n"), "");
    let address = guarded.address();
    for user in ["htpasswd", "bcrypt", "sha256", "sha512", "argon2"] {
        assert_eq!(status(address, &[("authorization", &basic(user, "s3cret"))]), 101, "{user}");
        assert_eq!(status(address, &[("authorization", &basic(user, "s3cre"))]), 401, "{user}");
    }
    for user in ["weak", "yescrypt", "nobody"] {
        assert_eq!(status(address, &[("authorization", &basic(user, "s3cret"))]), 401, "{user}");
    }
    let told = guarded.proxy.log_line("some of the users cannot be used");
    assert!(told.contains("line 6: its hash is MD5 (apr1)") && told.contains("line 7: its hash is yescrypt"), "{told}");
    assert!(told.contains("htpasswd -B"), "{told}");
}

#[test]
fn users_come_and_go_while_their_sessions_go_on() {
    let guarded = Guarded::serve(&format!("jane:{JANE}\n"), "");
    let (address, path) = (guarded.address(), guarded.directory.path().join("users"));
    let jane = basic("jane", "s3cret");
    let mut running = Client::connect(address);
    assert_eq!(running.request("/websockify", &[("authorization", &jane)]).status, 101);

    fs::write(&path, format!("joe:{JANE}\n")).unwrap();
    eventually("joe is let in", || {
        (status(address, &[("authorization", &basic("joe", "s3cret"))]) == 101).then_some(())
    });
    assert_eq!(status_from([127, 0, 0, 2], address, &[("authorization", &jane)]), 401, "not known any more");
    guarded.proxy.log_line("users changed: new sessions use the new ones");
    // Half of a file locks nobody out.
    fs::write(&path, "joe:$2y$04$half").unwrap();
    let told = || guarded.proxy.log_lines().iter().any(|line| line.contains("users changed, but not all can be used"));
    eventually("the half is told of", || {
        assert_eq!(status(address, &[("authorization", &basic("joe", "s3cret"))]), 101);
        told().then_some(())
    });
    running.send_binary(b"still here");
    assert_eq!(running.read_binary(10), b"still here");
}

#[test]
fn a_browser_learns_why_and_one_that_may_know_a_password_is_asked_for_it() {
    let guarded = Guarded::serve(&format!("jane:{JANE}\n"), "");
    let origin = ("origin", "http://desk");
    // Only a 401 makes a browser send what it knows.
    assert_eq!(status(guarded.address(), &[origin]), 401);
    let wrong = told(guarded.address(), &[origin, ("authorization", &basic("jane", "wrong"))]);
    assert_eq!(wrong, (1008, "The user or the password is wrong".to_owned()));
    let line = guarded.proxy.log_line("refused: its user or password is wrong");
    assert!(line.contains("WARN") && line.contains(" user=jane"), "{line}");
}

#[test]
fn files_are_guarded_where_the_route_says_so() {
    let web = tempfile::tempdir().unwrap();
    fs::write(web.path().join("index.html"), "the page").unwrap();
    let (users, web) = (format!("jane:{JANE}\n"), format!("web = \"{}\"", web.path().display()));
    let open = Guarded::serve(&users, &web);
    assert_eq!(get(open.address(), "/").body, "the page");
    let guarded = Guarded::serve_with(&users, &web, "web-auth = true");
    let mut client = Client::connect(guarded.address());
    let refused = client.fetch("GET", "/", &[]);
    assert_eq!((refused.head.status, refused.body.as_str()), (401, "Log in first\n"));
    assert!(refused.header("www-authenticate").starts_with("Basic realm=\"Websockify\""));
    // On the same connection, as a browser goes on after its dialog.
    let password = basic("jane", "s3cret");
    let shown = [("authorization", password.as_str())];
    assert_eq!(client.fetch("GET", "/", &shown).body, "the page");
    assert_eq!(client.fetch("GET", "/missing", &[]).head.status, 401, "what is there is not told either");
    assert_eq!(client.fetch("POST", "/", &[]).head.status, 401);
    assert_eq!(client.request("/websockify", &shown).status, 101);
}

/// So many requests, several at a time, and their statuses.
fn storm(count: usize, request: impl Fn(usize) -> u16 + Sync) -> Vec<u16> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let mut statuses = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return statuses;
                        }
                        statuses.push(request(number));
                    }
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Ten thousand wrong passwords: few are looked at, the log stays short, and no password is in it, nor how it was sent.
#[test]
fn a_storm_of_passwords_is_stopped_and_shown_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let users = directory.path().join("users");
    fs::write(&users, format!("jane:{JANE}\n")).unwrap();
    let access = format!("access.users = \"{}\"", users.display());
    fs::write(directory.path().join("test.toml"), toml(echo(), &access)).unwrap();
    let proxy = Proxy::start(Command::new(BINARY).args(["serve", "-v", "--config"]).arg(directory.path()));
    let address = proxy.address();
    let guess = |number: usize| status(address, &[("authorization", &basic("jane", &format!("gu3ss-{number}")))]);
    storm(2000, guess);
    let before = proxy.private_memory();
    let statuses = storm(8000, |number| guess(2000 + number));
    let grown = proxy.private_memory().saturating_sub(before);
    assert!(grown < 4 * 1024 * 1024, "{grown} bytes more");
    let looked_at = statuses.iter().filter(|status| **status == 401).count();
    assert!(looked_at < 50, "{looked_at} passwords were looked at");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 8000 - looked_at);
    let head = Client::connect(address).request("/websockify", &[("authorization", &basic("jane", "s3cret"))]);
    assert_eq!(head.status, 429, "the right one is not told from the others");
    assert!(head.text.contains("\r\nretry-after: "), "{}", head.text);
    let from_elsewhere = status_from([127, 0, 0, 2], address, &[("authorization", &basic("jane", "s3cret"))]);
    assert_eq!(from_elsewhere, 101, "nobody else waits");

    proxy.log_line("session ended");
    let lines = proxy.log_lines();
    let records = lines.iter().filter(|line| line.contains("refused: ")).count();
    assert!(records < 400, "{records} records");
    assert!(lines.iter().any(|line| line.contains("refused: its address was wrong too often")));
    let encoded = STANDARD.encode("jane:gu3ss");
    for secret in ["gu3ss", "s3cret", &encoded[..12], "Basic", "uthorization:"] {
        let told: Vec<_> = lines.iter().filter(|line| line.contains(secret)).collect();
        assert_eq!(told, Vec::<&String>::new(), "{secret}");
    }
}

/// The original took a header for a certificate's name: any client could send it.
#[test]
fn no_header_says_who_somebody_is() {
    let guarded = Guarded::serve(&format!("jane:{JANE}\n"), "");
    for name in [
        "SSL_CLIENT_S_DN_CN",
        "ssl_client_s_dn_cn",
        "Ssl-Client-S-Dn-Cn",
        "X-Remote-User",
        "x_remote_user",
        "REMOTE_USER",
        "Remote-User",
        "X-Forwarded-User",
        "X-SSL-Client-CN",
    ] {
        assert_eq!(status(guarded.address(), &[(name, "jane")]), 401, "{name}");
    }
}

#[test]
fn pages_from_elsewhere_may_not_connect_where_pages_are_served() {
    let web = tempfile::tempdir().unwrap();
    let web = format!("web = \"{}\"", web.path().display());
    let proxy = serve(echo(), &web);
    let address = proxy.address();
    let mut client = Client::connect(address);
    // The client's Host is "test".
    assert_eq!(client.request("/websockify", &[("origin", "http://test")]).status, 101);
    client.send_binary(b"x");
    assert_eq!(client.read_binary(1), b"x");
    assert_eq!(
        told(address, &[("origin", "https://evil.example")]),
        (1008, "This page may not connect here".to_owned())
    );
    assert_eq!(status(address, &[]), 101, "what is no browser has no page");
    let line = proxy.log_line("is not among access.origins");
    assert!(line.contains("https://evil.example") && line.contains("pass the Host header on"), "{line}");

    let open = serve(echo(), &format!("{web}\naccess.same-origin = false"));
    assert_eq!(status(open.address(), &[("origin", "https://evil.example")]), 101);
    let without_pages = serve(echo(), "");
    assert_eq!(status(without_pages.address(), &[("origin", "https://evil.example")]), 101);
}

#[test]
fn the_original_s_expect_origin_works_as_it_did() {
    let target = echo().to_string();
    let source = "--auth-source=https://portal.example.com http://lab:8080";
    let proxy = Proxy::classic(&["--auth-plugin=ExpectOrigin", source, "127.0.0.1:0", &target]);
    for origin in ["https://portal.example.com", "http://lab:8080"] {
        assert_eq!(status(proxy.address(), &[("origin", origin)]), 101);
    }
    assert_eq!(status(proxy.address(), &[]), 403);
    assert_eq!(told(proxy.address(), &[("origin", "http://portal.example.com")]).0, 1008);
}

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

fn token(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(KEY)).unwrap()
}

fn key_file(directory: &Path) -> String {
    let path = directory.join("jwt.key");
    fs::write(&path, base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(KEY)).unwrap();
    path.display().to_string()
}

#[test]
fn a_bearer_token_names_the_user_and_ends_the_session() {
    let directory = tempfile::tempdir().unwrap();
    let jwt = format!(
        "[access.jwt]\nkey = \"{}\"\naudience = \"vnc\"\nfrom = [\"header\", \"cookie:session\"]\n",
        key_file(directory.path())
    );
    let proxy = serve(echo(), &jwt);
    let address = proxy.address();
    let claims = |seconds: u64| json!({ "sub": "jane", "aud": "vnc", "exp": get_current_timestamp() + seconds });
    let long = token(&claims(600));
    assert_eq!(status(address, &[("authorization", &format!("Bearer {long}"))]), 101);
    assert_eq!(status(address, &[("cookie", &format!("a=b; session={long}"))]), 101);
    let head = Client::connect(address).request("/websockify", &[]);
    assert!(head.status == 401 && head.text.contains("www-authenticate: Bearer"), "{}", head.text);
    for wrong in [
        token(&json!({ "sub": "jane", "aud": "mail", "exp": get_current_timestamp() + 600 })),
        token(&json!({ "sub": "jane", "aud": "vnc" })),
        format!("{long}x"),
        "abc".to_owned(),
    ] {
        assert_eq!(status(address, &[("authorization", &format!("Bearer {wrong}"))]), 401, "{wrong}");
    }
    let mut ending = Client::connect(address);
    let cookie = format!("session={}", token(&claims(6)));
    assert_eq!(ending.request("/websockify", &[("cookie", &cookie)]).status, 101);
    assert_eq!(ending.read_close().0, 1008);
    assert!(proxy.log_line("session opened").contains(" user=jane"));
    let leaked = proxy.log_lines().iter().any(|line| line.contains(&long[..20]));
    assert!(!leaked, "a token is in the log");
}

/// A small service of the kind that nginx asks.
fn portal(target: SocketAddr) -> HttpService {
    HttpService::start_with_heads(move |head, wire| {
        let has = |line: &str| head.lines().any(|found| found.eq_ignore_ascii_case(line));
        if has("cookie: session=jane") {
            let _ = write!(
                wire,
                "HTTP/1.1 204 No Content\r\nRemote-User: jane\r\nX-Target: {target}\r\nConnection: close\r\n\r\n"
            );
        } else if has("cookie: session=lost") {
            let _ = write!(wire, "HTTP/1.1 200 OK\r\nX-Target: 192.0.2.1:5900\r\nConnection: close\r\n\r\n");
        } else if has("cookie: session=joe") {
            reply(wire, "403 Forbidden", "no");
        } else if has("cookie: session=redirect") {
            let _ = write!(wire, "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n");
        } else {
            let _ = write!(
                wire,
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Portal realm=\"x\"\r\nContent-Length: 0\r\n\r\n"
            );
        }
    })
}

#[test]
fn another_service_decides_and_names_user_and_target() {
    let target = echo();
    let service = portal(target);
    let nowhere = refusing();
    let more = format!(
        "targets.allow = [\"127.0.0.1\"]\n[access.forward-auth]\nurl = \"http://{}/check?x=1\"\n\
         user-header = \"Remote-User\"\ntarget-header = \"X-Target\"\n",
        service.address
    );
    let proxy = serve(nowhere, &more);
    let address = proxy.address();
    let mut client = Client::connect(address);
    let shown = [("cookie", "session=jane"), ("x-real-ip", "6.6.6.6"), ("x-forwarded-for", "6.6.6.6")];
    assert_eq!(client.request("/websockify?a=b", &shown).status, 101);
    client.send_binary(b"hello");
    assert_eq!(client.read_binary(5), b"hello");
    let line = proxy.log_line("session opened");
    assert!(line.contains(" user=jane") && line.contains(&format!(" target={target}")), "{line}");

    let head = service.heads().remove(0).to_lowercase();
    for line in [
        "get /check?x=1 http/1.1",
        "x-original-method: get",
        "x-original-uri: /websockify?a=b",
        "x-forwarded-uri: /websockify?a=b",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "cookie: session=jane",
    ] {
        assert!(head.lines().any(|found| found == line), "no {line} in {head}");
    }
    assert!(!head.contains("6.6.6.6"), "{head}");

    let refused = Client::connect(address).request("/websockify", &[("cookie", "session=nobody")]);
    assert!(refused.status == 401 && refused.text.contains("www-authenticate: Portal realm=\"x\""), "{}", refused.text);
    assert_eq!(status(address, &[("cookie", "session=joe")]), 403);
    assert_eq!(told(address, &[("cookie", "session=joe"), ("origin", "http://desk")]).0, 1008);
    // Where it leads is within targets.allow, whoever says it.
    assert_eq!(status(address, &[("cookie", "session=lost")]), 403);
    // A redirect is no answer, and nobody gets in.
    assert_eq!(status(address, &[("cookie", "session=redirect")]), 503);
    let cause = proxy.log_line("refused: access.forward-auth cannot say");
    assert!(cause.contains("302"), "{cause}");
}

#[test]
fn a_service_that_does_not_answer_lets_nobody_in() {
    let silent = HttpService::start(|_, _| std::thread::park());
    let more =
        |address: SocketAddr| format!("[access.forward-auth]\nurl = \"http://{address}/\"\ntimeout = \"200ms\"\n");
    let proxy = serve(echo(), &more(silent.address));
    assert_eq!(status(proxy.address(), &[]), 503);
    let (code, reason) = told(proxy.address(), &[("origin", "http://desk")]);
    assert_eq!((code, reason.as_str()), (1013, "Who you are cannot be found out now, try again later"));
    let gone = serve(echo(), &more(refusing()));
    assert_eq!(status(gone.address(), &[]), 503);
    let endless = HttpService::start(|_, wire| {
        let _ = write!(wire, "HTTP/1.1 200 OK\r\n");
        while write!(wire, "X: {}\r\n", "x".repeat(1000)).is_ok() {}
    });
    let proxy = serve(echo(), &more(endless.address));
    assert_eq!(status(proxy.address(), &[]), 503);
}

#[test]
fn of_several_proofs_all_are_wanted_or_any() {
    let directory = tempfile::tempdir().unwrap();
    let users = directory.path().join("users");
    fs::write(&users, format!("jane:{JANE}\n")).unwrap();
    let both = |require: &str| {
        format!(
            "[access]\nrequire = \"{require}\"\nusers = \"{}\"\n[access.jwt]\nkey = \"{}\"\nfrom = \"cookie:session\"\n",
            users.display(),
            key_file(directory.path())
        )
    };
    let (all, any) = (serve(echo(), &both("all")), serve(echo(), &both("any")));
    let password = basic("jane", "s3cret");
    let cookie = format!("session={}", token(&json!({ "sub": "joe", "exp": get_current_timestamp() + 600 })));
    let (password, cookie) = (("authorization", password.as_str()), ("cookie", cookie.as_str()));
    assert_eq!(status(all.address(), &[password, cookie]), 101);
    assert_eq!(status(all.address(), &[password]), 401);
    assert_eq!(status(all.address(), &[cookie]), 401);
    assert_eq!(status(any.address(), &[password]), 101);
    assert_eq!(status(any.address(), &[cookie]), 101);
    let head = Client::connect(any.address()).request("/websockify", &[]);
    assert_eq!(head.status, 401);
    assert!(head.text.contains("www-authenticate: Basic") && head.text.contains("www-authenticate: Bearer"));
    let wrong = basic("jane", "wrong");
    assert_eq!(status(any.address(), &[("authorization", &wrong)]), 401);
    any.log_line("refused: its user or password is wrong");
}

#[test]
fn passwords_without_tls_are_warned_of_at_the_start() {
    let users = format!("jane:{JANE}\n");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users");
    fs::write(&path, &users).unwrap();
    let access = format!("[access]\nusers = \"{}\"\n", path.display());
    let warning = "passwords are readable on their way here";
    let open = Proxy::serve(&format!("listen = \"0.0.0.0:0\"\ntarget = \"{}\"\n{access}", echo()));
    assert!(open.log_line(warning).contains("WARN"));
    let local = serve(echo(), &access);
    assert!(!local.log_lines().iter().any(|line| line.contains(warning)));
}

#[test]
fn check_and_convert_know_who_may_connect() {
    let directory = tempfile::tempdir().unwrap();
    let converted = |arguments: &[&str]| {
        let ended = run(&[&["convert", "--"], arguments, &["6080", "localhost:5900"]].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout
    };
    let basic = converted(&["--auth-plugin=BasicHTTPAuth", "--auth-source=jane:s3cret"]);
    assert!(basic.contains("[access]\nusers = \"/etc/websockify/users\"\n"), "{basic}");
    assert!(basic.contains("htpasswd -B -c /etc/websockify/users jane") && !basic.contains("s3cret"), "{basic}");
    let origin = converted(&["--auth-plugin=ExpectOrigin", "--auth-source=https://a https://b:8443"]);
    assert!(origin.contains("[access]\norigins = [\"https://a\", \"https://b:8443\"]\n"), "{origin}");

    let users = directory.path().join("users");
    fs::write(&users, "jane:$apr1$abc$def\n").unwrap();
    let route = directory.path().join("vnc.toml");
    fs::write(&route, format!("listen = \"/x\"\ntarget = \"a:1\"\naccess.users = \"{}\"\n", users.display())).unwrap();
    let ended = run(&["check", "--config", directory.path().to_str().unwrap()]);
    assert_eq!(ended.code, 78);
    assert!(ended.stderr.contains("vnc.toml:3:16: line 1: its hash is MD5 (apr1)"), "{}", ended.stderr);
}
