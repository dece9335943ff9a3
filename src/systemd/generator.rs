//! The generator: routes in, drop-ins of their units out, at boot and at each `systemctl daemon-reload`.
//!
//! Promise: every file of a route gives a drop-in for `websockify@NAME.socket` and one for `websockify@NAME.service`, a file
//! that is not sound too: it is never silently skipped, its unit's description says what is wrong, and as much of it as can be
//! understood is listened on, so that the daemon can tell clients. Files appear whole or not at all. It runs before file
//! systems are mounted and delays the boot: it reads the routes' own files and nothing else, resolves nothing, loads nothing,
//! and talks to nobody.
//!
//! A route's name is the instance's name as it is, without escaping: it is what people type behind the `@`, `%i` gives it back
//! unchanged, and every name that a route can have is made of characters that unit names may hold.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use super::unit_file::{Fit, UnitFile};
use super::{program, recordings, service, socket};
use crate::config::{self, Loaded, Mistake, Problem, Route, Surroundings, Survey, Surveyed, chain};

/// What the generator adds to units that are there.
const DROP_IN: &str = "50-route.conf";

/// One run of the generator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generator {
    /// The directory of the routes.
    pub routes: PathBuf,
    /// Where the drop-ins go.
    pub units: PathBuf,
    /// For which manager.
    pub scope: Scope,
}

/// Whose manager the units are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The system's, which can sandbox a service and load its credentials.
    System,
    /// A user's, which can do neither everywhere.
    User,
}

/// Something went wrong with a drop-in itself.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The disk.
    #[error("cannot write {}", path.display())]
    Write {
        /// The drop-in.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl Generator {
    /// Writes all drop-ins; returns what is wrong with the routes, a line each.
    pub fn run(&self) -> Result<Vec<String>, GenerateError> {
        let Survey { loaded, files, problems } = config::survey(&self.routes, &[], &Surroundings::Unknown);
        let mut lines = Vec::new();
        for problem in problems.iter().filter(|problem| !is_absence(problem)) {
            lines.push(problem.to_string());
        }
        for file in &files {
            let route = loaded.iter().map(|loaded| &loaded.route).find(|route| route.name == file.name);
            let known = problems.iter().filter(|problem| problem.place.file == file.path).map(ToString::to_string);
            let found = self.write_route(file, route, &loaded, known.collect())?;
            lines.extend(found);
        }
        Ok(lines)
    }

    /// Writes the drop-ins of a route and returns the problems that only its units have.
    fn write_route(
        &self,
        file: &Surveyed,
        route: Option<&Route>,
        all: &[Loaded],
        known: Vec<String>,
    ) -> Result<Vec<String>, GenerateError> {
        let mut found = Vec::new();
        let mut streams = Vec::new();
        let mut listen = Vec::new();
        for (address, place) in &file.listen {
            match socket::listen_streams(address) {
                Ok(values) => {
                    streams.extend(values);
                    listen.push(address.clone());
                }
                Err(error) => found.push(format!("{place}: {error}")),
            }
        }
        let source = std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone());
        let mut heading = Heading {
            name: file.name.clone(),
            source: Fit::path(&source).ok(),
            description: route.and_then(|route| route.description.clone()),
            problems: Vec::new(),
        };
        // Whatever cannot be written into the service's drop-in has to be said in its heading.
        let (_, unfit) = service::drop_in(&heading, route, self.scope);
        found.extend(unfit.into_iter().map(|unfit| format!("{}: {unfit}", file.path.display())));
        if self.scope == Scope::System {
            let misfit = route.and_then(|route| recordings::misfit(route, all.iter().map(|loaded| &loaded.route)));
            found.extend(misfit.map(|misfit| format!("{}: {misfit}", file.path.display())));
        }
        let program = route.and_then(|route| program::misfit(route.program.as_ref()?, self.scope));
        found.extend(program.map(|misfit| format!("{}: {misfit}", file.path.display())));
        let sessions =
            route.and_then(|route| program::session::units(&heading, route, &self.routes, self.scope).transpose());
        let sessions = match sessions.transpose() {
            Ok(sessions) => sessions,
            Err(error) => {
                found.push(format!("{}: {}", file.path.display(), chain(&error)));
                None
            }
        };
        heading.problems = known.into_iter().chain(found.iter().cloned()).collect();

        let socket = socket::drop_in(&heading, &listen, &streams, route, self.scope);
        let (service, _) = service::drop_in(&heading, route, self.scope);
        self.write(&format!("websockify@{}.socket.d/{DROP_IN}", file.name), &socket)?;
        self.write(&format!("websockify@{}.service.d/{DROP_IN}", file.name), &service)?;
        if let Some(program::session::Units { socket, template }) = sessions {
            self.write(&program::session::socket_unit(&file.name), &socket)?;
            self.write(&program::session::template(&file.name), &template)?;
        }
        Ok(found)
    }

    /// Writes a file under a name that systemd ignores, and renames it when it is complete.
    fn write(&self, name: &str, text: &str) -> Result<(), GenerateError> {
        let path = self.units.join(name);
        let written = || {
            let directory = path.parent().unwrap_or(&self.units);
            fs::create_dir_all(directory)?;
            let base = path.file_name().unwrap_or_default().to_string_lossy();
            let new = directory.join(format!(".{base}.{}", std::process::id()));
            let mut file = fs::File::create(&new)?;
            file.write_all(text.as_bytes())?;
            fs::rename(&new, &path)
        };
        written().map_err(|source| GenerateError::Write { path: path.clone(), source })
    }
}

