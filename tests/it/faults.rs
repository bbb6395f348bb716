//! Connections: which call uses which, and what comes of lost ones and of responses that are malformed.

use std::error::Error as _;
use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use handinger::{Error, ErrorKind};

use crate::support::{
    ANY_BODY, CALLS, Fault, Server, WEBHOOK, Waits, builder, client, response, sends, sends_and_resets,
    wait_until,
};

#[test]
fn calls_reuse_a_connection_and_a_regenerate_opens_its_own() {
    let server = Server::responding([response(200, ANY_BODY)]);
    let client = client(server.base_url());
    // The regenerate is the last of the five.
    for ((name, call), connections) in CALLS.into_iter().chain(CALLS).zip([1, 1, 1, 1, 2, 2, 2, 2, 2, 3]) {
        call(&client).unwrap();
        assert_eq!(server.connections(), connections, "{name}");
    }
}

#[test]
fn connections_that_died_in_silence_cost_one_attempt_and_leave_the_pool() {
    const POOLED: usize = 3;
    let (waiting, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (arrived, closing) = (Arc::clone(&waiting), Arc::clone(&closed));
    let server = Server::start(move |number, connection| {
        if number < POOLED {
            connection.request();
            arrived.fetch_add(1, SeqCst);
            wait_until(|| arrived.load(SeqCst) == POOLED); // so that each request opens a connection
            connection.send(response(200, ANY_BODY));
            connection.stay_silent();
            closing.fetch_add(1, SeqCst);
        } else {
            connection.respond_to_all(response(200, ANY_BODY));
        }
    });
    let waits = Waits::default();
    let client = builder(server.base_url()).sleep_with(waits.recorder()).build().unwrap();
    thread::scope(|scope| {
        for _ in 0..POOLED {
            scope.spawn(|| client.retrieve_webhook("wrk_1").unwrap());
        }
    });
    assert_eq!(server.connections(), POOLED);

    client.with_timeout(Duration::from_millis(250)).delete_webhook("wrk_1").unwrap();
    assert_eq!((waits.take().len(), server.connections()), (1, POOLED + 1));
    // The retry drops the host's idle connections: `max_idle_age(0)`, design.md §4.
    wait_until(|| closed.load(SeqCst) == POOLED);
    client.retrieve_webhook("wrk_1").unwrap();
    assert_eq!((waits.take().len(), server.connections()), (0, POOLED + 1));
}

#[test]
fn connection_that_is_closed_with_the_second_request_costs_a_retry_and_never_a_regenerate() {
    for (name, call) in CALLS {
        let server = Server::start(|number, connection| {
            connection.request();
            connection.send(response(200, ANY_BODY));
            if number == 0 {
                connection.request();
            } else {
                connection.respond_to_all(response(200, ANY_BODY));
            }
        });
        let client = client(server.base_url());
        client.retrieve_webhook("wrk_1").unwrap();
        call(&client).unwrap();
        let retries = usize::from(name != "regenerate");
        assert_eq!((server.requests().len(), server.connections()), (2 + retries, 2), "{name}");
    }
}

#[test]
fn connection_that_was_closed_while_idle_costs_no_retry() {
    for goodbye in [Vec::new(), response(408, r#"{"message": "idle for too long"}"#)] {
        let closed = Arc::new(AtomicUsize::new(0));
        let closing = Arc::clone(&closed);
        let server = Server::start(move |_, connection| {
            connection.request();
            connection.send(response(200, ANY_BODY));
            connection.send(&goodbye);
            connection.stream.shutdown(Shutdown::Both).unwrap();
            closing.fetch_add(1, SeqCst);
        });
        let client = client(server.base_url()).with_max_retries(0);
        for calls in 1..=3 {
            client.update_webhook("wrk_1", "https://example.com/hook").unwrap();
            wait_until(|| closed.load(SeqCst) == calls);
        }
        assert_eq!((server.requests().len(), server.connections()), (3, 3));
    }
}

/// The error of a regenerate with this fault. `{:#}` appends its cause.
#[track_caller]
fn error_of(what: &str, fault: &Fault, problem: &str) -> Error {
    let server = Server::faulty(usize::MAX, fault);
    let error = client(server.base_url()).regenerate_token("wrk_1").unwrap_err();
    let message = format!(
        "regenerate token of worker wrk_1: {problem}; the change may have been applied: {}",
        error.source().unwrap_or_else(|| panic!("{what}: {error}"))
    );
    assert_eq!((error.kind(), format!("{error:#}")), (ErrorKind::Transport, message), "{what}");
    error
}

fn head(headers: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n")
}

#[test]
fn lost_connection_is_named_and_what_arrived_is_kept() {
    let sized = head("Content-Length: 1000") + WEBHOOK;
    let chunked = head("Transfer-Encoding: chunked") + "2\r\n{}\r\n";
    for (what, fault, status, body) in [
        ("closed before the request", Arc::new(|_: &mut _| {}) as Fault, None, ""),
        ("reset before the headers", sends_and_resets(""), None, ""),
        ("closed within the headers", sends("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nDate"), None, ""),
        ("closed within the body", sends(sized.clone()), Some(200), WEBHOOK),
        ("reset within the body", sends_and_resets(sized), Some(200), WEBHOOK),
        ("closed before the last chunk", sends(chunked), Some(200), "{}"),
    ] {
        let error = error_of(what, &fault, "connection lost");
        assert!(error.source().unwrap().is::<io::Error>(), "{what}: {error:?}");
        // A reset can overtake what was sent before it.
        if !what.starts_with("reset") {
            assert_eq!((error.status(), error.body()), (status, body.as_bytes()), "{what}");
        }
    }
}

#[test]
fn invalid_response_is_named() {
    let chunked = head("Transfer-Encoding: chunked");
    for (what, bytes) in [
        ("zeros", vec![0; 4096]),
        ("HTML of HTTP/0.9", b"<html><body>It works!</body></html>\r\n".to_vec()),
        ("a frame of HTTP/2", b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0".to_vec()),
        ("two Content-Lengths", (head("Content-Length: 2\r\nContent-Length: 3") + "{}x").into()),
        ("a chunk size of letters", (chunked + "xyz\r\n{}\r\n0\r\n\r\n").into()),
    ] {
        error_of(what, &sends(bytes), "the response is truncated or malformed");
    }
    #[cfg(feature = "gzip")]
    {
        let body = crate::fuzz::gzip(WEBHOOK.as_bytes());
        let headers = format!("Content-Encoding: gzip\r\nContent-Length: {}", body.len() - 10);
        let truncated = [head(&headers).as_bytes(), &body[..body.len() - 10]].concat();
        error_of("a truncated gzip", &sends(truncated), "the response is truncated or malformed");
    }
}
