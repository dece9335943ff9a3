//! The daemon: listeners in front, workers behind, and a life between start and stop.
//!
//! Promise: all sockets of all routes are bound before anything is served; a reload changes all or nothing, and running
//! sessions keep what they began with; a stop lets sessions end, for a bounded time. It knows no protocol.

mod accept;
pub mod address;
pub mod admission;
pub mod census;
mod health;
mod lifetime;
pub mod listener;
mod reload;
mod signals;
pub mod site;
mod socket_file;
pub mod stop;
pub mod worker;

pub use self::lifetime::Lifetime;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::sleep;
use tracing::{error, info, warn};

use self::address::ListenAddress;
use self::admission::Admission;
use self::census::Census;
use self::health::{Status, Watchdog};
use self::lifetime::{Ending, lifetime_over};
use self::listener::{Inherited, ListenError, Listener};
use self::reload::Routes;
use self::signals::{Signals, Told};
use self::site::{Site, SiteError};
use self::stop::{Stop, Stopper};
use self::worker::{Job, Threads, Workers};
use crate::config::{Route, chain};
use crate::log::Kind;
use crate::program::{self, Ended, Program, ProgramError, Supervisor};
use crate::socket::{Accepted, Peer};
use crate::systemd::activation::{Claim, difference};
use crate::systemd::notify;
use crate::websocket::close::CloseCode;

/// Reads the routes anew; or says, a line each, what is wrong with them.
pub type Reload = Box<dyn Fn() -> Result<Vec<Route>, Vec<String>>>;

/// What is wrong when a daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A wrapped program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// No threads, no event queue or no signal handlers.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    /// A certificate or a web root.
    #[error(transparent)]
    Site(#[from] SiteError),
}

/// Routes whose sockets are bound, and which nobody serves yet. Made before a daemon forks and before threads are there.
#[derive(Debug, Default)]
pub struct Server {
    bound: Vec<Bound>,
    /// A client that came as standard input.
    connected: Option<(Accepted, Peer, Arc<Site>)>,
    lifetime: Lifetime,
    traffic: bool,
    /// The sockets are systemd's.
    activated: bool,
    /// What is wrong with routes that are out of order.
    problems: Vec<String>,
    /// Runs as long as the daemon does, and may end it.
    program: Option<Program>,
}

#[derive(Debug)]
struct Bound {
    site: Arc<Site>,
    listeners: Vec<(ListenAddress, Listener)>,
}

impl Server {
    /// Nothing to serve yet. `traffic`: show symbols of what moves on standard output.
    pub fn new(lifetime: Lifetime, traffic: bool) -> Self {
        Self { lifetime, traffic, ..Self::default() }
    }

    /// Binds the sockets of `route`.
    pub fn bind(&mut self, route: &Route) -> Result<(), ServerError> {
        let site = Arc::new(Site::open(route, self.traffic)?);
        let mut listeners = Vec::new();
        for address in &route.listen {
            let bound = Listener::bind(address, site.limits.backlog)?;
            listeners.extend(bound.into_iter().map(|listener| (address.clone(), listener)));
        }
        self.bound.push(Bound { site, listeners });
        Ok(())
    }

    /// Serves `route` on sockets that systemd has passed.
    pub fn adopt(&mut self, route: &Route, listeners: Vec<Listener>) {
        let bound: Vec<ListenAddress> = listeners.iter().map(Listener::address).collect();
        if let Some(difference) = difference(Claim { route: &route.name, listen: &route.listen }, &bound) {
            warn!(kind = Kind::ListenDiffers.id(), route = route.name, "{difference}");
        }
        match Site::open(route, self.traffic) {
            Ok(site) => self.serve_on(site, listeners),
            Err(error) => self.adopt_broken(&route.name, listeners, &[chain(&error)]),
        }
    }

    /// Tells the clients of a route whose file is of no use that it is out of order. A daemon that ended instead would be
    /// started again by its socket unit, until that gives up for good.
    pub fn adopt_broken(&mut self, route: &str, listeners: Vec<Listener>, problems: &[String]) {
        for problem in problems {
            error!(kind = Kind::ConfigurationMistake.id(), route, "{problem}");
        }
        let kind = Kind::RouteOutOfOrder.id();
        error!(kind, route, "the route is out of order: clients are told to try again later");
        let first = problems.first().map_or("", String::as_str);
        self.problems.push(format!("{route} is out of order: {first}"));
        self.serve_on(Site::out_of_order(route), listeners);
    }

    fn serve_on(&mut self, site: Site, listeners: Vec<Listener>) {
        self.activated = true;
        let listeners = listeners.into_iter().map(|listener| (listener.address(), listener)).collect();
        self.bound.push(Bound { site: Arc::new(site), listeners });
    }

