//! Bytes that a side was to get and could not take yet.
//!
//! Promise: it owns memory only while something waits. Its bound is its owner's: a side whose outbox is not empty stops
//! the reading of its source, so there is never more in it than one read became.

/// The rest of a short write. Boxed: mostly there is none.
#[derive(Debug, Default)]
pub(super) struct Outbox(Option<Box<Rest>>);

#[derive(Debug)]
struct Rest {
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
            self.0 = Some(Box::new(Rest { bytes: bytes.to_vec(), sent: 0, payload }));
        }
    }

    /// The next `count` bytes have gone.
    pub(super) fn sent(&mut self, count: usize) {
        let Some(rest) = &mut self.0 else {
            debug_assert_eq!(count, 0, "no more goes than waits");
            return;
        };
        rest.sent += count;
        debug_assert!(rest.sent <= rest.bytes.len(), "no more goes than waits");
        if rest.sent >= rest.bytes.len() {
            self.0 = None;
        }
    }

    /// What waits.
    pub(super) fn waiting(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |rest| &rest.bytes[rest.sent..])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many of the source's bytes were in the whole of what waits.
    pub(super) fn payload(&self) -> usize {
        self.0.as_ref().map_or(0, |rest| rest.payload)
    }
}
