//! The target of `websockify replay`: it says what the target said in a recording, when it said it.
//!
//! To the proxy it is a service like any other: a plain TCP service on the loopback, which listens to nobody. Each session
//! begins the recording anew, and holds one entry of it. At the recording's end it ends its stream, which becomes a Close 1000;
//! at damage, the connection breaks, which becomes a 1011.

mod speed;
mod summary;
mod timeline;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

pub use self::speed::{Speed, SpeedError};
pub use self::summary::{Style, Summary};
use crate::built_in::Session;
use crate::log::Kind;
use crate::record::format::Side;
use crate::record::reader::{ReadError, Reader};

/// Reading blocks, and what a recording has for nobody, or a client that takes everything, would never let go of the thread: after
/// so much it is the others' turn.
const TURN_BYTES: usize = 256 * 1024;

/// Why a session with the target did not come to the recording's end.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error("the client is gone")]
    ClientGone,
    #[error(transparent)]
    Recording(#[from] ReadError),
}

/// What to do with each connection: `file` is played, and the session stays open for `hold` after its last word.
pub(crate) fn sessions(file: PathBuf, speed: Speed, hold: Duration) -> impl FnMut(TcpStream) -> Session {
    move |stream| {
        let file = file.clone();
        Box::pin(async move { serve(stream, &file, speed, hold).await })
    }
}

/// One session: to the recording's end, or the client's.
async fn serve(stream: TcpStream, file: &Path, speed: Speed, hold: Duration) {
    // Entries are small and come one by one, as they did.
    let _ = stream.set_nodelay(true);
    let (read, mut write) = stream.into_split();
    let mut ignoring = std::pin::pin!(ignore(read));
    let play = async {
        play(&mut write, file, speed).await?;
        sleep(hold).await;
        Ok(())
    };
    let outcome = tokio::select! {
        outcome = play => outcome,
        () = &mut ignoring => Err(Interruption::ClientGone),
    };
    match outcome {
        Ok(()) => {
            // To close with something unread would be a reset, which takes away what has not arrived yet.
            let _ = write.shutdown().await;
            ignoring.await;
        }
        Err(Interruption::ClientGone) => {}
        Err(Interruption::Recording(error)) => {
            warn!(kind = Kind::ReplayFailed.id(), file = %file.display(), "the replay ends here: {error}");
            // A reset, so that it does not look like the end; and no FIN before it.
            let _ = write.as_ref().set_zero_linger();
            write.forget();
        }
    }
}

async fn play(write: &mut (impl tokio::io::AsyncWrite + Unpin), file: &Path, speed: Speed) -> Result<(), Interruption> {
    let mut reader = Reader::open(file)?;
    let started = Instant::now();
    let mut turn = 0;
    while let Some(entry) = reader.next_entry()? {
        turn += entry.payload.len();
        if turn >= TURN_BYTES {
            turn = 0;
            yield_now().await;
        }
        if entry.side == Side::Client {
            continue;
        }
        if let Some(due) = speed.due(entry.time_ms).and_then(|due| started.checked_add(due)) {
            sleep_until(due).await;
        }
        write.write_all(&entry.payload).await.map_err(|_| Interruption::ClientGone)?;
    }
    Ok(())
}

/// Reads what the client says, up to its end.
async fn ignore(mut read: OwnedReadHalf) {
    let mut buffer = [0; 4096];
    while matches!(read.read(&mut buffer).await, Ok(1..)) {}
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Neither what is skipped, nor a client that takes everything at once, is a reason for others to wait.
    #[tokio::test]
    async fn a_large_recording_lets_others_have_their_turn() {
        for mark in ['}', '{'] {
            let mut recording = tempfile::NamedTempFile::new().unwrap();
            writeln!(recording, "var VNC_frame_data = [").unwrap();
            for _ in 0..64 {
                writeln!(recording, "'{mark}0{mark}{}',", "x".repeat(64 * 1024)).unwrap();
            }
            writeln!(recording, "'EOF'];").unwrap();
            let mut turns = 0;
            let others = async {
                loop {
                    turns += 1;
                    yield_now().await;
                }
            };
            let mut sink = tokio::io::sink();
            tokio::select! {
                biased;
                played = play(&mut sink, recording.path(), Speed::Max) => played.unwrap(),
                () = others => unreachable!("it does not end"),
            }
            assert!(turns >= 15, "{mark}: {turns}");
        }
    }
}
