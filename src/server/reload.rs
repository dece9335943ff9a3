//! The routes in service, and how they change while they are.
//!
//! A listener belongs to an address, not to a route: a reload gives it to whichever route now names that address, so that
//! no client is refused while an address changes hands.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local, yield_now};
use tracing::{error, info};

use super::accept::{Serving, accept};
use super::address::ListenAddress;
use super::admission::Admission;
use super::alarm::Alarm;
use super::census::Census;
use super::circumstances::Circumstances;
use super::control::Controls;
use super::health::ClientCheck;
use super::listener::{ListenError, Listener};
use super::programs::NotStarted;
use super::room::Room;
use super::site::Site;
use super::worker::{Job, Workers};
use super::{Bound, Reload, ServerError};
use crate::access::proxies::KernelFilter;
use crate::config::{Route, chain};
use crate::log::Kind;
use crate::program::watch::Condition;

/// All routes in service.
pub(super) struct Routes {
    doors: Vec<Door>,
    workers: Rc<Workers>,
    census: Arc<Census>,
    circumstances: Circumstances,
    /// Rings when the status has something new to say.
    news: Rc<Notify>,
    alarm: Alarm,
    controls: Controls,
}

/// A listener that is being accepted from, until it is dropped.
struct Door {
    address: ListenAddress,
    listener: Rc<AsyncFd<Listener>>,
    serving: Rc<RefCell<Serving>>,
    task: AbortHandle,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address of the new configuration, and who is to be served there.
struct Wanted<'a> {
    address: &'a ListenAddress,
    serving: Serving,
    /// The doors that are there already.
    doors: Vec<usize>,
    /// Those that are not.
    fresh: Vec<AsyncFd<Listener>>,
}

impl Routes {
    /// Begins to accept on everything that is bound.
    pub(super) fn serve(
        bound: Vec<Bound>,
        workers: Workers,
        census: Arc<Census>,
        circumstances: Circumstances,
        alarm: Alarm,
    ) -> io::Result<Self> {
        let (workers, news) = (Rc::new(workers), circumstances.programs.borrow().news());
        let controls = Controls::default();
        let mut routes = Self { doors: Vec::new(), workers, census, circumstances, news, alarm, controls };
        // First, so that whoever has heard of a listener finds the control socket, too.
        let sites: Vec<Arc<Site>> = bound.iter().map(|bound| Arc::clone(&bound.site)).collect();
        routes.controls.follow(&sites);
        for Bound { site, listeners } in bound {
            let serving = Serving { site, admission: Arc::default() };
            for (address, listener) in listeners {
                let door = routes.open(address, listener.watch()?, serving.clone());
                routes.doors.push(door);
            }
        }
        Ok(routes)
    }

    /// Ends the accepting, and takes in who waits already, as far as there is room: the kernel resets whoever waits in a listener
    /// that is closed. The sockets of systemd stay, and so do those who wait there, for the next daemon.
    pub(super) async fn close(self) {
        let Self { doors, workers, census, circumstances, .. } = self;
        for door in &doors {
            door.task.abort();
        }
        // What is aborted lets go of its listener when it would have been polled.
        yield_now().await;
        for door in doors {
            let Serving { site, admission } = door.serving.borrow().clone();
            while !circumstances.activated
                && let Some(permit) = admission.try_admit(site.limits.connections)
            {
                let Ok((accepted, peer)) = door.listener.get_ref().accept() else { break };
                if site.access.admits_connection(&peer).is_ok() {
                    let (site, admission) = (Arc::clone(&site), Arc::clone(&admission));
                    let counted = census.count();
                    workers.assign(Job { accepted, peer, site, admission, permit: Some(permit), counted }).await;
                }
            }
        }
    }

    pub(super) fn workers(&self) -> Rc<Workers> {
        Rc::clone(&self.workers)
    }

    /// Rings when the status has something new to say.
    pub(super) fn news(&self) -> Rc<Notify> {
        Rc::clone(&self.news)
    }

    /// Whether every listener is still accepted from.
    pub(super) fn are_open(&self) -> bool {
        self.doors.iter().all(|door| !door.task.is_finished())
    }

    /// Whether a status has to name the route that it speaks of.
    pub(super) fn are_several(&self) -> bool {
        let sites = self.sites();
        sites.iter().any(|site| site.name != sites[0].name)
    }

    /// The longest that any route allows its sessions for their end.
    pub(super) fn drain_timeout(&self) -> Duration {
        self.sites().iter().map(|site| site.limits.drain_timeout).max().unwrap_or_default()
    }

