//! The ways in which a client can break the protocol after the handshake.

use super::close::CloseCode;

/// A rule that a client's frame broke. Its text is the reason of the Close frame that answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// RFC 4648 section 4: a byte that is none of the alphabet's, where base64 was agreed.
    #[error("Invalid base64: byte {0:#04x}")]
    Base64(u8),
    /// RFC 4648 section 4: padding that completes nothing, or is followed by something in its message.
    #[error("Invalid base64: padding not at the end of a message")]
    Base64Padding,
    /// RFC 6455 section 7.4: a code that may not travel.
    #[error("Invalid close code {0}")]
    CloseCode(u16),
    /// Section 5.5.1: a Close payload of one byte is no code.
    #[error("Close payload of one byte")]
    CloseLength,
    /// Section 5.5.1: the reason of a Close is UTF-8.
    #[error("Invalid UTF-8 in close")]
    CloseReason,
    /// Section 5.5: control frames are not fragmented.
    #[error("Fragmented control frame")]
    ControlFragmented,
    /// Section 5.5: control frames carry at most 125 bytes.
    #[error("Control frame of more than 125 bytes")]
    ControlLength,
    /// A frame of the old versions that begins with another byte than 00, and does not close.
    #[error("Unsupported frame type {0:#04x}: only text frames are taken")]
    HixieFrame(u8),
    /// Section 5.2: the most significant bit of a 64-bit length is 0.
    #[error("Frame length of 64 bits")]
    Length,
    /// Section 5.2: the shortest way to write a length is the only one.
    #[error("Frame length not minimally encoded")]
    LengthNotMinimal,
    /// Section 5.1: a client masks every frame.
    #[error("Frame not masked")]
    NotMasked,
    /// Section 5.2: an opcode without a meaning.
    #[error("Unknown opcode {0:#04x}")]
    Opcode(u8),
    /// Section 5.2: reserved bits without an extension that uses them.
    #[error("Reserved bits set")]
    ReservedBits,
    /// Text where only bytes are carried. Not a fault of the protocol, but an end of it all the same.
    #[error("Unsupported: Text frames are not supported")]
    Text,
    /// Section 5.4: a continuation of nothing.
    #[error("Unexpected continuation frame")]
    UnexpectedContinuation,
    /// Section 5.4: a new message inside a fragmented one.
    #[error("Unexpected new frame")]
    UnexpectedNewFrame,
    /// Section 8.1: text that is no UTF-8, where text is taken.
    #[error("Invalid UTF-8 in text")]
    Utf8,
}

impl ProtocolError {
    /// The code of the Close frame that answers it, RFC 6455 section 7.4.1.
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::Base64(_) | Self::Base64Padding | Self::CloseReason | Self::Utf8 => CloseCode::INVALID_PAYLOAD,
            Self::HixieFrame(_) | Self::Text => CloseCode::UNSUPPORTED,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}
