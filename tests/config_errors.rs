//! Every mistake in a route's file is told at its place, with what would be right: the exact texts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use websockify::config::load_directory;

/// What loading the files says, with the directory's name taken out; "" when all is well.
fn complaints(files: &[(&str, &str)], names: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("www")).unwrap();
    fs::write(directory.path().join("vnc.pem"), "not looked into here").unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    load(directory.path(), names).replace(&format!("{}/", directory.path().display()), "")
}

fn load(directory: &Path, names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    match load_directory(directory, &names) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn expect(text: &str, expected: &[&str]) {
    assert_eq!(complaints(&[("vnc.toml", text)], &[]).lines().collect::<Vec<_>>(), expected, "{text}");
}

/// The same, for a text that is appended to what every route needs; its first line is line 3.
#[track_caller]
fn expect_in_route(text: &str, expected: &[&str]) {
    expect(&format!("listen = \"6080\"\ntarget = \"localhost:5901\"\n{text}"), expected);
}

#[test]
fn an_exit_that_would_come_all_the_time() {
    expect_in_route(
        "exit-idle = \"900ms\"",
        &[
            "vnc.toml:3:13: 'exit-idle' is 900ms, and less than 1s: write \"1s\" at least, or systemd would take the restarts \
           for a failure",
        ],
    );
    expect_in_route(
        "exit-idle = \"0s\"",
        &[
            "vnc.toml:3:13: 'exit-idle' is 0s, and less than 1s: write \"1s\" at least, or systemd would take the restarts \
           for a failure",
        ],
    );
    expect_in_route(
        "exit-idle = \"9years\"",
        &[
            "vnc.toml:3:13: '9years' is out of range: 'exit-idle' is from 1s to 365days; without the key, the daemon stays",
        ],
    );
    expect_in_route("exit-idle = \"1s\"", &[]);
}

#[test]
fn a_sound_file_has_no_complaint() {
    expect_in_route("web = \"www\"\n[tls]\ncertificate = \"vnc.pem\"\nkey = \"vnc.pem\"\n", &[]);
}

#[test]
fn unknown_keys() {
    expect_in_route("tagret = 1", &["vnc.toml:3:1: unknown key 'tagret': did you mean 'target'?"]);
    expect_in_route(
        "  proxy = {}",
        &[
            "vnc.toml:3:3: unknown key 'proxy': known are description, listen, listen-mode, target, tokens, grants, targets, program, exit-idle, \
             web, tls, access, websocket, record, limits",
        ],
    );
    expect_in_route(
        "[tls]\ncert = \"vnc.pem\"\ncertificate = \"vnc.pem\"",
        &["vnc.toml:4:1: unknown key 'tls.cert': did you mean 'certificate'?"],
    );
    expect_in_route(
        "[limits]\nspeed = 9",
        &[
            "vnc.toml:4:1: unknown key 'limits.speed': known are connections, connections-per-address, failures-per-address, backlog, \
           handshake-timeout, connect-timeout, request-size, idle-timeout, close-timeout, drain-timeout",
        ],
    );
}

#[test]
fn recordings() {
    expect_in_route("[record]\ndirectory = \"recordings\"\nsize-limit = \"4KiB\"\nkeep-files = 1\n", &[]);
    expect_in_route(
        "[record]\ncompression = \"zstd\"",
        &["vnc.toml:3:1: 'record.directory' is missing: write directory = \"/var/lib/websockify/vnc\""],
    );
    expect_in_route(
        "[record]\ndirectory = \"vnc.pem\"\ncompression = \"xz\"\nsize-limit = \"1KiB\"\nkeep-files = 0\nkeep-age = \"old\"",
        &[
            "vnc.toml:4:13: 'record.directory': vnc.pem is not a directory",
            "vnc.toml:5:15: 'xz' is not a value of 'record.compression': write \"none\" or \"gzip\" or \"zstd\"",
            "vnc.toml:6:14: '1KiB' is not a value of 'record.size-limit': write a size from 4KiB on, such as \"1GiB\"",
            "vnc.toml:7:14: 0 is out of range: 'record.keep-files' is from 1 to 1000000",
            "vnc.toml:8:12: 'old' is not a duration: write a number and a unit, such as \"30days\"",
        ],
    );
    expect_in_route(
        "record = true",
        &["vnc.toml:3:10: 'record' is a boolean: write a table [record] with directory = \"/var/lib/websockify/vnc\""],
    );
    expect_in_route(
        "[record]\ndirectoy = \"x\"\ndirectory = \"x\"",
        &["vnc.toml:4:1: unknown key 'record.directoy': did you mean 'directory'?"],
    );
}

/// A text that is appended to what every route with a program needs; its first line is line 4.
#[track_caller]
fn expect_in_program(text: &str, expected: &[&str]) {
    expect(&format!("listen = \"6080\"\n[program]\ncommand = [\"vncserver\", \":1\"]\n{text}"), expected);
}

#[test]
fn programs_that_are_sound() {
    for text in [
        "port = 5901",
        "port = 5901\non-exit = \"respawn\"\nisolation = \"private-network\"\nstart-timeout = \"30s\"",
        "port = 5901\nsupervisor = \"child\"\nisolation = \"none\"\nenvironment = { LANG = \"C.UTF-8\" }",
        "port = 5901\nuser = \"alice\"\ngroup = \"video\"\nworking-directory = \"/home/alice\"\n\
         properties = { MemoryMax = \"1G\", Nice = 5, NoNewPrivileges = true, CPUWeight = 1.5, DeviceAllow = [\"/dev/dri\", \"/dev/kvm\"] }",
        "per-session = true\nsupervisor = \"child\"",
    ] {
        expect_in_program(text, &[]);
    }
    for listen in ["\"localhost:7681\"", "[\"127.0.0.2:7681\", \"[::1]:7681\"]", "\"/run/sh.sock\""] {
        expect(&format!("listen = {listen}\n[program]\ncommand = [\"/bin/sh\"]\nper-session = true\npty = true"), &[]);
    }
    expect_in_route("[program]\ncommand = [\"/usr/bin/service\"]", &[]); // which sessions reach by the target
}

#[test]
fn programs() {
    expect(
        "listen = \"6080\"\n[program]\nport = 0",
        &[
            "vnc.toml:2:1: 'program.command' is missing: write command = [\"vncserver\", \":1\"]",
            "vnc.toml:3:8: 0 is out of range: 'program.port' is from 1 to 65535",
        ],
    );
    let ways = "write the port that it listens on, such as port = 5901, or per-session = true, or a 'target' where sessions go";
    expect_in_program("", &[&format!("vnc.toml:2:1: 'program.port' is missing: {ways}")]);
    for (command, complaint) in [
        ("\"vncserver :1\"", "3:11: 'program.command' is a string: write command = [\"vncserver\", \":1\"]"),
        (
            "[]",
            "3:11: 'program.command' is empty: write the program and its arguments, such as command = [\"vncserver\", \":1\"]",
        ),
        (
            "[\"\"]",
            "3:12: '' is not a program: write its name, which is looked up in PATH, or its whole path from / on",
        ),
        (
            "[\"bin/x\"]",
            "3:12: 'bin/x' is not a program: write its name, which is looked up in PATH, or its whole path from / on",
        ),
        ("[\"x\", \"\\u0000\"]", "3:17: there is a NUL in it, which no program can be given: remove it"),
    ] {
        let text = format!("listen = \"6080\"\n[program]\ncommand = {command}\nport = 5901");
        expect(&text, &[&format!("vnc.toml:{complaint}")]);
    }
    expect_in_program(
        "port = 5901\non-exit = \"restart\"\nsupervisor = \"runit\"\nisolation = \"chroot\"\nstart-timeout = 5",
        &[
            "vnc.toml:5:11: 'restart' is not a value of 'program.on-exit': write \"exit\" or \"ignore\" or \"respawn\"",
            "vnc.toml:6:14: 'runit' is not a value of 'program.supervisor': write \"systemd\" or \"child\"",
            "vnc.toml:7:13: 'chroot' is not a value of 'program.isolation': write \"rebind\" or \"private-network\" or \"none\"",
            "vnc.toml:8:17: 'program.start-timeout' is an integer: write start-timeout = \"30s\"",
        ],
    );
}

#[test]
fn programs_in_combinations_that_make_no_sense() {
    for (key, value) in [("port", "5901"), ("per-session", "true")] {
        expect_in_route(
            &format!("[program]\ncommand = [\"x\"]\n{key} = {value}"),
            &[&format!(
                "vnc.toml:2:10: 'target' and 'program.{key}' exclude each other, for sessions go to the program: remove 'target', or \
                 '{key}'"
            )],
        );
    }
    let with_child =
        "has no effect with supervisor = \"child\": it is for supervisor = \"systemd\": remove one of the two";
    expect_in_program(
        "port = 5901\nsupervisor = \"child\"\nisolation = \"private-network\"\nproperties = { Nice = 5 }",
        &[
            &format!("vnc.toml:6:13: 'isolation = \"private-network\"' {with_child}"),
            &format!("vnc.toml:7:14: 'properties' {with_child}"),
        ],
    );
    let listens_not = "has no effect beside per-session = true, whose programs do not listen: remove one of the two";
    expect_in_program(
        "per-session = true\nport = 5901\non-exit = \"exit\"\nisolation = \"none\"\nstart-timeout = \"5s\"",
        &[
            &format!("vnc.toml:5:8: 'port' {listens_not}"),
            &format!("vnc.toml:6:11: 'on-exit' {listens_not}"),
            &format!("vnc.toml:7:13: 'isolation' {listens_not}"),
            &format!("vnc.toml:8:17: 'start-timeout' {listens_not}"),
        ],
    );
    expect_in_program(
        "port = 5901\npty = true",
        &["vnc.toml:5:7: 'pty' has no effect without per-session = true: remove one of the two"],
    );
    expect_in_program(
        "per-session = true\npty = true",
        &[
            "vnc.toml:5:7: 'pty' gives a terminal to everybody who reaches this route: listen on localhost or on a Unix socket, or \
           let [access] ask who they are",
        ],
    );
    expect_in_route(
        "[program]\ncommand = [\"x\"]\nisolation = \"rebind\"\nstart-timeout = \"5s\"",
        &[
            "vnc.toml:5:13: 'program.isolation' is about the program's port: write port = 5901, or remove it",
            "vnc.toml:6:17: 'start-timeout' has no effect without 'port': remove one of the two",
        ],
    );
    expect_in_program(
        "port = 5901\nenvironment = { LD_PRELOAD = \"x.so\", LANG = \"C\" }\nproperties = { EnvironmentFile = \"/x\" }",
        &[
            "vnc.toml:5:17: 'LD_PRELOAD' would also be given to what systemd runs as root beside the program: write it into the \
             command, command = [\"/usr/bin/env\", \"LD_PRELOAD=...\", \"PROGRAM\"]",
            "vnc.toml:6:16: 'EnvironmentFile' cannot be among 'program.properties': write [program.environment]",
        ],
    );
    expect_in_program(
        "port = 5901\nuser = \"a b\"\nenvironment = { \"A=B\" = \"x\", C = 1 }\nproperties = { nice = 5, User = \"x\", Nice = {} }",
        &[
            "vnc.toml:5:8: 'a b' in 'program.user' is not a user's name: write one, such as user = \"alice\"",
            "vnc.toml:6:17: 'A=B' is not a variable's name: write one without '='",
            "vnc.toml:6:34: 'program.environment.C' is an integer: write LANG = \"C.UTF-8\"",
            "vnc.toml:7:16: 'nice' in 'program.properties' is not a setting of a unit: write one as systemd.exec(5) does, such as \
             MemoryMax",
            "vnc.toml:7:26: 'User' cannot be among 'program.properties': write 'user'",
            "vnc.toml:7:45: 'program.properties.Nice' is a table: write MemoryMax = \"1G\"",
        ],
    );
}

#[test]
fn missing_keys() {
    expect(
        "",
        &[
            "vnc.toml:1:1: 'listen' is missing: write listen = \"6080\"",
            "vnc.toml:1:1: 'target' is missing: write target = \"localhost:5900\"",
        ],
    );
    expect_in_route(
        "[tls]\nmode = \"sniff\"",
        &["vnc.toml:3:1: 'tls.certificate' is missing: write certificate = \"/etc/ssl/vnc.pem\""],
    );
    expect_in_route("web = {}", &["vnc.toml:3:7: 'web.root' is missing: write root = \"/usr/share/novnc\""]);
}

#[test]
fn wrong_types() {
    expect(
        "listen = 6080\ntarget = [\"a:1\"]",
        &[
            "vnc.toml:1:10: 'listen' is an integer: write listen = \"6080\"",
            // What is there and wrong is not missing as well.
            "vnc.toml:2:10: 'target' is an array: write target = \"localhost:5900\"",
        ],
    );
    expect(
        "listen = [\"6080\", 6081]\ntarget = \"a:1\"",
        &["vnc.toml:1:19: 'listen' is an integer: write listen = \"6080\""],
    );
    expect_in_route(
        "tls = true\nweb = 1.5\n[websocket]\nheartbeat = 30\n[limits]\nconnections = \"many\"",
        &[
            "vnc.toml:3:7: 'tls' is a boolean: write a table [tls] with certificate = \"/etc/ssl/vnc.pem\"",
            "vnc.toml:4:7: 'web' is a number with a point: write web = \"/usr/share/novnc\"",
            "vnc.toml:6:13: 'websocket.heartbeat' is an integer: write heartbeat = \"30s\" or \"off\"",
            "vnc.toml:8:15: 'limits.connections' is a string: write connections = 100",
        ],
    );
}

#[test]
fn wrong_addresses() {
    expect(
        "listen = [\"6080\", \"host:http\", \"65536\"]\ntarget = \"localhost\"",
        &[
            "vnc.toml:1:19: 'host:http' is not an address to listen on: write a port (0 to 65535), host:port, \
             [IPv6]:port or /path",
            "vnc.toml:1:32: '65536' is not an address to listen on: write a port (0 to 65535), host:port, [IPv6]:port \
             or /path",
            "vnc.toml:2:10: 'localhost' is not a target: write host:port, [IPv6]:port or unix:/path",
        ],
    );
    expect(
        "listen = []\ntarget = \"localhost:0\"",
        &[
            "vnc.toml:1:10: 'listen' is empty: write one address at least, such as listen = \"6080\"",
            "vnc.toml:2:10: '0' in target 'localhost:0' is not a port: write a number from 1 to 65535",
        ],
    );
    expect_in_route(
        "listen-mode = \"660\"",
        &["vnc.toml:3:15: 'listen-mode' is for Unix sockets and 'listen' has none: remove it, or listen on a /path"],
    );
    for mode in ["rw", "888", "+66", "1777"] {
        expect(
            &format!("listen = \"/run/x.sock\"\ntarget = \"a:1\"\nlisten-mode = \"{mode}\""),
            &[&format!(
                "vnc.toml:3:15: '{mode}' is not a mode: write permissions in octal digits, such as listen-mode = \"660\""
            )],
        );
    }
}

#[test]
fn wrong_values() {
    expect_in_route(
        "web = \"builtin:vnc\"\n\
         [tls]\n\
         mode = \"on\"\n\
         certificate = \"vnc.pem\"\n\
         [websocket]\n\
         heartbeat = \"0s\"\n\
         text = \"yes\"\n\
         [limits]\n\
         connections = 0\n\
         backlog = 99999999999999999999\n\
         idle-timeout = \"soon\"\n\
         close-timeout = \"1000years\"\n\
         request-size = \"64\"\n",
        &[
            "vnc.toml:3:7: 'builtin:vnc' is not built in: write \"builtin:telnet\" or \"builtin:demo\", or a directory",
            "vnc.toml:5:8: 'on' is not a value of 'tls.mode': write \"sniff\" or \"required\"",
            "vnc.toml:8:13: '0s' is out of range: 'websocket.heartbeat' is from 1ms to 365days; without the key, it \
             is 25s",
            "vnc.toml:9:8: 'yes' is not a value of 'websocket.text': write \"refuse\" or \"accept\" or \"reply\"",
            "vnc.toml:11:15: 0 is out of range: 'limits.connections' is from 1 to 1000000",
            "vnc.toml:12:11: 9223372036854775807 is out of range: 'limits.backlog' is from 1 to 1000000",
            "vnc.toml:13:16: 'soon' is not a duration: write a number and a unit, such as \"1h\"",
            "vnc.toml:14:17: '1000years' is out of range: 'limits.close-timeout' is from 1ms to 365days; without the \
             key, it is 30s",
            "vnc.toml:15:16: '64' is not a value of 'limits.request-size': write a size from 8KiB to 1MiB, such as \
             \"16KiB\"",
        ],
    );
    expect_in_route(
        "[limits]\nconnect-timeout = \"20s\"",
        &["vnc.toml:4:19: 'limits.connect-timeout' must be shorter than 'limits.handshake-timeout', or clients never \
           learn why: write less than 15s"],
    );
    // The default of the one follows the other.
    expect_in_route("[limits]\nhandshake-timeout = \"3s\"", &[]);
}

#[test]
fn wrong_values_of_tls() {
    expect_in_route(
        "[tls]\n\
         certificate = \"vnc.pem\"\n\
         key-password = \"gone\"\n\
         min-version = \"1.1\"\n\
         ciphers = \"HIGH:!aNUL\"\n\
         [[tls.certificates]]\n\
         key = \"vnc.pem\"\n\
         [tls.client]\n\
         mode = \"always\"\n\
         [[tls.client.allow]]\n\
         [[tls.client.allow]]\n\
         cn = []\n\
         [[tls.client.allow]]\n\
         spki-sha256 = [\"abc\"]\n\
         email = \"jane@example.com\"\n",
        &[
            "vnc.toml:5:16: 'tls.key-password': cannot read gone (put it there, or name another): No such file or \
             directory (os error 2)",
            "vnc.toml:6:15: '1.1' is not a value of 'tls.min-version': write \"1.2\" or \"1.3\"",
            "vnc.toml:7:11: 'tls.ciphers': 'aNUL' is not a cipher suite or a word for some: write OpenSSL's names, such as \
             \"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384\" or \"HIGH:!AES128\"",
            "vnc.toml:8:1: 'tls.certificates.1.certificate' is missing: write certificate = \"/etc/ssl/vnc.pem\"",
            "vnc.toml:10:1: 'tls.client.ca' is missing: write ca = \"/etc/websockify/ca.pem\"",
            "vnc.toml:11:8: 'always' is not a value of 'tls.client.mode': write \"required\" or \"optional\"",
            "vnc.toml:12:1: 'tls.client.allow' names nobody: write what a certificate must say, such as { cn = \
             [\"jane@example.com\"] }, or leave it out to let in every certificate of the CA",
            "vnc.toml:13:1: 'tls.client.allow' names nobody: write what a certificate must say, such as { cn = \
             [\"jane@example.com\"] }, or leave it out to let in every certificate of the CA",
            "vnc.toml:16:16: 'abc' is not a SHA-256 of a public key: write the 64 digits that `openssl x509 -in CERTIFICATE \
             -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum` prints, or their base64",
            "vnc.toml:17:1: unknown key 'tls.client.allow.email': known are cn, ou, san-dns, san-email, san-uri, spki-sha256",
        ],
    );
    expect_in_route(
        "[tls]\ncertificate = \"vnc.pem\"\nciphers = \"AES256-SHA\"\ncertificates = [1]",
        &[
            "vnc.toml:5:11: 'tls.ciphers': no cipher suite is left of 'AES256-SHA': those of TLS 1.2 that are spoken here are \
             ECDHE-ECDSA-AES256-GCM-SHA384, ECDHE-RSA-AES256-GCM-SHA384, ECDHE-ECDSA-CHACHA20-POLY1305, \
             ECDHE-RSA-CHACHA20-POLY1305, ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-RSA-AES128-GCM-SHA256",
            "vnc.toml:6:17: 'tls.certificates' is an integer: write a table [[tls.certificates]] with certificate = \
             \"/etc/ssl/lab.pem\"",
        ],
    );
    expect_in_route("[tls]\ncertificate = \"vnc.pem\"\nclient.ca = \"system\"\nclient.allow = { cn = \"jane\" }", &[]);
}

#[test]
fn what_clients_are_to_show() {
    expect_in_route(
        "[access]\norigins = [\"desk\", \"https://desk/\"]\nweb-auth = true\nrequire = \"any\"",
        &[
            "vnc.toml:4:12: 'desk' is not an origin: write https://HOST or https://HOST:PORT, without a path",
            "vnc.toml:4:20: 'https://desk/' is not an origin: write https://HOST or https://HOST:PORT, without a path",
            "vnc.toml:5:12: 'access.web-auth' says nothing here: it needs 'access.users', '[access.jwt]' or \
             '[access.forward-auth]'",
            "vnc.toml:6:11: 'access.require' says nothing here: it needs 'access.users', '[access.jwt]' or \
             '[access.forward-auth]'",
        ],
    );
    expect_in_route(
        "[access]\norigins = []\nusers = \"vnc.pem\"\nweb-auth = true\nrequire = \"both\"",
        &[
            "vnc.toml:4:11: 'access.origins' is empty, so no page could connect: write origins, or leave the key out",
            "vnc.toml:6:12: 'access.web-auth' is for the files of 'web', and there are none: remove it",
            "vnc.toml:7:11: 'access.require' is for several of 'access.users', '[access.jwt]' and \
             '[access.forward-auth]', and there is one: remove it",
            "vnc.toml:7:11: 'both' is not a value of 'access.require': write \"all\" or \"any\"",
        ],
    );
}

#[test]
fn tokens_and_services_that_say_who_clients_are() {
    expect_in_route(
        "[access.jwt]\nfrom = [\"query\"]",
        &[
            "vnc.toml:3:1: 'access.jwt.key' is missing: write key = \"/etc/websockify/jwt.pem\"",
            "vnc.toml:4:9: 'query' is no place of a bearer token: write \"header\" or \"cookie:NAME\"",
        ],
    );
    expect_in_route(
        "[access.jwt]\nkey = \"vnc.pem\"\nfrom = []",
        &[
            "vnc.toml:5:8: 'access.jwt.from' is empty, so no token could be found: write from = \"header\", or leave the key out",
        ],
    );
    expect_in_route(
        "[access.forward-auth]\nurl = \"auth.example.com\"\nheaders = [\"a b\"]\ntarget-header = \"X-Target\"",
        &[
            "vnc.toml:4:7: 'access.forward-auth.url' is no URL of http or https: write url = \"https://HOST/PATH\"",
            "vnc.toml:5:12: 'a b' in 'access.forward-auth.headers' is not the name of a header: write one such as \
             \"Remote-User\"",
            "vnc.toml:6:17: 'access.forward-auth.target-header' needs a list of what the service may name: write [targets] \
             with allow = [\"10.0.0.0/8:5900-5999\"]",
        ],
    );
    expect_in_route(
        "[access.forward-auth]\nurl = \"http://auth/\"\nca = \"vnc.pem\"",
        &["vnc.toml:5:6: 'access.forward-auth.ca' is for a 'url' that begins with https://: remove it"],
    );
    expect_in_route(
        "[access.forward-auth]\ntimeout = \"1s\"",
        &["vnc.toml:3:1: 'access.forward-auth.url' is missing: write url = \"https://auth.example.com/check\""],
    );
}

#[test]
fn wrong_networks() {
    expect_in_route(
        "[access]\nallow-clients = []",
        &[
            "vnc.toml:4:17: 'access.allow-clients' is empty, so nobody could connect: write networks, or leave the key out",
        ],
    );
    expect_in_route(
        "[access]\nallow-clients = [\"10.0.0.0/8\", \"lab\", \"::ffff:10.0.0.0/104\"]",
        &[
            "vnc.toml:4:32: 'lab' is not a network: write an address, or ADDRESS/BITS such as \"10.0.0.0/8\" or \
             \"2001:db8::/32\"",
            "vnc.toml:4:39: '::ffff:10.0.0.0/104' is IPv4 written as IPv6: write the IPv4 network, such as \
             \"10.0.0.0/8\"",
        ],
    );
}

#[test]
fn wrong_proxies() {
    expect_in_route("[access]\ndeny-clients = \"10.0.0.0/8\"\ntrusted-proxies = [\"10.0.0.1\", \"unix\"]", &[]);
    expect_in_route(
        "[access]\ntrusted-proxies = []\nproxy-protocol = \"v2\"\nforwarded-header = \"x-real-ip\"\ndeny-clients = \"lab\"",
        &[
            "vnc.toml:4:19: 'access.trusted-proxies' is empty, so no proxy is trusted: write networks, or leave the key out",
            "vnc.toml:5:18: 'v2' is not a value of 'access.proxy-protocol': write \"required\" or \"accepted\"",
            "vnc.toml:6:20: 'x-real-ip' is not a value of 'access.forwarded-header': write \"x-forwarded-for\" or \
             \"forwarded\" or \"none\"",
            "vnc.toml:7:16: 'lab' is not a network: write an address, or ADDRESS/BITS such as \"10.0.0.0/8\" or \
             \"2001:db8::/32\"",
        ],
    );
    expect_in_route(
        "[access]\nproxy-protocol = \"required\"\nforwarded-header = \"none\"",
        &[
            "vnc.toml:4:18: 'access.proxy-protocol' has no effect without 'access.trusted-proxies': write that too, such \
             as trusted-proxies = [\"10.0.0.1\"]",
            "vnc.toml:5:20: 'access.forwarded-header' has no effect without 'access.trusted-proxies': write that too, \
             such as trusted-proxies = [\"10.0.0.1\"]",
        ],
    );
    expect_in_route(
        "access.trusted-proxies = \"lb.example.com\"",
        &[
            "vnc.toml:3:26: 'lb.example.com' is not a network: write an address, or ADDRESS/BITS such as \"10.0.0.0/8\" \
             or \"2001:db8::/32\", or \"unix\" for whoever connects to the route's Unix sockets",
        ],
    );
}

#[test]
fn wrong_tls_with_targets() {
    let by_tls = |text: &str, expected: &[&str]| {
        expect(&format!("listen = \"6080\"\ntarget = \"tls:vm:5901\"\n[targets]\n{text}"), expected);
    };
    by_tls("send-proxy = \"v1\"\n[targets.tls]\nca = \"vnc.pem\"\nserver-name = \"vm.example.com\"", &[]);
    by_tls("[targets.tls]\nca = \"system\"\nspki-sha256 = \"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"", &[]);
    by_tls("[targets.tls]\ninsecure = false\ncertificate = \"vnc.pem\"", &[]);
    by_tls(
        "send-proxy = \"2\"\n[targets.tls]\nall = true\nca = \"no.pem\"\nserver-name = \"a b\"\nkey = \"vnc.pem\"",
        &[
            "vnc.toml:4:14: '2' is not a value of 'targets.send-proxy': write \"v1\" or \"v2\"",
            "vnc.toml:6:7: 'targets.tls.all' is for the targets of tokens: remove it, 'target' says tls: already",
            "vnc.toml:7:6: 'targets.tls.ca': cannot read no.pem (put it there, or name another): No such file or directory \
             (os error 2)",
        ],
    );
    by_tls(
        "[targets.tls]\nserver-name = \"a b\"",
        &["vnc.toml:5:15: 'a b' is not the name of a server: write what its certificate says, such as server-name = \
           \"vm.example.com\""],
    );
    by_tls(
        "[targets.tls]\nkey = \"vnc.pem\"",
        &["vnc.toml:5:7: 'targets.tls.certificate' is missing: write certificate = \"/etc/ssl/vnc.pem\""],
    );
    by_tls(
        "[targets.tls]\nspki-sha256 = []",
        &["vnc.toml:5:15: 'targets.tls.spki-sha256' is empty, so no target could be reached: write one at least, or \
           leave the key out"],
    );
    by_tls(
        "[targets.tls]\nspki-sha256 = [\"abc\"]",
        &[
            "vnc.toml:5:16: 'abc' is not a SHA-256 of a public key: write the 64 digits that `openssl x509 -in CERTIFICATE -noout \
           -pubkey | openssl pkey -pubin -outform DER | sha256sum` prints, or their base64",
        ],
    );
    by_tls(
        "[targets.tls]\nca = \"system\"\ninsecure = true",
        &["vnc.toml:6:12: 'targets.tls.insecure' excludes 'ca' and 'spki-sha256': remove it, and the certificate is \
           checked by these"],
    );
    expect_in_route(
        "[targets.tls]\nca = \"system\"",
        &["vnc.toml:3:1: '[targets.tls]' has no effect: write target = \"tls:HOST:PORT\", or remove the table"],
    );
}

#[test]
fn a_credential_is_a_name() {
    expect_in_route(
        "[tls]\ncertificate = \"vnc.pem\"\nkey = \"credential:../vnc.key\"",
        &[
            "vnc.toml:5:7: 'credential:../vnc.key' in 'tls.key' does not name a credential: write \"credential:\" and its \
           name, without a slash",
        ],
    );
    expect_in_route("[tls]\ncertificate = \"credential:vnc.pem\"", &[]);
}

#[test]
fn missing_files() {
    expect_in_route(
        "web = \"nowhere\"\n[tls]\ncertificate = \"gone.pem\"\nkey = \"www\"",
        &[
            "vnc.toml:3:7: 'web': cannot read nowhere (put it there, or name another): No such file or directory (os error 2)",
            "vnc.toml:5:15: 'tls.certificate': cannot read gone.pem (put it there, or name another): No such file or directory (os error 2)",
            "vnc.toml:6:7: 'tls.key': www is a directory, not a PEM file",
        ],
    );
    expect_in_route("web = { root = \"vnc.pem\" }", &["vnc.toml:3:16: 'web.root': vnc.pem is not a directory"]);
}

#[test]
fn an_empty_path_is_not_the_directory_of_the_route() {
    expect_in_route(
        "web = \"\"",
        &["vnc.toml:3:7: 'web' is empty: write a directory, such as web = \"/usr/share/novnc\""],
    );
    expect_in_route(
        "[web]\nroot = \"\"\n[tls]\ncertificate = \"\"\nkey = \"\"\n[record]\ndirectory = \"\"",
        &[
            "vnc.toml:4:8: 'web.root' is empty: write a directory, such as root = \"/usr/share/novnc\"",
            "vnc.toml:6:15: 'tls.certificate' is empty: write a file, such as certificate = \"/etc/ssl/vnc.pem\"",
            "vnc.toml:7:7: 'tls.key' is empty: write a file, such as key = \"/etc/ssl/vnc.key\"",
            "vnc.toml:9:13: 'record.directory' is empty: write a directory, such as directory = \"/var/lib/websockify/vnc\"",
        ],
    );
    let tokens = "listen = \"6080\"\n[tokens]\nsource = \"rediss://localhost\"\n";
    expect(
        &format!("{tokens}ca = \"\"\npassword = \"\""),
        &[
            "vnc.toml:4:6: 'tokens.ca' is empty: write a file, such as ca = \"/etc/websockify/ca.pem\"",
            "vnc.toml:5:12: 'tokens.password' is empty: write a file, such as password = \"/etc/websockify/redis.password\"",
        ],
    );
    // Whoever means that directory can say so.
    expect_in_route("web = \".\"", &[]);
}

#[test]
fn pages_of_the_program_are_no_root() {
    expect_in_route(
        "[web]\nroot = \"builtin:telnet\"\nlisting = true",
        &[
            "vnc.toml:4:8: 'builtin:telnet' is no directory for 'web.root': write web = \"builtin:telnet\" in place of the \
             table, or root = \"./builtin:telnet\"",
        ],
    );
}

#[test]
fn not_toml() {
    expect("listen = \"6080\"\ntarget localhost", &["vnc.toml:2:8: not TOML: key with no value, expected `=`"]);
    expect("a = 1\na = 2", &["vnc.toml:2:1: not TOML: duplicate key"]);
}

#[test]
fn not_utf8() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("vnc.toml"), b"listen = \"6080\"\n# caf\xe9\n").unwrap();
    let path = directory.path().display();
    assert_eq!(
        load(directory.path(), &[]),
        format!("{path}/vnc.toml:2:6: not UTF-8 from here on: save the file in UTF-8")
    );
}

