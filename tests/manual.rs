//! The manual pages and the completions: they are what the program's own definitions make, they leave out no key, and what they
//! show works.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff};
use websockify::cli;
use websockify::config::load_directory;
use websockify::log::catalog;

const OPTIONS_PAGE: &str = "packaging/man/websockify.1";
const KEYS_PAGE: &str = "packaging/man/websockify.toml.5";
/// The tables of a route's file; the first is what stands before all tables.
const TABLES: [&str; 17] = [
    "",
    "tokens",
    "grants",
    "targets",
    "targets.tls",
    "program",
    "web",
    "tls",
    "tls.certificates",
    "tls.client",
    "tls.client.allow",
    "access",
    "access.jwt",
    "access.forward-auth",
    "websocket",
    "record",
    "limits",
];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_default()
}

/// Fails when the file is not what was made, and says how to renew it.
fn assert_made(path: &str, made: &str) {
    if read(path) != made {
        let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join(Path::new(path).file_name().unwrap());
        fs::write(&fresh, made).unwrap();
        panic!("{path} is not what the program's definitions make: cp {} {path}", fresh.display());
    }
}

/// The page with what stands between the marks of `part` replaced.
fn replace_part(page: &str, part: &str, made: &str) -> String {
    let (begin, end) = (format!(".\\\" {part}: begin\n"), format!(".\\\" {part}: end\n"));
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no mark {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no mark {end}"));
    format!("{before}{begin}{made}{end}{after}")
}

/// The options of a command in roff, without a heading.
fn options(command: clap::Command) -> String {
    let mut text = Vec::new();
    Man::new(command).render_options_section(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    body(&text)
}

fn verbs(definition: &clap::Command) -> String {
    let mut text = String::new();
    for verb in definition.get_subcommands() {
        writeln!(text, ".SS {}", verb.get_name()).unwrap();
        for prose in [verb.get_about(), verb.get_after_help()].into_iter().flatten() {
            text.push_str(&prose_lines(&prose.to_string()));
        }
        text.push_str(&options(verb.clone()));
    }
    text
}

/// A sentence of the help as roff.
fn prose_lines(prose: &str) -> String {
    let ending = if prose.ends_with('.') || prose.contains(": websockify") { "" } else { "." };
    let mut roff = Roff::new();
    roff.text([Inline::from(format!("{prose}{ending}"))]);
    body(&roff.render())
}

/// Roff without headings, and without the definition of an apostrophe, for which roff has a name.
fn body(roff: &str) -> String {
    let left_out = |line: &&str| [".SH ", ".ie ", ".el "].iter().any(|request| line.starts_with(request));
    let lines: Vec<&str> = roff.lines().filter(|line| !left_out(line)).collect();
    lines.join("\n").replace("\\*(Aq", "\\(aq") + "\n"
}

/// Each kind of record, with its id.
fn records() -> String {
    let mut text = String::new();
    for entry in catalog().split("\n-- ").skip(1) {
        let subject = entry.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap();
        let subject = subject.replace("@WEBSOCKIFY_", "").replace('@', ""); // a field by its name
        writeln!(text, ".TP\n.B {}\n{subject}", &entry[..32]).unwrap();
    }
    text
}

#[test]
fn the_page_of_the_options_is_made_of_their_definition() {
    let mut definition = cli::definition();
    definition.build();
    let mut page = read(OPTIONS_PAGE);
    for (part, made) in
        [("options", options(definition.clone())), ("verbs", verbs(&definition)), ("records", records())]
    {
        page = replace_part(&page, part, &made);
    }
    assert_made(OPTIONS_PAGE, &page);
}

#[test]
fn the_page_of_the_options_names_every_exit_status() {
    let page = read(OPTIONS_PAGE);
    let (_, section) = page.split_once(".SH \"EXIT STATUS\"").unwrap();
    let (section, _) = section.split_once(".SH ").unwrap();
    let named: BTreeSet<u8> = section.lines().filter_map(|line| line.strip_prefix(".B ")?.parse().ok()).collect();
    let exits = [
        cli::Exit::BadData,
        cli::Exit::Bug,
        cli::Exit::ClassicUsage,
        cli::Exit::Config,
        cli::Exit::Refused,
        cli::Exit::Success,
        cli::Exit::SystemError,
        cli::Exit::Usage,
    ];
    assert_eq!(named, exits.into_iter().map(cli::Exit::status).collect());
}

#[test]
fn the_completions_are_made_of_the_definition() {
    for (shell, file) in
        [(Shell::Bash, "websockify.bash"), (Shell::Zsh, "_websockify"), (Shell::Fish, "websockify.fish")]
    {
        let mut made = Vec::new();
        clap_complete::generate(shell, &mut cli::definition(), "websockify", &mut made);
        assert_made(&format!("packaging/completions/{file}"), &String::from_utf8(made).unwrap());
    }
}

/// What a page says of a key.
struct Entry {
    prose: String,
    example: String,
}

/// The entries of the page, by table and key.
fn entries(page: &str) -> BTreeMap<(String, String), Entry> {
    let (_, keys) = page.split_once(".SH KEYS\n").unwrap();
    let (keys, _) = keys.split_once(".SH ").unwrap();
    let mut entries = BTreeMap::new();
    for section in keys.split(".SS ").skip(1) {
        let heading = section.lines().next().unwrap();
        let table = heading.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or_default();
        for entry in section.split(".TP\n.B ").skip(1) {
            let (key, text) = entry.split_once('\n').unwrap();
            let example = blocks(text).pop().unwrap_or_default();
            let entry = Entry { prose: text.to_owned(), example };
            entries.insert((plain(table), plain(key)), entry);
        }
    }
    entries
}

/// What stands between `.EX` and `.EE`.
fn blocks(text: &str) -> Vec<String> {
    text.split(".EX\n").skip(1).map(|block| plain(block.split_once(".EE").unwrap().0)).collect()
}

/// Roff's text as a reader sees it.
fn plain(roff: &str) -> String {
    roff.replace("\\-", "-")
}

/// The keys that exist, by table: what a message about an unknown key lists.
fn known_keys() -> BTreeSet<(String, String)> {
    let mut keys = BTreeSet::new();
    for table in TABLES {
        let directory = tempfile::tempdir().unwrap();
        let heading = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
        fs::write(directory.path().join("x.toml"), format!("{heading}zzzzzz = 1\n")).unwrap();
        let said = load_directory(directory.path(), &[]).unwrap_err().to_string();
        let prefix = if table.is_empty() { String::new() } else { format!("{table}.") };
        let is_table = |key: &&str| TABLES.contains(&format!("{prefix}{key}").as_str());
        let list = said.lines().find_map(|line| Some(line.split_once("known are ")?.1)).unwrap();
        let list = list.split(", ").filter(|key| !is_table(key) || ["web", "allow"].contains(key));
        keys.extend(list.map(|key| (table.to_owned(), key.to_owned())));
    }
    keys
}

#[test]
fn the_page_of_the_keys_has_every_key_with_its_type_its_default_and_an_example() {
    let entries = entries(&read(KEYS_PAGE));
    assert_eq!(entries.keys().cloned().collect::<BTreeSet<_>>(), known_keys());
    for ((table, key), Entry { prose, example }) in &entries {
        let kind = prose.lines().next().unwrap();
        let kinds = ["String", "Boolean", "Integer", "Duration", "Size", "Array", "Table"];
        assert!(kinds.iter().any(|known| kind.starts_with(known)), "[{table}] {key} has no type: {kind}");
        let default = prose.contains("\nDefault: ") || kind.contains("required");
        assert!(default, "[{table}] {key} has no default and is not required");
        assert!(example.starts_with(&format!("{key} = ")), "[{table}] {key} has no example: {example}");
    }
}

#[test]
fn the_page_of_the_keys_tells_the_defaults_that_are_in_force() {
    let entries = entries(&read(KEYS_PAGE));
    let told = |key: &str| {
        let prose = &entries[&("limits".to_owned(), key.to_owned())].prose;
        let (_, rest) = prose.split_once("\nDefault: ").unwrap();
        rest.split(['.', ';']).next().unwrap().trim_matches('"').to_owned()
    };
    let limits = websockify::limits::Limits::default();
    for (key, duration) in [
        ("handshake-timeout", limits.handshake_timeout),
        ("connect-timeout", limits.connect_timeout),
        ("close-timeout", limits.close_timeout),
        ("drain-timeout", limits.drain_timeout),
    ] {
        assert_eq!(told(key), format!("{}s", duration.as_secs()), "{key}");
    }
    assert_eq!(told("request-size"), format!("{}KiB", limits.request_bytes_max / 1024));
    assert_eq!(told("connections"), limits.connections.to_string());
    assert_eq!(told("backlog"), limits.backlog.to_string());
    assert_eq!((limits.idle_timeout, limits.connections_per_address), (None, None));
    assert_eq!([told("idle-timeout"), told("connections-per-address")], ["no limit", "no limit"]);
}

const TLS: &str = "[tls]\ncertificate = \"/etc/websockify/both.pem\"\n";

#[test]
fn every_example_of_the_pages_passes_check() {
    let page = read(KEYS_PAGE);
    let mut routes = Vec::new();
    for (number, ((table, key), Entry { example, .. })) in entries(&page).into_iter().enumerate() {
        // What the example cannot be without, unless it is that itself.
        let listen = match key.as_str() {
            "listen" => String::new(),
            "pty" => format!("listen = \"localhost:{}\"\n", 20_000 + number),
            "listen-mode" => format!("listen = \"/run/websockify/{number}.sock\"\n"),
            _ => format!("listen = \"{}\"\n", 20_000 + number),
        };
        let is_program = table == "program" && key != "command";
        let target = match (table.as_str(), key.as_str()) {
            ("targets.tls", "all") => "tokens.source = \"file:/etc/websockify/tokens\"\n",
            ("targets.tls", _) => "target = \"tls:localhost:5900\"\n",
            _ if key == "target" || table == "tokens" || table == "grants" || is_program => "",
            _ => "target = \"localhost:5900\"\n",
        };
        let heading = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
        let companion = match (table.as_str(), key.as_str()) {
            ("web", "follow-symlinks" | "listing") => "root = \"/usr/share/novnc\"\n",
            ("record", "compression" | "size-limit" | "keep-files" | "keep-age") => {
                "directory = \"/var/lib/websockify/vnc\"\n"
            }
            ("program", "port") => "command = [\"x\"]\n",
            ("program", "per-session") => "supervisor = \"child\"\ncommand = [\"x\"]\n",
            ("program", "pty") => "per-session = true\ncommand = [\"x\"]\n",
            ("program", key) if key != "command" => "port = 5901\ncommand = [\"x\"]\n",
            ("tokens", "from" | "timeout") => "source = \"file:/etc/websockify/tokens\"\n",
            ("tokens", "end-sessions") => "source = \"jwt:/etc/websockify/jwt.pem\"\n",
            ("tokens", "recheck-interval") => "source = \"rediss://localhost\"\nend-sessions = true\n",
            ("tokens", "format") => "source = \"http://localhost/?token=%s\"\n",
            ("tokens", "password" | "namespace" | "ca") => "source = \"rediss://localhost\"\n",
            ("access", "web-auth") => "users = \"/etc/websockify/users\"\n",
            ("access", "require") => "users = \"/etc/websockify/users\"\njwt.key = \"/etc/websockify/jwt.pem\"\n",
            ("access.jwt", key) if key != "key" => "key = \"/etc/websockify/jwt.pem\"\n",
            ("access.forward-auth", key) if key != "url" => "url = \"https://localhost/\"\n",
            ("access", "proxy-protocol" | "forwarded-header") => "trusted-proxies = [\"192.0.2.10\"]\n",
            ("targets.tls" | "tls", "key") => "certificate = \"/etc/websockify/vnc.pem\"\n",
            ("tls", "mode" | "key-password" | "min-version" | "ciphers") | ("tls.certificates", "key-password") => {
                "certificate = \"/etc/websockify/both.pem\"\n"
            }
            ("tls.certificates", "key") => "certificate = \"/etc/websockify/lab.pem\"\n",
            ("tls.client", key) if key != "ca" => "ca = \"/etc/websockify/clients.pem\"\n",
            _ => "",
        };
        let example = match key.as_str() {
            "certificate" => example.replace("vnc.pem", "both.pem").replace("lab.pem", "both.pem"),
            _ => example,
        };
        let heading = match table.as_str() {
            "tls.certificates" | "tls.client" => format!("{TLS}{heading}"),
            "tls.client.allow" => format!("{TLS}[tls.client]\nca = \"/etc/websockify/clients.pem\"\n{heading}"),
            _ => heading,
        };
        let target = match key.as_str() {
            "web-auth" => format!("{target}web = \"/usr/share/novnc\"\n"),
            "target-header" => format!("{target}targets.allow = [\"10.0.0.0/8\"]\n"),
            _ => target.to_owned(),
        };
        let text = if table.is_empty() {
            format!("{listen}{target}{example}")
        } else {
            format!("{listen}{target}{heading}{companion}{example}")
        };
        routes.push(text);
    }
    let (_, whole) = page.split_once("\n.SH EXAMPLES\n").unwrap();
    let whole = blocks(whole);
    assert_eq!(whole.len(), 5, "whole routes in {KEYS_PAGE}");
    check(&routes);
    check(&whole);
}

/// A CA, and its revocation list.
fn authority() -> (String, String) {
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap().pem();
    let revoked = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(2120, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let revoked = revoked.signed_by(&rcgen::Issuer::new(parameters, key)).unwrap().pem().unwrap();
    (certificate, revoked)
}

/// `websockify check` of routes, on a machine that has the files they name.
fn check(routes: &[String]) {
    let machine = tempfile::tempdir().unwrap();
    let root = machine.path();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    fs::write(root.join("vnc.pem"), &certificate).unwrap();
    fs::write(root.join("ca.pem"), &certificate).unwrap();
    fs::write(root.join("jwt.pem"), &certificate).unwrap();
    fs::write(root.join("lab.pem"), &certificate).unwrap();
    for name in ["vnc.key", "lab.key"] {
        fs::write(root.join(name), &key).unwrap();
    }
    for name in ["vnc.password", "lab.password"] {
        fs::write(root.join(name), "not needed\n").unwrap();
    }
    let (authority, revoked) = authority();
    fs::write(root.join("clients.pem"), authority).unwrap();
    fs::write(root.join("clients.crl"), revoked).unwrap();
    fs::write(root.join("both.pem"), certificate + &key).unwrap();
    fs::write(root.join("users"), "jane:$2y$04$izIc389F8oUlWRRN3lB0S.CQrstjzQ8b27T.hpbitDGlG2cXZSpOq\n").unwrap();
    fs::write(root.join("tokens"), "lab-1: 192.0.2.11:5901\n").unwrap();
    fs::write(root.join("redis.password"), "secret\n").unwrap();
    fs::create_dir(root.join("novnc")).unwrap();
    for (number, text) in routes.iter().enumerate() {
        let text = text
            .replace("\"/usr/share/novnc\"", &format!("\"{}/novnc\"", root.display()))
            .replace("\"/etc/websockify/", &format!("\"{}/", root.display()))
            .replace("file:/etc/websockify/", &format!("file:{}/", root.display()))
            .replace("jwt:/etc/websockify/", &format!("jwt:{}/", root.display()));
        fs::write(root.join(format!("{number}.toml")), text).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_websockify")).args(["check", "--config"]).arg(root).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{routes:#?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), routes.len(), "{said}");
}
