//! A certificate chain and its key: read from PEM files, proved to belong together, and read again when they change.
//!
//! Promise: [`Certificates::config`] is cheap, and never hands out a pair that does not match. The files are looked at
//! when a client arrives and the last look is old: no timer wakes an idle process, and no notification has to follow
//! symbolic links, renames and mounts. A new pair is proved before it takes the old one's place; a bad one is logged
//! once and the old one stays. Looking is a `stat` or two, made on the worker's thread: certificates belong on a disk, not
//! on a network share that may hang.

use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;

use super::pair::{Pair, TlsError};
use crate::log::Kind;
use crate::stamp::Stamp;

/// How old the last look at the files may be when a client arrives.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A certificate chain with its key that follows its files.
pub struct Certificates {
    files: Files,
    state: Mutex<State>,
}

impl Certificates {
    /// Reads and proves the pair. Without `key`, the key is in the certificate's file.
    pub fn load(certificate: PathBuf, key: Option<PathBuf>) -> Result<Self, TlsError> {
        let files = Files { certificate, key };
        // First the stamps, then the content: a change in between is then seen at the next look.
        let looked_at = Instant::now();
        let stamps = files.stamps();
        let content = files.read();
        let fingerprint = content.fingerprint();
        let pair = files.pair(content)?;
        let not_after = pair.not_after();
        let config = Arc::new(pair.server_config()?);
        Ok(Self { files, state: Mutex::new(State { config, not_after, stamps, fingerprint, looked_at }) })
    }

    /// What the next client is served with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config_at(Instant::now())
    }

    /// When the certificate ends that the next client is served with. None: it does not tell.
    pub fn not_after(&self) -> Option<SystemTime> {
        self.look_at(Instant::now()).not_after
    }

    /// The certificate's file.
    pub fn path(&self) -> &Path {
        &self.files.certificate
    }

    fn config_at(&self, now: Instant) -> Arc<ServerConfig> {
        self.look_at(now).config.clone()
    }

    fn look_at(&self, now: Instant) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves a whole State behind: fields are only assigned after all work is done.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(state.looked_at) >= LOOK_INTERVAL {
            state.looked_at = now;
            self.look(&mut state);
        }
        state
    }

    fn look(&self, state: &mut State) {
        let stamps = self.files.stamps();
        if stamps == state.stamps && stamps.iter().all(Stamp::is_settled) {
            return;
        }
        let content = self.files.read();
        let fingerprint = content.fingerprint();
        let changed = fingerprint != state.fingerprint;
        state.stamps = stamps;
        state.fingerprint = fingerprint;
        if !changed {
            return; // touched, or copied over with the same: open tickets stay good
        }
        let pair = self.files.pair(content);
        match pair.and_then(|pair| Ok((pair.not_after(), pair.server_config()?))) {
            Ok((not_after, config)) => {
                state.config = Arc::new(config);
                state.not_after = not_after;
                tracing::info!(
                    kind = Kind::CertificateRenewed.id(),
                    certificate = %self.files.certificate.display(),
                    "certificate changed: new connections get the new one"
                );
            }
            Err(error) => tracing::warn!(
                kind = Kind::CertificateUnusable.id(),
                certificate = %self.files.certificate.display(),
                error = &error as &dyn std::error::Error,
                "certificate changed, but the new one is not usable: the old one stays"
            ),
        }
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive() // no key material
    }
}

struct State {
    config: Arc<ServerConfig>,
    not_after: Option<SystemTime>,
    stamps: [Stamp; 2],
    /// Of the content last read, good or bad: a bad one is reported once.
    fingerprint: u64,
    looked_at: Instant,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: Option<PathBuf>,
}

impl Files {
    fn key(&self) -> &Path {
        self.key.as_ref().unwrap_or(&self.certificate)
    }

    fn stamps(&self) -> [Stamp; 2] {
        [Stamp::of(&self.certificate), Stamp::of(self.key())]
    }

    fn read(&self) -> Content {
        Content { certificate: fs::read(&self.certificate), key: fs::read(self.key()) }
    }

    fn pair(&self, content: Content) -> Result<Pair, TlsError> {
        let readable = |path: &Path, file: io::Result<Vec<u8>>| {
            file.map_err(|source| TlsError::Read { path: path.to_owned(), source })
        };
        let certificate = readable(&self.certificate, content.certificate)?;
        let key = readable(self.key(), content.key)?;
        Pair::parse((&self.certificate, &certificate), (self.key(), &key))
    }
}

/// The files' bytes, or why there are none.
struct Content {
    certificate: io::Result<Vec<u8>>,
    key: io::Result<Vec<u8>>,
}

impl Content {
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for file in [&self.certificate, &self.key] {
            file.as_ref().map_err(io::Error::raw_os_error).hash(&mut hasher);
        }
        hasher.finish()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{SystemTime, UNIX_EPOCH};

