//! The floor: the least that a relay in user space can do.
//!
//! One thread, edge-triggered epoll, one buffer of 64 KiB that all sessions share. Each direction reads
//! into the buffer and writes it out; what the receiver does not take is kept, and nothing more
//! is read in that direction until it is gone.
//!
//! What it leaves out, and a WebSocket proxy must do: the HTTP upgrade, frame headers in both directions,
//! unmasking, deadlines, limits, logs, TLS. A ratio to the floor says what all of that costs together.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

const BUFFER_BYTES: usize = 64 * 1024;
const EVENTS_AT_ONCE: usize = 256;
/// The token of the listening socket; the others are twice the session's place plus the side.
const LISTENER: u64 = u64::MAX;

/// Relays from `listener` to `target` until the process is ended.
pub fn run(listener: &TcpListener, target: SocketAddr) -> std::io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    listener.set_nonblocking(true)?;
    // The listener alone is level-triggered: an accept that fails is tried again by itself.
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut sessions = Sessions::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut events = [EpollEvent::empty(); EVENTS_AT_ONCE];
    loop {
        let count = wait(&epoll, &mut events)?;
        for event in &events[..count] {
            if event.data() == LISTENER {
                if let Ok((client, _)) = listener.accept() {
                    sessions.open(&epoll, client, target)?;
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
    fn open(&mut self, epoll: &Epoll, client: TcpStream, target: SocketAddr) -> std::io::Result<()> {
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
        self.places[place] = Some(Session { sockets, flows: Default::default() });
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

#[derive(Default)]
struct Flow {
    /// Read, but not yet taken by the receiver.
    pending: Vec<u8>,
    /// The sender has ended.
    ended: bool,
    /// The sender has ended, and the receiver has been told.
    over: bool,
}

impl Session {
    fn serve(&mut self, side: usize, ready: EpollFlags, buffer: &mut [u8]) -> std::io::Result<()> {
        let ending = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        let other = 1 - side;
        if ready.contains(EpollFlags::EPOLLOUT) && !self.flows[other].pending.is_empty() {
            self.flush(other)?;
            if self.flows[other].pending.is_empty() {
                // What arrived meanwhile announced itself while we could not take it.
                self.relay(other, true, buffer)?;
            }
        }
        if ready.intersects(EpollFlags::EPOLLIN | ending) && self.flows[side].pending.is_empty() {
            self.relay(side, ready.intersects(ending), buffer)?;
        }
        Ok(())
    }

    /// Copies from `side` to the other until one of them would block.
    fn relay(&mut self, side: usize, to_the_end: bool, buffer: &mut [u8]) -> std::io::Result<()> {
        while !self.flows[side].ended {
            let length = match (&self.sockets[side]).read(buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            if length == 0 {
                self.flows[side].ended = true;
                break;
            }
            let written = write(&self.sockets[1 - side], &buffer[..length])?;
            if written < length {
                self.flows[side].pending.extend_from_slice(&buffer[written..length]);
                return Ok(());
            }
            // A short read has emptied the socket; whatever comes later raises a new edge. Only an end
            // that was already announced has to be read now.
            if length < buffer.len() && !to_the_end {
                return Ok(());
            }
        }
        self.finish(side)
    }

    fn flush(&mut self, side: usize) -> std::io::Result<()> {
        let flow = &mut self.flows[side];
        let written = write(&self.sockets[1 - side], &flow.pending)?;
        flow.pending.drain(..written);
        Ok(())
    }

    fn finish(&mut self, side: usize) -> std::io::Result<()> {
        let flow = &mut self.flows[side];
        if !flow.over {
            flow.over = true;
            self.sockets[1 - side].shutdown(Shutdown::Write)?;
        }
        Ok(())
    }
}

/// Writes what the receiver takes now. A full one takes nothing, which is no error here.
fn write(mut socket: &TcpStream, bytes: &[u8]) -> std::io::Result<usize> {
    match socket.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A relay in a thread of its own, and both ends of one session through it.
    fn session() -> (TcpStream, TcpStream) {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, goal) = (listener.local_addr().unwrap(), target.local_addr().unwrap());
        thread::spawn(move || run(&listener, goal));
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
        for reversed in [false, true] {
            let (client, server) = session();
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
        let (client, mut server) = session();
        (&client).write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&server), b"question");
        server.write_all(b"answer").unwrap();
        drop(server);
        assert_eq!(read_all(&client), b"answer");
    }

    #[test]
    fn both_directions_at_once() {
        let (client, server) = session();
        let payload = noise(8 << 20);
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
