//! websockify bridges WebSocket clients to ordinary stream sockets.
//!
//! skeleton
pub mod cli;
pub mod config;
pub(crate) mod connection;
pub mod demo;
pub mod http;
pub mod limits;
pub mod log;
pub mod relay;
pub mod server;
pub mod session;
pub mod socket;
pub mod startup;
pub mod target;
pub mod tls;
pub mod websocket;
