//! What the fuzzers try, one function a parser: each panics when a promise is broken.
//!
//! `cargo fuzz run NAME` explores; `cargo test` replays what was found, from `corpus/NAME/`, in `tests/fuzz_corpus.rs`.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use rebind::address;
use rebind::rule::{Environment, Ports};
use websockify::access::forwarded::{ForwardedHeader, Proxy, TrustedProxies};
use websockify::access::origin::Origin;
use websockify::access::users::Users;
use websockify::program::unit::message::{News, introduced, introduction, take_line};
use websockify::proxy_protocol::read::{HEADER_BYTES_MAX, Progress, parse as proxy_protocol};
use websockify::record::parse::{Line, Parser};
use websockify::relay::end::Cause;
use websockify::relay::tunnel::{Settings, Tunnel};
use websockify::socket::Peer;
use websockify::target::allow::Allowed;
use websockify::target::source::jwt::JwtKey;
use websockify::target::source::resp::Reply;
use websockify::target::source::table::{Table, entries};
use websockify::target::source::{SourceText, answer};
use websockify::target::token::{Place, TOKEN_BYTES_MAX, Token};
use websockify::target::{Target, TargetError};
use websockify::tls::ciphers::Ciphers;
use websockify::websocket::base64;
use websockify::websocket::close::{Close, CloseCode};
use websockify::websocket::codec::{HEADROOM, Outgoing, Payload, Protocol, TextFrames, buffer_bytes};
use websockify::websocket::decoder::{DataKind, Decoder, Event};
use websockify::websocket::encoder;
use websockify::websocket::error::ProtocolError;
use websockify::websocket::handshake::hixie::KEY3_BYTES;
use websockify::websocket::handshake::{Opening, Version};
use websockify::websocket::header::{CLIENT_HEADER_BYTES_MAX, ClientHeader};
use websockify::websocket::hixie;
use websockify::websocket::utf8::{HELD_BYTES_MAX, Mender, REPLACED_FACTOR, Validator};

/// An origin that was read is shown, and read as the same; no other one is equal to it by chance of its spelling.
pub fn origin(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(origin) = text.parse::<Origin>() {
        let shown = origin.to_string();
        assert_eq!(shown.parse().as_ref(), Ok(&origin));
        assert!(!shown.contains(['@', '/'].as_slice()) || shown.matches('/').count() == 2);
    }
}

/// Each line of a file of users makes a user or a complaint, and no more.
pub fn users_file(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (users, wrong) = Users::read(text);
    assert!(wrong.len() <= text.lines().count());
    assert!(wrong.windows(2).all(|lines| lines[0].line < lines[1].line));
    assert_eq!(users.decoy("somebody"), users.decoy("somebody"));
}

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

/// What a list of cipher suites comes to is a list, of which each suite is there once, and none when there is nothing.
pub fn ciphers(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(ciphers) = text.parse::<Ciphers>() else { return };
    let suites = ciphers.suites();
    for (index, suite) in suites.iter().enumerate() {
        assert!(!suites[..index].contains(suite), "{suite:?} twice");
    }
    assert!(ciphers.left_out().iter().all(|word| text.contains(word.as_str())));
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

/// Base64 says the same whole and cut, and what it says is encoded to the same text again. The first byte says how it is
/// cut; a line is a message.
pub fn base64_stream(input: &[u8]) {
    let Some((&cut, stream)) = input.split_first() else { return };
    let whole = decode(stream, usize::MAX);
    assert_eq!(decode(stream, usize::from(cut % 16) + 1), whole);
    assert_eq!(decode(stream, 1), whole);
    let mut buffer = whole.0.clone();
    buffer.resize(base64::encoded_length(whole.0.len()), 0);
    let length = base64::encode(&mut buffer, whole.0.len());
    assert_eq!(decode(&buffer[..length], usize::MAX), (whole.0, None));
}

/// A stream of frames says the same whole and cut. The first byte says how it is cut.
pub fn frames(input: &[u8]) {
    let Some((&cut, stream)) = input.split_first() else { return };
    let hear = |size| hear(stream.chunks(size), &mut Decoder::default(), Decoder::next);
    let whole = hear(usize::MAX);
    assert_eq!(hear(usize::from(cut % 16) + 1), whole);
    assert_eq!(hear(usize::from(cut) + 1), whole);
}

/// A request line's URI, then header lines, of which some may be missing, doubled or wrong: an answer is one head, and
/// adds no line of the client's.
pub fn handshake(input: &[u8]) {
    let mut lines = input.split(|&byte| byte == b'\n').peekable();
    let uri = lines.next_if(|line| line.first() == Some(&b'/')).unwrap_or(b"/");
    let Ok(mut request) = Request::get(uri).body(()) else { return };
    *request.headers_mut() = headers(lines);
    for is_tls in [false, true] {
        match Opening::from_request(&request, is_tls) {
            Ok(Opening::Complete(upgrade)) => assert_is_a_head(upgrade.answer(), upgrade.version()),
            Ok(Opening::Challenged(challenge)) => {
                let upgrade = challenge.complete([b'\n'; KEY3_BYTES]);
                let (head, response) = upgrade.answer().split_at(upgrade.answer().len() - 16);
                assert_is_a_head(head, upgrade.version());
                assert_eq!(response.len(), 16);
            }
            Err(error) => assert!(error.status().is_client_error() && !error.to_string().is_empty()),
        }
    }
}

fn headers<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    lines
        .filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
        })
        .collect()
}

