//! Where sessions go: `target`, or `[tokens]` with the source that they are looked up in, or the program of `[program]`; and
//! `[targets]`, what targets may be.

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
use crate::target::source::http::{self, Format};
use crate::target::source::redis::{self, RedisUrl};
use crate::target::source::service::Address;
use crate::target::source::{self, SourceText};
use crate::target::targets::Tokens;
use crate::target::token::Place;
use crate::target::{Settings, Target};
use crate::tls::Authorities;

/// How long a lookup may take: far less than the handshake, so that the client learns why.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How often tokens of running sessions are looked at again: files, which costs a look at their time stamps.
const RECHECK_FILES: Duration = Duration::from_secs(2);

/// The same, where another machine is asked.
const RECHECK_SERVICES: Duration = Duration::from_secs(30);

impl Reader<'_> {
    /// Where sessions go, and where the file says so.
    pub(super) fn targets(
        &mut self,
        target: Option<Spanned<String>>,
        tokens: Option<file::Tokens>,
        grants: Option<file::Grants>,
        program: Option<&file::Program>,
    ) -> (Option<Settings>, Range<usize>) {
        let answering = program.and_then(|program| Some((program, program.answering_key()?)));
        if let (Some(_), Some(grants)) = (&target, &grants) {
            self.complain(grants.place.clone(), Mistake::TargetAndGrants);
        }
        // What is granted is a token, too: where it stands is said by the table of all of them, which may be left out.
        let granted = grants.as_ref().filter(|_| target.is_none());
        let tokens = tokens
            .or_else(|| granted.map(|grants| file::Tokens { place: grants.place.clone(), ..file::Tokens::default() }));
        match (target, tokens) {
            (None, None) => match (program, answering) {
                (_, Some((program, _))) => (Some(Settings::Program), program.place.clone()),
                (Some(program), None) => {
                    self.miss(program.place.clone(), "program.port", super::EXAMPLE_PROGRAM_PORT);
                    (None, program.place.clone())
                }
                (None, None) => {
                    self.miss(0..0, "target", super::EXAMPLE_TARGET);
                    (None, 0..0)
                }
            },
            (Some(target), None) => {
                if let Some((_, key)) = answering {
                    self.complain(target.span(), Mistake::TargetAndProgram { other: "'target'", key });
                }
                (self.target(&target).map(Settings::Fixed), target.span())
            }
            (None, Some(tokens)) => {
                if let Some((_, key)) = answering {
                    self.complain(tokens.place.clone(), Mistake::TargetAndProgram { other: "'[tokens]'", key });
                }
                let place = tokens.source.as_ref().map_or(tokens.place.clone(), Spanned::span);
                (self.tokens(tokens, grants).map(|tokens| Settings::ByToken(Box::new(tokens))), place)
            }
            (Some(target), Some(_)) => {
                self.complain(target.span(), Mistake::TargetAndTokens);
                (None, target.span())
            }
        }
    }

    fn target(&mut self, written: &Spanned<String>) -> Option<Target> {
        match written.get_ref().parse() {
            Ok(target) => Some(Target::based(target, self.base())),
            Err(error) => {
                self.complain(written.span(), Mistake::Target(error));
                None
            }
        }
    }

    fn tokens(&mut self, mut written: file::Tokens, grants: Option<file::Grants>) -> Option<Tokens> {
        let from = self.places(written.from.take());
        let grants = grants.map(|grants| self.grants(grants, &from));
        let timeout = self.duration("tokens.timeout", written.timeout.take(), "\"3s\"", "it is 3s").unwrap_or(TIMEOUT);
        let source = match &written.source {
            Some(source) => Some(self.source(source, &written)?),
            None if grants.is_some() => None,
            None => {
                self.miss(written.place, "tokens.source", super::EXAMPLE_SOURCE);
                return None;
            }
        };
        let end_sessions = self.end_sessions(&written, source.as_ref());
        Some(Tokens { source, from, timeout, end_sessions, grants })
    }

    /// Whether sessions end with their tokens, and how often these are looked at again.
    fn end_sessions(&mut self, written: &file::Tokens, source: Option<&source::Settings>) -> Option<Duration> {
        const MIN: Duration = Duration::from_secs(1);
        let ends = written.end_sessions.as_ref().is_some_and(|end| *end.get_ref());
        if let Some(interval) = &written.recheck_interval {
            if matches!(source, Some(source::Settings::Jwt(_))) {
                let sources = "file:, names:, sockets:, http(s):// or redis(s)://";
                self.complain(interval.span(), Mistake::TokenKeyUnused { key: "recheck-interval", sources });
            } else if !ends {
                self.complain(interval.span(), Mistake::RecheckUnused);
            }
        }
        let absent = "it is 2s for files and 30s for services";
        let interval =
            self.duration_from(MIN, "tokens.recheck-interval", written.recheck_interval.clone(), "\"30s\"", absent);
        let asks_a_service = source.is_some_and(|source| source.address().is_some());
        let default = if asks_a_service { RECHECK_SERVICES } else { RECHECK_FILES };
        ends.then(|| interval.unwrap_or(default))
    }

    fn places(&mut self, written: Option<Spanned<Vec<Spanned<String>>>>) -> Vec<Place> {
        let Some(written) = written else { return vec![Place::Query("token".to_owned())] };
        if written.get_ref().is_empty() {
            self.complain(written.span(), Mistake::TokenPlacesEmpty);
        }
        self.each(written, Mistake::TokenPlace)
    }

    fn source(&mut self, written: &Spanned<String>, table: &file::Tokens) -> Option<source::Settings> {
        let text = match SourceText::parse(written.get_ref()) {
            Ok(text) => text,
            Err(error) => {
                self.complain(written.span(), Mistake::TokenSource(error));
                return None;
            }
        };
        let is_http = matches!(text, SourceText::Http(_));
        let is_redis = matches!(text, SourceText::Redis(_));
        let is_tls = match &text {
            SourceText::Http(url) => url.is_https,
            SourceText::Redis(url) => url.is_tls,
            _ => false,
        };
        let keys = [
            ("format", &table.format, is_http, "http:// or https://"),
            ("ca", &table.ca, is_tls, "https:// or rediss://"),
            ("password", &table.password, is_redis, "redis:// or rediss://"),
            ("namespace", &table.namespace, is_redis, "redis:// or rediss://"),
        ];
        for (key, value, is_used, sources) in keys {
            if let Some(value) = value.as_ref().filter(|_| !is_used) {
                self.complain(value.span(), Mistake::TokenKeyUnused { key, sources });
            }
        }
        match text {
            SourceText::Http(url) => {
                let address = self.address("tokens.ca", url.host.clone(), url.port, is_tls, table.ca.as_ref())?;
                let format = self.format(table.format.as_ref());
                Some(source::Settings::Http(http::Settings { address, url, format }))
            }
            SourceText::Jwt(key) => {
                let key = Spanned::new(written.span(), key);
                self.pem("tokens.source", super::EXAMPLE_SOURCE, &key).map(source::Settings::Jwt)
            }
            SourceText::Redis(url) => {
                let RedisUrl { host, port, login, .. } = url;
                let address = self.address("tokens.ca", host, port, is_tls, table.ca.as_ref());
                let password_file = match &table.password {
                    Some(password) => Some(self.pem("tokens.password", super::EXAMPLE_PASSWORD, password)?),
                    None => None,
                };
                let namespace = table.namespace.as_ref().map(|namespace| namespace.get_ref().clone());
                let namespace = namespace.filter(|namespace| !namespace.is_empty());
                let address = address?;
                Some(source::Settings::Redis(redis::Settings { address, login, password_file, namespace }))
            }
            SourceText::File(path) => self.readable(path, false, written).map(source::Settings::File),
            SourceText::Names(path) => self.readable(path, true, written).map(source::Settings::Names),
            SourceText::Sockets(path) => self.readable(path, true, written).map(source::Settings::Sockets),
        }
    }

    fn format(&mut self, written: Option<&Spanned<String>>) -> Format {
        match written.map(|format| (format, format.get_ref().as_str())) {
            None | Some((_, "text")) => Format::Text,
            Some((_, "json")) => Format::Json,
            Some((written, _)) => {
                self.choice(written, "tokens.format", &["text", "json"]);
                Format::Text
            }
        }
    }

    /// Where a service is, and by whose word.
    pub(super) fn address(
        &mut self,
        key: &str,
        host: String,
        port: u16,
        is_tls: bool,
        ca: Option<&Spanned<String>>,
    ) -> Option<Address> {
        let tls = match ca {
            _ if !is_tls => None, // a CA beside it is a complaint already
            None => Some(Authorities::System),
            Some(ca) => Some(Authorities::File(self.pem(key, super::EXAMPLE_CA, ca)?)),
        };
        Some(Address { host, port, tls })
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

    pub(super) fn allow_targets(&mut self, written: Option<Spanned<Vec<Spanned<String>>>>) -> Option<AllowedTargets> {
        let written = written?;
        if written.get_ref().is_empty() {
            self.complain(written.span(), Mistake::AllowTargetsEmpty);
        }
        Some(AllowedTargets::new(self.each(written, Mistake::AllowTargets)))
    }
}
