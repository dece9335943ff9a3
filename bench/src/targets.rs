//! The far ends that the proxies relay to: threads of this process.
//!
//! A bulk target takes its order through the session itself, eight bytes that say how many are wanted or
//! will come. So a scenario can prepare a session, read the proxy's CPU time, and only then begin.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

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
    /// Told a number, receives so many bytes and then repeats the number.
    pub sink: SocketAddr,
}

impl Targets {
    pub fn start(cpus: Cpus) -> Self {
        Self {
            echo: listen(cpus.turns(), |listener| echo(&listener)),
            source: listen(cpus.generator, |listener| each_in_a_thread(&listener, source)),
            sink: listen(cpus.generator, |listener| each_in_a_thread(&listener, sink)),
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
    while let Some(mut wanted) = order(connection)? {
        while wanted > 0 {
            let part = &BLOCK[..wanted.min(BLOCK.len())];
            connection.write_all(part)?;
            wanted -= part.len();
        }
    }
    Ok(())
}

fn sink(connection: &mut TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Some(announced) = order(connection)? {
        let mut checker = Checker::default();
        while checker.received < announced {
            let wanted = (announced - checker.received).min(buffer.len());
            let length = connection.read(&mut buffer[..wanted])?;
            if length == 0 {
                return Ok(());
            }
            checker.take(&buffer[..length]);
        }
        connection.write_all(&(announced as u64).to_be_bytes())?;
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