fn assert_is_a_head(head: &[u8], version: Version) {
    assert!(head.starts_with(b"HTTP/1.1 101 ") && head.ends_with(b"\r\n\r\n"), "{}", head.escape_ascii());
    let lines = head.split(|&byte| byte == b'\n').count() - 1;
    let expected = if matches!(version, Version::HyBi(_)) { 5..=6 } else { 6..=7 };
    assert!(expected.contains(&lines), "{}", head.escape_ascii());
}

/// Frames of the old drafts say the same whole and cut. The first byte says how they are cut.
pub fn hixie_frames(input: &[u8]) {
    let Some((&cut, stream)) = input.split_first() else { return };
    let hear =
        |size| hear(stream.chunks(size), &mut hixie::Decoder::default(), |decoder, input, at| decoder.next(input, at));
    let whole = hear(usize::MAX);
    assert_eq!(hear(usize::from(cut % 16) + 1), whole);
    assert_eq!(hear(1), whole);
}

/// A header of the PROXY protocol says the same however much follows it, and whoever reads what is missing reads nothing behind it.
pub fn proxy_header(input: &[u8]) {
    let mut taken = 0;
    let outcome = loop {
        assert!(taken <= HEADER_BYTES_MAX);
        match proxy_protocol(&input[..taken]) {
            Ok(Progress::Missing(count)) if taken + count.get() <= input.len() => taken += count.get(),
            outcome => break outcome,
        }
    };
    match outcome {
        Ok(Progress::Complete(_)) => assert_eq!(proxy_protocol(input), outcome),
        Ok(Progress::Missing(_)) => assert!(matches!(proxy_protocol(input), Ok(Progress::Missing(_)) | Err(_))),
        Err(_) => assert!(proxy_protocol(input).is_err()),
    }
}

/// Whatever a client writes into the headers of proxies, the address that the trusted one appends is the client's, or nobody's.
pub fn forwarded(input: &[u8]) {
    let trusted = TrustedProxies::new(vec![Proxy::Unix]);
    let told = |header, lines: &[&[u8]]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            let Ok(value) = HeaderValue::from_bytes(line) else { return None };
            headers.append(if header == ForwardedHeader::Forwarded { "forwarded" } else { "x-forwarded-for" }, value);
        }
        Some(
            trusted.forwarded(Peer::Unix, header, &headers).map(|told| told.expect("it is trusted").client.to_string()),
        )
    };
    let real = "192.0.2.1".to_owned();
    for (header, own) in [(ForwardedHeader::XForwardedFor, "192.0.2.1"), (ForwardedHeader::Forwarded, "for=192.0.2.1")]
    {
        let _ = told(header, &[input]);
        if let Some(apart) = told(header, &[input, own.as_bytes()]) {
            assert_eq!(apart, Ok(real.clone()));
        }
        let same = told(header, &[&[input, b", ", own.as_bytes()].concat()]);
        assert!(matches!(&same, None | Some(Err(_))) || same == Some(Ok(real.clone())), "{same:?}");
    }
}

