//! Frames of every protocol, made and read without the code under test.

use proptest::prelude::*;
use websockify::websocket::codec::{Payload, Protocol, TextFrames};

use super::base64::{Eager, decode, encode};

/// What most sessions speak.
pub(crate) const BINARY: Protocol = Protocol::HyBi(Payload::Binary(TextFrames::Refuse));

/// Every one.
pub(crate) fn protocol() -> impl Strategy<Value = Protocol> {
    prop::sample::select(vec![
        BINARY,
        Protocol::HyBi(Payload::Binary(TextFrames::Accept)),
        Protocol::HyBi(Payload::Binary(TextFrames::Reply)),
        Protocol::HyBi(Payload::Base64),
        Protocol::Hixie75,
        Protocol::Hixie76,
    ])
}

/// What a client sees of a Close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    Nothing,
    WithoutCode,
    Code(u16),
}

impl Closed {
    fn new(code: Option<u16>) -> Self {
        code.map_or(Self::WithoutCode, Self::Code)
    }
}

/// What a client sees of a Close with this code, in a protocol.
pub(crate) fn closes_with(protocol: Protocol, code: Option<u16>) -> Closed {
    match protocol {
        Protocol::HyBi(_) => Closed::new(code),
        Protocol::Hixie76 => Closed::WithoutCode,
        Protocol::Hixie75 => Closed::Nothing,
    }
}

/// A frame from a client, right or wrong.
pub(crate) fn client_frame(first: u8, key: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            frame.push(0xFE);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0xFF);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(key);
    frame.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
    frame
}

