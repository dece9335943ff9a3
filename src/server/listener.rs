//! A listening stream socket, TCP or Unix, bound here or inherited.
//!
//! A Unix socket is made with its permissions from the first moment on, and removed when the listener is dropped.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::address::ListenAddress;
use super::socket_file::{SocketFile, remove_stale};
use crate::socket::{Accepted, Peer, is_localhost, keepalive, loopback};

/// How often a port is chosen that all addresses of a name are to have.
const PORT_ATTEMPTS: usize = 16;

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The kernel refused an address.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// An inherited descriptor is of no use.
    #[error("cannot use the inherited socket")]
    Inherited(#[source] io::Error),
    /// An inherited descriptor is something else.
    #[error("it is not a stream socket")]
    NotASocket,
    /// Something stands at the path of a Unix socket that is not ours to remove.
    #[error("cannot listen on {}: {what} is in the way; remove it, or choose another path", path.display())]
    Occupied {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The name to listen on could not be looked up.
    #[error("cannot resolve '{host}' to listen on it")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    socket: Listening,
    /// What it is called in the log: the real port, when the kernel chose it.
    name: String,
    /// Removed when it is dropped.
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What was found on standard input.
#[derive(Debug)]
pub enum Inherited {
    /// One client, connected already.
    Connected(Accepted, Peer),
    /// A socket to accept from.
    Listening(Listener),
}

impl Listener {
    /// Binds every address that `address` stands for, and listens.
    pub fn bind(address: &ListenAddress, backlog: u32) -> Result<Vec<Self>, ListenError> {
        match address {
            ListenAddress::Unix { path, mode } => Ok(vec![Self::bind_path(path, *mode, backlog)?]),
            ListenAddress::Tcp { host: None, port } => Ok(vec![Self::bind_any(*port, backlog)?]),
            ListenAddress::Tcp { host: Some(host), port } => Self::bind_host(host, *port, backlog),
        }
    }

    /// Takes over a socket, such as standard input under inetd.
    pub fn inherit(socket: OwnedFd) -> Result<Inherited, ListenError> {
        let socket = Socket::from(socket);
        match socket.r#type() {
            Ok(Type::STREAM) => {}
            Ok(_) => return Err(ListenError::NotASocket),
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOTSOCK) => return Err(ListenError::NotASocket),
            Err(error) => return Err(ListenError::Inherited(error)),
        }
        let inspect = |socket: &Socket| Ok((socket.is_listener()?, socket.local_addr()?.as_socket()));
        let (listens, ip) = inspect(&socket).map_err(ListenError::Inherited)?;
        socket.set_nonblocking(true).map_err(ListenError::Inherited)?;
        if ip.is_some() {
            prepare(&socket).map_err(ListenError::Inherited)?;
        }
        Ok(match (listens, ip) {
            (true, Some(ip)) => {
                let name = canonical(ip).to_string();
                Inherited::Listening(Self { socket: Listening::Tcp(socket.into()), name, _file: None })
            }
            (true, None) => {
                let path = socket.local_addr().map_err(ListenError::Inherited)?;
                let name =
                    path.as_pathname().map_or("an unnamed Unix socket".into(), Path::to_string_lossy).into_owned();
                Inherited::Listening(Self { socket: Listening::Unix(socket.into()), name, _file: None })
            }
            (false, Some(_)) => {
                let peer = socket.peer_addr().map_err(ListenError::Inherited)?.as_socket();
                Inherited::Connected(Accepted::Tcp(socket.into()), peer.map_or(Peer::Unix, Peer::from))
            }
            (false, None) => Inherited::Connected(Accepted::Unix(socket.into()), Peer::Unix),
        })
    }

    /// Where it listens, as literally as can be.
    pub fn address(&self) -> ListenAddress {
        match self.tcp_address() {
            Some(bound) => ListenAddress::Tcp { host: Some(bound.ip().to_string()), port: bound.port() },
            None => ListenAddress::Unix { path: self.name.clone().into(), mode: ListenAddress::UNIX_MODE },
        }
    }

    /// The next client, if one waits; [`ErrorKind::WouldBlock`] otherwise.
    pub fn accept(&self) -> io::Result<(Accepted, Peer)> {
        match &self.socket {
            Listening::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Accepted::Tcp(stream), address.into()))
            }
            Listening::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Accepted::Unix(stream), Peer::Unix))
            }
        }
    }

    /// Whether a client waits to be accepted; [`ErrorKind::WouldBlock`] when none does.
    pub fn somebody_waits(&self) -> io::Result<()> {
        let mut wanted = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        match poll(&mut wanted, PollTimeout::ZERO)? {
            0 => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    }

    /// Stops listening on TCP and keeps the address, so that a socket with a part of it can be bound. Who waits is refused.
    pub fn suspend(&self) -> io::Result<()> {
        SockRef::from(self).shutdown(Shutdown::Both)
    }

    /// Listens again after [`suspend`](Self::suspend).
    pub fn resume(&self, backlog: u32) -> io::Result<()> {
        listen(&SockRef::from(self), backlog)
    }

    /// Registers the listener with the runtime of the current thread, to learn when a client waits.
    #[expect(unsafe_code, reason = "tokio's listeners would register each accepted socket here, for another thread")]
    pub fn watch(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: `as_raw_fd` gives the one descriptor that the listener owns, the same each time, open until the
        // listener is dropped, which is inside the AsyncFd and after its deregistration.
        let watched = unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) };
        watched.map_err(io::Error::from)
    }

    /// Every address of the machine with one socket; IPv4 alone on a machine without IPv6.
    fn bind_any(port: u16, backlog: u32) -> Result<Self, ListenError> {
        match Self::bind_address(SocketAddr::from(([0_u16; 8], port)), backlog) {
            Err(ListenError::Bind { source, .. })
                if matches!(source.raw_os_error(), Some(nix::libc::EAFNOSUPPORT | nix::libc::EADDRNOTAVAIL)) =>
            {
                Self::bind_address(SocketAddr::from(([0; 4], port)), backlog)
            }
            outcome => outcome,
        }
    }

    /// All addresses of a name; one of another family that this machine does not have is left out, if another works.
    fn bind_host(host: &str, port: u16, backlog: u32) -> Result<Vec<Self>, ListenError> {
        let addresses: Vec<SocketAddr> = if is_localhost(host) {
            loopback(port).into()
        } else {
            let resolve = |source| ListenError::Resolve { host: host.to_owned(), source };
            (host, port).to_socket_addrs().map_err(resolve)?.collect()
        };
        // The port that the kernel chose for the first address may be somebody else's at the next.
        let attempts = if port == 0 { PORT_ATTEMPTS } else { 1 };
        for _ in 1..attempts {
            match Self::bind_each(&addresses, backlog) {
                Err(ListenError::Bind { source, .. }) if source.kind() == ErrorKind::AddrInUse => {}
                outcome => return outcome,
            }
        }
        Self::bind_each(&addresses, backlog)
    }

    fn bind_each(addresses: &[SocketAddr], backlog: u32) -> Result<Vec<Self>, ListenError> {
        let mut listeners: Vec<Self> = Vec::new();
        let mut unavailable = None;
        for mut address in addresses.iter().copied() {
            if address.port() == 0
                && let Some(first) = listeners.first().and_then(Self::tcp_address)
            {
                address.set_port(first.port()); // one name, one port
            }
            if listeners.iter().any(|listener| listener.tcp_address() == Some(address)) {
                continue;
            }
            match Self::bind_address(address, backlog) {
                Ok(listener) => listeners.push(listener),
                Err(ListenError::Bind { address, source })
                    if source.raw_os_error() == Some(nix::libc::EADDRNOTAVAIL)
                        || source.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) =>
                {
                    unavailable = Some(ListenError::Bind { address, source });
                }
                Err(error) => return Err(error),
            }
        }
        match (listeners.is_empty(), unavailable) {
            (true, Some(error)) => Err(error),
            _ => Ok(listeners),
        }
    }

    fn bind_address(address: SocketAddr, backlog: u32) -> Result<Self, ListenError> {
        let bind = || {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            if address.is_ipv6() {
                // The wildcard takes IPv4 clients too; a literal IPv6 address never would.
                socket.set_only_v6(!address.ip().is_unspecified())?;
            }
            socket.set_reuse_address(true)?;
            prepare(&socket)?;
            socket.bind(&address.into())?;
            listen(&socket, backlog)?;
            let name = socket.local_addr()?.as_socket().map_or_else(String::new, |bound| bound.to_string());
            Ok(Self { socket: Listening::Tcp(socket.into()), name, _file: None })
        };
        bind().map_err(|source| ListenError::Bind { address: address.to_string(), source })
    }

    fn bind_path(path: &Path, mode: u32, backlog: u32) -> Result<Self, ListenError> {
        remove_stale(path)?;
        let bind = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            // Linux gives the file the mode that the socket has when it is bound, less the umask: there is no moment at
            // which it is open to more than it should be.
            fchmod(&socket, Mode::from_bits_truncate(mode))?;
            socket.bind(&SockAddr::unix(path)?)?;
            let file = SocketFile::made(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?; // what the umask took, it gets back
            listen(&socket, backlog)?;
            Ok(Self { socket: Listening::Unix(socket.into()), name: path.display().to_string(), _file: Some(file) })
        };
        bind().map_err(|source| ListenError::Bind { address: path.display().to_string(), source })
    }

    /// Where it listens, with the real port, unless it is a Unix socket.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Listening::Tcp(listener) => listener.local_addr().ok(),
            Listening::Unix(_) => None,
        }
    }
}

