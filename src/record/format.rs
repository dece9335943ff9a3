//! The file of a recording: a JavaScript array of strings, one for each read of a side, as the original wrote it.
//!
//! ```text
//! var VNC_frame_data = [
//! '{3{RFB 003.008\n',      3 ms after the 101, from the target
//! '}17}RFB 003.008\n',     from the client
//! 'EOF'];
//! ```
//!
//! Pure: bytes go in and bytes come out. [`super::parse`] reads it back.

use std::io::Write as _;

use super::escape::{ESCAPED_BYTES_MAX, escape};

/// What a file begins with.
pub(super) const HEADER: &[u8] = b"var VNC_frame_data = [\n";

/// And what a whole one ends with.
pub(super) const FOOTER: &[u8] = b"'EOF'];\n";

/// Quotes, marks, a number of 20 digits, the comma and the line's end.
const FRAME_BYTES_MAX: usize = 2 + 2 + 20 + 2;

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The browser.
    Client,
    /// The service behind the proxy.
    Target,
}

impl Side {
    /// What stands before and behind an entry's time.
    pub(super) fn mark(self) -> char {
        match self {
            Self::Client => '}',
            Self::Target => '{',
        }
    }
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// By whom.
    pub side: Side,
    /// Milliseconds since the 101.
    pub time_ms: u64,
    /// The bytes.
    pub payload: Vec<u8>,
}

/// The most that an entry with a payload of that length takes.
pub(super) fn entry_bytes_max(payload: usize) -> usize {
    payload * ESCAPED_BYTES_MAX + FRAME_BYTES_MAX
}

/// Writes an entry to the beginning of `out`, which has [`entry_bytes_max`] bytes of room, and returns its length.
pub(super) fn write_entry(out: &mut [u8], side: Side, time_ms: u64, payload: &[u8]) -> usize {
    let mark = side.mark();
    let room = out.len();
    let mut rest = &mut *out;
    write!(rest, "'{mark}{time_ms}{mark}").expect("there is room for a number");
    let begin = room - rest.len();
    let end = begin + escape(payload, &mut out[begin..]);
    out[end..end + 3].copy_from_slice(b"',\n");
    end + 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_line() {
        let mut out = [0; 100];
        let length = write_entry(&mut out, Side::Target, 3, b"RFB 003.008\n");
        assert_eq!(&out[..length], b"'{3{RFB 003.008\\n',\n");
        let length = write_entry(&mut out, Side::Client, 491, b"it's \"x\"");
        assert_eq!(&out[..length], b"'}491}it\\'s \"x\"',\n");
    }

    #[test]
    fn the_longest_entry_fits() {
        let payload = [0xFF; 100];
        let mut out = vec![0; entry_bytes_max(payload.len())];
        assert!(write_entry(&mut out, Side::Client, u64::MAX, &payload) <= out.len());
    }
}
