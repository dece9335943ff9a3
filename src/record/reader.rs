//! A recording as a file: plain, gzip or zstd, read entry by entry.
//!
//! Promise: memory for one line, however long the recording is; and a recording whose writer was killed is read up to its last
//! whole entry, and said to have no end.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use nix::libc;

use super::format::Entry;
use super::parse::{Encoding, Line, Mistake, Parser};

/// The longest line: far more than a read of this program makes, and enough for messages that the original kept whole.
const LINE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What is read at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Why a recording cannot be read, or not further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A line is not what a recording has.
    #[error("{}:{line}: {mistake}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong.
        mistake: Mistake,
    },
    /// Nothing is in it, or no more than a beginning.
    #[error("{}: not a recording: there is no line 'var VNC_frame_data = ['", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A line without an end.
    #[error("{}:{line}: the line is longer than 256 MiB", path.display())]
    LongLine {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
    },
    /// A directory, a FIFO, a device: nothing that can be read from its beginning again and again.
    #[error("{} is not a regular file", path.display())]
    NoFile {
        /// What is none.
        path: PathBuf,
    },
    /// The system would not open it.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// The system could not read it, or it cannot be decompressed.
    #[error("{}: cannot read on behind line {line}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The last line that was read.
        line: u64,
        /// What is wrong.
        source: io::Error,
    },
}

/// A recording that is being read.
pub struct Reader {
    path: PathBuf,
    form: Form,
    lines: Box<dyn BufRead + Send>,
    parser: Parser,
    /// The last line that was read.
    number: u64,
    line: Vec<u8>,
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Not at all.
    Plain,
    /// By gzip.
    Gzip,
    /// By zstd.
    Zstd,
}

