//! Replays what the fuzzers found, and the seeds they began with: one test a parser.

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is a crate of its own elsewhere")]
mod targets;

/// Runs `target` on every file of its corpus.
fn replay(name: &str, target: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let files = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut count = 0;
    for file in files {
        let path = file.expect("a directory can be read").path();
        let input = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        println!("{}", path.display()); // shown when it fails
        target(&input);
        count += 1;
    }
    assert!(count > 0, "{} is empty", directory.display());
}

#[test]
fn base64_streams() {
    replay("base64_stream", targets::base64_stream);
}

#[test]
fn client_headers() {
    replay("client_header", targets::client_header);
}

#[test]
fn close_payloads() {
    replay("close_payload", targets::close_payload);
}

#[test]
fn headers_of_proxies() {
    replay("forwarded", targets::forwarded);
}

#[test]
fn proxy_protocol_headers() {
    replay("proxy_header", targets::proxy_header);
}

#[test]
fn frames() {
    replay("frames", targets::frames);
}

#[test]
fn handshakes() {
    replay("handshake", targets::handshake);
}

#[test]
fn origins() {
    replay("origin", targets::origin);
}

#[test]
fn files_of_users() {
    replay("users_file", targets::users_file);
}

#[test]
fn replies_of_redis() {
    replay("redis_reply", targets::redis_reply);
}

#[test]
fn answers_about_tokens() {
    replay("token_answer", targets::token_answer);
}

#[test]
fn lists_of_ciphers() {
    replay("ciphers", targets::ciphers);
}

#[test]
fn keys_of_tokens() {
    replay("token_key", targets::token_key);
}

#[test]
fn requests_with_tokens() {
    replay("token_request", targets::token_request);
}

#[test]
fn sources_of_tokens() {
    replay("token_source", targets::token_source);
}

#[test]
fn tables_of_tokens() {
    replay("token_table", targets::token_table);
}

#[test]
fn rebind_environments() {
    replay("rebind_environment", targets::rebind_environment);
}

#[test]
fn recordings() {
    replay("recording", targets::recording);
}

#[test]
fn hixie_frames() {
    replay("hixie_frames", targets::hixie_frames);
}

#[test]
fn tunnels() {
    replay("tunnel", targets::tunnel);
}

#[test]
fn utf8() {
    replay("utf8", targets::utf8);
}

#[test]
fn lines_of_sessions_units() {
    replay("session_line", targets::session_line);
}
