//! Services that tokens are looked up in: one that speaks HTTP as a test wants it to, and a real Redis.

use std::fs;
use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::eventually;
use super::tls::SelfSigned;

/// A service that answers each request by a function of its head, and remembers the heads.
pub struct HttpService {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

trait Wire: std::io::Read + Write {}
impl<T: std::io::Read + Write> Wire for T {}

impl HttpService {
    /// `answer` gets the first line of a request and writes the whole answer.
    pub fn start(answer: impl Fn(&str, &mut dyn Write) + Send + Sync + 'static) -> Self {
        Self::start_with_heads(move |head, wire| answer(head.lines().next().unwrap(), wire))
    }

    /// The same, with the whole head of a request.
    pub fn start_with_heads(answer: impl Fn(&str, &mut dyn Write) + Send + Sync + 'static) -> Self {
        Self::serve(None, answer)
    }

    /// The same by TLS.
    pub fn start_tls(certificate: &SelfSigned, answer: impl Fn(&str, &mut dyn Write) + Send + Sync + 'static) -> Self {
        Self::serve(Some(certificate.server_config()), move |head, wire| answer(head.lines().next().unwrap(), wire))
    }

    fn serve(tls: Option<Arc<ServerConfig>>, answer: impl Fn(&str, &mut dyn Write) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&heads), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (tls, kept, answer) = (tls.clone(), Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut wire = wire(stream, tls);
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        if wire.read_exact(&mut byte).is_err() {
                            return;
                        }
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8(head).unwrap();
                    kept.lock().unwrap().push(head.clone());
                    answer(&head, &mut wire);
                    let _ = wire.flush();
                });
            }
        });
        Self { address, heads }
    }

    /// The heads of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn wire(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> Box<dyn Wire> {
    match tls {
        None => Box::new(stream),
        Some(config) => Box::new(StreamOwned::new(ServerConnection::new(config).unwrap(), stream)),
    }
}

/// An answer with a body.
pub fn reply(wire: &mut dyn Write, status: &str, body: &str) {
    let length = body.len();
    let _ = write!(wire, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
}

/// A Redis server, which ends with its test.
pub struct Redis {
    child: Option<Child>,
    arguments: Vec<String>,
    directory: TempDir,
    pub port: u16,
}

impl Redis {
    /// Listens by TCP, with these options of its own.
    pub fn start(options: &[&str]) -> Self {
        Self::launch(&["--port", "PORT"], options)
    }

    /// Listens by TLS only.
    pub fn start_tls(certificate: &SelfSigned) -> Self {
        let (certificate, key) = (certificate.certificate.to_str().unwrap(), certificate.key.to_str().unwrap());
        let files = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate];
        let tls = ["--port", "0", "--tls-port", "PORT", "--tls-auth-clients", "no"];
        Self::launch(&tls, &files)
    }

    fn launch(listen: &[&str], options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let path = directory.path().to_str().unwrap();
        let socket = format!("{path}/control.sock");
        let own = ["--bind", "127.0.0.1", "--unixsocket", &socket, "--dir", path, "--save", "", "--appendonly", "no"];
        let arguments = [&own[..], listen, options].concat();
        let arguments = arguments.into_iter().map(|word| word.replace("PORT", &port.to_string())).collect();
        let mut redis = Self { child: None, arguments, directory, port };
        redis.restart();
        redis
    }

    /// Starts it again, empty, at the same port.
    pub fn restart(&mut self) {
        self.kill();
        let _ = fs::remove_file(self.socket());
        let child = Command::new("redis-server").args(&self.arguments).stdout(Stdio::null()).spawn();
        self.child = Some(child.expect("redis-server is there: Debian's package redis-server has it"));
        eventually("Redis listens", || {
            TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            UnixStream::connect(self.socket()).ok()
        });
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.child.as_ref().unwrap().id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    /// Says lines of words to it; each must be answered without an error.
    pub fn say(&self, lines: &[&str]) -> Vec<String> {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
        lines
            .iter()
            .map(|line| {
                stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
                let mut answer = vec![0; 65536];
                let length = stream.read(&mut answer).unwrap();
                let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
                assert!(!answer.starts_with('-'), "{line}: {answer}");
                answer
            })
            .collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
