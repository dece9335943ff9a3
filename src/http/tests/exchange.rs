use tokio::time::{Instant, timeout};

use super::super::Reason;
use super::*;

const FRAMES: &[u8] = b"\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\r\n\r\nGET / HTTP/1.1\r\n\r\n";

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[tokio::test]
async fn frames_that_came_with_the_request_are_handed_on() {
    for pipe in [1, 7, 64 * 1024] {
        let (output, ended) = exchange(None, &joined(&[UPGRADE.as_bytes(), FRAMES]), pipe).await;
        let upgraded = ended.unwrap();
        assert_eq!(upgraded.early, FRAMES);
        assert_eq!(upgraded.request.uri(), "/websockify");
        assert_eq!(upgraded.request.headers()["upgrade"], "websocket");
        assert_eq!(upgraded.requests, 0);
        assert!(output.is_empty(), "the upgrade request was answered: {output:?}");
    }
}

#[tokio::test]
async fn more_early_frames_than_a_head_may_have_bytes_are_handed_on() {
    let frames = vec![b'x'; 200_000];
    let (_, ended) = exchange(None, &joined(&[UPGRADE.as_bytes(), &frames]), 1_000_000).await;
    assert!(ended.unwrap().early == frames);
}

#[tokio::test]
async fn requests_before_the_upgrade_in_one_segment_are_answered_whole() {
    let content = "0123456789".repeat(100_000);
    let site = site(&[("big.txt", &content), ("small.txt", "small")]);
    let get = |path| format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
    let input = joined(&[&get("big.txt"), &get("small.txt"), &get("big.txt"), UPGRADE.as_bytes(), FRAMES]);
    for pipe in [1000, 1_000_000] {
        let (output, ended) = exchange(Some(open(&site)), &input, pipe).await;
        let answers = answers(&output, true);
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 200]);
        assert!(answers[0].text() == content && answers[2].text() == content, "the file was cut");
        assert_eq!(answers[1].text(), "small");
        let upgraded = ended.unwrap();
        assert_eq!(upgraded.early, FRAMES);
        assert_eq!(upgraded.requests, 3);
    }
}

#[tokio::test]
async fn an_upgrade_is_a_get_that_names_websocket_among_its_upgrades() {
    let cases = [
        ("GET /x HTTP/1.1\r\nUpgrade: websocket", true),
        ("GET /x HTTP/1.0\r\nUpgrade: websocket", true),
        ("GET http://a/x HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket", true),
        ("GET /x HTTP/1.1\r\nUpgrade: h2c , WEBSOCKET", true),
        ("GET /x HTTP/1.1\r\nUpgrade: h2c\r\nUpgrade: websocket", true),
        ("GET /x HTTP/1.1\r\nUpgrade: websocket\r\nContent-Length: 0", true),
        ("GET /x HTTP/1.1\r\nUpgrade: websockets", false),
        ("GET /x HTTP/1.1\r\nUpgrade: h2c", false),
        ("GET /x HTTP/1.1\r\nConnection: upgrade", false),
        ("HEAD /x HTTP/1.1\r\nUpgrade: websocket", false),
        ("POST /x HTTP/1.1\r\nUpgrade: websocket", false),
        ("get /x HTTP/1.1\r\nUpgrade: websocket", false),
    ];
    for (head, expected) in cases {
        let (output, ended) = exchange(None, format!("{head}\r\n\r\n").as_bytes(), 64 * 1024).await;
        assert_eq!(ended.is_ok(), expected, "{head}");
        if !expected {
            assert_eq!(answers(&output, !head.starts_with("HEAD"))[0].status, 405, "{head}");
        }
    }
}

#[tokio::test]
async fn an_upgrade_with_a_body_is_refused() {
    for body in ["Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let input = format!("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n{body}{UPGRADE}");
        let (output, ended) = exchange(None, input.as_bytes(), 64 * 1024).await;
        assert!(ended.is_err(), "what followed the body was taken for a request");
        let answers = answers(&output, true);
        assert_eq!(answers.len(), 1);
        assert_eq!((answers[0].status, answers[0].header("connection")), (400, "close"));
    }
}

#[tokio::test]
async fn without_a_web_root_requests_learn_what_this_is() {
    let input = format!("GET / HTTP/1.1\r\nHost: a\r\n\r\nPUT / HTTP/1.1\r\nHost: a\r\n\r\n{UPGRADE}");
    let (output, ended) = exchange(None, input.as_bytes(), 64 * 1024).await;
    let answers = answers(&output, true);
    assert_eq!(answers.len(), 2);
    for answer in answers {
        assert_eq!(answer.status, 405);
        assert!(answer.headers.contains_key("allow"));
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert!(answer.text().contains("WebSocket endpoint"));
        assert!(!answer.headers.contains_key("server"));
    }
    assert_eq!(ended.unwrap().requests, 2);
}

#[tokio::test]
async fn a_head_may_have_its_bound_and_not_a_byte_more() {
    let head = |length: usize| {
        let rest = length - UPGRADE.len() - "X: \r\n".len();
        UPGRADE.replace("Upgrade: w", &format!("X: {}\r\nUpgrade: w", "x".repeat(rest)))
    };
    let (_, ended) = exchange(None, head(HEAD.bytes_max).as_bytes(), 64 * 1024).await;
    assert!(ended.is_ok());

    for length in [HEAD.bytes_max + 1, HEAD.bytes_max * 4] {
        let (output, ended) = exchange(None, head(length).as_bytes(), 64 * 1024).await;
        let answer = answers(&output, true).remove(0);
        assert_eq!((answer.status, answer.header("connection")), (431, "close"));
        assert!(matches!(ended.unwrap_err().reason, Reason::BadRequest(_)));
    }
}