/// Text is judged and mended as the standard library does it, whole and cut. The first byte says how it is cut.
pub fn utf8(input: &[u8]) {
    let Some((&cut, text)) = input.split_first() else { return };
    for size in [usize::from(cut % 16) + 1, 1, usize::MAX] {
        let mut validator = Validator::default();
        let wrong = text.chunks(size).enumerate().find_map(|(number, piece)| {
            let at = validator.check(piece).err()?;
            Some(number * size.min(text.len()) + at)
        });
        let verdict = wrong.is_none() && validator.is_between_characters();
        assert_eq!(verdict, str::from_utf8(text).is_ok());
        if let Some(wrong) = wrong {
            // What stands before it could still have become text.
            assert!(str::from_utf8(&text[..wrong]).map_or_else(|error| error.error_len().is_none(), |_| true));
        }

        let (mut mender, mut mended, mut replaced) = (Mender::default(), Vec::new(), 0);
        for piece in text.chunks(size) {
            let mut buffer = vec![0xEE; HELD_BYTES_MAX + REPLACED_FACTOR * (piece.len() + HELD_BYTES_MAX)];
            buffer[HELD_BYTES_MAX..HELD_BYTES_MAX + piece.len()].copy_from_slice(piece);
            let part = mender.mend(&mut buffer, HELD_BYTES_MAX..HELD_BYTES_MAX + piece.len());
            mended.extend_from_slice(&buffer[part.text]);
            replaced += part.replaced;
        }
        let complete = &text[..text.len() - mender.held()];
        assert_eq!(String::from_utf8_lossy(complete).as_bytes(), mended);
        assert_eq!(replaced == 0, str::from_utf8(complete).is_ok());
    }
}

/// What a program's environment says, in three lines, and the bytes of an address that it binds: whatever is moved is loopback
/// of the same family, and tells the port that was asked for.
pub fn rebind_environment(input: &[u8]) {
    let mut parts = input.splitn(4, |&byte| byte == b'\n');
    let mut line = || parts.next().filter(|line| *line != b"-");
    let environment = Environment { list: line(), old: line(), new: line() };
    let Ok(ports) = Ports::parse(environment) else { return };
    let Some([flags, bytes @ ..]) = parts.next() else { return };
    let Some(asked) = address::parse(bytes) else { return };
    assert!(address::parse(&bytes[..15]).is_none());
    let Some(moved) = ports.elsewhere(asked, || flags & 1 == 1) else { return };
    assert!(moved.ip().to_canonical().is_loopback() && moved.is_ipv4() == asked.is_ipv4());
    assert!(asked.port() != 0 && moved.port() != 0 && !ports.is_empty());
    assert_eq!(ports.asked(moved), Some(asked.port()));
}