#[test]
fn columns_count_characters() {
    expect(
        "listen = \"6080\"\ntarget = \"a:1\"\nweb = { \"räksmörgås\" = 1, root = \"www\", wrong = 2 }",
        &[
            "vnc.toml:3:9: unknown key 'web.räksmörgås': known are root, follow-symlinks, listing",
            "vnc.toml:3:41: unknown key 'web.wrong': known are root, follow-symlinks, listing",
        ],
    );
}

#[test]
fn an_address_is_listened_on_once() {
    expect(
        "listen = [\"6080\", \"127.0.0.1:6080\", \"0\", \"0\", \"6081\"]\ntarget = \"a:1\"",
        &[
            "vnc.toml:1:19: '127.0.0.1:6080' is taken by '6080' at vnc.toml:1:11: remove one of the two, or change its port \
           or path",
        ],
    );
    let route = |listen: &str| format!("target = \"a:1\"\nlisten = \"{listen}\"");
    let two = |first: &str, second: &str| complaints(&[("a.toml", &route(first)), ("b.toml", &route(second))], &[]);
    let taken = |first: &str, second: &str| {
        format!(
            "b.toml:2:10: '{second}' is taken by '{first}' at a.toml:2:10: remove one of the two, or change its port or path"
        )
    };
    assert_eq!(two("[::1]:6080", "[0:0::1]:6080"), taken("[::1]:6080", "[0:0::1]:6080"));
    assert_eq!(two("localhost:1", "LOCALHOST:1"), taken("localhost:1", "LOCALHOST:1"));
    assert_eq!(two("/run/a.sock", "/run/a.sock"), taken("/run/a.sock", "/run/a.sock"));
    assert_eq!(two("10.0.0.1:6080", "6080"), taken("10.0.0.1:6080", "6080"));
    assert_eq!(two("10.0.0.1:6080", "10.0.0.2:6080"), "");
    assert_eq!(two("/run/a.sock", "/run/b.sock"), "");
}

