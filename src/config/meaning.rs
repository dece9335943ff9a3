//! What a route's file means: a [`File`] becomes a [`Route`], the only way there is, for TOML and for the classic
//! command line alike.
//!
//! Every value is parsed into the type of its owner (those with bounds in [`super::bounds`]); what does not parse, is
//! missing, or names a file that is not there is a complaint, and all are found. Relative paths start at the directory
//! of the file. Nothing is resolved or loaded: names are looked up when a session needs them, certificates by
//! [`crate::tls`].

use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;

use super::Route;
use super::document::Complaint;
use super::file::{self, File};
use super::problem::Mistake;
use super::surroundings::{Surroundings, credential_name};
use crate::access::AllowedClients;
use crate::http;
use crate::server::address::ListenAddress;
use crate::tls;

/// Who makes the listening sockets of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sockets {
    /// The route names at least one address.
    Bound,
    /// They are passed in; the route may name none.
    Inherited,
}

/// What a file means, and where it says so.
#[derive(Debug)]
pub(super) struct Meaning {
    /// None: there are complaints.
    pub(super) route: Option<Route>,
    /// The addresses that could be understood, even when the rest could not.
    pub(super) listen: Vec<Spanned<ListenAddress>>,
    pub(super) target: Range<usize>,
    pub(super) certificate: Option<Range<usize>>,
    pub(super) key: Option<Range<usize>>,
}

impl File {
    /// What the file means, for a route `name` whose relative paths start at `base`.
    pub(super) fn understand(
        self,
        name: &str,
        base: &Path,
        sockets: Sockets,
        surroundings: &Surroundings,
        complaints: &mut Vec<Complaint>,
    ) -> Meaning {
        let place_of = |value: Option<&Spanned<String>>| value.map(Spanned::span);
        let certificate = self.tls.as_ref().and_then(|tls| place_of(tls.certificate.as_ref()));
        let key = self.tls.as_ref().and_then(|tls| place_of(tls.key.as_ref()));

        let before = complaints.len();
        let mut reader = Reader { name, base, surroundings, complaints };
        let listen = reader.listen(self.listen, self.listen_mode, sockets);
        let (target, target_place) = reader.targets(self.target, self.tokens);
        let allow_targets = self.targets.and_then(|targets| reader.allow_targets(targets));
        let exit_idle = reader.exit_idle(self.exit_idle);
        let web = self.web.and_then(|web| reader.web(web));
        let tls = self.tls.and_then(|tls| reader.tls(tls));
        let allow_clients = self.access.and_then(|access| reader.allow_clients(access));
        let (heartbeat, text) = reader.websocket(self.websocket.unwrap_or_default());
        let record = self.record.and_then(|record| reader.record(record));
        let limits = reader.limits(self.limits.unwrap_or_default());

        let sound = complaints.len() == before;
        let route = target.filter(|_| sound).map(|target| Route {
            name: name.to_owned(),
            description: self.description.map(Spanned::into_inner),
            listen: listen.iter().map(|address| address.get_ref().clone()).collect(),
            target,
            allow_targets,
            web,
            tls,
            allow_clients,
            heartbeat,
            text,
            exit_idle,
            record,
            limits,
        });
        Meaning { route, listen, target: target_place, certificate, key }
    }

    /// The route of a file that did not come from TOML, so that mistakes have no place; the first one is enough.
    pub(crate) fn into_route(self, name: &str, base: &Path, sockets: Sockets) -> Result<Route, Mistake> {
        let mut complaints = Vec::new();
        let here = Surroundings::Machine { credentials: None }; // what was typed names files
        let meaning = self.understand(name, base, sockets, &here, &mut complaints);
        match complaints.into_iter().next() {
            Some(complaint) => Err(complaint.mistake),
            None => Ok(meaning.route.expect("without a complaint there is a route")),
        }
    }
}

/// Parses values and notes what is wrong with them.
pub(super) struct Reader<'a> {
    name: &'a str,
    pub(super) base: &'a Path,
    pub(super) surroundings: &'a Surroundings,
    complaints: &'a mut Vec<Complaint>,
}

