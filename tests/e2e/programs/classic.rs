//! `websockify PORT --wrap-mode=MODE -- PROGRAM`.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{
    ORIGIN, SERVICE, eventually_gone, free_port, number_after, shell, started, talk, websockify, wrap, wrap_service,
};
use crate::support::client::Client;
use crate::support::command::outcome;
use crate::support::proxy::Proxy;
use crate::support::{PATIENCE, eventually};

#[test]
fn a_program_is_reached_through_the_proxy_that_has_its_port() {
    let proxy = wrap_service("exit");
    let mut client = Client::open(proxy.address());
    talk(&mut client, "one");
    talk(&mut Client::open(proxy.address()), "two");
    talk(&mut client, "three");
    let port = proxy.address().port();
    proxy.log_line(&format!("serving at {port} program=python3 stream=stdout"));
    proxy.log_line("Starting 'python3 -c ");
}

#[test]
fn a_client_that_comes_before_the_program_listens_is_held_until_it_does() {
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let script = format!("read go <{}; exec python3 -c \"$2\" $1", gate.display());
    let proxy = wrap("exit", &["sh", "-c", &script, "sh", "PORT", SERVICE]);
    let address = proxy.address();
    let waiting = std::thread::spawn(move || talk(&mut Client::open(address), "early"));
    // Its request is there: another one's, which came later, has been answered.
    assert_eq!(crate::support::web::get(address, "/").head.status, 405);
    assert!(!waiting.is_finished());
    std::fs::write(&gate, "go\n").unwrap();
    waiting.join().unwrap();
}

#[test]
fn in_exit_mode_the_proxy_ends_with_the_status_of_the_program() {
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)] {
        let mut proxy = shell("exit", &format!("echo last words >&2; {script}"));
        assert_eq!(proxy.exit_code(), status, "{script}");
        proxy.log_line("last words program=sh stream=stderr");
        proxy.log_line("the program has ended: ");
    }
}

#[test]
fn in_exit_mode_the_sessions_end_in_order() {
    let mut proxy = wrap_service("exit");
    let mut client = Client::open(proxy.address());
    client.send_binary(b"end 3\n");
    assert!([1000, 1001, 1011].contains(&client.read_close().0));
    assert_eq!(proxy.exit_code(), 3);
}

#[test]
fn exit_is_the_mode_that_need_not_be_said() {
    let port = free_port();
    let mut proxy = Proxy::start(websockify().args([&port, "--", "sh", "-c", "exit 5"]));
    assert_eq!(proxy.exit_code(), 5);
}

#[test]
fn in_ignore_mode_the_proxy_goes_on_and_tells_clients_at_once_that_nobody_is_there() {
    let mut proxy = wrap_service("ignore");
    let mut client = Client::open(proxy.address());
    client.send_binary(b"end 3\n");
    client.read_close();
    proxy.log_line("the program has ended: exit status: 3");
    let started = Instant::now();
    let mut late = Client::connect(proxy.address());
    assert_eq!(late.request("/", ORIGIN).status, 101);
    assert_eq!(late.read_close().0, 1011);
    assert!(started.elapsed() < Duration::from_secs(5), "nobody waits for a program that will not come back");
    assert!(proxy.is_running());
}

#[test]
fn in_ignore_mode_a_program_that_goes_to_the_background_is_served_and_ends_with_the_proxy() {
    let script = "setsid sh -c 'trap \"\" HUP; echo daemon $$; exec python3 -c \"$2\" $1' sh $1 \"$2\" & exit 0";
    let mut proxy = wrap("ignore", &["sh", "-c", script, "sh", "PORT", SERVICE]);
    let daemon = number_after(&proxy, "daemon ");
    proxy.log_line("the program has ended: exit status: 0");
    talk(&mut Client::open(proxy.address()), "daemon");
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.exit_code(), 0);
    eventually_gone(daemon);
}

#[test]
fn in_respawn_mode_the_program_comes_again_and_sessions_follow_each_other() {
    let mut proxy = wrap_service("respawn");
    for life in 1..=3 {
        let mut client = Client::open(proxy.address());
        talk(&mut client, &format!("life {life}"));
        client.send_binary(b"end 1\n");
        client.read_close();
        // A program that dies may still accept connections for a moment.
        proxy.nth_log_line("the program has ended: ", life - 1);
    }
    let [first, second] = [0, 1].map(|start| started(&proxy, start));
    assert!(second.duration_since(first).unwrap() >= Duration::from_millis(900));
    assert!(proxy.is_running());
}

#[test]
fn a_program_that_ends_at_once_is_started_at_the_originals_pace() {
    let proxy = shell("respawn", "exit 1");
    let first = started(&proxy, 0);
    proxy.nth_log_line("the program has ended: ", 0);
    let files = proxy.open_files();
    for (n, seconds) in [(1, 1.0), (2, 2.0), (3, 11.0)] {
        let since = started(&proxy, n).duration_since(first).unwrap().as_secs_f64();
        assert!((seconds - 0.1..seconds + 0.9).contains(&since), "start {n} after {since} s");
    }
    proxy.nth_log_line("the program has ended: ", 3);
    eventually("no life leaves a descriptor behind", || (proxy.open_files() <= files).then_some(()));
    let complaints = proxy.log_lines().iter().filter(|line| line.contains("Command respawning too fast")).count();
    assert!((1..=2).contains(&complaints), "once a start: {complaints}");
}

