//! What is told of a connection that a bug ended: a panic says where in the code it was, and not whose.

use std::thread;

use tracing::error;

use crate::log::Kind;
use crate::server::site::Site;
use crate::session::SessionId;
use crate::socket::Peer;

/// A connection that is being served.
pub(super) struct Unfinished<'a> {
    /// Once it is a session.
    pub(super) session: Option<SessionId>,
    pub(super) peer: Peer,
    pub(super) site: &'a Site,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            error!(
                kind = Kind::Bug.id(),
                session = self.session.map(tracing::field::display),
                client = %self.peer,
                target = %self.site.service,
                route = self.site.name,
                "a bug ended a connection: the record before this one says where it is"
            );
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::fmt::Write as _;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::subscriber::with_default;
    use tracing::{Event, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    /// Keeps the fields of all records.
    #[derive(Clone, Default)]
    struct Records(Arc<Mutex<String>>);

    impl<S: Subscriber> Layer<S> for Records {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            event.record(&mut Line(&mut self.0.lock().unwrap()));
        }
    }

    struct Line<'a>(&'a mut String);

    impl Visit for Line<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            let _ = write!(self.0, "{field}={value:?} "); // a String takes everything
        }
    }

    #[test]
    fn a_panic_is_told_with_the_session_that_it_ended() {
        let (records, id) = (Records::default(), SessionId::next());
        let site = Site::out_of_order("vnc");
        with_default(tracing_subscriber::registry().with(records.clone()), || {
            drop(Unfinished { session: Some(id), peer: Peer::Unix, site: &site });
            assert_eq!(*records.0.lock().unwrap(), "", "an end is not a bug");
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let _unfinished = Unfinished { session: Some(id), peer: Peer::Unix, site: &site };
                panic!("a bug, for a test");
            }));
            assert!(panicked.is_err());
        });
        let told = records.0.lock().unwrap();
        for part in [&format!("session={id} "), "route=\"vnc\" ", "client=unix "] {
            assert!(told.contains(part), "{told}");
        }
    }
}
