//! Sessions of the drafts 75 and 76: handshake, frames and endings, byte for byte.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::client::{Client, reset};
use crate::support::hixie::{BOTH, CLOSE, Draft, KEY3, KEYS, RESPONSE, frame};
use crate::support::proxy::Proxy;
use crate::support::route::{Secure, refusing, serve};
use crate::support::target::{Target, echo};
use crate::support::{noise, pass};

const EIGHT_MIB: usize = 8 << 20;

fn open(proxy: &Proxy, draft: Draft) -> Client {
    let mut client = Client::connect(proxy.address());
    client.upgrade_hixie(draft, "ws");
    client
}

fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// The head of a request, with all that draft 76 wants but one header.
fn without(missing: &str) -> String {
    let lines = ["Host: h", "Origin: http://o"].into_iter().chain(KEYS.lines());
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with(missing)).collect();
    format!("GET / HTTP/1.1\r\nUpgrade: WebSocket\r\n{}\r\n\r\n", lines.join("\r\n"))
}

fn assert_refused(proxy: &Proxy, request: &str, reason: &str) {
    let mut client = Client::connect(proxy.address());
    client.send(request.as_bytes());
    client.send(KEY3);
    let answer = client.read_answer(true);
    assert_eq!((answer.head.status, answer.body.trim_end()), (400, reason), "{request}");
}

#[test]
fn the_handshake_of_draft_76_is_that_of_its_section_1_2() {
    let proxy = serve(echo(), "");
    let mut client = Client::connect(proxy.address());
    client.send(
        b"GET /demo HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nSec-WebSocket-Protocol: sample\r\nUpgrade: WebSocket\r\n\
          Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nOrigin: http://example.com\r\n\r\n^n:ds[4U",
    );
    let expected = "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Origin: http://example.com\r\nSec-WebSocket-Location: ws://example.com/demo\r\n\r\n\
                    8jKS'y:G*Co,Wxa-";
    assert_eq!(String::from_utf8(client.read_bytes(expected.len())).unwrap(), expected);
}

#[test]
fn the_other_vector_of_draft_76() {
    let proxy = serve(echo(), "");
    let mut client = Client::connect(proxy.address());
    client.send(
        b"GET / HTTP/1.1\r\nHost: h\r\nOrigin: o\r\nUpgrade: WebSocket\r\n\
          Sec-WebSocket-Key1: 18x 6]8vM;54 *(5:  {   U1]8  z [  8\r\n\
          Sec-WebSocket-Key2: 1_ tx7X d  <  nw  334J702) 7]o}` 0\r\n\r\nTm[K T2u",
    );
    assert_eq!(client.read_head().status, 101);
    assert_eq!(client.read_bytes(16), b"fQJ,fN/4F4!~K~MH");
}

#[test]
fn the_handshake_of_draft_75_is_that_of_its_section_1_2() {
    let proxy = serve(echo(), "");
    let mut client = Client::connect(proxy.address());
    client.send(
        b"GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: example.com\r\n\
          Origin: http://example.com\r\nWebSocket-Protocol: base64\r\n\r\n",
    );
    let expected = "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
                    WebSocket-Origin: http://example.com\r\nWebSocket-Location: ws://example.com/demo\r\n\
                    WebSocket-Protocol: base64\r\n\r\n";
    assert_eq!(String::from_utf8(client.read_bytes(expected.len())).unwrap(), expected);
}

#[test]
fn the_location_has_the_path_the_query_and_the_scheme_of_the_connection() {
    let secure = Secure::serve(echo(), "");
    for draft in BOTH {
        let path = "/a%0d%0aX:%20y/b?token=t&x=1";
        let (mut plain, mut encrypted) = (Client::connect(secure.proxy.address()), secure.connect());
        plain.send(&draft.request(path));
        plain.read_hixie_answer(draft, "ws", path);
        encrypted.send(&draft.request(path));
        encrypted.read_hixie_answer(draft, "wss", path);
    }
}

#[test]
fn a_request_that_cannot_be_answered_is_told_why() {
    let proxy = serve(echo(), "");
    for (missing, name) in [
        ("Origin", "Origin"),
        ("Host", "Host"),
        ("Sec-WebSocket-Key1", "Sec-WebSocket-Key1"),
        ("Sec-WebSocket-Key2", "Sec-WebSocket-Key2"),
    ] {
        assert_refused(&proxy, &without(missing), &format!("Missing {name} header"));
    }
    for key in ["12345", "no digits", "1 3 2 5", "99999999999999999999999999 9"] {
        let request =
            without("Sec-WebSocket-Key2").replace("\r\n\r\n", &format!("\r\nSec-WebSocket-Key2: {key}\r\n\r\n"));
        assert_refused(&proxy, &request, "Invalid Sec-WebSocket-Key2 header");
    }
}

