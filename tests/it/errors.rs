//! The contents of an `Error`: `Display` word for word, the message of any body, predicates. The messages of proxies,
//! TLS, limits and invalid input are in the files of those.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use handinger::ureq::Proxy;
use handinger::{Error, ErrorKind, HandingerClient, Webhook};
use serde_json::json;

use crate::support::{Server, builder, client, response, response_with, unlistened};

const KEPT: usize = 64 * 1024;

/// The error of a client that makes one attempt.
fn error_of(response: Vec<u8>) -> Error {
    let server = Server::responding([response]);
    client(server.base_url()).with_max_retries(0).retrieve_webhook("wrk_1").unwrap_err()
}

/// A call that fails, and the `Display` of its error.
fn fails(result: Result<Webhook, Error>, display: impl Into<String>) -> (Error, String) {
    (result.unwrap_err(), display.into())
}

/// A regenerate if the change may have been applied, else a retrieve.
fn fails_with(client: &HandingerClient, problem: &str) -> (Error, String) {
    if problem.ends_with("; the change may have been applied") {
        fails(client.regenerate_token("wrk_1"), format!("regenerate token of worker wrk_1: {problem}"))
    } else {
        fails(client.retrieve_webhook("wrk_1"), format!("retrieve webhook of worker wrk_1: {problem}"))
    }
}

fn receives(response: impl Into<Vec<u8>>, problem: &str) -> (Error, String) {
    fails_with(&client(Server::responding([response]).base_url()), problem)
}

