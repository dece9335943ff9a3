//! A certificate authority, as administrators run one with openssl, and TLS clients with its certificates.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use super::client::{Client, upgrade_request};
use super::tls::{TlsStream, shake_hands};

const CONFIGURATION: &str = "\
[ca]
default_ca = here
[here]
database = index.txt
new_certs_dir = .
serial = serial
crlnumber = crlnumber
certificate = ca.pem
private_key = ca.key
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
default_days = 2
default_crl_days = 2
[any]
commonName = optional
organizationalUnitName = optional
[leaf]
basicConstraints = CA:FALSE
[intermediate]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
";

/// One authority, in a directory of its own.
pub struct Authority {
    directory: TempDir,
    issued: AtomicUsize,
}

/// A certificate with its key.
pub struct Issued {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Of which kind a key is.
#[derive(Clone, Copy)]
pub enum Kind {
    Ecdsa,
    Ed25519,
    Rsa,
}

/// When a certificate is in its time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Time {
    Now,
    Past,
}

impl Authority {
    /// Its own issuer.
    pub fn root(name: &str) -> Self {
        let authority = Self::empty();
        authority.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 2 \
             -subj /CN={name} -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign"
        ));
        authority
    }

    /// An authority that this one vouches for.
    pub fn intermediate(&self, name: &str) -> Self {
        let other = Self::empty();
        let Issued { certificate, key } = self.sign(Kind::Ecdsa, &format!("/CN={name}"), "", "intermediate", Time::Now);
        fs::rename(certificate, other.path("ca.pem")).unwrap();
        fs::rename(key, other.path("ca.key")).unwrap();
        other
    }

    fn empty() -> Self {
        let authority = Self { directory: tempfile::tempdir().unwrap(), issued: AtomicUsize::new(0) };
        for (name, text) in [("configuration", CONFIGURATION), ("index.txt", ""), ("serial", "01"), ("crlnumber", "01")]
        {
            fs::write(authority.path(name), text).unwrap();
        }
        authority
    }

    /// A certificate for this subject, and these alternative names if any are given.
    pub fn issue(&self, kind: Kind, subject: &str, names: &str) -> Issued {
        self.sign(kind, subject, names, "leaf", Time::Now)
    }

    /// One whose time was long ago.
    pub fn issue_expired(&self, subject: &str) -> Issued {
        self.sign(Kind::Ecdsa, subject, "", "leaf", Time::Past)
    }

    fn sign(&self, kind: Kind, subject: &str, names: &str, section: &str, time: Time) -> Issued {
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let (key, request, certificate) = (format!("{number}.key"), format!("{number}.csr"), format!("{number}.crt"));
        let algorithm = match kind {
            Kind::Ecdsa => "ec -pkeyopt ec_paramgen_curve:prime256v1",
            Kind::Ed25519 => "ed25519",
            Kind::Rsa => "rsa:2048",
        };
        let mut arguments: Vec<String> = format!("req -new -newkey {algorithm} -nodes -keyout {key} -out {request}")
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        arguments.extend(["-subj".to_owned(), subject.to_owned()]);
        if !names.is_empty() {
            arguments.extend(["-addext".to_owned(), format!("subjectAltName={names}")]);
        }
        self.run(&arguments);
        let dates = if time == Time::Past { "-startdate 20200101000000Z -enddate 20200102000000Z" } else { "" };
        self.openssl(&format!(
            "ca -batch -notext -preserveDN -config configuration -extensions {section} -in {request} -out {certificate} {dates}"
        ));
        Issued { certificate: self.path(&certificate), key: self.path(&key) }
    }

    /// From the next list on.
    pub fn revoke(&self, issued: &Issued) {
        self.openssl(&format!("ca -config configuration -revoke {}", issued.certificate.display()));
    }

    /// Its revocation list of today.
    pub fn revocation_list(&self) -> String {
        self.openssl("ca -config configuration -gencrl -out crl.pem");
        fs::read_to_string(self.path("crl.pem")).unwrap()
    }

    /// One that ended yesterday.
    pub fn ended_revocation_list(&self) -> String {
        self.openssl(
            "ca -config configuration -gencrl -crl_lastupdate 20200101000000Z -crl_nextupdate 20200102000000Z -out crl.pem",
        );
        fs::read_to_string(self.path("crl.pem")).unwrap()
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    pub fn file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        self.run(&arguments.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    }

    fn run(&self, arguments: &[String]) {
        let output = Command::new("openssl").args(arguments).current_dir(self.directory.path()).output();
        let output = output.expect("openssl must be installed (Debian: openssl)");
        assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Issued {
    fn pem(&self) -> Vec<u8> {
        fs::read(&self.certificate).unwrap()
    }
}

/// A client that trusts one authority, and shows a certificate if it has one.
#[derive(Clone)]
pub struct Visitor {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Visitor {
    pub fn new(authority: &Path, shows: Option<&Issued>) -> Self {
        Self::with_versions(authority, shows, rustls::ALL_VERSIONS)
    }

    pub fn with_versions(
        authority: &Path,
        shows: Option<&Issued>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match shows {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let chain = CertificateDer::pem_slice_iter(&issued.pem()).map(Result::unwrap).collect();
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&issued.key).unwrap()).unwrap()
            }
        };
        Self { config: Arc::new(config), name: "localhost".try_into().unwrap() }
    }

    /// The same, that asks for another name.
    pub fn asking_for(&self, name: &str) -> Self {
        Self { config: Arc::clone(&self.config), name: name.to_owned().try_into().unwrap() }
    }

    /// Connects. That a certificate is refused shows in TLS 1.3 only when something is read.
    pub fn connect(&self, address: SocketAddr) -> io::Result<Client<TlsStream>> {
        shake_hands(Arc::clone(&self.config), self.name.clone(), Client::connect(address).stream)
    }

    /// The status of an upgrade with these headers; the error of a handshake of TLS that failed.
    pub fn status(&self, address: SocketAddr, headers: &[(&str, &str)]) -> io::Result<u16> {
        let mut client = self.connect(address)?;
        client.stream.write_all(upgrade_request("/websockify", headers).as_bytes())?;
        let mut head = [0; 12]; // HTTP/1.1 403
        client.stream.read_exact(&mut head)?;
        Ok(std::str::from_utf8(&head[9..]).unwrap().parse().unwrap())
    }
}
