//! systemd passes the sockets, and is told how it goes.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nix::sys::signal::Signal;

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::manager::Manager;
use crate::support::target::{Target, echo};

#[test]
fn sessions_come_by_a_passed_socket_and_the_manager_hears_of_the_daemon_s_life() {
    let mut manager = Manager::new();
    let address = manager.listen("websockify@vnc.socket");
    manager.write("vnc", &format!("listen = \"{address}\"\ntarget = \"{}\"", echo()));
    let mut proxy = manager.spawn(&["vnc"]);
    assert_eq!(manager.told(), "READY=1\nSTATUS=0 sessions\n");
    proxy.log_line(&format!("listening on {address}"));
    let mut client = Client::open(address);
    client.assert_echoes();
    assert_eq!(manager.told(), "STATUS=1 session\n");

    proxy.signal(Signal::SIGHUP);
    let reloading = manager.told();
    let stamp: u64 = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim().parse().unwrap();
    assert!(stamp > 0);
    assert_eq!(manager.told(), "READY=1\nSTATUS=1 session\n");

    proxy.signal(Signal::SIGTERM);
    assert_eq!(manager.told(), "STOPPING=1\nSTATUS=stopping\n");
    assert!(manager.told().starts_with("EXTEND_TIMEOUT_USEC="));
    assert_eq!(client.read_close().0, 1001);
    client.send_close(1001, "");
    assert_eq!(proxy.exit_code(), 0);
    assert!(!proxy.log_lines().iter().any(|line| line.contains("WARN")), "{:?}", proxy.log_lines());
}

#[test]
fn sockets_go_to_the_routes_that_they_are_named_after() {
    let mut manager = Manager::new();
    let (one, other) = (Target::listen(), Target::listen());
    let second = manager.listen("other");
    let first = manager.listen("websockify@one.socket");
    manager.write("one", &format!("listen = \"{first}\"\ntarget = \"{}\"", one.address()));
    manager.write("other", &format!("listen = \"{second}\"\ntarget = \"{}\"", other.address()));
    let _proxy = manager.spawn(&[]);
    manager.told_of("READY=1");
    let _clients = (Client::open(first), one.accept(), Client::open(second), other.accept());
}

/// A daemon that ended would be started again until systemd gives its socket up.
#[test]
fn a_broken_route_is_out_of_order_until_a_reload_finds_it_mended() {
    let mut manager = Manager::new();
    let address = manager.listen("websockify@vnc.socket");
    let path = manager.write("vnc", "listen = \"6080\"\ntaget = \"localhost:5900\"");
    let proxy = manager.spawn(&["vnc"]);
    let problem = format!("vnc is out of order: {}:1:1: 'target' is missing", path.display());
    let told = manager.told();
    assert!(told.starts_with(&format!("READY=1\nSTATUS={problem}")), "{told}");
    proxy.log_line("vnc.toml:2:1: ");

    assert_eq!(Client::connect(address).request("/", &[]).status, 503);
    let mut browser = Client::connect(address);
    assert_eq!(browser.request("/", &[("Origin", "http://test")]).status, 101);
    let (code, reason) = browser.read_close();
    assert!(code == 1013 && reason.starts_with("This route is out of order"), "{code} {reason}");

    proxy.signal(Signal::SIGHUP);
    manager.told_of("Reload failed, the old configuration stays in force");
    manager.write("vnc", &format!("listen = \"{address}\"\ntarget = \"{}\"", echo()));
    proxy.signal(Signal::SIGHUP);
    assert_eq!(manager.told_of("READY=1"), "READY=1\nSTATUS=0 sessions\n");
    Client::open(address).assert_echoes();
}

#[test]
fn a_missing_certificate_puts_its_route_out_of_order_too() {
    let mut manager = Manager::new();
    let address = manager.listen("websockify@vnc.socket");
    let tls = "[tls]\ncertificate = \"missing.pem\"";
    manager.write("vnc", &format!("listen = \"{address}\"\ntarget = \"{}\"\n{tls}", echo()));
    let _proxy = manager.spawn(&["vnc"]);
    let told = manager.told();
    assert!(told.contains("vnc is out of order") && told.contains("missing.pem"), "{told}");
    assert_eq!(Client::connect(address).request("/", &[]).status, 503);
}

