//! Sessions that end with their tokens: when the source knows a token no more, and not because the source has a bad moment.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::Client;
use crate::support::command::run;
use crate::support::eventually;
use crate::support::proxy::Proxy;
use crate::support::service::{HttpService, Redis, reply};
use crate::support::target::echo;
use crate::support::token::{self, open};

/// A route whose sessions end with their tokens, which are looked at each second.
fn ending(source: &str) -> Proxy {
    by_token(source, "end-sessions = true\nrecheck-interval = \"1s\"")
}

fn by_token(source: &str, more: &str) -> Proxy {
    token::by_token(source, &format!("{more}\n[targets]\nallow = [\"127.0.0.0/8\", \"unix:/\"]"))
}

/// That of two sessions one ends when `withdraw` has taken its token away, and the other does not.
#[track_caller]
fn ends_without_its_token(proxy: &Proxy, withdraw: impl FnOnce()) {
    let (mut one, mut other) = (open(proxy, "one"), open(proxy, "other"));
    one.assert_echoes();
    withdraw();
    assert_eq!(one.read_close(), (1008, "The token was withdrawn".to_owned()));
    drop(one);
    let line = proxy.log_line("session ended: token withdrawn");
    assert!(line.contains(" closed_by=proxy "), "{line}");
    other.assert_echoes();
}

fn write_both(path: &Path, target: SocketAddr) {
    fs::write(path, format!("one: {target}\nother: {target}\n")).unwrap();
}

#[test]
fn a_session_ends_when_a_file_has_its_token_no_more() {
    let target = echo();
    let directory = tempfile::tempdir().unwrap();
    let (file, files) = (directory.path().join("tokens"), directory.path().join("tokens.d"));
    fs::create_dir(&files).unwrap();
    write_both(&file, target);
    ends_without_its_token(&ending(&format!("file:{}", file.display())), || {
        fs::write(&file, format!("other: {target}\n")).unwrap();
    });
    fs::write(files.join("1"), format!("one: {target}\n")).unwrap();
    fs::write(files.join("2"), format!("other: {target}\n")).unwrap();
    ends_without_its_token(&ending(&format!("file:{}", files.display())), || {
        fs::remove_file(files.join("1")).unwrap();
    });
}

#[test]
fn a_session_ends_when_the_file_or_the_socket_of_its_token_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let target = echo();
    for name in ["one", "other"] {
        fs::write(directory.path().join(name), target.to_string()).unwrap();
    }
    let source = directory.path().display();
    ends_without_its_token(&ending(&format!("names:{source}")), || {
        fs::remove_file(directory.path().join("one")).unwrap();
    });
    let sockets = directory.path().join("sockets");
    fs::create_dir(&sockets).unwrap();
    for name in ["one", "other"] {
        let listener = UnixListener::bind(sockets.join(name)).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        });
    }
    ends_without_its_token(&ending(&format!("sockets:{}", sockets.display())), || {
        fs::remove_file(sockets.join("one")).unwrap();
    });
}

#[test]
fn a_session_ends_when_a_service_knows_its_token_no_more() {
    let (target, withdrawn) = (echo(), Arc::new(AtomicBool::new(false)));
    let said = Arc::clone(&withdrawn);
    let service = HttpService::start(move |line, wire| {
        if line.starts_with("GET /one ") && said.load(Ordering::Relaxed) {
            reply(wire, "404 Not Found", "");
        } else {
            reply(wire, "200 OK", &target.to_string());
        }
    });
    ends_without_its_token(&ending(&format!("http://{}/%s", service.address)), || {
        withdrawn.store(true, Ordering::Relaxed);
    });
}

/// By a user who may do nothing but GET; and the server's other troubles end nothing.
#[test]
fn a_session_ends_when_redis_has_its_key_no_more_and_not_when_redis_is_gone() {
    let target = echo();
    let mut redis = Redis::start(&[]);
    let fill = || [format!("SET vnc:one {target}"), format!("SET vnc:other {target}")];
    let user = "ACL SETUSER portal on >pw ~vnc:* +get";
    let say = |redis: &Redis, lines: &[String]| drop(redis.say(&lines.iter().map(String::as_str).collect::<Vec<_>>()));
    say(&redis, &fill());
    redis.say(&[user]);
    let source = format!("redis://portal:pw@127.0.0.1:{}", redis.port);
    let route =
        by_token(&source, "namespace = \"vnc\"\nend-sessions = true\nrecheck-interval = \"1s\"\ntimeout = \"500ms\"");
    let mut running = open(&route, "one");
    redis.kill();
    // Long enough for some looks: nothing tells of those.
    crate::support::pass(Duration::from_secs(4));
    running.assert_echoes();
    redis.restart();
    redis.say(&[user]); // the keys are still missing, but nobody who may ask was there to see it
    say(&redis, &fill());
    drop(running);
    ends_without_its_token(&route, || drop(redis.say(&["DEL vnc:one"])));
}

