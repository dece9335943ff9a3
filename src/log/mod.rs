//! Records for people: to standard error, or the journal where that leads there; and when asked to a file and a syslog server.
//!
//! Promise: one record is one line in every place, whatever a client put into it (see [`record`]); a place that fails never
//! stops the program, and what was lost there is said. Other modules only use `tracing`'s macros: a message, and fields that
//! stand after it as `key=value`; among them the [`Kind`] of what somebody may look for. Spans are not shown. A client's
//! words go into fields, never into the message, and never a query string: it may hold a token. Records of other crates are
//! shown from WARN up.
//!
//! Standard error is written in place: a reader that stops reading a pipe stops the program once the pipe is full, as it does
//! with any program. A file may take as long as its disk. The journal and syslog never block: what they do not take is counted
//! and dropped.

mod catalog;
mod gap;
mod journal;
mod kind;
mod quota;
mod record;
mod sinks;
mod syslog;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

pub use self::catalog::catalog;
use self::journal::Journal;
pub use self::kind::Kind;
pub use self::quota::Quotas;
use self::sinks::{LogFile, Sinks, Stderr, Terminal};

/// Where log records go. Standard error, or the journal behind it, always gets them, unless the process is a daemon (-D).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Debug records too.
    pub verbose: bool,
    /// Append to this file as well.
    pub file: Option<PathBuf>,
    /// Send to a syslog server as well.
    pub syslog: Option<Syslog>,
}

/// A syslog server and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// Where it listens.
    pub server: SyslogServer,
    /// `<PRI>websockify[PID]: TEXT` instead of RFC 5424.
    pub legacy: bool,
}

/// Where a syslog server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogServer {
    /// A datagram socket in the file system; a stream socket when that fails.
    Local(PathBuf),
    /// `host:port` over UDP.
    Udp {
        /// A name or an address.
        host: String,
        /// Its port.
        port: u16,
    },
}

/// The log cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log file cannot be opened for appending.
    #[error("cannot append to the log file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody listens there, or the name is unknown.
    #[error("cannot reach the syslog server at {server}")]
    Syslog {
        /// Where it should be.
        server: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// [`init`] was called twice.
    #[error("the log has begun already")]
    Twice {
        /// What tracing says.
        #[source]
        source: tracing::subscriber::SetGlobalDefaultError,
    },
}

/// Begins the log of the whole process. A daemon (`-D`) has no standard error; call this after its fork or before, its
/// process id is asked for with each record.
pub fn init(settings: &Settings, daemon: bool) -> Result<(), LogError> {
    let terminal = || Stderr::Terminal(Terminal::new(Box::new(io::stderr()), colours()));
    let stderr = (!daemon).then(|| Journal::behind_stderr().map_or_else(terminal, Stderr::Journal));
    let in_journal = matches!(stderr, Some(Stderr::Journal(_)));
    let subscriber = subscriber(settings, daemon, stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|source| LogError::Twice { source })?;
    IN_JOURNAL.store(in_journal, Ordering::Relaxed);
    panic::set_hook(Box::new(tell_of_panic));
    Ok(())
}

/// A panic is a record as others are: not a line without a place in the log, and not a part of what inetd's client gets.
fn tell_of_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("without a message");
    let place = panic.location().map(tracing::field::display);
    let backtrace = Backtrace::capture(); // by default it is off: RUST_BACKTRACE=1 asks for it
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(backtrace));
    tracing::error!(kind = Kind::Bug.id(), place, backtrace, "a bug: {message}");
}

/// Whether the log has begun and goes to the journal: then a record says more than a line on standard error.
pub fn is_in_journal() -> bool {
    IN_JOURNAL.load(Ordering::Relaxed)
}

static IN_JOURNAL: AtomicBool = AtomicBool::new(false);

