//! What this program is to systemd, beside a process.
//!
//! [`generator`] makes units of routes. Everything here is about files and environment that systemd gives or takes; who listens
//! and serves knows nothing of it.

mod egress;
pub mod generator;
mod service;
mod socket;
mod unit_file;
