//! Tokens that another program decides about: an HTTP service, whoever signs JWTs, Redis.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::sys::signal::Signal;

use crate::support::client::{Client, upgrade_request};
use crate::support::command::run;
use crate::support::eventually;
use crate::support::proxy::Proxy;
use crate::support::service::{HttpService, Redis, reply};
use crate::support::target::echo;
use crate::support::tls::SelfSigned;
use crate::support::token::{leads_to, named, open};

const ORIGIN: (&str, &str) = ("Origin", "http://localhost:6080");
const HERE: &str = "[targets]\nallow = [\"127.0.0.0/8\"]";

fn by_token(tokens: &str) -> Proxy {
    Proxy::serve(&format!("listen = \"127.0.0.1:0\"\n[tokens]\n{tokens}\n{HERE}\n"))
}

fn status(proxy: &Proxy, token: &str) -> u16 {
    Client::connect(proxy.address()).request(&format!("/?token={token}"), &[]).status
}

#[test]
fn a_service_is_asked_by_http_and_answers_with_text_or_json() {
    let target = echo();
    let text = HttpService::start(move |line, wire| match line {
        "GET /vnc/one HTTP/1.1" => reply(wire, "200 OK", &format!("{target}\n")),
        "GET /vnc/none HTTP/1.1" => reply(wire, "200 OK", "\n"),
        "GET /vnc/odd HTTP/1.1" => reply(wire, "200 OK", "<html>"),
        _ => reply(wire, "404 Not Found", "no such token"),
    });
    let port = target.port();
    let json = HttpService::start(move |line, wire| {
        assert_eq!(line, "GET /?key=a%20b&token=two HTTP/1.1");
        reply(wire, "200 OK", &format!("{{\"host\": \"127.0.0.1\", \"port\": {port}}}"));
    });
    let route = by_token(&format!("source = \"http://{}/vnc/%s\"", text.address));
    open(&route, "one").assert_echoes();
    assert_eq!(status(&route, "none"), 404);
    assert_eq!(status(&route, "two"), 404);
    assert_eq!(status(&route, "odd"), 503);
    route.log_line("what it says is no target: '<html>' is not a target");
    let source = format!("--token-source=http://{}/?key=a%20b&token=%s", json.address);
    let classic = ["--token-plugin=JSONTokenApi", &source, "--allow-target=127.0.0.0/8", "127.0.0.1:0"];
    open(&Proxy::classic(&classic), "two").assert_echoes();
    let source = format!("--token-source=http://me:s%3Acret@{}/vnc/%s", text.address);
    let classic = ["--token-plugin=BaseTokenAPI", &source, "--allow-target=127.0.0.0/8", "127.0.0.1:0"];
    let proxy = Proxy::classic(&classic);
    open(&proxy, "one").assert_echoes();
    let head = text.heads().pop().unwrap().to_lowercase();
    // printf %s me:s:cret | base64
    assert!(
        head.contains("authorization: basic bwu6czpjcmv0\r\n") && head.contains(&format!("host: {}", text.address))
    );
    assert!(proxy.log_lines().iter().all(|line| !line.contains("cret")));
}

