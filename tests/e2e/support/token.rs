//! Asking a proxy by tokens, and targets that say who they are.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};

use super::client::Client;
use super::proxy::Proxy;

/// A target that says who it is to everybody who connects.
pub fn named(name: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let name = name.to_owned();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(name.as_bytes());
        }
    });
    address
}

/// The status of a request, and what the target behind it said.
pub fn ask(proxy: &Proxy, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut client = Client::connect(proxy.address());
    let status = client.request(path, headers).status;
    let said = if status == 101 { String::from_utf8(client.read_to_close().0).unwrap() } else { String::new() };
    (status, said)
}

#[track_caller]
pub fn leads_to(proxy: &Proxy, path: &str, name: &str) {
    assert_eq!(ask(proxy, path, &[]), (101, name.to_owned()), "{path}");
}

#[track_caller]
pub fn is_refused(proxy: &Proxy, path: &str, status: u16) {
    assert_eq!(ask(proxy, path, &[]).0, status, "{path}");
}

/// A session by a token.
pub fn open(proxy: &Proxy, token: &str) -> Client {
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.request(&format!("/?token={token}"), &[]).status, 101, "{token}");
    client
}

/// A route whose tokens come from `source`; `more` is TOML for the table `[tokens]` and what follows.
pub fn by_token(source: &str, more: &str) -> Proxy {
    Proxy::serve(&format!("listen = \"127.0.0.1:0\"\n[tokens]\nsource = \"{source}\"\n{more}\n"))
}
