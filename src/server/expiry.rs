//! When certificates end: told two weeks before, then once a day, and when it has come to that.
//!
//! Looking is a `stat` or two. It is done once a minute, so that a daemon without clients notices a renewal, too, and its status
//! does not speak of a certificate that is gone; and at the very second at which something is to be told.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};
use tracing::{error, warn};

use super::site::Site;
use crate::log::Kind;
use crate::tls::{self, Certificates};

/// Time enough to notice, and to wait for an authority.
const NOTICE: Duration = Duration::from_hours(14 * 24);

/// How long it is before the same is told again.
const REMINDER: Duration = Duration::from_hours(24);

/// As old as the status may be when a certificate was renewed and no client has come.
const LOOK_INTERVAL: Duration = Duration::from_mins(1);

/// What is known of the certificates in service, and what was told of them.
#[derive(Debug, Default)]
pub(super) struct Expiries {
    told: HashMap<PathBuf, Told>,
    /// What comes first.
    first: Option<Expiry>,
    /// When to look again: one that comes later may be the next to tell of.
    next_look: Option<Instant>,
}

/// The end of a route's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expiry {
    pub(super) route: String,
    pub(super) not_after: SystemTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    stage: Stage,
    not_after: SystemTime,
    at: SystemTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Near,
    Over,
}

impl Expiries {
    /// Looks at the certificates of all `sites`, and tells what is to be told.
    pub(super) fn look<'a>(&mut self, sites: impl Iterator<Item = &'a Site>, now: SystemTime) {
        (self.first, self.next_look) = (None, None);
        for site in sites {
            for tls::Expiry { certificate, not_after } in
                site.tls.certificates().into_iter().flat_map(Certificates::expiries)
            {
                let look = Instant::now() + until_next_look(not_after, now);
                self.next_look = Some(self.next_look.map_or(look, |next| next.min(look)));
                if self.first().is_none_or(|first| not_after < first.not_after) {
                    self.first = Some(Expiry { route: site.name.clone(), not_after });
                }
                if let Some(told) = due(self.told.get(&certificate).copied(), not_after, now) {
                    tell(site, &certificate.to_string_lossy(), told);
                    self.told.insert(certificate, told);
                }
            }
        }
    }

    /// The certificate that ends first.
    pub(super) fn first(&self) -> Option<&Expiry> {
        self.first.as_ref()
    }

    /// Resolves when it is time to look again.
    pub(super) async fn due(&self) {
        match self.next_look {
            None => std::future::pending().await, // a reload looks anew
            Some(next_look) => sleep_until(next_look).await,
        }
    }
}

/// What is to be told of a certificate, after what was told last.
fn due(last: Option<Told>, not_after: SystemTime, now: SystemTime) -> Option<Told> {
    let stage = match not_after.duration_since(now) {
        Ok(left) if left.is_zero() => Stage::Over,
        Ok(left) if left <= NOTICE => Stage::Near,
        Ok(_) => return None,
        Err(_) => Stage::Over,
    };
    let is_new = last.is_none_or(|last| {
        let age = now.duration_since(last.at).unwrap_or(REMINDER); // the clock was set back
        (last.stage, last.not_after) != (stage, not_after) || age >= REMINDER
    });
    is_new.then_some(Told { stage, not_after, at: now })
}

fn until_next_look(not_after: SystemTime, now: SystemTime) -> Duration {
    let until = |moment: Option<SystemTime>| moment.and_then(|moment| moment.duration_since(now).ok());
    let moments = [until(not_after.checked_sub(NOTICE)), until(Some(not_after))];
    let next = moments.into_iter().flatten().filter(|left| !left.is_zero()).min();
    // A moment later, so that it has come for sure.
    next.map_or(LOOK_INTERVAL, |left| (left + Duration::from_millis(10)).min(LOOK_INTERVAL))
}

fn tell(site: &Site, certificate: &str, Told { stage, not_after, at }: Told) {
    let (route, until) = (&site.name, date(not_after));
    match stage {
        Stage::Near => {
            let days = not_after.duration_since(at).unwrap_or_default().as_secs() / (24 * 60 * 60);
            warn!(
                kind = Kind::CertificateExpiring.id(),
                route, certificate, until, "the certificate expires in {days} days: renew it"
            );
        }
        Stage::Over => error!(
            kind = Kind::CertificateExpired.id(),
            route, certificate, until, "the certificate has expired, and clients refuse it: renew it"
        ),
    }
}

/// The day, in UTC, as everybody reads it.
pub(super) fn date(moment: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(moment).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn now() -> SystemTime {
        UNIX_EPOCH + DAY * 20_000
    }

    #[test]
    fn an_end_is_told_two_weeks_before_then_daily_and_when_it_has_come() {
        let not_after = now() + DAY * 20;
        let mut last = None;
        let mut told = Vec::new();
        for hour in 0..24 * 22 {
            let moment = now() + Duration::from_hours(hour);
            if let Some(due) = due(last, not_after, moment) {
                told.push((hour, due.stage));
                last = Some(due);
            }
        }
        let days: Vec<u64> = told.iter().map(|(hour, _)| hour / 24).collect();
        assert_eq!(days, (6..22).collect::<Vec<_>>());
        assert_eq!(told.iter().filter(|(_, stage)| *stage == Stage::Near).count(), 14);
    }

    #[test]
    fn a_renewed_certificate_is_quiet_and_a_worse_one_is_told_at_once() {
        let near = due(None, now() + DAY, now());
        assert!(near.is_some());
        assert_eq!(due(near, now() + DAY * 90, now()), None);
        assert!(due(near, now() + DAY * 2, now()).is_some());
    }

    #[test]
    fn the_next_look_is_at_the_next_thing_to_tell_and_within_a_minute() {
        let second = Duration::from_secs(1);
        assert!(until_next_look(now() + second, now()) < second * 2);
        assert!(until_next_look(now() + NOTICE + second, now()) < second * 2);
        for not_after in [now() + DAY, now() + DAY * 400, now() - DAY] {
            assert_eq!(until_next_look(not_after, now()), Duration::from_mins(1));
        }
    }

    #[test]
    fn a_date_is_a_day() {
        assert_eq!(date(UNIX_EPOCH + Duration::from_secs(1_799_107_199)), "2027-01-04");
    }
}
