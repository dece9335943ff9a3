//! Close frames: the codes that may travel, and the reason beside them. RFC 6455 sections 5.5.1 and 7.4.

use std::borrow::Cow;
use std::fmt;

use super::error::ProtocolError;

/// A status code that may stand in a Close frame. 1005, 1006 and 1015 are names for what happened, never sent, and
/// cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose of the session is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server goes away.
    pub const GOING_AWAY: Self = Self(1001);
    /// The client broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of data that this server does not take.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Data that is not what its frame says it is.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// The server may not do what was asked.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// The server could not do what was asked.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The server restarts: come back at once.
    pub const RESTART: Self = Self(1012);
    /// The server is overloaded: come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// A code from the wire: those of RFC 6455 section 7.4.1 that may travel, 1012 to 1014 of the IANA registry, and the
    /// ranges for libraries (3000 to 3999) and applications (4000 to 4999).
    pub fn from_wire(code: u16) -> Result<Self, ProtocolError> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(Self(code)),
            _ => Err(ProtocolError::CloseCode(code)),
        }
    }

    /// As it travels.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a Close frame with a payload says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    code: CloseCode,
    /// At most [`Close::REASON_BYTES_MAX`] bytes.
    reason: Cow<'static, str>,
}

impl Close {
    /// A control frame carries 125 bytes, of which two are the code.
    pub const REASON_BYTES_MAX: usize = 123;

    /// A reason that is too long is cut at the last character that fits.
    pub fn new(code: CloseCode, reason: impl Into<Cow<'static, str>>) -> Self {
        let mut reason = reason.into();
        if reason.len() > Self::REASON_BYTES_MAX {
            let end = reason.floor_char_boundary(Self::REASON_BYTES_MAX);
            reason.to_mut().truncate(end);
        }
        Self { code, reason }
    }

    /// Reads the payload of a Close frame. None: there was none, which RFC 6455 calls 1005.
    pub fn parse(payload: &[u8]) -> Result<Option<Self>, ProtocolError> {
        match payload {
            [] => Ok(None),
            [_] => Err(ProtocolError::CloseLength),
            [high, low, reason @ ..] => {
                let code = CloseCode::from_wire(u16::from_be_bytes([*high, *low]))?;
                let reason = str::from_utf8(reason).map_err(|_| ProtocolError::CloseReason)?;
                Ok(Some(Self::new(code, reason.to_owned())))
            }
        }
    }

    /// Its code.
    pub fn code(&self) -> CloseCode {
        self.code
    }

    /// Its reason, maybe empty.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl From<ProtocolError> for Close {
    fn from(error: ProtocolError) -> Self {
        Self::new(error.close_code(), error.to_string())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_codes_that_may_travel_are_read() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert_eq!(Close::parse(&u16::to_be_bytes(code)), Err(ProtocolError::CloseCode(code)));
        }
        for code in [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999] {
            assert_eq!(Close::parse(&u16::to_be_bytes(code)).unwrap().unwrap().code().get(), code);
        }
    }

    #[test]
    fn payloads_that_are_no_close_are_told_apart() {
        assert_eq!(Close::parse(b""), Ok(None));
        assert_eq!(Close::parse(b"\x03"), Err(ProtocolError::CloseLength));
        assert_eq!(Close::parse(b"\x03\xe8\xff"), Err(ProtocolError::CloseReason));
        assert_eq!(ProtocolError::CloseReason.close_code().get(), 1007);
    }

    proptest! {
        #[test]
        fn a_reason_fits_its_frame_and_stays_utf8(text: String) {
            let close = Close::new(CloseCode::NORMAL, text.clone());
            prop_assert!(close.reason().len() <= Close::REASON_BYTES_MAX);
            prop_assert!(text.starts_with(close.reason()));
            prop_assert!(text.len() <= Close::REASON_BYTES_MAX || close.reason().len() > Close::REASON_BYTES_MAX - 4);
        }
    }
}
