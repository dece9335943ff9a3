//! One client's attempt to get in: who it is, until when it may be thought about, and who counts its failures.

use std::time::Instant as Moment;

use tokio::time::Instant;

use super::Caller;
use super::denied::Denied;
use super::limiter::Limiter;
use crate::tag::Tag;

/// What all proofs have in common.
pub(super) struct Attempt<'a> {
    pub(super) caller: &'a Caller,
    pub(super) deadline: Instant,
    pub(super) limiter: &'a Limiter,
}

impl Attempt<'_> {
    /// Whether its address has not failed too often.
    pub(super) fn is_allowed(&self) -> Result<(), Denied> {
        self.limiter.admit(&self.caller.peer, Moment::now()).map_err(Denied::TooManyFailures)
    }

    /// Whether the same was shown before, and was wrong.
    pub(super) fn is_known_wrong(&self, guess: Tag) -> bool {
        self.limiter.knows(&self.caller.peer, guess, Moment::now())
    }

    /// Counts it as a failure.
    pub(super) fn failed(&self, guess: Tag) {
        self.limiter.failed(&self.caller.peer, guess, Moment::now());
    }
}
