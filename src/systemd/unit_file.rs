//! The text of a drop-in: sections, settings, and a reason above each that is not obvious.
//!
//! Promise: whatever a route's file holds becomes the value of the setting it is for, and nothing else: no line break gets
//! through to begin another setting, no `%` to be expanded, no backslash to join two lines.

use std::fmt::Write as _;
use std::path::Path;

/// Text that would not come back out of a unit file as it went in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be written into a unit: use no control characters, no space at its ends and no backslash at its end"
)]
pub(super) struct Unfit(String);

/// A unit file that is being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UnitFile {
    text: String,
    /// A section that nothing is in yet: without anything, it does not appear.
    section: Option<String>,
}

impl UnitFile {
    /// Begins a section.
    pub(super) fn section(&mut self, name: &str) {
        self.section = Some(name.to_owned());
    }

    /// Says why the settings that follow are there.
    pub(super) fn because(&mut self, reason: &str) {
        self.line(&format!("# {}", sentence(reason)));
    }

    /// A value that is made here and needs no escaping.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        debug_assert!(!value.contains(['\n', '%']));
        self.line(&format!("{key}={value}"));
    }

    /// The same, with its key: `KEY=VALUE`.
    pub(super) fn set_pair(&mut self, setting: &str) {
        debug_assert!(setting.contains('=') && !setting.contains(['\n', '%']));
        self.line(setting);
    }

    /// A value that is made here, with a directory of the manager's in it.
    pub(super) fn set_expanding(&mut self, key: &str, value: &str) {
        debug_assert!(!value.contains('\n'));
        self.line(&format!("{key}={value}"));
    }

    /// Text for people: what does not fit is left out.
    pub(super) fn describe(&mut self, key: &str, text: &str) {
        self.line(&format!("{key}={}", sentence(text).replace('%', "%%")));
    }

    /// A value that is one whole, up to the end of the line.
    pub(super) fn set_whole(&mut self, key: &str, value: &Fit) {
        self.line(&format!("{key}={}", value.0.replace('%', "%%")));
    }

    /// The same, behind a prefix that is made here.
    pub(super) fn set_behind(&mut self, key: &str, prefix: &str, value: &Fit) {
        self.line(&format!("{key}={prefix}{}", value.0.replace('%', "%%")));
    }

    /// A value that is one of several words: quoted, behind a prefix that is made here.
    pub(super) fn set_word(&mut self, key: &str, prefix: &str, value: &Fit) {
        let quoted = value.0.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
        self.line(&format!("{key}=\"{prefix}{quoted}\""));
    }

    /// Words that are unquoted and unescaped when they are read: all text fits, with no exception.
    pub(super) fn set_escaped<'a>(&mut self, key: &str, words: impl IntoIterator<Item = &'a str>) {
        let words: Vec<String> = words.into_iter().map(escaped).collect();
        self.line(&format!("{key}={}", words.join(" ")));
    }

    fn line(&mut self, line: &str) {
        if let Some(section) = self.section.take() {
            let separator = if self.text.is_empty() { "" } else { "\n" };
            let _ = writeln!(self.text, "{separator}[{section}]"); // a String takes everything
        }
        let _ = writeln!(self.text, "{line}");
    }

    /// The whole file.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// Text that can be written into a unit and comes back out as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fit(String);

impl Fit {
    pub(super) fn new(text: &str) -> Result<Self, Unfit> {
        let fits = !text.is_empty() && text.trim() == text && !text.contains(char::is_control) && !text.ends_with('\\');
        if fits { Ok(Self(text.to_owned())) } else { Err(Unfit(text.to_owned())) }
    }

    pub(super) fn path(path: &Path) -> Result<Self, Unfit> {
        path.to_str().map_or_else(|| Err(Unfit(path.to_string_lossy().into_owned())), Self::new)
    }
}

/// One line, without what would continue it.
fn sentence(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.trim_matches(|c: char| c.is_whitespace() || c == '\\').to_owned()
}

/// A word in quotes, as in C.
fn escaped(word: &str) -> String {
    let mut written = String::from("\"");
    for character in word.chars() {
        match character {
            '\\' | '"' => written.extend(['\\', character]),
            '%' => written.push_str("%%"),
            '\0'..='\x1f' | '\x7f' => {
                let _ = write!(written, "\\x{:02x}", u32::from(character)); // a String takes everything
            }
            _ => written.push(character),
        }
    }
    written.push('"');
    written
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_specifier_is_no_specifier() {
        let mut unit = UnitFile::default();
        unit.set_whole("ListenStream", &Fit::new("/run/100%n.sock").unwrap());
        unit.set_word("BindReadOnlyPaths", "-", &Fit::new("/home/a \"%h\" b").unwrap());
        unit.describe("Description", "100%\nExecStart=/bin/sh \\");
        assert_eq!(
            unit.into_text(),
            "ListenStream=/run/100%%n.sock\n\
             BindReadOnlyPaths=\"-/home/a \\\"%%h\\\" b\"\n\
             Description=100%% ExecStart=/bin/sh\n"
        );
    }

    #[test]
    fn a_word_of_any_text_is_one_word() {
        let mut unit = UnitFile::default();
        unit.set_escaped("ExecStart", ["a b", "", ";", "\"%n\\\n\t\u{7f}ä'"]);
        assert_eq!(unit.into_text(), "ExecStart=\"a b\" \"\" \";\" \"\\\"%%n\\\\\\x0a\\x09\\x7fä'\"\n");
    }

    #[test]
    fn what_a_unit_cannot_hold_is_refused() {
        for text in ["", " /a", "/a\t", "/a\nExecStart=/bin/sh", "/a\\", "/a\u{7f}"] {
            assert_eq!(Fit::new(text), Err(Unfit(text.to_owned())));
        }
    }

    proptest! {
        /// One call is one line, and only `%%` is left of a percent sign.
        #[test]
        fn no_text_gets_out_of_its_line(text in "(?s).{0,40}") {
            let mut unit = UnitFile::default();
            unit.because(&text);
            unit.describe("Description", &text);
            unit.set_escaped("A", [text.as_str(), "b"]);
            if let Ok(fit) = Fit::new(&text) {
                unit.set_whole("A", &fit);
                unit.set_behind("A", "b:", &fit);
                unit.set_word("A", "-", &fit);
            }
            let written = unit.into_text();
            for line in written.lines() {
                prop_assert!(line.starts_with("# ") || line.starts_with("Description=") || line.starts_with("A="), "{line:?}");
                prop_assert!(!line.ends_with('\\'), "{line:?}");
                prop_assert!(line.starts_with('#') || !line.replace("%%", "").contains('%'), "{line:?}");
            }
        }
    }
}
