//! A table of tokens: the text of a token file, read, and what it says of a token.
//!
//! Pure. A line is `token: target`; blank lines and comments do not count. No error repeats what stands in a line, because
//! a line holds a token. In memory there is no token either, only its hash under a key of this process: how long a lookup
//! takes tells nothing about how near a guess came.

use std::collections::HashMap;

use crate::tag::Tag;
use crate::target::Target;
use crate::target::token::Token;

/// The entries of one file.
#[derive(Debug, Default)]
pub struct Table {
    targets: HashMap<Tag, Target>,
}

/// A line that is no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {wrong}: write 'token: host:port', 'token: [IPv6]:port' or 'token: unix_socket:/path'")]
pub struct WrongLine {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// No colon with a blank behind it.
    #[error("has no blank behind the colon that ends the token")]
    NoSeparator,
    /// Nothing before the colon.
    #[error("has no token")]
    NoToken,
    /// More than two parts.
    #[error("has more than a token and its target")]
    TooMany,
    /// The second part is no target.
    #[error("does not end in a target")]
    NoTarget,
}

impl Table {
    /// Reads a file's text. The right lines are in the table, even when there are wrong ones beside them; of two with one
    /// token, the later counts.
    pub fn read(text: &str) -> (Self, Vec<WrongLine>) {
        let (mut targets, mut wrong) = (HashMap::new(), Vec::new());
        for (line, entry) in entries(text) {
            match entry {
                Ok((token, target)) => drop(targets.insert(tag(token), target)),
                Err(error) => wrong.push(WrongLine { line, wrong: error }),
            }
        }
        (Self { targets }, wrong)
    }

    /// What a token stands for.
    pub fn get(&self, token: &Token) -> Option<&Target> {
        self.targets.get(&tag(token.as_str()))
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }
}

/// The lines that say something, each with its number and what it says.
pub fn entries(text: &str) -> impl Iterator<Item = (usize, Result<(&str, Target), Wrong>)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = (1..).zip(text.lines()).map(|(number, line)| (number, line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(number, line)| (number, entry(line)))
}

/// A colon and a blank divide a line, whatever blank it is, and once only: `a: b: c` could mean two things.
fn entry(line: &str) -> Result<(&str, Target), Wrong> {
    let (token, target) = split(line).ok_or(Wrong::NoSeparator)?;
    if token.is_empty() {
        return Err(Wrong::NoToken);
    }
    if split(target).is_some() {
        return Err(Wrong::TooMany);
    }
    Ok((token, Target::foreign(target).map_err(|_| Wrong::NoTarget)?))
}

fn split(line: &str) -> Option<(&str, &str)> {
    let mut colons = line.match_indices(':');
    let (at, rest) = colons.find_map(|(at, _)| {
        let mut rest = line[at + 1..].chars();
        rest.next().is_some_and(char::is_whitespace).then_some((at, rest.as_str()))
    })?;
    Some((&line[..at], rest))
}

/// What is kept of a token in place of it.
fn tag(token: &str) -> Tag {
    Tag::of(&[token.as_bytes()])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn reads(line: &str, token: &str, target: &str) {
        let read: Vec<_> = entries(line).collect();
        let [(1, Ok((found, to)))] = read.as_slice() else { panic!("{line}: {read:?}") };
        assert_eq!((*found, to.to_string()), (token, target.to_owned()), "{line}");
    }

    #[test]
    fn lines_of_the_original_are_read() {
        reads("token1: 10.0.0.5:5901", "token1", "10.0.0.5:5901");
        reads("token2:\tunix_socket:/run/vm7.vnc", "token2", "unix:/run/vm7.vnc");
        reads("token3: ::1:5902", "token3", "[::1]:5902");
        reads("a b: h:1", "a b", "h:1");
        reads("a:b: h:1", "a:b", "h:1");
        reads("tok:   h:1   ", "tok", "h:1");
    }

    /// The originals say "Syntax error" for the blank line and the indented ones, or keep the blanks, and cannot connect to
    /// an address in brackets, or a path with a colon in it.
    #[test]
    fn lines_that_the_original_mistook_are_read() {
        reads("  tok: h:1", "tok", "h:1");
        reads("tok: [::1]:5901", "tok", "[::1]:5901");
        reads("tok: unix_socket:/run/vm:7.vnc", "tok", "unix:/run/vm:7.vnc");
        reads("tok: unix:/run/vm7.vnc", "tok", "unix:/run/vm7.vnc");
        reads("\u{feff}tok: h:1\r\n", "tok", "h:1");
        assert_eq!(entries("\n   \n\t# a comment: h:1\n# another: h:1\n").count(), 0);
    }

    #[test]
    fn a_line_that_is_no_entry_is_told_by_its_number_and_without_its_text() {
        let text =
            "ok: h:1\n\ntok4:host:1\nd: host\ntok: h:1 # comment\na: b: c\n: h:1\nx: unix_socket:vm.vnc\nx: h:vnc\n";
        let (table, wrong) = Table::read(text);
        assert_eq!(table.len(), 1);
        let found: Vec<_> = wrong.iter().map(|wrong| (wrong.line, wrong.wrong)).collect();
        assert_eq!(
            found,
            [
                (3, Wrong::NoSeparator),
                (4, Wrong::NoTarget),
                (5, Wrong::NoTarget),
                (6, Wrong::TooMany),
                (7, Wrong::NoToken),
                (8, Wrong::NoTarget),
                (9, Wrong::NoTarget),
            ]
        );
        for wrong in wrong {
            assert!(!wrong.to_string().contains("tok4") && wrong.to_string().contains("host:port"), "{wrong}");
        }
    }

    #[test]
    fn of_two_lines_with_one_token_the_later_counts() {
        let (table, _) = Table::read("t: a:1\nt: b:2\n");
        let found = table.targets.get(&tag("t")).map(ToString::to_string);
        assert_eq!((table.len(), found.as_deref()), (1, Some("b:2")));
    }

    /// How long a lookup takes must not tell how much of a guess is right: a token is as long here as one may be, so that a
    /// comparison of texts would show.
    #[test]
    fn a_guess_with_the_right_beginning_takes_as_long_as_any_other() {
        let right = "x".repeat(8000);
        let (table, _) = Table::read(&format!("{right}: h:1\n"));
        let (near, far) = (format!("{}y", &right[1..]), format!("y{}", &right[1..]));
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..10_000 {
            for (guess, times) in [&near, &far].into_iter().zip(&mut times) {
                let began = std::time::Instant::now();
                let found = std::hint::black_box(&table).targets.get(&tag(std::hint::black_box(guess)));
                times.push(began.elapsed());
                assert_eq!(found, None);
            }
        }
        let [near, far] = times.map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64()
        });
        assert!((near / far - 1.0).abs() < 0.1, "{near} s with the right beginning, {far} s without");
    }

    proptest! {
        /// Any text gives a table and complaints about lines that exist; a token that is written is found.
        #[test]
        fn any_text_is_read(before in "\\PC{0,40}(\n\\PC{0,40}){0,3}", token in "[a-z]([a-z :]{0,8}[a-z])?", port in 1_u16..) {
            prop_assume!(!token.contains(": "));
            let text = format!("{before}\n{token}: host:{port}\n");
            let (table, wrong) = Table::read(&text);
            let target = Target::Tcp { host: "host".to_owned(), port };
            prop_assert_eq!(table.targets.get(&tag(&token)), Some(&target));
            prop_assert!(wrong.iter().all(|wrong| (1..=text.lines().count()).contains(&wrong.line)));
        }
    }
}