    /// Where clients can connect by TCP.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let listeners = self.bound.iter().flat_map(|bound| &bound.listeners);
        listeners.filter_map(|(_, listener)| listener.tcp_address())
    }

    /// Serves `route` on what was on standard input: one client, or a listening socket.
    pub fn inherit(&mut self, route: &Route, inherited: Inherited) -> Result<(), ServerError> {
        let site = Arc::new(Site::open(route, self.traffic)?);
        match inherited {
            Inherited::Connected(accepted, peer) => self.connected = Some((accepted, peer, site)),
            Inherited::Listening(listener) => {
                let address = ListenAddress::Tcp { host: None, port: 0 }; // whatever it is: it is never bound again
                self.bound.push(Bound { site, listeners: vec![(address, listener)] });
            }
        }
        Ok(())
    }

    /// Runs `program` beside the routes.
    pub fn wrap(&mut self, program: Program) {
        self.program = Some(program);
    }

    /// Serves until it is told to stop, or its lifetime is over, or the program that it wraps has ended: as that did then.
    pub fn run(self, reload: Option<Reload>) -> Result<Option<Ended>, ServerError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ServerError::Runtime)?;
        let (stopper, stop) = Stop::pair();
        let (workers, threads) = Workers::start(&stop).map_err(ServerError::Runtime)?;
        let ended = LocalSet::new().block_on(&runtime, self.live(workers, &stopper, reload));
        stopper.abort();
        Threads::join(threads);
        runtime.shutdown_background();
        ended
    }

    async fn live(
        self,
        workers: Workers,
        stopper: &Stopper,
        reload: Option<Reload>,
    ) -> Result<Option<Ended>, ServerError> {
        let census = Arc::new(Census::default());
        let mut signals = Signals::install().map_err(ServerError::Runtime)?;
        let mut program = self.program.map(Supervisor::start).transpose()?;
        let (workers, activated) = (Rc::new(workers), self.activated);
        let routes = Routes::serve(self.bound, workers, Arc::clone(&census), self.traffic, activated);
        let mut routes = routes.map_err(ServerError::Runtime)?;
        let connected_drain_timeout = self.connected.as_ref().map(|(_, _, site)| site.limits.drain_timeout);
        if let Some((accepted, peer, site)) = self.connected {
            let (admission, counted) = (Arc::new(Admission::default()), census.count());
            routes.workers().assign(Job { accepted, peer, site, admission, permit: None, counted }).await;
        }
        let mut status = Status::new(self.problems);
        let mut watchdog = Watchdog::new();
        let mut over = std::pin::pin!(lifetime_over(self.lifetime, connected_drain_timeout.is_some(), &census));
        notify::ready(&status.text());
        let ending = loop {
            tokio::select! {
                ending = &mut over => break ending,
                ended = program_over(&mut program) => break Ending::ProgramEnded(ended),
                told = signals.next() => match (told, &reload) {
                    (Told::Stop, _) => break Ending::Stopped,
                    (Told::Reload, Some(reload)) => {
                        notify::reloading();
                        status.reloaded(routes.reload(reload));
                        notify::ready(&status.text());
                    }
                    (Told::Reload, None) => {
                        info!("SIGHUP: there is no file to read again; certificates are read when they change");
                    }
                },
                () = watchdog.due() => Watchdog::feed(&routes),
                () = status.changed(&census) => notify::status(&status.text()),
            }
        };
        notify::stopping("stopping");
        let drain_timeout = routes.drain_timeout().max(connected_drain_timeout.unwrap_or_default());
        drop(routes); // no more accepting
        if ending == Ending::AfterLast {
            info!(connections = census.connections(), "the time is over: waiting for the last session to end");
            tokio::select! {
                () = census.empty() => {}
                () = signals.stop() => {}
            }
        }
        drain(&census, stopper, &mut signals, drain_timeout).await;
        if let Some(program) = program {
            notify::extend_timeout(program::GRACE + END_TIME);
            program.stop(signals.stop()).await;
        }
        info!(kind = Kind::Stopped.id(), "stopped");
        Ok(match ending {
            Ending::ProgramEnded(ended) => Some(ended),
            Ending::AfterLast | Ending::Stopped => None,
        })
    }
}

/// Resolves when the daemon is to end because its program has.
async fn program_over(program: &mut Option<Supervisor>) -> Ended {
    match program {
        Some(program) => program.over().await,
        None => pending().await,
    }
}

/// What is left to do when the drain is over takes no longer.
const END_TIME: Duration = Duration::from_secs(5);

/// Ends the sessions, and waits for them as long as is allowed, or until somebody has lost patience.
async fn drain(census: &Census, stopper: &Stopper, signals: &mut Signals, limit: Duration) {
    let connections = census.connections();
    if connections > 0 {
        info!(kind = Kind::Stopping.id(), connections, "stopping: the sessions get Close 1001");
    }
    stopper.drain(CloseCode::GOING_AWAY);
    notify::extend_timeout(limit + END_TIME);
    tokio::select! {
        () = census.empty() => {}
        () = sleep(limit) => {
            let connections = census.connections();
            warn!(kind = Kind::SessionsCut.id(), connections, "sessions did not end in time and are cut");
        }
        () = signals.stop() => {
            let connections = census.connections();
            warn!(kind = Kind::SessionsCut.id(), connections, "told to stop again: sessions are cut");
        }
    }
}
