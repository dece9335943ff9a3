//! Text frames: refused, accepted as bytes, or answered by text, as the route says.

use std::io::{Read as _, Write as _};

use crate::support::client::{BINARY, CONTINUATION, Client, FIN, TEXT, frame, frame_header};
use crate::support::proxy::Proxy;
use crate::support::route::serve;
use crate::support::target::{Target, echo};

fn start(mode: &str) -> (Target, Proxy) {
    let target = Target::listen();
    let proxy = serve(target.address(), &format!("[websocket]\ntext = \"{mode}\""));
    (target, proxy)
}

/// Reads text messages, each of whole characters, until so many bytes have come.
fn read_text(client: &mut Client, length: usize) -> String {
    let mut text = String::new();
    while text.len() < length {
        let frame = client.read_frame();
        assert_eq!(frame.first, FIN | TEXT);
        text += str::from_utf8(&frame.payload).expect("whole characters");
    }
    text
}

#[test]
fn text_is_refused_unless_the_route_says_otherwise() {
    let (_refusing, told) = start("refuse");
    for proxy in [serve(echo(), ""), told, Proxy::classic(&["127.0.0.1:0", &echo().to_string()])] {
        let mut client = Client::open(proxy.address());
        client.send(&frame(FIN | TEXT, b"hello"));
        assert_eq!(client.read_close(), (1003, "Unsupported: Text frames are not supported".to_owned()));
    }
}

#[test]
fn accepted_text_reaches_the_target_as_its_bytes_and_is_answered_in_binary() {
    let proxy = serve(echo(), "[websocket]\ntext = \"accept\"");
    let mut client = Client::open(proxy.address());
    client.send(&frame(FIN | TEXT, "Grüße, ".as_bytes()));
    client.send(&frame(FIN | BINARY, b"\xff!"));
    assert_eq!(client.read_binary(11), [b"Gr\xc3\xbc\xc3\x9fe, ".as_slice(), b"\xff!"].concat());
    proxy.log_line(" websocket_version=13 encoding=binary");
}

#[test]
fn a_character_may_be_cut_into_fragments_and_reads_anywhere() {
    let proxy = serve(echo(), "[websocket]\ntext = \"reply\"");
    let text = "a\u{e9}\u{20ac}\u{1f600}z";
    for cut in 0..=text.len() {
        let (one, two) = text.as_bytes().split_at(cut);
        let mut client = Client::open(proxy.address());
        client.send(&frame(TEXT, one));
        client.send(&frame(FIN | CONTINUATION, two));
        assert_eq!(read_text(&mut client, text.len()), text, "fragments");
        let message = frame(FIN | TEXT, text.as_bytes());
        client.send(&message[..6 + cut]);
        client.send(&message[6 + cut..]);
        assert_eq!(read_text(&mut client, text.len()), text, "reads");
    }
    proxy.log_line(" websocket_version=13 encoding=text");
}

#[test]
fn text_that_is_none_ends_the_session_at_its_first_wrong_byte() {
    for (mode, wrong) in [("accept", &b"caf\xe9 "[..]), ("reply", b"caf\xff"), ("reply", b"caf\xed\xa0")] {
        let (target, proxy) = start(mode);
        let mut client = Client::open(proxy.address());
        // The frame is much longer, and its rest never comes.
        client.send(&frame_header(FIN | TEXT, 1000, [0; 4]));
        client.send(wrong);
        assert_eq!(client.read_close(), (1007, "Invalid UTF-8 in text".to_owned()));
        let mut got = Vec::new();
        target.accept().read_to_end(&mut got).unwrap();
        assert_eq!(got, &wrong[..wrong.len() - 1], "what could still have been text");
        proxy.log_line("close_code=1007");
    }
}

#[test]
fn a_message_that_ends_inside_a_character_ends_the_session() {
    let (_target, proxy) = start("accept");
    let mut client = Client::open(proxy.address());
    client.send(&frame(FIN | TEXT, b"\xe2\x82"));
    assert_eq!(client.read_close(), (1007, "Invalid UTF-8 in text".to_owned()));
}

#[test]
fn replies_are_cut_between_characters_wherever_the_target_s_bytes_are_cut() {
    let (target, proxy) = start("reply");
    let mut client = Client::open(proxy.address());
    let mut server = target.accept();
    let text = "x\u{e9}\u{20ac}\u{1f600}".repeat(50_000);
    for cut in 1..12 {
        let (one, two) = text.as_bytes().split_at(cut);
        server.write_all(one).unwrap();
        // Once the characters that are whole have come, the rest is read apart.
        let whole = text.floor_char_boundary(cut);
        assert_eq!(read_text(&mut client, whole), text[..whole]);
        std::thread::scope(|scope| {
            scope.spawn(|| server.write_all(two).unwrap());
            assert!(read_text(&mut client, text.len() - whole) == text[whole..], "cut at {cut}");
        });
    }
}

#[test]
fn what_the_target_says_that_is_no_text_is_replaced_and_counted() {
    let (target, proxy) = start("reply");
    let mut client = Client::open(proxy.address());
    let mut server = target.accept();
    server.write_all(b"caf\xe9 au lait\xff\xfe, \xe2\x82").unwrap();
    drop(server);
    assert_eq!(read_text(&mut client, 22), "caf\u{fffd} au lait\u{fffd}\u{fffd}, ");
    assert_eq!(client.read_close(), (1000, "Target closed".to_owned()));
    client.send_close(1000, "");
    let line = proxy.log_line("session ended: target closed");
    assert!(line.contains(" bytes_out=18 ") && line.contains(" bytes_out_lost=5 "), "{line}");
}
