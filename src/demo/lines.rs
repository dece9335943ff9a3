//! Lines out of a byte stream, in a buffer of fixed size. No input and no output here: bytes go in, lines come out.

/// The longest line. What is longer comes in parts.
pub(super) const LINE_BYTES_MAX: usize = 1024;

/// Bytes that are not a line yet.
#[derive(Debug)]
pub(super) struct Lines {
    buffer: [u8; LINE_BYTES_MAX],
    filled: usize,
}

impl Lines {
    /// Empty.
    pub(super) fn new() -> Self {
        Self { buffer: [0; LINE_BYTES_MAX], filled: 0 }
    }

    /// Where the next bytes go. Never empty once all lines were taken with [`next`](Self::next).
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[self.filled..]
    }

    /// So many bytes were put into [`room`](Self::room).
    pub(super) fn added(&mut self, count: usize) {
        self.filled += count;
    }

    /// The next line without its end, or a part of one that is too long.
    pub(super) fn next(&mut self) -> Option<String> {
        let held = &self.buffer[..self.filled];
        let (line, used) = match held.iter().position(|&byte| byte == b'\n') {
            Some(end) => (held[..end].strip_suffix(b"\r").unwrap_or(&held[..end]), end + 1),
            None if held.len() == LINE_BYTES_MAX => (held, held.len()),
            None => return None,
        };
        let line = String::from_utf8_lossy(line).into_owned();
        self.buffer.copy_within(used..self.filled, 0);
        self.filled -= used;
        Some(line)
    }

    /// What was read and is no whole line.
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(parts: &[Vec<u8>]) -> Vec<String> {
        let mut lines = Lines::new();
        let mut found = Vec::new();
        for mut part in parts.iter().map(Vec::as_slice) {
            while !part.is_empty() {
                let count = part.len().min(lines.room().len());
                lines.room()[..count].copy_from_slice(&part[..count]);
                lines.added(count);
                part = &part[count..];
                found.extend(std::iter::from_fn(|| lines.next()));
                assert!(!lines.room().is_empty(), "no room after all lines were taken");
            }
        }
        found.push(String::from_utf8_lossy(lines.rest()).into_owned());
        found
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_lines(text in "([a-z]{0,12}\n){0,8}[a-z]{0,5}", cuts in proptest::collection::vec(0usize..120, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut parts = Vec::new();
            let mut begin = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                parts.push(text.as_bytes()[begin..cut].to_vec());
                begin = cut;
            }
            let expected: Vec<String> = text.split('\n').map(str::to_owned).collect();
            prop_assert_eq!(split(&parts), expected);
        }

        #[test]
        fn any_bytes_are_taken(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..5)) {
            split(&parts);
        }
    }
}
