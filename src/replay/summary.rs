//! What is in a recording, for people: how long it is, how much each side said, and when.

use std::fmt::Write as _;
use std::time::Duration;

use bytesize::ByteSize;

use super::timeline::Timeline;
use crate::record::format::Side;
use crate::record::parse::Encoding;
use crate::record::reader::{Form, ReadError, Reader};

/// How many bytes of a side are shown.
const FIRST_BYTES: usize = 48;

/// Where a summary is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// No line is longer, unless it is too narrow for words.
    pub columns: usize,
    /// Block characters can be shown.
    pub blocks: bool,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Summary {
    form: Form,
    encoding: Option<Encoding>,
    has_ended: bool,
    duration_ms: u64,
    /// By [`Side`].
    said: [Said; 2],
    timeline: Timeline,
}

#[derive(Clone, Debug, Default)]
struct Said {
    entries: u64,
    bytes: u64,
    first: Vec<u8>,
}

impl Summary {
    /// Reads a recording to its end.
    pub fn read(mut reader: Reader) -> Result<Self, ReadError> {
        let (mut said, mut timeline, mut duration_ms) = (<[Said; 2]>::default(), Timeline::new(), 0);
        while let Some(entry) = reader.next_entry()? {
            let (side, bytes) = (&mut said[entry.side as usize], entry.payload.len() as u64);
            side.entries += 1;
            side.bytes += bytes;
            let wanted = FIRST_BYTES.saturating_sub(side.first.len()).min(entry.payload.len());
            side.first.extend_from_slice(&entry.payload[..wanted]);
            timeline.add(entry.side, entry.time_ms, bytes);
            duration_ms = duration_ms.max(entry.time_ms);
        }
        let (form, encoding, has_ended) = (reader.form(), reader.encoding(), reader.has_ended());
        Ok(Self { form, encoding, has_ended, duration_ms, said, timeline })
    }

    /// The whole text.
    pub fn text(&self, style: Style) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            writeln!(text, "{name:<10} {value}").expect("a String takes everything");
        };
        line("file", &self.file());
        line("end", if self.has_ended { "whole" } else { "none: it was cut off, or is still being written" });
        line("duration", &humantime::format_duration(Duration::from_millis(self.duration_ms)).to_string());
        let sides = [(Side::Target, "target"), (Side::Client, "client")];
        for (side, name) in sides {
            let Said { entries, bytes, first } = &self.said[side as usize];
            let size = if *bytes < 1024 { String::new() } else { format!(" ({})", ByteSize(*bytes)) };
            let (byte, entry) = (noun(*bytes, "byte", "bytes"), noun(*entries, "entry", "entries"));
            line(name, &format!("{bytes} {byte}{size} in {entries} {entry}"));
            if !first.is_empty() {
                let room = style.columns.saturating_sub("begins".len() + 5 + "\"\"...".len()).max(8);
                let (beginning, length) = shown(first, room);
                let more = if *bytes > length as u64 { "..." } else { "" };
                line("  begins", &format!("\"{beginning}\"{more}"));
            }
        }
        text.push('\n');
        for (side, name) in sides {
            text.push_str(&self.chart(side, name, style));
        }
        text.push_str(&self.axis(style));
        text
    }

    fn file(&self) -> String {
        let form = match self.form {
            Form::Plain => "not compressed",
            Form::Gzip => "gzip",
            Form::Zstd => "zstd",
        };
        match self.encoding {
            Some(Encoding::Base64) => format!("{form}, payloads in base64"),
            Some(Encoding::Binary) | None => form.to_owned(),
        }
    }

    /// A line whose height is the rate of a side, and what the highest one stands for.
    fn chart(&self, side: Side, name: &str, style: Style) -> String {
        const BLOCKS: &[char] = &[' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        const LETTERS: &[char] = &[' ', '.', ':', '-', '=', '+', '*', '#', '@'];
        let rates = self.timeline.rates(side, self.duration_ms, columns(style));
        let peak = rates.iter().copied().max().unwrap_or_default();
        let levels = if style.blocks { BLOCKS } else { LETTERS };
        let level = |rate: &u64| {
            let height = (u128::from(*rate) * 8).div_ceil(u128::from(peak.max(1)));
            levels[usize::try_from(height).map_or(8, |height| height.min(8))]
        };
        let line: String = rates.iter().map(level).collect();
        format!("{name:<10} {line}\n{:<10} at most {}/s\n", "", ByteSize(peak))
    }

    fn axis(&self, style: Style) -> String {
        let end = humantime::format_duration(Duration::from_millis(self.duration_ms)).to_string();
        let drawn = self.timeline.rates(Side::Target, self.duration_ms, columns(style)).len();
        let gap = drawn.saturating_sub(1 + end.chars().count());
        format!("{:<10} 0{}{end}\n", "", " ".repeat(gap.max(1)))
    }
}

/// Beside the name, and with a column left, where some terminals break the line.
fn columns(style: Style) -> usize {
    style.columns.saturating_sub(12).max(8)
}

fn noun(count: u64, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// As much of the bytes as fits, in ASCII: whatever they are, they do nothing to a terminal. And how many of them that is.
fn shown(bytes: &[u8], columns: usize) -> (String, usize) {
    let (mut text, mut length) = (String::new(), 0);
    for byte in bytes {
        let character = byte.escape_ascii().to_string();
        if text.len() + character.len() > columns {
            break;
        }
        text.push_str(&character);
        length += 1;
    }
    (text, length)
}