    /// After how long without a connection the daemon may end: all routes must allow it, and the most patient decides.
    /// None: it stays.
    pub(super) fn exit_idle(&self) -> Option<Duration> {
        if !self.circumstances.may_exit_idle {
            return None;
        }
        let limits: Option<Vec<Duration>> = self.sites().iter().map(|site| site.exit_idle).collect();
        limits?.into_iter().max()
    }

    /// Who keeps unwanted clients away, at worst.
    pub(super) fn client_check(&self) -> Option<ClientCheck> {
        let sites = self.sites();
        let mut checked = sites.iter().filter(|site| site.kernel_filter != KernelFilter::Nothing).peekable();
        checked.peek()?;
        let by_both = checked.all(|site| site.kernel_filters.load(Ordering::Relaxed));
        Some(if by_both { ClientCheck::Both } else { ClientCheck::DaemonAlone })
    }

    /// What is served, a site for each address.
    pub(super) fn sites(&self) -> Vec<Arc<Site>> {
        self.doors.iter().map(|door| Arc::clone(&door.serving.borrow().site)).collect()
    }

    /// Reads the configuration again and takes it into service: all of it, or none. The answer is what is to be said of it
    /// in the status; the error is the first problem.
    pub(super) fn reload(&mut self, reload: &Reload) -> Result<Vec<String>, String> {
        let outcome = reload().and_then(|routes| {
            let activated = self.circumstances.activated;
            let replaced = if activated { self.reassign(&routes) } else { self.replace(&routes) };
            let replaced = replaced.and_then(|problems| Ok([problems, self.change_programs(&routes)?].concat()));
            self.circumstances.programs.borrow_mut().discard();
            replaced.map_err(|error| vec![chain(&error)])
        });
        match outcome {
            Ok(problems) => {
                let sites = self.sites();
                self.controls.follow(&sites);
                info!(
                    kind = Kind::ReloadDone.id(),
                    "configuration reloaded: new connections use it, running sessions keep theirs"
                );
                Ok(problems)
            }
            Err(problems) => {
                for problem in &problems {
                    error!(kind = Kind::ConfigurationMistake.id(), "{problem}");
                }
                error!(kind = Kind::ReloadFailed.id(), "configuration NOT reloaded: the old one stays in force");
                Err(problems.into_iter().next().unwrap_or_default())
            }
        }
    }

    /// Runs the programs of the routes as they are now. Says which could not be started.
    fn change_programs(&self, routes: &[Route]) -> Result<Vec<String>, ServerError> {
        // The sockets of systemd may be for a few of the routes only.
        let served: Vec<Arc<Site>> = self.sites();
        let routes: Vec<&Route> =
            routes.iter().filter(|route| served.iter().any(|site| site.name == route.name)).collect();
        let failed = self.circumstances.programs.borrow_mut().commit(&routes)?;
        Ok(failed.into_iter().map(NotStarted::tell).collect())
    }

    /// How the programs stand, for the status.
    pub(super) fn programs(&self) -> Vec<Condition> {
        self.circumstances.programs.borrow().report()
    }

    /// Gives systemd's sockets to the routes as they are now.
    fn reassign(&self, routes: &[Route]) -> Result<Vec<String>, ServerError> {
        let sites = routes.iter().map(|route| Ok((route, Arc::new(self.circumstances.site(route)?))));
        let mut problems = Vec::new();
        for (route, site) in sites.collect::<Result<Vec<_>, ServerError>>()? {
            let own = self.doors.iter().filter(|door| door.serving.borrow().site.name == route.name);
            let mut bound = Vec::new();
            for door in own {
                let admission = Arc::clone(&door.serving.borrow().admission);
                door.serving.replace(Serving { site: Arc::clone(&site), admission }).admission.ask_again();
                bound.push(door.address.clone());
            }
            problems.extend(self.circumstances.complaints(route, &bound));
        }
        Ok(problems)
    }