impl Reader<'_> {
    /// Where relative paths start.
    pub(super) fn base(&self) -> &Path {
        self.base
    }

    pub(super) fn surroundings(&self) -> &Surroundings {
        self.surroundings
    }

    fn listen(
        &mut self,
        addresses: Option<Spanned<Vec<Spanned<String>>>>,
        mode: Option<Spanned<String>>,
        sockets: Sockets,
    ) -> Vec<Spanned<ListenAddress>> {
        match &addresses {
            None if sockets == Sockets::Bound => self.miss(0..0, "listen", super::EXAMPLE_LISTEN),
            Some(none) if none.get_ref().is_empty() => self.complain(none.span(), Mistake::ListenEmpty),
            _ => {}
        }
        let written = addresses.map(Spanned::into_inner).unwrap_or_default();
        let mut listen = Vec::with_capacity(written.len());
        for address in written {
            match address.get_ref().parse::<ListenAddress>() {
                Ok(parsed) => listen.push(Spanned::new(address.span(), parsed)),
                Err(error) => self.complain(address.span(), Mistake::ListenAddress(error)),
            }
        }
        if let Some(mode) = mode {
            self.listen_mode(&mode, &mut listen);
        }
        listen
    }

    fn listen_mode(&mut self, written: &Spanned<String>, listen: &mut [Spanned<ListenAddress>]) {
        let text = written.get_ref();
        let octal = text.bytes().all(|digit| digit.is_ascii_digit()); // from_str_radix would let a sign pass
        let Some(wanted) = u32::from_str_radix(text, 8).ok().filter(|mode| octal && *mode <= 0o777) else {
            return self.complain(written.span(), Mistake::ListenMode(text.clone()));
        };
        let mut used = false;
        for address in &mut *listen {
            if let ListenAddress::Unix { mode, .. } = address.get_mut() {
                *mode = wanted;
                used = true;
            }
        }
        if !used && !listen.is_empty() {
            self.complain(written.span(), Mistake::ListenModeUnused);
        }
    }

    fn web(&mut self, written: file::Web) -> Option<http::Web> {
        let table = match written {
            file::Web::Short(text) => {
                if let Some(name) = text.get_ref().strip_prefix("builtin:") {
                    return match name.parse() {
                        Ok(set) => Some(http::Web::Builtin(set)),
                        Err(error) => {
                            self.complain(text.span(), Mistake::Builtin(error));
                            None
                        }
                    };
                }
                return self.directory("web", &text, false, false);
            }
            file::Web::Table(table) => table,
        };
        let Some(root) = table.root else {
            self.miss(table.place, "web.root", super::EXAMPLE_ROOT);
            return None;
        };
        let follow_symlinks = table.follow_symlinks.is_some_and(Spanned::into_inner);
        let listing = table.listing.is_some_and(Spanned::into_inner);
        self.directory("web.root", &root, follow_symlinks, listing)
    }

    fn directory(
        &mut self,
        key: &str,
        written: &Spanned<String>,
        follow_symlinks: bool,
        listing: bool,
    ) -> Option<http::Web> {
        let root = self.base.join(written.get_ref());
        if *self.surroundings == Surroundings::Unknown {
            return Some(http::Web::Directory(http::Directory { root, follow_symlinks, listing }));
        }
        let mistake = match fs::metadata(&root) {
            Ok(metadata) if !metadata.is_dir() => Mistake::NotADirectory { key: key.to_owned(), path: root },
            found => match found.and_then(|_| fs::read_dir(&root)) {
                Ok(_) => return Some(http::Web::Directory(http::Directory { root, follow_symlinks, listing })),
                Err(source) => Mistake::Unreadable { key: key.to_owned(), path: root, source },
            },
        };
        self.complain(written.span(), mistake);
        None
    }

    fn tls(&mut self, written: file::Tls) -> Option<tls::Settings> {
        let mode = match written.mode {
            None => tls::Mode::Sniff,
            Some(mode) => match mode.get_ref().as_str() {
                "sniff" => tls::Mode::Sniff,
                "required" => tls::Mode::Required,
                other => {
                    let choices = &["sniff", "required"];
                    let mistake = Mistake::Choice { key: "tls.mode".to_owned(), text: other.to_owned(), choices };
                    self.complain(mode.span(), mistake);
                    tls::Mode::Required
                }
            },
        };
        let key = written.key.and_then(|key| self.pem("tls.key", &key));
        let Some(certificate) = written.certificate else {
            self.miss(written.place, "tls.certificate", super::EXAMPLE_CERTIFICATE);
            return None;
        };
        let certificate = self.pem("tls.certificate", &certificate)?;
        Some(tls::Settings { mode, certificate, key })
    }

    /// A credential, or a file that can be opened now; the content is the business of whoever loads it.
    pub(super) fn pem(&mut self, key: &str, written: &Spanned<String>) -> Option<tls::Pem> {
        let text = written.get_ref();
        if let Some(name) = text.strip_prefix("credential:") {
            return self.credential(key, name, written);
        }
        let path = self.base.join(text);
        if let Some(passed) = self.surroundings.credential(&credential_name(self.name, key)) {
            return Some(tls::Pem::File(passed)); // what systemd read for us, who may not read the file itself
        }
        if *self.surroundings == Surroundings::Unknown {
            return Some(tls::Pem::File(path));
        }
        // Not opened first: a directory is one also for those who may not look into it.
        let opened: io::Result<fs::Metadata> = fs::metadata(&path)
            .and_then(|metadata| if metadata.is_dir() { Ok(metadata) } else { fs::File::open(&path)?.metadata() });
        let mistake = match opened {
            Ok(metadata) if !metadata.is_dir() => return Some(tls::Pem::File(path)),
            Ok(_) => Mistake::NotAFile { key: key.to_owned(), path },
            Err(source) => Mistake::Unreadable { key: key.to_owned(), path, source },
        };
        self.complain(written.span(), mistake);
        None
    }

    fn credential(&mut self, key: &str, name: &str, written: &Spanned<String>) -> Option<tls::Pem> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', ':']) {
            let mistake = Mistake::CredentialName { key: key.to_owned(), text: written.get_ref().clone() };
            self.complain(written.span(), mistake);
            return None;
        }
        let Surroundings::Machine { credentials: Some(directory) } = self.surroundings else {
            return Some(tls::Pem::Credential(name.to_owned())); // the service will have it
        };
        let path = directory.join(name);
        match fs::File::open(&path) {
            Ok(_) => Some(tls::Pem::File(path)),
            Err(source) => {
                let (key, name) = (key.to_owned(), name.to_owned());
                self.complain(written.span(), Mistake::CredentialMissing { key, name, source });
                None
            }
        }
    }

    fn allow_clients(&mut self, written: file::Access) -> Option<AllowedClients> {
        let written = written.allow_clients?;
        if written.get_ref().is_empty() {
            self.complain(written.span(), Mistake::AllowClientsEmpty);
        }
        let mut networks = Vec::new();
        for network in written.into_inner() {
            match network.get_ref().parse() {
                Ok(parsed) => networks.push(parsed),
                Err(error) => self.complain(network.span(), Mistake::AllowClients(error)),
            }
        }
        Some(AllowedClients::new(networks))
    }

    /// A key is missing, unless it is there with a wrong type.
    pub(super) fn miss(&mut self, span: Range<usize>, missing: &str, example: &'static str) {
        let is_there =
            |complaint: &Complaint| matches!(&complaint.mistake, Mistake::Type { key, .. } if key == missing);
        if !self.complaints.iter().any(is_there) {
            self.complain(span, Mistake::Missing { key: missing.to_owned(), example });
        }
    }

    pub(super) fn complain(&mut self, span: Range<usize>, mistake: Mistake) {
        self.complaints.push(Complaint { span, mistake });
    }
}
