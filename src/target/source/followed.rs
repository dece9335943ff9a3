//! A value that is made of files and follows them.
//!
//! Promise: [`Followed::current`] costs nothing but a lock, and [`Followed::newer_than`] gives what the files said after a
//! moment: of all who wait for that, one looks, off the worker's thread, and not more than fifty times a second. A look is a
//! `stat` a file; files are read again when their stamps have changed. What cannot be read leaves the value as it was, and is
//! told once. A disk that hangs keeps one thread waiting, and nobody else: whoever asks sets the limit.

use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{SourceError, summary, with_reasons};
use crate::log::Kind;
use crate::stamp::Stamp;

/// How old the last look may be for those who found what they wanted.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Between two looks, however many ask for one.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Of one file. Some 300,000 tokens.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A file's content, or why there is none.
pub struct Document {
    /// Which file.
    pub path: PathBuf,
    /// Its bytes.
    pub content: Result<Vec<u8>, SourceError>,
}

/// What was made of the documents.
pub struct Reading<T> {
    /// The new value.
    pub value: T,
    /// What is wrong with some of them.
    pub problems: Vec<String>,
}

/// Makes a value of documents, in the order of their names. With a previous value it has to make one, at worst of the
/// previous.
pub type Read<T> = fn(&[Document], Option<&T>) -> Result<Reading<T>, SourceError>;

/// What is followed, for the records of its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Tokens, or the key of tokens.
    Tokens,
    /// Users and their passwords.
    Users,
}

/// A value that follows a file, or the files in a directory.
pub struct Followed<T> {
    path: PathBuf,
    read: Read<T>,
    subject: Subject,
    /// The value, and when the look at the files began that found it.
    current: RwLock<(Arc<T>, Instant)>,
    look: Mutex<Look<T>>,
}

struct Look<T> {
    seen: Seen,
    /// A look that has begun, and when. Whoever waited for it may be gone.
    running: Option<(Instant, JoinHandle<Option<Outcome<T>>>)>,
}

/// What the last look saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    stamps: Vec<(PathBuf, Stamp)>,
    fingerprint: u64,
}

struct Outcome<T> {
    seen: Seen,
    /// None: the content is the same.
    reading: Option<Result<Reading<T>, SourceError>>,
}

impl<T: Send + Sync + 'static> Followed<T> {
    /// Reads `path` for the first time. The texts say what is wrong in it.
    pub fn open(path: &Path, read: Read<T>, subject: Subject) -> Result<(Self, Vec<String>), SourceError> {
        let absolute = std::path::absolute(path);
        let path = absolute.map_err(|source| SourceError::Read { path: path.to_owned(), source })?;
        let began = Instant::now();
        let stamps = stamps(&path)?;
        let documents = documents(&stamps);
        let seen = Seen { fingerprint: fingerprint(&documents), stamps };
        let Reading { value, problems } = read(&documents, None)?;
        let look = Mutex::new(Look { seen, running: None });
        Ok((Self { path, read, subject, current: RwLock::new((Arc::new(value), began)), look }, problems))
    }

    /// The value, and the moment since which the files may have changed.
    pub fn current(&self) -> (Arc<T>, Instant) {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the files said a moment ago: within `limit`, or the files are on a disk that hangs, and the value is what it was.
    pub async fn recent(&self, limit: Duration) -> Arc<T> {
        let now = Instant::now();
        let (value, looked) = self.current();
        if now.saturating_duration_since(looked) < LOOK_INTERVAL {
            return value;
        }
        let newer = self.newer_than(now.checked_sub(LOOK_INTERVAL).unwrap_or(now));
        timeout(limit, newer).await.unwrap_or(value)
    }

    /// What the files said at `moment`, or later.
    pub async fn newer_than(&self, moment: Instant) -> Arc<T> {
        let mut look = self.look.lock().await;
        loop {
            let (value, began) = self.current();
            if began >= moment {
                return value;
            }
            if look.running.is_none() {
                sleep(LOOK_PAUSE.saturating_sub(began.elapsed())).await;
                look.running = Some((Instant::now(), self.begin(look.seen.clone(), value)));
            }
            if let Some((began, running)) = &mut look.running {
                let (began, outcome) = (*began, running.await);
                look.running = None;
                // A panic was printed when it happened, and the value stays.
                self.take(outcome.ok().flatten(), began, &mut look.seen);
            }
        }
    }

    fn begin(&self, seen: Seen, previous: Arc<T>) -> JoinHandle<Option<Outcome<T>>> {
        let (path, read) = (self.path.clone(), self.read);
        spawn_blocking(move || {
            let stamps = match stamps(&path) {
                Ok(stamps) if stamps == seen.stamps && stamps.iter().all(|(_, stamp)| stamp.is_settled()) => {
                    return None;
                }
                Ok(stamps) => stamps,
                Err(error) => {
                    let seen = Seen { stamps: Vec::new(), fingerprint: 0 };
                    return Some(Outcome { seen, reading: Some(Err(error)) });
                }
            };
            let documents = documents(&stamps);
            let now = Seen { fingerprint: fingerprint(&documents), stamps };
            let reading = (now.fingerprint != seen.fingerprint).then(|| read(&documents, Some(&previous)));
            Some(Outcome { seen: now, reading })
        })
    }

    fn take(&self, outcome: Option<Outcome<T>>, began: Instant, last: &mut Seen) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.1 = began;
        let Some(Outcome { seen, reading }) = outcome else { return };
        let is_news = seen != *last;
        *last = seen;
        match reading {
            Some(Ok(Reading { value, problems })) => {
                current.0 = Arc::new(value);
                if problems.is_empty() {
                    self.subject.log_renewed(&self.path);
                } else {
                    self.subject.log_unusable(&self.path, "changed, but not all can be used", &summary(&problems));
                }
            }
            Some(Err(error)) if is_news => {
                self.subject.log_unusable(&self.path, "cannot be read", &with_reasons(&error));
            }
            None | Some(Err(_)) => {}
        }
    }
}

