//! One piece of the protocol's work, to have its instructions counted: `tests/gates` runs this under callgrind and compares with
//! what was recorded.
//!
//! `codec_work PIECE` does the piece a hundred times, each time on fresh input. Only what happens inside [`measured`] counts.
//! `codec_work` alone lists the pieces.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use websockify::relay::tunnel::{Settings, Tunnel};
use websockify::websocket::codec::{Codec, HEADROOM, Payload, Protocol, TextFrames, buffer_bytes};
use websockify::websocket::handshake::Opening;

/// The gate divides by it.
const REPETITIONS: usize = 100;

const CHUNK: usize = 64 * 1024;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const BINARY: Protocol = Protocol::HyBi(Payload::Binary(TextFrames::Refuse));
const TEXT: Protocol = Protocol::HyBi(Payload::Binary(TextFrames::Reply));
const BASE64: Protocol = Protocol::HyBi(Payload::Base64);

const PIECES: [(&str, fn()); 12] = [
    ("decode-one-frame-of-64k", || decode(BINARY, &client_frame(0x2, &noise(CHUNK)))),
    ("decode-frames-of-100-bytes", || decode(BINARY, &client_frame(0x2, &noise(100)).repeat(CHUNK / 106))),
    ("decode-base64-of-64k", || decode(BASE64, &client_frame(0x1, "QUJDREVG".repeat(CHUNK / 8).as_bytes()))),
    ("decode-ascii-of-64k", || decode(TEXT, &client_frame(0x1, "plain text ".repeat(CHUNK / 11).as_bytes()))),
    ("decode-greek-of-64k", || decode(TEXT, &client_frame(0x1, "κόσμε ".repeat(CHUNK / 12).as_bytes()))),
    ("frame-64k", || frame(BINARY, &noise(CHUNK))),
    ("frame-100-bytes", || frame(BINARY, &noise(100))),
    ("frame-base64-of-48k", || frame(BASE64, &noise(48 * 1024))),
    ("frame-greek-of-64k", || frame(TEXT, "κόσμε ".repeat(CHUNK / 12).as_bytes())),
    ("handshake", handshake),
    ("message-up", message_up),
    ("message-down", message_down),
];

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    let Some((_, work)) = PIECES.iter().find(|(name, _)| wanted.as_deref() == Some(name)) else {
        for (name, _) in PIECES {
            println!("{name}");
        }
        return if wanted.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    };
    work();
    ExitCode::SUCCESS
}

/// Callgrind collects from the entry of this function to its end.
#[inline(never)]
fn measured(work: impl FnOnce()) {
    work();
}

fn decode(protocol: Protocol, input: &[u8]) {
    let mut codec = Codec::new(protocol);
    for _ in 0..REPETITIONS {
        let mut buffer = input.to_vec();
        let (mut position, mut all) = (0, 0..0);
        measured(|| {
            let said = codec.read(black_box(&mut buffer), &mut position, &mut all);
            assert_eq!(said, Ok(None));
        });
        assert!(position == buffer.len() && !all.is_empty());
    }
}

fn frame(protocol: Protocol, payload: &[u8]) {
    let mut codec = Codec::new(protocol);
    let mut buffer = vec![0; buffer_bytes(payload.len())];
    for _ in 0..REPETITIONS {
        let place = HEADROOM..HEADROOM + payload.len();
        buffer[place.clone()].copy_from_slice(payload);
        measured(|| {
            let outgoing = codec.frame(black_box(&mut buffer), place);
            assert_eq!(outgoing.payload, payload.len());
        });
    }
}

/// What browsers send.
fn handshake() {
    let headers = [
        ("host", "desktop.example.org:6080"),
        ("connection", "Upgrade"),
        ("pragma", "no-cache"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("upgrade", "websocket"),
        ("origin", "https://desktop.example.org:6080"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "binary, base64"),
        ("accept-language", "en-GB,en;q=0.5"),
    ];
    let mut request = Request::new(());
    *request.headers_mut() = headers
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .into_iter()
        .collect::<HeaderMap>();
    for _ in 0..REPETITIONS {
        measured(|| {
            let opening = Opening::from_request(black_box(&request), true);
            assert!(matches!(opening, Ok(Opening::Complete(_))));
        });
    }
}

/// By the relay's rules, with the clock's reading as the loop has it.
fn tunnel() -> (Tunnel, Instant) {
    let now = Instant::now();
    let settings = Settings {
        protocol: BINARY,
        heartbeat: Some(Duration::from_secs(30)),
        idle_timeout: Some(Duration::from_mins(10)),
        close_timeout: Duration::from_secs(30),
    };
    (Tunnel::new(now, settings), now)
}

fn message_up() {
    let (mut tunnel, now) = tunnel();
    let frame = client_frame(0x2, &noise(64));
    for _ in 0..REPETITIONS {
        let mut buffer = frame.clone();
        measured(|| {
            let payload = tunnel.handle_client(now, black_box(&mut buffer));
            assert_eq!(payload.len(), 64);
            assert!(tunnel.wants_client() && tunnel.deadline().is_some());
        });
    }
}

fn message_down() {
    let (mut tunnel, now) = tunnel();
    let mut buffer = vec![0; buffer_bytes(64)];
    for _ in 0..REPETITIONS {
        measured(|| {
            let outgoing = tunnel.handle_target(now, black_box(&mut buffer), HEADROOM..HEADROOM + 64);
            assert_eq!(outgoing.payload, 64);
            tunnel.keep_for_client(&[], outgoing.payload);
            assert!(tunnel.wants_target() && tunnel.deadline().is_some());
        });
    }
}

fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..126), _) => frame.push(0x80 | length),
        (_, Ok(length)) => {
            frame.push(0xfe);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(0xff);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The same in each run: what is counted may depend on the bytes.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(length)
    .collect()
}
