//! How a session ends: whoever ends it, the other side gets what was sent, and is told.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use crate::support::client::{BINARY, CLOSE, Client, FIN, frame, reset};
use crate::support::proxy::Proxy;
use crate::support::route::{Secure, serve};
use crate::support::target::Target;
use crate::support::tls::TlsStream;

fn start() -> (Target, Proxy) {
    let target = Target::listen();
    let proxy = serve(target.address(), "");
    (target, proxy)
}

fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// The value of a field of a line of the log.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}="))?;
    rest.split(' ').next()
}

/// The end of an encrypted client's sending: `close_notify`, and the FIN.
fn shut_encrypted(client: &mut Client<TlsStream>) {
    client.stream.conn.send_close_notify();
    client.stream.conn.write_tls(&mut client.stream.sock).unwrap();
    client.stream.sock.shutdown(Shutdown::Write).unwrap();
}

#[test]
fn the_client_may_go_on_sending_when_the_target_sends_no_more() {
    let target = Target::listen();
    let secure = Secure::serve(target.address(), "");
    let mut plain = Client::open(secure.proxy.address());
    let mut server = target.accept();
    server.write_all(b"last words").unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(plain.read_to_close(), (b"last words".to_vec(), Some((1000, "Target closed".to_owned()))));
    plain.send_binary(b"still here");
    plain.send_close(1000, "");
    assert_eq!(read_to_end(server), b"still here");
    plain.read_end();
    let line = secure.proxy.log_line("session ended: target closed");
    assert_eq!((field(&line, "bytes_in"), field(&line, "bytes_out")), (Some("10"), Some("10")), "{line}");
    assert_eq!(field(&line, "closed_by"), Some("target"), "{line}");

    let mut encrypted = secure.open();
    let mut server = target.accept();
    server.write_all(b"last words").unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(encrypted.read_to_close(), (b"last words".to_vec(), Some((1000, "Target closed".to_owned()))));
    encrypted.send_binary(b"still here");
    encrypted.send_close(1000, "");
    assert_eq!(read_to_end(server), b"still here");
    encrypted.read_end();
}

#[test]
fn the_target_may_answer_a_client_that_has_shut_its_write_side() {
    let target = Target::listen();
    let secure = Secure::serve(target.address(), "");
    let mut plain = Client::open(secure.proxy.address());
    let mut server = target.accept();
    plain.send_binary(b"question");
    plain.shut();
    let mut question = Vec::new();
    server.read_to_end(&mut question).unwrap();
    assert_eq!(question, b"question");
    server.write_all(b"answer").unwrap();
    drop(server);
    assert_eq!(plain.read_to_close().0, b"answer");
    plain.read_end();
    let line = secure.proxy.log_line("session ended: client left without a Close frame");
    assert_eq!(field(&line, "closed_by"), Some("client"), "{line}");

    let mut encrypted = secure.open();
    let mut server = target.accept();
    encrypted.send_binary(b"question");
    shut_encrypted(&mut encrypted);
    question.clear();
    server.read_to_end(&mut question).unwrap();
    assert_eq!(question, b"question");
    server.write_all(b"answer").unwrap();
    drop(server);
    assert_eq!(encrypted.read_to_close().0, b"answer");
    encrypted.read_end();
}

#[test]
fn a_close_is_answered_with_itself_after_the_targets_last_bytes() {
    let (target, proxy) = start();
    let mut client = Client::open(proxy.address());
    let mut server = target.accept();
    client.send_binary(b"question");
    client.send_close(4321, "done");
    let mut question = Vec::new();
    server.read_to_end(&mut question).unwrap();
    assert_eq!(question, b"question");
    server.write_all(b"answer").unwrap();
    drop(server);
    assert_eq!(client.read_to_close(), (b"answer".to_vec(), Some((4321, "done".to_owned()))));
    client.read_end();
    let line = proxy.log_line("session ended: client closed with code 4321: done");
    assert_eq!(field(&line, "closed_by"), Some("client"), "{line}");
    assert_eq!((field(&line, "bytes_in"), field(&line, "bytes_out")), (Some("8"), Some("6")), "{line}");
    assert_eq!(field(&line, "target"), Some(target.address().to_string().as_str()), "{line}");
    let port = client.stream.local_addr().unwrap();
    assert_eq!(field(&line, "client"), Some(port.to_string().as_str()), "{line}");
}

