//! How the daemon was started, which no reload changes, and what is to be said when a route does not fit it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tracing::warn;

use super::address::ListenAddress;
use super::programs::Programs;
use super::site::{Site, SiteError};
use crate::config::Route;
use crate::log::Kind;
use crate::program::session::PerSession;
use crate::program::watch::{Supervised, is_supervised};
use crate::systemd::activation::{Claim, difference};
use crate::systemd::confinement::Confinement;
use crate::target::grants::Grants;
use crate::target::{self, Target};

/// How the daemon was started.
#[derive(Debug, Default)]
pub(super) struct Circumstances {
    /// Show symbols of what moves on standard output.
    pub(super) traffic: bool,
    /// The sockets are systemd's: they stay, whatever the route files say.
    pub(super) activated: bool,
    /// The next connection would start the daemon again, and nothing else would.
    pub(super) may_exit_idle: bool,
    /// What the units let through.
    pub(super) confinement: Confinement,
    /// The program that systemd runs for the route of this process.
    pub(super) supervised: Option<Supervised>,
    /// Where systemd listens for sessions, to start a program for each.
    pub(super) sessions: Option<PathBuf>,
    /// The grants of the routes that are or were, by their names: a reload keeps them.
    pub(super) grants: RefCell<HashMap<String, Arc<Grants>>>,
    /// What runs behind the routes.
    pub(super) programs: Rc<RefCell<Programs>>,
}

impl Circumstances {
    /// Loads what `route` names.
    pub(super) fn site(&self, route: &Route) -> Result<Site, SiteError> {
        let granted = Arc::clone(self.grants.borrow_mut().entry(route.name.clone()).or_default());
        let mut route = route.clone();
        let target = if route.program.as_ref().is_some_and(is_supervised) {
            let Some(supervised) = &self.supervised else {
                return Err(SiteError::ProgramWithoutUnit { route: route.name });
            };
            let is_target = route.target == target::Settings::Program;
            is_target.then(|| Target::Program(supervised.place().clone()))
        } else if let Some(program) = route.program.as_ref().filter(|program| program.is_for_units_of_sessions()) {
            let Some(socket) = self.sessions.as_ref().filter(|socket| socket.ends_with(&route.name)) else {
                return Err(SiteError::ProgramWithoutUnit { route: route.name });
            };
            PerSession::of_units(program, &route.name, socket).map(Target::PerSession)
        } else {
            self.programs.borrow_mut().plan(&route)?
        };
        if let Some(target) = target {
            route.target = target::Settings::Fixed(target);
        }
        Site::open(&route, &self.confinement, granted, self.traffic)
    }

    /// Tells what of `route` cannot have its way here, on the sockets that it has got from systemd. The answer is for the
    /// status.
    pub(super) fn complaints(&self, route: &Route, bound: &[ListenAddress]) -> Vec<String> {
        let name = &route.name;
        if !self.activated {
            if route.exit_idle.is_some() {
                warn!(
                    kind = Kind::ExitIdleUnused.id(),
                    route = name,
                    "exit-idle has no effect: nobody would start the daemon again, which listens by itself; let systemd listen \
                     (systemctl enable --now websockify@{name}.socket), or remove it"
                );
            }
            return Vec::new();
        }
        let difference = difference(Claim { route: name, listen: &route.listen }, bound);
        if let Some(difference) = &difference {
            warn!(kind = Kind::ListenDiffers.id(), route = name, "{difference}");
        }
        let outdated = [
            self.confinement.excludes_target_of(route),
            self.confinement.differs_in_clients_of(route),
            self.other_program_of(route),
            self.no_units_for_sessions_of(route),
        ];
        let outdated: Vec<String> = outdated.into_iter().flatten().collect();
        for problem in &outdated {
            warn!(kind = Kind::UnitOutdated.id(), route = name, "{problem}");
        }
        difference.into_iter().chain(outdated).map(|problem| format!("{name}: {problem}")).collect()
    }

    /// Why no session of `route` can have a program, and what to do.
    fn no_units_for_sessions_of(&self, route: &Route) -> Option<String> {
        let program = route.program.as_ref().filter(|program| program.is_for_units_of_sessions())?;
        let socket = self.sessions.as_ref()?;
        let name = &route.name;
        if let Some(stranger) = program.stranger() {
            return Some(format!("no session can have its program: {stranger}"));
        }
        (!socket.exists()).then(|| {
            format!(
                "no session can have its program, for systemd does not listen on {}: 'systemctl show --property=Description \
                 websockify@{name}' says what is wrong with the route's file; then run 'systemctl daemon-reload && systemctl \
                 restart websockify@{name}'",
                socket.display()
            )
        })
    }

    /// Why the program of `route` is not the one that systemd runs, and what to do.
    fn other_program_of(&self, route: &Route) -> Option<String> {
        let program = route.program.as_ref().filter(|program| is_supervised(program));
        self.supervised.as_ref().filter(|supervised| supervised.differs_from(program))?;
        let name = &route.name;
        Some(format!(
            "[program] has changed, and no reload can start a program anew: \
             run 'systemctl daemon-reload && systemctl restart websockify@{name}'"
        ))
    }
}
