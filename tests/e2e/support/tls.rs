//! Certificates made on the spot, and clients that trust exactly one of them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

use super::client::Client;

pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// A certificate for `localhost`, its own issuer, in files.
pub struct SelfSigned {
    pub certificate: PathBuf,
    pub key: PathBuf,
    certificate_pem: String,
    key_pem: String,
    der: CertificateDer<'static>,
}

impl SelfSigned {
    /// Writes `cert.pem` and `key.pem`.
    pub fn in_directory(directory: &Path) -> Self {
        let made = Self::unwritten(directory);
        made.install();
        made
    }

    /// Another one for the same files, which are left as they are.
    pub fn unwritten(directory: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self::made(directory, &made.cert, &made.signing_key)
    }

    /// The same, valid until then.
    pub fn until(directory: &Path, not_after: SystemTime) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let since_epoch = not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        parameters.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_epoch;
        Self::made(directory, &parameters.self_signed(&key).unwrap(), &key)
    }

    /// Of a server that shows what is in the files.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let chain = CertificateDer::from_pem_file(&self.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&self.key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        Arc::new(config)
    }

    fn made(directory: &Path, certificate: &rcgen::Certificate, key: &rcgen::KeyPair) -> Self {
        Self {
            certificate: directory.join("cert.pem"),
            key: directory.join("key.pem"),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            der: certificate.der().clone(),
        }
    }

    /// Puts it in the files' place as renewal tools do: beside them, and then by renaming.
    pub fn install(&self) {
        for (path, text) in [(&self.key, &self.key_pem), (&self.certificate, &self.certificate_pem)] {
            let beside = path.with_extension("new");
            fs::write(&beside, text).unwrap();
            fs::rename(&beside, path).unwrap();
        }
    }

    /// Key and certificate in one text.
    pub fn both(&self) -> String {
        format!("{}{}", self.key_pem, self.certificate_pem)
    }

    /// Connects by TLS, trusting this certificate alone.
    pub fn connect(&self, address: SocketAddr) -> Client<TlsStream> {
        self.try_connect(address).unwrap()
    }

    /// Whether a client that trusts this certificate alone is served.
    pub fn is_served(&self, address: SocketAddr) -> bool {
        self.try_connect(address).is_ok()
    }

    fn try_connect(&self, address: SocketAddr) -> std::io::Result<Client<TlsStream>> {
        self.over(Client::connect(address).stream)
    }

    /// Shakes hands on a connection that is there, trusting this certificate alone.
    pub fn over(&self, stream: TcpStream) -> std::io::Result<Client<TlsStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        shake_hands(Arc::new(config), ServerName::try_from("localhost").unwrap(), stream)
    }
}

/// A client of TLS on a connection that is there.
pub fn shake_hands(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    stream: TcpStream,
) -> std::io::Result<Client<TlsStream>> {
    let mut stream = StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(Client { stream })
}

/// What a port answers to the beginning of a TLS handshake, up to the end of the connection.
pub fn answer_to_hello(address: SocketAddr) -> Vec<u8> {
    let mut client = Client::connect(address);
    // The header of a record, and a hello that is cut off: the first byte decides.
    client.stream.write_all(&[0x16, 3, 1, 0, 2, 1, 0]).unwrap();
    client.shut();
    let mut answer = Vec::new();
    client.stream.read_to_end(&mut answer).unwrap();
    answer
}
