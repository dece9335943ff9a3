//! A user and a password, by HTTP's Basic scheme (RFC 7617).
//!
//! Promise: a wrong name takes as long as a wrong password, and neither tells how much of it was right. Hashes are verified off
//! the worker's thread, on half of the machine's cores at most, so that a storm of guesses slows no session; whoever was right
//! a moment ago is known by a [`Tag`], because a page is many files. Users who change in their file change here.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderValue};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use super::attempt::Attempt;
use super::denied::Denied;
use super::users::Users;
use super::{Authorization, Proved};
use crate::tag::Tag;
use crate::target::source::SourceError;
use crate::target::source::followed::{Document, Followed, Reading, Subject};
use crate::target::source::service::Secret;
use crate::tls::Pem;

/// What a client is to show, when it showed nothing or the wrong thing. The realm is the original's, by which browsers
/// remember passwords.
pub(super) const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"Websockify\", charset=\"UTF-8\"");

/// For so long a right password is known without its hash.
const REMEMBERED_FOR: Duration = Duration::from_mins(5);

/// So many right passwords. Beyond that, all are verified again.
const REMEMBERED_MAX: usize = 4096;

/// Of waiting for the file of users, when its disk hangs.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Who the users are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    /// Those of a file.
    File(Pem),
    /// This one.
    One {
        /// The name.
        name: String,
        /// The password itself, from a command line.
        password: Secret,
    },
}

/// The users, in service.
#[derive(Debug)]
pub(super) struct Basic {
    who: Who,
    right: Mutex<HashMap<Tag, Instant>>,
}

#[derive(Debug)]
enum Who {
    File(Followed<Users>),
    One(Tag),
}

/// What a client has shown.
struct Credentials {
    name: String,
    password: Vec<u8>,
}

impl Basic {
    /// Reads the users. The texts say which lines of their file make none.
    pub(super) fn open(settings: &Settings) -> Result<(Self, Vec<String>), SourceError> {
        let (who, problems) = match settings {
            Settings::File(pem) => {
                let (users, problems) = Followed::open(&pem.file()?, read, Subject::Users)?;
                (Who::File(users), problems)
            }
            Settings::One { name, password } => {
                (Who::One(Tag::of(&[name.as_bytes(), password.0.as_bytes()])), Vec::new())
            }
        };
        Ok((Self { who, right: Mutex::default() }, problems))
    }

    /// Who sent `headers`.
    pub(super) async fn prove(&self, headers: &HeaderMap, attempt: &Attempt<'_>) -> Result<Proved, Denied> {
        let Credentials { name, password } = Credentials::of(headers)?;
        match &self.who {
            Who::One(right) => {
                let shown = Tag::of(&[name.as_bytes(), &password]);
                if shown == *right {
                    return Ok(Proved::user(name));
                }
                attempt.failed(shown);
                Err(Denied::Password { user: None })
            }
            Who::File(users) => {
                let users = users.recent(LOOK_TIMEOUT).await;
                self.prove_by_hash(&users, name, password, attempt).await
            }
        }
    }

    async fn prove_by_hash(
        &self,
        users: &Users,
        name: String,
        password: Vec<u8>,
        attempt: &Attempt<'_>,
    ) -> Result<Proved, Denied> {
        let is_user = users.get(&name).is_some();
        let hash = users.get(&name).or_else(|| users.decoy(&name)).cloned();
        let stored = hash.as_ref().map_or(&b""[..], |hash| hash.as_bytes());
        // With the line that it was judged by: what was wrong is judged again when that changes.
        let shown = Tag::of(&[name.as_bytes(), &password, stored, &[u8::from(is_user)]]);
        // The name of somebody who is no user may be a password in the wrong place.
        let wrong = Denied::Password { user: is_user.then(|| name.clone()) };
        if is_user && self.remembers(shown) {
            return Ok(Proved::user(name));
        }
        if attempt.is_known_wrong(shown) {
            return Err(wrong);
        }
        if let Some(hash) = hash {
            let permit = timeout_at(attempt.deadline, hashing().acquire()).await.map_err(|_| Denied::Busy)?;
            attempt.is_allowed()?; // others of this address may have failed meanwhile
            let verified = spawn_blocking(move || {
                let _permit = permit.expect("this semaphore is never closed");
                hash.verify(&password)
            });
            if verified.await.unwrap_or(false) && is_user {
                self.remember(shown);
                return Ok(Proved::user(name));
            }
        }
        attempt.failed(shown);
        Err(wrong)
    }

