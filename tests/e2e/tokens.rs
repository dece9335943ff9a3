//! Where a session goes when a token decides: files and directories, classic and TOML, and what the log says of it.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::support::client::{Client, upgrade_request};
use crate::support::command::run;
use crate::support::proxy::{BINARY, Proxy};
use crate::support::target::echo;
use crate::support::token::{ask, by_token, is_refused, leads_to, named};

const ORIGIN: (&str, &str) = ("Origin", "http://localhost:6080");

#[test]
fn old_command_lines_find_their_tokens_in_a_file_and_in_a_directory() {
    let (one, two) = (named("one"), named("two"));
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().join("tokens");
    fs::create_dir_all(files.join("a subdirectory broke the original")).unwrap();
    fs::write(files.join("1"), format!("# machines\n\none: {one}\n")).unwrap();
    fs::write(files.join("2"), format!("  two two:\t{two}\n")).unwrap();
    let whole = format!("one: {one}\ntwo two: {two}\n");
    fs::write(directory.path().join("file"), whole).unwrap();
    for arguments in [
        &["--token-plugin", "TokenFile", "--token-source", "file", "127.0.0.1:0"][..],
        &["--token-plugin", "ReadOnlyTokenFile", "--token-source", "tokens", "127.0.0.1:0"],
        &["--token-plugin=websockify.token_plugins.TokenFile", "--token-source=tokens/", "127.0.0.1:0"],
        &["--target-config", "file", "127.0.0.1:0"],
        &["--target-conf=file", "127.0.0.1:0"],
    ] {
        // Relative to where it was started, whatever becomes of that later.
        let proxy = Proxy::start(Command::new(BINARY).current_dir(directory.path()).args(arguments));
        leads_to(&proxy, "/?token=one", "one");
        leads_to(&proxy, "/websockify?x=y&token=two+two", "two");
        leads_to(&proxy, "/any/path?token=two%20two", "two");
        is_refused(&proxy, "/?token=three", 404);
        is_refused(&proxy, "/", 400);
    }
}

#[test]
fn a_file_for_each_token_holds_its_target() {
    let tokens = tempfile::tempdir().unwrap();
    fs::write(tokens.path().join("one"), format!("{}\n", named("one"))).unwrap();
    let source = tokens.path().to_str().unwrap();
    let proxy = Proxy::classic(&["--token-plugin", "TokenFileName", "--token-source", source, "127.0.0.1:0"]);
    leads_to(&proxy, "/?token=one", "one");
    is_refused(&proxy, "/?token=two", 404);
    is_refused(&proxy, "/?token=%00", 400);
}

#[test]
fn a_socket_is_reached_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("lab")).unwrap();
    let listeners = ["one.sock", "lab/two.sock"].map(|name| UnixListener::bind(directory.path().join(name)).unwrap());
    let classic = ["--token-plugin", "UnixDomainSocketDirectory", "--token-source", directory.path().to_str().unwrap()];
    let proxy = Proxy::classic(&[&classic[..], &["127.0.0.1:0"]].concat());
    for (token, listener) in
        [("one.sock", &listeners[0]), ("lab%2Ftwo.sock", &listeners[1]), ("lab/two.sock", &listeners[1])]
    {
        let mut client = Client::connect(proxy.address());
        assert_eq!(client.request(&format!("/?token={token}"), &[]).status, 101, "{token}");
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"hello").unwrap();
        assert_eq!(client.read_binary(5), b"hello");
    }
    is_refused(&proxy, "/?token=lab", 404);
}

#[test]
fn the_target_of_a_token_may_be_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("vm:7.vnc"); // the original cut it at its colon
    let unix = UnixListener::bind(&socket).unwrap();
    let file = directory.path().join("tokens");
    fs::write(&file, format!("unix: unix_socket:{}\n", socket.display())).unwrap();
    let proxy = by_token(&format!("file:{}", file.display()), "");
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.request("/?token=unix", &[]).status, 101);
    unix.accept().unwrap();
}

