//! systemd's side of the daemon: the sockets that it passes, and what it is told.
//!
//! Nothing here is needed to run without it: no sockets are passed, and nobody is told.

pub mod activation;
pub mod notify;
