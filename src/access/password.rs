//! Hashes of passwords, as `htpasswd -B`, `mkpasswd` and `argon2` write them.
//!
//! Promise: [`PasswordHash`] is one that can be verified at a bounded cost; what is too weak, or not known here, is refused by
//! its name. Verifying is meant to be slow: it belongs on no worker's thread. The comparison at its end is of constant time in
//! each of the libraries.

use std::fmt;
use std::str::FromStr;

use argon2::password_hash::PasswordVerifier as _;
use argon2::{Argon2, Params, PasswordHash as Phc};
use sha_crypt::ShaCrypt;

/// 2^16 rounds of bcrypt take seconds.
const BCRYPT_COST_MAX: u32 = 16;

/// Of SHA-crypt; seconds too.
const ROUNDS_MAX: u32 = 5_000_000;

/// Of argon2, in KiB. Several may be verified at once.
const MEMORY_MAX: u32 = 256 * 1024;

/// Of argon2: passes over that memory.
const PASSES_MAX: u32 = 32;

/// What a password is verified with.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: String,
    scheme: Scheme,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Argon2,
    Bcrypt,
    ShaCrypt,
}

/// A hash that no password is verified with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Nothing that begins like any of them; perhaps the password itself, so it is not repeated.
    #[error("what stands behind the colon is no hash of a password: make one with `htpasswd -nB USER`")]
    Form,
    /// It begins like one.
    #[error("its {0} hash is damaged: make it anew")]
    Damaged(&'static str),
    /// Anybody with a graphics card finds the password.
    #[error("its hash is {0}, which is too weak: make it anew with `htpasswd -B` or `mkpasswd -m bcrypt`")]
    Weak(&'static str),
    /// No library that is well kept verifies it.
    #[error("its hash is {0}, which is not supported: make it anew with `mkpasswd -m bcrypt` or `-m sha512crypt`")]
    Unknown(&'static str),
    /// Each login would take a machine's time or memory.
    #[error("its {scheme} hash costs too much: {bound} at most")]
    TooExpensive {
        /// Which kind.
        scheme: &'static str,
        /// What is allowed.
        bound: &'static str,
    },
}

impl PasswordHash {
    /// Whether `password` is the one. Takes as long as whoever made the hash wanted.
    pub fn verify(&self, password: &[u8]) -> bool {
        match self.scheme {
            Scheme::Argon2 => Argon2::default().verify_password(password, self.text.as_str()).is_ok(),
            Scheme::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
            Scheme::ShaCrypt => ShaCrypt::default().verify_password(password, self.text.as_str()).is_ok(),
        }
    }

    /// The whole, for what must change when it does.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl FromStr for PasswordHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
        let scheme = match text {
            _ if begins(&["$2y$", "$2b$", "$2a$"]) => bcrypt_scheme(text)?,
            _ if begins(&["$5$", "$6$"]) => sha_scheme(text)?,
            _ if begins(&["$argon2id$", "$argon2i$", "$argon2d$"]) => argon2_scheme(text)?,
            _ if begins(&["$apr1$"]) => return Err(HashError::Weak("MD5 (apr1), htpasswd's old default")),
            _ if begins(&["$1$"]) => return Err(HashError::Weak("MD5 (md5crypt)")),
            _ if begins(&["{SHA}", "{SSHA}"]) => return Err(HashError::Weak("one round of SHA-1")),
            _ if begins(&["$2x$"]) => return Err(HashError::Weak("bcrypt of a faulty implementation ($2x$)")),
            _ if begins(&["$y$"]) => return Err(HashError::Unknown("yescrypt")),
            _ if begins(&["$gy$"]) => return Err(HashError::Unknown("gost-yescrypt")),
            _ if begins(&["$7$", "$scrypt$"]) => return Err(HashError::Unknown("scrypt")),
            _ if text.len() == 13 && text.bytes().all(is_crypt64) => {
                return Err(HashError::Weak("DES crypt, which looks at eight letters only"));
            }
            _ => return Err(HashError::Form),
        };
        Ok(Self { text: text.to_owned(), scheme })
    }
}

fn is_crypt64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/')
}

fn bcrypt_scheme(text: &str) -> Result<Scheme, HashError> {
    let parts: bcrypt::HashParts = text.parse().map_err(|_| HashError::Damaged("bcrypt"))?;
    match parts.get_cost() {
        4..=BCRYPT_COST_MAX => Ok(Scheme::Bcrypt),
        0..4 => Err(HashError::Damaged("bcrypt")),
        _ => Err(HashError::TooExpensive { scheme: "bcrypt", bound: "a cost of 16" }),
    }
}