#[test]
fn the_token_is_taken_from_where_the_route_says() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let one = named("one");
    fs::write(file.path(), format!("one: {one}\nvm1.example.com: {one}\n2001:db8::1: {one}\n")).unwrap();
    let source = format!("file:{}", file.path().display());
    let found = (101, "one".to_owned());

    let path = by_token(&source, "from = \"path\"");
    assert_eq!(ask(&path, "/websockify/one?token=x", &[]), found);
    assert_eq!(ask(&path, "/?token=one", &[]).0, 400);

    let cookie = by_token(&source, "from = [\"query:vm\", \"cookie:vm\"]");
    assert_eq!(ask(&cookie, "/", &[("Cookie", "a=b; vm=one")]), found);
    assert_eq!(ask(&cookie, "/?vm=one", &[("Cookie", "vm=x")]), found);
    assert_eq!(ask(&cookie, "/?token=one", &[]).0, 400);

    let host = |name: &str| {
        let request = upgrade_request("/?token=x", &[]).replace("Host: test", &format!("Host: {name}"));
        let proxy = Proxy::classic(&[
            "--token-plugin=TokenFile",
            &format!("--token-source={}", file.path().display()),
            "--host-token",
            "127.0.0.1:0",
        ]);
        let mut client = Client::connect(proxy.address());
        client.send(request.as_bytes());
        client.read_head().status
    };
    assert_eq!(host("VM1.example.com:6080"), 101);
    assert_eq!(host("[2001:db8::1]:6080"), 101); // the original cut it at its first colon
    assert_eq!(host("vm2.example.com"), 404);
}

/// The original closed the connection, without a word, whatever was wrong.
#[test]
fn a_browser_learns_by_a_close_what_others_learn_by_a_status() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "a: 127.0.0.1:1\n").unwrap();
    let proxy = by_token(&format!("file:{}", file.path().display()), "");
    for (path, status, text) in [
        ("/", 400, "There is no token in the request"),
        ("/?token=%FF", 400, "The token is malformed"),
        ("/?token=guess", 404, "Unknown token"),
    ] {
        let mut browser = Client::connect(proxy.address());
        assert_eq!(browser.request(path, &[ORIGIN]).status, 101, "{path}");
        let (code, reason) = browser.read_close();
        browser.read_end();
        assert_eq!(code, 1008, "{path}");
        assert!(reason.starts_with(&format!("{text} (session ")), "{reason}");
        is_refused(&proxy, path, status);
        proxy.log_line(&format!(" INFO refused: {text} session="));
    }
}

#[test]
fn an_edit_is_seen_by_the_next_client_and_a_broken_one_keeps_the_old_tokens() {
    let (one, two) = (named("one"), named("two"));
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("a: {one}\n")).unwrap();
    let proxy = by_token(&format!("file:{}", file.path().display()), "");
    let mut running = Client::connect(proxy.address());
    assert_eq!(running.request("/?token=a", &[]).status, 101);
    is_refused(&proxy, "/?token=b", 404);

    fs::write(file.path(), format!("a: {one}\nb: {two}\n")).unwrap();
    leads_to(&proxy, "/?token=b", "two");
    proxy.log_line("tokens changed: new sessions use the new ones");

    fs::write(file.path(), format!("b: {two}\nsecret-of-c {two}\n")).unwrap();
    is_refused(&proxy, "/?token=c", 404);
    let warning = proxy.log_line("tokens changed, but not all can be used: the old ones stay");
    assert!(warning.contains("line 2 has no blank behind the colon") && !warning.contains("secret"), "{warning}");
    leads_to(&proxy, "/?token=a", "one");

    fs::remove_file(file.path()).unwrap();
    is_refused(&proxy, "/?token=c", 404);
    proxy.log_line("tokens cannot be read: the old ones stay");
    leads_to(&proxy, "/?token=a", "one");
    fs::write(file.path(), format!("c: {two}\n")).unwrap();
    leads_to(&proxy, "/?token=c", "two");
    is_refused(&proxy, "/?token=a", 404);
}

