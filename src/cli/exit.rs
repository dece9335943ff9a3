//! Exit statuses, and answers that end the program before it did anything.
//!
//! The statuses are those of sysexits.h, because systemd names them in `systemctl status`; the classic command line
//! keeps the original's 2 for its own errors.

use std::io::{self, Write};
use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A file that was named is not what it should be.
    BadData,
    /// A bug of this program.
    Bug,
    /// The classic command line is wrong.
    ClassicUsage,
    /// The configuration is wrong.
    Config,
    /// A wrapped program has ended so.
    Program(u8),
    /// Done.
    Success,
    /// What was asked for is not allowed.
    Refused,
    /// The system refused something: a socket, a file.
    SystemError,
    /// A verb's command line is wrong.
    Usage,
}

impl Exit {
    /// The number that the parent process sees.
    pub fn status(self) -> u8 {
        match self {
            Self::Program(status) => status,
            Self::Success => 0,
            Self::ClassicUsage => 2,
            Self::Usage => 64,
            Self::BadData => 65,
            Self::Bug => 70,
            Self::SystemError => 71,
            Self::Refused => 77,
            Self::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}

/// The whole outcome of a command line that there is nothing to run for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Ends in a newline.
    pub text: String,
    /// Success: the text was asked for and goes to standard output. Otherwise it goes to standard error.
    pub exit: Exit,
}

impl Answer {
    /// Prints the text. A reader that went away (`| head -1`) is not an error.
    pub fn print(&self) -> Exit {
        let text = self.text.as_bytes();
        let _ = match self.exit {
            Exit::Success => io::stdout().write_all(text),
            _ => io::stderr().write_all(text),
        };
        self.exit
    }
}
