//! The original's command line: what its options mean.
//!
//! What is a route's business becomes the same [`File`] that a TOML file is read into, and then a [`Route`] by the same
//! way; the rest (lifetime, logs, daemon) stays beside it. No option is ignored: the few that can have no effect are told
//! in the notes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::addresses::{Addresses, absolute, addresses};
use super::callers::{self, Callers};
use super::encryption;
use super::exit::Answer;
use super::options::{Options, usage_error};
use super::tokens;
use crate::config::file::{File, Program, Record, Web, WebSocket, Words};
use crate::config::meaning::Sockets;
use crate::config::{Mistake, Route, chain};
use crate::log;
use crate::program;
use crate::record::Naming;
use crate::server::Lifetime;
use crate::tls::PassphraseSettings;

/// A classic command line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classic {
    /// Its only route. It listens nowhere when `inetd` is set.
    pub route: Route,
    /// When the process ends by itself.
    pub lifetime: Lifetime,
    /// Where the log goes.
    pub log: log::Settings,
    /// To the background (`-D`).
    pub daemon: bool,
    /// The socket is on standard input: a listening one, or a connected one.
    pub inetd: bool,
    /// Print traffic symbols on standard output.
    pub traffic: bool,
    /// Sentences to log at the start: what was typed and has no effect here.
    pub notes: Vec<String>,
}

/// What can be wrong with a command line whose options are well-formed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClassicError {
    #[error("You must use {needed} to use {used}")]
    Needs { used: &'static str, needed: &'static str },
    #[error("{0} and {1} exclude each other")]
    Excludes(&'static str, &'static str),
    #[error("Too few arguments")]
    TooFewArguments,
    #[error("Too many arguments")]
    TooManyArguments,
    #[error("Error parsing listen port: '{0}' does not end in a number from 0 to 65535")]
    ListenPort(String),
    #[error("Error parsing listen unix socket mode: '{0}' is not octal digits up to 777")]
    ListenMode(String),
    #[error("Error parsing target: '{0}' is not HOST:PORT")]
    Target(String),
    #[error("Error parsing target port: '{0}' does not end in a number from 1 to 65535")]
    TargetPort(String),
    #[error("Error parsing syslog port: '{0}' does not end in a number from 0 to 65535")]
    SyslogPort(String),
    #[error(
        "-- PROGRAM needs a listen port from 1 to 65535, which is the port that the program binds, or --unix-target"
    )]
    ProgramPort,
    #[error("SSL only and {} not found", .0.display())]
    SslOnly(PathBuf),
    #[error("--verify-client needs TLS, and there is no certificate {}", .0.display())]
    VerifyClient(PathBuf),
    #[error("--auth-plugin=ClientCertCNAuth needs the names in --auth-source")]
    CommonNames,
    #[error("{option}: {} is not UTF-8", path.display())]
    NotUtf8 { option: &'static str, path: PathBuf },
    #[error(
        "unknown token plugin '{0}': there are TokenFile, ReadOnlyTokenFile, TokenFileName, UnixDomainSocketDirectory, \
         BaseTokenAPI, JSONTokenApi, JWTTokenApi and TokenRedis; Python classes cannot be loaded"
    )]
    TokenPlugin(String),
    #[error("Error parsing the source of TokenRedis: write HOST[:PORT[:DATABASE[:PASSWORD[:NAMESPACE]]]]")]
    RedisSource,
    #[error("--record: {} is no file's name: write one, to which the number of each session is appended", .0.display())]
    RecordFile(PathBuf),
    #[error(
        "unknown auth plugin '{0}': there are BasicHTTPAuth, ExpectOrigin and ClientCertCNAuth; Python classes cannot be loaded"
    )]
    AuthPlugin(String),
    #[error("Error parsing the source of BasicHTTPAuth: write USER:PASSWORD")]
    BasicSource,
    #[error(transparent)]
    Route(Mistake),
}

impl From<Mistake> for ClassicError {
    /// Keys are called by the options that they come from.
    fn from(mut mistake: Mistake) -> Self {
        if let Mistake::Ciphers { key, .. }
        | Mistake::Unreadable { key, .. }
        | Mistake::NotADirectory { key, .. }
        | Mistake::NotAFile { key, .. } = &mut mistake
        {
            let option = match key.as_str() {
                "tls.certificate" => "--cert",
                "tls.ciphers" => "--ssl-ciphers",
                "tls.key" => "--key",
                "tls.client.ca" => "--cafile",
                "tokens.source" => "--token-source",
                "web" => "--web",
                "record.directory" => "--record",
                other => other,
            };
            *key = option.to_owned();
        }
        Self::Route(mistake)
    }
}

