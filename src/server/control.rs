//! The control sockets of routes: who may connect to one may have tokens made (`websockify grant`).
//!
//! Promise: a socket of mode 0600, and of whoever connects the kernel is asked who it is: root and the daemon's own user are
//! heard, and nobody else. One at a time, for a bounded time, with a request of a bounded length. A socket that cannot be made is
//! told and does without: no session depends on it. A socket that a route still names is kept over a reload, whatever that route is called now.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::mem;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Uid;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{error, info, warn};

use super::address::ListenAddress;
use super::listener::{ListenError, Listener};
use super::site::{Service, Site};
use crate::config::chain;
use crate::control::{self, LINE_BYTES_MAX, Order, Reply, Request};
use crate::log::Kind;
use crate::socket::Socket;
use crate::target::dial::permitted;
use crate::target::grants::{self, Expired, Granted};
use crate::target::targets::Targets;

/// Whoever has connected has so long to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A name of a target is looked up for as long.
const LOOKUP_TIME: Duration = Duration::from_secs(3);

/// Grants that cannot be forgotten yet, and sockets that cannot be accepted from, are looked at again after so long.
const PAUSE: Duration = Duration::from_secs(1);

/// Few are made, one after the other.
const BACKLOG: u32 = 16;

/// The control sockets that are open, by their places.
#[derive(Debug, Default)]
pub(super) struct Controls {
    open: BTreeMap<PathBuf, Control>,
}

/// A control socket, until it is dropped.
#[derive(Debug)]
struct Control {
    site: Rc<RefCell<Arc<Site>>>,
    task: AbortHandle,
}

