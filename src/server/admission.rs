//! How many connections a route has, and from whom.
//!
//! At the bound for all, the listener waits: clients stay in the kernel's backlog. At the bound for one address, the
//! client is told so: it must not make the others wait.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::socket::network_of;

/// So many connections of one address may be on their way out at a time, however low its bound is.
const REFUSED_MIN: usize = 8;

/// The connections of one route.
#[derive(Debug, Default)]
pub struct Admission {
    connections: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    freed: Notify,
}

/// A connection's place, given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
}

/// An address's place, given back when it is dropped.
#[derive(Debug)]
pub struct AddressPermit {
    admission: Arc<Admission>,
    address: IpAddr,
    /// Whether it is below the bound.
    pub is_served: bool,
}

impl Admission {
    /// Whether there is no place below `bound`.
    pub fn is_full(&self, bound: NonZeroUsize) -> bool {
        self.connections.load(Ordering::Acquire) >= bound.get()
    }

    /// A place, if there is one below `bound`. Only one task may ask, the route's accepting one.
    pub fn try_admit(self: &Arc<Self>, bound: NonZeroUsize) -> Option<Permit> {
        if self.is_full(bound) {
            return None;
        }
        self.connections.fetch_add(1, Ordering::AcqRel);
        Some(Permit { admission: Arc::clone(self) })
    }

    /// Makes one task that waits for a place ask again: it may have to ask elsewhere now, or for another bound.
    pub fn ask_again(&self) {
        self.freed.notify_one();
    }

    /// Resolves when a place has been given back since the last time, or it is time to [`ask_again`](Self::ask_again).
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    /// A place for one more connection from `address`: to be served below `bound`, and above it to be told so, by as many
    /// again and a few; beyond that there is none.
    pub fn admit_address(self: &Arc<Self>, address: IpAddr, bound: NonZeroUsize) -> Option<AddressPermit> {
        let address = network_of(address);
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_address.entry(address).or_default();
        let is_served = *count < bound.get();
        if *count >= bound.get().saturating_add(bound.get().max(REFUSED_MIN)) {
            return None;
        }
        *count += 1;
        Some(AddressPermit { admission: Arc::clone(self), address, is_served })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.connections.fetch_sub(1, Ordering::AcqRel);
        self.admission.freed.notify_one();
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut by_address = self.admission.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn exactly_as_many_connections_as_allowed_are_admitted() {
        let admission = Arc::new(Admission::default());
        let bound = NonZeroUsize::new(2).unwrap();
        let first = admission.try_admit(bound).unwrap();
        let _second = admission.try_admit(bound).unwrap();
        assert!(admission.try_admit(bound).is_none());
        drop(first);
        assert!(admission.try_admit(bound).is_some());
    }

    #[test]
    fn addresses_are_counted_apart_and_forgotten() {
        let admission = Arc::new(Admission::default());
        let bound = NonZeroUsize::MIN;
        let [one, other] = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])];
        let served = admission.admit_address(one, bound).unwrap();
        let refused: Vec<_> = (0..REFUSED_MIN).map(|_| admission.admit_address(one, bound).unwrap()).collect();
        assert!(served.is_served && refused.iter().all(|refused| !refused.is_served));
        assert!(admission.admit_address(one, bound).is_none());
        assert!(admission.admit_address(other, bound).unwrap().is_served);
        drop((served, refused));
        assert!(admission.by_address.lock().unwrap().is_empty());
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let admission = Arc::new(Admission::default());
        let [one, neighbour, other] =
            ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        let _permit = admission.admit_address(one, NonZeroUsize::MIN).unwrap();
        assert!(!admission.admit_address(neighbour, NonZeroUsize::MIN).unwrap().is_served);
        assert!(admission.admit_address(other, NonZeroUsize::MIN).unwrap().is_served);
    }
}
