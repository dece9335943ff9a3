//! A directory of routes: `NAME.toml` is the route NAME.
//!
//! Every file is read before anything is said, so that all problems are told at once, those between files too: two
//! routes cannot listen on one address. Hidden files (editors' leftovers) and files without `.toml` are not routes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::Route;
use super::document::Complaint;
use super::file::File;
use super::meaning::Sockets;
use super::place::Place;
use super::problem::{ConfigError, Mistake, Problem};
use super::suggestion::suggestion;
use super::surroundings::Surroundings;
use crate::server::address::ListenAddress;

/// A route, and where its file says what can turn out wrong later.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the file means.
    pub route: Route,
    /// Where it says so.
    pub places: Places,
}

/// Places in a route's file, for errors of later stages: loading certificates, resolving names, binding.
#[derive(Clone, Debug)]
pub struct Places {
    /// In the order of the route's addresses.
    pub listen: Vec<Place>,
    /// The value of `target`.
    pub target: Place,
    /// The value of `tls.certificate`.
    pub certificate: Option<Place>,
    /// The value of `tls.key`.
    pub key: Option<Place>,
    /// The value of `web`, or of the root in its table.
    pub web: Option<Place>,
    /// The value of `websocket.text`.
    pub text: Option<Place>,
    /// The file or the service that decides about access, the first of them.
    pub access: Option<Place>,
}

/// The routes of a directory that are sound, and everything that is wrong with the others.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// In the order of their names. A route that shares an address with another is here, and among the problems.
    pub(crate) loaded: Vec<Loaded>,
    /// Every file with a route's name, the bad ones too, in the order of the names.
    pub(crate) files: Vec<Surveyed>,
    pub(crate) problems: Vec<Problem>,
}

/// A route's file, and what can be known of it even when it is not sound.
#[derive(Clone, Debug)]
pub(crate) struct Surveyed {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// The addresses that could be understood, and where they are.
    pub(crate) listen: Vec<(ListenAddress, Place)>,
}

/// Loads the routes `names` of `directory`, or all of them when no name is given, in the order of their names.
pub fn load_directory(directory: &Path, names: &[String]) -> Result<Vec<Loaded>, ConfigError> {
    let Survey { loaded, problems, .. } = survey(directory, names, &Surroundings::of_this_process());
    if problems.is_empty() { Ok(loaded) } else { Err(ConfigError { problems }) }
}

/// What the text of one route's file means, which was read elsewhere. Nothing that it names is looked for.
pub(crate) fn understand(name: &str, path: &Path, text: &str) -> Result<Route, ConfigError> {
    let mut survey = Survey::default();
    survey.understand(name, path, text, &Surroundings::Unknown, &mut Vec::new());
    let Survey { mut loaded, problems, .. } = survey;
    loaded.pop().map(|loaded| loaded.route).ok_or(ConfigError { problems })
}

/// Looks at all files, the bad ones too.
pub(crate) fn survey(directory: &Path, names: &[String], surroundings: &Surroundings) -> Survey {
    let mut survey = Survey::default();
    let files = match select(directory, names, &mut survey.problems) {
        Ok(files) => files,
        Err(mistake) => {
            survey.problems.push(Problem { place: Place::whole(directory), mistake });
            return survey;
        }
    };
    let mut listeners = Vec::new();
    for (name, path) in files {
        survey.read(&name, &path, surroundings, &mut listeners);
    }
    survey.find_collisions(&listeners);
    survey.problems.sort_by(|a, b| a.place.cmp(&b.place));
    survey
}

/// An address and where it is written.
struct Listener {
    address: ListenAddress,
    place: Place,
}

impl Survey {
    fn read(&mut self, name: &str, path: &Path, surroundings: &Surroundings, listeners: &mut Vec<Listener>) {
        self.files.push(Surveyed { name: name.to_owned(), path: path.to_owned(), listen: Vec::new() });
        match read_text(path) {
            Ok(text) => self.understand(name, path, &text, surroundings, listeners),
            Err(problem) => self.problems.push(*problem),
        }
    }

