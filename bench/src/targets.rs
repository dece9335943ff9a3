//! The far ends that the proxies relay to: threads of this process.
//!
//! A bulk target takes its order through the session itself, eight bytes that say how many are wanted or
//! will come. So a scenario can prepare a session, read the proxy's CPU time, and only then begin.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::floor::wait;
use crate::machine::{self, Cpus};
use crate::payload::{BLOCK, Checker};

const BUFFER_BYTES: usize = 256 * 1024;

#[derive(Clone, Copy)]
pub struct Targets {
    /// Sends back what it receives.
    pub echo: SocketAddr,
    /// Told a number, sends so many bytes.
    pub source: SocketAddr,
    /// The same, in writes of [`SMALL_WRITE`], each some time after the last.
    pub small: SocketAddr,
    /// Told a number, receives so many bytes and then repeats the number.
    pub sink: SocketAddr,
    /// Told a number, does as the source and as the sink at the same time.
    pub both: SocketAddr,
    /// Sends back what it receives, until it is told [`FLOOD`]. Where the load is.
    pub mixed: SocketAddr,
}

/// The order to send for ever.
pub const FLOOD: u64 = 1 << 40;

/// As a desktop that moves a pointer.
pub const SMALL_WRITE: usize = 100;

/// Longer than any of the fast proxies takes to pass a write on. Without it the faster a proxy is, the fewer writes it would find
/// together, and the more it would seem to cost.
const SMALL_WRITE_INTERVAL: Duration = Duration::from_micros(40);

impl Targets {
    pub fn start(cpus: Cpus) -> Self {
        Self {
            echo: listen(cpus.turns(), |listener| echo(&listener)),
            source: listen(cpus.generator, |listener| each_in_a_thread(&listener, source)),
            small: listen(cpus.generator, |listener| each_in_a_thread(&listener, small)),
            sink: listen(cpus.generator, |listener| each_in_a_thread(&listener, sink)),
            both: listen(cpus.generator, |listener| each_in_a_thread(&listener, both)),
            mixed: listen(cpus.generator, |listener| each_in_a_thread(&listener, mixed)),
        }
    }
}

fn listen(cpu: usize, serve: impl FnOnce(TcpListener) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a target binds a port of the loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        machine::pin(cpu);
        serve(listener);
    });
    address
}

fn each_in_a_thread(listener: &TcpListener, serve: fn(&mut TcpStream) -> std::io::Result<()>) {
    for connection in listener.incoming() {
        let mut connection = connection.expect("a target accepts");
        connection.set_nodelay(true).expect("TCP_NODELAY can be set");
        // A proxy that resets its session has failed, but it is the generator that knows and says so.
        thread::spawn(move || serve(&mut connection));
    }
}

/// The number that a session begins with; `None` at its end.
fn order(connection: &mut TcpStream) -> std::io::Result<Option<usize>> {
    let mut number = [0; 8];
    match connection.read_exact(&mut number) {
        Ok(()) => Ok(usize::try_from(u64::from_be_bytes(number)).ok()),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn source(connection: &mut TcpStream) -> std::io::Result<()> {
    while let Some(wanted) = order(connection)? {
        send(connection, wanted)?;
    }
    Ok(())
}

fn small(connection: &mut TcpStream) -> std::io::Result<()> {
    while let Some(wanted) = order(connection)? {
        let (mut sent, mut due) = (0, Instant::now());
        while sent < wanted {
            sent += send_some(connection, sent, SMALL_WRITE.min(wanted - sent))?;
            due += SMALL_WRITE_INTERVAL;
            // Sleeping is too coarse.
            while Instant::now() < due {
                std::hint::spin_loop();
            }
        }
    }
    Ok(())
}

fn sink(connection: &mut TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Some(announced) = order(connection)? {
        receive(connection, announced, &mut buffer)?;
        connection.write_all(&(announced as u64).to_be_bytes())?;
    }
    Ok(())
}

fn both(connection: &mut TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Some(amount) = order(connection)? {
        let mut sender = connection.try_clone()?;
        let sending = thread::spawn(move || send(&mut sender, amount));
        receive(connection, amount, &mut buffer)?;
        sending.join().expect("sending does not panic")?;
        connection.write_all(&(amount as u64).to_be_bytes())?;
    }
    Ok(())
}

fn mixed(connection: &mut TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        let length = connection.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        if buffer[..length] == FLOOD.to_be_bytes() {
            machine::step_back();
            return send(connection, usize::MAX);
        }
        connection.write_all(&buffer[..length])?;
    }
}

/// Sends so many bytes of the bulk stream.
fn send(connection: &mut TcpStream, wanted: usize) -> std::io::Result<()> {
    let mut sent = 0;
    while sent < wanted {
        sent += send_some(connection, sent, wanted - sent)?;
    }
    Ok(())
}

/// Sends at most so many bytes of the bulk stream, of which some were sent already, and says how many.
fn send_some(connection: &mut TcpStream, sent: usize, at_most: usize) -> std::io::Result<usize> {
    let from = sent % BLOCK.len();
    let part = &BLOCK[from..BLOCK.len().min(from.saturating_add(at_most))];
    connection.write_all(part)?;
    Ok(part.len())
}

fn receive(connection: &mut TcpStream, announced: usize, buffer: &mut [u8]) -> std::io::Result<()> {
    let mut checker = Checker::default();
    while checker.received < announced {
        let wanted = (announced - checker.received).min(buffer.len());
        let length = connection.read(&mut buffer[..wanted])?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        checker.take(&buffer[..length]);
    }
    Ok(())
}

/// One thread for all its sessions, because the idle scenario holds thousands. Its writes may block: the
/// scenarios that echo never have more in flight than a socket takes.
fn echo(listener: &TcpListener) {
    const EVENTS_AT_ONCE: usize = 64;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll is there");
    let listener_token = u64::MAX;
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, listener_token)).expect("epoll takes a listener");
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut events = [EpollEvent::empty(); EVENTS_AT_ONCE];
    loop {
        let count = wait(&epoll, &mut events).expect("epoll waits");
        for event in &events[..count] {
            if event.data() == listener_token {
                let (connection, _) = listener.accept().expect("a target accepts");
                connection.set_nodelay(true).expect("TCP_NODELAY can be set");
                let place = free.pop().unwrap_or_else(|| {
                    connections.push(None);
                    connections.len() - 1
                });
                epoll
                    .add(&connection, EpollEvent::new(EpollFlags::EPOLLIN, place as u64))
                    .expect("epoll takes a connection");
                connections[place] = Some(connection);
                continue;
            }
            let place = usize::try_from(event.data()).expect("tokens are made from places");
            // Level-triggered, and each place once in a batch: the connection is there and readable.
            let Some(connection) = &mut connections[place] else { continue };
            let echoed = match connection.read(&mut buffer) {
                Ok(0) | Err(_) => false,
                Ok(length) => connection.write_all(&buffer[..length]).is_ok(),
            };
            if !echoed {
                connections[place] = None;
                free.push(place);
            }
        }
    }
}
