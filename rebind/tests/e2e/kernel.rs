//! What a program sees is what the kernel would have told it.

use std::net::TcpListener;
use std::process::Command;

use crate::support::{compiled, preloaded, run};

/// What a program says that binds port 5901 of loopback alone: without the library, and with it.
fn said(name: &str) -> [Vec<String>; 2] {
    let program = compiled(name);
    let without = run(Command::new(&program).arg("5901"));
    let with = run(preloaded(&program, "5901=43211").arg("5901").env("REALLY_AT", "43211"));
    [without, with].map(|said| said.lines().map(ToOwned::to_owned).collect())
}

#[test]
fn every_call_that_is_right_or_wrong_ends_as_it_would_without_the_library() {
    alone!();
    let [without, with] = said("odd_calls");
    for (with, without) in with.iter().zip(&without) {
        assert_eq!(with, without, "with the library, and without");
    }
    assert_eq!(with.len(), without.len());
    // It has really tried: some lines as the manual pages have them.
    for line in [
        "IPv4, length 15: -1 Invalid argument",
        "IPv4, length 16: 0 errno kept",
        "IPv6, length 24: 0 errno kept",
        "null, length 16: -1 Bad address",
        "no descriptor 0: -1 Bad file descriptor",
        "again 0: -1 Invalid argument",
        "twice 1: -1 Address already in use",
        "name of IPv4 -2: -1 Bad address",
    ] {
        assert!(with.iter().any(|said| said == line), "{line}, in: {with:#?}");
    }
    // And with the library it was the new port: when that is taken, nothing can be bound.
    let _taken = TcpListener::bind("127.0.0.1:43211").unwrap();
    let said = run(preloaded(compiled("odd_calls"), "5901=43211").arg("5901"));
    assert!(said.contains("IPv4, length 16: -1 Address already in use\n"), "{said}");
    assert!(said.contains("datagrams 0: 0 errno kept\n"), "{said}");
}

#[test]
fn only_a_stream_at_the_new_port_is_taken_for_a_moved_one() {
    alone!();
    let both = "import socket
for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
    it = socket.socket(socket.AF_INET, kind)
    it.bind(('127.0.0.1', 43211))
    print(it.getsockname()[1])";
    assert_eq!(run(preloaded("python3", "5901=43211").args(["-c", both])), "5901\n43211\n");
}

#[test]
fn a_second_bind_by_children_or_after_a_close_ends_as_it_would_without_the_library() {
    alone!();
    let [without, with] = said("children");
    let common = [
        "a child: 0 Success, port as asked",
        "a program that a child executes: 0 Success, port as asked",
        "a child in our memory: 0",
        "first, with reuse: 0 Success, port as asked",
        "a child: -1 Address already in use, port none",
        "a program that a child executes: -1 Address already in use, port none",
        "a child in our memory: 1",
        "while it listens: -1 Address already in use, port none",
        "while it listens, with reuse: -1 Address already in use, port none",
    ];
    let reuse = "after a connection, with reuse: 0 Success, port as asked";
    let refused = "after a connection: -1 Address already in use, port none";
    assert_eq!(without, [&common[..], &[refused, reuse]].concat());
    // What is left of connections looks like a proxy that holds the port; and a program that was started again may have it.
    let accepted = "after a connection: 0 Success, port as asked";
    assert_eq!(with, [&common[..], &[accepted, reuse]].concat());
}