    fn understand(
        &mut self,
        name: &str,
        path: &Path,
        text: &str,
        surroundings: &Surroundings,
        listeners: &mut Vec<Listener>,
    ) {
        let place = |span: &std::ops::Range<usize>| Place::new(path, text, span);
        let mut complaints: Vec<Complaint> = Vec::new();
        if let Some(file) = File::read(text, &mut complaints) {
            let directory = path.parent().unwrap_or(Path::new("."));
            // Absolute, so that a route does not depend on a working directory that may change.
            let base = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
            let meaning = file.understand(name, &base, Sockets::Bound, surroundings, &mut complaints);
            let places = Places {
                listen: meaning.listen.iter().map(|address| place(&address.span())).collect(),
                target: place(&meaning.target),
                certificate: meaning.certificate.as_ref().map(place),
                key: meaning.key.as_ref().map(place),
                web: meaning.web.as_ref().map(place),
                text: meaning.text.as_ref().map(place),
                access: meaning.access.as_ref().map(place),
            };
            if let Some(surveyed) = self.files.last_mut() {
                let listen = meaning.listen.iter();
                surveyed.listen = listen.map(|address| (address.get_ref().clone(), place(&address.span()))).collect();
            }
            for address in meaning.listen {
                listeners.push(Listener { place: place(&address.span()), address: address.into_inner() });
            }
            // Complaints of reading, such as an unknown key, leave a route that nobody may use.
            if let Some(route) = meaning.route.filter(|_| complaints.is_empty()) {
                self.loaded.push(Loaded { route, places });
            }
        }
        for Complaint { span, mistake } in complaints {
            self.problems.push(Problem { place: place(&span), mistake });
        }
    }

    fn find_collisions(&mut self, listeners: &[Listener]) {
        for (index, listener) in listeners.iter().enumerate() {
            if let Some(first) = listeners[..index].iter().find(|first| collide(&first.address, &listener.address)) {
                let mistake = Mistake::ListenTwice {
                    address: listener.address.to_string(),
                    other: first.address.to_string(),
                    place: first.place.clone(),
                };
                self.problems.push(Problem { place: listener.place.clone(), mistake });
            }
        }
    }
}

/// The files to read, by route name. Names that cannot be, and names that are not there, are problems; an error is
/// about the directory as a whole.
fn select(
    directory: &Path,
    names: &[String],
    problems: &mut Vec<Problem>,
) -> Result<BTreeMap<String, PathBuf>, Mistake> {
    let mut files = BTreeMap::new();
    let mut misnamed = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable_directory)? {
        let path = entry.map_err(unreadable_directory)?.path();
        let (Some(stem), Some(extension)) = (path.file_stem(), path.extension()) else { continue };
        let name = stem.to_string_lossy();
        if extension != "toml" || name.starts_with('.') {
            continue;
        }
        // A replacement character is not a name's either.
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            files.insert(name.into_owned(), path);
        } else {
            misnamed.push(Problem { place: Place::whole(&path), mistake: Mistake::RouteName(name.into_owned()) });
        }
    }
    if names.is_empty() {
        if files.is_empty() && misnamed.is_empty() {
            return Err(Mistake::DirectoryEmpty);
        }
        problems.append(&mut misnamed);
        return Ok(files);
    }
    for name in names.iter().filter(|name| !files.contains_key(*name)) {
        let known: Vec<String> = files.keys().cloned().collect();
        if known.is_empty() {
            return Err(Mistake::DirectoryEmpty);
        }
        let suggestion = suggestion(name, known.iter().map(String::as_str));
        let mistake = Mistake::UnknownRoute { name: name.clone(), suggestion, known };
        problems.push(Problem { place: Place::whole(directory), mistake });
    }
    files.retain(|name, _| names.contains(name));
    Ok(files)
}

fn unreadable_directory(source: io::Error) -> Mistake {
    match source.kind() {
        io::ErrorKind::NotFound => Mistake::DirectoryMissing,
        _ => Mistake::FileUnreadable { source },
    }
}

fn read_text(path: &Path) -> Result<String, Box<Problem>> {
    let bytes = fs::read(path)
        .map_err(|source| Problem { place: Place::whole(path), mistake: Mistake::FileUnreadable { source } })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        Problem { place: Place::new(path, &text, &(valid..valid)), mistake: Mistake::NotUtf8 }
    })?;
    Ok(text)
}

/// Whether the second could not be bound when the first is: the same path or the same port, and the same host or no
/// host, which is all of them. Port 0 is another one each time. Names are not resolved here; binding them says the
/// rest.
fn collide(first: &ListenAddress, second: &ListenAddress) -> bool {
    match (first, second) {
        (ListenAddress::Unix { path: first, .. }, ListenAddress::Unix { path: second, .. }) => first == second,
        (ListenAddress::Tcp { host: first, port }, ListenAddress::Tcp { host: second, port: second_port }) => {
            let same_host = match (first, second) {
                (Some(first), Some(second)) => same_host(first, second),
                _ => true,
            };
            *port != 0 && port == second_port && same_host
        }
        _ => false,
    }
}

/// Whether two hosts are one however they are written: `::1` and `0:0::1`, `localhost` and `LOCALHOST`.
fn same_host(first: &str, second: &str) -> bool {
    match (first.parse::<IpAddr>(), second.parse::<IpAddr>()) {
        (Ok(first), Ok(second)) => first == second,
        _ => first.eq_ignore_ascii_case(second),
    }
}
