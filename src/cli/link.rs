//! The URL that opens a session by a token: a page of noVNC's kind, or the WebSocket itself.

use nix::unistd::gethostname;
use percent_encoding::utf8_percent_encode;

use crate::config::Route;
use crate::http::{Builtin, Web};
use crate::server::address::ListenAddress;
use crate::target::source::http::ESCAPED;
use crate::target::token::Place;

/// Where noVNC's server is expected to be, unless its page is told otherwise.
const PATH: &str = "websockify";

/// The URL for `token`, which stands where `from` says. `base` is a page or a WebSocket; None: where the route listens, and the
/// page that it serves, if it serves one.
pub(super) fn to_open(route: &Route, from: &[Place], base: Option<&str>, token: &str) -> String {
    let base = base.map_or_else(|| own(route), str::to_owned);
    let query = |name: &str| format!("{}={token}", utf8_percent_encode(name, ESCAPED));
    let place = from.iter().find(|place| matches!(place, Place::Query(_) | Place::Path));
    if base.starts_with("http") {
        let path = match place {
            Some(Place::Path) => format!("{PATH}/{token}"),
            Some(Place::Query(name)) => format!("{PATH}?{}", query(name)),
            _ => PATH.to_owned(), // the route's file is refused
        };
        return format!("{}autoconnect=true&path={}", with_query(&base), utf8_percent_encode(&path, ESCAPED));
    }
    match place {
        Some(Place::Path) => format!("{}/{token}", base.trim_end_matches('/')),
        Some(Place::Query(name)) => format!("{}{}", with_query(&base), query(name)),
        _ => base,
    }
}

fn with_query(base: &str) -> String {
    format!("{base}{}", if base.contains('?') { '&' } else { '?' })
}

/// Where the route listens. Nothing before the path: nobody knows from here.
fn own(route: &Route) -> String {
    let address = route.listen.iter().find_map(|address| match address {
        ListenAddress::Tcp { host, port } if *port != 0 => Some(authority(host.as_deref(), *port)),
        _ => None,
    });
    let secure = if route.tls.is_some() { "s" } else { "" };
    let page = match &route.web {
        Some(Web::Directory(directory)) if directory.root.join("vnc.html").is_file() => Some("/vnc.html"),
        Some(Web::Builtin(Builtin::Telnet)) => Some("/telnet/"),
        _ => None,
    };
    match (address, page) {
        (None, page) => page.unwrap_or("/").to_owned(),
        (Some(authority), Some(page)) => format!("http{secure}://{authority}{page}"),
        (Some(authority), None) => format!("ws{secure}://{authority}/"),
    }
}

/// All addresses are those of the machine's name.
fn authority(host: Option<&str>, port: u16) -> String {
    let own_name = || gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let host = match host {
        Some("0.0.0.0" | "::") | None => own_name(),
        Some(host) if host.contains(':') => format!("[{host}]"),
        Some(host) => host.to_owned(),
    };
    format!("{}:{port}", if host.is_empty() { "localhost" } else { &host })
}
