//! The story of a connection, from `accept` to its last word.
//!
//! Every step consumes what the step before produced. Bytes that were read past the request's head travel by value, so
//! that early frames cannot be forgotten. Before the 101 there is one deadline; after it there is one way to end, a value,
//! which is logged once.

mod gate;
mod introduction;
mod origin;
mod place;
mod reach;
mod refusal;
mod unfinished;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Result as IoResult};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, info, warn};

use self::gate::gate;
use self::origin::Origin;
use self::place::{AddressPlace, TooMany};
use self::reach::{Backend, Wanted, reach};
use self::refusal::Refusal;
use self::unfinished::Unfinished;
use crate::access::{Caller, User};
use crate::http::{Head, Incoming, Plain, next_upgrade, refuse};
use crate::log::Kind;
use crate::relay::drive::drive;
use crate::relay::end::{Cause, End};
use crate::relay::tunnel::{Settings, Tunnel};
use crate::server::site::{Service, Site};
use crate::server::stop::Stop;
use crate::server::worker::{Job, Place};
use crate::session::SessionId;
use crate::socket::{Peer, Socket};
use crate::target::lease::{Lease, Over};
use crate::tls::{AcceptError, Stream};
use crate::websocket::codec::Protocol;
use crate::websocket::handshake::hixie::KEY3_BYTES;
use crate::websocket::handshake::hybi::VERSIONS;
use crate::websocket::handshake::{HandshakeError, Opening, Upgrade, Version};

/// A client that was accepted no longer ago than this is heard although the daemon stops: its request is on its way, or here
/// already, and a reset would be all that it gets. Its session then ends as the others do, with a Close.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// A client whose address has too many connections has so long to ask, and to be told.
const REFUSED_PATIENCE: Duration = Duration::from_secs(2);

/// The 101 fits into any socket's buffer.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// A session that has got its 101.
struct Session {
    id: SessionId,
    client: Stream,
    origin: Origin,
    /// Its client's.
    place: AddressPlace,
    user: Option<User>,
    backend: Backend,
    version: Version,
    protocol: Protocol,
    /// What the client sent behind its request.
    early: Bytes,
}

/// Serves one connection to its end.
///
/// Not an `async fn`, which would keep the job beside its parts for as long as the session.
pub(crate) fn serve(job: Job, stop: Stop, at_worker: Place) -> impl Future<Output = ()> {
    let Job { accepted, peer, site, admission, permit, counted } = job;
    async move {
        let _at_worker = at_worker;
        let mut socket = match accepted.register() {
            Ok(socket) => socket,
            Err(error) => {
                let kind = Kind::ConnectionUnserved.id();
                return warn!(kind, client = %peer, route = site.name, %error, "a connection could not be registered");
            }
        };
        if let Err(denied) = site.access.admits_connection(&peer) {
            return debug!(client = %peer, route = site.name, "connection closed: {denied}");
        }
        let (deadline, patience) = (Instant::now() + site.limits.handshake_timeout, Instant::now() + STOP_PATIENCE);
        let origin = if site.access.begins_with_header(&peer) {
            // Boxed, as most routes have no such proxies.
            Box::pin(find(&mut socket, peer, &site, deadline, (stop.clone(), patience))).await
        } else {
            Some(Origin::direct(peer))
        };
        let Some(origin) = origin else { return };
        let client = origin.client;
        let place = match AddressPlace::of(&origin, &admission, &site) {
            Ok(place) => place,
            Err(TooMany) => return debug!(%client, route = site.name, "connection closed: too many from its address"),
        };
        let mut unfinished = Unfinished { session: None, peer: client, site: &site };
        // Boxed, and gone before the session begins, which should not carry the room that its handshake took.
        let opened = Box::pin(open_in_time(socket, origin, &site, place, deadline, (stop.clone(), patience))).await;
        if let Some(session) = opened {
            unfinished.session = Some(session.id);
            unfinished.peer = session.origin.client;
            let number = counted.number();
            let _counted = counted.session();
            relay(session, &site, stop, number).await;
        }
        drop(permit);
    }
}

/// Whose connection it is that a proxy has made. None: nobody knows, or somebody who may not come.
async fn find(
    socket: &mut Socket,
    peer: Peer,
    site: &Site,
    deadline: Instant,
    (stop, patience): (Stop, Instant),
) -> Option<Origin> {
    let mut finding = pin!(timeout_at(deadline, Origin::find(socket, peer, site)));
    let found = tokio::select! {
        found = &mut finding => found,
        _ = stop.draining() => timeout_at(patience, finding).await.unwrap_or_else(Err),
    };
    found.unwrap_or_else(|_| debug_none(peer, site, "the proxy did not say in time whose it is"))
}

