//! What `stat` tells of a file's content without reading it: how files that may change are followed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file changed so recently may change again without its times showing it: their steps are some milliseconds, on
/// some file systems 2 s. It is read again rather than trusted.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// It follows symbolic links: a link that is swapped, at any depth of the path, shows another inode. The change time is
/// among it because nobody can set it back, as `cp -p` does the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    Present { device: u64, inode: u64, bytes: u64, modified: (i64, i64), changed: (i64, i64) },
    Absent(Option<i32>),
}

impl Stamp {
    pub(crate) fn of(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(stat) => Self::Present {
                device: stat.dev(),
                inode: stat.ino(),
                bytes: stat.size(),
                modified: (stat.mtime(), stat.mtime_nsec()),
                changed: (stat.ctime(), stat.ctime_nsec()),
            },
            Err(error) => Self::Absent(error.raw_os_error()),
        }
    }

    /// Whether an equal stamp later means equal content.
    pub(crate) fn is_settled(&self) -> bool {
        match self {
            Self::Present { changed: (seconds, _), .. } => {
                let changed = UNIX_EPOCH + Duration::from_secs(u64::try_from(*seconds).unwrap_or(0));
                // A change in the future (the clock was set back) never settles: the file is read at each look.
                SystemTime::now().duration_since(changed).is_ok_and(|age| age >= SETTLED_AFTER)
            }
            Self::Absent(_) => true,
        }
    }
}
