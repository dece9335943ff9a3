//! Records to a syslog server: RFC 5424, or the form of the old BSD daemon, over a local socket or UDP.
//!
//! Promise: sending never blocks and never fails the program. What the server does not take now is dropped and counted,
//! and the count is sent as soon as the server takes records again. A server that was restarted is found again. Records
//! on a stream end with a line feed, which a record's text never contains.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use super::gap::Gap;
use super::record::Record;
use super::{LogError, Syslog, SyslogServer};

/// What kind of program speaks, in the numbers of RFC 5424.
#[derive(Clone, Copy, Debug)]
pub(super) enum Facility {
    User = 1,
    Daemon = 3,
}

/// The way to one server.
pub(super) struct Sender {
    settings: Syslog,
    facility: Facility,
    host: String,
    state: Mutex<State>,
}

struct State {
    connection: Connection,
    gap: Gap,
}

impl Sender {
    /// Fails when nobody listens: a log that goes nowhere from the start is a mistake in the settings.
    pub(super) fn connect(settings: &Syslog, facility: Facility) -> Result<Self, LogError> {
        let (server, connection) = match &settings.server {
            SyslogServer::Local(path) => (path.display().to_string(), Connection::local(path)),
            SyslogServer::Udp { host, port } => (format!("{host}:{port}"), Connection::udp(host, *port)),
        };
        let connection = connection.map_err(|source| LogError::Syslog { server, source })?;
        let state = Mutex::new(State { connection, gap: Gap::default() });
        Ok(Self { settings: settings.clone(), facility, host: host_name(), state })
    }

    pub(super) fn send(&self, record: &Record) {
        let State { connection, gap } = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        gap.send(record, |record| self.try_send(connection, record));
    }

    fn try_send(&self, connection: &mut Connection, record: &Record) -> io::Result<()> {
        let packet = self.packet(record);
        let Err(error) = connection.send(&packet) else { return Ok(()) };
        if error.kind() == io::ErrorKind::WouldBlock {
            return Err(error);
        }
        // The server went away, and may be back under the same path. Over UDP the error is an earlier packet's: the
        // same socket serves, and the name is not looked up again, which could take long.
        if let SyslogServer::Local(path) = &self.settings.server {
            *connection = Connection::local(path)?;
        }
        connection.send(&packet)
    }

    fn packet(&self, record: &Record) -> String {
        let priority = self.facility as u8 * 8 + record.severity();
        let (pid, text) = (process::id(), &record.text);
        if self.settings.legacy {
            return format!("<{priority}>websockify[{pid}]: {text}");
        }
        let time = humantime::format_rfc3339_seconds(record.time);
        let mark = if text.is_ascii() { "" } else { "\u{feff}" }; // RFC 5424, 6.4: UTF-8 text begins with one
        format!("<{priority}>1 {time} {} websockify {pid} - - {mark}{text}", self.host)
    }
}

/// A connected socket that never blocks.
enum Connection {
    Datagram(UnixDatagram),
    /// With what remains of a record that was sent in part: nothing may come in between.
    Stream(UnixStream, Vec<u8>),
    Udp(UdpSocket),
}

impl Connection {
    fn local(path: &Path) -> io::Result<Self> {
        match connected(path, Type::DGRAM) {
            Ok(socket) => Ok(Self::Datagram(socket.into())),
            // The socket is there, and of the other kind.
            Err(error) if error.raw_os_error() == Some(Errno::EPROTOTYPE as i32) => {
                Ok(Self::Stream(connected(path, Type::STREAM)?.into(), Vec::new()))
            }
            Err(error) => Err(error),
        }
    }

