//! How often an address may be wrong: whoever guesses has to wait, longer each time.
//!
//! Promise: memory is bounded, however many addresses there are; an IPv6 network of 64 bits is one address. The same wrong
//! answer again is no new guess, so that a page left open with an old password or token locks nobody out. Pure; time is an
//! argument. What is remembered of a guess is its hash under a key of this process, shortened.
//!
//! A client of a Unix socket has no address, and nobody to be told from: it is not limited.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::socket::{Peer, network_of};
use crate::tag::Tag;

/// The first pause and the longest. Each failure behind the free ones doubles it.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// After so long without a failure an address is like any other.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);

/// Some 2 MiB. Beyond that, those whose failures are oldest are forgotten, half of all at a time.
const ADDRESSES_MAX: usize = 16_384;

/// So many of its last guesses are remembered of an address.
const GUESSES: usize = 4;

/// The failures of one route's clients.
#[derive(Debug)]
pub struct Limiter {
    /// How many failures cost nothing.
    free: usize,
    by_address: Mutex<HashMap<IpAddr, Failures>>,
}

/// Too many failures came from this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How long it has to be quiet.
    pub left: Duration,
}

#[derive(Debug)]
struct Failures {
    count: usize,
    last: Instant,
    blocked_until: Instant,
    /// Of the last guesses; the oldest is the next to go.
    guesses: [Option<Tag>; GUESSES],
    oldest: usize,
}

impl Limiter {
    /// Lets each address be wrong `free` times.
    pub fn new(free: usize) -> Self {
        Self { free, by_address: Mutex::default() }
    }

    /// Whether what `peer` shows is to be looked at now.
    pub fn admit(&self, peer: &Peer, now: Instant) -> Result<(), Wait> {
        let Some(address) = peer.ip().map(network_of) else { return Ok(()) };
        let by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let blocked_until = by_address.get(&address).map_or(now, |failures| failures.blocked_until);
        match blocked_until.saturating_duration_since(now) {
            Duration::ZERO => Ok(()),
            left => Err(Wait { left }),
        }
    }

    /// Whether `peer` was wrong with `guess` a moment ago.
    pub fn knows(&self, peer: &Peer, guess: Tag, now: Instant) -> bool {
        let Some(address) = peer.ip().map(network_of) else { return false };
        let by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        by_address
            .get(&address)
            .is_some_and(|failures| !failures.is_old(now) && failures.guesses.contains(&Some(guess)))
    }

    /// Notes that `peer` was wrong with `guess`.
    pub fn failed(&self, peer: &Peer, guess: Tag, now: Instant) {
        let Some(address) = peer.ip().map(network_of) else { return };
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if by_address.len() >= ADDRESSES_MAX && !by_address.contains_key(&address) {
            forget_older_half(&mut by_address);
        }
        let failures = by_address.entry(address).or_insert_with(|| Failures::none(now));
        if failures.is_old(now) {
            *failures = Failures::none(now);
        }
        if failures.guesses.contains(&Some(guess)) {
            return;
        }
        failures.guesses[failures.oldest] = Some(guess);
        failures.oldest = (failures.oldest + 1) % GUESSES;
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        if let Some(beyond) = failures.count.checked_sub(self.free).filter(|beyond| *beyond > 0) {
            let pause = PAUSES.0.saturating_mul(1 << (beyond - 1).min(16)).min(PAUSES.1);
            failures.blocked_until = now + pause;
        }
    }
}

impl Failures {
    fn none(now: Instant) -> Self {
        Self { count: 0, last: now, blocked_until: now, guesses: [None; GUESSES], oldest: 0 }
    }

    fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= FORGOTTEN_AFTER
    }
}