/// A Close frame from a client.
pub(crate) fn client_close(code: u16, reason: &str) -> Vec<u8> {
    client_frame(0x88, [7, 1, 9, 4], &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// All that a client got from us.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) payload: Vec<u8>,
    pub(crate) pings: usize,
    pub(crate) pongs: Vec<Vec<u8>>,
    pub(crate) close: Option<ReceivedClose>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReceivedClose {
    pub(crate) code: Option<u16>,
    pub(crate) reason: String,
}

impl Received {
    pub(crate) fn close_code(&self) -> Option<u16> {
        self.close.as_ref().and_then(|close| close.code)
    }

    pub(crate) fn closed(&self) -> Closed {
        self.close.as_ref().map_or(Closed::Nothing, |close| Closed::new(close.code))
    }
}

/// Reads what a client got. Panics at whatever a server may not send, at a message that cannot be decoded by itself, and at
/// anything behind a Close; the last frame may be cut off.
pub(crate) fn received(protocol: Protocol, bytes: &[u8]) -> Received {
    match protocol {
        Protocol::HyBi(payload) => received_hybi(payload, bytes),
        Protocol::Hixie75 | Protocol::Hixie76 => received_hixie(protocol, bytes),
    }
}

fn received_hixie(protocol: Protocol, mut bytes: &[u8]) -> Received {
    let mut received = Received::default();
    while let Some((first, rest)) = bytes.split_first() {
        assert!(received.close.is_none(), "something follows the Close");
        if *first == 0xFF {
            assert_eq!(protocol, Protocol::Hixie76, "a Close where there is none");
            let Some((0, rest)) = rest.split_first() else { break };
            received.close = Some(ReceivedClose { code: None, reason: String::new() });
            bytes = rest;
            continue;
        }
        assert_eq!(*first, 0, "the first byte of a frame");
        let (text, rest) = first_text(rest);
        received.payload.extend(decode(text, rest.is_some()));
        bytes = rest.unwrap_or_default();
    }
    received
}

/// The text up to the FF, and what follows that; None: it has not come.
fn first_text(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    match bytes.iter().position(|&byte| byte == 0xFF) {
        Some(end) => (&bytes[..end], Some(&bytes[end + 1..])),
        None => (bytes, None),
    }
}

fn received_hybi(payload: Payload, bytes: &[u8]) -> Received {
    let mut received = Received::default();
    for frame in split(bytes, false) {
        assert!(received.close.is_none(), "something follows the Close");
        assert!(frame.first & 0xF0 == 0x80, "not FIN, or reserved bits: {:#04x}", frame.first);
        match (frame.first & 0x0F, payload) {
            (0x1, Payload::Base64) => received.payload.extend(decode(&frame.payload, frame.whole())),
            (0x1, Payload::Binary(TextFrames::Reply)) => {
                assert!(!frame.whole() || str::from_utf8(&frame.payload).is_ok(), "cut inside a character");
                received.payload.extend(frame.payload);
            }
            (0x2, Payload::Binary(TextFrames::Refuse | TextFrames::Accept)) => received.payload.extend(frame.payload),
            (opcode, _) => {
                assert!(frame.declared <= 125, "a control frame of {} bytes", frame.declared);
                match opcode {
                    _ if !frame.whole() => {}
                    0x8 => received.close = Some(read_close(&frame.payload)),
                    0x9 => received.pings += 1,
                    0xA => received.pongs.push(frame.payload),
                    other => panic!("opcode {other:#x} from a server"),
                }
            }
        }
    }
    received
}

/// What the good frames of a client say.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) payload: Vec<u8>,
    pub(crate) pings: Vec<Vec<u8>>,
}

pub(crate) fn said(protocol: Protocol, bytes: &[u8]) -> Said {
    match protocol {
        Protocol::HyBi(payload) => said_hybi(payload, bytes),
        Protocol::Hixie75 | Protocol::Hixie76 => said_hixie(bytes),
    }
}

fn said_hybi(payload: Payload, bytes: &[u8]) -> Said {
    let mut said = Said::default();
    let mut base64 = Eager::default();
    for frame in split(bytes, true) {
        match frame.first & 0x0F {
            0x0..=0x2 if payload == Payload::Base64 => said.payload.extend(base64.decode(&frame.payload)),
            0x0..=0x2 => said.payload.extend(frame.payload),
            0x9 if frame.whole() => said.pings.push(frame.payload),
            _ => {}
        }
    }
    said
}

fn said_hixie(mut bytes: &[u8]) -> Said {
    let mut said = Said::default();
    let mut base64 = Eager::default();
    while let Some((0, rest)) = bytes.split_first() {
        let (text, rest) = first_text(rest);
        said.payload.extend(base64.decode(text));
        bytes = rest.unwrap_or_default();
    }
    said
}

struct Frame {
    first: u8,
    declared: usize,
    payload: Vec<u8>,
}

impl Frame {
    fn whole(&self) -> bool {
        self.payload.len() == self.declared
    }
}

/// Whether the frame that `bytes` begin with is a Close, and its length, when all of it is there.
pub(crate) fn first_whole(protocol: Protocol, bytes: &[u8]) -> Option<(bool, usize)> {
    let (closes, length) = match protocol {
        Protocol::HyBi(_) => {
            let length = match bytes.get(1)? & 0x7F {
                126 => 4 + usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
                127 => 10 + usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).unwrap(),
                short => 2 + usize::from(short),
            };
            (bytes[0] == 0x88, length)
        }
        Protocol::Hixie75 | Protocol::Hixie76 if *bytes.first()? == 0xFF => (true, 2),
        Protocol::Hixie75 | Protocol::Hixie76 => (false, bytes.iter().position(|&byte| byte == 0xFF)? + 1),
    };
    (bytes.len() >= length).then_some((closes, length))
}

/// Cuts a stream into frames, of which the last may be incomplete; an incomplete header is left out.
fn split(mut bytes: &[u8], masked: bool) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((frame, rest)) = first_frame(bytes, masked) {
        frames.push(frame);
        bytes = rest;
    }
    frames
}

