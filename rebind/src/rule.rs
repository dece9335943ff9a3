//! The rule: which ports are moved where, what becomes of an address that a program asks for, and which port it is told.
//!
//! Pure. The environment's values and addresses come in as arguments; nothing here allocates, panics or fails in silence.
//! [`Shared`] keeps what was read once for all threads without a lock, so that a fork in the midst of anything is harmless.
#![forbid(unsafe_code)]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// More pairs than any program has ports.
pub const PAIRS_MAX: usize = 32;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOOPBACK_MAPPED: IpAddr = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
const LOOPBACK_IPV6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// What the environment says, each value if it is set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Environment<'a> {
    /// `REBIND_PORTS`: `OLD=NEW,OLD=NEW`. When set, the other two mean nothing.
    pub list: Option<&'a [u8]>,
    /// `REBIND_OLD_PORT`: one port, as the original had it.
    pub old: Option<&'a [u8]>,
    /// `REBIND_NEW_PORT`: and where it goes.
    pub new: Option<&'a [u8]>,
}

/// Why the environment moves no port, though it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclear {
    /// An entry of the list is not two ports.
    Entry,
    /// The list is longer than [`PAIRS_MAX`].
    Long,
    /// Two ports would move to the same one.
    NewTwice,
    /// A port would move to two.
    OldTwice,
    /// The two variables of the original are not two ports.
    Pair,
}

impl Unclear {
    /// For people: what is wrong, and what would be right.
    pub fn message(self) -> &'static str {
        match self {
            Self::Entry => {
                "REBIND_PORTS is not a list of ports between 1 and 65535, such as 5901=43211,5801=43212: no port is moved"
            }
            Self::Long => "REBIND_PORTS has more than 32 entries: no port is moved",
            Self::NewTwice => "REBIND_PORTS moves two ports to the same one: no port is moved",
            Self::OldTwice => "REBIND_PORTS moves one port to two: no port is moved",
            Self::Pair => {
                "REBIND_OLD_PORT and REBIND_NEW_PORT are not both a port between 1 and 65535: no port is moved"
            }
        }
    }
}

/// A port that a program asks for, and the one that it gets. Neither is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pair {
    old: u16,
    new: u16,
}

/// The ports that are moved. No port is in it twice, on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pairs: [Pair; PAIRS_MAX],
    count: usize,
}

impl Ports {
    /// Nothing is moved.
    pub const NONE: Self = Self { pairs: [Pair { old: 0, new: 0 }; PAIRS_MAX], count: 0 };

    /// What the environment asks for. An empty value is as good as none.
    pub fn parse(environment: Environment<'_>) -> Result<Self, Unclear> {
        let present = |value: Option<&[u8]>| value.is_some_and(|text| !text.is_empty());
        let mut ports = Self::NONE;
        if let Some(list) = environment.list
            && !list.is_empty()
        {
            for entry in list.split(|&byte| byte == b',') {
                ports.add(pair(entry.trim_ascii()).ok_or(Unclear::Entry)?)?;
            }
        } else if present(environment.old) || present(environment.new) {
            let (old, new) = (environment.old.and_then(port), environment.new.and_then(port));
            let (Some(old), Some(new)) = (old, new) else { return Err(Unclear::Pair) };
            ports.add(Pair { old, new })?;
        }
        Ok(ports)
    }