    fn replace(&mut self, routes: &[Route]) -> Result<Vec<String>, ServerError> {
        // Everything that can fail comes first, so that a failure leaves all as it is: then what is fresh is closed, and
        // after it what made room is opened again.
        let room = Room::default();
        let mut wanted = self.plan(routes)?;
        self.bind(&mut wanted, &room)?;
        room.keep();
        let mut old: Vec<Option<Door>> = self.doors.drain(..).map(Some).collect();
        for Wanted { address, serving, doors, fresh } in wanted {
            for mut door in doors.into_iter().filter_map(|index| old[index].take()) {
                door.address.change_mode(address);
                // A full route's clients wait for a place under the old bound.
                door.serving.replace(serving.clone()).admission.ask_again();
                self.doors.push(door);
            }
            for listener in fresh {
                let door = self.open(address.clone(), listener, serving.clone());
                self.doors.push(door);
            }
        }
        for door in old.into_iter().flatten() {
            let route = &door.serving.borrow().site.name;
            info!(kind = Kind::ListeningOver.id(), route, "no longer listening on {}", door.address);
        }
        Ok(routes.iter().flat_map(|route| self.circumstances.complaints(route, &[])).collect())
    }

    /// Who gets which of the doors that are there.
    fn plan<'a>(&self, routes: &'a [Route]) -> Result<Vec<Wanted<'a>>, ServerError> {
        let mut admissions = self.admissions();
        let mut wanted = Vec::new();
        let mut kept: Vec<usize> = Vec::new();
        for route in routes {
            let site = Arc::new(self.circumstances.site(route)?);
            let admission = admissions.remove(&route.name).unwrap_or_default();
            let serving = Serving { site, admission };
            for address in &route.listen {
                let doors = self.doors_of(address, &route.name, &kept);
                kept.extend(&doors);
                wanted.push(Wanted { address, serving: serving.clone(), doors, fresh: Vec::new() });
            }
        }
        Ok(wanted)
    }

    /// Binds what is not there. An address that a wider or narrower one has taken, which nobody wants any more, gets its place.
    fn bind(&self, wanted: &mut [Wanted<'_>], room: &Room) -> Result<(), ServerError> {
        let kept: Vec<usize> = wanted.iter().flat_map(|wanted| wanted.doors.clone()).collect();
        for Wanted { address, serving, fresh, .. } in wanted.iter_mut().filter(|wanted| wanted.doors.is_empty()) {
            let in_the_way = self.doors.iter().enumerate().filter(|(index, door)| {
                !kept.contains(index) && door.address.port().is_some_and(|port| Some(port) == address.port())
            });
            let in_the_way =
                in_the_way.map(|(_, door)| (Rc::clone(&door.listener), door.serving.borrow().site.limits.backlog));
            let bind = || Listener::bind(address, serving.site.limits.backlog);
            let bound = match bind() {
                Err(ListenError::Bind { source, .. })
                    if source.kind() == io::ErrorKind::AddrInUse && room.make(in_the_way) =>
                {
                    bind()
                }
                outcome => outcome,
            };
            let listeners = bound?.into_iter().map(Listener::watch).collect::<io::Result<Vec<_>>>();
            *fresh = listeners.map_err(ServerError::Runtime)?;
        }
        Ok(())
    }
    /// The counts of the routes in service: a route keeps its own over a reload.
    fn admissions(&self) -> HashMap<String, Arc<Admission>> {
        let servings = self.doors.iter().map(|door| door.serving.borrow().clone());
        servings.map(|Serving { site, admission }| (site.name.clone(), admission)).collect()
    }

    /// The doors at `address`: the route's own, or else another's, and not those that are taken.
    fn doors_of(&self, address: &ListenAddress, route: &str, taken: &[usize]) -> Vec<usize> {
        let at_address = |index: &usize| self.doors[*index].address.is_same_place(address) && !taken.contains(index);
        let all: Vec<usize> = (0..self.doors.len()).filter(at_address).collect();
        let own = all.iter().copied().filter(|index| self.doors[*index].serving.borrow().site.name == route);
        let own: Vec<usize> = own.collect();
        if own.is_empty() { all } else { own }
    }

    fn open(&self, address: ListenAddress, listener: AsyncFd<Listener>, serving: Serving) -> Door {
        let name = listener.get_ref().to_string();
        info!(
            kind = Kind::Listening.id(),
            route = serving.site.name,
            target = %serving.site.service,
            "listening on {name}"
        );
        let (listener, serving) = (Rc::new(listener), Rc::new(RefCell::new(serving)));
        let (workers, census, news) = (Rc::clone(&self.workers), Arc::clone(&self.census), Rc::clone(&self.news));
        let accepting = accept(Rc::clone(&listener), Rc::clone(&serving), workers, census, news);
        let tripwire = self.alarm.tripwire();
        let task = spawn_local(async move {
            let _tripwire = tripwire;
            accepting.await;
        });
        Door { address, listener, serving, task: task.abort_handle() }
    }
}
