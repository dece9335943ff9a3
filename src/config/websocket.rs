//! The `[websocket]` table: how sessions are kept alive, and what becomes of text.

use std::time::Duration;

use toml::Spanned;

use super::file;
use super::meaning::Reader;
use super::problem::Mistake;
use crate::websocket::codec::TextFrames;

impl Reader<'_> {
    /// The interval of pings, and what becomes of text frames.
    pub(super) fn websocket(&mut self, written: file::WebSocket) -> (Option<Duration>, TextFrames) {
        let file::WebSocket { heartbeat, text } = written;
        let heartbeat = self.duration("websocket.heartbeat", heartbeat, "\"30s\"", "no pings are sent");
        (heartbeat, self.text_frames(text))
    }

    fn text_frames(&mut self, written: Option<Spanned<String>>) -> TextFrames {
        let Some(written) = written else { return TextFrames::default() };
        match written.get_ref().as_str() {
            "refuse" => TextFrames::Refuse,
            "accept" => TextFrames::Accept,
            "reply" => TextFrames::Reply,
            other => {
                let choices = &["refuse", "accept", "reply"];
                let mistake = Mistake::Choice { key: "websocket.text".to_owned(), text: other.to_owned(), choices };
                self.complain(written.span(), mistake);
                TextFrames::default()
            }
        }
    }
}
