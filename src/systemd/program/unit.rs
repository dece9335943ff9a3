//! The transient unit of a program: what the route's file says, as `systemd-run` is told.
//!
//! The order is: what this program is for, the sandbox, and last the file's own `properties`, so that an administrator has the
//! last word about everything that is not decided by a key.

use super::super::generator::Scope;
use super::has_private_network;
use crate::program::OnExit;
use crate::program::settings::{Property, Role, Settings, Supervision};

/// A program that nobody named a user for, runs as one that exists only meanwhile and can do next to nothing.
const SANDBOX_OF_NOBODY: [&str; 18] = [
    "DynamicUser=yes",
    "CapabilityBoundingSet=",
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
];

/// A program of a person may be a whole desktop, with sudo and su in it: what systemd does by system call filters would take
/// those from it, and what hides files would hide what the person looks for. Control groups are systemd's all the same.
const SANDBOX_OF_SOMEBODY: [&str; 1] = ["ProtectControlGroups=yes"];

/// From SIGTERM to SIGKILL: a desktop saves what is open.
pub(super) const STOP_TIMEOUT: &str = "TimeoutStopSec=10";

/// What a unit is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Definition<'a> {
    /// The route's name.
    pub(super) route: &'a str,
    pub(super) description: Option<&'a str>,
    pub(super) program: &'a Settings,
    pub(super) scope: Scope,
    /// This binary.
    pub(super) helper: &'a str,
    /// The file of [`Runtime::environment`](super::runtime::Runtime::environment).
    pub(super) environment: &'a str,
}

/// The name of the unit of a route's program.
pub(super) fn unit_name(route: &str) -> String {
    format!("websockify-program@{route}.service")
}

/// The name of the unit of a route.
pub(super) fn route_unit(route: &str) -> String {
    format!("websockify@{route}.service")
}

impl Definition<'_> {
    /// The arguments of `systemd-run`.
    pub(super) fn arguments(&self) -> Vec<String> {
        let Self { route, program, .. } = self;
        let description = self.description.map_or_else(
            || format!("websockify: program of the route {route}"),
            |description| format!("websockify: program of {description}"),
        );
        let mut arguments = vec![
            "--quiet".to_owned(),
            "--collect".to_owned(),
            "--service-type=exec".to_owned(),
            format!("--unit={}", unit_name(route)),
            format!("--description={description}"),
        ];
        // NAME=VALUE, which -p would take apart at blanks.
        arguments.extend(program.environment.iter().map(|(name, value)| format!("--setenv={name}={value}")));
        arguments.extend(self.properties().into_iter().map(|property| format!("--property={property}")));
        arguments.push("--".to_owned());
        // The manager puts variables of the environment into the arguments, where none is meant; what is run it takes as it stands.
        let mut words = program.command.words().map(|word| word.to_string_lossy());
        arguments.extend(words.next().map(Into::into));
        arguments.extend(words.map(|word| word.replace('$', "$$")));
        arguments
    }

    fn properties(&self) -> Vec<String> {
        let Self { route, program, scope, environment, .. } = self;
        let mut properties = vec![
            "Documentation=man:websockify.toml(5)".to_owned(),
            format!("StopPropagatedFrom=websockify@{route}.socket"),
            format!("LogExtraFields=WEBSOCKIFY_ROUTE={route}"),
            format!("ExecStartPre={}", self.place()),
            format!("EnvironmentFile=-{environment}"),
            format!("ExecStopPost={}", self.helper_call("ended", route)),
            STOP_TIMEOUT.to_owned(),
        ];
        if let Role::Service { on_exit, .. } = program.role {
            match on_exit {
                OnExit::Exit => {}
                // Whoever went to the background is followed there.
                OnExit::Ignore => properties.push("ExitType=cgroup".to_owned()),
                // The helper keeps the pace before each start, and the manager never gives up.
                OnExit::Respawn => properties
                    .extend(["Restart=always", "RestartSec=100ms", "StartLimitIntervalSec=0"].map(ToOwned::to_owned)),
            }
        }
        if has_private_network(program) {
            properties.push("PrivateNetwork=yes".to_owned());
            properties.push(format!("JoinsNamespaceOf={}", route_unit(route)));
        }
        let own = |key: &str, value: &Option<String>| value.as_ref().map(|value| format!("{key}={value}"));
        properties.extend(own("User", &program.user));
        properties.extend(own("Group", &program.group));
        properties
            .extend(program.working_directory.as_ref().map(|path| format!("WorkingDirectory={}", path.display())));
        if *scope == Scope::System {
            properties.extend(sandbox(program).iter().map(ToString::to_string));
        }
        if let Supervision::Systemd { properties: others } = &program.supervision {
            properties.extend(
                others
                    .iter()
                    .flat_map(|Property { name, values }| values.iter().map(move |value| format!("{name}={value}"))),
            );
        }
        properties
    }

    /// What is done before each start.
    fn place(&self) -> String {
        let port = self.program.moved_port().map_or_else(String::new, |port| format!("--port={port} "));
        let respawn = if self.program.on_exit() == OnExit::Respawn { "--respawn " } else { "" };
        self.helper_call("place", &format!("{port}{respawn}{}", self.route))
    }

    /// A call of this binary, as root where the manager is the system's.
    fn helper_call(&self, verb: &str, rest: &str) -> String {
        // As above: no variable stands in what is run.
        let helper = self.helper.replace('\\', "\\\\").replace('"', "\\\"");
        let (prefix, user) = match self.scope {
            Scope::System => ("+", ""),
            Scope::User => ("", "--user "),
        };
        format!("{prefix}\"{helper}\" program {verb} {user}{rest}")
    }
}

/// The sandbox of a program, before its own properties.
pub(super) fn sandbox(program: &Settings) -> &'static [&'static str] {
    if program.user.is_some() { &SANDBOX_OF_SOMEBODY } else { &SANDBOX_OF_NOBODY }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::path::Path;

    use super::*;

    /// Where the manager puts variables in, and where it does not: a dollar stays one.
    #[test]
    fn a_dollar_in_what_is_run_stays_single_and_one_in_its_arguments_is_doubled() {
        let text = "listen = \"127.0.0.1:1\"\n[program]\nport = 1\nsupervisor = \"systemd\"\n\
                    command = [\"/srv/$HOME/vnc\", \"-auth\", \"$HOME/x\"]\n";
        let route = crate::config::understand("vnc", Path::new("/etc/websockify/vnc.toml"), text).unwrap();
        let definition = Definition {
            route: "vnc",
            description: None,
            program: route.program.as_ref().unwrap(),
            scope: Scope::System,
            helper: "/opt/$x/websockify",
            environment: "/run/x",
        };
        let arguments = definition.arguments();
        assert!(
            arguments.ends_with(&["--", "/srv/$HOME/vnc", "-auth", "$$HOME/x"].map(str::to_owned)),
            "{arguments:?}"
        );
        let ended = arguments.iter().find(|argument| argument.starts_with("--property=ExecStopPost=")).unwrap();
        assert!(ended.contains("/opt/$x/websockify"), "{ended}");
    }
}
