//! The name of a session: what a browser's Close reason, an HTTP answer and the log all call it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Eight hexadecimal digits, unlike those of any other of the last four thousand million sessions of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(u32);

impl SessionId {
    /// A new one. They start anywhere, and follow each other in an order that tells nobody how many there were.
    pub fn next() -> Self {
        static FIRST: LazyLock<u32> = LazyLock::new(|| {
            let random = RandomState::new().hash_one(std::process::id());
            u32::try_from(random >> 32).expect("half of 64 bits are 32")
        });
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // An odd multiplier permutes the 32-bit numbers: no two counts give one name.
        const STEP: u32 = 0x9E37_79B1;
        Self(FIRST.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed).wrapping_mul(STEP)))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}
