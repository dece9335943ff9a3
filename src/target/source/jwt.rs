//! A token that says itself where it leads: a JSON Web Token with `host` and `port` among its claims, signed by whoever has
//! the key.
//!
//! Promise: the algorithm is one of those that the key is for, whatever the token says; `exp` and `nbf` are obeyed to the
//! second. Pure but for the clock. Encrypted tokens (JWE) are not read: no well-kept library in Rust decrypts them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{AlgorithmIdentifier, CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer, alg_id};
use rustls::server::ParsedCertificate;
use serde_json::Value;

use super::followed::{Document, Followed, Reading, Subject};
use super::{Found, LookupError, SourceError, answer};
use crate::target::token::Token;
use crate::tls::provider;

/// The key's file, followed.
#[derive(Debug)]
pub struct Jwt {
    key: Followed<JwtKey>,
}

/// A key that tokens are verified with.
#[derive(Debug)]
pub struct JwtKey {
    key: DecodingKey,
    validation: Validation,
}

/// What a token says.
#[derive(Debug)]
pub struct Claims {
    /// An object.
    pub all: Value,
    /// Its `exp`.
    pub until: Option<SystemTime>,
}

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JwtKeyError {
    /// A symmetric key that anybody could try out.
    #[error(
        "a symmetric key of {0} bytes is too short: HS256 needs 32 at least (openssl rand 32 | basenc --base64url)"
    )]
    Short(usize),
    /// Neither.
    #[error("it is neither PEM nor the base64url of a symmetric key")]
    Form,
    /// A PEM file without a key.
    #[error("no key in it: it needs a block PUBLIC KEY, CERTIFICATE or PRIVATE KEY")]
    NoKey,
    /// A kind that no algorithm here is for.
    #[error("a key of this kind cannot be used: RSA of 2048 bits or more, EC on P-256 or P-384, and Ed25519 can")]
    Kind,
}

impl Jwt {
    /// Reads the key.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let (key, _) = Followed::open(path, read, Subject::Tokens)?;
        Ok(Self { key })
    }

    /// Where `token` leads, if it is one that the key has signed.
    pub async fn look_up(&self, token: &Token, limit: Duration) -> Result<Found, LookupError> {
        self.key(limit).await.verify(token.as_str())
    }

    /// The key, as its file had it a moment ago. A disk that hangs does not make it a wrong one.
    pub async fn key(&self, limit: Duration) -> Arc<JwtKey> {
        self.key.recent(limit).await
    }
}

