//! A session of TLS: a socket with records on it, of which everything above sees the plain bytes.
//!
//! Promise: no byte is lost, reordered or held back. One read of the socket takes the records for as much as the reader has room
//! for, and they are decrypted where they lie; one write of the socket takes all records of what is written. Both happen in buffers of
//! the thread, borrowed within a poll, so a session that waits owns none: only the beginning of a record whose end has not come, what a
//! reader had no room for, and what the socket has not taken.
//!
//! Bounds: [`INCOMING_BYTES_MAX`] of the first, one read's plain bytes of the second, and the records of one write ([`CHUNK_BYTES`])
//! and a few alerts of the third.
//!
//! Not here: what is agreed on in a handshake, and whose certificates are believed: the configuration of the [`Side`] says so.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::Error;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::side::Side;
use super::waiting::Waiting;
use crate::socket::Socket;

/// The most plain bytes that one call to the socket carries: four full records, beyond which the copies cost more than the calls.
const CHUNK_BYTES: usize = 64 * 1024;

/// The plain bytes of a full record.
const RECORD_BYTES: usize = 16 * 1024;

/// What a full record is longer than its plain bytes, in TLS 1.3. A read of whole records leaves no beginning of another, which would have
/// to be kept, and be copied for it.
const OVERHEAD_BYTES: usize = 5 + 1 + 16;

/// How much may wait for its end. A record is at most 18 KiB and a handshake message 64, of which a client's certificates may be
/// one; the library itself refuses longer ones.
const INCOMING_BYTES_MAX: usize = 96 * 1024;

/// A read that goes on with what is there already takes this at least.
const READ_BYTES_MIN: usize = 4 * 1024;

/// More than any record of an alert or of a new key needs.
const NOTICE_BYTES: usize = 1024;

thread_local! {
    /// Records as they come; pages that nobody needs are never touched.
    static INCOMING: RefCell<Box<[u8]>> = RefCell::new(vec![0; INCOMING_BYTES_MAX + CHUNK_BYTES].into());
    /// And as they go.
    static OUTGOING: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK_BYTES + CHUNK_BYTES / 16 + NOTICE_BYTES].into());
}

/// A socket that carries TLS, and the side of TLS that is this program's.
pub struct Session<S> {
    socket: Socket,
    side: S,
    /// What was read and not yet understood: nearly always nothing, or the beginning of a record.
    incoming: Vec<u8>,
    /// Plain bytes for which the last reader had no room.
    plain: Waiting,
    /// Records that the socket has not taken.
    outgoing: Waiting,
    input: Input,
    has_said_goodbye: bool,
}

/// What can still come from the other side.
#[derive(Clone)]
enum Input {
    Open,
    /// Nothing: it has said so, or just gone.
    Ended,
    /// Nothing that could be believed.
    Failed(Error),
}

impl<S: Side> Session<S> {
    /// Shakes hands. There is no deadline here. With an error comes the socket, on which the reason was said, as far as it could go
    /// at once.
    pub(super) async fn begin(socket: Socket, side: S) -> Result<Box<Self>, (io::Error, Socket)> {
        // Boxed from the beginning: there are thousands that wait for a slow client, and none is moved.
        let mut session = Box::new(Self {
            socket,
            side,
            incoming: Vec::new(),
            plain: Waiting::default(),
            outgoing: Waiting::default(),
            input: Input::Open,
            has_said_goodbye: false,
        });
        match poll_fn(|cx| session.poll_handshake(cx)).await {
            Ok(()) => Ok(session),
            Err(error) => Err((error, session.socket)),
        }
    }

