//! Socket activation, `sd_listen_fds(3)`: which sockets systemd has passed, and which route each is for.
//!
//! It never falls back to binding: whoever meant to pass sockets and did not succeed is told so, and not surprised by
//! a daemon that listens elsewhere. What cannot be used does not end the daemon either, as long as it is systemd's to start it
//! again: a datagram that waits in a wrong socket, or a client in a stray one, would do that at once, and again, until systemd
//! gives the socket up.

use std::env;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::process;

use nix::sys::stat::{SFlag, fstat};
use socket2::{SockRef, Type};

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

/// Everything that was passed.
#[derive(Debug, Default)]
pub struct Sockets {
    /// What clients can be accepted from.
    pub usable: Vec<Passed>,
    /// What is wrong with the rest.
    pub unusable: Vec<ActivationError>,
}

/// Why passed sockets are of no use.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// A descriptor is connected, and not listening: a socket unit with `Accept=yes`.
    #[error("systemd passed '{0}', which is a connection: set Accept=no in its socket unit")]
    Connected(String),
    /// A descriptor is no stream socket that listens.
    #[error(
        "systemd passed '{name}', which is {found}, and not a stream socket that listens: write it as ListenStream= in its \
         socket unit, then run 'systemctl daemon-reload' and restart that"
    )]
    Descriptor {
        /// Its name.
        name: String,
        /// What it is.
        found: &'static str,
    },
    /// A descriptor cannot be taken over, though it is of the right kind.
    #[error("the passed socket '{name}' cannot be used")]
    Inherit {
        /// Its name.
        name: String,
        /// Why.
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
        "systemd passed '{name}' on {address}, which is for no route that is served: name it after its route \
         (FileDescriptorName=), or list its address in the route's file"
    )]
    Unclaimed {
        /// Its name.
        name: String,
        /// Where it listens.
        address: String,
    },
}

/// The sockets that were passed to this process. None: nobody meant to. To be called once, before any other descriptor is
/// opened. An error means that this process was not started as systemd starts services.
#[expect(unsafe_code, reason = "descriptors that come with the process have no owner yet")]
pub fn passed() -> Result<Option<Sockets>, ActivationError> {
    if env::var_os("LISTEN_FDS").is_none() {
        return Ok(None);
    }
    if env::var("LISTEN_PID").ok().and_then(|pid| pid.parse().ok()) != Some(process::id()) {
        return Err(ActivationError::OtherProcess);
    }
    let descriptors = sd_notify::listen_fds_with_names().map_err(ActivationError::Environment)?;
    let mut sockets = Sockets::default();
    for (descriptor, name) in descriptors {
        // SAFETY: it is open, for sd_notify has set its flags, and the process was started with it: nothing else owns it, as
        // this function is called once, and before anything else opens descriptors.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        if let Some(found) = wrong_kind(&descriptor) {
            // Closed here. systemd keeps its own, and looks at it again only when this process has ended.
            sockets.unusable.push(ActivationError::Descriptor { name, found });
            continue;
        }
        match Listener::inherit(descriptor) {
            Ok(Inherited::Listening(listener)) => sockets.usable.push(Passed { name, listener }),
            // A process for each connection: it ends with it, and nothing starts it again.
            Ok(Inherited::Connected(..)) => return Err(ActivationError::Connected(name)),
            Err(source) => sockets.unusable.push(ActivationError::Inherit { name, source }),
        }
    }
    let none = sockets.usable.is_empty() && sockets.unusable.is_empty();
    if none { Err(ActivationError::None) } else { Ok(Some(sockets)) }
}

/// What a descriptor is that is no stream socket, listening or connected.
fn wrong_kind(descriptor: &OwnedFd) -> Option<&'static str> {
    let socket = SockRef::from(descriptor);
    match socket.r#type() {
        Ok(Type::STREAM) => {
            let listens = socket.is_listener().unwrap_or(false);
            (!listens && socket.peer_addr().is_err()).then_some("a stream socket that does not listen")
        }
        Ok(Type::DGRAM) => Some("a datagram socket (ListenDatagram=)"),
        Ok(Type::SEQPACKET) => Some("a sequential packet socket (ListenSequentialPacket=)"),
        Ok(_) => Some("a socket of another kind (ListenNetlink=)"),
        Err(_) => Some(match fstat(descriptor).map(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT) {
            Ok(SFlag::S_IFIFO) => "a pipe (ListenFIFO=)",
            _ => "a file (ListenSpecial=)",
        }),
    }
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
/// the sockets of each claim, in the claims' order, and those that are for no route.
pub fn deal(sockets: Vec<Passed>, claims: &[Claim<'_>]) -> (Vec<Vec<Listener>>, Vec<Passed>) {
    let mut dealt: Vec<Vec<Listener>> = claims.iter().map(|_| Vec::new()).collect();
    let mut strays = Vec::new();
    for Passed { name, listener } in sockets {
        let by_name = claims.iter().position(|claim| claim.route == name || unit_name(claim.route) == name);
        let by_address = || {
            claims.iter().position(|claim| claim.listen.iter().any(|address| address.stands_for(&listener.address())))
        };
        let only = (claims.len() == 1).then_some(0);
        match by_name.or_else(by_address).or(only) {
            Some(index) => dealt[index].push(listener),
            None => strays.push(Passed { name, listener }),
        }
    }
    (dealt, strays)
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
        let (dealt, strays) = deal(sockets, &claims);
        assert!(strays.is_empty());
        assert_eq!(dealt.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
        let (dealt, strays) = deal(vec![socket("stray", "127.0.0.1:0")], &claims);
        assert!(dealt.iter().all(Vec::is_empty) && strays.len() == 1 && strays[0].name == "stray");
        assert_eq!(deal(vec![socket("stray", "127.0.0.1:0")], &claims[..1]).0[0].len(), 1);
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
