//! A message echo server on this crate's WebSocket codec: the subject of the conformance cases that a relay, which keeps
//! no message borders, cannot be.
//!
//! `echo ADDR:PORT` prints `listening on ADDR:PORT` to standard error. One blocking thread a connection; messages come
//! back whole, text as text, and are held whole, without a bound: it is not for a network.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use websockify::websocket::close::{Close, CloseCode};
use websockify::websocket::codec::{Payload, Protocol, TextFrames};
use websockify::websocket::decoder::{DataKind, Decoder, Event};
use websockify::websocket::encoder::{self, HEADROOM};
use websockify::websocket::handshake::{HandshakeError, Opening};

/// The old versions and base64 are for the proxy.
const SPOKEN: Protocol = Protocol::HyBi(Payload::Binary(TextFrames::Reply));

const REQUEST_BYTES_MAX: usize = 16 * 1024;

fn main() -> io::Result<()> {
    let Some(address) = std::env::args().nth(1) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "usage: echo ADDR:PORT"));
    };
    let listener = TcpListener::bind(address)?;
    eprintln!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || {
            if let Err(error) = serve(stream) {
                eprintln!("connection ended: {error}");
            }
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (head, mut input) = read_head(&mut stream)?;
    let mut request = Request::new(());
    *request.headers_mut() = parse_headers(&head);
    match Opening::from_request(&request, false) {
        Ok(Opening::Complete(upgrade)) if upgrade.protocol(TextFrames::Reply) == SPOKEN => {
            stream.write_all(upgrade.answer())?;
        }
        other => {
            let error = other.err().unwrap_or(HandshakeError::Subprotocol);
            let body = error.to_string();
            let (status, length) = (error.status(), body.len());
            return write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        }
    }
    let mut echo = Echo::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let ended = echo.feed(&mut input);
        stream.write_all(&echo.out)?;
        echo.out.clear();
        if ended {
            return drain(stream, &mut buffer);
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        input.clear();
        input.extend_from_slice(&buffer[..count]);
    }
}

/// Lets the client close first: closing with unread bytes would reset the connection, and our Close with it.
fn drain(mut stream: TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(2)))?;
    while stream.read(buffer).is_ok_and(|count| count > 0) {}
    Ok(())
}

/// A request's head, and the bytes behind it.
fn read_head(stream: &mut TcpStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while head.len() < REQUEST_BYTES_MAX {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&buffer[..count]);
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = head.split_off(end + 4);
            return Ok((head, rest));
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "request head too large"))
}

/// Lines that are no header are left out.
fn parse_headers(head: &[u8]) -> HeaderMap {
    let lines = head.split(|&byte| byte == b'\n').skip(1);
    lines
        .filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
        })
        .collect()
}

#[derive(Default)]
struct Echo {
    decoder: Decoder,
    /// The message under way, behind room for its header.
    message: Vec<u8>,
    /// How much of it is known to be UTF-8, when it is text.
    checked: usize,
    out: Vec<u8>,
}

impl Echo {
    /// Answers what `input` says. True: the connection ends with the answer.
    fn feed(&mut self, input: &mut [u8]) -> bool {
        let mut position = 0;
        loop {
            let answer = match self.decoder.next(input, &mut position) {
                Ok(None) => return false,
                Ok(Some(Event::Data { kind, payload, message_end })) => {
                    match self.data(kind, &input[payload], message_end) {
                        Ok(()) => continue,
                        Err(close) => Some(close),
                    }
                }
                Ok(Some(Event::Ping(payload))) => {
                    encoder::pong(&mut self.out, payload.as_slice());
                    continue;
                }
                Ok(Some(Event::Pong(_))) => continue,
                Ok(Some(Event::Close(close))) => close,
                Err(error) => Some(error.into()),
            };
            encoder::close(&mut self.out, answer.as_ref());
            return true;
        }
    }

    fn data(&mut self, kind: DataKind, payload: &[u8], message_end: bool) -> Result<(), Close> {
        if self.message.is_empty() {
            self.message.resize(HEADROOM, 0);
            self.checked = HEADROOM;
        }
        self.message.extend_from_slice(payload);
        if kind == DataKind::Text {
            self.check_text(message_end)?;
        }
        if message_end {
            let payload = HEADROOM..self.message.len();
            let frame = match kind {
                DataKind::Binary => encoder::binary_frame(&mut self.message, payload),
                DataKind::Text => encoder::text_frame(&mut self.message, payload),
            };
            self.out.extend_from_slice(&self.message[frame]);
            self.message.clear();
        }
        Ok(())
    }

    /// Fails at the first byte that no more bytes can make right, and at a message that ends inside a character.
    fn check_text(&mut self, message_end: bool) -> Result<(), Close> {
        if let Err(error) = str::from_utf8(&self.message[self.checked..]) {
            self.checked += error.valid_up_to();
            if message_end || error.error_len().is_some() {
                return Err(Close::new(CloseCode::INVALID_PAYLOAD, "Invalid UTF-8 in text"));
            }
        } else {
            self.checked = self.message.len();
        }
        Ok(())
    }
}
