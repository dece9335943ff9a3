//! What the service manager is told, `sd_notify(3)`: ready, reloading, stopping, a status in words, and that all is well.
//!
//! Promise: telling never blocks, even when the manager stands still and its socket is full. What only describes a moment, a
//! status or a sign of life, is then lost, and said anew when there is something new. What the manager waits for is owed
//! to it: kept, and sent in order as soon as it listens again. Without `NOTIFY_SOCKET` nobody is told. A manager that is
//! not there is no reason to do anything else than serve, so errors end here.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::rc::Rc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local};
use tracing::debug;

/// Messages that are kept for a manager that stands still. Whoever reloads so often without an answer has not asked it.
const OWED_MAX: usize = 64;

/// How long the last word of a start that failed waits for the manager.
const LAST_WORD_PATIENCE: Duration = Duration::from_secs(1);

/// The way to the manager, for as long as the daemon lives.
#[derive(Debug)]
pub struct Notifier {
    owed: Rc<Owed>,
    task: AbortHandle,
}

/// Messages that have to arrive.
#[derive(Debug, Default)]
struct Owed {
    messages: RefCell<VecDeque<String>>,
    added: Notify,
}

impl Notifier {
    /// To be called in a `LocalSet`.
    pub fn new() -> Self {
        let owed = Rc::new(Owed::default());
        let task = spawn_local(pay(Rc::clone(&owed))).abort_handle();
        Self { owed, task }
    }

    /// Everything is loaded and every socket listens.
    pub fn ready(&self, status: &str) {
        self.owe(format!("READY=1\nSTATUS={}\n", line(status)));
    }

    /// A reload begins; [`ready`](Self::ready) ends it, also when it has failed. The time stamp is what
    /// `Type=notify-reload` waits for.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.owe(format!("RELOADING=1\n{now}\n")),
            Err(error) => debug!(%error, "no monotonic clock: the reload is not announced"),
        }
    }

    /// The end has begun.
    pub fn stopping(&self, status: &str) {
        self.owe(format!("STOPPING=1\nSTATUS={}\n", line(status)));
    }

    /// The end may take so much longer, from now.
    pub fn extend_timeout(&self, by: Duration) {
        self.owe(format!("EXTEND_TIMEOUT_USEC={}\n", by.as_micros()));
    }

    /// How it stands, in words. False: it was not taken, and may be said again.
    pub fn status(&self, status: &str) -> bool {
        // It would overtake what is owed, which has a newer one most often.
        self.owed.messages.borrow().is_empty() && passes(&format!("STATUS={}\n", line(status)))
    }

    fn owe(&self, message: String) {
        let mut messages = self.owed.messages.borrow_mut();
        if messages.is_empty() && passes(&message) {
            return;
        }
        if messages.len() < OWED_MAX {
            messages.push_back(message);
            self.owed.added.notify_one();
        } else {
            debug!("the service manager takes nothing: it is not told any more");
        }
    }
}

impl Default for Notifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All is well.
pub fn watchdog() {
    passes("WATCHDOG=1\n");
}

/// How often the manager wants to hear that all is well: twice as often as it loses patience. None: it does not ask.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|patience| patience / 2)
}

/// Why there is no daemon. There is nobody left to keep it for the manager, so this waits for a moment.
pub fn last_word(status: &str) {
    let told = connect().and_then(|socket| match socket {
        None => Ok(()),
        Some(socket) => {
            socket.set_nonblocking(false)?;
            socket.set_write_timeout(Some(LAST_WORD_PATIENCE))?;
            socket.send(format!("STATUS={}\n", line(status)).as_bytes()).map(drop)
        }
    });
    if let Err(error) = told {
        debug!(%error, "the service manager could not be told");
    }
}

/// Sends what is owed, in order, whenever the manager listens.
async fn pay(owed: Rc<Owed>) {
    loop {
        let next = owed.messages.borrow().front().cloned();
        let Some(message) = next else {
            owed.added.notified().await;
            continue;
        };
        if let Err(error) = send_patiently(&message).await {
            debug!(%error, "the service manager could not be told");
        }
        owed.messages.borrow_mut().pop_front();
    }
}

async fn send_patiently(message: &str) -> io::Result<()> {
    let Some(socket) = connect()? else { return Ok(()) };
    let socket = tokio::net::UnixDatagram::from_std(socket)?;
    socket.send(message.as_bytes()).await.map(drop)
}

/// Whether there is no more to do about `message`: it was sent, or nobody is there to take it. False: the manager's queue
/// is full.
fn passes(message: &str) -> bool {
    let sent = connect().and_then(|socket| match socket {
        None => Ok(0),
        Some(socket) => socket.send(message.as_bytes()),
    });
    match sent {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => {
            debug!(%error, "the service manager could not be told");
            true
        }
    }
}

/// A connected socket tells when there is room in the other's queue. It is a new one each time, for a manager may have
/// been replaced by its successor. None: nobody wants to be told.
fn connect() -> io::Result<Option<UnixDatagram>> {
    let Some(address) = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else { return Ok(None) };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address_of(address)?)?;
    Ok(Some(socket))
}

/// `@` is written for the zero byte that an abstract address begins with.
fn address_of(written: OsString) -> io::Result<SocketAddr> {
    match written.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(written),
    }
}

/// A message is lines: what has more of them would say other things.
fn line(status: &str) -> String {
    status.replace(char::is_control, " ")
}
