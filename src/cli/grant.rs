//! The verb `grant`: asks a running route for a token, and prints the URL that opens a session by it.
//!
//! The route's file says where its control socket is, and what the URL begins with; the daemon is asked for the token alone.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::exit::Exit;
use super::link;
use crate::config::{Route, Surroundings, Survey, chain, survey};
use crate::control::{LINE_BYTES_MAX, Order, Reply, Request, place_to_find};
use crate::target;
use crate::target::targets::Tokens;

/// Longer than the daemon takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The route.
    pub name: String,
    /// Where its file is.
    pub directory: PathBuf,
    /// Where its control socket is; None: where its name and file say.
    pub socket: Option<PathBuf>,
    /// The token.
    pub order: Order,
    /// Whether a program reads the answer.
    pub json: bool,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
enum GrantError {
    /// The routes, a line each.
    #[error("{0}")]
    Config(String),
    #[error(
        "the route '{0}' has no table [grants]: add it to its file, and then: systemctl daemon-reload && systemctl restart \
         websockify@{0}"
    )]
    NoGrants(String),
    #[error("there is no place for the control socket of '{0}': set XDG_RUNTIME_DIR, or name it with --socket FILE")]
    NoPlace(String),
    #[error("cannot ask the route '{name}' at {}{}", path.display(), cure(source, name))]
    Connect { name: String, path: PathBuf, source: io::Error },
    #[error("the route '{name}' does not answer at {}", path.display())]
    Lost { name: String, path: PathBuf, source: io::Error },
    #[error("what listens at {} is no route of this program", .0.display())]
    Nonsense(PathBuf, #[source] serde_json::Error),
    #[error("refused: {0}")]
    Refused(String),
}

impl GrantError {
    fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::NoGrants(_) => Exit::Config,
            Self::Refused(_) => Exit::Refused,
            _ => Exit::SystemError,
        }
    }
}

fn cure(source: &io::Error, name: &str) -> String {
    match source.kind() {
        io::ErrorKind::PermissionDenied => " (only root and the user that it runs as may)".to_owned(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!(" (does it run? systemctl start websockify@{name}.service)")
        }
        _ => String::new(),
    }
}

impl Grant {
    /// Does it, and prints the outcome.
    pub fn run(&self) -> Exit {
        let outcome = self.route().and_then(|route| self.ask(&route).map(|token| self.shown(&route, &token)));
        match outcome {
            Ok(line) => {
                // A reader that went away has no use for the token.
                let _ = writeln!(io::stdout(), "{line}");
                Exit::Success
            }
            Err(error) => {
                let prefix = if matches!(error, GrantError::Config(_)) { "" } else { "websockify: error: " };
                eprintln!("{prefix}{}", chain(&error));
                error.exit()
            }
        }
    }

    /// Nothing that the route's file names is looked for: this process may not be able to see it.
    fn route(&self) -> Result<Route, GrantError> {
        let names = [self.name.clone()];
        let Survey { loaded, problems, .. } = survey(&self.directory, &names, &Surroundings::Unknown);
        let route = loaded.into_iter().map(|loaded| loaded.route).find(|route| route.name == self.name);
        route.ok_or_else(|| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            GrantError::Config(lines.join("\n"))
        })
    }

    fn ask(&self, route: &Route) -> Result<String, GrantError> {
        let name = self.name.clone();
        let Some(settings) = tokens(route).and_then(|tokens| tokens.grants.as_ref()) else {
            return Err(GrantError::NoGrants(name));
        };
        let path = self.socket.clone().or_else(|| settings.socket.clone()).or_else(|| place_to_find(&name));
        let path = path.ok_or_else(|| GrantError::NoPlace(name.clone()))?;
        let socket = UnixStream::connect(&path);
        let socket = socket.map_err(|source| GrantError::Connect { name: name.clone(), path: path.clone(), source })?;
        let line = self.exchange(socket).map_err(|source| GrantError::Lost { name, path: path.clone(), source })?;
        match serde_json::from_str(&line) {
            Ok(Reply::Granted { token }) => Ok(token),
            Ok(Reply::Refused(reason)) => Err(GrantError::Refused(reason)),
            Err(error) => Err(GrantError::Nonsense(path, error)),
        }
    }

    fn exchange(&self, mut socket: UnixStream) -> io::Result<String> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let request = serde_json::to_string(&Request::Grant(self.order.clone()))?;
        socket.write_all(format!("{request}\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(socket.take(LINE_BYTES_MAX)).read_line(&mut line)?;
        if line.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(line) }
    }

    fn shown(&self, route: &Route, token: &str) -> String {
        let settings = tokens(route).and_then(|tokens| Some((tokens, tokens.grants.as_ref()?.url.as_deref())));
        let url = settings.map(|(tokens, base)| link::to_open(route, &tokens.from, base, token)).unwrap_or_default();
        if !self.json {
            return url;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let Order { ttl_seconds, uses, user, target } = &self.order;
        let expires = now.as_secs().saturating_add(*ttl_seconds);
        serde_json::json!({
            "url": url, "token": token, "target": target, "uses": uses, "user": user, "expires": expires,
        })
        .to_string()
    }
}

fn tokens(route: &Route) -> Option<&Tokens> {
    match &route.target {
        target::Settings::ByToken(tokens) => Some(tokens),
        _ => None,
    }
}
