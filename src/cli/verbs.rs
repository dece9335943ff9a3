//! The verbs and their options.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory as _, Parser};

use super::exit::{Answer, Exit};
use super::generate::{Generate, Report};
use super::program::{Action, Program};
use super::replay::hold;
use super::{Command, Grant, Replay, Routes, Serve};
use crate::config;
use crate::control::Order;
use crate::log;
use crate::program::settings::{self, Stdio};
use crate::replay::Speed;
use crate::server::address::{ListenAddress, ListenAddressError};
use crate::systemd::generator::{Generator, Scope};
use crate::target::grants::{TTL_MAX, USES_MAX};

/// A first word that is one of these is a verb, not the source address of a classic command line.
pub(super) const NAMES: &[&str] =
    &["serve", "check", "convert", "generate", "grant", "program", "replay", "demo", "help"];

/// Bridges WebSocket clients to stream sockets
#[derive(Debug, Parser)]
#[command(name = "websockify", version)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Run the routes of a directory
    #[command(after_help = "Each NAME.toml of the directory is a route. Without names, all of them run.")]
    Serve {
        #[command(flatten)]
        routes: RouteOptions,
        /// Log debug records too
        #[arg(short, long)]
        verbose: bool,
    },
    /// Tell what is wrong with routes, and what would be right
    #[command(
        after_help = "Exit status: 0 when all is well, 78 when not. Nothing is started and no session is touched."
    )]
    Check {
        #[command(flatten)]
        routes: RouteOptions,
    },
    /// Print the TOML that says the same as a classic command line
    #[command(after_help = "Example: websockify convert -- --web /usr/share/novnc 6080 localhost:5901")]
    Convert {
        /// The old command line; the program's name may be left out
        #[arg(last = true, required = true, value_name = "OLD COMMAND LINE")]
        arguments: Vec<OsString>,
    },
    /// Write what the systemd generator makes of the routes
    #[command(
        after_help = "Exit status: 0 when all is well, 78 when a route is not sound. systemd is not told anything."
    )]
    Generate {
        /// Where to write the drop-ins
        #[arg(value_name = "DIR")]
        units: PathBuf,
        /// The directory of the routes
        #[arg(long, value_name = "DIR", default_value = config::DEFAULT_DIRECTORY)]
        config: PathBuf,
        /// For the manager of a user, not of the system
        #[arg(long)]
        user: bool,
    },
    /// Have a running route make a token, and print the URL that opens a session by it
    #[command(
        after_help = "The route needs a table [grants], and has to run. Only root and the user that it runs as may do this. \
                      A token lives in the memory of the daemon: a reload keeps it, a restart forgets it. \
                      Exit status: 71 when the route cannot be asked, 77 when it refuses."
    )]
    Grant {
        /// The route
        #[arg(value_name = "NAME")]
        name: String,
        /// Where the session goes: an address and a port, or a Unix socket as in route files
        #[arg(long, value_name = "TARGET")]
        target: String,
        /// How long the token is good, from 1s to 7days
        #[arg(long, value_name = "TIME", default_value = "60s", value_parser = ttl)]
        ttl: Duration,
        /// It is good for one session, which is the default
        #[arg(long, conflicts_with = "uses")]
        once: bool,
        /// It is good for so many sessions
        #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=i64::from(USES_MAX)))]
        uses: u32,
        /// Whom it is for: records have the name, and where the route asks who clients are, nobody else may use it
        #[arg(long, value_name = "USER")]
        user: Option<String>,
        /// Print JSON: the URL, the token, and when it expires
        #[arg(long)]
        json: bool,
        /// The directory of the routes
        #[arg(long, value_name = "DIR", default_value = config::DEFAULT_DIRECTORY)]
        config: PathBuf,
        /// The control socket, where it is not where the route's name and file say
        #[arg(long, value_name = "FILE")]
        socket: Option<PathBuf>,
    },
    /// Start or stop the program of a route, as a unit of systemd
    #[command(
        subcommand_required = true,
        after_help = "start NAME runs the program as websockify-program@NAME.service, as the file of the route says, and waits until it \
                      runs; one that runs so already is left as it is. stop NAME stops it, and waits until it has ended. With --user, it is \
                      the unit of a user's manager. systemd does both for the route's service. The file, and each directory above it, must be \
                      root's, and nobody else may be able to write to them. Exit status: 71 when the program is not started, 78 when its file is refused."
    )]
    Program {
        #[command(subcommand)]
        action: ProgramAction,
    },
    /// Serve a recording to browsers, as if it were the target
    #[command(
        after_help = "What a browser sends is read and ignored. Each session begins the recording anew, and ends with it. \
                      FILE may be of any version of websockify, and compressed by gzip or zstd. \
                      Exit status: 65 when FILE is not a recording, or a damaged one."
    )]
    Replay {
        /// The recording
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Where to listen; 0 picks a free port
        #[arg(value_name = "[ADDRESS:]PORT", default_value = "localhost:6080", value_parser = demo_address,
              conflicts_with = "summary")]
        address: ListenAddress,
        /// So many times as fast as it was; 0 or max: as fast as the browser takes it
        #[arg(long, value_name = "N", default_value = "1", conflicts_with = "summary")]
        speed: Speed,
        /// Keep the session open for so many seconds after the last word, or a time such as 2m, so that the last picture can be looked at
        #[arg(long, value_name = "TIME", default_value = "0", value_parser = hold,
              conflicts_with = "summary")]
        hold: Duration,
        /// Serve the files of DIR on the same port, such as noVNC's
        #[arg(long, value_name = "DIR", conflicts_with = "summary")]
        web: Option<PathBuf>,
        /// Tell what is in it, and serve nothing
        #[arg(long)]
        summary: bool,
    },
    /// Serve a built-in page that talks to a built-in target
    Demo {
        /// Where to listen; 0 picks a free port
        #[arg(value_name = "[ADDRESS:]PORT", default_value = "localhost:6080", value_parser = demo_address)]
        address: ListenAddress,
    },
}

