//! What is around a route's file while it is read: whether the files that it names can be expected to be there, and which
//! credentials systemd has passed.

use std::env;
use std::fs;
use std::path::PathBuf;

/// Where a configuration is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Surroundings {
    /// On the running machine: what a file names must be there.
    Machine {
        /// The directory of the service's credentials, if this is a service that has some.
        credentials: Option<PathBuf>,
    },
    /// Before its file systems are mounted, as a generator runs: nothing that a file names is looked for.
    Unknown,
}

/// The content of a credential whose file was not there: the unit's `SetCredential=`, without which systemd would not even
/// start the daemon that is to say what is wrong.
pub(crate) const ABSENT: &str = "absent";

/// Under which name the unit passes the file of `key` of a route. The route's name is in it, because a service may run
/// several routes.
pub(crate) fn credential_name(route: &str, key: &str) -> String {
    format!("{route}.{key}")
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn of_this_process() -> Self {
        Self::Machine { credentials: env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from) }
    }

    /// The file of the credential `name`, if it was passed and holds something.
    pub(super) fn credential(&self, name: &str) -> Option<PathBuf> {
        let Self::Machine { credentials: Some(directory) } = self else { return None };
        let path = directory.join(name);
        match fs::read(&path) {
            Ok(content) if content != ABSENT.as_bytes() => Some(path),
            _ => None,
        }
    }
}
