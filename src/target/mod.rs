//! Where the bytes go: the address of a target, and [`dial`](mod@dial) to connect to it.

pub mod dial;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::program::Place;

/// A stream service that sessions are relayed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `host:port`: a name or an address; resolved anew for each session.
    Tcp {
        /// Without brackets, whatever was written.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// A wrapped program that was moved to loopback; it may not listen yet.
    Program(Place),
    /// `unix:/path`.
    Unix(PathBuf),
}

/// A target was written in a way that no target is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither `host:port` nor `unix:/path`.
    #[error("'{0}' is not a target: write host:port, [IPv6]:port or unix:/path")]
    Form(String),
    /// The part after the last colon is not a port.
    #[error("'{port}' in target '{target}' is not a port: write a number from 1 to 65535")]
    Port {
        /// The whole, as written.
        target: String,
        /// The part that is wrong.
        port: String,
    },
}

impl FromStr for Target {
    type Err = TargetError;

    /// `host:port` is split at the last colon and brackets are stripped, as the original did, so that `::1:5900` and
    /// `[::1]:5900` are the same. An empty host is the loopback.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(TargetError::Form(text.to_owned()));
            }
            return Ok(Self::Unix(path.into()));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| TargetError::Form(text.to_owned()))?;
        let wrong_port = || TargetError::Port { target: text.to_owned(), port: port.to_owned() };
        let port: u16 = port.parse().map_err(|_| wrong_port())?;
        if port == 0 {
            return Err(wrong_port());
        }
        let host = host.trim_matches(['[', ']']);
        Ok(Self::Tcp { host: if host.is_empty() { "localhost" } else { host }.to_owned(), port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Program(place) => place.addresses()[0].fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tcp(host: &str, port: u16) -> Target {
        Target::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn every_form_of_the_original_is_read() {
        assert_eq!("host.name:5900".parse(), Ok(tcp("host.name", 5900)));
        assert_eq!("[::1]:5900".parse(), Ok(tcp("::1", 5900)));
        assert_eq!("::1:5900".parse(), Ok(tcp("::1", 5900)));
        assert_eq!(":5900".parse(), Ok(tcp("localhost", 5900)));
        assert_eq!("unix:/run/vnc.sock".parse(), Ok(Target::Unix("/run/vnc.sock".into())));
    }

    #[test]
    fn what_is_no_target_says_what_one_is() {
        for text in ["", "5900", "unix:"] {
            assert_eq!(text.parse::<Target>(), Err(TargetError::Form(text.to_owned())));
        }
        for text in ["host:", "host:0", "host:65536", "host:vnc", "host:-1"] {
            assert!(matches!(text.parse::<Target>(), Err(TargetError::Port { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(text in "\\PC{0,30}") {
            if let Ok(target) = text.parse::<Target>() {
                prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
            }
        }
    }
}
