//! Routes: what `/etc/websockify/NAME.toml`, or a classic command line, says and means.
//!
//! A file is read as it is written ([`mod@file`]), then understood ([`meaning`]), and all problems of all files are
//! told at their places ([`problem`]). A [`Route`] holds no text that is still to be parsed, and each of its parts has
//! the type of the module that owns it. This module opens no socket, resolves no name and loads no certificate.

mod bounds;
mod callers;
mod directory;
mod document;
pub(crate) mod file;
mod grants;
mod leg;
pub(crate) mod meaning;
mod paths;
mod place;
mod problem;
mod program;
mod proxies;
mod recording;
mod suggestion;
mod surroundings;
mod tls;
mod tokens;
mod websocket;

use std::time::Duration;

pub use directory::{Loaded, Places, load_directory};
pub(crate) use directory::{Survey, Surveyed, survey, understand};
pub use place::{Place, Position};
pub(crate) use problem::chain;
pub use problem::{ConfigError, Mistake, Problem};
pub(crate) use surroundings::{ABSENT, Surroundings, credential_name};

use crate::server::address::ListenAddress;
use crate::target;
use crate::target::allow::AllowedTargets;
use crate::websocket::codec::TextFrames;
use crate::{access, http, limits::Limits, record};

/// Where the routes of the system are.
pub const DEFAULT_DIRECTORY: &str = "/etc/websockify";

const EXAMPLE_LISTEN: &str = "listen = \"6080\"";
const EXAMPLE_TARGET: &str = "target = \"localhost:5900\"";
const EXAMPLE_SOURCE: &str = "source = \"file:/etc/websockify/tokens\"";
const EXAMPLE_COMMAND: &str = "command = [\"vncserver\", \":1\"]";
const EXAMPLE_PROGRAM_PORT: &str =
    "the port that it listens on, such as port = 5901, or per-session = true, or a 'target' where sessions go";
const EXAMPLE_WORKING_DIRECTORY: &str = "working-directory = \"/home/alice\"";
const EXAMPLE_URL: &str = "url = \"https://lab.example.com/vnc.html\"";
const EXAMPLE_WEB: &str = "web = \"/usr/share/novnc\"";
const EXAMPLE_ROOT: &str = "root = \"/usr/share/novnc\"";
const EXAMPLE_RECORD: &str = "directory = \"/var/lib/websockify/vnc\"";
const EXAMPLE_CERTIFICATE: &str = "certificate = \"/etc/ssl/vnc.pem\"";
const EXAMPLE_KEY: &str = "key = \"/etc/ssl/vnc.key\"";
const EXAMPLE_USERS: &str = "users = \"/etc/websockify/users\"";
const EXAMPLE_JWT_KEY: &str = "key = \"/etc/websockify/jwt.pem\"";
const EXAMPLE_FORWARD_URL: &str = "url = \"https://auth.example.com/check\"";
const EXAMPLE_CA: &str = "ca = \"/etc/websockify/ca.pem\"";
const EXAMPLE_PROXIES: &str = "trusted-proxies = [\"10.0.0.1\"]";
const EXAMPLE_PIN: &str = "spki-sha256 = [\"<64 hexadecimal digits>\"]";
const EXAMPLE_PASSWORD: &str = "password = \"/etc/websockify/redis.password\"";

/// One route, fully understood: what a TOML file or a classic command line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The file's name without `.toml`; `websockify` for the classic command line.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// At least one, unless the listening socket is inherited (`--inetd`).
    pub listen: Vec<ListenAddress>,
    /// Where sessions go.
    pub target: target::Settings,
    /// What they may be; None: what their source may reach without a list.
    pub allow_targets: Option<AllowedTargets>,
    /// What runs behind it; None: nothing that is the route's business.
    pub program: Option<crate::program::Settings>,
    /// What is said on the way to them.
    pub leg: target::leg::Settings,
    /// What plain requests get; None: 405.
    pub web: Option<http::Web>,
    /// None: plain connections only.
    pub tls: Option<crate::tls::Settings>,
    /// Who may connect.
    pub access: access::Settings,
    /// Interval of the WebSocket pings sent to clients; None: no pings.
    pub heartbeat: Option<Duration>,
    /// After so long without a connection the daemon ends, if systemd starts it again for the next. None: never.
    pub exit_idle: Option<Duration>,
    /// What of its sessions is recorded; None: nothing.
    pub record: Option<record::Settings>,
    /// What becomes of text frames.
    pub text: TextFrames,
    /// Its bounds.
    pub limits: Limits,
}

impl Route {
    /// Whether users send their passwords to it in a way that others could read.
    pub(crate) fn shows_passwords(&self) -> bool {
        let is_encrypted = self.tls.as_ref().is_some_and(|tls| tls.mode == crate::tls::Mode::Required);
        let is_local = !self.listen.is_empty() && self.listen.iter().all(ListenAddress::is_local);
        self.access.users.is_some() && !is_encrypted && !is_local
    }
}

/// How many descriptors a process may need that serves `routes`, when each has all the connections that it may have.
pub(crate) fn descriptors<'a>(routes: impl IntoIterator<Item = &'a Route>) -> usize {
    const OWN: usize = 256; // listeners, files, timers, the log
    let sessions = routes.into_iter().map(|route| {
        // The client's socket, the target's, and the file of the recording.
        let each = if route.record.is_some() { 3 } else { 2 };
        each * route.limits.connections.get()
    });
    sessions.sum::<usize>() + OWN
}
