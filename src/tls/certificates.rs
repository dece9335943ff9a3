//! What TLS is spoken with, read from files and read again when they change: certificates with their keys, the CAs that clients
//! must come from, and the lists of those that are revoked.
//!
//! Promise: [`Certificates::config`] is cheap, and never hands out a pair that does not match. The files are looked at
//! when a client arrives and the last look is old: no timer wakes an idle process, and no notification has to follow
//! symbolic links, renames and mounts. What is new is proved before it takes the old one's place, all of it or nothing; what is
//! bad is logged once and the old stays. Looking is a `stat` or two, made on the worker's thread: certificates belong on a disk, not
//! on a network share that may hang.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;

use super::handshake::Rules;
use super::key::Passphrase;
use super::pair::Pair;
use super::verifier::{Evidence, Verifier};
use super::{Demand, TlsError};
use crate::log::Kind;
use crate::stamp::Stamp;

/// How old the last look at the files may be when a client arrives.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What TLS is spoken with, as its files say now.
pub struct Certificates {
    files: Files,
    state: Mutex<State>,
}

/// Where it is read from, and how it is used.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// The first is served to clients that name none of the others.
    pub(super) pairs: Vec<PairFiles>,
    pub(super) clients: Option<ClientFiles>,
    pub(super) rules: Rules,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub(super) struct PairFiles {
    pub(super) certificate: PathBuf,
    /// None: in the certificate's file.
    pub(super) key: Option<PathBuf>,
    pub(super) passphrase: Option<PassphrasePlace>,
}

/// Where the passphrase of a key is.
#[derive(Clone, Debug)]
pub(super) enum PassphrasePlace {
    Here(Passphrase),
    File(PathBuf),
}

/// What clients' certificates are judged by.
#[derive(Clone, Debug)]
pub(super) struct ClientFiles {
    /// None: the CAs of the system.
    pub(super) authorities: Option<PathBuf>,
    pub(super) revocation_lists: Option<PathBuf>,
    pub(super) demand: Demand,
}

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Its file.
    pub certificate: PathBuf,
    /// The moment.
    pub not_after: SystemTime,
}

impl Certificates {
    /// Reads and proves all of it.
    pub(super) fn load(files: Files) -> Result<Self, TlsError> {
        // First the stamps, then the content: a change in between is then seen at the next look.
        let looked_at = Instant::now();
        let stamps = files.stamps();
        let content = files.read();
        let Built { config, expiries } = files.build(&content)?;
        let fingerprints = content.fingerprints();
        Ok(Self { files, state: Mutex::new(State { config, expiries, stamps, fingerprints, looked_at }) })
    }

    /// What the next client is served with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config_at(Instant::now())
    }

    /// When the certificates end that the next clients are served with; of those that tell.
    pub fn expiries(&self) -> Vec<Expiry> {
        self.look_at(Instant::now()).expiries.clone()
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
        let fingerprints = content.fingerprints();
        let is_changed = |path: &&Path| fingerprints.get(*path) != state.fingerprints.get(*path);
        let changed: Vec<&Path> = self.files.paths().into_iter().filter(is_changed).collect();
        state.stamps = stamps;
        if changed.is_empty() {
            return; // touched, or copied over with the same: open tickets stay good
        }
        let certificate = self.files.told(&changed);
        match self.files.build(&content) {
            Ok(Built { config, expiries }) => {
                state.config = config;
                state.expiries = expiries;
                tracing::info!(
                    kind = Kind::CertificateRenewed.id(),
                    certificate,
                    "certificate changed: new connections get the new one"
                );
            }
            Err(error) => tracing::warn!(
                kind = Kind::CertificateUnusable.id(),
                certificate,
                error = &error as &dyn std::error::Error,
                "certificate changed, but the new one is not usable: the old one stays"
            ),
        }
        state.fingerprints = fingerprints;
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive() // no key material
    }
}

struct State {
    config: Arc<ServerConfig>,
    expiries: Vec<Expiry>,
    stamps: Vec<Stamp>,
    /// Of the content last read, good or bad: a bad one is reported once.
    fingerprints: BTreeMap<PathBuf, u64>,
    looked_at: Instant,
}

/// What comes of the files' content.
struct Built {
    config: Arc<ServerConfig>,
    expiries: Vec<Expiry>,
}

