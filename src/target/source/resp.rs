//! The protocol of Redis (RESP 2), as much of it as a lookup needs.
//!
//! Pure: bytes in, replies out. A reply is bounded: what a token stands for is short.

/// A reply is no longer.
pub const REPLY_BYTES_MAX: usize = 64 * 1024;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`.
    Status(String),
    /// `-ERR ...`.
    Error(String),
    /// `:1`.
    Integer(i64),
    /// Bytes; None: there is no such key.
    Bulk(Option<Vec<u8>>),
}

/// Bytes that are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RespError {
    /// Not this protocol.
    #[error("what came is no reply of Redis")]
    Form,
    /// More than a lookup's.
    #[error("the reply is longer than {REPLY_BYTES_MAX} bytes")]
    TooLong,
}

/// A command as it travels.
pub fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

impl Reply {
    /// The first reply in `bytes`, and how many bytes it took. None: more is to come.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, RespError> {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
            return match bytes.first() {
                Some(b'+' | b'-' | b':' | b'$') | None if bytes.len() <= REPLY_BYTES_MAX => Ok(None),
                Some(b'+' | b'-' | b':' | b'$') => Err(RespError::TooLong),
                _ => Err(RespError::Form),
            };
        };
        let after = end + 2;
        let text = |from: &[u8]| String::from_utf8_lossy(from).into_owned();
        match bytes[..end].split_first() {
            _ if end > REPLY_BYTES_MAX => Err(RespError::TooLong),
            Some((b'+', status)) => Ok(Some((Self::Status(text(status)), after))),
            Some((b'-', error)) => Ok(Some((Self::Error(text(error)), after))),
            Some((b':', number)) => Ok(Some((Self::Integer(integer(number)?), after))),
            Some((b'$', length)) => match integer(length)? {
                -1 => Ok(Some((Self::Bulk(None), after))),
                length => bulk(&bytes[after..], length).map(|found| found.map(|(reply, taken)| (reply, after + taken))),
            },
            _ => Err(RespError::Form),
        }
    }
}

fn bulk(bytes: &[u8], length: i64) -> Result<Option<(Reply, usize)>, RespError> {
    let length = usize::try_from(length).map_err(|_| RespError::Form)?;
    if length > REPLY_BYTES_MAX {
        return Err(RespError::TooLong);
    }
    match bytes.get(length..length + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some((Reply::Bulk(Some(bytes[..length].to_vec())), length + 2))),
        Some(_) => Err(RespError::Form),
    }
}

fn integer(digits: &[u8]) -> Result<i64, RespError> {
    let text = std::str::from_utf8(digits).map_err(|_| RespError::Form)?;
    if text.starts_with('+') {
        return Err(RespError::Form);
    }
    text.parse().map_err(|_| RespError::Form)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn replies_are_read() {
        let cases: [(&[u8], Reply); 6] = [
            (b"+OK\r\n", Reply::Status("OK".to_owned())),
            (b"-NOAUTH Authentication required.\r\n", Reply::Error("NOAUTH Authentication required.".to_owned())),
            (b":-7\r\n", Reply::Integer(-7)),
            (b"$-1\r\n", Reply::Bulk(None)),
            (b"$0\r\n\r\n", Reply::Bulk(Some(Vec::new()))),
            (b"$6\r\nh:1\r\n2\r\n", Reply::Bulk(Some(b"h:1\r\n2".to_vec()))),
        ];
        for (bytes, reply) in cases {
            assert_eq!(Reply::parse(bytes), Ok(Some((reply.clone(), bytes.len()))));
            for end in 0..bytes.len() {
                assert_eq!(Reply::parse(&bytes[..end]), Ok(None), "{end} of {bytes:?}");
            }
            let more = [bytes, b"+OK\r\n"].concat();
            assert_eq!(Reply::parse(&more), Ok(Some((reply, bytes.len()))));
        }
    }

    #[test]
    fn what_is_no_reply_is_refused_and_never_waited_for() {
        for bytes in [
            &b"HTTP/1.1 400\r\n"[..],
            b"H",
            b"$x\r\n",
            b"$-2\r\n",
            b"$1\r\nxyz",
            b":\r\n",
            b"*1\r\n",
            b"\r\n",
            b"$+1\r\nx\r\n",
        ] {
            assert_eq!(Reply::parse(bytes), Err(RespError::Form), "{bytes:?}");
        }
        let endless = [b"+", vec![b'x'; REPLY_BYTES_MAX].as_slice()].concat();
        assert_eq!(Reply::parse(&endless), Err(RespError::TooLong));
        assert_eq!(Reply::parse(b"$99999999999\r\n"), Err(RespError::TooLong));
    }

    #[test]
    fn a_command_says_the_length_of_each_word() {
        assert_eq!(command(&[b"GET", b"a\r\nb"]), b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n");
    }

    proptest! {
        #[test]
        fn a_reply_takes_no_more_than_there_is(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(Some((_, taken))) = Reply::parse(&bytes) {
                prop_assert!(taken <= bytes.len());
            }
        }

        #[test]
        fn a_bulk_is_read_back(value in prop::collection::vec(any::<u8>(), 0..100)) {
            let wire = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
            prop_assert_eq!(Reply::parse(&wire).unwrap(), Some((Reply::Bulk(Some(value)), wire.len())));
        }
    }
}