impl JwtKey {
    /// From PEM (a public key, a certificate, or a private key, whose public half is taken), or from the base64url text of a
    /// symmetric key.
    pub fn read(content: &[u8]) -> Result<Self, JwtKeyError> {
        if !content.windows(11).any(|window| window == b"-----BEGIN ") {
            return Self::symmetric(content);
        }
        let public = public_key(content).ok_or(JwtKeyError::NoKey)??;
        let der = public.as_ref();
        let is = |id: AlgorithmIdentifier| algorithm_of(der).is_some_and(|found| found.starts_with(&id));
        let (key, algorithms) = if is(alg_id::RSA_ENCRYPTION) {
            let rsa = [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512];
            let pss = [Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
            (DecodingKey::from_rsa_der(der), [rsa, pss].concat())
        } else if is(alg_id::ECDSA_P256) {
            (DecodingKey::from_ec_der(der), vec![Algorithm::ES256])
        } else if is(alg_id::ECDSA_P384) {
            (DecodingKey::from_ec_der(der), vec![Algorithm::ES384])
        } else if is(alg_id::ED25519) {
            (DecodingKey::from_ed_der(der), vec![Algorithm::EdDSA])
        } else {
            return Err(JwtKeyError::Kind);
        };
        Ok(Self { key, validation: validation(algorithms) })
    }

    /// RFC 7518, 3.2: a key is at least as long as the hash.
    fn symmetric(content: &[u8]) -> Result<Self, JwtKeyError> {
        const BASE64URL: GeneralPurpose = GeneralPurpose::new(
            &URL_SAFE,
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
        );
        let key = BASE64URL.decode(content.trim_ascii()).map_err(|_| JwtKeyError::Form)?;
        let algorithms = [
            (Algorithm::HS256, digest::SHA256_OUTPUT_LEN),
            (Algorithm::HS384, digest::SHA384_OUTPUT_LEN),
            (Algorithm::HS512, digest::SHA512_OUTPUT_LEN),
        ];
        let algorithms = algorithms.into_iter().filter(|(_, length)| key.len() >= *length);
        let algorithms: Vec<_> = algorithms.map(|(algorithm, _)| algorithm).collect();
        if algorithms.is_empty() {
            return Err(JwtKeyError::Short(key.len()));
        }
        Ok(Self { key: DecodingKey::from_secret(&key), validation: validation(algorithms) })
    }

    /// Where a token leads, and until when.
    pub fn verify(&self, token: &str) -> Result<Found, LookupError> {
        let Claims { all, until } = self.claims(token)?;
        let target = answer::object(&all);
        let target = target.map_err(|_| LookupError::Invalid("its claims 'host' and 'port' are no target"))?;
        Ok(Found { target, until })
    }

    /// What a token says, if the key has signed it and its time is now.
    pub fn claims(&self, token: &str) -> Result<Claims, LookupError> {
        match token.split('.').count() {
            3 => {}
            5 => return Err(LookupError::Invalid("it is encrypted (JWE), which is not supported")),
            _ => return Err(LookupError::Unknown), // no JWT at all
        }
        let claims = decode::<Value>(token, &self.key, &self.validation).map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => LookupError::Expired,
            ErrorKind::ImmatureSignature => LookupError::TooEarly,
            ErrorKind::InvalidSignature => LookupError::Invalid("its signature is not this key's"),
            ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
                LookupError::Invalid("its algorithm is none that this key is for")
            }
            ErrorKind::InvalidClaimFormat(_) => LookupError::Invalid("its times are not numbers"),
            _ => LookupError::Invalid("it is not well-formed"),
        })?;
        let until = claims.claims["exp"].as_f64().and_then(|exp| Duration::try_from_secs_f64(exp).ok());
        Ok(Claims { all: claims.claims, until: until.and_then(|exp| UNIX_EPOCH.checked_add(exp)) })
    }
}

/// `exp` and `nbf` without leeway, as the original had them; neither need be there, and whom the token is for is not asked.
fn validation(algorithms: Vec<Algorithm>) -> Validation {
    let mut validation = Validation::new(algorithms[0]);
    validation.algorithms = algorithms;
    validation.required_spec_claims.clear();
    validation.leeway = 0;
    validation.validate_exp = true;
    validation.validate_nbf = true;
    validation.validate_aud = false;
    validation
}

/// The first public key in a PEM text, or the public half of what is there. None: nothing is.
fn public_key(content: &[u8]) -> Option<Result<SubjectPublicKeyInfoDer<'static>, JwtKeyError>> {
    for (kind, der) in <(SectionKind, Vec<u8>)>::pem_slice_iter(content).map_while(Result::ok) {
        let found = match kind {
            SectionKind::PublicKey => Ok(SubjectPublicKeyInfoDer::from(der)),
            SectionKind::Certificate => {
                let certificate = CertificateDer::from(der);
                let parsed = ParsedCertificate::try_from(&certificate).map_err(|_| JwtKeyError::Kind);
                parsed.map(|parsed| parsed.subject_public_key_info().into_owned())
            }
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                let key = PrivateKeyDer::from_pem(kind, der).ok_or(JwtKeyError::Kind);
                key.and_then(|key| {
                    let key = provider().key_provider.load_private_key(key).map_err(|_| JwtKeyError::Kind)?;
                    key.public_key().map(SubjectPublicKeyInfoDer::into_owned).ok_or(JwtKeyError::Kind)
                })
            }
            _ => continue,
        };
        return Some(found);
    }
    None
}

