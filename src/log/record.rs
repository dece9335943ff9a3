//! One event as one line of text, the same for every place that records go to.
//!
//! Promise: a record's text has no control character, no line break of any kind and nothing that turns the direction of
//! writing: a client that puts them into a path cannot forge a record, colour a terminal or hide what it did. A value
//! cannot look like another field: one with a space, a quote or an equals sign in it stands in quotes. The text is bounded.
//!
//! Two names mean something here: `kind` is a [`Kind`]'s id and no part of the text; and a span of time is given in
//! microseconds under a name that ends in `_usec`, and shown to people in seconds without that ending.

use std::error::Error;
use std::fmt::{self, Write};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::kind::Kind;

/// What syslog servers take as one record. Far more than a record of this program has, unless a client wants to fill a disk.
/// The bound of each single value too.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// What a line has around its text, and no more than a guess: time, level and colours.
const LINE_FRAME_BYTES: usize = 64;

/// What most values fit into. Each session has two records with a dozen of them: room that grows step by step was a large part of what
/// it cost to write them.
const VALUE_BYTES: usize = 48;

/// What there is to say about one event.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) time: SystemTime,
    pub(super) level: Level,
    /// None: nobody needs to find it.
    pub(super) kind: Option<Kind>,
    /// The message and the fields after it.
    pub(super) text: String,
    /// The fields alone, as they were given.
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Record {
    pub(super) fn new(event: &Event<'_>) -> Self {
        let mut parts = Parts::with_room_for(event.metadata().fields().len());
        event.record(&mut parts);
        parts.into_record(*event.metadata().level())
    }

    /// A warning of the log itself.
    pub(super) fn warning(kind: Kind, message: &str) -> Self {
        let mut parts = Parts { kind: Some(kind), ..Parts::default() };
        parts.add("message", message.to_owned());
        parts.into_record(Level::WARN)
    }

    /// How many records are missing before this one.
    pub(super) fn gap(dropped: u64) -> Self {
        let mut parts = Parts { kind: Some(Kind::RecordsDropped), ..Parts::default() };
        parts.add("message", "records are missing here: they were not taken in time".to_owned());
        parts.add("dropped", dropped.to_string());
        parts.into_record(Level::WARN)
    }

    /// In the numbers of syslog, which the journal shares.
    pub(super) fn severity(&self) -> u8 {
        match self.level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO if self.kind.is_some_and(Kind::is_notice) => 5,
            Level::INFO => 6,
            _ => 7,
        }
    }

    /// `2026-11-22T07:03:48.123Z  INFO text`, and the end of the line.
    pub(super) fn line(&self, colours: bool) -> String {
        let Self { level, text, .. } = self;
        let time = humantime::format_rfc3339_millis(self.time);
        let mut line = String::with_capacity(text.len() + LINE_FRAME_BYTES);
        let written = if colours {
            let colour = match *level {
                Level::ERROR => "31",
                Level::WARN => "33",
                Level::INFO => "32",
                _ => "34",
            };
            writeln!(line, "\x1b[2m{time}\x1b[0m \x1b[{colour}m{level:>5}\x1b[0m {text}")
        } else {
            writeln!(line, "{time} {level:>5} {text}")
        };
        let _ = written; // writing to a String cannot fail
        line
    }
}

/// The message, and the fields as ` key=value`, both escaped; and what the fields are made of.
#[derive(Default)]
struct Parts {
    kind: Option<Kind>,
    message: String,
    fields: String,
    values: Vec<(&'static str, String)>,
}

impl Parts {
    fn with_room_for(fields: usize) -> Self {
        Self {
            message: String::with_capacity(VALUE_BYTES + fields * VALUE_BYTES),
            fields: String::with_capacity(fields * VALUE_BYTES),
            values: Vec::with_capacity(fields),
            ..Self::default()
        }
    }