#[test]
fn a_listen_that_is_not_what_was_passed_is_told_with_the_cure() {
    let mut manager = Manager::new();
    let address = manager.listen("websockify@vnc.socket");
    manager.write("vnc", &format!("listen = \"6099\"\ntarget = \"{}\"", echo()));
    let proxy = manager.spawn(&["vnc"]);
    let (warning, told) = (proxy.log_line("WARN"), manager.told());
    for part in ["not passed: 6099", &address.to_string(), "systemctl restart websockify@vnc.socket"] {
        assert!(warning.contains(part) && told.contains(part), "{warning}\n{told}");
    }
    Client::open(address).assert_echoes();
}

/// How to break an activation, and what is then said.
type Case = (fn(&mut Manager), &'static str);

#[test]
fn an_activation_that_is_broken_does_not_fall_back_to_binding() {
    let route = |manager: &Manager| manager.write("vnc", "listen = \"127.0.0.1:0\"\ntarget = \"localhost:5900\"");
    let cases: [Case; 4] = [
        (
            |manager| {
                manager.listen("vnc");
                manager.set("LISTEN_PID", "1");
            },
            "LISTEN_PID is not this process",
        ),
        (|manager| manager.set("LISTEN_FDS", "0"), "no socket was passed"),
        (|manager| manager.set("LISTEN_FDS", "1"), "do not agree"),
        (|manager| manager.pass("vnc", UnixStream::pair().unwrap().0.into()), "set Accept=no"),
    ];
    for (prepare, reason) in cases {
        let mut manager = Manager::new();
        route(&manager);
        prepare(&mut manager);
        let mut proxy = manager.spawn(&["vnc"]);
        proxy.log_line(reason);
        assert_eq!(proxy.exit_code(), 78, "{reason}");
        assert!(!proxy.log_lines().iter().any(|line| line.contains("listening on")), "{reason}");
    }
}

/// How to make a socket that clients cannot be accepted from, and what it is called.
type WrongSocket = (fn() -> OwnedFd, &'static str);

fn wrong_sockets() -> [WrongSocket; 4] {
    let seqpacket = || {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::SEQPACKET, None).unwrap();
        socket.bind(&socket2::SockAddr::unix(tempfile::tempdir().unwrap().path().join("socket")).unwrap()).unwrap();
        socket.listen(8).unwrap();
        socket.into()
    };
    let not_listening = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.into()
    };
    [
        (datagram, "a datagram socket (ListenDatagram=)"),
        (seqpacket, "a sequential packet socket (ListenSequentialPacket=)"),
        (not_listening, "a stream socket that does not listen"),
        (|| nix::unistd::pipe().unwrap().0, "a pipe (ListenFIFO=)"),
    ]
}

/// A datagram waits in it, and makes systemd start the service again whenever there is none.
fn datagram() -> OwnedFd {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"wake up", socket.local_addr().unwrap()).unwrap();
    socket.into()
}

/// One that ended would be started again by what waits in the socket, until systemd gives up.
#[test]
fn a_socket_of_the_wrong_kind_is_told_with_its_cure_and_ends_nothing() {
    for (wrong, found) in wrong_sockets() {
        let mut manager = Manager::new();
        manager.write("vnc", &format!("listen = \"127.0.0.1:0\"\ntarget = \"{}\"", echo()));
        manager.pass("websockify@vnc.socket", wrong());
        let mut proxy = manager.spawn(&["vnc"]);
        let problem = format!("systemd passed 'websockify@vnc.socket', which is {found}, and not a stream socket");
        let told = manager.told();
        assert!(told.starts_with("READY=1\n") && told.contains(&problem) && told.contains("ListenStream="), "{told}");
        proxy.log_line(&format!("ERROR {problem}"));
        proxy.signal(Signal::SIGHUP);
        let told = manager.told_of("READY=1");
        assert!(told.contains(&problem), "a reload does not change the socket: {told}");
        proxy.signal(Signal::SIGTERM);
        assert_eq!(proxy.exit_code(), 0);
    }
}

