//! `[program]`: the program behind a route, who runs it, and how.
//!
//! Whether the program is there is not looked for: it may be in a place that only systemd, or the program's own user, can see.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::file;
use super::meaning::Reader;
use super::problem::Mistake;
use super::surroundings::Surroundings;
use crate::program::OnExit;
use crate::program::settings::{Command, Isolation, Port, Property, Role, Settings, Stdio, Supervision};
use crate::server::address::ListenAddress;

/// Properties of a unit that a key of the table, or what the program is for, decides.
const DECIDED: [(&str, &str); 16] = [
    ("Environment", "write [program.environment]"),
    ("EnvironmentFile", "write [program.environment]"),
    ("ExecStart", "write 'command'"),
    ("Group", "write 'group'"),
    ("JoinsNamespaceOf", "write isolation = \"private-network\""),
    ("KillMode", "all processes of the program end with it"),
    ("PrivateNetwork", "write isolation = \"private-network\""),
    ("RemainAfterExit", "write 'on-exit'"),
    ("Restart", "write 'on-exit'"),
    ("StandardError", "the journal has what the program says"),
    ("StandardInput", "write 'per-session'"),
    ("StandardOutput", "the journal has what the program says"),
    ("TTYPath", "write 'pty'"),
    ("Type", "write 'on-exit'"),
    ("User", "write 'user'"),
    ("WorkingDirectory", "write 'working-directory'"),
];

/// Variables that make a program load code or data from places that they name, as all of `LD_` do. systemd gives the variables
/// of a unit to all of its commands, and one that runs beside the program is root's.
const LOADING: [&str; 3] = ["GCONV_PATH", "GLIBC_TUNABLES", "LOCPATH"];

/// What of the rest of the file a program has to fit to.
pub(super) struct Beside<'a> {
    /// Where clients come in.
    pub(super) listen: &'a [Spanned<ListenAddress>],
    /// Whether clients must say who they are.
    pub(super) asks_who: bool,
}

impl file::Program {
    /// Which key makes sessions go to the program. None: it only runs.
    pub(super) fn answering_key(&self) -> Option<&'static str> {
        let per_session = self.per_session.as_ref().is_some_and(|per_session| *per_session.get_ref());
        let port = self.port.is_some().then_some("port");
        port.or_else(|| per_session.then_some("per-session"))
    }
}