/// Everything of [`init`] but its being global.
fn subscriber(
    settings: &Settings,
    daemon: bool,
    stderr: Option<Stderr>,
) -> Result<impl Subscriber + Send + Sync + use<>, LogError> {
    let file = settings.file.as_deref().map(LogFile::open).transpose()?;
    let facility = if daemon { syslog::Facility::Daemon } else { syslog::Facility::User };
    let syslog = settings.syslog.as_ref().map(|server| syslog::Sender::connect(server, facility)).transpose()?;
    let own = if settings.verbose { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let levels = Targets::new().with_default(LevelFilter::WARN).with_target(env!("CARGO_CRATE_NAME"), own);
    Ok(tracing_subscriber::registry().with(levels).with(Sinks { stderr, file, syslog }))
}

/// Colours are for eyes: not for pipes, not for the journal, and not for who said no (<https://no-color.org>).
fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::net::UdpSocket;
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;

    use super::*;

    /// Stands where standard error does, and can be read.
    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What standard error shows of the events, each line without its time.
    fn shown(settings: &Settings, events: impl FnOnce()) -> Vec<String> {
        let screen = Screen::default();
        let terminal = Terminal::new(Box::new(screen.clone()), false);
        with_default(subscriber(settings, false, Some(Stderr::Terminal(terminal))).unwrap(), events);
        let text = String::from_utf8(screen.0.lock().unwrap().clone()).unwrap();
        text.lines().map(without_time).collect()
    }

    fn without_time(line: &str) -> String {
        let (time, rest) = line.split_at("2026-11-22T07:03:48.123Z".len());
        humantime::parse_rfc3339(time).expect("each line begins with its time");
        rest.to_owned()
    }

    fn settings_with_file(path: &Path) -> Settings {
        Settings { file: Some(path.to_owned()), ..Settings::default() }
    }

    #[test]
    fn the_message_comes_first_and_the_fields_after_it() {
        let lines = shown(&Settings::default(), || {
            tracing::info!(session = 7_u64, client = %"[::1]:40000", reason = "target closed", bytes_in = 12, "session ended");
        });
        assert_eq!(lines, [r#"  INFO session ended session=7 client=[::1]:40000 reason="target closed" bytes_in=12"#]);
    }

    #[test]
    fn people_are_not_shown_the_kind() {
        let lines =
            shown(&Settings::default(), || tracing::info!(kind = Kind::Stopped.id(), connections = 0, "stopped"));
        assert_eq!(lines, ["  INFO stopped connections=0"]);
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        let source = io::Error::from_raw_os_error(13);
        let error = LogError::File { path: "/x.log".into(), source };
        let lines = shown(&Settings::default(), || {
            tracing::error!(error = &error as &dyn std::error::Error, "no log");
        });
        let chain = "cannot append to the log file /x.log: Permission denied (os error 13)";
        assert_eq!(lines, [format!(r#" ERROR no log error="{chain}""#)]);
    }

    #[test]
    fn a_client_cannot_forge_a_record() {
        let lines = shown(&Settings::default(), || {
            tracing::info!(path = "/\n2026-11-22T07:03:48.123Z ERROR root logged in\x1b[8m", "request");
        });
        assert_eq!(lines, [r#"  INFO request path="/\n2026-11-22T07:03:48.123Z ERROR root logged in\x1b[8m""#]);
    }

    #[test]
    fn a_flood_in_one_record_is_cut() {
        let lines = shown(&Settings::default(), || tracing::info!(path = "ü".repeat(100_000), "request"));
        assert!(lines[0].len() < 8300 && lines[0].ends_with('…'), "{} bytes", lines[0].len());
    }

    #[test]
    fn debug_records_need_verbose_and_other_crates_only_warn() {
        let events = || {
            tracing::debug!("own debug");
            tracing::trace!("own trace");
            tracing::info!("own info");
            tracing::info!(target: "hyper::proto", "foreign info");
            tracing::warn!(target: "hyper::proto", "foreign warning");
        };
        assert_eq!(shown(&Settings::default(), events), ["  INFO own info", "  WARN foreign warning"]);
        let verbose = Settings { verbose: true, ..Settings::default() };
        assert_eq!(shown(&verbose, events), [" DEBUG own debug", "  INFO own info", "  WARN foreign warning"]);
    }

    #[test]
    fn the_file_is_appended_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("websockify.log");
        fs::write(&path, "before\n").unwrap();
        for message in ["first run", "second run"] {
            let lines = shown(&settings_with_file(&path), || tracing::info!("{message}"));
            assert_eq!(lines, [format!("  INFO {message}")], "standard error gets it too");
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "before");
        assert_eq!(without_time(lines[1]), "  INFO first run");
        assert_eq!(without_time(lines[2]), "  INFO second run");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn a_full_disk_is_reported_once_and_stops_nothing() {
        let lines = shown(&settings_with_file(Path::new("/dev/full")), || {
            tracing::info!("one");
            tracing::info!("two");
        });
        assert_eq!(lines[0], "  INFO one");
        assert_eq!(
            lines[1],
            "  WARN cannot write to the log file /dev/full, records are missing there: \
             No space left on device (os error 28)"
        );
        assert_eq!(lines[2..], ["  INFO two"]);
    }

    #[test]
    fn a_log_file_that_cannot_be_opened_is_named() {
        let error = subscriber(&settings_with_file(Path::new("/nonexistent/log")), false, None).err().unwrap();
        assert_eq!(error.to_string(), "cannot append to the log file /nonexistent/log");
    }

    #[test]
    fn syslog_gets_records_in_the_facility_of_the_process() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let server_address = SyslogServer::Udp { host: "127.0.0.1".into(), port: server.local_addr().unwrap().port() };
        for (daemon, priority) in [(false, 14), (true, 30)] {
            let syslog = Some(Syslog { server: server_address.clone(), legacy: true });
            let settings = Settings { syslog, ..Settings::default() };
            with_default(subscriber(&settings, daemon, None).unwrap(), || {
                tracing::info!(session = 1, "session opened");
            });
            let mut packet = [0; 512];
            let length = server.recv(&mut packet).unwrap();
            let expected = format!("<{priority}>websockify[{}]: session opened session=1", std::process::id());
            assert_eq!(String::from_utf8_lossy(&packet[..length]), expected);
        }
    }
}
