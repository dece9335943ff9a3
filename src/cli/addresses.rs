//! The words of a classic command line that are not options: where to listen, and the target.
//!
//! They are parsed strictly as the original's, and written down as a route's file writes them.

use std::path::Path;

use super::classic::ClassicError;
use super::options::Options;
use crate::server::address::ListenAddress;
use crate::target::Target;

/// The words that are not options, as a route's file writes them.
pub(super) struct Addresses {
    /// Where to listen. None: the socket is inherited.
    pub(super) listen: Option<String>,
    /// None: tokens decide, or it is the program.
    pub(super) target: Option<String>,
    /// The port that a wrapped program binds. None: there is none, or it is to stay where it is.
    pub(super) program_port: Option<u16>,
}

/// Reads the words that are not options.
pub(super) fn addresses(options: &Options, start_directory: &Path) -> Result<Addresses, ClassicError> {
    let mut words = options.positionals.iter();
    let listen = match &options.unix_listen {
        Some(path) => Some(absolute("--unix-listen", path, start_directory)?),
        None if options.inetd => None,
        None => Some(source(words.next().ok_or(ClassicError::TooFewArguments)?)?),
    };
    let target = if let Some(path) = &options.unix_target {
        Some(format!("unix:{}", absolute("--unix-target", path, start_directory)?))
    } else if options.token_plugin.is_some() || options.target_config.is_some() {
        None
    } else if !options.command.is_empty() {
        // The program has the port that clients see, as far as it knows.
        let port = program_port(listen.as_deref()).ok_or(ClassicError::ProgramPort)?;
        return no_more(words, Addresses { listen, target: None, program_port: Some(port) });
    } else {
        Some(target(words.next().ok_or(ClassicError::TooFewArguments)?)?)
    };
    no_more(words, Addresses { listen, target, program_port: None })
}

fn no_more<'a>(mut words: impl Iterator<Item = &'a String>, found: Addresses) -> Result<Addresses, ClassicError> {
    match words.next() {
        Some(_) => Err(ClassicError::TooManyArguments),
        None => Ok(found),
    }
}

fn program_port(listen: Option<&str>) -> Option<u16> {
    match listen?.parse() {
        Ok(ListenAddress::Tcp { port, .. }) if port != 0 => Some(port),
        _ => None,
    }
}

/// `[HOST:]PORT`, split at the last colon, with or without brackets around an IPv6 address.
fn source(word: &str) -> Result<String, ClassicError> {
    match word.parse() {
        Ok(address @ ListenAddress::Tcp { .. }) => Ok(address.to_string()),
        _ => Err(ClassicError::ListenPort(word.to_owned())),
    }
}

/// `HOST:PORT`, likewise. `unix:5900` is the port of a host on the classic command line, and a path in a route's file.
fn target(word: &str) -> Result<String, ClassicError> {
    let (host, port) = word.rsplit_once(':').ok_or_else(|| ClassicError::Target(word.to_owned()))?;
    let port = port.parse::<u16>().ok().filter(|port| *port != 0);
    let port = port.ok_or_else(|| ClassicError::TargetPort(word.to_owned()))?;
    let host = Some(host.trim_matches(['[', ']'])).filter(|host| !host.is_empty()).unwrap_or("localhost");
    Ok(Target::Tcp { host: host.to_owned(), port }.to_string())
}

/// A path as a route's file holds it: text, and no longer dependent on where it was typed.
pub(super) fn absolute(option: &'static str, path: &Path, start_directory: &Path) -> Result<String, ClassicError> {
    start_directory
        .join(path)
        .into_os_string()
        .into_string()
        .map_err(|path| ClassicError::NotUtf8 { option, path: path.into() })
}
