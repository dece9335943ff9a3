//! A connected stream socket, TCP or Unix, and the name of who is at its other end.
//!
//! Both ends of a session are one: the client's below TLS, and the target's.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::libc::MSG_MORE;
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::TcpKeepalive;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::program::session::Stream;
use crate::splice::{Pipe, Splice};

/// Whether `host` is this machine's loopback, whatever a resolver says (RFC 6761).
pub fn is_localhost(host: &str) -> bool {
    host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case("localhost")
}

/// The addresses of `localhost`, in the order in which most resolvers give them.
pub fn loopback(port: u16) -> [SocketAddr; 2] {
    [SocketAddr::from((Ipv6Addr::LOCALHOST, port)), SocketAddr::from((Ipv4Addr::LOCALHOST, port))]
}

/// Whom an address belongs to: with IPv6 one client has a whole network of 64 bits.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// How the kernel finds out that a peer without a word is gone: in a minute, as the socket unit has it for clients.
/// A firewall in between also sees that the connection is still wanted.
pub fn keepalive() -> TcpKeepalive {
    const IDLE: Duration = Duration::from_secs(30);
    const INTERVAL: Duration = Duration::from_secs(10);
    TcpKeepalive::new().with_time(IDLE).with_interval(INTERVAL).with_retries(3)
}

/// A connected stream socket.
#[derive(Debug)]
pub enum Socket {
    /// Over IP, with `TCP_NODELAY` set by whoever made it.
    Tcp(TcpStream),
    /// In the file system or abstract.
    Unix(UnixStream),
    /// To a program of this session alone.
    Program(Box<Stream>),
}

/// A client's socket that no runtime knows yet: what the accepting thread hands to a worker.
#[derive(Debug)]
pub enum Accepted {
    /// Non-blocking.
    Tcp(std::net::TcpStream),
    /// Non-blocking.
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    /// Registers the socket with the runtime of the current thread.
    pub fn register(self) -> io::Result<Socket> {
        match self {
            Self::Tcp(stream) => TcpStream::from_std(stream).map(Socket::Tcp),
            Self::Unix(stream) => UnixStream::from_std(stream).map(Socket::Unix),
        }
    }
}

impl Socket {
    /// Its own end. None: it is a Unix socket.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Program(_) | Self::Unix(_) => None,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Program(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Program(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // a socket has no buffer of its own in this process
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Program(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Program(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Program(stream) => stream.as_fd(),
        }
    }
}

impl Socket {
    /// Whether a read would not have to wait.
    fn has_input(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        recv(self.as_fd().as_raw_fd(), &mut [0], flags).is_ok()
    }

    /// Tries `call` as often as the socket is ready for it.
    fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        mut call: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            let outcome = match self {
                Self::Tcp(stream) => {
                    ready!(if interest.is_readable() {
                        stream.poll_read_ready(cx)
                    } else {
                        stream.poll_write_ready(cx)
                    })?;
                    stream.try_io(interest, &mut call)
                }
                Self::Unix(stream) => {
                    ready!(if interest.is_readable() {
                        stream.poll_read_ready(cx)
                    } else {
                        stream.poll_write_ready(cx)
                    })?;
                    stream.try_io(interest, &mut call)
                }
                Self::Program(_) => return Poll::Ready(Err(io::ErrorKind::Unsupported.into())), // it is not bare
            };
            match outcome {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {} // it is known now not to be ready
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

impl Splice for Socket {
    fn is_bare(&self) -> bool {
        // A program's end is more than that of a stream.
        !matches!(self, Self::Program(_))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe, limit: usize) -> Poll<io::Result<usize>> {
        let socket = &*self;
        socket.poll_io(cx, Interest::READABLE, || match pipe.fill(socket, limit) {
            // Urgent data stops a splice, and not a read: there is something, and no edge will tell of it again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && socket.has_input() => {
                Err(io::ErrorKind::Interrupted.into())
            }
            filled => filled,
        })
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        let socket = &*self;
        socket.poll_io(cx, Interest::WRITABLE, || pipe.drain(socket))
    }

    fn poll_write_more(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let flags = MsgFlags::from_bits_retain(MSG_MORE) | MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        self.poll_io(cx, Interest::WRITABLE, || Ok(send(self.as_fd().as_raw_fd(), bytes, flags)?))
    }
}

/// Who connected: what logs and limits call the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP client. An IPv4 client of a dual-stack socket is shown as IPv4.
    Tcp(SocketAddr),
    /// A client of a proxy, which tells its address without a port.
    Address(IpAddr),
    /// A client of a Unix socket: it has no address.
    Unix,
}

impl Peer {
    /// Where it came from.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            // A proxy that speaks HTTP tells no port.
            Self::Address(address) => Some(SocketAddr::new(*address, 0)),
            Self::Unix => None,
        }
    }

    /// The address that limits count by.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Address(address) => Some(*address),
            Self::Unix => None,
        }
    }
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}
