//! How long a session may live: for as long as its client and its target want, or only up to a moment, or only while the source
//! of its token knows that.

use std::future::{Future, pending};
use std::pin::Pin;
use std::time::SystemTime;

use tokio::time::sleep;

use super::source::recheck::Held;

/// How long a session may live. By default nothing ends it from here.
#[derive(Debug, Default)]
pub struct Lease {
    /// Up to this moment.
    until: Option<SystemTime>,
    /// While the source knows its token. Boxed, as few sessions have one.
    held: Option<Box<Held>>,
}

/// Why the time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The moment has come.
    Expired,
    /// The source knows the token no more.
    Withdrawn,
}

impl Lease {
    /// While the source knows the token.
    pub fn held(held: Held) -> Self {
        Self { until: None, held: Some(Box::new(held)) }
    }

    /// The same, and not beyond `moment`, if there is one.
    #[must_use]
    pub fn up_to(self, moment: Option<SystemTime>) -> Self {
        Self { until: [self.until, moment].into_iter().flatten().min(), ..self }
    }

    /// Resolves when the time is over. None: it never is. Boxed, as few sessions need the room.
    pub fn over(self) -> Option<Pin<Box<impl Future<Output = Over>>>> {
        let is_limited = self.until.is_some() || self.held.is_some();
        is_limited.then(|| Box::pin(self.wait()))
    }

    async fn wait(self) -> Over {
        let Self { until, held } = self;
        let expired = async {
            match until {
                Some(moment) => sleep(moment.duration_since(SystemTime::now()).unwrap_or_default()).await,
                None => pending().await,
            }
        };
        let withdrawn = async {
            match held {
                Some(held) => held.withdrawn().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = expired => Over::Expired,
            () = withdrawn => Over::Withdrawn,
        }
    }
}