fn first_frame(bytes: &[u8], masked: bool) -> Option<(Frame, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&second, mut rest) = rest.split_first()?;
    assert_eq!(second & 0x80 != 0, masked, "a server does not mask, a client does");
    let declared = match second & 0x7F {
        126 => {
            let (length, after) = rest.split_first_chunk::<2>()?;
            rest = after;
            assert!(u16::from_be_bytes(*length) > 125, "a length is written the shortest way");
            usize::from(u16::from_be_bytes(*length))
        }
        127 => {
            let (length, after) = rest.split_first_chunk::<8>()?;
            rest = after;
            assert!(u64::from_be_bytes(*length) > 0xFFFF, "a length is written the shortest way");
            usize::try_from(u64::from_be_bytes(*length)).unwrap()
        }
        short => usize::from(short),
    };
    let mut key = [0; 4];
    if masked {
        let (found, after) = rest.split_first_chunk::<4>()?;
        key = *found;
        rest = after;
    }
    let (payload, rest) = rest.split_at(declared.min(rest.len()));
    let payload = payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
    Some((Frame { first, declared, payload }, rest))
}

fn read_close(payload: &[u8]) -> ReceivedClose {
    assert!(payload.len() != 1, "a Close payload of one byte");
    let code = payload.first_chunk::<2>().map(|code| u16::from_be_bytes(*code));
    let reason = String::from_utf8(payload.get(2..).unwrap_or_default().to_vec()).unwrap();
    ReceivedClose { code, reason }
}

/// All that a client has to say.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) protocol: Protocol,
    /// Good frames, the last, and what must not be read any more.
    pub(crate) bytes: Vec<u8>,
    /// Where the good frames end.
    pub(crate) good: usize,
    /// Where the last one ends, at the latest.
    pub(crate) decided: usize,
    pub(crate) last: Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// The good frames are all.
    Nothing,
    /// A Close frame with this code.
    Close(Option<u16>),
    /// A broken rule, to be answered with this code.
    Broken(u16),
}

impl Script {
    fn new(protocol: Protocol, good: &[Vec<u8>], last: Last, tail: &[u8]) -> Self {
        let mut bytes = good.concat();
        let good = bytes.len();
        bytes.extend(tail);
        let decided = bytes.len();
        if last != Last::Nothing {
            bytes.extend(match protocol {
                Protocol::HyBi(_) => {
                    let (frame, ping) = (client_frame(0x82, [3; 4], b"dG9v"), client_frame(0x89, [4; 4], b"too late"));
                    [frame, ping, client_close(1001, "too late")].concat()
                }
                Protocol::Hixie75 | Protocol::Hixie76 => b"\x00dG9v\xff\xff\x00".to_vec(),
            });
        }
        Self { protocol, bytes, good, decided, last }
    }

    /// A client that says this and no more.
    pub(crate) fn talk(bytes: &[u8]) -> Self {
        Self::talk_in(BINARY, bytes)
    }

    pub(crate) fn talk_in(protocol: Protocol, bytes: &[u8]) -> Self {
        Self::new(protocol, &[bytes.to_vec()], Last::Nothing, b"")
    }

    /// The payload that the first `fed` bytes carry.
    pub(crate) fn said(&self, fed: usize) -> Said {
        said(self.protocol, &self.bytes[..fed.min(self.good)])
    }
}

/// How a client closes.
pub(crate) fn closing(protocol: Protocol, code: u16) -> Vec<u8> {
    match protocol {
        Protocol::HyBi(_) => client_close(code, ""),
        Protocol::Hixie75 | Protocol::Hixie76 => b"\xff\x00".to_vec(),
    }
}

/// A message with these bytes in it.
pub(crate) fn message(protocol: Protocol, bytes: &[u8]) -> Vec<u8> {
    match protocol {
        Protocol::HyBi(Payload::Binary(_)) => client_frame(0x82, [1, 2, 3, 4], bytes),
        Protocol::HyBi(Payload::Base64) => client_frame(0x81, [1, 2, 3, 4], encode(bytes).as_bytes()),
        Protocol::Hixie75 | Protocol::Hixie76 => hixie_frame(encode(bytes).as_bytes()),
    }
}

fn hixie_frame(text: &[u8]) -> Vec<u8> {
    [b"\x00", text, b"\xff"].concat()
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..40),
        2 => prop::collection::vec(any::<u8>(), 120..300),
        1 => Just((0..70_000_u32).map(|i| (i * 7) as u8).collect()),
    ]
}

