//! What is to be written, on its way from the sessions' threads to the writer's.
//!
//! Promise: nobody who puts something in ever waits, for the disk or for memory: what is beyond the bounds is not taken, and the
//! bounds count what keeping a payload costs beside its bytes, for it may be a single one. A
//! payload is copied once, into a block that holds many. Putting in one payload more wakes nobody: the writer is woken by the
//! first after a pause, and by a full block, and gives the others [`COLLECTING_TIME`] to come.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::format::Side;
use super::recorder::Begun;

/// What a recording may have in the queue: ten seconds of a busy desktop, while a disk is busy with something else.
pub(super) const RECORDING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What all recordings of a route may have in it together.
const BYTES_MAX: usize = 128 * 1024 * 1024;

/// Payloads of all recordings share blocks of this size.
const BLOCK_BYTES: usize = 256 * 1024;

/// Blocks that are kept for the next payloads, and no longer than something is being written.
const SPARE_BLOCKS_MAX: usize = 4;

/// How long the writer lets payloads come together, so that it is not woken for each.
const COLLECTING_TIME: Duration = Duration::from_millis(50);

/// What a payload of that length costs in the queue.
pub(super) const fn cost(payload: usize) -> usize {
    payload + size_of::<Event>()
}

/// The queue of one route.
#[derive(Debug, Default)]
pub(super) struct Queue {
    content: Mutex<Content>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Content {
    batch: Batch,
    /// What `batch` costs, and the batch before it until the writer is done with that.
    cost: usize,
    spare: Vec<Vec<u8>>,
    writer: Writer,
    /// No recording will come any more.
    closed: bool,
}

/// What the writer is doing, as far as it matters to who wakes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Writer {
    #[default]
    Busy,
    /// It waits for anything.
    Waiting,
    /// It waits for more.
    Collecting,
}

/// What came together for the writer.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    /// The payloads, one behind the other. A payload lies in one block, at the beginning of the next if the last had no room.
    pub(super) blocks: Vec<Vec<u8>>,
    cost: usize,
}

/// Something that happened to a recording.
#[derive(Debug)]
pub(super) struct Event {
    /// The recording's number.
    pub(super) recording: u64,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Begun(Box<Begun>),
    /// A payload of so many bytes, in the last block.
    Said {
        side: Side,
        time_ms: u64,
        block: usize,
        offset: usize,
        length: usize,
    },
    Ended,
}

impl Queue {
    /// Puts a recording's beginning in. False: there is no room.
    #[must_use]
    pub(super) fn begin(&self, recording: u64, begun: Begun) -> bool {
        let mut content = self.lock();
        let is_taken = content.charge(cost(size_of::<Begun>()));
        if is_taken {
            content.batch.events.push(Event { recording, what: What::Begun(Box::new(begun)) });
            self.wake(&mut content, true);
        }
        is_taken
    }

    /// Puts a recording's end in, whatever else waits: there are two at most of each that has begun, for one that is cut off here
    /// ends again with its session.
    pub(super) fn end(&self, recording: u64) {
        let mut content = self.lock();
        content.batch.events.push(Event { recording, what: What::Ended });
        self.wake(&mut content, true);
    }

    /// Puts a payload in. False: there is no room.
    #[must_use]
    pub(super) fn say(&self, recording: u64, side: Side, time_ms: u64, payload: &[u8]) -> bool {
        let mut content = self.lock();
        if !content.charge(cost(payload.len())) {
            return false;
        }
        let (block, offset) = content.keep(payload);
        content
            .batch
            .events
            .push(Event { recording, what: What::Said { side, time_ms, block, offset, length: payload.len() } });
        let is_full = block > 0;
        self.wake(&mut content, is_full);
        true
    }

    /// No recording will come any more: when all is written, [`take`](Self::take) ends.
    pub(super) fn close(&self) {
        let mut content = self.lock();
        content.closed = true;
        self.wake(&mut content, true);
    }

