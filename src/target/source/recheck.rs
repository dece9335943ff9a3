//! Tokens of running sessions, looked at again: a session that lives by a token ends when its source knows the token no more.
//!
//! Promise: one look for all the sessions of a source, however many, and none while there are no sessions. A token counts as
//! withdrawn when two looks, a second apart at least, say so, and a source that cannot say ends nothing: neither a file that an
//! editor has just emptied, nor a server that comes up before its data, throws everybody out. Looks come at intervals that vary
//! by a tenth, so that many machines do not ask in one breath.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::Source;
use crate::target::token::Token;

/// Between the look that misses a token and the one that decides.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// The sessions of a source, by their tokens.
pub struct Rechecks {
    source: Arc<Source>,
    interval: Duration,
    /// For each question to the source.
    timeout: Duration,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    tokens: HashMap<Token, Entry>,
    /// Somebody looks already.
    is_looking: bool,
}

/// The sessions of one token.
struct Entry {
    sessions: usize,
    withdrawn: watch::Sender<bool>,
}

/// A session's share in this.
pub struct Held {
    rechecks: Arc<Rechecks>,
    token: Token,
    withdrawn: watch::Receiver<bool>,
}

impl Rechecks {
    /// No sessions yet.
    pub fn new(source: Arc<Source>, interval: Duration, timeout: Duration) -> Arc<Self> {
        Arc::new(Self { source, interval, timeout, watched: Mutex::default() })
    }

    /// Looks at `token` again from now on, for as long as the answer lives.
    pub fn hold(self: &Arc<Self>, token: Token) -> Held {
        let mut watched = self.watched();
        let fresh = || Entry { sessions: 0, withdrawn: watch::Sender::new(false) };
        let entry = watched.tokens.entry(token.clone()).or_insert_with(fresh);
        entry.sessions += 1;
        let withdrawn = entry.withdrawn.subscribe();
        if !std::mem::replace(&mut watched.is_looking, true) {
            tokio::spawn(Arc::clone(self).look());
        }
        drop(watched);
        Held { rechecks: Arc::clone(self), token, withdrawn }
    }

    /// Looks, and looks again, until there is no session left.
    async fn look(self: Arc<Self>) {
        loop {
            sleep(varied(self.interval)).await;
            let Some(tokens) = self.tokens() else { return };
            let missing = self.source.unknown_among(tokens, self.timeout).await;
            if missing.is_empty() {
                continue;
            }
            sleep(SECOND_LOOK).await;
            self.withdraw(&self.source.unknown_among(missing, self.timeout).await);
        }
    }

    /// The tokens that sessions live by. None: there are none, and nobody looks any more.
    fn tokens(&self) -> Option<Vec<Token>> {
        let mut watched = self.watched();
        watched.is_looking = !watched.tokens.is_empty();
        let tokens: Vec<Token> = watched.tokens.keys().cloned().collect();
        watched.is_looking.then_some(tokens)
    }

    fn withdraw(&self, tokens: &[Token]) {
        let mut watched = self.watched();
        for token in tokens {
            // Gone from the table too: whoever comes with the token again, once it is good again, is another's business.
            if let Some(entry) = watched.tokens.remove(token) {
                entry.withdrawn.send_replace(true);
            }
        }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Resolves when the source knows the token no more.
    pub async fn withdrawn(mut self) {
        // It fails only when the sender is gone, which is when it has said so.
        let _ = self.withdrawn.wait_for(|withdrawn| *withdrawn).await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut watched = self.rechecks.watched();
        let Some(entry) = watched.tokens.get_mut(&self.token) else { return };
        if !entry.withdrawn.subscribe().same_channel(&self.withdrawn) {
            return; // of sessions that came after this one's end was decided
        }
        entry.sessions -= 1;
        if entry.sessions == 0 {
            watched.tokens.remove(&self.token);
        }
    }
}

/// Within a tenth of `interval`, more or less.
fn varied(interval: Duration) -> Duration {
    interval * (900 + random_below(201)) / 1000
}

/// A number that nobody has to guess, less than `bound`, which is not 0.
pub(super) fn random_below(bound: u32) -> u32 {
    u32::try_from(RandomState::new().hash_one(()) % u64::from(bound)).expect("less than a u32")
}

impl fmt::Debug for Rechecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rechecks").field("interval", &self.interval).finish_non_exhaustive()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({})", self.token.name())
    }
}
