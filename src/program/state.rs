//! How a program stands that the service manager supervises: a small file below `/run`, which whoever starts it writes and the
//! daemon reads.
//!
//! Promise: a reader sees one whole state, the last that was written. This is the text, where it lies, and how it is read; the privileged half
//! ([`crate::systemd::program`]) writes it, one short-lived process after the other, and [`super::watch`] reads it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::Ended;

/// The variable that tells a daemon where the state of its route's program lies. The generator writes it.
pub const VARIABLE: &str = "WEBSOCKIFY_PROGRAM";

/// The file's name in the program's directory.
const FILE: &str = "state";

/// The file in a program's directory.
pub fn file(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// The state in a program's directory. What cannot be read is not there: the file is replaced as a whole.
pub fn read(directory: &Path) -> Option<State> {
    fs::read_to_string(file(directory)).ok()?.parse().ok()
}

/// How a program stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The port that was found for it. None: it has its own.
    pub port: Option<u16>,
    /// Whether it runs.
    pub phase: Phase,
}

/// Whether a program runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It does, or is about to.
    Running,
    /// It did.
    Ended {
        /// As a shell would show it.
        status: Ended,
        /// What is said of the program: "has ended".
        how: String,
    },
    /// It could not be started: the whole reason.
    Failed(String),
}

impl fmt::Display for State {
    /// A line for the port, if there is one, and a line for the phase.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(port) = self.port {
            writeln!(f, "port {port}")?;
        }
        match &self.phase {
            Phase::Running => writeln!(f, "running"),
            Phase::Ended { status, how } => writeln!(f, "ended {} {}", status.status(), line(how)),
            Phase::Failed(reason) => writeln!(f, "failed {}", line(reason)),
        }
    }
}

/// Text that cannot begin another line.
fn line(text: &str) -> String {
    text.trim().replace(char::is_control, " ")
}

/// Not a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the state of a program")]
pub struct StateError;

impl FromStr for State {
    type Err = StateError;

    fn from_str(text: &str) -> Result<Self, StateError> {
        let mut lines = text.lines();
        let mut first = lines.next().ok_or(StateError)?;
        let mut port = None;
        if let Some(number) = first.strip_prefix("port ") {
            port = Some(number.parse().ok().filter(|port| *port != 0).ok_or(StateError)?);
            first = lines.next().ok_or(StateError)?;
        }
        let (word, rest) = first.split_once(' ').unwrap_or((first, ""));
        let phase = match (word, rest.split_once(' ')) {
            ("running", None) if rest.is_empty() => Phase::Running,
            ("ended", Some((status, how))) => {
                let status = Ended::from_status(status.parse().map_err(|_| StateError)?);
                Phase::Ended { status, how: how.to_owned() }
            }
            ("failed", _) => Phase::Failed(rest.to_owned()),
            _ => return Err(StateError),
        };
        if lines.next().is_some() { Err(StateError) } else { Ok(Self { port, phase }) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn phases() -> impl Strategy<Value = Phase> {
        let words = "[^\\p{Cc} ]([^\\p{Cc}]{0,20}[^\\p{Cc}\\s])?".prop_filter("trimmed", |text| text.trim() == text);
        prop_oneof![
            Just(Phase::Running),
            (any::<u8>(), words.clone())
                .prop_map(|(status, how)| Phase::Ended { status: Ended::from_status(status), how }),
            words.prop_map(Phase::Failed),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(port in proptest::option::of(1..=u16::MAX), phase in phases()) {
            let state = State { port, phase };
            prop_assert_eq!(state.to_string().parse(), Ok(state));
        }

        #[test]
        fn no_words_become_another_line(reason in "(?s).{0,40}") {
            let written = State { port: None, phase: Phase::Failed(reason) }.to_string();
            prop_assert_eq!(written.lines().count(), 1);
        }

        #[test]
        fn any_text_is_a_state_or_an_error(text in "(?s).{0,60}") {
            if let Ok(state) = text.parse::<State>() {
                prop_assert_eq!(state.to_string().parse::<State>(), Ok(state.clone()), "{:?}", state);
            }
        }
    }

    #[test]
    fn half_a_state_is_none() {
        for text in
            ["", "port 1", "port 0\nrunning", "port x\nrunning", "ended", "ended 3", "ended 256 x", "running\nx"]
        {
            assert_eq!(text.parse::<State>(), Err(StateError), "{text:?}");
        }
    }
}
