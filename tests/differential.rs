//! Our decoder and tungstenite's, given the same bytes of a client, cut anywhere: both must hear the same, and call the
//! same streams broken. Base64 is compared with the crate of that name; the drafts 75 and 76 have no oracle left, only the
//! vectors in their texts.
//!
//! Where they are meant to differ stands in [`Verdict::of_ours`] and [`Heard::by_tungstenite`], and nowhere else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::cast_possible_truncation, reason = "lengths of test data are cut on purpose")]

use std::io::{self, Read, Write};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use proptest::prelude::*;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};
use websockify::websocket::codec::{Codec, Payload, Protocol, Said, TextFrames};
use websockify::websocket::decoder::{DataKind, Decoder, Event};
use websockify::websocket::error::ProtocolError;

/// What a stream said, in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Binary(Vec<u8>),
    Text(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl Heard {
    /// What it is to tungstenite.
    fn by_tungstenite(self) -> Self {
        match self {
            // In the IANA registry since 2016 ("Bad Gateway"), and unknown to it.
            Self::Close(Some((1014, _))) => Self::Close(Some((1002, "Protocol violation".to_owned()))),
            same => same,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It ended with a Close, or in the middle, and was right so far.
    Right,
    Wrong,
}

impl Verdict {
    /// The verdict that tungstenite is expected to come to. None: it is intended to be another one, and the streams
    /// cannot be compared beyond what was heard before.
    fn of_ours(error: Option<ProtocolError>) -> Option<Self> {
        match error {
            None => Some(Self::Right),
            // LengthNotMinimal: it takes any way to write a length; RFC 6455 section 5.2 knows only the shortest.
            // ControlLength: written in more than seven bits, it is too long or not the shortest; see above.
            // Length: it takes one of 64 bits, and waits for the payload.
            // CloseCode: it hands the Close out as one with code 1002, and answers that, instead of an error.
            Some(
                ProtocolError::LengthNotMinimal
                | ProtocolError::ControlLength
                | ProtocolError::Length
                | ProtocolError::CloseCode(_),
            ) => None,
            Some(_) => Some(Self::Wrong),
        }
    }
}

/// Input that comes in the given cuts, then EOF, and swallows what is answered.
struct Cut<'a> {
    reads: std::slice::Iter<'a, Vec<u8>>,
}

impl Read for Cut<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(read) = self.reads.next() else { return Ok(0) };
        buffer[..read.len()].copy_from_slice(read);
        Ok(read.len())
    }
}

impl Write for Cut<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tungstenite_hears(reads: &[Vec<u8>]) -> (Vec<Heard>, Verdict) {
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    let stream = Cut { reads: reads.iter() };
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, Some(config));
    let mut heard = Vec::new();
    loop {
        heard.push(match socket.read() {
            Ok(Message::Binary(bytes)) => Heard::Binary(bytes.to_vec()),
            Ok(Message::Text(text)) => Heard::Text(text.as_bytes().to_vec()),
            Ok(Message::Ping(bytes)) => Heard::Ping(bytes.to_vec()),
            Ok(Message::Pong(bytes)) => Heard::Pong(bytes.to_vec()),
            Ok(Message::Close(close)) => {
                heard.push(Heard::Close(close.map(|close| (close.code.into(), close.reason.to_string()))));
                return (heard, Verdict::Right);
            }
            Ok(Message::Frame(_)) => unreachable!("only written, never read"),
            Err(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                return (heard, Verdict::Right);
            }
            Err(_) => return (heard, Verdict::Wrong),
        });
    }
}

fn ours_hears(reads: &[Vec<u8>]) -> (Vec<Heard>, Option<ProtocolError>) {
    let mut decoder = Decoder::default();
    let (mut heard, mut message) = (Vec::new(), Vec::new());
    for read in reads {
        let (mut input, mut position) = (read.clone(), 0);
        loop {
            match decoder.next(&mut input, &mut position) {
                Ok(None) => break,
                Ok(Some(Event::Data { kind, payload, message_end })) => {
                    message.extend_from_slice(&input[payload]);
                    if message_end {
                        let message = std::mem::take(&mut message);
                        heard.push(match kind {
                            DataKind::Binary => Heard::Binary(message),
                            DataKind::Text => Heard::Text(message),
                        });
                    }
                }
                Ok(Some(Event::Ping(payload))) => heard.push(Heard::Ping(payload.as_slice().to_vec())),
                Ok(Some(Event::Pong(payload))) => heard.push(Heard::Pong(payload.as_slice().to_vec())),
                Ok(Some(Event::Close(close))) => {
                    heard.push(Heard::Close(close.map(|close| (close.code().get(), close.reason().to_owned()))));
                    return (heard, None);
                }
                Err(error) => return (heard, Some(error)),
            }
        }
    }
    (heard, None)
}

