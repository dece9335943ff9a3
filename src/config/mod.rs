//! skeleton
use std::time::Duration;

use crate::server::listener::ListenAddress;
use crate::target::Target;
use crate::{http, limits::Limits, tls};

/// One route, fully understood: what a TOML file or a classic command line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The file's name without `.toml`; `websockify` for the classic command line.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// At least one.
    pub listen: Vec<ListenAddress>,
    /// Where sessions go.
    pub target: Target,
    /// What plain requests get; None: 405.
    pub web: Option<http::Web>,
    /// None: plain connections only.
    pub tls: Option<tls::Settings>,
    /// Interval of the WebSocket pings sent to clients; None: no pings.
    pub heartbeat: Option<Duration>,
    /// Its bounds.
    pub limits: Limits,
}
