//! Bytes go through, whole and in order, whatever the pieces.

use std::io::{Read as _, Write as _};

use crate::support::client::{BINARY, CONTINUATION, Client, FIN, frame};
use crate::support::noise;
use crate::support::proxy::Proxy;
use crate::support::target::{Target, echo};

#[test]
fn bytes_come_back_as_they_went() {
    let proxy = Proxy::classic(&["127.0.0.1:0", &echo().to_string()]);
    let mut client = Client::open(proxy.address());
    for length in [1, 125, 126, 127, 65535, 65536, 65537, 200_000] {
        let bytes = noise(length);
        client.send_binary(&bytes);
        assert_eq!(client.read_binary(length), bytes, "{length} bytes");
    }
}

#[test]
fn segments_of_one_byte_are_as_good_as_any() {
    let target = Target::listen();
    let proxy = Proxy::classic(&["127.0.0.1:0", &target.address().to_string()]);
    let mut client = Client::open(proxy.address());
    let mut server = target.accept();
    for byte in [frame(BINARY, b"frag"), frame(CONTINUATION, b"men"), frame(FIN | CONTINUATION, b"ted")].concat() {
        client.send(&[byte]);
    }
    let mut got = [0; 10];
    server.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"fragmented");
    for byte in b"answer" {
        server.write_all(&[*byte]).unwrap();
    }
    assert_eq!(client.read_binary(6), b"answer");
}
