//! Connecting to a target.
//!
//! Promise: every address of a name is tried, in the resolver's order, and the whole takes no longer than asked. The
//! addresses share the time: one that swallows packets cannot use up the time of the next. Only addresses within [`Reach`] are
//! tried, and what is asked about is what is connected to: no name is looked up twice, and no link followed after the question.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpSocket, UnixStream, lookup_host};
use tokio::time::{Instant, sleep, timeout_at};

use super::Target;
use super::allow::Reach;
use crate::program::ProgramError;
use crate::program::place::{Place, Standing};
use crate::program::session::Guest;
use crate::socket::{Socket, is_localhost, keepalive, loopback};
use crate::tls::client::{ConnectError, Fault};

/// Between two attempts to reach a program that does not listen yet: what a quick start takes, and what nobody notices.
const PROGRAM_PAUSE_MIN: Duration = Duration::from_millis(10);
const PROGRAM_PAUSE_MAX: Duration = Duration::from_millis(200);

/// Why a target cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// An address refused, or could not be reached; the last one, when a name has several.
    #[error("cannot connect to {address}")]
    Connect {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The name could not be looked up.
    #[error("cannot resolve '{host}'")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// It leads where the route's targets may not be.
    #[error("{0} is not among targets.allow, or needs such a list to be reached by a token")]
    NotAllowed(String),
    /// A program for the session could not be started.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The program that was to answer is no more.
    #[error("the program {0}")]
    ProgramOver(Standing),
    /// Its certificate is not right.
    #[error("the target's certificate {0}")]
    Certificate(Fault),
    /// It wants a certificate of ours, and does not get one, or not the right one.
    #[error("the target refuses the certificate of targets.tls, or wants one and there is none")]
    Identity {
        /// What was said.
        source: io::Error,
    },
    /// It does not speak TLS, or none that is spoken here.
    #[error("no TLS with the target")]
    Tls {
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It went away before it was told whose connection it gets.
    #[error("the target took no PROXY protocol header")]
    Header {
        /// What the kernel said.
        source: io::Error,
    },
    /// Nobody answered in time.
    #[error("no answer from {0} in time")]
    TimedOut(Target),
    /// The socket's path led nowhere.
    #[error("cannot connect to unix:{}", path.display())]
    Unix {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl From<ConnectError> for DialError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Certificate(fault) => Self::Certificate(fault),
            ConnectError::Refused(source) => Self::Identity { source },
            ConnectError::Handshake(source) => Self::Tls { source: source.into() },
            ConnectError::Name(_) => Self::Tls { source: error.into() },
        }
    }
}

/// Connects to `target` within `limit`, if it is within `reach`, for nobody in particular.
pub async fn dial(target: &Target, reach: &Reach, limit: Duration) -> Result<Socket, DialError> {
    dial_for(Guest::default(), target, reach, limit).await
}

/// The same for a session's client, whose target may be a program of its own.
pub async fn dial_for(guest: Guest, target: &Target, reach: &Reach, limit: Duration) -> Result<Socket, DialError> {
    let deadline = Instant::now() + limit;
    match target {
        Target::Tcp { host, port } => dial_host(target, host, *port, reach, deadline).await,
        Target::Program(place) => dial_program(target, place, deadline).await,
        Target::PerSession(program) => match timeout_at(deadline, program.start(guest)).await {
            Ok(started) => Ok(Socket::Program(Box::new(started?))),
            Err(_) => Err(DialError::TimedOut(target.clone())),
        },
        Target::Tls(inner) => Box::pin(dial_for(guest, inner, reach, limit)).await,
        Target::Unix(path) => dial_path(target, path, reach, deadline).await,
    }
}

async fn dial_path(target: &Target, path: &Path, reach: &Reach, deadline: Instant) -> Result<Socket, DialError> {
    let connected = async {
        let real = allowed_path(target, path, reach).await?;
        let failed = |source| DialError::Unix { path: path.to_owned(), source };
        UnixStream::connect(&real).await.map(Socket::Unix).map_err(failed)
    };
    timeout_at(deadline, connected).await.unwrap_or_else(|_| Err(DialError::TimedOut(target.clone())))
}

