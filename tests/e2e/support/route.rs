//! A route to one target, with whatever a test wants to set beside it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tempfile::TempDir;

use super::client::Client;
use super::proxy::Proxy;
use super::tls::{SelfSigned, TlsStream};

/// A proxy before `target`; `more` is TOML, most often a `[limits]` table.
pub fn serve(target: SocketAddr, more: &str) -> Proxy {
    Proxy::serve(&toml(target, more))
}

/// What [`serve`] writes into the route's file.
pub fn toml(target: SocketAddr, more: &str) -> String {
    format!("listen = [\"127.0.0.1:0\"]\ntarget = \"{target}\"\n{more}\n")
}

/// A proxy before one target that speaks TLS and plain.
pub struct Secure {
    pub proxy: Proxy,
    certificate: SelfSigned,
    _directory: TempDir,
}

impl Secure {
    pub fn serve(target: SocketAddr, more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let certificate = SelfSigned::in_directory(directory.path());
        let tls = format!(
            "{more}\n[tls]\ncertificate = \"{}\"\nkey = \"{}\"",
            certificate.certificate.display(),
            certificate.key.display()
        );
        Self { proxy: serve(target, &tls), certificate, _directory: directory }
    }

    /// Connects by TLS.
    pub fn connect(&self) -> Client<TlsStream> {
        self.certificate.connect(self.proxy.address())
    }

    /// Connects by TLS on a connection that is there.
    pub fn over(&self, stream: TcpStream) -> Client<TlsStream> {
        self.certificate.over(stream).unwrap()
    }

    /// Connects by TLS and shakes hands.
    pub fn open(&self) -> Client<TlsStream> {
        let mut client = self.connect();
        client.upgrade();
        client
    }
}

/// An address where nobody listens.
pub fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A target that never answers: its backlog is full, so that the kernel drops each further SYN.
pub struct Full {
    pub address: SocketAddr,
    _listener: socket2::Socket,
    _waiting: Vec<TcpStream>,
}

impl Full {
    pub fn listen() -> Self {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            waiting.push(stream);
        }
        Self { address, _listener: listener, _waiting: waiting }
    }
}
