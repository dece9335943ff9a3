//! TLS for the sessions that have it: certificates, and the client's side.
//!
//! Every candidate gets the same certificate, and the client offers one version and one cipher, so that all of them do the same
//! work. The client's own work is done on the load's CPU and is in no figure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// What the proxy's key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Ecdsa,
    Rsa,
}

/// Whether a session may take up an earlier one's secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    Full,
    Resumed,
}

/// The certificates, in a directory of this run.
pub struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    pub fn make(directory: &Path) -> Result<Self, String> {
        let certificates = Self { directory: directory.to_owned() };
        for key in [Key::Ecdsa, Key::Rsa] {
            certificates.make_one(key)?;
        }
        Ok(certificates)
    }

    /// Certificate and key in one file, as all candidates take it.
    pub fn file(&self, key: Key) -> PathBuf {
        self.directory.join(match key {
            Key::Ecdsa => "ecdsa.pem",
            Key::Rsa => "rsa.pem",
        })
    }

    fn make_one(&self, key: Key) -> Result<(), String> {
        let kind: &[&str] = match key {
            Key::Ecdsa => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Key::Rsa => &["-newkey", "rsa:2048"],
        };
        let file = self.file(key);
        let path = file.display().to_string();
        let output = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
            .args(kind)
            .args(["-keyout", &path, "-out", &format!("{path}.certificate")])
            .output()
            .map_err(|error| format!("openssl: {error}: install Debian's package openssl"))?;
        if !output.status.success() {
            return Err(format!("openssl: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        let both = fs::read(format!("{path}.certificate")).and_then(|certificate| {
            let key = fs::read(&file)?;
            fs::write(&file, [certificate, key].concat())
        });
        both.map_err(|error| format!("{path}: {error}"))
    }

    /// What the clients of one measurement share; with [`Handshake::Resumed`], their tickets too.
    pub fn client(&self, key: Key, handshake: Handshake) -> Arc<ClientConfig> {
        let mut provider = default_provider();
        provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(self.file(key)).expect("the certificate was just made");
        roots.add(certificate).expect("openssl makes proper certificates");
        let mut config = ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the cipher is of this version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = match handshake {
            Handshake::Full => Resumption::disabled(),
            Handshake::Resumed => Resumption::in_memory_sessions(64),
        };
        config.into()
    }
}

pub fn connection(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("127.0.0.1").expect("an address is a name");
    ClientConnection::new(config.clone(), name).expect("this configuration makes connections")
}