/// What accepted sockets inherit from the listening one on Linux.
fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive())
}

fn listen(socket: &Socket, backlog: u32) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl AsFd for Listener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match &self.socket {
            Listening::Tcp(listener) => listener.as_fd(),
            Listening::Unix(listener) => listener.as_fd(),
        }
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn bind(address: &str) -> Result<Vec<Listener>, ListenError> {
        Listener::bind(&address.parse().unwrap(), 8)
    }

    fn accept_one(listener: &Listener) -> (Accepted, Peer) {
        loop {
            match listener.accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                outcome => return outcome.unwrap(),
            }
        }
    }

    #[test]
    fn a_port_that_is_free_at_one_address_alone_is_not_chosen_for_a_name() {
        // So many ports are taken at one of the two addresses that a single choice would soon be a wrong one.
        let taken: Vec<_> = (0..600).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        for _ in 0..200 {
            let listeners = bind("localhost:0").unwrap();
            assert_eq!(listeners.len(), 2);
            assert_eq!(
                listeners[0].tcp_address().map(|address| address.port()),
                listeners[1].tcp_address().map(|address| address.port())
            );
        }
        drop(taken);
    }

    #[test]
    fn a_bare_port_takes_ipv4_and_ipv6_and_shows_ipv4_clients_as_such() {
        let listener = bind("0").unwrap().remove(0);
        let port = listener.tcp_address().unwrap().port();
        for address in ["127.0.0.1", "::1"] {
            let _client = std::net::TcpStream::connect((address, port)).unwrap();
            let (_, peer) = accept_one(&listener);
            assert_eq!(peer.ip(), Some(address.parse().unwrap()));
        }
    }

    #[test]
    fn accepted_sockets_have_no_delay_and_keepalive_without_a_call_of_their_own() {
        let listener = bind("127.0.0.1:0").unwrap().remove(0);
        let _client = std::net::TcpStream::connect(listener.tcp_address().unwrap()).unwrap();
        let (Accepted::Tcp(stream), _) = accept_one(&listener) else { unreachable!() };
        assert!(stream.nodelay().unwrap());
        assert!(socket2::SockRef::from(&stream).keepalive().unwrap());
    }

    #[test]
    fn all_addresses_of_a_name_share_a_port() {
        let listeners = bind("localhost:0").unwrap();
        let ports: Vec<u16> = listeners.iter().map(|listener| listener.tcp_address().unwrap().port()).collect();
        assert!(ports.iter().all(|port| *port == ports[0]));
    }

    #[test]
    fn a_unix_socket_has_its_mode_and_goes_with_its_listener() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let address = ListenAddress::Unix { path: path.clone(), mode: 0o666 };
        let listener = Listener::bind(&address, 8).unwrap().remove(0);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o666);
        let taken = Listener::bind(&address, 8).unwrap_err().to_string();
        assert!(taken.contains("the socket of a running program is in the way"), "{taken}");
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn only_a_stale_socket_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        drop(UnixListener::bind(&path).unwrap()); // std leaves the file: nobody listens on it
        assert!(path.exists());
        drop(bind(path.to_str().unwrap()).unwrap());
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(path.to_str().unwrap()), Err(ListenError::Occupied { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