/// What it says in one bad moment is not believed; what it says twice is.
#[test]
fn a_service_that_fails_or_forgets_for_a_moment_ends_no_session() {
    let (target, looks) = (echo(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&looks);
    let service = HttpService::start(move |_, wire| match counted.fetch_add(1, Ordering::Relaxed) {
        1 => reply(wire, "500 Internal Server Error", ""),
        2 => {} // the connection ends without a word
        3 => std::thread::park_timeout(Duration::from_secs(20)),
        4 => reply(wire, "404 Not Found", ""),
        _ => reply(wire, "200 OK", &target.to_string()),
    });
    let source = format!("http://{}/%s", service.address);
    let route = by_token(&source, "end-sessions = true\nrecheck-interval = \"1s\"\ntimeout = \"700ms\"");
    let mut session = open(&route, "x");
    eventually("the service is asked again and again", || (looks.load(Ordering::Relaxed) >= 7).then_some(()));
    session.assert_echoes();
}

#[test]
fn many_sessions_of_a_token_cost_one_look_and_none_when_they_are_over() {
    let target = echo();
    let service = HttpService::start(move |_, wire| reply(wire, "200 OK", &target.to_string()));
    let route = ending(&format!("http://{}/%s", service.address));
    let began = Instant::now();
    let mut sessions: Vec<Client> = (0..40).map(|_| open(&route, "x")).collect();
    let looks = || service.heads().len() - 40;
    eventually("three looks", || (looks() >= 3).then_some(()));
    // Nine tenths of the interval lie between two of them.
    let most = began.elapsed().as_millis() / 900 + 1;
    assert!(looks() as u128 <= most, "{} looks in {:?}", looks(), began.elapsed());
    for session in &mut sessions {
        session.assert_echoes();
    }
    drop(sessions);
    for number in 0..40 {
        route.nth_log_line("session ended", number);
    }
    let after = looks();
    crate::support::pass(Duration::from_secs(3));
    assert!(looks() <= after + 1, "somebody still looks");
}

#[test]
fn sessions_outlive_their_tokens_where_the_route_does_not_say_otherwise() {
    let target = echo();
    let file = tempfile::NamedTempFile::new().unwrap();
    write_both(file.path(), target);
    let route = by_token(&format!("file:{}", file.path().display()), "");
    let mut session = open(&route, "one");
    fs::write(file.path(), "other: 127.0.0.1:1\n").unwrap();
    // A token that nobody knows makes the route look at the file, so that it has seen the change.
    for token in ["nobody", "one"] {
        let mut client = Client::connect(route.address());
        assert_eq!(client.request(&format!("/?token={token}"), &[]).status, 404, "{token}");
    }
    crate::support::pass(Duration::from_secs(4));
    session.assert_echoes();
}

#[test]
fn an_interval_that_does_nothing_or_too_much_is_told() {
    let directory = tempfile::tempdir().unwrap();
    for (tokens, said) in [
        (
            "source = \"redis://h\"\nrecheck-interval = \"10s\"",
            "test.toml:4:20: 'tokens.recheck-interval' does nothing without 'end-sessions = true'",
        ),
        (
            "source = \"redis://h\"\nend-sessions = true\nrecheck-interval = \"10ms\"",
            "test.toml:5:20: '10ms' is out of range: 'tokens.recheck-interval' is from 1s",
        ),
    ] {
        fs::write(directory.path().join("test.toml"), format!("listen = \"1\"\n[tokens]\n{tokens}\n")).unwrap();
        let ended = run(&["check", "--config", directory.path().to_str().unwrap()]);
        assert_eq!(ended.code, 78, "{}", ended.stderr);
        assert!(ended.stderr.contains(said), "no '{said}' in\n{}", ended.stderr);
    }
}
