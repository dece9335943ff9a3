//! The routes in service, and how they change while they are.
//!
//! A listener belongs to an address, not to a route: a reload gives it to whichever route now names that address, so that
//! no client is refused while an address changes hands.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::task::{AbortHandle, spawn_local};
use tracing::{error, info, warn};

use super::accept::{Serving, accept};
use super::address::ListenAddress;
use super::admission::Admission;
use super::census::Census;
use super::listener::Listener;
use super::site::Site;
use super::worker::Workers;
use super::{Bound, Reload, ServerError};
use crate::config::{Route, chain};
use crate::log::Kind;
use crate::systemd::activation::{Claim, difference};

/// All routes in service.
pub(super) struct Routes {
    doors: Vec<Door>,
    workers: Rc<Workers>,
    census: Arc<Census>,
    traffic: bool,
    /// The sockets are systemd's: they stay, whatever the route files say.
    activated: bool,
}

/// A listener that is being accepted from, until it is dropped.
struct Door {
    address: ListenAddress,
    serving: Rc<RefCell<Serving>>,
    task: AbortHandle,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Routes {
    /// Begins to accept on everything that is bound.
    pub(super) fn serve(
        bound: Vec<Bound>,
        workers: Rc<Workers>,
        census: Arc<Census>,
        traffic: bool,
        activated: bool,
    ) -> io::Result<Self> {
        let mut routes = Self { doors: Vec::new(), workers, census, traffic, activated };
        for Bound { site, listeners } in bound {
            let serving = Serving { site, admission: Arc::default() };
            for (address, listener) in listeners {
                let door = routes.open(address, listener.watch()?, serving.clone());
                routes.doors.push(door);
            }
        }
        Ok(routes)
    }

    pub(super) fn workers(&self) -> Rc<Workers> {
        Rc::clone(&self.workers)
    }

    /// Whether every listener is still accepted from.
    pub(super) fn are_open(&self) -> bool {
        self.doors.iter().all(|door| !door.task.is_finished())
    }

    /// The longest that any route allows its sessions for their end.
    pub(super) fn drain_timeout(&self) -> Duration {
        let timeouts = self.doors.iter().map(|door| door.serving.borrow().site.limits.drain_timeout);
        timeouts.max().unwrap_or_default()
    }

    /// Reads the configuration again and takes it into service: all of it, or none. The error is the first problem.
    pub(super) fn reload(&mut self, reload: &Reload) -> Result<(), String> {
        let outcome = reload().and_then(|routes| {
            let replaced = if self.activated { self.reassign(&routes) } else { self.replace(&routes) };
            replaced.map_err(|error| vec![chain(&error)])
        });
        match outcome {
            Ok(()) => {
                info!(
                    kind = Kind::ReloadDone.id(),
                    "configuration reloaded: new connections use it, running sessions keep theirs"
                );
                Ok(())
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

    /// Gives systemd's sockets to the routes as they are now.
    fn reassign(&self, routes: &[Route]) -> Result<(), ServerError> {
        let sites = routes.iter().map(|route| Ok((route, Arc::new(Site::open(route, self.traffic)?))));
        for (route, site) in sites.collect::<Result<Vec<_>, ServerError>>()? {
            let own = self.doors.iter().filter(|door| door.serving.borrow().site.name == route.name);
            let mut bound = Vec::new();
            for door in own {
                let admission = Arc::clone(&door.serving.borrow().admission);
                door.serving.replace(Serving { site: Arc::clone(&site), admission }).admission.ask_again();
                bound.push(door.address.clone());
            }
            if let Some(difference) = difference(Claim { route: &route.name, listen: &route.listen }, &bound) {
                warn!(kind = Kind::ListenDiffers.id(), route = route.name, "{difference}");
            }
        }
        Ok(())
    }

    fn replace(&mut self, routes: &[Route]) -> Result<(), ServerError> {
        // Everything that can fail comes first, so that a failure leaves all as it is.
        let mut admissions = self.admissions();
        let mut wanted = Vec::new();
        let mut kept: Vec<usize> = Vec::new();
        for route in routes {
            let site = Arc::new(Site::open(route, self.traffic)?);
            let admission = admissions.remove(&route.name).unwrap_or_default();
            let serving = Serving { site, admission };
            for address in &route.listen {
                let doors = self.doors_of(address, &route.name, &kept);
                kept.extend(&doors);
                let fresh =
                    if doors.is_empty() { Listener::bind(address, serving.site.limits.backlog)? } else { Vec::new() };
                let fresh = fresh.into_iter().map(Listener::watch).collect::<io::Result<Vec<_>>>();
                let fresh = fresh.map_err(ServerError::Runtime)?;
                wanted.push((address, serving.clone(), doors, fresh));
            }
        }
        let mut old: Vec<Option<Door>> = self.doors.drain(..).map(Some).collect();
        for (address, serving, doors, fresh) in wanted {
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
        let serving = Rc::new(RefCell::new(serving));
        let (workers, census) = (Rc::clone(&self.workers), Arc::clone(&self.census));
        let task = spawn_local(accept(listener, Rc::clone(&serving), workers, census)).abort_handle();
        Door { address, serving, task }
    }
}
