//! The relay's promises, each a sentence: those of the rules (`tunnel`), and those of the loop that obeys them (`drive`).
//!
//! What a client receives is read by `frames`, which shares nothing with the code under test.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::cast_possible_truncation, reason = "lengths and patterns of test data are cut on purpose")]

mod base64;
mod drive;
mod frames;
mod stream;
mod tunnel;
mod world;
