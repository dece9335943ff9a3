//! What is written as it should be in a route's file, and hardly what its writer wants: `check` warns of it.
//!
//! Only settings that do not go together belong here. What is wrong by itself is a mistake and keeps the route from starting.

use crate::config::{Loaded, Place};
use crate::http::{Builtin, Web};
use crate::websocket::codec::TextFrames;

/// A setting to think about again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Doubt {
    /// Telnet's commands are bytes from 240 on, which text does not have.
    #[error(
        "text = \"reply\" damages what the target says to builtin:telnet, for telnet's commands are bytes that are no \
         text: remove it"
    )]
    TextOfTelnet,
}

/// Each with its place.
pub(super) fn about(loaded: &Loaded) -> Vec<(&Place, Doubt)> {
    let (route, places) = (&loaded.route, &loaded.places);
    let mut doubts = Vec::new();
    if route.web == Some(Web::Builtin(Builtin::Telnet)) && route.text == TextFrames::Reply {
        doubts.push((places.text.as_ref().unwrap_or(&places.target), Doubt::TextOfTelnet));
    }
    doubts
}