/// From the first byte to the 101, unless the daemon stops, or the client is to be refused and is slow.
async fn open_in_time(
    socket: Socket,
    origin: Origin,
    site: &Arc<Site>,
    place: AddressPlace,
    deadline: Instant,
    (stop, patience): (Stop, Instant),
) -> Option<Box<Session>> {
    let is_refused = place.is_refused();
    let mut opening = pin!(open(socket, origin, site, place, deadline));
    tokio::select! {
        opened = &mut opening => opened,
        () = sleep(REFUSED_PATIENCE), if is_refused => None,
        _ = stop.draining() => timeout_at(patience, opening).await.unwrap_or_default(),
    }
}

/// From the first byte to the 101. None: it did not come to that, and the client has been told.
async fn open(
    socket: Socket,
    mut origin: Origin,
    site: &Arc<Site>,
    mut place: AddressPlace,
    deadline: Instant,
) -> Option<Box<Session>> {
    let peer = origin.client;
    let client = match timeout_at(deadline, site.tls.accept(socket)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return log_not_accepted(peer, site, &error),
        Err(_) => return debug_none(peer, site, "no request in time"),
    };
    let head = Head { timeout: deadline - Instant::now(), bytes_max: site.limits.request_bytes_max };
    let caller = Caller { peer, is_encrypted: client.is_tls(), identity: client.identity().map(Arc::new) };
    let plain = Plain { files: site.files.clone(), gate: gate(site, origin, &caller) };
    let incoming = match next_upgrade(client, plain, &head).await {
        Ok(incoming) => incoming,
        Err(closed) => return debug_none(peer, site, &closed.to_string()),
    };
    let Incoming { request, stream: mut client, mut leftover, requests } = incoming;
    // A connection that has been served files begins anew with each request.
    let deadline = if requests > 0 { Instant::now() + site.limits.handshake_timeout } else { deadline };
    let id = SessionId::next();
    let forwarded = origin.follow(&request, site);
    let (peer, caller) = (origin.client, origin.caller(&caller));
    if place.move_to(&origin, site).is_err() {
        return debug_none(peer, site, "too many from its address");
    }
    let opening = match Opening::from_request(&request, caller.is_encrypted) {
        Ok(opening) => opening,
        Err(error) => {
            if let Some(unlogged) = site.quotas.admit(Kind::RequestRefused, Instant::now().into_std()) {
                let (kind, unlogged) = (Kind::RequestRefused.id(), (unlogged > 0).then_some(unlogged));
                info!(kind, session = %id, client = %peer, route = site.name, unlogged, "refused: {error}");
            }
            answer_handshake_error(&mut client, &error).await;
            return None;
        }
    };
    let completed = timeout_at(deadline, complete(opening, &mut client, &mut leftover)).await;
    let Ok(Ok(upgrade)) = completed else {
        return debug_none(peer, site, "the client did not send its third key");
    };
    let reached = match (forwarded, &site.service) {
        (Err(refusal), _) => Err(refusal),
        (Ok(()), _) if place.is_refused() => Err(Refusal::TooManyFromAddress),
        (Ok(()), Service::OutOfOrder) => Err(Refusal::OutOfOrder),
        (Ok(()), Service::Relay(targets)) => {
            let wanted = Wanted { id, client: &client, origin: &origin, caller: &caller, request: &request };
            reach(targets, &wanted, site, deadline).await
        }
    };
    let (backend, user) = match reached {
        Ok(reached) => reached,
        Err(refusal) => {
            refusal.log(id, peer, site);
            refusal.answer(&mut client, id, site, &request, &upgrade).await;
            return None;
        }
    };
    let (version, protocol) = (upgrade.version(), upgrade.protocol(site.text));
    // The time that a program took to start is not the client's.
    let deadline = deadline.max(Instant::now() + ANSWER_TIME);
    match timeout_at(deadline, send(&mut client, upgrade.answer())).await {
        Ok(Ok(())) => {
            Some(Box::new(Session { id, client, origin, place, user, backend, version, protocol, early: leftover }))
        }
        _ => debug_none(peer, site, "the client was gone before its 101"),
    }
}

