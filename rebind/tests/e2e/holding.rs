//! A proxy may hold the new port before the program has it, so that nobody else gets it.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

use crate::support::{Program, compiled, greeting, listeners, preloaded, run};

/// A socket that is bound, allows reuse, and does not listen.
fn held(address: &str) -> Socket {
    let address: SocketAddr = address.parse().unwrap();
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

#[test]
fn a_port_that_a_proxy_holds_is_the_programs_and_nobody_elses() {
    alone!();
    let _held = [held("127.0.0.1:43211"), held("[::1]:43211")];
    // Whoever wants any free port does not get this one, however often.
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "43211 43212").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(other.local_addr().unwrap().port(), 43212);
    assert!(TcpListener::bind("127.0.0.1:0").is_err());
    drop(other);
    for addresses in [&["0.0.0.0", "only:::"][..], &["both:::"], &["127.0.0.1", "::1"]] {
        let mut command = preloaded(compiled("listen"), "5901=43211");
        let (_program, told) = Program::until(command.arg("5901").args(addresses), "ready");
        assert!(told.iter().all(|told| told.ends_with(" 5901")), "{told:?}");
        assert_eq!(listeners().len(), addresses.len());
        assert!(greeting("127.0.0.1:43211").ends_with(" 5901\n"), "{addresses:?}");
    }
}

#[test]
fn a_port_on_which_somebody_listens_is_in_use() {
    alone!();
    let _taken = TcpListener::bind("127.0.0.1:43211").unwrap();
    let said = run(preloaded(compiled("odd_calls"), "5901=43211").arg("5901"));
    assert!(said.contains("twice 0: -1 Address already in use\n    SO_REUSEADDR is 0\n"), "{said}");
}
