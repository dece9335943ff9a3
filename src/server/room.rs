//! Room for a listener whose address is a part of another's, or holds it: the kernel does not let both listen.
//!
//! Promise: what has made room listens again unless the room was kept, on the same socket, so that nobody else can have taken
//! its address in between. Who waits in its backlog when it makes room is refused.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::io::unix::AsyncFd;
use tracing::error;

use super::listener::Listener;
use crate::log::Kind;

/// Listeners that do not listen, each with its backlog, until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Room {
    suspended: RefCell<Vec<(Rc<AsyncFd<Listener>>, u32)>>,
}

impl Room {
    /// Makes these listeners, each with its backlog, stop listening. Whether there was one that could.
    pub(super) fn make(&self, listeners: impl Iterator<Item = (Rc<AsyncFd<Listener>>, u32)>) -> bool {
        let mut suspended = self.suspended.borrow_mut();
        let before = suspended.len();
        suspended.extend(listeners.filter(|(listener, _)| listener.get_ref().suspend().is_ok()));
        suspended.len() > before
    }

    /// What has made room is not wanted any more.
    pub(super) fn keep(self) {
        self.suspended.borrow_mut().clear();
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for (listener, backlog) in self.suspended.take() {
            let listener = listener.get_ref();
            if let Err(error) = listener.resume(backlog) {
                error!(kind = Kind::ListeningOver.id(), %error, "no longer listening on {listener}: it could not be taken again");
            }
        }
    }
}
