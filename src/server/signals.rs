//! The signals that a daemon lives by: SIGTERM and SIGINT stop it, SIGHUP makes it read its routes again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Their handlers.
pub(super) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next of them.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hangup.recv() => Told::Reload,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.terminate.recv() => Told::Stop,
        }
    }

    /// A reload while the daemon stops means nothing.
    pub(super) async fn stop(&mut self) {
        while self.next().await == Told::Reload {}
    }
}

/// What a signal tells the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Reload,
    Stop,
}
