//! The `[websocket]` table: how sessions are kept alive, and what becomes of text.

use std::time::Duration;

use toml::Spanned;

use super::file;
use super::meaning::Reader;
use crate::websocket::codec::TextFrames;

/// What keeps a session alive behind whoever forgets quiet connections, which few do before half a minute, and finds a client
/// that is gone within a minute.
const HEARTBEAT: Duration = Duration::from_secs(25);

impl Reader<'_> {
    /// The interval of pings (None: there are none), and what becomes of text frames.
    pub(super) fn websocket(&mut self, written: file::WebSocket) -> (Option<Duration>, TextFrames) {
        let file::WebSocket { heartbeat, text } = written;
        (self.heartbeat(heartbeat), self.text_frames(text))
    }

    fn heartbeat(&mut self, written: Option<Spanned<String>>) -> Option<Duration> {
        match written {
            Some(written) if written.get_ref() == "off" => None,
            None => Some(HEARTBEAT),
            written => self.duration("websocket.heartbeat", written, "\"30s\" or \"off\"", "it is 25s"),
        }
    }

    fn text_frames(&mut self, written: Option<Spanned<String>>) -> TextFrames {
        let Some(written) = written else { return TextFrames::default() };
        match written.get_ref().as_str() {
            "refuse" => TextFrames::Refuse,
            "accept" => TextFrames::Accept,
            "reply" => TextFrames::Reply,
            _ => {
                self.choice(&written, "websocket.text", &["refuse", "accept", "reply"]);
                TextFrames::default()
            }
        }
    }
}
