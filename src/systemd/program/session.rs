//! The units of a program that each session has for itself: a socket that the route's service connects to, and a template of
//! what systemd makes for each connection.
//!
//! Promise: no right to start anything is given to the daemon: it can open a socket, and what is run for that is said here, by a
//! file that nobody else could have written ([`super::trusted`]). The socket lies in a directory that only root may enter, and is
//! shown to the route's own service alone, whose user no other route can be told from.
//!
//! Everything that belongs to a session ends with it: its main process ends when the daemon hangs up, and systemd then ends all
//! that is left in its control group.

use std::path::Path;

use super::super::generator::{Heading, Scope};
use super::super::unit_file::{Fit, Unfit, UnitFile};
use super::trusted::{self, Untrusted};
use super::unit::{STOP_TIMEOUT, route_unit, sandbox};
use crate::config::{self, ConfigError, Route};
use crate::program::settings::{Property, Role, Settings, Stdio, Supervision};
use crate::program::unit::VARIABLE;

/// Where the sockets are, seen from the manager's own runtime directory.
const SOCKETS: &str = "websockify-sessions";

/// The path of a socket has 107 bytes at most, and a user's runtime directory stands before it.
const NAME_BYTES_MAX: usize = 64;

/// Settings of `properties` that stand in the section that all kinds of units have; beside those, `Condition...` and `Assert...`.
const OF_ALL_UNITS: [&str; 16] = [
    "After",
    "Before",
    "BindsTo",
    "Conflicts",
    "Description",
    "Documentation",
    "JobTimeoutSec",
    "OnFailure",
    "OnSuccess",
    "PartOf",
    "Requires",
    "RequiresMountsFor",
    "Requisite",
    "StopPropagatedFrom",
    "Upholds",
    "Wants",
];

/// Why there are no units for the sessions of a route.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum NoUnits {
    /// Its file is not believed.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// It has changed while it was read.
    #[error("{0}")]
    Config(ConfigError),
    /// Something cannot be written down.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Its name.
    #[error("per-session = true: the name of the route is too long for the path of a socket: 64 characters at most")]
    Name,
}

/// The two units, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Units {
    pub(in super::super) socket: String,
    pub(in super::super) template: String,
}

/// The unit that listens for a route's sessions.
pub(in super::super) fn socket_unit(route: &str) -> String {
    format!("websockify-session-{route}.socket")
}

/// The template of a session's unit.
pub(in super::super) fn template(route: &str) -> String {
    format!("websockify-session-{route}@.service")
}

/// The units of a route whose file lies in `routes`. Root believes only its own: the file is read again, and only that counts.
pub(in super::super) fn units(
    heading: &Heading,
    route: &Route,
    routes: &Path,
    scope: Scope,
) -> Result<Option<Units>, NoUnits> {
    if !route.program.as_ref().is_some_and(Settings::is_for_units_of_sessions) {
        return Ok(None);
    }
    if scope == Scope::User {
        return written(heading, route, scope);
    }
    let routes = std::path::absolute(routes).unwrap_or_else(|_| routes.to_owned());
    let (path, text) = trusted::read(&routes, &route.name)?;
    let route = config::understand(&route.name, &path, &text).map_err(NoUnits::Config)?;
    written(heading, &route, scope)
}

fn written(heading: &Heading, route: &Route, scope: Scope) -> Result<Option<Units>, NoUnits> {
    let Some(program) = route.program.as_ref().filter(|program| program.is_for_units_of_sessions()) else {
        return Ok(None);
    };
    if route.name.len() > NAME_BYTES_MAX {
        return Err(NoUnits::Name);
    }
    let socket = socket(heading, route, scope);
    let template = service(heading, route, program, scope)?;
    Ok(Some(Units { socket, template }))
}

