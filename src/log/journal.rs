//! Records to systemd's journal by its native protocol: each field of a record is a field there.
//!
//! Promise: sending never blocks and never fails the program, even when the journal's daemon is stopped; what it does not
//! take is counted, and told before the next record that it takes. A daemon that was restarted is found again: every
//! record goes to the socket's name. MESSAGE is the whole line that people would read on a terminal, for `journalctl`
//! shows nothing else unless it is asked; the other fields are values as they were given.
//!
//! A record that is too large for a datagram is not passed on in a memfd, as the protocol allows. Values are cut far
//! below that: only a client that wants to fill a disk makes longer ones.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{env, io};

use nix::sys::stat::fstat;
use socket2::SockRef;

use super::gap::Gap;
use super::record::Record;

/// Where journald listens. A unit with `LogNamespace=` finds its own namespace's journal there.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Room for a busy moment, as libsystemd asks for. The kernel gives what `net.core.wmem_max` allows.
const SEND_BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// journald ignores fields with longer names.
const NAME_BYTES_MAX: usize = 64;

/// The way to the journal.
pub(super) struct Journal {
    path: PathBuf,
    socket: UnixDatagram,
    gap: Mutex<Gap>,
}

impl Journal {
    /// The journal, if standard error leads there. Somebody who has put it elsewhere, into a file or a pipe, wants it there.
    pub(super) fn behind_stderr() -> Option<Self> {
        let stream = env::var("JOURNAL_STREAM").ok()?;
        if !is_stream(&stream, io::stderr()) {
            return None;
        }
        Self::open(Path::new(SOCKET)).ok() // not reachable from here: then the lines on standard error still get there
    }

    /// Fails when nobody listens there.
    fn open(path: &Path) -> io::Result<Self> {
        UnixDatagram::unbound()?.connect(path)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER_BYTES)?;
        Ok(Self { path: path.to_owned(), socket, gap: Mutex::default() })
    }

    pub(super) fn send(&self, record: &Record) {
        let mut gap = self.gap.lock().unwrap_or_else(PoisonError::into_inner);
        gap.send(record, |record| self.socket.send_to(&packet(record), &self.path).map(drop));
    }
}

/// Whether `file` is the stream that systemd has connected to the journal: `DEVICE:INODE`.
fn is_stream(journal_stream: &str, file: impl AsFd) -> bool {
    let numbers = journal_stream.split_once(':');
    let numbers = numbers.and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    fstat(file).is_ok_and(|stat| numbers == Some((stat.st_dev, stat.st_ino)))
}

fn packet(record: &Record) -> Vec<u8> {
    let mut packet = Vec::with_capacity(1024);
    put(&mut packet, "MESSAGE", &record.text);
    put(&mut packet, "PRIORITY", &record.severity().to_string());
    if let Some(kind) = record.kind {
        put(&mut packet, "MESSAGE_ID", &format!("{:032x}", kind.id()));
    }
    put(&mut packet, "SYSLOG_IDENTIFIER", "websockify");
    for (name, value) in &record.fields {
        match (*name, value.parse::<SocketAddr>()) {
            // Who looks for a client looks for its address.
            ("client", Ok(address)) => {
                put(&mut packet, &own_name("client"), &address.ip().to_string());
                put(&mut packet, &own_name("client_port"), &address.port().to_string());
            }
            _ => put(&mut packet, &own_name(name), value),
        }
    }
    packet
}

/// `NAME=value`; or, where the value has line breaks, the name, the value's length, and the value.
fn put(packet: &mut Vec<u8>, name: &str, value: &str) {
    packet.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        packet.push(b'\n');
        packet.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        packet.push(b'=');
    }
    packet.extend_from_slice(value.as_bytes());
    packet.push(b'\n');
}

