//! What a program writes, as lines: bounded, and never torn by how it was read.

use std::mem;

/// A longer line is cut into lines of this length.
const LINE_BYTES_MAX: usize = 4096;

/// What was read of a line that has not ended.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Takes what was read, and gives each line that has ended to `line`, without its end. Empty lines are left out.
    pub(super) fn read(&mut self, read: &[u8], mut line: impl FnMut(&str)) {
        for piece in read.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(LINE_BYTES_MAX) {
                if self.begun.len() + part.len() > LINE_BYTES_MAX {
                    self.end(&mut line);
                }
                self.begun.extend_from_slice(part);
            }
            if piece.ends_with(b"\n") {
                self.end(&mut line);
            }
        }
    }

    /// Nothing more will be read.
    pub(super) fn end(&mut self, mut line: impl FnMut(&str)) {
        let begun = mem::take(&mut self.begun);
        let text = String::from_utf8_lossy(&begun);
        let text = text.trim_end_matches(['\r', '\n']);
        if !text.is_empty() {
            line(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(reads: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut said) = (Lines::default(), Vec::new());
        for read in reads {
            lines.read(read, |line| said.push(line.to_owned()));
        }
        lines.end(|line| said.push(line.to_owned()));
        said
    }

    #[test]
    fn a_line_ends_with_its_end_or_with_the_output() {
        assert_eq!(lines(&[b"one\r\ntw", b"o\n\n\nthree"]), ["one", "two", "three"]);
        assert_eq!(lines(&[]), [""; 0]);
        assert_eq!(lines(&[b"\xFF\n"]), ["\u{FFFD}"]);
    }

    #[test]
    fn a_line_without_end_is_cut_and_nothing_of_it_is_lost() {
        let long = vec![b'x'; 3 * LINE_BYTES_MAX + 7];
        let said = lines(&[&long]);
        assert_eq!(
            said.iter().map(String::len).collect::<Vec<_>>(),
            [LINE_BYTES_MAX, LINE_BYTES_MAX, LINE_BYTES_MAX, 7]
        );
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_it_was_read(output in "([a-z\u{e4}]{0,9}\n?){0,9}", cut in 1_usize..9) {
            let whole = lines(&[output.as_bytes()]);
            let pieces: Vec<&[u8]> = output.as_bytes().chunks(cut).collect();
            prop_assert_eq!(lines(&pieces), whole);
        }
    }
}