#[test]
fn the_third_key_may_come_late_byte_by_byte_and_with_frames_behind_it() {
    let secure = Secure::serve(echo(), "");
    let head = without("nothing");
    let mut late = Client::connect(secure.proxy.address());
    late.send(head.as_bytes());
    // Others are served meanwhile, so the head has been read.
    open(&secure.proxy, Draft::D75);
    for byte in KEY3 {
        late.send(&[*byte]);
    }
    assert_eq!(late.read_head().status, 101);
    assert_eq!(late.read_bytes(16), RESPONSE);
    late.send(&frame(b"hello"));
    assert_eq!(late.read_hixie(5), b"hello");

    let all = [head.as_bytes(), KEY3, &frame(b"early"), &frame(b" bird")].concat();
    let (mut plain, mut encrypted) = (Client::connect(secure.proxy.address()), secure.connect());
    plain.send(&all);
    encrypted.send(&all);
    assert_eq!((plain.read_head().status, encrypted.read_head().status), (101, 101));
    assert_eq!((plain.read_bytes(16).as_slice(), encrypted.read_bytes(16).as_slice()), (&RESPONSE[..], &RESPONSE[..]));
    assert_eq!((plain.read_hixie(10), encrypted.read_hixie(10)), (b"early bird".to_vec(), b"early bird".to_vec()));
}

#[test]
fn a_third_key_that_does_not_come_ends_the_connection_in_time_and_reaches_no_target() {
    let target = Target::listen();
    let proxy = serve(target.address(), "[limits]\nhandshake-timeout = \"300ms\"\nconnect-timeout = \"200ms\"");
    let mut slow = Client::connect(proxy.address());
    slow.send(without("nothing").as_bytes());
    slow.send(&KEY3[..7]);
    assert_eq!(slow.read_rest(), b"");
    // The first that the target hears of is this one.
    let mut client = open(&proxy, Draft::D76);
    target.accept().write_all(b"hi").unwrap();
    assert_eq!(client.read_hixie(2), b"hi");
}

fn echo_eight_mib<S: Read + Write>(client: &mut Client<S>) {
    let bytes = noise(EIGHT_MIB);
    // Frames of all sizes, so that the reads of the proxy end anywhere in them.
    let mut rest = bytes.as_slice();
    for size in (1..).map(|turn| turn * 7919 % 60_000 + 1) {
        let (message, more) = rest.split_at(size.min(rest.len()));
        client.send(&frame(message));
        assert!(client.read_hixie(message.len()) == message, "at {}", bytes.len() - rest.len());
        rest = more;
        if rest.is_empty() {
            return;
        }
    }
}

#[test]
fn eight_mib_come_back_through_draft_75() {
    let secure = Secure::serve(echo(), "");
    echo_eight_mib(&mut open(&secure.proxy, Draft::D75));
    let mut encrypted = secure.connect();
    encrypted.upgrade_hixie(Draft::D75, "wss");
    echo_eight_mib(&mut encrypted);
}

#[test]
fn eight_mib_come_back_through_draft_76() {
    let secure = Secure::serve(echo(), "");
    echo_eight_mib(&mut open(&secure.proxy, Draft::D76));
    let mut encrypted = secure.connect();
    encrypted.upgrade_hixie(Draft::D76, "wss");
    echo_eight_mib(&mut encrypted);
}

/// A session whose first bytes come in two pieces.
fn echo_cut<S: Read + Write>(mut client: Client<S>, draft: Draft, scheme: &str, cut: usize) {
    let bytes = noise(100);
    let all = [draft.request("/"), frame(&bytes[..10]), frame(b""), frame(&bytes[10..])].concat();
    let (one, two) = all.split_at(cut);
    client.send(one);
    client.stream.flush().unwrap();
    client.send(two);
    client.read_hixie_answer(draft, scheme, "/");
    assert_eq!(client.read_hixie(100), bytes, "{draft:?} cut at {cut}");
}

#[test]
fn the_first_200_bytes_may_be_cut_anywhere() {
    let secure = Secure::serve(echo(), "");
    for draft in BOTH {
        for cut in 1..=200 {
            echo_cut(Client::connect(secure.proxy.address()), draft, "ws", cut);
            echo_cut(secure.connect(), draft, "wss", cut);
        }
    }
}

#[test]
fn frames_may_come_byte_by_byte() {
    let proxy = serve(echo(), "");
    for draft in BOTH {
        let mut client = open(&proxy, draft);
        for byte in frame(b"slowly") {
            client.send(&[byte]);
        }
        assert_eq!(client.read_hixie(6), b"slowly");
    }
}

/// As no client of the original's ever did, and as its own decoder broke at.
#[test]
fn base64_may_be_cut_into_frames_anywhere() {
    let proxy = serve(echo(), "");
    for draft in BOTH {
        let mut client = open(&proxy, draft);
        client.send(b"\x00c\xff\x00\xff\x00HV6emxl\xff\x00c\xff\x00w==\xff");
        client.send(&frame(b"!"));
        assert_eq!(client.read_hixie(8), b"puzzles!");
    }
}