#[test]
fn a_file_that_is_not_there_is_told_at_the_start() {
    let ended = run(&["--token-plugin=TokenFile", "--token-source=/nonexistent", "0"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended
            .stderr
            .contains("'--token-source': cannot read /nonexistent (put it there, or name another): No such file"),
        "{}",
        ended.stderr
    );
    let ended = run(&["--token-plugin=mymodule.MyPlugin", "--token-source=x", "0"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("unknown token plugin 'mymodule.MyPlugin'"), "{}", ended.stderr);
    let ended = run(&["--token-plugin=TokenFile", "0"]);
    assert!(ended.stderr.contains("You must use --token-source to use --token-plugin"), "{}", ended.stderr);
}

#[test]
fn targets_allow_is_asked_about_the_address_that_is_connected_to() {
    let one = named("one");
    let file = tempfile::NamedTempFile::new().unwrap();
    let port = one.port();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().canonicalize().unwrap().join("x.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let text = format!(
        "address: {one}\nname: localhost:{port}\nmapped: [::ffff:127.0.0.1]:{port}\nother: 127.0.0.2:{port}\nunix: \
         unix_socket:{}\n",
        socket.display()
    );
    fs::write(file.path(), text).unwrap();
    let source = format!("file:{}", file.path().display());
    let proxy = by_token(&source, &format!("[targets]\nallow = [\"127.0.0.1:{port}\"]"));
    for token in ["address", "name", "mapped"] {
        leads_to(&proxy, &format!("/?token={token}"), "one");
    }
    for token in ["other", "unix"] {
        is_refused(&proxy, &format!("/?token={token}"), 403);
    }
    let warning = proxy.log_line("refused: 127.0.0.2:");
    assert!(warning.contains(" WARN ") && warning.contains("is not among targets.allow"), "{warning}");
    let mut browser = Client::connect(proxy.address());
    browser.request("/?token=other", &[ORIGIN]);
    let (code, reason) = browser.read_close();
    assert!(code == 1008 && reason.starts_with("This target is not allowed"), "{code} {reason}");

    let unix = by_token(&source, &format!("[targets]\nallow = [\"unix:{}\"]", socket.parent().unwrap().display()));
    is_refused(&unix, "/?token=address", 403);
    let mut client = Client::connect(unix.address());
    assert_eq!(client.request("/?token=unix", &[]).status, 101);
    listener.accept().unwrap();

    let classic = Proxy::classic(&[
        &format!("--target-config={}", file.path().display()),
        "--allow-target=10.0.0.0/8",
        &format!("--allow-target=127.0.0.2:{port}"),
        "127.0.0.1:0",
    ]);
    is_refused(&classic, "/?token=address", 403);
    is_refused(&classic, "/?token=other", 502);
}

/// Ten thousand guesses: no token in any spelling in the log, which stays short, and no memory is lost.
#[test]
fn guesses_fill_neither_the_log_nor_the_memory_and_are_shown_nowhere() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let target = echo();
    fs::write(file.path(), format!("s3cret-t0ken: {target}\n")).unwrap();
    let proxy = Proxy::start(Command::new(BINARY).args([
        "-v",
        &format!("--target-config={}", file.path().display()),
        "127.0.0.1:0",
    ]));
    let guess = |number: usize| {
        let mut client = Client::connect(proxy.address());
        let status = client.request(&format!("/?token=s3cret-gu3ss-{number}"), &[]).status;
        assert!(matches!(status, 404 | 429), "{status}");
        status
    };
    let looked_at = std::sync::atomic::AtomicUsize::new(0);
    let guesses = |range: std::ops::Range<usize>| {
        let next = std::sync::atomic::AtomicUsize::new(range.start);
        std::thread::scope(|scope| {
            for _ in 0..128 {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if number >= range.end {
                            return;
                        }
                        if guess(number) == 404 {
                            looked_at.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                });
            }
        });
    };
    let started = Instant::now();
    guesses(0..2000);
    let before = proxy.private_memory();
    guesses(2000..10_000);
    let grown = proxy.private_memory().saturating_sub(before);
    assert!(grown < 4 * 1024 * 1024, "{grown} bytes more");
    // All who were on their way at once, ten more, and one for each pause.
    let looked_at = looked_at.into_inner();
    assert!((10..200).contains(&looked_at), "{looked_at} tokens were looked up");
    let mut client = Client::connect_from([127, 0, 0, 2], None, proxy.address());
    assert_eq!(client.request("/?token=%73%33cret-t0ken", &[]).status, 101);
    drop(client);
    proxy.log_line("session ended");
    let lines = proxy.log_lines();
    // Twenty in ten seconds, and none that is only for those who look for it.
    let bound = 20 * (1 + usize::try_from(started.elapsed().as_secs() / 10).unwrap());
    let told = lines.iter().filter(|line| line.contains("refused: Unknown token")).count();
    assert!((10..=bound).contains(&told), "{told} records of at most {bound}");
    for secret in ["s3cret", "%73", "t0ken", "gu3ss"] {
        let told: Vec<_> = lines.iter().filter(|line| line.contains(secret)).collect();
        assert_eq!(told, Vec::<&String>::new());
    }
    // printf %s s3cret-t0ken | sha256sum
    proxy.log_line(" token=sha256:");
}

