//! The file of one recording, from its making to its footer.
//!
//! Promise: nobody else can read it from its first moment on, and it is never a file that somebody else has put there. At each
//! moment it ends with a whole entry, or can be cut back to one: what is written lasts, compressed as well, because each piece is a
//! member (gzip) or frame (zstd) of its own. It may block for as long as the disk does.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::write::GzEncoder;

use super::format::{FOOTER, HEADER};
use super::reader::Form;

/// Compressed pieces are of so much text, for larger ones are no smaller.
const PIECE_BYTES: usize = 1024 * 1024;

/// Or of so much time: this much of a compressed recording is lost when the machine dies.
const PIECE_TIME: Duration = Duration::from_secs(5);

/// How often it is looked whether the file is still there.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Why a recording has ended before its session, or never began.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error("cannot make the directory {}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("{} is in the way, and no file: remove it, or record to another name", .0.display())]
    InTheWay(PathBuf),
    #[error("cannot make {}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("the disk does not take it as fast as it comes")]
    Overrun,
    #[error("somebody has removed {}", .0.display())]
    Removed(PathBuf),
    #[error("{} has reached record.size-limit", .0.display())]
    SizeLimit(PathBuf),
    #[error("cannot start the thread that writes")]
    Thread(#[source] io::Error),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct RecordingFile {
    file: fs::File,
    path: PathBuf,
    form: Form,
    /// Text that will be a compressed piece.
    pending: Vec<u8>,
    /// When the first of it came.
    pending_since: Option<Instant>,
    /// The length that ends with the last whole entry.
    length: u64,
    /// And the one before the last write, should there be no room for a footer.
    length_before: u64,
    looked: Instant,
}

impl RecordingFile {
    /// Makes the file, and its directory when there is none. `replace`: a file of that name may be there, and is removed.
    pub(super) fn make(path: PathBuf, form: Form, replace: bool) -> Result<Self, Cut> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|source| Cut::Directory { path: directory.to_owned(), source })?;
        // Never opened when it is there: its owner, or whoever has it open, could read on.
        if replace && let Ok(found) = fs::symlink_metadata(&path) {
            if !found.is_file() {
                return Err(Cut::InTheWay(path));
            }
            fs::remove_file(&path).map_err(|source| Cut::Make { path: path.clone(), source })?;
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|source| Cut::Make { path: path.clone(), source })?;
        // So that no rotation takes it away; a file system without locks has the order of time alone.
        let _ = file.try_lock();
        let mut made = Self {
            file,
            path,
            form,
            pending: Vec::new(),
            pending_since: None,
            length: 0,
            length_before: 0,
            looked: Instant::now(),
        };
        made.write(HEADER)?; // at once, compressed too: an empty file is no recording
        Ok(made)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How much it would be with `more` bytes of text and the footer. Of what is compressed, only what is written counts.
    pub(super) fn length_with(&self, more: usize) -> u64 {
        match self.form {
            Form::Plain => self.length + (more + FOOTER.len()) as u64,
            Form::Gzip | Form::Zstd => self.length,
        }
    }

    /// Appends whole entries.
    pub(super) fn append(&mut self, text: &[u8]) -> Result<(), Cut> {
        if self.form == Form::Plain {
            return self.write(text);
        }
        self.pending_since.get_or_insert_with(Instant::now);
        self.pending.extend_from_slice(text);
        if self.pending.len() >= PIECE_BYTES { self.write_pending() } else { Ok(()) }
    }

    /// Whether there is something that time alone makes a piece of.
    pub(super) fn has_pending(&self) -> bool {
        self.pending_since.is_some()
    }

    /// Looks after what time does: a piece that has waited long enough is written, and a file that is gone is noticed.
    pub(super) fn tend(&mut self, now: Instant) -> Result<(), Cut> {
        if self.pending_since.is_some_and(|since| now.duration_since(since) >= PIECE_TIME) {
            self.write_pending()?;
        }
        if now.duration_since(self.looked) >= LOOK_INTERVAL {
            self.looked = now;
            if self.file.metadata().is_ok_and(|found| found.nlink() == 0) {
                return Err(Cut::Removed(self.path.clone()));
            }
        }
        Ok(())
    }

    /// Ends it with the footer.
    pub(super) fn finish(&mut self) -> Result<(), Cut> {
        self.pending.extend_from_slice(FOOTER);
        self.write_pending()
    }

    /// Ends what could not be written as well as can be: after the last whole entry for whose footer there is room.
    pub(super) fn salvage(&mut self) {
        self.pending = Vec::new();
        for length in [self.length, self.length_before] {
            let cut = self.file.set_len(length).and_then(|()| self.file.seek(SeekFrom::Start(length)));
            if cut.is_ok() && self.write(FOOTER).is_ok() {
                return;
            }
        }
    }

    fn write_pending(&mut self) -> Result<(), Cut> {
        self.pending_since = None;
        let text = std::mem::take(&mut self.pending);
        self.write(&text)
    }

    fn write(&mut self, text: &[u8]) -> Result<(), Cut> {
        let written = compressed(self.form, text).and_then(|piece| {
            let piece = piece.as_deref().unwrap_or(text);
            self.file.write_all(piece).map(|()| piece.len())
        });
        match written {
            Ok(length) => {
                self.length_before = self.length;
                self.length += length as u64;
                Ok(())
            }
            Err(source) => Err(Cut::Write { path: self.path.clone(), source }),
        }
    }
}

/// A piece that can be decompressed by itself. None: as it is. The fastest levels: the text has much to save in any case.
fn compressed(form: Form, text: &[u8]) -> io::Result<Option<Vec<u8>>> {
    match form {
        Form::Plain => Ok(None),
        Form::Gzip => {
            let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 2), flate2::Compression::fast());
            encoder.write_all(text)?;
            encoder.finish().map(Some)
        }
        Form::Zstd => zstd::bulk::compress(text, 1).map(Some),
    }
}