    /// Waits for something to write, as long as `patience`; gives an empty batch after that. None: there will be nothing.
    pub(super) fn take(&self, patience: Duration) -> Option<Batch> {
        let mut content = self.lock();
        if content.batch.events.is_empty() && !content.closed {
            content.spare.clear();
            content.writer = Writer::Waiting;
            content = self.wake.wait_timeout(content, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
        if !content.batch.events.is_empty() && content.batch.blocks.len() < 2 && !content.closed {
            content.writer = Writer::Collecting;
            content = self.wake.wait_timeout(content, COLLECTING_TIME).unwrap_or_else(PoisonError::into_inner).0;
        }
        content.writer = Writer::Busy;
        if content.batch.events.is_empty() && content.closed {
            return None;
        }
        Some(std::mem::take(&mut content.batch))
    }

    /// The writer is done with a batch, of which there are now only the blocks.
    pub(super) fn give_back(&self, batch: Batch) {
        let mut content = self.lock();
        content.cost -= batch.cost;
        for mut block in batch.blocks {
            if content.spare.len() < SPARE_BLOCKS_MAX && block.capacity() == BLOCK_BYTES {
                block.clear();
                content.spare.push(block);
            }
        }
    }

    fn wake(&self, content: &mut Content, urgent: bool) {
        if content.writer == Writer::Waiting || content.writer == Writer::Collecting && urgent {
            content.writer = Writer::Busy; // once is enough
            self.wake.notify_one();
        }
    }

    /// A panic under the lock leaves nothing half done that matters: a payload of some recording may be there twice or not.
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    /// Counts what is to be put in. False: it is too much.
    fn charge(&mut self, cost: usize) -> bool {
        let fits = self.cost + cost <= BYTES_MAX;
        if fits {
            self.cost += cost;
            self.batch.cost += cost;
        }
        fits
    }

    /// Copies a payload to the end of the last block, or into a new one. Returns where it is.
    fn keep(&mut self, payload: &[u8]) -> (usize, usize) {
        let has_room = |block: &Vec<u8>| block.capacity() - block.len() >= payload.len();
        if !self.batch.blocks.last().is_some_and(has_room) {
            let fresh = self.spare.pop().filter(has_room);
            let fresh = fresh.unwrap_or_else(|| Vec::with_capacity(BLOCK_BYTES.max(payload.len())));
            self.batch.blocks.push(fresh);
        }
        let index = self.batch.blocks.len() - 1;
        let block = &mut self.batch.blocks[index];
        let offset = block.len();
        block.extend_from_slice(payload);
        (index, offset)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;

    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn payloads(batch: &Batch) -> Vec<&[u8]> {
        let payload = |event: &Event| match event.what {
            What::Said { block, offset, length, .. } => Some((block, offset, length)),
            _ => None,
        };
        batch
            .events
            .iter()
            .filter_map(payload)
            .map(|(b, offset, length)| &batch.blocks[b][offset..offset + length])
            .collect()
    }

    #[test]
    fn what_is_put_in_comes_out_in_order_whatever_its_size() {
        let queue = Queue::default();
        let sizes = [1, 64 * 1024, 200 * 1024, 300 * 1024, 5, 255 * 1024, 2];
        let said: Vec<Vec<u8>> = sizes.iter().zip(0..).map(|(size, byte)| vec![byte; *size]).collect();
        for _ in 0..3 {
            for payload in &said {
                assert!(queue.say(7, Side::Client, 1, payload));
            }
            let batch = queue.take(NOW).unwrap();
            assert_eq!(payloads(&batch), said);
            queue.give_back(batch);
        }
    }

    #[test]
    fn what_is_beyond_the_bound_is_not_taken_until_the_writer_is_done() {
        let queue = Queue::default();
        let payload = vec![0; 1024 * 1024];
        let fill = || (0..1000).take_while(|_| queue.say(0, Side::Target, 0, &payload)).count();
        assert_eq!(fill(), 127);
        let batch = queue.take(NOW).unwrap();
        assert_eq!(fill(), 0, "what is being written counts");
        queue.give_back(batch);
        assert_eq!(fill(), 127);
    }

    #[test]
    fn single_bytes_are_bounded_by_what_they_cost() {
        let queue = Queue::default();
        let taken = (0..4_000_000).take_while(|_| queue.say(0, Side::Client, 0, b"x")).count();
        assert_eq!(taken, BYTES_MAX / cost(1));
        let batch = queue.take(NOW).unwrap();
        assert!(batch.events.len() * size_of::<Event>() <= BYTES_MAX);
    }

    #[test]
    fn a_closed_queue_is_emptied_first() {
        let queue = Arc::new(Queue::default());
        queue.end(1);
        queue.close();
        assert_eq!(queue.take(NOW).unwrap().events.len(), 1);
        assert!(queue.take(NOW).is_none());
    }
}
