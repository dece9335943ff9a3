//! The drop-in of a route's service unit: what the sandbox of the template must let through for this route, and what it need
//! not even let through for it.

use std::borrow::Cow;
use std::path::Path;

use super::confinement::{CLIENTS, EGRESS};
use super::egress::{Egress, destinations};
use super::generator::{Heading, Scope};
use super::program;
use super::recordings::{Place, record_directory};
use super::unit_file::{Fit, Unfit, UnitFile};
use crate::access::proxies::KernelFilter;
use crate::config::{ABSENT, Route, credential_name, descriptors};
use crate::http;
use crate::limits::Limits;
use crate::program::Settings;
use crate::target::allow::{Allowed, AllowedTargets};
use crate::target::source;
use crate::target::{self, Target};
use crate::tls::Pem;

/// `LimitNOFILE=` of the template. Without a service manager's word, the daemon may open no more than this.
const TEMPLATE_DESCRIPTORS: usize = 65_536;

/// What the template hides: `ProtectHome=`, and the directories that `PrivateTmp=` replaces.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// The drop-in, and what could not be written into it. `route` is None for a file that is not sound: the daemon runs all the
/// same, to tell clients why not, and a reload of the mended file finds the template's sandbox.
pub(super) fn drop_in(heading: &Heading, route: Option<&Route>, scope: Scope) -> (String, Vec<Unfit>) {
    let mut unfit = Vec::new();
    let mut unit = heading.begin();
    if let Some(route) = route {
        mounts(&mut unit, route, &mut unfit);
        let has_units_of_sessions = route.program.as_ref().is_some_and(Settings::is_for_units_of_sessions);
        if has_units_of_sessions {
            program::session::want(&mut unit, &route.name);
        }
        unit.section("Service");
        if scope == Scope::System {
            credentials(&mut unit, route, &mut unfit);
            exceptions(&mut unit, route, &mut unfit);
            recordings(&mut unit, route, &mut unfit);
        }
        if let Some(program) = &route.program {
            program::drop_in::service(&mut unit, &route.name, program, scope);
        }
        if has_units_of_sessions {
            program::session::show(&mut unit, &route.name, scope);
        }
        control(&mut unit, route, &mut unfit);
        network(&mut unit, route, scope);
        bounds(&mut unit, route);
    }
    (unit.into_text(), unfit)
}

/// What must be mounted before the daemon looks for it.
fn mounts(unit: &mut UnitFile, route: &Route, unfit: &mut Vec<Unfit>) {
    let mut paths: Vec<&Path> = Vec::new();
    if let Some(http::Web::Directory(web)) = &route.web {
        paths.push(&web.root);
    }
    paths.extend(pems(route).into_iter().map(|(_, path)| path));
    let fits: Vec<Fit> =
        paths.into_iter().filter_map(|path| Fit::path(path).map_err(|error| unfit.push(error)).ok()).collect();
    if !fits.is_empty() {
        let mut named = vec!["web", "tls"];
        let pems = pems(route);
        named.extend(tables(&pems).into_iter().filter(|table| *table != "tls"));
        unit.because(&format!("{}: what holds them is to be mounted first", named.join(", ")));
    }
    for path in fits {
        unit.set_word("RequiresMountsFor", "", &path);
    }
    match token_files(route).map(Fit::path) {
        Some(Ok(path)) => {
            unit.because("tokens: what holds them is to be mounted first");
            unit.set_word("RequiresMountsFor", "", &path);
        }
        Some(Err(error)) => unfit.push(error),
        None => {}
    }
    // A path that does not fit is told where it is to be opened; for its own directories systemd mounts by itself.
    if let Some(Ok(path)) = record_directory(route).and_then(Place::elsewhere).map(Fit::path) {
        unit.because("record.directory: what holds it is to be mounted first");
        unit.set_word("RequiresMountsFor", "", &path);
    }
}

