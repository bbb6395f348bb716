//! How the fake speaks HTTP/1.1, also with clients that do what no HTTP library does.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use handinger::fake::{FakeHandinger, Fault};

use crate::fake::{HOOK, with_webhook, with_worker};

const PATH: &str = "/api/workers/wrk_1/webhook";
const NO_WEBHOOK: &str = r#"{"token":null,"url":null}"#;
const MIB: usize = 1024 * 1024;

/// A client without an HTTP library.
struct Client {
    stream: TcpStream,
    key: String,
    received: Vec<u8>,
}

struct Response {
    status: u16,
    head: String,
    body: String,
}

impl Client {
    fn of(fake: &FakeHandinger) -> Self {
        let stream = TcpStream::connect(fake.base_url().trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { stream, key: fake.api_key().to_owned(), received: Vec::new() }
    }

    /// A request with the usual headers, and these.
    fn request(&self, method: &str, target: &str, headers: &str) -> String {
        format!(
            "{method} {target} HTTP/1.1\r\nHost: fake\r\nAuthorization: Bearer {}\r\n{headers}\r\n",
            self.key
        )
    }

    fn put(&self, headers: &str) -> String {
        self.request("PUT", PATH, &format!("Content-Type: application/json\r\n{headers}"))
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    fn receive(&mut self) -> usize {
        let mut buffer = [0; 4096];
        let count = self.stream.read(&mut buffer).unwrap();
        self.received.extend_from_slice(&buffer[..count]);
        count
    }

    fn take(&mut self, length: usize) -> String {
        while self.received.len() < length {
            assert_ne!(self.receive(), 0, "the connection ended in a response");
        }
        String::from_utf8(self.received.drain(..length).collect()).unwrap()
    }

    fn head(&mut self) -> (u16, String) {
        let end = loop {
            match self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => assert_ne!(self.receive(), 0, "the connection ended in a head"),
            }
        };
        let head = self.take(end).to_lowercase();
        let status = head.strip_prefix("http/1.1 ").unwrap()[..3].parse().unwrap();
        (status, head)
    }

    fn response(&mut self) -> Response {
        let (status, head) = self.head();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        Response { status, body: self.take(length), head }
    }

    fn exchange(&mut self, bytes: impl AsRef<[u8]>) -> Response {
        self.send(bytes);
        self.response()
    }

    /// How the connection ends, after nothing more: as it should, or with an error.
    fn end(mut self) -> Result<(), ErrorKind> {
        assert_eq!(String::from_utf8_lossy(&self.received), "");
        match self.stream.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => panic!("there is more"),
            Err(error) => Err(error.kind()),
        }
    }
}

fn chunked(chunks: &[&str]) -> String {
    let chunks: Vec<_> = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
    chunks.concat()
}

#[test]
fn a_connection_serves_one_request_after_another() {
    let fake = with_worker();
    let mut client = Client::of(&fake);
    let get = client.request("GET", PATH, "");
    for _ in 0..3 {
        let response = client.exchange(&get);
        assert_eq!((response.status, &*response.body), (200, NO_WEBHOOK));
        assert!(!response.head.contains("connection:"), "{}", response.head);
    }
    assert_eq!(client.exchange(client.request("GET", "/", "")).status, 404);
    let response = client.exchange(client.request("GET", PATH, "Connection: keep-alive, CLOSE\r\n"));
    assert!(response.head.contains("\r\nconnection: close\r\n"), "{}", response.head);
    assert_eq!(client.end(), Ok(()));
}

