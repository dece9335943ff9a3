//! `per-session = true`: a program for each session, as inetd has them.

use std::fs;

use nix::sys::signal::Signal;

use super::{eventually_gone, number_after};
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::noise;
use crate::support::proxy::Proxy;

fn serve(command: &str, more: &str) -> Proxy {
    Proxy::serve(&format!(
        "listen = \"127.0.0.1:0\"\n[program]\nsupervisor = \"child\"\nper-session = true\ncommand = {command}\n{more}\n"
    ))
}

fn shell(script: &str, more: &str) -> Proxy {
    serve(&format!("[\"sh\", \"-c\", '''{script}''']"), more)
}

/// Reads until the text has come.
fn read_until(client: &mut Client, text: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(text) {
        heard.push_str(&String::from_utf8_lossy(&client.read_frame().payload));
    }
    heard
}

#[test]
fn each_session_has_a_program_of_its_own_and_every_byte_passes() {
    let proxy = serve("[\"cat\"]", "");
    let mut clients: Vec<Client> = (0..3).map(|_| Client::open(proxy.address())).collect();
    let bytes = noise(300_000);
    for (number, client) in clients.iter_mut().enumerate() {
        let own = [&bytes[..], &[u8::try_from(number).unwrap()]].concat();
        let reading = own.clone();
        client.send_binary(&own);
        assert!(client.read_binary(own.len()) == reading);
    }
    for mut client in clients {
        client.send_close(1000, "");
        assert_eq!(client.read_close().0, 1000);
    }
}

#[test]
fn a_program_is_told_who_has_come_and_by_which_session() {
    let script = "echo $REMOTE_ADDR $REMOTE_PORT $WEBSOCKIFY_SESSION; echo it is ${NOTIFY_SOCKET-unset} >&2";
    let proxy = shell(script, "environment = { NOTIFY = \"x\" }");
    let mut client = Client::connect(proxy.address());
    let port = client.stream.local_addr().unwrap().port();
    client.upgrade();
    let (said, close) = client.read_to_close();
    let said = String::from_utf8(said).unwrap();
    let session = said.trim_end().rsplit(' ').next().unwrap();
    assert_eq!(said, format!("127.0.0.1 {port} {session}\n"));
    assert_eq!(close.unwrap().0, 1000);
    let opened = proxy.log_line("session opened");
    assert!(opened.contains(&format!("session={session} ")) && opened.contains(" target=sh "), "{opened}");
    proxy.log_line(&format!("it is unset program=sh stream=stderr route=test session={session}"));
}

#[test]
fn the_last_bytes_of_a_program_arrive_before_the_close_that_tells_how_it_ended() {
    for (status, code, reason) in [(0, 1000, "Target closed"), (3, 1011, "The program ended with status 3")] {
        let proxy = shell(&format!("head -c 3000000 /dev/zero; echo last; exit {status}"), "");
        let (said, close) = Client::open(proxy.address()).read_to_close();
        assert_eq!(said.len(), 3_000_005, "{status}");
        assert!(said.ends_with(b"last\n"));
        assert_eq!(close, Some((code, reason.to_owned())));
    }
    let proxy = shell("kill -KILL $$", "");
    assert_eq!(Client::open(proxy.address()).read_close(), (1011, "The program ended with status 137".to_owned()));
    proxy.log_line("session ended: target ended with status 137");
}

#[test]
fn a_session_ends_with_its_program_also_when_something_else_holds_its_socket() {
    let proxy = shell("(trap \"\" TERM; echo left $$ >&2; exec tail -f /dev/null) & echo done; exit 4", "");
    let mut client = Client::open(proxy.address());
    let (said, close) = client.read_to_close();
    assert_eq!((said.as_slice(), close.unwrap().0), (&b"done\n"[..], 1011));
    drop(client);
    // What it has left in its group is killed at last.
    proxy.log_line("the program did not end in time and is killed");
    eventually_gone(number_after(&proxy, "left "));
}

#[test]
fn a_program_that_does_not_read_what_its_client_says_ends_the_session_as_it_ends_itself() {
    let proxy = shell("read line; exec <&-; echo enough; exit 0", "");
    let mut client = Client::open(proxy.address());
    client.send_binary(b"go\n");
    client.send_binary(&noise(200_000));
    let (said, close) = client.read_to_close();
    assert_eq!((said.as_slice(), close.unwrap().0), (&b"enough\n"[..], 1000));
}

