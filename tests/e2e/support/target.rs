//! Targets: a listener whose connections the test plays itself, and a server that echoes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use super::PATIENCE;

/// A target that the test plays.
pub struct Target {
    listener: TcpListener,
}

impl Target {
    pub fn listen() -> Self {
        Self::listen_on("127.0.0.1:0")
    }

    /// On an address of this machine's loopback.
    pub fn listen_on(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next connection of the proxy.
    pub fn accept(&self) -> TcpStream {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    stream.set_nodelay(true).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    stream.set_write_timeout(Some(PATIENCE)).unwrap();
                    return stream;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                    std::thread::park_timeout(std::time::Duration::from_millis(2));
                }
                Err(error) => panic!("the proxy did not connect to its target: {error}"),
            }
        }
    }
}

impl Target {
    /// Plays every connection in a thread of its own, for as long as the test runs.
    pub fn serve(self, play: impl Fn(TcpStream) + Send + Sync + 'static) {
        self.listener.set_nonblocking(false).unwrap();
        let play = std::sync::Arc::new(play);
        std::thread::spawn(move || {
            for stream in self.listener.incoming().map_while(Result::ok) {
                let play = std::sync::Arc::clone(&play);
                std::thread::spawn(move || play(stream));
            }
        });
    }
}

/// Echoes to everybody who connects, for as long as the test runs.
pub fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || copy(&stream));
        }
    });
    address
}

fn copy(mut stream: &TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 65536];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}
