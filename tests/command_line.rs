//! The classic command line means what the original's did, fails as the original's did, and converts to a file that
//! means the same; the verbs have their own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use websockify::access::certificate::{CertificateRule, Pattern};
use websockify::cli::{self, Action, Answer, Classic, Command, Exit, Routes, Serve};
use websockify::config::{Route, load_directory};
use websockify::log::{self, Syslog, SyslogServer};
use websockify::program::settings::{Isolation, Port, Role, Supervision};
use websockify::program::{self, OnExit};
use websockify::record::{Naming, Settings};
use websockify::replay::Speed;
use websockify::server::Lifetime;
use websockify::server::address::ListenAddress;
use websockify::systemd::generator::Scope;
use websockify::target::{self, Target};
use websockify::{http, tls};

/// A start directory with the files that command lines here name.
fn start_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("www")).unwrap();
    for name in ["other.pem", "other.key"] {
        fs::write(directory.path().join(name), "not looked into here").unwrap();
    }
    directory
}

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn parse_in(line: &str, start: &Path) -> Result<Command, Answer> {
    cli::parse(&words(line), start)
}

#[track_caller]
fn classic_in(line: &str, start: &Path) -> Classic {
    match parse_in(line, start) {
        Ok(Command::Classic(classic)) => *classic,
        other => panic!("'{line}': {other:?}"),
    }
}

#[track_caller]
fn classic(line: &str) -> Classic {
    classic_in(line, start_directory().path())
}

#[track_caller]
fn refused(line: &str) -> Answer {
    match parse_in(line, start_directory().path()) {
        Err(answer) => answer,
        Ok(command) => panic!("'{line}': {command:?}"),
    }
}

/// The message of a usage error, which comes after the usage block.
#[track_caller]
fn usage_error(line: &str) -> String {
    usage_error_in(line, start_directory().path())
}

#[track_caller]
fn usage_error_in(line: &str, start: &Path) -> String {
    let Answer { text, exit } = parse_in(line, start).unwrap_err();
    assert_eq!(exit, Exit::ClassicUsage, "{line}: {text}");
    assert!(text.starts_with("Usage: websockify [options] "), "{line}: {text}");
    let last = text.lines().last().unwrap();
    last.strip_prefix("websockify: error: ").unwrap_or_else(|| panic!("{line}: {text}")).to_owned()
}

fn tcp(host: impl Into<Option<&'static str>>, port: u16) -> ListenAddress {
    ListenAddress::Tcp { host: host.into().map(str::to_owned), port }
}

fn target(host: &str, port: u16) -> target::Settings {
    target::Settings::Fixed(Target::Tcp { host: host.to_owned(), port })
}

#[test]
fn sources() {
    let cases = [
        ("6080", tcp(None, 6080)),
        (":6080", tcp(None, 6080)),
        ("0", tcp(None, 0)),
        ("127.0.0.1:6080", tcp("127.0.0.1", 6080)),
        ("[::1]:6080", tcp("::1", 6080)),
        ("::1:6080", tcp("::1", 6080)),
        ("host.name:65535", tcp("host.name", 65535)),
    ];
    for (source, expected) in cases {
        assert_eq!(classic(&format!("{source} h:1")).route.listen, [expected], "{source}");
    }
    for source in ["http", "65536", "99999", "host:", "6080x", "/run/x", "/run/x:6080"] {
        assert_eq!(
            usage_error(&format!("{source} h:1")),
            format!("Error parsing listen port: '{source}' does not end in a number from 0 to 65535")
        );
    }
}

#[test]
fn targets() {
    let cases = [
        ("localhost:5900", target("localhost", 5900)),
        (":5900", target("localhost", 5900)),
        ("[::1]:5900", target("::1", 5900)),
        ("::1:5900", target("::1", 5900)),
        // A host of that name, not a path.
        ("unix:5900", target("unix", 5900)),
        ("unix_socket:5900", target("unix_socket", 5900)),
    ];
    for (written, expected) in cases {
        assert_eq!(classic(&format!("6080 {written}")).route.target, expected, "{written}");
    }
    assert_eq!(usage_error("6080 localhost"), "Error parsing target: 'localhost' is not HOST:PORT");
    for written in ["h:vnc", "h:0", "h:65536", "unix:/run/x.sock"] {
        assert_eq!(
            usage_error(&format!("6080 {written}")),
            format!("Error parsing target port: '{written}' does not end in a number from 1 to 65535")
        );
    }
}

#[test]
fn a_plain_line_means_no_more_than_it_says() {
    let classic = classic("6080 localhost:5900");
    assert_eq!(classic.route.name, "websockify");
    assert_eq!(classic.route.web, None);
    assert_eq!(classic.route.tls, None);
    assert_eq!(classic.route.heartbeat, None);
    assert_eq!(classic.lifetime, Lifetime::default());
    assert_eq!(classic.log, log::Settings::default());
    assert!(!(classic.daemon || classic.inetd || classic.traffic));
}

