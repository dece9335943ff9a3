//! The places that records go to, and the layer that hands each record to all of them.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::LogError;
use super::journal::Journal;
use super::kind::Kind;
use super::record::Record;
use super::syslog::Sender;

/// Everywhere that records go.
pub(super) struct Sinks {
    /// None: a daemon has no standard error.
    pub(super) stderr: Option<Stderr>,
    pub(super) file: Option<LogFile>,
    pub(super) syslog: Option<Sender>,
}

impl<S: Subscriber> Layer<S> for Sinks {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let record = Record::new(event);
        if let Some(stderr) = &self.stderr {
            stderr.write(&record);
        }
        if let Some(complaint) = self.file.as_ref().and_then(|file| file.write(&record))
            && let Some(stderr) = &self.stderr
        {
            stderr.write(&complaint);
        }
        if let Some(syslog) = &self.syslog {
            syslog.send(&record);
        }
    }
}

/// Where standard error leads.
pub(super) enum Stderr {
    /// To people, or to whatever reads lines.
    Terminal(Terminal),
    /// To systemd's journal, which gets records and not lines.
    Journal(Journal),
}

impl Stderr {
    fn write(&self, record: &Record) {
        match self {
            Self::Terminal(terminal) => terminal.write(record),
            Self::Journal(journal) => journal.send(record),
        }
    }
}

/// Standard error as text.
pub(super) struct Terminal {
    writer: Mutex<Box<dyn Write + Send>>,
    colours: bool,
}

impl Terminal {
    pub(super) fn new(writer: Box<dyn Write + Send>, colours: bool) -> Self {
        Self { writer: Mutex::new(writer), colours }
    }

    /// One write for each record, so that other processes' lines on the same terminal stand between, not inside. There is
    /// nobody to tell that it failed.
    fn write(&self, record: &Record) {
        let line = record.line(self.colours);
        let _ = self.writer.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    }
}

/// The log file. Opened for appending: several processes may share it, and it may be emptied while in use.
pub(super) struct LogFile {
    path: PathBuf,
    state: Mutex<FileState>,
}

struct FileState {
    file: File,
    /// A full disk is reported at the first record that it swallows, and again when it is full the next time.
    failing: bool,
}

impl LogFile {
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map_err(|source| LogError::File { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), state: Mutex::new(FileState { file, failing: false }) })
    }

    /// What to tell elsewhere, when the file begins to fail.
    fn write(&self, record: &Record) -> Option<Record> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = state.file.write_all(record.line(false).as_bytes());
        let was_failing = std::mem::replace(&mut state.failing, result.is_err());
        let error = result.err().filter(|_| !was_failing)?;
        let path = self.path.display();
        let message = format!("cannot write to the log file {path}, records are missing there: {error}");
        Some(Record::warning(Kind::LogFileFailing, &message))
    }
}
