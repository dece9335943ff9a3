//! What every test needs: a proxy that runs, a client that says exactly what it is told, and a target.

pub mod authority;
pub mod client;
pub mod command;
pub mod hixie;
pub mod manager;
pub mod proxy;
pub mod route;
pub mod service;
pub mod target;
pub mod tls;
pub mod tls_target;
pub mod token;
pub mod web;

use std::time::{Duration, Instant};

/// No single wait of a test takes longer, unless something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` gives something, for what has no event to wait for: the state of another process.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Bytes that are different everywhere, so that a lost, doubled or moved piece shows.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Lets time pass, for what is about time itself: a peer that is slow. Nothing is waited for with it.
pub fn pass(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}