fn socket(heading: &Heading, route: &Route, scope: Scope) -> String {
    let name = &route.name;
    let mut unit = heading.begin_for(&format!("websockify: sessions of the route {name}"));
    unit.because("as long as the route's service wants it");
    unit.set("StopWhenUnneeded", "yes");
    unit.section("Socket");
    unit.because("nobody but root enters the directory; the route's service is shown the socket");
    unit.set_expanding("ListenStream", &socket_path(name, scope));
    unit.set("DirectoryMode", "0700");
    unit.set("SocketMode", if scope == Scope::System { "0666" } else { "0600" });
    unit.set("RemoveOnStop", "yes");
    unit.because("a unit for each session");
    unit.set("Accept", "yes");
    unit.because("limits.connections counts them already; those that are ending are counted here, too");
    unit.set("MaxConnections", &route.limits.connections.get().saturating_mul(2).min(u32::MAX as usize).to_string());
    unit.set("TriggerLimitBurst", "0");
    unit.into_text()
}

fn service(heading: &Heading, route: &Route, program: &Settings, scope: Scope) -> Result<String, Unfit> {
    let name = &route.name;
    let others: &[Property] = match &program.supervision {
        Supervision::Systemd { properties } => properties,
        Supervision::Child => &[],
    };
    let mut unit = heading.begin_for(&format!("websockify: session of the route {name}"));
    unit.set("Documentation", "man:websockify.toml(5)");
    unit.because("a session that is over leaves nothing, however it ended; and none outlives its route");
    unit.set("CollectMode", "inactive-or-failed");
    unit.set("StopPropagatedFrom", &route_unit(name));
    properties(&mut unit, others.iter().filter(|property| is_of_all_units(&property.name)))?;

    unit.section("Service");
    unit.because("it starts the program, gives the daemon the session's end of it, and ends with either of the two");
    let is_terminal = matches!(program.role, Role::PerSession { stdio: Stdio::Terminal });
    let mut words = vec!["/usr/bin/websockify", "program", "session"];
    words.extend(is_terminal.then_some("--pty"));
    words.extend([name.as_str(), "--"]);
    // The manager puts variables of the environment in; none is meant.
    let command: Vec<String> = program.command.words().map(|word| word.to_string_lossy().replace('$', "$$")).collect();
    unit.set_escaped("ExecStart", words.into_iter().chain(command.iter().map(String::as_str)));
    unit.set("StandardInput", "socket");
    unit.set("StandardOutput", "journal");
    unit.set("StandardError", "journal");
    unit.set("LogExtraFields", &format!("WEBSOCKIFY_ROUTE={name}"));
    unit.because("whatever is left of it then is asked to end, and killed");
    unit.set_pair(STOP_TIMEOUT);
    if is_terminal {
        unit.because("shells hear of nothing else");
        unit.set("SendSIGHUP", "yes");
    }
    for (key, value) in [("User", &program.user), ("Group", &program.group)] {
        if let Some(value) = value {
            unit.set_whole(key, &Fit::new(value)?);
        }
    }
    if let Some(directory) = &program.working_directory {
        unit.set_whole("WorkingDirectory", &Fit::path(directory)?);
    }
    for (name, value) in &program.environment {
        unit.set_escaped("Environment", [format!("{name}={value}").as_str()]);
    }
    if scope == Scope::System {
        for setting in sandbox(program) {
            unit.set_pair(setting);
        }
    }
    properties(&mut unit, others.iter().filter(|property| !is_of_all_units(&property.name)))?;
    Ok(unit.into_text())
}

fn is_of_all_units(name: &str) -> bool {
    OF_ALL_UNITS.contains(&name) || name.starts_with("Condition") || name.starts_with("Assert")
}

/// The file's own: what a setting makes of its value, `%` too, is systemd's.
fn properties<'a>(unit: &mut UnitFile, others: impl Iterator<Item = &'a Property>) -> Result<(), Unfit> {
    for Property { name, values } in others {
        for value in values {
            if !value.is_empty() {
                Fit::new(value)?;
            }
            unit.set_expanding(name, value);
        }
    }
    Ok(())
}

