//! Every key of a route's file means what it says, and what is left out has its default.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::time::Duration;

use proptest::prelude::*;
use websockify::access::forwarded::{ForwardedHeader, Proxy, TrustedProxies};
use websockify::access::origin::Origins;
use websockify::access::proxies::{Proxies, ProxyProtocol};
use websockify::access::{self, AllowedClients};
use websockify::config::{Loaded, Position, Route, load_directory};
use websockify::http;
use websockify::limits::Limits;
use websockify::program::settings::{Isolation, Port, Property, Role, Stdio, Supervision};
use websockify::program::{self, OnExit};
use websockify::proxy_protocol::Version;
use websockify::record;
use websockify::server::address::ListenAddress;
use websockify::target::{Settings, Target, leg};
use websockify::tls::client::{self, Trust};
use websockify::tls::{self, Authorities, SpkiHash};
use websockify::websocket::codec::TextFrames;

/// A directory with the route `vnc` and the files it may name.
fn directory(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("www")).unwrap();
    for name in ["vnc.pem", "vnc.key"] {
        fs::write(directory.path().join(name), "not looked into here").unwrap();
    }
    fs::write(directory.path().join("vnc.toml"), text).unwrap();
    directory
}

fn load(directory: &tempfile::TempDir) -> Loaded {
    load_directory(directory.path(), &[]).unwrap_or_else(|error| panic!("{error}")).remove(0)
}

fn tcp(host: Option<&str>, port: u16) -> ListenAddress {
    ListenAddress::Tcp { host: host.map(str::to_owned), port }
}

#[test]
fn every_key_means_what_it_says() {
    let directory = directory(
        r#"
description = "Desktop"
listen = ["6080", "[2001:db8::1]:7443", "localhost:7000", "/run/vnc.sock"]
listen-mode = "0660"
target = "tls:unix:vm/vnc.sock"
web = { root = "www", follow-symlinks = true, listing = true }

[tls]
mode = "required"
certificate = "vnc.pem"
key = "vnc.key"

[access]
allow-clients = ["10.9.9.9/8", "::1"]
deny-clients = "10.66.0.0/16"
trusted-proxies = ["192.0.2.1", "unix"]
proxy-protocol = "accepted"
forwarded-header = "forwarded"

[targets]
send-proxy = "v2"

[targets.tls]
ca = "system"
spki-sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
server-name = "vm.example.com"
certificate = "vnc.pem"
key = "vnc.key"

[websocket]
heartbeat = "1m 30s"
text = "accept"

[limits]
connections = 100
connections-per-address = 0xA
backlog = 1_000
handshake-timeout = "20s"
connect-timeout = "12s"
request-size = "64KiB"
idle-timeout = "8h"
close-timeout = "500ms"
drain-timeout = "1m"

[record]
directory = "recordings"
compression = "zstd"
size-limit = "1GiB"
keep-files = 100
keep-age = "30days"
"#,
    );
    let path = |name: &str| directory.path().join(name);
    assert_eq!(
        load(&directory).route,
        Route {
            name: "vnc".to_owned(),
            description: Some("Desktop".to_owned()),
            listen: vec![
                tcp(None, 6080),
                tcp(Some("2001:db8::1"), 7443),
                tcp(Some("localhost"), 7000),
                ListenAddress::Unix { path: "/run/vnc.sock".into(), mode: 0o660 },
            ],
            target: Settings::Fixed(Target::Unix(path("vm/vnc.sock")).by_tls()),
            allow_targets: None,
            program: None,
            web: Some(http::Web::Directory(http::Directory {
                root: path("www"),
                follow_symlinks: true,
                listing: true
            })),
            tls: Some(tls::Settings {
                mode: tls::Mode::Required,
                default: tls::CertificateSettings {
                    certificate: tls::Pem::File(path("vnc.pem")),
                    key: Some(tls::Pem::File(path("vnc.key"))),
                    passphrase: None,
                },
                others: Vec::new(),
                rules: tls::Rules::default(),
                clients: None,
            }),
            access: access::Settings {
                allow_clients: Some(AllowedClients::new(vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()])),
                origins: Origins { listed: Vec::new(), own: true },
                deny_clients: Some(vec!["10.66.0.0/16".parse().unwrap()]),
                proxies: Some(Proxies {
                    trusted: TrustedProxies::new(vec!["192.0.2.1".parse().unwrap(), Proxy::Unix]),
                    protocol: Some(ProxyProtocol::Accepted),
                    header: Some(ForwardedHeader::Forwarded),
                }),
                ..access::Settings::default()
            },
            leg: leg::Settings {
                send_proxy: Some(Version::V2),
                tls: Some(client::Settings {
                    trust: Trust::Pinned(vec![SpkiHash::of(b"abc")], Some(Authorities::System)),
                    server_name: Some("vm.example.com".try_into().unwrap()),
                    identity: Some((tls::Pem::File(path("vnc.pem")), Some(tls::Pem::File(path("vnc.key"))))),
                }),
                is_tls_always: false,
            },
            heartbeat: Some(Duration::from_secs(90)),
            exit_idle: None,
            record: Some(record::Settings {
                naming: record::Naming::InDirectory(path("recordings")),
                compression: record::Form::Zstd,
                size_max: Some(1 << 30),
                files_max: NonZeroUsize::new(100),
                age_max: Some(Duration::from_hours(24 * 30)),
            }),
            text: TextFrames::Accept,
            limits: Limits {
                connections: NonZeroUsize::new(100).unwrap(),
                connections_per_address: NonZeroUsize::new(10),
                failures_per_address: NonZeroUsize::new(10).unwrap(),
                backlog: 1000,
                handshake_timeout: Duration::from_secs(20),
                connect_timeout: Duration::from_secs(12),
                request_bytes_max: 65536,
                idle_timeout: Some(Duration::from_hours(8)),
                close_timeout: Duration::from_millis(500),
                drain_timeout: Duration::from_mins(1),
            },
        }
    );
}