/// `$6$[rounds=N$]SALT$HASH`: 43 letters of SHA-256, 86 of SHA-512.
fn sha_scheme(text: &str) -> Result<Scheme, HashError> {
    const DAMAGED: HashError = HashError::Damaged("SHA-crypt");
    let length = if text.starts_with("$5$") { 43 } else { 86 };
    let fields: Vec<&str> = text[3..].split('$').collect();
    let (rounds, salt, hash) = match fields.as_slice() {
        [salt, hash] => (sha_crypt::Params::RECOMMENDED_ROUNDS, salt, hash),
        [rounds, salt, hash] => {
            let rounds = rounds.strip_prefix("rounds=").and_then(|rounds| rounds.parse().ok());
            (rounds.ok_or(DAMAGED)?, salt, hash)
        }
        _ => return Err(DAMAGED),
    };
    if salt.len() > 16 || !salt.bytes().all(is_crypt64) || hash.len() != length || !hash.bytes().all(is_crypt64) {
        return Err(DAMAGED);
    }
    match rounds {
        sha_crypt::Params::ROUNDS_MIN..=ROUNDS_MAX => Ok(Scheme::ShaCrypt),
        0..sha_crypt::Params::ROUNDS_MIN => Err(DAMAGED),
        _ => Err(HashError::TooExpensive { scheme: "SHA-crypt", bound: "5000000 rounds" }),
    }
}

fn argon2_scheme(text: &str) -> Result<Scheme, HashError> {
    const DAMAGED: HashError = HashError::Damaged("argon2");
    let hash = Phc::new(text).map_err(|_| DAMAGED)?;
    let params = Params::try_from(&hash).map_err(|_| DAMAGED)?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(DAMAGED);
    }
    if params.m_cost() > MEMORY_MAX || params.t_cost() > PASSES_MAX {
        return Err(HashError::TooExpensive { scheme: "argon2", bound: "256 MiB and 32 passes" });
    }
    Ok(Scheme::Argon2)
}

/// Not the hash, which somebody could try passwords on.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}(***)", self.scheme)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of "secret", made by htpasswd -nbB -C 4, mkpasswd -m and argon2.
    const HASHES: [&str; 5] = [
        "$2y$04$izIc389F8oUlWRRN3lB0S.CQrstjzQ8b27T.hpbitDGlG2cXZSpOq",
        "$2b$05$gYMsYhxsHmIGy6F.4JObCOshdZ4UoI8fH8tpLNQfkFW5.yc8ASZ4q",
        "$5$rounds=1000$lidpzsjNRvMPAyaH$1qL2Utv9fZq/SOaGHjZOb8bZZjOmY14uFfBTTW2wV/2",
        "$6$6mAcQaW1STzSiT9k$uUoA89pF0d5G1yKYT7kKdSurzg0s/OOIDAcsPc25N8ZdHQYcy/blv4LB/aRZaCnRW/izWXC.0ESx70IiC3Xkd.",
        "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$TnDEl2tJgYtaYZt0/5f59Jf56vkIG4EtQACv6SLO2cI",
    ];

    #[test]
    fn each_kind_verifies_its_password_and_no_other() {
        for text in HASHES {
            let hash: PasswordHash = text.parse().unwrap();
            assert!(hash.verify(b"secret"), "{text}");
            for wrong in [&b""[..], b"secre", b"secret ", b"Secret", b"\xff"] {
                assert!(!hash.verify(wrong), "{text}");
            }
            assert!(!format!("{hash:?}").contains(&text[10..]));
        }
    }

    #[test]
    fn what_is_not_taken_says_its_name_and_what_to_do() {
        for (text, why) in [
            (
                "$apr1$abcdefgh$0123456789012345678901",
                "its hash is MD5 (apr1), htpasswd's old default, which is too weak",
            ),
            ("$1$abcdefgh$0123456789012345678901", "its hash is MD5 (md5crypt)"),
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "its hash is one round of SHA-1"),
            ("$y$j9T$abc$def", "its hash is yescrypt, which is not supported"),
            ("$7$CU..../....abc$def", "its hash is scrypt"),
            ("abJnggxhB/yWI", "its hash is DES crypt"),
            ("secret", "what stands behind the colon is no hash of a password"),
            ("", "what stands behind the colon is no hash"),
            ("$2y$04$short", "its bcrypt hash is damaged"),
            ("$6$salt$short", "its SHA-crypt hash is damaged"),
            ("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ", "its argon2 hash is damaged"),
        ] {
            let error = text.parse::<PasswordHash>().unwrap_err().to_string();
            assert!(error.starts_with(why), "{text}: {error}");
            assert!(!error.contains("secret"));
        }
    }

    #[test]
    fn a_hash_costs_no_more_than_a_machine_can_bear() {
        let costly = [
            HASHES[0].replacen("$04$", "$17$", 1),
            HASHES[3].replacen("$6$", "$6$rounds=999999999$", 1),
            HASHES[4].replacen("m=64", "m=4000000", 1),
        ];
        for text in costly {
            let refused = text.parse::<PasswordHash>();
            assert!(matches!(refused, Err(HashError::TooExpensive { .. })), "{text}: {refused:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is taken can be verified, and is not met by just anything.
        #[test]
        fn damage_to_a_hash_is_refused_or_verifies_nothing(which in 0_usize..5, at in 0_usize..120, byte in "[ -~]") {
            let mut text = HASHES[which].to_owned();
            prop_assume!(at < text.len() && text[at..=at] != byte);
            // A higher cost is not damage, and would take the test's time.
            prop_assume!(!text[..at].ends_with("$2y$") && !text[..at].ends_with("$2b$") && !text[..at].ends_with('0'));
            prop_assume!(which != 4 || at > 40);
            text.replace_range(at..=at, &byte);
            if let Ok(hash) = text.parse::<PasswordHash>() {
                prop_assert!(!hash.verify(b"secre"));
            }
        }
    }
}
