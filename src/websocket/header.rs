//! The header of a frame, RFC 6455 section 5.2: reading a client's, writing ours.
//!
//! A header that was read cannot be wrong: whatever breaks a rule is a [`ProtocolError`] instead.

use super::error::ProtocolError;
use super::mask::Mask;

/// The longest header a client can send: two bytes, a 64-bit length, a masking key.
pub const CLIENT_HEADER_BYTES_MAX: usize = 14;

/// The longest header we send: a server does not mask.
pub const SERVER_HEADER_BYTES_MAX: usize = 10;

/// The largest payload of a control frame, section 5.5.
pub const CONTROL_BYTES_MAX: usize = 125;

/// What kind of frame a header begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message under way.
    Continuation,
    /// The first frame of a text message.
    Text,
    /// The first frame of a binary message.
    Binary,
    /// The end.
    Close,
    /// Answered by a pong.
    Ping,
    /// The answer to a ping, or a sign of life.
    Pong,
}

impl Opcode {
    /// As it stands in the low four bits of a frame's first byte.
    pub fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    /// Whether it is a control frame's.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

impl TryFrom<u8> for Opcode {
    type Error = ProtocolError;

    fn try_from(bits: u8) -> Result<Self, ProtocolError> {
        match bits {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xA => Ok(Self::Pong),
            _ => Err(ProtocolError::Opcode(bits)),
        }
    }
}

/// The header of a frame from a client. The mask is no `Option`: a frame without one was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHeader {
    /// The last frame of its message.
    pub fin: bool,
    /// At most [`CONTROL_BYTES_MAX`] bytes of payload follow, and `fin` is set, when it is a control frame's.
    pub opcode: Opcode,
    /// The key, at the start of the payload.
    pub mask: Mask,
    /// Bytes of payload that follow: below 2^63.
    pub length: u64,
}

impl ClientHeader {
    /// Reads the header at the start of `bytes`, and says how many of them it is. None: more bytes are needed. A wrong
    /// header is refused at its first wrong byte, however few there are.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        let opcode = Opcode::try_from(first & 0x0F)?;
        let fin = first & 0x80 != 0;
        if opcode.is_control() && !fin {
            return Err(ProtocolError::ControlFragmented);
        }
        let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(ProtocolError::NotMasked);
        }
        let short_length = second & 0x7F;
        if opcode.is_control() && usize::from(short_length) > CONTROL_BYTES_MAX {
            return Err(ProtocolError::ControlLength);
        }
        let Some((length, rest)) = parse_length(short_length, rest)? else { return Ok(None) };
        let Some((&key, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let header = Self { fin, opcode, mask: Mask::new(key), length };
        Ok(Some((header, bytes.len() - rest.len())))
    }
}

/// The payload's length, given the seven bits that say how it is written.
fn parse_length(short: u8, bytes: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    let (length, rest) = match short {
        126 => match bytes.split_first_chunk() {
            Some((&length, rest)) => (u64::from(u16::from_be_bytes(length)), rest),
            None => return Ok(None),
        },
        127 => match bytes.split_first_chunk() {
            Some((&length, rest)) => (u64::from_be_bytes(length), rest),
            None => return Ok(None),
        },
        short => return Ok(Some((u64::from(short), bytes))),
    };
    if length > i64::MAX as u64 {
        return Err(ProtocolError::Length);
    }
    let fits_shorter = if short == 126 { length < 126 } else { length < 0x1_0000 };
    if fits_shorter { Err(ProtocolError::LengthNotMinimal) } else { Ok(Some((length, rest))) }
}

/// Writes the header of an unfragmented, unmasked frame so that it ends where `space` ends, and returns its length.
/// The payload can then follow without having been moved.
///
/// # Panics
/// When `space` is shorter than the header, which is at most [`SERVER_HEADER_BYTES_MAX`].
pub fn write_before(space: &mut [u8], opcode: Opcode, length: usize) -> usize {
    let first = 0x80 | opcode.bits();
    let mut header = [first, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let header = match length {
        0..=125 => {
            header[1] = u8::try_from(length).expect("at most 125");
            &header[..2]
        }
        126..=0xFFFF => {
            header[1] = 126;
            header[2..4].copy_from_slice(&u16::try_from(length).expect("at most 0xFFFF").to_be_bytes());
            &header[..4]
        }
        _ => {
            header[1] = 127;
            header[2..10].copy_from_slice(&(length as u64).to_be_bytes());
            &header[..10]
        }
    };
    let start = space.len() - header.len();
    space[start..].copy_from_slice(header);
    header.len()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(bytes: &[u8]) -> ProtocolError {
        ClientHeader::parse(bytes).unwrap_err()
    }

    #[test]
    fn every_broken_rule_has_its_name_at_its_first_byte() {
        assert_eq!(error(b"\xc2"), ProtocolError::ReservedBits);
        assert_eq!(error(b"\xa2"), ProtocolError::ReservedBits);
        assert_eq!(error(b"\x92"), ProtocolError::ReservedBits);
        assert_eq!(error(b"\x83"), ProtocolError::Opcode(3));
        assert_eq!(error(b"\x8b"), ProtocolError::Opcode(0xB));
        assert_eq!(error(b"\x09"), ProtocolError::ControlFragmented);
        assert_eq!(error(b"\x82\x05"), ProtocolError::NotMasked);
        assert_eq!(error(b"\x89\xfe"), ProtocolError::ControlLength);
        assert_eq!(error(b"\x82\xfe\x00\x7d"), ProtocolError::LengthNotMinimal);
        assert_eq!(error(b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff"), ProtocolError::LengthNotMinimal);
        assert_eq!(error(b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00"), ProtocolError::Length);
    }

    #[test]
    fn the_masked_hello_of_rfc_6455_section_5_7() {
        let (header, length) = ClientHeader::parse(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58").unwrap().unwrap();
        assert_eq!((header.fin, header.opcode, header.length, length), (true, Opcode::Text, 5, 6));
        assert_eq!(header.mask, Mask::new([0x37, 0xfa, 0x21, 0x3d]));
    }

    #[test]
    fn our_headers_are_the_examples_of_rfc_6455_section_5_7() {
        let mut space = [0; 12];
        assert_eq!(write_before(&mut space, Opcode::Binary, 256), 4);
        assert_eq!(&space[8..], b"\x82\x7e\x01\x00");
        assert_eq!(write_before(&mut space, Opcode::Binary, 65536), 10);
        assert_eq!(&space[2..], b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00");
        assert_eq!(write_before(&mut space, Opcode::Ping, 0), 2);
        assert_eq!(&space[10..], b"\x89\x00");
    }

    proptest! {
        #[test]
        fn a_header_written_is_a_header_read(length in prop_oneof![0..130_usize, 0xFFF0..0x1_0010_usize, any::<u32>().prop_map(|n| n as usize)], key: [u8; 4]) {
            let mut space = [0; SERVER_HEADER_BYTES_MAX];
            let written = write_before(&mut space, Opcode::Binary, length);
            let mut client = space[SERVER_HEADER_BYTES_MAX - written..].to_vec();
            client[1] |= 0x80;
            client.extend(key);
            for end in 0..client.len() {
                prop_assert_eq!(ClientHeader::parse(&client[..end]), Ok(None));
            }
            let expected = ClientHeader { fin: true, opcode: Opcode::Binary, mask: Mask::new(key), length: length as u64 };
            client.push(0xEE); // what follows a header is no part of it
            prop_assert_eq!(ClientHeader::parse(&client), Ok(Some((expected, client.len() - 1))));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = ClientHeader::parse(&bytes);
        }
    }
}
