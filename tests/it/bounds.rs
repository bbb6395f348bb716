//! Flat memory for any response. Each call runs in a process of its own, so that the peak is that call's.

use std::env;
use std::io::Write;
use std::iter;

use crate::support::{Server, WEBHOOK, client, rerun, response};

const SCENARIO: &str = "HANDINGER_TEST_BOUNDS";
const MIB: usize = 1024 * 1024;
/// The most memory that a call may need, in KiB: a body of 10 MiB, what is decoded from it, and the test binary.
const PEAK: u64 = 40 * 1024;

/// Runs in the child process of [`outcome`].
#[test]
fn child() {
    let Ok(scenario) = env::var(SCENARIO) else { return };
    let (call, base_url) = scenario.split_once(' ').unwrap();
    let client = client(base_url);
    let result = match call {
        "list" => client.list_executions("wrk_1", 1).map(|list| format!("{} executions", list.logs.len())),
        _ => client.retrieve_webhook("wrk_1").map(|webhook| format!("{webhook:?}")),
    };
    let outcome = result.unwrap_or_else(|error| format!("{:?}: {error}", error.kind()));
    eprintln!("{outcome}");
    #[cfg(target_os = "linux")]
    assert!(peak() < PEAK, "{} KiB: {outcome}", peak());
}

/// The largest size that this process has had in memory, in KiB. The other systems report it by system calls alone,
/// which need `unsafe`.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// The outcome of a call in a process that does nothing else, and on Linux must not grow over [`PEAK`].
#[track_caller]
fn outcome(call: &str, server: &Server) -> String {
    let variables = [(SCENARIO, format!("{call} {}", server.base_url()))];
    rerun("bounds::child", &variables).trim_end().to_owned()
}

/// A server that sends a head, and then the same bytes until the client closes the connection.
fn endless(head: impl Into<Vec<u8>>, bytes: Vec<u8>) -> Server {
    let head = head.into();
    Server::start(move |_, connection| {
        if connection.request().is_some() {
            connection.send(&head);
            while connection.stream.write_all(&bytes).is_ok() {}
        }
    })
}

#[track_caller]
fn assert_too_large(server: &Server, what: &str) {
    assert_eq!(outcome("retrieve", server), format!("TooLarge: retrieve webhook of worker wrk_1: {what}"));
    assert_eq!(server.requests().len(), 1);
}

const BODY: &str = "the response body is over 10 MiB";

#[test]
fn endless_body_is_an_error() {
    let spaces = || vec![b' '; 64 * 1024];
    assert_too_large(&endless("HTTP/1.1 200 OK\r\n\r\n", spaces()), BODY);
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", u64::MAX);
    assert_too_large(&endless(announced, spaces()), BODY);
    let chunk = [b"10000\r\n".to_vec(), spaces(), b"\r\n".to_vec()].concat();
    assert_too_large(&endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk), BODY);
}

#[test]
fn endless_body_of_an_error_status_is_read_in_part() {
    let server = endless("HTTP/1.1 404 Not Found\r\n\r\n", b"no such worker ".repeat(4096));
    let outcome = outcome("retrieve", &server);
    let start = "Status: retrieve webhook of worker wrk_1: the server returned 404: no such worker no such";
    assert!(outcome.starts_with(start), "{outcome}");
}

#[test]
fn endless_headers_are_an_error() {
    let one = endless("HTTP/1.1 200 OK\r\nX-Long: ", vec![b'x'; 4096]);
    assert_too_large(&one, "the response headers are over 64 KiB");
    let many = endless("HTTP/1.1 200 OK\r\n", b"X-Many: x\r\n".repeat(400));
    assert_too_large(&many, "the response has over 128 headers");
}

/// Sends endless zeros, compressed to a thousandth. A full flush makes the bytes independent of those before them, so
/// that they can be repeated.
#[cfg(feature = "gzip")]
fn gzip_bomb(status_line: &'static str) -> Server {
    use flate2::{Compress, Compression, FlushCompress};

    let mut zeros = Vec::with_capacity(64 * 1024);
    let mut deflate = Compress::new(Compression::best(), false);
    deflate.compress_vec(&vec![0; MIB], &mut zeros, FlushCompress::Full).unwrap();
    assert!(deflate.total_in() == MIB as u64 && zeros.len() < 4096);
    let head = format!("{status_line}\r\nContent-Encoding: gzip\r\n\r\n");
    let head = [head.as_bytes(), b"\x1f\x8b\x08\0\0\0\0\0\0\xff"].concat();
    endless(head, zeros)
}

#[cfg(feature = "gzip")]
#[test]
fn gzip_bomb_is_an_error() {
    assert_too_large(&gzip_bomb("HTTP/1.1 200 OK"), BODY);

    let server = gzip_bomb("HTTP/1.1 500 Oops");
    let expected = "Status: retrieve webhook of worker wrk_1: the server returned 500 (3 attempts)";
    assert_eq!(outcome("retrieve", &server), expected);
}

/// A page with so many executions of the least size, and one more with a title.
fn page_of(count: usize, title: &str) -> String {
    let times = r#""createdAt":"2026-01-01T00:00:00Z","durationMs":0"#;
    let execution = format!(r#"{{"id":"",{times},"requestStatus":"","url":"","workerId":""}}"#);
    let executions = iter::repeat_n(&*execution, count).collect::<Vec<_>>().join(",");
    let last = execution.replacen('{', &format!(r#"{{"taskTitle":"{title}","#), 1);
    format!(r#"{{"logs":[{executions},{last}],"page":1,"pageCount":1,"totalCount":1}}"#)
}

#[test]
fn eight_mebibytes_of_json_decode() {
    for page in [page_of(8 * MIB / 101, ""), page_of(1, &"t".repeat(8 * MIB))] {
        assert!((8 * MIB..9 * MIB).contains(&page.len()), "{}", page.len());
        let expected = format!("{} executions", page.matches("createdAt").count());
        let server = Server::responding([response(200, page)]);
        assert_eq!(outcome("list", &server), expected);
    }
}

#[test]
fn body_of_ten_mebibytes_is_read_and_one_byte_more_is_an_error() {
    let body = WEBHOOK.to_owned() + &" ".repeat(10 * MIB - WEBHOOK.len());
    let server = Server::responding([response(200, &body)]);
    let webhook = r#"Webhook { url: Some("https://example.com/…"), token: Some(WebhookToken([redacted])) }"#;
    assert_eq!(outcome("retrieve", &server), webhook);
    assert_too_large(&Server::responding([response(200, body + " ")]), BODY);
}

#[test]
fn deeply_nested_json_neither_overflows_the_stack_nor_hides_the_status() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let undocumented = "Decode: retrieve webhook of worker wrk_1: the response is not what the API documents";
    let not_found = "Status: retrieve webhook of worker wrk_1: the server returned 404";
    for (status, body, expected) in [
        (200, format!(r#"{{"url":{deep}}}"#), undocumented),
        (200, deep.clone(), undocumented),
        // An unknown field is skipped, however deep it is.
        (200, format!(r#"{{"url":null,"new":{deep}}}"#), "Webhook { url: None, token: None }"),
        (404, format!(r#"{{"error":{deep}}}"#), not_found),
    ] {
        let server = Server::responding([response(status, body)]);
        assert_eq!(outcome("retrieve", &server), expected);
    }
}
