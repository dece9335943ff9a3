//! Frames, made and read without the code under test.

use proptest::prelude::*;

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
}

/// Reads what a client got. Panics at whatever a server may not send, and at anything behind a Close; the last frame may
/// be cut off.
pub(crate) fn received(bytes: &[u8]) -> Received {
    let mut received = Received::default();
    for frame in split(bytes, false) {
        assert!(received.close.is_none(), "something follows the Close");
        assert!(frame.first & 0xF0 == 0x80, "not FIN, or reserved bits: {:#04x}", frame.first);
        match frame.first & 0x0F {
            0x2 => received.payload.extend(frame.payload),
            opcode => {
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

pub(crate) fn said(bytes: &[u8]) -> Said {
    let mut said = Said::default();
    for frame in split(bytes, true) {
        match frame.first & 0x0F {
            0x0 | 0x2 => said.payload.extend(frame.payload),
            0x9 if frame.whole() => said.pings.push(frame.payload),
            _ => {}
        }
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

/// The first byte and the length of the frame that `bytes` begin with, when all of it is there.
pub(crate) fn first_whole(bytes: &[u8]) -> Option<(u8, usize)> {
    let length = match bytes.get(1)? & 0x7F {
        126 => 4 + usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        127 => 10 + usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).unwrap(),
        short => 2 + usize::from(short),
    };
    (bytes.len() >= length).then_some((bytes[0], length))
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
    fn new(good: &[Vec<u8>], last: Last, tail: &[u8]) -> Self {
        let mut bytes = good.concat();
        let good = bytes.len();
        bytes.extend(tail);
        let decided = bytes.len();
        if last != Last::Nothing {
            bytes.extend(client_frame(0x82, [3; 4], b"too late"));
            bytes.extend(client_frame(0x89, [4; 4], b"too late"));
            bytes.extend(client_close(1001, "too late"));
        }
        Self { bytes, good, decided, last }
    }

    /// A client that says this and no more.
    pub(crate) fn talk(bytes: &[u8]) -> Self {
        Self::new(&[bytes.to_vec()], Last::Nothing, b"")
    }

    /// The payload that the first `fed` bytes carry.
    pub(crate) fn said(&self, fed: usize) -> Said {
        said(&self.bytes[..fed.min(self.good)])
    }
}

/// Frames that break no rule: whole and fragmented messages, pings and pongs.
fn good_frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let payload = || {
        prop_oneof![
            8 => prop::collection::vec(any::<u8>(), 0..40),
            2 => prop::collection::vec(any::<u8>(), 120..300),
            1 => Just((0..70_000_u32).map(|i| (i * 7) as u8).collect()),
        ]
    };
    let small = || prop::collection::vec(any::<u8>(), 0..=125);
    let frames = prop_oneof![
        4 => (any::<[u8; 4]>(), payload()).prop_map(|(key, payload)| client_frame(0x82, key, &payload)),
        2 => (any::<[u8; 4]>(), payload(), small(), payload()).prop_map(|(key, one, ping, two)| {
            [client_frame(0x02, key, &one), client_frame(0x89, key, &ping), client_frame(0x80, key, &two)].concat()
        }),
        2 => (any::<[u8; 4]>(), small()).prop_map(|(key, payload)| client_frame(0x89, key, &payload)),
        1 => (any::<[u8; 4]>(), small()).prop_map(|(key, payload)| client_frame(0x8A, key, &payload)),
    ];
    prop::collection::vec(frames, 0..12)
}

pub(crate) fn script_that_only_talks() -> impl Strategy<Value = Script> {
    good_frames().prop_map(|good| Script::new(&good, Last::Nothing, b""))
}

pub(crate) fn script_that_closes() -> impl Strategy<Value = Script> {
    let close = prop_oneof![
        1 => Just((None, client_frame(0x88, [1, 2, 3, 4], b""))),
        4 => (prop_oneof![1000..=1003_u16, 1007..=1014_u16, 3000..5000_u16], ".{0,30}")
            .prop_map(|(code, reason)| (Some(code), client_close(code, &reason))),
    ];
    (good_frames(), close).prop_map(|(good, (code, close))| Script::new(&good, Last::Close(code), &close))
}

pub(crate) fn script_that_breaks_a_rule() -> impl Strategy<Value = Script> {
    let key = [5, 6, 7, 8];
    let broken = prop::sample::select(vec![
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
        (1003, client_frame(0x81, key, b"text")),
        (1003, client_frame(0x81, key, b"")),
    ]);
    (good_frames(), broken).prop_map(|(good, (code, broken))| Script::new(&good, Last::Broken(code), &broken))
}

pub(crate) fn any_script() -> impl Strategy<Value = Script> {
    prop_oneof![script_that_only_talks(), script_that_closes(), script_that_breaks_a_rule()]
}

/// The target's byte at this place of its stream: a pattern in which a lost, doubled or swapped stretch shows.
pub(crate) fn target_bytes(range: std::ops::Range<usize>) -> Vec<u8> {
    range.map(|i| (i ^ (i >> 8).wrapping_mul(31)) as u8).collect()
}
