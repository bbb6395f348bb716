//! Connections that are lost, and responses that are not valid HTTP.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use handinger::{Error, ErrorKind, UpdateWebhook};

use crate::support::{
    ANY_BODY, CALLS, Fault, Server, WEBHOOK, Waits, builder, client, response, sends, sends_and_resets,
    wait_until,
};

/// The errors of a retrieve and of a regenerate with this fault on their only attempt.
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
fn a_lost_connection_is_a_transport_error_with_its_cause() {
    let sized = head("Content-Length: 1000");
    let chunked = head("Transfer-Encoding: chunked");
    let unread_and_reset: Fault = Arc::new(|connection| {
        // An earlier reset could reach the client while it still connects.
        let _ = connection.stream.peek(&mut [0]);
        connection.reset_on_close();
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
            assert!(error.to_string().contains(": connection lost"), "{what}: {error}");
            let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
            assert!(cause.is_some(), "{what}: {:?}", error.source());
            // A reset can overtake what was sent before it.
            assert!(error.status() == status || what.starts_with("reset"), "{what}: {:?}", error.status());
        }
    }
}

#[test]
fn an_invalid_response_is_a_transport_error_with_its_cause() {
    let chunked = head("Transfer-Encoding: chunked");
    for (what, bytes) in [
        ("an SSH banner", b"SSH-2.0-OpenSSH_9.6p1\r\n".to_vec()),
        ("a mail server's greeting", b"220 mail.example.com ESMTP\r\n".to_vec()),
        ("binary junk", (0..=255).cycle().take(4096).collect()),
        ("zeros", vec![0; 4096]),
        ("JSON of HTTP/0.9", ANY_BODY.into()),
        ("HTML of HTTP/0.9", b"<html><body>It works!</body></html>\r\n".to_vec()),
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
        ("a chunk size of letters", (chunked.clone() + "xyz\r\n{}\r\n0\r\n\r\n").into()),
        ("a chunk longer than its size", (chunked.clone() + "1\r\n{}\r\n0\r\n\r\n").into()),
        ("a chunk size beyond u64", (chunked + "ffffffffffffffffffff\r\n{}").into()),
    ] {
        for error in errors_of(&sends(bytes.clone())) {
            assert_eq!(error.kind(), ErrorKind::Transport, "{what}: {error:?}");
            assert!(error.to_string().contains(": the response is not valid HTTP"), "{what}: {error}");
            let cause = error.source().unwrap().to_string();
            assert!(cause.starts_with("protocol: "), "{what}: {cause}");
        }
    }
}

#[test]
fn the_error_of_a_truncated_body_keeps_what_arrived() {
    let bytes = response(200, WEBHOOK);
    for error in errors_of(&sends(&bytes[..bytes.len() - 20])) {
        assert_eq!(error.status(), Some(200));
        assert_eq!(error.body(), &WEBHOOK.as_bytes()[..WEBHOOK.len() - 20]);
    }
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    let http_1_1 = [head("Connection: close"), WEBHOOK.into()].concat();
    let http_1_0 = format!("HTTP/1.0 200 OK\r\n\r\n{WEBHOOK}");
    for bytes in [http_1_1, http_1_0] {
        let server = Server::faulty(usize::MAX, &sends(bytes));
        let client = client(server.base_url()).with_max_retries(0);
        assert!(client.retrieve_webhook("wrk_1").unwrap().token.is_some());
        assert!(client.regenerate_token("wrk_1").unwrap().token.is_some());
    }
}

#[test]
fn a_truncated_body_without_a_length_does_not_decode_and_is_not_retried() {
    let bytes = format!("HTTP/1.1 200 OK\r\n\r\n{}", &ANY_BODY[..ANY_BODY.len() - 1]);
    for (name, call) in CALLS {
        let server = Server::faulty(usize::MAX, &sends(bytes.clone()));
        let error = call(&client(server.base_url())).unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Decode, 1), "{name}: {error}");
        assert_eq!(error.may_have_been_applied(), !matches!(name, "retrieve" | "list"), "{name}: {error}");
    }
}

#[test]
fn the_second_response_to_one_request_is_not_taken_for_that_to_the_next() {
    let other = WEBHOOK.replace("example.com", "evil.example");
    for late in [false, true] {
        let first = response(200, WEBHOOK);
        let second = response(200, &other);
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
            // The next call could find the second response only after it was sent.
            wait_until(|| sent.load(Ordering::SeqCst) == calls);
        }
        assert_eq!((server.requests().len(), server.connections()), (6, 6));
    }
}

#[test]
fn an_unrequested_response_on_an_idle_connection_is_not_taken_for_the_next() {
    let (idle, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let server = {
        let (idle, sent) = (Arc::clone(&idle), Arc::clone(&sent));
        Server::start(move |number, connection| {
            connection.request();
            connection.send(response(200, WEBHOOK));
            if number == 0 {
                wait_until(|| idle.load(Ordering::SeqCst) == 1);
                connection.send(response(408, r#"{"message": "idle for too long"}"#));
                sent.store(1, Ordering::SeqCst);
            }
            connection.respond_to_all(response(200, WEBHOOK));
        })
    };
    let client = client(server.base_url()).with_max_retries(0);
    client.retrieve_webhook("wrk_1").unwrap();
    idle.store(1, Ordering::SeqCst);
    wait_until(|| sent.load(Ordering::SeqCst) == 1);
    client.retrieve_webhook("wrk_1").unwrap();
    assert_eq!((server.requests().len(), server.connections()), (2, 2));
}

#[test]
fn a_connection_that_was_closed_while_idle_costs_no_retry() {
    for (name, call) in CALLS {
        let closed = Arc::new(AtomicUsize::new(0));
        let server = {
            let closed = Arc::clone(&closed);
            Server::start(move |_, connection| {
                connection.request();
                connection.send(response(200, ANY_BODY));
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
fn a_connection_that_is_lost_with_the_second_request_costs_a_read_one_retry_and_a_change_none() {
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
        // A change has a connection of its own, so that the server receives it once.
        let requests = if matches!(name, "retrieve" | "list") { 3 } else { 2 };
        assert_eq!((server.requests().len(), server.connections()), (requests, 2), "{name}");
    }
}

#[test]
fn a_change_uses_no_kept_connection_but_keeps_its_own() {
    let server = Server::responding([response(200, WEBHOOK)]);
    let client = client(server.base_url());
    for (connections, call) in
        [(1, "retrieve"), (1, "retrieve"), (2, "update"), (2, "retrieve"), (3, "regenerate"), (4, "delete")]
    {
        match call {
            "retrieve" => client.retrieve_webhook("wrk_1"),
            "update" => client.update_webhook("wrk_1", UpdateWebhook::clear()),
            "delete" => client.delete_webhook("wrk_1"),
            _ => client.regenerate_token("wrk_1"),
        }
        .unwrap();
        assert_eq!(server.connections(), connections, "{call}");
    }
}
