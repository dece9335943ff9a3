//! End to end: the real binary, real sockets, one behaviour a test, its name the sentence.
//!
//! Nothing here uses the library: the client and the target are this directory's own, so that a misunderstanding in the
//! product is not shared by its test.

mod support;

mod relaying;
