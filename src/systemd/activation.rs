//! Socket activation, `sd_listen_fds(3)`: which sockets systemd has passed, and which route each is for.
//!
//! It never falls back to binding: whoever meant to pass sockets and did not succeed is told so, and not surprised by
//! a daemon that listens elsewhere.

use std::env;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::process;

use crate::server::address::ListenAddress;
use crate::server::listener::{Inherited, ListenError, Listener};

/// A listening socket that was passed.
#[derive(Debug)]
pub struct Passed {
    /// `FileDescriptorName=` of its unit, by default the unit's name: `websockify@vnc.socket`.
    pub name: String,
    /// The socket.
    pub listener: Listener,
}

/// Why passed sockets are of no use.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// A descriptor is connected, and not listening: a socket unit with `Accept=yes`.
    #[error("the passed socket '{0}' is a connection: set Accept=no in its socket unit")]
    Connected(String),
    /// A descriptor is no stream socket that listens.
    #[error("the passed socket '{name}' is of no use: ListenStream= in its socket unit makes one that is")]
    Descriptor {
        /// Its name.
        name: String,
        /// What is wrong.
        source: ListenError,
    },
    /// The environment contradicts itself, or a descriptor is not open.
    #[error("LISTEN_FDS and what was passed do not agree")]
    Environment(#[source] io::Error),
    /// None was passed.
    #[error("LISTEN_FDS is set, and no socket was passed: unset it to let the daemon bind its own")]
    None,
    /// The sockets are for another process.
    #[error("LISTEN_PID is not this process: run the daemon directly from the unit, and not through a shell")]
    OtherProcess,
    /// A socket fits no route.
    #[error(
        "the passed socket '{name}' on {address} is for no route that is served: name it after its route \
         (FileDescriptorName=), or list its address there"
    )]
    Unclaimed {
        /// Its name.
        name: String,
        /// Where it listens.
        address: String,
    },
}

/// The sockets that were passed to this process. None: nobody meant to. To be called once, before any other descriptor is
/// opened.
#[expect(unsafe_code, reason = "descriptors that come with the process have no owner yet")]
pub fn passed() -> Result<Option<Vec<Passed>>, ActivationError> {
    if env::var_os("LISTEN_FDS").is_none() {
        return Ok(None);
    }
    if env::var("LISTEN_PID").ok().and_then(|pid| pid.parse().ok()) != Some(process::id()) {
        return Err(ActivationError::OtherProcess);
    }
    let descriptors = sd_notify::listen_fds_with_names().map_err(ActivationError::Environment)?;
    let mut sockets = Vec::new();
    for (descriptor, name) in descriptors {
        // SAFETY: it is open, for sd_notify has set its flags, and the process was started with it: nothing else owns it, as
        // this function is called once, and before anything else opens descriptors.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        match Listener::inherit(descriptor) {
            Ok(Inherited::Listening(listener)) => sockets.push(Passed { name, listener }),
            Ok(Inherited::Connected(..)) => return Err(ActivationError::Connected(name)),
            Err(source) => return Err(ActivationError::Descriptor { name, source }),
        }
    }
    if sockets.is_empty() { Err(ActivationError::None) } else { Ok(Some(sockets)) }
}

/// What a route says of itself that a socket can be matched with.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The route's name.
    pub route: &'a str,
    /// Where it wants to listen.
    pub listen: &'a [ListenAddress],
}

/// Deals the sockets out to the routes: by name, or else by address; all of them when there is one route. The answer has
/// the sockets of each claim, in the claims' order.
pub fn deal(sockets: Vec<Passed>, claims: &[Claim<'_>]) -> Result<Vec<Vec<Listener>>, ActivationError> {
    let mut dealt: Vec<Vec<Listener>> = claims.iter().map(|_| Vec::new()).collect();
    for Passed { name, listener } in sockets {
        let by_name = claims.iter().position(|claim| claim.route == name || unit_name(claim.route) == name);
        let by_address = || {
            claims.iter().position(|claim| claim.listen.iter().any(|address| address.stands_for(&listener.address())))
        };
        let only = (claims.len() == 1).then_some(0);
        match by_name.or_else(by_address).or(only) {
            Some(index) => dealt[index].push(listener),
            None => return Err(ActivationError::Unclaimed { name, address: listener.to_string() }),
        }
    }
    Ok(dealt)
}

/// What a route's socket unit is called, and its descriptors with it, unless it says otherwise.
fn unit_name(route: &str) -> String {
    format!("websockify@{route}.socket")
}

/// What differs between where a route wants to listen and where the sockets that it got are bound, as a sentence with its
/// cure. None: nothing.
pub fn difference(claim: Claim<'_>, bound: &[ListenAddress]) -> Option<String> {
    let missing = claim.listen.iter().filter(|address| !bound.iter().any(|bound| address.stands_for(bound)));
    let foreign = bound.iter().filter(|bound| !claim.listen.iter().any(|address| address.stands_for(bound)));
    let (missing, foreign): (Vec<_>, Vec<_>) = (missing.collect(), foreign.collect());
    if missing.is_empty() && foreign.is_empty() {
        return None;
    }
    let unit = unit_name(claim.route);
    Some(format!(
        "the route file's listen is not what systemd passed (not passed: {}; not in the file: {}): \
         run 'systemctl daemon-reload && systemctl restart {unit}'",
        join(&missing),
        join(&foreign),
    ))
}

fn join(addresses: &[&ListenAddress]) -> String {
    let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn listener(address: &str) -> Listener {
        Listener::bind(&address.parse().unwrap(), 8).unwrap().remove(0)
    }

    fn socket(name: &str, address: &str) -> Passed {
        Passed { name: name.to_owned(), listener: listener(address) }
    }

    #[test]
    fn sockets_go_to_the_route_of_their_name_or_address() {
        let by_address = socket("unknown", "127.0.0.1:0");
        let address = by_address.listener.address();
        let claims = [
            Claim { route: "vnc", listen: &[] },
            Claim { route: "telnet", listen: &[] },
            Claim { route: "serial", listen: &[address] },
        ];
        let sockets = vec![socket("telnet", "127.0.0.1:0"), socket("websockify@vnc.socket", "127.0.0.1:0"), by_address];
        let dealt = deal(sockets, &claims).unwrap();
        assert_eq!(dealt.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
        let stray = deal(vec![socket("stray", "127.0.0.1:0")], &claims).unwrap_err();
        assert!(matches!(stray, ActivationError::Unclaimed { .. }), "{stray}");
        assert_eq!(deal(vec![socket("stray", "127.0.0.1:0")], &claims[..1]).unwrap()[0].len(), 1);
    }

    #[test]
    fn a_difference_names_both_sides_and_the_cure() {
        let bound = [listener("127.0.0.1:0").address()];
        assert_eq!(difference(Claim { route: "vnc", listen: &bound }, &bound), None);
        let elsewhere = ListenAddress::Tcp { host: None, port: 1 };
        let text = difference(Claim { route: "vnc", listen: &[elsewhere] }, &bound).unwrap();
        assert!(text.contains("not passed: 1;") && text.contains(&bound[0].to_string()), "{text}");
        assert!(text.contains("systemctl restart websockify@vnc.socket"), "{text}");
    }

    #[test]
    fn a_port_alone_is_a_wildcard_of_either_family() {
        for wildcard in ["0", "0.0.0.0:0"] {
            let listener = listener(wildcard);
            let address = ListenAddress::Tcp { host: None, port: listener.tcp_address().unwrap().port() };
            assert!(address.stands_for(&listener.address()), "{wildcard}");
        }
    }
}
