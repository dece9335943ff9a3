//! What this program is to systemd, beside a process.
//!
//! [`activation`] takes the sockets that it passes, [`notify`] tells it how things stand, and [`generator`] makes units of
//! routes. [`program`] is the privileged half of programs that it supervises. Nothing here is needed to run without it: then no sockets are passed, and nobody is told.

pub mod activation;
pub mod confinement;
mod egress;
pub mod generator;
pub mod notify;
pub mod program;
mod recordings;
mod service;
mod socket;
mod unit_file;
