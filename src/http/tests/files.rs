use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::timeout;

use super::super::{Builtin, WebError};
use super::*;

const SECRET: &str = "not to be served";

/// A root with links of every kind, and a secret beside it.
fn site_with_links() -> TempDir {
    let site = site(&[("index.html", "home"), ("lib/code.js", "code"), ("lib/index.html", "library")]);
    write(&site.path().join("outside/secret.txt"), SECRET);
    let root = site.path().join("root");
    for (link, to) in [
        ("inside", "lib/code.js"),
        ("lib/up", "../index.html"),
        ("directory", "lib"),
        ("outside-file", "../outside/secret.txt"),
        ("outside-directory", "../outside"),
        ("around", "../root/lib/code.js"),
        ("magic", "/proc/self/root"),
        ("loop", "loop"),
        ("dangling", "nothing"),
    ] {
        symlink(to, root.join(link)).unwrap();
    }
    symlink(root.join("lib/code.js"), root.join("absolute-inside")).unwrap();
    symlink(site.path().join("outside/secret.txt"), root.join("absolute-outside")).unwrap();
    symlink(&root, root.join("absolute-root")).unwrap();
    site
}

#[tokio::test]
async fn files_are_served_with_the_types_that_browsers_ask_for() {
    let types = [
        ("index.html", "text/html"),
        ("a.js", "text/javascript"),
        ("a.mjs", "application/javascript"),
        ("a.css", "text/css"),
        ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.wasm", "application/wasm"),
        ("a.woff2", "font/woff2"),
        ("a.oga", "audio/ogg"),
        ("unknown", "application/octet-stream"),
    ];
    let site = site(&types.map(|(name, _)| (name, name)));
    let files = open(&site);
    for (name, kind) in types {
        let answer = get(&files, &format!("/{name}")).await;
        assert_eq!((answer.status, answer.text(), answer.header("content-type")), (200, name, kind));
    }
    assert_eq!(get(&files, "/").await.text(), "index.html");
    assert_eq!(get(&files, "/a.js?v=1").await.text(), "a.js");
}