#[test]
fn what_is_left_out_has_its_default() {
    let directory = directory("listen = \"6080\"\ntarget = \"localhost:5900\"\n");
    assert_eq!(
        load(&directory).route,
        Route {
            name: "vnc".to_owned(),
            description: None,
            listen: vec![tcp(None, 6080)],
            target: Settings::Fixed(Target::Tcp { host: "localhost".to_owned(), port: 5900 }),
            allow_targets: None,
            program: None,
            web: None,
            tls: None,
            access: access::Settings::default(),
            leg: leg::Settings::default(),
            heartbeat: Some(Duration::from_secs(25)),
            exit_idle: None,
            record: None,
            text: TextFrames::Refuse,
            limits: Limits::default(),
        }
    );
}

#[test]
fn a_program_is_systemds_and_its_port_is_moved_unless_told_otherwise() {
    let program = |text: &str| {
        let directory = directory(&format!("listen = \"6080\"\n[program]\ncommand = [\"x\", \"y z\"]\n{text}"));
        let route = load(&directory).route;
        assert_eq!(route.target, Settings::Program);
        route.program.unwrap()
    };
    let plain = program("port = 5901\n");
    let port = Port { number: 5901, isolation: Isolation::Rebind, start_timeout: None };
    let expected = program::Settings {
        command: program::Command::new(vec!["x".into(), "y z".into()]).unwrap(),
        role: Role::Service { port: Some(port), on_exit: OnExit::Exit },
        supervision: Supervision::Systemd { properties: Vec::new() },
        user: None,
        group: None,
        working_directory: None,
        environment: BTreeMap::new(),
    };
    assert_eq!(plain, expected);
    let all = program(
        r#"
port = 5901
on-exit = "respawn"
isolation = "private-network"
start-timeout = "1m"
user = "alice"
group = "video"
working-directory = "/home/alice"
environment = { LANG = "C.UTF-8" }
properties = { DeviceAllow = ["/dev/dri", "/dev/kvm"], Nice = -5, NoNewPrivileges = true }
"#,
    );
    let port = Port { number: 5901, isolation: Isolation::PrivateNetwork, start_timeout: Some(Duration::from_mins(1)) };
    let property = |name: &str, values: &[&str]| Property {
        name: name.to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let properties = vec![
        property("DeviceAllow", &["/dev/dri", "/dev/kvm"]),
        property("Nice", &["-5"]),
        property("NoNewPrivileges", &["yes"]),
    ];
    assert_eq!(
        all,
        program::Settings {
            role: Role::Service { port: Some(port), on_exit: OnExit::Respawn },
            supervision: Supervision::Systemd { properties },
            user: Some("alice".to_owned()),
            group: Some("video".to_owned()),
            working_directory: Some("/home/alice".into()),
            environment: BTreeMap::from([("LANG".to_owned(), "C.UTF-8".to_owned())]),
            ..expected
        }
    );
    let each = program("supervisor = \"child\"\nper-session = true\n");
    assert_eq!((each.role, each.supervision), (Role::PerSession { stdio: Stdio::Socket }, Supervision::Child));
}

#[test]
fn tls_is_sniffed_and_web_is_careful_unless_told_otherwise() {
    let directory = directory("listen = \"/x\"\ntarget = \"a:1\"\nweb = \"www\"\n[tls]\ncertificate = \"vnc.pem\"\n");
    let route = load(&directory).route;
    assert_eq!(route.listen, [ListenAddress::Unix { path: "/x".into(), mode: 0o600 }]);
    let root = directory.path().join("www");
    let web = http::Directory { root, follow_symlinks: false, listing: false };
    assert_eq!(route.web, Some(http::Web::Directory(web)));
    let certificate = tls::Pem::File(directory.path().join("vnc.pem"));
    let tls = route.tls.unwrap();
    assert_eq!((tls.mode, tls.default.certificate, tls.default.key), (tls::Mode::Sniff, certificate, None));
}

#[test]
fn the_demo_page_and_the_terminal_are_built_in() {
    for (name, set) in [("demo", http::Builtin::Demo), ("telnet", http::Builtin::Telnet)] {
        let directory = directory(&format!("listen = \"0\"\ntarget = \"a:1\"\nweb = \"builtin:{name}\"\n"));
        assert_eq!(load(&directory).route.web, Some(http::Web::Builtin(set)));
    }
}

#[test]
fn a_shorter_handshake_shortens_the_connect() {
    let directory = directory("listen = \"0\"\ntarget = \"a:1\"\nlimits.handshake-timeout = \"3s\"\n");
    assert_eq!(load(&directory).route.limits.connect_timeout, Duration::from_secs(2));
}

#[test]
fn places_are_kept_for_errors_of_later_stages() {
    let directory = directory(
        "listen = [\"0\",\n  \"0\"]\ntarget = \"a:1\"\n[tls]\ncertificate = \"vnc.pem\"\nkey = \"vnc.key\"\n",
    );
    let places = load(&directory).places;
    let position = |line, column| Some(Position { line, column });
    assert_eq!(places.listen.iter().map(|place| place.position).collect::<Vec<_>>(), [position(1, 11), position(2, 3)]);
    assert_eq!(places.target.position, position(3, 10));
    assert_eq!(places.certificate.unwrap().position, position(5, 15));
    assert_eq!(places.key.unwrap().to_string(), format!("{}/vnc.toml:6:7", directory.path().display()));
}

proptest! {
    #[test]
    fn durations_sizes_and_counts_are_read_exactly(
        heartbeat in 1..86_400_000_u64, size in 8_u64..=1024, connections in 1_usize..=1_000_000,
    ) {
        let heartbeat = Duration::from_millis(heartbeat);
        let directory = directory(&format!(
            "listen = \"0\"\ntarget = \"a:1\"\n\
             websocket.heartbeat = \"{}\"\nlimits.request-size = \"{size}KiB\"\nlimits.connections = {connections}\n",
            humantime::format_duration(heartbeat),
        ));
        let route = load(&directory).route;
        prop_assert_eq!(route.heartbeat, Some(heartbeat));
        prop_assert_eq!(route.limits.request_bytes_max as u64, size * 1024);
        prop_assert_eq!(route.limits.connections.get(), connections);
    }
}
