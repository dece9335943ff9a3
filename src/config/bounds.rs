//! Counts, durations and sizes of a route: text and numbers become [`Limits`], each within its bounds.
//!
//! "Off" is the absence of a key, never a 0: a 0 that means "at once" to one reader and "never" to another is refused.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use toml::Spanned;

use super::file;
use super::meaning::Reader;
use super::problem::Mistake;
use crate::limits::Limits;

impl Reader<'_> {
    pub(super) fn limits(&mut self, written: file::Limits) -> Limits {
        let default = Limits::default();
        let handshake_timeout = self
            .duration("limits.handshake-timeout", written.handshake_timeout, "\"15s\"", "it is 15s")
            .unwrap_or(default.handshake_timeout);
        let connect_place = written.connect_timeout.as_ref().map(Spanned::span);
        let connect_timeout = self
            .duration("limits.connect-timeout", written.connect_timeout, "\"10s\"", "it is 10s")
            // Whoever shortens the handshake only still wants its clients to get an answer.
            .unwrap_or_else(|| default.connect_timeout.min(handshake_timeout * 2 / 3));
        if connect_timeout >= handshake_timeout {
            let mistake = Mistake::ConnectTimeout(handshake_timeout.into());
            self.complain(connect_place.unwrap_or(0..0), mistake);
        }
        Limits {
            connections: self
                .count("limits.connections", written.connections)
                .and_then(NonZeroUsize::new)
                .unwrap_or(default.connections),
            connections_per_address: self
                .count("limits.connections-per-address", written.connections_per_address)
                .and_then(NonZeroUsize::new),
            failures_per_address: self
                .count("limits.failures-per-address", written.failures_per_address)
                .and_then(NonZeroUsize::new)
                .unwrap_or(default.failures_per_address),
            backlog: self
                .count("limits.backlog", written.backlog)
                .and_then(|backlog| u32::try_from(backlog).ok())
                .unwrap_or(default.backlog),
            handshake_timeout,
            connect_timeout,
            request_bytes_max: self.request_size(written.request_size).unwrap_or(default.request_bytes_max),
            idle_timeout: self.duration("limits.idle-timeout", written.idle_timeout, "\"1h\"", "there is no limit"),
            close_timeout: self
                .duration("limits.close-timeout", written.close_timeout, "\"30s\"", "it is 30s")
                .unwrap_or(default.close_timeout),
            drain_timeout: self
                .duration("limits.drain-timeout", written.drain_timeout, "\"10s\"", "it is 10s")
                .unwrap_or(default.drain_timeout),
        }
    }

    pub(super) fn exit_idle(&mut self, written: Option<Spanned<String>>) -> Option<Duration> {
        // Started again more often than once a second, the service would meet the unit's StartLimitBurst= one day.
        const MIN: Duration = Duration::from_secs(1);
        let limit = written.as_ref().and_then(|written| humantime::parse_duration(written.get_ref()).ok());
        if let (Some(written), Some(limit)) = (&written, limit.filter(|limit| *limit < MIN)) {
            self.complain(written.span(), Mistake::ExitIdle(limit.into()));
            return None;
        }
        self.duration_from(MIN, "exit-idle", written, "\"10min\"", "the daemon stays")
    }

    pub(super) fn count(&mut self, key: &str, written: Option<Spanned<i64>>) -> Option<usize> {
        const MAX: i64 = 1_000_000; // descriptors of a process end far below
        let written = written?;
        let number = *written.get_ref();
        if !(1..=MAX).contains(&number) {
            self.complain(written.span(), Mistake::Count { key: key.to_owned(), number, min: 1, max: MAX });
            return None;
        }
        usize::try_from(number).ok()
    }

    pub(super) fn duration(
        &mut self,
        key: &str,
        written: Option<Spanned<String>>,
        example: &'static str,
        absent: &'static str,
    ) -> Option<Duration> {
        self.duration_from(Duration::from_millis(1), key, written, example, absent)
    }

    pub(super) fn duration_from(
        &mut self,
        min: Duration,
        key: &str,
        written: Option<Spanned<String>>,
        example: &'static str,
        absent: &'static str,
    ) -> Option<Duration> {
        // A year: a deadline must stay in the range of the clock.
        const MAX: Duration = Duration::from_hours(365 * 24);
        let written = written?;
        let text = written.get_ref().clone();
        match humantime::parse_duration(&text) {
            Ok(duration) if (min..=MAX).contains(&duration) => return Some(duration),
            Ok(_) => {
                let mistake = Mistake::DurationRange { key: key.to_owned(), text, min: min.into(), absent };
                self.complain(written.span(), mistake);
            }
            Err(_) => self.complain(written.span(), Mistake::Duration { text, example }),
        }
        None
    }

    fn request_size(&mut self, written: Option<Spanned<String>>) -> Option<usize> {
        // Below 8 KiB a browser's cookies alone may not fit; a larger head than 1 MiB is no request.
        const BOUNDS: RangeInclusive<u64> = 8 * 1024..=1024 * 1024;
        let written = written?;
        match written.get_ref().parse::<ByteSize>() {
            Ok(ByteSize(bytes)) if BOUNDS.contains(&bytes) => usize::try_from(bytes).ok(),
            _ => {
                self.complain(written.span(), Mistake::RequestSize { text: written.get_ref().clone() });
                None
            }
        }
    }
}
