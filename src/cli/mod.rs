//! What was typed: the first word decides between a verb and the original's command line.
//!
//! A command line becomes a [`Command`] that is ready to run, or an [`Answer`]: help, a version, or an error, with the
//! text and the exit status. Nothing is printed and nothing ends here; `main` does both.

mod addresses;
mod callers;
mod check;
mod classic;
mod convert;
mod doubts;
mod encryption;
mod exit;
mod generate;
mod grant;
mod link;
mod options;
mod program;
mod replay;
mod taken;
mod tokens;
mod verbs;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use check::check;
pub use classic::Classic;
pub use convert::convert;
pub use exit::{Answer, Exit};
pub use generate::{Generate, parse_generator};
pub use grant::Grant;
pub use program::{Action, Program};
pub use replay::{Replay, summarize};

use clap::CommandFactory as _;

use crate::log;
use crate::server::address::ListenAddress;

/// Something to run.
#[derive(Debug)]
pub enum Command {
    /// Tell what is wrong with routes: see [`check()`].
    Check(Routes),
    /// The original's command line.
    Classic(Box<Classic>),
    /// Print the TOML of a classic command line, given without the program's name: see [`convert()`].
    Convert(Vec<OsString>),
    /// The built-in page and target, at this address.
    Demo(ListenAddress),
    /// Write the drop-ins of routes' units: see [`Generate`].
    Generate(Generate),
    /// Start or stop a route's program.
    Program(Program),
    /// Have a token made: see [`Grant`].
    Grant(Grant),
    /// Serve a recording.
    Replay(Replay),
    /// Run routes.
    Serve(Serve),
    /// Tell what is in a recording: see [`summarize()`].
    Summarize(PathBuf),
}

/// Some routes of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    /// Where they are.
    pub directory: PathBuf,
    /// Empty: all.
    pub names: Vec<String>,
}

/// `websockify serve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serve {
    /// What to run.
    pub routes: Routes,
    /// Where the log goes.
    pub log: log::Settings,
}

/// Both command lines in one definition, of which the manual page and the completions are made. It does not parse: see [`parse`].
pub fn definition() -> clap::Command {
    options::Options::command().subcommands(verbs::definitions())
}

/// Understands `arguments`, which do not include the program's own name. Relative paths of a classic command line
/// start at `start_directory`.
pub fn parse(arguments: &[OsString], start_directory: &Path) -> Result<Command, Answer> {
    match arguments.first().and_then(|first| first.to_str()) {
        Some("help") if arguments.len() == 1 => Err(options::help()),
        Some(first) if verbs::NAMES.contains(&first) => verbs::parse(arguments),
        _ => Classic::parse(arguments, start_directory).map(|classic| Command::Classic(Box::new(classic))),
    }
}