    /// Where a socket goes that was to be bound to `asked`, if it is moved. Only an IPv6 wildcard wants to know whether the
    /// socket takes IPv6 alone.
    ///
    /// IPv4 goes to 127.0.0.1, IPv6 to `::1`. A wildcard that takes both goes to 127.0.0.1 as an IPv6 socket sees it: no
    /// address covers both loopbacks but the wildcard itself, and 127.0.0.1 is where everybody tries first. So a program
    /// with one socket for both is found there, and so are the two sockets of a program that has one for each.
    pub fn elsewhere(&self, asked: SocketAddr, ipv6_only: impl FnOnce() -> bool) -> Option<SocketAddr> {
        let new = self.pairs().find(|pair| pair.old == asked.port())?.new;
        let ip = match asked.ip() {
            IpAddr::V4(_) => LOOPBACK,
            IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => LOOPBACK_MAPPED,
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) if !ipv6_only() => LOOPBACK_MAPPED,
            IpAddr::V6(_) => LOOPBACK_IPV6,
        };
        Some(SocketAddr::new(ip, new))
    }

    /// The port that a program asked for whose socket is bound to `local`, if it was moved there.
    pub fn asked(&self, local: SocketAddr) -> Option<u16> {
        let moved = [LOOPBACK, LOOPBACK_MAPPED, LOOPBACK_IPV6].contains(&local.ip());
        self.pairs().find(|pair| moved && pair.new == local.port()).map(|pair| pair.old)
    }

    /// No port is moved.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn add(&mut self, pair: Pair) -> Result<(), Unclear> {
        if self.pairs().any(|other| other.old == pair.old) {
            return Err(Unclear::OldTwice);
        }
        if self.pairs().any(|other| other.new == pair.new) {
            return Err(Unclear::NewTwice);
        }
        *self.pairs.get_mut(self.count).ok_or(Unclear::Long)? = pair;
        self.count += 1;
        Ok(())
    }

    fn pairs(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().take(self.count)
    }
}

/// The ports that were read when the library was loaded, for all threads.
///
/// Written once, by the loader's thread; read with an order that shows either everything or that nothing is there yet.
pub struct Shared {
    /// Old port in the upper half, new port in the lower.
    pairs: [AtomicU32; PAIRS_MAX],
    /// How many pairs, plus one; 0 until they are written.
    written: AtomicUsize,
}

impl Shared {
    /// Nothing is there yet.
    pub const fn new() -> Self {
        Self { pairs: [const { AtomicU32::new(0) }; PAIRS_MAX], written: AtomicUsize::new(0) }
    }

    /// Makes them known to all threads.
    pub fn store(&self, ports: &Ports) {
        for (shared, pair) in self.pairs.iter().zip(ports.pairs()) {
            shared.store(u32::from(pair.old) << 16 | u32::from(pair.new), Ordering::Relaxed);
        }
        self.written.store(ports.count + 1, Ordering::Release);
    }

