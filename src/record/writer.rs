//! The thread that writes a route's recordings.
//!
//! It alone opens, writes and removes files, so that it alone waits when the disk does. Recordings that share a directory share its
//! fate, and therefore a thread. What came together while it was busy is escaped and written recording by recording, in large pieces.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::file::{Cut, RecordingFile};
use super::format::{Side, entry_bytes_max, write_entry};
use super::queue::{Batch, Event, Queue, What};
use super::recorder::{Begun, log_cut};
use super::{Naming, Settings, rotation};
use crate::log::Kind;

/// What is written at once. Small enough to stay in a core's own cache between the escaping and the kernel's copy.
const TEXT_BYTES: usize = 512 * 1024;

/// How often files are looked after that have something pending, while nothing else comes.
const TENDING_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is looked for recordings that have become too old.
const ROTATION_INTERVAL: Duration = Duration::from_hours(1);

/// The writer of a route.
#[derive(Debug)]
pub(super) struct Writer {
    route: String,
    settings: Settings,
    queue: Arc<Queue>,
    open: HashMap<u64, Open>,
    /// Escaped entries of one recording, on their way to its file.
    text: Box<[u8]>,
    /// How much of it there is.
    filled: usize,
    /// When to look next for recordings that have become too old, whatever else there is to do.
    next_rotation: Instant,
    /// The last rotation failed, which has been told.
    is_rotation_failing: bool,
}

/// A recording that is being written.
#[derive(Debug)]
struct Open {
    file: RecordingFile,
    begun: Begun,
}

impl Writer {
    pub(super) fn new(route: &str, settings: Settings, queue: Arc<Queue>) -> Self {
        let text = vec![0; TEXT_BYTES].into();
        Self {
            route: route.to_owned(),
            settings,
            queue,
            open: HashMap::new(),
            text,
            filled: 0,
            next_rotation: Instant::now(), // what an earlier process has left may be too old already
            is_rotation_failing: false,
        }
    }

    /// Writes until there will be nothing more.
    pub(super) fn run(mut self) {
        while let Some(batch) = self.queue.take(self.patience(Instant::now())) {
            let blocks = self.write(batch);
            self.queue.give_back(blocks);
            self.look_after_files(Instant::now());
        }
    }

    /// How long nothing may come before something else is to be done.
    fn patience(&self, now: Instant) -> Duration {
        let until_rotation = self.next_rotation.saturating_duration_since(now);
        if self.has_pending() { TENDING_INTERVAL.min(until_rotation) } else { until_rotation }
    }

    /// What time does to files, those that are being written and those that were.
    fn look_after_files(&mut self, now: Instant) {
        self.tend(now);
        if now >= self.next_rotation {
            self.next_rotation = now + ROTATION_INTERVAL;
            self.rotate();
        }
    }

    fn has_pending(&self) -> bool {
        self.open.values().any(|open| open.file.has_pending())
    }

    fn write(&mut self, mut batch: Batch) -> Batch {
        // Each recording's events stay in their order.
        batch.events.sort_by_key(|event| event.recording);
        let mut current = None;
        for Event { recording, what } in batch.events.drain(..) {
            if current.is_some_and(|current| current != recording) {
                self.flush(current.take());
            }
            current = Some(recording);
            match what {
                What::Begun(begun) => self.begin(recording, *begun),
                What::Said { side, time_ms, block, offset, length } => {
                    self.entry(recording, side, time_ms, &batch.blocks[block][offset..offset + length]);
                }
                What::Ended => {
                    self.flush(Some(recording));
                    self.end(recording);
                }
            }
        }
        self.flush(current);
        batch
    }

    fn begin(&mut self, recording: u64, begun: Begun) {
        let (path, replace) = match &self.settings.naming {
            Naming::InDirectory(directory) => {
                let form = self.settings.compression;
                let name = rotation::file_name(&self.route, begun.time, begun.session, form);
                (directory.join(name), false)
            }
            Naming::Numbered(path) => {
                let mut path = path.clone().into_os_string();
                path.push(format!(".{}", begun.connection));
                (path.into(), true)
            }
        };
        match RecordingFile::make(path, self.settings.compression, replace) {
            Ok(file) => {
                let (session, path) = (begun.session, file.path().display());
                info!(
                    kind = Kind::RecordingBegun.id(),
                    session = %session,
                    route = self.route,
                    file = %path,
                    "the session is recorded"
                );
                self.open.insert(recording, Open { file, begun });
                self.rotate();
            }
            Err(cut) => {
                if begun.shared.cut() {
                    log_cut(begun.session, &self.route, None, &cut);
                }
            }
        }
    }

