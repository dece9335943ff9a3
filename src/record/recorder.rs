//! What a session sees of its recording: a place to put payloads, which never waits.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tracing::warn;

use super::Settings;
use super::file::Cut;
use super::format::Side;
use super::queue::{Queue, RECORDING_BYTES_MAX, cost};
use super::writer::Writer;
use crate::log::Kind;
use crate::session::SessionId;

/// Records the sessions of a route. Its thread begins with the first of them, or at once where recordings become too old without
/// any; it ends with the last session after the recorder is dropped.
#[derive(Debug)]
pub struct Recorder {
    route: String,
    settings: Settings,
    queue: Arc<Queue>,
    is_writing: Mutex<bool>,
    numbers: AtomicU64,
}

impl Recorder {
    /// Nothing is made yet, and no thread unless there is a bound to the age, which only a route's file has: the classic command
    /// line may still take the process to the background.
    pub fn new(route: &str, settings: Settings) -> Self {
        let removes_by_age = settings.age_max.is_some();
        let recorder = Self {
            route: route.to_owned(),
            settings,
            queue: Arc::default(),
            is_writing: Mutex::new(false),
            numbers: AtomicU64::new(0),
        };
        if removes_by_age && let Err(cause) = recorder.start_writing() {
            // The first session tries again.
            warn!(
                kind = Kind::RotationFailed.id(),
                route = recorder.route,
                error = "cannot start the thread that removes them",
                %cause,
                "old recordings are not removed: they may fill the disk"
            );
        }
        recorder
    }

    /// Begins to record a session that got its 101 at `began`, on the process's connection of that number. None: it cannot be
    /// recorded, which has been logged.
    pub fn begin(self: &Arc<Self>, session: SessionId, connection: u64, began: Instant) -> Option<Recording> {
        if let Err(error) = self.start_writing() {
            log_cut(session, &self.route, None, &Cut::Thread(error));
            return None;
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::<Shared>::default();
        let begun = Begun {
            session,
            connection,
            time: SystemTime::now(),
            shared: Arc::clone(&shared),
            _unwritten: Unwritten::new(),
        };
        if !self.queue.begin(number, begun) {
            log_cut(session, &self.route, None, &Cut::Overrun);
            return None;
        }
        Some(Recording { recorder: Arc::clone(self), session, number, began, shared })
    }

    fn start_writing(&self) -> io::Result<()> {
        let mut is_writing = self.is_writing.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_writing {
            let writer = Writer::new(&self.route, self.settings.clone(), Arc::clone(&self.queue));
            thread::Builder::new().name("recorder".to_owned()).spawn(move || writer.run())?;
            *is_writing = true;
        }
        Ok(())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// What the writer is told of a recording that begins.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) session: SessionId,
    pub(super) connection: u64,
    pub(super) time: SystemTime,
    pub(super) shared: Arc<Shared>,
    _unwritten: Unwritten,
}

/// What a recording's session and its writer both know.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// What waits in the queue, by its cost.
    queued: AtomicUsize,
    /// It has ended before the session, which has been logged.
    cut: AtomicBool,
}

impl Shared {
    /// The writer is done with a payload of that length.
    pub(super) fn written(&self, payload: usize) {
        self.queued.fetch_sub(cost(payload), Ordering::Relaxed);
    }

    /// It ends early, unless it has already.
    pub(super) fn cut(&self) -> bool {
        !self.cut.swap(true, Ordering::Relaxed)
    }
}

/// The recording of a session. Dropping it is its end.
pub struct Recording {
    recorder: Arc<Recorder>,
    session: SessionId,
    number: u64,
    began: Instant,
    shared: Arc<Shared>,
}

impl Recording {
    /// `side` said this.
    pub fn say(&self, side: Side, now: Instant, payload: &[u8]) {
        if payload.is_empty() || self.shared.cut.load(Ordering::Relaxed) {
            return;
        }
        let time_ms = u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX);
        let cost = cost(payload.len());
        let queued = self.shared.queued.fetch_add(cost, Ordering::Relaxed) + cost;
        let is_taken = queued <= RECORDING_BYTES_MAX && self.recorder.queue.say(self.number, side, time_ms, payload);
        if !is_taken && self.shared.cut() {
            log_cut(self.session, &self.recorder.route, None, &Cut::Overrun);
            self.recorder.queue.end(self.number);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.recorder.queue.end(self.number);
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("session", &self.session).finish_non_exhaustive()
    }
}

/// The one record about a recording that ends before its session.
pub(super) fn log_cut(session: SessionId, route: &str, file: Option<&Path>, cut: &Cut) {
    let cause = std::error::Error::source(cut).map(tracing::field::display);
    let file = file.map(|file| tracing::field::display(file.display()));
    warn!(
        kind = Kind::RecordingCut.id(),
        session = %session,
        route,
        file,
        cause,
        "the session goes on unrecorded: {cut}"
    );
}

/// A recording of this process that is not complete on the disk yet.
#[derive(Debug)]
struct Unwritten;

static UNWRITTEN: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Unwritten {
    fn new() -> Self {
        *UNWRITTEN.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        *UNWRITTEN.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        UNWRITTEN.1.notify_all();
    }
}

/// Waits until all recordings of this process that have ended are complete on the disk, for as long as `limit`. Returns how many
/// are not.
pub fn wait_until_written(limit: Duration) -> usize {
    let count = UNWRITTEN.0.lock().unwrap_or_else(PoisonError::into_inner);
    let (count, _) =
        UNWRITTEN.1.wait_timeout_while(count, limit, |count| *count > 0).unwrap_or_else(PoisonError::into_inner);
    *count
}