/// A recording's file, read line by line: whatever it holds, an entry is one only within the array, its payload is no longer
/// than its line, and nothing comes behind the end.
pub fn recording(input: &[u8]) {
    let mut parser = Parser::default();
    for line in input.split_inclusive(|&byte| byte == b'\n') {
        let (began, ended) = (parser.has_begun(), parser.has_ended());
        let mut again = parser.clone();
        let read = parser.line(line);
        assert_eq!(read, again.line(line));
        match read {
            Ok(Line::Entry(entry)) => assert!(began && !ended && entry.payload.len() < line.len()),
            Ok(Line::End) => assert!(began && !ended && parser.has_ended()),
            Ok(Line::Nothing) => {}
            Err(mistake) => assert!(!mistake.to_string().is_empty() && parser.has_ended() == ended),
        }
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

/// What a session's unit and its daemon say to each other, line by line: what is understood is said again as it was meant.
pub fn session_line(input: &[u8]) {
    let mut read = input.to_vec();
    while let Ok(Some(line)) = take_line(&mut read) {
        if let Ok(guest) = introduced(&line) {
            let again = introduction(&guest);
            assert_eq!(introduced(again.trim_end()).map(|guest| introduction(&guest)), Ok(again));
        }
        if let Ok(news) = line.parse::<News>() {
            assert_eq!(news.to_string().trim_end().parse(), Ok(news));
        }
    }
}

/// A session of which the input decides every step: a byte for what happens, a byte for how much, and what the client
/// says from what follows; and first a byte for what it speaks.
pub fn tunnel(input: &[u8]) {
    let Some((&first, input)) = input.split_first() else { return };
    let mut now = Instant::now();
    let protocol = match first % 6 {
        0 => Protocol::HyBi(Payload::Binary(TextFrames::Refuse)),
        1 => Protocol::HyBi(Payload::Binary(TextFrames::Accept)),
        2 => Protocol::HyBi(Payload::Binary(TextFrames::Reply)),
        3 => Protocol::HyBi(Payload::Base64),
        4 => Protocol::Hixie75,
        _ => Protocol::Hixie76,
    };
    let settings = Settings {
        protocol,
        heartbeat: Some(Duration::from_secs(20)),
        idle_timeout: Some(Duration::from_mins(1)),
        close_timeout: Duration::from_secs(5),
    };
    let mut tunnel = Tunnel::new(now, settings);
    let (mut to_client, mut to_target, mut replaced) = (Vec::new(), 0, 0);
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
                // Text, and what is none, depending on how much it is.
                let byte = u8::try_from(amount).expect("it was one");
                let mut buffer = vec![byte; buffer_bytes(amount + 1)];
                let place = HEADROOM..HEADROOM + amount + 1;
                let Outgoing { frame, payload, replaced: lost } = tunnel.handle_target(now, &mut buffer, place);
                replaced += lost as u64;
                let taken = frame.len() * usize::from(*what >> 6) / 3;
                to_client.extend_from_slice(&buffer[frame.start..frame.start + taken]);
                tunnel.keep_for_client(&buffer[frame.start + taken..frame.end], payload);
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
            14 => tunnel.stop(now, Cause::Stopped(CloseCode::GOING_AWAY)),
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
    tunnel.stop(now, Cause::Stopped(CloseCode::GOING_AWAY));
    for _ in 0..4 {
        now += Duration::from_secs(6);
        tunnel.tick(now);
    }
    let end = tunnel.end().expect("every ending is bounded");
    assert_eq!(end.to_target.accepted - end.to_target.lost, to_target);
    assert!(end.to_client.lost <= end.to_client.accepted);
    if replaced == 0 {
        assert_eq!(end.to_client.accepted - end.to_client.lost, payload_of(protocol, &to_client));
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Payload(DataKind, Vec<u8>),
    MessageEnd(DataKind),
    Control(Event),
    Error(ProtocolError),
}

/// Decodes lines, each a message, in pieces of this size: the bytes, and the error that ended them.
fn decode(stream: &[u8], size: usize) -> (Vec<u8>, Option<ProtocolError>) {
    let (mut decoder, mut bytes) = (base64::Decoder::default(), Vec::new());
    for message in stream.split(|&byte| byte == b'\n') {
        for piece in message.chunks(size) {
            let (mut buffer, mut to) = (piece.to_vec(), 0);
            let outcome = decoder.decode(&mut buffer, 0..piece.len(), &mut to);
            bytes.extend_from_slice(&buffer[..to]);
            if let Err(error) = outcome {
                return (bytes, Some(error));
            }
        }
        decoder.end_message();
    }
    (bytes, None)
}

fn hear<'a, D>(
    reads: impl Iterator<Item = &'a [u8]>,
    decoder: &mut D,
    next: impl Fn(&mut D, &mut [u8], &mut usize) -> Result<Option<Event>, ProtocolError>,
) -> Vec<Heard> {
    let mut heard = Vec::new();
    for read in reads {
        let (mut input, mut position) = (read.to_vec(), 0);
        loop {
            match next(decoder, &mut input, &mut position) {
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

/// How many of the target's bytes are in frames of ours, of which the last may be cut off.
fn payload_of(protocol: Protocol, mut bytes: &[u8]) -> u64 {
    let (mut payload, mut closed) = (0, false);
    while let [first, rest @ ..] = bytes {
        assert!(!closed, "something follows the Close");
        let Some((length, rest)) = length_of(protocol, *first, rest) else { break };
        let here = length.min(rest.len());
        payload += match (protocol, *first) {
            (Protocol::HyBi(Payload::Base64), 0x81) | (Protocol::Hixie75 | Protocol::Hixie76, 0) => {
                let text = &rest[..here / 4 * 4];
                (text.len() / 4 * 3 - (text.split(|&character| character == b'=').count() - 1)) as u64
            }
            (Protocol::HyBi(_), 0x81 | 0x82) => here as u64,
            _ => 0,
        };
        closed = *first == if matches!(protocol, Protocol::HyBi(_)) { 0x88 } else { 0xFF };
        let end = usize::from(*first == 0 && here < rest.len()); // the FF
        bytes = &rest[here + end..];
    }
    payload
}

/// How long the frame is that begins with this byte, and what follows its header.
fn length_of(protocol: Protocol, first: u8, rest: &[u8]) -> Option<(usize, &[u8])> {
    match (protocol, first, rest) {
        (Protocol::HyBi(_), _, [126, high, low, rest @ ..]) => {
            Some((usize::from(u16::from_be_bytes([*high, *low])), rest))
        }
        (Protocol::HyBi(_), _, [126, ..] | []) => None,
        (Protocol::HyBi(_), _, [short, rest @ ..]) => Some((usize::from(*short), rest)),
        (_, 0, _) => Some((rest.iter().position(|&byte| byte == 0xFF).unwrap_or(rest.len()), rest)),
        (_, 0xFF, _) => Some((1, rest)),
        (_, other, _) => panic!("the first byte of a frame: {other:#04x}"),
    }
}
