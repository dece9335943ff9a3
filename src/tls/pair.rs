//! A certificate chain and a key that are proved to belong together.
//!
//! Promise: a [`Pair`] can be served. Pure: the PEM text comes as an argument. Each error names the file, what is wrong with it and
//! what would be right. Dates are not checked: a client does, and the server's status tells them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, SignatureScheme};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};

use super::TlsError;
use super::key::{Passphrase, private_key};

/// A certificate chain with its own key.
#[derive(Debug)]
pub(super) struct Pair {
    certified: Arc<CertifiedKey>,
    /// The names that it is for, in small letters. A `*` stands for one label, at the start.
    names: Vec<String>,
    not_after: Option<SystemTime>,
}

impl Pair {
    /// From the PEM texts of two files, which may be the same one.
    pub(super) fn parse(
        certificate: (&Path, &[u8]),
        key: (&Path, &[u8]),
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, TlsError> {
        let (certificate_path, key_path) = (certificate.0.to_owned(), key.0.to_owned());
        let key = private_key(key.0, key.1, passphrase)?;
        let chain = chain(certificate.0, certificate.1)?;
        let key = match provider().key_provider.load_private_key(key) {
            Ok(key) => key,
            Err(source) => return Err(TlsError::UnusableKey { path: key_path, source }),
        };
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // Unknown: a kind of key that cannot tell its public half. The handshake will show.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Self::of(certified)),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(TlsError::KeyMismatch { certificate: certificate_path, key: key_path })
            }
            Err(source) => Err(unusable(certificate_path, &certified.cert[0], source)),
        }
    }

    fn of(certified: CertifiedKey) -> Self {
        let (names, not_after) = match X509Certificate::from_der(&certified.cert[0]) {
            Ok((_, parsed)) => (names(&parsed), not_after(&parsed)),
            Err(_) => (Vec::new(), None),
        };
        Self { certified: Arc::new(certified), names, not_after }
    }

    /// When the server's own certificate ends. None: it does not tell in a way that can be understood.
    pub(super) fn not_after(&self) -> Option<SystemTime> {
        self.not_after
    }

    /// What the TLS library serves.
    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// Whether it is for this name, which is in small letters.
    pub(super) fn is_for(&self, host: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(_, host_parent)| host_parent == parent),
            None => name == host,
        })
    }

    /// Whether a client that reads these signatures can be served with it.
    pub(super) fn can_sign(&self, schemes: &[SignatureScheme]) -> bool {
        self.certified.key.choose_scheme(schemes).is_some()
    }
}

/// The names in its extension; the subject's has not counted for long.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    alternative.value.general_names.iter().filter_map(name).collect()
}

fn not_after(certificate: &X509Certificate<'_>) -> Option<SystemTime> {
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// The one place that names the provider.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn chain(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { path: path.to_owned(), source })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(chain)
}

