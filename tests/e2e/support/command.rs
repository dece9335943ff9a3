//! A command that ends by itself: what it printed, and its exit status.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::process::{Command, Stdio};

use super::eventually;
use super::proxy::BINARY;

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the binary to its end.
pub fn run(arguments: &[&str]) -> Outcome {
    outcome(Command::new(BINARY).args(arguments))
}

/// Runs any command to its end. Its output goes to files: a daemon that it leaves behind may keep them open.
pub fn outcome(command: &mut Command) -> Outcome {
    let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    let kept = |file: &File| Stdio::from(file.try_clone().unwrap());
    let mut child = command.stdout(kept(&stdout)).stderr(kept(&stderr)).spawn().expect("the command starts");
    let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually("the command ends", || child.try_wait().unwrap())
    }));
    let (stdout, stderr) = (text(stdout), text(stderr));
    let Ok(status) = status else {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("{command:?} did not end:\n{stdout}{stderr}");
    };
    let code = status.code().unwrap_or_else(|| panic!("{command:?}: {status}\n{stderr}"));
    Outcome { code, stdout, stderr }
}

fn text(mut file: File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}
