//! The floor: the least that a relay in user space can do.
//!
//! One thread, edge-triggered epoll. By copying: one buffer that all sessions share; each direction reads into it and writes it out,
//! and what the receiver does not take is kept. By splicing: a pipe for each direction, and the bytes never come to user space. In
//! both, nothing more is read in a direction until what was read is gone.
//!
//! What it leaves out, and a WebSocket proxy must do: the HTTP upgrade, frame headers in both directions,
//! unmasking, deadlines, limits, logs, TLS. A ratio to the floor says what all of that costs together.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::pipe2;

const EVENTS_AT_ONCE: usize = 256;
/// The token of the listening socket; the others are twice the session's place plus the side.
const LISTENER: u64 = u64::MAX;

/// How bytes get from one socket to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through a buffer of so many bytes.
    Copy(usize),
    /// Through a pipe of so many bytes.
    Splice(usize),
}

/// Relays from `listener` to `target` until the process is ended.
pub fn run(listener: &TcpListener, target: SocketAddr, way: Way) -> std::io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    listener.set_nonblocking(true)?;
    // The listener alone is level-triggered: an accept that fails is tried again by itself.
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut sessions = Sessions::default();
    let mut buffer = match way {
        Way::Copy(bytes) => vec![0; bytes],
        Way::Splice(_) => Vec::new(),
    };
    let mut events = [EpollEvent::empty(); EVENTS_AT_ONCE];
    loop {
        let count = wait(&epoll, &mut events)?;
        for event in &events[..count] {
            if event.data() == LISTENER {
                if let Ok((client, _)) = listener.accept() {
                    sessions.open(&epoll, client, target, way)?;
                }
            } else {
                sessions.serve(event.data(), event.events(), &mut buffer);
            }
        }
    }
}

/// Waits for events. A wait may be interrupted (a stopped and continued process, a debugger): that is no event.
pub fn wait(epoll: &Epoll, events: &mut [EpollEvent]) -> nix::Result<usize> {
    loop {
        match epoll.wait(events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// The sessions by their place. A place is used again, so an event that was fetched before its session
/// ended may meet the next one there: that costs a read which would block, and nothing else.
#[derive(Default)]
struct Sessions {
    places: Vec<Option<Session>>,
    free: Vec<usize>,
}

impl Sessions {
    fn open(&mut self, epoll: &Epoll, client: TcpStream, target: SocketAddr, way: Way) -> std::io::Result<()> {
        // Connecting may block the thread: on the loopback it is over before the call returns.
        let sockets = [client, TcpStream::connect(target)?];
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        for (side, socket) in sockets.iter().enumerate() {
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
            epoll.add(socket, EpollEvent::new(interest, (place * 2 + side) as u64))?;
        }
        let flow = || Ok::<_, std::io::Error>(Flow { held: Held::new(way)?, ended: false, over: false });
        self.places[place] = Some(Session { sockets, flows: [flow()?, flow()?] });
        Ok(())
    }

    fn serve(&mut self, token: u64, ready: EpollFlags, buffer: &mut [u8]) {
        let token = usize::try_from(token).expect("tokens are made from places");
        let (place, side) = (token / 2, token % 2);
        let Some(session) = &mut self.places[place] else { return };
        let outcome = session.serve(side, ready, buffer);
        // A reset ends a session like anything else does; dropping the sockets closes them.
        if outcome.is_err() || session.flows.iter().all(|flow| flow.over) {
            self.places[place] = None;
            self.free.push(place);
        }
    }
}

struct Session {
    sockets: [TcpStream; 2],
    /// `flows[side]` carries what is read from `sockets[side]`.
    flows: [Flow; 2],
}

struct Flow {
    /// Read, but not yet taken by the receiver.
    held: Held,
    /// The sender has ended.
    ended: bool,
    /// The sender has ended, and the receiver has been told.
    over: bool,
}

enum Held {
    Bytes(Vec<u8>),
    Pipe { read: OwnedFd, write: OwnedFd, bytes: usize },
}

/// What one step from a socket to the other came to.
enum Step {
    /// There was nothing to read.
    Nothing,
    End,
    /// All that was read is written. Whether more may be there already.
    Moved {
        more: bool,
    },
    /// The receiver takes no more.
    Stuck,
}

impl Session {
    fn serve(&mut self, side: usize, ready: EpollFlags, buffer: &mut [u8]) -> std::io::Result<()> {
        let ending = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        let other = 1 - side;
        if ready.contains(EpollFlags::EPOLLOUT)
            && !self.flows[other].held.is_empty()
            && self.flows[other].held.write(&self.sockets[side])?
        {
            // What arrived meanwhile announced itself while we could not take it.
            self.relay(other, true, buffer)?;
        }
        if ready.intersects(EpollFlags::EPOLLIN | ending) && self.flows[side].held.is_empty() {
            self.relay(side, ready.intersects(ending), buffer)?;
        }
        Ok(())
    }

    /// Moves bytes from `side` to the other until one of them would block.
    fn relay(&mut self, side: usize, to_the_end: bool, buffer: &mut [u8]) -> std::io::Result<()> {
        while !self.flows[side].ended {
            match self.flows[side].held.step(&self.sockets[side], &self.sockets[1 - side], buffer)? {
                Step::Nothing | Step::Stuck => return Ok(()),
                Step::End => self.flows[side].ended = true,
                // Whatever comes later raises a new edge. Only an end that was already announced has to be read now.
                Step::Moved { more } if !more && !to_the_end => return Ok(()),
                Step::Moved { .. } => {}
            }
        }
        if !self.flows[side].over {
            self.flows[side].over = true;
            self.sockets[1 - side].shutdown(Shutdown::Write)?;
        }
        Ok(())
    }
}

impl Held {
    fn new(way: Way) -> std::io::Result<Self> {
        let Way::Splice(bytes) = way else { return Ok(Self::Bytes(Vec::new())) };
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let bytes = i32::try_from(bytes).expect("pipes are small");
        // The system grants one user only so many large pipes; a smaller one works too.
        let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(bytes));
        Ok(Self::Pipe { read, write, bytes: 0 })
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Pipe { bytes, .. } => *bytes == 0,
        }
    }

    /// One read, when nothing is held, and one write.
    fn step(&mut self, mut from: &TcpStream, mut to: &TcpStream, buffer: &mut [u8]) -> std::io::Result<Step> {
        match self {
            Self::Bytes(held) => {
                let Some(length) = unless_blocked(from.read(buffer))? else { return Ok(Step::Nothing) };
                if length == 0 {
                    return Ok(Step::End);
                }
                let written = unless_blocked(to.write(&buffer[..length]))?.unwrap_or(0);
                held.extend_from_slice(&buffer[written..length]);
                // A short read has emptied the socket.
                Ok(if written < length { Step::Stuck } else { Step::Moved { more: length == buffer.len() } })
            }
            Self::Pipe { write, bytes, .. } => {
                let Some(length) = unless_blocked(splice_once(from, &*write, SPLICED_AT_MOST))? else {
                    return Ok(Step::Nothing);
                };
                if length == 0 {
                    return Ok(Step::End);
                }
                *bytes = length;
                // A splice is short for many reasons: only an empty socket says that it is empty.
                Ok(if self.write(to)? { Step::Moved { more: true } } else { Step::Stuck })
            }
        }
    }

    /// Writes what is held. True: all of it is gone.
    fn write(&mut self, mut to: &TcpStream) -> std::io::Result<bool> {
        match self {
            Self::Bytes(held) => {
                let written = unless_blocked(to.write(held))?.unwrap_or(0);
                held.drain(..written);
            }
            Self::Pipe { read, bytes, .. } => {
                while *bytes > 0 {
                    let Some(written) = unless_blocked(splice_once(&*read, to, *bytes))? else { break };
                    *bytes -= written;
                }
            }
        }
        Ok(self.is_empty())
    }
}

/// More than any pipe takes.
const SPLICED_AT_MOST: usize = 1 << 30;

fn splice_once(from: impl std::os::fd::AsFd, to: impl std::os::fd::AsFd, bytes: usize) -> std::io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    Ok(splice(from, None, to, None, bytes, flags)?)
}

