//! A target that speaks TLS.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::target::Target;
use super::tls::SelfSigned;

pub type TlsConnection = StreamOwned<ServerConnection, TcpStream>;

/// A target whose connections the test plays itself.
pub struct TlsTarget {
    target: Target,
    config: Arc<ServerConfig>,
}

impl TlsTarget {
    /// Shows this certificate.
    pub fn listen(certificate: &SelfSigned) -> Self {
        let chain = CertificateDer::from_pem_file(&certificate.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        Self { target: Target::listen(), config: Arc::new(config) }
    }

    pub fn address(&self) -> SocketAddr {
        self.target.address()
    }

    /// The next connection, whose handshake happens when it is first used.
    pub fn accept(&self) -> TlsConnection {
        StreamOwned::new(ServerConnection::new(Arc::clone(&self.config)).unwrap(), self.target.accept())
    }

    /// Echoes to everybody who connects, for as long as the test runs.
    pub fn echo(self) -> SocketAddr {
        let address = self.address();
        self.target.serve(move |stream| {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&self.config)).unwrap(), stream);
            let mut buffer = vec![0; 65536];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
            end(&mut stream);
        });
        address
    }
}

/// Says that nothing more comes, in the words of TLS.
pub fn end(stream: &mut TlsConnection) {
    stream.conn.send_close_notify();
    let _ = stream.flush(); // whoever is gone does not hear it
}
