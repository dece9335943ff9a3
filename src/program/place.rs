//! Where a program is to be found, and how it stands; and the port of loopback that a moved one gets, held for it by sockets that
//! never listen.
//!
//! A socket that allows reuse and does not listen keeps everybody from getting its port by chance, and does not keep out a
//! program that was preloaded: its library allows reuse too. So there is no moment in which the port is anybody's, not even
//! while the program is started again. Somebody who wants that very port can take it all the same, with reuse as well; then
//! another one is chosen before the program is started.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use socket2::{Domain, Socket, Type};
use tokio::sync::watch;

use super::Ended;

/// So often a port is chosen that IPv4 has and IPv6 has not.
const ATTEMPTS: usize = 64;

/// Where a program is to be found, and how it stands.
#[derive(Clone, Debug)]
pub struct Place {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// 0: sessions do not go to it.
    port: AtomicU16,
    standing: watch::Sender<Standing>,
}

/// How a program stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It is about to be started.
    #[default]
    Begun,
    /// It runs.
    Running,
    /// It runs, and its port was not moved.
    NotMoved,
    /// It has ended, and will be started again.
    Resting,
    /// It has ended; what it has left in the background may serve.
    Background,
    /// It has ended so, and will not come back.
    Over(Ended),
    /// Nobody runs it.
    Deserted,
    /// It could not be started, for this reason.
    NotStarted(String),
}

impl Standing {
    /// Nobody will listen there any more.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Deserted | Self::Over(_) | Self::NotStarted(_))
    }
}

impl fmt::Display for Standing {
    /// What a sentence about a program goes on with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun => f.write_str("is being started"),
            Self::Running => f.write_str("runs"),
            Self::NotMoved => f.write_str("runs, and its port was not moved"),
            Self::Resting => f.write_str("has ended and is started again"),
            Self::Background => f.write_str("runs in the background"),
            Self::Over(ended) => write!(f, "has ended with status {}", ended.status()),
            Self::Deserted => f.write_str("does not run"),
            Self::NotStarted(reason) => write!(f, "cannot be started: {reason}"),
        }
    }
}

impl Place {
    /// A port that nothing moves; None: sessions do not go to the program.
    pub(crate) fn fixed(port: Option<u16>) -> Self {
        let (port, standing) = (port.unwrap_or(0).into(), watch::Sender::default());
        Self { shared: Arc::new(Shared { port, standing }) }
    }

    /// The addresses that a program has, first what most have.
    pub fn addresses(&self) -> [SocketAddr; 2] {
        let port = self.port();
        [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
    }

    /// How the program stands now.
    pub fn standing(&self) -> Standing {
        self.shared.standing.borrow().clone()
    }

    /// How it stands, and each change of it.
    pub fn watch(&self) -> watch::Receiver<Standing> {
        self.shared.standing.subscribe()
    }

    fn port(&self) -> u16 {
        self.shared.port.load(Ordering::Relaxed)
    }

    /// One that is still to be found.
    pub(super) fn unknown() -> Self {
        Self::fixed(None)
    }

    /// It is there.
    pub(super) fn settle(&self, port: u16) {
        self.shared.port.store(port, Ordering::Relaxed);
    }

    /// The program and all that it left behind are gone, and will not come back.
    pub fn is_deserted(&self) -> bool {
        self.shared.standing.borrow().is_over()
    }

    /// Somebody lives there again.
    pub(super) fn inhabit(&self) {
        self.stands(Standing::Running);
    }

    /// Nobody does, as the service manager says.
    pub(super) fn desert(&self) {
        self.stands(Standing::Deserted);
    }

    pub(super) fn stands(&self, standing: Standing) {
        self.shared.standing.send_if_modified(|old| {
            let is_new = *old != standing;
            *old = standing;
            is_new
        });
    }
}

impl PartialEq for Place {
    /// The place of one program, wherever it moves to.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Place {}

/// A place that is kept free.
#[derive(Debug)]
pub(super) struct Held {
    place: Place,
    sockets: Sockets,
}

type Sockets = (Socket, Option<Socket>);

impl Held {
    /// A port that is free on the loopbacks of both families, or of IPv4 where there is no IPv6.
    pub(super) fn new() -> io::Result<Self> {
        let (port, sockets) = choose()?;
        Ok(Self { place: Place::fixed(Some(port)), sockets })
    }

    /// Chooses another port, if somebody else listens at this one. Says whether that was so.
    pub(super) fn renew(&mut self) -> io::Result<bool> {
        let has_ipv6 = self.sockets.1.is_some();
        // A second socket may do what the program will: unless another one listens.
        let mut others = self.place.addresses().into_iter().filter(|address| address.is_ipv4() || has_ipv6);
        if !others.any(|address| hold(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)) {
            return Ok(false);
        }
        let (port, sockets) = choose()?;
        self.place.settle(port);
        self.sockets = sockets;
        Ok(true)
    }

    pub(super) fn port(&self) -> u16 {
        self.place.port()
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

fn choose() -> io::Result<(u16, Sockets)> {
    let mut in_use = None;
    for _ in 0..ATTEMPTS {
        let ipv4 = hold((Ipv4Addr::LOCALHOST, 0).into())?;
        let port = ipv4.local_addr()?.as_socket().map_or(0, |address| address.port());
        let ipv6 = match hold((Ipv6Addr::LOCALHOST, port).into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                in_use = Some(error);
                continue;
            }
            held => held.ok(),
        };
        return Ok((port, (ipv4, ipv6)));
    }
    Err(in_use.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

/// Binds without listening, as the library does: connections of a former life are not in its way.
pub(crate) fn hold(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// What a preloaded program does.
    fn listen(address: SocketAddr) -> Socket {
        let socket = hold(address).unwrap();
        socket.listen(1).unwrap();
        socket
    }

    #[test]
    fn a_held_port_is_refused_to_others_and_shared_with_who_allows_reuse() {
        let held = Held::new().unwrap();
        for address in held.place().addresses() {
            let other = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
            assert_eq!(other.bind(&address.into()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
            listen(address);
        }
    }

    #[test]
    fn nobody_answers_where_nobody_lives() {
        let held = Held::new().unwrap();
        let error = std::net::TcpStream::connect(held.place().addresses()[0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_port_that_was_taken_is_given_up_for_another() {
        for family in [0, 1] {
            let mut held = Held::new().unwrap();
            let (before, seen) = (held.port(), held.place().clone());
            assert!(!held.renew().unwrap());
            let thief = listen(seen.addresses()[family]);
            assert!(held.renew().unwrap());
            assert_ne!(held.port(), before);
            assert_eq!(seen.addresses()[0].port(), held.port(), "whoever knows the place learns of it");
            drop(thief);
            assert!(!held.renew().unwrap());
        }
    }
}