#[test]
fn the_right_sockets_beside_a_wrong_one_are_served() {
    let mut manager = Manager::new();
    let address = manager.listen("websockify@vnc.socket");
    manager.write("vnc", &format!("listen = \"{address}\"\ntarget = \"{}\"", echo()));
    manager.pass("websockify@vnc.socket", datagram());
    let _proxy = manager.spawn(&["vnc"]);
    assert!(manager.told().contains("a datagram socket"));
    let mut client = Client::open(address);
    client.assert_echoes();
    let told = manager.told_of("1 session");
    assert!(told.contains("a datagram socket"), "{told}");
}

#[test]
fn clients_of_a_socket_that_is_for_no_route_are_told_and_the_others_served() {
    let mut manager = Manager::new();
    let (first, second) = (manager.listen("websockify@one.socket"), manager.listen("websockify@two.socket"));
    let stray = manager.listen("stray");
    for (name, address) in [("one", first), ("two", second)] {
        manager.write(name, &format!("listen = \"{address}\"\ntarget = \"{}\"", echo()));
    }
    let proxy = manager.spawn(&[]);
    let problem = format!("systemd passed 'stray' on {stray}, which is for no route that is served");
    let told = manager.told();
    assert!(told.contains(&problem) && told.contains("FileDescriptorName="), "{told}");
    proxy.log_line(&format!("ERROR {problem}"));
    Client::open(first).assert_echoes();
    Client::open(second).assert_echoes();
    assert_eq!(Client::connect(stray).request("/", &[]).status, 503);
}

#[test]
fn localhost_is_what_its_unit_listens_on() {
    let mut manager = Manager::new();
    let address = manager.listen("websockify@vnc.socket");
    let listen = format!("localhost:{}", address.port());
    manager.write("vnc", &format!("listen = \"{listen}\"\ntarget = \"{}\"", echo()));
    let proxy = manager.spawn(&["vnc"]);
    assert_eq!(manager.told(), "READY=1\nSTATUS=0 sessions\n");
    assert!(!proxy.log_lines().iter().any(|line| line.contains("WARN")), "{:?}", proxy.log_lines());
}

/// The socket is systemd's, so that whoever comes while there is no daemon waits for the next; whoever came to the old one
/// a moment before its end is still answered.
#[test]
fn restarts_under_a_stream_of_new_connections_refuse_nobody() {
    let mut manager = Manager::new();
    let address = manager.listen("websockify@vnc.socket");
    manager.write("vnc", &format!("listen = \"{address}\"\ntarget = \"{}\"", echo()));
    let done = AtomicBool::new(false);
    let sessions = AtomicUsize::new(0);
    let mut last = None; // it outlives the clients
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    Client::connect(address).upgrade();
                    sessions.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _finish = Finish(&done);
        for _ in 0..5 {
            let before = sessions.load(Ordering::Relaxed);
            let mut proxy = manager.spawn(&["vnc"]);
            eventually("sessions come", || (sessions.load(Ordering::Relaxed) > before + 50).then_some(()));
            proxy.signal(Signal::SIGTERM);
            assert_eq!(proxy.exit_code(), 0);
        }
        last = Some(manager.spawn(&["vnc"]));
        let before = sessions.load(Ordering::Relaxed);
        eventually("sessions still come", || (sessions.load(Ordering::Relaxed) > before + 50).then_some(()));
        done.store(true, Ordering::Relaxed);
    });
    drop(last);
}

/// Ends the clients also when the test fails.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_start_that_fails_says_why_in_the_status() {
    let mut manager = Manager::new();
    manager.pass("vnc", UnixStream::pair().unwrap().0.into());
    manager.write("vnc", "listen = \"127.0.0.1:0\"\ntarget = \"localhost:5900\"");
    let _proxy = manager.spawn(&["vnc"]);
    let told = manager.told();
    assert!(told.starts_with("STATUS=systemd passed 'vnc', which is a connection"), "{told}");
}

#[test]
fn the_watchdog_is_fed_while_the_workers_answer() {
    let mut manager = Manager::new();
    let address = manager.listen("websockify@vnc.socket");
    manager.set("WATCHDOG_USEC", "200000");
    manager.write("vnc", &format!("listen = \"{address}\"\ntarget = \"{}\"", echo()));
    let _proxy = manager.spawn(&["vnc"]);
    for _ in 0..3 {
        manager.told_of("WATCHDOG=1");
    }
}