#[test]
fn a_program_sees_the_end_of_its_input_when_its_client_goes_and_is_ended_when_it_does_not_care() {
    let proxy = shell("cat >/dev/null; echo bye >&2", "");
    Client::open(proxy.address()).send_close(1000, "");
    proxy.log_line("bye program=sh stream=stderr");

    let proxy =
        shell("trap \"\" TERM; echo deaf $$ >&2; exec tail -f /dev/null", "[limits]\nclose-timeout = \"100ms\"");
    drop(Client::open(proxy.address()));
    let deaf = number_after(&proxy, "deaf ");
    eventually_gone(deaf);
}

#[test]
fn programs_of_sessions_end_with_the_daemon() {
    let mut proxy = shell("echo here $$ >&2; exec tail -f /dev/null", "[limits]\ndrain-timeout = \"100ms\"");
    let clients: Vec<Client> = (0..3).map(|_| Client::open(proxy.address())).collect();
    let pids = [0, 1, 2].map(|n| {
        let line = proxy.nth_log_line(" INFO here ", n);
        let number = line.split_once("here ").unwrap().1.split(' ').next().unwrap();
        nix::unistd::Pid::from_raw(number.parse().unwrap())
    });
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.exit_code(), 0);
    pids.into_iter().for_each(eventually_gone);
    drop(clients);
}

#[test]
fn sessions_leave_neither_processes_nor_descriptors() {
    let proxy = serve("[\"true\"]", "");
    Client::open(proxy.address()).read_to_close();
    let parent = format!(" {} ", proxy.pid());
    // Those that are only to be buried, too.
    let children = || {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
        stats.filter(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest[1..].starts_with(&parent))).count()
    };
    eventually("the first is buried", || (children() == 0).then_some(()));
    let files = proxy.open_files();
    for _ in 0..100 {
        Client::open(proxy.address()).read_to_close();
    }
    eventually("all are buried", || (children() == 0).then_some(()));
    eventually("all descriptors are closed", || (proxy.open_files() <= files).then_some(()));
}

#[test]
fn a_missing_program_is_told_to_each_client() {
    let proxy = serve("[\"no-such-program\"]", "");
    assert_eq!(Client::connect(proxy.address()).request("/", &[]).status, 502);
    let line = proxy.log_line("refused: cannot start the program 'no-such-program'");
    assert!(line.contains("No such file or directory"), "{line}");
}

#[test]
fn a_terminal_is_one_with_the_size_that_the_client_says() {
    let proxy = serve("[\"sh\"]", "pty = true\nenvironment = { PS1 = \"ready> \" }");
    for (query, size) in [("/", "24 80"), ("/?columns=132&rows=43", "43 132"), ("/?columns=0&rows=x", "24 80")] {
        let mut client = Client::connect(proxy.address());
        assert_eq!(client.request(query, &[]).status, 101);
        read_until(&mut client, "ready> ");
        client.send_binary(b"stty size; tty; echo $TERM\n");
        let said = read_until(&mut client, "xterm-256color");
        assert!(said.contains(&format!("{size}\r\n/dev/pts/")), "{said}");
        // What is typed is shown, the interrupt is a signal, and the end of the shell ends the session.
        // It says so when it has the terminal: an interrupt before would be for the shell.
        client.send_binary(b"sh -c 'echo \"read\"y.; exec tail -f /dev/null'\n");
        read_until(&mut client, "ready.\r\n");
        client.send_binary(b"\x03");
        read_until(&mut client, "ready> ");
        client.send_binary(b"exit 5\n");
        let (_, close) = client.read_to_close();
        assert_eq!(close, Some((1011, "The program ended with status 5".to_owned())));
    }
}

#[test]
fn a_terminal_hangs_up_when_its_client_goes() {
    let proxy = serve("[\"sh\"]", "pty = true\nenvironment = { PS1 = \"ready> \" }");
    let mut client = Client::open(proxy.address());
    read_until(&mut client, "ready> ");
    client.send_binary(b"echo this is $$; echo \"en\"d\n");
    let said = read_until(&mut client, "\nend\r\nready> ");
    let number = said.rsplit_once("\nthis is ").unwrap().1.lines().next().unwrap();
    let pid = nix::unistd::Pid::from_raw(number.parse().unwrap());
    client.send_close(1000, "");
    client.read_close();
    eventually_gone(pid);
}
