//! What the service manager is told, `sd_notify(3)`: ready, reloading, stopping, a status in words, and that all is well.
//!
//! Without `NOTIFY_SOCKET` every call does nothing. A manager that does not listen is no reason to do anything else than
//! serve, so errors end here.

use std::time::Duration;

use sd_notify::NotifyState::{ExtendTimeoutUsec, Ready, Reloading, Status, Stopping, Watchdog};
use sd_notify::{NotifyState, notify};
use tracing::debug;

/// Everything is loaded and every socket listens.
pub fn ready(status: &str) {
    tell(&[Ready, Status(status)]);
}

/// A reload begins; [`ready`] ends it, also when it has failed. The time stamp is what `Type=notify-reload` waits for.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[Reloading, now]),
        Err(error) => debug!(%error, "no monotonic clock: the reload is not announced"),
    }
}

/// The end has begun.
pub fn stopping(status: &str) {
    tell(&[Stopping, Status(status)]);
}

/// How it stands, in words.
pub fn status(status: &str) {
    tell(&[Status(status)]);
}

/// The end may take so much longer, from now.
pub fn extend_timeout(by: Duration) {
    tell(&[ExtendTimeoutUsec(u32::try_from(by.as_micros()).unwrap_or(u32::MAX))]);
}

/// All is well.
pub fn watchdog() {
    tell(&[Watchdog]);
}

/// How often the manager wants to hear that all is well: twice as often as it loses patience. None: it does not ask.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|patience| patience / 2)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        debug!(%error, "the service manager could not be told");
    }
}
