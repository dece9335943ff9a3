//! The port of loopback that a moved program gets, held for it by sockets that never listen.
//!
//! A socket that allows reuse and does not listen keeps everybody from getting its port by chance, and does not keep out a
//! program that was preloaded: its library allows reuse too. So there is no moment in which the port is anybody's, not even
//! while the program is started again.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use socket2::{Domain, Socket, Type};

/// So often a port is chosen that IPv4 has and IPv6 has not.
const ATTEMPTS: usize = 64;

/// Where a program is to be found.
#[derive(Clone, Debug)]
pub struct Place {
    /// 0: not known yet.
    port: Arc<AtomicU16>,
    /// Nobody will listen there any more.
    deserted: Arc<AtomicBool>,
}

impl Place {
    /// One that is still to be found.
    pub(super) fn unknown() -> Self {
        Self::at(0)
    }

    fn at(port: u16) -> Self {
        Self { port: Arc::new(port.into()), deserted: Arc::default() }
    }

    /// The addresses that a moved program has, first what most have.
    pub fn addresses(&self) -> [SocketAddr; 2] {
        let port = self.port();
        [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
    }

    fn port(&self) -> u16 {
        self.port.load(Ordering::Relaxed)
    }

    /// It is there.
    pub(super) fn settle(&self, port: u16) {
        self.port.store(port, Ordering::Relaxed);
    }

    /// The program and all that it left behind are gone, and will not come back.
    pub fn is_deserted(&self) -> bool {
        self.deserted.load(Ordering::Relaxed)
    }

    /// Somebody lives there again.
    pub(super) fn inhabit(&self) {
        self.deserted.store(false, Ordering::Relaxed);
    }

    pub(super) fn desert(&self) {
        self.deserted.store(true, Ordering::Relaxed);
    }
}

impl PartialEq for Place {
    /// A port is one place, whoever lives there.
    fn eq(&self, other: &Self) -> bool {
        self.port() == other.port()
    }
}

impl Eq for Place {}

/// A place that is kept free.
#[derive(Debug)]
pub(super) struct Held {
    place: Place,
    _sockets: (Socket, Option<Socket>),
}

impl Held {
    /// A port that is free on the loopbacks of both families, or of IPv4 where there is no IPv6.
    pub(super) fn new() -> io::Result<Self> {
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
            let place = Place::at(port);
            return Ok(Self { place, _sockets: (ipv4, ipv6) });
        }
        Err(in_use.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
    }

    pub(super) fn port(&self) -> u16 {
        self.place.port()
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

fn hold(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_held_port_is_refused_to_others_and_shared_with_who_allows_reuse() {
        let held = Held::new().unwrap();
        for address in held.place().addresses() {
            let other = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
            assert_eq!(other.bind(&address.into()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
            other.set_reuse_address(true).unwrap();
            other.bind(&address.into()).unwrap();
            other.listen(1).unwrap();
        }
    }

    #[test]
    fn nobody_answers_where_nobody_lives() {
        let held = Held::new().unwrap();
        let error = std::net::TcpStream::connect(held.place().addresses()[0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
