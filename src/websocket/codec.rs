//! What a session speaks, as its handshake has agreed: which frames, and what is in them.
//!
//! Promise: one value, made once, and a closed set of choices. Client's bytes become the target's where they lie, in one
//! piece; the target's become one frame where they lie, which any client can decode by itself. However the input is cut,
//! what comes out is the same, but for the borders of our frames.
//!
//! The rules of a session (when to close, what counts) are [`crate::relay::tunnel`]'s.

use std::ops::Range;

use super::close::Close;
use super::decoder::{ControlPayload, DataKind, Decoder, Event};
use super::encoder;
use super::error::ProtocolError;
use super::utf8::{self, Mended, Mender, Validator};
use super::{base64, hixie};

/// Free bytes that [`Codec::frame`] needs before a payload.
pub const HEADROOM: usize = encoder::HEADROOM + utf8::HELD_BYTES_MAX;

/// The size of a buffer in which [`Codec::frame`] can make a frame of so many bytes of payload, whatever they are. The
/// worst is text that is none; base64 needs a third more than its bytes.
pub const fn buffer_bytes(payload: usize) -> usize {
    HEADROOM + utf8::REPLACED_FACTOR * (payload + utf8::HELD_BYTES_MAX)
}

/// What two sides have agreed to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The frames of RFC 6455.
    HyBi(Payload),
    /// The frames of draft 75: base64 between 00 and FF. The end of the stream is the only end.
    Hixie75,
    /// The same, and a closing frame.
    Hixie76,
}

/// What the frames of RFC 6455 carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Bytes, and perhaps text.
    Binary(TextFrames),
    /// Base64 in text frames, because the client asked for that and nothing else.
    Base64,
}

/// What a route does with text frames of the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextFrames {
    /// They end the session.
    #[default]
    Refuse,
    /// The target gets their bytes.
    Accept,
    /// And the client gets text.
    Reply,
}

impl Protocol {
    /// What travels in the frames, for the log.
    pub fn encoding(self) -> &'static str {
        match self {
            Self::HyBi(Payload::Binary(TextFrames::Refuse | TextFrames::Accept)) => "binary",
            Self::HyBi(Payload::Binary(TextFrames::Reply)) => "text",
            Self::HyBi(Payload::Base64) | Self::Hixie75 | Self::Hixie76 => "base64",
        }
    }

    /// Whether it has pings and pongs.
    pub fn has_pings(self) -> bool {
        matches!(self, Self::HyBi(_))
    }

    /// Whether a closing frame carries a code and a reason.
    pub fn has_close_codes(self) -> bool {
        matches!(self, Self::HyBi(_))
    }

    /// Whether our last word is the end of our stream. Some clients of draft 76 know no other, and no more follows the
    /// closing frame anyway.
    pub fn ends_with_stream(self) -> bool {
        matches!(self, Self::Hixie75 | Self::Hixie76)
    }

    /// Appends what ends a session in order; nothing where there is no closing frame.
    pub fn close(self, out: &mut Vec<u8>, close: Option<&Close>) {
        match self {
            Self::HyBi(_) => encoder::close(out, close),
            Self::Hixie75 => {}
            Self::Hixie76 => out.extend_from_slice(&hixie::CLOSE),
        }
    }
}

/// What a client has said beside payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A closing frame. Nothing that follows it is read.
    Close(Option<Close>),
    /// To be answered by a pong.
    Ping(ControlPayload),
    /// Not to be answered.
    Pong,
}

/// A frame for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it lies; empty when there is nothing to say yet.
    pub frame: Range<usize>,
    /// How many of the target's bytes are in it.
    pub payload: usize,
    /// How many of the target's bytes were replaced by something else.
    pub replaced: usize,
}

/// The state of a session's two streams.
#[derive(Clone, Debug)]
pub struct Codec {
    frames: Frames,
    incoming: Incoming,
    outgoing: Encoding,
}

#[derive(Clone, Debug)]
enum Frames {
    HyBi(Decoder),
    Hixie(hixie::Decoder),
}

#[derive(Clone, Debug)]
enum Incoming {
    /// Binary messages; text is refused.
    Binary,
    /// Text is bytes too, once it is known to be text.
    Text(Validator),
    Base64(base64::Decoder),
}

#[derive(Clone, Debug)]
enum Encoding {
    Binary,
    Text(Mender),
    Base64,
    /// Between 00 and FF.
    Hixie,
}