impl Subject {
    fn log_renewed(self, source: &Path) {
        let source = source.display();
        match self {
            Self::Tokens => {
                info!(kind = Kind::TokensRenewed.id(), %source, "tokens changed: new sessions use the new ones");
            }
            Self::Users => {
                info!(kind = Kind::UsersRenewed.id(), %source, "users changed: new sessions use the new ones");
            }
        }
    }

    fn log_unusable(self, source: &Path, what: &str, error: &str) {
        let source = source.display();
        match self {
            Self::Tokens => {
                warn!(kind = Kind::TokensUnusable.id(), %source, error, "tokens {what}: the old ones stay");
            }
            Self::Users => warn!(kind = Kind::UsersUnusable.id(), %source, error, "users {what}: the old ones stay"),
        }
    }
}

impl<T> fmt::Debug for Followed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The file; or of a directory the files that are no leftovers of editors and package managers, in the order of their names.
fn stamps(path: &Path) -> Result<Vec<(PathBuf, Stamp)>, SourceError> {
    let failed = |source| SourceError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![(path.to_owned(), Stamp::of(path))]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let file = entry.path();
        let name = entry.file_name();
        let is_leftover = name.to_string_lossy().starts_with(['.', '#']) || name.to_string_lossy().ends_with('~');
        if !is_leftover && fs::metadata(&file).is_ok_and(|metadata| metadata.is_file()) {
            files.push((file.clone(), Stamp::of(&file)));
        }
    }
    files.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(files)
}

fn documents(stamps: &[(PathBuf, Stamp)]) -> Vec<Document> {
    stamps.iter().map(|(path, _)| Document { path: path.clone(), content: read_file(path, BYTES_MAX) }).collect()
}

