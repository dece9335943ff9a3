//! The WebSocket protocol on the server's side, pure: bytes go in as arguments and come out as values.
//!
//! Promise: every rule of RFC 6455 that concerns a server is checked here, and no frame or message is ever held whole.
//! Nothing here knows a socket, a clock or tokio, and nothing allocates per frame. Versions 7, 8 and 13 (`HyBi`) frame
//! alike and differ only in the number they announce; those before, drafts 75 and 76 (Hixie), have a handshake and frames
//! of their own. [`handshake`] chooses, and [`codec`] speaks what was chosen.
//!
//! Deliberately not here: extensions (none is ever negotiated, so RSV bits are errors), and the borders of messages,
//! which a byte stream has no use for; the decoder still reports them for those who have.

pub mod base64;
pub mod close;
pub mod codec;
pub mod decoder;
pub mod encoder;
pub mod error;
pub mod handshake;
pub mod header;
pub mod hixie;
pub mod mask;
pub mod utf8;
