//! From a connected socket to a [`Stream`]: the first byte decides.
//!
//! Nothing is consumed before it is known who reads on: the byte is peeked at. A refusal is an answer in the language
//! of whoever is refused, best effort and bounded in time, because a bare reset tells nobody what to change.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv};
use rustls::CertificateError;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};

use super::session::Session;
use super::side::Server;
use super::{Certificates, Stream, Tls};
use crate::proxy_protocol::read::{BEGINNING_BYTES, is_beginning};
use crate::socket::Socket;

/// A TLS record that is a handshake message: how a TLS client begins.
const TLS_HANDSHAKE: u8 = 0x16;

/// How a client begins that still offers `SSLv2`, by its length field. No request line begins so.
const SSL2_HELLO: u8 = 0x80;

/// Fatal alert `handshake_failure`, in a record of the version that every client reads.
const ALERT_HANDSHAKE_FAILURE: &[u8] = &[0x15, 3, 1, 0, 2, 2, 40];

/// Fatal alert `protocol_version`.
const ALERT_PROTOCOL_VERSION: &[u8] = &[0x15, 3, 1, 0, 2, 2, 70];

const TLS_ONLY: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 51\r\n\
    Connection: close\r\n\
    \r\n\
    This port speaks TLS only: use https:// or wss://\r\n";

/// How long a refused client gets to read its answer before the socket is closed.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// How much of what a refused client still sends is read, and dropped.
const REFUSAL_BYTES_MAX: u64 = 64 * 1024;

/// A connection came to nothing before its first request.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Port scans and health checks do so all day: not worth a line in a log.
    #[error("the client closed the connection before it sent anything")]
    Silent,
    /// The socket failed before the first byte, mostly because the client reset it.
    #[error("cannot read the connection's first byte")]
    FirstByte {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The client speaks TLS where nobody does.
    #[error("TLS connection, but this route has no certificate")]
    NoCertificate,
    /// A proxy speaks where a client was expected.
    #[error(
        "it begins with a PROXY protocol header, which access.proxy-protocol expects from access.trusted-proxies alone"
    )]
    ProxyHeader,
    /// The client does not speak TLS where all must.
    #[error("plain connection, but this route speaks TLS only")]
    PlainRefused,
    /// The client offers `SSLv2`.
    #[error("the client offers SSLv2, which is spoken nowhere any more")]
    TooOld,
    /// The client's certificate is not to be believed, or is wanted and was not shown.
    #[error("the client's certificate is refused: {}", why(source))]
    ClientCertificate {
        /// What the TLS library says.
        #[source]
        source: rustls::Error,
    },
    /// Versions, ciphers, a certificate the client does not trust, or plain noise.
    #[error("the TLS handshake failed")]
    Handshake {
        /// What the TLS library says.
        #[source]
        source: io::Error,
    },
}

impl Tls {
    /// Waits for the first byte, and shakes hands if it begins TLS. There is no deadline here: the caller has one for
    /// everything before the 101. Dropping the future closes the socket, and nothing else needs to be undone.
    pub async fn accept(&self, socket: Socket) -> Result<Stream, AcceptError> {
        let first = first_byte(&socket).await.map_err(|source| AcceptError::FirstByte { source })?;
        match (self, first.ok_or(AcceptError::Silent)?) {
            (_, b'P' | b'\r') if begins_with_proxy_header(&socket) => {
                refuse(socket, &[]).await;
                Err(AcceptError::ProxyHeader)
            }
            (Self::Off, TLS_HANDSHAKE | SSL2_HELLO) => {
                refuse(socket, ALERT_HANDSHAKE_FAILURE).await;
                Err(AcceptError::NoCertificate)
            }
            (_, SSL2_HELLO) => {
                refuse(socket, ALERT_PROTOCOL_VERSION).await;
                Err(AcceptError::TooOld)
            }
            (Self::Offered(certificates) | Self::Required(certificates), TLS_HANDSHAKE) => {
                shake_hands(socket, certificates).await
            }
            (Self::Required(_), _) => {
                refuse(socket, TLS_ONLY).await;
                Err(AcceptError::PlainRefused)
            }
            (Self::Off | Self::Offered(_), _) => Ok(Stream::Plain(socket)),
        }
    }
}

