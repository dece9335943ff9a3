//! End to end: the real binary, real sockets, one behaviour a test, its name the sentence.
//!
//! Nothing here uses the library: the client and the target are this directory's own, so that a misunderstanding in the
//! product is not shared by its test.

#![allow(
    unreachable_pub,
    clippy::large_stack_arrays,
    clippy::missing_spin_loop,
    clippy::semicolon_if_nothing_returned,
    clippy::unwrap_used,
    reason = "a test program is reached by nobody, has room, and fails by panicking"
)]

mod support;

mod access;
mod activation;
mod authentication;
mod base64;
mod certificates;
mod client_certificates;
mod cluster;
mod credentials;
mod daemon;
mod dead_peers;
mod demo;
mod documents;
mod drain;
mod endings;
mod exit_idle;
mod floods;
mod grants;
mod handshake_rules;
mod handshakes;
mod hixie;
mod inetd;
mod journal;
mod large;
mod last_bytes;
mod lifetime;
mod limits;
mod liveness;
mod logging;
mod patience;
mod programs;
mod protocol_errors;
mod proxies;
mod record;
mod refusals;
mod relaying;
mod reload;
mod reload_load;
mod replay;
mod routes;
mod sources;
mod status;
mod syslog;
mod target_tls;
mod targets;
mod text;
mod tls;
mod token_holes;
mod token_services;
mod tokens;
mod unreachable;
mod web;
mod withdrawal;
