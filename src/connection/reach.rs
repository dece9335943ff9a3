//! From a request to its target: who asks, where the session goes, and a connection to that.
//!
//! Promise: a grant is spent only when its target was reached, and a guess of a token counts as one. Nothing is said to the client
//! here.

use http::Request;
use tokio::time::Instant;
use tracing::info;

use super::introduction;
use super::origin::Origin;
use super::refusal::Refusal;
use crate::access::{Caller, User};
use crate::log::Kind;
use crate::program::session::Guest;
use crate::program::terminal::Window;
use crate::server::site::Site;
use crate::session::SessionId;
use crate::target::Target;
use crate::target::grants::Use;
use crate::target::lease::Lease;
use crate::target::targets::{Resolved, Targets};
use crate::target::token::TokenName;
use crate::tls::{Outward, Stream};

/// What a client has asked for.
pub(super) struct Wanted<'a> {
    pub(super) id: SessionId,
    pub(super) client: &'a Stream,
    pub(super) origin: &'a Origin,
    pub(super) caller: &'a Caller,
    pub(super) request: &'a Request<()>,
}

/// The target's end of a session.
pub(super) struct Backend {
    pub(super) stream: Outward,
    pub(super) target: Target,
    /// By which token.
    pub(super) token: Option<TokenName>,
    /// How long that, and what admitted the client, is good for, and the session with it.
    pub(super) lease: Lease,
}

/// Who asks, where its session goes, and a connection to that.
pub(super) async fn reach(
    targets: &Targets,
    wanted: &Wanted<'_>,
    site: &Site,
    deadline: Instant,
) -> Result<(Backend, Option<User>), Refusal> {
    let Wanted { id, client, origin, caller, request } = *wanted;
    let admitted = site.access.admit(request, caller, deadline).await?;
    let Resolved { target, token, lease, granted } =
        targets.resolve(&admitted, request, deadline).await.inspect_err(|error| {
            if let Some(guess) = error.guess() {
                site.access.token_failed(caller, guess);
            }
        })?;
    let lease = lease.up_to(admitted.until());
    let limit = match (&target, site.start_timeout) {
        // It is the program that takes its time, and not the client.
        (Target::Program(_), Some(start_timeout)) => start_timeout,
        _ => site.limits.connect_timeout.min(deadline - Instant::now()),
    };
    let window = request.uri().query().map(Window::of_query).unwrap_or_default();
    let guest = Guest { address: caller.peer.address(), session: id.to_string(), window };
    let leg = targets.leg();
    let identity = caller.identity.as_deref();
    let header = leg.send_proxy().map(|version| introduction::header(version, id, origin, client, identity, request));
    let reach = targets.reach(granted.as_ref());
    match leg.connect(guest, &target, reach, &header.unwrap_or_default(), limit).await {
        Ok(stream) => {
            let user = granted.as_ref().and_then(Use::user).map(|name| User { name: name.to_owned() });
            let user = admitted.into_user().or(user);
            if let Some(uses_left) = granted.map(Use::spend) {
                info!(
                    kind = Kind::GrantUsed.id(),
                    client = %caller.peer,
                    target = %target,
                    route = site.name,
                    user = user.as_ref().map(tracing::field::display),
                    token = token.map(tracing::field::display),
                    uses_left,
                    "a grant was used"
                );
            }
            Ok((Backend { stream, target, token, lease }, user))
        }
        Err(error) => Err(Refusal::Dial { target, token, error }),
    }
}
