//! The PROXY protocol, versions 1 and 2: what a proxy says of a connection before its first byte.
//!
//! Promise: [`read`] takes a header of others apart and never asks for a byte that is not the header's; [`mod@write`] makes
//! ours. Both are pure: who may be believed is the business of [`access`](crate::access), and who waits for the bytes that of
//! the connection. The numbers of sections are those of the specification, `proxy-protocol.txt`.

mod crc32c;
pub mod read;
pub mod write;

/// How a header of version 2 begins (2.2); nothing else that is spoken on a port of ours does.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// How a header of version 1 begins (2.1); no method of HTTP is called so.
const PREFIX: &[u8] = b"PROXY ";

/// The head of version 2: the signature, version and command, family and transport, and the length of the rest.
const HEAD_BYTES: usize = 16;

/// Types of what may follow the addresses (2.2.1 and on).
mod tlv {
    pub(super) const ALPN: u8 = 0x01;
    pub(super) const AUTHORITY: u8 = 0x02;
    pub(super) const CRC32C: u8 = 0x03;
    pub(super) const UNIQUE_ID: u8 = 0x05;
    pub(super) const SSL: u8 = 0x20;
    pub(super) const SSL_VERSION: u8 = 0x21;
    pub(super) const SSL_CN: u8 = 0x22;
    pub(super) const SSL_CIPHER: u8 = 0x23;
}

/// The bit that says that the client connected to the proxy by TLS (2.2.5).
const CLIENT_SSL: u8 = 0x01;

/// The bits that say that it showed a certificate, on this connection and in this TLS session.
const CLIENT_CERT: u8 = 0x02 | 0x04;

/// Which version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary, with room for more than addresses.
    V2,
}