impl Codec {
    /// For a session whose handshake has agreed on `protocol`.
    pub fn new(protocol: Protocol) -> Self {
        let base64 = Incoming::Base64(base64::Decoder::default());
        let (frames, incoming, outgoing) = match protocol {
            Protocol::HyBi(Payload::Binary(text)) => {
                let (incoming, outgoing) = match text {
                    TextFrames::Refuse => (Incoming::Binary, Encoding::Binary),
                    TextFrames::Accept => (Incoming::Text(Validator::default()), Encoding::Binary),
                    TextFrames::Reply => (Incoming::Text(Validator::default()), Encoding::Text(Mender::default())),
                };
                (Frames::HyBi(Decoder::default()), incoming, outgoing)
            }
            Protocol::HyBi(Payload::Base64) => (Frames::HyBi(Decoder::default()), base64, Encoding::Base64),
            Protocol::Hixie75 | Protocol::Hixie76 => {
                (Frames::Hixie(hixie::Decoder::default()), base64, Encoding::Hixie)
            }
        };
        Self { frames, incoming, outgoing }
    }

    /// Reads on from `input[*position..]` to the next thing said beside payload, and draws the payload before it together
    /// behind what lies in `all`, decoded. None: all of the input is read. Behind a closing frame or an error nothing is.
    ///
    /// What comes before an error counts, up to its byte.
    pub fn read(
        &mut self,
        input: &mut [u8],
        position: &mut usize,
        all: &mut Range<usize>,
    ) -> Result<Option<Said>, ProtocolError> {
        loop {
            let event = match &mut self.frames {
                Frames::HyBi(decoder) => decoder.next(input, position)?,
                Frames::Hixie(decoder) => decoder.next(input, position)?,
            };
            match event {
                None => return Ok(None),
                Some(Event::Data { kind, payload, message_end }) => {
                    self.incoming.take(input, all, kind, payload, message_end)?;
                }
                Some(Event::Ping(payload)) => return Ok(Some(Said::Ping(payload))),
                Some(Event::Pong(_)) => return Ok(Some(Said::Pong)),
                Some(Event::Close(close)) => return Ok(Some(Said::Close(close))),
            }
        }
    }

    /// Makes a frame of the target's bytes, which lie in `buffer` at `payload`.
    ///
    /// # Panics
    /// When fewer than [`HEADROOM`] bytes lie before the payload, or `buffer` is shorter than [`buffer_bytes`] of it.
    pub fn frame(&mut self, buffer: &mut [u8], payload: Range<usize>) -> Outgoing {
        let length = payload.len();
        let frame = match &mut self.outgoing {
            Encoding::Binary => encoder::binary_frame(buffer, payload),
            Encoding::Text(mender) => return mended_frame(mender, buffer, payload),
            Encoding::Base64 => {
                let text = encoded(buffer, payload);
                encoder::text_frame(buffer, text)
            }
            Encoding::Hixie => {
                let text = encoded(buffer, payload);
                hixie::frame(buffer, text)
            }
        };
        Outgoing { frame, payload: length, replaced: 0 }
    }

    /// Whether a frame is its header and the target's bytes as they are, so that nobody needs to look at these.
    pub fn is_transparent(&self) -> bool {
        matches!(self.outgoing, Encoding::Binary)
    }

    /// Writes the header of a frame of `length` bytes, where frames are transparent, to the end of `space`, which has room for
    /// [`HEADROOM`] bytes.
    pub fn header(&self, space: &mut [u8], length: usize) -> Range<usize> {
        debug_assert!(self.is_transparent(), "these bytes are encoded");
        encoder::binary_header(space, length)
    }

    /// How many of the target's bytes have not gone when the last `waiting` bytes of their frame have not.
    pub fn undelivered(&self, payload: usize, waiting: usize) -> usize {
        let characters = match self.outgoing {
            Encoding::Binary | Encoding::Text(_) => return payload.min(waiting),
            Encoding::Base64 => waiting,
            Encoding::Hixie => waiting.saturating_sub(1), // the byte behind them
        };
        let gone = base64::encoded_length(payload).saturating_sub(characters) / 4 * 3;
        payload - gone.min(payload)
    }

    /// How many of the target's bytes wait for others before they can go: the beginning of a character.
    pub fn held(&self) -> usize {
        match self.outgoing {
            Encoding::Text(mender) => mender.held(),
            Encoding::Binary | Encoding::Base64 | Encoding::Hixie => 0,
        }
    }
}

impl Incoming {
    /// Moves payload behind what lies in `all`, decoded.
    fn take(
        &mut self,
        input: &mut [u8],
        all: &mut Range<usize>,
        kind: DataKind,
        payload: Range<usize>,
        message_end: bool,
    ) -> Result<(), ProtocolError> {
        match (self, kind) {
            (Self::Binary, DataKind::Text) => Err(ProtocolError::Text),
            (Self::Binary | Self::Text(_), DataKind::Binary) => {
                append(input, all, payload);
                Ok(())
            }
            (Self::Text(validator), DataKind::Text) => {
                let outcome = validator.check(&input[payload.clone()]);
                append(input, all, payload.start..outcome.map_or_else(|wrong| payload.start + wrong, |()| payload.end));
                let complete = !message_end || validator.is_between_characters();
                if outcome.is_ok() && complete { Ok(()) } else { Err(ProtocolError::Utf8) }
            }
            (Self::Base64(decoder), _) => {
                if all.start == all.end {
                    *all = payload.start..payload.start;
                }
                decoder.decode(input, payload, &mut all.end)?;
                if message_end {
                    decoder.end_message();
                }
                Ok(())
            }
        }
    }
}