#[tokio::test]
async fn what_is_no_request_is_answered_with_400() {
    let cases =
        ["RFB 003.008\n\r\n", "GET /\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n"];
    for input in cases {
        let (output, ended) = exchange(None, input.as_bytes(), 64 * 1024).await;
        assert_eq!(answers(&output, true)[0].status, 400, "{input:?}");
        assert!(matches!(ended.unwrap_err().reason, Reason::BadRequest(_)), "{input:?}");
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_and_leaves_has_finished() {
    let (output, ended) = exchange(None, b"", 64).await;
    assert!(output.is_empty());
    let closed = ended.unwrap_err();
    assert!(matches!(closed, Closed { requests: 0, reason: Reason::Finished }), "{closed:?}");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_head_is_lost() {
    let (_, ended) = exchange(None, b"GET / HTTP/1.1\r\nHo", 64).await;
    let closed = ended.unwrap_err();
    assert!(matches!(closed.reason, Reason::Lost(_)), "{closed:?}");
}

/// How long, on the paused clock, until a client is let go that sends `input` and then does nothing.
async fn time_until_let_go(files: Option<Arc<Files>>, input: &str, pipe: usize) -> (Duration, Closed) {
    let (mut client, server) = duplex(pipe);
    let begin = Instant::now();
    client.write_all(input.as_bytes()).await.unwrap();
    let ended = timeout(HEAD.timeout * 4, next_upgrade(server, Plain { files, gate: None }, &HEAD)).await;
    let closed = ended.expect("the client is let go").unwrap_err();
    drop(client);
    (begin.elapsed(), closed)
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_whole_is_not_waited_for_longer_than_its_time() {
    for input in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        let (time, closed) = time_until_let_go(None, input, 64 * 1024).await;
        assert!(matches!(closed, Closed { requests: 0, reason: Reason::Timeout }), "{closed:?}");
        assert!(time >= HEAD.timeout && time < HEAD.timeout + Duration::from_secs(1), "{time:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_has_no_more_time() {
    let (mut client, server) = duplex(64 * 1024);
    let trickle = async {
        for byte in UPGRADE.bytes() {
            if client.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let begin = Instant::now();
    let serve = async { (next_upgrade(server, Plain::default(), &HEAD).await, begin.elapsed()) };
    let ((result, time), ()) = tokio::join!(serve, trickle);
    assert!(matches!(result.unwrap_err().reason, Reason::Timeout));
    assert!(time < HEAD.timeout + Duration::from_secs(2), "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_next_request_is_let_go() {
    let (time, closed) = time_until_let_go(None, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 64 * 1024).await;
    assert!(matches!(closed, Closed { requests: 1, reason: Reason::Timeout }), "{closed:?}");
    assert!(time < HEAD.timeout + Duration::from_secs(1), "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_file_is_let_go() {
    let site = site(&[("big", &"x".repeat(3_000_000))]);
    let (time, closed) = time_until_let_go(Some(open(&site)), "GET /big HTTP/1.1\r\nHost: a\r\n\r\n", 1024).await;
    assert!(matches!(closed, Closed { requests: 1, reason: Reason::Timeout }), "{closed:?}");
    assert!(time < HEAD.timeout + Duration::from_secs(1), "{time:?}");
}

#[tokio::test]
async fn an_upgrade_to_something_else_is_ignored_and_the_answer_is_whole() {
    let content = "x".repeat(300_000);
    let site = site(&[("big", &content)]);
    for connection in ["close, Upgrade", "Upgrade"] {
        let input = format!("GET /big HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\nUpgrade: h2c\r\n\r\n");
        let (output, ended) = exchange(Some(open(&site)), input.as_bytes(), 100).await;
        assert!(answers(&output, true)[0].text() == content, "the file was cut");
        let closed = ended.unwrap_err();
        assert!(matches!(closed.reason, Reason::Finished), "{closed:?}");
    }
}

#[tokio::test]
async fn nothing_is_read_after_a_request_whose_body_nobody_reads() {
    let input = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello{UPGRADE}");
    let (output, ended) = exchange(None, input.as_bytes(), 64 * 1024).await;
    let answers = answers(&output, true);
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].status, answers[0].header("connection")), (405, "close"));
    assert!(ended.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_ends_the_connection_for_a_client_that_waits_for_its_end() {
    for upgrade in ["", "Upgrade: h2c\r\n"] {
        let (mut client, server) = duplex(64 * 1024);
        client.write_all(format!("GET / HTTP/1.1\r\nConnection: close\r\n{upgrade}\r\n").as_bytes()).await.unwrap();
        let begin = Instant::now();
        let read = async {
            let mut output = Vec::new();
            client.read_to_end(&mut output).await.unwrap();
            drop(client);
            output
        };
        let (ended, output) = tokio::join!(next_upgrade(server, Plain::default(), &HEAD), read);
        assert_eq!(answers(&output, true)[0].status, 405);
        assert!(matches!(ended.unwrap_err().reason, Reason::Finished));
        assert!(begin.elapsed() < Duration::from_millis(500), "after {:?}: {upgrade}", begin.elapsed());
    }
}

#[tokio::test]
async fn a_client_that_sends_too_much_still_reads_its_answer() {
    let (mut client, server) = connected().await;
    let serve = next_upgrade(server, Plain::default(), &HEAD);
    let ask = async {
        client.write_all(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(100_000)).as_bytes()).await.unwrap();
        read_while_sending(client).await
    };
    let (ended, output) = timeout(Duration::from_secs(20), async { tokio::join!(serve, ask) }).await.unwrap();
    assert_eq!(answers(&output, true)[0].status, 431);
    assert!(matches!(ended.unwrap_err().reason, Reason::BadRequest(_)));
}
