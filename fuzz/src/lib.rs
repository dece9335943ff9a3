//! What the fuzzers try, one function a parser: each panics when a promise is broken.
//!
//! `cargo fuzz run NAME` explores; `cargo test` replays what was found, from `corpus/NAME/`, in `tests/fuzz_corpus.rs`.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use websockify::relay::tunnel::{Settings, Tunnel};
use websockify::target::allow::Allowed;
use websockify::target::source::jwt::JwtKey;
use websockify::target::source::resp::Reply;
use websockify::target::source::table::{Table, entries};
use websockify::target::source::{SourceText, answer};
use websockify::target::token::{Place, TOKEN_BYTES_MAX, Token};
use websockify::target::{Target, TargetError};
use websockify::websocket::close::{Close, CloseCode};
use websockify::websocket::decoder::{DataKind, Decoder, Event};
use websockify::websocket::encoder::{self, HEADROOM};
use websockify::websocket::error::ProtocolError;
use websockify::websocket::handshake::Upgrade;
use websockify::websocket::header::{CLIENT_HEADER_BYTES_MAX, ClientHeader};

/// A header says the same however much follows it, and is never longer than it can be.
pub fn client_header(input: &[u8]) {
    let whole = ClientHeader::parse(input);
    if let Ok(Some((header, length))) = whole {
        assert!(length <= CLIENT_HEADER_BYTES_MAX && length <= input.len());
        assert!(i64::try_from(header.length).is_ok());
        assert!(!header.opcode.is_control() || header.fin && header.length <= 125);
        for end in 0..length {
            assert_eq!(ClientHeader::parse(&input[..end]), Ok(None));
        }
        assert_eq!(ClientHeader::parse(&input[..length]), whole);
    }
}

/// A Close that was read is one that can be sent, and is the same bytes again.
pub fn close_payload(input: &[u8]) {
    let payload = &input[..input.len().min(125)];
    if let Ok(close) = Close::parse(payload) {
        let mut frame = Vec::new();
        encoder::close(&mut frame, close.as_ref());
        assert_eq!(&frame[2..], payload);
    }
}

/// A stream says the same whole and cut. The first byte says how it is cut.
pub fn frames(input: &[u8]) {
    let Some((&cut, stream)) = input.split_first() else { return };
    let whole = hear([stream].into_iter());
    assert_eq!(hear(stream.chunks(usize::from(cut % 16) + 1)), whole);
    assert_eq!(hear(stream.chunks(usize::from(cut) + 1)), whole);
}

/// Header lines, of which some may be missing, doubled or wrong: an answer is one head, and adds no line of the client's.
pub fn handshake(input: &[u8]) {
    let headers: HeaderMap = input
        .split(|&byte| byte == b'\n')
        .filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
        })
        .collect();
    match Upgrade::from_request(&headers) {
        Ok(upgrade) => {
            let answer = String::from_utf8(upgrade.answer()).expect("an answer is ASCII");
            assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\n"));
            assert!((5..=6).contains(&answer.matches("\r\n").count()));
        }
        Err(error) => assert!(error.status().is_client_error() && !error.to_string().is_empty()),
    }
}

/// A table has the right lines and complains about the others, each once, and no complaint repeats what stands there.
pub fn token_table(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (table, wrong) = Table::read(&text);
    let mut last = 0;
    for (line, entry) in entries(&text) {
        assert!(line > last);
        last = line;
        match entry {
            Ok((token, target)) => {
                assert!(!token.is_empty() && !table.is_empty());
                assert_eq!(Target::foreign(&target.to_string()).as_ref(), Ok(&target));
            }
            Err(error) => assert!(wrong.iter().any(|wrong| wrong.line == line && wrong.wrong == error)),
        }
    }
    assert!(table.len() + wrong.len() <= text.lines().count());
}