/// Whether `target` is one that [`dial`] would try to connect to, as far as can be told now. A name is looked up only where that
/// decides.
pub async fn permitted(target: &Target, reach: &Reach, limit: Duration) -> Result<(), DialError> {
    let deadline = Instant::now() + limit;
    match target {
        _ if *reach == Reach::Everything => Ok(()),
        Target::Tcp { host, port } => allowed_addresses(target, host, *port, reach, deadline).await.map(drop),
        Target::Program(_) | Target::PerSession(_) => Ok(()),
        Target::Tls(inner) => Box::pin(permitted(inner, reach, limit)).await,
        Target::Unix(path) => allowed_path(target, path, reach).await.map(drop),
    }
}

/// A program that has just been started listens in a moment, and nobody tells when. It is this daemon's own: no list of
/// targets is asked about it.
async fn dial_program(target: &Target, place: &Place, deadline: Instant) -> Result<Socket, DialError> {
    let mut pause = PROGRAM_PAUSE_MIN;
    loop {
        let refused = match connect_any(target, &place.addresses(), deadline).await {
            Some(Ok(socket)) => return Ok(socket),
            Some(Err(error)) => error,
            None => DialError::TimedOut(target.clone()),
        };
        let standing = place.standing();
        if standing.is_over() {
            return Err(DialError::ProgramOver(standing));
        }
        if Instant::now() + pause >= deadline {
            return Err(refused);
        }
        sleep(pause).await;
        pause = (pause * 2).min(PROGRAM_PAUSE_MAX);
    }
}

/// What is asked about is where the links lead, and that is connected to.
async fn allowed_path(target: &Target, path: &Path, reach: &Reach) -> Result<PathBuf, DialError> {
    if *reach == Reach::Everything {
        return Ok(path.to_owned());
    }
    let failed = |source| DialError::Unix { path: path.to_owned(), source };
    let real = tokio::fs::canonicalize(path).await.map_err(failed)?;
    if reach.permits_path(&real) { Ok(real) } else { Err(DialError::NotAllowed(target.to_string())) }
}

async fn dial_host(
    target: &Target,
    host: &str,
    port: u16,
    reach: &Reach,
    deadline: Instant,
) -> Result<Socket, DialError> {
    let allowed = allowed_addresses(target, host, port, reach, deadline).await?;
    let none = || DialError::Resolve {
        host: host.to_owned(),
        source: io::Error::new(io::ErrorKind::NotFound, "no addresses"),
    };
    connect_any(target, &allowed, deadline).await.unwrap_or_else(|| Err(none()))
}

/// Those of a name's addresses that may be connected to. An error: there are some, and none may.
async fn allowed_addresses(
    target: &Target,
    host: &str,
    port: u16,
    reach: &Reach,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, DialError> {
    let timed_out = || DialError::TimedOut(target.clone());
    let resolve = |source| DialError::Resolve { host: host.to_owned(), source };
    let addresses: Vec<SocketAddr> = if is_localhost(host) {
        loopback(port).into() // also on a machine without /etc/hosts, and it is all that the unit lets through
    } else {
        timeout_at(deadline, lookup_host((host, port))).await.map_err(|_| timed_out())?.map_err(resolve)?.collect()
    };
    let (allowed, others): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| reach.permits(*address));
    if let (true, Some(other)) = (allowed.is_empty(), others.first()) {
        return Err(DialError::NotAllowed(other.to_string()));
    }
    Ok(allowed)
}

