//! The word that everything is to end, as every connection hears it.
//!
//! Each session waits for it for as long as it lives, and is polled with each message: so waiting costs some bytes, and a look at
//! it while nothing has happened one load. (Tokio's `watch`, which this was, took 184 bytes and a lock.)

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::websocket::close::CloseCode;

/// What connections listen to.
#[derive(Clone, Debug)]
pub struct Stop {
    shared: Arc<Shared>,
}

/// Who may say it. Gone, it has said all.
#[derive(Debug)]
pub(super) struct Stopper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// A [`Phase`]: it only grows.
    phase: AtomicU8,
    /// With which sessions end; there when draining begins.
    code: OnceLock<CloseCode>,
    waiting: Mutex<Waiting>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Phase {
    Running,
    /// Sessions end, in their own time.
    Draining,
    /// Whatever is left is dropped.
    Aborted,
}

/// Who is to be woken, by place.
#[derive(Debug, Default)]
struct Waiting {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// Waits for a phase.
#[derive(Debug)]
struct Reached {
    shared: Arc<Shared>,
    phase: Phase,
    /// The place, and whom it wakes.
    place: Option<(usize, Waker)>,
}

impl Stop {
    pub(super) fn pair() -> (Stopper, Self) {
        let shared =
            Shared { phase: AtomicU8::new(Phase::Running as u8), code: OnceLock::new(), waiting: Mutex::default() };
        let shared = Arc::new(shared);
        (Stopper { shared: Arc::clone(&shared) }, Self { shared })
    }

    /// Resolves when sessions are to end, with the code to end them with.
    pub async fn draining(self) -> CloseCode {
        let shared = Arc::clone(&self.shared);
        Reached { shared: self.shared, phase: Phase::Draining, place: None }.await;
        shared.code.get().copied().unwrap_or(CloseCode::GOING_AWAY) // none: nobody waits any more
    }

    /// Resolves when time is up.
    pub(super) async fn aborted(self) {
        Reached { shared: self.shared, phase: Phase::Aborted, place: None }.await;
    }
}

impl Stopper {
    pub(super) fn drain(&self, code: CloseCode) {
        let _ = self.shared.code.set(code); // the first one counts
        self.shared.enter(Phase::Draining);
    }

    pub(super) fn abort(&self) {
        self.shared.enter(Phase::Aborted);
    }
}

impl Drop for Stopper {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Shared {
    /// Tells all, who look for themselves whether it is what they wait for.
    fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::SeqCst);
        let wakers: Vec<Waker> = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.wakers.iter_mut().filter_map(|waker| waker.clone()).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn has_reached(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::SeqCst) >= phase as u8
    }
}

impl Future for Reached {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if !this.shared.has_reached(this.phase)
            && !this.place.as_ref().is_some_and(|(_, waker)| waker.will_wake(cx.waker()))
        {
            let place = this.place.take().map(|(place, _)| place);
            let mut waiting = this.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let place = place.or_else(|| waiting.free.pop()).unwrap_or_else(|| {
                waiting.wakers.push(None);
                waiting.wakers.len() - 1
            });
            waiting.wakers[place] = Some(cx.waker().clone());
            this.place = Some((place, cx.waker().clone()));
        }
        // After it is known whom to wake: what comes between the two is not missed.
        if this.shared.has_reached(this.phase) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        if let Some((place, _)) = self.place {
            let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.wakers[place] = None;
            waiting.free.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn poll<T>(future: &mut Pin<Box<impl Future<Output = T>>>, count: &Arc<Count>) -> Poll<T> {
        future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(count))))
    }

    #[test]
    fn a_drain_wakes_who_waits_for_it_with_the_first_code_and_an_abort_the_rest() {
        let (stopper, stop) = Stop::pair();
        let (session, worker) = (Arc::<Count>::default(), Arc::<Count>::default());
        let (mut draining, mut aborted) = (Box::pin(stop.clone().draining()), Box::pin(stop.clone().aborted()));
        assert!(poll(&mut draining, &session).is_pending() && poll(&mut aborted, &worker).is_pending());
        stopper.drain(CloseCode::RESTART);
        stopper.drain(CloseCode::NORMAL);
        assert!(session.0.load(Ordering::SeqCst) > 0);
        assert_eq!(poll(&mut draining, &session), Poll::Ready(CloseCode::RESTART));
        assert!(poll(&mut aborted, &worker).is_pending());
        worker.0.store(0, Ordering::SeqCst);
        stopper.abort();
        assert!(worker.0.load(Ordering::SeqCst) > 0);
        assert!(poll(&mut aborted, &worker).is_ready());
        assert_eq!(poll(&mut Box::pin(stop.draining()), &session), Poll::Ready(CloseCode::RESTART), "who comes late");
    }

    #[test]
    fn only_the_last_waker_is_woken_and_whoever_leaves_makes_room() {
        let (stopper, stop) = Stop::pair();
        let (first, last) = (Arc::<Count>::default(), Arc::<Count>::default());
        let mut gone = Box::pin(stop.clone().draining());
        assert!(poll(&mut gone, &first).is_pending());
        drop(gone);
        let mut stays = Box::pin(stop.clone().draining());
        assert!(poll(&mut stays, &first).is_pending() && poll(&mut stays, &last).is_pending());
        drop(stopper);
        assert_eq!((first.0.load(Ordering::SeqCst), last.0.load(Ordering::SeqCst)), (0, 1));
        assert_eq!(poll(&mut stays, &last), Poll::Ready(CloseCode::GOING_AWAY), "nobody is left to say another");
        assert_eq!(stop.shared.waiting.lock().map_or(0, |waiting| waiting.wakers.len()), 1);
    }
}
