//! A certificate chain and a key that are proved to belong together, and the rules of the handshake they serve.
//!
//! Promise: a [`Pair`] can be served. Pure but for the random bytes of the ticket keys: the PEM text comes as an argument. Each
//! error names the file, what is wrong with it and what would be right. Dates are not checked: a client does, and the server's
//! status tells them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, ServerConfig};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};

/// A certificate chain with its own key.
pub(super) struct Pair {
    certified: CertifiedKey,
    provider: Arc<CryptoProvider>,
}

impl Pair {
    /// From the PEM texts of two files, which may be the same one.
    pub(super) fn parse(certificate: (&Path, &[u8]), key: (&Path, &[u8])) -> Result<Self, TlsError> {
        let (certificate_path, key_path) = (certificate.0.to_owned(), key.0.to_owned());
        let provider = provider();
        let key = private_key(key.0, key.1)?;
        let chain = chain(certificate.0, certificate.1)?;
        let key = match provider.key_provider.load_private_key(key) {
            Ok(key) => key,
            Err(source) => return Err(TlsError::UnusableKey { path: key_path, source }),
        };
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // Unknown: a kind of key that cannot tell its public half. The handshake will show.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Self { certified, provider })
            }
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(TlsError::KeyMismatch { certificate: certificate_path, key: key_path })
            }
            Err(source) => Err(unusable(certificate_path, &certified.cert[0], source)),
        }
    }

    /// When the server's own certificate ends. None: it does not tell in a way that can be understood.
    pub(super) fn not_after(&self) -> Option<SystemTime> {
        let (_, certificate) = X509Certificate::from_der(self.certified.cert.first()?).ok()?;
        let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }

    /// The handshake's rules with this pair in them.
    pub(super) fn server_config(self) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_provider(self.provider)
            .with_safe_default_protocol_versions() // 1.2 and 1.3
            .expect("the provider has cipher suites for both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(self.certified)));
        // WebSocket is spoken over HTTP/1.1 only; without this a browser might expect HTTP/2.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Tickets make a reconnect cheap and keep nothing here, neither memory nor a lock between the workers. Their keys
        // are this configuration's own: a new certificate ends the resumption of what saw the old one.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(|source| TlsError::TicketKey { source })?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // A browser uses a ticket once, and opens the page's next connection and the WebSocket's almost together.
        config.send_tls13_tickets = 2;
        Ok(config)
    }
}

/// The one place that names the provider.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A certificate or a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A credential was named, and this process has none.
    #[error("credential '{name}' cannot be seen here: the route's service gets it by LoadCredential=")]
    Credential {
        /// Its name.
        name: String,
    },
    /// The file is not there, or may not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A PEM block is damaged.
    #[error("{} is not well-formed PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// No certificate in the certificate's file.
    #[error("no certificate in {}: it needs a block that begins with -----BEGIN CERTIFICATE-----", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// No key in the key's file.
    #[error(
        "no private key in {}: it needs a block that begins with -----BEGIN PRIVATE KEY----- \
         (or RSA PRIVATE KEY, EC PRIVATE KEY); a key in a file of its own has to be named beside the certificate",
        path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Nothing to judge a service's certificate by.
    #[error("this system has no CA certificates: install them (ca-certificates), or name a file of them")]
    NoSystemAuthorities,
    /// The key needs a passphrase.
    #[error(
        "the private key in {0} is encrypted, and encrypted keys are not supported yet: \
         `openssl pkey -in {0}` writes it unencrypted",
        path.display()
    )]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is of a kind that nobody can use here.
    #[error(
        "the private key in {} cannot be used: RSA of at least 2048 bits, ECDSA (P-256, P-384, P-521) or Ed25519 can",
        path.display()
    )]
    UnusableKey {
        /// The file.
        path: PathBuf,
        /// What the cryptographic library says.
        #[source]
        source: rustls::Error,
    },
    /// The first certificate cannot be parsed.
    #[error("the first certificate in {} cannot be used", path.display())]
    UnusableCertificate {
        /// The file.
        path: PathBuf,
        /// What the TLS library says.
        #[source]
        source: rustls::Error,
    },
    /// Of the format of 1988, which openssl makes when nobody asks for extensions, and clients refuse.
    #[error(
        "the first certificate in {} is of X.509 version {version}: make it anew with version 3 (openssl req -x509)",
        path.display()
    )]
    CertificateVersion {
        /// The file.
        path: PathBuf,
        /// 1 or 2.
        version: u32,
    },
    /// The key is another certificate's.
    #[error(
        "the private key in {} does not belong to the first certificate in {}: \
         the server's own certificate comes first, its issuers after it",
        key.display(),
        certificate.display()
    )]
    KeyMismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The kernel gave no random bytes.
    #[error("cannot make a key for session tickets")]
    TicketKey {
        /// What the cryptographic library says.
        #[source]
        source: rustls::Error,
    },
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

fn private_key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        _ if is_encrypted(text) => TlsError::EncryptedKey { path: path.to_owned() },
        pem::Error::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        source => TlsError::Pem { path: path.to_owned(), source },
    })
}

/// PKCS#8 says it in the label, the older form in a header inside the block.
fn is_encrypted(text: &[u8]) -> bool {
    text.split(|byte| matches!(byte, b'\n' | b'\r')).any(|line| {
        line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || line.starts_with(b"Proc-Type: 4,ENCRYPTED")
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::fs;
    use std::process::Command;

    use proptest::prelude::*;

    use super::super::testing::SelfSigned;
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

    /// Runs openssl, the maker of most keys there are.
    fn openssl(directory: &Path, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(directory)
            .output()
            .expect("openssl must be installed (Debian: openssl)");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn parse(certificate: &str, key: &str) -> Result<ServerConfig, TlsError> {
        Pair::parse((Path::new("c.pem"), certificate.as_bytes()), (Path::new("k.pem"), key.as_bytes()))?.server_config()
    }

    fn message(result: Result<ServerConfig, TlsError>) -> String {
        result.err().unwrap().to_string()
    }

    #[test]
    fn every_form_of_key_that_openssl_writes_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
        for (kind, old_form, label) in [
            ("rsa:2048", Some("rsa -traditional"), "RSA PRIVATE KEY"),
            ("ec -pkeyopt ec_paramgen_curve:prime256v1", Some("ec"), "EC PRIVATE KEY"),
            ("ed25519", None, ""),
        ] {
            openssl(
                path,
                &format!("req -x509 -newkey {kind} -nodes -keyout key -out cert -subj /CN=localhost -days 2"),
            );
            assert!(read("key").contains("BEGIN PRIVATE KEY"));
            parse(&read("cert"), &read("key")).unwrap();
            if let Some(old_form) = old_form {
                openssl(path, &format!("{old_form} -in key -out old"));
                assert!(read("old").contains(label), "{}", read("old"));
                parse(&read("cert"), &read("old")).unwrap();
                openssl(path, &format!("{old_form} -in key -aes128 -passout pass:secret -out locked"));
                assert!(
                    message(parse(&read("cert"), &read("locked"))).contains("encrypted keys are not supported yet")
                );
            }
            openssl(path, "pkcs8 -topk8 -in key -passout pass:secret -out locked");
            assert_eq!(
                message(parse(&read("cert"), &read("locked"))),
                "the private key in k.pem is encrypted, and encrypted keys are not supported yet: \
                 `openssl pkey -in k.pem` writes it unencrypted"
            );
        }
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
            prop_assert!(Pair::parse((path, &file), (path, &file)).is_err());
        }
    }
}
