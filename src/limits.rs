//! Every timeout, size and count that bounds a route, with the reason for its default.
//!
//! Owned by the route's settings, read everywhere below `server`. "0 means unlimited" does not exist here: what may be
//! unlimited is an `Option`.

use std::num::NonZeroUsize;
use std::time::Duration;

/// The bounds of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, HTTP requests included. At the bound the listener stops accepting and clients wait in
    /// the backlog. 4096 sessions are 8192 descriptors: within the 16384 and more that systemd gives a service as its
    /// hard limit.
    pub connections: NonZeroUsize,
    /// Connections at a time from one client address. No default: behind a reverse proxy all clients have one address.
    pub connections_per_address: Option<NonZeroUsize>,
    /// Wrong passwords and tokens that one address may show before it has to wait. Ten are more than anybody mistypes; behind
    /// a reverse proxy that does not say who its clients are, all of them together have these.
    pub failures_per_address: NonZeroUsize,
    /// Sockets that wait in the kernel for `accept`.
    pub backlog: u32,
    /// From `accept` to the 101, everything included: TLS, the request, the target's connect. Also how long a
    /// keep-alive connection may wait for its next request.
    pub handshake_timeout: Duration,
    /// For all addresses of a target together. Below `handshake_timeout`, so that the client still gets an answer.
    pub connect_timeout: Duration,
    /// Largest request head in bytes: request line and headers.
    pub request_bytes_max: usize,
    /// A session in which no payload moved for so long is closed. None: never.
    pub idle_timeout: Option<Duration>,
    /// From the first Close, or the first end of a stream, to the end of everything, as long as nothing moves. Long enough
    /// for an answer that is on its way over a slow network; ghostunnel found one second to cut off real traffic.
    pub close_timeout: Duration,
    /// How long sessions may take to end when the daemon stops.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: NonZeroUsize::new(4096).expect("4096 is not zero"),
            connections_per_address: None,
            failures_per_address: NonZeroUsize::new(10).expect("10 is not zero"),
            backlog: 4096,
            handshake_timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(10),
            request_bytes_max: 16 * 1024,
            idle_timeout: None,
            close_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}
