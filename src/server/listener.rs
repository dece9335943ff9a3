//! skeleton
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

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
