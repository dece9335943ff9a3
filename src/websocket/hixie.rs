//! The frames of draft-hixie-thewebsocketprotocol-75 and -76 (`HyBi` 00): text between a byte 00 and a byte FF.
//!
//! Promise: nothing is kept but where in a frame the stream is; payload is where it lies in the caller's buffer. However
//! the input is cut into reads, what it says is the same.
//!
//! What the text is, is not looked at: [`super::codec`] takes it for base64. The frames with a length that the drafts set
//! aside for bytes (first byte 80 and above) were sent by nobody and are refused, as the drafts let a server.

use std::ops::Range;

use super::decoder::{DataKind, Event};
use super::error::ProtocolError;

/// The frame of -76 that ends a session, and answers the other side's.
pub const CLOSE: [u8; 2] = [END, 0x00];

/// What a frame is longer than its payload: one byte before it, one behind.
pub const FRAME_BYTES: usize = 2;

/// Begins a frame of text.
const TEXT: u8 = 0x00;

/// Ends a frame, and begins a closing one. No byte of UTF-8 is this one.
const END: u8 = 0xFF;

/// The state of a client's frame stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoder {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    BetweenFrames,
    Text,
    /// Behind the first byte of a closing frame.
    Close,
    /// Behind a closing frame or an error: nothing is read any more.
    Ended,
}

impl Decoder {
    /// Reads on from `input[*position..]`, to the end of the next thing said, and moves `position` behind it. None: all of
    /// the input is read. After a closing frame or an error the rest of the input stays unread.
    pub fn next(&mut self, input: &[u8], position: &mut usize) -> Result<Option<Event>, ProtocolError> {
        while let Some(&byte) = input.get(*position) {
            self.state = match (self.state, byte) {
                (State::Ended, _) => break,
                (State::Text, _) => return Ok(Some(self.text(input, position))),
                (State::BetweenFrames, TEXT) => State::Text,
                (State::BetweenFrames, END) => State::Close,
                // Zero bytes of length, that is. In -75 it means nothing, but the original ended those sessions too.
                (State::Close, 0) => {
                    self.state = State::Ended;
                    *position += 1;
                    return Ok(Some(Event::Close(None)));
                }
                (State::BetweenFrames, kind) => return Err(self.refuse(kind)),
                (State::Close, _) => return Err(self.refuse(END)),
            };
            *position += 1;
        }
        Ok(None)
    }

    /// Payload, as far as it has come. There is at least a byte to be read.
    fn text(&mut self, input: &[u8], position: &mut usize) -> Event {
        let start = *position;
        let end = memchr::memchr(END, &input[start..]);
        let payload = start..end.map_or(input.len(), |length| start + length);
        *position = payload.end;
        if end.is_some() {
            *position += 1;
            self.state = State::BetweenFrames;
        }
        Event::Data { kind: DataKind::Text, payload, message_end: end.is_some() }
    }

    fn refuse(&mut self, kind: u8) -> ProtocolError {
        self.state = State::Ended;
        ProtocolError::HixieFrame(kind)
    }
}

/// Makes a frame of the text that lies in `buffer`, without a byte FF in it, and returns where the frame lies.
///
/// # Panics
/// When there is no byte before the text, or none behind it.
pub fn frame(buffer: &mut [u8], text: Range<usize>) -> Range<usize> {
    buffer[text.start - 1] = TEXT;
    buffer[text.end] = END;
    text.start - 1..text.end + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    struct Heard {
        messages: Vec<Vec<u8>>,
        /// Of a message that has not ended.
        begun: Vec<u8>,
        closed: bool,
        error: Option<ProtocolError>,
    }

    fn heard<'a>(reads: impl Iterator<Item = &'a [u8]>) -> Heard {
        let (mut decoder, mut heard) = (Decoder::default(), Heard::default());
        for read in reads {
            let mut position = 0;
            loop {
                match decoder.next(read, &mut position) {
                    Ok(None) => break,
                    Ok(Some(Event::Data { payload, message_end, .. })) => {
                        heard.begun.extend_from_slice(&read[payload]);
                        if message_end {
                            heard.messages.push(std::mem::take(&mut heard.begun));
                        }
                    }
                    Ok(Some(_)) => heard.closed = true,
                    Err(error) => heard.error = Some(error),
                }
            }
        }
        heard
    }

    fn whole(input: &[u8]) -> Heard {
        heard([input].into_iter())
    }

    #[test]
    fn frames_are_what_lies_between_00_and_ff() {
        let heard = whole(b"\x00Zm9v\xff\x00\xff\x00Zg==\xff\x00Zg");
        assert_eq!(heard.messages, [b"Zm9v".to_vec(), vec![], b"Zg==".to_vec()]);
        assert_eq!(heard.begun, b"Zg");
    }

    #[test]
    fn the_closing_frame_ends_what_is_read() {
        let heard = whole(b"\x00x\xff\xff\x00\x00late\xff");
        assert_eq!(heard, Heard { messages: vec![b"x".to_vec()], closed: true, ..Heard::default() });
    }

    #[test]
    fn frames_with_a_length_and_unknown_ones_are_refused_at_their_first_wrong_byte() {
        for (input, kind) in [(&b"\x80\x03abc"[..], 0x80), (b"\xfe\x00", 0xFE), (b"\x01x\xff", 1), (b"\xff\x01x", 0xFF)]
        {
            let error = Some(ProtocolError::HixieFrame(kind));
            assert_eq!(whole(input), Heard { error, ..Heard::default() }, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn a_frame_is_written_around_its_text() {
        let mut buffer = *b"..Zg==..";
        let frame = frame(&mut buffer, 2..6);
        assert_eq!(&buffer[frame], b"\x00Zg==\xff");
    }

    proptest! {
        #[test]
        fn any_cutting_says_the_same(
            input in prop::collection::vec(prop_oneof![Just(0), Just(0xFF), any::<u8>(), Just(b'Z')], 0..60),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            prop_assert_eq!(heard(cuts.windows(2).map(|pair| &input[pair[0]..pair[1]])), whole(&input));
            prop_assert_eq!(heard(input.chunks(1)), whole(&input));
        }
    }
}
