//! Our frames: never fragmented, never masked, RFC 6455 section 5.

use std::ops::Range;

use super::close::Close;
use super::header::{CONTROL_BYTES_MAX, Opcode, SERVER_HEADER_BYTES_MAX, write_before};

/// Free bytes that [`binary_frame`] needs before a payload.
pub const HEADROOM: usize = SERVER_HEADER_BYTES_MAX;

/// Makes a binary frame of the payload that lies in `buffer` at `payload`, by writing the header right before it, and
/// returns where the frame lies. The payload is not moved, so header and payload leave in one write.
///
/// # Panics
/// When fewer than [`HEADROOM`] bytes lie before the payload.
pub fn binary_frame(buffer: &mut [u8], payload: Range<usize>) -> Range<usize> {
    data_frame(buffer, Opcode::Binary, payload)
}

/// Writes the header of a binary frame of `length` bytes to the end of `space`, and returns where it lies.
///
/// # Panics
/// When `space` is shorter than [`HEADROOM`].
pub fn binary_header(space: &mut [u8], length: usize) -> Range<usize> {
    let end = space.len();
    let header = write_before(space, Opcode::Binary, length);
    end - header..end
}

/// Makes a text frame of the payload, which the caller knows to be UTF-8, as [`binary_frame`] does.
///
/// # Panics
/// When fewer than [`HEADROOM`] bytes lie before the payload.
pub fn text_frame(buffer: &mut [u8], payload: Range<usize>) -> Range<usize> {
    data_frame(buffer, Opcode::Text, payload)
}

/// Appends a ping without a payload.
pub fn ping(out: &mut Vec<u8>) {
    control_frame(out, Opcode::Ping, b"");
}

/// Appends the pong that answers a ping with this payload.
///
/// # Panics
/// When the payload is longer than a control frame's, which no ping's is.
pub fn pong(out: &mut Vec<u8>, payload: &[u8]) {
    control_frame(out, Opcode::Pong, payload);
}

/// Appends a Close frame; None makes one without a payload.
pub fn close(out: &mut Vec<u8>, close: Option<&Close>) {
    match close {
        None => control_frame(out, Opcode::Close, b""),
        Some(close) => {
            let mut payload = [0; CONTROL_BYTES_MAX];
            let length = 2 + close.reason().len();
            payload[..2].copy_from_slice(&close.code().get().to_be_bytes());
            payload[2..length].copy_from_slice(close.reason().as_bytes());
            control_frame(out, Opcode::Close, &payload[..length]);
        }
    }
}

fn data_frame(buffer: &mut [u8], opcode: Opcode, payload: Range<usize>) -> Range<usize> {
    let header = write_before(&mut buffer[..payload.start], opcode, payload.len());
    payload.start - header..payload.end
}

fn control_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let mut header = [0; 2];
    write_before(&mut header, opcode, payload.len());
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::super::close::CloseCode;
    use super::*;

    #[test]
    fn a_frame_is_its_header_and_the_payload_where_it_lay() {
        let mut buffer = [b"..........".as_slice(), b"Hello"].concat();
        let frame = binary_frame(&mut buffer, 10..15);
        assert_eq!(&buffer[frame], b"\x82\x05Hello");
        let frame = text_frame(&mut buffer, 10..15);
        assert_eq!(&buffer[frame], b"\x81\x05Hello");
    }

    #[test]
    fn control_frames_are_the_bytes_of_the_rfc() {
        let mut out = Vec::new();
        ping(&mut out);
        pong(&mut out, b"foo");
        close(&mut out, Some(&Close::new(CloseCode::NORMAL, "Target closed")));
        close(&mut out, None);
        assert_eq!(out, b"\x89\x00\x8a\x03foo\x88\x0f\x03\xe8Target closed\x88\x00");
    }
}
