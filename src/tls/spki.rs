//! The name of a key: the SHA-256 of what a certificate says its public key is.
//!
//! It stays the same when a certificate is renewed with the same key, and no authority can give it to somebody else.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::identity::hex;

/// The SHA-256 of a public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpkiHash(pub [u8; 32]);

/// Text that is no such hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a SHA-256 of a public key: write the 64 digits that \
     `openssl x509 -in CERTIFICATE -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum` prints, or their base64"
)]
pub struct SpkiHashError(pub String);

impl SpkiHash {
    /// That of a `SubjectPublicKeyInfo` in DER.
    pub fn of(key: &[u8]) -> Self {
        let digest = digest(&SHA256, key);
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// 64 hexadecimal digits, with or without colons as OpenSSL prints them, or base64.
impl FromStr for SpkiHash {
    type Err = SpkiHashError;

    fn from_str(text: &str) -> Result<Self, SpkiHashError> {
        let digits: String = text.chars().filter(|character| *character != ':').collect();
        let bytes = if digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            let digit = |index: usize| u8::from_str_radix(&digits[index..index + 2], 16).ok();
            (0..64).step_by(2).map(digit).collect()
        } else {
            STANDARD.decode(text).ok()
        };
        let hash = bytes.and_then(|bytes| bytes.try_into().ok());
        hash.map(Self).ok_or_else(|| SpkiHashError(text.to_owned()))
    }
}

/// In hexadecimal digits.
impl fmt::Display for SpkiHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for SpkiHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
