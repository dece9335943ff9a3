//! `--web`: files on the same port.

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use crate::support::client::{BINARY, Client, FIN, frame, upgrade_request};
use crate::support::proxy::Proxy;
use crate::support::target::echo;
use crate::support::web::{get, plain_request};

/// A root with something of each kind, beside something that is nobody's business.
fn start() -> (Proxy, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir_all(path("www/sub")).unwrap();
    fs::create_dir_all(path("www/bare")).unwrap();
    fs::write(path("www/index.html"), "<title>front</title>").unwrap();
    fs::write(path("www/sub/index.html"), "<title>sub</title>").unwrap();
    fs::write(path("www/bare/file.txt"), "0123456789").unwrap();
    fs::write(path("www/.htpasswd"), "secret").unwrap();
    fs::write(path("outside"), "secret").unwrap();
    symlink("../outside", path("www/leak")).unwrap();
    symlink("bare/file.txt", path("www/inside")).unwrap();
    let root = path("www");
    let proxy = Proxy::classic(&["--web", root.to_str().unwrap(), "127.0.0.1:0", &echo().to_string()]);
    (proxy, directory)
}

#[test]
fn files_come_with_their_type_and_are_to_be_asked_for_again() {
    let (proxy, _directory) = start();
    let index = get(proxy.address(), "/?token=x");
    assert_eq!((index.head.status, index.body.as_str()), (200, "<title>front</title>"));
    assert!(index.header("content-type").starts_with("text/html"));
    assert_eq!(index.header("cache-control"), "no-cache");
    assert_eq!(index.header("x-content-type-options"), "nosniff");
    assert_eq!(index.find_header("server"), None, "no version for those who look for old ones");
    assert_eq!(get(proxy.address(), "/inside").body, "0123456789");
}

#[test]
fn a_directory_is_never_listed_and_its_index_is_found_behind_a_slash() {
    let (proxy, _directory) = start();
    let redirect = get(proxy.address(), "/sub");
    assert!((301..=308).contains(&redirect.head.status), "{}", redirect.head.text);
    assert_eq!(redirect.header("location"), "/sub/");
    assert_eq!(get(proxy.address(), "/sub/").body, "<title>sub</title>");
    let bare = get(proxy.address(), "/bare/");
    assert_eq!(bare.head.status, 404);
    assert!(!bare.body.contains("file.txt"));
}

#[test]
fn a_redirect_never_leads_to_another_host() {
    let (proxy, _directory) = start();
    let answer = get(proxy.address(), "//evil.example/../sub");
    assert!(answer.find_header("location").is_none_or(|to| !to.starts_with("//")), "{}", answer.head.text);
}

#[test]
fn nothing_outside_the_root_and_nothing_hidden_is_served() {
    let (proxy, _directory) = start();
    for path in [
        "/missing",
        "/leak",
        "/.htpasswd",
        "/../outside",
        "/%2e%2e/outside",
        "/sub/..%2f..%2foutside",
        "/bare\\file.txt",
    ] {
        let answer = get(proxy.address(), path);
        assert!([400, 404].contains(&answer.head.status), "{path}: {}", answer.head.text);
        assert!(!answer.body.contains("secret"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
}

#[test]
fn a_range_is_a_part_of_the_file() {
    let (proxy, _directory) = start();
    let mut client = Client::connect(proxy.address());
    let part = client.fetch("GET", "/bare/file.txt", &[("Range", "bytes=2-4")]);
    assert_eq!((part.head.status, part.body.as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), "bytes 2-4/10");
    assert_eq!(client.fetch("GET", "/bare/file.txt", &[("Range", "bytes=99-")]).head.status, 416);
}

#[test]
fn a_file_that_the_browser_has_is_not_sent_again() {
    let (proxy, directory) = start();
    let mut client = Client::connect(proxy.address());
    let first = client.fetch("GET", "/bare/file.txt", &[]);
    let (etag, modified) = (first.header("etag"), first.header("last-modified"));
    assert_eq!(client.fetch("GET", "/bare/file.txt", &[("If-None-Match", etag)]).head.status, 304);
    assert_eq!(client.fetch("GET", "/bare/file.txt", &[("If-Modified-Since", modified)]).head.status, 304);
    fs::write(directory.path().join("www/bare/file.txt"), "changed, and longer").unwrap();
    let changed = client.fetch("GET", "/bare/file.txt", &[("If-None-Match", etag)]);
    assert_eq!((changed.head.status, changed.body.as_str()), (200, "changed, and longer"));
}

#[test]
fn head_is_get_without_the_body() {
    let (proxy, _directory) = start();
    let mut client = Client::connect(proxy.address());
    let head = client.fetch("HEAD", "/bare/file.txt", &[]);
    assert_eq!((head.head.status, head.header("content-length")), (200, "10"));
    // Were there a body, it would be read as the head of this answer.
    assert_eq!(client.fetch("GET", "/bare/file.txt", &[]).body, "0123456789");
}

#[test]
fn other_methods_are_not_allowed() {
    let (proxy, _directory) = start();
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = Client::connect(proxy.address()).fetch(method, "/", &[]);
        assert_eq!((answer.head.status, answer.header("allow")), (405, "GET, HEAD"), "{method}");
    }
}

#[test]
fn without_web_a_plain_request_is_told_what_is_here() {
    let proxy = Proxy::classic(&["127.0.0.1:0", "127.0.0.1:1"]);
    let answer = get(proxy.address(), "/");
    assert_eq!(answer.head.status, 405);
    assert_eq!(answer.body, "This is a WebSocket endpoint: connect with a WebSocket client.\n");
}

#[test]
fn a_connection_that_got_files_may_become_a_session() {
    let (proxy, _directory) = start();
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.fetch("GET", "/", &[]).body, "<title>front</title>");
    assert_eq!(client.fetch("GET", "/missing", &[]).head.status, 404);
    client.upgrade();
    client.send_binary(b"hello");
    assert_eq!(client.read_binary(5), b"hello");
}

/// One segment holds a request, an upgrade and a frame: what was read too far must not be lost.
#[test]
fn a_request_an_upgrade_and_a_frame_may_come_at_once() {
    let (proxy, _directory) = start();
    let mut client = Client::connect(proxy.address());
    let requests = plain_request("GET", "/bare/file.txt", &[]) + &upgrade_request("/", &[]);
    client.send(&[requests.as_bytes(), &frame(FIN | BINARY, b"early")].concat());
    assert_eq!(client.read_answer(true).body, "0123456789");
    assert_eq!(client.read_head().status, 101);
    assert_eq!(client.read_binary(5), b"early");
}

#[test]
fn the_web_terminal_is_served_beside_the_sessions_that_it_opens() {
    let target = echo();
    let options = ["--web", "builtin:telnet", "127.0.0.1:0", &target.to_string()];
    let toml = format!("listen = \"127.0.0.1:0\"\ntarget = \"{target}\"\nweb = \"builtin:telnet\"\n");
    for proxy in [Proxy::classic(&options), Proxy::serve(&toml)] {
        assert_eq!(get(proxy.address(), "/?token=x").header("location"), "telnet/?token=x");
        let page = get(proxy.address(), "/telnet/?token=x");
        assert!(page.body.contains("<script type=\"module\" src=\"page.js\">"), "{}", page.body);
        assert_eq!(page.header("cache-control"), "no-cache");
        assert_eq!(get(proxy.address(), "/telnet/xterm/xterm.mjs").header("x-content-type-options"), "nosniff");
        let mut client = Client::open(proxy.address());
        client.send_binary(b"login:");
        assert_eq!(client.read_binary(6), b"login:");
    }
}