#[test]
fn a_close_without_a_code_is_answered_without_one() {
    let (target, proxy) = start();
    let mut client = Client::open(proxy.address());
    client.send(&frame(FIN | CLOSE, b""));
    assert_eq!(read_to_end(target.accept()), b"");
    assert_eq!(client.read_to_close(), (Vec::new(), None));
    client.read_end();
    proxy.log_line("session ended: client closed without a code");
}

#[test]
fn what_follows_a_close_reaches_nobody() {
    let (target, proxy) = start();
    let mut client = Client::open(proxy.address());
    let late = [frame(FIN | CLOSE, &[3, 0xE8]), frame(FIN | BINARY, b"late")].concat();
    client.send(&late);
    assert_eq!(read_to_end(target.accept()), b"");
    assert_eq!(client.read_close(), (1000, String::new()));
}

/// Neither a target nor a client that keeps its connection open can keep the session.
#[test]
fn an_end_that_one_side_ignores_is_bounded_in_time() {
    let target = Target::listen();
    let proxy = serve(target.address(), "[limits]\nclose-timeout = \"500ms\"");
    let mut client = Client::open(proxy.address());
    let mut stubborn = target.accept();
    client.send_close(1000, "bye");
    assert_eq!(stubborn.read(&mut [0]).unwrap(), 0);
    assert_eq!(client.read_close(), (1000, "bye".to_owned()));
    client.read_end();
    proxy.nth_log_line("session ended: ", 0);

    let mut stubborn = Client::open(proxy.address());
    drop(target.accept());
    assert_eq!(stubborn.read_close(), (1000, "Target closed".to_owned()));
    stubborn.read_end();
    proxy.nth_log_line("session ended: ", 1);
}

#[test]
fn a_target_that_is_reset_is_told_to_the_client() {
    let (target, proxy) = start();
    let mut client = Client::open(proxy.address());
    let mut server = target.accept();
    server.write_all(b"partial").unwrap();
    assert_eq!(client.read_binary(7), b"partial");
    reset(server);
    assert_eq!(client.read_close(), (1011, "Target connection lost".to_owned()));
    client.send_close(1011, "");
    client.read_end();
    let line = proxy.log_line("session ended: target connection reset");
    assert_eq!(field(&line, "closed_by"), Some("target"), "{line}");
}

#[test]
fn what_a_client_sent_before_its_reset_arrives() {
    let (target, proxy) = start();
    let mut client = Client::open(proxy.address());
    let server = target.accept();
    client.send_binary(b"sent in time");
    client.reset();
    assert_eq!(read_to_end(server), b"sent in time");
    let line = proxy.log_line("session ended: client connection reset");
    assert_eq!(field(&line, "closed_by"), Some("client"), "{line}");
    assert_eq!(field(&line, "bytes_in"), Some("12"), "{line}");
}

#[test]
fn bytes_that_could_not_be_delivered_are_counted() {
    let (target, proxy) = start();
    let mut reader = Client::open(proxy.address());
    let mut writer = target.accept();
    let flood = std::thread::spawn(move || while writer.write_all(&[7; 65536]).is_ok() {});
    // A frame that has come whole, and many more that are on their way: then it goes, with its buffer full.
    reader.read_frame();
    let mut last = 0;
    crate::support::eventually("the client's buffer is full", || {
        let now = unread(&reader.stream);
        crate::support::pass(std::time::Duration::from_millis(200));
        (now > 0 && now == std::mem::replace(&mut last, now)).then_some(())
    });
    reader.reset();
    flood.join().unwrap();
    let line = proxy.log_line("session ended: client connection reset");
    let lost: u64 = field(&line, "bytes_out_lost").unwrap_or_else(|| panic!("{line}")).parse().unwrap();
    let accepted: u64 = field(&line, "bytes_out").unwrap().parse().unwrap();
    assert!(lost > 0 && lost < accepted, "{line}");
    assert_eq!(field(&line, "bytes_in_lost"), None, "{line}");
}

/// Bytes that wait in a socket to be read.
fn unread(stream: &TcpStream) -> usize {
    let mut buffer = vec![0; 8 << 20];
    stream.peek(&mut buffer).unwrap()
}
