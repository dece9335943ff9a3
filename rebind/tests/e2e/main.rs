//! The library as it is shipped, in programs of C, Python, Node and Debian; one behaviour a test, its name the sentence.
//!
//! Each test has a network of its own, with 192.0.2.1 and `2001:db8::1` as addresses that are not loopback: so the ports can
//! be the usual ones, and `ss` shows all there is. The port that programs ask for is 5901, and the one they get is 43211.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test program is reached by nobody and fails by panicking")]

#[macro_use]
mod support;

mod addresses;
mod daemons;
mod environment;
mod helper;
mod holding;
mod kernel;
mod linking;
mod programs;
mod threads;
