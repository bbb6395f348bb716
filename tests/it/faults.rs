//! Broken transport.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use handinger::{Error, ErrorKind};

use crate::support::{
    ANYTHING, CALLS, Fault, Server, WEBHOOK, Waits, answer, builder, client, sends, sends_and_resets,
    wait_until,
};

/// How the errors of a retrieve and of a regenerate look that meet this fault on their only try.
fn errors_of(fault: &Fault) -> [Error; 2] {
    let server = Server::faulty(usize::MAX, fault);
    let client = client(server.base_url()).with_max_retries(0);
    let errors =
        [client.retrieve_webhook("wrk_1").unwrap_err(), client.regenerate_token("wrk_1").unwrap_err()];
    assert_eq!(errors.each_ref().map(Error::may_have_been_applied), [false, true]);
    errors
}

fn head(headers: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n")
}

#[test]
fn a_broken_connection_is_a_transport_error_with_its_cause() {
    let sized = head("Content-Length: 1000");
    let chunked = head("Transfer-Encoding: chunked");
    let unread_and_reset: Fault = Arc::new(|connection| {
        // An earlier reset could meet the client while it still connects.
        let _ = connection.stream.peek(&mut [0]);
        connection.reset_at_the_end();
    });
    for (what, fault, status) in [
        ("closed before the request", Arc::new(|_: &mut _| {}) as Fault, None),
        ("reset with the request unread", unread_and_reset, None),
        ("closed before the headers", sends(""), None),
        ("reset before the headers", sends_and_resets(""), None),
        ("closed within the status line", sends("HTTP/1."), None),
        ("closed within the headers", sends("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nDate"), None),
        ("reset within the headers", sends_and_resets("HTTP/1.1 200 OK\r\nDate"), None),
        ("closed after the headers", sends(sized.clone()), Some(200)),
        ("reset after the headers", sends_and_resets(sized.clone()), Some(200)),
        ("a body shorter than its Content-Length", sends(sized.clone() + WEBHOOK), Some(200)),
        ("reset within the body", sends_and_resets(sized + WEBHOOK), Some(200)),
        ("closed before the first chunk", sends(chunked.clone()), Some(200)),
        ("closed within a chunk", sends(chunked.clone() + "50\r\n{\"url\": "), Some(200)),
        ("closed before the last chunk", sends(chunked.clone() + "2\r\n{}\r\n"), Some(200)),
        ("reset before the last chunk", sends_and_resets(chunked + "2\r\n{}\r\n"), Some(200)),
    ] {
        for error in errors_of(&fault) {
            assert_eq!(error.kind(), ErrorKind::Transport, "{what}: {error:?}");
            assert!(error.to_string().contains(": the connection broke"), "{what}: {error}");
            let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
            assert!(cause.is_some(), "{what}: {:?}", error.source());
            // A reset can overtake what was sent before it.
            assert!(error.status() == status || what.starts_with("reset"), "{what}: {:?}", error.status());
        }
    }
}