/// Why a control socket cannot be made.
#[derive(Debug, thiserror::Error)]
enum ControlError {
    #[error("there is no place for it: name one by grants.socket, or set XDG_RUNTIME_DIR")]
    NoPlace,
    #[error("cannot make {}", .0.display())]
    Directory(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot wait for clients")]
    Watch(#[source] io::Error),
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Controls {
    /// Opens the sockets of the routes in service that have grants, and closes those of others.
    pub(super) fn follow(&mut self, sites: &[Arc<Site>]) {
        let mut wanted: BTreeMap<&str, (&Arc<Site>, Option<PathBuf>)> = BTreeMap::new();
        for site in sites {
            if let Some((settings, _)) = targets(site).and_then(Targets::grants) {
                let path = settings.socket.clone().or_else(|| control::place_to_make(&site.name));
                wanted.insert(&site.name, (site, path));
            }
        }
        let mut before = mem::take(&mut self.open);
        before.retain(|path, _| wanted.values().any(|(_, wanted)| wanted.as_ref() == Some(path)));
        for (route, (site, path)) in wanted {
            if let Err(error) = self.take_in(path, site, &mut before) {
                error!(
                    kind = Kind::ControlUnusable.id(),
                    route,
                    error = &error as &dyn std::error::Error,
                    "no grants can be made: the control socket cannot be opened"
                );
            }
        }
    }

    /// Serves a route at `path`, by the socket of `before` if it is that one.
    fn take_in(
        &mut self,
        path: Option<PathBuf>,
        site: &Arc<Site>,
        before: &mut BTreeMap<PathBuf, Control>,
    ) -> Result<(), ControlError> {
        let path = path.ok_or(ControlError::NoPlace)?;
        let control = match before.remove(&path) {
            Some(control) => {
                control.site.replace(Arc::clone(site));
                control
            }
            None => Control::open(&path, site)?,
        };
        self.open.insert(path, control);
        Ok(())
    }
}

impl Control {
    fn open(path: &Path, site: &Arc<Site>) -> Result<Self, ControlError> {
        make_directory(path)?;
        let address = ListenAddress::Unix { path: path.to_owned(), mode: ListenAddress::UNIX_MODE };
        let listener = Listener::bind(&address, BACKLOG)?.remove(0);
        let listener = listener.watch().map_err(ControlError::Watch)?;
        let site = Rc::new(RefCell::new(Arc::clone(site)));
        let task = spawn_local(serve(listener, Rc::clone(&site)));
        Ok(Self { site, task: task.abort_handle() })
    }
}

/// The directory that systemd makes for a service. It must not be open to others, or they could make a socket of this name.
fn make_directory(socket: &Path) -> Result<(), ControlError> {
    let Some(directory) = socket.parent() else { return Ok(()) };
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(ControlError::Directory(directory.to_owned(), error))
        }
        _ => Ok(()),
    }
}

fn targets(site: &Site) -> Option<&Targets> {
    match &site.service {
        Service::Relay(targets) => Some(targets),
        Service::OutOfOrder => None,
    }
}

/// Answers, and forgets what has expired, until it is dropped.
async fn serve(listener: AsyncFd<Listener>, site: Rc<RefCell<Arc<Site>>>) {
    loop {
        let now = Arc::clone(&site.borrow());
        tokio::select! {
            connected = accept(&listener) => match connected {
                Ok(socket) => {
                    let now = Arc::clone(&site.borrow()); // a reload may have come meanwhile
                    let _ = timeout(PATIENCE, answer(socket, &now)).await; // whoever is that slow may ask again
                }
                Err(_) => sleep(PAUSE).await, // no descriptors: the sessions' listeners tell of that
            },
            () = expiry(&now) => {}
        }
    }
}

async fn accept(listener: &AsyncFd<Listener>) -> io::Result<Socket> {
    loop {
        let mut ready = listener.readable().await?;
        if let Ok(accepted) = ready.try_io(|listener| listener.get_ref().accept()) {
            return accepted?.0.register();
        }
    }
}

/// Tells of the grants whose time is over, once there are some.
async fn expiry(site: &Site) {
    let Some((_, grants)) = targets(site).and_then(Targets::grants) else { return std::future::pending().await };
    let Some(next) = grants.next_expiry() else { return std::future::pending().await };
    sleep_until(next.into()).await;
    let expired = grants.expire(Instant::now().into_std());
    if expired.is_empty() {
        return sleep(PAUSE).await; // one is on its way to become a session
    }
    for Expired { name, target, left } in expired {
        let (route, token) = (&site.name, tracing::field::display(name));
        info!(kind = Kind::GrantExpired.id(), route, %target, token, uses_left = left, "a grant has expired before it was used up");
    }
}

async fn answer(socket: Socket, site: &Site) {
    let Socket::Unix(socket) = socket else { return };
    let Ok(peer) = socket.peer_cred() else { return };
    let (uid, route) = (peer.uid(), &site.name);
    if uid != 0 && uid != Uid::effective().as_raw() {
        return warn!(
            kind = Kind::GrantRefused.id(),
            route, uid, "no grant: only root and the daemon's own user may make some"
        );
    }
    let mut socket = BufReader::new(socket);
    let mut line = String::new();
    if (&mut socket).take(LINE_BYTES_MAX).read_line(&mut line).await.is_err() {
        return;
    }
    let reply = match serde_json::from_str(&line) {
        Ok(Request::Grant(order)) => grant(order, site, uid).await,
        Err(error) => Reply::Refused(format!("the request cannot be understood: {error}")),
    };
    if let Reply::Refused(reason) = &reply {
        warn!(kind = Kind::GrantRefused.id(), route, uid, "no grant: {reason}");
    }
    let mut text = serde_json::to_string(&reply).expect("a reply has nothing that JSON has not");
    text.push('\n');
    let _ = socket.write_all(text.as_bytes()).await; // whoever does not wait for a token has none
}

async fn grant(order: Order, site: &Site, uid: u32) -> Reply {
    let refused = |error: &dyn std::error::Error| Reply::Refused(chain(error));
    let order = match grants::Order::try_from(order) {
        Ok(order) => order,
        Err(error) => return refused(&error),
    };
    let Some((targets, (_, grants))) = targets(site).and_then(|targets| Some(targets).zip(targets.grants())) else {
        return Reply::Refused("the route has no grants".to_owned());
    };
    if let Err(error) = permitted(&order.target, targets.granted_reach(), LOOKUP_TIME).await {
        return refused(&error);
    }
    let (target, ttl, uses, user) = (order.target.clone(), order.ttl, order.uses, order.user.clone());
    match grants.grant(order, Instant::now().into_std()) {
        Ok(Granted { token, name }) => {
            info!(
                kind = Kind::GrantMade.id(),
                route = site.name,
                %target,
                user,
                token = %name,
                uid,
                ttl = %humantime::Duration::from(ttl),
                uses = uses.get(),
                "a grant was made"
            );
            Reply::Granted { token }
        }
        Err(error) => refused(&error),
    }
}
