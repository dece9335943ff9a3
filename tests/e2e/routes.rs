//! `serve`, `check` and `convert`.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::client::Client;
use crate::support::command::{Outcome, run};
use crate::support::proxy::{BINARY, Proxy};
use crate::support::target::{Target, echo};
use crate::support::web::get;

fn directory(routes: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, toml) in routes {
        fs::write(directory.path().join(name), toml).unwrap();
    }
    directory
}

fn on(verb: &str, directory: &Path, names: &[&str]) -> Outcome {
    run(&[&[verb, "--config", directory.to_str().unwrap()], names].concat())
}

#[test]
fn every_file_of_a_directory_is_a_route() {
    let (one, other) = (Target::listen(), Target::listen());
    let toml = |ip: &str, target: &Target| format!("listen = \"{ip}:0\"\ntarget = \"{}\"", target.address());
    let proxy = Proxy::serve_files(&[
        ("one", &toml("127.0.0.1", &one)),
        ("other", &toml("127.0.0.2", &other)),
        (".hidden", "what an editor left"),
    ]);
    proxy.nth_log_line("listening on", 1);
    let addresses = proxy.addresses();
    assert_eq!(addresses.len(), 2);
    let _to_one = Client::open(addresses[0]);
    one.accept();
    let _to_other = Client::open(addresses[1]);
    other.accept();
    proxy.log_line("session opened");
    assert!(proxy.log_line(&format!("listening on {}", addresses[1])).contains("route=other"));
}

#[test]
fn only_the_routes_that_are_named_are_served() {
    let routes = directory(&[
        ("wanted.toml", "listen = \"127.0.0.1:0\"\ntarget = \"127.0.0.1:1\"\nweb = \".\""),
        ("other.toml", "listen = \"127.0.0.2:0\"\ntarget = \"127.0.0.1:1\""),
        ("broken.toml", "lisen = 1"),
    ]);
    let mut command = Command::new(BINARY);
    let proxy = Proxy::start(command.args(["serve", "--config"]).arg(routes.path()).arg("wanted"));
    assert_eq!(get(proxy.address(), "/other.toml").head.status, 200); // it serves; by now all sockets are bound
    assert_eq!(proxy.addresses().len(), 1);
    assert!(proxy.log_line("listening on 127.0.0.1:").contains("route=wanted"));
}

#[test]
fn a_route_listens_on_each_of_its_addresses() {
    let target = echo();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.sock");
    let proxy = Proxy::serve(&format!(
        "listen = [\"127.0.0.1:0\", \"[::1]:0\", \"{}\"]\ntarget = \"{target}\"",
        path.display()
    ));
    proxy.nth_log_line("listening on", 2);
    for address in proxy.addresses() {
        Client::open(address);
    }
    let mut client = Client { stream: std::os::unix::net::UnixStream::connect(path).unwrap() };
    client.upgrade();
}

#[test]
fn a_mistake_is_told_at_its_place_with_the_cure_and_ends_with_78() {
    let routes = directory(&[
        ("bad.toml", "listen = \"127.0.0.1:0\"\ntaget = \"127.0.0.1:1\"\n"),
        ("good.toml", "listen = \"127.0.0.1:0\"\ntarget = \"127.0.0.1:1\"\n"),
    ]);
    for verb in ["serve", "check"] {
        let ended = on(verb, routes.path(), &[]);
        assert_eq!(ended.code, 78, "{verb}: {}", ended.stderr);
        let place = format!("{}:2:1: ", routes.path().join("bad.toml").display());
        let line = ended.stderr.lines().find(|line| line.starts_with(&place)).unwrap_or_else(|| panic!("{ended:?}"));
        assert!(line.contains("taget") && line.contains("target"), "{line}");
        assert!(!ended.stderr.contains("listening on"), "{}", ended.stderr);
    }
}

#[test]
fn check_says_which_routes_are_well_and_starts_nothing() {
    // Taken: a check that binds would fail.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let toml = format!("listen = \"{address}\"\ntarget = \"127.0.0.1:1\"");
    let routes = directory(&[("a.toml", &toml), ("b.toml", "listen = \"6081\"\ntarget = \"127.0.0.1:1\"")]);
    let ended = on("check", routes.path(), &[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "a: ok\nb: ok\n"));
    assert!(ended.stderr.contains(&format!("warning: {address} is in use now by '")), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("(process {})", std::process::id())), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert_eq!(on("check", routes.path(), &["b"]).stdout, "b: ok\n");
    assert_eq!(on("serve", routes.path(), &["a"]).code, 71);
}

#[test]
fn check_loads_certificates() {
    let routes = directory(&[
        ("a.toml", "listen = \"0\"\ntarget = \"127.0.0.1:1\"\n[tls]\ncertificate = \"cert.pem\"\n"),
        ("cert.pem", "nothing of the kind"),
    ]);
    let ended = on("check", routes.path(), &[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (78, ""));
    let place = format!("{}:4:15: no private key in ", routes.path().join("a.toml").display());
    assert!(ended.stderr.starts_with(&place), "{}", ended.stderr);
    assert_eq!(on("serve", routes.path(), &[]).code, 78);
}

#[test]
fn a_route_that_does_not_exist_is_told_with_those_that_do() {
    let routes = directory(&[("desktop.toml", "listen = \"0\"\ntarget = \"127.0.0.1:1\"")]);
    for verb in ["serve", "check"] {
        let ended = on(verb, routes.path(), &["dekstop"]);
        assert_eq!(ended.code, 78);
        assert!(ended.stderr.contains("dekstop") && ended.stderr.contains("desktop"), "{}", ended.stderr);
    }
    assert_eq!(on("serve", Path::new("/nonexistent"), &[]).code, 78);
}

#[test]
fn a_converted_command_line_serves_the_same() {
    let www = directory(&[("index.html", "the page")]);
    let target = echo().to_string();
    let web = www.path().to_str().unwrap();
    let socket = www.path().join("x.sock");
    for line in [
        &["127.0.0.1:0", &target][..],
        &["websockify", "127.0.0.1:0", &target, "--web", web, "--heartbeat", "30"],
        &["--file-only", "--web", web, "-v", "--run-once", "127.0.0.1:0", &target],
        &["--unix-listen", socket.to_str().unwrap(), "--unix-listen-mode", "660", &target],
    ] {
        let converted = run(&[&["convert", "--"], line].concat());
        assert_eq!((converted.code, converted.stderr.as_str()), (0, ""), "{line:?}");
        let proxy = Proxy::serve(&converted.stdout);
        if line.contains(&"--unix-listen") {
            let mut client = Client { stream: std::os::unix::net::UnixStream::connect(&socket).unwrap() };
            client.upgrade();
            continue;
        }
        let mut client = Client::open(proxy.address());
        client.send_binary(b"hello");
        assert_eq!(client.read_binary(5), b"hello", "{line:?}");
        let expected = if line.contains(&"--web") { 200 } else { 405 };
        assert_eq!(get(proxy.address(), "/").head.status, expected, "{line:?}");
    }
}
