//! `--traffic`: a symbol on standard output for everything that moves, as the original printed them.

use std::io::Write as _;

/// What the symbols mean, printed once at the start of a session.
const LEGEND: &str = "
Traffic Legend:
    }  - Client receive
    {  - Target receive
    >  - Target send
    >. - Target send partial
    <  - Client send
    <. - Client send partial
";

/// The symbols of one session, or none of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic {
    shown: bool,
}

impl Traffic {
    pub(super) fn begin(shown: bool) -> Self {
        let traffic = Self { shown };
        traffic.show(LEGEND);
        traffic
    }

    pub(super) fn received_from_client(self) {
        self.show("}");
    }

    pub(super) fn received_from_target(self) {
        self.show("{");
    }

    pub(super) fn sent_to_client(self, all: bool) {
        self.show(if all { "<" } else { "<." });
    }

    pub(super) fn sent_to_target(self, all: bool) {
        self.show(if all { ">" } else { ">." });
    }

    fn show(self, symbol: &str) {
        if self.shown {
            let mut out = std::io::stdout().lock();
            // Somebody watches, or nobody does any more; neither is the session's concern.
            let _ = out.write_all(symbol.as_bytes()).and_then(|()| out.flush());
        }
    }
}
