//! A gibibyte goes through in constant memory, whatever the frames say.

use std::io::{Read as _, Write as _};
use std::thread;

use crate::support::client::{BINARY, Client, FIN, frame_header};
use crate::support::noise;
use crate::support::proxy::Proxy;
use crate::support::route::serve;
use crate::support::target::Target;

const GIB: usize = 1 << 30;
const PIECE: usize = 1 << 16;

/// What a pipe holds, and so the most that is in one frame.
const FRAME_MAX: usize = 1 << 20;
const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// Says each 64 MiB how much memory the proxy has.
struct Watch<'a> {
    proxy: &'a Proxy,
    before: u64,
}

impl<'a> Watch<'a> {
    fn begin(proxy: &'a Proxy) -> Self {
        Self { proxy, before: proxy.private_memory() }
    }

    #[track_caller]
    fn look(&self, moved: usize) {
        if moved.is_multiple_of(64 << 20) {
            let growth = self.proxy.private_memory().saturating_sub(self.before);
            assert!(growth < 1 << 20, "{} KiB more after {} MiB", growth / 1024, moved >> 20);
        }
    }
}

#[test]
fn a_frame_of_a_gibibyte_streams_through_in_constant_memory() {
    let target = Target::listen();
    let proxy = serve(target.address(), "");
    let mut client = Client::open(proxy.address());
    let mut server = target.accept();
    let plain = noise(PIECE);
    let masked: Vec<u8> = plain.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    let watch = Watch::begin(&proxy);
    thread::scope(|scope| {
        scope.spawn(|| {
            client.send(&frame_header(FIN | BINARY, GIB as u64, KEY));
            for _ in 0..GIB / PIECE {
                client.send(&masked);
            }
            client.send_close(1000, "");
        });
        let mut piece = vec![0; PIECE];
        for number in 1..=GIB / PIECE {
            server.read_exact(&mut piece).unwrap();
            assert!(piece == plain, "piece {number} is another");
            watch.look(number * PIECE);
        }
        assert_eq!(server.read(&mut piece).unwrap(), 0);
    });
    drop(server);
    let line = proxy.log_line("session ended: client closed with code 1000");
    assert!(line.contains(&format!(" bytes_in={GIB} ")), "{line}");
}

#[test]
fn a_gibibyte_from_the_target_arrives_in_constant_memory() {
    let target = Target::listen();
    let proxy = serve(target.address(), "");
    let mut client = Client::open(proxy.address());
    let mut server = target.accept();
    let piece = noise(PIECE);
    // So often that what a frame must say lies in one piece wherever it begins.
    let many = piece.repeat(1 + FRAME_MAX / PIECE);
    let watch = Watch::begin(&proxy);
    let source = thread::spawn(move || {
        for _ in 0..GIB / PIECE {
            server.write_all(&piece).unwrap();
        }
    });
    let (mut received, mut looked) = (0, 0);
    while received < GIB {
        let frame = client.read_frame();
        assert!(frame.first == FIN | BINARY && frame.payload.len() <= FRAME_MAX, "{} bytes", frame.payload.len());
        let place = received % PIECE;
        assert!(frame.payload == many[place..place + frame.payload.len()], "others from {received} on");
        received += frame.payload.len();
        if received >> 26 > looked {
            looked = received >> 26;
            watch.look(looked << 26);
        }
    }
    source.join().unwrap();
    assert_eq!(received, GIB);
    assert_eq!(client.read_close(), (1000, "Target closed".to_owned()));
}

/// A session owns its sockets and a few hundred bytes: nothing of its handshake, and no buffer.
#[test]
fn an_idle_session_costs_less_than_3_kib() {
    const SESSIONS: usize = 400;
    let target = Target::listen();
    let proxy = Proxy::classic(&["127.0.0.1:0", &target.address().to_string()]);
    let open = |count| (0..count).map(|_| (Client::open(proxy.address()), target.accept())).collect::<Vec<_>>();
    let _first = open(100);
    let before = proxy.private_memory();
    let _more = open(SESSIONS);
    let each = proxy.private_memory().saturating_sub(before) / SESSIONS as u64;
    assert!(each < 3 * 1024, "{each} bytes a session");
}
