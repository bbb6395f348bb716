//! What an error reports, for each status, body and failure.

use std::error::Error as _;
use std::time::Duration;

use handinger::{Error, ErrorKind, HandingerClient, UpdateWebhook};
use serde_json::json;

use crate::support::{Server, WEBHOOK, builder, client, response, response_with, unlistened};

const STATUSES: [u16; 9] = [400, 401, 403, 404, 409, 422, 429, 500, 503];
const KEPT: usize = 64 * 1024;
const BIG: usize = 5 * 1024 * 1024;

/// The error of a client that makes one attempt.
fn error_of(response: Vec<u8>) -> Error {
    let server = Server::responding([response]);
    client(server.base_url()).with_max_retries(0).retrieve_webhook("wrk_1").unwrap_err()
}

#[test]
fn the_error_has_the_status_message_and_body_whatever_the_body_is() {
    let big_text = "x".repeat(BIG);
    let big_json = json!({ "error": { "message": big_text } }).to_string();
    let big_html = format!("<html>{big_text}</html>");
    let bodies: [(&str, &[u8], Option<&str>); 10] = [
        ("json, nested", br#"{"error":{"message":"no can do"}}"#, Some("no can do")),
        ("json, flat", br#"{"error":"no can do"}"#, Some("no can do")),
        ("json, bare", br#"{"message":"no can do"}"#, Some("no can do")),
        ("text", b"no can do\n", Some("no can do")),
        ("html", b"<!doctype html><title>no can do</title>", Some("no can do")),
        ("empty", b"", None),
        ("not UTF-8", b"\xff\xfe\x00no", None),
        ("5 MB of text", big_text.as_bytes(), Some(&big_text[..KEPT])),
        // Truncated JSON cannot be decoded.
        ("5 MB of JSON", big_json.as_bytes(), None),
        ("5 MB of HTML", big_html.as_bytes(), None),
    ];
    for status in STATUSES {
        for (name, body, message) in &bodies {
            let error = error_of(response_with(status, &[("X-Request-Id", "req_1")], body));
            let case = format!("{status}, {name}");
            assert_eq!(error.kind(), ErrorKind::Status, "{case}");
            assert_eq!(error.status(), Some(status), "{case}");
            assert!(error.message() == *message, "{case}");
            assert!(error.body() == &body[..body.len().min(KEPT)], "{case}");
            assert_eq!(error.header("x-request-id"), Some("req_1"), "{case}");
            assert_eq!(error.attempts(), 1, "{case}");
            assert!(error.source().is_none(), "{case}");
            let start = format!("retrieve webhook of worker wrk_1: the server returned {status}");
            match message {
                Some(message) if message.len() < 200 => {
                    assert_eq!(error.to_string(), format!("{start}: {message}"), "{case}");
                }
                Some(_) => assert_eq!(error.to_string(), format!("{start}: {}…", &big_text[..200]), "{case}"),
                None => assert_eq!(error.to_string(), start, "{case}"),
            }
        }
    }
}

#[test]
fn a_location_makes_no_redirect_of_another_status() {
    let error = error_of(response_with(404, &[("Location", "/elsewhere")], ""));
    assert_eq!((error.kind(), error.status()), (ErrorKind::Status, Some(404)));
}

#[test]
fn each_predicate_holds_for_its_statuses_only() {
    type Predicate = fn(&Error) -> bool;
    let predicates: [(Predicate, &[u16]); 9] = [
        (Error::is_transient, &[408, 409, 429, 500, 503, 599]),
        (Error::is_bad_request, &[400]),
        (Error::is_unauthorized, &[401]),
        (Error::is_forbidden, &[403]),
        (Error::is_not_found, &[404]),
        (Error::is_conflict, &[409]),
        (Error::is_unprocessable, &[422]),
        (Error::is_rate_limited, &[429]),
        (Error::is_server_error, &[500, 503, 599]),
    ];
    for status in STATUSES.into_iter().chain([402, 408, 418, 499, 599]) {
        let error = error_of(response(status, ""));
        for (number, (predicate, statuses)) in predicates.iter().enumerate() {
            assert_eq!(predicate(&error), statuses.contains(&status), "{status}, predicate {number}");
        }
        assert!(!error.is_timeout() && !error.is_connect(), "{status}");
    }
}

#[test]
fn the_message_is_found_in_odd_bodies() {
    let truncated_within_a_character = format!("x{}", "é".repeat(KEPT));
    for (body, message) in [
        (&br#"{"error":{"message":"a"},"message":"b"}"#[..], Some("a")),
        (br#"{"error":{"message":null},"message":"b"}"#, Some("b")),
        (br#"{"error":{"message":" "},"message":"b"}"#, Some("b")),
        (br#"{"error":{"message":17},"message":"b"}"#, Some("b")),
        (br#"{"error":{"code":17},"message":"b"}"#, Some("b")),
        (br#"{"error":true,"message":"b"}"#, Some("b")),
        (br#"{"error":null,"message":"b"}"#, Some("b")),
        (br#"{"error":"","message":"b"}"#, Some("b")),
        (br#"{"error":"a","message":["b"]}"#, Some("a")),
        (br#"{"error":{"message":"a","details":[{"x":1}]},"status":400}"#, Some("a")),
        (br#" {"error":"  a\n"} "#, Some("a")),
        (br#"{"error":"title: \ud83d"}"#, Some("title: \u{fffd}")),
        (b"{\"error\":\"title: \xf0\x9f\"}", Some("title: \u{fffd}")),
        (br#"{"error":" "}"#, None),
        (br#"{"error":17}"#, None),
        (b"{}", None),
        (b"[]", None),
        (br#"["a"]"#, None),
        (br#""a""#, None),
        (br#"{"error":"truncated"#, None),
        (b" \r\n", None),
        ("zu viele Anfragen für heute".as_bytes(), Some("zu viele Anfragen für heute")),
        (truncated_within_a_character.as_bytes(), Some(&truncated_within_a_character[..KEPT - 1])),
    ] {
        let error = error_of(response(400, body));
        let shown = String::from_utf8_lossy(&body[..body.len().min(100)]);
        assert_eq!(error.message(), message, "{shown}");
        assert_eq!(error.body(), &body[..body.len().min(KEPT)], "{shown}");
    }
}

#[test]
fn a_truncated_body_does_not_cost_the_status() {
    let server = Server::start(|_, connection| {
        connection.request();
        connection.send("HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n{\"error\":");
    });
    let error = client(server.base_url()).retrieve_webhook("wrk_1").unwrap_err();
    assert_eq!((error.kind(), error.status(), error.message()), (ErrorKind::Status, Some(404), None));
    assert_eq!(error.body(), br#"{"error":"#);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn header_ignores_case_and_returns_only_text() {
    let error = error_of(response_with(404, &[("X-Request-ID", "req_1"), ("X-Odd", "\u{e9}")], ""));
    assert_eq!(error.header("x-request-id"), Some("req_1"));
    assert_eq!(error.header("X-REQUEST-ID"), Some("req_1"));
    for name in ["x-odd", "x-absent", "", "no name", "é"] {
        assert_eq!(error.header(name), None, "{name}");
    }
}

/// An error of each kind of failure, except for those of TLS, and its `Display`.
fn failures() -> Vec<(Error, String)> {
    fn fails(result: Result<handinger::Webhook, Error>, display: impl Into<String>) -> (Error, String) {
        (result.unwrap_err(), display.into())
    }
    fn once(server: &Server) -> HandingerClient {
        client(server.base_url()).with_max_retries(0)
    }

    let (_socket, unlistened) = unlistened();
    let silent = Server::start(|_, connection| {
        connection.request();
        connection.request();
    });
    let unresolved = builder("https://handinger.test").build().unwrap();
    let hanging_up = Server::start(|_, connection| drop(connection.request()));
    let no_http = Server::responding(["220 smtp.example.com ESMTP\r\n\r\n"]);
    let redirecting =
        Server::responding([response_with(302, &[("Location", "https://example.com/login")], "")]);
    let no_location = Server::responding([response(304, "")]);
    let not_found = Server::responding([response(404, r#"{"error":{"message":"worker not found"}}"#)]);
    let failing = Server::responding([response(500, "")]);
    let busy = Server::responding([response_with(429, &[("Retry-After", "61")], r#"{"error":"slow down"}"#)]);
    let waiting = Server::responding([response_with(503, &[("Retry-After", "60")], "")]);
    let unexpected = Server::responding([response(200, r#"{"error":"no"}"#)]);
    let large = Server::responding([response(200, " ".repeat(10 * 1024 * 1024 + 1) + WEBHOOK)]);
    let large_headers = Server::responding([response_with(200, &[("X-Long", &"x".repeat(70_000))], WEBHOOK)]);

    vec![
        fails(
            client("http://127.0.0.1:1").retrieve_webhook(""),
            "retrieve webhook: the worker id must not be empty",
        ),
        fails(
            client(format!("http://{unlistened}")).retrieve_webhook("wrk_1"),
            format!("retrieve webhook of worker wrk_1: could not connect to {unlistened} (3 attempts)"),
        ),
        fails(
            unresolved.retrieve_webhook("wrk_1"),
            "retrieve webhook of worker wrk_1: no connection to 127.0.0.1:1 within 5s (3 attempts)",
        ),
        fails(
            once(&silent).with_timeout(Duration::from_millis(50)).regenerate_token("wrk_1"),
            "regenerate token of worker wrk_1: no complete response within 50ms; the change may have been applied",
        ),
        fails(
            client(hanging_up.base_url()).delete_webhook("a/b"),
            "delete webhook of worker a%2Fb: connection lost (3 attempts); the change may have been applied",
        ),
        fails(
            once(&no_http).retrieve_webhook("wrk_1"),
            "retrieve webhook of worker wrk_1: the response is not valid HTTP",
        ),
        fails(
            client(redirecting.base_url()).retrieve_webhook("wrk_1"),
            "retrieve webhook of worker wrk_1: \
             the server redirects (302) to https://example.com, which is not followed",
        ),
        fails(
            client(no_location.base_url()).update_webhook("wrk_1", UpdateWebhook::clear()),
            "update webhook of worker wrk_1: the server returned 304 without a Location",
        ),
        fails(
            client(not_found.base_url()).update_webhook("wrk_1", "https://example.com/hook"),
            "update webhook of worker wrk_1: the server returned 404: worker not found",
        ),
        fails(
            client(failing.base_url()).retrieve_webhook("wrk_1"),
            "retrieve webhook of worker wrk_1: the server returned 500 (3 attempts)",
        ),
        fails(
            client(busy.base_url()).retrieve_webhook("wrk_1"),
            "retrieve webhook of worker wrk_1: the server returned 429: slow down; \
             the server asks to wait 61s, which is longer than 60s",
        ),
        fails(
            client(waiting.base_url()).with_total_timeout(Duration::from_secs(30)).retrieve_webhook("wrk_1"),
            "retrieve webhook of worker wrk_1: the server returned 503; no time left within the total timeout of 30s",
        ),
        fails(
            client(unexpected.base_url()).regenerate_token("wrk_1"),
            "regenerate token of worker wrk_1: the response is not what the API documents; \
             the change may have been applied",
        ),
        fails(
            client(large.base_url()).retrieve_webhook("wrk_1"),
            "retrieve webhook of worker wrk_1: the response body is over 10 MiB",
        ),
        fails(
            client(large_headers.base_url()).retrieve_webhook("wrk_1"),
            "retrieve webhook of worker wrk_1: the response headers are over 64 KiB",
        ),
        (
            once(&not_found).list_executions("wrk_1", 7).unwrap_err(),
            "list executions of worker wrk_1, page 7: the server returned 404: worker not found".into(),
        ),
        (
            builder("ftp://example.com").build().unwrap_err(),
            "build client: the base URL must begin with https://, or http:// for a loopback host".into(),
        ),
    ]
}

#[test]
fn a_failure_that_a_retry_may_mend_is_transient() {
    for (error, display) in failures() {
        let is_transient = match error.kind() {
            ErrorKind::Connect | ErrorKind::Transport | ErrorKind::Timeout => true,
            ErrorKind::Status => error.status() != Some(404),
            _ => false,
        };
        assert_eq!(error.is_transient(), is_transient, "{display}");
    }
}

#[test]
fn a_kind_displays_as_what_happened() {
    for (kind, display) in [
        (ErrorKind::InvalidInput, "invalid input"),
        (ErrorKind::Connect, "connection failed"),
        (ErrorKind::Transport, "connection lost or malformed response"),
        (ErrorKind::Timeout, "timeout"),
        (ErrorKind::Redirect, "redirect"),
        (ErrorKind::Status, "error status"),
        (ErrorKind::TooLarge, "response too large"),
        (ErrorKind::Decode, "unexpected response body"),
        (ErrorKind::Incomplete, "executions may be missing"),
    ] {
        assert_eq!(kind.to_string(), display);
    }
    assert_eq!(format!("{:>8}", ErrorKind::Timeout), " timeout");
}

#[test]
fn display_is_asserted_word_for_word_and_leaves_the_cause_to_source() {
    for (error, display) in failures() {
        assert_eq!(error.to_string(), display);
        let mut source = error.source();
        while let Some(cause) = source {
            let shown = cause.to_string();
            assert!(!display.contains(&shown) && !shown.contains(&display), "{display}: {shown}");
            source = cause.source();
        }
    }
}

#[test]
fn an_error_has_a_source_if_it_has_a_cause() {
    for (error, display) in failures() {
        let expected =
            !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Redirect | ErrorKind::Status);
        assert_eq!(error.source().is_some(), expected, "{display}");

        // A caller can downcast to `io::Error`, but not to what a private dependency returns.
        let is_io = display.contains("connection lost") || display.contains("could not connect");
        assert_eq!(
            error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>),
            is_io,
            "{display}"
        );
    }
}

#[test]
fn display_is_one_short_line_whatever_the_message_is() {
    let long_word = "x".repeat(BIG);
    let many_words = "x \n".repeat(100_000);
    for (message, shown) in [
        ("two\nlines", ": two lines"),
        ("\r\n\ttabs\t\tand\u{b}\u{c} more\r\n", ": tabs and more"),
        ("\u{1b}[31mred\u{1b}[0m", ": [31mred [0m"),
        ("\u{9b}31mred\u{7}\u{8}\u{7f}", ": 31mred"),
        ("a\0b", ": a b"),
        ("line\u{2028}and\u{2029}paragraph\u{85}", ": line and paragraph"),
        ("\u{1b}\u{7}", ""),
        (&"ä".repeat(200), &format!(": {}", "ä".repeat(200))),
        (&"ä".repeat(201), &format!(": {}…", "ä".repeat(200))),
        (&many_words, &format!(": {}…", "x ".repeat(100))),
    ] {
        let body = json!({ "error": { "message": message } }).to_string();
        // Only of text can a part be the message.
        let body = if body.len() > KEPT { message.to_owned() } else { body };
        let error = error_of(response(400, body));
        let line = error.to_string();
        assert_eq!(line, format!("retrieve webhook of worker wrk_1: the server returned 400{shown}"));
        assert!(!line.contains(char::is_control));
    }

    let line = error_of(response(400, long_word)).to_string();
    assert_eq!(
        line.chars().count(),
        "retrieve webhook of worker wrk_1: the server returned 400: …".len() - 2 + 200
    );
}

#[test]
fn display_is_one_short_line_whatever_the_worker_id_and_location_are() {
    let target = format!("/{}", "x".repeat(10_000));
    let server = Server::responding([response_with(307, &[("Location", &target)], "")]);
    let error = client(server.base_url()).retrieve_webhook(&"\u{1b}\n".repeat(400)).unwrap_err();
    let line = error.to_string();
    assert!(!line.contains(char::is_control), "{line}");
    assert!(line.starts_with("retrieve webhook of worker %1B%0A%1B%0A"), "{line}");
    assert!(line.ends_with("…, which is not followed"), "{line}");
    assert!(line.chars().count() < 500, "{line}");
}

#[test]
fn debug_shows_neither_body_nor_headers() {
    let error = error_of(response_with(200, &[("X-Secret", "s3cret")], r#"{"webhook":{"token":"s3cret"}}"#));
    let shown = format!("{error:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    assert_eq!(
        shown,
        "Error { kind: Decode, \
         display: \"retrieve webhook of worker wrk_1: the response is not what the API documents\", \
         status: Some(200), attempts: 1, retry_after: None, is_transient: false, may_have_been_applied: false, \
         source: Some(\"neither `url` nor `token` in the object\") }"
    );
}
