//! skeleton
pub mod cli;
pub mod config;
pub mod demo;
pub mod http;
pub mod limits;
pub mod log;
pub mod server;
pub mod socket;
pub mod target;
pub mod tls;