#[test]
fn order_does_not_matter() {
    let start = start_directory();
    let expected = classic_in("--web www --heartbeat 30 -v 6080 h:1", start.path());
    for line in [
        "6080 --web www h:1 --heartbeat 30 -v",
        "6080 h:1 --heartbeat=30 --web=www --verbose",
        "-v 6080 --heartbeat 30 h:1 --web www",
    ] {
        assert_eq!(classic_in(line, start.path()), expected, "{line}");
    }
}

#[test]
fn short_options_are_bundled() {
    let classic = classic("-vD6 6080 h:1");
    assert!(classic.log.verbose && classic.daemon);
}

#[test]
fn unique_prefixes_are_enough() {
    let classic = classic("--run --heart 5 --prefer --dae --traf --log x.log --time 7 --idle 8 --auto 6080 h:1");
    assert_eq!(classic.lifetime.timeout, Some(Duration::from_secs(7)));
    assert_eq!(classic.lifetime.idle_timeout, Some(Duration::from_secs(8)));
    assert!(classic.lifetime.run_once && classic.daemon && classic.traffic);
    assert_eq!(classic.route.heartbeat, Some(Duration::from_secs(5)));
}

#[test]
fn ambiguous_prefixes_name_the_candidates() {
    let expected = "ambiguous option: --t (--target-config, --timeout, --token-plugin, --token-source, --traffic?)";
    for line in ["--t", "--t 5 6080 h:1", "--t=5 6080 h:1", "6080 h:1 --t"] {
        assert_eq!(usage_error(line), expected, "{line}");
    }
    assert_eq!(usage_error("--ver 6080 h:1"), "ambiguous option: --ver (--verbose, --verify-client, --version?)");
}