#[tokio::test]
async fn a_head_has_the_headers_of_a_get_and_no_body() {
    let site = site(&[("a.js", "some code")]);
    let files = open(&site);
    let (got, head) = (get(&files, "/a.js").await, ask(&files, "HEAD", "/a.js", "").await);
    assert_eq!(head.status, 200);
    for name in ["content-length", "content-type", "etag", "last-modified", "cache-control"] {
        assert_eq!(head.header(name), got.header(name), "{name}");
        assert!(!head.header(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn every_answer_says_no_cache_and_nosniff_and_none_says_who_we_are() {
    let site = site(&[("a", "a"), ("dir/index.html", "x")]);
    let files = open(&site);
    let etag = get(&files, "/a").await.header("etag").to_owned();
    for (method, path, headers, status) in [
        ("GET", "/a", String::new(), 200),
        ("GET", "/a", "Range: bytes=0-0\r\n".to_owned(), 206),
        ("GET", "/a", "Range: bytes=9-\r\n".to_owned(), 416),
        ("GET", "/a", format!("If-None-Match: {etag}\r\n"), 304),
        ("GET", "/a", "If-Match: \"other\"\r\n".to_owned(), 412),
        ("GET", "/dir", String::new(), 307),
        ("GET", "/none", String::new(), 404),
        ("HEAD", "/none", String::new(), 404),
        ("DELETE", "/a", String::new(), 405),
    ] {
        let answer = ask(&files, method, path, &headers).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("cache-control"), "no-cache", "{method} {path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{method} {path}");
        assert!(!answer.headers.contains_key("server"), "{method} {path}");
        if status >= 400 && method != "HEAD" {
            assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8", "{method} {path}");
            assert!((3..60).contains(&answer.body.len()), "{method} {path}: {:?}", answer.text());
        }
    }
}

#[tokio::test]
async fn only_get_and_head_are_allowed() {
    let site = site(&[("a", "a")]);
    let files = open(&site);
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
        let answer = ask(&files, method, "/a", "").await;
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"), "{method}");
    }
}

#[tokio::test]
async fn a_directory_redirects_to_its_slash_and_never_to_another_host() {
    let site = site(&[("js/index.html", "x"), ("js/sub/x", "x")]);
    let files = open(&site);
    for (path, location) in [
        ("/js", "/js/"),
        ("/js?a=b", "/js/?a=b"),
        ("//js", "/js/"),
        ("///js?a", "/js/?a"),
        ("//js/sub", "/js/sub/"),
        ("/./js", "/./js/"),
        ("http://evil.example/js", "/js/"),
        ("http://evil.example//js", "/js/"),
    ] {
        let answer = get(&files, path).await;
        assert_eq!((answer.status, answer.header("location")), (307, location), "{path}");
    }
    for path in ["//evil.example/..", "//evil.example/%2e%2e", "//evil.example/../js", "/%2fjs", "/%5cjs", "/%2f%2fjs"]
    {
        let answer = get(&files, path).await;
        assert_eq!((answer.status, answer.header("location")), (404, ""), "{path}");
    }
}

#[tokio::test]
async fn no_path_leads_out_of_the_root_or_to_a_hidden_file() {
    let site = site(&[
        ("index.html", "home"),
        ("sub/page", "page"),
        (".hidden", SECRET),
        (".git/config", SECRET),
        ("sub/.hidden", SECRET),
        ("sub/.git/config", SECRET),
        ("back\\slash", SECRET),
    ]);
    write(&site.path().join("secret"), SECRET);
    let files = open_with(&site, |directory| directory.listing = true);
    for path in [
        "/../secret",
        "/sub/../../secret",
        "/%2e%2e/secret",
        "/%2E%2e/secret",
        "/sub/%2e%2e/%2e%2e/secret",
        "/..%2fsecret",
        "/sub/..%2f..%2fsecret",
        "/..%5csecret",
        "/..",
        "/sub/..",
        "/.hidden",
        "/%2ehidden",
        "/.git/config",
        "/.git/",
        "/.git",
        "/sub/.hidden",
        "/sub/.git/config",
        "/sub/.git/",
        "/back%5cslash",
        "/%00",
        "/index.html%00",
        "/sub%00/",
        "/%ff",
        "/index.html/",
        "/index.html/x",
        "/none/",
        "/%2fetc/passwd",
        "//etc/passwd",
    ] {
        let answer = get(&files, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text().contains(SECRET), "{path}");
    }
    let long = format!("/{}", "x".repeat(4000));
    assert_eq!(get(&files, &long).await.status, 404);
}

#[tokio::test]
async fn links_inside_the_root_work_and_those_that_lead_out_do_not_exist() {
    let site = site_with_links();
    let files = open(&site);
    for (path, expected) in [
        ("/inside", "code"),
        ("/lib/up", "home"),
        ("/directory/code.js", "code"),
        ("/directory/", "library"),
        ("/absolute-inside", "code"),
        ("/absolute-root/lib/code.js", "code"),
    ] {
        let answer = get(&files, path).await;
        assert_eq!((answer.status, answer.text()), (200, expected), "{path}");
    }
    for path in [
        "/outside-file",
        "/outside-directory",
        "/outside-directory/",
        "/outside-directory/secret.txt",
        "/absolute-outside",
        "/magic",
        "/magic/etc/passwd",
        "/loop",
        "/dangling",
    ] {
        for method in ["GET", "HEAD"] {
            assert_eq!(ask(&files, method, path, "").await.status, 404, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn links_that_lead_out_are_followed_when_asked_for() {
    let site = site_with_links();
    let files = open_with(&site, |directory| directory.follow_symlinks = true);
    for path in ["/outside-file", "/outside-directory/secret.txt", "/absolute-outside"] {
        assert_eq!(get(&files, path).await.text(), SECRET, "{path}");
    }
    assert_eq!(get(&files, "/outside-directory").await.header("location"), "/outside-directory/");
    for path in ["/loop", "/dangling", "/%2e%2e/outside/secret.txt"] {
        assert_eq!(get(&files, path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_link_that_changes_while_it_is_followed_never_shows_what_is_outside() {
    let site = site_with_links();
    let root = site.path().join("root");
    let done = Arc::new(AtomicBool::new(false));
    let swapping = std::thread::spawn({
        let (done, root) = (Arc::clone(&done), root.clone());
        move || {
            for target in ["lib/code.js", "../outside/secret.txt"].into_iter().cycle() {
                symlink(target, root.join("new")).unwrap();
                fs::rename(root.join("new"), root.join("swapped")).unwrap();
                if done.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    });
    let files = open(&site);
    let mut served = 0;
    for _ in 0..300 {
        let answer = get(&files, "/swapped").await;
        assert!(!answer.text().contains(SECRET));
        served += u32::from(answer.status == 200 && answer.text() == "code");
    }
    done.store(true, Ordering::Relaxed);
    swapping.join().unwrap();
    assert!(served > 0, "the link never led inside");
}

#[tokio::test]
async fn what_is_no_file_is_not_found_and_not_waited_for() {
    let site = site(&[("index.html/x", "x")]);
    let root = site.path().join("root");
    nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let files = open_with(&site, |directory| directory.listing = true);
    for path in ["/fifo", "/socket"] {
        let answer = timeout(Duration::from_secs(20), get(&files, path)).await;
        // lets go of whoever waits for a writer of the FIFO, so that the test fails rather than hangs
        let _writer = fs::File::options().read(true).write(true).open(root.join("fifo")).unwrap();
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 404, "{path}");
    }
    let listing = get(&files, "/").await;
    assert!(listing.text().contains("index.html/"), "a directory of that name is no index");
    assert!(!listing.text().contains("fifo") && !listing.text().contains("socket"));
}

#[tokio::test]
async fn ranges_are_served() {
    let site = site(&[("a.txt", "0123456789")]);
    let files = open(&site);
    for (range, status, content_range, body) in [
        ("bytes=2-4", 206, "bytes 2-4/10", "234"),
        ("bytes=7-", 206, "bytes 7-9/10", "789"),
        ("bytes=-2", 206, "bytes 8-9/10", "89"),
        ("bytes=0-1,5-6", 200, "", "0123456789"),
        ("bytes=10-", 416, "bytes */10", "Range Not Satisfiable\n"),
    ] {
        let answer = ask(&files, "GET", "/a.txt", &format!("Range: {range}\r\n")).await;
        assert_eq!((answer.status, answer.header("content-range"), answer.text()), (status, content_range, body));
    }
}

#[tokio::test]
async fn a_browser_that_has_the_file_is_told_so_until_it_changes() {
    let site = site(&[("a.js", "old")]);
    let files = open(&site);
    let first = get(&files, "/a.js").await;
    let by_tag = format!("If-None-Match: \"other\", {}\r\n", first.header("etag"));
    let by_time = format!("If-Modified-Since: {}\r\n", first.header("last-modified"));
    for headers in [&by_tag, &by_time] {
        let answer = ask(&files, "GET", "/a.js", headers).await;
        assert_eq!((answer.status, answer.header("etag")), (304, first.header("etag")), "{headers}");
    }
    write(&site.path().join("root/a.js"), "newer");
    let answer = ask(&files, "GET", "/a.js", &by_tag).await;
    assert_eq!((answer.status, answer.text()), (200, "newer"));
}

#[tokio::test]
async fn precompressed_neighbours_are_preferred_when_the_client_takes_them() {
    let site = site(&[
        ("a.js", "plain"),
        ("a.js.br", "as br"),
        ("a.js.gz", "as gzip"),
        ("a.js.zst", "as zstd"),
        ("b.js", "plain"),
        ("b.js.gz", "as gzip"),
    ]);
    let files = open(&site);
    for (path, accept, encoding, body) in [
        ("/a.js", "br", "br", "as br"),
        ("/a.js", "gzip", "gzip", "as gzip"),
        ("/a.js", "zstd", "zstd", "as zstd"),
        ("/a.js", "identity", "", "plain"),
        ("/b.js", "gzip, br, zstd", "gzip", "as gzip"),
        ("/b.js", "br", "", "plain"),
    ] {
        let answer = ask(&files, "GET", path, &format!("Accept-Encoding: {accept}\r\n")).await;
        assert_eq!((answer.header("content-encoding"), answer.text()), (encoding, body), "{path} {accept}");
        assert_eq!(answer.header("content-type"), "text/javascript");
        assert_eq!(answer.header("vary"), "accept-encoding");
    }
}

#[tokio::test]
async fn a_directory_is_listed_only_when_asked_for() {
    let site = site_with_links();
    let root = site.path().join("root");
    fs::remove_file(root.join("index.html")).unwrap();
    write(&root.join("plain/a&b <i>.txt"), "x");
    write(&root.join("plain/javascript:x"), "x");
    write(&root.join("plain/\u{e4} #?.txt"), "strange name");
    write(&root.join("plain/.hidden"), "x");
    write(&root.join("plain/sub/x"), "x");

    let silent = open(&site);
    for path in ["/", "/plain/"] {
        assert_eq!(get(&silent, path).await.status, 404, "{path}");
    }

    let files = open_with(&site, |directory| directory.listing = true);
    let listing = get(&files, "/plain/").await;
    assert_eq!((listing.status, listing.header("content-type")), (200, "text/html; charset=utf-8"));
    let text = listing.text();
    assert!(text.contains("<h1>/plain/</h1>"), "{text}");
    assert!(text.contains("<a href=\"./a%26b%20%3Ci%3E.txt\">a&amp;b &lt;i&gt;.txt</a>"), "{text}");
    assert!(text.contains("<a href=\"./javascript%3Ax\">"), "{text}");
    assert!(text.contains("<a href=\"./sub/\">sub/</a>"), "{text}");
    assert!(text.contains("<a href=\"./%C3%A4%20%23%3F.txt\">"), "{text}");
    assert!(!text.contains("hidden") && !text.contains("<i>"), "{text}");
    assert_eq!(get(&files, "/plain/%C3%A4%20%23%3F.txt").await.text(), "strange name");

    let top = get(&files, "/").await;
    for name in ["outside", "magic", "loop", "dangling", "../"] {
        assert!(!top.text().contains(name), "{name} is listed: {}", top.text());
    }
    for name in ["inside", "lib/", "directory/"] {
        assert!(top.text().contains(&format!(">{name}<")), "{name} is not listed: {}", top.text());
    }
    assert_eq!(get(&files, "/lib/").await.text(), "library", "an index comes first");
    assert_eq!(get(&files, "/plain").await.header("location"), "/plain/");
    for path in ["/none/", "/outside-directory/", "/plain/.git/"] {
        assert_eq!(get(&files, path).await.status, 404, "{path}");
    }
    let head = ask(&files, "HEAD", "/plain/", "").await;
    assert_eq!(head.header("content-length"), listing.body.len().to_string());
}

#[tokio::test]
async fn a_root_that_is_replaced_is_served_anew() {
    let site = site(&[("a", "old")]);
    let files = open(&site);
    assert_eq!(get(&files, "/a").await.text(), "old");
    write(&site.path().join("next/a"), "new");
    fs::rename(site.path().join("root"), site.path().join("old")).unwrap();
    symlink("next", site.path().join("root")).unwrap();
    assert_eq!(get(&files, "/a").await.text(), "new");
}

#[test]
fn a_web_root_that_cannot_be_served_is_an_error_with_its_path() {
    let site = site(&[("file", "x")]);
    for (path, kind) in [("root/none", std::io::ErrorKind::NotFound), ("root/file", std::io::ErrorKind::NotADirectory)]
    {
        let root = site.path().join(path);
        let directory = Directory { root: root.clone(), follow_symlinks: false, listing: false };
        let WebError::Open { path, source } = Files::open(&Web::Directory(directory)).unwrap_err();
        assert_eq!((path, source.kind()), (root, kind));
    }
}

#[tokio::test]
async fn the_demo_page_and_all_that_it_needs_is_built_in() {
    let files = Arc::new(Files::open(&Web::Builtin(Builtin::Demo)).unwrap());
    let page = get(&files, "/").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").contains("default-src 'self'"));
    assert_eq!(get(&files, "/index.html").await.text(), page.text());

    let references: Vec<&str> = ["href=\"", "src=\""]
        .iter()
        .flat_map(|attribute| page.text().split(attribute).skip(1))
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert!(references.len() >= 3, "{references:?}");
    for name in references {
        let answer = get(&files, &format!("/{name}")).await;
        assert_eq!(answer.status, 200, "{name}");
        assert!(!answer.text().contains("https://"), "{name} needs something from elsewhere");

        let known = format!("If-None-Match: W/\"x\", {}\r\n", answer.header("etag"));
        let again = ask(&files, "GET", &format!("/{name}?x"), &known).await;
        assert_eq!((again.status, again.header("etag")), (304, answer.header("etag")), "{name}");

        let head = ask(&files, "HEAD", &format!("/{name}"), "").await;
        assert_eq!(head.header("content-length"), answer.body.len().to_string(), "{name}");
    }
    assert_eq!(get(&files, "/none").await.status, 404);
    assert_eq!(ask(&files, "POST", "/", "").await.header("allow"), "GET, HEAD");
}

fn terminal() -> Arc<Files> {
    let telnet = "telnet".parse().unwrap_or_else(|error| panic!("{error}"));
    Arc::new(Files::open(&Web::Builtin(telnet)).unwrap())
}

#[tokio::test]
async fn the_web_terminal_and_all_that_it_needs_is_built_in() {
    let files = terminal();
    let page = get(&files, "/telnet/").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(get(&files, "/telnet/index.html").await.text(), page.text());
    assert!(!page.text().contains("<style") && !page.text().contains("<script>"), "nothing is inline");

    let mut todo = vec!["/telnet/".to_owned()];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(path) = todo.pop() {
        let answer = get(&files, &path).await;
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        let kind = match path.rsplit_once('.').map(|(_, extension)| extension) {
            Some("css") => "text/css; charset=utf-8",
            Some("js" | "mjs") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(answer.header("content-type"), kind, "{path}");

        let again = ask(&files, "GET", &path, &format!("If-None-Match: {}\r\n", answer.header("etag"))).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        let head = ask(&files, "HEAD", &path, "").await;
        assert_eq!(head.header("content-length"), answer.body.len().to_string(), "{path}");

        let references = ["href=\"", "src=\"", "from \"./"]
            .iter()
            .flat_map(|reference| answer.text().split(reference).skip(1).map(|rest| rest.split('"').next().unwrap()))
            .filter(|reference| !reference.starts_with("http"));
        for reference in references.map(|reference| format!("/telnet/{reference}")).collect::<Vec<_>>() {
            if seen.insert(reference.clone()) {
                todo.push(reference);
            }
        }
    }
    assert!(seen.contains("/telnet/telnet.js") && seen.contains("/telnet/xterm/xterm.mjs"), "{seen:?}");
}

#[tokio::test]
async fn the_web_terminal_is_below_telnet_and_nothing_is_beside_it() {
    let files = terminal();
    for (path, location) in [
        ("/", "telnet/"),
        ("/index.html", "telnet/"),
        ("/telnet", "telnet/"),
        ("/?token=a%20b&x=//y", "telnet/?token=a%20b&x=//y"),
    ] {
        let answer = get(&files, path).await;
        assert_eq!((answer.status, answer.header("location")), (307, location), "{path}");
    }
    for path in ["//telnet", "/telnet/telnet/", "/telnet/none.js", "/demo.js", "/favicon.svg", "/telnet//"] {
        assert_eq!(get(&files, path).await.status, 404, "{path}");
    }
    assert_eq!(ask(&files, "POST", "/telnet/", "").await.header("allow"), "GET, HEAD");
}
