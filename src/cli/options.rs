//! The options of the original's command line: their names, and the errors in its format.
//!
//! What clap does as Python's optparse did: options and positionals in any order, unique prefixes of long options,
//! bundled short ones, the last of a repeated option wins, an option's value may begin with a dash. What it does
//! otherwise is made the same here: the texts of errors, usage on standard error, and exit status 2. What the options
//! mean is the business of [`super::classic`].

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use super::exit::{Answer, Exit};

const USAGE: &str = "\
websockify [options] [SOURCE_ADDRESS:]SOURCE_PORT TARGET_ADDRESS:TARGET_PORT
       websockify [options] --unix-target=FILE [SOURCE_ADDRESS:]SOURCE_PORT
       websockify [options] --token-plugin=CLASS [SOURCE_ADDRESS:]SOURCE_PORT
       websockify [options] [SOURCE_ADDRESS:]SOURCE_PORT -- PROGRAM [ARGUMENTS]
       websockify serve|check|convert|generate|grant|replay|demo|help [options]";

const AFTER_HELP: &str = "\
Verbs, each with --help:
  serve [NAME...]              Run the routes of /etc/websockify/*.toml, or only those named
  check [NAME...]              Tell what is wrong with routes, and what would be right
  convert -- OLD COMMAND LINE  Print the TOML that says the same
  generate DIR                 Write the systemd drop-ins of the routes into DIR
  grant NAME --target TARGET   Have a route make a token, and print the URL to open
  replay FILE                  Serve a recording, as if it were the target, or tell what is in it
  demo [[ADDRESS:]PORT]        Serve a built-in page that talks to a built-in target
  help [VERB]                  Print this, or the help of a verb

Token plugins:
  TokenFile, ReadOnlyTokenFile (a file or a directory), TokenFileName, UnixDomainSocketDirectory,
  BaseTokenAPI, JSONTokenApi (a URL with %s), JWTTokenApi (a file with a key),
  TokenRedis (HOST:PORT:DATABASE:PASSWORD:NAMESPACE)

Auth plugins:
  BasicHTTPAuth (USER:PASSWORD), ExpectOrigin (origins),
  ClientCertCNAuth (names of certificates, with --verify-client)

A source port alone listens on all addresses of the machine, IPv6 and IPv4.
0 SECONDS switch an option off.";

/// What was typed on a classic command line.
///
/// Not Debug: there are passwords in it.
#[derive(Parser)]
#[command(
    name = "websockify",
    about = "Bridges WebSocket clients to stream sockets",
    version,
    infer_long_args = true,
    args_override_self = true,
    long_about = None,
    override_usage = USAGE,
    after_help = AFTER_HELP
)]
#[expect(clippy::doc_markdown, reason = "the comments are the help text, where backticks would show")]
pub(super) struct Options {
    #[arg(hide = true)]
    pub(super) positionals: Vec<String>,
    #[arg(last = true, hide = true)]
    pub(super) command: Vec<OsString>,

    /// Log debug records too
    #[arg(short, long)]
    pub(super) verbose: bool,
    /// Print a symbol on standard output for each thing that moves
    #[arg(long)]
    pub(super) traffic: bool,
    /// Record sessions to FILE.1, FILE.2 and so on, what is typed too
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(super) record: Option<PathBuf>,
    /// Run in the background
    #[arg(short = 'D', long)]
    pub(super) daemon: bool,
    /// Serve one session, then exit
    #[arg(long)]
    pub(super) run_once: bool,
    /// Stop accepting after so long, exit after the last session
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true, value_parser = seconds)]
    pub(super) timeout: Option<u64>,
    /// Exit when there was no connection for so long
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true, value_parser = seconds)]
    pub(super) idle_timeout: Option<u64>,
    /// TLS certificate chain; if it exists, TLS is on [default: self.pem]
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(super) cert: Option<PathBuf>,
    /// Private key, when it is not in the certificate's file
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(super) key: Option<PathBuf>,
    /// Passphrase of the private key
    #[arg(long, value_name = "PASSWORD", allow_hyphen_values = true)]
    pub(super) key_password: Option<String>,
    /// Refuse connections without TLS
    #[arg(long)]
    pub(super) ssl_only: bool,
    /// Speak TLS to the target, whatever certificate it shows
    #[arg(long)]
    pub(super) ssl_target: bool,
    /// Ask TLS clients for a certificate
    #[arg(long)]
    pub(super) verify_client: bool,
    /// CA certificates that --verify-client trusts; nothing without it
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(super) cafile: Option<PathBuf>,
    /// Lowest TLS version: default (1.2), tlsv1_1, tlsv1_2, tlsv1_3
    #[arg(long, value_name = "VERSION", hide_possible_values = true,
          value_parser = ["default", "tlsv1_1", "tlsv1_2", "tlsv1_3"])]
    pub(super) ssl_version: Option<String>,
    /// List of TLS ciphers
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub(super) ssl_ciphers: Option<String>,
    /// Listen on a Unix socket in place of a source port
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(super) unix_listen: Option<PathBuf>,
    /// Permissions of that socket, in octal digits
    #[arg(long, value_name = "MODE", default_value = "600", allow_hyphen_values = true)]
    pub(super) unix_listen_mode: String,
    /// Connect to a Unix socket in place of a target port
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(super) unix_target: Option<PathBuf>,
    /// Take the socket from standard input; no source port
    #[arg(long)]
    pub(super) inetd: bool,
    /// Serve the files of DIR on the same port, or builtin:telnet
    #[arg(long, value_name = "DIR", allow_hyphen_values = true)]
    pub(super) web: Option<PathBuf>,
    /// Ask for authentication of plain requests too
    #[arg(long)]
    pub(super) web_auth: bool,
    /// Accepted, directories are never listed
    #[arg(long)]
    pub(super) file_only: bool,
    /// When PROGRAM ends: exit, ignore or respawn
    #[arg(long, value_name = "MODE", hide_possible_values = true, value_parser = ["exit", "ignore", "respawn"])]
    pub(super) wrap_mode: Option<String>,
    /// Prefer IPv6 addresses to listen on
    #[arg(short = '6', long)]
    pub(super) prefer_ipv6: bool,
    /// Same as --token-plugin TokenFile --token-source FILE
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(super) target_config: Option<String>,
    /// Look up where a token leads, by a plugin named below
    #[arg(long, value_name = "CLASS", allow_hyphen_values = true)]
    pub(super) token_plugin: Option<String>,
    /// Where the plugin looks: a file, a directory, a URL, a server
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub(super) token_source: Option<String>,
    /// The token is the host of the request
    #[arg(long)]
    pub(super) host_token: bool,
    /// Sessions may go to NETWORK, NETWORK:PORTS or unix:PATH only
    #[arg(long, value_name = "NETWORK", allow_hyphen_values = true, action = clap::ArgAction::Append)]
    pub(super) allow_target: Vec<String>,
    /// Ask a plugin, named below, who may connect
    #[arg(long, value_name = "CLASS", allow_hyphen_values = true)]
    pub(super) auth_plugin: Option<String>,
    /// What the plugin wants: USER:PASSWORD, origins, or names
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub(super) auth_source: Option<String>,
    /// Ping clients so often
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true, value_parser = seconds)]
    pub(super) heartbeat: Option<u64>,
    /// Log to FILE as well
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(super) log_file: Option<PathBuf>,
    /// Log to syslog as well: HOST:PORT over UDP, or a socket's path
    #[arg(long, value_name = "SERVER", allow_hyphen_values = true)]
    pub(super) syslog: Option<String>,
    /// Use the older syslog format
    #[arg(long)]
    pub(super) legacy_syslog: bool,
    /// Accepted, pings are always answered
    #[arg(long)]
    pub(super) auto_pong: bool,
    /// Accepted without effect, there is one server
    #[arg(long)]
    pub(super) libserver: bool,
}

impl Options {
    /// Reads the words after the program's name.
    pub(super) fn read(arguments: &[OsString]) -> Result<Self, Answer> {
        let program = OsString::from("websockify");
        let options = Self::try_parse_from(std::iter::once(&program).chain(arguments)).map_err(|error| {
            if error.use_stderr() {
                usage_error(&sentence(&error))
            } else {
                Answer { text: error.to_string(), exit: Exit::Success }
            }
        })?;
        // `--` announces a program; without one the line is not finished.
        if options.command.is_empty() && arguments.last().is_some_and(|last| last == "--") {
            return Err(usage_error("Too few arguments"));
        }
        Ok(options)
    }
}

/// The help of the classic command line, with the verbs.
pub(super) fn help() -> Answer {
    Answer { text: Options::command().render_help().to_string(), exit: Exit::Success }
}

/// A mistake in the classic command line, in the original's format.
pub(super) fn usage_error(message: &str) -> Answer {
    Answer { text: format!("Usage: {USAGE}\n\nwebsockify: error: {message}\n"), exit: Exit::ClassicUsage }
}

/// The longest is a year: a deadline must stay in the range of the clock.
fn seconds(text: &str) -> Result<u64, &'static str> {
    text.parse().ok().filter(|seconds| *seconds <= 365 * 86_400).ok_or("write whole seconds, at most 31536000")
}

/// What is wrong, as optparse said it.
fn sentence(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let invalid = text(ContextKind::InvalidArg);
    // `--cert <FILE>`, `-D, --daemon`: the name is enough
    let option = invalid.split([' ', '=']).find(|word| word.starts_with("--")).unwrap_or(invalid);
    let value = text(ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::UnknownArgument => match candidates(option).as_slice() {
            [] => format!("no such option: {option}"),
            several => format!("ambiguous option: {option} ({}?)", several.join(", ")),
        },
        ErrorKind::InvalidValue if value.is_empty() => format!("{option} option requires a value"),
        ErrorKind::InvalidValue => {
            let valid = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(valid)) => valid.join(", "),
                _ => String::new(),
            };
            format!("option {option}: invalid choice: '{value}' (choose from {valid})")
        }
        ErrorKind::ValueValidation => {
            let reason = std::error::Error::source(error).map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("option {option}: invalid value: '{value}'{reason}")
        }
        ErrorKind::TooManyValues => format!("{option} option does not take a value"),
        ErrorKind::InvalidUtf8 => "arguments must be UTF-8".to_owned(),
        _ => error.kind().to_string(),
    }
}

/// The long options that begin like `option`: several when it is an ambiguous prefix, as a unique one is accepted.
fn candidates(option: &str) -> Vec<String> {
    let Some(prefix) = option.strip_prefix("--") else {
        return Vec::new();
    };
    let mut command = Options::command();
    command.build(); // adds --help and --version
    let mut names: Vec<String> = command
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .filter(|name| name.starts_with(prefix))
        .map(|name| format!("--{name}"))
        .collect();
    names.sort_unstable();
    names
}
