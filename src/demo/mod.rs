//! The target of `websockify demo`: a plain TCP service that talks, echoes and sends.
//!
//! It is what any target is: it sees a byte stream, knows nothing of WebSocket, and gets no borders of messages. The
//! first line of a session chooses what it does:
//!
//! * `talk`: lines. `hello ADDRESS` and `say TEXT` come from the target, each line that is typed comes back as
//!   `echo LINE`.
//! * `echo`: every byte comes back.
//! * `flood`: the target sends without end, as fast as the last `rate BYTES-PER-SECOND` or `rate max` allows.
//!
//! It listens on the loopback only. A session owns one small buffer, and a client that does not read stops its own
//! session and nothing else.

mod lines;
mod session;

use std::cell::Cell;
use std::rc::Rc;

use tokio::net::TcpStream;

use crate::built_in::Session;

/// What to do with each connection.
pub(crate) fn sessions() -> impl FnMut(TcpStream) -> Session {
    let seen = Rc::new(Seen::default());
    move |stream| {
        let seen = Rc::clone(&seen);
        Box::pin(async move {
            seen.sessions.set(seen.sessions.get() + 1);
            // a client that is gone is how sessions end
            let _ = session::run(stream, &seen).await;
        })
    }
}

/// What the target has seen of its clients, over all sessions.
#[derive(Debug, Default)]
struct Seen {
    sessions: Cell<u64>,
    lines: Cell<u64>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
}

impl Seen {
    fn add(counter: &Cell<u64>, count: usize) {
        counter.set(counter.get() + count as u64);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::task::LocalSet;
    use tokio::time::timeout;

    use super::*;
    use crate::built_in::BuiltIn;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Runs the target and a client of it, and fails when the client waits forever.
    async fn with_target<F: Future>(client: impl FnOnce(SocketAddr) -> F) -> F::Output {
        let target = BuiltIn::bind().await.unwrap();
        let address = target.address();
        let local = LocalSet::new();
        local.spawn_local(target.run(sessions()));
        timeout(PATIENCE, local.run_until(client(address))).await.expect("the target answers in time")
    }

    async fn connect(address: SocketAddr, first: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(first.as_bytes()).await.unwrap();
        BufReader::new(stream)
    }

    async fn line(stream: &mut BufReader<TcpStream>) -> String {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        line
    }

    async fn line_of(stream: &mut BufReader<TcpStream>, kind: &str) -> String {
        loop {
            let line = line(stream).await;
            assert!(!line.is_empty(), "the session ended before a line of the kind {kind}");
            if line.starts_with(kind) {
                return line;
            }
        }
    }

    #[tokio::test]
    async fn talk_greets_with_its_address_and_goes_on_talking() {
        with_target(|address| async move {
            let mut stream = connect(address, "talk\n").await;
            assert_eq!(line(&mut stream).await, format!("hello {address}\n"));
            for _ in 0..3 {
                assert!(line(&mut stream).await.starts_with("say "));
            }
        })
        .await;
    }

    #[tokio::test]
    async fn talk_echoes_typed_lines_however_they_are_cut() {
        with_target(|address| async move {
            let mut stream = connect(address, "ta").await;
            for part in ["lk\nfi", "rst", "\nsecond\r\n", "\u{e4}\n"] {
                stream.write_all(part.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
            for expected in ["echo first\n", "echo second\n", "echo \u{e4}\n"] {
                assert_eq!(line_of(&mut stream, "echo ").await, expected);
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_echoed_in_bounded_parts() {
        with_target(|address| async move {
            let mut stream = connect(address, "talk\n").await;
            stream.write_all(&[b'x'; 10_000]).await.unwrap();
            stream.write_all(b"\n").await.unwrap();
            let mut total = 0;
            while total < 10_000 {
                let part = line_of(&mut stream, "echo ").await.len() - "echo \n".len();
                assert!(part <= lines::LINE_BYTES_MAX, "{part} bytes in one line");
                total += part;
            }
            assert_eq!(total, 10_000);
        })
        .await;
    }

    #[tokio::test]
    async fn echo_returns_every_byte_and_then_ends() {
        with_target(|address| async move {
            let sent: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 4]).collect();
            let (mut read, mut write) = connect(address, "echo\n").await.into_inner().into_split();
            let upload = async {
                write.write_all(&sent).await.unwrap();
                write.shutdown().await.unwrap();
            };
            let mut received = Vec::new();
            let ((), count) = tokio::join!(upload, read.read_to_end(&mut received));
            assert_eq!(count.unwrap(), sent.len());
            assert!(received == sent, "the bytes differ");
        })
        .await;
    }

    #[tokio::test]
    async fn flood_keeps_its_rate_and_obeys_a_new_one() {
        with_target(|address| async move {
            let mut stream = connect(address, "flood\nrate 1000000\n").await;
            let mut buffer = vec![0; 64 * 1024];
            let begin = std::time::Instant::now();
            let mut total = 0;
            while total < 500_000 {
                total += stream.read(&mut buffer).await.unwrap();
            }
            let slow = begin.elapsed();
            assert!(slow >= Duration::from_millis(350), "half a second's worth came within {slow:?}");

            stream.write_all(b"rate max\n").await.unwrap();
            let begin = std::time::Instant::now();
            let mut total = 0;
            while total < 20_000_000 {
                total += stream.read(&mut buffer).await.unwrap();
            }
            let fast = begin.elapsed();
            assert!(fast < Duration::from_secs(10), "20 s worth of the old rate took {fast:?}");
        })
        .await;
    }

    #[tokio::test]
    async fn an_unknown_first_line_ends_the_session() {
        with_target(|address| async move {
            let mut stream = connect(address, "GET / HTTP/1.1\r\n").await;
            assert_eq!(line(&mut stream).await, "say I know talk, echo and flood.\n");
            assert_eq!(line(&mut stream).await, "");
        })
        .await;
    }
}
