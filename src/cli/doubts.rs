//! What is written as it should be in a route's file, and hardly what its writer wants: `check` warns of it.
//!
//! Only settings that do not go together belong here. What is wrong by itself is a mistake and keeps the route from starting.

use std::fs::canonicalize;
use std::path::{Path, PathBuf};

use crate::config::{Loaded, Place};
use crate::http::{Builtin, Directory, Web};
use crate::websocket::codec::TextFrames;

/// A setting to think about again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Doubt {
    /// A word of OpenSSL's that leads nowhere here.
    #[error("'{0}' in tls.ciphers leads to no cipher suite that is spoken here: it has no effect")]
    Cipher(String),
    /// Telnet's commands are bytes from 240 on, which text does not have.
    #[error(
        "text = \"reply\" damages what the target says to builtin:telnet, for telnet's commands are bytes that are no \
         text: remove it"
    )]
    TextOfTelnet,
    /// Whoever can connect could read the routes, and what lies beside them.
    #[error(
        "'web' serves {}, which {}, to everybody who can connect: name a directory that holds pages alone",
        root.display(),
        if *is_same { "holds this route" } else { "holds the directory of this route" }
    )]
    WebOfRoutes {
        /// As the route means it.
        root: PathBuf,
        /// It is the routes' directory itself, and not one above it.
        is_same: bool,
    },
}

/// Each with its place, for a route of `directory`.
pub(super) fn about<'a>(loaded: &'a Loaded, directory: &Path) -> Vec<(&'a Place, Doubt)> {
    let (route, places) = (&loaded.route, &loaded.places);
    let mut doubts = Vec::new();
    let ciphers = route.tls.as_ref().and_then(|tls| tls.rules.ciphers.as_ref());
    for word in ciphers.iter().flat_map(|ciphers| ciphers.left_out()) {
        doubts.push((places.certificate.as_ref().unwrap_or(&places.target), Doubt::Cipher(word.clone())));
    }
    if route.web == Some(Web::Builtin(Builtin::Telnet)) && route.text == TextFrames::Reply {
        doubts.push((places.text.as_ref().unwrap_or(&places.target), Doubt::TextOfTelnet));
    }
    if let Some(Web::Directory(Directory { root, .. })) = &route.web {
        // As the file system sees them: a link to the routes, or a way up and down again, is the routes all the same.
        if let (Ok(routes), Ok(served)) = (canonicalize(directory), canonicalize(root))
            && routes.starts_with(&served)
        {
            let doubt = Doubt::WebOfRoutes { root: root.clone(), is_same: routes == served };
            doubts.push((places.web.as_ref().unwrap_or(&places.target), doubt));
        }
    }
    doubts
}
