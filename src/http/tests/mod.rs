//! Whole exchanges over streams in memory, and over sockets where the kernel's part matters.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod exchange;
mod files;
mod refusal;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpStream};

use super::{Closed, Directory, Files, Head, Plain, Web, next_upgrade};

const HEAD: Head = Head { timeout: Duration::from_secs(15), bytes_max: 16 * 1024 };

const UPGRADE: &str = "GET /websockify HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// A request with early bytes and what came after it, or how the connection ended.
type Ended = Result<Upgraded, Closed>;

#[derive(Debug)]
struct Upgraded {
    request: Request<()>,
    /// What was read too far, and what the stream still held.
    early: Vec<u8>,
    requests: u64,
}

/// Sends all of `input` through a pipe of so many bytes, and returns all that came back.
async fn exchange(files: Option<Arc<Files>>, input: &[u8], pipe: usize) -> (Vec<u8>, Ended) {
    let (client, server) = duplex(pipe);
    let serve = async {
        let mut incoming = next_upgrade(server, Plain { files, gate: None }, &HEAD).await?;
        let mut early = incoming.leftover.to_vec();
        incoming.stream.read_to_end(&mut early).await.unwrap();
        Ok(Upgraded { request: incoming.request, early, requests: incoming.requests })
    };
    let (mut read, mut write) = tokio::io::split(client);
    let send = async {
        // the other side may close before it has read all of it
        let _ = write.write_all(input).await;
        let _ = write.shutdown().await;
    };
    let mut output = Vec::new();
    let receive = async { read.read_to_end(&mut output).await.unwrap() };
    let (ended, (), _) = tokio::join!(serve, send, receive);
    (output, ended)
}

/// Two ends of a TCP connection.
async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// Reads to the end, and goes on sending as a client does that has not looked at its answer yet. Had the other side
/// closed with bytes unread, the kernel's reset would be an error here.
async fn read_while_sending(mut client: TcpStream) -> Vec<u8> {
    let mut output = Vec::new();
    client.read_to_end(&mut output).await.unwrap();
    for _ in 0..3 {
        client.write_all(b"more").await.unwrap();
    }
    output
}

/// One answer, taken from the front of `bytes`.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// All answers in what a client received; `has_bodies` is false after HEAD requests.
fn answers(mut bytes: &[u8], has_bodies: bool) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("the end of a head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        bytes = &bytes[end + 4..];
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let length = headers.get("content-length").map_or(0, |value| value.to_str().unwrap().parse().unwrap());
        let length = if has_bodies && status != 304 { length } else { 0 };
        assert!(bytes.len() >= length, "{} of {length} bytes of a body", bytes.len());
        answers.push(Answer { status, headers, body: Bytes::copy_from_slice(&bytes[..length]) });
        bytes = &bytes[length..];
    }
    answers
}

/// The answer to one request for `path` with header lines, each ended by CR LF.
async fn ask(files: &Arc<Files>, method: &str, path: &str, headers: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
    let (output, _) = exchange(Some(Arc::clone(files)), request.as_bytes(), 64 * 1024).await;
    let mut answers = answers(&output, method != "HEAD");
    assert_eq!(answers.len(), 1, "answers to {method} {path}");
    answers.remove(0)
}

async fn get(files: &Arc<Files>, path: &str) -> Answer {
    ask(files, "GET", path, "").await
}

/// A web root with these files, in a directory that has room beside it for what must not be served.
fn site(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, content) in files {
        write(&directory.path().join("root").join(path), content);
    }
    directory
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn open(site: &TempDir) -> Arc<Files> {
    open_with(site, |_| {})
}

fn open_with(site: &TempDir, change: impl FnOnce(&mut Directory)) -> Arc<Files> {
    let mut directory = Directory { root: site.path().join("root"), follow_symlinks: false, listing: false };
    change(&mut directory);
    Arc::new(Files::open(&Web::Directory(directory)).unwrap())
}