#[test]
fn a_service_that_is_slow_or_hangs_or_lies_costs_a_bounded_time_and_no_session() {
    let target = echo();
    let service = HttpService::start(move |line, wire| match line.split(' ').nth(1).unwrap() {
        "/?t=good" => reply(wire, "200 OK", &target.to_string()),
        "/?t=hangs" => std::thread::park(),
        "/?t=drips" => loop {
            if wire.write_all(b"HTTP/1.1 200 OK\r\nX: y").and_then(|()| wire.flush()).is_err() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(100));
        },
        "/?t=huge" => {
            let _ = write!(wire, "HTTP/1.1 200 OK\r\n\r\n");
            while wire.write_all(&[b'x'; 65536]).is_ok() {}
        }
        "/?t=loops" => {
            let _ = write!(wire, "HTTP/1.1 302 Found\r\nLocation: /?t=good\r\nContent-Length: 0\r\n\r\n");
        }
        "/?t=breaks" => {
            let _ = write!(wire, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n127");
        }
        "/?t=mumbles" => drop(wire.write_all(b"RFB 003.008\n")),
        "/?t=overloaded" => reply(wire, "429 Too Many Requests", ""),
        _ => reply(wire, "500 Internal Server Error", ""),
    });
    let route = by_token(&format!("source = \"http://{}/?t=%s\"\ntimeout = \"700ms\"", service.address));
    let mut running = open(&route, "good");
    for (token, why) in [
        ("hangs", "no answer within 700ms"),
        ("drips", "no answer within 700ms"),
        ("huge", "the answer is longer than 65536 bytes"),
        ("loops", "it answers with the HTTP status 302 Found, which is not followed"),
        ("breaks", "no HTTP answer"),
        ("mumbles", "no HTTP answer"),
        ("overloaded", "it answers with the HTTP status 429"),
        ("fails", "it answers with the HTTP status 500"),
    ] {
        let began = Instant::now();
        let mut browser = Client::connect(route.address());
        assert_eq!(browser.request(&format!("/?token={token}"), &[ORIGIN]).status, 101, "{token}");
        let (code, reason) = browser.read_close();
        assert_eq!(code, 1013, "{token}");
        assert!(reason.starts_with("The token cannot be looked up now, try again later"), "{reason}");
        assert!(began.elapsed() < Duration::from_secs(8), "{token}: {:?}", began.elapsed());
        let line = route.log_line(why);
        assert!(line.contains(" WARN refused: the token source cannot say"), "{line}");
    }
    assert_eq!(status(&route, "hangs"), 503);
    running.assert_echoes();
    let asked = service.heads().iter().filter(|head| head.starts_with("GET /?t=good ")).count();
    assert_eq!(asked, 1, "a redirect was followed");
}

