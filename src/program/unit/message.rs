//! What a daemon and the main process of a session's unit say to each other: lines of text, and one descriptor.
//!
//! Promise: both read what the other one writes, and no more than a line's length of anything else.

use std::fmt;
use std::io;
use std::str::FromStr;

use super::super::Ended;
use super::super::session::Guest;
use super::super::terminal::Window;

/// Longer than any line: an address with a scope, a session and two numbers.
pub const LINE_BYTES_MAX: usize = 160;

/// Not what should have been said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other side does not speak as a session's unit and its daemon do")]
pub struct MessageError;

impl From<MessageError> for io::Error {
    fn from(error: MessageError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Who has come, as a line.
pub fn introduction(guest: &Guest) -> String {
    let Guest { address, session, window: Window { columns, rows } } = guest;
    let address = address.map_or_else(|| "-".to_owned(), |address| address.to_string());
    format!("{session} {columns} {rows} {address}\n")
}

/// The same, read.
pub fn introduced(line: &str) -> Result<Guest, MessageError> {
    let words: Vec<&str> = line.split(' ').collect();
    let &[session, columns, rows, address] = words.as_slice() else { return Err(MessageError) };
    let is_session = !session.is_empty() && session.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let size = |text: &str| text.parse::<u16>().ok().filter(|size| *size > 0).ok_or(MessageError);
    let window = Window { columns: size(columns)?, rows: size(rows)? };
    let address = match address {
        "-" => None,
        address => Some(address.parse().map_err(|_| MessageError)?),
    };
    if is_session { Ok(Guest { address, session: session.to_owned(), window }) } else { Err(MessageError) }
}

/// What becomes of the program, a line each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It runs; the session's end of it comes with this line.
    Started,
    /// It could not be started, for this reason of the kernel's.
    Failed(i32),
    /// It has ended so.
    Ended(Ended),
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => writeln!(f, "started"),
            Self::Failed(errno) => writeln!(f, "failed {errno}"),
            Self::Ended(ended) => writeln!(f, "ended {}", ended.status()),
        }
    }
}

impl FromStr for News {
    type Err = MessageError;

    fn from_str(line: &str) -> Result<Self, MessageError> {
        match line.split_once(' ') {
            None if line == "started" => Ok(Self::Started),
            Some(("failed", errno)) => errno.parse().map(Self::Failed).map_err(|_| MessageError),
            Some(("ended", status)) => {
                status.parse().map(|status| Self::Ended(Ended::from_status(status))).map_err(|_| MessageError)
            }
            _ => Err(MessageError),
        }
    }
}

/// Takes the first line out of what was read. None: it has not ended yet.
pub fn take_line(read: &mut Vec<u8>) -> Result<Option<String>, MessageError> {
    let Some(end) = read.iter().position(|byte| *byte == b'\n') else {
        return if read.len() < LINE_BYTES_MAX { Ok(None) } else { Err(MessageError) };
    };
    let line: Vec<u8> = read.drain(..=end).collect();
    String::from_utf8(line[..end].to_vec()).map(Some).map_err(|_| MessageError)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;

    fn guests() -> impl Strategy<Value = Guest> {
        let address = proptest::option::of(any::<SocketAddr>());
        ("[0-9a-f]{8}", address, 1..=u16::MAX, 1..=u16::MAX).prop_map(|(session, address, columns, rows)| Guest {
            address,
            session,
            window: Window { columns, rows },
        })
    }

    proptest! {
        #[test]
        fn an_introduction_is_understood_as_it_was_meant(guest in guests()) {
            let mut read = introduction(&guest).into_bytes();
            prop_assert!(read.len() < LINE_BYTES_MAX);
            let understood = introduced(&take_line(&mut read).unwrap().unwrap()).unwrap();
            prop_assert_eq!(understood.session, guest.session);
            prop_assert_eq!(understood.window, guest.window);
            // What a flow is labelled, and a program is not told.
            prop_assert_eq!(understood.address.map(|address| address.ip()), guest.address.map(|address| address.ip()));
            prop_assert_eq!(understood.address.map(|address| address.port()), guest.address.map(|address| address.port()));
        }

        #[test]
        fn news_are_understood_as_they_were_meant(status in any::<u8>(), errno in any::<i32>()) {
            for news in [News::Started, News::Failed(errno), News::Ended(Ended::from_status(status))] {
                prop_assert_eq!(news.to_string().trim_end_matches('\n').parse(), Ok(news));
            }
        }

        #[test]
        fn any_bytes_are_lines_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut read = bytes;
            while let Ok(Some(line)) = take_line(&mut read) {
                let _ = (introduced(&line), line.parse::<News>());
            }
        }
    }

    #[test]
    fn what_is_not_an_introduction_is_none() {
        let lines = ["", "a", "a 80 24", "a 0 24 -", "a 80 x -", "a 80 24 x", " 80 24 -", "a=b 80 24 -", "a 80 24 - -"];
        for line in lines {
            assert_eq!(introduced(line).map(|guest| guest.session), Err(MessageError), "{line:?}");
        }
        for line in ["", "started ", "ended", "ended 256", "failed", "failed x"] {
            assert_eq!(line.parse::<News>(), Err(MessageError), "{line:?}");
        }
    }

    #[test]
    fn a_line_that_does_not_end_is_not_waited_for() {
        assert_eq!(take_line(&mut vec![b'a'; LINE_BYTES_MAX - 1]), Ok(None));
        assert_eq!(take_line(&mut vec![b'a'; LINE_BYTES_MAX]), Err(MessageError));
    }
}
