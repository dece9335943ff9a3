//! Where a route's recordings are, as systemd sees it: in a directory that it makes for the service's user, or elsewhere.

use std::path::{Component, Path};

use crate::config::Route;
use crate::record::Naming;

/// The directory of a route's recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// Where the user of a service, who owns nothing, has no right to write unless somebody gives it.
    Elsewhere(&'a Path),
    /// `StateDirectory=` and its like: systemd makes it, and gives it to the service's user whoever that is this time.
    Managed {
        /// `State`, `Logs` or `Cache`.
        key: &'static str,
        /// Below the key's own directory.
        below: &'a Path,
    },
}

impl<'a> Place<'a> {
    /// The path of what systemd does not make.
    pub(super) fn elsewhere(self) -> Option<&'a Path> {
        match self {
            Self::Elsewhere(path) => Some(path),
            Self::Managed { .. } => None,
        }
    }
}

/// Where `route` records.
pub(super) fn record_directory(route: &Route) -> Option<Place<'_>> {
    const MANAGED: [(&str, &str); 3] = [("/var/lib", "State"), ("/var/log", "Logs"), ("/var/cache", "Cache")];
    let Naming::InDirectory(path) = &route.record.as_ref()?.naming else { return None };
    let managed = MANAGED.into_iter().find_map(|(root, key)| {
        let below = path.strip_prefix(root).ok()?;
        // systemd gives the directory away with all that is in it: not somebody else's, and not what routes share.
        let is_own = below.starts_with("websockify") && below.components().count() > 1;
        // A way up would lead out of it; and these keys take quotes and colons for something else than other keys do.
        let is_plain = below.components().all(|part| matches!(part, Component::Normal(_)))
            && below.to_str()?.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./@".contains(&byte));
        (is_own && is_plain).then_some(Place::Managed { key, below })
    });
    Some(managed.unwrap_or(Place::Elsewhere(path)))
}
