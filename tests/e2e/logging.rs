//! What the log says, and what it never says.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::support::client::{Client, upgrade_request};
use crate::support::command::run;
use crate::support::proxy::{BINARY, Proxy};
use crate::support::target::echo;
use crate::support::web::get;

/// `2026-11-22T07:03:48.123Z  INFO text`
fn is_record(line: &str) -> bool {
    let shape = "dddd-dd-ddTdd:dd:dd.dddZ ";
    let Some((time, rest)) = line.split_at_checked(shape.len()) else { return false };
    let fits = |(is, shape): (char, char)| if shape == 'd' { is.is_ascii_digit() } else { is == shape };
    time.chars().zip(shape.chars()).all(fits)
        && ["ERROR ", " WARN ", " INFO ", "DEBUG "].iter().any(|level| rest.starts_with(level))
}

fn finish(proxy: &mut Proxy) -> Vec<String> {
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.exit_code(), 0);
    proxy.log_line("INFO stopped");
    proxy.log_lines()
}

#[test]
fn a_session_is_one_line_when_it_opens_and_one_when_it_ends() {
    let target = echo();
    let mut proxy = Proxy::classic(&["127.0.0.1:0", &target.to_string()]);
    let mut client = Client::open(proxy.address());
    let name = client.stream.local_addr().unwrap();
    client.send_binary(b"hello");
    assert_eq!(client.read_binary(5), b"hello");
    client.send_close(1000, "bye");
    client.read_close();
    proxy.log_line("session ended");
    let lines = finish(&mut proxy);
    let of_session: Vec<_> = lines.iter().filter(|line| line.contains(&format!("client={name}"))).collect();
    let [opened, ended] = of_session[..] else { panic!("{lines:?}") };
    let id = opened.split_once("session=").unwrap().1.split(' ').next().unwrap();
    assert!(opened.contains(" INFO session opened ") && opened.contains(&format!("target={target}")), "{opened}");
    for part in
        [" INFO session ended: client closed with code 1000: bye ", id, "closed_by=client", "bytes_in=5", "bytes_out=5"]
    {
        assert!(ended.contains(part), "{part} in {ended}");
    }
    let duration = ended.split_once("duration=").unwrap().1;
    assert!(duration.strip_suffix('s').unwrap().parse::<f64>().unwrap() < 60.0);
    assert!(lines.iter().all(|line| is_record(line)), "{lines:?}");
}

#[test]
fn a_log_file_gets_what_standard_error_gets_behind_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("the.log");
    fs::write(&path, "from before\n").unwrap();
    let mut proxy = Proxy::classic(&["--log-file", path.to_str().unwrap(), "127.0.0.1:0", &echo().to_string()]);
    Client::open(proxy.address()).send_close(1000, "");
    proxy.log_line("session ended");
    let lines = finish(&mut proxy);
    let text = fs::read_to_string(&path).unwrap();
    let (before, written) = text.split_once('\n').unwrap();
    assert_eq!(before, "from before");
    // Records of two threads may come in one order here and in the other there.
    let sorted = |mut lines: Vec<String>| {
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(written.lines().map(ToOwned::to_owned).collect()), sorted(lines));
}

#[test]
fn a_log_file_that_cannot_be_opened_ends_the_start_with_71() {
    let ended = run(&["--log-file", "/proc/no/such.log", "0", "127.0.0.1:1"]);
    assert_eq!(ended.code, 71);
    assert!(ended.stderr.starts_with("websockify: error: cannot append to the log file /proc/no/such.log: "));
}

#[test]
fn debug_records_are_for_those_who_ask() {
    for (options, expected) in [(&[][..], false), (&["-v"], true), (&["--verbose"], true)] {
        let mut proxy = Proxy::classic(&[options, &["127.0.0.1:0", "127.0.0.1:1"]].concat());
        assert_eq!(get(proxy.address(), "/some/path").head.status, 405);
        let lines = finish(&mut proxy);
        let served = lines.iter().any(|line| line.contains("DEBUG served method=GET path=/some/path status=405"));
        assert_eq!(served, expected, "{options:?}: {lines:?}");
        assert_eq!(lines.iter().any(|line| line.contains("DEBUG")), expected);
    }
}

