//! The gate before a route's files, where its `web-auth` wants them guarded: plain requests show what a session would.

use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::refusal::log_denied;
use crate::access::Caller;
use crate::http::{Barred, Gate};
use crate::server::site::Site;

/// None: the files are for everybody.
pub(super) fn gate(site: &Arc<Site>, caller: &Caller) -> Option<Gate> {
    if !site.access.guards_files() {
        return None;
    }
    let (site, caller) = (Arc::clone(site), caller.clone());
    Some(Rc::new(move |request| {
        let (site, caller) = (Arc::clone(&site), caller.clone());
        Box::pin(async move {
            let deadline = Instant::now() + site.limits.handshake_timeout;
            match site.access.admit_to_files(&request, &caller, deadline).await {
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
