//! Bytes that a side was to get and could not take yet.
//!
//! Promise: it owns memory only while something waits. Its bound is its owner's: a side whose outbox is not empty stops
//! the reading of its source, so there is never more in it than one read became.

/// The rest of a short write.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// How many of `bytes` have gone since.
    sent: usize,
    /// How many of the source's bytes are in the whole, of which `bytes` may be but the end.
    payload: usize,
}

impl Outbox {
    /// Keeps the end of a frame of `payload` of the source's bytes, or bytes that are these.
    pub(super) fn keep(&mut self, bytes: &[u8], payload: usize) {
        if !bytes.is_empty() {
            debug_assert!(self.is_empty(), "a side with a full outbox gets no more");
            self.bytes = bytes.to_vec();
            self.payload = payload;
        }
    }

    /// The next `count` bytes have gone.
    pub(super) fn sent(&mut self, count: usize) {
        self.sent += count;
        debug_assert!(self.sent <= self.bytes.len(), "no more goes than waits");
        if self.sent >= self.bytes.len() {
            *self = Self::default();
        }
    }

    /// What waits.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many of the source's bytes were in the whole of what waits.
    pub(super) fn payload(&self) -> usize {
        self.payload
    }
}