#[test]
fn sigterm_ends_the_program_and_all_of_its_group() {
    let script = "trap 'echo bye; exit 9' TERM; sh -c 'echo child $$; exec tail -f /dev/null' & echo parent $$; wait";
    let mut proxy = shell("exit", script);
    let pids = [number_after(&proxy, "child "), number_after(&proxy, "parent ")];
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.exit_code(), 0);
    proxy.log_line("bye program=sh stream=stdout");
    pids.into_iter().for_each(eventually_gone);
}

#[test]
fn a_program_that_does_not_hear_is_killed_after_a_while_or_at_the_second_signal() {
    let mut proxy = shell("exit", "trap '' TERM; echo deaf $$; tail -f /dev/null");
    let deaf = number_after(&proxy, "deaf ");
    proxy.signal(Signal::SIGTERM);
    proxy.log_line("ending the program");
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.exit_code(), 0);
    eventually_gone(deaf);
    proxy.log_line("the program did not end in time and is killed");

    let mut proxy = shell("exit", "trap '' TERM; echo deaf $$; tail -f /dev/null");
    let deaf = number_after(&proxy, "deaf ");
    let told = Instant::now();
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.exit_code(), 0);
    assert!(told.elapsed() >= Duration::from_secs(4) && told.elapsed() < PATIENCE);
    eventually_gone(deaf);
}

#[test]
fn a_program_ends_when_the_proxy_is_killed() {
    let mut proxy = shell("exit", "echo alive $$; exec tail -f /dev/null");
    let program = number_after(&proxy, "alive ");
    proxy.signal(Signal::SIGKILL);
    proxy.wait();
    eventually_gone(program);
}

#[test]
fn what_systemd_told_the_proxy_the_program_does_not_hear_and_all_else_it_does() {
    let port = free_port();
    let mut command = websockify();
    command.args([&port, "--", "sh", "-c", "env | sort; ulimit -n; exec tail -f /dev/null"]);
    command.envs([("NOTIFY_SOCKET", "/nowhere"), ("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "1")]);
    command.envs([("LISTEN_FDS", "1"), ("LISTEN_PID", "1"), ("LISTEN_FDNAMES", "x"), ("REBIND_PORTS", "1=2")]);
    let proxy = Proxy::start(command.env("SPOKEN", "as ever"));
    proxy.log_line("SPOKEN=as ever program=sh");
    proxy.log_line(&format!("REBIND_OLD_PORT={port} program=sh"));
    proxy.log_line("REBIND_NEW_PORT=");
    let library = proxy.log_line("LD_PRELOAD=");
    assert!(library.contains("/librebind.so program=sh"), "{library}");
    let lines = proxy.log_lines();
    for name in ["NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_", "REBIND_PORTS="] {
        assert!(!lines.iter().any(|line| line.contains(name)), "{name}");
    }
}

#[test]
fn with_a_unix_target_the_program_is_only_run() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("service.sock");
    let service = "import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print('ready', flush=True)
connection, _ = listener.accept()
connection.sendall(b'hello')
connection.recv(1)";
    let socket = socket.to_str().unwrap();
    let mut command = websockify();
    command.args(["127.0.0.1:0", "--unix-target", socket, "--", "python3", "-c", service, socket]);
    let proxy = Proxy::start(command.env_remove("LD_PRELOAD"));
    proxy.log_line("ready program=python3");
    assert_eq!(Client::open(proxy.address()).read_binary(5), b"hello");
}

#[test]
fn a_list_of_targets_is_not_asked_about_the_program() {
    let port = free_port();
    let mut command = websockify();
    command.args(["--allow-target=192.0.2.0/24", &port, "--", "python3", "-c", SERVICE, &port]);
    let proxy = Proxy::start(&mut command);
    talk(&mut Client::open(proxy.address()), "hello");
}

#[test]
fn where_tokens_decide_the_program_is_only_run() {
    let directory = tempfile::tempdir().unwrap();
    let (port, tokens) = (free_port(), directory.path().join("tokens"));
    std::fs::write(&tokens, format!("its: 127.0.0.1:{port}\n")).unwrap();
    let mut command = websockify();
    command.arg("--target-config").arg(tokens).args(["127.0.0.1:0", "--", "python3", "-c", SERVICE, &port]);
    let proxy = Proxy::start(&mut command);
    proxy.log_line(&format!("serving at {port} program=python3"));
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.request("/?token=its", &[]).status, 101);
    talk(&mut client, "hello");
    assert_eq!(Client::connect(proxy.address()).request("/?token=other", &[]).status, 404);
}

#[test]
fn a_program_that_is_missing_is_told_and_nothing_is_served() {
    let done = outcome(websockify().args([&free_port(), "--", "no-such-program", "-x"]));
    assert_eq!(done.code, 71);
    let expected =
        "websockify: error: cannot start the program 'no-such-program': No such file or directory (os error 2)";
    assert!(done.stderr.contains(expected), "{}", done.stderr);
    assert!(!done.stderr.contains("listening on"), "{}", done.stderr);
}

#[test]
fn a_port_that_cannot_be_the_programs_is_a_usage_error() {
    for listen in [&["0"][..], &["--unix-listen", "/run/x.sock"], &["--inetd"]] {
        let done = outcome(websockify().args(listen).args(["--", "true"]));
        assert_eq!(done.code, 2, "{listen:?}");
        assert!(done.stderr.contains("-- PROGRAM needs a listen port from 1 to 65535"), "{}", done.stderr);
    }
}
