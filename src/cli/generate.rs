//! `websockify generate`, and the same program under the name of `websockify-generator`: drop-ins for the routes' units.
//!
//! systemd runs a generator with nothing but directories, before the journal is there: what is wrong goes to the kernel's log.

use std::env;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use super::Command;
use super::exit::{Answer, Exit};
use crate::config::{self, chain};
use crate::systemd::generator::{Generator, Scope};

/// A run of the generator, and where it says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generate {
    /// What to do.
    pub generator: Generator,
    /// Whom to tell.
    pub report: Report,
}

/// Where problems are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The kernel's log; standard error where there is none, as in a container.
    KernelLog,
    /// To whoever typed the command, and to a user's manager.
    StandardError,
}

impl Generate {
    /// Does it.
    pub fn run(&self) -> Exit {
        match self.generator.run() {
            Ok(problems) if problems.is_empty() => Exit::Success,
            Ok(problems) => {
                self.report.tell(&problems);
                Exit::Config
            }
            Err(error) => {
                self.report.tell(&[chain(&error)]);
                Exit::SystemError
            }
        }
    }
}

impl Report {
    fn tell(self, problems: &[String]) {
        let kernel_log = match self {
            Self::KernelLog => OpenOptions::new().write(true).open("/dev/kmsg").ok(),
            Self::StandardError => None,
        };
        for problem in problems {
            // One write is one record, and a line break would begin another.
            let problem: String = problem.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = match kernel_log.as_ref() {
                Some(mut log) => log.write_all(&kernel_record(&problem)),
                None => writeln!(io::stderr(), "{problem}"),
            };
        }
    }
}

/// An error record (`<3>`), cut to what the kernel takes.
fn kernel_record(problem: &str) -> Vec<u8> {
    const MAX: usize = 900; // of 976 in the kernel
    let end = (0..=problem.len().min(MAX)).rev().find(|at| problem.is_char_boundary(*at)).unwrap_or(0);
    format!("<3>websockify-generator: {}", &problem[..end]).into_bytes()
}

/// Understands the arguments that systemd gives a generator: the directories for units of normal, early and late priority.
/// Only the first is used: below what an administrator writes, above what packages bring.
pub fn parse_generator(arguments: &[OsString]) -> Result<Command, Answer> {
    let ([normal] | [normal, _, _]) = arguments else {
        let text = "Usage: websockify-generator NORMAL [EARLY LATE]\n".to_owned();
        return Err(Answer { text, exit: Exit::Usage });
    };
    let scope = env::var_os("SYSTEMD_SCOPE");
    let (scope, report) = match scope.as_ref().and_then(|scope| scope.to_str()) {
        // A user's manager runs when the journal does, and keeps what its generators say.
        Some("user") => (Scope::User, Report::StandardError),
        Some(_) => (Scope::System, Report::KernelLog),
        None => (Scope::System, Report::StandardError),
    };
    let generator = Generator { routes: routes(scope), units: PathBuf::from(normal), scope };
    Ok(Command::Generate(Generate { generator, report }))
}

/// A generator has no options: for trying it, the directory comes from the environment.
fn routes(scope: Scope) -> PathBuf {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(routes) = variable("WEBSOCKIFY_CONFIG") {
        return routes;
    }
    match scope {
        Scope::System => PathBuf::from(config::DEFAULT_DIRECTORY),
        Scope::User => variable("XDG_CONFIG_HOME")
            .unwrap_or_else(|| variable("HOME").unwrap_or_default().join(".config"))
            .join("websockify"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_record_is_cut_between_characters() {
        let record = String::from_utf8(kernel_record(&"ä".repeat(600)));
        assert_eq!(record, Ok(format!("<3>websockify-generator: {}", "ä".repeat(450))));
    }
}
