//! A connection once it is known whether it is encrypted: a client's, or one that this program made to a target or a service.
//!
//! Owned by whoever has it. Everything above reads and writes plain bytes and need not know which it is.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ClientIdentity;
use super::session::Session;
use super::side::{Client, Server, Side};
use crate::proxy_protocol::write::ClientTls;
use crate::socket::Socket;
use crate::splice::{Pipe, Splice};

/// A client's connection.
pub type Stream = Wire<Server>;

/// A connection that this program made.
pub type Outward = Wire<Client>;

/// A connection, plain or encrypted.
///
/// # Flushing
/// `poll_write` of an encrypted one takes bytes as soon as they are encrypted, which may be before the socket has
/// taken the ciphertext. Whoever writes must drive `poll_flush` to `Ready` before it waits for anything else: nobody
/// else will send the rest. What may wait so is bounded (the records of one write).
///
/// # Ends
/// A read of 0 bytes is the other side's end, announced (`close_notify`) or not. Many just close the connection; that a
/// message was cut is seen by the protocol above, which has ends of its own. Reading goes on after `poll_shutdown`,
/// which sends `close_notify` and shuts the socket's write side.
pub enum Wire<S> {
    /// As it is.
    Plain(Socket),
    /// Encrypted. Boxed, for it is much larger than a socket.
    Tls(Box<Session<S>>),
}

impl<S> Wire<S> {
    /// Whether the bytes are encrypted on their way.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The socket that carries the bytes as they are.
    fn bare(&mut self) -> io::Result<&mut Socket> {
        match self {
            Self::Plain(socket) => Ok(socket),
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Stream {
    /// Our end of the connection. None: it is a Unix socket's.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(socket) => socket.local_address(),
            Self::Tls(session) => session.socket().local_address(),
        }
    }

    /// How the client's bytes are encrypted, and for which name it has asked. None: they are not.
    pub fn tls(&self) -> Option<(ClientTls<'_>, Option<&str>)> {
        let Self::Tls(session) = self else { return None };
        let common = session.side().common();
        let version = match common.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let cipher = common.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or_default();
        Some((ClientTls { version, cipher, alpn: common.alpn_protocol(), certificate: None }, session.side().name()))
    }

    /// Whom the client's certificate names, which the handshake has judged. None: it has shown none.
    pub fn identity(&self) -> Option<ClientIdentity> {
        let Self::Tls(session) = self else { return None };
        ClientIdentity::of(session.side().common().peer_certificates()?.first()?)
    }
}

impl<S> fmt::Debug for Wire<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(socket) => f.debug_tuple("Plain").field(socket).finish(),
            Self::Tls(session) => f.debug_tuple("Tls").field(session).finish(),
        }
    }
}

impl<S: Side> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(session) => Pin::new(session).poll_read(cx, buf),
        }
    }
}

impl<S: Side> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(session) => Pin::new(session).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(session) => Pin::new(session).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(session) => Pin::new(session).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Self::Tls(session) => Pin::new(session).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self, Self::Plain(_)) // a record is one piece
    }
}

impl<S> Splice for Wire<S> {
    fn is_bare(&self) -> bool {
        matches!(self, Self::Plain(socket) if socket.is_bare())
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe, limit: usize) -> Poll<io::Result<usize>> {
        self.bare()?.poll_fill(cx, pipe, limit)
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        self.bare()?.poll_drain(cx, pipe)
    }

    fn poll_write_more(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.bare()?.poll_write_more(cx, bytes)
    }
}