#[test]
fn check_and_convert_know_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    fs::write(&file, "a: h:1\nb h:2\n").unwrap();
    let ended = run(&["convert", "--", &format!("--target-config={}", file.display()), "--host-token", "6080"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let expected = format!("[tokens]\nsource = \"file:{}\"\nfrom = [\"host\"]\n", file.display());
    assert!(ended.stdout.contains(&expected), "{}", ended.stdout);
    check(directory.path(), &ended.stdout, 0, "tokens: line 2 has no blank behind the colon that ends the token");

    let wrong = "listen = \"1\"\ntarget = \"h:1\"\n[tokens]\nsource = \"file:tokens\"\n";
    check(directory.path(), wrong, 78, "test.toml:2:10: 'target' and '[tokens]' exclude each other");
    let wrong = "listen = \"1\"\n[tokens]\nsource = \"files:tokens\"\nfrom = \"header\"\n";
    check(directory.path(), wrong, 78, "test.toml:3:10: 'files' is no kind of token source: write file:PATH");
    check(directory.path(), wrong, 78, "test.toml:4:8: 'header' is no place of a token: write \"query\"");
    let wrong = "listen = \"1\"\n[tokens]\nfrom = []\n[targets]\nallow = [\"localhost:1\", \"10.0.0.0/8:0\"]\n";
    check(directory.path(), wrong, 78, "test.toml:2:1: 'tokens.source' is missing: write source = ");
    check(directory.path(), wrong, 78, "test.toml:3:8: 'tokens.from' is empty");
    check(directory.path(), wrong, 78, "test.toml:5:10: 'localhost:1' is not a range of targets");
    check(directory.path(), wrong, 78, "test.toml:5:25: '10.0.0.0/8:0' does not end in ports");
    let wrong = "listen = \"1\"\n[tokens]\nsource = \"names:tokens\"\n";
    check(directory.path(), wrong, 78, "test.toml:3:10: 'tokens.source': ");
}

#[track_caller]
fn check(directory: &Path, toml: &str, code: i32, said: &str) {
    fs::write(directory.join("test.toml"), toml).unwrap();
    let ended = run(&["check", "--config", directory.to_str().unwrap()]);
    assert_eq!(ended.code, code, "{}", ended.stderr);
    assert!(ended.stderr.contains(said), "no '{said}' in\n{}", ended.stderr);
}