#[test]
fn usage_errors() {
    let cases = [
        ("", "Too few arguments"),
        ("6080", "Too few arguments"),
        ("6080 --", "Too few arguments"),
        ("--inetd", "Too few arguments"),
        ("6080 h:1 extra", "Too many arguments"),
        ("--unix-target x 6080 h:1", "Too many arguments"),
        ("--token-plugin X 6080 h:1", "Too many arguments"),
        ("--target-config X 6080 h:1", "Too many arguments"),
        ("6080 h:1 -- true", "Too many arguments"),
        ("--inetd 6080 h:1", "Error parsing target: '6080' is not HOST:PORT"),
        ("--unix-listen x 6080 h:1", "Error parsing target: '6080' is not HOST:PORT"),
        ("--unix-listen x --inetd h:1", "--inetd and --unix-listen exclude each other"),
        (
            "--unix-listen x --unix-listen-mode rw h:1",
            "Error parsing listen unix socket mode: 'rw' is not octal digits up to 777",
        ),
        (
            "--unix-listen x --unix-listen-mode= h:1",
            "Error parsing listen unix socket mode: '' is not octal digits up to 777",
        ),
        ("--token-source x 6080", "You must use --token-plugin to use --token-source"),
        ("--host-token 6080", "You must use --token-plugin to use --host-token"),
        ("--auth-source x 6080 h:1", "You must use --auth-plugin to use --auth-source"),
        ("--web-auth 6080 h:1", "You must use --auth-plugin to use --web-auth"),
        ("--web-auth --auth-plugin X 6080 h:1", "You must use --web to use --web-auth"),
        ("--legacy-syslog 6080 h:1", "You must use --syslog to use --legacy-syslog"),
        ("--syslog h:x 6080 h:1", "Error parsing syslog port: 'h:x' does not end in a number from 0 to 65535"),
        ("-5 h:1", "no such option: -5"),
        ("-vx 6080 h:1", "no such option: -x"),
        ("--no-parent 6080 h:1", "no such option: --no-parent"),
        ("6080 h:1 --cert", "--cert option requires a value"),
        ("--daemon=1 6080 h:1", "--daemon option does not take a value"),
        (
            "--heartbeat often 6080 h:1",
            "option --heartbeat: invalid value: 'often': write whole seconds, at most 31536000",
        ),
        ("--timeout -5 6080 h:1", "option --timeout: invalid value: '-5': write whole seconds, at most 31536000"),
        (
            "--idle-timeout 31536001 6080 h:1",
            "option --idle-timeout: invalid value: '31536001': write whole seconds, at most 31536000",
        ),
        (
            "--wrap-mode never 6080 h:1",
            "option --wrap-mode: invalid choice: 'never' (choose from exit, ignore, respawn)",
        ),
        (
            "--ssl-version 3 6080 h:1",
            "option --ssl-version: invalid choice: '3' (choose from default, tlsv1_1, tlsv1_2, tlsv1_3)",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(usage_error(line), expected, "{line}");
    }
}

#[test]
fn the_last_of_a_repeated_option_wins() {
    let classic = classic("--heartbeat 5 --heartbeat 6 -v -v 6080 h:1");
    assert_eq!(classic.route.heartbeat, Some(Duration::from_secs(6)));
}

#[test]
fn a_value_may_begin_with_a_dash() {
    let classic = classic("--log-file -v 6080 h:1");
    assert_eq!(classic.log.file.unwrap().file_name().unwrap(), "-v");
    assert!(!classic.log.verbose);
}

#[test]
fn unix_sockets() {
    let start = start_directory();
    let path = |name: &str| start.path().join(name);
    let listens = |line: &str| classic_in(line, start.path()).route.listen;
    assert_eq!(listens("--unix-listen x.sock h:1"), [ListenAddress::Unix { path: path("x.sock"), mode: 0o600 }]);
    assert_eq!(
        listens("--unix-listen /run/x.sock --unix-listen-mode 660 h:1"),
        [ListenAddress::Unix { path: "/run/x.sock".into(), mode: 0o660 }]
    );
    // Without a Unix socket to listen on, not even a bad mode counts.
    assert_eq!(listens("--unix-listen-mode rw 6080 h:1"), [tcp(None, 6080)]);
    assert_eq!(
        classic_in("--unix-target t.sock 6080", start.path()).route.target,
        target::Settings::Fixed(Target::Unix(path("t.sock")))
    );
}

#[test]
fn inetd_listens_nowhere() {
    let classic = classic("--inetd h:1");
    assert!(classic.inetd);
    assert_eq!(classic.route.listen, []);
}

#[test]
fn tls_is_offered_when_there_is_a_certificate() {
    let start = start_directory();
    let path = |name: &str| start.path().join(name);
    let pem = |name: &str| tls::Pem::File(path(name));
    let settings = |mode, certificate, key: Option<&str>| {
        let default = tls::CertificateSettings { certificate: pem(certificate), key: key.map(pem), passphrase: None };
        Some(tls::Settings { mode, default, others: Vec::new(), rules: tls::Rules::default(), clients: None })
    };
    let tls_of = |line: &str| classic_in(line, start.path()).route.tls;
    assert_eq!(tls_of("6080 h:1"), None);
    assert_eq!(tls_of("--cert gone.pem --key gone.key 6080 h:1"), None);
    assert_eq!(
        classic_in("--cert gone.pem 6080 h:1", start.path()).notes,
        [format!("no TLS: there is no certificate {}", path("gone.pem").display())]
    );
    assert_eq!(tls_of("--cert other.pem 6080 h:1"), settings(tls::Mode::Sniff, "other.pem", None));
    assert_eq!(
        tls_of("--cert other.pem --key other.key --ssl-only 6080 h:1"),
        settings(tls::Mode::Required, "other.pem", Some("other.key"))
    );
    fs::write(path("self.pem"), "not looked into here").unwrap();
    assert_eq!(tls_of("6080 h:1"), settings(tls::Mode::Sniff, "self.pem", None));
}

#[test]
fn the_rules_of_tls_are_understood() {
    let start = start_directory();
    let tls_of = |line: &str| classic_in(&format!("--cert other.pem {line} 6080 h:1"), start.path()).route.tls.unwrap();
    let typed = tls_of("--key other.key --key-password s3cret").default.passphrase;
    assert_eq!(typed, Some(tls::PassphraseSettings::Typed("s3cret".into())));
    for (version, oldest) in [
        ("default", tls::MinVersion::Tls12),
        ("tlsv1_1", tls::MinVersion::Tls12),
        ("tlsv1_2", tls::MinVersion::Tls12),
        ("tlsv1_3", tls::MinVersion::Tls13),
    ] {
        assert_eq!(tls_of(&format!("--ssl-version {version}")).rules.min_version, oldest, "{version}");
    }
    let list = "ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA";
    let classic = classic_in(&format!("--cert other.pem --ssl-ciphers {list} 6080 h:1"), start.path());
    assert_eq!(classic.route.tls.unwrap().rules.ciphers, list.parse().ok());
    assert_eq!(classic.notes, ["--ssl-ciphers: 'AES256-SHA' leads to no cipher suite that is spoken here"]);
    let error = usage_error_in("--cert other.pem --ssl-ciphers HIGH:!aNUL 6080 h:1", start.path());
    assert!(error.starts_with("'--ssl-ciphers': 'aNUL' is not a cipher suite or a word for some: "), "{error}");
}

#[test]
fn client_certificates_are_asked_for_as_the_original_asked() {
    let start = start_directory();
    let line = |options: &str| format!("--cert other.pem {options} 6080 h:1");
    let route = |options: &str| classic_in(&line(options), start.path()).route;
    let error = |options: &str| usage_error_in(&line(options), start.path());
    let asked =
        |authorities| tls::ClientSettings { authorities, revocation_lists: None, demand: tls::Demand::Required };

    let any = route("--verify-client");
    assert_eq!(any.tls.unwrap().clients, Some(asked(tls::Authorities::System)));
    assert_eq!(any.access.certificate, Some(CertificateRule::new(Vec::new())));

    let plugin = "--verify-client --cafile other.pem --auth-plugin";
    let mut words = words(&line(&format!("{plugin} ClientCertCNAuth")));
    words.splice(0..0, ["--auth-source".into(), "jane@example.com  Joe User9824510".into()]);
    let Ok(Command::Classic(named)) = cli::parse(&words, start.path()) else { panic!("{words:?}") };
    let file = tls::Pem::File(start.path().join("other.pem"));
    assert_eq!(named.route.tls.unwrap().clients, Some(asked(tls::Authorities::File(file))));
    let names = ["jane@example.com", "Joe", "User9824510"].map(str::to_owned).to_vec();
    let pattern = Pattern { cn: Some(names), ..Pattern::default() };
    assert_eq!(named.route.access.certificate, Some(CertificateRule::new(vec![pattern])));

    assert_eq!(
        error("--auth-plugin ClientCertCNAuth --auth-source x"),
        "You must use --verify-client to use --auth-plugin=ClientCertCNAuth"
    );
    let names_missing = "--auth-plugin=ClientCertCNAuth needs the names in --auth-source";
    assert_eq!(error(&format!("{plugin} websockify.auth_plugins.ClientCertCNAuth")), names_missing);
    let gone = usage_error_in("--cert gone.pem --verify-client 6080 h:1", start.path());
    assert_eq!(
        gone,
        format!("--verify-client needs TLS, and there is no certificate {}", start.path().join("gone.pem").display())
    );
}

#[test]
fn missing_files_are_told() {
    let start = start_directory();
    let error = |line: &str| {
        let answer = parse_in(line, start.path()).unwrap_err();
        assert_eq!(answer.exit, Exit::ClassicUsage);
        let message = answer.text.lines().last().unwrap().to_owned();
        message.replace(&format!("{}/", start.path().display()), "")
    };
    assert_eq!(error("--ssl-only 6080 h:1"), "websockify: error: SSL only and self.pem not found");
    assert_eq!(
        error("--cert other.pem --key gone.key 6080 h:1"),
        "websockify: error: '--key': cannot read gone.key (put it there, or name another): No such file or directory (os error 2)"
    );
    assert_eq!(error("--cert www 6080 h:1"), "websockify: error: '--cert': www is a directory, not a PEM file");
    assert_eq!(
        error("--web gone 6080 h:1"),
        "websockify: error: '--web': cannot read gone (put it there, or name another): No such file or directory (os error 2)"
    );
}

#[test]
fn web_never_lists_directories() {
    let start = start_directory();
    for line in ["--web www 6080 h:1", "--web www --file-only 6080 h:1"] {
        let root = start.path().join("www");
        assert_eq!(
            classic_in(line, start.path()).route.web,
            Some(http::Web::Directory(http::Directory { root, follow_symlinks: false, listing: false }))
        );
    }
}

#[test]
fn logs() {
    let start = start_directory();
    let log_of = |line: &str| classic_in(&format!("{line} 6080 h:1"), start.path()).log;
    let syslog = |server, legacy| Some(Syslog { server, legacy });
    assert_eq!(
        log_of("-v --log-file x.log"),
        log::Settings { verbose: true, file: Some(start.path().join("x.log")), syslog: None }
    );
    assert_eq!(log_of("--syslog /dev/log").syslog, syslog(SyslogServer::Local("/dev/log".into()), false));
    assert_eq!(
        log_of("--syslog [::1]:514 --legacy-syslog").syslog,
        syslog(SyslogServer::Udp { host: "::1".to_owned(), port: 514 }, true)
    );
}

#[test]
fn programs() {
    let wrapped = |line| {
        let route = classic(line).route;
        (route.program.unwrap(), route.target)
    };
    let settings = |line: &str, port, on_exit| program::Settings {
        command: program::Command::new(words(line)).unwrap(),
        role: Role::Service { port, on_exit },
        supervision: Supervision::Child,
        user: None,
        group: None,
        working_directory: None,
        environment: BTreeMap::new(),
    };
    let port = Some(Port { number: 5901, isolation: Isolation::Rebind, start_timeout: None });
    for (line, on_exit) in [
        ("5901 -- vncserver :1 -geometry 800x600", OnExit::Exit),
        ("--wrap-mode=exit 5901 -- vncserver :1 -geometry 800x600", OnExit::Exit),
        ("5901 --wrap-mode ignore -- vncserver :1 -geometry 800x600", OnExit::Ignore),
        ("--wrap=respawn 127.0.0.1:5901 -- vncserver :1 -geometry 800x600", OnExit::Respawn),
    ] {
        let expected = settings("vncserver :1 -geometry 800x600", port, on_exit);
        assert_eq!(wrapped(line), (expected, target::Settings::Program), "{line}");
    }
    let (program, target) = wrapped("--unix-target /run/vnc.sock 6080 -- vncserver -rfbunixpath /run/vnc.sock");
    assert_eq!(program, settings("vncserver -rfbunixpath /run/vnc.sock", None, OnExit::Exit));
    assert_eq!(target, target::Settings::Fixed(Target::Unix("/run/vnc.sock".into())));
    let start = start_directory();
    let command = |route: Route| route.program.unwrap().command;
    let typed = command(classic_in("5901 -- ./run x/y", start.path()).route);
    assert_eq!(typed.words().collect::<Vec<_>>(), [start.path().join("./run").as_os_str(), "x/y".as_ref()]);
    let foreign = OsString::from_vec(vec![b'x', 0xFF]);
    let arguments: Vec<OsString> = words("5901 -- cat").into_iter().chain([foreign.clone()]).collect();
    let Ok(Command::Classic(typed)) = cli::parse(&arguments, start.path()) else { panic!("no command line") };
    assert_eq!(command(typed.route).words().collect::<Vec<_>>(), ["cat".as_ref(), foreign.as_os_str()]);
    let answer = cli::convert(&arguments, start.path());
    assert!(answer.text.ends_with("websockify: error: -- PROGRAM: x\u{FFFD} is not UTF-8\n"), "{}", answer.text);
    assert_eq!(usage_error("6080 h:1 -- vncserver"), "Too many arguments");
    assert_eq!(usage_error("6080 --"), "Too few arguments");
    let needed =
        "-- PROGRAM needs a listen port from 1 to 65535, which is the port that the program binds, or --unix-target";
    for line in ["0 -- vncserver", "--inetd -- vncserver", "--unix-listen /run/x.sock -- vncserver"] {
        assert_eq!(usage_error(line), needed, "{line}");
    }
}

#[test]
fn what_has_no_effect_is_accepted_and_noted() {
    let classic = classic("--auto-pong --libserver --cafile x --wrap-mode exit --ssl-version default 6080 h:1");
    let words: Vec<_> = classic.notes.iter().map(|note| note.split(' ').next().unwrap()).collect();
    assert_eq!(words, ["no", "--auto-pong", "--libserver", "--cafile", "--wrap-mode"]);
}

#[test]
fn help_names_every_option_and_every_verb() {
    let options = "help version verbose traffic record daemon run-once timeout idle-timeout cert key key-password ssl-only \
                   ssl-target verify-client cafile ssl-version ssl-ciphers unix-listen unix-listen-mode unix-target inetd \
                   web web-auth file-only wrap-mode prefer-ipv6 libserver target-config token-plugin token-source \
                   host-token allow-target auth-plugin auth-source heartbeat log-file syslog legacy-syslog auto-pong";
    let help = refused("--help");
    assert_eq!(help.exit, Exit::Success);
    for option in options.split_whitespace() {
        assert!(help.text.contains(&format!("--{option}")), "--{option} is not in\n{}", help.text);
    }
    for verb in ["serve [NAME...]", "check [NAME...]", "convert -- ", "demo ["] {
        assert!(help.text.contains(verb), "{verb} is not in\n{}", help.text);
    }
    for line in help.text.lines() {
        assert!(line.chars().count() <= 100, "too wide for a terminal: {line}");
    }
    assert_eq!(refused("help"), help);
    assert_eq!(refused("-h").exit, Exit::Success);
    for line in ["--version", "-V"] {
        assert_eq!(refused(line), Answer { text: "websockify 1.0.0-alpha.1\n".to_owned(), exit: Exit::Success });
    }
}

#[test]
fn verbs() {
    let start = start_directory();
    let routes = |directory: &str, names: &[&str]| Routes {
        directory: PathBuf::from(directory),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let serve = |line: &str| match parse_in(line, start.path()) {
        Ok(Command::Serve(serve)) => serve,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(serve("serve"), Serve { routes: routes("/etc/websockify", &[]), log: log::Settings::default() });
    let verbose = log::Settings { verbose: true, ..Default::default() };
    assert_eq!(
        serve("serve vnc -v --config x telnet"),
        Serve { routes: routes("x", &["vnc", "telnet"]), log: verbose }
    );
    let checked = parse_in("check vnc --config=x", start.path());
    assert!(matches!(&checked, Ok(Command::Check(it)) if *it == routes("x", &["vnc"])), "{checked:?}");
    let converted = parse_in("convert -- -v 6080 -- vncserver", start.path());
    assert!(matches!(&converted, Ok(Command::Convert(old)) if *old == words("-v 6080 -- vncserver")), "{converted:?}");
    for (line, host, port) in [
        ("demo", "localhost", 6080),
        ("demo 0", "localhost", 0),
        ("demo 127.0.0.1:7000", "127.0.0.1", 7000),
        ("demo [::1]:7000", "::1", 7000),
    ] {
        let demo = parse_in(line, start.path());
        assert!(matches!(&demo, Ok(Command::Demo(address)) if *address == tcp(host, port)), "{line}: {demo:?}");
    }
}

#[test]
fn wrong_verb_lines_end_with_64_and_their_help_with_0() {
    for line in
        ["serve --speed", "check --config", "convert", "convert 6080 h:1", "demo http", "demo /run/x", "demo 1 2"]
    {
        let answer = refused(line);
        assert_eq!(answer.exit, Exit::Usage, "{line}: {}", answer.text);
    }
    for verb in ["serve", "check", "convert", "demo"] {
        for line in [format!("{verb} --help"), format!("help {verb}")] {
            let answer = refused(&line);
            assert_eq!(answer.exit, Exit::Success, "{line}");
            assert!(answer.text.contains(&format!("Usage: websockify {verb}")), "{line}: {}", answer.text);
        }
    }
}

/// What the converted line means, read back from a file.
fn converted(line: &str, start: &Path) -> Route {
    let answer = cli::convert(&words(line), start);
    assert_eq!(answer.exit, Exit::Success, "{line}: {}", answer.text);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("websockify.toml"), &answer.text).unwrap();
    let routes =
        load_directory(directory.path(), &[]).unwrap_or_else(|error| panic!("{line}: {error}\n{}", answer.text));
    routes.into_iter().next().unwrap().route
}

#[test]
fn convert_says_the_same() {
    let start = start_directory();
    for line in [
        "6080 localhost:5900",
        "::1:6080 ::1:5900",
        "[::1]:6080 unix:5900",
        ":0 :5900",
        "--web www --file-only --heartbeat 30 host.name:6080 h:1",
        "--web builtin:telnet 6080 h:1",
        "--cert other.pem --key other.key --ssl-only 6080 h:1",
        "--cert other.pem 6080 h:1",
        "--cert gone.pem 6080 h:1",
        "--unix-listen x.sock --unix-listen-mode 660 --unix-target t.sock",
        "--unix-listen x.sock h:1",
        "5901 --wrap-mode=ignore -- vncserver -geometry 1024x768 :1",
        "--wrap-mode=respawn --unix-target t.sock 6080 -- ./serve --on t.sock",
        "-vD6 --run-once --timeout 5 --idle-timeout 6 --log-file x --syslog h:514 --traffic 6080 h:1",
    ] {
        assert_eq!(converted(line, start.path()), classic_in(line, start.path()).route, "{line}");
        assert_eq!(converted(&format!("/usr/bin/websockify {line}"), start.path()), converted(line, start.path()));
    }
}

/// The one thing that a file says otherwise: by what names, and so that nothing is overwritten.
#[test]
fn a_converted_recording_is_in_the_same_directory() {
    let start = start_directory();
    let line = "--record recordings/session 6080 localhost:5900";
    let text = cli::convert(&words(line), start.path()).text;
    assert!(text.contains("# --record: files are named by route, time and session, in the same directory\n"), "{text}");
    let typed = classic_in(line, start.path()).route.record.unwrap();
    assert_eq!(typed.naming, Naming::Numbered(start.path().join("recordings/session")));
    let written = converted(line, start.path()).record.unwrap();
    assert_eq!(written.naming, Naming::InDirectory(start.path().join("recordings")));
    assert_eq!(Settings { naming: written.naming.clone(), ..typed }, written);
}

#[test]
fn where_to_record_is_absolute_and_a_file() {
    let start = start_directory();
    let naming = |line: &str| classic_in(line, start.path()).route.record.unwrap().naming;
    assert_eq!(naming("--record x 6080 h:1"), Naming::Numbered(start.path().join("x")));
    assert_eq!(naming("--record www/ 6080 h:1"), Naming::Numbered(start.path().join("www")));
    assert_eq!(naming("--record /tmp/../x 6080 h:1"), Naming::Numbered("/tmp/../x".into()));
    assert_eq!(
        usage_error("--record / 6080 h:1"),
        "--record: / is no file's name: write one, to which the number of each session is appended"
    );
    let in_a_file = usage_error("--record other.pem/x 6080 h:1");
    assert!(
        in_a_file.starts_with("'--record': ") && in_a_file.ends_with("/other.pem is not a directory"),
        "{in_a_file}"
    );
}

#[test]
fn a_replay_is_asked_for_in_few_words() {
    let replay = |line: &str| match cli::parse(&words(line), Path::new("/")) {
        Ok(Command::Replay(replay)) => replay,
        other => panic!("{line}: {other:?}"),
    };
    let plain = replay("replay session.1");
    assert_eq!((plain.file, plain.speed, plain.hold), ("session.1".into(), Speed::Times(1.0), Duration::ZERO));
    assert_eq!(plain.address.to_string(), "localhost:6080");
    assert_eq!(plain.web, None);
    let all = replay("replay --speed max --hold 1h --web www session.1 [::1]:0");
    assert_eq!((all.speed, all.hold, all.web), (Speed::Max, Duration::from_hours(1), Some("www".into())));
    assert!(matches!(
        cli::parse(&words("replay --summary session.1"), Path::new("/")),
        Ok(Command::Summarize(file)) if file == Path::new("session.1")
    ));
    for line in ["replay", "replay --speed fast x", "replay --hold never x", "replay --summary --speed 2 x"] {
        let Err(answer) = cli::parse(&words(line), Path::new("/")) else { panic!("{line} is taken") };
        assert_eq!(answer.exit, Exit::Usage, "{line}: {}", answer.text);
    }
}

#[test]
fn web_names_pages_of_the_program_as_a_route_file_does() {
    let start = start_directory();
    let web = |line: &str| classic_in(line, start.path()).route.web;
    assert_eq!(web("--web builtin:telnet 6080 h:1"), Some(http::Web::Builtin(http::Builtin::Telnet)));
    fs::create_dir(start.path().join("builtin:telnet")).unwrap();
    let Some(http::Web::Directory(directory)) = web("--web ./builtin:telnet 6080 h:1") else { panic!("no directory") };
    assert!(directory.root.ends_with("builtin:telnet"), "{directory:?}");
    let Err(answer) = parse_in("--web builtin:vnc 6080 h:1", start.path()) else { panic!("there is no such page") };
    assert!(answer.text.contains("'builtin:vnc' is not built in: write \"builtin:telnet\""), "{}", answer.text);
}

#[test]
fn convert_prints_a_file_to_read() {
    let start = start_directory();
    let line =
        "websockify -D --log-file x.log --web www --ssl-only --cert other.pem --heartbeat 30 6080 localhost:5900";
    let text = cli::convert(&words(line), start.path()).text.replace(start.path().to_str().unwrap(), "/srv");
    assert_eq!(
        text,
        r#"# Save this as /etc/websockify/NAME.toml, look at it with `websockify check NAME`, and run it with
# `websockify serve NAME`.
# -D: not in the file; whoever starts it keeps it in the background
# --log-file: not in the file; `serve` logs to standard error, systemd keeps that
# --web: `same-origin = false` lets pages from elsewhere connect, as always; better remove it

listen = ["6080"]
target = "localhost:5900"
web = "/srv/www"

[tls]
mode = "required"
certificate = "/srv/other.pem"

[access]
same-origin = false

[websocket]
heartbeat = "30s"
"#
    );
}

#[test]
fn convert_refuses_what_a_file_cannot_say() {
    let start = start_directory();
    let outcome = |line: &str| cli::convert(&words(line), start.path());
    assert_eq!(outcome("--inetd h:1").exit, Exit::ClassicUsage);
    assert_eq!(outcome("6080").exit, Exit::ClassicUsage);
    assert_eq!(outcome("--record / 6080 h:1").exit, Exit::ClassicUsage);
}

#[test]
fn the_program_of_one_route_is_started_and_stopped() {
    let start = start_directory();
    let understood = |line: &str| match parse_in(line, start.path()) {
        Ok(Command::Program(program)) => program,
        other => panic!("'{line}': {other:?}"),
    };
    let program = |scope, action| cli::Program { route: "vnc".to_owned(), scope, action };
    let routes = || PathBuf::from("/etc/websockify");
    assert_eq!(understood("program start vnc"), program(Scope::System, Action::Start(routes())));
    assert_eq!(
        understood("program start --user --config=/home/a/r vnc"),
        program(Scope::User, Action::Start("/home/a/r".into()))
    );
    assert_eq!(understood("program stop vnc"), program(Scope::System, Action::Stop));
    assert_eq!(understood("program stop --if-over vnc"), program(Scope::System, Action::StopIfOver));
    // As the unit of the program calls it.
    let place = Action::Place { port: Some(5901), respawn: true };
    assert_eq!(understood("program place --port=5901 --respawn vnc"), program(Scope::System, place));
    for line in ["program", "program start", "program start a b", "program run vnc"] {
        assert_eq!(refused(line).exit, Exit::Usage, "{line}");
    }
}

/// What `check` returns, writes, and complains about, with the directory's name taken out.
fn check_routes(directory: &Path, names: &[&str]) -> (Exit, String, String) {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let (mut out, mut problems) = (Vec::new(), Vec::new());
    let exit = cli::check(&Routes { directory: directory.to_owned(), names }, &mut out, &mut problems).unwrap();
    let problems = String::from_utf8(problems).unwrap().replace(&format!("{}/", directory.display()), "");
    (exit, String::from_utf8(out).unwrap(), problems)
}

#[test]
fn check_warns_of_text_for_the_telnet_page() {
    let directory = tempfile::tempdir().unwrap();
    let checked = |web: &str, text: &str| {
        let route = format!(
            "listen = \"/run/t.sock\"\ntarget = \"127.0.0.1:1\"\n{web}\n[websocket]\n# a comment\ntext = \"{text}\""
        );
        fs::write(directory.path().join("t.toml"), route).unwrap();
        let (exit, out, problems) = check_routes(directory.path(), &[]);
        assert_eq!((exit, out.as_str()), (Exit::Success, "t: ok\n"), "{problems}");
        problems
    };
    assert_eq!(
        checked("web = \"builtin:telnet\"", "reply"),
        "t.toml:6:8: warning: text = \"reply\" damages what the target says to builtin:telnet, for telnet's commands are \
         bytes that are no text: remove it\n"
    );
    assert_eq!(checked("web = \"builtin:telnet\"", "accept"), "");
    assert_eq!(checked("web = \"builtin:demo\"", "reply"), "");
    assert_eq!(checked("", "reply"), "");
}

#[test]
fn check_warns_of_a_web_root_that_shows_the_routes() {
    let directory = tempfile::tempdir().unwrap();
    let routes = directory.path().join("etc");
    fs::create_dir_all(routes.join("www")).unwrap();
    std::os::unix::fs::symlink(&routes, directory.path().join("link")).unwrap();
    let checked = |web: &str| {
        let route = format!("listen = \"/run/w.sock\"\ntarget = \"127.0.0.1:1\"\nweb = {web}");
        fs::write(routes.join("w.toml"), route).unwrap();
        let (exit, out, problems) = check_routes(&routes, &[]);
        assert_eq!((exit, out.as_str()), (Exit::Success, "w: ok\n"), "{problems}");
        problems
    };
    for (web, column, holds) in [
        ("\".\"", 7, "holds this route"),
        ("\"../link\"", 7, "holds this route"),
        ("{ root = \"www/../..\" }", 16, "holds the directory of this route"),
        ("\"/\"", 7, "holds the directory of this route"),
    ] {
        let said = checked(web);
        assert!(said.starts_with(&format!("w.toml:3:{column}: warning: 'web' serves ")), "{web}: {said}");
        assert!(said.contains(&format!(", which {holds}, to everybody who can connect: name a directory")), "{said}");
    }
    assert_eq!(checked("\"www\""), "");
}

#[test]
fn check_tells_per_route() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    let check = |names: &[&str]| check_routes(directory.path(), names);
    // Paths: whether a port is free is not this test's to say.
    write("a.toml", "listen = \"/run/a.sock\"\ntarget = \"127.0.0.1:1\"");
    write("b.toml", "listen = \"/run/b.sock\"\ntarget = \"unix:x.sock\"");
    assert_eq!(check(&[]), (Exit::Success, "a: ok\nb: ok\n".to_owned(), String::new()));

    write("c.toml", "listen = \"/run/b.sock\"\ntarget = \"127.0.0.1:1\"");
    write("d.toml", "listen = \"x\"\ntarget = \"127.0.0.1:1\"");
    let (exit, out, problems) = check(&[]);
    assert_eq!((exit, out.as_str()), (Exit::Config, "a: ok\n"));
    assert_eq!(
        problems.lines().map(|line| line.split(' ').next().unwrap()).collect::<Vec<_>>(),
        ["c.toml:1:10:", "d.toml:1:10:"]
    );
    assert_eq!(check(&["a", "b"]).0, Exit::Success);

    // No label of a name has more than 63 letters: looking it up fails without asking anybody.
    write("e.toml", &format!("listen = \"0\"\ntarget = \"{}:1\"", "x".repeat(64)));
    let (exit, out, problems) = check(&["e"]);
    assert_eq!((exit, out.as_str()), (Exit::Success, "e: ok\n"));
    let (misfit, host) = problems.split_once('\n').unwrap();
    assert!(
        misfit.starts_with("e.toml:1:10: warning: not as a systemd unit: '0' lets the kernel choose a port"),
        "{misfit}"
    );
    assert!(host.starts_with("e.toml:2:10: warning: the host of target 'xxxx"), "{host}");

    let records = |name: &str, directory: &str| {
        let listen = format!("listen = \"/run/{name}.sock\"\ntarget = \"127.0.0.1:1\"");
        write(&format!("{name}.toml"), &format!("{listen}\n[record]\ndirectory = \"{directory}\""));
    };
    records("k", "/var/lib/websockify/shared");
    records("l", "/var/lib/websockify/shared/l");
    records("m", "/var/log/websockify");
    records("n", "/var/lib/websockify/n");
    let (exit, out, problems) = check(&["k", "l", "m", "n"]);
    assert_eq!((exit, out.as_str()), (Exit::Success, "k: ok\nl: ok\nm: ok\nn: ok\n"));
    let said = [
        "k.toml:2:10: warning: not as a systemd unit: systemd would take /var/lib/websockify/shared away from this service at \
         each start of that of 'l', which records there too: write record.directory = \"/var/lib/websockify/k\"",
        "l.toml:2:10: warning: not as a systemd unit: systemd would take /var/lib/websockify/shared/l away from this service at \
         each start of that of 'k', which records there too: write record.directory = \"/var/lib/websockify/l\"",
        "m.toml:2:10: warning: not as a systemd unit: the service's user cannot write into /var/log/websockify itself, which \
         holds the directories of the routes: write record.directory = \"/var/log/websockify/m\"",
    ];
    assert_eq!(problems.lines().collect::<Vec<_>>(), said);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    write("f.toml", &format!("listen = [\"/run/f.sock\", \"{address}\"]\ntarget = \"127.0.0.1:1\""));
    let (exit, out, problems) = check(&["f"]);
    assert_eq!((exit, out.as_str()), (Exit::Success, "f: ok\n"));
    assert!(problems.starts_with(&format!("f.toml:1:26: warning: {address} is in use now by '")), "{problems}");
    assert!(problems.contains(&format!("(process {})", std::process::id())), "{problems}");
}

proptest! {
    #[test]
    fn no_words_make_it_panic(line in prop::collection::vec("-{0,2}[a-z:=/\\[\\]0-9 ä]{0,8}|--|6080|h:1|-[vD6hV]{1,3}", 0..6)) {
        let start = start_directory();
        let words: Vec<OsString> = line.iter().map(OsString::from).collect();
        let _ = cli::parse(&words, start.path());
        let _ = cli::convert(&words, start.path());
    }

    /// Whatever source and target are accepted, the converted file means the same.
    #[test]
    fn addresses_survive_conversion(source in "[a-z.:\\[\\]]{0,6}:?[0-9]{1,5}", target in "(unix|[a-z.:\\[\\]]{0,6}):[0-9]{1,5}") {
        let start = start_directory();
        let line = format!("{source} {target}");
        if let Ok(Command::Classic(classic)) = parse_in(&line, start.path()) {
            prop_assert_eq!(converted(&line, start.path()), classic.route);
        }
    }
}
