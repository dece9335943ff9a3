//! Which address becomes which, as the kernel and whoever connects see it.

use crate::support::{ADDRESSES, Program, compiled, greeting, listeners, open_at, preloaded};

/// What listens after a program asked for these addresses at port 5901, and what it was told of them.
fn listen(addresses: &[&str]) -> (Program, Vec<String>, Vec<String>) {
    let mut command = preloaded(compiled("listen"), "5901=43211");
    let (program, told) = Program::until(command.arg("5901").args(addresses), "ready");
    (program, listeners(), told)
}

#[test]
fn without_the_library_the_same_program_is_open_to_everybody() {
    alone!();
    let mut command = std::process::Command::new(compiled("listen"));
    let (_program, told) = Program::until(command.args(["5901", "both:::"]), "ready");
    assert_eq!(listeners(), ["*:5901"]);
    assert_eq!(told, [":: 5901"]);
    assert_eq!(open_at(5901), ADDRESSES);
    assert_eq!(open_at(43211), [""; 0]);
}

#[test]
fn ipv4s_wildcard_is_reached_on_loopback_at_the_new_port_alone() {
    alone!();
    let (_program, listeners, told) = listen(&["0.0.0.0"]);
    assert_eq!(listeners, ["127.0.0.1:43211"]);
    assert_eq!(told, ["127.0.0.1 5901"]);
    assert_eq!(open_at(5901), [""; 0]);
    assert_eq!(open_at(43211), ["127.0.0.1"]);
}

#[test]
fn a_wildcard_for_both_families_is_reached_on_ipv4s_loopback_alone() {
    alone!();
    let (_program, listeners, told) = listen(&["both:::"]);
    assert_eq!(listeners, ["[::ffff:127.0.0.1]:43211"]);
    assert_eq!(told, ["::ffff:127.0.0.1 5901"]);
    assert_eq!(open_at(5901), [""; 0]);
    assert_eq!(open_at(43211), ["127.0.0.1"]);
}

#[test]
fn ipv6s_wildcard_alone_is_reached_on_ipv6s_loopback() {
    alone!();
    let (_program, listeners, told) = listen(&["only:::"]);
    assert_eq!(listeners, ["[::1]:43211"]);
    assert_eq!(told, ["::1 5901"]);
    assert_eq!(open_at(5901), [""; 0]);
    assert_eq!(open_at(43211), ["::1"]);
}

#[test]
fn a_socket_for_each_family_gets_the_loopback_of_each() {
    alone!();
    let (_program, listeners, _) = listen(&["0.0.0.0", "only:::"]);
    assert_eq!(listeners, ["127.0.0.1:43211", "[::1]:43211"]);
    assert_eq!(open_at(5901), [""; 0]);
    assert_eq!(open_at(43211), ["127.0.0.1", "::1"]);
}

#[test]
fn the_loopbacks_of_both_families_get_the_loopback_of_each() {
    alone!();
    let (_program, listeners, _) = listen(&["127.0.0.1", "::1"]);
    assert_eq!(listeners, ["127.0.0.1:43211", "[::1]:43211"]);
}

#[test]
fn an_address_of_the_machines_own_gets_loopback() {
    alone!();
    for (address, listener) in [
        ("192.0.2.1", "127.0.0.1:43211"),
        ("2001:db8::1", "[::1]:43211"),
        ("only:2001:db8::1", "[::1]:43211"),
        ("both:::ffff:192.0.2.1", "[::ffff:127.0.0.1]:43211"),
        ("both:::ffff:0.0.0.0", "[::ffff:127.0.0.1]:43211"),
    ] {
        let (_program, listeners, _) = listen(&[address]);
        assert_eq!(listeners, [listener], "{address}");
        assert_eq!(open_at(5901), [""; 0], "{address}");
    }
}

#[test]
fn a_connection_tells_the_port_that_was_asked_for_as_well() {
    alone!();
    let (_program, ..) = listen(&["0.0.0.0", "only:::"]);
    assert_eq!(greeting("127.0.0.1:43211"), "127.0.0.1 5901\n");
    assert_eq!(greeting("[::1]:43211"), "::1 5901\n");
}

#[test]
fn several_ports_move_and_all_others_stay() {
    alone!();
    let listen = compiled("listen");
    for (port, listener) in
        [("5901", "127.0.0.1:43211"), ("5801", "127.0.0.1:43212"), ("5902", "0.0.0.0:5902"), ("43211", "0.0.0.0:43211")]
    {
        let mut command = preloaded(&listen, "5901=43211,5801=43212");
        let (_program, _) = Program::until(command.args([port, "0.0.0.0"]), "ready");
        assert_eq!(listeners(), [listener], "port {port}");
    }
}

#[test]
fn a_port_may_keep_its_number_and_move_to_loopback() {
    alone!();
    let mut command = preloaded(compiled("listen"), "5901=5901");
    let (_program, told) = Program::until(command.args(["5901", "0.0.0.0", "only:::"]), "ready");
    assert_eq!(listeners(), ["127.0.0.1:5901", "[::1]:5901"]);
    assert_eq!(told, ["127.0.0.1 5901", "::1 5901"]);
}
