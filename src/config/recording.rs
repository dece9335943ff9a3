//! `[record]`: what is kept of sessions, and where.
//!
//! The directory need not be there: whoever records makes it.

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use bytesize::ByteSize;
use toml::Spanned;

use super::file;
use super::meaning::Reader;
use super::problem::Mistake;
use super::surroundings::Surroundings;
use crate::record::{Form, Naming, Settings};

/// The least that a recording may be bound to: below that, it would hold the greeting and nothing else.
const SIZE_MIN: u64 = 4 * 1024;

impl Reader<'_> {
    pub(super) fn record(&mut self, written: file::Record) -> Option<Settings> {
        let compression = written.compression.map_or(Form::Plain, |compression| self.compression(&compression));
        let size_max = written.size_limit.and_then(|size| self.size_limit(&size));
        let files_max = self.count("record.keep-files", written.keep_files).and_then(NonZeroUsize::new);
        let age_max = self.duration("record.keep-age", written.keep_age, "\"30days\"", "they are kept for ever");
        let Some(directory) = written.directory else {
            self.miss(written.place, "record.directory", super::EXAMPLE_RECORD);
            return None;
        };
        let naming = Naming::InDirectory(self.record_directory(&directory)?);
        Some(Settings { naming, compression, size_max, files_max, age_max })
    }

    fn record_directory(&mut self, written: &Spanned<String>) -> Option<PathBuf> {
        let path = self.path("record.directory", "directory", super::EXAMPLE_RECORD, written)?;
        let is_other =
            *self.surroundings != Surroundings::Unknown && fs::metadata(&path).is_ok_and(|found| !found.is_dir());
        if is_other {
            self.complain(written.span(), Mistake::NotADirectory { key: "record.directory".to_owned(), path });
            return None;
        }
        Some(path)
    }

    fn compression(&mut self, written: &Spanned<String>) -> Form {
        match written.get_ref().as_str() {
            "none" => Form::Plain,
            "gzip" => Form::Gzip,
            "zstd" => Form::Zstd,
            _ => {
                self.choice(written, "record.compression", &["none", "gzip", "zstd"]);
                Form::Plain
            }
        }
    }

    fn size_limit(&mut self, written: &Spanned<String>) -> Option<u64> {
        match written.get_ref().parse::<ByteSize>() {
            Ok(ByteSize(bytes)) if bytes >= SIZE_MIN => Some(bytes),
            _ => {
                self.complain(written.span(), Mistake::RecordSize { text: written.get_ref().clone() });
                None
            }
        }
    }
}