    /// The socket below.
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// What the library knows.
    pub(super) fn side(&self) -> &S {
        &self.side
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Err(error) = self.settle() {
                let _ = self.poll_drain(cx); // its last word is the reason
                return Poll::Ready(Err(error));
            }
            ready!(self.poll_drain(cx))?;
            if !self.side.common().is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_more_handshake(cx))?;
        }
    }

    fn poll_more_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.incoming.len() > INCOMING_BYTES_MAX {
            return Poll::Ready(Err(too_long()));
        }
        INCOMING.with_borrow_mut(|buffer| {
            let mut space = ReadBuf::new(&mut buffer[..RECORD_BYTES]);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut space))?;
            if space.filled().is_empty() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other side has gone")));
            }
            self.incoming.extend_from_slice(space.filled());
            Poll::Ready(Ok(()))
        })
    }

    /// Does all that can be done without the socket, so that the library is ready to be written to.
    fn settle(&mut self) -> io::Result<()> {
        let mut incoming = std::mem::take(&mut self.incoming);
        let used = self.process(&mut incoming, None);
        if used < incoming.len() {
            incoming.drain(..used);
            self.incoming = incoming;
        }
        self.failure()
    }

    fn failure(&self) -> io::Result<()> {
        match &self.input {
            Input::Failed(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error.clone())),
            Input::Open | Input::Ended => Ok(()),
        }
    }

    /// Lets the library work on `incoming` until it wants more, or `room` is full; without a room, plain bytes wait. Gives how many
    /// bytes it needs no longer.
    fn process(&mut self, incoming: &mut [u8], mut room: Option<&mut ReadBuf<'_>>) -> usize {
        let mut used = 0;
        loop {
            if let Input::Failed(_) = self.input {
                return incoming.len();
            }
            let status = self.side.process(&mut incoming[used..]);
            let mut discard = status.discard;
            match status.state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        let fits = room.as_ref().map_or(0, |room| room.remaining().min(record.payload.len()));
                        if let Some(room) = &mut room {
                            room.put_slice(&record.payload[..fits]);
                        }
                        self.plain.push(&record.payload[fits..]);
                    }
                    if room.as_ref().is_some_and(|room| room.remaining() == 0) {
                        return used + discard;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut self.outgoing),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(), // what waits to go out goes first, and in order
                // What comes behind the end is nobody's.
                Ok(ConnectionState::PeerClosed) => {
                    self.input = Input::Ended;
                    discard = incoming.len() - used;
                }
                Ok(ConnectionState::WriteTraffic(_) | ConnectionState::BlockedHandshake | ConnectionState::Closed) => {
                    return used + discard;
                }
                Ok(_) => self.input = Input::Failed(Error::General("early data, which nobody was offered".to_owned())),
                Err(error) => {
                    self.input = Input::Failed(error);
                    self.take_last_words(&mut incoming[used + discard..]);
                }
            }
            used += discard;
        }
    }

    /// What the library has to say to the other side about a failure.
    fn take_last_words(&mut self, incoming: &mut [u8]) {
        // As long as there is something to be sent, it does not look at what came.
        while self.side.common().wants_write() {
            match self.side.process(incoming).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut self.outgoing),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => while traffic.next_record().is_some() {},
                _ => return,
            }
        }
    }

    /// Ready: the socket has taken all that waited for it.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, self.outgoing.bytes()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.outgoing.take(count),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Encrypts into `records`, whose front it gives.
    fn encrypt(&mut self, plain: &[u8], records: &mut [u8]) -> io::Result<usize> {
        match self.side.process(&mut self.incoming).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                traffic.encrypt(plain, records).map_err(|error| io::Error::other(error.to_string()))
            }
            Ok(_) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }

    /// The alert that ends what this side says.
    fn say_goodbye(&mut self) {
        if std::mem::replace(&mut self.has_said_goodbye, true) || self.settle().is_err() {
            return;
        }
        let mut record = [0; NOTICE_BYTES];
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = self.side.process(&mut self.incoming).state
            && let Ok(count) = traffic.queue_close_notify(&mut record)
        {
            self.outgoing.push(&record[..count]);
        }
    }

    /// Reads the socket, and decrypts, until there is something for `buf`.
    fn poll_decrypt(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        records: &mut [u8],
    ) -> Poll<io::Result<()>> {
        let mut there = 0..self.incoming.len();
        records[there.clone()].copy_from_slice(&self.incoming);
        let result = self.poll_decrypt_in(cx, buf, records, &mut there);
        self.keep(&records[there]);
        result
    }

    fn poll_decrypt_in(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        records: &mut [u8],
        there: &mut Range<usize>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            if there.start < there.end {
                there.start += self.process(&mut records[there.clone()], Some(buf));
                if let Err(error) = self.failure() {
                    let _ = self.poll_drain(cx); // its last word is the reason
                    // What came before it is good, and goes first.
                    return Poll::Ready(if buf.filled().len() > before { Ok(()) } else { Err(error) });
                }
            }
            if buf.filled().len() > before || !matches!(self.input, Input::Open) {
                return Poll::Ready(Ok(()));
            }
            records.copy_within(there.clone(), 0);
            *there = 0..there.len();
            if there.end > INCOMING_BYTES_MAX {
                return Poll::Ready(Err(too_long()));
            }
            let wanted = buf.remaining().clamp(RECORD_BYTES, CHUNK_BYTES);
            let wanted = wanted + wanted / RECORD_BYTES * OVERHEAD_BYTES;
            let mut space = ReadBuf::new(&mut records[there.end..wanted.max(there.end + READ_BYTES_MIN)]);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut space))?;
            match space.filled().len() {
                0 => self.input = Input::Ended,
                count => there.end += count,
            }
        }
    }

    /// Keeps what has no end yet. A part of a message may have been decrypted meanwhile, so it is not what was kept before.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.incoming = Vec::new();
        } else {
            self.incoming.clear();
            self.incoming.extend_from_slice(rest);
        }
    }
}

