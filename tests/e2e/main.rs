//! End to end: the real binary, real sockets, one behaviour a test, its name the sentence.
//!
//! Nothing here uses the library: the client and the target are this directory's own, so that a misunderstanding in the
//! product is not shared by its test.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test program is reached by nobody, and fails by panicking")]

mod support;

mod endings;
mod floods;
mod handshakes;
mod large;
mod last_bytes;
mod limits;
mod liveness;
mod patience;
mod protocol_errors;
mod relaying;
mod unreachable;