    fn udp(host: &str, port: u16) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in (host, port).to_socket_addrs()? {
            let any: IpAddr =
                if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind((any, 0)).and_then(|socket| {
                socket.connect(address)?;
                socket.set_nonblocking(true)?;
                Ok(socket)
            });
            match socket {
                Ok(socket) => return Ok(Self::Udp(socket)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn send(&mut self, packet: &str) -> io::Result<()> {
        match self {
            Self::Datagram(socket) => socket.send(packet.as_bytes()).map(drop),
            Self::Udp(socket) => socket.send(packet.as_bytes()).map(drop),
            Self::Stream(socket, rest) => {
                if !rest.is_empty() {
                    let sent = socket.write(rest)?;
                    rest.drain(..sent);
                }
                if !rest.is_empty() {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                let line = [packet.as_bytes(), b"\n"].concat();
                let sent = socket.write(&line)?;
                rest.extend_from_slice(&line[sent..]);
                Ok(())
            }
        }
    }
}

fn connected(path: &Path, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?; // before connecting: a stream server with a full backlog would block it
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket)
}

/// As RFC 5424 asks for it: printable ASCII, `-` when unknown.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;
    use std::time::{Duration, Instant, UNIX_EPOCH};

    use tracing::Level;

    use super::super::kind::Kind;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn record(level: Level, text: &str) -> Record {
        Record {
            time: UNIX_EPOCH + Duration::from_millis(1_795_330_088_123),
            level,
            kind: None,
            text: text.to_owned(),
            fields: Vec::new(),
        }
    }

    fn info(text: &str) -> Record {
        record(Level::INFO, text)
    }

    fn sender(server: SyslogServer, legacy: bool, facility: Facility) -> Sender {
        Sender::connect(&Syslog { server, legacy }, facility).unwrap()
    }

    fn received(server: &UnixDatagram) -> String {
        let mut packet = [0; 16_000];
        let length = server.recv(&mut packet).expect("a packet comes");
        String::from_utf8(packet[..length].to_vec()).unwrap()
    }

    fn datagram_server(path: &Path) -> UnixDatagram {
        let server = UnixDatagram::bind(path).unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        server
    }

    fn legacy(text: &str) -> String {
        format!("<14>websockify[{}]: {text}", process::id())
    }

    #[test]
    fn rfc_5424_over_udp() {
        let server = UdpSocket::bind("[::1]:0").unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let address = SyslogServer::Udp { host: "::1".into(), port: server.local_addr().unwrap().port() };
        let sender = sender(address, false, Facility::Daemon);
        let (host, pid) = (host_name(), process::id());
        for (sent, expected) in [
            (info("session opened"), format!("<30>1 2026-11-22T06:48:08Z {host} websockify {pid} - - session opened")),
            (
                Record { kind: Some(Kind::Stopped), ..info("stopped") },
                format!("<29>1 2026-11-22T06:48:08Z {host} websockify {pid} - - stopped"),
            ),
            (record(Level::ERROR, "no"), format!("<27>1 2026-11-22T06:48:08Z {host} websockify {pid} - - no")),
            (record(Level::WARN, "hm"), format!("<28>1 2026-11-22T06:48:08Z {host} websockify {pid} - - hm")),
            (
                record(Level::DEBUG, "Größe"),
                format!("<31>1 2026-11-22T06:48:08Z {host} websockify {pid} - - \u{feff}Größe"),
            ),
        ] {
            sender.send(&sent);
            let mut packet = [0; 512];
            let length = server.recv(&mut packet).unwrap();
            assert_eq!(std::str::from_utf8(&packet[..length]), Ok(expected.as_str()));
        }
    }

    #[test]
    fn a_local_datagram_socket_is_found_again_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let server = datagram_server(&path);
        let sender = sender(SyslogServer::Local(path.clone()), true, Facility::User);
        sender.send(&info("one"));
        assert_eq!(received(&server), legacy("one"));

        drop(server);
        fs::remove_file(&path).unwrap();
        sender.send(&info("lost"));
        sender.send(&info("lost"));

        let server = datagram_server(&path);
        sender.send(&info("two"));
        let gap = received(&server);
        assert!(gap.starts_with("<12>") && missing(&gap) == Some(2), "{gap}");
        assert_eq!(received(&server), legacy("two"));
    }

    #[test]
    fn a_server_that_does_not_read_costs_records_and_no_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let server = datagram_server(&path);
        let sender = sender(SyslogServer::Local(path), true, Facility::User);
        let mut sent = 0;
        while sender.state.lock().unwrap().gap.dropped() == 0 {
            sender.send(&info("flood"));
            sent += 1;
            assert!(sent < 100_000, "the queue of a datagram socket is bounded");
        }
        for _ in 1..sent {
            assert_eq!(received(&server), legacy("flood"));
        }
        sender.send(&info("after"));
        assert_eq!(missing(&received(&server)), Some(1));
        assert_eq!(received(&server), legacy("after"));
    }

    #[test]
    fn a_local_stream_socket_gets_whole_records_even_when_it_stalls() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let listener = UnixListener::bind(&path).unwrap();
        let sender = sender(SyslogServer::Local(path), true, Facility::User);
        let (stream, _) = listener.accept().unwrap();

        let long = "x".repeat(150_000); // more than a stream socket takes at once: it is sent in parts
        let state = || sender.state.lock().unwrap();
        let mut delivered = 0;
        while state().gap.dropped() < 3 {
            sender.send(&info(&long));
            delivered += usize::from(state().gap.dropped() == 0);
            assert!(delivered < 100_000, "the buffer of a stream socket is bounded");
        }

        let reader = thread::spawn(move || io::read_to_string(stream).unwrap());
        let deadline = Instant::now() + PATIENCE;
        let is_behind = |state: &State| {
            state.gap.dropped() > 0 || matches!(&state.connection, Connection::Stream(_, rest) if !rest.is_empty())
        };
        let mut after = 0;
        while is_behind(&state()) {
            sender.send(&info("after"));
            after += 1;
            assert!(Instant::now() < deadline, "the reader makes room");
            thread::yield_now();
        }
        drop(sender);

        let text = reader.join().unwrap();
        let lines: Vec<_> = text.strip_suffix('\n').expect("the last record is whole").split('\n').collect();
        let (before, rest) = lines.split_at(delivered);
        assert!(before.iter().all(|line| **line == legacy(&long)), "a record was torn");
        let gaps: Vec<usize> = rest.iter().filter_map(|line| missing(line)).collect();
        let told_after = rest.iter().filter(|line| ***line == legacy("after")).count();
        assert!(missing(rest[0]).is_some(), "the gap is told before the next record: {}", rest[0]);
        assert_eq!(gaps.len() + told_after, rest.len(), "{rest:?}");
        assert_eq!(gaps.iter().sum::<usize>() + told_after, 3 + after, "each record is there or counted");
    }

    /// How many records a line says are missing.
    fn missing(line: &str) -> Option<usize> {
        line.split_once("records are missing here: they were not taken in time dropped=")?.1.parse().ok()
    }

    #[test]
    fn a_server_that_is_not_there_is_an_error_that_names_it() {
        let server = SyslogServer::Local("/nonexistent/log".into());
        let error = Sender::connect(&Syslog { server, legacy: false }, Facility::User).err().unwrap();
        assert_eq!(error.to_string(), "cannot reach the syslog server at /nonexistent/log");
    }
}