/// A frame from a client: any first byte, maybe unmasked, its length maybe written too long.
fn frame(first: u8, masked: bool, key: [u8; 4], payload: &[u8], longer: bool) -> Vec<u8> {
    let mask_bit = if masked { 0x80 } else { 0 };
    let mut frame = vec![first];
    match (payload.len(), longer) {
        (length @ 0..=125, false) => frame.push(mask_bit | length as u8),
        (length @ 0..=0xFFFF, _) => {
            frame.push(mask_bit | 0x7E);
            frame.extend((length as u16).to_be_bytes());
        }
        (length, _) => {
            frame.push(mask_bit | 0x7F);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    if masked {
        frame.extend(key);
    }
    frame.extend(payload.iter().enumerate().map(|(i, byte)| if masked { byte ^ key[i % 4] } else { *byte }));
    frame
}

/// Mostly right streams, so that there is something to hear; text is ASCII, as only tungstenite checks it.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => Just(0x82_u8), 3 => Just(0x02), 6 => Just(0x80), 2 => Just(0x00), 3 => Just(0x81), 1 => Just(0x01),
        3 => Just(0x89), 2 => Just(0x8A), 1 => Just(0x88), 1 => any::<u8>(),
    ];
    let ascii = |bytes: Vec<u8>| bytes.into_iter().map(|byte| byte & 0x7F).collect::<Vec<u8>>();
    let payload = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..40).prop_map(ascii),
        2 => prop::collection::vec(any::<u8>(), 120..130).prop_map(ascii),
        1 => (65_530..65_540_u32).prop_map(|length| (0..length).map(|i| (i % 101) as u8).collect()),
        1 => (any::<u16>(), "\\PC{0,20}").prop_map(|(code, reason)| [&code.to_be_bytes(), reason.as_bytes()].concat()),
        1 => (1000..1016_u16).prop_map(|code| code.to_be_bytes().to_vec()),
    ];
    let frame = (first, prop::bool::weighted(0.98), any::<[u8; 4]>(), payload, prop::bool::weighted(0.02)).prop_map(
        |(first, masked, key, payload, longer)| {
            let text = matches!(first & 0x0F, 0x0 | 0x1);
            let payload = if text { payload.iter().map(|byte| byte & 0x7F).collect() } else { payload };
            frame(first, masked, key, &payload, longer)
        },
    );
    prop::collection::vec(frame, 0..10).prop_map(|frames| frames.concat())
}

/// Cuts `bytes` there, into reads that are not empty: to tungstenite that would be an EOF.
fn cut(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend((0..bytes.len()).step_by(4096)); // what tungstenite's reads have room for
    cuts.push(bytes.len());
    cuts.sort_unstable();
    cuts.dedup();
    cuts.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}

fn compare(reads: &[Vec<u8>]) {
    let (ours, error) = ours_hears(reads);
    let ours: Vec<Heard> = ours.into_iter().map(Heard::by_tungstenite).collect();
    // What we refuse at its first wrong byte, tungstenite may wait to see the rest of.
    let mut reads = reads.to_vec();
    if error.is_some() {
        reads.extend(vec![vec![0; 4096]; 40]);
    }
    let (theirs, verdict) = tungstenite_hears(&reads);
    match Verdict::of_ours(error) {
        Some(expected) => assert_eq!((&ours, expected), (&theirs, verdict), "{error:?}"),
        None => assert_eq!(&ours[..], &theirs[..ours.len()], "{error:?}"),
    }
}

/// What a session passes on of these reads, and how it ends: with an error, a Close, or not.
fn ours_passes_on(protocol: Protocol, reads: &[Vec<u8>]) -> (Vec<u8>, Option<ProtocolError>) {
    let (mut codec, mut passed_on) = (Codec::new(protocol), Vec::new());
    for read in reads {
        let (mut input, mut position, mut all) = (read.clone(), 0, 0..0);
        let outcome = loop {
            match codec.read(&mut input, &mut position, &mut all) {
                Ok(Some(Said::Ping(_) | Said::Pong)) => {}
                other => break other,
            }
        };
        passed_on.extend_from_slice(&input[all]);
        match outcome {
            Ok(None) => {}
            Ok(Some(_)) => return (passed_on, None),
            Err(error) => return (passed_on, Some(error)),
        }
    }
    (passed_on, None)
}

