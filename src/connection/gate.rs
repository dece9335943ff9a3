//! The gate before a route's files: plain requests show what a session would where `web-auth` wants them guarded, and behind a
//! proxy that tells its clients in each request, the lists of addresses are asked about each of them.

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, Request};
use tokio::time::Instant;
use tracing::debug;

use super::origin::Origin;
use super::refusal::log_denied;
use crate::access::{Caller, Denied};
use crate::http::{Barred, Gate};
use crate::server::site::Site;

/// None: the files are for everybody who has come this far.
pub(super) fn gate(site: &Arc<Site>, origin: Origin, caller: &Caller) -> Option<Gate> {
    if !site.access.guards_files() && !site.access.is_forwarded(&origin.client) {
        return None;
    }
    let (site, caller) = (Arc::clone(site), caller.clone());
    Some(Rc::new(move |request| {
        let (site, mut origin, caller) = (Arc::clone(&site), origin, caller.clone());
        Box::pin(async move {
            if let Err(refusal) = origin.follow(&request, &site) {
                debug!(client = %caller.peer, route = site.name, "a page was refused: the proxy's header cannot be read");
                let (status, text) = (refusal.status(), refusal.reason().into_owned());
                return Err(Barred { status, text, headers: HeaderMap::new() });
            }
            let caller = origin.caller(&caller);
            match admit(&request, &caller, &site).await {
                Ok(()) => Ok(request),
                Err(denied) => {
                    log_denied(&denied, None, caller.peer, &site);
                    let headers = denied.headers(site.access.challenges());
                    Err(Barred { status: denied.status(), text: denied.reason(), headers })
                }
            }
        })
    }))
}

async fn admit(request: &Request<()>, caller: &Caller, site: &Site) -> Result<(), Denied> {
    site.access.admits_client(&caller.peer)?;
    if site.access.guards_files() {
        let deadline = Instant::now() + site.limits.handshake_timeout;
        site.access.admit_to_files(request, caller, deadline).await?;
    }
    Ok(())
}
