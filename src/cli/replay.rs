//! `websockify replay`: what is asked for, and the summary of a recording on a terminal.

use std::env;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use terminal_size::{Width, terminal_size};

use super::exit::Exit;
use crate::config::chain;
use crate::record::reader::{ReadError, Reader};
use crate::replay::{Speed, Style, Summary};
use crate::server::address::ListenAddress;

/// A recording to serve.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The recording.
    pub file: PathBuf,
    /// Where to listen.
    pub address: ListenAddress,
    /// How fast.
    pub speed: Speed,
    /// How long a session stays open after the last word.
    pub hold: Duration,
    /// The root of the files to serve.
    pub web: Option<PathBuf>,
}

impl From<&ReadError> for Exit {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::Damaged { .. }
            | ReadError::Empty { .. }
            | ReadError::LongLine { .. }
            | ReadError::NoFile { .. } => Self::BadData,
            ReadError::Open { .. } | ReadError::Read { .. } => Self::SystemError,
        }
    }
}

/// Tells what is in a recording, on standard output.
pub fn summarize(file: &Path) -> Exit {
    let summary = Reader::open(file).and_then(Summary::read);
    match summary {
        Ok(summary) => {
            let mut out = io::stdout().lock();
            match out.write_all(summary.text(style()).as_bytes()).and_then(|()| out.flush()) {
                // A reader that went away (`| head -1`) is not an error.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    eprintln!("websockify: error: cannot write the summary: {error}");
                    Exit::SystemError
                }
                _ => Exit::Success,
            }
        }
        Err(error) => {
            eprintln!("websockify: error: {}", chain(&error));
            Exit::from(&error)
        }
    }
}

/// How long `--hold` is: seconds, as other players take them, or a time with its unit.
pub(super) fn hold(text: &str) -> Result<Duration, HoldError> {
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| HoldError),
        Err(_) => humantime::parse_duration(text).map_err(|_| HoldError),
    }
}

/// Something else was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a number of seconds, such as 5, or a time such as 500ms or 2m")]
pub(super) struct HoldError;

/// As wide as the terminal, with its block characters; 80 columns of ASCII for everything that is not one.
fn style() -> Style {
    const PLAIN_COLUMNS: usize = 80;
    if !io::stdout().is_terminal() {
        return Style { columns: PLAIN_COLUMNS, blocks: false };
    }
    let columns = terminal_size().map_or(PLAIN_COLUMNS, |(Width(columns), _)| usize::from(columns));
    let says = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    // The first of these that is there decides, as everywhere.
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(says).unwrap_or_default().to_lowercase();
    Style { columns, blocks: locale.contains("utf-8") || locale.contains("utf8") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_is_seconds() {
        for (text, time) in [("5", 5000), ("0", 0), ("0.5", 500), ("5s", 5000), ("500ms", 500), ("2m", 120_000)] {
            assert_eq!(hold(text), Ok(Duration::from_millis(time)), "{text}");
        }
        for text in ["", "-1", "nan", "inf", "1e300", "5 x", "long"] {
            assert_eq!(hold(text), Err(HoldError), "{text}");
        }
    }
}