/// The whole of a file that is no larger than it may be.
pub fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, SourceError> {
    let failed = |source| SourceError::Read { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let mut content = Vec::new();
    let read = file.take(bytes_max + 1).read_to_end(&mut content).map_err(failed)?;
    if read as u64 > bytes_max {
        return Err(SourceError::TooLarge { path: path.to_owned(), bytes_max });
    }
    Ok(content)
}

fn fingerprint(documents: &[Document]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for Document { path, content } in documents {
        path.hash(&mut hasher);
        content.as_ref().map_err(io_error_number).hash(&mut hasher);
    }
    hasher.finish()
}

fn io_error_number(error: &SourceError) -> Option<i32> {
    match error {
        SourceError::Read { source, .. } => io::Error::raw_os_error(source),
        _ => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "what reads real files can fail")]
    /// The texts of all files; a text with "bad" in it is a problem, and leaves the previous value.
    fn read(documents: &[Document], previous: Option<&String>) -> Result<Reading<String>, SourceError> {
        let texts = documents.iter().map(|document| match &document.content {
            Ok(content) => String::from_utf8_lossy(content).into_owned(),
            Err(error) => error.to_string(),
        });
        let text = texts.collect::<Vec<_>>().join("|");
        match previous {
            Some(previous) if text.contains("bad") => {
                Ok(Reading { value: previous.clone(), problems: vec!["it is bad".to_owned()] })
            }
            _ => Ok(Reading { value: text, problems: Vec::new() }),
        }
    }

    async fn now(followed: &Followed<String>) -> String {
        followed.newer_than(Instant::now()).await.to_string()
    }

    #[tokio::test]
    async fn a_file_is_followed_through_edits_renames_and_links() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        fs::write(directory.path().join("one"), "one").unwrap();
        fs::write(directory.path().join("two"), "two").unwrap();
        symlink("one", &path).unwrap();
        let followed = Followed::open(&path, read, Subject::Tokens).unwrap().0;
        assert_eq!(*followed.current().0, "one");
        assert_eq!(now(&followed).await, "one");
        // As a secret's volume is changed: a link beside it, renamed over it.
        symlink("two", directory.path().join("new")).unwrap();
        fs::rename(directory.path().join("new"), &path).unwrap();
        assert_eq!(now(&followed).await, "two");
        // Of the same length, within the same step of the clock, in place.
        fs::write(directory.path().join("two"), "2wo").unwrap();
        assert_eq!(now(&followed).await, "2wo");
        fs::write(directory.path().join("two"), "bad").unwrap();
        assert_eq!(now(&followed).await, "2wo");
        fs::remove_file(&path).unwrap();
        assert_eq!(now(&followed).await, "2wo");
        fs::write(&path, "back").unwrap();
        assert_eq!(now(&followed).await, "back");
    }

    #[tokio::test]
    async fn of_a_directory_the_files_count_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        for name in ["b", "a", ".hidden", "a~", "#a#"] {
            fs::write(file(name), name).unwrap();
        }
        fs::create_dir(file("sub")).unwrap();
        fs::write(file("sub/c"), "c").unwrap();
        symlink("/nonexistent", file("dangling")).unwrap();
        let followed = Followed::open(directory.path(), read, Subject::Tokens).unwrap().0;
        assert_eq!(now(&followed).await, "a|b");
        fs::remove_file(file("a")).unwrap();
        fs::write(file("z"), "z").unwrap();
        assert_eq!(now(&followed).await, "b|z");
    }

    #[tokio::test]
    async fn a_thousand_who_ask_at_once_look_a_few_times() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        fs::write(&path, "x").unwrap();
        let followed = Arc::new(Followed::open(&path, read, Subject::Tokens).unwrap().0);
        let began = Instant::now();
        let asking: Vec<_> = (0..1000)
            .map(|_| {
                let followed = Arc::clone(&followed);
                tokio::spawn(async move { followed.newer_than(Instant::now()).await.len() })
            })
            .collect();
        for asked in asking {
            assert_eq!(asked.await.unwrap(), 1);
        }
        // Each waits for a look that began after it asked: two looks serve all who asked before the second.
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }

    #[test]
    fn what_is_not_there_or_far_too_large_is_an_error_at_the_start() {
        let missing = Followed::open(Path::new("/nonexistent/tokens"), read, Subject::Tokens).unwrap_err();
        assert_eq!(missing.to_string(), "cannot read /nonexistent/tokens");
        let large = tempfile::NamedTempFile::new().unwrap();
        large.as_file().set_len(100).unwrap();
        assert!(matches!(read_file(large.path(), 99), Err(SourceError::TooLarge { .. })));
        assert_eq!(read_file(large.path(), 100).unwrap().len(), 100);
    }
}
