//! The program: understands what was typed, does it, and ends with the status that says how it went.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use websockify::cli::{self, Exit};
use websockify::startup;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let exit = match env::current_dir() {
        Ok(directory) => match cli::parse(&arguments, &directory) {
            Ok(command) => startup::run(command, &directory),
            Err(answer) => answer.print(),
        },
        Err(error) => {
            eprintln!("websockify: error: there is no current directory: {error}");
            Exit::SystemError
        }
    };
    exit.into()
}
