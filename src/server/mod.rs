//! The daemon: listeners in front, workers behind, and a life between start and stop.
//!
//! Promise: all sockets of all routes are bound before anything is served; a reload changes all or nothing, and running
//! sessions keep what they began with; a stop lets sessions end, for a bounded time. It knows no protocol.

mod accept;
pub mod address;
pub mod admission;
mod alarm;
pub mod census;
mod circumstances;
mod control;
mod expiry;
mod health;
mod lifetime;
pub mod listener;
mod programs;
mod reload;
mod room;
mod signals;
pub mod site;
mod socket_file;
pub mod stop;
pub mod worker;

pub use self::lifetime::Lifetime;

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::sleep;
use tracing::{error, info, warn};

use self::address::ListenAddress;
use self::admission::Admission;
use self::alarm::Alarm;
use self::census::Census;
use self::circumstances::Circumstances;
use self::health::Health;
use self::lifetime::{Ending, lifetime_over};
use self::listener::{Inherited, ListenError, Listener};
use self::programs::{Over, Programs};
use self::reload::Routes;
use self::signals::{Signals, Told};
use self::site::{Site, SiteError};
use self::stop::{Stop, Stopper};
use self::worker::{Job, Threads, Workers};
use crate::config::{Route, chain};
use crate::log::Kind;
use crate::program::watch::{Change, Supervised, Watch};
use crate::program::{self, Ended, ProgramError};
use crate::record;
use crate::socket::{Accepted, Peer};
use crate::systemd::activation::ActivationError;
use crate::systemd::confinement::Confinement;
use crate::websocket::close::CloseCode;

/// Reads the routes anew; or says, a line each, what is wrong with them.
pub type Reload = Box<dyn Fn() -> Result<Vec<Route>, Vec<String>>>;

/// Why a daemon cannot start, or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A part that all need has panicked.
    #[error("a bug: the log says where it happened")]
    Bug,
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
    circumstances: Circumstances,
    /// What is wrong with sockets that cannot be used.
    unusable: Vec<String>,
    /// What is wrong with routes that are out of order, or do not fit their units.
    problems: Vec<String>,
    /// The routes that are sound, whose programs are to be run.
    routes: Vec<Route>,
}

#[derive(Debug)]
struct Bound {
    site: Arc<Site>,
    listeners: Vec<(ListenAddress, Listener)>,
}

impl Server {
    /// Nothing to serve yet. `traffic`: show symbols of what moves on standard output.
    pub fn new(lifetime: Lifetime, traffic: bool) -> Self {
        Self { lifetime, circumstances: Circumstances { traffic, ..Circumstances::default() }, ..Self::default() }
    }

    /// Binds the sockets of `route`.
    pub fn bind(&mut self, route: &Route) -> Result<(), ServerError> {
        let site = Arc::new(self.circumstances.site(route)?);
        self.circumstances.complaints(route, &[]);
        let mut listeners = Vec::new();
        for address in &route.listen {
            let bound = Listener::bind(address, site.limits.backlog)?;
            listeners.extend(bound.into_iter().map(|listener| (address.clone(), listener)));
        }
        self.bound.push(Bound { site, listeners });
        self.routes.push(route.clone());
        Ok(())
    }

    /// A server whose sockets are systemd's, which has passed `unusable` ones, too: it runs all the same.
    pub fn activated(unusable: &[ActivationError]) -> Self {
        let unusable: Vec<String> = unusable.iter().map(|error| chain(error)).collect();
        for problem in &unusable {
            error!(kind = Kind::SocketUnusable.id(), "{problem}");
        }
        let circumstances = Circumstances {
            traffic: false,
            activated: true,
            // What waits in such a socket would start the daemon at once.
            may_exit_idle: unusable.is_empty(),
            confinement: Confinement::of_this_process(),
            supervised: Supervised::of_this_process(),
            sessions: program::unit::socket_of_this_process(),
            ..Circumstances::default()
        };
        Self { circumstances, unusable, ..Self::default() }
    }

