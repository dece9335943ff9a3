//! The example routes in config/ load, as they are and with every shown setting active, and show every key that exists.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use websockify::config::{Loaded, load_directory};
use websockify::http;
use websockify::program::settings::{Role, Stdio};
use websockify::server::address::ListenAddress;
use websockify::target::{Settings, Target};
use websockify::tls;
use websockify::websocket::codec::TextFrames;

/// The texts of the examples by file name.
fn examples() -> BTreeMap<String, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// Loads examples on a machine that has the files they name.
fn load(examples: &BTreeMap<String, String>) -> Vec<Loaded> {
    let machine = tempfile::tempdir().unwrap();
    let root = machine.path().display();
    fs::create_dir(machine.path().join("novnc")).unwrap();
    let certificates = ["vnc.pem", "vnc.key", "vnc.password", "lab.pem", "lab.key", "clients.pem", "clients.crl"];
    for name in ["tokens", "redis.password", "ca.pem", "portal.pem", "users"].iter().chain(&certificates) {
        fs::write(machine.path().join(name), "not looked into here").unwrap();
    }
    for (name, text) in examples {
        let text = text
            .replace("\"/usr/share/novnc\"", &format!("\"{root}/novnc\""))
            .replace("\"/etc/websockify/", &format!("\"{root}/"))
            .replace("file:/etc/websockify/", &format!("file:{root}/"))
            .replace("jwt:/etc/websockify/", &format!("jwt:{root}/"));
        fs::write(machine.path().join(name), text).unwrap();
    }
    load_directory(machine.path(), &[]).unwrap_or_else(|error| panic!("{error}"))
}

/// A setting that is shown and not active: `#key = value`, as opposed to `# prose`.
fn activate(line: &str) -> &str {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase())).unwrap_or(line)
}

#[test]
fn every_example_is_a_route() {
    let loaded = load(&examples());
    let route = |name: &str| &loaded.iter().find(|loaded| loaded.route.name == name).unwrap().route;
    assert_eq!(loaded.len(), 18);
    assert!(matches!(route("vnc").web, Some(http::Web::Directory(_))));
    assert_eq!(route("vnc-tls").tls.as_ref().map(|tls| tls.mode), Some(tls::Mode::Required));
    assert!(matches!(&route("telnet").target, Settings::Fixed(Target::Tcp { port: 23, .. })));
    assert_eq!(route("telnet").web, Some(http::Web::Builtin(http::Builtin::Telnet)));
    // Telnet's commands are bytes that text does not have: with "reply", the page would get U+FFFD in place of them.
    assert_eq!(route("telnet").text, TextFrames::Refuse);
    assert_eq!(route("lines").text, TextFrames::Reply);
    assert!(matches!(route("unix").listen[..], [ListenAddress::Unix { mode: 0o660, .. }]));
    assert!(matches!(route("unix").target, Settings::Fixed(Target::Unix(_))));
    assert!(route("behind-haproxy").access.proxies.is_some());
    assert_eq!(route("target-by-tls").target.to_string(), "tls:vm.example.com:5900");
    assert!(route("recorded").record.is_some());
    assert!(matches!(&route("desktop").program, Some(program) if program.port().is_some()));
    let telnetd = route("telnetd").program.as_ref().map(|program| &program.role);
    assert_eq!(telnetd, Some(&Role::PerSession { stdio: Stdio::Socket }));
}

#[test]
fn every_shown_setting_is_right() {
    let active: BTreeMap<_, _> = examples()
        .into_iter()
        .map(|(name, text)| (name, text.lines().map(activate).collect::<Vec<_>>().join("\n")))
        .collect();
    let loaded = load(&active);
    let tls = &loaded.iter().find(|loaded| loaded.route.name == "vnc-tls").unwrap().route;
    let client = &loaded.iter().find(|loaded| loaded.route.name == "client-certificates").unwrap().route;
    assert!(client.tls.as_ref().unwrap().clients.as_ref().unwrap().revocation_lists.is_some());
    let Some(http::Web::Directory(web)) = &tls.web else { panic!("{tls:?}") };
    assert!(web.listing && web.follow_symlinks);
}

#[test]
fn every_key_is_shown() {
    let text: String = examples().into_values().collect();
    let is_shown = |key: &str| {
        text.lines().any(|line| {
            let table = line.strip_prefix('[').map(|table| table.trim_matches(['[', ']']));
            table.is_some_and(|table| table.rsplit('.').next() == Some(key))
                || activate(line).starts_with(&format!("{key} = "))
        })
    };
    // What a message about an unknown key lists is what exists.
    let directory = tempfile::tempdir().unwrap();
    let unknown = "zzzzzz = 1\nweb.zzzzzz = 1\ntls.zzzzzz = 1\naccess.zzzzzz = 1\nwebsocket.zzzzzz = 1\nrecord.zzzzzz = 1\n\
         limits.zzzzzz = 1\ntokens.zzzzzz = 1\ntargets.zzzzzz = 1\nprogram.zzzzzz = 1\n\
         tls.certificates.zzzzzz = 1\ntls.client.zzzzzz = 1\ntls.client.allow.zzzzzz = 1\n\
         access.jwt.zzzzzz = 1\naccess.forward-auth.zzzzzz = 1\n";
    fs::write(directory.path().join("x.toml"), unknown).unwrap();
    let said = load_directory(directory.path(), &[]).unwrap_err().to_string();
    let lists: Vec<&str> = said.lines().filter_map(|line| Some(line.split_once("known are ")?.1)).collect();
    assert_eq!(lists.len(), 15, "{said}");
    for key in lists.iter().flat_map(|list| list.split(", ")) {
        assert!(is_shown(key), "no example shows '{key}'");
    }
}