    use tracing::{Event, Level, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::super::testing::{SelfSigned, serves};
    use super::*;

    /// Certificate files in a directory, and a clock that only the test moves.
    struct Disk {
        directory: tempfile::TempDir,
        now: Instant,
    }

    impl Disk {
        fn new() -> Self {
            Self { directory: tempfile::tempdir().unwrap(), now: Instant::now() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            fs::write(self.path(name), text).unwrap();
            self.path(name)
        }

        /// What a client gets that comes when it is time for a look.
        fn next_client(&mut self, certificates: &Certificates) -> Arc<ServerConfig> {
            self.now += LOOK_INTERVAL * 2;
            certificates.config_at(self.now)
        }
    }

    /// Counts the warnings of what is run with it.
    #[derive(Default)]
    struct Warnings(Arc<AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Warnings {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(usize::from(*event.metadata().level() == Level::WARN), Ordering::Relaxed);
        }
    }

    fn warnings_of(run: impl FnOnce()) -> usize {
        let warnings = Warnings::default();
        let count = warnings.0.clone();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(warnings), run);
        count.load(Ordering::Relaxed)
    }

    #[test]
    fn a_rename_is_seen() {
        let mut disk = Disk::new();
        let (old, new) = (SelfSigned::new(), SelfSigned::new());
        let certificates = Certificates::load(disk.write("pem", &old.both()), None).unwrap();
        assert!(serves(certificates.config(), &old) && !serves(certificates.config(), &new));
        fs::rename(disk.write("pem.new", &new.both()), disk.path("pem")).unwrap();
        assert!(serves(disk.next_client(&certificates), &new));
    }

    #[test]
    fn a_swapped_link_in_the_middle_of_the_path_is_seen() {
        let mut disk = Disk::new();
        let (old, new) = (SelfSigned::new(), SelfSigned::new());
        for (version, pair) in [("1", &old), ("2", &new)] {
            fs::create_dir(disk.path(version)).unwrap();
            disk.write(&format!("{version}/cert"), &pair.certificate);
            disk.write(&format!("{version}/key"), &pair.key);
        }
        symlink("1", disk.path("live")).unwrap();
        let certificates = Certificates::load(disk.path("live/cert"), Some(disk.path("live/key"))).unwrap();
        assert!(serves(certificates.config(), &old));
        symlink("2", disk.path("live.new")).unwrap();
        fs::rename(disk.path("live.new"), disk.path("live")).unwrap();
        assert!(serves(disk.next_client(&certificates), &new));
    }

    /// Same inode, same length, and times set back: as `rsync --inplace --times` may leave it.
    #[test]
    fn a_change_in_place_right_after_the_first_look_is_seen() {
        let mut disk = Disk::new();
        let old = SelfSigned::new();
        let new = std::iter::repeat_with(SelfSigned::new).find(|new| new.both().len() == old.both().len()).unwrap();
        let path = disk.write("pem", &old.both());
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let certificates = Certificates::load(path.clone(), None).unwrap();
        disk.write("pem", &new.both());
        fs::File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
        // As where the clock's step is longer than all this took: no time tells of the change.
        certificates.state.lock().unwrap().stamps = certificates.files.stamps();
        assert!(serves(disk.next_client(&certificates), &new));
    }

    #[test]
    fn a_stamp_is_trusted_when_it_is_old_enough() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
        let changed_at =
            |seconds| Stamp::Present { device: 1, inode: 2, bytes: 3, modified: (4, 5), changed: (seconds, 0) };
        assert!(changed_at(now - 60).is_settled());
        assert!(!changed_at(now).is_settled());
        assert!(!changed_at(now + 60).is_settled(), "the clock was set back");
    }

    #[test]
    fn a_bad_pair_is_reported_once_and_the_old_one_stays() {
        let mut disk = Disk::new();
        let (old, new) = (SelfSigned::new(), SelfSigned::new());
        let key = disk.write("key", &old.key);
        let certificates = Certificates::load(disk.write("cert", &old.certificate), Some(key)).unwrap();

        disk.write("cert", &new.certificate); // and the key is still the old one's
        let warnings = warnings_of(|| {
            for _ in 0..3 {
                assert!(serves(disk.next_client(&certificates), &old));
            }
        });
        assert_eq!(warnings, 1);

        fs::remove_file(disk.path("cert")).unwrap();
        let warnings = warnings_of(|| {
            for _ in 0..3 {
                assert!(serves(disk.next_client(&certificates), &old));
            }
        });
        assert_eq!(warnings, 1, "another change, another warning");

        disk.write("key", &new.key);
        disk.write("cert", &new.certificate);
        let warnings = warnings_of(|| assert!(serves(disk.next_client(&certificates), &new)));
        assert_eq!(warnings, 0);
    }

    #[test]
    fn the_same_content_again_keeps_tickets_good() {
        let mut disk = Disk::new();
        let pair = SelfSigned::new();
        let certificates = Certificates::load(disk.write("pem", &pair.both()), None).unwrap();
        let before = certificates.config();
        fs::rename(disk.write("pem.new", &pair.both()), disk.path("pem")).unwrap();
        assert!(Arc::ptr_eq(&before, &disk.next_client(&certificates)));
    }

    #[test]
    fn files_are_looked_at_once_in_an_interval() {
        let disk = Disk::new();
        let (old, new) = (SelfSigned::new(), SelfSigned::new());
        let certificates = Certificates::load(disk.write("pem", &old.both()), None).unwrap();
        let looked_at = certificates.state.lock().unwrap().looked_at;
        disk.write("pem", &new.both());
        let almost = looked_at + (LOOK_INTERVAL / 10) * 9;
        assert!(serves(certificates.config_at(almost), &old));
        assert!(serves(certificates.config_at(looked_at + LOOK_INTERVAL), &new));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_the_reason() {
        let disk = Disk::new();
        let error = Certificates::load(disk.path("none.pem"), None).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read {}", disk.path("none.pem").display()));
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "No such file or directory (os error 2)");
    }

    #[test]
    fn what_is_shown_for_debugging_holds_no_key() {
        let disk = Disk::new();
        let certificates = Certificates::load(disk.write("pem", &SelfSigned::new().both()), None).unwrap();
        let shown = format!("{certificates:?}");
        assert!(shown.starts_with("Certificates { files: ") && shown.len() < 300, "{shown}");
    }
}