fn socket_path(route: &str, scope: Scope) -> String {
    format!("{}/{route}", sockets(scope))
}

fn sockets(scope: Scope) -> String {
    let root = match scope {
        Scope::System => "/run",
        Scope::User => "%t",
    };
    format!("{root}/{SOCKETS}")
}

/// What of this the route's service must know before it starts.
pub(in super::super) fn want(unit: &mut UnitFile, route: &str) {
    unit.because("program.per-session: a socket that leads to a unit for each session, while this service runs");
    unit.set("Wants", &socket_unit(route));
    unit.set("After", &socket_unit(route));
}

/// Lets the route's service find the socket, and nobody else's.
pub(in super::super) fn show(unit: &mut UnitFile, route: &str, scope: Scope) {
    let path = socket_path(route, scope);
    unit.because(
        "program.per-session: the daemon asks by this socket for a session's program, which is all that it can say",
    );
    if scope == Scope::System {
        unit.set("TemporaryFileSystem", &format!("{}:ro", sockets(scope)));
        unit.set("BindReadOnlyPaths", &format!("-{path}"));
    }
    unit.set_expanding("Environment", &format!("{VARIABLE}={path}"));
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn units(keys: &str, name: &str) -> Result<Option<Units>, NoUnits> {
        let text = format!("listen = \"127.0.0.1:1\"\n[program]\ncommand = [\"/bin/cat\", \"a $b\"]\n{keys}\n");
        let route = config::understand(name, Path::new("/etc/websockify/cat.toml"), &text).unwrap();
        written(&Heading::bare(name), &route, Scope::System)
    }

    #[test]
    fn what_the_file_says_is_in_the_template_and_nothing_of_it_is_expanded() {
        let keys = "per-session = true\npty = true\nuser = \"alice\"\nenvironment = { A = \"b %n\\n\" }\n\
                    properties = { CPUQuota = \"50%\", ConditionPathExists = \"/a\", LimitNOFILE = 5 }";
        let Units { socket, template } = units(keys, "cat").unwrap().unwrap();
        for line in [
            "ExecStart=\"/usr/bin/websockify\" \"program\" \"session\" \"--pty\" \"cat\" \"--\" \"/bin/cat\" \"a $$b\"",
            "User=alice",
            "Environment=\"A=b %%n\\x0a\"",
            "CPUQuota=50%",
            "LimitNOFILE=5",
            "SendSIGHUP=yes",
        ] {
            let (unit, service) = template.split_once("\n[Service]\n").unwrap();
            assert!(service.lines().any(|found| found == line), "{line} in {service}");
            assert!(unit.lines().any(|line| line == "ConditionPathExists=/a"), "{unit}");
        }
        assert!(!template.contains("DynamicUser"), "{template}");
        assert!(socket.contains("\nListenStream=/run/websockify-sessions/cat\nDirectoryMode=0700\n"), "{socket}");
        assert!(socket.contains("\nMaxConnections=8192\n"), "{socket}");
    }

    #[test]
    fn a_program_of_nobody_is_in_the_sandbox_of_nobody() {
        let template = units("per-session = true", "cat").unwrap().unwrap().template;
        assert!(template.contains("\nDynamicUser=yes\n"), "{template}");
        assert!(!template.contains("SendSIGHUP"), "{template}");
    }

    #[test]
    fn other_programs_have_no_such_units() {
        for keys in ["port = 1", "per-session = true\nsupervisor = \"child\""] {
            assert_eq!(units(keys, "cat").unwrap(), None, "{keys}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_told() {
        let joined = units("per-session = true\nproperties = { Nice = \"5\\\\\" }", "cat");
        assert!(matches!(joined, Err(NoUnits::Unfit(_))), "{joined:?}");
        assert!(matches!(units("per-session = true", &"a".repeat(65)), Err(NoUnits::Name)));
    }
}