    /// What was stored, if anything was.
    pub fn load(&self) -> Option<Ports> {
        let count = self.written.load(Ordering::Acquire).checked_sub(1)?;
        let mut ports = Ports { count, ..Ports::NONE };
        for (pair, shared) in ports.pairs.iter_mut().zip(&self.pairs) {
            let [old_high, old_low, new_high, new_low] = shared.load(Ordering::Relaxed).to_be_bytes();
            *pair = Pair { old: u16::from_be_bytes([old_high, old_low]), new: u16::from_be_bytes([new_high, new_low]) };
        }
        Some(ports)
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

/// `OLD=NEW`.
fn pair(entry: &[u8]) -> Option<Pair> {
    let mut sides = entry.splitn(2, |&byte| byte == b'=');
    Some(Pair { old: port(sides.next()?)?, new: port(sides.next()?)? })
}

/// Decimal digits, and not 0.
fn port(text: &[u8]) -> Option<u16> {
    let mut port: u16 = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        port = if digit < 10 { port.checked_mul(10)?.checked_add(u16::from(digit))? } else { return None };
    }
    (port != 0).then_some(port)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(text: &str) -> Result<Ports, Unclear> {
        Ports::parse(Environment { list: Some(text.as_bytes()), ..Environment::default() })
    }

    fn two(old: &str, new: &str) -> Result<Ports, Unclear> {
        let [old, new] = [old, new].map(|text| (text != "unset").then_some(text.as_bytes()));
        Ports::parse(Environment { list: None, old, new })
    }

    fn moved(ports: &Ports, asked: &str, ipv6_only: bool) -> Option<String> {
        ports.elsewhere(asked.parse().unwrap(), || ipv6_only).map(|address| address.to_string())
    }

    #[test]
    fn an_empty_environment_moves_nothing() {
        let empty = Some(&b""[..]);
        assert_eq!(Ports::parse(Environment::default()), Ok(Ports::NONE));
        assert_eq!(Ports::parse(Environment { list: empty, old: empty, new: empty }), Ok(Ports::NONE));
        assert!(Ports::NONE.is_empty());
        assert_eq!(moved(&Ports::NONE, "0.0.0.0:0", false), None);
        assert_eq!(Ports::NONE.asked("127.0.0.1:0".parse().unwrap()), None);
    }

    #[test]
    fn the_originals_two_variables_are_one_pair() {
        let ports = two("5901", "43211").unwrap();
        assert!(!ports.is_empty());
        assert_eq!(moved(&ports, "0.0.0.0:5901", false).unwrap(), "127.0.0.1:43211");
        assert_eq!(moved(&ports, "0.0.0.0:43211", false), None);
        assert_eq!(two("0005901", "43211"), Ok(ports));
        for (old, new) in [
            ("5901", "unset"),
            ("unset", "43211"),
            ("5901", ""),
            ("", "43211"),
            ("0", "43211"),
            ("5901", "0"),
            ("5901", "65536"),
            ("5901", "4321l"),
            ("+5901", "43211"),
            ("-5901", "43211"),
            (" 5901", "43211"),
            ("5901", "99999999999999999999"),
        ] {
            assert_eq!(two(old, new), Err(Unclear::Pair), "{old:?} to {new:?}");
        }
    }

    #[test]
    fn the_list_has_several_pairs_and_comes_before_the_two_variables() {
        let all = Environment { list: Some(b"5901=43211, 5801=43212"), old: Some(b"23"), new: Some(b"nonsense") };
        let ports = Ports::parse(all).unwrap();
        assert_eq!(moved(&ports, "192.0.2.7:5901", false).unwrap(), "127.0.0.1:43211");
        assert_eq!(moved(&ports, "192.0.2.7:5801", false).unwrap(), "127.0.0.1:43212");
        assert_eq!(moved(&ports, "192.0.2.7:23", false), None);
    }

    #[test]
    fn a_list_that_is_not_clear_moves_nothing_and_says_why() {
        for wrong in ["5901", "5901=", "=43211", "5901=43211,", ",", "5901:43211", "5901=43211=1", "0=1", "1=65536"] {
            assert_eq!(list(wrong), Err(Unclear::Entry), "{wrong}");
        }
        assert_eq!(list("1=2,1=3"), Err(Unclear::OldTwice));
        assert_eq!(list("1=2,1=2"), Err(Unclear::OldTwice));
        assert_eq!(list("1=3,2=3"), Err(Unclear::NewTwice));
        let entries = |count: usize| (1..=count).map(|port| format!("{port}={}", port + 100)).collect::<Vec<_>>();
        assert!(list(&entries(PAIRS_MAX).join(",")).is_ok());
        assert_eq!(list(&entries(PAIRS_MAX + 1).join(",")), Err(Unclear::Long));
        assert!(Unclear::Long.message().contains(&format!(" {PAIRS_MAX} ")));
    }

    #[test]
    fn every_address_moves_to_its_own_loopback() {
        let ports = list("5901=43211").unwrap();
        for (asked, dual, only) in [
            ("0.0.0.0:5901", "127.0.0.1:43211", "127.0.0.1:43211"),
            ("192.0.2.7:5901", "127.0.0.1:43211", "127.0.0.1:43211"),
            ("127.0.0.1:5901", "127.0.0.1:43211", "127.0.0.1:43211"),
            ("[::]:5901", "[::ffff:127.0.0.1]:43211", "[::1]:43211"),
            ("[::1]:5901", "[::1]:43211", "[::1]:43211"),
            ("[2001:db8::7]:5901", "[::1]:43211", "[::1]:43211"),
            ("[fe80::7]:5901", "[::1]:43211", "[::1]:43211"),
            ("[::ffff:0.0.0.0]:5901", "[::ffff:127.0.0.1]:43211", "[::ffff:127.0.0.1]:43211"),
            ("[::ffff:192.0.2.7]:5901", "[::ffff:127.0.0.1]:43211", "[::ffff:127.0.0.1]:43211"),
        ] {
            assert_eq!(moved(&ports, asked, false).unwrap(), dual, "{asked}, both");
            assert_eq!(moved(&ports, asked, true).unwrap(), only, "{asked}, IPv6 only");
            let other = asked.replace("5901", "5902");
            assert_eq!(moved(&ports, &other, false), None, "{other}");
        }
    }

    #[test]
    fn whether_ipv6_is_alone_is_asked_for_its_wildcard_only() {
        let ports = list("5901=43211").unwrap();
        for asked in ["0.0.0.0:5901", "[::1]:5901", "[::ffff:0.0.0.0]:5901", "[::]:5902"] {
            ports.elsewhere(asked.parse().unwrap(), || panic!("{asked}"));
        }
    }

    #[test]
    fn a_moved_socket_tells_the_port_it_was_asked_for() {
        let ports = list("5901=43211").unwrap();
        for (local, asked) in [
            ("127.0.0.1:43211", Some(5901)),
            ("[::1]:43211", Some(5901)),
            ("[::ffff:127.0.0.1]:43211", Some(5901)),
            ("192.0.2.7:43211", None),
            ("0.0.0.0:43211", None),
            ("[::]:43211", None),
            ("127.0.0.2:43211", None),
            ("127.0.0.1:43212", None),
            ("127.0.0.1:5901", None),
        ] {
            assert_eq!(ports.asked(local.parse().unwrap()), asked, "{local}");
        }
    }

    #[test]
    fn what_is_shared_is_nothing_before_it_is_everything() {
        let shared = Shared::default();
        assert_eq!(shared.load(), None);
        shared.store(&Ports::NONE);
        assert_eq!(shared.load(), Some(Ports::NONE));
        let ports = list("5901=43211,65535=1,1=65535").unwrap();
        shared.store(&ports);
        assert_eq!(shared.load(), Some(ports));
    }

    proptest! {
        #[test]
        fn a_list_means_what_it_says(
            pairs in prop::collection::btree_map(1..=u16::MAX, 1..=u16::MAX, 1..PAIRS_MAX),
            others: Vec<u16>,
        ) {
            let text = pairs.iter().map(|(old, new)| format!("{old}={new}")).collect::<Vec<_>>().join(",");
            let mut targets: Vec<u16> = pairs.values().copied().collect();
            targets.sort_unstable();
            targets.dedup();
            if targets.len() < pairs.len() {
                prop_assert_eq!(list(&text), Err(Unclear::NewTwice));
                return Ok(());
            }
            let ports = list(&text).unwrap();
            for port in pairs.keys().chain(&others) {
                let here = ports.elsewhere(SocketAddr::new(LOOPBACK, *port), || false);
                prop_assert_eq!(here.map(|address| address.port()), pairs.get(port).copied());
                if let Some(address) = here {
                    prop_assert_eq!(ports.asked(address), Some(*port));
                }
            }
        }

        #[test]
        fn nothing_that_is_moved_is_seen_from_outside(asked: SocketAddr, ipv6_only: bool) {
            prop_assume!(asked.port() != 0);
            let ports = list(&format!("{}=43211", asked.port())).unwrap();
            let here = ports.elsewhere(asked, || ipv6_only).unwrap();
            prop_assert!(here.ip().to_canonical().is_loopback());
            prop_assert_eq!(here.is_ipv4(), asked.is_ipv4());
            prop_assert_eq!(here.port(), 43211);
        }

        #[test]
        fn any_environment_is_clear_or_not(list: Vec<u8>, old: Vec<u8>, new: Vec<u8>) {
            let _ = Ports::parse(Environment { list: Some(&list), old: Some(&old), new: Some(&new) });
            let _ = Ports::parse(Environment { list: None, old: Some(&old), new: Some(&new) });
        }
    }
}