/// Whether what is there is the beginning of a header of the PROXY protocol, which nobody expects. It stays in the socket.
fn begins_with_proxy_header(socket: &Socket) -> bool {
    let mut bytes = [0; BEGINNING_BYTES];
    let there = recv(socket.as_fd().as_raw_fd(), &mut bytes, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT);
    there.is_ok_and(|count| is_beginning(&bytes[..count]))
}

/// The next byte, which stays in the socket; None when the client has closed its side.
async fn first_byte(socket: &Socket) -> io::Result<Option<u8>> {
    let peek = |socket: RawFd| {
        let mut byte = [0];
        let count = recv(socket, &mut byte, MsgFlags::MSG_PEEK)?;
        Ok((count > 0).then_some(byte[0]))
    };
    match socket {
        Socket::Tcp(stream) => stream.async_io(Interest::READABLE, || peek(stream.as_raw_fd())).await,
        Socket::Unix(stream) => stream.async_io(Interest::READABLE, || peek(stream.as_raw_fd())).await,
        Socket::Program(_) => Ok(None), // no client is one
    }
}

async fn shake_hands(socket: Socket, certificates: &Certificates) -> Result<Stream, AcceptError> {
    let side =
        Server::new(certificates.config()).map_err(|error| AcceptError::of_handshake(io::Error::other(error)))?;
    match Session::begin(socket, side).await {
        Ok(session) => Ok(Stream::Tls(session)),
        Err((source, socket)) => {
            refuse(socket, &[]).await; // the TLS library has answered
            Err(AcceptError::of_handshake(source))
        }
    }
}

impl AcceptError {
    fn of_handshake(source: io::Error) -> Self {
        match source.get_ref().and_then(|error| error.downcast_ref()) {
            Some(error @ (rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)) => {
                Self::ClientCertificate { source: error.clone() }
            }
            _ => Self::Handshake { source },
        }
    }
}

/// In the words of whoever has to mend it; the library's own are the source.
fn why(error: &rustls::Error) -> &'static str {
    let rustls::Error::InvalidCertificate(error) = error else { return "it has shown none" };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::Revoked => "it is revoked",
        CertificateError::UnknownIssuer => "it is not below a CA of tls.client.ca that is in its time",
        CertificateError::BadSignature => "its CA is not the one of that name in tls.client.ca: another key signed it",
        CertificateError::UnknownRevocationStatus => "tls.client.crl has no revocation list of its CA",
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the revocation list of its CA has ended: fetch the new one"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its extended key usage does not allow a client"
        }
        _ => "it is broken, or of a kind that is not read here",
    }
}

