//! Under systemd, records go to the journal with all their fields, and a journal that stands still stops nobody.
//!
//! The journal is a datagram socket of the test's, at journald's place in a mount namespace of the proxy's own; standard error is
//! a stream of which `JOURNAL_STREAM` says that it is the journal's, as systemd sets it up.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Child, Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;

use crate::support::client::Client;
use crate::support::proxy::{BINARY, Proxy};
use crate::support::target::{Target, echo};
use crate::support::{PATIENCE, eventually};

type Record = HashMap<String, String>;

/// A proxy whose standard error is the journal's.
struct Journalled {
    proxy: Child,
    address: SocketAddr,
    journal: UnixDatagram,
    stderr: UnixStream,
    _directory: TempDir,
}

impl Journalled {
    /// A proxy for `target`, once it listens.
    fn start(target: SocketAddr) -> Self {
        let mut journalled = Self::spawn(&["127.0.0.1:0", &target.to_string()]);
        let listening = journalled.record_of("is in service");
        let (_, address) = listening["MESSAGE"].split_once("listening on ").unwrap();
        journalled.address = address.split(' ').next().unwrap().parse().unwrap();
        journalled
    }

    fn spawn(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let journal = UnixDatagram::bind(directory.path().join("socket")).unwrap();
        journal.set_read_timeout(Some(PATIENCE)).unwrap();
        let (stderr, theirs) = UnixStream::pair().unwrap();
        let theirs = fs::File::from(OwnedFd::from(theirs));
        let stat = theirs.metadata().unwrap();
        let mut command = Command::new("unshare");
        if !geteuid().is_root() {
            command.arg("--map-root-user");
        }
        let script = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal \
                      && mount --bind \"$1\" /run/systemd/journal && shift && exec \"$@\"";
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(directory.path()).arg(BINARY).args(arguments);
        command.env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino()));
        let proxy = command.stderr(theirs).spawn().expect("unshare is there: Debian's package util-linux has it");
        drop(command); // and with it this process's copy of their end
        Self { proxy, address: ([127, 0, 0, 1], 0).into(), journal, stderr, _directory: directory }
    }

    fn next_record(&mut self) -> Record {
        let mut packet = vec![0; 1 << 20];
        let Ok(length) = self.journal.recv(&mut packet) else {
            self.journal.set_nonblocking(true).unwrap();
            let _ = self.proxy.kill();
            let mut said = String::new();
            let _ = self.stderr.read_to_string(&mut said);
            panic!("no record came; on standard error: {said}");
        };
        parse(&packet[..length])
    }

    /// The next record whose catalog entry has `subject` in its title.
    fn record_of(&mut self, subject: &str) -> Record {
        loop {
            let record = self.next_record();
            if record.get("MESSAGE_ID").is_some_and(|id| subject_of(id).contains(subject)) {
                return record;
            }
        }
    }

    /// Ends the proxy, and returns what it wrote to standard error.
    fn stop(&mut self) -> String {
        kill(Pid::from_raw(self.proxy.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        self.ended(0)
    }

    /// Waits for its end with this status, and returns what it wrote to standard error.
    fn ended(&mut self, code: i32) -> String {
        let status = eventually("the proxy ends", || self.proxy.try_wait().unwrap());
        assert_eq!(status.code(), Some(code), "{status}");
        let mut written = String::new();
        self.stderr.read_to_string(&mut written).unwrap();
        written
    }
}

impl Drop for Journalled {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

/// Fields without line breaks, which is what all of these are.
fn parse(packet: &[u8]) -> Record {
    let text = std::str::from_utf8(packet).unwrap();
    text.lines()
        .map(|line| line.split_once('=').expect("NAME=value"))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// What the catalog calls a record of this id.
fn subject_of(id: &str) -> String {
    let catalog = include_str!("../../systemd/websockify.catalog");
    let (_, entry) =
        catalog.split_once(&format!("-- {id}\nSubject: ")).unwrap_or_else(|| panic!("{id} is in no entry"));
    entry.lines().next().unwrap().to_owned()
}

#[test]
fn one_session_is_one_story_in_fields_and_nothing_is_on_standard_error() {
    let target = Target::listen();
    let mut proxy = Journalled::start(target.address());
    let mut client = Client::open(proxy.address);
    let mut server = target.accept();
    client.send_binary(b"hello");
    server.read_exact(&mut [0; 5]).unwrap();
    drop(server);
    assert_eq!(client.read_close().0, 1000);
    drop(client);

    let opened = proxy.record_of("session has begun");
    let ended = proxy.record_of("session has ended");
    for name in ["WEBSOCKIFY_SESSION", "WEBSOCKIFY_CLIENT_PORT", "WEBSOCKIFY_ROUTE"] {
        assert!(!opened[name].is_empty());
        assert_eq!(opened[name], ended[name], "{name}");
    }
    let target = target.address().to_string();
    for (name, value) in [
        ("PRIORITY", "6"),
        ("SYSLOG_IDENTIFIER", "websockify"),
        ("WEBSOCKIFY_CLIENT", "127.0.0.1"),
        ("WEBSOCKIFY_TARGET", &target),
        ("WEBSOCKIFY_CLOSED_BY", "target"),
        ("WEBSOCKIFY_CLOSE_CODE", "1000"),
        ("WEBSOCKIFY_BYTES_IN", "5"),
        ("WEBSOCKIFY_BYTES_OUT", "0"),
    ] {
        assert_eq!(ended[name], value, "{name}");
    }
    assert_eq!(opened["WEBSOCKIFY_TLS"], "false");
    assert!(ended["WEBSOCKIFY_DURATION_USEC"].parse::<u64>().unwrap() > 0);
    assert!(ended["MESSAGE"].starts_with("session ended: target closed session="), "{}", ended["MESSAGE"]);

    assert_eq!(proxy.stop(), "");
    assert_eq!(proxy.record_of("has stopped")["PRIORITY"], "5");
}

#[test]
fn a_journal_that_stands_still_stops_no_session_and_is_told_what_it_missed() {
    const SESSIONS: usize = 400; // each two records: more than fit the longest queue that systemd sets
    let mut proxy = Journalled::start(echo());
    for _ in 0..SESSIONS {
        let mut client = Client::open(proxy.address);
        client.send_binary(b"through");
        assert_eq!(client.read_binary(7), b"through");
        client.send_close(1000, "");
        assert_eq!(client.read_close().0, 1000);
    }
    let mut records = Vec::new();
    proxy.journal.set_nonblocking(true).unwrap();
    let mut packet = vec![0; 1 << 20];
    while let Ok(length) = proxy.journal.recv(&mut packet) {
        records.push(parse(&packet[..length]));
    }
    proxy.journal.set_nonblocking(false).unwrap();
    assert!(records.len() < 2 * SESSIONS, "the queue takes all: nothing was shown");
    assert_eq!(proxy.stop(), "");
    while records.last().is_none_or(|record| !subject_of(&record["MESSAGE_ID"]).contains("has stopped")) {
        records.push(proxy.next_record());
    }

    let told = records.iter().filter(|record| subject_of(&record["MESSAGE_ID"]).contains("session has ")).count();
    let dropped: Vec<usize> = records
        .iter()
        .filter_map(|record| record.get("WEBSOCKIFY_DROPPED"))
        .map(|count| count.parse().unwrap())
        .collect();
    assert!(!dropped.is_empty());
    assert_eq!(told + dropped.iter().sum::<usize>(), 2 * SESSIONS, "each record is there or counted: {dropped:?}");
}

#[test]
fn a_start_that_fails_is_a_record_with_an_explanation() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut proxy = Journalled::spawn(&[&address, "127.0.0.1:1"]);
    let record = proxy.record_of("cannot start");
    assert!(record["MESSAGE"].contains(&address) && record["MESSAGE"].contains("in use"), "{}", record["MESSAGE"]);
    assert_eq!(record["PRIORITY"], "3");
    assert_eq!(proxy.ended(71), "");
}

#[test]
fn a_standard_error_that_is_not_the_journal_s_gets_lines() {
    let proxy = Proxy::start(Command::new(BINARY).args(["127.0.0.1:0", "localhost:1"]).env("JOURNAL_STREAM", "1:1"));
    assert!(proxy.log_line("listening on ").contains(" INFO "));
}
