//! Programs that people wrap.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use crate::support::{PATIENCE, Program, eventually_listening, listeners, open_at, preloaded};

/// What a web server answers.
fn page(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn pythons_web_server_says_its_port_and_is_reached_at_the_new_one() {
    alone!();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("hello"), "").unwrap();
    for (bind, listener) in [("0.0.0.0", "127.0.0.1:43211"), ("::", "[::ffff:127.0.0.1]:43211")] {
        let mut command = preloaded("python3", "5901=43211");
        command.args(["-u", "-m", "http.server", "--bind", bind, "5901"]).current_dir(&directory);
        let (_program, _) = Program::until(command.stderr(Stdio::null()), " port 5901 ");
        assert_eq!(listeners(), [listener]);
        assert!(page("127.0.0.1:43211").contains("hello"));
        assert_eq!(open_at(5901), [""; 0]);
    }
}

#[test]
fn a_python_server_with_a_socket_for_each_family_has_both() {
    alone!();
    let server = "import asyncio
async def main():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), None, 5901)
    print(sorted(socket.getsockname()[1] for socket in server.sockets), flush=True)
    await server.serve_forever()
asyncio.run(main())";
    let mut command = preloaded("python3", "5901=43211");
    let program = Program::start(command.args(["-c", server]));
    assert_eq!(program.line(), "[5901, 5901]");
    assert_eq!(listeners(), ["127.0.0.1:43211", "[::1]:43211"]);
}

#[test]
fn nodes_server_for_both_families_is_reached_at_the_new_port() {
    alone!();
    let server = "const server = require('http').createServer((request, answer) => answer.end('hello'));
        server.listen(5901, () => console.log(server.address().port));";
    let mut command = preloaded("node", "5901=43211");
    let program = Program::start(command.args(["-e", server]));
    assert_eq!(program.line(), "5901");
    assert_eq!(listeners(), ["[::ffff:127.0.0.1]:43211"]);
    assert!(page("127.0.0.1:43211").ends_with("hello"));
    assert_eq!(open_at(5901), [""; 0]);
}

#[test]
fn tigervnc_greets_at_the_new_port_of_both_families() {
    alone!();
    let mut command = preloaded("Xtigervnc", "5901=43211");
    command.args(["-displayfd", "1", "-rfbport", "5901", "-SecurityTypes", "None", "-geometry", "320x240"]);
    let program = Program::start(command.stderr(Stdio::null()));
    program.line(); // its display
    eventually_listening(&["127.0.0.1:43211", "[::1]:43211"]);
    for address in ["127.0.0.1:43211", "[::1]:43211"] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut greeting = [0; 12];
        stream.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"RFB 003.008\n", "{address}");
    }
    assert_eq!(open_at(5901), [""; 0]);
}
