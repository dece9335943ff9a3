//! A relayed message allocates nothing: the loop itself, over real sockets, on a thread whose allocations are counted. The two
//! ends are on a thread of their own, which is not.
//!
//! TLS is not in it: rustls allocates for each record.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use websockify::relay::drive::drive;
use websockify::relay::tunnel::{Settings, Tunnel};
use websockify::socket::Socket;
use websockify::websocket::codec::{Payload, Protocol, TextFrames};

const MESSAGES: usize = 1000;
/// Until all has its size: the loop's buffer, and what the runtime keeps.
const WARM_UP: usize = 100;
const DEADLINE: Duration = Duration::from_mins(1);
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A session's task, and the thread that is both its ends.
struct Session {
    runtime: Runtime,
    /// So many messages up, and down, please.
    orders: Sender<usize>,
    done: Receiver<()>,
    ends: JoinHandle<()>,
}

impl Session {
    fn open(protocol: Protocol, opcode: u8, payload: &[u8]) -> Self {
        let (client, client_end) = pair();
        let (target, target_end) = pair();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let settings = Settings {
            protocol,
            heartbeat: Some(Duration::from_secs(30)),
            idle_timeout: Some(Duration::from_mins(10)),
            close_timeout: Duration::from_secs(30),
        };
        runtime.spawn(async move {
            let [client, target] = [client, target].map(|socket| {
                socket.set_nonblocking(true).unwrap();
                Socket::Tcp(tokio::net::TcpStream::from_std(socket).unwrap())
            });
            let tunnel = Tunnel::new(Instant::now(), settings);
            drive(client, target, Bytes::new(), tunnel, std::future::pending(), false, None).await
        });
        let (orders, ordered) = channel(1);
        let (say_done, done) = channel(1);
        let frame = client_frame(opcode, payload);
        let ends = std::thread::spawn(move || serve(client_end, target_end, &frame, ordered, &say_done));
        Self { runtime, orders, done, ends }
    }

    fn exchange(&mut self, messages: usize) {
        self.runtime.block_on(async {
            self.orders.send(messages).await.unwrap();
            tokio::time::timeout(DEADLINE, self.done.recv()).await.unwrap().expect("the ends have not given up");
        });
    }

    fn end(self) {
        drop(self.orders);
        self.ends.join().unwrap();
    }
}

/// One message after the other: up, and what arrived back down.
fn serve(mut client: TcpStream, mut target: TcpStream, frame: &[u8], mut ordered: Receiver<usize>, done: &Sender<()>) {
    let mut buffer = [0; 1024];
    while let Some(messages) = ordered.blocking_recv() {
        for _ in 0..messages {
            client.write_all(frame).unwrap();
            let payload = target.read(&mut buffer).unwrap();
            target.write_all(&buffer[..payload]).unwrap();
            assert!(client.read(&mut buffer).unwrap() > payload, "a frame is more than its payload");
        }
        done.blocking_send(()).unwrap();
    }
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    for socket in [&ours, &theirs] {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
    }
    (ours, theirs)
}

fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    let masked = payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    [0x80 | opcode, 0x80 | length].into_iter().chain(MASK).chain(masked).collect()
}

fn assert_allocates_nothing(protocol: Protocol, opcode: u8, payload: &[u8]) {
    let mut session = Session::open(protocol, opcode, payload);
    session.exchange(WARM_UP);
    // What an exchange allocates, however long it is, is the test's own.
    let one = measure(|| session.exchange(1));
    let many = measure(|| session.exchange(MESSAGES));
    session.end();
    assert_eq!(
        many.count_total, one.count_total,
        "allocations in {MESSAGES} messages each way, and in one: {} bytes, and {}",
        many.bytes_total, one.bytes_total
    );
}

#[test]
fn a_message_of_bytes_allocates_nothing() {
    assert_allocates_nothing(Protocol::HyBi(Payload::Binary(TextFrames::Refuse)), 0x2, &[0x5a; 64]);
}

#[test]
fn a_message_of_text_allocates_nothing() {
    assert_allocates_nothing(Protocol::HyBi(Payload::Binary(TextFrames::Reply)), 0x1, "κόσμε".repeat(8).as_bytes());
}

#[test]
fn a_message_of_base64_allocates_nothing() {
    assert_allocates_nothing(Protocol::HyBi(Payload::Base64), 0x1, "QUJDREVG".repeat(8).as_bytes());
}

#[test]
fn an_allocation_in_the_session_s_task_is_counted() {
    // The three above could not fail if the counter saw another thread, or nothing.
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let counted = measure(|| {
        runtime.block_on(async {
            tokio::spawn(async { std::hint::black_box(vec![0_u8; 1000]).len() }).await.unwrap();
        });
    });
    assert!(counted.bytes_total >= 1000, "{counted:?}");
}
