//! What a program writes, as lines: bounded, and never torn by how it was read.

use std::mem;

/// A longer line is cut into lines of this length.
const LINE_BYTES_MAX: usize = 4096;

/// What was read of a line that has not ended.
#[derive(Debug)]
pub(super) struct Lines {
    begun: Vec<u8>,
    bytes_max: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self::bounded(LINE_BYTES_MAX)
    }
}

impl Lines {
    /// Lines of so many bytes at most.
    fn bounded(bytes_max: usize) -> Self {
        Self { begun: Vec::new(), bytes_max }
    }

    /// Takes what was read, and gives each line that has ended to `line`, without its end. Empty lines are left out.
    pub(super) fn read(&mut self, read: &[u8], mut line: impl FnMut(&str)) {
        for piece in read.split_inclusive(|byte| *byte == b'\n') {
            let ended = piece.strip_suffix(b"\n");
            let mut rest = ended.unwrap_or(piece);
            while self.begun.len() + rest.len() > self.bytes_max {
                // Full first, and only then cut: so it does not matter how much came at once.
                let (part, behind) = rest.split_at(self.bytes_max - self.begun.len());
                self.begun.extend_from_slice(part);
                let cut_off = self.begun.split_off(whole_characters(&self.begun));
                self.end(&mut line);
                self.begun = cut_off;
                rest = behind;
            }
            self.begun.extend_from_slice(rest);
            if ended.is_some() {
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

/// How much of a text, which is going on, is characters as a whole. What is no UTF-8 is cut wherever it is.
fn whole_characters(text: &[u8]) -> usize {
    let is_first = |byte: u8| byte & 0b1100_0000 != 0b1000_0000;
    let last = text.iter().rev().take(4).position(|byte| is_first(*byte)).map(|back| text.len() - 1 - back);
    match last.map(|at| (at, text[at].leading_ones() as usize)) {
        Some((at, length @ 2..=4)) if at > 0 && at + length > text.len() => at,
        _ => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(reads: &[&[u8]]) -> Vec<String> {
        lines_bounded(LINE_BYTES_MAX, reads)
    }

    fn lines_bounded(bytes_max: usize, reads: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut said) = (Lines::bounded(bytes_max), Vec::new());
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

    #[test]
    fn a_long_line_is_cut_where_it_is_full_and_between_characters() {
        assert_eq!(lines_bounded(4, &[b"x", b"xxxxxx\n"]), ["xxxx", "xxx"]);
        assert_eq!(lines_bounded(4, &[b"xxxx", b"\n"]), ["xxxx"]);
        assert_eq!(lines_bounded(4, &["xx\u{20ac}x".as_bytes()]), ["xx", "\u{20ac}x"]);
        assert_eq!(
            lines_bounded(2, &[b"\x80\x80\x80\xFF\xFFx"]),
            ["\u{FFFD}\u{FFFD}"; 2].into_iter().chain(["\u{FFFD}x"]).collect::<Vec<_>>()
        );
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_it_was_read(
            output in "([a-z\u{e4}\u{20ac}\u{1f980}]{0,9}\n?){0,9}", cut in 1_usize..9, bytes_max in 4_usize..24,
        ) {
            let whole = lines_bounded(bytes_max, &[output.as_bytes()]);
            let pieces: Vec<&[u8]> = output.as_bytes().chunks(cut).collect();
            prop_assert_eq!(&lines_bounded(bytes_max, &pieces), &whole);
            prop_assert!(whole.iter().all(|line| line.len() <= bytes_max));
            prop_assert_eq!(whole.concat(), output.replace('\n', ""));
        }

        #[test]
        fn what_is_no_text_is_lines_however_it_was_read(
            output in prop::collection::vec(prop::sample::select(b"x\n\x80\xc3\xa4\xf0\xff".as_slice()), 0..60),
            cut in 1_usize..9,
            bytes_max in 1_usize..9,
        ) {
            let pieces: Vec<&[u8]> = output.chunks(cut).collect();
            prop_assert_eq!(lines_bounded(bytes_max, &pieces), lines_bounded(bytes_max, &[&output]));
        }
    }
}