fn forget_older_half(by_address: &mut HashMap<IpAddr, Failures>) {
    let mut moments: Vec<Instant> = by_address.values().map(|failures| failures.last).collect();
    let middle = moments.len() / 2;
    let (_, median, _) = moments.select_nth_unstable(middle);
    let median = *median;
    let mut left = middle; // of those at the same moment, too
    by_address.retain(|_, failures| {
        let stays = failures.last >= median && left > 0;
        left -= usize::from(stays);
        stays
    });
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    use proptest::prelude::*;

    use super::*;

    fn peer(address: impl Into<IpAddr>) -> Peer {
        Peer::from(SocketAddr::new(address.into(), 40000))
    }

    fn guess(number: u32) -> Tag {
        Tag::of(&[&number.to_be_bytes()])
    }

    #[test]
    fn each_failure_behind_the_free_ones_doubles_the_pause_up_to_a_minute() {
        let (limiter, client) = (Limiter::new(3), peer([192, 0, 2, 1]));
        let mut now = Instant::now();
        for number in 0..3 {
            limiter.failed(&client, guess(number), now);
            assert_eq!(limiter.admit(&client, now), Ok(()));
        }
        for (number, seconds) in (3..).zip([1, 2, 4, 8, 16, 32, 60, 60]) {
            limiter.failed(&client, guess(number), now);
            assert_eq!(limiter.admit(&client, now), Err(Wait { left: Duration::from_secs(seconds) }));
            assert_eq!(limiter.admit(&peer([192, 0, 2, 2]), now), Ok(()), "another address");
            now += Duration::from_secs(seconds);
            assert_eq!(limiter.admit(&client, now), Ok(()));
        }
        now += FORGOTTEN_AFTER;
        limiter.failed(&client, guess(0), now);
        assert_eq!(limiter.admit(&client, now), Ok(()));
    }

    #[test]
    fn an_old_page_that_shows_the_same_again_and_again_locks_nobody_out() {
        let (limiter, client, now) = (Limiter::new(3), peer([192, 0, 2, 1]), Instant::now());
        for _ in 0..1000 {
            limiter.failed(&client, guess(1), now);
        }
        assert_eq!(limiter.admit(&client, now), Ok(()));
        assert!(limiter.knows(&client, guess(1), now) && !limiter.knows(&client, guess(2), now));
        assert!(!limiter.knows(&peer([192, 0, 2, 2]), guess(1), now));
        assert!(!limiter.knows(&client, guess(1), now + FORGOTTEN_AFTER));
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_a_unix_socket_none() {
        let (limiter, now) = (Limiter::new(0), Instant::now());
        let address = |text: &str| peer(text.parse::<Ipv6Addr>().unwrap());
        limiter.failed(&address("2001:db8::1"), guess(1), now);
        assert!(limiter.admit(&address("2001:db8::ffff:2"), now).is_err());
        assert!(limiter.admit(&address("2001:db8:0:1::1"), now).is_ok());
        limiter.failed(&Peer::Unix, guess(1), now);
        assert!(limiter.admit(&Peer::Unix, now).is_ok());
    }

    /// From a million addresses, some at the same moment.
    #[test]
    fn memory_is_bounded_and_the_latest_are_kept() {
        let (limiter, begin) = (Limiter::new(0), Instant::now());
        let address = |number: u32| peer(Ipv4Addr::from_bits(number));
        for number in 0..1_000_000_u32 {
            limiter.failed(&address(number), guess(1), begin + Duration::from_millis(u64::from(number / 50_000)));
        }
        let known = limiter.by_address.lock().unwrap().len();
        assert!((1..=ADDRESSES_MAX).contains(&known), "{known}");
        let now = begin + Duration::from_millis(20);
        assert!(limiter.admit(&address(999_999), now).is_err());
        assert!(limiter.admit(&address(1), now).is_ok());
    }

    proptest! {
        /// However it goes about it, an address has its free guesses, and then one for each pause.
        #[test]
        fn no_order_of_guesses_gets_more_of_them(steps in proptest::collection::vec(0_u64..5_000, 1..200)) {
            let (limiter, client, begin) = (Limiter::new(5), peer([192, 0, 2, 1]), Instant::now());
            let (mut now, mut looked_at) = (begin, 0_u32);
            for (number, step) in (0..).zip(steps) {
                now += Duration::from_millis(step);
                if limiter.admit(&client, now).is_ok() {
                    looked_at += 1;
                    limiter.failed(&client, guess(number), now);
                }
            }
            let seconds = (now - begin).as_secs();
            // The pauses are 1, 2, 4 s and so on: in so many seconds that many of them fit.
            let pauses = (seconds + 1).ilog2() + u32::try_from(seconds / 60).unwrap();
            prop_assert!(looked_at <= 5 + 1 + pauses, "{} in {} s", looked_at, seconds);
        }
    }
}
