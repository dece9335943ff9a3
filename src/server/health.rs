//! What the service manager hears of the daemon while it runs: how it stands, in words, and that it still turns.

use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, sleep_until};

use super::census::Census;
use super::reload::Routes;
use crate::systemd::notify;

/// Sessions come and go faster than anybody reads.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// The line that `systemctl status` shows.
#[derive(Debug)]
pub(super) struct Status {
    sessions: usize,
    /// Of routes that are out of order.
    problems: Vec<String>,
    /// Why the last reload failed.
    reload_failed: Option<String>,
}

impl Status {
    pub(super) fn new(problems: Vec<String>) -> Self {
        Self { sessions: 0, problems, reload_failed: None }
    }

    /// The outcome of a reload. One that succeeds puts everything in order.
    pub(super) fn reloaded(&mut self, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => *self = Self { sessions: self.sessions, ..Self::new(Vec::new()) },
            Err(problem) => self.reload_failed = Some(problem),
        }
    }

    /// Resolves when the number of sessions has changed; at most once a second.
    pub(super) async fn changed(&mut self, census: &Census) {
        sleep(STATUS_INTERVAL).await;
        census.sessions_not(self.sessions).await;
        self.sessions = census.sessions();
    }

    pub(super) fn text(&self) -> String {
        let mut text = match self.sessions {
            1 => "1 session".to_owned(),
            sessions => format!("{sessions} sessions"),
        };
        if let Some(problem) = &self.reload_failed {
            text = format!("Reload failed, the old configuration stays in force: {problem} ({text})");
        }
        for problem in &self.problems {
            text = format!("{problem} ({text})");
        }
        text
    }
}

/// Tells the manager that all is well, as long as it is: every listener is accepted from, and every worker answers. A timer
/// alone would say so of a daemon that serves nobody.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// How often, and when next. None: nobody asks.
    beat: Option<(Duration, Instant)>,
}

impl Watchdog {
    pub(super) fn new() -> Self {
        Self { beat: notify::watchdog_interval().map(|interval| (interval, Instant::now())) }
    }

    /// Resolves when it is time to look.
    pub(super) async fn due(&mut self) {
        match &mut self.beat {
            None => std::future::pending().await,
            Some((interval, next)) => {
                sleep_until(*next).await;
                *next = Instant::now() + *interval;
            }
        }
    }

    pub(super) fn feed(routes: &Routes) {
        if routes.are_open() {
            let workers = routes.workers();
            spawn_local(async move {
                workers.probe().await;
                notify::watchdog();
            });
        }
    }
}
