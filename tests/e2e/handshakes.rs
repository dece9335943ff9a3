//! What a client may ask for, and how, to become a session.

use std::io::Read as _;

use crate::support::client::{Client, upgrade_request};
use crate::support::proxy::Proxy;
use crate::support::route::{Secure, serve};
use crate::support::target::{Target, echo};

fn start() -> Proxy {
    serve(echo(), "")
}

/// Sends a request as it stands; the status of the answer, and the head in lower case.
fn ask(proxy: &Proxy, request: &str) -> (u16, String) {
    let mut client = Client::connect(proxy.address());
    client.send(request.as_bytes());
    let head = client.read_head();
    (head.status, head.text.to_lowercase())
}

#[test]
fn of_the_subprotocols_that_are_offered_binary_is_chosen_before_base64() {
    let proxy = start();
    let offers: [(&[&str], u16, Option<&str>); 10] = [
        (&[], 101, None),
        (&[""], 101, None),
        (&["binary"], 101, Some("binary")),
        (&["binary, base64"], 101, Some("binary")),
        (&["base64,binary"], 101, Some("binary")),
        (&["base64", "binary"], 101, Some("binary")),
        (&["base64"], 101, Some("base64")),
        (&["v12.stomp, base64"], 101, Some("base64")),
        (&["Binary"], 400, None),
        (&["binary2, v12.stomp"], 400, None),
    ];
    for (lines, status, chosen) in offers {
        let headers: Vec<_> = lines.iter().map(|line| ("Sec-WebSocket-Protocol", *line)).collect();
        let (got, head) = ask(&proxy, &upgrade_request("/", &headers));
        assert_eq!(got, status, "{lines:?}");
        let named = head.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(named, chosen, "{lines:?}: {head}");
    }
}

#[test]
fn versions_7_8_and_13_are_spoken_and_others_are_told_so() {
    let proxy = start();
    let request = |version: &str| {
        let wanted = format!("Sec-WebSocket-Version: {version}\r\n");
        upgrade_request("/", &[]).replace("Sec-WebSocket-Version: 13\r\n", &wanted)
    };
    for version in ["7", "8", "13"] {
        let (status, head) = ask(&proxy, &request(version));
        assert_eq!(status, 101, "{version}");
        assert!(head.contains("\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
    }
    for version in ["0", "6", "14", "13, 8"] {
        let (status, head) = ask(&proxy, &request(version));
        assert_eq!(status, 426, "{version}");
        assert!(head.contains("\r\nsec-websocket-version: 13, 8, 7\r\n"), "{head}");
    }
    assert_eq!(ask(&proxy, &upgrade_request("/", &[]).replace("Sec-WebSocket-Version: 13\r\n", "")).0, 400);
}

#[test]
fn a_key_that_is_missing_or_wrong_is_a_bad_request() {
    let proxy = start();
    let good = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for key in [
        "",
        "Sec-WebSocket-Key: \r\n",
        "Sec-WebSocket-Key: short\r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSEh\r\n",
        "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==\r\n",
    ] {
        let request = upgrade_request("/", &[]).replace(good, key);
        let mut client = Client::connect(proxy.address());
        client.send(request.as_bytes());
        let mut answer = String::new();
        client.stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{key}: {answer}");
        assert!(answer.contains(" Sec-WebSocket-Key header\n"), "{key}: {answer}");
    }
}

#[test]
fn any_path_and_query_lead_to_the_target() {
    let proxy = start();
    let long = format!("/{}?token={}", "p".repeat(4000), "q".repeat(4000));
    for path in ["/", "/websockify", "/a/b/../c", "/?token=abc&x=%20", "/%7Euser/%C3%A4", long.as_str()] {
        let mut client = Client::connect(proxy.address());
        assert_eq!(client.request(path, &[]).status, 101, "{path}");
        client.assert_echoes();
    }
}

#[test]
fn other_forms_of_the_request_will_do() {
    let proxy = start();
    let request = upgrade_request("/ws", &[]);
    for request in [
        request.replace("GET /ws ", "GET http://test:6080/ws "),
        request.replace("HTTP/1.1", "HTTP/1.0"),
        request.replace("Connection: Upgrade\r\n", "Connection: keep-alive, Upgrade\r\n"),
        request.replace("Connection: Upgrade\r\n", ""), // a reverse proxy ate it
        request.replace("Upgrade: websocket", "UPGRADE: WebSocket"),
        request.replace("Host: test", "Host:    test   "),
    ] {
        let mut client = Client::connect(proxy.address());
        client.send(request.as_bytes());
        assert_eq!(client.read_head().status, 101, "{request}");
        client.assert_echoes();
    }
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let proxy = start();
    let mut client = Client::connect(proxy.address());
    for byte in upgrade_request("/", &[]).bytes() {
        client.send(&[byte]);
    }
    assert_eq!(client.read_head().status, 101);
    client.assert_echoes();
}

/// What is read together with the request must not stay in the parser of requests.
#[test]
fn frames_in_the_segment_of_the_request_are_kept() {
    let target = Target::listen();
    let secure = Secure::serve(target.address(), "");
    let bytes = crate::support::noise(5000);
    let frames = [upgrade_request("/", &[]).into_bytes(), crate::support::client::frame(0x82, &bytes)].concat();
    let mut plain = Client::connect(secure.proxy.address());
    let mut encrypted = secure.connect();
    for attempt in 0..2 {
        if attempt == 0 {
            plain.send(&frames)
        } else {
            encrypted.send(&frames)
        }
        let mut got = vec![0; 5000];
        target.accept().read_exact(&mut got).unwrap();
        assert_eq!(got, bytes);
    }
    assert_eq!((plain.read_head().status, encrypted.read_head().status), (101, 101));
}

#[test]
fn a_close_in_the_segment_of_the_request_ends_the_session_in_order() {
    let target = Target::listen();
    let proxy = serve(target.address(), "");
    let mut client = Client::connect(proxy.address());
    let close = crate::support::client::frame(0x88, &[0x03, 0xE8]);
    client.send(&[upgrade_request("/", &[]).into_bytes(), close].concat());
    assert_eq!(target.accept().read(&mut [0]).unwrap(), 0);
    assert_eq!(client.read_head().status, 101);
    assert_eq!(client.read_close(), (1000, String::new()));
    client.read_end();
}

#[test]
fn only_get_becomes_a_session_and_nothing_else_is_here() {
    let proxy = start();
    let upgrade = upgrade_request("/", &[]);
    for method in ["POST", "PUT", "HEAD", "OPTIONS", "BREW"] {
        assert_eq!(ask(&proxy, &upgrade.replace("GET ", &format!("{method} "))).0, 405, "{method}");
    }
    assert_eq!(ask(&proxy, "GET / HTTP/1.1\r\nHost: test\r\n\r\n").0, 405);
    assert_eq!(ask(&proxy, &upgrade.replace("Upgrade: websocket", "Upgrade: h2c")).0, 405);
    assert_eq!(ask(&proxy, &upgrade_request("/", &[("Content-Length", "5")])).0, 400);
}
