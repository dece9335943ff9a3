//! The load: blocking clients that speak WebSocket to a proxy and plain TCP to the floor, both over TLS where a scenario says so.
//!
//! A generator that costs more than the proxy measures itself. So frames are images made once, masked
//! once with a fixed key (not zero, which would spare the proxy the unmasking), and written as they are;
//! received frames are walked over in the read buffer and never copied.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use rustls::{ClientConfig, HandshakeKind, StreamOwned};

use crate::payload::Checker;
use crate::tls;

/// What a candidate expects of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Raw,
    WebSocket,
}

/// How much a session reads at once.
pub const BULK_BUFFER: usize = 256 * 1024;
pub const SMALL_BUFFER: usize = 1024;

/// Longer than any proxy needs for one step, even a slow one on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;

/// The key and its answer are the example of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A payload as it goes over the wire, ready to be written again and again.
pub struct Image {
    bytes: Vec<u8>,
    payload_at: usize,
    mask: [u8; 4],
}

impl Image {
    pub fn new(wire: Wire, payload: &[u8]) -> Self {
        match wire {
            Wire::Raw => Self { bytes: payload.to_vec(), payload_at: 0, mask: [0; 4] },
            Wire::WebSocket => Self::frame(BINARY, payload),
        }
    }

    /// The payload in messages of `each` bytes, one behind the other: for raw TCP it is the payload alone.
    pub fn batch(wire: Wire, payload: &[u8], each: usize) -> Self {
        let bytes = payload.chunks(each).flat_map(|message| Self::new(wire, message).bytes).collect();
        Self { bytes, payload_at: 0, mask: [0; 4] }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[expect(clippy::cast_possible_truncation, reason = "each arm's range fits its form")]
    fn frame(opcode: u8, payload: &[u8]) -> Self {
        const MASKED: u8 = 0x80;
        let mut bytes = vec![0x80 | opcode];
        match payload.len() {
            length @ ..126 => bytes.push(MASKED + length as u8),
            length @ 126..=0xffff => {
                bytes.push(MASKED + 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(MASKED + 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(MASK);
        let payload_at = bytes.len();
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        Self { bytes, payload_at, mask: MASK }
    }

    /// Makes the payload begin with `number`, so that no two messages are alike.
    pub fn stamp(&mut self, number: u64) {
        let place = &mut self.bytes[self.payload_at..self.payload_at + 8];
        for (index, byte) in number.to_be_bytes().into_iter().enumerate() {
            place[index] = byte ^ self.mask[index % 4];
        }
    }
}

/// What carries a session's bytes.
enum Transport {
    Plain(TcpStream),
    Tls(Box<StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Transport {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// Nothing more will be said.
    fn end(&mut self) {
        if let Self::Tls(stream) = self {
            stream.conn.send_close_notify();
            stream.flush().expect("the proxy takes the end of TLS");
        }
        self.socket().shutdown(Shutdown::Write).expect("the client can end its side");
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => match stream.read(buffer) {
                // An end without TLS's own. Whether all has come is known by other means.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(0),
                result => result,
            },
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

pub struct Session {
    stream: Transport,
    wire: Wire,
    incoming: Incoming,
}

impl Session {
    /// Connects, upgrades where the wire asks for it, and expects to be accepted.
    ///
    /// Every session of a scenario comes from its own `number`: clients are many hosts, not one, so the
    /// loopback's many addresses take turns.
    pub fn open(proxy: SocketAddr, wire: Wire, buffer_bytes: usize, number: usize) -> Self {
        Self::over(Transport::Plain(connect_from(source_address(number), proxy)), proxy, wire, buffer_bytes)
    }

    /// The same over TLS.
    pub fn open_tls(
        proxy: SocketAddr,
        wire: Wire,
        buffer_bytes: usize,
        number: usize,
        config: &Arc<ClientConfig>,
    ) -> Self {
        let mut socket = connect_from(source_address(number), proxy);
        let mut connection = tls::connection(config);
        connection.set_buffer_limit(None);
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).unwrap_or_else(|error| panic!("the proxy's TLS fails: {error}"));
        }
        let stream = Transport::Tls(Box::new(StreamOwned::new(connection, socket)));
        Self::over(stream, proxy, wire, buffer_bytes)
    }

    fn over(stream: Transport, proxy: SocketAddr, wire: Wire, buffer_bytes: usize) -> Self {
        let mut session = Self { stream, wire, incoming: Incoming::new(wire, buffer_bytes) };
        if wire == Wire::WebSocket {
            session.upgrade(proxy);
        }
        session
    }

    /// Whether TLS took up the secrets of an earlier session.
    pub fn is_resumed(&self) -> bool {
        match &self.stream {
            Transport::Plain(_) => false,
            Transport::Tls(stream) => stream.conn.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// What writes to the session beside it: a thread that sends while this one receives. Not for TLS.
    pub fn writer(&self) -> TcpStream {
        match &self.stream {
            Transport::Plain(stream) => stream.try_clone().expect("a socket can be cloned"),
            Transport::Tls(_) => panic!("TLS has one owner"),
        }
    }

    pub fn wire(&self) -> Wire {
        self.wire
    }

    fn upgrade(&mut self, proxy: SocketAddr) {
        let request = format!(
            "GET /websockify HTTP/1.1\r\nHost: {proxy}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes()).expect("the proxy takes an upgrade request");
        let head = self.incoming.head(&mut self.stream);
        let status = head.lines().next().unwrap_or_default();
        assert!(status.starts_with("HTTP/1.1 101 "), "the upgrade was refused: {head:?}");
        assert!(head.contains(ACCEPT), "the upgrade was answered without its key: {head:?}");
    }

    pub fn send(&mut self, image: &Image) {
        self.stream.write_all(&image.bytes).expect("the proxy takes what the client sends");
    }

    pub fn send_payload(&mut self, payload: &[u8]) {
        let image = Image::new(self.wire, payload);
        self.send(&image);
    }

    /// Receives as much payload as `payload` holds, and no matter in how many frames.
    pub fn receive(&mut self, payload: &mut [u8]) {
        let mut received = 0;
        while received < payload.len() {
            let chunk = self
                .incoming
                .chunk(&mut self.stream, payload.len() - received)
                .unwrap_or_else(|| panic!("the session ended {received} bytes into a message"));
            payload[received..received + chunk.len()].copy_from_slice(chunk);
            received += chunk.len();
        }
    }

    /// Receives and checks `total` bytes of the bulk stream.
    pub fn receive_bulk(&mut self, total: usize) {
        let mut checker = Checker::default();
        while checker.received < total {
            let received = checker.received;
            let chunk = self
                .incoming
                .chunk(&mut self.stream, total - received)
                .unwrap_or_else(|| panic!("the session ended after {received} of {total} bytes"));
            checker.take(chunk);
        }
    }

    /// Receives the bulk stream for as long as that is wanted, and says how much came.
    pub fn receive_bulk_while(&mut self, wanted: impl Fn() -> bool) -> usize {
        let mut checker = Checker::default();
        while wanted() {
            let chunk = self.incoming.chunk(&mut self.stream, usize::MAX);
            checker.take(chunk.unwrap_or_else(|| panic!("the session ended after {} bytes", checker.received)));
        }
        checker.received
    }

    /// Sends a message and does not wait for what comes back, which [`Self::receive_echo`] does.
    pub fn send_stamped(&mut self, message: &mut Image, number: u64) {
        message.stamp(number);
        self.send(message);
    }

    /// One message there and back. The number makes it unlike all others of its session.
    pub fn echo(&mut self, message: &mut Image, number: u64) {
        self.send_stamped(message, number);
        self.receive_echo(message, number);
    }

    /// What was sent, with the same number.
    pub fn receive_echo(&mut self, message: &mut Image, number: u64) {
        message.stamp(number);
        let mut reply = [0; 2048];
        let reply = &mut reply[..message.bytes.len() - message.payload_at];
        self.receive(reply);
        let sent = message.bytes[message.payload_at..].iter().zip(message.mask.iter().cycle());
        let same = reply.iter().zip(sent).all(|(&reply, (byte, mask))| reply == byte ^ mask);
        assert!(same, "the echo of message {number} differs from it");
    }

    /// Ends the session in order and waits until the proxy has ended it too.
    pub fn close(mut self) {
        match self.wire {
            Wire::Raw => self.stream.end(),
            Wire::WebSocket => self.send(&Image::frame(CLOSE, &1000_u16.to_be_bytes())),
        }
        if let Some(chunk) = self.incoming.chunk(&mut self.stream, usize::MAX) {
            panic!("{} bytes arrived that nobody had asked for", chunk.len());
        }
        self.incoming.discard(&mut self.stream);
    }
}

fn source_address(number: usize) -> Ipv4Addr {
    const LAST: u8 = 250;
    let host = number % usize::from(LAST);
    Ipv4Addr::new(127, 0, 1, 1 + u8::try_from(host).expect("below the last address"))
}

fn connect_from(source: Ipv4Addr, proxy: SocketAddr) -> TcpStream {
    let SocketAddr::V4(proxy) = proxy else { panic!("the proxies listen on 127.0.0.1") };
    let client = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
        .expect("a socket can be made (see ulimit -n)");
    let fd = std::os::fd::AsRawFd::as_raw_fd(&client);
    bind(fd, &SockaddrIn::from(std::net::SocketAddrV4::new(source, 0))).expect("127/8 is ours");
    connect(fd, &SockaddrIn::from(proxy)).expect("the proxy accepts a connection");
    let stream = TcpStream::from(client);
    stream.set_nodelay(true).expect("TCP_NODELAY can be set");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream
}

/// The read side: one buffer, and where in which frame we are.
struct Incoming {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Payload bytes of the present frame that are still to come. Raw TCP is one frame without an end.
    frame_left: u64,
}

impl Incoming {
    fn new(wire: Wire, buffer_bytes: usize) -> Self {
        let frame_left = match wire {
            Wire::Raw => u64::MAX,
            Wire::WebSocket => 0,
        };
        Self { buffer: vec![0; buffer_bytes].into(), start: 0, end: 0, frame_left }
    }

    /// Reads once, behind what is already there; `false` at the end of the stream.
    fn fill(&mut self, stream: &mut impl Read) -> bool {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let length = loop {
            match stream.read(&mut self.buffer[self.end..]) {
                Ok(length) => break length,
                // A wait with a timeout is not taken up again by itself after a stop.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => panic!("the proxy went silent or reset a session: {error}"),
            }
        };
        self.end += length;
        length > 0
    }

    /// The response head; what follows it stays for the frames.
    fn head(&mut self, stream: &mut impl Read) -> String {
        const END: &[u8] = b"\r\n\r\n";
        loop {
            let received = &self.buffer[..self.end];
            if let Some(at) = received.windows(END.len()).position(|window| window == END) {
                self.start = at + END.len();
                return String::from_utf8_lossy(&received[..self.start]).into_owned();
            }
            assert!(self.end < self.buffer.len(), "the response head has no end");
            assert!(self.fill(stream), "the proxy ended the connection instead of upgrading it");
        }
    }

    /// The next payload bytes, at most `limit`; `None` when the session has ended.
    fn chunk(&mut self, stream: &mut impl Read, limit: usize) -> Option<&[u8]> {
        loop {
            if self.frame_left == 0 {
                match header(&self.buffer[self.start..self.end]) {
                    Some(header) => {
                        if header.opcode == CLOSE {
                            return None;
                        }
                        // Text or binary, or the rest of one: a relay may cut messages anew.
                        assert!(header.opcode <= BINARY, "unexpected opcode {}", header.opcode);
                        self.start += header.length;
                        self.frame_left = header.payload;
                    }
                    None if self.fill(stream) => {}
                    None => return None,
                }
            } else if self.start < self.end {
                let left = usize::try_from(self.frame_left).unwrap_or(usize::MAX);
                let take = limit.min(self.end - self.start).min(left);
                self.start += take;
                self.frame_left -= take as u64;
                return Some(&self.buffer[self.start - take..self.start]);
            } else if !self.fill(stream) {
                return None;
            }
        }
    }

    /// Reads up to the end of the stream, whatever still comes.
    fn discard(&mut self, stream: &mut impl Read) {
        (self.start, self.end) = (0, 0);
        while self.fill(stream) {
            self.end = 0;
        }
    }
}

struct Header {
    opcode: u8,
    length: usize,
    payload: u64,
}

/// The header of a server's frame; `None` while it is not yet complete.
fn header(bytes: &[u8]) -> Option<Header> {
    let [first, second] = *bytes.first_chunk()?;
    assert!(second & 0x80 == 0, "a server must not mask its frames");
    assert!(first & 0x70 == 0, "reserved bits are set, but nothing was negotiated");
    let (length, payload) = match second {
        126 => (4, u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?).into()),
        127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        short => (2, short.into()),
    };
    Some(Header { opcode: first & 0x0f, length, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives out at most `step` bytes a read.
    struct Drip<'a> {
        bytes: &'a [u8],
        step: usize,
    }

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = self.step.min(buffer.len()).min(self.bytes.len());
            buffer[..length].copy_from_slice(&self.bytes[..length]);
            self.bytes = &self.bytes[length..];
            Ok(length)
        }
    }

    #[test]
    fn frames_of_every_length_form_are_read_in_any_cutting() {
        let mut wire = vec![0x82, 5];
        wire.extend(b"short");
        wire.extend([0x82, 126, 1, 0]);
        wire.extend([7; 256]);
        wire.extend([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        wire.extend(vec![9; 65_536]);
        wire.extend([0x88, 2, 3, 0xe8]);
        for step in [1, 2, 3, 9, 11, 4096, 100_000] {
            let mut incoming = Incoming::new(Wire::WebSocket, 4096);
            let mut stream = Drip { bytes: &wire, step };
            let mut payload = Vec::new();
            while let Some(chunk) = incoming.chunk(&mut stream, usize::MAX) {
                payload.extend_from_slice(chunk);
            }
            let expected = [&b"short"[..], &[7; 256], &vec![9; 65_536]].concat();
            assert!(payload == expected, "cut into {step}");
        }
    }

    #[test]
    fn early_frames_behind_the_response_head_are_kept() {
        let wire = b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x82\x02hi";
        let mut incoming = Incoming::new(Wire::WebSocket, 4096);
        let mut stream = Drip { bytes: wire, step: 100 };
        assert!(incoming.head(&mut stream).ends_with("Protocols\r\n\r\n"));
        assert_eq!(incoming.chunk(&mut stream, 10), Some(&b"hi"[..]));
    }

    #[test]
    fn raw_is_payload_alone_and_keeps_to_the_limit() {
        let mut incoming = Incoming::new(Wire::Raw, 16);
        let mut stream = Drip { bytes: b"\x82\x02hi", step: 100 };
        assert_eq!(incoming.chunk(&mut stream, 3), Some(&b"\x82\x02h"[..]));
        assert_eq!(incoming.chunk(&mut stream, 3), Some(&b"i"[..]));
        assert_eq!(incoming.chunk(&mut stream, 3), None);
    }

    #[test]
    #[should_panic(expected = "must not mask")]
    fn a_masked_frame_from_the_server_is_noticed() {
        let _ = header(&[0x82, 0x81]);
    }

    #[test]
    fn images_are_masked_and_stamped() {
        // "Hello" with this very key is the example of RFC 6455, section 5.7.
        let hello = Image::frame(1, b"Hello");
        let expected = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(hello.bytes, expected);

        let mut image = Image::new(Wire::WebSocket, &[0; 64]);
        image.stamp(0x0102_0304_0506_0708);
        let unmasked: Vec<u8> =
            image.bytes[6..].iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(unmasked[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(unmasked[8..], [0; 56]);
    }

    #[test]
    fn long_images_have_the_minimal_header() {
        for (length, header) in [(125, 6), (126, 8), (65_535, 8), (65_536, 14)] {
            assert_eq!(Image::new(Wire::WebSocket, &vec![0; length]).payload_at, header, "{length}");
        }
    }
}