#[test]
fn what_is_not_http_is_a_transport_error_with_its_cause() {
    let chunked = head("Transfer-Encoding: chunked");
    for (what, bytes) in [
        ("an SSH banner", b"SSH-2.0-OpenSSH_9.6p1\r\n".to_vec()),
        ("a mail server's greeting", b"220 mail.example.com ESMTP\r\n".to_vec()),
        ("binary junk", (0..=255).cycle().take(4096).collect()),
        ("noughts", vec![0; 4096]),
        ("an answer of HTTP/0.9", ANYTHING.into()),
        ("a page of HTTP/0.9", b"<html><body>It works!</body></html>\r\n".to_vec()),
        ("a frame of HTTP/2", b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0".to_vec()),
        ("a request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("a TLS alert", vec![21, 3, 3, 0, 2, 2, 40]),
        ("a status of letters", b"HTTP/1.1 OK 200\r\n\r\n".to_vec()),
        ("an unknown version", b"HTTP/7.0 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec()),
        ("a header without a colon", head("Content-Length 2").into()),
        ("a header with a control character", head("X: a\0b").into()),
        ("a negative Content-Length", head("Content-Length: -1").into()),
        ("a Content-Length of letters", head("Content-Length: two").into()),
        (
            "two Content-Lengths",
            [head("Content-Length: 2\r\nContent-Length: 3"), "{}x".into()].concat().into(),
        ),
        ("a chunk's size of letters", (chunked.clone() + "xyz\r\n{}\r\n0\r\n\r\n").into()),
        ("a chunk longer than its size", (chunked.clone() + "1\r\n{}\r\n0\r\n\r\n").into()),
        ("a chunk's size beyond all numbers", (chunked + "ffffffffffffffffffff\r\n{}").into()),
    ] {
        for error in errors_of(&sends(bytes.clone())) {
            assert_eq!(error.kind(), ErrorKind::Transport, "{what}: {error:?}");
            assert!(error.to_string().contains(": the answer is not valid HTTP"), "{what}: {error}");
            let cause = error.source().unwrap().to_string();
            assert!(cause.starts_with("protocol: "), "{what}: {cause}");
        }
    }
}

#[test]
fn what_came_of_a_cut_body_is_in_the_error() {
    let bytes = answer(200, WEBHOOK);
    for error in errors_of(&sends(&bytes[..bytes.len() - 20])) {
        assert_eq!(error.status(), Some(200));
        assert_eq!(error.body(), &WEBHOOK.as_bytes()[..WEBHOOK.len() - 20]);
    }
}

#[test]
fn a_whole_body_without_a_length_is_an_answer() {
    let close_ends_it = [head("Connection: close"), WEBHOOK.into()].concat();
    let http_1_0 = format!("HTTP/1.0 200 OK\r\n\r\n{WEBHOOK}");
    for bytes in [close_ends_it, http_1_0] {
        let server = Server::faulty(usize::MAX, &sends(bytes));
        let client = client(server.base_url()).with_max_retries(0);
        assert!(client.retrieve_webhook("wrk_1").unwrap().token.is_some());
        assert!(client.regenerate_token("wrk_1").unwrap().token.is_some());
    }
}

#[test]
fn the_second_of_two_answers_to_one_request_is_never_the_answer_to_the_next() {
    let other = WEBHOOK.replace("example.com", "evil.example");
    for late in [false, true] {
        let first = answer(200, WEBHOOK);
        let second = answer(200, &other);
        let sent = Arc::new(AtomicUsize::new(0));
        let server = {
            let sent = Arc::clone(&sent);
            Server::start(move |_, connection| {
                while connection.request().is_some() {
                    if late {
                        connection.send(&first);
                        connection.send(&second);
                    } else {
                        connection.send([&first[..], &second].concat());
                    }
                    sent.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        let client = client(server.base_url()).with_max_retries(0);
        for calls in 1..=6 {
            let webhook = match calls % 3 {
                0 => client.regenerate_token("wrk_1"),
                1 => client.retrieve_webhook("wrk_1"),
                _ => client.delete_webhook("wrk_1"),
            };
            assert_eq!(webhook.unwrap().url.unwrap(), "https://example.com/handinger-webhook");
            // The second answer must have had its chance to arrive before the next call.
            wait_until(|| sent.load(Ordering::SeqCst) == calls);
        }
        assert_eq!((server.requests().len(), server.connections()), (6, 6));
    }
}

#[test]
fn an_unasked_answer_on_an_idle_connection_is_not_taken_for_the_next() {
    let (farewell, said) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let server = {
        let (farewell, said) = (Arc::clone(&farewell), Arc::clone(&said));
        Server::start(move |number, connection| {
            connection.request();
            connection.send(answer(200, WEBHOOK));
            if number == 0 {
                wait_until(|| farewell.load(Ordering::SeqCst) == 1);
                connection.send(answer(408, r#"{"message": "idle for too long"}"#));
                said.store(1, Ordering::SeqCst);
            }
            connection.answer_all(answer(200, WEBHOOK));
        })
    };
    let client = client(server.base_url()).with_max_retries(0);
    client.retrieve_webhook("wrk_1").unwrap();
    farewell.store(1, Ordering::SeqCst);
    wait_until(|| said.load(Ordering::SeqCst) == 1);
    client.retrieve_webhook("wrk_1").unwrap();
    assert_eq!((server.requests().len(), server.connections()), (2, 2));
}

#[test]
fn a_connection_that_was_closed_while_idle_costs_no_call_anything() {
    for (name, call) in CALLS {
        let closed = Arc::new(AtomicUsize::new(0));
        let server = {
            let closed = Arc::clone(&closed);
            Server::start(move |_, connection| {
                connection.request();
                connection.send(answer(200, ANYTHING));
                connection.stream.shutdown(std::net::Shutdown::Both).unwrap();
                closed.fetch_add(1, Ordering::SeqCst);
            })
        };
        let waits = Waits::default();
        let client = builder(server.base_url()).sleep_with(waits.recorder()).build().unwrap();
        for calls in 1..=3 {
            call(&client).unwrap();
            wait_until(|| closed.load(Ordering::SeqCst) == calls);
        }
        assert!(waits.take().is_empty(), "{name}");
        assert_eq!((server.requests().len(), server.connections()), (3, 3), "{name}");
    }
}

#[test]
fn a_connection_that_closes_under_the_second_request_costs_one_retry_and_a_regenerate_nothing() {
    for (name, call) in CALLS {
        let server = Server::start(|number, connection| {
            connection.request();
            connection.send(answer(200, ANYTHING));
            if number == 0 {
                connection.request();
            } else {
                connection.answer_all(answer(200, ANYTHING));
            }
        });
        let client = client(server.base_url());
        client.retrieve_webhook("wrk_1").unwrap();
        call(&client).unwrap();
        // A regenerate goes over a connection of its own, so that the server gets it once, and answers it.
        let requests = if name == "regenerate" { 2 } else { 3 };
        assert_eq!((server.requests().len(), server.connections()), (requests, 2), "{name}");
    }
}

#[test]
fn a_regenerate_takes_no_kept_connection_but_leaves_one() {
    let server = Server::answering([answer(200, WEBHOOK)]);
    let client = client(server.base_url());
    for (connections, call) in
        [(1, "retrieve"), (1, "update"), (2, "regenerate"), (2, "delete"), (3, "regenerate")]
    {
        match call {
            "retrieve" => client.retrieve_webhook("wrk_1"),
            "update" => client.update_webhook("wrk_1", None),
            "delete" => client.delete_webhook("wrk_1"),
            _ => client.regenerate_token("wrk_1"),
        }
        .unwrap();
        assert_eq!(server.connections(), connections, "{call}");
    }
}