impl Reader {
    /// Opens the file, and reads up to where its entries begin.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let open = |source| ReadError::Open { path: path.to_owned(), source };
        // At once: to open a FIFO would wait for somebody who writes into it.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(open)?;
        if !file.metadata().map_err(open)?.is_file() {
            return Err(ReadError::NoFile { path: path.to_owned() });
        }
        let mut raw = BufReader::with_capacity(BUFFER_BYTES, file);
        let form = match raw.fill_buf().map_err(open)? {
            [0x1F, 0x8B, ..] => Form::Gzip,
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Form::Zstd,
            _ => Form::Plain,
        };
        let decoded = |decoder: Box<dyn Read + Send>| Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder));
        let lines: Box<dyn BufRead + Send> = match form {
            Form::Plain => Box::new(raw),
            Form::Gzip => decoded(Box::new(MultiGzDecoder::new(raw))),
            Form::Zstd => decoded(Box::new(zstd::stream::read::Decoder::with_buffer(raw).map_err(open)?)),
        };
        let mut reader =
            Self { path: path.to_owned(), form, lines, parser: Parser::default(), number: 0, line: Vec::new() };
        while !reader.parser.has_begun() {
            if reader.line()?.is_none() {
                return Err(ReadError::Empty { path: reader.path });
            }
        }
        Ok(reader)
    }

    /// The next entry. None: that was all.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ReadError> {
        loop {
            match self.line()? {
                None => return Ok(None),
                Some(Line::Entry(entry)) => return Ok(Some(entry)),
                Some(Line::End | Line::Nothing) => {}
            }
        }
    }

    /// Whether the recording's end has been read. A recording without one was cut off: its writer was killed, or still writes.
    pub fn has_ended(&self) -> bool {
        self.parser.has_ended()
    }

    /// How the file is compressed.
    pub fn form(&self) -> Form {
        self.form
    }

    /// How payloads are written, once an entry has been read.
    pub fn encoding(&self) -> Option<Encoding> {
        self.parser.encoding()
    }

    /// The next line. None: there is none, or only the beginning of one.
    fn line(&mut self) -> Result<Option<Line>, ReadError> {
        self.line.clear();
        match (&mut self.lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            // The stream of a compressor that was killed.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(source) => return Err(ReadError::Read { path: self.path.clone(), line: self.number, source }),
        }
        self.number += 1;
        let whole = self.line.ends_with(b"\n");
        if !whole && self.line.len() as u64 == LINE_BYTES_MAX {
            return Err(ReadError::LongLine { path: self.path.clone(), line: self.number });
        }
        match self.parser.line(&self.line) {
            Ok(line) => Ok(Some(line)),
            Err(_) if !whole && self.parser.has_begun() && !self.parser.has_ended() => Ok(None),
            Err(mistake) => Err(ReadError::Damaged { path: self.path.clone(), line: self.number, mistake }),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::Write as _;

    use super::super::format::Side;
    use super::*;

    const WHOLE: &[u8] = b"var VNC_frame_data = [\n'{3{abc',\n'}17}de\\n',\n'EOF'];\n";

    fn read(content: &[u8]) -> (Vec<Entry>, Result<bool, ReadError>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recording");
        std::fs::write(&path, content).unwrap();
        let mut entries = Vec::new();
        let mut read = || {
            let mut reader = Reader::open(&path)?;
            while let Some(entry) = reader.next_entry()? {
                entries.push(entry);
            }
            Ok(reader.has_ended())
        };
        let outcome = read();
        (entries, outcome)
    }

    fn expected() -> Vec<Entry> {
        let entry = |side, time_ms, payload: &[u8]| Entry { side, time_ms, payload: payload.to_vec() };
        vec![entry(Side::Target, 3, b"abc"), entry(Side::Client, 17, b"de\n")]
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        zstd::encode_all(content, 3).unwrap()
    }

    #[test]
    fn all_forms_are_read_in_several_pieces_too() {
        let (head, tail) = WHOLE.split_at(40);
        for file in [
            WHOLE.to_vec(),
            gzip(WHOLE),
            zstd(WHOLE),
            [gzip(head), gzip(tail)].concat(),
            [zstd(head), zstd(tail)].concat(),
        ] {
            let (entries, ended) = read(&file);
            assert_eq!((entries, ended.unwrap()), (expected(), true));
        }
    }

    #[test]
    fn a_recording_cut_anywhere_is_read_up_to_there_and_has_no_end() {
        let begin = WHOLE.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        for end in begin..WHOLE.len() - 3 {
            let (entries, ended) = read(&WHOLE[..end]);
            assert!(!ended.unwrap(), "{end}");
            assert_eq!(entries, expected()[..entries.len()]);
        }
        let long: Vec<u8> = (0..400_u16).flat_map(|n| format!("'{{{n}{{{}',\n", n * 7).into_bytes()).collect();
        let long = [WHOLE.split_at(begin).0, &long, b"'EOF'];\n"].concat();
        // In pieces, as they are written: the last one is broken, and those before it are not.
        let (head, tail) = long.split_at(begin);
        for compressed in [[gzip(head), gzip(tail)].concat(), [zstd(head), zstd(tail)].concat()] {
            let (entries, ended) = read(&compressed[..compressed.len() - 20]);
            assert!(!ended.unwrap());
            assert!(entries.len() < 400);
        }
    }

    #[test]
    fn damage_has_a_line_and_what_is_no_recording_is_named() {
        let (entries, error) = read(b"var VNC_frame_data = [\n'{3{abc',\noops\n'EOF'];\n");
        assert_eq!(entries.len(), 1);
        let said = error.unwrap_err().to_string();
        assert!(said.ends_with("recording:3: not an entry: an entry is a string and a comma"), "{said}");
        for content in [&b""[..], b"\n", b"var VNC_frame_encoding = 'binary';\n"] {
            assert!(matches!(read(content).1.unwrap_err(), ReadError::Empty { .. }));
        }
        assert!(matches!(read(b"MZ\x90").1.unwrap_err(), ReadError::Damaged { line: 1, .. }));
        let missing = Reader::open(Path::new("/nonexistent/recording")).err().unwrap();
        assert_eq!(missing.to_string(), "cannot open /nonexistent/recording");
    }
}
