//! How the fake speaks HTTP/1.1, also with clients that do what no HTTP library does.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use handinger::fake::{FakeHandinger, Fault};

use crate::fake::{connect, exchange, with_webhook, with_worker};
use crate::fuzz::{Random, garbage, mutate_bytes};
use crate::support::rerun;

const PATH: &str = "/api/workers/wrk_1/webhook";
const MIB: usize = 1024 * 1024;

/// A request with the key and these headers.
fn request(fake: &FakeHandinger, method: &str, headers: &str) -> String {
    let key = fake.api_key();
    format!("{method} {PATH} HTTP/1.1\r\nHost: fake\r\nAuthorization: Bearer {key}\r\n{headers}\r\n")
}

/// Reads one response, head and body.
fn response(stream: &mut TcpStream) -> String {
    let mut response = Vec::new();
    let mut read = |length| {
        let start = response.len();
        response.resize(start + length, 0);
        stream.read_exact(&mut response[start..]).unwrap();
        String::from_utf8_lossy(&response).into_owned()
    };
    let head = loop {
        let head = read(1);
        if head.ends_with("\r\n\r\n") {
            break head;
        }
    };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    read(length.map_or(0, |length| length.parse().unwrap()))
}

/// Sends all bytes, and reads up to the end of the connection. A reset counts as the end.
fn all_responses(fake: &FakeHandinger, bytes: &[u8]) -> String {
    let mut stream = connect(fake);
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut responses = Vec::new();
    match stream.read_to_end(&mut responses) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => String::from_utf8_lossy(&responses).into_owned(),
    }
}