/// The first of `addresses` that answers, or why the last one did not. None: there are none.
async fn connect_any(
    target: &Target,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Option<Result<Socket, DialError>> {
    let mut failure = None;
    for (tried, &address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        failure = Some(match timeout_at(Instant::now() + share, connect(address)).await {
            Ok(Ok(socket)) => return Some(Ok(socket)),
            Ok(Err(source)) => Err(DialError::Connect { address, source }),
            Err(_) => Err(DialError::TimedOut(target.clone())),
        });
    }
    failure
}

async fn connect(address: SocketAddr) -> io::Result<Socket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Each read is passed on with one write: holding small ones back would only add to their way.
    socket.set_nodelay(true)?;
    SockRef::from(&socket).set_tcp_keepalive(&keepalive())?;
    Ok(Socket::Tcp(socket.connect(address).await?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::target::allow::AllowedTargets;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn the_next_address_of_a_name_is_tried_when_one_refuses() {
        let refusing = TcpListener::bind("[::1]:0").await.unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = address.to_string().parse().unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let socket = connect_any(&target, &[refusing, address], deadline).await.unwrap().unwrap();
        let Socket::Tcp(stream) = socket else { unreachable!() };
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn an_address_that_swallows_packets_leaves_time_for_the_next() {
        // A listener whose backlog is full answers no more.
        let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        full.listen(0).unwrap();
        let silent = full.local_addr().unwrap().as_socket().unwrap();
        let mut fillers = Vec::new();
        while let Ok(filler) = std::net::TcpStream::connect_timeout(&silent, Duration::from_millis(100)) {
            fillers.push(filler);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target: Target = silent.to_string().parse().unwrap();
        let deadline = || Instant::now() + Duration::from_millis(400);
        let both = [silent, listener.local_addr().unwrap()];
        assert!(connect_any(&target, &both, deadline()).await.unwrap().is_ok());
        let alone = connect_any(&target, &[silent], deadline()).await.unwrap().unwrap_err();
        assert!(matches!(alone, DialError::TimedOut(_)));
    }

    #[tokio::test]
    async fn localhost_is_both_loopbacks_without_a_look_into_any_table() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).await.unwrap();
            let address = listener.local_addr().unwrap();
            for name in ["localhost", "LocalHost."] {
                let target: Target = format!("{name}:{}", address.port()).parse().unwrap();
                let Socket::Tcp(stream) = dial(&target, &Reach::Everything, Duration::from_secs(5)).await.unwrap()
                else {
                    unreachable!()
                };
                assert_eq!(stream.peer_addr().unwrap(), address);
            }
        }
    }

    #[tokio::test]
    async fn each_failure_says_what_failed() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let refused =
            dial(&free.to_string().parse().unwrap(), &Reach::Everything, Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("cannot connect to {free}"));
        let missing = dial(&"unix:/nonexistent/socket".parse().unwrap(), &Reach::Everything, Duration::from_secs(5))
            .await
            .unwrap_err();
        assert_eq!(missing.to_string(), "cannot connect to unix:/nonexistent/socket");
        let unknown = dial(&"no-such-host.invalid:1".parse().unwrap(), &Reach::Everything, Duration::from_secs(5))
            .await
            .unwrap_err();
        assert_eq!(unknown.to_string(), "cannot resolve 'no-such-host.invalid'");
    }

    #[tokio::test]
    async fn what_is_out_of_reach_is_not_connected_to() {
        let limit = Duration::from_secs(5);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listed = |text: String| Reach::Listed(AllowedTargets::new(vec![text.parse().unwrap()]));
        let target: Target = format!("localhost:{}", address.port()).parse().unwrap();
        let here = listed(format!("127.0.0.0/8:{}", address.port()));
        assert!(dial(&target, &here, limit).await.is_ok());
        for reach in [Reach::OtherMachines, listed("10.0.0.0/8".to_owned()), listed("127.0.0.0/8:1".to_owned())] {
            let refused = dial(&target, &reach, limit).await.unwrap_err();
            assert!(matches!(refused, DialError::NotAllowed(_)), "{refused}");
        }
        let accepted = listener.accept().await.unwrap();
        drop(accepted);
        assert!(tokio::time::timeout(Duration::ZERO, listener.accept()).await.is_err(), "somebody connected");
    }

    #[tokio::test]
    async fn a_link_does_not_lead_out_of_reach() {
        let limit = Duration::from_secs(5);
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let (inside, outside) = (root.join("in"), root.join("out"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::create_dir(&outside).unwrap();
        let _listeners =
            [inside.join("a"), outside.join("b")].map(|path| std::os::unix::net::UnixListener::bind(path).unwrap());
        std::os::unix::fs::symlink(outside.join("b"), inside.join("b")).unwrap();
        let reach = Reach::Listed(AllowedTargets::new(vec![format!("unix:{}", inside.display()).parse().unwrap()]));
        assert!(dial(&Target::Unix(inside.join("a")), &reach, limit).await.is_ok());
        for path in [inside.join("b"), outside.join("b"), inside.join("../out/b")] {
            let refused = dial(&Target::Unix(path), &reach, limit).await.unwrap_err();
            assert!(matches!(refused, DialError::NotAllowed(_)), "{refused}");
        }
    }
}
