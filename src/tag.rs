//! What is remembered of a secret that a client has shown: its hash under a key of this process.
//!
//! Nothing that a client can choose makes two of them alike, so that they may be compared, and looked up, in any way: how
//! long that takes tells nothing about the secrets. They mean nothing to another process.

use std::sync::LazyLock;

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use aws_lc_rs::rand::SystemRandom;

/// 128 bits of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag([u8; 16]);

impl Tag {
    /// Of some parts, each of which counts by itself: `ab`, `c` is not `a`, `bc`.
    pub fn of(parts: &[&[u8]]) -> Self {
        static KEY: LazyLock<Key> = LazyLock::new(|| {
            Key::generate(HMAC_SHA256, &SystemRandom::new()).expect("a system without randomness has no TLS either")
        });
        let mut context = Context::with_key(&KEY);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        Self(*context.sign().as_ref().first_chunk().expect("SHA-256 has 32 bytes"))
    }

    /// A part of it, to choose by.
    pub fn number(self) -> u64 {
        u64::from_be_bytes(*self.0.first_chunk().expect("it is longer"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_count_each_by_itself() {
        assert_eq!(Tag::of(&[b"jane", b"secret"]), Tag::of(&[b"jane", b"secret"]));
        assert_ne!(Tag::of(&[b"jane", b"secret"]), Tag::of(&[b"janes", b"ecret"]));
        assert_ne!(Tag::of(&[b"jane"]), Tag::of(&[b"jane", b""]));
    }

    /// The hash of a guess that is right but for its end is as far from the right one as that of any other: on average half
    /// of the bits, whatever the prefix, so that no comparison of them can show how long it was.
    #[test]
    fn how_much_of_a_guess_is_right_does_not_show_in_its_tag() {
        let right = Tag::of(&[b"correct horse battery staple"]);
        let distance = |guess: &str| {
            let Tag(guess) = Tag::of(&[guess.as_bytes()]);
            guess.iter().zip(right.0).map(|(one, other)| (one ^ other).count_ones()).sum::<u32>()
        };
        for prefix in ["", "correct", "correct horse battery stapl"] {
            let bits: u32 = (0..1000).map(|number| distance(&format!("{prefix}{number}"))).sum();
            // 128000 coins: the standard deviation is 179, and this is 20 of them.
            assert!((60_400..67_600).contains(&bits), "{prefix}: {bits}");
        }
    }
}