/// Why the TLS library refuses a certificate of the server's own. It speaks of every certificate as of a peer's, and has no
/// words for an old version.
fn unusable(path: PathBuf, certificate: &CertificateDer<'_>, source: rustls::Error) -> TlsError {
    match X509Certificate::from_der(certificate) {
        Ok((_, parsed)) if parsed.version().0 < X509Version::V3.0 => {
            TlsError::CertificateVersion { path, version: parsed.version().0 + 1 }
        }
        _ => TlsError::UnusableCertificate { path, source },
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::super::testing::{SelfSigned, openssl};
    use super::*;

    /// Of version 1: by `openssl x509 -req`, which makes version 3 of the same in later releases.
    const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIHkMIGXAhQ71jVZZsUPfU0L19vG9Xg7K9ZTvzAFBgMrZXAwFDESMBAGA1UEAwwJ\n\
bG9jYWxob3N0MCAXDTI2MTEyMjEyMzAzMVoYDzIxMjYxMDI5MTIzMDMxWjAUMRIw\n\
EAYDVQQDDAlsb2NhbGhvc3QwKjAFBgMrZXADIQD4QBVlx5mP5xqY/D7VfxNUG1Bj\n\
rlfxoX4xeaAdexqJ1jAFBgMrZXADQQBATz9sYAXSmZ8CEL9uv3F4qIS7V36I0G5v\n\
Xh+VPNMslLH90SnOKUPw/tW4dDTzZNXoTO2R8fTsNxKuLfNOH2EG\n\
-----END CERTIFICATE-----\n\n";

    fn parse(certificate: &str, key: &str) -> Result<Pair, TlsError> {
        Pair::parse((Path::new("c.pem"), certificate.as_bytes()), (Path::new("k.pem"), key.as_bytes()), None)
    }

    fn message(result: Result<Pair, TlsError>) -> String {
        result.err().unwrap().to_string()
    }

    #[test]
    fn keys_of_every_kind_belong_to_their_certificates() {
        let directory = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        for kind in ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:prime256v1", "ed25519"] {
            let request = format!("req -x509 -newkey {kind} -nodes -keyout key -out cert -subj /CN=localhost -days 2");
            openssl(directory.path(), &request);
            parse(&read("cert"), &read("key")).unwrap();
        }
    }

    #[test]
    fn a_pair_is_for_the_names_in_its_certificate() {
        let directory = tempfile::tempdir().unwrap();
        openssl(
            directory.path(),
            "req -x509 -newkey ed25519 -nodes -keyout key -out cert -subj /CN=subject.example -days 2 \
             -addext subjectAltName=DNS:Lab.example,DNS:*.vnc.example,IP:192.0.2.1",
        );
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        let pair = parse(&read("cert"), &read("key")).unwrap();
        for name in ["lab.example", "a.vnc.example"] {
            assert!(pair.is_for(name), "{name}");
        }
        for name in ["vnc.example", "a.b.vnc.example", "lab.example.org", "subject.example", "", "*.vnc.example."] {
            assert!(!pair.is_for(name), "{name}");
        }
        assert!(pair.can_sign(&[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ED25519]));
        assert!(!pair.can_sign(&[SignatureScheme::RSA_PSS_SHA256]));
    }

    #[test]
    fn a_key_that_is_too_weak_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        openssl(path, "req -x509 -newkey rsa:1024 -nodes -keyout key -out cert -subj /CN=localhost -days 2");
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
        let error = message(parse(&read("cert"), &read("key")));
        assert!(error.starts_with("the private key in k.pem cannot be used: RSA of at least 2048 bits"), "{error}");
    }

    #[test]
    fn one_file_may_hold_both_in_any_order() {
        let pair = SelfSigned::new();
        let both = pair.both();
        parse(&both, &both).unwrap();
        let turned = format!("comment\n{}{}", pair.certificate, pair.key);
        parse(&turned, &turned).unwrap();
    }

    #[test]
    fn each_mistake_is_named_with_its_cure() {
        let (pair, other) = (SelfSigned::new(), SelfSigned::new());
        for (certificate, key, expected) in [
            ("", &pair.key, "no certificate in c.pem: it needs a block that begins with -----BEGIN CERTIFICATE-----"),
            (&pair.key, &pair.key, "no certificate in c.pem"),
            (
                &pair.certificate,
                &String::new(),
                "no private key in k.pem: it needs a block that begins with -----BEGIN PRIVATE KEY-----",
            ),
            (&pair.certificate, &pair.certificate, "no private key in k.pem"),
            (
                &pair.certificate,
                &other.key,
                "the private key in k.pem does not belong to the first certificate in c.pem: \
                 the server's own certificate comes first, its issuers after it",
            ),
            (
                &format!("{}{}", other.certificate, pair.certificate),
                &pair.key,
                "the private key in k.pem does not belong",
            ),
            (&pair.certificate[..200], &pair.key, "c.pem is not well-formed PEM"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                &pair.key,
                "the first certificate in c.pem cannot be used",
            ),
            (
                VERSION_1,
                &pair.key,
                "the first certificate in c.pem is of X.509 version 1: make it anew with version 3 (openssl req -x509)",
            ),
        ] {
            let error = message(parse(certificate, key));
            assert!(error.starts_with(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_file_panics(pieces in proptest::collection::vec(prop_oneof![
            proptest::sample::select(vec![
                "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "-----BEGIN PRIVATE KEY-----\n",
                "-----END PRIVATE KEY-----\n", "-----BEGIN ", "Proc-Type: 4,ENCRYPTED\n", "MIIB", "=\n", "\r\n",
            ]).prop_map(|text| text.as_bytes().to_vec()),
            proptest::collection::vec(any::<u8>(), 0..40),
        ], 0..12)) {
            let file = pieces.concat();
            let path = Path::new("f");
            prop_assert!(Pair::parse((path, &file), (path, &file), None).is_err());
        }
    }
}