impl From<ClassicError> for Answer {
    fn from(error: ClassicError) -> Self {
        usage_error(&chain(&error))
    }
}

impl Classic {
    /// Understands the words after the program's name; relative paths start at `start_directory`.
    pub(super) fn parse(arguments: &[OsString], start_directory: &Path) -> Result<Self, Answer> {
        let spoken = Spoken::new(Options::read(arguments)?, start_directory)?;
        let sockets = if spoken.inetd { Sockets::Inherited } else { Sockets::Bound };
        let mut route = spoken.file.into_route("websockify", start_directory, sockets).map_err(ClassicError::from)?;
        let command = program::Command::new(command_words(&spoken.options, start_directory));
        let Options { daemon, traffic, record, key_password, .. } = spoken.options;
        if let (Some(tls), Some(typed)) = (&mut route.tls, key_password) {
            tls.default.passphrase = Some(PassphraseSettings::Typed(typed.as_str().into()));
        }
        if let Some(user) = spoken.user {
            user.guard(&mut route);
        }
        if let (Some(settings), Some(file)) = (&mut route.record, record) {
            // What a route's file cannot say. Without a slash at the end, before the number.
            settings.naming = Naming::Numbered(start_directory.join(file).components().collect());
        }
        if let (Some(program), Some(command)) = (&mut route.program, command) {
            program.command = command; // which need not be text
        }
        let (lifetime, log) = (spoken.lifetime, spoken.log);
        Ok(Self { route, lifetime, log, daemon, inetd: spoken.inetd, traffic, notes: spoken.notes })
    }
}

/// A classic command line as a file and the rest.
pub(super) struct Spoken {
    pub(super) file: File,
    /// Whose password is asked for.
    pub(super) user: Option<callers::User>,
    pub(super) lifetime: Lifetime,
    pub(super) log: log::Settings,
    pub(super) inetd: bool,
    pub(super) notes: Vec<String>,
    /// What was typed, less what is in the file.
    pub(super) options: Options,
}

impl Spoken {
    pub(super) fn new(options: Options, start_directory: &Path) -> Result<Self, ClassicError> {
        check_dependencies(&options)?;
        let Addresses { listen, target, program_port } = addresses(&options, start_directory)?;
        let log = log_settings(&options, start_directory)?;

        let mut notes = Vec::new();
        let listen_mode = options.unix_listen.is_some().then(|| options.unix_listen_mode.clone());
        if let Some(mode) = listen_mode.as_ref().filter(|mode| !is_mode(mode)) {
            return Err(ClassicError::ListenMode(mode.clone()));
        }
        let web = options.web.as_ref().map(|web| web_root(web, start_directory)).transpose()?;
        let Callers { access, user, note } = Callers::of(&options)?;
        notes.extend(note.map(str::to_owned));
        let file = File {
            access,
            listen: listen.map(|listen| said(vec![said(listen)])),
            listen_mode: listen_mode.map(said),
            target: target.map(|target| said(if options.ssl_target { format!("tls:{target}") } else { target })),
            tokens: tokens::tokens(&options, start_directory)?,
            targets: tokens::targets(&options),
            program: program(&options, program_port, start_directory),
            web: web.map(|web| Web::Short(said(web))),
            tls: encryption::tls(&options, start_directory, &mut notes)?,
            record: record(&options, start_directory)?,
            websocket: Some(WebSocket { heartbeat: Some(said(heartbeat(&options))), text: None }),
            ..File::default()
        };
        note_what_has_no_effect(&options, &mut notes);
        let lifetime = Lifetime {
            run_once: options.run_once,
            timeout: unless_zero(options.timeout).map(Duration::from_secs),
            idle_timeout: unless_zero(options.idle_timeout).map(Duration::from_secs),
        };
        Ok(Self { file, user, lifetime, log, inetd: options.inetd, notes, options })
    }
}

/// A directory, or pages of the program as in a route file. A directory with such a name is `./builtin:NAME`.
fn web_root(web: &Path, start_directory: &Path) -> Result<String, ClassicError> {
    match web.to_str() {
        Some(builtin) if builtin.starts_with("builtin:") => Ok(builtin.to_owned()),
        _ => absolute("--web", web, start_directory),
    }
}

