//! No attempt outlasts its timeout, no call its total timeout, and messages name the setting.

#[cfg(target_os = "linux")]
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handinger::fake::{self, FakeHandinger};
use handinger::{Error, ErrorKind, HandingerClient};

use crate::support::{
    ANY_BODY, CALLS, Call, Connection, Fault, Server, builder, response, response_with, unlistened,
};

const TIMEOUT: Duration = Duration::from_millis(250);
/// Far more than a timeout, so that the bound holds on a busy machine too, and far less than no bound.
const LIMIT: Duration = Duration::from_secs(8);

/// A client that makes one short attempt.
fn hurried(base_url: String) -> HandingerClient {
    builder(base_url).timeout(TIMEOUT).max_retries(0).build().unwrap()
}

/// The error of a call that must end within [`LIMIT`], but not before `at_least`.
#[track_caller]
fn timed<T: std::fmt::Debug>(at_least: Duration, call: impl FnOnce() -> Result<T, Error>) -> Error {
    let start = Instant::now();
    let error = call().unwrap_err();
    let elapsed = start.elapsed();
    assert!(at_least <= elapsed && elapsed < LIMIT, "{elapsed:?}: {error}");
    error
}

/// Checks the end of a timeout's message, also with `{:#}`: no words of ureq follow.
#[track_caller]
fn assert_timeout(error: &Error, is_connect: bool, message: &str) {
    assert!(format!("{error:#}").ends_with(&format!(" of worker wrk_1: {message}")), "{error:#}");
    assert_eq!((error.kind(), error.is_connect()), (ErrorKind::Timeout, is_connect), "{error}");
    assert!(error.is_timeout());
}

/// Sends the bytes one by one, slowly, over and over, until the client has gone.
fn drip(connection: &mut Connection, bytes: &[u8]) {
    for byte in bytes.iter().cycle() {
        if !connection.try_send([*byte]) {
            break;
        }
        std::thread::sleep(Duration::from_millis(15));
    }
}

