//! From a client's bytes, cut anywhere, to what they say.
//!
//! Promise: the decoder keeps 14 bytes of a header or 125 of a control frame, and never a payload: data is unmasked in
//! place, in the caller's buffer, as far as it has come. However the input is cut into reads, the payload bytes, the
//! control frames and the error are the same.
//!
//! It checks the order of frames (RFC 6455 section 5.4); [`ClientHeader`] checks each by itself. What text is good for is
//! the caller's decision.

use std::ops::Range;

use super::close::Close;
use super::error::ProtocolError;
use super::header::{CLIENT_HEADER_BYTES_MAX, CONTROL_BYTES_MAX, ClientHeader, Opcode};
use super::mask::Mask;

/// What a stretch of input said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A Close frame. None: without a payload. Nothing that follows it is read.
    Close(Option<Close>),
    /// Part of a message's payload, unmasked: this range of the input.
    Data {
        /// What the message's first frame called it.
        kind: DataKind,
        /// Where it now lies in the input; may be empty.
        payload: Range<usize>,
        /// The message ends with it.
        message_end: bool,
    },
    /// To be answered by a pong with the same payload.
    Ping(ControlPayload),
    /// Not to be answered.
    Pong(ControlPayload),
}

/// What a message claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// Bytes.
    Binary,
    /// UTF-8; the decoder does not check it.
    Text,
}

/// The payload of a control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlPayload {
    bytes: [u8; CONTROL_BYTES_MAX],
    length: u8,
}

impl ControlPayload {
    const EMPTY: Self = Self { bytes: [0; CONTROL_BYTES_MAX], length: 0 };

    /// The bytes that came.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Adds bytes, of which the header has promised that they fit.
    fn extend(&mut self, more: &[u8]) {
        let start = usize::from(self.length);
        self.bytes[start..start + more.len()].copy_from_slice(more);
        self.length += u8::try_from(more.len()).expect("a control frame's payload is at most 125 bytes");
    }
}

/// The state of a client's frame stream.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    /// The fragmented message under way.
    message: Option<DataKind>,
}

#[derive(Clone, Debug)]
enum State {
    /// Between frames, or inside a header of which these bytes have come.
    Header { held: [u8; CLIENT_HEADER_BYTES_MAX], length: u8 },
    /// Inside the payload of a data frame.
    Data { kind: DataKind, fin: bool, mask: Mask, remaining: u64 },
    /// Inside the payload of a control frame. Boxed: nearly all come whole, and are not kept at all.
    Control { opcode: Opcode, mask: Mask, remaining: u8, payload: Option<Box<ControlPayload>> },
    /// Behind a Close frame or an error: nothing is read any more.
    Ended,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { state: State::BETWEEN_FRAMES, message: None }
    }
}

impl State {
    const BETWEEN_FRAMES: Self = Self::Header { held: [0; CLIENT_HEADER_BYTES_MAX], length: 0 };
}

impl Decoder {
    /// Reads on from `input[*position..]`, to the end of the next thing said, and moves `position` behind it. None: all of
    /// the input is read. After a Close frame or an error the rest of the input stays unread.
    pub fn next(&mut self, input: &mut [u8], position: &mut usize) -> Result<Option<Event>, ProtocolError> {
        let outcome = self.step(input, position);
        if matches!(outcome, Err(_) | Ok(Some(Event::Close(_)))) {
            self.state = State::Ended;
        }
        outcome
    }

    fn step(&mut self, input: &mut [u8], position: &mut usize) -> Result<Option<Event>, ProtocolError> {
        if let State::Header { held, length } = &mut self.state {
            let Some(header) = read_header(held, length, input, position)? else { return Ok(None) };
            self.begin_frame(header)?;
        }
        let rest = &mut input[*position..];
        match &mut self.state {
            State::Data { kind, fin, mask, remaining } => {
                if rest.is_empty() && *remaining > 0 {
                    return Ok(None);
                }
                let take = usize::try_from(*remaining).map_or(rest.len(), |remaining| remaining.min(rest.len()));
                mask.apply(&mut rest[..take]);
                *remaining -= take as u64;
                let frame_end = *remaining == 0;
                let payload = *position..*position + take;
                let event = Event::Data { kind: *kind, payload, message_end: frame_end && *fin };
                *position += take;
                if frame_end {
                    self.state = State::BETWEEN_FRAMES;
                }
                Ok(Some(event))
            }
            State::Control { opcode, mask, remaining, payload } => {
                let take = usize::from(*remaining).min(rest.len());
                mask.apply(&mut rest[..take]);
                *remaining -= u8::try_from(take).expect("at most `remaining`");
                *position += take;
                if *remaining > 0 {
                    payload.get_or_insert_with(|| Box::new(ControlPayload::EMPTY)).extend(&rest[..take]);
                    return Ok(None);
                }
                let mut whole = payload.take().map_or(ControlPayload::EMPTY, |begun| *begun);
                whole.extend(&rest[..take]);
                let event = match opcode {
                    Opcode::Ping => Event::Ping(whole),
                    Opcode::Pong => Event::Pong(whole),
                    _ => Event::Close(Close::parse(whole.as_slice())?),
                };
                self.state = State::BETWEEN_FRAMES;
                Ok(Some(event))
            }
            State::Header { .. } | State::Ended => Ok(None),
        }
    }

