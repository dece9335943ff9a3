//! What can be wrong with certificates, keys, and what is around them: each with the file, and what would be right.

use std::io;
use std::path::PathBuf;

use rustls::pki_types::pem;
use rustls::server::VerifierBuilderError;

/// TLS cannot be spoken with what is there.
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
    /// Nothing to judge certificates of others by.
    #[error("this system has no CA certificates: install them (ca-certificates), or name a file of them")]
    NoSystemAuthorities,
    /// The key needs a passphrase.
    #[error(
        "the private key in {0} is encrypted: name a file with its passphrase as tls.key-password (--key-password), \
         or write the key unencrypted with `openssl pkey -in {0}`",
        path.display()
    )]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase is another key's.
    #[error(
        "the passphrase does not open the private key in {}: correct tls.key-password (--key-password)",
        path.display()
    )]
    WrongPassphrase {
        /// The key's file.
        path: PathBuf,
    },
    /// Encrypted by an algorithm that is not read.
    #[error(
        "the private key in {0} is encrypted in an old way that is not read here: \
         `openssl pkcs8 -topk8 -v2 aes256 -in {0}` writes it in today's",
        path.display()
    )]
    KeyEncryption {
        /// The key's file.
        path: PathBuf,
    },
    /// An encrypted key that is not whole.
    #[error("the encrypted private key in {} is damaged: copy it again", path.display())]
    DamagedKey {
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
    /// A certificate among the CAs of clients that cannot be parsed.
    #[error("certificate number {number} in {} cannot be used as a CA", path.display())]
    UnusableAuthority {
        /// The file.
        path: PathBuf,
        /// From 1 on.
        number: usize,
        /// What the TLS library says.
        #[source]
        source: rustls::Error,
    },
    /// CAs whose time is over, all of them.
    #[error("all CA certificates in {} have expired, so no client could be believed: renew them", path.display())]
    ExpiredAuthorities {
        /// The file.
        path: PathBuf,
    },
    /// No list in the file of revocation lists.
    #[error("no revocation list in {}: it needs a block that begins with -----BEGIN X509 CRL-----", path.display())]
    NoRevocationList {
        /// The file.
        path: PathBuf,
    },
    /// A revocation list that cannot be parsed.
    #[error("revocation list number {number} in {} cannot be read", path.display())]
    UnreadableRevocationList {
        /// The file.
        path: PathBuf,
        /// From 1 on.
        number: usize,
    },
    /// A revocation list whose time is over.
    #[error(
        "the revocation list of '{issuer}' in {} ended on {until}, so none of its certificates could be believed: \
         fetch the CA's new one",
        path.display()
    )]
    ExpiredRevocationList {
        /// The file.
        path: PathBuf,
        /// Whose.
        issuer: String,
        /// A day.
        until: String,
    },
    /// A CA about whose certificates nobody says which are revoked.
    #[error(
        "there is no revocation list of the CA '{issuer}' in {}, so none of its certificates could be believed: \
         add it there (each CA has its own list)",
        path.display()
    )]
    MissingRevocationList {
        /// The file of the lists.
        path: PathBuf,
        /// The CA.
        issuer: String,
    },
    /// The TLS library refuses the CAs or the lists.
    #[error("clients' certificates cannot be judged")]
    Verifier {
        /// Why.
        #[source]
        source: VerifierBuilderError,
    },
    /// No cipher suite for the versions that are allowed.
    #[error(
        "tls.ciphers leaves no cipher suite for the versions from tls.min-version on: name more, or a lower version"
    )]
    NoSuite,
    /// The kernel gave no random bytes.
    #[error("cannot make a key for session tickets")]
    TicketKey {
        /// What the cryptographic library says.
        #[source]
        source: rustls::Error,
    },
}