impl Files {
    /// All that is looked at, each once.
    fn paths(&self) -> Vec<&Path> {
        let mut paths: Vec<&Path> = Vec::new();
        for PairFiles { certificate, key, passphrase } in &self.pairs {
            paths.push(certificate);
            paths.extend(key.as_deref());
            if let Some(PassphrasePlace::File(path)) = passphrase {
                paths.push(path);
            }
        }
        if let Some(ClientFiles { authorities, revocation_lists, .. }) = &self.clients {
            paths.extend(authorities.as_deref());
            paths.extend(revocation_lists.as_deref());
        }
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// What a change of these files is told as: the certificates that they belong to, and what they are themselves else.
    fn told(&self, changed: &[&Path]) -> String {
        let mut told: Vec<String> = Vec::new();
        for path in changed {
            let of_path = |pair: &&PairFiles| pair.key.as_deref() == Some(path);
            let certificate = self.pairs.iter().find(of_path).map_or(*path, |pair| &pair.certificate);
            let shown = certificate.display().to_string();
            if !told.contains(&shown) {
                told.push(shown);
            }
        }
        told.join(", ")
    }

    fn stamps(&self) -> Vec<Stamp> {
        self.paths().into_iter().map(Stamp::of).collect()
    }

    fn read(&self) -> Content {
        Content(self.paths().into_iter().map(|path| (path.to_owned(), fs::read(path))).collect())
    }

    fn build(&self, content: &Content) -> Result<Built, TlsError> {
        let pairs = self.pairs.iter().map(|files| files.pair(content)).collect::<Result<Vec<_>, _>>()?;
        let expiries = self.pairs.iter().zip(&pairs);
        let expiries = expiries.filter_map(|(files, pair)| {
            Some(Expiry { certificate: files.certificate.clone(), not_after: pair.not_after()? })
        });
        let expiries = expiries.collect();
        let verifier = self.clients.as_ref().map(|files| files.verifier(content)).transpose()?;
        let verifier = verifier.map(|verifier| Arc::new(verifier) as _);
        Ok(Built { config: Arc::new(self.rules.server_config(pairs, verifier)?), expiries })
    }
}

impl PairFiles {
    fn pair(&self, content: &Content) -> Result<Pair, TlsError> {
        let key = self.key.as_deref().unwrap_or(&self.certificate);
        let passphrase = match &self.passphrase {
            None => None,
            Some(PassphrasePlace::Here(passphrase)) => Some(passphrase.clone()),
            Some(PassphrasePlace::File(path)) => Some(Passphrase::from_file(content.of(path)?.to_vec())),
        };
        Pair::parse((&self.certificate, content.of(&self.certificate)?), (key, content.of(key)?), passphrase.as_ref())
    }
}

impl ClientFiles {
    fn verifier(&self, content: &Content) -> Result<Verifier, TlsError> {
        let text = |path: &'_ Option<PathBuf>| {
            path.as_deref().map(|path| Ok((path.to_owned(), content.of(path)?))).transpose()
        };
        let (authorities, revocation_lists) = (text(&self.authorities)?, text(&self.revocation_lists)?);
        Verifier::new(&Evidence {
            authorities: authorities.as_ref().map(|(path, text)| (path.as_path(), *text)),
            revocation_lists: revocation_lists.as_ref().map(|(path, text)| (path.as_path(), *text)),
            demand: self.demand,
        })
    }
}

/// The files' bytes, or why there are none.
struct Content(BTreeMap<PathBuf, io::Result<Vec<u8>>>);

impl Content {
    fn of(&self, path: &Path) -> Result<&[u8], TlsError> {
        let unreadable = |source| TlsError::Read { path: path.to_owned(), source };
        match self.0.get(path) {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(error)) => {
                Err(unreadable(error.raw_os_error().map_or(error.kind().into(), io::Error::from_raw_os_error)))
            }
            None => Err(unreadable(io::ErrorKind::NotFound.into())),
        }
    }

    fn fingerprints(&self) -> BTreeMap<PathBuf, u64> {
        let fingerprint = |file: &io::Result<Vec<u8>>| {
            let mut hasher = DefaultHasher::new();
            file.as_ref().map_err(io::Error::raw_os_error).hash(&mut hasher);
            hasher.finish()
        };
        self.0.iter().map(|(path, file)| (path.clone(), fingerprint(file))).collect()
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

    fn load(certificate: PathBuf, key: Option<PathBuf>) -> Result<Certificates, TlsError> {
        let pairs = vec![PairFiles { certificate, key, passphrase: None }];
        Certificates::load(Files { pairs, clients: None, rules: Rules::default() })
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
        let certificates = load(disk.write("pem", &old.both()), None).unwrap();
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
        let certificates = load(disk.path("live/cert"), Some(disk.path("live/key"))).unwrap();
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
        let certificates = load(path.clone(), None).unwrap();
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
        let certificates = load(disk.write("cert", &old.certificate), Some(key)).unwrap();

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
        let certificates = load(disk.write("pem", &pair.both()), None).unwrap();
        let before = certificates.config();
        fs::rename(disk.write("pem.new", &pair.both()), disk.path("pem")).unwrap();
        assert!(Arc::ptr_eq(&before, &disk.next_client(&certificates)));
    }

    #[test]
    fn files_are_looked_at_once_in_an_interval() {
        let disk = Disk::new();
        let (old, new) = (SelfSigned::new(), SelfSigned::new());
        let certificates = load(disk.write("pem", &old.both()), None).unwrap();
        let looked_at = certificates.state.lock().unwrap().looked_at;
        disk.write("pem", &new.both());
        let almost = looked_at + (LOOK_INTERVAL / 10) * 9;
        assert!(serves(certificates.config_at(almost), &old));
        assert!(serves(certificates.config_at(looked_at + LOOK_INTERVAL), &new));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_the_reason() {
        let disk = Disk::new();
        let error = load(disk.path("none.pem"), None).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read {}", disk.path("none.pem").display()));
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "No such file or directory (os error 2)");
    }

    #[test]
    fn what_is_shown_for_debugging_holds_no_key() {
        let disk = Disk::new();
        let certificates = load(disk.write("pem", &SelfSigned::new().both()), None).unwrap();
        let shown = format!("{certificates:?}");
        assert!(shown.starts_with("Certificates { files: ") && shown.len() < 300, "{shown}");
    }
}
