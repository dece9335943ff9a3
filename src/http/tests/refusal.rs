use http::StatusCode;
use tokio::time::{Instant, timeout};

use super::super::refuse;
use super::*;

#[tokio::test]
async fn a_refusal_is_a_whole_answer() {
    let (mut client, mut server) = duplex(64 * 1024);
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("5"));
    let refusing = refuse(&mut server, StatusCode::SERVICE_UNAVAILABLE, "The target does not answer.", headers);
    let mut output = Vec::new();
    let reading = async {
        client.read_to_end(&mut output).await.unwrap();
        drop(client);
    };
    tokio::join!(refusing, reading);
    let answer = answers(&output, true).remove(0);
    assert!(output.starts_with(b"HTTP/1.1 503 Service Unavailable\r\n"));
    assert_eq!(answer.text(), "The target does not answer.\n");
    for (name, value) in [
        ("connection", "close"),
        ("content-type", "text/plain; charset=utf-8"),
        ("retry-after", "5"),
        ("cache-control", "no-cache"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    assert!(httpdate::parse_http_date(answer.header("date")).is_ok());
    assert!(!answer.headers.contains_key("server"));
}

#[tokio::test]
async fn a_client_that_is_still_sending_reads_its_refusal() {
    let (mut client, mut server) = connected().await;
    let refusing = async {
        refuse(&mut server, StatusCode::FORBIDDEN, "No.", HeaderMap::new()).await;
        drop(server);
    };
    let asking = async {
        client.write_all(&vec![b'x'; 150_000]).await.unwrap();
        read_while_sending(client).await
    };
    let ((), output) = timeout(Duration::from_secs(20), async { tokio::join!(refusing, asking) }).await.unwrap();
    assert_eq!(answers(&output, true)[0].text(), "No.\n");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_neither_reads_nor_leaves_is_not_waited_for() {
    for pipe in [16, 64 * 1024] {
        let (client, mut server) = duplex(pipe);
        let begin = Instant::now();
        refuse(&mut server, StatusCode::FORBIDDEN, "No.", HeaderMap::new()).await;
        assert!(begin.elapsed() <= Duration::from_secs(2), "{:?}", begin.elapsed());
        drop(client);
    }
}