/// What the first of the two parts of a `SubjectPublicKeyInfo` (RFC 5280, 4.1) holds: which kind of key it is.
fn algorithm_of(public_key: &[u8]) -> Option<&[u8]> {
    let content = |der: &[u8]| match der {
        [0x30, length, ..] if *length < 0x80 => Some(2),
        [0x30, 0x81, _, ..] => Some(3),
        [0x30, 0x82, _, _, ..] => Some(4),
        _ => None,
    };
    let inner = &public_key[content(public_key)?..];
    Some(&inner[content(inner)?..])
}

fn read(documents: &[Document], previous: Option<&JwtKey>) -> Result<Reading<JwtKey>, SourceError> {
    let key = match documents {
        [Document { content: Ok(content), .. }] => JwtKey::read(content),
        _ => Err(JwtKeyError::NoKey),
    };
    match (key, previous) {
        (Ok(value), _) => Ok(Reading { value, problems: Vec::new() }),
        (Err(error), None) => Err(SourceError::Key(error)),
        (Err(error), Some(previous)) => {
            let value = JwtKey { key: previous.key.clone(), validation: previous.validation.clone() };
            Ok(Reading { value, problems: vec![error.to_string()] })
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
    use proptest::prelude::*;
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData as _,
    };
    use serde_json::json;

    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn secret_key(bytes: &[u8]) -> JwtKey {
        JwtKey::read(format!("{}\n", URL_SAFE_NO_PAD.encode(bytes)).as_bytes()).unwrap()
    }

    fn signed(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
        encode(&Header::new(algorithm), claims, key).unwrap()
    }

    fn claims() -> Value {
        json!({ "host": "10.0.0.5", "port": 5901 })
    }

    #[track_caller]
    fn leads_to(verified: Result<Found, LookupError>, target: &str) {
        assert_eq!(verified.unwrap().target.to_string(), target);
    }

    #[test]
    fn each_kind_of_key_verifies_what_its_private_half_has_signed() {
        for (kind, algorithm) in [
            (&PKCS_ECDSA_P256_SHA256, Algorithm::ES256),
            (&PKCS_ECDSA_P384_SHA384, Algorithm::ES384),
            (&PKCS_ED25519, Algorithm::EdDSA),
        ] {
            let pair = KeyPair::generate_for(kind).unwrap();
            let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&pair).unwrap();
            let private = match algorithm {
                Algorithm::EdDSA => EncodingKey::from_ed_der(&pair.serialize_der()),
                _ => EncodingKey::from_ec_der(&pair.serialize_der()),
            };
            let token = signed(algorithm, &private, &claims());
            for pem in [pair.public_key_pem(), certificate.pem(), pair.serialize_pem()] {
                leads_to(JwtKey::read(pem.as_bytes()).unwrap().verify(&token), "10.0.0.5:5901");
            }
            let other = KeyPair::generate_for(kind).unwrap().public_key_pem();
            let refused = JwtKey::read(other.as_bytes()).unwrap().verify(&token).unwrap_err();
            assert_eq!(refused.to_string(), "the token is not valid: its signature is not this key's");
        }
    }

    #[test]
    fn a_symmetric_key_may_end_in_a_line_break_and_is_long_enough() {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let token = signed(algorithm, &EncodingKey::from_secret(SECRET), &claims());
            leads_to(secret_key(SECRET).verify(&token), "10.0.0.5:5901");
            let short = secret_key(&SECRET[..32]).verify(&token).unwrap_err();
            let is_for_another_key = matches!(short, LookupError::Invalid(_));
            assert!(is_for_another_key, "{short}");
        }
        for (text, error) in [
            ("c2VjcmV0X3NhdWNl", "a symmetric key of 12 bytes is too short"),
            ("", "a symmetric key of 0 bytes"),
            ("no base64!", "it is neither PEM nor"),
            ("-----BEGIN NOTHING-----\nAAAA\n-----END NOTHING-----\n", "no key in it"),
        ] {
            let refused = JwtKey::read(text.as_bytes()).unwrap_err().to_string();
            assert!(refused.starts_with(error), "{refused}");
        }
    }

    /// The public half of a pair is no secret: a token that is signed with it as if it were one is a forgery.
    #[test]
    fn a_token_does_not_choose_its_algorithm() {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let key = JwtKey::read(pair.public_key_pem().as_bytes()).unwrap();
        for secret in [pair.public_key_pem().into_bytes(), pair.subject_public_key_info()] {
            let forged = signed(Algorithm::HS256, &EncodingKey::from_secret(&secret), &claims());
            assert!(matches!(key.verify(&forged), Err(LookupError::Invalid(_))));
        }
        let unsigned = |header: &str| {
            format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims().to_string()))
        };
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"None","typ":"JWT"}"#, r#"{"alg":"HS256"}"#, "{}"] {
            assert!(matches!(secret_key(SECRET).verify(&unsigned(header)), Err(LookupError::Invalid(_))), "{header}");
        }
    }

    #[test]
    fn times_are_obeyed_to_the_second_and_need_not_be_there() {
        let (key, now) = (secret_key(SECRET), get_current_timestamp());
        let verify = |claims: Value| key.verify(&signed(Algorithm::HS256, &EncodingKey::from_secret(SECRET), &claims));
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            verify(claims)
        };
        let until = with("exp", json!(now + 60)).unwrap().until;
        assert_eq!(until, Some(UNIX_EPOCH + Duration::from_secs(now + 60)));
        assert_eq!(with("nbf", json!(now)).unwrap().until, None);
        assert!(matches!(with("exp", json!(now - 2)), Err(LookupError::Expired)));
        assert!(matches!(with("nbf", json!(now + 5)), Err(LookupError::TooEarly)));
        assert!(matches!(with("exp", json!("tomorrow")), Err(LookupError::Invalid(_))));
        assert!(with("aud", json!("somebody")).is_ok());
    }

    #[test]
    fn claims_name_a_target_as_json_does() {
        let key = secret_key(SECRET);
        let verify = |claims: Value| key.verify(&signed(Algorithm::HS256, &EncodingKey::from_secret(SECRET), &claims));
        leads_to(verify(json!({ "host": "unix_socket", "port": "/run/vm.vnc" })), "unix:/run/vm.vnc");
        leads_to(verify(json!({ "host": "::1", "port": "5901" })), "[::1]:5901");
        for wrong in [json!({ "host": "h" }), json!({ "port": 1 }), json!({ "host": "h", "port": 0 })] {
            assert!(matches!(verify(wrong), Err(LookupError::Invalid(_))));
        }
        let jwe = key.verify("a.b.c.d.e").unwrap_err();
        assert_eq!(jwe.to_string(), "the token is not valid: it is encrypted (JWE), which is not supported");
        assert!(matches!(key.verify("no.jwt"), Err(LookupError::Unknown)));
    }

    proptest! {
        /// Whatever is changed in a token, it is none any more.
        #[test]
        fn a_changed_token_is_refused(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
            let token = signed(Algorithm::HS256, &EncodingKey::from_secret(SECRET), &claims());
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            prop_assume!(changed != token);
            // The last character of a signature has bits that mean nothing, and must be nought.
            prop_assert!(secret_key(SECRET).verify(&changed).is_err());
        }

        #[test]
        fn any_text_is_a_key_or_says_why_not(content in prop::collection::vec(any::<u8>(), 0..200), pem: bool) {
            let body = base64::engine::general_purpose::STANDARD.encode(&content);
            let text = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
            let _ = JwtKey::read(if pem { text.as_bytes() } else { &content });
        }
    }
}
