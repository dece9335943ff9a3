//! Where in a file something is, as compilers write it: `FILE:LINE:COLUMN`.
//!
//! Lines and columns count from 1; columns count characters, not bytes. The parser knows byte ranges only: they become
//! places here, while the text is at hand.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A place in a file, or a file or directory as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// As it was found: the directory as the user named it, and the file's name.
    pub file: PathBuf,
    /// None: the whole file.
    pub position: Option<Position>,
}

impl Place {
    /// The file as a whole.
    pub(super) fn whole(file: &Path) -> Self {
        Self { file: file.to_owned(), position: None }
    }

    /// Where the bytes `span` of `text`, the content of `file`, begin.
    pub(super) fn new(file: &Path, text: &str, span: &Range<usize>) -> Self {
        Self { file: file.to_owned(), position: Some(Position::new(text, span.start)) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.position {
            Some(Position { line, column }) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

/// A line and a column of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Position {
    /// Where the byte `offset` is; the end of the text for one behind it.
    fn new(text: &str, offset: usize) -> Self {
        let end = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn columns_count_characters() {
        let text = "a = 1\nä = \"ö\" x";
        let offset = text.find('x').unwrap();
        assert_eq!(Position::new(text, offset), Position { line: 2, column: 9 });
    }

    #[test]
    fn an_offset_behind_the_text_is_its_end() {
        assert_eq!(Position::new("ab\n", 99), Position { line: 2, column: 1 });
    }
}
