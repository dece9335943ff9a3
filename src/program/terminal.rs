//! A pseudo-terminal for a program: how large it is, and its two ends.
//!
//! Promise: neither end gets into any other program that is started meanwhile.

use std::io;
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{OpenptyResult, Winsize, openpty};

use super::child::between_forks;

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

impl Window {
    /// What the query of a request says: `columns=132&rows=43`. What it does not say is as on old terminals.
    pub fn of_query(query: &str) -> Self {
        let number = |name: &str| {
            let mut values = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
            values.find_map(|(_, value)| value.parse().ok()).filter(|number| *number > 0)
        };
        let usual = Self::default();
        Self { columns: number("columns").unwrap_or(usual.columns), rows: number("rows").unwrap_or(usual.rows) }
    }
}

impl Default for Window {
    /// What terminals had.
    fn default() -> Self {
        Self { columns: 80, rows: 24 }
    }
}

/// A terminal of this size: its end here, and the program's.
pub fn open_terminal(window: Window) -> io::Result<(OwnedFd, OwnedFd)> {
    let size = Winsize { ws_col: window.columns, ws_row: window.rows, ws_xpixel: 0, ws_ypixel: 0 };
    let _nobody_forks = between_forks();
    let OpenptyResult { master, slave } = openpty(Some(&size), None)?;
    for end in [&master, &slave] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    Ok((master, slave))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_query_says_the_size_and_what_it_does_not_say_is_as_on_old_terminals() {
        let cases = [
            ("columns=132&rows=43", (132, 43)),
            ("token=x&rows=50", (80, 50)),
            ("columns=0&rows=-1", (80, 24)),
            ("columns=70000&rows=x&columns=90", (90, 24)),
            ("", (80, 24)),
        ];
        for (query, (columns, rows)) in cases {
            assert_eq!(Window::of_query(query), Window { columns, rows }, "{query}");
        }
    }

    proptest! {
        #[test]
        fn no_query_makes_a_window_of_nothing(query in "(columns|rows|x|=|&|[0-9]){0,12}") {
            let window = Window::of_query(&query);
            prop_assert!(window.columns > 0 && window.rows > 0);
        }

        #[test]
        fn every_size_can_be_said(columns in 1..=u16::MAX, rows in 1..=u16::MAX) {
            prop_assert_eq!(Window::of_query(&format!("rows={rows}&columns={columns}")), Window { columns, rows });
        }
    }
}
