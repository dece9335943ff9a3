//! A target that speaks TLS.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

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
        Self { target: Target::listen(), config: certificate.server_config() }
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
