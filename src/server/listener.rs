//! A listening stream socket, TCP or Unix, bound here or inherited.
//!
//! A Unix socket is made with its permissions from the first moment on, and removed when the listener is dropped. What
//! already stands at its path is removed only when it is a socket that nobody listens on.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::debug;

use crate::socket::{Accepted, Peer};

/// Where a route listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// `6080`, `host:6080`, `[IPv6]:6080`. No host: every address of the machine, IPv6 and IPv4.
    Tcp {
        /// A name or address without brackets; a name's every address is bound.
        host: Option<String>,
        /// 0 lets the kernel choose; the log says which.
        port: u16,
    },
    /// An absolute path.
    Unix {
        /// Where the socket is made.
        path: PathBuf,
        /// Permissions of the socket.
        mode: u32,
    },
}

/// A listening address was written in a way that none is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenAddressError {
    /// The part after the last colon is not a port.
    #[error("'{0}' is not an address to listen on: write a port (0 to 65535), host:port, [IPv6]:port or /path")]
    Form(String),
}

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

impl ListenAddress {
    /// The permissions of a Unix socket when nothing else is asked for: the owner's, as the original's.
    pub const UNIX_MODE: u32 = 0o600;

    /// Whether both are the same socket, whatever permissions they ask for.
    pub fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix { path, .. }, Self::Unix { path: other, .. }) => path == other,
            _ => self == other,
        }
    }

    /// Gives the file of a Unix socket the permissions that `wanted` has.
    pub fn change_mode(&mut self, wanted: &Self) {
        if let (Self::Unix { path, mode }, Self::Unix { mode: wanted, .. }) = (self, wanted)
            && mode != wanted
        {
            match fs::set_permissions(&*path, fs::Permissions::from_mode(*wanted)) {
                Ok(()) => *mode = *wanted,
                Err(error) => debug!(%error, "the permissions of {} stay", path.display()),
            }
        }
    }

    /// Whether a socket that is bound to the literal address `bound` is what this asks for. Names are not looked up: a
    /// socket at one of a name's addresses is not known to be the name's.
    pub fn stands_for(&self, bound: &Self) -> bool {
        match (self, bound) {
            (Self::Unix { path, .. }, Self::Unix { path: bound, .. }) => path == bound,
            (Self::Tcp { host, port }, Self::Tcp { host: Some(bound), port: bound_port }) if port == bound_port => {
                let Ok(bound) = bound.parse::<IpAddr>() else { return false };
                host.as_ref().map_or(bound.is_unspecified(), |host| host.parse() == Ok(bound))
            }
            _ => false,
        }
    }
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
        let addresses =
            (host, port).to_socket_addrs().map_err(|source| ListenError::Resolve { host: host.to_owned(), source })?;
        let mut listeners: Vec<Self> = Vec::new();
        let mut unavailable = None;
        for mut address in addresses {
            if port == 0
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
    socket.set_keepalive(true)
}

fn listen(socket: &Socket, backlog: u32) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Makes way at `path`, if what is there is a socket of a process that is gone.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let occupied = |what| ListenError::Occupied { path: path.to_owned(), what };
    let failed = |source| ListenError::Bind { address: path.display().to_string(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if metadata.is_dir() => return Err(occupied("a directory")),
        Ok(metadata) if metadata.is_symlink() => return Err(occupied("a symbolic link")),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(occupied("a file that is not a socket")),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(_) => Err(occupied("the socket of a running program")),
    }
}

/// The file of a Unix socket that was made here.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode: somebody else's socket of the same name is left alone.
    identity: (u64, u64),
}

impl SocketFile {
    fn made(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours =
            fs::symlink_metadata(&self.path).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if is_ours {
            let _ = fs::remove_file(&self.path); // a file that stays is stale, and known as such next time
        }
    }
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

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    /// A port alone, or a host and a port split at the last colon with brackets stripped, as the original did; or the
    /// absolute path of a Unix socket.
    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        if text.starts_with('/') {
            return Ok(Self::Unix { path: text.into(), mode: Self::UNIX_MODE });
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let port = port.parse().map_err(|_| ListenAddressError::Form(text.to_owned()))?;
        let host = host.trim_matches(['[', ']']);
        Ok(Self::Tcp { host: (!host.is_empty()).then(|| host.to_owned()), port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host: None, port } => write!(f, "{port}"),
            Self::Tcp { host: Some(host), port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host: Some(host), port } => write!(f, "{host}:{port}"),
            Self::Unix { path, .. } => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
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

    #[test]
    fn addresses_are_read_as_the_original_read_them() {
        let tcp = |host: Option<&str>, port| Ok(ListenAddress::Tcp { host: host.map(str::to_owned), port });
        assert_eq!("6080".parse(), tcp(None, 6080));
        assert_eq!(":6080".parse(), tcp(None, 6080));
        assert_eq!("127.0.0.1:6080".parse(), tcp(Some("127.0.0.1"), 6080));
        assert_eq!("[::1]:6080".parse(), tcp(Some("::1"), 6080));
        assert_eq!("::1:6080".parse(), tcp(Some("::1"), 6080));
        for wrong in ["", "99999", "host", "-1", "6080:", "a:b"] {
            assert!(wrong.parse::<ListenAddress>().is_err(), "{wrong}");
        }
    }
}
