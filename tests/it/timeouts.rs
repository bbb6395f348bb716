//! No attempt outlasts its timeout, no call its total timeout.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handinger::fake::{self, FakeHandinger};
use handinger::{Error, ErrorKind, HandingerClient};

use crate::support::{ANY_BODY, CALLS, Call, Connection, Fault, Server, builder, response, response_with};

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

/// Sends the bytes one by one, slowly, over and over, until the client has gone.
fn drip(connection: &mut Connection, bytes: &[u8]) {
    for byte in bytes.iter().cycle() {
        if !connection.try_send([*byte]) {
            break;
        }
        std::thread::sleep(Duration::from_millis(15));
    }
}

/// After the request, sends the first bytes at once, and drips the second without end (or stays silent if there are none).
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
fn an_attempt_ends_in_time_wherever_the_server_stops_or_drips() {
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
    assert!(error.is_timeout() && !error.is_connect(), "{what}: {error}");
    assert!(error.to_string().contains("no complete response within 250ms"), "{what}: {error}");
    assert!(std::error::Error::source(&error).is_some(), "{what}");
    let is_change = !matches!(name, "retrieve" | "list");
    assert_eq!(error.may_have_been_applied(), is_change, "{name}: {what}");
}

#[test]
fn endless_interim_responses_end_in_time() {
    let server = Server::start(|_, connection| {
        connection.request();
        while connection.try_send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n") {}
    });
    let error = timed(Duration::ZERO, || hurried(server.base_url()).regenerate_token("wrk_1"));
    // If they arrive faster than they are read, they count as one head that is too large.
    assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::TooLarge), "{error}");
    assert!(error.may_have_been_applied());
}

#[test]
fn a_slow_body_of_an_error_status_ends_in_time_and_does_not_hide_the_status() {
    let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 1000000\r\n\r\nno such ";
    for dripped in ["", "w"] {
        let server = Server::faulty(usize::MAX, &then_drips(head, dripped));
        let error = timed(TIMEOUT, || hurried(server.base_url()).retrieve_webhook("wrk_1"));
        assert_eq!((error.kind(), error.status()), (ErrorKind::Status, Some(404)));
        assert!(error.body().starts_with(b"no such"), "{error}");
    }
}

#[test]
fn a_request_that_nobody_reads_ends_in_time() {
    // The kernel accepts the connection and the request.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = hurried(format!("http://{}", listener.local_addr().unwrap()));
    let longest = format!("https://example.com/{}", "x".repeat(8 * 1024 - 20));
    let error = timed(TIMEOUT, || client.update_webhook("wrk_1", longest));
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.may_have_been_applied());
}

#[test]
#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn a_silent_tls_handshake_ends_with_the_shorter_of_the_two_timeouts() {
    let server = Server::start(|_, connection| connection.stay_silent());
    for (timeout, connect_timeout) in [(TIMEOUT, Duration::from_secs(5)), (Duration::from_secs(5), TIMEOUT)] {
        let client = builder(format!("https://{}", server.address()))
            .timeout(timeout)
            .connect_timeout(connect_timeout)
            .max_retries(1)
            .build()
            .unwrap();
        let error = timed(2 * TIMEOUT, || client.regenerate_token("wrk_1"));
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 2), "{error}");
        assert!(error.is_timeout() && error.is_connect(), "{error}");
        assert!(error.to_string().contains("within 250ms"), "{error}");
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
fn the_total_timeout_bounds_one_attempt_and_the_error_says_so() {
    let server = Server::start(|_, connection| connection.stay_silent());
    for max_retries in [0, 2] {
        for (name, call) in CALLS {
            let client = builder(server.base_url()).total_timeout(TIMEOUT).max_retries(max_retries);
            let error = timed(TIMEOUT, || call(&client.build().unwrap()));
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 1), "{name}: {error}");
            assert!(
                error.to_string().contains("; no time left within the total timeout of 250ms"),
                "{error}"
            );
        }
    }
}

#[test]
fn the_total_timeout_bounds_all_attempts_together_and_the_error_says_so() {
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
fn no_timeout_is_too_long() {
    let server = Server::responding([response(200, ANY_BODY)]);
    let (longest, default) = (Duration::MAX, || builder(server.base_url()));
    let built = [
        default().timeout(longest),
        default().connect_timeout(longest),
        default().total_timeout(longest),
        default().timeout(longest).connect_timeout(longest).total_timeout(longest),
    ];
    let client = default().build().unwrap();
    let with_options = [client.with_timeout(longest), client.with_total_timeout(longest)];
    for client in built.into_iter().map(|builder| builder.build().unwrap()).chain(with_options) {
        client.retrieve_webhook("wrk_1").unwrap();
        client.regenerate_token("wrk_1").unwrap();
    }
    assert_eq!(server.requests().len(), 12);
}