/// Answers, and reads what the client still sends: closing a socket with unread bytes in it is a reset, and a reset
/// may overtake the answer. Whether the client took it is its own affair.
async fn refuse(mut socket: Socket, answer: &[u8]) {
    let goodbye = async {
        socket.write_all(answer).await?;
        socket.shutdown().await?;
        tokio::io::copy(&mut socket.take(REFUSAL_BYTES_MAX), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, goodbye).await;
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::pin::Pin;
    use std::process::{Command, Stdio};
    use std::sync::Arc;
    use std::task::Poll;

    use rustls::{AlertDescription, HandshakeKind, ProtocolVersion, SupportedProtocolVersion, version};
    use tokio::io::{AsyncRead, AsyncWrite};
    use tokio::net::{TcpListener, TcpStream, UnixStream};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;

    use super::super::testing::{SelfSigned, client_config, server_name};
    use super::super::{CertificateSettings, Mode, Pem, Rules, Settings};
    use super::*;

    /// A certificate in a directory of its own, and what serves it.
    struct Site {
        directory: tempfile::TempDir,
        certificate: SelfSigned,
        tls: Tls,
    }

    impl Site {
        fn new(mode: Mode) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let certificate = SelfSigned::new();
            let path = directory.path().join("both.pem");
            std::fs::write(&path, certificate.both()).unwrap();
            let default = CertificateSettings { certificate: Pem::File(path), key: None, passphrase: None };
            let settings = Settings { mode, default, others: Vec::new(), rules: Rules::default(), clients: None };
            let tls = Tls::load(Some(&settings)).unwrap();
            Self { directory, certificate, tls }
        }

        fn connector(&self, versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
            Arc::new(client_config(&self.certificate, versions)).into()
        }
    }

    async fn tcp() -> (TcpStream, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (client.unwrap(), Socket::Tcp(server.unwrap().0))
    }

    fn unix() -> (UnixStream, Socket) {
        let (client, server) = UnixStream::pair().unwrap();
        (client, Socket::Unix(server))
    }

    async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
        poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
    }

    async fn text_from(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.expect("a clean end, not a reset");
        text
    }

    async fn plain_is_served(mut client: impl AsyncWrite + Unpin, server: Socket, tls: &Tls) {
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        let stream = tls.accept(server).await.unwrap();
        assert!(!stream.is_tls());
        assert_eq!(text_from(stream).await, b"GET / HTTP/1.1\r\n", "the first byte stays");
    }

    async fn tls_is_served<S: AsyncRead + AsyncWrite + Unpin>(client: S, server: Socket, site: &Site) -> TlsStream<S> {
        let connector = site.connector(rustls::ALL_VERSIONS);
        let (client, server) = tokio::join!(connector.connect(server_name(), client), site.tls.accept(server));
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        assert_eq!(server.tls().unwrap().1, Some("localhost"), "the name that was asked for");
        client.write_all(b"ping").await.unwrap();
        client.flush().await.unwrap();
        let mut text = [0; 4];
        server.read_exact(&mut text).await.unwrap();
        server.write_all(&text).await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(text_from(&mut client).await, b"ping");
        client
    }

    #[tokio::test]
    async fn plain_and_tls_share_a_port() {
        let site = Site::new(Mode::Sniff);
        let (client, server) = tcp().await;
        plain_is_served(client, server, &site.tls).await;
        let (client, server) = tcp().await;
        let client = tls_is_served(client, server, &site).await;
        assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(client.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    }

    #[tokio::test]
    async fn plain_and_tls_share_a_unix_socket() {
        let site = Site::new(Mode::Sniff);
        let (client, server) = unix();
        plain_is_served(client, server, &site.tls).await;
        let (client, server) = unix();
        tls_is_served(client, server, &site).await;
    }

    #[tokio::test]
    async fn without_a_certificate_plain_is_served() {
        let (client, server) = tcp().await;
        plain_is_served(client, server, &Tls::Off).await;
    }

    #[tokio::test]
    async fn a_slow_first_byte_is_waited_for() {
        let site = Site::new(Mode::Sniff);
        let (mut client, server) = unix();
        let mut accept = std::pin::pin!(site.tls.accept(server));
        assert!(poll_once(accept.as_mut()).await.is_pending());
        client.write_all(b"G").await.unwrap();
        assert!(matches!(accept.await, Ok(Stream::Plain(_))));
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_is_told_apart() {
        for tls in [Tls::Off, Site::new(Mode::Required).tls] {
            let (client, server) = tcp().await;
            drop(client);
            assert!(matches!(tls.accept(server).await, Err(AcceptError::Silent)));
        }
    }

    #[tokio::test]
    async fn required_tls_tells_a_plain_client_what_to_do() {
        let site = Site::new(Mode::Required);
        let (client, server) = tcp().await;
        let (reader, mut writer) = client.into_split();
        // More than the answer waits for: unread, it would turn the close into a reset that overtakes the answer.
        writer.write_all(&[b'x'; 16 * 1024]).await.unwrap();
        let (result, answer) = tokio::join!(site.tls.accept(server), async {
            let answer = text_from(reader).await;
            writer.write_all(b"more").await.expect("the server listens until the client has read the answer");
            drop(writer);
            String::from_utf8(answer).unwrap()
        });
        assert!(matches!(result, Err(AcceptError::PlainRefused)), "{result:?}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n") && head.ends_with("\r\nConnection: close"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert_eq!(body, "This port speaks TLS only: use https:// or wss://\r\n");
    }

    #[tokio::test]
    async fn required_tls_serves_tls() {
        let (client, server) = tcp().await;
        tls_is_served(client, server, &Site::new(Mode::Required)).await;
    }

    #[tokio::test]
    async fn an_sslv2_hello_gets_an_alert_and_a_clean_end() {
        let site = Site::new(Mode::Sniff);
        let (mut client, server) = tcp().await;
        client.write_all(&[0x80, 0x2e, 1, 0, 2]).await.unwrap();
        let (result, answer) = tokio::join!(site.tls.accept(server), async {
            let mut answer = [0; 7];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
            client.write_all(b"more").await.expect("the server listens until the client has read the alert");
            drop(client);
            answer
        });
        assert!(matches!(result, Err(AcceptError::TooOld)), "{result:?}");
        assert_eq!(answer, ALERT_PROTOCOL_VERSION);
    }

    #[tokio::test]
    async fn a_tls_client_learns_that_there_is_no_certificate() {
        let site = Site::new(Mode::Sniff);
        let (client, server) = tcp().await;
        let connect = site.connector(rustls::ALL_VERSIONS).connect(server_name(), client);
        let (result, error) = tokio::join!(Tls::Off.accept(server), async { connect.await.unwrap_err() });
        let result = result.unwrap_err();
        assert_eq!(result.to_string(), "TLS connection, but this route has no certificate");
        let alert = rustls::Error::AlertReceived(AlertDescription::HandshakeFailure);
        assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&alert), "{error}");
    }

    #[tokio::test]
    async fn noise_that_begins_like_tls_gets_an_alert_and_a_clean_end() {
        let site = Site::new(Mode::Sniff);
        let (client, server) = tcp().await;
        let (result, first) = tokio::join!(site.tls.accept(server), async {
            let (mut reader, mut writer) = client.into_split();
            // More than is read ahead: unread, it would turn the close into a reset that overtakes the alert.
            writer.write_all(&vec![TLS_HANDSHAKE; 66 * 1024]).await.unwrap();
            let first = reader.read_u8().await.unwrap();
            text_from(reader).await;
            writer.write_all(b"more").await.expect("the server listens until the client has read the alert");
            drop(writer);
            first
        });
        assert!(matches!(result, Err(AcceptError::Handshake { .. })), "{result:?}");
        assert_eq!(first, ALERT_PROTOCOL_VERSION[0]);
    }

    #[tokio::test]
    async fn a_handshake_that_is_given_up_closes_the_socket() {
        let site = Site::new(Mode::Required);
        let (mut client, server) = unix();
        client.write_all(&[TLS_HANDSHAKE, 3, 1, 2, 0]).await.unwrap(); // the head of a hello that never comes
        {
            let mut accept = std::pin::pin!(site.tls.accept(server));
            assert!(poll_once(accept.as_mut()).await.is_pending());
        }
        // An end or a reset, by how much of the hello was read.
        assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn an_end_without_close_notify_is_an_end() {
        let site = Site::new(Mode::Sniff);
        let (client, server) = tcp().await;
        let connector = site.connector(rustls::ALL_VERSIONS);
        let (client, server) = tokio::join!(connector.connect(server_name(), client), site.tls.accept(server));
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        client.write_all(b"last words").await.unwrap();
        client.flush().await.unwrap();
        client.get_mut().0.shutdown().await.unwrap(); // the socket's write side, with TLS not asked
        assert_eq!(text_from(&mut server).await, b"last words");
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0, "and stays one");
        server.write_all(b"bye").await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(text_from(&mut client).await, b"bye", "the other direction goes on");
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_stops_its_writer() {
        let site = Site::new(Mode::Sniff);
        let (client, server) = unix();
        let connector = site.connector(rustls::ALL_VERSIONS);
        let (client, server) = tokio::join!(connector.connect(server_name(), client), site.tls.accept(server));
        let (_client, mut server) = (client.unwrap(), server.unwrap());
        let mut taken = 0;
        loop {
            let mut write = std::pin::pin!(server.write(&[0; 8192]));
            match poll_once(write.as_mut()).await {
                Poll::Ready(count) => taken += count.unwrap(),
                Poll::Pending => break,
            }
            assert!(taken < 8 << 20, "nothing bounds what waits for the client");
        }
    }

    #[tokio::test]
    async fn a_reconnect_resumes_its_session() {
        for version in [&version::TLS12, &version::TLS13] {
            let site = Site::new(Mode::Sniff);
            let connector = site.connector(&[version]);
            for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
                let (client, server) = tcp().await;
                let (client, server) = tokio::join!(connector.connect(server_name(), client), site.tls.accept(server));
                let (mut client, mut server) = (client.unwrap(), server.unwrap());
                server.shutdown().await.unwrap();
                assert!(text_from(&mut client).await.is_empty()); // reads the tickets
                assert_eq!(client.get_ref().1.handshake_kind(), Some(expected), "{version:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_renewed_certificate_is_served_without_a_reload() {
        let mut site = Site::new(Mode::Sniff);
        let renewed = SelfSigned::new();
        let new_file = site.directory.path().join("new");
        std::fs::write(&new_file, renewed.both()).unwrap();
        std::fs::rename(&new_file, site.directory.path().join("both.pem")).unwrap();
        site.certificate = renewed;

        let connector = site.connector(rustls::ALL_VERSIONS);
        let served = async {
            loop {
                let (client, server) = tcp().await;
                let (client, _) = tokio::join!(connector.connect(server_name(), client), site.tls.accept(server));
                if client.is_ok() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), served).await.expect("the new certificate is served");
    }

    #[tokio::test]
    async fn openssl_is_served() {
        let site = Site::new(Mode::Sniff);
        let trusted = site.directory.path().join("both.pem");
        for version in ["-tls1_2", "-tls1_3"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = Command::new("openssl")
                .args([
                    "s_client",
                    "-quiet",
                    "-verify_return_error",
                    "-verify_hostname",
                    "localhost",
                    version,
                    "-CAfile",
                ])
                .arg(&trusted)
                .args(["-connect", &listener.local_addr().unwrap().to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("openssl must be installed (Debian: openssl)");
            let mut stdin = client.stdin.take().unwrap();
            let mut stdout = client.stdout.take().unwrap();
            stdin.write_all(b"ping\n").unwrap();

            let conversation = async {
                let mut stream = site.tls.accept(Socket::Tcp(listener.accept().await.unwrap().0)).await.unwrap();
                let mut text = [0; 5];
                stream.read_exact(&mut text).await.unwrap();
                stream.write_all(&text).await.unwrap();
                stream.shutdown().await.unwrap();
                text_from(stream).await
            };
            let rest = tokio::time::timeout(Duration::from_secs(20), conversation).await;
            let _ = client.kill(); // it may have ended by itself
            client.wait().unwrap();
            assert!(rest.expect("openssl speaks and ends").is_empty());
            let mut answer = Vec::new();
            stdout.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, b"ping\n", "{version}");
        }
    }
}
