//! `websockify check`: what is wrong with routes, without starting them.
//!
//! Beyond what loading finds, it loads the certificates, reads the tokens, looks up the targets' names, and sees whether another
//! program listens where a route is to. The last two give warnings: all may be well when the route starts. So is what the
//! daemon could serve, and a unit cannot hold.

use std::io::{self, Write};
use std::net::ToSocketAddrs;
use std::sync::Arc;

use super::exit::Exit;
use super::{Routes, doubts, taken};
use crate::access::Access;
use crate::config::{self, Loaded, Problem, Surroundings, Survey, chain};
use crate::socket::is_localhost;
use crate::systemd::generator::misfits;
use crate::target::source::SourceError;
use crate::target::targets::Targets;
use crate::target::{self, Target};
use crate::tls::{Tls, TlsError};

/// Writes `NAME: ok` for each sound route to `out`, and all problems to `problems`.
pub fn check(routes: &Routes, out: &mut impl Write, problems: &mut impl Write) -> io::Result<Exit> {
    let surroundings = Surroundings::of_this_process();
    let Survey { loaded: all, problems: found, .. } = config::survey(&routes.directory, &routes.names, &surroundings);
    let mut exit = if found.is_empty() { Exit::Success } else { Exit::Config };
    for problem in &found {
        writeln!(problems, "{problem}")?;
    }
    for loaded in &all {
        let mut sound = !found.iter().any(|problem| concerns(problem, loaded));
        if let Err(error) = Tls::load(loaded.route.tls.as_ref()) {
            let place = loaded.places.certificate.as_ref().unwrap_or(&loaded.places.target);
            if matches!(error, TlsError::Credential { .. }) {
                writeln!(problems, "{place}: warning: {error}")?;
            } else {
                writeln!(problems, "{place}: {}", chain(&error))?;
                sound = false;
            }
        }
        let places = &loaded.places;
        let place = places.access.as_ref().unwrap_or(&places.target);
        match Access::open(&loaded.route.access, loaded.route.limits.failures_per_address.get()) {
            Ok((_, found)) => {
                for problem in found {
                    writeln!(problems, "{place}: {problem}")?;
                    sound = false;
                }
            }
            Err(SourceError::Authorities(error)) if matches!(*error, TlsError::Credential { .. }) => {
                writeln!(problems, "{place}: warning: {error}")?;
            }
            Err(error) => {
                writeln!(problems, "{place}: {}", chain(&error))?;
                sound = false;
            }
        }
        for (listen, misfit) in misfits(&loaded.route, &all) {
            let place = listen.and_then(|index| loaded.places.listen.get(index)).unwrap_or(&loaded.places.target);
            writeln!(problems, "{place}: warning: not as a systemd unit: {misfit}")?;
        }
        let (place, target) = (&loaded.places.target, &loaded.route.target);
        match (target, Targets::open(target, loaded.route.allow_targets.as_ref(), Arc::default(), &loaded.route.leg)) {
            (_, Err(error)) => {
                writeln!(problems, "{place}: {}", chain(&error))?;
                sound = false;
            }
            (target::Settings::Fixed(target), Ok(_)) => {
                if let Err(error) = look_up(target) {
                    writeln!(problems, "{place}: warning: the host of target '{target}' is not found now: {error}")?;
                }
            }
            (target::Settings::ByToken(_), Ok((_, found))) => {
                for problem in found {
                    writeln!(problems, "{place}: warning: {problem}")?;
                }
            }
            (target::Settings::Program, Ok(_)) => {}
        }
        for (place, warning) in doubts::about(loaded, &routes.directory) {
            writeln!(problems, "{place}: warning: {warning}")?;
        }
        for (address, place) in loaded.route.listen.iter().zip(&loaded.places.listen) {
            if let Some(holder) = taken::holder(address) {
                writeln!(
                    problems,
                    "{place}: warning: {address} is in use now by {holder}: stop that, or listen elsewhere"
                )?;
            }
        }
        if sound {
            writeln!(out, "{}: ok", loaded.route.name)?;
        } else {
            exit = Exit::Config;
        }
    }
    Ok(exit)
}

/// A problem between two files is told at the second; the first is no better.
fn concerns(problem: &Problem, loaded: &Loaded) -> bool {
    let file = &loaded.places.target.file;
    problem.place.file == *file
        || matches!(&problem.mistake, config::Mistake::ListenTwice { place, .. } if place.file == *file)
}

fn look_up(target: &Target) -> io::Result<()> {
    match target.below_tls() {
        Target::Tcp { host, .. } if is_localhost(host) => Ok(()),
        Target::Tcp { host, port } => (host.as_str(), *port).to_socket_addrs().map(drop),
        Target::Program(_) | Target::PerSession(_) | Target::Tls(_) | Target::Unix(_) => Ok(()),
    }
}