    fn add(&mut self, name: &'static str, value: String) {
        if name == "message" {
            escape(&value, None, &mut self.message);
            return;
        }
        let in_seconds = in_seconds(name, &value);
        let (shown_name, shown) = in_seconds.as_ref().map_or((name, &value), |(name, shown)| (*name, shown));
        let quote = (shown.is_empty() || shown.contains([' ', '"', '='])).then_some('"');
        self.fields.push(' ');
        self.fields.push_str(shown_name);
        self.fields.push('=');
        self.fields.extend(quote);
        escape(shown, quote, &mut self.fields);
        self.fields.extend(quote);
        self.values.push((name, cut(value)));
    }

    fn into_record(self, level: Level) -> Record {
        let text = cut(self.message + &self.fields);
        Record { time: SystemTime::now(), level, kind: self.kind, text, fields: self.values }
    }
}

/// What a span of time is called and how it looks in the text. None: it is none.
fn in_seconds<'a>(name: &'a str, value: &str) -> Option<(&'a str, String)> {
    let name = name.strip_suffix("_usec")?;
    let usec: u64 = value.parse().ok()?;
    Some((name, format!("{}.{:03}s", usec / 1_000_000, usec / 1000 % 1000)))
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value.to_owned());
    }

    /// With its causes: "cannot read a.pem: Permission denied (os error 13)".
    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        let mut chain = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let _ = write!(chain, ": {error}");
            cause = error.source();
        }
        self.add(field.name(), chain);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        match field.name() {
            "kind" => self.kind = Kind::of(value),
            name => self.add(name, value.to_string()),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::with_capacity(VALUE_BYTES);
        let _ = write!(text, "{value:?}"); // writing to a String cannot fail
        self.add(field.name(), text);
    }
}

