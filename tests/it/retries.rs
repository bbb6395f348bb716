//! Which failures are retried on the wire, one test a class, and the waits before a retry. The table over every status
//! is tested in `src/http/retry.rs`.

use std::error::Error as _;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use handinger::fake::{self, FakeHandinger};
use handinger::{Error, ErrorKind, HandingerClient};

use crate::support::{
    ANY_BODY, CALLS, Fault, KEY, Server, WEBHOOK, Waits, builder, client, response, response_with, sends,
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
    check(&returns(503, &[("retry-after-ms", "1")]), [3, 1], true);
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

/// The error of each call: nothing was sent in three attempts.
#[track_caller]
fn assert_never_sent(client: &HandingerClient, problem: &str) -> [Error; 5] {
    CALLS.map(|(name, call)| {
        let error = call(client).unwrap_err();
        assert!(error.to_string().ends_with(&format!(": {problem} (3 attempts)")), "{name}: {error}");
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Connect, 3), "{name}: {error}");
        assert!(error.is_connect() && error.is_transient() && !error.may_have_been_applied(), "{error}");
        error
    })
}

#[test]
fn refused_connection_is_retried_and_named() {
    let (_socket, address) = unlistened();
    let client = client(format!("http://{address}"));
    for error in assert_never_sent(&client, &format!("could not connect to {address}")) {
        let cause = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!(cause.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(format!("{error:#}"), format!("{error}: {cause}"));
    }
}

#[test]
fn failed_lookup_is_retried_and_named() {
    // The lookup of this name sends nothing, because no label may be longer than 63 bytes.
    let host = format!("{}.invalid", "x".repeat(64));
    let client = builder(format!("http://{host}")).allow_insecure_http(true).build().unwrap();
    for error in assert_never_sent(&client, &format!("could not look up {host}")) {
        assert!(format!("{error:#}").starts_with(&format!("{error}: failed to lookup")), "{error:#}");
    }
}

#[test]
fn call_succeeds_when_the_server_starts_after_a_refused_connection() {
    for (name, call) in CALLS {
        let (socket, address) = unlistened();
        let server = Arc::new(OnceLock::new());
        let started = Arc::clone(&server);
        let start = move |_| {
            socket.listen(16).unwrap();
            let listener = TcpListener::from(socket.try_clone().unwrap());
            started.get_or_init(|| {
                Server::on(listener, |_, connection| connection.respond_to_all(response(200, ANY_BODY)))
            });
        };
        call(&builder(format!("http://{address}")).sleep_with(start).build().unwrap()).unwrap();
        assert_eq!(server.get().unwrap().requests().len(), 1, "{name}");
    }
}

#[test]
fn later_rejection_does_not_settle_an_earlier_open_attempt() {
    for later in [429, 404] {
        let fake = FakeHandinger::start();
        fake.add_worker("wrk_1");
        fake.inject(fake::Fault::truncate(10));
        fake.inject(fake::Fault::status(later).always());
        let error = fake.client().delete_webhook("wrk_1").unwrap_err();
        assert_eq!(error.status(), Some(later));
        assert!(error.may_have_been_applied(), "{error}");
    }
}

#[test]
fn max_retries_limits_the_attempts() {
    for (max_retries, requests) in [(0, 1), (1, 2), (5, 6)] {
        let server = Server::responding([response(503, "")]);
        let client = client(server.base_url()).with_max_retries(max_retries);
        let error = client.retrieve_webhook("wrk_1").unwrap_err();
        assert_eq!((error.attempts(), server.requests().len()), (requests, requests as usize));
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
fn longer_wait_ends_the_call_at_once() {
    let (waits, result) = rejected_once(&[("Retry-After", "61")]);
    let error = result.unwrap_err();
    assert_eq!((waits, error.attempts()), (vec![], 1));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(61)));
    assert_eq!(
        error.to_string(),
        "retrieve webhook of worker wrk_1: the server returned 429; \
         the server asks to wait 61s, which is longer than 60s"
    );
}

#[test]
fn without_a_valid_request_the_wait_doubles_to_8_s_less_a_jitter_that_varies() {
    for headers in [&[("Retry-After", "0")][..], &[("Retry-After", "soon")], &[]] {
        let server = Server::responding([response_with(500, headers, "")]);
        let waits = Waits::default();
        let client = builder(server.base_url()).max_retries(25).sleep_with(waits.recorder()).build().unwrap();
        let error = client.delete_webhook("wrk_1").unwrap_err();
        assert_eq!(error.retry_after(), None);
        let waits = waits.take();
        assert_eq!(waits.len(), 25);
        let longest = [0.5, 1.0, 2.0, 4.0].into_iter().chain(std::iter::repeat(8.0));
        for (wait, longest) in waits.iter().zip(longest) {
            let range = longest * 0.75..=longest;
            assert!(range.contains(&wait.as_secs_f64()), "{wait:?} is not about {longest} s");
        }
        assert!(waits[4..].iter().any(|wait| *wait != waits[4]), "{waits:?}");
    }
}

#[test]
fn without_sleep_with_the_client_sleeps() {
    let server =
        Server::responding([response_with(429, &[("retry-after-ms", "80")], ""), response(200, WEBHOOK)]);
    let client = HandingerClient::builder(KEY).base_url(server.base_url()).build().unwrap();
    let start = Instant::now();
    client.retrieve_webhook("wrk_1").unwrap();
    assert!(start.elapsed() >= Duration::from_millis(80));
}
