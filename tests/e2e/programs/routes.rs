//! `[program]` of route files, with `supervisor = "child"`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::{SERVICE, eventually_gone, free_port, talk, websockify};
use crate::support::client::Client;
use crate::support::command::outcome;
use crate::support::eventually;
use crate::support::manager::Manager;
use crate::support::proxy::Proxy;

/// A route with the service at `port`; `more` goes into its table.
fn service(port: &str, more: &str) -> String {
    let script = SERVICE.replace('\n', "\\n").replace('"', "\\\"");
    program(&format!("[\"python3\", \"-c\", \"{script}\", \"{port}\"]"), &format!("port = {port}\n{more}"))
}

/// A route with this command.
fn program(command: &str, more: &str) -> String {
    format!("listen = \"127.0.0.1:0\"\n[program]\nsupervisor = \"child\"\ncommand = {command}\n{more}\n")
}

fn shell(script: &str, more: &str) -> String {
    program(&format!("[\"sh\", \"-c\", '''{script}''']"), more)
}

fn serve(routes: &[(&str, &str)]) -> Proxy {
    drop(websockify()); // which makes the library
    Proxy::serve_files(routes)
}

/// Where a route listens.
fn address(proxy: &Proxy, route: &str) -> SocketAddr {
    let of_route = format!(" route={route} ");
    eventually("a route listens", || {
        let lines = proxy.log_lines();
        let line = lines.iter().rev().find(|line| line.contains("listening on ") && line.contains(&of_route))?;
        line.split_once("listening on ")?.1.split(' ').next()?.parse().ok()
    })
}

/// The process that was started for a route, after `n` others.
fn pid_of(proxy: &Proxy, program: &str, route: &str, n: usize) -> Pid {
    let has_all = |line: &&String| {
        [" Starting '", &format!(" program={program} "), &format!(" route={route}")]
            .iter()
            .all(|part| line.contains(*part))
    };
    eventually("a program was started", || {
        let lines = proxy.log_lines();
        let line = lines.iter().filter(has_all).nth(n)?;
        let pid = line.split_once(" pid=")?.1.split(' ').next()?.parse().ok()?;
        Some(Pid::from_raw(pid))
    })
}

#[test]
fn each_route_has_its_own_program_and_all_end_with_the_daemon() {
    let [one, two, three] = [free_port(), free_port(), free_port()];
    let routes =
        [("one", service(&one, "")), ("two", service(&two, "")), ("three", service(&three, "isolation = \"none\""))];
    let routes: Vec<_> = routes.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let mut proxy = serve(&routes);
    for (route, port) in [("one", &one), ("two", &two), ("three", &three)] {
        talk(&mut Client::open(address(&proxy, route)), route);
        proxy.log_line(&format!("serving at {port} program=python3 stream=stdout route={route}"));
    }
    let pids = ["one", "two", "three"].map(|route| pid_of(&proxy, "python3", route, 0));
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.exit_code(), 0);
    pids.into_iter().for_each(eventually_gone);
}

#[test]
fn in_exit_mode_the_only_route_takes_the_daemon_with_it() {
    let mut proxy = serve(&[("only", &shell("exit 6", "port = 5901"))]);
    assert_eq!(proxy.exit_code(), 6);
}

#[test]
fn in_exit_mode_one_of_several_routes_goes_out_of_order_and_a_reload_of_its_program_mends_it() {
    let (first, second) = (free_port(), free_port());
    let well = service(&second, "");
    let mut manager = Manager::new();
    let (sick_address, well_address) = (manager.listen("sick"), manager.listen("well"));
    manager.write("sick", &service(&first, ""));
    manager.write("well", &well);
    drop(websockify());
    let proxy = manager.spawn(&[]);
    let mut client = Client::open(sick_address);
    client.send_binary(b"end 3\n");
    client.read_close();
    proxy.log_line("the route is out of order: its program has ended with status 3");
    manager.told_of("sick: python3 has ended with status 3");
    let mut late = Client::connect(sick_address);
    assert_eq!(late.request("/", &[]).status, 502);
    proxy.log_line("refused: the program has ended with status 3");
    talk(&mut Client::open(well_address), "well");
    manager.write("sick", &service(&first, "environment = { A = \"b\" }"));
    proxy.signal(Signal::SIGHUP);
    proxy.log_line("configuration reloaded");
    talk(&mut Client::open(sick_address), "again");
}