/// A socket that would block is no error here.
fn unless_blocked(result: std::io::Result<usize>) -> std::io::Result<Option<usize>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const WAYS: [Way; 2] = [Way::Copy(64 << 10), Way::Splice(64 << 10)];

    /// A relay in a thread of its own, and both ends of one session through it.
    fn session(way: Way) -> (TcpStream, TcpStream) {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, goal) = (listener.local_addr().unwrap(), target.local_addr().unwrap());
        thread::spawn(move || run(&listener, goal, way));
        let client = TcpStream::connect(address).unwrap();
        let (server, _) = target.accept().unwrap();
        (client, server)
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(length)
        .collect()
    }

    fn read_all(mut socket: &TcpStream) -> Vec<u8> {
        let mut received = Vec::new();
        socket.read_to_end(&mut received).unwrap();
        received
    }

    #[test]
    fn carries_more_than_any_socket_buffer_and_then_the_end() {
        // The receiver starts only when the sender is done or stuck: the rest must have waited.
        for (way, reversed) in WAYS.into_iter().flat_map(|way| [(way, false), (way, true)]) {
            let (client, server) = session(way);
            let (mut sender, receiver) = if reversed { (server, client) } else { (client, server) };
            let sent = noise(32 << 20);
            let expected = sent.clone();
            let writer = thread::spawn(move || {
                sender.write_all(&sent).unwrap();
                sender.shutdown(Shutdown::Write).unwrap();
                sender
            });
            assert!(read_all(&receiver) == expected, "the bytes must arrive unchanged");
            writer.join().unwrap();
        }
    }

    #[test]
    fn a_half_closed_session_still_answers() {
        for way in WAYS {
            let (client, mut server) = session(way);
            (&client).write_all(b"question").unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_all(&server), b"question");
            server.write_all(b"answer").unwrap();
            drop(server);
            assert_eq!(read_all(&client), b"answer");
        }
    }

    #[test]
    fn both_directions_at_once() {
        let payload = noise(8 << 20);
        for way in WAYS {
            let (client, server) = session(way);
            let ends = [client, server].map(|socket| {
                let payload = payload.clone();
                thread::spawn(move || {
                    let mut writer = socket.try_clone().unwrap();
                    let outgoing = thread::spawn(move || {
                        writer.write_all(&payload).unwrap();
                        writer.shutdown(Shutdown::Write).unwrap();
                    });
                    let received = read_all(&socket);
                    outgoing.join().unwrap();
                    received
                })
            });
            for end in ends {
                assert!(end.join().unwrap() == payload, "the bytes must arrive unchanged");
            }
        }
    }
}
