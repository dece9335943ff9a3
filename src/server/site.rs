//! What a route's connections need, ready for use: certificates loaded, web root open.
//!
//! A reload makes a new one; connections keep the one they began with.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tracing::warn;

use crate::access::Access;
use crate::access::proxies::KernelFilter;
use crate::config::Route;
use crate::http::{Files, WebError};
use crate::limits::Limits;
use crate::log::{Kind, Quotas};
use crate::program::{self, ProgramError};
use crate::record::recorder::Recorder;
use crate::systemd::confinement::Confinement;
use crate::target::grants::Grants;
use crate::target::source;
use crate::target::targets::{Targets, TargetsError};
use crate::tls::client::{self, Trust};
use crate::tls::{Tls, TlsError};
use crate::websocket::codec::TextFrames;

/// A route in service.
#[derive(Debug)]
pub struct Site {
    /// The route's name.
    pub name: String,
    /// What to make of the first byte.
    pub tls: Tls,
    /// What plain requests get; None: 405.
    pub files: Option<Arc<Files>>,
    /// What sessions get.
    pub service: Service,
    /// Who may connect.
    pub access: Access,
    /// Interval of pings.
    pub heartbeat: Option<Duration>,
    /// Where its sessions are recorded; None: they are not.
    pub recorder: Option<Arc<Recorder>>,
    /// What becomes of text frames.
    pub text: TextFrames,
    /// Its bounds.
    pub limits: Limits,
    /// How long its clients are held until its program listens. None: as long as the way to any target may take.
    pub start_timeout: Option<Duration>,
    /// Whether to show symbols of what moves on standard output.
    pub traffic: bool,
    /// After so long without a connection the daemon may end.
    pub exit_idle: Option<Duration>,
    /// Why sessions may not reach the target, and what to do about it.
    pub target_excluded: Option<String>,
    /// Whether the kernel was asked to keep away whom `[access]` does not let in, and nobody has proved that it does not.
    pub kernel_filters: AtomicBool,
    /// What the kernel can do of it.
    pub kernel_filter: KernelFilter,
    /// How much its clients may write into the log.
    pub quotas: Quotas,
}

/// What a route does for a client that has shaken hands.
#[derive(Debug)]
pub enum Service {
    /// Its file is broken: clients are told to come back later. The daemon runs on all the same, for one that ends at once
    /// would take its socket unit with it.
    OutOfOrder,
    /// A session with one of these targets.
    Relay(Box<Targets>),
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfOrder => f.write_str("none: out of order"),
            Self::Relay(targets) => targets.fmt(f),
        }
    }
}

/// Why a route cannot be put into service.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// Its certificate is of no use.
    #[error("route '{route}': TLS is not usable")]
    Tls {
        /// Its name.
        route: String,
        /// What is wrong.
        source: TlsError,
    },
    /// Its program cannot be run.
    #[error("route '{route}': its program cannot be run")]
    Program {
        /// Its name.
        route: String,
        /// What is wrong.
        source: ProgramError,
    },
    /// systemd is to run its program, and does not.
    #[error(
        "route '{route}': systemd is to run its program, and this process is not of a unit that knows: run 'systemctl \
         daemon-reload && systemctl restart websockify@{route}', or write supervisor = \"child\""
    )]
    ProgramWithoutUnit {
        /// Its name.
        route: String,
    },
    /// Who its clients are cannot be found out.
    #[error("route '{route}': what decides about access is not usable")]
    Access {
        /// Its name.
        route: String,
        /// What is wrong.
        source: source::SourceError,
    },
    /// Its targets cannot be found or spoken to.
    #[error("route '{route}': its targets cannot be reached")]
    Targets {
        /// Its name.
        route: String,
        /// What is wrong.
        source: Box<TargetsError>,
    },
    /// Its web root is of no use.
    #[error("route '{route}': the web root is not usable")]
    Web {
        /// Its name.
        route: String,
        /// What is wrong.
        source: WebError,
    },
}

impl Site {
    /// Loads what `route` names. `confinement`: what the units let through; `granted`: the grants that it has already.
    pub fn open(
        route: &Route,
        confinement: &Confinement,
        granted: Arc<Grants>,
        traffic: bool,
    ) -> Result<Self, SiteError> {
        let name = route.name.clone();
        let tls = Tls::load(route.tls.as_ref()).map_err(|source| SiteError::Tls { route: name.clone(), source })?;
        let files = route.web.as_ref().map(Files::open).transpose();
        let files = files.map_err(|source| SiteError::Web { route: name.clone(), source })?.map(Arc::new);
        let targets = Targets::open(&route.target, route.allow_targets.as_ref(), granted, &route.leg);
        let (targets, problems) =
            targets.map_err(|source| SiteError::Targets { route: name.clone(), source: Box::new(source) })?;
        if !problems.is_empty() {
            let error = source::summary(&problems);
            warn!(kind = Kind::TokensUnusable.id(), route = name, source = %targets, error, "some of the tokens cannot be used");
        }
        let access = Access::open(&route.access, route.limits.failures_per_address.get());
        let (access, problems) = access.map_err(|source| SiteError::Access { route: name.clone(), source })?;
        if !problems.is_empty() {
            let error = source::summary(&problems);
            warn!(kind = Kind::UsersUnusable.id(), route = name, error, "some of the users cannot be used");
        }
        if route.shows_passwords() {
            warn!(
                kind = Kind::PasswordsInClear.id(),
                route = name,
                "passwords are readable on their way here: set tls.mode = \"required\""
            );
        }
        if let Some(client::Settings { trust: Trust::Anything, .. }) = &route.leg.tls {
            let kind = Kind::TargetsUnchecked.id();
            warn!(
                kind,
                route = name,
                "the certificates of targets are not checked: whoever stands in between can read and change all"
            );
        }
        let Route { heartbeat, text, record, limits, .. } = route.clone();
        Ok(Self {
            name,
            tls,
            files,
            service: Service::Relay(Box::new(targets)),
            access,
            heartbeat,
            text,
            recorder: record.map(|settings| Arc::new(Recorder::new(&route.name, settings))),
            limits,
            start_timeout: route.program.as_ref().and_then(program::Settings::port).and_then(|port| port.start_timeout),
            traffic,
            exit_idle: route.exit_idle,
            target_excluded: confinement.excludes_target_of(route),
            kernel_filters: confinement.filters_clients_of(route).into(),
            kernel_filter: KernelFilter::of(&route.access),
            quotas: Quotas::default(),
        })
    }

    /// A route of which nothing but its name can be trusted.
    pub fn out_of_order(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            tls: Tls::Off,
            files: None,
            service: Service::OutOfOrder,
            access: Access::unguarded(),
            heartbeat: None,
            text: TextFrames::default(),
            recorder: None,
            limits: Limits::default(),
            start_timeout: None,
            traffic: false,
            exit_idle: None,
            target_excluded: None,
            kernel_filters: false.into(),
            kernel_filter: KernelFilter::Nothing,
            quotas: Quotas::default(),
        }
    }
}
