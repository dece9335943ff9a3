//! How a unit's program ended, as the service manager tells `ExecStopPost=`: in numbers and in words.

use nix::sys::signal::Signal;

use crate::program::Ended;
use crate::program::state::Phase;

/// What systemd(1) says in the environment of `ExecStopPost=`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// `$SERVICE_RESULT`.
    pub result: String,
    /// `$EXIT_CODE`: "exited", "killed" or "dumped".
    pub code: String,
    /// `$EXIT_STATUS`: a number, or the name of a signal.
    pub status: String,
}

/// What systemd itself does between fork and exec fails with these statuses (systemd.exec(5)).
const BEFORE_THE_PROGRAM: [(u8, &str); 11] = [
    (200, "cannot be started: its working-directory cannot be entered"),
    (203, "cannot be executed: it is missing, is not executable, or its interpreter is missing"),
    (208, "cannot be started: its standard input cannot be set up"),
    (209, "cannot be started: its standard output cannot be set up"),
    (210, "cannot be started: a chroot fails"),
    (216, "cannot be started: there is no such group"),
    (217, "cannot be started: there is no such user"),
    (222, "cannot be started: its standard error cannot be set up"),
    (225, "cannot be started: its network cannot be set up"),
    (226, "cannot be started: its sandbox cannot be set up"),
    (243, "cannot be started: its credentials cannot be set up"),
];

impl Outcome {
    /// The state of a program that has ended so.
    pub(super) fn phase(&self) -> Phase {
        Phase::Ended { status: self.ended(), how: self.words() }
    }

    /// As a shell shows it. Whoever was ended by the manager has ended well.
    fn ended(&self) -> Ended {
        let status = match (self.code.as_str(), self.result.as_str()) {
            ("exited", _) => self.exit_status(),
            (_, "success") => Some(0),
            _ => self.signal().and_then(|signal| u8::try_from(128 + signal as i32).ok()),
        };
        Ended::from_status(status.unwrap_or(u8::MAX))
    }

    fn words(&self) -> String {
        match self.result.as_str() {
            "success" => return "has ended".to_owned(),
            "oom-kill" => return "was killed: it needed more memory than it may have".to_owned(),
            "timeout" => return "was killed: it did not do in time what systemd waited for".to_owned(),
            "watchdog" => return "was killed: it gave no sign of life".to_owned(),
            "resources" => return "cannot be started: systemd lacks what its unit asks for".to_owned(),
            _ => {}
        }
        if let Some(signal) = self.signal() {
            return format!("was killed by {}", signal.as_str());
        }
        match self.exit_status() {
            Some(status) => BEFORE_THE_PROGRAM.iter().find(|(known, _)| *known == status).map_or_else(
                || format!("has ended with status {status}"),
                |(status, words)| format!("{words} (status {status})"),
            ),
            None => format!("has ended: {}", self.result),
        }
    }

    fn exit_status(&self) -> Option<u8> {
        self.status.parse().ok().filter(|_| self.code == "exited")
    }

    fn signal(&self) -> Option<Signal> {
        format!("SIG{}", self.status).parse().ok().filter(|_| self.code != "exited")
    }

    /// Whether a service that ended so is started again. `job`: what the manager is doing with it. `restart`: its `Restart=`.
    pub(super) fn comes_back(&self, job: Option<&str>, restart: &str) -> bool {
        match job {
            Some("restart" | "try-restart" | "reload-or-start") => return true,
            Some("stop") => return false,
            _ => {}
        }
        // RestartPreventExitStatus= of the route's unit: usage and configuration.
        if matches!(self.exit_status(), Some(64 | 78)) {
            return false;
        }
        let abnormal = matches!(self.result.as_str(), "signal" | "core-dump" | "timeout" | "watchdog");
        match restart {
            "always" => true,
            "on-success" => self.result == "success",
            "on-failure" => self.result != "success",
            "on-abnormal" => abnormal,
            "on-abort" => matches!(self.result.as_str(), "signal" | "core-dump"),
            "on-watchdog" => self.result == "watchdog",
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(result: &str, code: &str, status: &str) -> Outcome {
        Outcome { result: result.to_owned(), code: code.to_owned(), status: status.to_owned() }
    }

    #[test]
    fn an_end_is_told_as_a_shell_would_and_in_words() {
        let cases = [
            (outcome("success", "exited", "0"), 0, "has ended"),
            (outcome("success", "killed", "TERM"), 0, "has ended"),
            (outcome("exit-code", "exited", "3"), 3, "has ended with status 3"),
            (outcome("signal", "killed", "KILL"), 137, "was killed by SIGKILL"),
            (outcome("core-dump", "dumped", "SEGV"), 139, "was killed by SIGSEGV"),
            (outcome("oom-kill", "killed", "KILL"), 137, "was killed: it needed more memory than it may have"),
            (outcome("exit-code", "exited", "217"), 217, "cannot be started: there is no such user (status 217)"),
            (outcome("resources", "", ""), 255, "cannot be started: systemd lacks what its unit asks for"),
            (outcome("protocol", "", ""), 255, "has ended: protocol"),
        ];
        for (outcome, status, words) in cases {
            let Phase::Ended { status: found, how } = outcome.phase() else { unreachable!() };
            assert_eq!((found.status(), how.as_str()), (status, words), "{outcome:?}");
        }
    }

    #[test]
    fn a_program_outlives_a_restart_and_a_crash_of_its_route_and_nothing_else() {
        let stopped = outcome("success", "killed", "TERM");
        let (crashed, failed) = (outcome("signal", "killed", "KILL"), outcome("exit-code", "exited", "71"));
        assert!(stopped.comes_back(Some("restart"), "on-failure"));
        assert!(!stopped.comes_back(Some("stop"), "on-failure"));
        assert!(!stopped.comes_back(None, "on-failure"), "idle");
        assert!(crashed.comes_back(None, "on-failure") && crashed.comes_back(None, "on-abnormal"));
        assert!(crashed.comes_back(Some("start"), "on-failure"), "it crashed before it was ready");
        assert!(!crashed.comes_back(Some("stop"), "on-failure") && !crashed.comes_back(None, "no"));
        assert!(failed.comes_back(None, "on-failure") && !failed.comes_back(None, "on-abnormal"));
        for hopeless in ["64", "78"] {
            assert!(!outcome("exit-code", "exited", hopeless).comes_back(None, "on-failure"));
        }
    }
}
