//! The accepting of one listener: wait, admit, accept, hand over. Nothing that a client can delay happens here.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::admission::{Admission, Permit};
use super::census::Census;
use super::listener::Listener;
use super::site::Site;
use super::worker::{Job, Workers};
use crate::access::Denied;
use crate::log::Kind;
use crate::socket::Peer;

/// The first and the longest pause after the kernel could not accept for want of something.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// How long nothing may have been wanting before a shortage is over.
const CALM: Duration = Duration::from_secs(1);

/// What a listener's connections get: swapped by a reload.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) site: Arc<Site>,
    pub(super) admission: Arc<Admission>,
}

/// Accepts for ever. `news`: the status has something new to say.
pub(super) async fn accept(
    listener: Rc<AsyncFd<Listener>>,
    serving: Rc<RefCell<Serving>>,
    workers: Rc<Workers>,
    census: Arc<Census>,
    news: Rc<Notify>,
) {
    let mut shortage = Shortage::default();
    let mut crowd = Crowd::default();
    loop {
        let Ok(mut ready) = listener.readable().await else { return }; // the runtime is shutting down
        if is_full(&serving) && ready.try_io(|listener| listener.get_ref().somebody_waits()).is_err() {
            continue; // the last place was taken, and nobody wants another
        }
        let permit = crowd.admit(&serving).await;
        match ready.try_io(|listener| listener.get_ref().accept()) {
            Ok(Ok((accepted, peer))) => {
                shortage.accepted(&serving.borrow().site.name);
                let Serving { site, admission } = serving.borrow().clone();
                if let Err(denied) = site.access.admits_connection(&peer) {
                    // Dropping it is the answer: whoever may not come does not learn what is here.
                    deny(&site, peer, &denied, &news);
                    continue;
                }
                let counted = census.count();
                workers.assign(Job { accepted, peer, site, admission, permit: Some(permit), counted }).await;
            }
            Ok(Err(error)) if is_shortage(&error) => {
                drop(permit);
                let route = serving.borrow().site.name.clone();
                shortage.wait(listener.get_ref(), &route, &error).await;
            }
            // The client was gone before it was accepted, or the like: accept(2) lists them, none concerns the next one.
            // Should one of them last, it does not keep this thread busy.
            Ok(Err(error)) => {
                debug!(%error, "a connection could not be accepted");
                sleep(BACKOFF.0).await;
            }
            Err(_would_block) => {}
        }
    }
}

/// Tells of a client that may not come, and of what that proves.
fn deny(site: &Site, peer: Peer, denied: &Denied, news: &Notify) {
    let route = &site.name;
    if site.kernel_filter.drops(&peer) && site.kernel_filters.swap(false, Ordering::Relaxed) {
        let kind = Kind::KernelCheckMissing.id();
        warn!(
            kind,
            route,
            client = %peer,
            "a client that the kernel was to keep away got through: the daemon checks alone who may connect"
        );
        news.notify_one();
    }
    if let Some(unlogged) = site.quotas.admit(Kind::ClientDenied, Instant::now().into_std()) {
        let unlogged = (unlogged > 0).then_some(unlogged);
        let kind = Kind::ClientDenied.id();
        info!(kind, route, client = %peer, unlogged, "refused: {denied}");
    }
}

fn is_full(serving: &RefCell<Serving>) -> bool {
    let serving = serving.borrow();
    serving.admission.is_full(serving.site.limits.connections)
}

/// A time in which a route has no place for all who come: logged once, for a place that becomes free is taken at once.
#[derive(Default)]
struct Crowd {
    /// When somebody last had to wait.
    last: Option<Instant>,
}

impl Crowd {
    /// A place for the connection that waits. While there is none, it stays in the kernel's backlog, and more behind it.
    async fn admit(&mut self, serving: &RefCell<Serving>) -> Permit {
        let mut waited = false;
        loop {
            let Serving { site, admission } = serving.borrow().clone();
            if let Some(permit) = admission.try_admit(site.limits.connections) {
                if waited {
                    self.last = Some(Instant::now());
                    debug!(kind = Kind::RouteHasRoom.id(), route = site.name, "there is room for connections again");
                }
                return permit;
            }
            if !waited && self.last.is_none_or(|last| last.elapsed() > CALM) {
                let connections = site.limits.connections;
                warn!(
                    kind = Kind::RouteFull.id(),
                    route = site.name,
                    connections,
                    "the route is full: clients wait; limits.connections raises the bound"
                );
            }
            waited = true;
            admission.freed().await;
        }
    }
}

fn is_shortage(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM))
        || error.kind() == ErrorKind::OutOfMemory
}

/// A time in which the kernel cannot give us sockets: logged when it begins and when it is over, and not at each attempt.
/// While it lasts, a descriptor that becomes free is taken at once and wanted again: only a calm is the end of it.
#[derive(Default)]
struct Shortage {
    /// The last pause, unless something was accepted since.
    pause: Option<Duration>,
    /// When the last pause ended; None: there is no shortage.
    last: Option<Instant>,
}

impl Shortage {
    async fn wait(&mut self, listener: &Listener, route: &str, error: &io::Error) {
        let pause = self.pause.map_or(BACKOFF.0, |pause| (2 * pause).min(BACKOFF.1));
        if self.last.is_none() {
            warn!(
                kind = Kind::AcceptShortage.id(),
                route,
                %error,
                "cannot accept on {listener}: clients wait; raise LimitNOFILE= or lower limits.connections"
            );
        }
        self.pause = Some(pause);
        sleep(pause).await;
        self.last = Some(Instant::now());
    }

    fn accepted(&mut self, route: &str) {
        self.pause = None;
        if self.last.is_some_and(|last| last.elapsed() >= CALM) {
            self.last = None;
            info!(kind = Kind::AcceptResumed.id(), route, "accepting again");
        }
    }
}
