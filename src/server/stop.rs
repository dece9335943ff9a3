//! The word that everything is to end, as every connection hears it.

use tokio::sync::watch;

use crate::websocket::close::CloseCode;

/// What connections listen to.
#[derive(Clone, Debug)]
pub struct Stop {
    phase: watch::Receiver<Phase>,
}

/// Who may say it.
#[derive(Debug)]
pub(super) struct Stopper {
    phase: watch::Sender<Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Sessions end with this code, in their own time.
    Draining(CloseCode),
    /// Whatever is left is dropped.
    Aborted,
}

impl Stop {
    pub(super) fn pair() -> (Stopper, Self) {
        let (sender, receiver) = watch::channel(Phase::Running);
        (Stopper { phase: sender }, Self { phase: receiver })
    }

    /// Resolves when sessions are to end, with the code to end them with.
    pub async fn draining(mut self) -> CloseCode {
        match self.phase.wait_for(|phase| *phase != Phase::Running).await.map(|phase| *phase) {
            Ok(Phase::Draining(code)) => code,
            // The sender is gone, or nobody waits any more.
            _ => CloseCode::GOING_AWAY,
        }
    }

    /// Resolves when time is up.
    pub(super) async fn aborted(mut self) {
        let _ = self.phase.wait_for(|phase| *phase == Phase::Aborted).await;
    }
}

impl Stopper {
    pub(super) fn drain(&self, code: CloseCode) {
        self.phase.send_replace(Phase::Draining(code));
    }

    pub(super) fn abort(&self) {
        self.phase.send_replace(Phase::Aborted);
    }
}