/// After the request, sends the first bytes at once, and drips the second without end, or stays silent if there are
/// none.
fn then_drips(first: impl Into<Vec<u8>>, dripped: impl Into<Vec<u8>>) -> Fault {
    let (first, dripped) = (first.into(), dripped.into());
    Arc::new(move |connection| {
        connection.request();
        connection.send(&first);
        drip(connection, &dripped);
        connection.stay_silent();
    })
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn attempt_ends_in_time_wherever_the_server_stops_or_drips() {
    let cases = [
        ("silent after the connect", Arc::new(Connection::stay_silent) as Fault),
        ("silent after the request", then_drips("", "")),
        ("silent within the status line", then_drips("HTTP/1.1 2", "")),
        ("silent within the headers", then_drips("HTTP/1.1 200 OK\r\nDate: ", "")),
        ("silent after the headers", then_drips(HEAD, "")),
        ("silent after half a body", then_drips([HEAD, r#"{"url": "#].concat(), "")),
        ("silent after a chunk", then_drips([CHUNKED, "2\r\n{}\r\n"].concat(), "")),
        ("silent in a body without a length", then_drips("HTTP/1.1 200 OK\r\n\r\n{", "")),
        ("dripping a status line", then_drips("", "HTTP/1.1 200 OK")),
        ("dripping headers", then_drips("HTTP/1.1 200 OK\r\n", "a: b\r\n")),
        ("dripping one header", then_drips("HTTP/1.1 200 OK\r\na: ", "b")),
        ("dripping a body", then_drips(HEAD, " ")),
        ("dripping chunks", then_drips(CHUNKED, "1\r\n \r\n")),
        ("dripping a chunk size", then_drips(CHUNKED, "0")),
        ("dripping 100 Continue", then_drips("", "HTTP/1.1 100 Continue\r\n\r\n")),
    ];
    std::thread::scope(|scope| {
        for (what, fault) in &cases {
            scope.spawn(move || CALLS.map(|call| ends_in_time(what, fault, call)));
        }
    });
}

fn ends_in_time(what: &str, fault: &Fault, (name, call): (&str, Call)) {
    let server = Server::faulty(usize::MAX, fault);
    let error = timed(TIMEOUT, || call(&hurried(server.base_url())));
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 1), "{what}: {error}");
    assert!(error.to_string().contains(": no complete response within 250ms"), "{what}: {error}");
    let is_change = !matches!(name, "retrieve" | "list");
    assert_eq!(error.may_have_been_applied(), is_change, "{name}: {what}");
}

#[test]
fn slow_body_of_an_error_status_ends_in_time_and_does_not_hide_the_status() {
    let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 1000000\r\n\r\nno such ";
    for dripped in ["", "w"] {
        let server = Server::faulty(usize::MAX, &then_drips(head, dripped));
        let error = timed(TIMEOUT, || hurried(server.base_url()).retrieve_webhook("wrk_1"));
        assert_eq!((error.kind(), error.status()), (ErrorKind::Status, Some(404)));
        assert!(error.body().starts_with(b"no such"), "{error}");
    }
}

#[test]
fn request_that_is_not_read_ends_in_time() {
    // The kernel accepts the connection and the beginning of the request.
    let (socket, address) = unlistened();
    socket.listen(16).unwrap();
    let more_than_buffers = format!("https://example.com/{}", "x".repeat(16 * 1024 * 1024));
    let client = hurried(format!("http://{address}"));
    let error = timed(TIMEOUT, || client.update_webhook("wrk_1", more_than_buffers));
    let message = "no complete response within 250ms; the change may have been applied";
    assert_timeout(&error, false, message);
}

/// Other systems need not ignore new connections while a backlog is full: Windows rejects them.
#[cfg(target_os = "linux")]
#[test]
fn connection_that_is_not_accepted_ends_with_the_connect_timeout() {
    let (socket, address) = unlistened();
    socket.listen(0).unwrap();
    let timeout = Duration::from_millis(50);
    let backlog: Vec<_> =
        std::iter::from_fn(|| TcpStream::connect_timeout(&address, timeout).ok()).take(64).collect();
    assert!(backlog.len() < 64, "the backlog is never full");

    let client = builder(format!("http://{address}"))
        .connect_timeout(Duration::from_millis(20))
        .max_retries(1)
        .build()
        .unwrap();
    let error = timed(Duration::from_millis(40), || client.regenerate_token("wrk_1"));
    assert_timeout(&error, true, &format!("could not connect to {address} within 20ms (2 attempts)"));

    let client = client.with_timeout(Duration::from_millis(10)).with_max_retries(0);
    let error = timed(Duration::from_millis(10), || client.regenerate_token("wrk_1"));
    assert_timeout(&error, true, &format!("could not connect to {address} within 10ms"));
}

#[test]
#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn silent_tls_handshake_ends_with_the_shorter_of_the_two_timeouts() {
    let server = Server::start(|_, connection| connection.stay_silent());
    let address = server.address();
    for (timeout, connect_timeout) in [(TIMEOUT, Duration::from_secs(5)), (Duration::from_secs(5), TIMEOUT)] {
        let client = builder(format!("https://{address}"))
            .timeout(timeout)
            .connect_timeout(connect_timeout)
            .max_retries(0)
            .build()
            .unwrap();
        let error = timed(TIMEOUT, || client.regenerate_token("wrk_1"));
        let message = format!("could not complete the TLS handshake with {address} within 250ms");
        assert_timeout(&error, true, &message);
        assert!(!error.may_have_been_applied(), "{error}");
    }
}

#[test]
fn each_attempt_has_the_full_timeout() {
    let fake = FakeHandinger::start();
    fake.add_worker("wrk_1");
    fake.inject(fake::Fault::delay(Duration::from_secs(3600)));
    fake.inject(fake::Fault::delay(Duration::from_millis(150)));
    let start = Instant::now();
    fake.client().with_timeout(TIMEOUT).delete_webhook("wrk_1").unwrap();
    assert!(start.elapsed() >= TIMEOUT + Duration::from_millis(150));
    fake.assert_faults_used();
}

#[test]
fn total_timeout_limits_one_attempt() {
    let server = Server::start(|_, connection| connection.stay_silent());
    let client = builder(server.base_url()).total_timeout(TIMEOUT).max_retries(0).build().unwrap();
    let error = timed(TIMEOUT, || client.list_executions("wrk_1", 1));
    assert_eq!(
        format!("{error:#}"),
        "list executions of worker wrk_1, page 1: no complete response within the total timeout of 250ms"
    );
}

#[test]
fn total_timeout_limits_all_attempts_together() {
    let server = Server::responding([response_with(408, &[("retry-after-ms", "5")], "")]);
    let client = builder(server.base_url())
        .total_timeout(TIMEOUT)
        .max_retries(u32::MAX)
        .sleep_with(|_| std::thread::sleep(Duration::from_millis(15)))
        .build()
        .unwrap();
    let error = timed(TIMEOUT / 2, || client.regenerate_token("wrk_1"));
    assert!(error.attempts() >= 2, "{error}");
    assert!(error.to_string().contains("; no time left within the total timeout of 250ms"), "{error}");
}

#[test]
fn wait_that_would_outlast_the_total_timeout_is_not_made() {
    let server = Server::responding([response_with(429, &[("Retry-After", "50")], "")]);
    let client =
        builder(server.base_url()).sleep_with(|wait| assert_eq!(wait.as_secs(), 50)).build().unwrap();
    let error = client.with_total_timeout(Duration::from_secs(30)).retrieve_webhook("wrk_1").unwrap_err();
    assert_eq!((error.attempts(), error.retry_after()), (1, Some(Duration::from_secs(50))));
    assert!(error.to_string().ends_with("429; no time left within the total timeout of 30s"), "{error}");
    let patient = client.with_total_timeout(Duration::from_secs(3600));
    assert_eq!(patient.retrieve_webhook("wrk_1").unwrap_err().attempts(), 3);
}

#[test]
fn no_attempt_follows_a_wait_that_outlasted_the_total_timeout() {
    let server = Server::responding([response_with(429, &[("retry-after-ms", "1")], "")]);
    let client = builder(server.base_url())
        .total_timeout(TIMEOUT)
        .sleep_with(|_| std::thread::sleep(TIMEOUT))
        .build()
        .unwrap();
    let error = client.retrieve_webhook("wrk_1").unwrap_err();
    assert_eq!((error.status(), error.attempts(), server.requests().len()), (Some(429), 1, 1));
    assert!(error.to_string().ends_with("429; no time left within the total timeout of 250ms"), "{error}");
}

#[test]
fn no_timeout_is_too_long() {
    let server = Server::responding([response(200, ANY_BODY)]);
    let longest = Duration::MAX;
    let builder = builder(server.base_url()).timeout(longest).connect_timeout(longest).total_timeout(longest);
    builder.build().unwrap().regenerate_token("wrk_1").unwrap();
}
