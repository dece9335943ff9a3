//! What the drop-in of a route's service says of its program: who starts and stops it, and what its end means for the route.

use super::super::generator::Scope;
use super::super::unit_file::UnitFile;
use super::runtime::Runtime;
use crate::program::OnExit;
use crate::program::settings::Settings;
use crate::program::state::VARIABLE;
use crate::program::watch::is_supervised;

/// Writes it into the section of the service.
pub(in super::super) fn service(unit: &mut UnitFile, route: &str, program: &Settings, scope: Scope) {
    if !is_supervised(program) {
        return;
    }
    let (prefix, options, config) = match scope {
        Scope::System => ("-+", "", ""),
        Scope::User => ("-", " --user", " --config=%E/websockify"),
    };
    unit.because(match scope {
        Scope::System => {
            "program: a short-lived root starts and stops it, never the daemon; should that fail, the daemon tells clients"
        }
        Scope::User => "program: started and stopped beside the daemon; should that fail, the daemon tells clients",
    });
    unit.set_expanding("ExecStartPre", &format!("{prefix}/usr/bin/websockify program start{options}{config} {route}"));
    unit.set("ExecStopPost", &format!("{prefix}/usr/bin/websockify program stop{options} --if-over {route}"));
    unit.set_expanding("Environment", &format!("{VARIABLE}={}", Runtime::in_unit(scope, route)));
    if program.on_exit() == OnExit::Exit {
        unit.because(
            "program.on-exit: the daemon ends with the program's status, which is no reason to start it again",
        );
        unit.set("Restart", "on-abnormal");
    }
}
