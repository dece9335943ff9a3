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

/// What systemd manages, and the keys for what is below.
const MANAGED: [(&str, &str); 3] = [("/var/lib", "State"), ("/var/log", "Logs"), ("/var/cache", "Cache")];

/// Why the service of `route` could not keep recordings where it is to, whatever its drop-in says. `others` may name it, too.
pub(super) fn misfit<'a>(route: &Route, others: impl IntoIterator<Item = &'a Route>) -> Option<String> {
    let cure = |root: &Path| format!("write record.directory = \"{}/websockify/{}\"", root.display(), route.name);
    match record_directory(route)? {
        Place::Elsewhere(path) => {
            let root =
                MANAGED.map(|(root, _)| Path::new(root)).into_iter().find(|root| path == root.join("websockify"))?;
            Some(format!(
                "the service's user cannot write into {} itself, which holds the directories of the routes: {}",
                path.display(),
                cure(root)
            ))
        }
        Place::Managed { key, below } => {
            let shares = |other: &&Route| {
                other.name != route.name
                    && matches!(record_directory(other), Some(Place::Managed { key: its_key, below: its })
                        if its_key == key && (its.starts_with(below) || below.starts_with(its)))
            };
            let other = others.into_iter().find(shares)?;
            let root = MANAGED.into_iter().find(|(_, its_key)| *its_key == key).map(|(root, _)| Path::new(root))?;
            Some(format!(
                "systemd would take {} away from this service at each start of that of '{}', which records there too: {}",
                root.join(below).display(),
                other.name,
                cure(root)
            ))
        }
    }
}

/// Where `route` records.
pub(super) fn record_directory(route: &Route) -> Option<Place<'_>> {
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
