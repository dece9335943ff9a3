//! What a route's file means: a [`File`] becomes a [`Route`], the only way there is, for TOML and for the classic
//! command line alike.
//!
//! Every value is parsed into the type of its owner (those with bounds in [`super::bounds`]); what does not parse, is
//! missing, or names a file that is not there is a complaint, and all are found. Relative paths start at the directory
//! of the file. Nothing is resolved or loaded: names are looked up when a session needs them, certificates by
//! [`crate::tls`].

use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use toml::Spanned;

use super::Route;
use super::callers::Around;
use super::document::Complaint;
use super::file::{self, File};
use super::problem::Mistake;
use super::program::Beside;
use super::surroundings::Surroundings;
use crate::http;
use crate::server::address::ListenAddress;

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
    pub(super) web: Option<Range<usize>>,
    pub(super) text: Option<Range<usize>>,
    pub(super) access: Option<Range<usize>>,
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
        let web_place = self.web.as_ref().and_then(|web| place_of(web.root()));
        let text_place = self.websocket.as_ref().and_then(|websocket| place_of(websocket.text.as_ref()));

        let access_place = self.access.as_ref().and_then(|access| {
            let key = access.jwt.as_ref().and_then(|jwt| jwt.key.as_ref());
            let url = access.forward_auth.as_ref().and_then(|forward| forward.url.as_ref());
            place_of(access.users.as_ref().or(key).or(url))
        });

        let before = complaints.len();
        let mut reader = Reader { name, base, surroundings, complaints };
        let listen = reader.listen(self.listen, self.listen_mode, sockets);
        let grants_place = self.grants.as_ref().map(|grants| grants.place.clone());
        let (target, target_place) = reader.targets(self.target, self.tokens, self.grants, self.program.as_ref());
        let asks_who = self.access.as_ref().is_some_and(|access| access.proofs() > 0);
        let beside = Beside { listen: &listen, asks_who };
        let program = self.program.and_then(|program| reader.program(program, &beside));
        let targets = self.targets.unwrap_or_default();
        let allow_targets = reader.allow_targets(targets.allow);
        let leg = reader.leg(targets.send_proxy, targets.tls, target.as_ref());
        let exit_idle = reader.exit_idle(self.exit_idle);
        if let Some(place) = grants_place.filter(|_| exit_idle.is_some()) {
            reader.complain(place, Mistake::GrantsExitIdle);
        }
        let web = self.web.and_then(|web| reader.web(web));
        let (tls, rule) = self.tls.and_then(|tls| reader.tls(tls)).unzip();
        let around =
            Around { certificate: rule.flatten(), has_web: web.is_some(), lists_targets: allow_targets.is_some() };
        let access = reader.access(self.access.unwrap_or_default(), around);
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
            program,
            leg,
            web,
            tls,
            access,
            heartbeat,
            text,
            exit_idle,
            record,
            limits,
        });
        Meaning {
            route,
            listen,
            target: target_place,
            certificate,
            key,
            web: web_place,
            text: text_place,
            access: access_place,
        }
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
    pub(super) name: &'a str,
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
                return self.web_root("web", &text, false, false);
            }
            file::Web::Table(table) => table,
        };
        let Some(root) = table.root else {
            self.miss(table.place, "web.root", super::EXAMPLE_ROOT);
            return None;
        };
        if root.get_ref().starts_with("builtin:") {
            self.complain(root.span(), Mistake::BuiltinAsRoot { text: root.get_ref().clone() });
            return None;
        }
        let follow_symlinks = table.follow_symlinks.is_some_and(Spanned::into_inner);
        let listing = table.listing.is_some_and(Spanned::into_inner);
        self.web_root("web.root", &root, follow_symlinks, listing)
    }

    /// A key is missing, unless it is there with a wrong type.
    pub(super) fn miss(&mut self, span: Range<usize>, missing: &str, example: &'static str) {
        let is_there =
            |complaint: &Complaint| matches!(&complaint.mistake, Mistake::Type { key, .. } if key == missing);
        if !self.complaints.iter().any(is_there) {
            self.complain(span, Mistake::Missing { key: missing.to_owned(), example });
        }
    }

    /// The elements of a list that can be read; the others are complaints.
    pub(super) fn each<T: FromStr>(
        &mut self,
        written: Spanned<Vec<Spanned<String>>>,
        mistake: impl Fn(T::Err) -> Mistake,
    ) -> Vec<T> {
        let mut read = Vec::new();
        for element in written.into_inner() {
            match element.get_ref().parse() {
                Ok(parsed) => read.push(parsed),
                Err(error) => self.complain(element.span(), mistake(error)),
            }
        }
        read
    }

    /// `written` is none of the words that `key` may have.
    pub(super) fn choice(&mut self, written: &Spanned<String>, key: &str, choices: &'static [&'static str]) {
        let (key, text) = (key.to_owned(), written.get_ref().clone());
        self.complain(written.span(), Mistake::Choice { key, text, choices });
    }

    pub(super) fn complain(&mut self, span: Range<usize>, mistake: Mistake) {
        self.complaints.push(Complaint { span, mistake });
    }
}
