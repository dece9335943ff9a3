//! A WebSocket client that says exactly what a test tells it to, right or wrong. It shares no code with the product.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::PATIENCE;

/// What RFC 6455 section 1.3 uses.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;
pub const FIN: u8 = 0x80;

/// A connection, before or after its handshake.
pub struct Client<S = TcpStream> {
    pub stream: S,
}

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    pub text: String,
}

/// A frame of the server's.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub first: u8,
    pub payload: Vec<u8>,
}

impl Client {
    /// Connects, and says nothing yet.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    /// Connects from an address of this machine's loopback, with this receive buffer if one is given.
    pub fn connect_from(source: [u8; 4], receive_buffer: Option<usize>, address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    /// Connects and shakes hands.
    pub fn open(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        client.upgrade();
        client
    }

    /// Ends the writing side, as a FIN does.
    pub fn shut(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        reset(self.stream);
    }
}

impl<S: Read + Write> Client<S> {
    /// Says hello, and hears it from a target that echoes.
    #[track_caller]
    pub fn assert_echoes(&mut self) {
        self.send_binary(b"hello");
        assert_eq!(self.read_binary(5), b"hello");
    }

    /// The handshake of RFC 6455, which must succeed.
    pub fn upgrade(&mut self) -> Head {
        let head = self.request("/websockify", &[]);
        assert_eq!(head.status, 101, "{}", head.text);
        head
    }

    /// Sends an upgrade request with these headers added, and reads the head of the answer.
    pub fn request(&mut self, path: &str, headers: &[(&str, &str)]) -> Head {
        self.send(upgrade_request(path, headers).as_bytes());
        self.read_head()
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads up to the blank line, byte by byte, so that nothing behind it is taken.
    pub fn read_head(&mut self) -> Head {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream
                .read_exact(&mut byte)
                .unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&head)));
            head.push(byte[0]);
        }
        let text = String::from_utf8(head).unwrap();
        Head { status: text.split(' ').nth(1).unwrap().parse().unwrap(), text }
    }

    /// Sends one whole binary message.
    pub fn send_binary(&mut self, payload: &[u8]) {
        self.send(&frame(FIN | BINARY, payload));
    }

    /// Sends a Close frame.
    pub fn send_close(&mut self, code: u16, reason: &str) {
        self.send(&frame(FIN | CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat()));
    }

    /// The next frame; None: the connection ended in order before one began.
    pub fn try_read_frame(&mut self) -> io::Result<Option<Frame>> {
        let mut header = [0; 2];
        if self.stream.read(&mut header[..1])? == 0 {
            return Ok(None);
        }
        self.stream.read_exact(&mut header[1..])?;
        assert_eq!(header[1] & 0x80, 0, "a server never masks");
        let length = match header[1] {
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length)?;
                u64::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.stream.read_exact(&mut length)?;
                u64::from_be_bytes(length)
            }
            short => u64::from(short),
        };
        let mut payload = vec![0; length.try_into().unwrap()];
        self.stream.read_exact(&mut payload)?;
        Ok(Some(Frame { first: header[0], payload }))
    }

    /// The next frame, which must come.
    pub fn read_frame(&mut self) -> Frame {
        self.try_read_frame().unwrap().expect("a frame, not the end")
    }

    /// Reads exactly `length` bytes of binary messages.
    pub fn read_binary(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let frame = self.read_frame();
            assert_eq!(frame.first, FIN | BINARY, "{frame:?}");
            bytes.extend(frame.payload);
        }
        assert_eq!(bytes.len(), length);
        bytes
    }

    /// Reads binary messages up to the Close frame: the bytes, and the frame's code and reason.
    pub fn read_to_close(&mut self) -> (Vec<u8>, Option<(u16, String)>) {
        let mut bytes = Vec::new();
        loop {
            let frame = self.read_frame();
            match frame.first & 0x0F {
                BINARY => bytes.extend(frame.payload),
                CLOSE => return (bytes, parse_close(&frame.payload)),
                PING | PONG => {}
                other => panic!("unexpected opcode {other}"),
            }
        }
    }

    /// The Close frame that must come next.
    pub fn read_close(&mut self) -> (u16, String) {
        let (bytes, close) = self.read_to_close();
        assert_eq!(bytes.len(), 0, "bytes before the Close");
        close.expect("a Close with a code")
    }

    /// The connection must end now, in order.
    pub fn read_end(&mut self) {
        assert_eq!(self.try_read_frame().unwrap(), None);
    }
}

/// A frame with a mask, its length written as short as can be.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xFA, 0x21, 0x3D];
    let mut bytes = frame_header(first, payload.len().try_into().unwrap(), key);
    bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// The header of a frame with a mask.
pub fn frame_header(first: u8, length: u64, key: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![first];
    if length < 126 {
        bytes.push(0x80 | u8::try_from(length).unwrap());
    } else if let Ok(length) = u16::try_from(length) {
        bytes.push(0xFE);
        bytes.extend(length.to_be_bytes());
    } else {
        bytes.push(0xFF);
        bytes.extend(length.to_be_bytes());
    }
    bytes.extend(key);
    bytes
}

/// The text of an upgrade request.
pub fn upgrade_request(path: &str, headers: &[(&str, &str)]) -> String {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
    );
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    request + "\r\n"
}

/// What a Close frame says; None without a payload.
pub fn parse_close(payload: &[u8]) -> Option<(u16, String)> {
    let (code, reason) = payload.split_first_chunk()?;
    Some((u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).unwrap()))
}

/// Closes a socket so that the other side gets a reset.
pub fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
}