    /// Escapes an entry into the text.
    fn entry(&mut self, recording: u64, side: Side, time_ms: u64, payload: &[u8]) {
        let Some(open) = self.open.get(&recording) else { return };
        open.begun.shared.written(payload.len());
        let room = entry_bytes_max(payload.len());
        if self.text.len() - self.filled < room {
            self.flush(Some(recording));
            if self.text.len() < room {
                self.text = vec![0; room].into();
            }
        }
        let Some(open) = self.open.get(&recording) else { return }; // the flush may have failed
        let length = write_entry(&mut self.text[self.filled..], side, time_ms, payload);
        let reached = open.file.length_with(self.filled + length);
        if self.settings.size_max.is_some_and(|max| reached > max) {
            self.flush(Some(recording));
            if let Some(open) = self.open.remove(&recording) {
                let cut = Cut::SizeLimit(open.file.path().to_owned());
                self.cut(open, &cut);
            }
            return;
        }
        self.filled += length;
    }

    /// Writes the text, which is all of one recording.
    fn flush(&mut self, recording: Option<u64>) {
        let filled = std::mem::take(&mut self.filled);
        if filled > 0
            && let Some(recording) = recording
            && let Some(open) = self.open.get_mut(&recording)
            && let Err(cut) = open.file.append(&self.text[..filled])
            && let Some(open) = self.open.remove(&recording)
        {
            self.cut(open, &cut);
        }
    }

    fn end(&mut self, recording: u64) {
        let Some(mut open) = self.open.remove(&recording) else { return };
        match open.file.finish() {
            Ok(()) => drop(open), // and its lock: of two that began in one second it may be the older by its name
            Err(cut) => self.cut(open, &cut),
        }
        self.rotate();
    }

    /// Ends a recording before its session.
    fn cut(&self, Open { mut file, begun }: Open, cut: &Cut) {
        if begun.shared.cut() {
            log_cut(begun.session, &self.route, Some(file.path()), cut);
        }
        if matches!(cut, Cut::SizeLimit(_)) {
            // The room for the footer was counted.
            let _ = file.finish();
        } else {
            file.salvage();
        }
    }

    /// What time does to files that are being written.
    fn tend(&mut self, now: Instant) {
        let failed = self.open.iter_mut().filter_map(|(number, open)| Some((*number, open.file.tend(now).err()?)));
        for (number, cut) in failed.collect::<Vec<_>>() {
            if let Some(open) = self.open.remove(&number) {
                self.cut(open, &cut);
            }
        }
    }

    /// Removes old recordings. That it fails is told once, and again after it has succeeded.
    fn rotate(&mut self) {
        let outcome = rotation::rotate(&self.route, &self.settings, SystemTime::now());
        let was_failing = std::mem::replace(&mut self.is_rotation_failing, outcome.is_err());
        if let Err(error) = outcome
            && !was_failing
        {
            let cause = std::error::Error::source(&error).map(tracing::field::display);
            warn!(
                kind = Kind::RotationFailed.id(),
                route = self.route,
                %error,
                cause,
                "old recordings are not removed: they may fill the disk"
            );
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::record::Form;

    fn too_old(directory: &Path) -> std::path::PathBuf {
        let path = directory.join("vnc-20200101T000000Z-00000001.js");
        let file = std::fs::File::create(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(3)).unwrap();
        path
    }

    /// Sessions that say something every few minutes all day long are no reason to keep yesterday's.
    #[test]
    fn what_is_too_old_is_looked_for_once_an_hour_however_much_comes() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings {
            naming: Naming::InDirectory(directory.path().to_owned()),
            compression: Form::Plain,
            size_max: None,
            files_max: None,
            age_max: Some(Duration::from_hours(2)),
        };
        let queue = Arc::<Queue>::default();
        let mut writer = Writer::new("vnc", settings, Arc::clone(&queue));
        let begun = Instant::now();
        let mut look_after = |minutes: u64| {
            let now = begun + Duration::from_mins(minutes);
            assert!(queue.say(7, Side::Client, 0, b"word"));
            let batch = queue.take(writer.patience(now)).unwrap();
            assert_eq!(batch.events.len(), 1);
            let blocks = writer.write(batch);
            queue.give_back(blocks);
            writer.look_after_files(now);
            writer.patience(now)
        };
        let path = too_old(directory.path());
        assert_eq!(look_after(1), ROTATION_INTERVAL);
        assert!(!path.exists(), "it was too old from the beginning");
        too_old(directory.path());
        assert_eq!(look_after(21), Duration::from_mins(40));
        assert_eq!(look_after(41), Duration::from_mins(20));
        assert!(path.exists(), "an hour is not over");
        look_after(61);
        assert!(!path.exists());
    }
}