/// The original logs the path with its token.
#[test]
fn no_token_and_no_password_is_ever_logged() {
    let web = tempfile::tempdir().unwrap();
    fs::write(web.path().join("index.html"), "page").unwrap();
    let file = web.path().join("the.log");
    let headers = [
        ("Authorization", "Basic SECRET"),
        ("Cookie", "token=SECRET"),
        ("Referer", "http://test/?token=SECRET"),
        ("Sec-WebSocket-Protocol", "binary, SECRET"),
    ];
    for target in [echo().to_string(), "127.0.0.1:1".to_owned()] {
        let options = ["-v", "--log-file", file.to_str().unwrap(), "--web", web.path().to_str().unwrap()];
        let mut proxy = Proxy::classic(&[&options[..], &["127.0.0.1:0", &target]].concat());
        let address = proxy.address();
        for origin in [&[][..], &[("Origin", "http://test/?token=SECRET")]] {
            let all = [&headers[..], origin].concat();
            Client::connect(address).request("/?token=SECRET", &all);
            let outdated = upgrade_request("/?token=SECRET", &all).replace("Version: 13", "Version: 1");
            let mut client = Client::connect(address);
            client.send(outdated.as_bytes());
            assert_eq!(client.read_head().status, 426);
        }
        for path in
            ["/?token=SECRET", "/missing?token=SECRET", "/%ff?token=SECRET", "http://user:SECRET@host/?a=SECRET"]
        {
            Client::connect(address).fetch("GET", path, &headers);
        }
        Client::connect(address).send(b"SECRET\r\n\r\n");
        proxy.log_line("the connection ended after 0 plain requests");
        let lines = finish(&mut proxy);
        assert!(lines.iter().any(|line| line.contains("served")), "{lines:?}");
        let leaks: Vec<_> = lines.iter().filter(|line| line.contains("SECRET")).collect();
        assert!(leaks.is_empty(), "{leaks:#?}");
    }
    assert!(!fs::read_to_string(file).unwrap().contains("SECRET"));
}

#[test]
fn a_client_cannot_forge_a_record() {
    let mut proxy = Proxy::classic(&["-v", "127.0.0.1:0", &echo().to_string()]);
    let mut client = Client::open(proxy.address());
    client.send_close(1000, "bye\n2026-01-01T00:00:00.000Z  INFO forged\x1b[31m\u{202e}");
    client.read_close();
    proxy.log_line("session ended");
    let lines = finish(&mut proxy);
    let ended = lines.iter().find(|line| line.contains("session ended")).unwrap();
    assert!(ended.contains(r"bye\n2026-01-01T00:00:00.000Z  INFO forged\x1b[31m\u{202e}"), "{ended}");
    assert!(!lines.iter().any(|line| line.starts_with("2026-01-01T00:00:00.000Z")));
}

#[test]
fn traffic_is_shown_on_standard_output() {
    let mut proxy = Proxy::start(
        Command::new(BINARY).args(["--traffic", "127.0.0.1:0", &echo().to_string()]).stdout(Stdio::piped()),
    );
    let mut stdout = proxy.stdout();
    let mut client = Client::open(proxy.address());
    for _ in 0..2 {
        client.send_binary(b"hello");
        assert_eq!(client.read_binary(5), b"hello");
    }
    client.send_close(1000, "");
    client.read_close();
    proxy.log_line("session ended");
    finish(&mut proxy);
    let mut shown = String::new();
    stdout.read_to_string(&mut shown).unwrap();
    let (legend, symbols) = shown.split_once("<. - Client send partial\n").unwrap();
    assert!(legend.contains("Traffic Legend:\n    }  - Client receive\n    {  - Target receive\n"), "{legend}");
    assert!(symbols.trim().starts_with("}>{<}>{<"), "{symbols}");
}