/// Control characters become `\n`, `\r`, `\t`, `\x1b` or `\u{2028}`, and so that it can be told what was one, a
/// backslash becomes two. A `quote` gets one in front of it.
fn escape(text: &str, quote: Option<char>, into: &mut String) {
    let mut rest = text;
    loop {
        // Nearly all there is: a run of it is copied at once.
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'\\' && byte != b'"';
        let plain = rest.bytes().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
        into.push_str(&rest[..plain]);
        let mut others = rest[plain..].chars();
        let Some(character) = others.next() else { return };
        rest = others.as_str();
        let _ = match character {
            _ if Some(character) == quote => write!(into, "\\{character}"),
            '\\' => into.write_str("\\\\"),
            '\n' => into.write_str("\\n"),
            '\r' => into.write_str("\\r"),
            '\t' => into.write_str("\\t"),
            '\0'..='\x1f' | '\x7f'..='\u{9f}' => write!(into, "\\x{:02x}", u32::from(character)),
            // Line and paragraph separators, and the marks that turn the direction of writing.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                write!(into, "\\u{{{:x}}}", u32::from(character))
            }
            _ => into.write_char(character),
        };
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    fn record(level: Level, text: &str) -> Record {
        let time = UNIX_EPOCH + Duration::from_millis(1_795_330_088_123);
        Record { time, level, kind: None, text: text.to_owned(), fields: Vec::new() }
    }

    #[test]
    fn a_line_is_time_level_text() {
        let line = |level| record(level, "listening on [::]:6080").line(false);
        assert_eq!(line(Level::INFO), "2026-11-22T06:48:08.123Z  INFO listening on [::]:6080\n");
        assert_eq!(line(Level::ERROR), "2026-11-22T06:48:08.123Z ERROR listening on [::]:6080\n");
    }

    #[test]
    fn colours_end_before_the_text() {
        assert_eq!(
            record(Level::WARN, "disk full").line(true),
            "\x1b[2m2026-11-22T06:48:08.123Z\x1b[0m \x1b[33m WARN\x1b[0m disk full\n"
        );
    }

    #[test]
    fn what_would_break_a_line_is_written_out() {
        let escaped = |text| {
            let mut into = String::new();
            escape(text, None, &mut into);
            into
        };
        assert_eq!(escaped("a\nb\r\tc"), r"a\nb\r\tc");
        assert_eq!(escaped("\x1b[31m\x07\x7f\u{9b}\0"), r"\x1b[31m\x07\x7f\x9b\x00");
        assert_eq!(escaped("\u{202e}txt.exe\u{2028}"), r"\u{202e}txt.exe\u{2028}");
        assert_eq!(escaped(r"C:\new"), r"C:\\new");
        assert_eq!(escaped("Grüße, 世界"), "Grüße, 世界");
    }

    #[test]
    fn only_values_that_need_quotes_have_them() {
        let mut parts = Parts::default();
        for (name, value) in [("a", "1"), ("b", ""), ("c", "x y"), ("d", "k=v"), ("e", "say \"hi\""), ("f", "[::1]:80")]
        {
            parts.add(name, value.to_owned());
        }
        assert_eq!(parts.fields, r#" a=1 b="" c="x y" d="k=v" e="say \"hi\"" f=[::1]:80"#);
    }

    #[test]
    fn a_span_of_time_is_shown_in_seconds_and_kept_in_microseconds() {
        let mut parts = Parts::default();
        parts.add("duration_usec", "83012345".to_owned());
        parts.add("pause_usec", "none".to_owned());
        assert_eq!(parts.fields, " duration=83.012s pause_usec=none");
        assert_eq!(parts.values[0], ("duration_usec", "83012345".to_owned()));
    }

    /// Reads fields back as a strict reader of the log would.
    fn read_fields(mut text: &str) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while let Some(field) = text.strip_prefix(' ') {
            let (name, value) = field.split_once('=').unwrap();
            let (mut plain, mut rest) = (String::new(), value);
            let quoted = value.starts_with('"');
            if quoted {
                rest = &rest[1..];
            }
            while let Some(next) = rest.chars().next() {
                if next == if quoted { '"' } else { ' ' } {
                    break;
                }
                rest = &rest[next.len_utf8()..];
                if next != '\\' {
                    plain.push(next);
                    continue;
                }
                let kind = rest.chars().next().unwrap();
                rest = &rest[kind.len_utf8()..];
                let (code, length) = match kind {
                    'n' => ('\n', 0),
                    'r' => ('\r', 0),
                    't' => ('\t', 0),
                    'x' => (u32::from_str_radix(&rest[..2], 16).ok().and_then(char::from_u32).unwrap(), 2),
                    'u' => {
                        let end = rest.find('}').unwrap();
                        (u32::from_str_radix(&rest[1..end], 16).ok().and_then(char::from_u32).unwrap(), end + 1)
                    }
                    other => (other, 0),
                };
                plain.push(code);
                rest = &rest[length..];
            }
            fields.push((name.to_owned(), plain));
            text = if quoted { &rest[1..] } else { rest };
        }
        assert_eq!(text, "");
        fields
    }

    /// Any text, with what is dangerous much more frequent than by chance.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            any::<char>().prop_map(String::from),
            "[ -~]{0,8}",
            proptest::sample::select(vec![
                "\n",
                "\r\n",
                "\x1b[2J",
                "\"",
                "\\",
                " ",
                "=",
                "\" level=ERROR",
                "\u{2028}",
                "\u{9b}"
            ])
            .prop_map(str::to_owned),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_text_breaks_its_line_or_speaks_to_the_terminal(message in hostile(), value in hostile()) {
            let mut parts = Parts::default();
            parts.add("message", message);
            parts.add("path", value);
            let line = record(Level::INFO, &(parts.message + &parts.fields)).line(false);
            let text = line.strip_suffix('\n').unwrap();
            prop_assert!(!text.contains(char::is_control), "{text:?}");
            prop_assert!(!text.contains(['\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}']), "{text:?}");
        }

        #[test]
        fn no_value_looks_like_another_field(first in hostile(), second in hostile()) {
            let mut parts = Parts::default();
            parts.add("client", first.clone());
            parts.add("path", second.clone());
            let expected = vec![("client".to_owned(), first), ("path".to_owned(), second)];
            prop_assert_eq!(read_fields(&parts.fields), expected);
        }
    }
}