/// Frames that break no rule: whole and fragmented messages, pings and pongs.
fn good_frames(protocol: Protocol) -> BoxedStrategy<Vec<Vec<u8>>> {
    let data = match protocol {
        Protocol::HyBi(Payload::Binary(TextFrames::Refuse)) => binary_messages().boxed(),
        Protocol::HyBi(Payload::Binary(_)) => prop_oneof![binary_messages(), text_messages()].boxed(),
        Protocol::HyBi(Payload::Base64) => base64_messages().boxed(),
        Protocol::Hixie75 | Protocol::Hixie76 => return prop::collection::vec(hixie_messages(), 0..12).boxed(),
    };
    prop::collection::vec(prop_oneof![6 => data, 3 => pings_and_pongs()], 0..12).boxed()
}

fn small() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=125)
}

fn pings_and_pongs() -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(vec![0x89, 0x89, 0x8A]), any::<[u8; 4]>(), small())
        .prop_map(|(first, key, payload)| client_frame(first, key, &payload))
}

fn binary_messages() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => (any::<[u8; 4]>(), payload()).prop_map(|(key, payload)| client_frame(0x82, key, &payload)),
        1 => (any::<[u8; 4]>(), payload(), small(), payload()).prop_map(|(key, one, ping, two)| {
            [client_frame(0x02, key, &one), client_frame(0x89, key, &ping), client_frame(0x80, key, &two)].concat()
        }),
    ]
}

/// Cut into fragments anywhere, characters too.
fn text_messages() -> impl Strategy<Value = Vec<u8>> {
    (any::<[u8; 4]>(), "\\PC{0,60}", any::<prop::sample::Index>(), small()).prop_map(|(key, text, cut, ping)| {
        let (one, two) = text.as_bytes().split_at(cut.index(text.len() + 1));
        [client_frame(0x01, key, one), client_frame(0x89, key, &ping), client_frame(0x80, key, two)].concat()
    })
}

/// Cut into fragments and messages anywhere, quanta and their padding too.
fn base64_messages() -> impl Strategy<Value = Vec<u8>> {
    let cuts = any::<[prop::sample::Index; 3]>();
    (any::<[u8; 4]>(), payload(), cuts, small()).prop_map(|(key, bytes, cuts, ping)| {
        let text = encode(&bytes);
        let mut cuts = cuts.map(|cut| cut.index(text.len() + 1));
        cuts.sort_unstable();
        let [a, b, c] = cuts;
        let text = text.as_bytes();
        [
            client_frame(0x81, key, &text[..a]),
            client_frame(0x02, key, &text[a..b]),
            client_frame(0x89, key, &ping),
            client_frame(0x80, key, &text[b..c]),
            client_frame(0x82, key, &text[c..]),
        ]
        .concat()
    })
}

fn hixie_messages() -> impl Strategy<Value = Vec<u8>> {
    (payload(), any::<prop::sample::Index>(), any::<bool>()).prop_map(|(bytes, cut, whole)| {
        let text = encode(&bytes);
        let (one, two) = text.as_bytes().split_at(if whole { 0 } else { cut.index(text.len() + 1) });
        [hixie_frame(one), hixie_frame(two)].concat()
    })
}

pub(crate) fn script_that_only_talks() -> impl Strategy<Value = Script> {
    protocol().prop_flat_map(|protocol| {
        good_frames(protocol).prop_map(move |good| Script::new(protocol, &good, Last::Nothing, b""))
    })
}

pub(crate) fn script_that_closes() -> impl Strategy<Value = Script> {
    let hybi = prop_oneof![
        1 => Just((None, client_frame(0x88, [1, 2, 3, 4], b""))),
        4 => (prop_oneof![1000..=1003_u16, 1007..=1014_u16, 3000..5000_u16], ".{0,30}")
            .prop_map(|(code, reason)| (Some(code), client_close(code, &reason))),
    ];
    (protocol(), hybi).prop_flat_map(|(protocol, hybi)| {
        let (code, close) = match protocol {
            Protocol::HyBi(_) => hybi,
            Protocol::Hixie75 | Protocol::Hixie76 => (None, b"\xff\x00".to_vec()),
        };
        good_frames(protocol).prop_map(move |good| Script::new(protocol, &good, Last::Close(code), &close))
    })
}

