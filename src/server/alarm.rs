//! The word that a part of the daemon has panicked without which it serves nobody: a listener, a worker.
//!
//! A connection that panics is lost alone, and says so by itself. One of these would leave a process that looks alive, with
//! clients that wait for ever: it ends instead, with the status of a bug, and its supervisor starts it again.

use std::sync::Arc;
use std::thread;

use tokio::sync::Notify;

/// Clones ring the same bell.
#[derive(Clone, Debug, Default)]
pub(super) struct Alarm {
    bell: Arc<Notify>,
}

/// Rings when a panic drops it.
#[derive(Debug)]
pub(super) struct Tripwire {
    alarm: Alarm,
}

impl Alarm {
    /// To be held by the part for as long as it lives.
    pub(super) fn tripwire(&self) -> Tripwire {
        Tripwire { alarm: self.clone() }
    }

    /// Resolves when some part has panicked.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }
}

impl Drop for Tripwire {
    fn drop(&mut self) {
        if thread::panicking() {
            self.alarm.bell.notify_one();
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use tokio::task::{LocalSet, spawn_local};
    use tokio::time::{Duration, timeout};

    use super::*;

    #[tokio::test]
    async fn a_panic_rings_and_an_end_does_not() {
        let alarm = Alarm::default();
        drop(alarm.tripwire());
        let (patience, rung) = (Duration::from_millis(50), || timeout(Duration::from_secs(5), alarm.rung()));
        assert!(timeout(patience, alarm.rung()).await.is_err());
        let tripwire = alarm.tripwire();
        LocalSet::new()
            .run_until(async {
                let part = spawn_local(async move {
                    let _tripwire = tripwire;
                    panic!("a bug, for a test");
                });
                assert!(part.await.unwrap_err().is_panic());
            })
            .await;
        rung().await.unwrap();
        let tripwire = alarm.tripwire();
        assert!(
            thread::spawn(move || {
                let _tripwire = tripwire;
                panic!("a bug, for a test");
            })
            .join()
            .is_err()
        );
        rung().await.unwrap();
    }
}
