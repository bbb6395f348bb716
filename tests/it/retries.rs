//! Which failures are retried on the wire, one test a class, and the waits before a retry. The table over every status
//! is tested in `src/http/retry.rs`.

use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handinger::{Error, ErrorKind, HandingerClient};

use crate::support::{
    ANY_BODY, CALLS, Fault, KEY, Server, WEBHOOK, Waits, builder, response, response_with, sends,
    sends_and_resets, unlistened,
};

/// The connection stays open, so that a retry could use it.
fn returns(status: u16, headers: &[(&str, &str)]) -> Fault {
    let bytes = response_with(status, headers, "");
    Arc::new(move |connection| connection.respond_to_all(&bytes))
}

/// Checks how often each call sends its request if every attempt meets the fault, and that one retry succeeds.
#[track_caller]
fn check(fault: &Fault, [idempotent, regenerate]: [usize; 2], may_have_been_applied: bool) {
    for (name, call) in CALLS {
        let attempts = if name == "regenerate" { regenerate } else { idempotent };
        let server = Server::faulty(usize::MAX, fault);
        let waits = Waits::default();
        let client = builder(server.base_url()).sleep_with(waits.recorder()).build().unwrap();
        let error = call(&client).unwrap_err();
        // Each retry opens a connection.
        let counted = (server.requests().len(), server.connections(), waits.take().len());
        assert_eq!(counted, (attempts, attempts, attempts - 1), "{name}: {error}");
        assert_eq!(error.attempts() as usize, attempts, "{name}: {error}");
        assert_eq!(error.is_transient(), idempotent > 1, "{name}: {error}");
        let is_change = !matches!(name, "retrieve" | "list");
        assert_eq!(error.may_have_been_applied(), may_have_been_applied && is_change, "{name}: {error}");

        let server = Server::faulty(1, fault);
        let result = call(&crate::support::client(server.base_url()));
        assert_eq!(result.is_ok(), attempts > 1, "{name}: {result:?}");
        assert_eq!(server.requests().len(), attempts.min(2), "{name}: {result:?}");
    }
}

#[test]
fn rejection_that_concerns_the_moment_is_retried_for_every_call() {
    for status in [408, 409, 429] {
        check(&returns(status, &[]), [3, 3], false);
    }
}

#[test]
fn server_error_is_not_retried_for_a_regenerate() {
    for status in [500, 503, 600] {
        check(&returns(status, &[]), [3, 1], true);
    }
    // A gateway writes it after it has forwarded the request.
    check(&returns(503, &[("Retry-After", "1")]), [3, 1], true);
}

#[test]
fn lost_or_malformed_response_is_not_retried_for_a_regenerate() {
    let half_a_body = &response(200, ANY_BODY)[..60];
    for fault in [sends(""), sends_and_resets(""), sends(half_a_body), sends("SSH-2.0-OpenSSH_9.6\r\n")] {
        check(&fault, [3, 1], true);
    }
}

#[test]
fn complete_but_unusable_response_is_not_retried() {
    let no_content = "HTTP/1.1 204 No Content\r\n\r\n".into();
    for bytes in [response(200, "done"), response(200, r#"{"error": "no"}"#), no_content] {
        check(&sends(bytes), [1, 1], true);
    }
}

#[test]
fn redirect_and_other_rejections_are_not_retried() {
    for status in [307, 400, 404] {
        check(&returns(status, &[]), [1, 1], false);
    }
    check(&returns(303, &[]), [1, 1], true);
}

#[test]
fn x_should_retry_is_obeyed() {
    let (yes, no) = (&[("x-should-retry", "true")], &[("x-should-retry", "false")]);
    check(&returns(404, yes), [3, 3], false);
    check(&returns(503, yes), [3, 1], true);
    check(&returns(429, no), [1, 1], false);
    check(&returns(500, no), [1, 1], true);
}

#[test]
fn lookup_or_connection_that_failed_is_retried_for_every_call() {
    let (_socket, address) = unlistened();
    // The lookup of this name sends nothing, because no label may be longer than 63 bytes.
    let no_name = format!("{}.invalid", "x".repeat(64));
    for host in [address.to_string(), no_name] {
        let client = builder(format!("http://{host}")).allow_insecure_http(true).build().unwrap();
        for (name, call) in CALLS {
            let error = call(&client).unwrap_err();
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::Connect, 3), "{name}: {error}");
            assert!(error.is_transient() && !error.may_have_been_applied(), "{name}: {error}");
        }
    }
}

/// The waits and the result of a call whose first response is a 429 with these headers.
fn rejected_once(headers: &[(&str, &str)]) -> (Vec<Duration>, Result<(), Error>) {
    let server = Server::responding([response_with(429, headers, ""), response(200, WEBHOOK)]);
    let waits = Waits::default();
    let client = builder(server.base_url()).sleep_with(waits.recorder()).build().unwrap();
    let result = client.retrieve_webhook("wrk_1").map(drop);
    (waits.take(), result)
}

#[test]
fn requested_wait_of_at_most_60_s_is_made_exactly() {
    let date = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
    for (headers, wait) in [
        (&[("Retry-After", "60")][..], 60_000),
        (&[("Retry-After-MS", "250"), ("Retry-After", "7")], 250),
        // The local clock is decades ahead of the server's.
        (&[date, ("Retry-After", "Sun, 06 Nov 1994 08:50:07 GMT")], 30_000),
    ] {
        let (waits, result) = rejected_once(headers);
        assert_eq!(waits, [Duration::from_millis(wait)], "{headers:?}");
        assert!(result.is_ok(), "{headers:?}: {result:?}");
    }
}

#[test]
fn unrequested_wait_doubles_with_a_jitter() {
    for header in [("Retry-After", "0"), ("Retry-After", "soon"), ("X-None", "")] {
        let server = Server::responding([response_with(500, &[header], "")]);
        let waits = Waits::default();
        let client = builder(server.base_url()).max_retries(9).sleep_with(waits.recorder()).build().unwrap();
        assert_eq!(client.delete_webhook("wrk_1").unwrap_err().retry_after(), None);
        let waits = waits.take();
        assert_eq!(waits.len(), 9);
        for (wait, longest) in iter::zip(&waits, [0.5, 1.0, 2.0, 4.0].into_iter().chain(iter::repeat(8.0))) {
            assert!((longest * 0.75..=longest).contains(&wait.as_secs_f64()), "{waits:?}");
        }
        assert!(waits[5..].iter().any(|wait| *wait != waits[4]), "{waits:?}");
    }
}

#[test]
fn without_sleep_with_the_client_sleeps() {
    let rejection = response_with(429, &[("retry-after-ms", "80")], "");
    let server = Server::responding([rejection, response(200, WEBHOOK)]);
    let client = HandingerClient::builder(KEY).base_url(server.base_url()).build().unwrap();
    let start = Instant::now();
    client.retrieve_webhook("wrk_1").unwrap();
    assert!(start.elapsed() >= Duration::from_millis(80));
}