/// The files of certificates, keys and passwords, by their keys in the route's file.
fn pems(route: &Route) -> Vec<(Cow<'static, str>, &Path)> {
    let mut pems: Vec<(Cow<'static, str>, &Pem)> = Vec::new();
    if let Some(tls) = &route.tls {
        pems.extend(tls.pems());
    }
    if let target::Settings::ByToken(tokens) = &route.target {
        let named = tokens.source.iter().flat_map(source::Settings::pems);
        pems.extend(named.map(|(key, pem)| (key.into(), pem)));
    }
    pems.extend(route.access.pems().into_iter().map(|(key, pem)| (key.into(), pem)));
    pems.extend(route.leg.pems().into_iter().map(|(key, pem)| (key.into(), pem)));
    let files = pems.into_iter().filter_map(|(key, pem)| match pem {
        Pem::File(path) => Some((key, path.as_path())),
        Pem::Credential(_) => None, // the business of whoever named it
    });
    files.collect()
}

/// The tables that the keys of these stand in.
fn tables<'a>(pems: &'a [(Cow<'static, str>, &Path)]) -> Vec<&'a str> {
    let mut tables: Vec<&str> = pems.iter().filter_map(|(key, _)| key.split('.').next()).collect();
    tables.dedup();
    tables
}

/// The file or directory in which tokens are looked up.
fn token_files(route: &Route) -> Option<&Path> {
    match &route.target {
        target::Settings::ByToken(tokens) => tokens.source.as_ref().and_then(source::Settings::path),
        target::Settings::Fixed(_) | target::Settings::Program => None,
    }
}

fn credentials(unit: &mut UnitFile, route: &Route, unfit: &mut Vec<Unfit>) {
    let pems = pems(route);
    if pems.is_empty() {
        return;
    }
    unit.because(&format!(
        "{}: systemd reads them as root, so that the service's user need not be able to; without a default, a missing",
        tables(&pems).join(", ")
    ));
    unit.because("file would keep the service from starting, and nobody would say what is wrong");
    for (key, path) in pems {
        let name = credential_name(&route.name, &key);
        match Fit::path(path) {
            Ok(path) => {
                unit.set_behind("LoadCredential", &format!("{name}:"), &path);
                unit.set("SetCredential", &format!("{name}:{ABSENT}"));
            }
            Err(error) => unfit.push(error),
        }
    }
}

/// What the sandbox hides and the route needs.
fn exceptions(unit: &mut UnitFile, route: &Route, unfit: &mut Vec<Unfit>) {
    let mut needed: Vec<(&str, &Path)> = Vec::new();
    if let Some(http::Web::Directory(web)) = &route.web {
        needed.push(("web", &web.root));
    }
    if let target::Settings::Fixed(target) = &route.target
        && let Target::Unix(path) = target.below_tls()
    {
        needed.push(("target", socket_directory(path)));
    }
    needed.extend(token_files(route).map(|path| ("tokens", path)));
    for allowed in route.allow_targets.iter().flat_map(AllowedTargets::entries) {
        if let Allowed::Unix(path) = allowed {
            needed.push(("targets", path));
        }
    }
    let written = record_directory(route).and_then(Place::elsewhere);
    if needed.iter().map(|(_, path)| *path).chain(written).any(|path| below(path, &HOMES)) {
        unit.because("homes stay hidden, behind empty ones in memory, but for what is named here");
        unit.set("ProtectHome", "tmpfs");
    }
    for (key, path) in needed {
        if below(path, &HOMES) || below(path, &TEMPORARY) {
            unit.because(&format!("{key}: the sandbox would hide it"));
            match Fit::path(path) {
                // With the dash it may be missing: the daemon has the better words for that.
                Ok(path) => unit.set_word("BindReadOnlyPaths", "-", &path),
                Err(error) => unfit.push(error),
            }
        }
    }
}

/// Where the service may write.
fn recordings(unit: &mut UnitFile, route: &Route, unfit: &mut Vec<Unfit>) {
    let (key, prefix, path) = match record_directory(route) {
        None => return,
        Some(Place::Managed { key, below }) => {
            unit.because("record.directory: systemd makes it for the service's user, and nobody else looks into it");
            match Fit::path(below) {
                Ok(below) => {
                    unit.set_word(&format!("{key}Directory"), "", &below);
                    unit.set(&format!("{key}DirectoryMode"), "0700");
                }
                Err(error) => unfit.push(error),
            }
            return;
        }
        Some(Place::Elsewhere(path)) if below(path, &HOMES) || below(path, &TEMPORARY) => {
            unit.because("record.directory: the sandbox would hide it");
            ("BindPaths", "-", path)
        }
        Some(Place::Elsewhere(path)) => ("ReadWritePaths", "-", path),
    };
    unit.because(
        "record.directory: all else stays read-only; let the service's user write there, or choose /var/lib/websockify/NAME",
    );
    match Fit::path(path) {
        Ok(path) => unit.set_word(key, prefix, &path),
        Err(error) => unfit.push(error),
    }
}

/// The directory of the control socket. A socket that the route's file names elsewhere is its administrator's business.
fn control(unit: &mut UnitFile, route: &Route, unfit: &mut Vec<Unfit>) {
    let has_own_place = matches!(&route.target, target::Settings::ByToken(tokens)
        if tokens.grants.as_ref().is_some_and(|grants| grants.socket.is_none()));
    if has_own_place {
        unit.because(
            "grants: the directory of the control socket, which nobody but root and the service's user looks into",
        );
        match Fit::new(&format!("websockify-{}", route.name)) {
            Ok(directory) => unit.set_word("RuntimeDirectory", "", &directory),
            Err(error) => unfit.push(error),
        }
        unit.set("RuntimeDirectoryMode", "0700");
    }
}

fn below(path: &Path, roots: &[&str]) -> bool {
    roots.iter().any(|root| path.starts_with(root))
}

/// The directory of a socket, which stays when the socket is made anew; or the socket where that would be too much to show.
fn socket_directory(path: &Path) -> &Path {
    let shared = |directory: &Path| HOMES.iter().chain(&TEMPORARY).any(|root| directory == Path::new(root));
    path.parent().filter(|directory| !shared(directory)).unwrap_or(path)
}

/// The inherited sockets keep working under all of this: they are governed by the socket's unit.
fn network(unit: &mut UnitFile, route: &Route, scope: Scope) {
    let egress = Egress::of_route(route);
    let is_fixed = !matches!(route.target, target::Settings::ByToken(_));
    if scope == Scope::System || egress == Egress::None {
        unit.because("what these units were made of: the daemon tells when its file has changed since");
        unit.set("Environment", &format!("{EGRESS}={egress}"));
    }
    if scope == Scope::System {
        unit.set("Environment", &format!("{CLIENTS}={}", KernelFilter::of(&route.access)));
    }
    if egress == Egress::None {
        let targets = if is_fixed { "target: a Unix socket" } else { "tokens: they lead to Unix sockets" };
        unit.because(&format!("{targets}; the service needs no network, for clients come by inherited sockets"));
        if scope == Scope::System {
            unit.set("PrivateNetwork", "yes");
            unit.set("IPAddressDeny", "any");
        }
        unit.set("RestrictAddressFamilies", "");
        unit.set("RestrictAddressFamilies", "AF_UNIX");
    }
    // A user's manager may not load the programs that the kernel would need.
    if scope == Scope::User {
        return;
    }
    if route.program.as_ref().is_some_and(program::has_private_network) {
        unit.because("program.isolation: a network of its own, which the program's unit joins; clients come by inherited sockets");
        unit.set("PrivateNetwork", "yes");
    }
    let allowed = match egress {
        Egress::None => return,
        Egress::Only(networks) => destinations(&networks),
        Egress::Anything => {
            unit.because(if is_fixed {
                "target: a name, whose addresses nobody knows in advance: IPAddressDeny= is left open"
            } else {
                "tokens: nobody knows in advance where they lead: IPAddressDeny= is left open; targets.allow would close it"
            });
            return;
        }
    };
    unit.because(if route.access.forward_auth.is_some() {
        "target, tokens, targets.allow, access.forward-auth: the only places where the service may connect to"
    } else if is_fixed && route.allow_targets.is_none() {
        "target: the only place where the service may connect to"
    } else {
        "target, tokens, targets.allow: the only places where the service may connect to"
    });
    unit.set("IPAddressDeny", "any");
    unit.set("IPAddressAllow", &allowed.join(" "));
}

fn bounds(unit: &mut UnitFile, route: &Route) {
    let limits = &route.limits;
    let descriptors = descriptors([route]);
    if descriptors > TEMPLATE_DESCRIPTORS {
        unit.because(match &route.record {
            None => "limits.connections: two descriptors a session",
            Some(_) => "limits.connections, record: three descriptors a session",
        });
        unit.set("LimitNOFILE", &descriptors.to_string());
    }
    if limits.drain_timeout > Limits::default().drain_timeout {
        unit.because("limits.drain-timeout, and time to end in");
        unit.set("TimeoutStopSec", &(limits.drain_timeout.as_secs() + 10).to_string());
    }
}