/// Each is wrong before it carries any payload.
fn broken(protocol: Protocol) -> Vec<(u16, Vec<u8>)> {
    let key = [5, 6, 7, 8];
    let frames = vec![
        (1002, client_frame(0xC2, key, b"reserved bit")),
        (1002, client_frame(0x83, key, b"unknown opcode")),
        (1002, client_frame(0x8B, key, b"unknown control opcode")),
        (1002, client_frame(0x80, key, b"continues nothing")),
        (1002, [client_frame(0x02, key, b""), client_frame(0x82, key, b"new inside")].concat()),
        (1002, client_frame(0x09, key, b"fragmented ping")),
        (1002, client_frame(0x89, key, &[0; 126])),
        (1002, b"\x82\x03abc".to_vec()),
        (1002, b"\x82\xfe\x00\x03\x00\x00\x00\x00abc".to_vec()),
        (1002, b"\x82\xff\xff\x00\x00\x00\x00\x00\x00\x00".to_vec()),
        (1002, client_close(1005, "")),
        (1002, client_close(999, "")),
        (1002, client_frame(0x88, key, b"\x03")),
        (1007, client_frame(0x88, key, b"\x03\xe8\xff\xff")),
    ];
    let payload = match protocol {
        Protocol::HyBi(Payload::Binary(TextFrames::Refuse)) => {
            vec![(1003, client_frame(0x81, key, b"text")), (1003, client_frame(0x81, key, b""))]
        }
        Protocol::HyBi(Payload::Binary(_)) => {
            vec![(1007, client_frame(0x81, key, b"\xff")), (1007, client_frame(0x01, key, b"\x80"))]
        }
        Protocol::HyBi(Payload::Base64) => {
            vec![(1007, client_frame(0x81, key, b"*QUJ")), (1007, client_frame(0x02, key, b"="))]
        }
        Protocol::Hixie75 | Protocol::Hixie76 => {
            let broken: [&[u8]; 6] =
                [b"\x80\x03abc", b"\xfe", b"\xff\x01", b"\x01QUJD\xff", b"\x00*\xff", b"\x00=\xff"];
            return broken.map(|bytes| (0, bytes.to_vec())).to_vec();
        }
    };
    [frames, payload].concat()
}

pub(crate) fn script_that_breaks_a_rule() -> impl Strategy<Value = Script> {
    protocol().prop_flat_map(|protocol| {
        (good_frames(protocol), prop::sample::select(broken(protocol)))
            .prop_map(move |(good, (code, broken))| Script::new(protocol, &good, Last::Broken(code), &broken))
    })
}

pub(crate) fn any_script() -> impl Strategy<Value = Script> {
    prop_oneof![script_that_only_talks(), script_that_closes(), script_that_breaks_a_rule()]
}

/// The target's byte at this place of its stream: a pattern in which a lost, doubled or swapped stretch shows.
pub(crate) fn target_bytes(range: std::ops::Range<usize>) -> Vec<u8> {
    range.map(|i| (i ^ (i >> 8).wrapping_mul(31)) as u8).collect()
}

/// The same in a protocol: text, where that is what it carries.
pub(crate) fn target_bytes_in(protocol: Protocol, range: std::ops::Range<usize>) -> Vec<u8> {
    static TEXT: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
        let characters = (0..1_600_000_u32).filter_map(|i| char::from_u32(i.wrapping_mul(0x2545) % 0x11_0000));
        characters.collect::<String>().into_bytes()
    });
    if protocol == Protocol::HyBi(Payload::Binary(TextFrames::Reply)) {
        TEXT[range].to_vec()
    } else {
        target_bytes(range)
    }
}

/// What of the target's bytes can have arrived: where they are text, no part of a character.
pub(crate) fn deliverable(protocol: Protocol, mut bytes: Vec<u8>) -> Vec<u8> {
    if protocol == Protocol::HyBi(Payload::Binary(TextFrames::Reply))
        && let Err(error) = str::from_utf8(&bytes)
    {
        bytes.truncate(error.valid_up_to());
    }
    bytes
}
