//! Targets of this process itself: plain TCP services on the loopback, each on a thread of its own, which ends with the process.
//!
//! To the proxy they are services like any other. What a session says is its owner's business, [`crate::demo`] or
//! [`crate::replay`]; here is what they share: a port that is free, a bound on sessions, and patience when descriptors run out.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::sleep;

/// Sessions at a time.
const SESSIONS_MAX: usize = 256;

/// The pause after a failed accept: descriptors have run out, and one may be free by then.
const BACKOFF: Duration = Duration::from_millis(100);

/// A session with a target, to its end.
pub(crate) type Session = Pin<Box<dyn Future<Output = ()>>>;

/// A target, listening.
#[derive(Debug)]
pub(crate) struct BuiltIn {
    listener: TcpListener,
    address: SocketAddr,
}

impl BuiltIn {
    /// Listens on a port of the loopback that is free.
    pub(crate) async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped, and all its sessions with it. Runs on a [`LocalSet`].
    pub(crate) async fn run(self, mut session: impl FnMut(TcpStream) -> Session) {
        let mut sessions = JoinSet::new();
        loop {
            while sessions.len() >= SESSIONS_MAX {
                sessions.join_next().await;
            }
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => drop(sessions.spawn_local(session(stream))),
                    Err(_) => sleep(BACKOFF).await,
                },
                Some(_) = sessions.join_next() => {}
            }
        }
    }
}

/// Runs a target whose sessions are what `sessions` makes of connections, and tells where it listens.
pub(crate) fn start<S: FnMut(TcpStream) -> Session>(
    name: &str,
    sessions: impl FnOnce() -> S + Send + 'static,
) -> io::Result<SocketAddr> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (bound, address) = mpsc::channel();
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        LocalSet::new().block_on(&runtime, async {
            match BuiltIn::bind().await {
                Ok(target) => {
                    let _ = bound.send(Ok(target.address()));
                    target.run(sessions()).await;
                }
                Err(error) => drop(bound.send(Err(error))),
            }
        });
    })?;
    address.recv().unwrap_or_else(|gone| Err(io::Error::other(gone)))
}