/// Text of which some is none, in messages and fragments.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        12 => "\\PC{0,12}".prop_map(String::into_bytes),
        2 => Just("\u{20ac}".as_bytes()[..2].to_vec()),
        2 => Just("\u{20ac}".as_bytes()[2..].to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    let message = (prop::collection::vec(piece, 1..4), any::<[u8; 4]>()).prop_map(|(pieces, key)| {
        let last = pieces.len() - 1;
        let fragments = pieces.iter().enumerate().map(|(number, piece)| {
            let first = u8::from(number == 0) | u8::from(number == last) << 7;
            frame(first, true, key, piece, false)
        });
        fragments.collect::<Vec<_>>().concat()
    });
    prop::collection::vec(message, 0..6).prop_map(|messages| messages.concat())
}

#[test]
fn a_close_with_1014_is_one() {
    let close = frame(0x88, true, [1, 2, 3, 4], &1014_u16.to_be_bytes(), false);
    compare(std::slice::from_ref(&close));
    assert_eq!(ours_hears(&[close]), (vec![Heard::Close(Some((1014, String::new())))], None));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_hear_the_same_however_the_stream_is_cut(
        stream in streams(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        compare(&cut(&stream, &cuts));
    }

    #[test]
    fn both_hear_the_same_byte_by_byte(stream in streams()) {
        prop_assume!(stream.len() < 2000);
        compare(&stream.chunks(1).map(<[u8]>::to_vec).collect::<Vec<_>>());
    }

    #[test]
    fn text_is_judged_alike_however_it_is_cut(
        stream in texts(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let reads = cut(&stream, &cuts);
        let (theirs, verdict) = tungstenite_hears(&reads);
        let heard: Vec<u8> = theirs.into_iter().flat_map(|heard| match heard {
            Heard::Text(text) => text,
            other => panic!("{other:?}"),
        }).collect();
        let (ours, error) = ours_passes_on(Protocol::HyBi(Payload::Binary(TextFrames::Accept)), &reads);
        prop_assert_eq!(error, (verdict == Verdict::Wrong).then_some(ProtocolError::Utf8));
        prop_assert!(ours.starts_with(&heard), "whole messages");
        prop_assert!(error.is_some() || ours == heard);
    }

    #[test]
    fn base64_of_whole_messages_is_what_the_crate_makes_of_it(
        messages in prop::collection::vec("([A-Za-z0-9+/]{4}){0,20}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z=*]{0,2})", 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let config = GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::RequireCanonical);
        let theirs = messages.iter().map(|message| GeneralPurpose::new(&STANDARD, config).decode(message));
        let theirs: Vec<Vec<u8>> = theirs.map_while(Result::ok).collect();
        let hybi: Vec<u8> = messages.iter().flat_map(|message| frame(0x81, true, [9, 8, 7, 6], message.as_bytes(), false)).collect();
        let hixie: Vec<u8> = messages.iter().flat_map(|message| [b"\x00", message.as_bytes(), b"\xff"].concat()).collect();
        for (protocol, stream) in [
            (Protocol::HyBi(Payload::Base64), hybi),
            (Protocol::Hixie75, hixie.clone()),
            (Protocol::Hixie76, hixie),
        ] {
            let (ours, error) = ours_passes_on(protocol, &cut(&stream, &cuts));
            prop_assert!(ours.starts_with(&theirs.concat()), "messages that are right");
            if theirs.len() == messages.len() {
                prop_assert_eq!((ours, error), (theirs.concat(), None));
            }
        }
    }

    #[test]
    fn what_tungstenite_writes_is_what_we_hear(messages in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..300)), 0..10)) {
        let mut client = WebSocket::from_raw_socket(io::Cursor::new(Vec::new()), Role::Client, None);
        let mut expected = Vec::new();
        for (kind, bytes) in messages {
            let small: Vec<u8> = bytes.iter().copied().take(125).collect();
            let (message, heard) = match kind % 3 {
                0 => (Message::binary(bytes.clone()), Heard::Binary(bytes)),
                1 => (Message::Ping(small.clone().into()), Heard::Ping(small)),
                _ => (Message::text("Grüße"), Heard::Text("Grüße".into())),
            };
            client.send(message).unwrap();
            expected.push(heard);
        }
        let stream = client.get_ref().get_ref().clone();
        prop_assert_eq!(ours_hears(&[stream]), (expected, None));
    }
}
