//! The program: understands what was typed, does it, and ends with the status that says how it went.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use websockify::cli::{self, Exit};
use websockify::startup;

fn main() -> ExitCode {
    let mut words = env::args_os();
    let name = words.next().unwrap_or_default();
    let arguments: Vec<OsString> = words.collect();
    let exit = match env::current_dir() {
        Ok(directory) => {
            let command = match Path::new(&name).file_name().and_then(|name| name.to_str()) {
                Some("websockify-generator") => cli::parse_generator(&arguments),
                _ => cli::parse(&arguments, &directory),
            };
            match command {
                Ok(command) => startup::run(command, &directory),
                Err(answer) => answer.print(),
            }
        }
        Err(error) => {
            eprintln!("websockify: error: there is no current directory: {error}");
            Exit::SystemError
        }
    };
    exit.into()
}