#[test]
fn a_collision_is_told_even_beside_other_mistakes() {
    assert_eq!(
        complaints(&[("a.toml", "listen = \"6080\""), ("b.toml", "listen = \"6080\"\ntarget = \"a:1\"")], &[]),
        "a.toml:1:1: 'target' is missing: write target = \"localhost:5900\"\n\
         b.toml:1:10: '6080' is taken by '6080' at a.toml:1:10: remove one of the two, or change its port or path"
    );
}

#[test]
fn names_choose_routes() {
    let good = "listen = \"0\"\ntarget = \"a:1\"";
    let files =
        [("vnc.toml", good), ("telnet.toml", good), ("bad.toml", ""), (".hidden.toml", "x"), ("notes.txt", "x")];
    assert_eq!(complaints(&files, &["vnc", "telnet", "vnc"]), "");
    let unknown = complaints(&files, &["vnx", "desktop"]);
    let lines: Vec<_> = unknown.lines().map(|line| line.split_once(": ").unwrap().1).collect();
    assert_eq!(
        lines,
        ["no route 'vnx' here: did you mean 'vnc'?", "no route 'desktop' here: there are bad, telnet, vnc"]
    );
    assert_eq!(
        complaints(&[("my vnc.toml", good)], &[]),
        "my vnc.toml: 'my vnc' cannot be a route's name: use letters a to z, digits, '-', '_' and '.' in the file's name"
    );
}

