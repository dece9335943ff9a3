//! A session's program in a unit of its own, which the service manager makes: how the daemon asks for one and hears of its end.
//!
//! Promise: to get a program, the daemon connects to a socket of systemd's and says who has come, and nothing else: what is run,
//! and as whom, stands in the unit, and no word of the daemon's changes it. The unit's main process ([`attend`]) starts the
//! program and hands the daemon the session's end of it, so that the bytes of a session pass by no other process. When either
//! of the two is gone, the other one hears it by the end of the connection; and with its main process, systemd ends all that is
//! left in the unit.
//!
//! Who may connect is the matter of the units ([`crate::systemd::generator`]).

mod attendant;
mod daemon;
pub mod message;

use std::env;
use std::path::PathBuf;

pub use self::attendant::attend;
pub(super) use self::daemon::start;

/// The variable that tells a daemon where systemd listens for its route's sessions. The generator writes it.
pub const VARIABLE: &str = "WEBSOCKIFY_SESSIONS";

/// Where systemd listens for the sessions of this process's route. None: it is of no unit that knows.
pub fn socket_of_this_process() -> Option<PathBuf> {
    env::var_os(VARIABLE).map(PathBuf::from)
}
