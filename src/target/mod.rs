//! Where the bytes go: the address of a target, which is one for all sessions or comes of a client's token
//! ([`targets`], by a [`source`]), what it may be ([`allow`]), [`dial`](mod@dial) to connect to it, and the [`leg`] that leads there.

pub mod allow;
pub mod dial;
pub mod grants;
pub mod lease;
pub mod leg;
pub mod source;
pub mod targets;
pub mod token;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::program::Place;
use crate::program::session::PerSession;

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
    /// A wrapped program; it may not listen yet.
    Program(Place),
    /// A program that each session has for itself.
    PerSession(PerSession),
    /// `tls:` before one of the others: it speaks TLS.
    Tls(Box<Target>),
    /// `unix:/path`, or as the original wrote it, `unix_socket:/path`.
    Unix(PathBuf),
}

/// Where the sessions of a route go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    /// All to the same.
    Fixed(Target),
    /// Where the client's token says.
    ByToken(Box<targets::Tokens>),
    /// To the route's own program.
    Program,
}

/// As a log names it: no target's address is a secret, and of a source only its kind and place are shown.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(target) => target.fmt(f),
            Self::Program => f.write_str("its program"),
            Self::ByToken(tokens) => match &tokens.source {
                Some(source) => source.fmt(f),
                None => f.write_str("grants"),
            },
        }
    }
}

/// A target was written in a way that no target is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither `host:port` nor `unix:/path`.
    #[error("'{0}' is not a target: write host:port, [IPv6]:port or unix:/path")]
    Form(String),
    /// What another program said is a target, and leads where that program is.
    #[error("'{0}' is not a target: the path of a Unix socket must begin with /")]
    Relative(String),
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
        if let Some(inner) = text.strip_prefix("tls:") {
            return match inner.parse() {
                Ok(Self::Tls(_)) | Err(TargetError::Form(_)) => Err(TargetError::Form(text.to_owned())),
                Ok(target) => Ok(target.by_tls()),
                Err(error) => Err(error),
            };
        }
        if let Some(path) = text.strip_prefix("unix:").or_else(|| text.strip_prefix("unix_socket:")) {
            if path.is_empty() || path.contains('\0') {
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
        if host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(TargetError::Form(text.to_owned()));
        }
        Ok(Self::Tcp { host: if host.is_empty() { "localhost" } else { host }.to_owned(), port })
    }
}

impl Target {
    /// What a source of targets says: blanks around it do not count, and there is no directory that a path could start at.
    pub fn foreign(text: &str) -> Result<Self, TargetError> {
        let target: Self = text.trim().parse()?;
        match target.below_tls() {
            Self::Unix(path) if !path.is_absolute() => Err(TargetError::Relative(path.display().to_string())),
            _ => Ok(target),
        }
    }

    /// The same, where the path of a socket that is not absolute begins at `base`.
    #[must_use]
    pub fn based(self, base: &Path) -> Self {
        match self {
            Self::Unix(path) => Self::Unix(base.join(path)),
            Self::Tls(inner) => Self::Tls(Box::new(inner.based(base))),
            other => other,
        }
    }

    /// The same, spoken to by TLS.
    #[must_use]
    pub fn by_tls(self) -> Self {
        match self {
            Self::Tls(_) => self,
            other => Self::Tls(Box::new(other)),
        }
    }

    /// What is connected to, whether TLS is spoken then or not.
    pub fn below_tls(&self) -> &Self {
        match self {
            Self::Tls(inner) => inner,
            other => other,
        }
    }

    /// The name that it goes by, which its certificate has.
    pub fn host(&self) -> &str {
        match self.below_tls() {
            Self::Tcp { host, .. } => host,
            Self::PerSession(_) | Self::Program(_) | Self::Tls(_) | Self::Unix(_) => "localhost",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A name that would be taken for something else, as well.
            Self::Tcp { host, port }
                if host.contains(':') || ["tls", "unix", "unix_socket"].contains(&host.as_str()) =>
            {
                write!(f, "[{host}]:{port}")
            }
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Program(place) => place.addresses()[0].fmt(f),
            Self::PerSession(program) => f.write_str(&program.command().name()),
            Self::Tls(inner) => write!(f, "tls:{inner}"),
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
        assert_eq!("unix_socket:/run/vm:1.vnc".parse(), Ok(Target::Unix("/run/vm:1.vnc".into())));
    }

    #[test]
    fn tls_stands_before_any_other() {
        assert_eq!("tls:vm:5900".parse(), Ok(tcp("vm", 5900).by_tls()));
        assert_eq!("tls::5900".parse(), Ok(tcp("localhost", 5900).by_tls()));
        assert_eq!("tls:unix:/run/vm.sock".parse(), Ok(Target::Unix("/run/vm.sock".into()).by_tls()));
        assert_eq!(Target::foreign("tls:unix:vm"), Err(TargetError::Relative("vm".to_owned())));
        for text in ["tls:", "tls:5900", "tls:tls:vm:5900"] {
            assert_eq!(text.parse::<Target>(), Err(TargetError::Form(text.to_owned())));
        }
        for name in ["tls", "unix", "unix_socket"] {
            let target = tcp(name, 5900);
            assert_eq!(target.to_string().parse(), Ok(target), "a host that is called so");
        }
    }

    #[test]
    fn what_a_source_says_is_trimmed_and_starts_nowhere() {
        assert_eq!(Target::foreign(" [::1]:5900\r\n"), Ok(tcp("::1", 5900)));
        assert_eq!(Target::foreign("unix_socket:/run/vm.vnc\n"), Ok(Target::Unix("/run/vm.vnc".into())));
        assert_eq!(Target::foreign("unix:vm.vnc"), Err(TargetError::Relative("vm.vnc".to_owned())));
    }

    #[test]
    fn what_is_no_target_says_what_one_is() {
        for text in ["", "5900", "unix:", "unix_socket:", "a b:1", "h:1 # x:2", "h\u{7}:1"] {
            assert_eq!(text.parse::<Target>(), Err(TargetError::Form(text.to_owned())));
        }
        for text in ["host:", "host:0", "host:65536", "host:vnc", "host:-1"] {
            assert!(matches!(text.parse::<Target>(), Err(TargetError::Port { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(text in "(tls:)?(unix:|tls:)?\\PC{0,30}") {
            if let Ok(target) = text.parse::<Target>() {
                prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
            }
        }
    }
}
