//! When a daemon ends by itself, as the classic command line or its routes ask.

use std::future::pending;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::info;

use super::census::Census;
use crate::log::Kind;
use crate::program::Ended;

/// When the daemon ends by itself. The default: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// After the first session that got its 101 has ended.
    pub run_once: bool,
    /// So long after the start it stops accepting, and ends with its last session.
    pub timeout: Option<Duration>,
    /// When for so long there was no connection.
    pub idle_timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The sessions may last as long as they like.
    AfterLast,
    /// There is no connection to end.
    Idle,
    /// The wrapped program has ended so, and takes the daemon with it.
    ProgramEnded(Ended),
    /// The sessions are to end.
    Stopped,
}

/// Resolves when the daemon is to end by itself. `exit_idle`: what the routes want, as `--idle-timeout`, and may change.
pub(super) async fn lifetime_over(
    lifetime: Lifetime,
    mut exit_idle: watch::Receiver<Option<Duration>>,
    only_one: bool,
    census: &Census,
) -> Ending {
    let after = async |timeout: Option<Duration>| match timeout {
        Some(timeout) => sleep(timeout).await,
        None => pending().await,
    };
    let idle = async {
        loop {
            let limit = lifetime.idle_timeout.or(*exit_idle.borrow_and_update());
            tokio::select! {
                () = idle_for(limit, census) => return,
                Ok(()) = exit_idle.changed() => {}
            }
        }
    };
    tokio::select! {
        () = census.first_session_ended(), if lifetime.run_once => {
            info!(kind = Kind::LifetimeOver.id(), "exiting due to --run-once");
            Ending::Stopped
        }
        () = after(lifetime.timeout) => {
            info!(kind = Kind::LifetimeOver.id(), "listener exit due to --timeout");
            Ending::AfterLast
        }
        () = idle => {
            let why = if lifetime.idle_timeout.is_some() { "--idle-timeout" } else { "exit-idle" };
            info!(kind = Kind::LifetimeOver.id(), "listener exit due to {why}");
            Ending::Idle
        }
        () = census.empty(), if only_one => Ending::Stopped,
    }
}

/// Resolves when there was no connection for so long. None: never.
async fn idle_for(limit: Option<Duration>, census: &Census) {
    let Some(limit) = limit else { return pending().await };
    loop {
        census.empty().await;
        if timeout(limit, census.occupied()).await.is_err() {
            return;
        }
    }
}