    /// Serves `route` on sockets that systemd has passed.
    pub fn adopt(&mut self, route: &Route, listeners: Vec<Listener>) {
        if let Some(supervised) = &mut self.circumstances.supervised {
            supervised.meet(route.program.as_ref());
        }
        match self.circumstances.site(route) {
            Ok(site) => {
                let bound: Vec<ListenAddress> = listeners.iter().map(Listener::address).collect();
                self.problems.extend(self.circumstances.complaints(route, &bound));
                self.serve_on(site, listeners);
                self.routes.push(route.clone());
            }
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

    /// Tells the clients of a socket that is for no route that it is out of order.
    pub fn adopt_stray(&mut self, name: &str, listener: Listener) {
        self.serve_on(Site::out_of_order(name), vec![listener]);
    }

    fn serve_on(&mut self, site: Site, listeners: Vec<Listener>) {
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
        let site = Arc::new(self.circumstances.site(route)?);
        match inherited {
            Inherited::Connected(accepted, peer) => self.connected = Some((accepted, peer, site)),
            Inherited::Listening(listener) => {
                let address = ListenAddress::Tcp { host: None, port: 0 }; // whatever it is: it is never bound again
                self.bound.push(Bound { site, listeners: vec![(address, listener)] });
            }
        }
        self.routes.push(route.clone());
        Ok(())
    }

    /// Serves until it is told to stop, or its lifetime is over, or the program that it wraps has ended: as that did then.
    pub fn run(self, reload: Option<Reload>) -> Result<Option<Ended>, ServerError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ServerError::Runtime)?;
        let (stopper, stop) = Stop::pair();
        let alarm = Alarm::default();
        let (workers, threads) = Workers::start(&stop, &alarm).map_err(ServerError::Runtime)?;
        let ended = LocalSet::new().block_on(&runtime, self.live(workers, &stopper, alarm, reload));
        stopper.abort();
        Threads::join(threads);
        complete_recordings();
        runtime.shutdown_background();
        ended
    }

    async fn live(
        self,
        workers: Workers,
        stopper: &Stopper,
        alarm: Alarm,
        reload: Option<Reload>,
    ) -> Result<Option<Ended>, ServerError> {
        let census = Arc::new(Census::default());
        let mut signals = Signals::install().map_err(ServerError::Runtime)?;
        let mut watch = self.circumstances.supervised.as_ref().map(Supervised::watch);
        let programs = Rc::clone(&self.circumstances.programs);
        let mut problems = self.problems;
        problems.extend(start_programs(&programs, &self.routes, self.circumstances.activated)?);
        let mut ends = programs.borrow_mut().ends();
        let routes = Routes::serve(self.bound, workers, Arc::clone(&census), self.circumstances, alarm.clone());
        let mut routes = routes.map_err(ServerError::Runtime)?;
        let connected_drain_timeout = self.connected.as_ref().map(|(_, _, site)| site.limits.drain_timeout);
        if let Some((accepted, peer, site)) = self.connected {
            let (admission, counted) = (Arc::new(Admission::default()), census.count());
            routes.workers().assign(Job { accepted, peer, site, admission, permit: None, counted }).await;
        }
        let (exit_idle, exit_idle_now) = watch::channel(routes.exit_idle());
        let only_one = connected_drain_timeout.is_some();
        let mut over = std::pin::pin!(lifetime_over(self.lifetime, exit_idle_now, only_one, &census));
        let mut health = Health::new(&routes, self.unusable, problems);
        health.ready(&routes);
        let ending = loop {
            tokio::select! {
                ending = &mut over => break ending,
                () = alarm.rung() => return Err(ServerError::Bug),
                change = change_of(&mut watch) => match change {
                    Change::Over(ended) => break Ending::ProgramEnded(ended),
                    Change::Condition(condition) => health.program(condition),
                },
                Over { route, ended } = program_over(&mut ends) => {
                    if !routes.are_several() {
                        break Ending::ProgramEnded(ended);
                    }
                    programs.borrow_mut().give_up(&route, ended);
                }
                told = signals.next() => match (told, &reload) {
                    (Told::Stop, _) => break Ending::Stopped,
                    (Told::Reload, Some(reload)) => {
                        health.reload_begins();
                        health.reloaded(routes.reload(reload), &routes);
                        let now = routes.exit_idle();
                        exit_idle.send_if_modified(|limit| std::mem::replace(limit, now) != now);
                    }
                    (Told::Reload, None) => {
                        info!("SIGHUP: there is no file to read again; certificates are read when they change");
                    }
                },
                due = health.due(&census) => health.attend(due, &routes),
            }
        };
        if ending == Ending::Idle {
            // Nothing was accepted since the last look: that happens on this thread, which has done nothing else. Who comes now
            // waits in the kernel, and with exit-idle systemd has the socket, too: it starts the daemon again for whoever waits.
            health.stopping("idle: the next connection starts the daemon again");
        } else {
            health.stopping("stopping");
            let drain_timeout = routes.drain_timeout().max(connected_drain_timeout.unwrap_or_default());
            routes.close().await;
            if ending == Ending::AfterLast {
                info!(connections = census.connections(), "the time is over: waiting for the last session to end");
                tokio::select! {
                    () = census.empty() => {}
                    () = signals.stop() => {}
                }
            }
            drain(&census, stopper, &health, &mut signals, drain_timeout).await;
        }
        let left = programs.borrow_mut().end();
        if let Some((children, names)) = left {
            health.extend_timeout(program::GRACE + END_TIME);
            children.end_all(&names, signals.stop()).await;
        }
        info!(kind = Kind::Stopped.id(), "stopped");
        Ok(match ending {
            Ending::ProgramEnded(ended) => Some(ended),
            Ending::AfterLast | Ending::Idle | Ending::Stopped => None,
        })
    }
}

