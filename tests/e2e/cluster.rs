//! Two nodes behind a real `HAProxy`, by the configurations that are shipped; tokens in a real Redis; another `HAProxy` at the target.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::sys::signal::Signal;

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::proxy::Proxy;
use crate::support::service::Redis;
use crate::support::target::{Target, echo};
use crate::support::tls::SelfSigned;

/// An address of the loopback that no other program uses, so that its ports stay free between two listeners.
fn own_address(last: u8) -> String {
    let pid = std::process::id();
    format!("127.{}.{}.{last}", 64 + pid / 200 % 128, 1 + pid % 200)
}

fn free_port(address: &str) -> u16 {
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port()
}

/// A running `HAProxy`, ended with its test.
struct HaProxy {
    child: Child,
    _directory: tempfile::TempDir,
}

impl HaProxy {
    /// With one of the configurations, in which each text of the pairs is replaced; it must be there.
    fn start(configuration: &str, replaced: &[(&str, &str)], listens: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("haproxy.cfg");
        let mut text = configuration.to_owned();
        for (shipped, here) in replaced {
            assert!(text.contains(shipped), "no '{shipped}' in:\n{text}");
            text = text.replace(shipped, here);
        }
        fs::write(&file, text).unwrap();
        let child = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy is there: Debian's package haproxy has it");
        eventually("HAProxy listens", || TcpStream::connect(listens).ok());
        Self { child, _directory: directory }
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shipped(name: &str) -> String {
    fs::read_to_string(format!("{}/packaging/haproxy/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// A client of its own address, which asks with a token.
fn connect(number: usize, address: SocketAddr) -> (String, std::io::Result<Client>) {
    let source = source(number);
    let open = || {
        let mut client = Client::connect_from(source, None, address);
        client.send(crate::support::client::upgrade_request("/?token=vm", &[]).as_bytes());
        let mut first = [0; 12];
        client.stream.read_exact(&mut first)?;
        assert_eq!(&first, b"HTTP/1.1 101", "{}", String::from_utf8_lossy(&first));
        let mut end = Vec::new();
        while !end.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.stream.read_exact(&mut byte)?;
            end.push(byte[0]);
        }
        Ok(client)
    };
    (connect_name(number), open())
}

/// Where a client comes from.
fn source(number: usize) -> [u8; 4] {
    [127, 200, u8::try_from(number / 250).unwrap(), u8::try_from(1 + number % 250).unwrap()]
}

/// The clients' addresses in the records of sessions that were opened.
fn clients_of(node: &Proxy) -> Vec<String> {
    let opened = node.log_lines().into_iter().filter(|line| line.contains("session opened"));
    opened
        .map(|line| {
            let client = line.split(" client=").nth(1).unwrap();
            client.split(':').next().unwrap().to_owned()
        })
        .collect()
}

/// Opens sessions one after the other, as clients of a portal come, until it is told to stop.
struct Visitors {
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<Vec<String>>>,
    come: Arc<Mutex<usize>>,
}

impl Visitors {
    fn start(first: usize, address: SocketAddr) -> Self {
        let (over, come) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(0)));
        let (told, counted) = (Arc::clone(&over), Arc::clone(&come));
        let thread = thread::spawn(move || {
            let mut addresses = Vec::new();
            while !told.load(Ordering::Relaxed) {
                let (name, client) = connect(first + addresses.len() % 500, address);
                let mut client = client.unwrap_or_else(|error| panic!("{name} found no node: {error}"));
                client.send_binary(b"hello");
                let frame = client.read_frame();
                // A node that drains says so to whoever was on the way to it.
                assert!(frame.payload == b"hello" || frame.payload.starts_with(&1001_u16.to_be_bytes()), "{frame:?}");
                addresses.push(name);
                *counted.lock().unwrap() += 1;
            }
            addresses
        });
        Self { over, thread: Some(thread), come }
    }

    /// Waits until so many more have come, or one was turned away.
    fn more(&self, count: usize) {
        let so_far = *self.come.lock().unwrap();
        eventually("clients find a node", || {
            let done = self.thread.as_ref().unwrap().is_finished();
            (done || *self.come.lock().unwrap() >= so_far + count).then_some(())
        });
    }

    fn end(mut self) -> Vec<String> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

/// A killed node and a drained one are not noticed by whoever comes, and each node knows who comes.
#[test]
fn two_nodes_behind_haproxy_share_clients_and_tokens_through_a_death_and_a_drain() {
    let redis = Redis::start(&[]);
    redis.say(&[&format!("SET vm {}", echo())]);
    let (front, one, two) = (own_address(1), own_address(2), own_address(3));
    let front: SocketAddr = format!("{front}:{}", free_port(&front)).parse().unwrap();
    let nodes = [format!("{one}:{}", free_port(&one)), format!("{two}:{}", free_port(&two))];
    let start = |node: &str| {
        Proxy::serve(&format!(
            "listen = \"{node}\"\n[tokens]\nsource = \"redis://127.0.0.1:{}\"\n[targets]\nallow = [\"127.0.0.0/8\"]\n\
             [access]\ntrusted-proxies = [\"127.0.0.1\"]\nproxy-protocol = \"required\"\nallow-clients = [\"127.200.0.0/16\"]\n\
             [websocket]\nheartbeat = \"off\" # nobody answers while all wait for the end\n",
            redis.port
        ))
    };
    let mut first = start(&nodes[0]);
    let second = start(&nodes[1]);
    let _haproxy = HaProxy::start(
        &shipped("tcp.cfg"),
        &[
            ("maxconn 8000", "maxconn 1000"),
            ("bind :6080", &format!("bind {front}")),
            ("192.0.2.11:6080", &nodes[0]),
            ("192.0.2.12:6080", &nodes[1]),
        ],
        front,
    );
    let mut sessions: Vec<Client> = (0..200)
        .map(|number| {
            let (name, client) = connect(number, front);
            client.unwrap_or_else(|error| panic!("{name}: {error}"))
        })
        .collect();
    sessions.iter_mut().for_each(Client::assert_echoes);
    let expected: BTreeSet<String> = (0..200).map(connect_name).collect();
    eventually("every session is told with its client's own address", || {
        let told: Vec<String> = [&first, &second].into_iter().flat_map(clients_of).collect();
        (told.len() == 200 && told.into_iter().collect::<BTreeSet<_>>() == expected).then_some(())
    });
    let on_first = clients_of(&first).len();
    assert!((80..=120).contains(&on_first), "{on_first} of 200 on the first node");

    // One node dies.
    first.signal(Signal::SIGKILL);
    first.wait();
    let visitors = Visitors::start(1000, front);
    visitors.more(50);
    eventually("whoever came while one was dead came to the other", || {
        (clients_of(&second).len() > 200 - on_first).then_some(())
    });

    // It comes back, and HAProxy finds that out by itself.
    let first = start(&nodes[0]);
    first.log_line("session opened");

    // The other one is drained, while clients come.
    second.signal(Signal::SIGTERM);
    visitors.more(50);
    let closed: Vec<_> = sessions.iter_mut().filter_map(end_of).collect();
    assert_eq!(closed.len(), 200 - on_first, "the sessions of the drained node, and none of the killed one's");
    assert!(closed.iter().all(|close| *close == (1001, "Server shutting down".to_owned())), "{closed:?}");
    second.log_line(" INFO stopped");
    visitors.more(20);
    let visitors = visitors.end();
    let known: BTreeSet<String> =
        [&first, &second].into_iter().flat_map(clients_of).filter(|name| visitors.contains(name)).collect();
    assert_eq!(known, visitors.into_iter().collect(), "all that came are told of by one of the nodes that live");
}

fn connect_name(number: usize) -> String {
    Ipv4Addr::from(source(number)).to_string()
}

/// The Close of a session, if it ended with one.
fn end_of(session: &mut Client) -> Option<(u16, String)> {
    match session.try_read_frame() {
        Ok(Some(frame)) if frame.first == 0x88 => {
            session.send_close(1001, "");
            crate::support::client::parse_close(&frame.payload)
        }
        _ => None,
    }
}

/// What `HAProxy` says to the target behind it: the address that a client has in front of everything.
#[test]
fn a_target_behind_haproxy_learns_the_client_s_address() {
    let target = Target::listen();
    let address = own_address(4);
    let middle: SocketAddr = format!("{address}:{}", free_port(&address)).parse().unwrap();
    let configuration = format!(
        "defaults\n mode tcp\n timeout connect 2s\n timeout client 1m\n timeout server 1m\n\
         listen targets\n bind {middle} accept-proxy\n server target {} send-proxy\n",
        target.address()
    );
    let _haproxy = HaProxy::start(&configuration, &[], middle);
    for version in ["v1", "v2"] {
        let route = format!("listen = \"127.0.0.1:0\"\ntarget = \"{middle}\"\n[targets]\nsend-proxy = \"{version}\"\n");
        let proxy = Proxy::serve(&route);
        let mut client = Client::connect_from([127, 201, 0, 9], None, proxy.address());
        client.upgrade();
        client.send_binary(b"hello");
        let port = client.stream.local_addr().unwrap().port();
        let expected = format!("PROXY TCP4 127.201.0.9 127.0.0.1 {port} {}\r\nhello", proxy.address().port());
        let mut said = vec![0; expected.len()];
        let mut server = accept_from(&target, b"PROXY TCP4 127.201.0.9 ");
        server.read_exact(&mut said[23..]).unwrap();
        assert_eq!(String::from_utf8_lossy(&said[23..]), expected[23..], "{version}");
    }
}

/// The next connection that says `start`; `HAProxy`'s readiness was tried by connections that say nothing.
fn accept_from(target: &Target, start: &[u8]) -> TcpStream {
    loop {
        let mut stream = target.accept();
        let mut said = vec![0; start.len()];
        if stream.read_exact(&mut said).is_ok() && said == start {
            return stream;
        }
    }
}

/// TLS ends at `HAProxy`, which tells the address in a header; what a client writes into that header itself is nothing.
#[test]
fn a_client_is_known_behind_haproxy_that_speaks_http() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = SelfSigned::in_directory(directory.path());
    let both = directory.path().join("both.pem");
    fs::write(&both, certificate.both()).unwrap();
    let (front, node) = (own_address(5), own_address(6));
    let front: SocketAddr = format!("{front}:{}", free_port(&front)).parse().unwrap();
    let node = format!("{node}:{}", free_port(&node));
    let route = |node: &str| {
        format!("listen = \"{node}\"\ntarget = \"{}\"\n[access]\ntrusted-proxies = [\"127.0.0.1\"]\n", echo())
    };
    let proxy = Proxy::serve(&route(&node));
    let _haproxy = HaProxy::start(
        &shipped("http.cfg"),
        &[
            ("maxconn 8000", "maxconn 1000"),
            ("bind :6443", &format!("bind {front}")),
            ("/etc/haproxy/websockify.pem", both.to_str().unwrap()),
            ("192.0.2.11:6080", &node),
            ("    server node2 192.0.2.12:6080\n", ""),
        ],
        front,
    );
    let socket = Client::connect_from([127, 202, 0, 9], None, front);
    let mut client = certificate.over(socket.stream).unwrap();
    let head = client.request("/", &[("X-Forwarded-For", "192.0.2.66"), ("Forwarded", "for=192.0.2.66")]);
    assert_eq!(head.status, 101, "{}", head.text);
    client.send_binary(b"hello");
    assert_eq!(client.read_binary(5), b"hello");
    let opened = proxy.log_line("session opened");
    assert!(opened.contains(" client=127.202.0.9 ") && opened.contains(" proxy=127.0.0.1:"), "{opened}");
}