impl<S> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl<S: Side> AsyncRead for Session<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let _ = this.poll_drain(cx); // answers of the library's own; an error comes up where somebody writes
        if !this.plain.is_empty() {
            let count = buf.remaining().min(this.plain.bytes().len());
            buf.put_slice(&this.plain.bytes()[..count]);
            this.plain.take(count);
            return Poll::Ready(Ok(()));
        }
        this.failure()?;
        if buf.remaining() == 0 || matches!(this.input, Input::Ended) {
            return Poll::Ready(Ok(()));
        }
        INCOMING.with_borrow_mut(|records| this.poll_decrypt(cx, buf, records))
    }
}

impl<S: Side> AsyncWrite for Session<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.settle()?;
        ready!(this.poll_drain(cx))?;
        let plain = &buf[..buf.len().min(CHUNK_BYTES)];
        OUTGOING.with_borrow_mut(|buffer| {
            let count = this.encrypt(plain, buffer)?;
            let records = &buffer[..count];
            let taken = match Pin::new(&mut this.socket).poll_write(cx, records) {
                Poll::Ready(result) => result?,
                Poll::Pending => 0,
            };
            this.outgoing.push(&records[taken..]);
            Poll::Ready(Ok(plain.len()))
        })
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.say_goodbye();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

/// Puts a record that the library has made behind those that wait.
fn encode<D>(data: &mut EncodeTlsData<'_, D>, outgoing: &mut Waiting) {
    if let Err(EncodeError::InsufficientSize(needs)) = data.encode(&mut []) {
        data.encode(outgoing.grow(needs.required_size)).expect("it has as much room as it wants");
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message of TLS that does not end")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;
    use rustls::{AlertDescription, ClientConnection, SupportedProtocolVersion, version};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::super::handshake::Rules;
    use super::super::pair::Pair;
    use super::super::side::Server;
    use super::super::testing::{SelfSigned, client_config, server_name};
    use super::*;

    /// The library's own buffered client, at the other end of a socket.
    struct Peer {
        client: ClientConnection,
        socket: UnixStream,
    }

    impl Peer {
        /// What it has encrypted, not yet sent.
        fn records(&mut self) -> Vec<u8> {
            let mut records = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut records).unwrap();
            }
            records
        }

        fn encrypt(&mut self, plain: &[u8]) -> Vec<u8> {
            self.client.set_buffer_limit(None);
            self.client.writer().write_all(plain).unwrap();
            self.records()
        }

        async fn send_records(&mut self) {
            let records = self.records();
            self.socket.write_all(&records).await.unwrap();
        }

        /// Reads once, at most `most` bytes, and gives what they say.
        async fn receive(&mut self, most: usize) -> Result<Vec<u8>, Error> {
            let mut bytes = vec![0; most];
            let count = self.socket.read(&mut bytes).await.unwrap();
            let mut bytes = &bytes[..count];
            let mut plain = Vec::new();
            while !bytes.is_empty() {
                self.client.read_tls(&mut bytes).unwrap();
                let state = self.client.process_new_packets()?;
                let before = plain.len();
                plain.resize(before + state.plaintext_bytes_to_read(), 0);
                self.client.reader().read_exact(&mut plain[before..]).unwrap();
            }
            Ok(plain)
        }
    }

    async fn connected_by(version: &'static SupportedProtocolVersion) -> (Peer, Box<Session<Server>>) {
        let certificate = SelfSigned::new();
        let path = std::path::Path::new("both.pem");
        let text = certificate.both();
        let pair = Pair::parse((path, text.as_bytes()), (path, text.as_bytes()), None).unwrap();
        let config = Arc::new(Rules::default().server_config(vec![pair], None).unwrap());
        let (socket, ours) = UnixStream::pair().unwrap();
        let config_of_peer = Arc::new(client_config(&certificate, &[version]));
        let mut peer = Peer { client: ClientConnection::new(config_of_peer, server_name()).unwrap(), socket };
        let shaking = async {
            while peer.client.is_handshaking() {
                peer.send_records().await;
                if peer.client.is_handshaking() {
                    peer.receive(RECORD_BYTES).await.unwrap();
                }
            }
            peer.send_records().await;
        };
        let begun = Session::begin(Socket::Unix(ours), Server::new(config).unwrap());
        let (begun, ()) = tokio::join!(begun, shaking);
        (peer, begun.map_err(|(error, _)| error).unwrap())
    }

    async fn connected() -> (Peer, Box<Session<Server>>) {
        connected_by(&version::TLS13).await
    }

    async fn poll_once(session: &mut Session<Server>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_fn(|cx| {
            let mut buf = ReadBuf::new(space);
            let result = Pin::new(&mut *session).poll_read(cx, &mut buf);
            Poll::Ready(result.map_ok(|()| buf.filled().len()))
        })
        .await
    }

    fn numbered(count: usize) -> Vec<u8> {
        (0..=250_u8).cycle().take(count).collect()
    }

    /// A byte that is lost is waited for in vain, so not for ever.
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(Duration::from_mins(1), future).await.unwrap() })
    }

    fn versions() -> impl Strategy<Value = &'static SupportedProtocolVersion> {
        prop_oneof![Just(&version::TLS12), Just(&version::TLS13)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_comes_is_read_in_order_however_it_is_cut(
            version in versions(),
            messages in prop::collection::vec(1_usize..40_000, 1..6),
            cut in prop_oneof![1_usize..200, 1_usize..70_000],
            room in prop_oneof![1_usize..200, 1_usize..80_000],
        ) {
            block_on(async {
                let (mut peer, mut session) = connected_by(version).await;
                let mut records = Vec::new();
                for length in &messages {
                    records.extend(peer.encrypt(&numbered(*length)));
                }
                peer.client.send_close_notify();
                records.extend(peer.records());
                records.extend(b"nobody's");
                let sending = async {
                    for piece in records.chunks(cut) {
                        // The session may have seen the end already.
                        if peer.socket.write_all(piece).await.is_err() {
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                };
                let reading = async {
                    let mut all = Vec::new();
                    let mut space = vec![0; room];
                    loop {
                        let count = session.read(&mut space).await.unwrap();
                        if count == 0 {
                            break all;
                        }
                        all.extend_from_slice(&space[..count]);
                    }
                };
                let ((), all) = tokio::join!(sending, reading);
                let expected: Vec<u8> = messages.iter().flat_map(|length| numbered(*length)).collect();
                assert!(all == expected, "{} bytes of {}", all.len(), expected.len());
                assert_eq!(session.read(&mut [0; 8]).await.unwrap(), 0, "the end stays one");
            });
        }

        #[test]
        fn what_is_written_arrives_in_order_however_slowly_it_is_read(
            version in versions(),
            messages in prop::collection::vec(1_usize..150_000, 1..6),
            step in prop_oneof![1_usize..20_000, 1_usize..300_000],
        ) {
            block_on(async {
                let (mut peer, mut session) = connected_by(version).await;
                let expected: Vec<u8> = messages.iter().flat_map(|length| numbered(*length)).collect();
                let writing = async {
                    for length in &messages {
                        session.write_all(&numbered(*length)).await.unwrap();
                    }
                    session.shutdown().await.unwrap();
                };
                let reading = async {
                    let mut all = Vec::new();
                    while !peer.client.process_new_packets().unwrap().peer_has_closed() {
                        all.extend(peer.receive(step.max(100)).await.unwrap());
                        tokio::task::yield_now().await;
                    }
                    all
                };
                let ((), all) = tokio::join!(writing, reading);
                assert!(all == expected, "{} bytes of {}", all.len(), expected.len());
                assert!(session.outgoing.capacity() == 0, "what is gone takes no memory");
            });
        }
    }

    #[tokio::test]
    async fn a_byte_at_a_time_is_enough_and_what_waits_for_more_holds_no_memory() {
        let (mut peer, mut session) = connected().await;
        let mut all = Vec::new();
        for text in [&b"first"[..], b"second"] {
            for byte in peer.encrypt(text) {
                peer.socket.write_all(&[byte]).await.unwrap();
                let Socket::Unix(socket) = &session.socket else { panic!("it is another kind of socket") };
                socket.readable().await.unwrap();
                let mut space = [0; 64];
                if let Poll::Ready(count) = poll_once(&mut session, &mut space).await {
                    all.extend_from_slice(&space[..count.unwrap()]);
                }
            }
        }
        assert_eq!(all, b"firstsecond");
        assert_eq!((session.incoming.capacity(), session.plain.capacity()), (0, 0));
    }

    #[tokio::test]
    async fn what_came_before_a_forged_record_is_read_and_then_it_is_refused_with_its_reason() {
        let (mut peer, mut session) = connected().await;
        let mut records = peer.encrypt(b"good");
        let mut forged = peer.encrypt(b"evil");
        *forged.last_mut().unwrap() ^= 1;
        records.extend(forged);
        records.extend(peer.encrypt(b"late"));
        peer.socket.write_all(&records).await.unwrap();
        let mut space = [0; 64];
        assert_eq!(session.read(&mut space).await.unwrap(), 4);
        assert_eq!(&space[..4], b"good");
        for _ in 0..2 {
            let error = session.read(&mut space).await.unwrap_err();
            assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&Error::DecryptError), "{error}");
        }
        session.write_all(b"more").await.unwrap_err();
        let answer = peer.receive(1024).await;
        assert_eq!(answer.unwrap_err(), Error::AlertReceived(AlertDescription::BadRecordMac));
    }

    #[tokio::test]
    async fn a_record_that_is_too_long_is_refused_by_its_head() {
        let (mut peer, mut session) = connected().await;
        peer.socket.write_all(&[23, 3, 3, 0xff, 0xff]).await.unwrap();
        session.read(&mut [0; 64]).await.unwrap_err();
        let answer = peer.receive(1024).await;
        assert_eq!(answer.unwrap_err(), Error::AlertReceived(AlertDescription::DecodeError)); // the library's word for it
    }

    #[tokio::test]
    async fn new_keys_are_taken_and_answered_between_the_records_of_both_directions() {
        let (mut peer, mut session) = connected().await;
        for round in 0..5 {
            let mut records = peer.encrypt(b"before");
            peer.client.refresh_traffic_keys().unwrap();
            records.extend(peer.encrypt(b"behind"));
            peer.socket.write_all(&records).await.unwrap();
            let mut text = [0; 12];
            session.read_exact(&mut text).await.unwrap();
            assert_eq!(&text, b"beforebehind", "round {round}");
            session.write_all(b"answer").await.unwrap();
            assert_eq!(peer.receive(1024).await.unwrap(), b"answer", "round {round}");
        }
    }

    #[tokio::test]
    async fn a_flood_of_new_keys_is_an_error() {
        let (mut peer, mut session) = connected().await;
        for _ in 0..200 {
            peer.client.refresh_traffic_keys().unwrap();
            peer.send_records().await;
        }
        session.read(&mut [0; 64]).await.unwrap_err();
        assert!(session.outgoing.bytes().len() < 1024, "nothing piles up for the answers");
    }

    #[tokio::test]
    async fn what_a_reader_has_no_room_for_waits_without_another_record_being_touched() {
        let (mut peer, mut session) = connected().await;
        let mut records = peer.encrypt(&numbered(100));
        let second = peer.encrypt(&numbered(100));
        records.extend_from_slice(&second);
        peer.socket.write_all(&records).await.unwrap();
        let mut text = [0; 60];
        session.read_exact(&mut text).await.unwrap();
        assert_eq!(session.plain.bytes(), &numbered(100)[60..]);
        assert_eq!(session.incoming, second);
    }
}