    /// From the header to the payload, if the frame may come now.
    fn begin_frame(&mut self, header: ClientHeader) -> Result<(), ProtocolError> {
        let ClientHeader { fin, opcode, mask, length } = header;
        let kind = match (opcode, self.message) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {
                let remaining = u8::try_from(length).expect("a control frame's length is at most 125");
                self.state = State::Control { opcode, mask, remaining, payload: None };
                return Ok(());
            }
            (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (Opcode::Continuation, Some(kind)) => kind,
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(ProtocolError::UnexpectedNewFrame),
            (Opcode::Text, None) => DataKind::Text,
            (Opcode::Binary, None) => DataKind::Binary,
        };
        self.message = (!fin).then_some(kind);
        self.state = State::Data { kind, fin, mask, remaining: length };
        Ok(())
    }
}

/// Reads a header, of which the first bytes may be held from earlier input. None: the input ended inside it.
fn read_header(
    held: &mut [u8; CLIENT_HEADER_BYTES_MAX],
    length: &mut u8,
    input: &[u8],
    position: &mut usize,
) -> Result<Option<ClientHeader>, ProtocolError> {
    // Nearly every header comes whole, and is read where it lies.
    if *length == 0
        && let Some((header, read)) = ClientHeader::parse(&input[*position..])?
    {
        *position += read;
        return Ok(Some(header));
    }
    while let Some(&byte) = input.get(*position) {
        held[usize::from(*length)] = byte;
        *length += 1;
        *position += 1;
        if let Some((header, _)) = ClientHeader::parse(&held[..usize::from(*length)])? {
            return Ok(Some(header));
        }
    }
    Ok(None)
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the match arms bound the lengths")]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a whole input says, with the borders that reads make taken out.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    struct Transcript {
        said: Vec<Said>,
        error: Option<ProtocolError>,
    }

    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Said {
        Payload(DataKind, Vec<u8>),
        MessageEnd,
        Control(Event),
    }

    fn transcript<'a>(reads: impl Iterator<Item = &'a [u8]>) -> Transcript {
        let mut decoder = Decoder::default();
        let mut transcript = Transcript::default();
        for read in reads {
            let mut input = read.to_vec();
            let mut position = 0;
            loop {
                match decoder.next(&mut input, &mut position) {
                    Ok(None) => break,
                    Ok(Some(Event::Data { kind, payload, message_end })) => {
                        match transcript.said.last_mut() {
                            Some(Said::Payload(last, bytes)) if *last == kind => bytes.extend(&input[payload]),
                            _ if payload.is_empty() => {}
                            _ => transcript.said.push(Said::Payload(kind, input[payload].to_vec())),
                        }
                        if message_end {
                            transcript.said.push(Said::MessageEnd);
                        }
                    }
                    Ok(Some(event)) => transcript.said.push(Said::Control(event)),
                    Err(error) => {
                        transcript.error = Some(error);
                        break;
                    }
                }
            }
        }
        transcript
    }

    /// A frame as a client makes it, right or wrong.
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

    fn frames() -> impl Strategy<Value = Vec<u8>> {
        let first = prop_oneof![
            8 => Just(0x82_u8), 3 => Just(0x02), 3 => Just(0x80), 2 => Just(0x00), 1 => Just(0x81), 2 => Just(0x89),
            1 => Just(0x8A), 1 => Just(0x88), 1 => any::<u8>(),
        ];
        let payload = prop_oneof![
            6 => prop::collection::vec(any::<u8>(), 0..40),
            1 => prop::collection::vec(any::<u8>(), 120..130),
            1 => Just(vec![0x5A; 70_000]),
            1 => Just(b"\x03\xe8bye".to_vec()),
        ];
        let frame =
            (first, any::<[u8; 4]>(), payload).prop_map(|(first, key, payload)| client_frame(first, key, &payload));
        prop::collection::vec(frame, 0..12).prop_map(|frames| frames.concat())
    }

    #[test]
    fn a_continuation_needs_something_to_continue() {
        let lonely = client_frame(0x80, [1, 2, 3, 4], b"x");
        assert_eq!(transcript([&lonely[..]].into_iter()).error, Some(ProtocolError::UnexpectedContinuation));
        let nested = [client_frame(0x02, [0; 4], b"a"), client_frame(0x82, [0; 4], b"b")].concat();
        assert_eq!(transcript([&nested[..]].into_iter()).error, Some(ProtocolError::UnexpectedNewFrame));
    }

    #[test]
    fn an_empty_first_fragment_begins_a_message() {
        let input = [client_frame(0x02, [0; 4], b""), client_frame(0x80, [0; 4], b"b")].concat();
        let expected = vec![Said::Payload(DataKind::Binary, b"b".to_vec()), Said::MessageEnd];
        assert_eq!(transcript([&input[..]].into_iter()), Transcript { said: expected, error: None });
    }

    #[test]
    fn nothing_is_read_behind_a_close() {
        let input = [client_frame(0x88, [9; 4], b"\x03\xe8"), client_frame(0x82, [0; 4], b"late")].concat();
        assert_eq!(transcript([&input[..]].into_iter()).said.len(), 1);
    }

    proptest! {
        #[test]
        fn any_cutting_says_the_same(input in frames(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let cut = transcript(cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]));
            prop_assert_eq!(&cut, &transcript([&input[..]].into_iter()));
            if input.len() < 2000 {
                prop_assert_eq!(&cut, &transcript(input.chunks(1)));
            }
        }

        #[test]
        fn no_bytes_panic(input: Vec<u8>) {
            transcript(input.chunks(7));
        }
    }
}