/// A request target and header lines: whatever stands there, a token is bounded text, found in the first place that has one.
pub fn token_request(input: &[u8]) {
    let mut lines = input.split(|&byte| byte == b'\n');
    let Ok(mut request) = Request::builder().uri(lines.next().unwrap_or_default()).body(()) else { return };
    for line in lines {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii())) {
            request.headers_mut().append(name, value);
        }
    }
    let places: Vec<Place> =
        ["query", "cookie:vm", "path", "host"].iter().map(|place| place.parse().expect("a place")).collect();
    let alone: Vec<_> = places.iter().map(|place| Token::of(&request, std::slice::from_ref(place))).collect();
    for token in alone.iter().flatten() {
        let text = token.as_str();
        assert!(!text.is_empty() && text.len() <= TOKEN_BYTES_MAX && !text.contains(char::is_control));
        assert!(text.len() < 16 || !format!("{token:?}").contains(text));
    }
    let missing = |found: &&Result<Token, _>| **found != Err(websockify::target::token::NoToken::Missing);
    let first = alone.iter().find(missing).cloned().unwrap_or(Err(websockify::target::token::NoToken::Missing));
    assert_eq!(Token::of(&request, &places), first);
}

/// What a source says is a target that can be written and read again, or none; and no path of it starts here.
pub fn token_answer(input: &[u8]) {
    for target in [answer::text(input), answer::json(input)].into_iter().flatten() {
        if let Target::Unix(path) = &target {
            assert!(path.is_absolute());
        }
        let read: Result<Target, TargetError> = Target::foreign(&target.to_string());
        assert_eq!(read, Ok(target));
    }
}

/// Any bytes are a key or say why not, and no key takes them for a token.
pub fn token_key(input: &[u8]) {
    if let Ok(key) = JwtKey::read(input) {
        assert!(key.verify(&String::from_utf8_lossy(input)).is_err());
    }
}

/// A reply is the same however much follows it, and takes no more than there is.
pub fn redis_reply(input: &[u8]) {
    if let Ok(Some((reply, taken))) = Reply::parse(input) {
        assert!((1..=input.len()).contains(&taken));
        for end in 0..taken {
            assert_eq!(Reply::parse(&input[..end]), Ok(None));
        }
        assert_eq!(Reply::parse(&input[..taken]), Ok(Some((reply, taken))));
    }
}

/// A source or a range of targets: what is shown of a range is read back, and no error repeats a password.
pub fn token_source(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Err(error) = SourceText::parse(&text) {
        let said = format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string));
        assert!(!text.contains(":hunter2@") || !said.contains("hunter2"));
    }
    if let Ok(allowed) = text.parse::<Allowed>() {
        assert_eq!(allowed.to_string().parse(), Ok(allowed));
    }
}