/// Most reads hold one piece of payload, which is not moved.
fn append(input: &mut [u8], all: &mut Range<usize>, payload: Range<usize>) {
    if all.start == all.end {
        *all = payload;
    } else {
        let end = all.end + payload.len();
        input.copy_within(payload, all.end);
        all.end = end;
    }
}

/// Encodes bytes where they lie, and returns where their text does.
fn encoded(buffer: &mut [u8], payload: Range<usize>) -> Range<usize> {
    let length = base64::encode(&mut buffer[payload.start..], payload.len());
    payload.start..payload.start + length
}

fn mended_frame(mender: &mut Mender, buffer: &mut [u8], payload: Range<usize>) -> Outgoing {
    let (before, length) = (mender.held(), payload.len());
    let Mended { text, replaced } = mender.mend(buffer, payload);
    let payload = before + length - mender.held() - replaced;
    let frame = if text.is_empty() { text } else { encoder::text_frame(buffer, text) };
    Outgoing { frame, payload, replaced }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: Protocol = Protocol::HyBi(Payload::Binary(TextFrames::Reply));
    const BASE64: Protocol = Protocol::HyBi(Payload::Base64);

    /// The frame that a read of these bytes becomes.
    fn framed(codec: &mut Codec, bytes: &[u8]) -> (Vec<u8>, Outgoing) {
        let mut buffer = vec![0xEE; buffer_bytes(bytes.len())];
        let place = HEADROOM..HEADROOM + bytes.len();
        buffer[place.clone()].copy_from_slice(bytes);
        let outgoing = codec.frame(&mut buffer, place);
        (buffer[outgoing.frame.clone()].to_vec(), outgoing)
    }

    #[test]
    fn a_read_becomes_one_frame_of_the_protocol() {
        for (protocol, frame) in [
            (Protocol::HyBi(Payload::Binary(TextFrames::Refuse)), &b"\x82\x02hi"[..]),
            (Protocol::HyBi(Payload::Binary(TextFrames::Accept)), b"\x82\x02hi"),
            (TEXT, b"\x81\x02hi"),
            (BASE64, b"\x81\x04aGk="),
            (Protocol::Hixie75, b"\x00aGk=\xff"),
            (Protocol::Hixie76, b"\x00aGk=\xff"),
        ] {
            assert_eq!(framed(&mut Codec::new(protocol), b"hi").0, frame, "{protocol:?}");
        }
    }

    #[test]
    fn half_a_character_waits_for_its_other_half() {
        let mut codec = Codec::new(TEXT);
        let (frame, outgoing) = framed(&mut codec, b"\xe2\x82");
        assert_eq!((frame.as_slice(), outgoing.payload, codec.held()), (&b""[..], 0, 2));
        let (frame, outgoing) = framed(&mut codec, b"\xac!");
        assert_eq!((frame.as_slice(), outgoing.payload, codec.held()), (&b"\x81\x04\xe2\x82\xac!"[..], 4, 0));
        let (frame, outgoing) = framed(&mut codec, b"\xff");
        assert_eq!((frame.as_slice(), outgoing.payload, outgoing.replaced), (&b"\x81\x03\xef\xbf\xbd"[..], 0, 1));
    }

    #[test]
    fn what_has_gone_of_a_frame_is_counted_in_whole_quanta() {
        let base64 = Codec::new(BASE64);
        let counts: Vec<usize> = (0..=10).map(|waiting| base64.undelivered(5, waiting)).collect();
        assert_eq!(counts, [0, 2, 2, 2, 2, 5, 5, 5, 5, 5, 5], "8 characters behind 2 bytes of header");
        let hixie = Codec::new(Protocol::Hixie76);
        let counts: Vec<usize> = (0..=10).map(|waiting| hixie.undelivered(5, waiting)).collect();
        assert_eq!(counts, [0, 0, 2, 2, 2, 2, 5, 5, 5, 5, 5], "8 characters between two bytes");
    }

    proptest! {
        #[test]
        fn no_bytes_of_either_side_panic(
            choice in 0..4_usize,
            client in prop::collection::vec(prop_oneof![Just(0), Just(0x81), any::<u8>()], 0..200),
            target in prop::collection::vec(any::<u8>(), 1..200),
            size in 1..50_usize,
        ) {
            let mut codec = Codec::new([Protocol::Hixie75, Protocol::Hixie76, BASE64, TEXT][choice]);
            for piece in target.chunks(size) {
                framed(&mut codec, piece);
            }
            for piece in client.chunks(size) {
                let (mut input, mut position, mut all) = (piece.to_vec(), 0, 0..0);
                while let Ok(Some(_)) = codec.read(&mut input, &mut position, &mut all) {}
                prop_assert!(all.end <= input.len());
            }
        }
    }
}
