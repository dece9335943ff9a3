//! skeleton
use std::path::PathBuf;

/// What a route wants of TLS. Absent: plain connections only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether plain connections are served beside TLS ones.
    pub mode: Mode,
    /// PEM file with the certificate chain; may hold the key as well.
    pub certificate: PathBuf,
    /// PEM file with the private key, when it is not in the certificate's file.
    pub key: Option<PathBuf>,
}

/// Which connections a listener serves when it has a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// TLS only.
    Required,
    /// TLS and plain on one port, told apart by the first byte.
    Sniff,
}
