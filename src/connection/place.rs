//! The place of a client among those of its address (`limits.connections-per-address`).

use std::sync::Arc;

use super::origin::Origin;
use crate::server::admission::{AddressPermit, Admission};
use crate::server::site::Site;

/// A client's place, given back when it is dropped.
pub(super) struct AddressPlace {
    admission: Arc<Admission>,
    /// None: nobody counts it, or not yet.
    permit: Option<AddressPermit>,
}

/// A client for which there is no place, not even to be told so: it has been told often enough.
#[derive(Debug)]
pub(super) struct TooMany;

impl AddressPlace {
    /// Counts whoever is known before there is a request.
    pub(super) fn of(origin: &Origin, admission: &Arc<Admission>, site: &Site) -> Result<Self, TooMany> {
        let mut place = Self { admission: Arc::clone(admission), permit: None };
        if !site.access.is_forwarded(&origin.client) {
            place.take(origin, site)?;
        }
        Ok(place)
    }

    /// Counts whoever is known by the request alone: a connection of the proxy may be many clients' before.
    pub(super) fn move_to(&mut self, origin: &Origin, site: &Site) -> Result<(), TooMany> {
        if self.permit.is_none() { self.take(origin, site) } else { Ok(()) }
    }

    fn take(&mut self, origin: &Origin, site: &Site) -> Result<(), TooMany> {
        if let Some((address, bound)) = origin.client.ip().zip(site.limits.connections_per_address) {
            self.permit = Some(self.admission.admit_address(address, bound).ok_or(TooMany)?);
        }
        Ok(())
    }

    /// What the session has to keep: nothing for most.
    pub(super) fn keep(self) -> Option<Box<AddressPermit>> {
        self.permit.map(Box::new)
    }

    /// Whether the client is to be told that there are too many.
    pub(super) fn is_refused(&self) -> bool {
        self.permit.as_ref().is_some_and(|permit| !permit.is_served)
    }
}
