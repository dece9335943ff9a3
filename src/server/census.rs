//! How many connections there are and how many sessions there were, over all routes: what `--run-once`, `--idle-timeout`
//! and the drain wait for.

use std::sync::Arc;

use tokio::sync::watch;

/// The counts, and a bell that rings when one of them changes.
#[derive(Debug, Default)]
pub struct Census {
    counts: watch::Sender<Counts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    connections: usize,
    sessions: usize,
    sessions_ended: usize,
    /// All that there ever were.
    numbered: u64,
}

/// A session, counted until this is dropped, as a panic does, too.
#[derive(Debug)]
pub struct CountedSession<'a> {
    census: &'a Census,
}

/// A connection, counted until this is dropped.
#[derive(Debug)]
pub struct Counted {
    census: Arc<Census>,
    number: u64,
}

impl Census {
    /// Counts a connection.
    pub(super) fn count(self: &Arc<Self>) -> Counted {
        let mut number = 0;
        self.counts.send_modify(|counts| {
            counts.connections += 1;
            counts.numbered += 1;
            number = counts.numbered;
        });
        Counted { census: Arc::clone(self), number }
    }

    /// Connections that are there now.
    pub(super) fn connections(&self) -> usize {
        self.counts.borrow().connections
    }

    /// Sessions that are there now.
    pub(super) fn sessions(&self) -> usize {
        self.counts.borrow().sessions
    }

    /// Resolves when there are not `count` sessions.
    pub(super) async fn sessions_not(&self, count: usize) {
        self.until(|counts| counts.sessions != count).await;
    }

    /// Resolves when no connection is there.
    pub(super) async fn empty(&self) {
        self.until(|counts| counts.connections == 0).await;
    }

    /// Resolves when some connection is there.
    pub(super) async fn occupied(&self) {
        self.until(|counts| counts.connections > 0).await;
    }

    /// Resolves when a session has ended.
    pub(super) async fn first_session_ended(&self) {
        self.until(|counts| counts.sessions_ended > 0).await;
    }

    async fn until(&self, condition: impl FnMut(&Counts) -> bool) {
        // It fails only when the sender is gone, which is `self`.
        let _ = self.counts.subscribe().wait_for(condition).await;
    }
}

impl Counted {
    /// Which of the process's connections it is, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The connection is a session now: it has got its 101.
    pub fn session(&self) -> CountedSession<'_> {
        self.census.counts.send_modify(|counts| counts.sessions += 1);
        CountedSession { census: &self.census }
    }
}

impl Drop for CountedSession<'_> {
    fn drop(&mut self) {
        self.census.counts.send_modify(|counts| {
            counts.sessions -= 1;
            counts.sessions_ended += 1;
        });
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.census.counts.send_modify(|counts| counts.connections -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_panic_leaves_the_counts_right() {
        let census = Arc::new(Census::default());
        let connection = census.count();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _session = connection.session();
            assert_eq!((census.connections(), census.sessions()), (1, 1));
            panic!("a bug, for a test");
        }));
        assert!(panicked.is_err());
        assert_eq!((census.connections(), census.sessions()), (1, 0));
        drop(connection);
        assert_eq!(census.connections(), 0);
    }
}
