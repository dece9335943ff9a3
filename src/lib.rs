//! websockify bridges WebSocket clients to ordinary stream sockets. This text is the map.
//!
//! # The way of a connection
//!
//! ```text
//! listener ─► server::accept ─► server::worker ─► connection: the story, read top to bottom in one file
//!    tls::accept: the first byte ─► http::next_upgrade: files, until a request wants more ─► websocket::handshake
//!       ─► access::Access::admit ─► target::targets: where to ─► target::dial ─► the 101 ─► relay::drive, by the rules of relay::tunnel ─► relay::end, logged once
//! ```
//!
//! Every step consumes what the step before produced. Bytes that were read past the request's head are passed on by value,
//! so that early frames cannot be lost. Before the 101 there is one deadline; after it there is one way to end.
//!
//! # The parts, from the outside in
//!
//! | part | what it is |
//! |---|---|
//! | [`cli`] | what was typed: the original's command line, and the verbs |
//! | [`config`] | what a route file says, with the place of every mistake |
//! | [`startup`] | from a command to a running daemon |
//! | [`server`] | listeners, workers, limits, reload, and the drain at the end. Knows no protocol |
//! | `connection` | the story of one connection |
//! | [`control`] | what `websockify grant` and the daemon say to each other |
//! | [`systemd`] | the sockets that systemd passes, and what it is told |
//! | [`replay`] | the target that says again what a recording holds, and the summary of one |
//! | [`access`] | who may connect |
//! | `beneath` | files below a directory, and none above it |
//! | [`tls`] | the first byte, certificates and their renewal, whose certificates of clients are believed |
//! | [`http`] | requests and files, up to an upgrade |
//! | [`target`] | where sessions go, and how to get there |
//! | [`program`] | a wrapped program: started, moved to loopback, watched and ended |
//! | [`relay`] | from the 101 to the end: the rules, and the one loop that obeys them |
//! | [`splice`] | bytes from socket to socket, past this process |
//! | [`record`] | what was said in a session, in a file |
//! | [`websocket`] | the protocol, pure |
//! | [`proxy_protocol`] | what a proxy says of a connection before its first byte, pure |
//! | `built_in` | targets of this process itself: the demo's and a replay's |
//! | [`demo`] | the target that `websockify demo` talks to |
//! | [`log`] | one line a record, to people, a file and syslog; fields to the journal; and what each kind of record means |
//!
//! Dependencies point down this table. Two kinds point up: [`config`] parses into settings types that their owners define, and
//! `connection` is handed the [`server`]'s site, stop and job, which are what it serves.
//!
//! # What always holds
//!
//! * No frame and no message is ever held whole; an idle session owns no buffer. A side that takes no more stops the reading of
//!   its source, and nothing else.
//! * Every byte accepted from a side is delivered in order, or the log says how many were not.
//! * Every wait has a deadline ([`limits`]), every buffer a bound.
//! * What a client can cause is an ending, not an error; what it sends is never trusted in a log line, and its query never logged.

pub mod access;
mod beneath;
mod built_in;
pub mod cli;
pub mod config;
mod connection;
pub mod control;
pub mod demo;
pub mod http;
pub mod limits;
pub mod log;
pub mod program;
pub mod proxy_protocol;
pub mod record;
pub mod relay;
pub mod replay;
pub mod server;
pub mod session;
pub mod socket;
pub mod splice;
mod stamp;
pub mod startup;
pub mod systemd;
mod tag;
pub mod target;
pub mod tls;
pub mod websocket;
