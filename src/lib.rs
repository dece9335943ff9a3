//! skeleton
pub mod cli;
pub mod config;
pub mod http;
pub mod limits;
pub mod log;
pub mod relay;
pub mod server;
pub mod socket;
pub mod target;
pub mod tls;
pub mod websocket;