#[test]
fn a_directory_without_routes_is_told_with_the_cure() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display();
    for names in [&[][..], &["vnc"]] {
        assert_eq!(
            load(directory.path(), names),
            format!(
                "{path}: no *.toml file in it: write a route to NAME.toml there, or name another directory with --config \
                 DIR"
            )
        );
    }
    assert_eq!(
        load(&directory.path().join("gone"), &[]),
        format!(
            "{path}/gone: no such directory: create it and write a route to NAME.toml in it, or name another with --config \
             DIR"
        )
    );
    fs::create_dir(directory.path().join("vnc.toml")).unwrap();
    assert_eq!(load(directory.path(), &[]), format!("{path}/vnc.toml: cannot be read: Is a directory (os error 21)"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".*") {
        complaints(&[("vnc.toml", &text)], &[]);
    }

    /// Anything in place of a value is either understood or told on its line.
    #[test]
    fn no_value_makes_it_panic(
        key in prop::sample::select(vec![
            "listen", "target", "web", "listen-mode", "tls.mode", "tls.certificate", "websocket.heartbeat",
            "websocket.text",
            "limits.connections", "limits.request-size", "limits.idle-timeout",
        ]),
        value in "(\"[ -!#-\\[\\]-~ä€]{0,12}\"|-?[0-9]{1,22}|\\[\\]|\\{\\}|true|1\\.5|1979-05-27)",
    ) {
        let said = complaints(&[("vnc.toml", &format!("{key} = {value}"))], &[]);
        for line in said.lines() {
            prop_assert!(line.starts_with("vnc.toml:1:"), "{line}");
        }
    }
}