/// What a field is called in the journal, whoever named it: capital letters, digits and underscores.
fn own_name(name: &str) -> String {
    let letters =
        name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' });
    "WEBSOCKIFY_".chars().chain(letters).take(NAME_BYTES_MAX).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use proptest::prelude::*;
    use tracing::subscriber::with_default;

    use super::super::kind::Kind;
    use super::super::sinks::Stderr;
    use super::super::{Settings, subscriber};
    use super::*;

    /// A journald that reads when the test says so.
    struct Daemon {
        directory: tempfile::TempDir,
        socket: UnixDatagram,
    }

    impl Daemon {
        fn start() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let socket = Self::bind(directory.path());
            Self { directory, socket }
        }

        fn bind(directory: &Path) -> UnixDatagram {
            let socket = UnixDatagram::bind(directory.join("socket")).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            socket
        }

        /// Gone, and its socket with it.
        fn stop(self) -> tempfile::TempDir {
            fs::remove_file(self.directory.path().join("socket")).unwrap();
            self.directory
        }

        fn journal(&self) -> Journal {
            Journal::open(&self.directory.path().join("socket")).unwrap()
        }

        fn packet(&self) -> Vec<u8> {
            let mut packet = vec![0; 1 << 20];
            let length = self.socket.recv(&mut packet).expect("a record comes");
            packet.truncate(length);
            packet
        }

        fn fields(&self) -> Vec<(String, String)> {
            parse(&self.packet())
        }
    }

    /// As the protocol's text says it is to be read.
    fn parse(mut packet: &[u8]) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut fields = Vec::new();
        while !packet.is_empty() {
            let end = packet.iter().position(|byte| matches!(byte, b'=' | b'\n')).expect("a name has an end");
            let (name, rest) = packet.split_at(end);
            let length = match rest[0] {
                b'=' => rest[1..].iter().position(|byte| *byte == b'\n').expect("a value has an end"),
                _ => usize::try_from(u64::from_le_bytes(rest[1..9].try_into().unwrap())).unwrap(),
            };
            let value = if rest[0] == b'=' { &rest[1..] } else { &rest[9..] };
            assert_eq!(value[length], b'\n');
            fields.push((text(name), text(&value[..length])));
            packet = &value[length + 1..];
        }
        fields
    }

    /// What the journal gets of the events.
    fn sent(daemon: &Daemon, events: impl FnOnce()) {
        let stderr = Some(Stderr::Journal(daemon.journal()));
        with_default(subscriber(&Settings::default(), false, stderr).unwrap(), events);
    }

    fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
        fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn every_field_of_a_record_is_a_field_there() {
        let daemon = Daemon::start();
        sent(&daemon, || {
            tracing::info!(
                kind = Kind::SessionEnded.id(),
                session = %"5e55104e",
                client = %"[2001:db8::7]:40000",
                target = %"127.0.0.1:5900",
                route = "vnc",
                closed_by = %"target",
                close_code = 1000,
                bytes_in = 12_u64,
                bytes_out_lost = Some(7_u64),
                bytes_in_lost = None::<u64>,
                duration_usec = 83_012_345_u64,
                tls = true,
                "session ended: target closed"
            );
        });
        let text = "session ended: target closed session=5e55104e client=[2001:db8::7]:40000 \
                    target=127.0.0.1:5900 route=vnc closed_by=target close_code=1000 bytes_in=12 \
                    bytes_out_lost=7 duration=83.012s tls=true";
        let expected = [
            ("MESSAGE", text),
            ("PRIORITY", "6"),
            ("MESSAGE_ID", "3e39ec0587974e1ea82d0417b911468c"),
            ("SYSLOG_IDENTIFIER", "websockify"),
            ("WEBSOCKIFY_SESSION", "5e55104e"),
            ("WEBSOCKIFY_CLIENT", "2001:db8::7"),
            ("WEBSOCKIFY_CLIENT_PORT", "40000"),
            ("WEBSOCKIFY_TARGET", "127.0.0.1:5900"),
            ("WEBSOCKIFY_ROUTE", "vnc"),
            ("WEBSOCKIFY_CLOSED_BY", "target"),
            ("WEBSOCKIFY_CLOSE_CODE", "1000"),
            ("WEBSOCKIFY_BYTES_IN", "12"),
            ("WEBSOCKIFY_BYTES_OUT_LOST", "7"),
            ("WEBSOCKIFY_DURATION_USEC", "83012345"),
            ("WEBSOCKIFY_TLS", "true"),
        ];
        let fields = daemon.fields();
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(fields, expected);
    }

    #[test]
    fn a_client_without_an_address_is_called_what_it_is() {
        let daemon = Daemon::start();
        sent(&daemon, || tracing::info!(client = %"unix", "session opened"));
        let fields = daemon.fields();
        assert_eq!(value(&fields, "WEBSOCKIFY_CLIENT"), Some("unix"));
        assert_eq!(value(&fields, "WEBSOCKIFY_CLIENT_PORT"), None);
        assert_eq!(value(&fields, "MESSAGE_ID"), None);
    }

    #[test]
    fn priorities_are_those_of_syslog() {
        let daemon = Daemon::start();
        sent(&daemon, || {
            tracing::error!("no");
            tracing::warn!("hm");
            tracing::info!(kind = Kind::Stopped.id(), "stopped");
            tracing::info!(kind = Kind::SessionOpened.id(), "session opened");
        });
        for priority in ["3", "4", "5", "6"] {
            assert_eq!(value(&daemon.fields(), "PRIORITY"), Some(priority));
        }
    }

    #[test]
    fn a_value_with_line_breaks_forges_no_field() {
        let daemon = Daemon::start();
        sent(&daemon, || tracing::info!(path = "/\nPRIORITY=0", "request"));
        assert_eq!(
            daemon.packet(),
            b"MESSAGE=request path=\"/\\nPRIORITY=0\"\nPRIORITY=6\nSYSLOG_IDENTIFIER=websockify\n\
              WEBSOCKIFY_PATH\n\x0c\0\0\0\0\0\0\0/\nPRIORITY=0\n"
        );
    }

    #[test]
    fn the_largest_record_fits() {
        let daemon = Daemon::start();
        let flood = "ü".repeat(100_000);
        sent(&daemon, || {
            tracing::info!(
                a = flood,
                b = flood,
                c = flood,
                d = flood,
                e = flood,
                f = flood,
                g = flood,
                h = flood,
                "flood"
            );
            tracing::info!("after");
        });
        let fields = daemon.fields();
        for name in ["MESSAGE", "WEBSOCKIFY_A", "WEBSOCKIFY_H"] {
            let value = value(&fields, name).unwrap();
            assert!(value.ends_with('…') && value.len() < 8300, "{name} has {} bytes", value.len());
        }
        assert_eq!(value(&daemon.fields(), "MESSAGE"), Some("after"));
    }

    #[test]
    fn a_stopped_journal_costs_records_and_no_time_and_is_told_how_many() {
        let daemon = Daemon::start();
        let journal = daemon.journal();
        let record = |text: &str| Record { text: text.to_owned(), ..Record::gap(0) };
        let mut taken = 0;
        while journal.gap.lock().unwrap().dropped() < 3 {
            journal.send(&record("flood"));
            taken += usize::from(journal.gap.lock().unwrap().dropped() == 0);
            assert!(taken < 100_000, "the queue of a datagram socket is bounded");
        }
        for _ in 0..taken {
            assert_eq!(value(&daemon.fields(), "MESSAGE"), Some("flood"));
        }
        journal.send(&record("after"));
        let gap = daemon.fields();
        assert_eq!(value(&gap, "WEBSOCKIFY_DROPPED"), Some("3"));
        assert_eq!(value(&gap, "MESSAGE_ID"), Some(format!("{:032x}", Kind::RecordsDropped.id()).as_str()));
        assert_eq!(value(&gap, "PRIORITY"), Some("4"));
        assert_eq!(value(&daemon.fields(), "MESSAGE"), Some("after"));
    }

    #[test]
    fn a_journal_that_was_away_is_found_again() {
        let daemon = Daemon::start();
        let journal = daemon.journal();
        let directory = daemon.stop();
        journal.send(&Record::warning(Kind::SessionsCut, "lost"));
        let daemon = Daemon { socket: Daemon::bind(directory.path()), directory };
        journal.send(&Record::warning(Kind::SessionsCut, "after"));
        assert_eq!(value(&daemon.fields(), "WEBSOCKIFY_DROPPED"), Some("1"));
        assert_eq!(value(&daemon.fields(), "MESSAGE"), Some("after"));
    }

    #[test]
    fn a_journal_that_is_not_there_is_none() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Journal::open(&directory.path().join("socket")).is_err());
    }

    #[test]
    fn only_the_stream_that_systemd_made_leads_to_the_journal() {
        let (stream, other) = UnixStream::pair().unwrap();
        let stat = fstat(&stream).unwrap();
        let named = format!("{}:{}", stat.st_dev, stat.st_ino);
        assert!(is_stream(&named, &stream));
        assert!(!is_stream(&named, &other), "it was redirected");
        for wrong in ["", ":", "8", "8:", "8:x", "-1:-1", &format!("{named}:1"), &format!("1{named}")] {
            assert!(!is_stream(wrong, &stream), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_was_put_is_what_is_read(values in proptest::collection::vec("(\\PC|\n|=){0,20}", 0..5)) {
            let fields: Vec<(String, String)> =
                values.into_iter().enumerate().map(|(number, value)| (own_name(&number.to_string()), value)).collect();
            let mut packet = Vec::new();
            for (name, value) in &fields {
                put(&mut packet, name, value);
            }
            prop_assert_eq!(parse(&packet), fields);
        }

        #[test]
        fn every_name_is_one_that_the_journal_takes(name in any::<String>()) {
            let name = own_name(&name);
            prop_assert!(name.len() <= 64 && name.starts_with("WEBSOCKIFY_"));
            prop_assert!(name.chars().all(|letter| matches!(letter, 'A'..='Z' | '0'..='9' | '_')));
        }
    }
}