/// An error of each kind of failure, and its `Display`.
fn failures() -> Vec<(Error, String)> {
    const NOT_FOUND: &str = r#"{"error":{"message":"worker not found"}}"#;
    let insecure = |host: &str| builder(format!("http://{host}")).allow_insecure_http(true);

    let millis = Duration::from_millis(50);
    let (_socket, unlistened) = unlistened();
    // No name server is asked for a label of over 63 bytes.
    let no_name = "x".repeat(64);
    let silent = Server::start(|_, connection| while connection.request().is_some() {});
    let silent = client(silent.base_url()).with_max_retries(0);
    let hanging_up = Server::start(|_, connection| drop(connection.request()));
    let forbidding = Server::responding(["HTTP/1.1 403 Forbidden\r\n\r\n"]);
    let proxy = Proxy::new(&format!("http://us3r:p4ss@{}", forbidding.address())).unwrap();
    let proxied =
        insecure("api.example").ureq_config(move |config| config.proxy(Some(proxy))).build().unwrap();
    let not_found = Server::responding([response(404, NOT_FOUND)]);
    let not_found = client(not_found.base_url());
    let waiting = Server::responding([response_with(503, &[("Retry-After", "60")], "")]);

    vec![
        fails(not_found.retrieve_webhook(""), "retrieve webhook: the worker id must not be \"\""),
        fails_with(
            &client(format!("http://{unlistened}")),
            &format!("could not connect to {unlistened} (3 attempts)"),
        ),
        fails_with(
            &insecure(&no_name).build().unwrap(),
            &format!("could not look up {no_name} (3 attempts)"),
        ),
        fails_with(
            &proxied,
            &format!(
                "could not connect to api.example through the proxy {}, which returned 403",
                forbidding.address()
            ),
        ),
        fails_with(
            &silent.with_timeout(millis),
            "no complete response within 50ms; the change may have been applied",
        ),
        fails_with(
            &silent.with_total_timeout(millis),
            "no complete response within the total timeout of 50ms",
        ),
        fails(
            client(hanging_up.base_url()).delete_webhook("a/b"),
            "delete webhook of worker a%2Fb: connection lost (3 attempts); the change may have been applied",
        ),
        receives("220 smtp.example.com ESMTP\r\n\r\n", "the response is truncated or malformed (3 attempts)"),
        receives(
            response_with(303, &[("Location", "/elsewhere")], ""),
            "the server redirects (303) to another path of the server, which is not followed; \
             the change may have been applied",
        ),
        receives(
            response_with(404, &[("Location", "/elsewhere")], NOT_FOUND),
            "the server returned 404: worker not found",
        ),
        receives(response(500, ""), "the server returned 500 (3 attempts)"),
        receives(
            response(502, "<title>502 Bad Gateway</title>"),
            "the server returned 502: Bad Gateway (3 attempts)",
        ),
        receives(
            response_with(301, &[("Location", "https://us3r@example.com/new")], "<title>301 Moved</title>"),
            "the server redirects (301) to https://example.com, which is not followed",
        ),
        receives(
            response_with(429, &[("Retry-After", "61")], r#"{"error":"slow down"}"#),
            "the server returned 429: slow down; the server asks to wait 61s, longer than 60s",
        ),
        fails_with(
            &client(waiting.base_url()).with_total_timeout(millis * 600),
            "the server returned 503; no time left within the total timeout of 30s",
        ),
        receives(
            response(200, r#"{"error":"no"}"#),
            "the response is not what the API documents; the change may have been applied",
        ),
        (
            not_found.list_executions("wrk_1", 7).unwrap_err(),
            "list executions of worker wrk_1, page 7: the server returned 404: worker not found".into(),
        ),
    ]
}

#[test]
fn display_is_asserted_word_for_word_and_its_alternate_appends_the_causes() {
    for (error, display) in failures() {
        assert_eq!(error.to_string(), display);
        let mut chain = display.clone();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            assert!(!display.contains(&cause_text), "{display}: {cause_text}");
            chain = format!("{chain}: {cause_text}");
            source = cause.source();
        }
        assert_eq!(format!("{error:#}"), chain);
        assert!(!chain.contains("us3r"), "{chain}");

        assert_eq!(error.attempts() == 0, error.kind() == ErrorKind::InvalidInput, "{display}");
        assert_eq!(error.is_connect(), display.contains(": could not "), "{display}");
        assert_eq!(error.is_timeout(), display.contains(": no complete response within "), "{display}");
        let is_blocked = display.contains("which returned 403");
        let is_transient = match error.kind() {
            ErrorKind::Connect => !is_blocked,
            ErrorKind::Transport | ErrorKind::Timeout => true,
            _ => matches!(error.status(), Some(429 | 500..)),
        };
        assert_eq!(error.is_transient(), is_transient, "{display}");
        // A caller can downcast to `io::Error`, but not to the errors of a private dependency.
        let is_io = error.source().is_some_and(<dyn std::error::Error>::is::<io::Error>);
        let has_no_connection = error.is_connect() || display.contains(": connection lost");
        assert_eq!(is_io, has_no_connection && !is_blocked, "{display}");
    }
}

#[test]
fn predicates_hold_for_their_statuses_only() {
    for status in [400, 401, 402, 403, 404, 408, 409, 422, 429, 499, 500, 599, 600] {
        // A Location makes no redirect of another status.
        let error = error_of(response_with(status, &[("Location", "/elsewhere")], ""));
        assert_eq!((error.kind(), error.status()), (ErrorKind::Status, Some(status)));
        assert_eq!(error.is_server_error(), [500, 599].contains(&status), "{status}");
        assert_eq!(error.is_bad_request(), status == 400);
        assert_eq!(error.is_unauthorized(), status == 401);
        assert_eq!(error.is_forbidden(), status == 403);
        assert_eq!(error.is_not_found(), status == 404);
        assert_eq!(error.is_conflict(), status == 409);
        assert_eq!(error.is_unprocessable(), status == 422);
        assert_eq!(error.is_rate_limited(), status == 429);
    }
}

#[test]
fn message_is_found_in_any_body_and_64_kib_are_kept() {
    let long_text = "x".repeat(KEPT + 1);
    let long_json = json!({ "error": "x".repeat(KEPT) }).to_string();
    for (body, message) in [
        (&br#"{"error":{"message":"a","details":[{"x":1}]},"message":"b"}"#[..], Some("a")),
        (br#"{"error":{"message":null},"message":"b"}"#, Some("b")),
        (br#"{"error":"a","message":["b"]}"#, Some("a")),
        (br#"{"type":"about:blank","title":"t","detail":"d","errors":[{"message":"e"}]}"#, Some("d")),
        (br#"{"title":"t","errors":[{"message":"e"}]}"#, Some("e")),
        (br#"{"title":"t","errors":[]}"#, Some("t")),
        (br#" {"error":"  a\n"} "#, Some("a")),
        ("\u{feff}{\"error\":\"a\"}".as_bytes(), Some("a")),
        (br#"{"error":"title: \ud83d"}"#, Some("title: \u{fffd}")),
        (b"{\"error\":\"title: \xf0\x9f\"}", Some("title: \u{fffd}")),
        (br#"["a"]"#, None),
        (br#"{"error":"truncated"#, None),
        (b"", None),
        (b"a\n\tb\n", Some("a\n\tb")),
        (b"a\x1b[0m", None),
        (b"\xff\xfe\x00no", None),
        (b"<!doctype html><title>502 Bad Gateway</title><h1>x</h1>", Some("502 Bad Gateway")),
        (long_json.as_bytes(), None),
        (long_text.as_bytes(), Some(&long_text[..KEPT])),
    ] {
        let error = error_of(response(400, body));
        let shown = String::from_utf8_lossy(&body[..body.len().min(100)]);
        assert_eq!(error.message(), message, "{shown}");
        assert_eq!(error.status(), Some(400), "{shown}");
        assert_eq!(error.body(), &body[..body.len().min(KEPT)], "{shown}");
    }
    let server = Server::start(|_, connection| {
        connection.request();
        connection.send("HTTP/1.1 404 X\r\nContent-Length: 100\r\n\r\n{\"error\":");
    });
    let truncated = client(server.base_url()).retrieve_webhook("wrk_1").unwrap_err();
    assert_eq!((truncated.status(), truncated.body()), (Some(404), &br#"{"error":"#[..]));
}

#[test]
fn display_shows_a_message_on_one_short_line() {
    for (message, shown) in [
        ("\r\n\ttabs\t\tand\u{b}\u{c} \u{2028}more\u{85}\r\n", ": tabs and more"),
        ("\u{1b}[31mred\u{1b}[0m\u{9b}x\u{7}\0", ": [31mred [0m x"),
        (&"ä".repeat(200), &format!(": {}", "ä".repeat(200))),
        (&"ä".repeat(201), &format!(": {}…", "ä".repeat(200))),
        (&"x \n".repeat(10_000), &format!(": {}…", "x ".repeat(100))),
    ] {
        let error = error_of(response(400, json!({ "error": message }).to_string()));
        assert_eq!(
            error.to_string(),
            format!("retrieve webhook of worker wrk_1: the server returned 400{shown}")
        );
    }
    let server = Server::responding([response(400, "")]);
    let line = client(server.base_url()).retrieve_webhook(&"\u{1b}\n".repeat(400)).unwrap_err().to_string();
    assert!(line.starts_with("retrieve webhook of worker %1B%0A") && line.chars().count() < 300, "{line}");
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

#[test]
fn debug_shows_neither_body_nor_headers() {
    let error = error_of(response_with(200, &[("X-Secret", "s3cret")], r#"{"webhook":{"token":"s3cret"}}"#));
    assert_eq!(
        format!("{:?}", error.clone()),
        "Decode(retrieve webhook of worker wrk_1: the response is not what the API documents: \
         missing field `url` at line 1 column 30)"
    );
}
