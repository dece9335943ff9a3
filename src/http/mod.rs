//! skeleton
use std::path::PathBuf;

/// What a route serves to plain requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Web {
    /// Pages that are part of the program.
    Builtin(Builtin),
    /// A directory of files.
    Directory(Directory),
}

/// A set of pages in the program itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// The page of `websockify demo`.
    Demo,
}

/// A web root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Where it is.
    pub root: PathBuf,
    /// Serve what symbolic links that lead out of the root point to. Links that stay inside are always followed.
    pub follow_symlinks: bool,
    /// Show the names in a directory that has no index.html.
    pub listing: bool,
}
