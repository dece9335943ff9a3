//! skeleton
use std::path::PathBuf;

/// Where log records go. Standard error always gets them, unless the process is a daemon (-D).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Debug records too.
    pub verbose: bool,
    /// Append to this file as well.
    pub file: Option<PathBuf>,
    /// Send to a syslog server as well.
    pub syslog: Option<Syslog>,
}

/// A syslog server and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// Where it listens.
    pub server: SyslogServer,
    /// `<PRI>websockify[PID]: TEXT` instead of RFC 5424.
    pub legacy: bool,
}

/// Where a syslog server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogServer {
    /// A datagram socket in the file system; a stream socket when that fails.
    Local(PathBuf),
    /// `host:port` over UDP.
    Udp {
        /// A name or an address.
        host: String,
        /// Its port.
        port: u16,
    },
}
