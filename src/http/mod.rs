//! Everything of HTTP that is not WebSocket: plain requests get files, an upgrade request is handed on.
//!
//! hyper parses every request and tower-http serves the files; nothing here reads a header line or a file name by
//! hand. This module promises that a connection is given back with every byte that was read past the upgrade request,
//! and that no file outside the web root is ever opened for reading. It knows neither TLS nor WebSocket nor targets.

mod builtin;
mod exchange;
mod files;
mod listing;
mod pages;
mod refusal;
mod response;
mod root;
mod stall;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use builtin::{Builtin, BuiltinError};
pub use exchange::{Barred, Closed, Gate, Head, Incoming, Plain, Reason, next_upgrade};
pub use files::{Files, WebError};
pub use refusal::{farewell, refuse};

/// What a route serves to plain requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Web {
    /// Pages that are part of the program.
    Builtin(Builtin),
    /// A directory of files.
    Directory(Directory),
}

/// A web root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Where it is. Looked up anew for each file, so that a deployment may replace the directory.
    pub root: PathBuf,
    /// Serve what symbolic links that lead out of the root point to. Links that stay inside are always followed.
    pub follow_symlinks: bool,
    /// Show the names in a directory that has no index.html.
    pub listing: bool,
}
