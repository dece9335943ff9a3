//! Plain HTTP on a connection, request by request.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::SocketAddr;

use super::client::{Client, Head};

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub head: Head,
    pub body: String,
}

impl Answer {
    /// The value of a header, which must be there.
    pub fn header(&self, name: &str) -> &str {
        self.find_header(name).unwrap_or_else(|| panic!("no {name} in {}", self.head.text))
    }

    pub fn find_header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.text.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// GETs `path` on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> Answer {
    Client::connect(address).fetch("GET", path, &[])
}

/// The text of a request without a body.
pub fn plain_request(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    request + "\r\n"
}

impl<S: Read + Write> Client<S> {
    /// Sends a plain request and reads its answer; the connection stays.
    pub fn fetch(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(plain_request(method, path, headers).as_bytes());
        self.read_answer(method != "HEAD")
    }

    /// Reads an answer; one to HEAD has no body.
    pub fn read_answer(&mut self, has_body: bool) -> Answer {
        let mut answer = Answer { head: self.read_head(), body: String::new() };
        if has_body && answer.head.status != 304 {
            let length = answer.header("content-length").parse().unwrap();
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).unwrap();
            answer.body = String::from_utf8(body).unwrap();
        }
        answer
    }
}