/// Starts the programs of all routes. What one cannot have is an end of the daemon, unless there are other routes, or it was
/// systemd that has started it and would do so again: then it is something to say.
fn start_programs(
    programs: &RefCell<Programs>,
    routes: &[Route],
    activated: bool,
) -> Result<Vec<String>, ProgramError> {
    let mut problems = Vec::new();
    for failed in programs.borrow_mut().commit(&routes.iter().collect::<Vec<_>>())? {
        if routes.len() == 1 && !activated {
            return Err(failed.error);
        }
        problems.push(failed.tell());
    }
    Ok(problems)
}

/// Resolves when a program has ended, and its route is to.
async fn program_over(ends: &mut Option<mpsc::Receiver<Over>>) -> Over {
    match ends {
        Some(ends) => match ends.recv().await {
            Some(over) => over,
            None => pending().await,
        },
        None => pending().await,
    }
}

/// Resolves when there is something new of the program that systemd runs.
async fn change_of(watch: &mut Option<Watch>) -> Change {
    match watch {
        Some(watch) => watch.change().await,
        None => pending().await,
    }
}

/// The sessions have ended, and their recordings are to end too. A disk that stands still is not waited for without end.
fn complete_recordings() {
    let recordings = record::wait_until_written(END_TIME);
    if recordings > 0 {
        warn!(
            kind = Kind::RecordingsIncomplete.id(),
            recordings, "recordings have no end: the disk did not take it in time"
        );
    }
}

/// What is left to do when the drain is over takes no longer.
const END_TIME: Duration = Duration::from_secs(5);

/// Ends the sessions, and waits for them as long as is allowed, or until somebody has lost patience.
async fn drain(census: &Census, stopper: &Stopper, health: &Health, signals: &mut Signals, limit: Duration) {
    let connections = census.connections();
    if connections > 0 {
        info!(kind = Kind::Stopping.id(), connections, "stopping: the sessions get Close 1001");
    }
    stopper.drain(CloseCode::GOING_AWAY);
    health.extend_timeout(limit + END_TIME);
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