/// A session of which the input decides every step: a byte for what happens, a byte for how much, and what the client
/// says from what follows.
pub fn tunnel(input: &[u8]) {
    let mut now = Instant::now();
    let settings = Settings {
        heartbeat: Some(Duration::from_secs(20)),
        idle_timeout: Some(Duration::from_mins(1)),
        close_timeout: Duration::from_secs(5),
    };
    let mut tunnel = Tunnel::new(now, settings);
    let (mut to_client, mut to_target) = (Vec::new(), 0);
    let mut rest = input;
    while let [what, amount, more @ ..] = rest {
        if tunnel.end().is_some() {
            break;
        }
        rest = more;
        let amount = usize::from(*amount);
        let waiting = tunnel.to_target().len();
        match what % 16 {
            0..=3 if tunnel.wants_client() => {
                let (read, more) = rest.split_at(amount.min(rest.len()));
                rest = more;
                let mut read = read.to_vec();
                let payload = tunnel.handle_client(now, &mut read);
                let taken = payload.len() * usize::from(*what >> 6) / 3;
                to_target += taken as u64;
                tunnel.keep_for_target(&read[payload.start + taken..payload.end]);
            }
            4..=5 if tunnel.wants_target() => {
                let mut buffer = vec![0xDD; HEADROOM + amount + 1];
                let frame = tunnel.handle_target(now, &mut buffer, HEADROOM..HEADROOM + amount + 1);
                let taken = frame.len() * usize::from(*what >> 6) / 3;
                to_client.extend_from_slice(&buffer[frame.start..frame.start + taken]);
                tunnel.keep_for_client(&buffer[frame.start + taken..frame.end], amount + 1);
            }
            6..=7 => {
                let count = amount.min(tunnel.to_client().len());
                if count > 0 {
                    to_client.extend_from_slice(&tunnel.to_client()[..count]);
                    tunnel.sent_to_client(now, count);
                }
            }
            8 => {
                let count = amount.min(tunnel.to_target().len());
                if count > 0 {
                    to_target += count as u64;
                    tunnel.sent_to_target(now, count);
                }
            }
            9 => {
                now += Duration::from_millis(100 * amount as u64);
                tunnel.tick(now);
            }
            10 if tunnel.wants_client() => tunnel.handle_client_eof(now),
            11 if tunnel.wants_target() => tunnel.handle_target_eof(now),
            12 if tunnel.wants_client() => tunnel.handle_client_lost(now),
            13 if tunnel.wants_target() => tunnel.handle_target_lost(now),
            14 => tunnel.stop(now, CloseCode::GOING_AWAY),
            15 => {
                if tunnel.wants_client_shut() {
                    tunnel.client_shut();
                }
                if tunnel.wants_target_shut() {
                    tunnel.target_shut();
                }
            }
            _ => {}
        }
        assert!(waiting == 0 || tunnel.to_target().len() <= waiting, "a full outbox has grown");
        assert!(tunnel.to_client().is_empty() || !tunnel.wants_target());
        assert!(tunnel.to_client().len() < 4096);
    }
    tunnel.stop(now, CloseCode::GOING_AWAY);
    for _ in 0..4 {
        now += Duration::from_secs(6);
        tunnel.tick(now);
    }
    let end = tunnel.end().expect("every ending is bounded");
    assert_eq!(end.to_target.accepted - end.to_target.lost, to_target);
    assert_eq!(end.to_client.accepted - end.to_client.lost, payload_of(&to_client));
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Payload(DataKind, Vec<u8>),
    MessageEnd(DataKind),
    Control(Event),
    Error(ProtocolError),
}

fn hear<'a>(reads: impl Iterator<Item = &'a [u8]>) -> Vec<Heard> {
    let mut decoder = Decoder::default();
    let mut heard = Vec::new();
    for read in reads {
        let (mut input, mut position) = (read.to_vec(), 0);
        loop {
            match decoder.next(&mut input, &mut position) {
                Ok(None) => break,
                Ok(Some(Event::Data { kind, payload, message_end })) => {
                    match heard.last_mut() {
                        Some(Heard::Payload(last, bytes)) if *last == kind => bytes.extend_from_slice(&input[payload]),
                        _ if payload.is_empty() => {}
                        _ => heard.push(Heard::Payload(kind, input[payload].to_vec())),
                    }
                    if message_end {
                        heard.push(Heard::MessageEnd(kind));
                    }
                }
                Ok(Some(event)) => heard.push(Heard::Control(event)),
                Err(error) => {
                    heard.push(Heard::Error(error));
                    return heard;
                }
            }
        }
    }
    heard
}

/// Bytes of payload in frames of ours, of which the last may be cut off.
fn payload_of(mut bytes: &[u8]) -> u64 {
    let (mut payload, mut closed) = (0, false);
    while let [first, second, rest @ ..] = bytes {
        assert!(!closed, "something follows the Close");
        let (length, rest) = match (second, rest) {
            (126, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            (126, _) => break,
            (short, rest) => (usize::from(*short), rest),
        };
        let here = length.min(rest.len());
        if *first == 0x82 {
            payload += here as u64;
        }
        closed = *first == 0x88;
        bytes = &rest[here..];
    }
    payload
}