    fn remembers(&self, shown: Tag) -> bool {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.get(&shown).is_some_and(|since| since.elapsed() < REMEMBERED_FOR)
    }

    fn remember(&self, shown: Tag) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= REMEMBERED_MAX {
            right.clear();
        }
        right.insert(shown, Instant::now());
    }
}

/// How many hashes are verified at a time, by all routes of the process.
fn hashing() -> &'static Semaphore {
    static HASHING: LazyLock<Semaphore> = LazyLock::new(|| {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        Semaphore::new((cores / 2).max(1))
    });
    &HASHING
}

impl Credentials {
    /// Nothing is `Missing`; what is no user and password, or another scheme, is the original's 403.
    fn of(headers: &HeaderMap) -> Result<Self, Denied> {
        let text = match Authorization::of(headers, "basic") {
            Authorization::Missing => return Err(Denied::Missing),
            Authorization::Other => return Err(Denied::Malformed),
            Authorization::Shown(text) => text,
        };
        let decoded = BASE64.decode(text).map_err(|_| Denied::Malformed)?;
        let colon = decoded.iter().position(|byte| *byte == b':').ok_or(Denied::Malformed)?;
        let name = String::from_utf8(decoded[..colon].to_vec()).map_err(|_| Denied::Malformed)?;
        if name.contains(char::is_control) {
            return Err(Denied::Malformed);
        }
        Ok(Self { name, password: decoded[colon + 1..].to_vec() })
    }
}

/// A file that is broken after an edit keeps the users it had: half of a file that an editor has written must not lock
/// everybody out.
fn read(documents: &[Document], previous: Option<&Users>) -> Result<Reading<Users>, SourceError> {
    let mut text = String::new();
    for Document { path, content } in documents {
        match (content, previous) {
            (Ok(content), _) => text.push_str(&String::from_utf8_lossy(content)),
            (Err(error), Some(previous)) => {
                return Ok(Reading { value: previous.clone(), problems: vec![error.to_string()] });
            }
            (Err(error), None) => return Err(again(path, error)),
        }
        text.push('\n');
    }
    let (users, wrong) = Users::read(&text);
    let problems: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    let value = match previous {
        Some(previous) if !problems.is_empty() => previous.clone(),
        _ => users,
    };
    Ok(Reading { value, problems })
}

/// The same error, of a document that is only lent.
fn again(path: &Path, error: &SourceError) -> SourceError {
    let kind = match error {
        SourceError::Read { source, .. } => source.kind(),
        _ => io::ErrorKind::FileTooLarge,
    };
    SourceError::Read { path: path.to_owned(), source: kind.into() }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn shown(value: &str) -> Result<(String, Vec<u8>), Denied> {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::AUTHORIZATION, value.parse().unwrap());
        Credentials::of(&headers).map(|shown| (shown.name, shown.password))
    }

    #[test]
    fn a_password_may_hold_colons_and_anything_else() {
        let encoded = |text: &[u8]| format!("Basic {}", BASE64.encode(text));
        assert_eq!(shown(&encoded(b"jane:a:b\xff")).unwrap(), ("jane".to_owned(), b"a:b\xff".to_vec()));
        assert_eq!(shown(&encoded("j\u{e4}ne:".as_bytes())).unwrap(), ("j\u{e4}ne".to_owned(), Vec::new()));
        assert_eq!(shown("bAsIc   amFuZTpw").unwrap(), ("jane".to_owned(), b"p".to_vec()));
        for wrong in ["Basic", "Basic ", "Basic !", "Bearer amFuZTpw", "amFuZTpw", "Basic amFuZQ==", "Basic \u{7f}"] {
            let wrong = wrong.parse::<HeaderValue>().is_ok().then(|| shown(wrong));
            assert!(matches!(wrong, None | Some(Err(Denied::Malformed))), "{wrong:?}");
        }
        for name in [&b"j\xe4ne:p"[..], b"j\nne:p"] {
            assert!(matches!(shown(&encoded(name)), Err(Denied::Malformed)));
        }
        assert!(matches!(Credentials::of(&HeaderMap::new()), Err(Denied::Missing)));
    }
}