fn check_dependencies(options: &Options) -> Result<(), ClassicError> {
    let token_plugin = options.token_plugin.is_some() || options.target_config.is_some();
    let needs = [
        (options.token_source.is_some(), "--token-source", token_plugin, "--token-plugin"),
        (options.host_token, "--host-token", token_plugin, "--token-plugin"),
        (options.auth_source.is_some(), "--auth-source", options.auth_plugin.is_some(), "--auth-plugin"),
        (options.web_auth, "--web-auth", options.auth_plugin.is_some(), "--auth-plugin"),
        (options.web_auth, "--web-auth", options.web.is_some(), "--web"),
        (options.legacy_syslog, "--legacy-syslog", options.syslog.is_some(), "--syslog"),
    ];
    for (is_used, used, is_there, needed) in needs {
        if is_used && !is_there {
            return Err(ClassicError::Needs { used, needed });
        }
    }
    if token_plugin && options.unix_target.is_some() {
        return Err(ClassicError::Excludes("--unix-target", "--token-plugin"));
    }
    if options.inetd && options.unix_listen.is_some() {
        return Err(ClassicError::Excludes("--inetd", "--unix-listen"));
    }
    Ok(())
}

/// What stands behind `--`. The daemon runs it itself, as the original did.
fn program(options: &Options, port: Option<u16>, start_directory: &Path) -> Option<Program> {
    let words = command_words(options, start_directory);
    if words.is_empty() {
        return None;
    }
    let words = words.into_iter().map(|word| said(word.to_string_lossy().into_owned()));
    Some(Program {
        command: Some(said(Words(words.collect()))),
        port: port.map(|port| said(port.into())),
        on_exit: options.wrap_mode.clone().map(said),
        supervisor: Some(said("child".to_owned())),
        ..Program::default()
    })
}

/// The program with a path that does not depend on where it was typed.
fn command_words(options: &Options, start_directory: &Path) -> Vec<OsString> {
    let mut words = options.command.clone();
    if let Some(program) = words.first_mut().filter(|program| program.as_bytes().contains(&b'/')) {
        *program = start_directory.join(&*program).into();
    }
    words
}

fn is_mode(text: &str) -> bool {
    text.bytes().all(|digit| digit.is_ascii_digit()) && u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o777)
}

/// A route's file names the directory only.
fn record(options: &Options, start_directory: &Path) -> Result<Option<Record>, ClassicError> {
    let Some(file) = &options.record else { return Ok(None) };
    let file = start_directory.join(file);
    let directory = file.parent().filter(|_| file.file_name().is_some());
    let directory = directory.ok_or_else(|| ClassicError::RecordFile(file.clone()))?;
    let directory = absolute("--record", directory, start_directory)?;
    Ok(Some(Record { directory: Some(said(directory)), ..Record::default() }))
}

fn log_settings(options: &Options, start_directory: &Path) -> Result<log::Settings, ClassicError> {
    let server = match options.syslog.as_deref() {
        None => None,
        Some(server) => Some(match server.rsplit_once(':') {
            None => log::SyslogServer::Local(start_directory.join(server)),
            Some((host, port)) => log::SyslogServer::Udp {
                host: host.trim_matches(['[', ']']).to_owned(),
                port: port.parse().map_err(|_| ClassicError::SyslogPort(server.to_owned()))?,
            },
        }),
    };
    Ok(log::Settings {
        verbose: options.verbose,
        file: options.log_file.as_ref().map(|file| start_directory.join(file)),
        syslog: server.map(|server| log::Syslog { server, legacy: options.legacy_syslog }),
    })
}

fn note_what_has_no_effect(options: &Options, notes: &mut Vec<String>) {
    let idle = [
        (options.auto_pong, "--auto-pong has no effect: pings are always answered"),
        (options.libserver, "--libserver has no effect: there is one server"),
        (options.cafile.is_some() && !options.verify_client, "--cafile has no effect without --verify-client"),
        (options.wrap_mode.is_some() && options.command.is_empty(), "--wrap-mode has no effect without -- PROGRAM"),
    ];
    notes.extend(idle.into_iter().filter(|(typed, _)| *typed).map(|(_, note)| note.to_owned()));
}

/// Without the option there was none, where a route's file has one.
fn heartbeat(options: &Options) -> String {
    unless_zero(options.heartbeat).map_or_else(|| "off".to_owned(), |seconds| format!("{seconds}s"))
}

/// 0 switches an option off.
fn unless_zero(seconds: Option<u64>) -> Option<u64> {
    seconds.filter(|seconds| *seconds > 0)
}

/// A value that has no place in a file.
pub(super) fn said<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}
