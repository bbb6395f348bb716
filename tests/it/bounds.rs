//! Flat memory for any response. Each call runs in a process of its own, so that the peak is that call's.

use std::env;
use std::io::Write;

use crate::support::{Server, client, rerun, response};

const BASE_URL: &str = "HANDINGER_TEST_BOUNDS";
const MIB: usize = 1024 * 1024;
/// The most memory that a call may need, in KiB: a body of 10 MiB, what is decoded from it, and the test binary.
const PEAK: u64 = 40 * 1024;

/// Runs in the child process of [`outcome`].
#[test]
fn child() {
    let Ok(base_url) = env::var(BASE_URL) else { return };
    let result = client(base_url).list_executions("wrk_1", 1);
    match result {
        Ok(page) => eprintln!("{} executions", page.logs.len()),
        Err(error) => eprintln!("{:?}: {}", error.kind(), error.to_string().split_once(": ").unwrap().1),
    }
    // The other systems report it by system calls alone, which need `unsafe`.
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        assert!(peak < PEAK, "{peak} KiB");
    }
}

/// The outcome of a list in a process that does nothing else, and on Linux must not grow over [`PEAK`].
#[track_caller]
fn outcome(server: &Server) -> String {
    rerun("bounds::child", &[(BASE_URL, server.base_url())]).trim_end().to_owned()
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

const TOO_LARGE: &str = "TooLarge: the response body is over 10 MiB";

#[test]
fn endless_body_is_an_error() {
    let spaces = || vec![b' '; 64 * 1024];
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", u64::MAX);
    let chunk = [b"10000\r\n".to_vec(), spaces(), b"\r\n".to_vec()].concat();
    let chunked = endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk);
    for server in [endless("HTTP/1.1 200 OK\r\n\r\n", spaces()), endless(announced, spaces()), chunked] {
        assert_eq!(outcome(&server), TOO_LARGE);
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn endless_body_of_an_error_status_is_read_in_part() {
    let server = endless("HTTP/1.1 404 Not Found\r\n\r\n", b"no such worker ".repeat(4096));
    assert!(outcome(&server).starts_with("Status: the server returned 404: no such worker no such"));
}

#[test]
fn endless_headers_are_an_error() {
    let one = endless("HTTP/1.1 200 OK\r\nX-Long: ", vec![b'x'; 4096]);
    assert_eq!(outcome(&one), "TooLarge: the response headers are over 64 KiB");
}

/// Sends endless zeros, compressed to a thousandth. A full flush makes the bytes independent of those before them, so
/// that they can be repeated.
#[cfg(feature = "gzip")]
#[test]
fn gzip_bomb_is_an_error() {
    use flate2::{Compress, Compression, FlushCompress};

    let mut zeros = Vec::with_capacity(64 * 1024);
    let mut deflate = Compress::new(Compression::best(), false);
    deflate.compress_vec(&vec![0; MIB], &mut zeros, FlushCompress::Full).unwrap();
    assert!(deflate.total_in() == MIB as u64 && zeros.len() < 4096);
    for (status, expected) in [("200 OK", TOO_LARGE), ("404 Oops", "Status: the server returned 404")] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Encoding: gzip\r\n\r\n");
        let server = endless([head.as_bytes(), b"\x1f\x8b\x08\0\0\0\0\0\0\xff"].concat(), zeros.clone());
        assert_eq!(outcome(&server), expected);
    }
}

/// A page with so many executions of the least size.
fn page_of(count: usize) -> String {
    let times = r#""createdAt":"2026-01-01T00:00:00Z","durationMs":0"#;
    let execution = format!(r#"{{"id":"",{times},"requestStatus":"","url":"","workerId":""}}"#);
    let executions = vec![execution; count].join(",");
    format!(r#"{{"logs":[{executions}],"page":1,"pageCount":1,"totalCount":1}}"#)
}

#[test]
fn body_of_ten_mebibytes_is_read_and_one_byte_more_is_an_error() {
    let page = page_of(8 * MIB / 101);
    let body = page.clone() + &" ".repeat(10 * MIB - page.len());
    let expected = format!("{} executions", 8 * MIB / 101);
    assert_eq!(outcome(&Server::responding([response(200, &body)])), expected);
    assert_eq!(outcome(&Server::responding([response(200, body + " ")])), TOO_LARGE);
}

#[test]
fn deeply_nested_json_neither_overflows_the_stack_nor_hides_the_status() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    // An unknown field is skipped, however deep it is.
    let unknown = page_of(1).replacen('{', &format!(r#"{{"new":{deep},"#), 1);
    for (status, body, expected) in [
        (200, format!(r#"{{"logs":{deep}}}"#), "Decode: the response is not what the API documents"),
        (200, unknown, "1 executions"),
        (404, format!(r#"{{"error":{deep}}}"#), "Status: the server returned 404"),
    ] {
        assert_eq!(outcome(&Server::responding([response(status, body)])), expected);
    }
}