/// What of a sound route its units cannot hold, beside `all` the others, though a daemon that binds by itself could serve it; with
/// the position of the address in `listen` that it is about, if it is about one.
pub(crate) fn misfits(route: &Route, all: &[Loaded]) -> Vec<(Option<usize>, String)> {
    let refusal = |address| socket::listen_streams(address).err().map(|error| error.to_string());
    let addresses = route.listen.iter().enumerate();
    let mut misfits: Vec<_> = addresses.filter_map(|(index, address)| Some((Some(index), refusal(address)?))).collect();
    let heading = Heading { name: route.name.clone(), source: None, description: None, problems: Vec::new() };
    let (_, unfit) = service::drop_in(&heading, Some(route), Scope::System);
    misfits.extend(unfit.into_iter().map(|unfit| (None, unfit.to_string())));
    let program = route.program.as_ref().and_then(|program| program::misfit(program, Scope::System));
    misfits.extend(program.map(|misfit| (None, misfit.to_owned())));
    misfits.extend(recordings::misfit(route, all.iter().map(|loaded| &loaded.route)).map(|misfit| (None, misfit)));
    misfits
}

/// No routes at all is no problem: the package has just been installed.
fn is_absence(problem: &Problem) -> bool {
    matches!(problem.mistake, Mistake::DirectoryMissing | Mistake::DirectoryEmpty)
}

/// What all drop-ins of a route begin with.
pub(super) struct Heading {
    name: String,
    /// None: the path cannot be written into a unit, which is only a pity.
    source: Option<Fit>,
    description: Option<String>,
    /// The whole lines.
    problems: Vec<String>,
}

impl Heading {
    /// Nothing but a name.
    #[cfg(test)]
    pub(super) fn bare(name: &str) -> Self {
        Self { name: name.to_owned(), source: None, description: None, problems: Vec::new() }
    }

    /// That of a unit that is the generator's own.
    pub(super) fn begin_for(&self, description: &str) -> UnitFile {
        let mut unit = self.begin_nameless();
        unit.describe("Description", description);
        unit
    }

    fn begin_nameless(&self) -> UnitFile {
        let mut unit = UnitFile::default();
        unit.because(
            "Made by websockify-generator of the file that SourcePath= names, at each daemon-reload: edit that file",
        );
        unit.section("Unit");
        if let Some(source) = &self.source {
            unit.set_whole("SourcePath", source);
        }
        unit
    }

    pub(super) fn begin(&self) -> UnitFile {
        let mut unit = self.begin_nameless();
        match (self.problems.as_slice(), &self.description) {
            ([], None) => {}
            ([], Some(description)) => unit.describe("Description", &format!("websockify: {description}")),
            ([problem], _) => unit.describe("Description", &format!("websockify: BROKEN: {problem}")),
            ([problem, more @ ..], _) => {
                let (more, name) = (more.len(), &self.name);
                unit.describe(
                    "Description",
                    &format!(
                        "websockify: BROKEN: {problem} (and {more} more: see websockify check {name}, and the journal)"
                    ),
                );
            }
        }
        unit
    }
}
