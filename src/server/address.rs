//! Where a route listens: what was written, and what it stands for.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::str::FromStr;

use tracing::debug;

use crate::socket::is_localhost;

/// Where a route listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// `6080`, `host:6080`, `[IPv6]:6080`. No host: every address of the machine, IPv6 and IPv4.
    Tcp {
        /// A name or address without brackets; a name's every address is bound.
        host: Option<String>,
        /// 0 lets the kernel choose; the log says which.
        port: u16,
    },
    /// An absolute path.
    Unix {
        /// Where the socket is made.
        path: PathBuf,
        /// Permissions of the socket.
        mode: u32,
    },
}

/// A listening address was written in a way that none is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenAddressError {
    /// The part after the last colon is not a port.
    #[error("'{0}' is not an address to listen on: write a port (0 to 65535), host:port, [IPv6]:port or /path")]
    Form(String),
}

impl ListenAddress {
    /// The permissions of a Unix socket when nothing else is asked for: the owner's, as the original's.
    pub const UNIX_MODE: u32 = 0o600;

    /// The port. None: it is a Unix socket, which has none.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp { port, .. } => Some(*port),
            Self::Unix { .. } => None,
        }
    }

    /// Whether only programs of this machine can connect. Names are not looked up, but for `localhost`.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp { host: None, .. } => false,
            Self::Tcp { host: Some(host), .. } => {
                is_localhost(host) || host.parse::<IpAddr>().is_ok_and(|host| host.to_canonical().is_loopback())
            }
            Self::Unix { .. } => true,
        }
    }

    /// Whether both are the same socket, whatever permissions they ask for.
    pub fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix { path, .. }, Self::Unix { path: other, .. }) => path == other,
            _ => self == other,
        }
    }

    /// Gives the file of a Unix socket the permissions that `wanted` has.
    pub fn change_mode(&mut self, wanted: &Self) {
        if let (Self::Unix { path, mode }, Self::Unix { mode: wanted, .. }) = (self, wanted)
            && mode != wanted
        {
            match fs::set_permissions(&*path, fs::Permissions::from_mode(*wanted)) {
                Ok(()) => *mode = *wanted,
                Err(error) => debug!(%error, "the permissions of {} stay", path.display()),
            }
        }
    }

    /// Whether a socket that is bound to the literal address `bound` is what this asks for. Names are not looked up, but for
    /// `localhost`: a socket at one of a name's addresses is not known to be the name's.
    pub fn stands_for(&self, bound: &Self) -> bool {
        match (self, bound) {
            (Self::Unix { path, .. }, Self::Unix { path: bound, .. }) => path == bound,
            (Self::Tcp { host, port }, Self::Tcp { host: Some(bound), port: bound_port }) if port == bound_port => {
                let Ok(bound) = bound.parse::<IpAddr>() else { return false };
                host.as_ref().map_or(bound.is_unspecified(), |host| {
                    host.parse() == Ok(bound) || is_localhost(host) && bound.is_loopback()
                })
            }
            _ => false,
        }
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    /// A port alone, or a host and a port split at the last colon with brackets stripped, as the original did; or the
    /// absolute path of a Unix socket.
    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        if text.starts_with('/') {
            return Ok(Self::Unix { path: text.into(), mode: Self::UNIX_MODE });
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let port = port.parse().map_err(|_| ListenAddressError::Form(text.to_owned()))?;
        let host = host.trim_matches(['[', ']']);
        Ok(Self::Tcp { host: (!host.is_empty()).then(|| host.to_owned()), port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host: None, port } => write!(f, "{port}"),
            Self::Tcp { host: Some(host), port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host: Some(host), port } => write!(f, "{host}:{port}"),
            Self::Unix { path, .. } => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_original_read_them() {
        let tcp = |host: Option<&str>, port| Ok(ListenAddress::Tcp { host: host.map(str::to_owned), port });
        assert_eq!("6080".parse(), tcp(None, 6080));
        assert_eq!(":6080".parse(), tcp(None, 6080));
        assert_eq!("127.0.0.1:6080".parse(), tcp(Some("127.0.0.1"), 6080));
        assert_eq!("[::1]:6080".parse(), tcp(Some("::1"), 6080));
        assert_eq!("::1:6080".parse(), tcp(Some("::1"), 6080));
        for wrong in ["", "99999", "host", "-1", "6080:", "a:b"] {
            assert!(wrong.parse::<ListenAddress>().is_err(), "{wrong}");
        }
    }
}
