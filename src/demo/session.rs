//! One session with the target, in one of its three modes.

use std::io;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval};

use super::Seen;
use super::lines::Lines;

/// How often the target says something on its own.
const TALK_INTERVAL: Duration = Duration::from_secs(4);

/// How often a flood at a bounded rate sends its share.
const FLOOD_INTERVAL: Duration = Duration::from_millis(20);

/// Bytes per second until the client asks for another rate: numbers that move, and a laptop that stays cool.
const FLOOD_RATE: u64 = 4_000_000;

/// The most that one write sends.
static FLOOD: [u8; 64 * 1024] = [b'~'; 64 * 1024];

/// Serves a client until it leaves.
pub(super) async fn run(mut stream: TcpStream, seen: &Seen) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = Lines::new();
    let Some(mode) = next_line(&mut stream, &mut lines, seen).await? else { return Ok(()) };
    match mode.as_str() {
        "echo" => echo(stream, &lines, seen).await,
        "flood" => flood(stream, lines, seen).await,
        "talk" => talk(stream, lines, seen).await,
        _ => write(&mut stream, b"say I know talk, echo and flood.\n", seen).await,
    }
}

async fn talk(mut stream: TcpStream, mut lines: Lines, seen: &Seen) -> io::Result<()> {
    let address = stream.local_addr()?;
    let greeting = format!(
        "hello {address}\n\
         say Hello. I am a plain TCP service on {address}, and I have never heard of WebSocket.\n\
         say Every byte between us goes through the proxy. Type a line, and I send it back.\n"
    );
    write(&mut stream, greeting.as_bytes(), seen).await?;
    let mut said = 0;
    let mut ticks = interval(TALK_INTERVAL);
    loop {
        tokio::select! {
            line = next_line(&mut stream, &mut lines, seen) => {
                let Some(line) = line? else { return Ok(()) };
                Seen::add(&seen.lines, 1);
                write(&mut stream, format!("echo {line}\n").as_bytes(), seen).await?;
            }
            _ = ticks.tick() => {
                let text = remark(said, seen);
                said += 1;
                write(&mut stream, format!("say {text}\n").as_bytes(), seen).await?;
            }
        }
    }
}

/// What the target says next: the time, and by turns what it has seen.
fn remark(said: u64, seen: &Seen) -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let time = now.get(11..19).unwrap_or(&now); // of 2026-01-02T03:04:05Z
    let megabytes = |bytes: u64| format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10);
    match said % 4 {
        0 => format!("It is {time} UTC here."),
        1 => format!("{time}. I have sent {} since I started.", megabytes(seen.bytes_out.get())),
        2 => format!("{time}. Sessions so far: {}. One page has three of them.", seen.sessions.get()),
        _ => format!("{time}. I have read {} bytes. Lines that were typed: {}.", seen.bytes_in.get(), seen.lines.get()),
    }
}

async fn echo(mut stream: TcpStream, lines: &Lines, seen: &Seen) -> io::Result<()> {
    write(&mut stream, lines.rest(), seen).await?;
    let mut buffer = [0; 4096];
    loop {
        let count = read(&mut stream, &mut buffer, seen).await?;
        if count == 0 {
            return stream.shutdown().await;
        }
        write(&mut stream, &buffer[..count], seen).await?;
    }
}

async fn flood(mut stream: TcpStream, mut lines: Lines, seen: &Seen) -> io::Result<()> {
    let mut rate = Some(FLOOD_RATE);
    let mut due = 0; // bytes that the rate allows now
    let mut ticks = interval(FLOOD_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay); // time in which the client did not read is not made up
    let (mut receive, mut send) = stream.split();
    loop {
        while let Some(line) = lines.next() {
            match line.strip_prefix("rate ") {
                Some("max") => rate = None,
                Some(number) => rate = Some(number.parse().unwrap_or(FLOOD_RATE)),
                None => {}
            }
        }
        let share = match rate {
            Some(_) => due.min(FLOOD.len()),
            None => FLOOD.len(),
        };
        tokio::select! {
            read = receive.read(lines.room()) => {
                let count = read?;
                if count == 0 {
                    return Ok(());
                }
                Seen::add(&seen.bytes_in, count);
                lines.added(count);
            }
            written = send.write(&FLOOD[..share]), if share > 0 => {
                let count = written?;
                Seen::add(&seen.bytes_out, count);
                due = due.saturating_sub(count);
            }
            _ = ticks.tick(), if rate.is_some() && due == 0 => due = per_tick(rate),
        }
    }
}

fn per_tick(rate: Option<u64>) -> usize {
    let rate = u128::from(rate.unwrap_or(0));
    usize::try_from(rate * FLOOD_INTERVAL.as_millis() / 1000).unwrap_or(usize::MAX)
}

/// The next line, or None when the client has no more. Losing this future loses nothing.
async fn next_line(stream: &mut TcpStream, lines: &mut Lines, seen: &Seen) -> io::Result<Option<String>> {
    loop {
        if let Some(line) = lines.next() {
            return Ok(Some(line));
        }
        let count = read(stream, lines.room(), seen).await?;
        if count == 0 {
            return Ok(None);
        }
        lines.added(count);
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut [u8], seen: &Seen) -> io::Result<usize> {
    let count = stream.read(buffer).await?;
    Seen::add(&seen.bytes_in, count);
    Ok(count)
}

async fn write(stream: &mut TcpStream, bytes: &[u8], seen: &Seen) -> io::Result<()> {
    stream.write_all(bytes).await?;
    Seen::add(&seen.bytes_out, bytes.len());
    Ok(())
}
