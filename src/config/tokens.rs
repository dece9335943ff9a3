//! Where sessions go: `target`, or `[tokens]` with the source that they are looked up in; and `[targets]`, what targets
//! may be.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;

use super::file;
use super::meaning::Reader;
use super::problem::Mistake;
use super::surroundings::Surroundings;
use crate::target::allow::AllowedTargets;
use crate::target::source::{self, SourceText};
use crate::target::targets::Tokens;
use crate::target::token::Place;
use crate::target::{Settings, Target};

/// How long a lookup may take: far less than the handshake, so that the client learns why.
const TIMEOUT: Duration = Duration::from_secs(3);

impl Reader<'_> {
    /// Where sessions go, and where the file says so.
    pub(super) fn targets(
        &mut self,
        target: Option<Spanned<String>>,
        tokens: Option<file::Tokens>,
    ) -> (Option<Settings>, Range<usize>) {
        match (target, tokens) {
            (None, None) => {
                self.miss(0..0, "target", super::EXAMPLE_TARGET);
                (None, 0..0)
            }
            (Some(target), None) => (self.target(&target).map(Settings::Fixed), target.span()),
            (None, Some(tokens)) => {
                let place = tokens.source.as_ref().map_or(tokens.place.clone(), Spanned::span);
                (self.tokens(tokens).map(Settings::ByToken), place)
            }
            (Some(target), Some(_)) => {
                self.complain(target.span(), Mistake::TargetAndTokens);
                (None, target.span())
            }
        }
    }

    fn target(&mut self, written: &Spanned<String>) -> Option<Target> {
        match written.get_ref().parse() {
            Ok(Target::Unix(path)) => Some(Target::Unix(self.base().join(path))),
            Ok(target) => Some(target),
            Err(error) => {
                self.complain(written.span(), Mistake::Target(error));
                None
            }
        }
    }

    fn tokens(&mut self, written: file::Tokens) -> Option<Tokens> {
        let from = self.places(written.from);
        let timeout = self.duration("tokens.timeout", written.timeout, "\"3s\"", "it is 3s").unwrap_or(TIMEOUT);
        let Some(source) = written.source else {
            self.miss(written.place, "tokens.source", super::EXAMPLE_SOURCE);
            return None;
        };
        Some(Tokens { source: self.source(&source)?, from, timeout })
    }

    fn places(&mut self, written: Option<Spanned<Vec<Spanned<String>>>>) -> Vec<Place> {
        let Some(written) = written else { return vec![Place::Query("token".to_owned())] };
        if written.get_ref().is_empty() {
            self.complain(written.span(), Mistake::TokenPlacesEmpty);
        }
        let mut places = Vec::new();
        for place in written.into_inner() {
            match place.get_ref().parse() {
                Ok(parsed) => places.push(parsed),
                Err(error) => self.complain(place.span(), Mistake::TokenPlace(error)),
            }
        }
        places
    }

    fn source(&mut self, written: &Spanned<String>) -> Option<source::Settings> {
        let text = match SourceText::parse(written.get_ref()) {
            Ok(text) => text,
            Err(error) => {
                self.complain(written.span(), Mistake::TokenSource(error));
                return None;
            }
        };
        match text {
            SourceText::File(path) => self.readable(path, false, written).map(source::Settings::File),
            SourceText::Names(path) => self.readable(path, true, written).map(source::Settings::Names),
            SourceText::Sockets(path) => self.readable(path, true, written).map(source::Settings::Sockets),
        }
    }

    /// A file or directory that is there now; its content is the business of whoever looks tokens up in it.
    fn readable(&mut self, path: PathBuf, is_directory: bool, written: &Spanned<String>) -> Option<PathBuf> {
        let path = self.base().join(path);
        if *self.surroundings() == Surroundings::Unknown {
            return Some(path);
        }
        let key = "tokens.source".to_owned();
        let mistake = match fs::metadata(&path) {
            Ok(metadata) if is_directory && !metadata.is_dir() => Mistake::NotADirectory { key, path },
            Ok(metadata) => {
                match if metadata.is_dir() { fs::read_dir(&path).map(drop) } else { fs::File::open(&path).map(drop) } {
                    Ok(()) => return Some(path),
                    Err(source) => Mistake::Unreadable { key, path, source },
                }
            }
            Err(source) => Mistake::Unreadable { key, path, source },
        };
        self.complain(written.span(), mistake);
        None
    }

    pub(super) fn allow_targets(&mut self, written: file::Targets) -> Option<AllowedTargets> {
        let written = written.allow?;
        if written.get_ref().is_empty() {
            self.complain(written.span(), Mistake::AllowTargetsEmpty);
        }
        let mut allowed = Vec::new();
        for entry in written.into_inner() {
            match entry.get_ref().parse() {
                Ok(parsed) => allowed.push(parsed),
                Err(error) => self.complain(entry.span(), Mistake::AllowTargets(error)),
            }
        }
        Some(AllowedTargets::new(allowed))
    }
}
