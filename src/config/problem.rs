//! What can be wrong with a configuration, and the sentence that says it together with what would be right.
//!
//! A [`Mistake`] is what is wrong, a [`Problem`] a mistake at its place, a [`ConfigError`] all problems of a
//! configuration: they are collected, so that one look at the output is enough to put everything right.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use super::place::Place;
use super::suggestion::instead;
use crate::access::NetworkError;
use crate::access::bearer::CarrierError;
use crate::access::origin::OriginTextError;
use crate::http::BuiltinError;
use crate::server::address::ListenAddressError;
use crate::target::TargetError;
use crate::target::allow::AllowedError;
use crate::target::source::SourceTextError;
use crate::target::token::PlaceError;
use crate::tls::SpkiHashError;
use crate::tls::ciphers::CiphersError;

/// One thing that is wrong in a configuration.
#[derive(Debug, thiserror::Error)]
pub enum Mistake {
    /// A file or directory that a route needs and that cannot be read.
    #[error("'{key}': cannot read {} ({})", path.display(), cure(source))]
    Unreadable {
        /// The key that names it.
        key: String,
        /// After relative paths were resolved.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// No path, which would be the directory of the route's file.
    #[error("'{key}' is empty: write a {kind}, such as {example}")]
    PathEmpty {
        /// The key that names it.
        key: String,
        /// A file or a directory.
        kind: &'static str,
        /// How it could be written.
        example: &'static str,
    },
    /// A web root, or a directory for recordings, that is a file.
    #[error("'{key}': {} is not a directory", path.display())]
    NotADirectory {
        /// The key that names it.
        key: String,
        /// After relative paths were resolved.
        path: PathBuf,
    },
    /// A certificate or key that is a directory.
    #[error("'{key}': {} is a directory, not a PEM file", path.display())]
    NotAFile {
        /// The key that names it.
        key: String,
        /// After relative paths were resolved.
        path: PathBuf,
    },
    /// A set of pages that is not in the program.
    #[error(transparent)]
    Builtin(BuiltinError),
    /// Pages of the program, where a directory belongs.
    #[error(
        "'{text}' is no directory for 'web.root': write web = \"{text}\" in place of the table, or root = \"./{text}\""
    )]
    BuiltinAsRoot {
        /// What was written.
        text: String,
    },
    /// A word where only a few are allowed.
    #[error("'{text}' is not a value of '{key}': write {}", alternatives(choices))]
    Choice {
        /// The key.
        key: String,
        /// What was written.
        text: String,
        /// What may be written.
        choices: &'static [&'static str],
    },
    /// The target's connect may take longer than the whole handshake.
    #[error(
        "'limits.connect-timeout' must be shorter than 'limits.handshake-timeout', or clients never learn why: \
             write less than {0}"
    )]
    ConnectTimeout(humantime::Duration),
    /// A daemon that would end all the time.
    #[error(
        "'exit-idle' is {0}, and less than 1s: write \"1s\" at least, or systemd would take the restarts for a failure"
    )]
    ExitIdle(humantime::Duration),
    /// A number beyond its bounds.
    #[error("{number} is out of range: '{key}' is from {min} to {max}")]
    Count {
        /// The key.
        key: String,
        /// What was written.
        number: i64,
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A duration that cannot be read.
    #[error("'{text}' is not a duration: write a number and a unit, such as {example}")]
    Duration {
        /// What was written.
        text: String,
        /// How it could be written.
        example: &'static str,
    },
    /// A duration beyond its bounds.
    #[error("'{text}' is out of range: '{key}' is from {min} to 365days; without the key, {absent}")]
    DurationRange {
        /// The key.
        key: String,
        /// What was written.
        text: String,
        /// The least.
        min: humantime::Duration,
        /// What the key's absence means.
        absent: &'static str,
    },
    /// No address to listen on.
    #[error("'listen' is empty: write one address at least, such as listen = \"6080\"")]
    ListenEmpty,
    /// An address that is none.
    #[error(transparent)]
    ListenAddress(ListenAddressError),
    /// Two listeners cannot have one address.
    #[error("'{address}' is taken by '{other}' at {place}: remove one of the two, or change its port or path")]
    ListenTwice {
        /// The second.
        address: String,
        /// The first.
        other: String,
        /// Where the first is.
        place: Place,
    },
    /// Nobody could connect.
    #[error("'access.allow-clients' is empty, so nobody could connect: write networks, or leave the key out")]
    AllowClientsEmpty,
    /// A network that is none.
    #[error(transparent)]
    AllowClients(NetworkError),
    /// A pattern of certificates that fits none.
    #[error(
        "'tls.client.allow' names nobody: write what a certificate must say, such as {{ cn = [\"jane@example.com\"] }}, \
         or leave it out to let in every certificate of the CA"
    )]
    AllowEmpty,
    /// A hash that is none.
    #[error(transparent)]
    SpkiHash(SpkiHashError),
    /// A list of cipher suites that cannot be used.
    #[error("'{key}': {error}")]
    Ciphers {
        /// The key.
        key: String,
        /// What is wrong with its list.
        error: CiphersError,
    },
    /// No page could connect.
    #[error("'access.origins' is empty, so no page could connect: write origins, or leave the key out")]
    OriginsEmpty,
    /// An origin that is none.
    #[error(transparent)]
    Origin(OriginTextError),
    /// Nothing that a client could show.
    #[error("'access.{key}' says nothing here: it needs 'access.users', '[access.jwt]' or '[access.forward-auth]'")]
    NoProof {
        /// The key.
        key: &'static str,
    },
    /// One proof is all of them.
    #[error(
        "'access.require' is for several of 'access.users', '[access.jwt]' and '[access.forward-auth]', and there is one: \
         remove it"
    )]
    OneProof,
    /// No files to guard.
    #[error("'access.web-auth' is for the files of 'web', and there are none: remove it")]
    WebAuthUnused,
    /// A place of bearer tokens that is none.
    #[error(transparent)]
    Carrier(CarrierError),
    /// No bearer token could be found.
    #[error("'access.jwt.from' is empty, so no token could be found: write from = \"header\", or leave the key out")]
    CarriersEmpty,
    /// A URL that is none. There may be a password in it.
    #[error("'access.forward-auth.url' is no URL of http or https: write url = \"https://HOST/PATH\"")]
    ForwardUrl,
    /// A CA for a service that has no certificate.
    #[error("'access.forward-auth.ca' is for a 'url' that begins with https://: remove it")]
    ForwardCaUnused,
    /// A header's name that none has.
    #[error("'{text}' in '{key}' is not the name of a header: write one such as \"Remote-User\"")]
    HeaderName {
        /// The key.
        key: &'static str,
        /// What was written.
        text: String,
    },
    /// A service that could lead sessions anywhere.
    #[error(
        "'access.forward-auth.target-header' needs a list of what the service may name: write [targets] with \
         allow = [\"10.0.0.0/8:5900-5999\"]"
    )]
    ForwardTargetsOpen,
    /// A proxy that is none.
    #[error("{0}, or \"unix\" for whoever connects to the route's Unix sockets")]
    TrustedProxy(NetworkError),
    /// Nobody is trusted.
    #[error("'access.trusted-proxies' is empty, so no proxy is trusted: write networks, or leave the key out")]
    ProxiesEmpty,
    /// What nobody may say.
    #[error("'access.{0}' has no effect without 'access.trusted-proxies': write that too, such as {example}", example = super::EXAMPLE_PROXIES)]
    ProxiesMissing(&'static str),
    /// No session could begin.
    #[error("'targets.allow' is empty, so no target could be reached: write networks, or leave the key out")]
    AllowTargetsEmpty,
    /// A range of targets that is none.
    #[error(transparent)]
    AllowTargets(AllowedError),
    /// No certificate would be right.
    #[error(
        "'targets.tls.spki-sha256' is empty, so no target could be reached: write one at least, or leave the key out"
    )]
    TargetsTlsPins,
    /// A name that no certificate has.
    #[error(
        "'{0}' is not the name of a server: write what its certificate says, such as server-name = \"vm.example.com\""
    )]
    ServerName(String),
    /// For targets that are written in the file itself.
    #[error("'targets.tls.all' is for the targets of tokens: remove it, 'target' says tls: already")]
    TargetsTlsAll,
    /// A rule beside the rule that there is none.
    #[error(
        "'targets.tls.insecure' excludes 'ca' and 'spki-sha256': remove it, and the certificate is checked by these"
    )]
    TargetsTlsInsecure,
    /// TLS with a target that does not speak it.
    #[error("'[targets.tls]' has no effect: write target = \"tls:HOST:PORT\", or remove the table")]
    TargetsTlsUnused,
    /// One target for all, and a target for each.
    #[error("'target' and '[tokens]' exclude each other: remove 'target', or the table")]
    TargetAndTokens,
    /// The program is where sessions go.
    #[error(
        "{other} and 'program.{key}' exclude each other, for sessions go to the program: remove {other}, or '{key}'"
    )]
    TargetAndProgram {
        /// What else says where sessions go.
        other: &'static str,
        /// By which key they go to the program.
        key: &'static str,
    },
    /// Nothing to run.
    #[error(
        "'program.command' is empty: write the program and its arguments, such as command = [\"vncserver\", \":1\"]"
    )]
    CommandEmpty,
    /// A program that starts nowhere.
    #[error("'{0}' is not a program: write its name, which is looked up in PATH, or its whole path from / on")]
    CommandPath(String),
    /// Arguments and variables are strings of C.
    #[error("there is a NUL in it, which no program can be given: remove it")]
    ProgramNul,
    /// A variable with such a name cannot be.
    #[error("'{0}' is not a variable's name: write one without '='")]
    EnvironmentName(String),
    /// A variable that loads something into whoever has it.
    #[error(
        "'{0}' would also be given to what systemd runs as root beside the program: write it into the command, \
         command = [\"/usr/bin/env\", \"{0}=...\", \"PROGRAM\"]"
    )]
    EnvironmentOfRoot(String),
    /// A key of a program that another one makes pointless.
    #[error("'{key}' has no effect {because}: remove one of the two")]
    ProgramKeyUnused {
        /// The key.
        key: &'static str,
        /// Beside what.
        because: &'static str,
    },
    /// There is no port to move or to hide.
    #[error("'program.isolation' is about the program's port: write port = 5901, or remove it")]
    IsolationOfNothing,
    /// A user or a group that cannot be.
    #[error("'{text}' in 'program.{key}' is not a {key}'s name: write one, such as {key} = \"alice\"")]
    ProgramId {
        /// The key.
        key: &'static str,
        /// What was written.
        text: String,
    },
    /// A setting of units that is none.
    #[error(
        "'{0}' in 'program.properties' is not a setting of a unit: write one as systemd.exec(5) does, such as MemoryMax"
    )]
    PropertyName(String),
    /// A setting that something else decides.
    #[error("'{name}' cannot be among 'program.properties': {instead}")]
    PropertyDecided {
        /// Its name.
        name: String,
        /// What decides it.
        instead: &'static str,
    },
    /// A value that no unit file could hold.
    #[error("the value of '{0}' in 'program.properties' has several lines: write one, or an array of them")]
    PropertyValue(String),
    /// Anybody who reaches the port would get a shell.
    #[error(
        "'pty' gives a terminal to everybody who reaches this route: listen on localhost or on a Unix socket, or let [access] \
         ask who they are"
    )]
    TerminalForAll,
    /// A place of tokens that is none.
    #[error(transparent)]
    TokenPlace(PlaceError),
    /// No token could be found.
    #[error("'tokens.from' is empty, so no token could be found: write one place at least, such as from = \"query\"")]
    TokenPlacesEmpty,
    /// A daemon that ends forgets its grants.
    #[error("'[grants]' and 'exit-idle' exclude each other, for grants end with the daemon: remove one of the two")]
    GrantsExitIdle,
    /// A granted token would have no place in a URL.
    #[error("'[grants]' needs a place of tokens in the URL: add \"query\" to 'tokens.from'")]
    GrantsNotInUrl,
    /// Not the beginning of a URL.
    #[error(
        "'{0}' is not a value of 'grants.url': write the URL of a page or a WebSocket, such as \"https://lab.example.com/vnc.html\""
    )]
    GrantsUrl(String),
    /// One target for all needs no grants.
    #[error(
        "'target' and '[grants]' exclude each other: each grant names its target, so remove 'target', or the table"
    )]
    TargetAndGrants,
    /// A key that says nothing about the source.
    #[error("'tokens.{key}' is for a source that begins with {sources}: remove it")]
    TokenKeyUnused {
        /// The key.
        key: &'static str,
        /// What it is for.
        sources: &'static str,
    },
    /// An interval of looks that nobody makes.
    #[error("'tokens.recheck-interval' does nothing without 'end-sessions = true': write that too, or remove it")]
    RecheckUnused,
    /// A source of tokens that is none.
    #[error(transparent)]
    TokenSource(SourceTextError),
    /// A credential's name that cannot be a file's.
    #[error("'{text}' in '{key}' does not name a credential: write \"credential:\" and its name, without a slash")]
    CredentialName {
        /// The key.
        key: String,
        /// What was written.
        text: String,
    },
    /// A service got no such credential.
    #[error("'{key}': the service has no credential '{name}': add LoadCredential={name}:/PATH to its unit")]
    CredentialMissing {
        /// The key that names it.
        key: String,
        /// Its name.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Permissions that are not octal.
    #[error("'{0}' is not a mode: write permissions in octal digits, such as listen-mode = \"660\"")]
    ListenMode(String),
    /// Permissions without a socket in the file system.
    #[error("'listen-mode' is for Unix sockets and 'listen' has none: remove it, or listen on a /path")]
    ListenModeUnused,
    /// A key that must be there is not.
    #[error("'{key}' is missing: write {example}")]
    Missing {
        /// The key.
        key: String,
        /// How it could be written.
        example: &'static str,
    },
    /// A bound of recordings that cannot be read or is too small.
    #[error("'{text}' is not a value of 'record.size-limit': write a size from 4KiB on, such as \"1GiB\"")]
    RecordSize {
        /// What was written.
        text: String,
    },
    /// A size that cannot be read or is beyond its bounds.
    #[error("'{text}' is not a value of 'limits.request-size': write a size from 8KiB to 1MiB, such as \"16KiB\"")]
    RequestSize {
        /// What was written.
        text: String,
    },
    /// Not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// A target that is none.
    #[error(transparent)]
    Target(TargetError),
    /// A value of another type than its key's.
    #[error("'{key}' is {found}: write {example}")]
    Type {
        /// The key.
        key: String,
        /// The type it has, with its article.
        found: &'static str,
        /// How it could be written.
        example: &'static str,
    },
    /// A key that this version does not know.
    #[error("unknown key '{key}': {}", instead(suggestion.as_deref(), "known are", known))]
    UnknownKey {
        /// The key, with its table.
        key: String,
        /// A known one that looks alike.
        suggestion: Option<String>,
        /// All that are known in its table.
        known: Vec<String>,
    },
    /// No directory of routes.
    #[error("no such directory: create it and write a route to NAME.toml in it, or name another with --config DIR")]
    DirectoryMissing,
    /// A directory without routes.
    #[error("no *.toml file in it: write a route to NAME.toml there, or name another directory with --config DIR")]
    DirectoryEmpty,
    /// A directory or a route's file that cannot be read.
    #[error("cannot be read")]
    FileUnreadable {
        /// The system's reason.
        source: io::Error,
    },
    /// A file that is not text.
    #[error("not UTF-8 from here on: save the file in UTF-8")]
    NotUtf8,
    /// A file name that cannot be a route's name.
    #[error("'{0}' cannot be a route's name: use letters a to z, digits, '-', '_' and '.' in the file's name")]
    RouteName(String),
    /// A route was asked for that has no file.
    #[error("no route '{name}' here: {}", instead(suggestion.as_deref(), "there are", known))]
    UnknownRoute {
        /// What was asked for.
        name: String,
        /// A route that is called alike.
        suggestion: Option<String>,
        /// The routes that exist.
        known: Vec<String>,
    },
}

/// Something wrong at a place.
#[derive(Debug)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What.
    pub mistake: Mistake,
}

/// The whole line that a user sees: the place, the mistake, and the chain of its reasons. It is the end of the chain's
/// way, which is why it, unlike an error's Display, names the sources.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, chain(&self.mistake))
    }
}

/// Everything that is wrong with a configuration: never empty, one line each.
#[derive(Debug)]
pub struct ConfigError {
    /// In the order of files and places.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl Error for ConfigError {}

/// An error and its reasons on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        line.push_str(": ");
        line.push_str(&reason.to_string());
        source = reason.source();
    }
    line
}

fn cure(reason: &io::Error) -> &'static str {
    match reason.kind() {
        io::ErrorKind::NotFound => "put it there, or name another",
        io::ErrorKind::PermissionDenied => "let this user read it, or restart the service if systemd is to read it",
        _ => "name another",
    }
}

fn alternatives(choices: &[&str]) -> String {
    choices.iter().map(|choice| format!("\"{choice}\"")).collect::<Vec<_>>().join(" or ")
}