#[test]
fn the_status_tells_how_the_program_stands_and_readiness_does_not_wait_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let port = free_port();
    let mut manager = Manager::new();
    let address = manager.listen("slow");
    let script = format!("read go <{}; exec python3 -c \"$2\" $1", gate.display());
    let python = SERVICE.replace('\n', "\\n").replace('"', "\\\"");
    let command = format!("[\"sh\", \"-c\", '{script}', \"sh\", \"{port}\", \"{python}\"]");
    manager.write("slow", &program(&command, &format!("port = {port}\nstart-timeout = \"1m\"")));
    drop(websockify());
    let proxy = manager.spawn(&[]);
    let ready = manager.told_of("READY=1");
    assert!(ready.contains("sh runs"), "{ready}");
    let waiting = std::thread::spawn(move || talk(&mut Client::open(address), "early"));
    std::fs::write(&gate, "go\n").unwrap();
    waiting.join().unwrap();
    drop(proxy);
}

#[test]
fn a_program_that_takes_longer_than_its_clients_are_held_is_a_gateway_timeout_for_them() {
    let route = shell("exec tail -f /dev/null", "port = 5901\nstart-timeout = \"300ms\"");
    let proxy = serve(&[("never", &route)]);
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.request("/", &[]).status, 502);
}

#[test]
fn a_reload_changes_the_program_whose_table_has_changed_and_no_other() {
    let [one, two] = [free_port(), free_port()];
    let kept = service(&two, "");
    let proxy = serve(&[("changed", &service(&one, "")), ("kept", &kept)]);
    let mut session = Client::open(address(&proxy, "kept"));
    talk(&mut session, "before");
    let old = pid_of(&proxy, "python3", "changed", 0);
    let staying = pid_of(&proxy, "python3", "kept", 0);
    let mut ending = Client::open(address(&proxy, "changed"));
    talk(&mut ending, "before");
    proxy.write_route("changed", &service(&one, "environment = { SPEAK = \"up\" }"));
    proxy.signal(Signal::SIGHUP);
    proxy.log_line("configuration reloaded");
    eventually_gone(old);
    assert!([1000, 1011].contains(&ending.read_close().0), "its sessions end with it");
    talk(&mut Client::open(address(&proxy, "changed")), "after");
    assert_ne!(pid_of(&proxy, "python3", "changed", 1), old);
    talk(&mut session, "still there");
    assert_eq!(pid_of(&proxy, "python3", "kept", 0), staying);
    // A mistake changes nothing, and leaves nothing of the new program.
    proxy.write_route("changed", &service(&one, "user = \"\""));
    proxy.signal(Signal::SIGHUP);
    proxy.log_line("configuration NOT reloaded");
    talk(&mut Client::open(address(&proxy, "changed")), "the old one");
    proxy.remove_route("changed");
    proxy.signal(Signal::SIGHUP);
    proxy.nth_log_line("configuration reloaded", 1);
    eventually_gone(pid_of(&proxy, "python3", "changed", 1));
    talk(&mut session, "and still");
}

#[test]
fn a_reload_starts_the_new_program_when_the_old_one_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let lock = directory.path().join("lock");
    // As Xvnc holds its display: who comes second, fails, and takes its route along.
    let script = format!(
        "mkdir {lock} || exit 7; trap 'rmdir {lock}; exit 0' TERM; echo $$ has it; tail -f /dev/null & wait",
        lock = lock.display()
    );
    let route = |more: &str| program(&format!("[\"sh\", \"-c\", \"{script}\"]"), &format!("port = 5901\n{more}"));
    let proxy = serve(&[("locked", &route("")), ("other", &service(&free_port(), ""))]);
    proxy.nth_log_line(" has it", 0);
    proxy.write_route("locked", &route("environment = { LANG = \"C\" }"));
    proxy.signal(Signal::SIGHUP);
    proxy.nth_log_line(" has it", 1);
}

