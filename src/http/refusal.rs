//! The last answer on a connection: written whole, and read by the client before the connection goes.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::response::{TEXT, common_headers};

/// How long a client may take to read its last answer and to close.
const LINGER: Duration = Duration::from_secs(1);

/// How much a client may still send meanwhile: what was in flight, and no upload.
const LINGER_BYTES_MAX: u64 = 256 * 1024;

/// Answers an upgrade request that is not granted, and ends the connection. `text` is for people; `headers` are added.
/// A client that does not take the answer in time is left without: whoever calls this has nothing more to do for it.
pub async fn refuse<S>(stream: &mut S, status: StatusCode, text: &str, mut headers: HeaderMap)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let body = format!("{text}\n");
    common_headers(&mut headers);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CONTENT_TYPE, TEXT);
    headers.insert(CONTENT_LENGTH, body.len().into());
    if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())) {
        headers.insert(DATE, date);
    }
    let mut answer = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default());
    for (name, value) in &headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        write!(answer, "{name}: {value}\r\n").expect("a String takes what is written to it");
    }
    answer.push_str("\r\n");
    answer.push_str(&body);
    farewell(stream, answer.as_bytes()).await;
}

/// Sends the last bytes of a connection, and waits for the client to take them and to close.
pub async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) {
    let written = timeout(LINGER, async {
        stream.write_all(bytes).await?;
        stream.flush().await
    });
    if let Ok(Ok(())) = written.await {
        linger(stream).await;
    }
}

/// Shuts the write side and reads what the client still sends until it closes. To close a socket with unread bytes
/// makes the kernel send a reset, which takes an answer away that the client has not read yet.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let ending = async {
        // hyper has mostly done so, but not after a request that offered an upgrade to something else
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await
    };
    let _ = timeout(LINGER, ending).await; // however it ends, it has ended
}