/// From the 101 to the end. What is captured stays as long as the session, and is what its last record tells.
fn relay(session: Box<Session>, site: &Site, stop: Stop, connection: u64) -> impl Future<Output = ()> {
    let Session { id, client, origin, place, user, backend, version, protocol, early } = *session;
    let Origin { client: peer, proxy, .. } = origin;
    let place = place.keep();
    let Backend { stream, target, token, lease } = backend;
    let started = Instant::now();
    info!(
        kind = Kind::SessionOpened.id(),
        session = %id,
        client = %peer,
        proxy = proxy.map(tracing::field::display),
        target = %target,
        route = site.name,
        user = user.as_ref().map(tracing::field::display),
        token = token.map(tracing::field::display),
        tls = client.is_tls(),
        websocket_version = %version,
        encoding = protocol.encoding(),
        "session opened"
    );
    let settings = Settings {
        protocol,
        heartbeat: site.heartbeat,
        idle_timeout: site.limits.idle_timeout,
        close_timeout: site.limits.close_timeout,
    };
    let tunnel = Tunnel::new(started.into_std(), settings);
    let recording = site.recorder.as_ref().and_then(|recorder| recorder.begin(id, connection, started.into_std()));
    let recording = recording.map(Box::new);
    let session = Box::pin(drive(client, stream, early, tunnel, end_of(stop, lease), site.traffic, recording));
    async move {
        let End { cause, to_target, to_client } = session.await;
        info!(
            kind = Kind::SessionEnded.id(),
            session = %id,
            client = %peer,
            target = %target,
            route = site.name,
            closed_by = %cause.party(),
            close_code = cause.close_code(),
            bytes_in = to_target.accepted,
            bytes_out = to_client.accepted,
            bytes_in_lost = (to_target.lost > 0).then_some(to_target.lost),
            bytes_out_lost = (to_client.lost > 0).then_some(to_client.lost),
            duration_usec = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            "session ended: {cause}"
        );
        drop(place);
    }
}

/// Resolves when the session is to end, with the reason: the daemon stops, or its token is good no more. Most have no token,
/// and should not carry the room for it.
fn end_of(stop: Stop, lease: Lease) -> Pin<Box<dyn Future<Output = Cause> + Send>> {
    let Some(over) = lease.over() else { return Box::pin(async { Cause::Stopped(stop.draining().await) }) };
    Box::pin(async {
        tokio::select! {
            code = stop.draining() => Cause::Stopped(code),
            over = over => match over {
                Over::Expired => Cause::TokenExpired,
                Over::Withdrawn => Cause::TokenWithdrawn,
            },
        }
    })
}

/// Reads what the client has still to say of its request: of `leftover`, and behind it.
async fn complete(opening: Opening, client: &mut Stream, leftover: &mut Bytes) -> IoResult<Upgrade> {
    match opening {
        Opening::Complete(upgrade) => Ok(upgrade),
        Opening::Challenged(challenge) => {
            let mut key3 = [0; KEY3_BYTES];
            let (here, still_to_come) = key3.split_at_mut(leftover.len().min(KEY3_BYTES));
            here.copy_from_slice(&leftover.split_to(here.len()));
            client.read_exact(still_to_come).await?;
            Ok(challenge.complete(key3))
        }
    }
}

async fn answer_handshake_error(client: &mut Stream, error: &HandshakeError) {
    let mut headers = HeaderMap::new();
    if let HandshakeError::Version(_) = error {
        headers.insert(header::SEC_WEBSOCKET_VERSION, VERSIONS);
    }
    refuse(client, error.status(), &error.to_string(), headers).await;
}

async fn send(client: &mut Stream, bytes: &[u8]) -> IoResult<()> {
    client.write_all(bytes).await?;
    client.flush().await
}

/// Anybody can connect and say nothing, or nonsense, as often as they like: that is for those who look for it.
fn debug_none<T>(peer: Peer, site: &Site, why: &str) -> Option<T> {
    debug!(client = %peer, route = site.name, "connection closed: {why}");
    None
}

fn log_not_accepted<T>(peer: Peer, site: &Site, error: &AcceptError) -> Option<T> {
    if let AcceptError::ProxyHeader = error {
        if let Some(unlogged) = site.quotas.admit(Kind::ProxyUnexpected, Instant::now().into_std()) {
            let (kind, unlogged) = (Kind::ProxyUnexpected.id(), (unlogged > 0).then_some(unlogged));
            warn!(kind, client = %peer, route = site.name, unlogged, "refused: {error}");
        }
        return None;
    }
    let cause = std::error::Error::source(error).map(tracing::field::display);
    if let AcceptError::ClientCertificate { .. } = error {
        // Whoever has a certificate, and is refused, asks the administrator, and the log is all that can tell.
        if let Some(unlogged) = site.quotas.admit(Kind::CertificateRefused, Instant::now().into_std()) {
            let (kind, unlogged) = (Kind::CertificateRefused.id(), (unlogged > 0).then_some(unlogged));
            info!(kind, client = %peer, route = site.name, cause, unlogged, "refused: {error}");
        }
        return None;
    }
    debug!(client = %peer, route = site.name, cause, "connection closed: {error}");
    None
}