#[test]
fn a_program_that_cannot_be_started_is_told_with_its_route() {
    let directory = tempfile::tempdir().unwrap();
    let route = |more| program("[\"no-such-program\"]", more);
    std::fs::write(directory.path().join("gone.toml"), route("port = 5901")).unwrap();
    let done = outcome(websockify().args(["serve", "--config"]).arg(directory.path()));
    assert_eq!(done.code, 71);
    assert!(done.stderr.contains("cannot start the program 'no-such-program': No such file"), "{}", done.stderr);
    // With another route beside it, that one is served.
    let port = free_port();
    let proxy = serve(&[("gone", &route("port = 5901")), ("well", &service(&port, ""))]);
    proxy.log_line("the route is out of order: its program cannot be started");
    talk(&mut Client::open(address(&proxy, "well")), "well");
    let mut client = Client::connect(address(&proxy, "gone"));
    assert_eq!(client.request("/", &[]).status, 502);
}

#[test]
fn a_program_of_systemds_is_not_started_by_hand_and_that_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let text = "listen = \"127.0.0.1:0\"\n[program]\ncommand = [\"x\"]\nport = 5901\n";
    std::fs::write(directory.path().join("desktop.toml"), text).unwrap();
    let done = outcome(websockify().args(["serve", "--config"]).arg(directory.path()));
    assert_eq!(done.code, 78);
    for part in ["systemctl restart websockify@desktop", "or write supervisor = \"child\""] {
        assert!(done.stderr.contains(part), "{}", done.stderr);
    }
}

#[test]
fn a_program_gets_the_directory_and_the_environment_that_its_route_says_and_another_user_from_root() {
    let directory = tempfile::tempdir().unwrap();
    let more = format!(
        "port = 5901\non-exit = \"ignore\"\nworking-directory = \"{}\"\nenvironment = {{ SPEAK = \"as ever\" }}",
        directory.path().display()
    );
    let proxy = serve(&[("it", &shell("echo $SPEAK in $(pwd)", &more))]);
    proxy.log_line(&format!("as ever in {} program=sh", directory.path().display()));
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let more = "port = 5901\non-exit = \"ignore\"\nuser = \"nobody\"";
    let proxy = serve(&[("it", &shell("echo $(id -un):$(id -Gn) $HOME", more))]);
    proxy.log_line("nobody:nogroup /nonexistent program=sh");
    let proxy = serve(&[
        ("it", &shell("true", "user = \"nobody\"\ngroup = \"no-such-group\"\nport = 5901")),
        ("on", &shell("exec tail -f /dev/null", "port = 5902")),
    ]);
    proxy.log_line("there is no group 'no-such-group'");
}

#[test]
fn a_program_that_is_linked_statically_keeps_its_port_and_that_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let source = directory.path().join("serve.c");
    std::fs::write(&source, STATIC_SERVICE).unwrap();
    let binary = directory.path().join("serve");
    let made = Command::new("musl-gcc").arg("-static").arg("-o").arg(&binary).arg(&source).status().unwrap();
    assert!(made.success());
    let told = "isolation = \"private-network\"";
    let mut manager = Manager::new();
    let _ = manager.listen("still");
    let command = |path: &Path| format!("[\"{}\", \"{port}\"]", path.display());
    manager.write("still", &program(&command(&binary), &format!("port = {port}")));
    drop(websockify());
    let proxy = manager.spawn(&[]);
    let line = proxy.log_line("it is linked statically");
    assert!(line.contains(told) && line.contains(&format!("the port {port} of the program")), "{line}");
    manager.told_of("serve runs, and its port was not moved");
    // What a shell of the usual kind starts is seen when it listens.
    drop((proxy, manager));
    let script = format!("[\"sh\", \"-c\", \"{} {port} & wait\"]", binary.display());
    let mut proxy = serve(&[("still", &program(&script, &format!("port = {port}")))]);
    let line = proxy.log_line("it listens at that port itself");
    assert!(line.contains(told), "{line}");
    // Killed hard, it could not end what its program has started.
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.exit_code(), 0);
}

/// A service that binds its port on all addresses.
const STATIC_SERVICE: &str = "
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int count, char **words) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(words[1])) };
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 1)) return 1;
    for (;;) pause();
}";