impl Reader<'_> {
    /// What the table means; None: there are complaints.
    pub(super) fn program(&mut self, written: file::Program, beside: &Beside<'_>) -> Option<Settings> {
        let supervision = self.supervision(&written);
        let role = self.role(&written, &supervision, beside);
        self.ids(&written, &supervision);
        let working_directory = written.working_directory.as_ref().and_then(|directory| {
            self.path("program.working-directory", "directory", super::EXAMPLE_WORKING_DIRECTORY, directory)
        });
        let environment = self.environment(written.environment, &supervision);
        let Some(command) = written.command else {
            self.miss(written.place, "program.command", super::EXAMPLE_COMMAND);
            return None;
        };
        let command = self.command(command)?;
        let name = |name: Option<Spanned<String>>| name.map(Spanned::into_inner);
        let (user, group) = (name(written.user), name(written.group));
        Some(Settings { command, role: role?, supervision, user, group, working_directory, environment })
    }

    fn command(&mut self, written: Spanned<file::Words>) -> Option<Command> {
        let span = written.span();
        let words = written.into_inner().0;
        let Some(program) = words.first() else {
            self.complain(span, Mistake::CommandEmpty);
            return None;
        };
        let text = program.get_ref();
        if text.is_empty() || text.contains('/') && !text.starts_with('/') {
            self.complain(program.span(), Mistake::CommandPath(text.clone()));
            return None;
        }
        if let Some(word) = words.iter().find(|word| word.get_ref().contains('\0')) {
            self.complain(word.span(), Mistake::ProgramNul);
            return None;
        }
        Command::new(words.into_iter().map(|word| OsString::from(word.into_inner())).collect())
    }

    fn supervision(&mut self, written: &file::Program) -> Supervision {
        let properties = self.properties(written.properties.as_ref());
        match written.supervisor.as_ref().map(|text| (text, text.get_ref().as_str())) {
            None | Some((_, "systemd")) => Supervision::Systemd { properties },
            Some((_, "child")) => {
                if let Some((_, span)) = &written.properties {
                    self.unused(span.clone(), "properties", WITH_CHILD);
                }
                Supervision::Child
            }
            Some((place, _)) => {
                self.choice(place, "program.supervisor", &["systemd", "child"]);
                Supervision::Systemd { properties }
            }
        }
    }

    fn role(&mut self, written: &file::Program, supervision: &Supervision, beside: &Beside<'_>) -> Option<Role> {
        let per_session = written.per_session.as_ref().is_some_and(|per_session| *per_session.get_ref());
        let pty = written.pty.as_ref().filter(|pty| *pty.get_ref());
        if per_session {
            let others = [
                ("port", written.port.as_ref().map(Spanned::span)),
                ("on-exit", written.on_exit.as_ref().map(Spanned::span)),
                ("isolation", written.isolation.as_ref().map(Spanned::span)),
                ("start-timeout", written.start_timeout.as_ref().map(Spanned::span)),
            ];
            for (key, span) in others {
                if let Some(span) = span {
                    self.unused(span, key, "beside per-session = true, whose programs do not listen");
                }
            }
            if let Some(pty) =
                pty.filter(|_| !beside.asks_who && !beside.listen.iter().all(|address| address.get_ref().is_local()))
            {
                self.complain(pty.span(), Mistake::TerminalForAll);
            }
            return Some(Role::PerSession { stdio: if pty.is_some() { Stdio::Terminal } else { Stdio::Socket } });
        }
        if let Some(pty) = pty {
            self.unused(pty.span(), "pty", "without per-session = true");
        }
        let on_exit = match &written.on_exit {
            None => OnExit::default(),
            Some(text) => text.get_ref().parse().unwrap_or_else(|_| {
                self.choice(text, "program.on-exit", &["exit", "ignore", "respawn"]);
                OnExit::default()
            }),
        };
        let isolation = self.isolation(written, supervision);
        let start_timeout = self.start_timeout(written);
        let port = match &written.port {
            None => None,
            Some(number) => Some(Port { number: self.program_port(number)?, isolation, start_timeout }),
        };
        Some(Role::Service { port, on_exit })
    }

    fn isolation(&mut self, written: &file::Program, supervision: &Supervision) -> Isolation {
        let Some(text) = &written.isolation else { return Isolation::Rebind };
        let isolation = match text.get_ref().as_str() {
            "rebind" => Isolation::Rebind,
            "private-network" => Isolation::PrivateNetwork,
            "none" => Isolation::None,
            _ => {
                self.choice(text, "program.isolation", &["rebind", "private-network", "none"]);
                return Isolation::Rebind;
            }
        };
        if isolation == Isolation::PrivateNetwork && *supervision == Supervision::Child {
            self.unused(text.span(), "isolation = \"private-network\"", WITH_CHILD);
        } else if isolation != Isolation::None && written.port.is_none() {
            self.complain(text.span(), Mistake::IsolationOfNothing);
        }
        isolation
    }

    fn start_timeout(&mut self, written: &file::Program) -> Option<Duration> {
        if let Some(unused) = written.start_timeout.as_ref().filter(|_| written.port.is_none()) {
            self.unused(unused.span(), "start-timeout", "without 'port'");
            return None;
        }
        let timeout = written.start_timeout.clone();
        self.duration("program.start-timeout", timeout, "\"30s\"", "it is limits.connect-timeout")
    }

    fn program_port(&mut self, written: &Spanned<i64>) -> Option<u16> {
        const MAX: i64 = u16::MAX as i64;
        let number = *written.get_ref();
        let port = u16::try_from(number).ok().filter(|port| *port != 0);
        if port.is_none() {
            let key = "program.port".to_owned();
            self.complain(written.span(), Mistake::Count { key, number, min: 1, max: MAX });
        }
        port
    }

    /// A child has its parent's ids, unless that may change them.
    fn ids(&mut self, written: &file::Program, supervision: &Supervision) {
        let may_change = *self.surroundings() == Surroundings::Unknown || nix::unistd::geteuid().is_root();
        for (key, name) in [("user", &written.user), ("group", &written.group)] {
            let Some(name) = name else { continue };
            if name.get_ref().is_empty() || name.get_ref().contains(|c: char| c.is_control() || c.is_whitespace()) {
                self.complain(name.span(), Mistake::ProgramId { key, text: name.get_ref().clone() });
            } else if *supervision == Supervision::Child && !may_change {
                self.unused(name.span(), key, "with supervisor = \"child\", unless root runs websockify");
            }
        }
    }

    fn environment(
        &mut self,
        written: Vec<(Spanned<String>, Spanned<String>)>,
        supervision: &Supervision,
    ) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::new();
        for (name, value) in written {
            let loads = name.get_ref().starts_with("LD_") || LOADING.contains(&name.get_ref().as_str());
            if loads && matches!(supervision, Supervision::Systemd { .. }) {
                self.complain(name.span(), Mistake::EnvironmentOfRoot(name.get_ref().clone()));
            }
            if name.get_ref().is_empty() || name.get_ref().contains(['=', '\0']) {
                self.complain(name.span(), Mistake::EnvironmentName(name.get_ref().clone()));
            } else if value.get_ref().contains('\0') {
                self.complain(value.span(), Mistake::ProgramNul);
            }
            environment.insert(name.into_inner(), value.into_inner());
        }
        environment
    }

    fn properties(&mut self, written: Option<&(Vec<file::Property>, Range<usize>)>) -> Vec<Property> {
        let mut properties = Vec::new();
        for file::Property { name, values } in written.iter().flat_map(|(properties, _)| properties) {
            let text = name.get_ref();
            let is_name = text.starts_with(|first: char| first.is_ascii_uppercase())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !is_name {
                self.complain(name.span(), Mistake::PropertyName(text.clone()));
            } else if let Some((_, instead)) = DECIDED.iter().find(|(decided, _)| decided == text) {
                self.complain(name.span(), Mistake::PropertyDecided { name: text.clone(), instead });
            } else if values.iter().any(|value| value.contains(['\n', '\0'])) {
                self.complain(name.span(), Mistake::PropertyValue(text.clone()));
            }
            properties.push(Property { name: text.clone(), values: values.clone() });
        }
        properties
    }

    fn unused(&mut self, span: Range<usize>, key: &'static str, because: &'static str) {
        self.complain(span, Mistake::ProgramKeyUnused { key, because });
    }
}

const WITH_CHILD: &str = "with supervisor = \"child\": it is for supervisor = \"systemd\"";