/// A body in chunks says nothing of its length beforehand.
#[test]
fn a_body_in_chunks_without_an_end_costs_a_bounded_time() {
    let service = HttpService::start(|line, wire| {
        let _ = write!(wire, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let (chunk, pause) = match line {
            "GET /drips HTTP/1.1" => ("1\r\n1\r\n".to_owned(), Duration::from_millis(50)),
            _ => (format!("1000\r\n{}\r\n", "1".repeat(0x1000)), Duration::ZERO),
        };
        while wire.write_all(chunk.as_bytes()).and_then(|()| wire.flush()).is_ok() {
            std::thread::park_timeout(pause);
        }
    });
    let route = by_token(&format!("source = \"http://{}/%s\"\ntimeout = \"700ms\"", service.address));
    for (token, why) in [("drips", "no answer within 700ms"), ("floods", "the answer is longer than 65536 bytes")] {
        let began = Instant::now();
        assert_eq!(status(&route, token), 503, "{token}");
        assert!(began.elapsed() < Duration::from_secs(20), "{token}: {:?}", began.elapsed());
        route.log_line(why);
    }
}

#[test]
fn a_redirect_that_leads_back_to_itself_is_asked_for_once() {
    let service = HttpService::start(|line, wire| {
        let location = line.split(' ').nth(1).unwrap();
        let _ = write!(wire, "HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    });
    let route = by_token(&format!("source = \"http://{}/%s\"", service.address));
    assert_eq!(status(&route, "circle"), 503);
    route.log_line("it answers with the HTTP status 307 Temporary Redirect, which is not followed");
    assert_eq!(service.heads().len(), 1);
}

#[test]
fn a_running_session_echoes_while_lookups_hang() {
    let target = echo();
    let service = HttpService::start(move |line, wire| match line {
        "GET /good HTTP/1.1" => reply(wire, "200 OK", &target.to_string()),
        _ => std::thread::park(),
    });
    let route = by_token(&format!("source = \"http://{}/%s\"\ntimeout = \"60s\"", service.address));
    let mut running = open(&route, "good");
    // More than there are threads that could each be kept by one.
    let mut waiting: Vec<Client> = (0..16).map(|_| Client::connect(route.address())).collect();
    for client in &mut waiting {
        client.send(upgrade_request("/?token=hangs", &[]).as_bytes());
    }
    eventually("all lookups hang", || (service.heads().len() == 1 + waiting.len()).then_some(()));
    let mut echoes: Vec<Duration> = (0..200)
        .map(|_| {
            let began = Instant::now();
            running.assert_echoes();
            began.elapsed()
        })
        .collect();
    echoes.sort();
    let (median, longest) = (echoes[100], echoes[199]);
    assert!(median < Duration::from_millis(500) && longest < Duration::from_secs(10), "{median:?}, {longest:?}");
    for client in &waiting {
        client.stream.set_nonblocking(true).unwrap();
        let answered = client.stream.peek(&mut [0]).map_err(|error| error.kind());
        assert_eq!(answered, Err(ErrorKind::WouldBlock), "the lookups were to hang all the while");
    }
}

#[test]
fn a_service_by_tls_must_be_who_it_says_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = SelfSigned::in_directory(directory.path());
    let target = echo();
    let service = HttpService::start_tls(&certificate, move |_, wire| reply(wire, "200 OK", &target.to_string()));
    let ca = format!("ca = \"{}\"", certificate.certificate.display());
    let named = |host: &str| format!("source = \"https://{host}:{}/%s\"", service.address.port());
    open(&by_token(&format!("{}\n{ca}", named("localhost"))), "x").assert_echoes();
    // The certificate is not for the address; and nobody of the system's has signed it.
    for tokens in [format!("{}\n{ca}", named("127.0.0.1")), named("localhost")] {
        let route = by_token(&tokens);
        assert_eq!(status(&route, "x"), 503, "{tokens}");
        let line = route.log_line("no TLS with it: ");
        assert!(line.contains("certificate"), "{line}");
    }
}

/// Whoever hands out tokens must not reach what only this machine may.
#[test]
fn a_service_leads_to_other_machines_only_unless_the_route_says_more() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("x.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let target = echo();
    let port = target.port();
    let unix = format!("unix_socket:{}", socket.display());
    let service = HttpService::start(move |line, wire| {
        let target = match line.split(' ').nth(1).unwrap() {
            "/ipv4" => format!("127.0.0.1:{port}"),
            "/name" => format!("localhost:{port}"),
            "/zero" => format!("0.0.0.0:{port}"),
            "/mapped" => format!("[::ffff:127.0.0.1]:{port}"),
            "/metadata" => "169.254.169.254:80".to_owned(),
            _ => unix.clone(),
        };
        reply(wire, "200 OK", &target);
    });
    let source = format!("source = \"http://{}/%s\"", service.address);
    let route = Proxy::serve(&format!("listen = \"127.0.0.1:0\"\n[tokens]\n{source}\n"));
    for token in ["ipv4", "name", "zero", "mapped", "metadata", "unix"] {
        assert_eq!(status(&route, token), 403, "{token}");
    }
    assert_eq!(status(&by_token(&source), "name"), 101);
}

/// A JWT signed by openssl, of which nothing is shared with the product.
struct Issuer {
    directory: tempfile::TempDir,
}

impl Issuer {
    fn new(algorithm: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let issuer = Self { directory };
        issuer.openssl(&[&["genpkey", "-out", "private.pem"], algorithm].concat(), &[]);
        issuer.openssl(&["pkey", "-in", "private.pem", "-pubout", "-out", "public.pem"], &[]);
        issuer
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn openssl(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = Command::new("openssl");
        command.current_dir(&self.directory).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().expect("openssl is there");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "openssl {arguments:?}");
        output.stdout
    }

    fn token(&self, header: &str, claims: &str, sign: &[&str]) -> String {
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.openssl(sign, text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn rs256(&self, claims: &str) -> String {
        self.token(r#"{"alg":"RS256","typ":"JWT"}"#, claims, &["dgst", "-sha256", "-sign", "private.pem"])
    }

    fn hs256(&self, key: &[u8], claims: &str) -> String {
        let mac = key.iter().fold("hexkey:".to_owned(), |hex, byte| format!("{hex}{byte:02x}"));
        let sign = ["dgst", "-sha256", "-mac", "HMAC", "-macopt", &mac, "-binary"];
        self.token(r#"{"alg":"HS256"}"#, claims, &sign)
    }
}

#[test]
fn a_jwt_says_where_it_leads_and_how_long() {
    let issuer = Issuer::new(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let target = echo();
    let port = target.port();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = |more: &str| format!("{{\"host\":\"127.0.0.1\",\"port\":\"{port}\"{more}}}");
    let good = issuer.rs256(&claims(&format!(",\"exp\":{},\"nbf\":{}", now + 600, now - 10)));
    for key in ["public.pem", "private.pem"] {
        let proxy = Proxy::classic(&[
            "--token-plugin=JWTTokenApi",
            &format!("--token-source={}", issuer.path(key)),
            "--allow-target=127.0.0.1",
            "127.0.0.1:0",
        ]);
        open(&proxy, &good).assert_echoes();
    }
    let route = by_token(&format!("source = \"jwt:{}\"", issuer.path("public.pem")));
    open(&route, &good).assert_echoes();
    let public = fs::read(issuer.path("public.pem")).unwrap();
    let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims("")));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let mut other_claims = signed.split_once('.').unwrap().0.to_owned();
    other_claims.push('.');
    other_claims.push_str(&URL_SAFE_NO_PAD.encode(claims(",\"x\":1")));
    for (token, status, why) in [
        (issuer.rs256(&claims(&format!(",\"exp\":{}", now - 5))), 403, "refused: The token has expired"),
        (issuer.rs256(&claims(&format!(",\"nbf\":{}", now + 600))), 403, "refused: The token is not valid yet"),
        (format!("{other_claims}.{signature}"), 404, "its signature is not this key's"),
        (issuer.hs256(&public, &claims("")), 404, "its algorithm is none that this key is for"),
        (unsigned, 404, "it is not well-formed"),
        (issuer.rs256("{\"host\":\"127.0.0.1\"}"), 404, "its claims 'host' and 'port' are no target"),
        ("a.b.c.d.e".to_owned(), 404, "it is encrypted (JWE), which is not supported"),
        ("no-jwt".to_owned(), 404, "refused: Unknown token"),
    ] {
        assert_eq!(self::status(&route, &token), status, "{why}");
        route.log_line(why);
        for part in token.split('.').filter(|part| part.len() > 8) {
            assert!(route.log_lines().iter().all(|line| !line.contains(part)), "a part of a token is in the log");
        }
    }
}

#[test]
fn a_session_ends_with_its_token_where_the_route_says_so() {
    let issuer = Issuer::new(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let target = echo();
    let source = format!("source = \"jwt:{}\"", issuer.path("public.pem"));
    let (ending, lasting) = (by_token(&format!("{source}\nend-sessions = true")), by_token(&source));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = |exp: u64| format!("{{\"host\":\"127.0.0.1\",\"port\":{},\"exp\":{exp}}}", target.port());
    let (short, long) = (issuer.rs256(&claims(now + 6)), issuer.rs256(&claims(now + 6000)));
    let mut session = open(&ending, &short);
    let (mut other, mut lasting) = (open(&ending, &long), open(&lasting, &short));
    session.assert_echoes();
    assert_eq!(session.read_close(), (1008, "The token has expired".to_owned()));
    let ended = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(ended >= now + 6, "{} s too early", now + 6 - ended);
    other.assert_echoes();
    lasting.assert_echoes();
    drop(session);
    ending.log_line("session ended: token expired");
}

#[test]
fn a_symmetric_key_signs_jwts_and_is_changed_while_sessions_run() {
    let issuer = Issuer::new(&["-algorithm", "ED25519"]);
    let target = echo();
    let claims = format!("{{\"host\":\"127.0.0.1\",\"port\":{}}}", target.port());
    let (old, new) = ([7_u8; 32], [9_u8; 32]);
    let key = issuer.path("key");
    // With the line break that editors leave, which the original could not read.
    fs::write(&key, format!("{}\n", URL_SAFE_NO_PAD.encode(old))).unwrap();
    let route = by_token(&format!("source = \"jwt:{key}\""));
    let mut running = open(&route, &issuer.hs256(&old, &claims));
    fs::write(&key, "broken").unwrap();
    let began = Instant::now();
    while !route.log_lines().iter().any(|line| line.contains("but not all can be used: the old ones stay")) {
        assert_eq!(status(&route, &issuer.hs256(&old, &claims)), 101);
        assert!(began.elapsed() < Duration::from_secs(20), "the broken key was not seen");
    }
    fs::write(&key, URL_SAFE_NO_PAD.encode(new)).unwrap();
    while status(&route, &issuer.hs256(&new, &claims)) != 101 {
        assert!(began.elapsed() < Duration::from_secs(40), "the new key was not seen");
    }
    assert_eq!(status(&route, &issuer.hs256(&old, &claims)), 404);
    running.assert_echoes();
}

#[test]
fn a_key_that_cannot_be_used_is_told_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    for (text, why) in [
        ("c2VjcmV0X3NhdWNl\n", "a symmetric key of 12 bytes is too short: HS256 needs 32 at least"),
        ("-----BEGIN X-----\n", "no key in it: it needs a block PUBLIC KEY"),
        ("what?", "it is neither PEM nor the base64url of a symmetric key"),
    ] {
        fs::write(&key, text).unwrap();
        let ended = run(&["--token-plugin=JWTTokenApi", &format!("--token-source={}", key.display()), "0"]);
        assert_eq!(ended.code, 78, "{}", ended.stderr);
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
        check(
            directory.path(),
            "source = \"jwt:key\"",
            78,
            &format!("test.toml:3:10: the key of its tokens cannot be used: {why}"),
        );
    }
}

#[test]
fn redis_has_tokens_as_keys() {
    let target = echo();
    let redis = Redis::start(&["--requirepass", "s3cret:pass"]);
    redis.say(&[
        "AUTH s3cret:pass",
        &format!("SET one {target}"),
        &format!("SET two '{{\"host\":\"{target}\"}}'"),
        "SET odd nonsense",
        "LPUSH list x",
        "SELECT 3",
        &format!("SET vnc:ns:three \" {target} \""),
    ]);
    let port = redis.port;
    let classic = |source: &str| {
        Proxy::classic(&[
            "--token-plugin=TokenRedis",
            &format!("--token-source={source}"),
            "--allow-target=127.0.0.0/8",
            "127.0.0.1:0",
        ])
    };
    let plain = classic(&format!("127.0.0.1:{port}::\"s3cret:pass\""));
    open(&plain, "one").assert_echoes();
    open(&plain, "two").assert_echoes();
    assert_eq!(status(&plain, "three"), 404);
    assert_eq!(status(&plain, "odd"), 503);
    assert_eq!(status(&plain, "list"), 503);
    plain.log_line("it answers: WRONGTYPE");
    let namespace = classic(&format!("127.0.0.1:{port}:3:\"s3cret:pass\":\"vnc:ns\""));
    open(&namespace, "three").assert_echoes();
    assert_eq!(status(&namespace, "one"), 404);
    let wrong = classic(&format!("127.0.0.1:{port}:0:wrong"));
    assert_eq!(status(&wrong, "one"), 503);
    let line = wrong.log_line("it answers: WRONGPASS");
    assert!(!line.contains("=wrong") && !line.contains(":wrong"), "{line}");
    // The log names the server, and neither its password nor a token.
    assert!(plain.log_line("listening on").contains(&format!("target=redis://127.0.0.1:{port}/0")));
    for line in plain.log_lines().iter().chain(&namespace.log_lines()) {
        assert!(!line.contains("s3cret") && !line.contains("three"), "{line}");
    }
}

#[test]
fn redis_is_asked_by_one_connection_as_a_user_of_its_list_with_the_password_from_a_file() {
    let target = echo();
    let redis = Redis::start(&[]);
    redis.say(&[
        &format!("SET vnc:one {target}"),
        "ACL SETUSER portal on >pa:ss/word ~vnc:* +get +select +client",
        "CONFIG RESETSTAT",
    ]);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "pa:ss/word\n").unwrap();
    let source = format!("source = \"redis://portal@127.0.0.1:{}\"\nnamespace = \"vnc\"", redis.port);
    let route = by_token(&format!("{source}\npassword = \"{}\"", file.path().display()));
    for _ in 0..50 {
        assert_eq!(status(&route, "one"), 101);
    }
    let stats = redis.say(&["INFO stats"]).remove(0);
    // One of the route, and the test's own two.
    assert!(
        stats.contains("total_connections_received:2\r\n") || stats.contains("total_connections_received:3\r\n"),
        "{stats}"
    );
    let secret = format!("source = \"redis://portal:pa%3Ass%2Fword@127.0.0.1:{}\"\nnamespace = \"other\"", redis.port);
    let other = by_token(&secret);
    assert_eq!(status(&other, "one"), 503);
    other.log_line("it answers: NOPERM");
}

#[test]
fn many_lookups_at_once_on_the_one_connection_each_get_their_own_answer() {
    const TOKENS: usize = 40;
    let redis = Redis::start(&[]);
    let names: Vec<String> = (0..TOKENS).map(|number| format!("target-{number}")).collect();
    for name in &names {
        redis.say(&[&format!("SET {name} {}", named(name))]);
    }
    let route = by_token(&format!("source = \"redis://127.0.0.1:{}\"\ntimeout = \"20s\"", redis.port));
    redis.say(&["CONFIG RESETSTAT"]);
    let together = Barrier::new(TOKENS);
    std::thread::scope(|scope| {
        for name in &names {
            let (together, route) = (&together, &route);
            scope.spawn(move || {
                together.wait();
                for _ in 0..5 {
                    leads_to(route, &format!("/?token={name}"), name);
                }
            });
        }
    });
    // Lookups that wait for the connection do not make one of their own: the route's is the one beside the test's.
    let stats = redis.say(&["INFO stats"]).remove(0);
    assert!(stats.contains("total_connections_received:2\r\n"), "{stats}");
}

#[test]
fn a_database_that_redis_does_not_have_is_told_to_the_client_and_in_the_log() {
    let redis = Redis::start(&["--databases", "4"]);
    redis.say(&[&format!("SET one {}", echo())]);
    let route = by_token(&format!("source = \"redis://127.0.0.1:{}/4\"", redis.port));
    let mut browser = Client::connect(route.address());
    assert_eq!(browser.request("/?token=one", &[ORIGIN]).status, 101);
    let (code, reason) = browser.read_close();
    assert_eq!(code, 1013);
    assert!(reason.starts_with("The token cannot be looked up now, try again later"), "{reason}");
    route.log_line("it answers: ERR DB index is out of range");
    assert_eq!(status(&route, "one"), 503);
    redis.say(&["SELECT 3", &format!("SET one {}", echo())]);
    open(&by_token(&format!("source = \"redis://127.0.0.1:{}/3\"", redis.port)), "one").assert_echoes();
}

#[test]
fn redis_by_tls_must_be_who_it_says_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = SelfSigned::in_directory(directory.path());
    let redis = Redis::start_tls(&certificate);
    redis.say(&[&format!("SET one {}", echo())]);
    let source = |host: &str| format!("source = \"rediss://{host}:{}\"", redis.port);
    let ca = format!("ca = \"{}\"", certificate.certificate.display());
    open(&by_token(&format!("{}\n{ca}", source("localhost"))), "one").assert_echoes();
    for tokens in [source("localhost"), format!("{}\n{ca}", source("127.0.0.1"))] {
        let route = by_token(&tokens);
        assert_eq!(status(&route, "one"), 503, "{tokens}");
        route.log_line("no TLS with it: ");
    }
}

#[test]
fn redis_may_be_killed_and_started_again_and_hang_and_no_session_notices() {
    let target = echo();
    let mut redis = Redis::start(&[]);
    let fill = format!("SET one {target}");
    redis.say(&[&fill]);
    let route = by_token(&format!("source = \"redis://127.0.0.1:{}\"\ntimeout = \"700ms\"", redis.port));
    let mut running = open(&route, "one");
    redis.kill();
    let began = Instant::now();
    let mut browser = Client::connect(route.address());
    assert_eq!(browser.request("/?token=one", &[ORIGIN]).status, 101);
    assert_eq!(browser.read_close().0, 1013);
    assert_eq!(status(&route, "one"), 503);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    route.log_line("it cannot be reached: cannot connect to 127.0.0.1:");
    redis.restart();
    redis.say(&[&fill]);
    // The connection of before is broken, which nobody needs to know.
    open(&route, "one").assert_echoes();
    redis.restart();
    redis.say(&[&fill]);
    open(&route, "one").assert_echoes();

    redis.signal(Signal::SIGSTOP);
    let began = Instant::now();
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let mut client = Client::connect(route.address());
            client.send(upgrade_request("/?token=one", &[]).as_bytes());
            client
        })
        .collect();
    for mut client in waiting {
        assert_eq!(client.read_head().status, 503);
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    route.log_line("no answer within 700ms");
    redis.signal(Signal::SIGCONT);
    // What it answers now to those who gave up is nobody else's answer.
    assert_eq!(status(&route, "unknown"), 404);
    open(&route, "one").assert_echoes();
    running.assert_echoes();
}

#[test]
fn check_and_convert_know_services() {
    let directory = tempfile::tempdir().unwrap();
    let convert = |arguments: &[&str]| {
        let ended = run(&[&["convert", "--", "6080"], arguments].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout
    };
    let redis =
        convert(&["--token-plugin=TokenRedis", "--token-source=\"::1\":6379:2:\"p:w\":ns", "--allow-target=::1"]);
    assert!(redis.contains("source = \"redis://:p%3Aw@[::1]:6379/2\"\nnamespace = \"ns\"\n"), "{redis}");
    assert!(redis.contains("[targets]\nallow = [\"::1\"]\n"), "{redis}");
    let json = convert(&["--token-plugin=JSONTokenApi", "--token-source=https://portal/%s"]);
    assert!(json.contains("source = \"https://portal/%s\"\nformat = \"json\"\n"), "{json}");
    for (tokens, said) in [
        ("source = \"https://portal/\"", "test.toml:3:10: the source cannot be asked: it needs one %s"),
        ("source = \"http://%s/\"", "must stand in its path or its query, not before"),
        ("source = \"redis://\"", "it is not a URL of Redis: write redis://"),
        ("source = \"redis://h/x?p=s3cret\"", "it is not a URL of Redis: write redis://"),
        ("source = \"jwt:\"", "'jwt:' does not say which"),
        ("source = \"jwt:/nonexistent\"", "'tokens.source': cannot read /nonexistent"),
        (
            "source = \"redis://h\"\nformat = \"json\"",
            "test.toml:4:10: 'tokens.format' is for a source that begins with http",
        ),
        ("source = \"http://h/%s\"\nca = \"x\"", "'tokens.ca' is for a source that begins with https:// or rediss://"),
        (
            "source = \"http://h/%s\"\nformat = \"xml\"",
            "'xml' is not a value of 'tokens.format': write \"text\" or \"json\"",
        ),
        ("source = \"http://h/%s\"\nnamespace = \"x\"", "'tokens.namespace' is for a source that begins with redis"),
    ] {
        check(directory.path(), tokens, 78, said);
    }
}

#[track_caller]
fn check(directory: &Path, tokens: &str, code: i32, said: &str) {
    fs::write(directory.join("test.toml"), format!("listen = \"1\"\n[tokens]\n{tokens}\n")).unwrap();
    let ended = run(&["check", "--config", directory.to_str().unwrap()]);
    assert_eq!(ended.code, code, "{}", ended.stderr);
    assert!(ended.stderr.contains(said) && !ended.stderr.contains("s3cret"), "no '{said}' in\n{}", ended.stderr);
}
