//! Flat memory, whatever comes: each call is made in a process of its own, so that the peak is that call's.

use std::env;
use std::fs;
use std::io::Write;
use std::iter;

use crate::support::{Server, WEBHOOK, answer, client, rerun};

const SCENARIO: &str = "HANDINGER_TEST_BOUNDS";
const MIB: usize = 1024 * 1024;
/// The most that a call may need, in KiB: a body of 10 MiB, what is decoded from it, and the test binary.
const PEAK: u64 = 40 * 1024;

/// The other side of [`outcome`].
#[test]
fn child() {
    let Ok(scenario) = env::var(SCENARIO) else { return };
    let (call, base_url) = scenario.split_once(' ').unwrap();
    let client = client(base_url);
    let result = match call {
        "list" => client.list_executions("wrk_1", 1).map(|list| format!("{} rows", list.logs.len())),
        _ => client.retrieve_webhook("wrk_1").map(|webhook| format!("{webhook:?}")),
    };
    let outcome = result.unwrap_or_else(|error| format!("{:?}: {error}", error.kind()));
    eprintln!("{outcome}\n{}", peak().unwrap_or_default());
}

/// The largest size that this process had in memory, in KiB; only Linux tells.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// What a call gives in a process that has nothing else to do, which must not have grown over [`PEAK`].
#[track_caller]
fn outcome(call: &str, server: &Server) -> String {
    let printed = rerun("bounds::child", &[(SCENARIO, &format!("{call} {}", server.base_url()))]);
    let (outcome, peak) = printed.trim_end().rsplit_once('\n').unwrap();
    println!("{peak} KiB: {outcome}");
    assert!(peak.parse::<u64>().unwrap() < PEAK, "{peak} KiB: {outcome}");
    outcome.to_owned()
}

/// A server that sends a head, and then the same bytes for as long as anybody takes them.
fn endless(head: impl Into<Vec<u8>>, bytes: Vec<u8>) -> Server {
    let head = head.into();
    Server::start(move |_, connection| {
        if connection.request().is_some() {
            connection.send(&head);
            while connection.stream.write_all(&bytes).is_ok() {}
        }
    })
}

const TOO_LARGE: &str = "Decode: retrieve webhook of worker wrk_1: the answer's body is over 10 MiB";

#[test]
fn an_endless_body_is_given_up() {
    let server = endless("HTTP/1.1 200 OK\r\n\r\n", vec![b' '; 64 * 1024]);
    assert_eq!(outcome("retrieve", &server), TOO_LARGE);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn an_endless_chunked_body_is_given_up() {
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 64 * 1024], b"\r\n".to_vec()].concat();
    let server = endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk);
    assert_eq!(outcome("retrieve", &server), TOO_LARGE);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_large_body_is_given_up_and_its_announced_length_not_believed() {
    for length in [64 * MIB as u64, u64::MAX] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let server = endless(head, vec![b' '; 64 * 1024]);
        assert_eq!(outcome("retrieve", &server), TOO_LARGE, "{length}");
    }
}

#[test]
fn of_an_endless_error_only_the_beginning_is_read() {
    let server = endless("HTTP/1.1 404 Not Found\r\n\r\n", b"no such worker ".repeat(4096));
    let outcome = outcome("retrieve", &server);
    let beginning =
        "Status: retrieve webhook of worker wrk_1: the server answered 404: no such worker no such";
    assert!(outcome.starts_with(beginning), "{outcome}");
}

#[test]
fn endless_headers_are_given_up() {
    let server = endless("HTTP/1.1 200 OK\r\nX-Long: ", vec![b'x'; 4096]);
    assert_eq!(
        outcome("retrieve", &server),
        "Decode: retrieve webhook of worker wrk_1: the answer's headers are over 64 KiB"
    );
    let server = endless("HTTP/1.1 200 OK\r\n", b"X-Many: x\r\n".repeat(400));
    assert_eq!(
        outcome("retrieve", &server),
        "Decode: retrieve webhook of worker wrk_1: the answer has over 128 headers"
    );
}

/// Zeros, compressed to a thousandth, again and again for as long as anybody takes them: a full flush makes the
/// bytes independent of what went before, so that they can be repeated.
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
fn a_gzip_bomb_is_given_up() {
    assert_eq!(outcome("retrieve", &gzip_bomb("HTTP/1.1 200 OK")), TOO_LARGE);

    let server = gzip_bomb("HTTP/1.1 500 Oops");
    let expected = "Status: retrieve webhook of worker wrk_1: the server answered 500 (3 tries)";
    assert_eq!(outcome("retrieve", &server), expected);
}

/// Rows of the least size, of which a body holds the most, and one row more with a title.
fn list_of(rows: usize, title: &str) -> String {
    let times = r#""createdAt":"2026-01-01T00:00:00Z","durationMs":0"#;
    let row = format!(r#"{{"id":"",{times},"requestStatus":"","url":"","workerId":""}}"#);
    let rows = iter::repeat_n(&*row, rows).collect::<Vec<_>>().join(",");
    let last = row.replacen('{', &format!(r#"{{"taskTitle":"{title}","#), 1);
    format!(r#"{{"logs":[{rows},{last}],"page":1,"pageCount":1,"totalCount":1}}"#)
}

#[test]
fn eight_mebibytes_of_json_decode() {
    for list in [list_of(8 * MIB / 101, ""), list_of(1, &"t".repeat(8 * MIB))] {
        assert!((8 * MIB..9 * MIB).contains(&list.len()), "{}", list.len());
        let rows = format!("{} rows", list.matches("createdAt").count());
        let server = Server::answering([answer(200, list)]);
        assert_eq!(outcome("list", &server), rows);
    }
}

#[test]
fn ten_mebibytes_are_read_and_no_byte_more() {
    let body = WEBHOOK.to_owned() + &" ".repeat(10 * MIB - WEBHOOK.len());
    let server = Server::answering([answer(200, &body)]);
    let webhook = r#"Webhook { url: Some("https://example.com/…"), token: Some(WebhookToken([redacted])) }"#;
    assert_eq!(outcome("retrieve", &server), webhook);

    let server = Server::answering([answer(200, body + " ")]);
    assert_eq!(outcome("retrieve", &server), TOO_LARGE);
}

#[test]
fn deeply_nested_json_neither_overflows_the_stack_nor_hides_the_status() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (status, body, expected) in [
        (
            200,
            format!(r#"{{"url":{deep}}}"#),
            "Decode: retrieve webhook of worker wrk_1: the answer is not what the API promises",
        ),
        (
            200,
            deep.clone(),
            "Decode: retrieve webhook of worker wrk_1: the answer is not what the API promises",
        ),
        // What is not known is skipped, however deep it is.
        (200, format!(r#"{{"url":null,"new":{deep}}}"#), "Webhook { url: None, token: None }"),
        (
            404,
            format!(r#"{{"error":{deep}}}"#),
            "Status: retrieve webhook of worker wrk_1: the server answered 404",
        ),
    ] {
        let server = Server::answering([answer(status, body)]);
        assert_eq!(outcome("retrieve", &server), expected);
    }
}