#[test]
fn connection_serves_one_request_after_another() {
    let fake = with_worker();
    let mut stream = connect(&fake);
    let put = request(&fake, "PUT", "Content-Length: 30\r\n") + r#"{"url":"https://example.com/"}"#;
    let [get, delete] = ["GET", "DELETE"].map(|method| request(&fake, method, ""));
    // One by one, byte by byte, and all at once.
    for _ in 0..2 {
        stream.write_all(get.as_bytes()).unwrap();
        let response = response(&mut stream);
        assert!(
            response.starts_with("HTTP/1.1 200 OK\r\n") && !response.contains("Connection"),
            "{response}"
        );
    }
    fake.inject(Fault::status(204).body("not sent"));
    stream.write_all(get.as_bytes()).unwrap();
    assert!(!response(&mut stream).contains("Content-Length"));
    stream.set_nodelay(true).unwrap();
    put.bytes().for_each(|byte| stream.write_all(&[byte]).unwrap());
    assert!(response(&mut stream).contains("https://example.com/"));
    let pipelined = [&*get, &put, &delete, &get].concat().repeat(50);
    stream.write_all(pipelined.as_bytes()).unwrap();
    for number in 0..200 {
        let has_webhook = response(&mut stream).contains("https://example.com/");
        assert_eq!(has_webhook, number == 0 || number % 4 == 1, "response {number}");
    }
    stream.write_all(request(&fake, "GET", "Connection: keep-alive, CLOSE\r\n").as_bytes()).unwrap();
    assert!(response(&mut stream).contains("\r\nConnection: close\r\n"));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn unsupported_and_malformed_requests_get_400_and_the_end_of_the_connection() {
    let fake = with_webhook();
    let delete = |headers: &str| request(&fake, "DELETE", headers);
    let long = "x".repeat(70_000);
    for (message, sent) in [
        ("the fake supports only GET, PUT, POST and DELETE", request(&fake, "HEAD", "")),
        (
            "the fake does not support Transfer-Encoding",
            delete("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n",
        ),
        ("the fake does not support Expect", delete("Content-Length: 5\r\nExpect: 100-continue\r\n")),
        ("malformed Content-Length", delete("Content-Length: 5, 5\r\n") + "12345"),
        ("malformed Content-Length", delete("Content-Length: -1\r\n")),
        ("malformed Content-Length", delete("Content-Length:\r\n")),
        ("malformed Content-Length", delete(&format!("Content-Length: {}\r\n", "9".repeat(40)))),
        ("the request's body is over 1 MiB", delete("Content-Length: 1048577\r\n") + &" ".repeat(MIB + 1)),
        ("the request's head is over 64 KiB", delete(&format!("X: {long}\r\n"))),
        ("the request's head is over 64 KiB", format!("GET / HTTP/1.1\r\nX: {long}")),
        ("malformed request: too many headers", delete(&"X: 1\r\n".repeat(100))),
        ("malformed request: invalid header name", delete(" folded: 1\r\n")),
        ("the fake supports only HTTP/1.1", format!("DELETE {PATH} HTTP/1.0\r\n\r\n")),
        ("malformed request: invalid HTTP version", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into()),
        ("malformed request: invalid token", "\x16\x03\x01\x02\x00\x01".into()), // TLS
    ] {
        let response = exchange(&fake, &sent);
        let shown = format!("{}\n{response}", &sent[..sent.len().min(200)]);
        assert!(response.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{shown}");
        assert!(response.contains("\r\nConnection: close\r\n"), "{shown}");
        assert!(response.ends_with(&format!(r#"{{"error":{{"message":"{message}"}}}}"#)), "{shown}");
    }
    assert_eq!(fake.request_count(), 1, "a rejected request was recorded");
    assert!(fake.client().retrieve_webhook("wrk_1").unwrap().url.is_some());
}

#[test]
fn malformed_input_neither_panics_nor_hangs() {
    // A process of its own, whose stderr has the message of each panic.
    if std::env::var_os("MALFORMED_INPUT").is_none() {
        let test = "fake_server::malformed_input_neither_panics_nor_hangs";
        assert_eq!(rerun(test, &[("MALFORMED_INPUT", "1")]), "");
        return;
    }
    let fake = with_worker();
    let put = request(&fake, "PUT", "Content-Length: 12\r\n") + r#"{"url":null}"#;
    for round in 0..500 {
        let mut random = Random::new(20, round);
        let mut bytes = put.repeat(2).into_bytes();
        mutate_bytes(&mut random, &mut bytes);
        if random.one_in(4) {
            bytes.truncate(random.below(bytes.len()));
        } else if random.one_in(10) {
            bytes = garbage(&mut random);
        }
        let responses = all_responses(&fake, &bytes);
        let complete = responses.matches("\r\nContent-Length: ").count();
        assert_eq!(responses.matches("HTTP/1.1 ").count(), complete, "{responses}");
    }
    assert!(fake.client().retrieve_webhook("wrk_1").is_ok());
}

#[test]
fn part_of_a_request_is_not_applied() {
    let fake = with_webhook();
    let put = request(&fake, "PUT", "Content-Length: 12\r\n") + r#"{"url":null}"#;
    for length in 0..put.len() {
        assert_eq!(all_responses(&fake, &put.as_bytes()[..length]), "", "after {length} bytes");
    }
    assert_eq!(fake.request_count(), 1);
    assert!(fake.client().retrieve_webhook("wrk_1").unwrap().url.is_some());
}

#[test]
fn client_that_does_not_read_delays_no_other_and_no_stop() {
    const REQUESTS: usize = 3000;
    let fake = with_webhook();
    for _ in 0..50 {
        fake.deliver("wrk_1", 200);
    }
    let mut stream = connect(&fake);
    let list = request(&fake, "GET", "").replacen(PATH, &format!("{PATH}/executions"), 1);
    stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let _ = stream.write_all(list.repeat(REQUESTS).as_bytes());
    // The fake goes on until the responses have filled the buffers of both ends.
    let mut served = 0;
    while fake.request_count() > served {
        served = fake.request_count();
        thread::sleep(Duration::from_millis(50));
    }
    assert!(served < REQUESTS, "the buffers took all responses");
    assert!(fake.client().retrieve_webhook("wrk_1").is_ok());
    fake.stop();
    assert!(fake.client().retrieve_webhook("wrk_1").unwrap_err().is_connect());
}
