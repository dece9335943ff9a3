//! The control frames that a client is to get: pongs, pings, and the Close behind which nothing follows.
//!
//! Promise: whatever the client sends and does not read, they stay below a few kilobytes. Memory is owned only while
//! something waits.

use crate::websocket::decoder::ControlPayload;
use crate::websocket::encoder;

/// Pongs that wait for a client that does not read them are kept up to this many bytes; of those beyond, only the
/// latest, as RFC 6455 section 5.5.3 allows.
const BYTES_MAX: usize = 2048;

/// The control frames of one session that have not gone yet.
#[derive(Debug, Default)]
pub(super) struct Control {
    frames: Vec<u8>,
    /// How many bytes of `frames` have gone.
    sent: usize,
    /// The latest ping that found `frames` full.
    unanswered: Option<Box<ControlPayload>>,
    /// A ping of ours was due while other frames still waited.
    ping_withheld: bool,
    close: Progress,
}

/// How far the Close frame has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    NotYet,
    Queued,
    /// Gone, or never to go.
    Sent,
}

impl Control {
    /// Answers a ping, unless the Close is on its way: nothing may follow it.
    pub(super) fn pong(&mut self, ping: ControlPayload) {
        if self.close != Progress::NotYet {
            return;
        }
        if self.frames.len() < BYTES_MAX {
            encoder::pong(&mut self.frames, ping.as_slice());
        } else {
            self.unanswered = Some(Box::new(ping));
        }
    }

    /// Asks for a sign of life. While other frames wait, none is needed: their leaving says as much as a pong.
    pub(super) fn ping(&mut self) {
        self.ping_withheld = !self.frames.is_empty();
        if !self.ping_withheld {
            encoder::ping(&mut self.frames);
        }
    }

    /// Ends the session's frames with a Close, once: with what `append` makes it, which may be nothing.
    pub(super) fn close(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        if self.close == Progress::NotYet {
            self.answer_latest();
            append(&mut self.frames);
            self.close = if self.frames.is_empty() { Progress::Sent } else { Progress::Queued };
        }
    }

    /// What waits.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.frames[self.sent..]
    }

    /// The next `count` bytes have gone. True: that stands for the answer to a ping that was withheld.
    pub(super) fn sent(&mut self, count: usize) -> bool {
        self.sent += count;
        if self.sent >= self.frames.len() {
            self.frames = Vec::new();
            self.sent = 0;
            if self.close == Progress::Queued {
                self.close = Progress::Sent;
            }
            self.answer_latest();
        }
        std::mem::take(&mut self.ping_withheld)
    }

    /// There is nobody to get them any more, nor any that might follow.
    pub(super) fn abandon(&mut self) {
        *self = Self { close: Progress::Sent, ..Self::default() };
    }

    /// Whether a Close was queued, sent or not.
    pub(super) fn is_closing(&self) -> bool {
        self.close != Progress::NotYet
    }

    /// Whether nothing is left to be sent, and nothing can follow.
    pub(super) fn is_closed(&self) -> bool {
        self.close == Progress::Sent
    }

    fn answer_latest(&mut self) {
        if let Some(ping) = self.unanswered.take() {
            encoder::pong(&mut self.frames, ping.as_slice());
        }
    }
}
