//! Certificates made on the spot, and a client that trusts them.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

/// A certificate for `localhost`, its own issuer.
pub(super) struct SelfSigned {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) der: CertificateDer<'static>,
}

impl SelfSigned {
    pub(super) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name and a key suffice");
        Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem(), der: made.cert.der().clone() }
    }

    /// Key and certificate in one file.
    pub(super) fn both(&self) -> String {
        format!("{}{}", self.key, self.certificate)
    }
}

pub(super) fn server_name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("localhost is a name")
}

/// Trusts `trusted` alone.
pub(super) fn client_config(trusted: &SelfSigned, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).expect("a certificate can be trusted");
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("the provider has cipher suites for all versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// Whether a client that trusts `trusted` alone finishes its handshake with `config`.
pub(super) fn serves(config: Arc<ServerConfig>, trusted: &SelfSigned) -> bool {
    let client_config = Arc::new(client_config(trusted, rustls::ALL_VERSIONS));
    let mut client = ClientConnection::new(client_config, server_name()).expect("the settings fit");
    let mut server = ServerConnection::new(config).expect("the settings fit");
    while client.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory takes it");
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).expect("memory gives it");
            server.process_new_packets().expect("the server has no objection");
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory takes it");
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).expect("memory gives it");
            if client.process_new_packets().is_err() {
                return false;
            }
        }
    }
    true
}

/// Runs openssl, the maker of most keys there are.
pub(super) fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .output()
        .expect("openssl must be installed (Debian: openssl)");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}
