//! A connection that this program made, plain or encrypted: to a target, or to a service.
//!
//! Owned by whoever made it, which reads and writes plain bytes and need not know which it is. What is said of flushing and of
//! ends at [`Stream`](super::Stream) holds here too.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::ciphertext::Ciphertext;
use crate::socket::Socket;
use crate::splice::{Pipe, Splice};

/// A connection that this program made.
#[derive(Debug)]
pub enum Outward {
    /// As it is.
    Plain(Socket),
    /// Encrypted. Boxed, for most are not, and it is much larger than a socket.
    Tls(Box<TlsStream<Ciphertext>>),
}

impl Outward {
    /// The socket that carries the bytes as they are.
    fn bare(&mut self) -> io::Result<&mut Socket> {
        match self {
            Self::Plain(socket) => Ok(socket),
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Splice for Outward {
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

impl AsyncRead for Outward {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            // Many servers just close; that a message was cut is seen by the protocol above.
            Self::Tls(stream) => match ready!(Pin::new(stream).poll_read(cx, buf)) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                result => Poll::Ready(result),
            },
        }
    }
}

impl AsyncWrite for Outward {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
