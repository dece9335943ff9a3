//! `websockify convert`: prints the route's file that says what a classic command line said.
//!
//! What is not a route's business is named in comments, with whose business it is now.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;

use super::classic::{ClassicError, Spoken};
use super::exit::{Answer, Exit};
use super::options::{Options, usage_error};
use crate::config::DEFAULT_DIRECTORY;
use crate::config::meaning::Sockets;

/// The TOML for a classic command line, whose first word may be the program's name.
pub fn convert(arguments: &[OsString], start_directory: &Path) -> Answer {
    match toml_of(arguments, start_directory) {
        Ok(text) => Answer { text, exit: Exit::Success },
        Err(answer) => answer,
    }
}

fn toml_of(arguments: &[OsString], start_directory: &Path) -> Result<String, Answer> {
    let named = arguments.first().is_some_and(|first| Path::new(first).file_name() == Some("websockify".as_ref()));
    let mut spoken = Spoken::new(Options::read(&arguments[usize::from(named)..])?, start_directory)?;
    if let Some(word) = spoken.options.command.iter().find(|word| word.to_str().is_none()) {
        return Err(ClassicError::NotUtf8 { option: "-- PROGRAM", path: word.into() }.into());
    }
    if spoken.inetd {
        return Err(usage_error("--inetd cannot be converted: give the address that inetd listens on instead"));
    }
    // Proof that nothing was lost is cheap: a file that would not be accepted is not printed.
    let proof = spoken.file.clone().into_route("converted", start_directory, Sockets::Bound);
    proof.map_err(ClassicError::from)?;
    let unsaid = access(&mut spoken);
    let mut text = format!(
        "# Save this as {DEFAULT_DIRECTORY}/NAME.toml, look at it with `websockify check NAME`, and run it with\n\
         # `websockify serve NAME`.\n"
    );
    for line in comments(&spoken).into_iter().chain(unsaid) {
        // The comment ends with its line: a path must not be able to continue it.
        writeln!(text, "# {}", line.replace(char::is_control, "?")).expect("a String takes everything");
    }
    text.push('\n');
    text.push_str(&toml::to_string(&spoken.file).expect("text, integers and booleans are TOML"));
    Ok(text)
}

/// Completes the table `[access]`, and says what is to be done about it.
fn access(spoken: &mut Spoken) -> Vec<String> {
    let mut comments = Vec::new();
    let Some(access) = &mut spoken.file.access else {
        let user = spoken.user.as_ref();
        return user
            .map(|user| user.convert(spoken.file.access.get_or_insert_with(Default::default)))
            .into_iter()
            .collect();
    };
    comments.extend(spoken.user.as_ref().map(|user| user.convert(access)));
    if access.same_origin.is_some() {
        let comment = "--web: `same-origin = false` lets pages from elsewhere connect, as always; better remove it";
        comments.push(comment.to_owned());
    }
    comments
}

/// What the file does not say.
fn comments(spoken: &Spoken) -> Vec<String> {
    let options = &spoken.options;
    let elsewhere = [
        (
            spoken.file.program.is_some(),
            "-- PROGRAM: websockify itself starts it, as on the command line. As a service, let systemd do it: write \
             user = \"NAME\" in place of supervisor",
        ),
        (
            options.key_password.is_some(),
            "--key-password: write it into a file that only root can read, and name that: key-password in [tls]",
        ),
        (options.record.is_some(), "--record: files are named by route, time and session, in the same directory"),
        (options.daemon, "-D: not in the file; whoever starts it keeps it in the background"),
        (spoken.lifetime.run_once, "--run-once: not in the file; only the classic command line has it"),
        (spoken.lifetime.timeout.is_some(), "--timeout: not in the file; only the classic command line has it"),
        (
            spoken.lifetime.idle_timeout.is_some(),
            "--idle-timeout: not in the file; only the classic command line has it",
        ),
        (options.log_file.is_some(), "--log-file: not in the file; `serve` logs to standard error, systemd keeps that"),
        (options.syslog.is_some(), "--syslog: not in the file; `serve` logs to standard error, systemd keeps that"),
        (options.verbose, "-v: not in the file; use `websockify serve -v NAME`"),
        (options.traffic, "--traffic: not in the file; only the classic command line has it"),
        (
            options.ssl_target,
            "--ssl-target: insecure, as it was; remove that line to have the certificate checked by the system's authorities",
        ),
        (
            options.heartbeat.is_none(),
            "no --heartbeat: \"off\" is the same; without that line, clients are pinged every 25 s",
        ),
        (options.prefer_ipv6, "-6: not needed; a port alone listens on IPv6 and IPv4, a name on all its addresses"),
    ];
    let elsewhere = elsewhere.into_iter().filter(|(typed, _)| *typed).map(|(_, comment)| comment.to_owned());
    elsewhere.chain(spoken.notes.iter().cloned()).collect()
}