#[test]
fn a_closing_frame_is_answered_after_the_target_s_last_bytes() {
    for draft in BOTH {
        let target = Target::listen();
        let proxy = serve(target.address(), "");
        let mut client = open(&proxy, draft);
        let mut server = target.accept();
        client.send(&[frame(b"question").as_slice(), CLOSE, &frame(b"late")].concat());
        let mut question = Vec::new();
        server.read_to_end(&mut question).unwrap();
        assert_eq!(question, b"question");
        server.write_all(b"answer").unwrap();
        drop(server);
        assert_eq!(client.read_hixie(6), b"answer");
        assert_eq!(client.read_rest(), draft.close(), "{draft:?}");
        proxy.log_line("session ended: client closed without a code");
    }
}

#[test]
fn the_end_of_the_target_is_a_closing_frame_or_the_end_of_the_stream() {
    for draft in BOTH {
        let target = Target::listen();
        let proxy = serve(target.address(), "");
        let mut client = open(&proxy, draft);
        let mut server = target.accept();
        server.write_all(b"last words").unwrap();
        server.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(client.read_hixie(10), b"last words");
        assert_eq!(client.read_rest(), draft.close(), "{draft:?}");
        client.send(&[frame(b"still here").as_slice(), CLOSE].concat());
        assert_eq!(read_to_end(server), b"still here");
        proxy.log_line("session ended: target closed");
    }
}

#[test]
fn a_target_that_is_reset_ends_the_session_in_order() {
    for draft in BOTH {
        let target = Target::listen();
        let proxy = serve(target.address(), "");
        let mut client = open(&proxy, draft);
        let mut server = target.accept();
        server.write_all(b"partial").unwrap();
        assert_eq!(client.read_hixie(7), b"partial");
        reset(server);
        assert_eq!(client.read_rest(), draft.close(), "{draft:?}");
        drop(client);
        proxy.log_line("session ended: target connection reset");
    }
}

#[test]
fn what_is_no_frame_or_no_base64_ends_the_session_in_order() {
    for (wrong, reason) in [
        (&b"\x80\x03abc"[..], "Unsupported frame type 0x80: only text frames are taken"),
        (b"\xff\x03abc", "Unsupported frame type 0xff: only text frames are taken"),
        (b"\x01QUJD\xff", "Unsupported frame type 0x01: only text frames are taken"),
        (b"\x00Q*JD\xff", "Invalid base64: byte 0x2a"),
        (b"\x00gr\xc3\xbc\xc3\x9fe\xff", "Invalid base64: byte 0xc3"),
        (b"\x00QQ==QUJD\xff", "Invalid base64: padding not at the end of a message"),
    ] {
        for draft in BOTH {
            let target = Target::listen();
            let proxy = serve(target.address(), "");
            let mut client = open(&proxy, draft);
            client.send(&[frame(b"before").as_slice(), wrong, &frame(b"after")].concat());
            assert!(read_to_end(target.accept()).starts_with(b"before"), "{}", wrong.escape_ascii());
            assert_eq!(client.read_rest(), draft.close(), "{draft:?}");
            drop(client);
            proxy.log_line(&format!("session ended: client broke the protocol: {reason}"));
        }
    }
}

#[test]
fn a_target_that_cannot_be_reached_is_told_by_a_status() {
    let proxy = serve(refusing(), "");
    for draft in BOTH {
        let mut client = Client::connect(proxy.address());
        client.send(&draft.request("/"));
        let answer = client.read_answer(true);
        assert_eq!(answer.head.status, 502);
        assert!(answer.body.starts_with("Failed to connect to downstream server (session "), "{}", answer.body);
    }
}

#[test]
fn stopping_ends_the_session_in_order() {
    let mut proxy = serve(echo(), "");
    let mut clients = BOTH.map(|draft| open(&proxy, draft));
    proxy.signal(Signal::SIGTERM);
    for (client, draft) in clients.iter_mut().zip(BOTH) {
        assert_eq!(client.read_rest(), draft.close(), "{draft:?}");
        client.shut();
    }
    assert_eq!(proxy.exit_code(), 0);
}

#[test]
fn a_heartbeat_asks_these_clients_nothing() {
    let proxy = serve(echo(), "[websocket]\nheartbeat = \"20ms\"");
    let mut clients = BOTH.map(|draft| open(&proxy, draft));
    pass(Duration::from_millis(200));
    for client in &mut clients {
        client.send(&frame(b"alive"));
        assert_eq!(client.read_hixie(5), b"alive", "with nothing before it");
    }
}

#[test]
fn the_log_says_which_version_is_spoken_and_what_travels() {
    let proxy = serve(echo(), "");
    for (draft, name) in BOTH.into_iter().zip(["hixie-75", "hixie-76"]) {
        open(&proxy, draft);
        proxy.log_line(&format!(" websocket_version={name} encoding=base64"));
    }
}
