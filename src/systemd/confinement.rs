//! What the units of this service were made for: the targets that it may reach, and the clients that the kernel lets in.
//!
//! The generator writes it into the service's environment, beside the settings that it makes of it, and a daemon compares it
//! with the route's file as it is now. A reload of the service changes no unit: without this, a new target would just not
//! answer, and a new client would not come in. It says what was asked for, not what the kernel does: no process can see that.

use std::env;

use super::egress::Egress;
use crate::access::proxies::KernelFilter;
use crate::config::Route;
use crate::target::Settings;

/// The variable with the [`Egress`] of the targets.
pub(super) const EGRESS: &str = "WEBSOCKIFY_EGRESS";

/// The variable with the [`KernelFilter`] of the clients.
pub(super) const CLIENTS: &str = "WEBSOCKIFY_CLIENTS";

/// What the units say. Nothing, where they are not the generator's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    egress: Option<Egress>,
    clients: Option<String>,
}

impl Confinement {
    /// That of this process.
    pub fn of_this_process() -> Self {
        Self { egress: env::var(EGRESS).ok().and_then(|written| written.parse().ok()), clients: env::var(CLIENTS).ok() }
    }

    /// Whether the kernel was asked to keep away those whom it can tell by what `route` says.
    pub fn filters_clients_of(&self, route: &Route) -> bool {
        let filter = KernelFilter::of(&route.access);
        filter != KernelFilter::Nothing && self.clients.as_ref() == Some(&filter.to_string())
    }

    /// Why clients of `route` cannot reach its target through these units, and what to do. None: they can.
    pub fn excludes_target_of(&self, route: &Route) -> Option<String> {
        let egress = self.egress.as_ref()?;
        if egress.covers(&Egress::of_route(route)) {
            return None;
        }
        let allowed = match egress {
            Egress::None => "no network".to_owned(),
            egress if *egress == Egress::loopback() => "this machine only".to_owned(),
            egress => format!("{egress} only"),
        };
        let name = &route.name;
        let than = match (&route.target, &route.allow_targets) {
            (Settings::Fixed(target), None) => format!("another target than {target}"),
            (Settings::Fixed(_), Some(_)) => "other targets than targets.allow".to_owned(),
            (Settings::Program, _) => "another target than a program".to_owned(),
            (Settings::ByToken(_), None) => "other targets than those of tokens".to_owned(),
            (Settings::ByToken(_), Some(_)) => "other targets than those of tokens and targets.allow".to_owned(),
        };
        Some(format!(
            "the unit was made for {than}, and lets the service reach {allowed}: \
             run 'systemctl daemon-reload && systemctl restart websockify@{name}'"
        ))
    }

    /// Why the kernel does not do what `[access]` says, and what to do. None: it was asked for the same.
    pub fn differs_in_clients_of(&self, route: &Route) -> Option<String> {
        let asked = self.clients.as_ref()?;
        if *asked == KernelFilter::of(&route.access).to_string() {
            return None;
        }
        let name = &route.name;
        Some(format!(
            "[access] is not what the socket unit was made of, and the kernel lets in: {asked}; \
             run 'systemctl daemon-reload && systemctl restart websockify@{name}.socket websockify@{name}'"
        ))
    }
}