#[derive(Debug, clap::Subcommand)]
enum ProgramAction {
    /// Start the program, and wait until it runs
    Start {
        #[command(flatten)]
        of: ProgramOptions,
        /// The directory of the routes
        #[arg(long, value_name = "DIR", default_value = config::DEFAULT_DIRECTORY)]
        config: PathBuf,
    },
    /// Stop the program, and wait until it has ended
    Stop {
        #[command(flatten)]
        of: ProgramOptions,
        /// Only when the route's service, which has ended, is not about to be back
        #[arg(long)]
        if_over: bool,
    },
    /// For systemd, before each start of the program
    #[command(hide = true)]
    Place {
        #[command(flatten)]
        of: ProgramOptions,
        /// The port that it binds, and that is moved
        #[arg(long)]
        port: Option<u16>,
        /// Keep the pace of a program that is started again and again
        #[arg(long)]
        respawn: bool,
    },
    /// For systemd, after each end of the program
    #[command(hide = true)]
    Ended {
        #[command(flatten)]
        of: ProgramOptions,
    },
    /// For systemd, in the unit of a session, which is on standard input
    #[command(hide = true)]
    Session {
        #[command(flatten)]
        of: ProgramOptions,
        /// Give the program a terminal in place of a socket
        #[arg(long)]
        pty: bool,
        /// The program and its arguments
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, clap::Args)]
struct ProgramOptions {
    /// The route
    #[arg(value_name = "NAME")]
    route: String,
    /// Of the manager of a user, not of the system
    #[arg(long)]
    user: bool,
}

impl From<ProgramAction> for Program {
    fn from(written: ProgramAction) -> Self {
        let (of, action) = match written {
            ProgramAction::Start { of, config } => (of, Action::Start(config)),
            ProgramAction::Stop { of, if_over: false } => (of, Action::Stop),
            ProgramAction::Stop { of, if_over: true } => (of, Action::StopIfOver),
            ProgramAction::Place { of, port, respawn } => (of, Action::Place { port, respawn }),
            ProgramAction::Ended { of } => (of, Action::Ended),
            ProgramAction::Session { of, pty, command } => {
                let stdio = if pty { Stdio::Terminal } else { Stdio::Socket };
                let command = settings::Command::new(command).expect("clap wants a word at least");
                (of, Action::Session { command, stdio })
            }
        };
        Self { route: of.route, scope: scope(of.user), action }
    }
}

fn scope(user: bool) -> Scope {
    if user { Scope::User } else { Scope::System }
}

#[derive(Debug, clap::Args)]
struct RouteOptions {
    /// The routes; all of the directory when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The directory of the routes
    #[arg(long, value_name = "DIR", default_value = config::DEFAULT_DIRECTORY)]
    config: PathBuf,
}

impl From<RouteOptions> for Routes {
    fn from(options: RouteOptions) -> Self {
        Self { directory: options.config, names: options.names }
    }
}

/// The verbs, as clap knows them.
pub(super) fn definitions() -> Vec<clap::Command> {
    CommandLine::command().get_subcommands().cloned().collect()
}

/// Understands a command line that begins with one of [`NAMES`].
pub(super) fn parse(arguments: &[OsString]) -> Result<Command, Answer> {
    let program = OsString::from("websockify");
    let line = CommandLine::try_parse_from(std::iter::once(&program).chain(arguments)).map_err(|error| Answer {
        text: error.to_string(),
        exit: if error.use_stderr() { Exit::Usage } else { Exit::Success },
    })?;
    Ok(match line.verb {
        Verb::Serve { routes, verbose } => {
            Command::Serve(Serve { routes: routes.into(), log: log::Settings { verbose, ..Default::default() } })
        }
        Verb::Check { routes } => Command::Check(routes.into()),
        Verb::Convert { arguments } => Command::Convert(arguments),
        Verb::Generate { units, config, user } => {
            let generator = Generator { routes: config, units, scope: scope(user) };
            Command::Generate(Generate { generator, report: Report::StandardError })
        }
        Verb::Program { action } => Command::Program(action.into()),
        Verb::Grant { name, target, ttl, once: _, uses, user, json, config, socket } => {
            let order = Order { target, ttl_seconds: ttl.as_secs(), uses, user };
            Command::Grant(Grant { name, directory: config, socket, order, json })
        }
        Verb::Replay { file, summary: true, .. } => Command::Summarize(file),
        Verb::Replay { file, address, speed, hold, web, summary: false } => {
            Command::Replay(Replay { file, address, speed, hold, web })
        }
        Verb::Demo { address } => Command::Demo(address),
    })
}

/// Whole seconds.
fn ttl(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "write a number and a unit, such as 90s or 10min, from 1s to 7days";
    let ttl = humantime::parse_duration(text).map_err(|_| WRONG)?;
    if ttl.as_secs() == 0 || ttl > TTL_MAX { Err(WRONG) } else { Ok(ttl) }
}

/// The demo is for whoever started it: a port alone is one of this machine only, unlike in a route.
fn demo_address(text: &str) -> Result<ListenAddress, ListenAddressError> {
    match text.parse()? {
        ListenAddress::Tcp { host, port } => {
            Ok(ListenAddress::Tcp { host: host.or_else(|| Some("localhost".to_owned())), port })
        }
        ListenAddress::Unix { .. } => Err(ListenAddressError::Form(text.to_owned())), // a browser could not come
    }
}