#[test]
fn pipelined_requests_are_served_in_order_and_to_the_byte() {
    let fake = with_worker();
    let mut client = Client::of(&fake);
    let body = format!(r#"{{"url":"{HOOK}"}}"#);
    let put = client.put(&format!("Content-Length: {}\r\n", body.len())) + &body;
    let chunks = client.put("Transfer-Encoding: chunked\r\n") + &chunked(&[r#"{"url":"#, "null}", ""]);
    let (get, delete) = (client.request("GET", PATH, ""), client.request("DELETE", PATH, ""));
    client.send([&*get, &put, &get, &chunks, &get, &put, &delete, "\r\n", &get].concat().repeat(20));
    for _ in 0..20 {
        let bodies: Vec<_> = (0..8).map(|_| client.response().body).collect();
        let is_set: Vec<_> = bodies.iter().map(|body| body.contains(HOOK)).collect();
        assert_eq!(is_set, [false, true, true, false, false, true, false, false], "{bodies:?}");
    }
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.end(), Ok(()));
    assert_eq!(fake.request_count(), 160);
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let fake = with_worker();
    let mut client = Client::of(&fake);
    client.stream.set_nodelay(true).unwrap();
    let request = client.put("Transfer-Encoding: chunked\r\n")
        + &chunked(&[r#"{"url":"#, "null}"])
        + "0\r\nX-Trailer: 1\r\n\r\n";
    for byte in (request.clone() + &request).bytes() {
        client.send([byte]);
    }
    for _ in 0..2 {
        let response = client.response();
        assert_eq!((response.status, &*response.body), (200, NO_WEBHOOK));
    }
}

#[test]
fn chunked_bodies_may_have_extensions_and_trailers() {
    let fake = with_worker();
    let mut client = Client::of(&fake);
    for body in [
        "e\r\n{\"url\": null }\r\n0\r\n\r\n",
        "00E;a=b;c=\"d\"\r\n{\"url\": null }\r\n000;x\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n",
        "1\r\n{\r\n2 ; a\r\n\"u\r\nC\r\nrl\": null } \r\n0\r\n\r\n",
    ] {
        let response = client.exchange(client.put("Transfer-Encoding: Chunked\r\n") + body);
        assert_eq!((response.status, &*response.body), (200, NO_WEBHOOK), "{body}");
    }
    assert!(fake.requests().iter().all(|request| request.body_text().trim() == r#"{"url": null }"#));
}

#[test]
fn a_client_may_expect_100_continue() {
    let fake = with_worker();
    let mut client = Client::of(&fake);
    client.send(client.put("Content-Length: 12\r\nExpect: 100-Continue\r\n"));
    let (status, head) = client.head();
    assert_eq!((status, &*head), (100, "http/1.1 100 continue\r\n\r\n"));
    assert_eq!(fake.request_count(), 0);
    assert_eq!(client.exchange(r#"{"url":null}"#).status, 200);

    // Without a body there is nothing to wait for.
    assert_eq!(client.exchange(client.request("GET", PATH, "Expect: 100-continue\r\n")).status, 200);
    // A body that is too large is rejected before it is sent.
    let response = client.exchange(client.put("Content-Length: 2000000\r\nExpect: 100-continue\r\n"));
    assert_eq!(response.status, 413);

    let mut client = Client::of(&fake);
    assert_eq!(client.exchange(client.put("Content-Length: 12\r\nExpect: 200-ok\r\n")).status, 417);
}

#[test]
fn head_is_get_without_the_body() {
    let fake = with_worker();
    let mut client = Client::of(&fake);
    client.send(client.request("HEAD", PATH, ""));
    let (status, head) = client.head();
    assert_eq!(status, 200);
    assert!(head.contains(&format!("content-length: {}\r\n", NO_WEBHOOK.len())), "{head}");
    client.send(client.request("HEAD", "/", ""));
    assert_eq!(client.head().0, 404);
    assert_eq!(client.exchange(client.request("GET", PATH, "")).body, NO_WEBHOOK);
    assert_eq!(fake.requests()[0].operation(), None);
}

#[test]
fn options_says_what_is_allowed_without_a_key() {
    let fake = with_worker();
    let mut client = Client::of(&fake);
    client.key.clear();
    for (target, allowed) in [
        (PATH, "get, head, put, delete, options"),
        ("/api/workers/wrk_1/webhook/regenerate-token", "post, options"),
        ("/api/workers/wrk_1/webhook/executions", "get, head, options"),
    ] {
        let response = client.exchange(client.request("OPTIONS", target, ""));
        assert_eq!(response.status, 204);
        assert!(response.head.contains(&format!("\r\nallow: {allowed}\r\n")), "{}", response.head);
        assert!(!response.head.contains("content-"), "{}", response.head);
    }
    assert_eq!(client.exchange(client.request("OPTIONS", "*", "")).status, 204);
    assert_eq!(client.exchange(client.request("OPTIONS", "/", "")).status, 401);
}

#[test]
fn http_1_0_is_served_once() {
    let fake = with_worker();
    let mut client = Client::of(&fake);
    let request = format!("GET {PATH} HTTP/1.0\r\nAuthorization: Bearer {}\r\n\r\n", fake.api_key());
    let response = client.exchange(request);
    assert_eq!((response.status, &*response.body), (200, NO_WEBHOOK));
    assert!(response.head.contains("connection: close"), "{}", response.head);
    assert_eq!(client.end(), Ok(()));
}

#[test]
fn the_target_may_be_a_complete_url() {
    let fake = with_worker();
    let mut client = Client::of(&fake);
    let target = format!("{}{PATH}/executions?page=3", fake.base_url());
    assert_eq!(client.exchange(client.request("GET", &target, "")).status, 200);
    let request = &fake.requests()[0];
    assert_eq!((&*request.path, request.query.as_deref()), (&*format!("{PATH}/executions"), Some("page=3")));
    assert_eq!(client.exchange(client.request("GET", "http://fake", "")).status, 404);
    assert_eq!(client.exchange(client.request("GET", "/a?b=http://c", "")).status, 404);
    assert_eq!(fake.requests()[2].path, "/a");
}

#[test]
fn malformed_requests_are_rejected_and_change_nothing() {
    let fake = with_webhook();
    let key = format!("Authorization: Bearer {}\r\n", fake.api_key());
    let delete = format!("DELETE {PATH} HTTP/1.1\r\nHost: fake\r\n{key}");
    for (request, status) in [
        // Two headers that disagree on where the body ends.
        (format!("{delete}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("{delete}Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456"), 400),
        (format!("{delete}Content-Length: 5, 5\r\n\r\n12345"), 400),
        (format!("{delete}Content-Length: +5\r\n\r\n12345"), 400),
        (format!("{delete}Content-Length: -1\r\n\r\n"), 400),
        (format!("{delete}Content-Length:\r\n\r\n"), 400),
        (format!("{delete}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("{delete}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501),
        (format!("DELETE {PATH} HTTP/1.0\r\n{key}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
        // Chunks.
        (format!("{delete}Transfer-Encoding: chunked\r\n\r\n\r\n\r\n"), 400),
        (format!("{delete}Transfer-Encoding: chunked\r\n\r\n;\r\n\r\n"), 400),
        (format!("{delete}Transfer-Encoding: chunked\r\n\r\nx\r\n"), 400),
        (format!("{delete}Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n"), 400),
        (format!("{delete}Transfer-Encoding: chunked\r\n\r\n0\r\nno trailer\r\n\r\n"), 400),
        (format!("{delete}Transfer-Encoding: chunked\r\n\r\n1;{}", "a".repeat(2000)), 400),
        (format!("{delete}Transfer-Encoding: chunked\r\n\r\n0\r\n{}", "X: 1\r\n".repeat(20_000)), 431),
        // Heads.
        (format!("DELETE {PATH} HTTP/1.1\r\n{key}\r\n"), 400),
        (format!("{delete}Host: other\r\n\r\n"), 400),
        (format!("{delete} folded: 1\r\n\r\n"), 400),
        (format!("{delete}X-Space : 1\r\n\r\n"), 400),
        (format!("DELETE {PATH} HTTP/3.0\r\n"), 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 505),
        ("\x16\x03\x01\x02\x00\x01".into(), 400),
        (format!("{delete}{}\r\n", "X: 1\r\n".repeat(100)), 431),
        (format!("{delete}X: {}", "x".repeat(100_000)), 431),
        // Bodies.
        (format!("{delete}Content-Length: {}\r\n\r\n", MIB + 1), 413),
        (format!("{delete}Content-Length: {}\r\n\r\n", "9".repeat(40)), 413),
        (format!("{delete}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"), 413),
        (format!("{delete}Transfer-Encoding: chunked\r\n\r\n100000\r\n{}\r\n1\r\n", "x".repeat(MIB)), 413),
    ] {
        let mut client = Client::of(&fake);
        let response = client.exchange(&request);
        let shown = &request[..request.len().min(300)];
        assert_eq!(response.status, status, "{shown}\n{}", response.body);
        assert!(response.head.contains("connection: close"), "{shown}");
        assert!(response.body.starts_with(r#"{"error":{"message":""#), "{shown}\n{}", response.body);
        assert_eq!(client.end(), Ok(()), "{shown}");
    }
    assert_eq!(fake.request_count(), 1, "that of the update");
    assert!(fake.client().retrieve_webhook("wrk_1").unwrap().url.is_some());
}

#[test]
fn what_is_just_within_the_bounds_is_served() {
    let fake = with_worker();
    let mut client = Client::of(&fake);
    let body = format!(r#"{{"url":null}}{}"#, " ".repeat(MIB - 12));
    let put = client.put(&format!("Content-Length: {MIB}\r\n")) + &body;
    assert_eq!(client.exchange(put).status, 200);
    let put = client.put("Transfer-Encoding: chunked\r\n") + &chunked(&[&body, ""]);
    assert_eq!(client.exchange(put).status, 200);
    assert_eq!(client.exchange(client.request("GET", PATH, &"X: 1\r\n".repeat(98))).status, 200);
    let padding = MIB / 16 - client.request("GET", PATH, "X: \r\n").len();
    for (padding, status) in [(padding, 200), (padding + 1, 431)] {
        let request = client.request("GET", PATH, &format!("X: {}\r\n", "x".repeat(padding)));
        assert_eq!(client.exchange(&request).status, status, "{} bytes", request.len());
    }
}

#[test]
fn a_client_that_sends_too_much_gets_to_read_why() {
    let fake = with_worker();
    let mut client = Client::of(&fake);
    let put = client.put(&format!("Content-Length: {}\r\n", 4 * MIB));
    let response = client.exchange(put + &" ".repeat(4 * MIB));
    assert_eq!(response.status, 413);
    assert_eq!(client.end(), Ok(()));
}

#[test]
fn a_client_that_sends_without_end_is_not_listened_to_for_long() {
    let fake = with_worker();
    let mut client = Client::of(&fake);
    client.send("malformed\r\n\r\n");
    let (mut sent, some) = (0, vec![0; MIB]);
    while sent < 64 * MIB && client.stream.write_all(&some).is_ok() {
        sent += MIB;
    }
    assert!(sent < 64 * MIB);
}

#[cfg(target_os = "linux")] // elsewhere, systems may end such a connection in another way
#[test]
fn a_connection_with_unread_input_is_reset() {
    let fake = with_worker();
    for fault in [Fault::hang_up(), Fault::hang_up().after_applying()] {
        let mut client = Client::of(&fake);
        fake.inject(fault.clone());
        client.send(client.request("GET", PATH, ""));
        assert_eq!(client.end(), Ok(()), "nothing was unread");

        let mut client = Client::of(&fake);
        fake.inject(fault);
        client.send(client.request("GET", PATH, "").repeat(2));
        assert_eq!(client.end(), Err(ErrorKind::ConnectionReset));
    }
}

#[test]
fn a_truncated_body_ends_with_the_connection() {
    let fake = with_worker();
    let mut client = Client::of(&fake);
    fake.inject(Fault::truncate(7));
    client.send(client.request("GET", PATH, ""));
    let (status, head) = client.head();
    assert_eq!(status, 200);
    assert!(head.contains(&format!("content-length: {}", NO_WEBHOOK.len())), "{head}");
    assert_eq!(client.take(7), NO_WEBHOOK[..7]);
    assert_eq!(client.end(), Ok(()));
}

#[test]
fn headers_of_a_fault_come_in_place_of_the_usual_ones() {
    let fake = with_worker();
    let mut client = Client::of(&fake);
    fake.inject(Fault::status(503).header("content-TYPE", "text/plain").body("down"));
    fake.inject(Fault::status(200));
    fake.inject(Fault::status(204).body("not sent"));
    fake.inject(Fault::status(200).header("Content-Length", "2").body("{}"));
    let get = client.request("GET", PATH, "");
    let response = client.exchange(&get);
    assert_eq!(
        response.head,
        "http/1.1 503 service unavailable\r\ncontent-length: 4\r\ncontent-type: text/plain\r\n\r\n"
    );
    assert_eq!(response.body, "down");
    assert_eq!(client.exchange(&get).head, "http/1.1 200 ok\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.exchange(&get).head, "http/1.1 204 no content\r\n\r\n");
    let response = client.exchange(&get);
    assert!(response.head.ends_with("connection: close\r\ncontent-length: 2\r\n\r\n"), "{}", response.head);
    assert_eq!((&*response.body, client.end()), ("{}", Ok(())));
}

#[test]
fn a_client_that_does_not_read_holds_nobody_up() {
    let fake = with_webhook();
    for _ in 0..50 {
        fake.deliver("wrk_1", 200);
    }
    let mut client = Client::of(&fake);
    let list = client.request("GET", &format!("{PATH}/executions"), "");
    // More than the buffers of both ends take.
    client.stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    while client.stream.write_all(list.repeat(1000).as_bytes()).is_ok() {}
    assert!(fake.client().retrieve_webhook("wrk_1").is_ok());

    let start = Instant::now();
    drop(fake);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn clients_that_leave_halfway_upset_nobody() {
    let fake = with_webhook();
    let client = Client::of(&fake);
    let request = client.put("Content-Length: 12\r\n") + r#"{"url":null}"#;
    for length in 0..request.len() {
        Client::of(&fake).send(&request[..length]);
    }
    assert!(fake.client().retrieve_webhook("wrk_1").unwrap().url.is_some());
    assert_eq!(fake.request_count(), 2, "part of a request was served");
}
