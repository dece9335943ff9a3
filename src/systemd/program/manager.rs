//! The service manager, asked and told by its own commands.
//!
//! `systemd-run` makes the transient unit, because it understands a property as it stands in a unit file. Each command has a
//! deadline of systemd's own, that of the job that it waits for.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::process::{Command, Output, Stdio};

use super::super::generator::Scope;

/// A command of systemd's did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// It is not there.
    #[error("cannot run {command}")]
    Missing {
        /// The command.
        command: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It said no.
    #[error("{command} failed: {said}")]
    Refused {
        /// The command.
        command: &'static str,
        /// What it said.
        said: String,
    },
}

/// The manager of the system, or of a user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manager {
    pub(super) scope: Scope,
}

impl Manager {
    /// Some properties of a unit, as text; of one that is not loaded, too.
    pub(super) fn show(self, unit: &str, names: &[&str]) -> Result<HashMap<String, String>, ManagerError> {
        let names = format!("--property={}", names.join(","));
        let shown = self.call("systemctl", ["show", &names, "--", unit])?;
        let pairs = shown.lines().filter_map(|line| line.split_once('='));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// What the manager is doing with a unit: "start", "stop", "restart". None: nothing.
    pub(super) fn job(self, unit: &str) -> Result<Option<String>, ManagerError> {
        let jobs = self.call("systemctl", ["list-jobs", "--no-legend", "--full", "--plain", "--", unit])?;
        // JOB UNIT TYPE STATE
        let job = jobs.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        Ok(job.filter(|words| words.get(1) == Some(&unit)).find_map(|words| words.get(2).map(ToString::to_string)))
    }

    /// Stops a unit, waits until it has, and forgets that it failed.
    pub(super) fn stop(self, unit: &str) -> Result<(), ManagerError> {
        if self.show(unit, &["LoadState"])?.get("LoadState").is_some_and(|state| state == "not-found") {
            return Ok(());
        }
        self.call("systemctl", ["stop", "--", unit])?;
        // A unit that has not failed cannot be reset, and is none the worse.
        let _ = self.call("systemctl", ["reset-failed", "--", unit]);
        Ok(())
    }

    /// Starts a transient unit, and waits until it runs or has failed to.
    pub(super) fn run(self, arguments: &[String]) -> Result<(), ManagerError> {
        self.call("systemd-run", arguments).map(drop)
    }

    /// The last lines that a unit wrote into the journal since it was started as `invocation`.
    pub(super) fn last_lines(self, invocation: &str, count: usize) -> Vec<String> {
        // What was written just now may not be there yet.
        let _ = self.call("journalctl", ["--sync"]);
        let lines = format!("--lines={count}");
        let matches = format!("_SYSTEMD_INVOCATION_ID={invocation}");
        let said = self.call("journalctl", ["--quiet", "--no-pager", "--output=cat", &lines, &matches]);
        said.unwrap_or_default().lines().map(ToOwned::to_owned).collect()
    }

    fn call(
        self,
        command: &'static str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<String, ManagerError> {
        let mut process = Command::new(command);
        match (self.scope, command) {
            (Scope::User, _) => drop(process.arg("--user")),
            (Scope::System, "journalctl") => {}
            (Scope::System, _) => drop(process.arg("--system")),
        }
        // What it says is passed on, and is to be the same everywhere.
        process.args(arguments).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        let Output { status, stdout, stderr } =
            process.output().map_err(|source| ManagerError::Missing { command, source })?;
        if status.success() {
            return Ok(String::from_utf8_lossy(&stdout).into_owned());
        }
        let said: Vec<_> = String::from_utf8_lossy(&stderr).lines().map(|line| line.trim().to_owned()).collect();
        Err(ManagerError::Refused { command, said: said.join("; ") })
    }
}
