//! No attempt outlasts its timeout, no call its total timeout, and messages name the setting.

use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use handinger::fake;
use handinger::{Error, ErrorKind, HandingerClientBuilder};

use crate::support::{
    ANY_BODY, CALLS, Connection, Fault, Server, builder, response, response_with, unlistened,
};

const TIMEOUT: Duration = Duration::from_millis(250);
/// Far more than a timeout, so that the bound holds on a busy machine too, and far less than no bound.
const LIMIT: Duration = Duration::from_secs(8);

/// The error of a call that must end within [`LIMIT`], but not before `at_least`.
#[track_caller]
fn timed<T: std::fmt::Debug>(at_least: Duration, call: impl FnOnce() -> Result<T, Error>) -> Error {
    let start = Instant::now();
    let error = call().unwrap_err();
    let elapsed = start.elapsed();
    assert!(at_least <= elapsed && elapsed < LIMIT, "{elapsed:?}: {error}");
    error
}

/// Checks a regenerate that times out before it is sent. No words of ureq follow the message.
#[track_caller]
fn assert_not_connected(client: HandingerClientBuilder, message: &str) {
    let client = client.max_retries(0).build().unwrap();
    let error = timed(Duration::ZERO, || client.regenerate_token("wrk_1"));
    assert_eq!(format!("{error:#}"), format!("regenerate token of worker wrk_1: could not {message}"));
    assert!(error.is_timeout() && error.is_connect() && !error.may_have_been_applied());
}

/// After the request, sends the first bytes at once, drips the second for longer than [`LIMIT`], and stays silent.
fn then_drips(first: &str, dripped: &'static str) -> Fault {
    let first = first.to_owned();
    Arc::new(move |connection| {
        connection.request();
        connection.send(&first);
        for byte in dripped.bytes().cycle().take(1000) {
            if connection.stream.write_all(&[byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(15));
        }
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
        ("silent within the headers", then_drips("HTTP/1.1 200 OK\r\nDate: ", "")),
        ("silent after the headers", then_drips(HEAD, "")),
        ("silent after a chunk", then_drips(&[CHUNKED, "2\r\n{}\r\n"].concat(), "")),
        ("silent in a body without a length", then_drips("HTTP/1.1 200 OK\r\n\r\n{", "")),
        ("dripping a status line", then_drips("", "HTTP/1.1 200 OK")),
        ("dripping headers", then_drips("HTTP/1.1 200 OK\r\n", "a: b\r\n")),
        ("dripping one header", then_drips("HTTP/1.1 200 OK\r\na: ", "b")),
        ("dripping a body", then_drips(HEAD, " ")),
        ("dripping chunks", then_drips(CHUNKED, "1\r\n \r\n")),
        ("dripping a chunk size", then_drips(CHUNKED, "0")),
        ("dripping 100 Continue", then_drips("", "HTTP/1.1 100 Continue\r\n\r\n")),
    ];
    let check = |what: &str, fault: &Fault| {
        let server = Server::faulty(usize::MAX, fault);
        let client = builder(server.base_url()).timeout(TIMEOUT).max_retries(0).build().unwrap();
        for (name, call) in CALLS {
            let error = timed(TIMEOUT, || call(&client));
            let is_change = !matches!(name, "retrieve" | "list");
            let note = if is_change { "; the change may have been applied" } else { "" };
            let message = format!(": no complete response within 250ms{note}");
            assert!(format!("{error:#}").ends_with(&message), "{what}: {error:#}");
            assert!(error.is_timeout() && !error.is_connect(), "{what}: {error}");
        }
    };
    thread::scope(|scope| {
        for (what, fault) in &cases {
            scope.spawn(move || check(what, fault));
        }
    });
}

#[test]
fn slow_body_of_an_error_status_ends_in_time_and_does_not_hide_the_status() {
    let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 1000000\r\n\r\nno such ";
    let server = Server::faulty(usize::MAX, &then_drips(head, "w"));
    let client = builder(server.base_url()).timeout(TIMEOUT).build().unwrap();
    let error = timed(TIMEOUT, || client.retrieve_webhook("wrk_1"));
    assert_eq!((error.kind(), error.status()), (ErrorKind::Status, Some(404)));
    assert!(error.body().starts_with(b"no such w"), "{error}");
}

/// Other systems need not ignore new connections while a backlog is full: Windows rejects them.
#[cfg(target_os = "linux")]
#[test]
fn connection_that_is_not_accepted_ends_with_the_shorter_of_the_timeouts() {
    let (socket, address) = unlistened();
    socket.listen(0).unwrap();
    let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok();
    let backlog: Vec<_> = std::iter::from_fn(connect).take(64).collect();
    assert!(backlog.len() < 64, "the backlog is never full");

    let short = Duration::from_millis(20);
    let client = || builder(format!("http://{address}"));
    let message = format!("connect to {address} within 20ms");
    assert_not_connected(client().connect_timeout(short), &message);
    assert_not_connected(client().timeout(short), &message);
    let message = format!("connect to {address} within the total timeout of 20ms");
    assert_not_connected(client().total_timeout(short), &message);
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[test]
fn silent_tls_handshake_ends_with_the_connect_timeout() {
    let server = Server::start(|_, connection| connection.stay_silent());
    let address = server.address();
    let client = builder(format!("https://{address}")).connect_timeout(TIMEOUT);
    let message = format!("complete the TLS handshake with {address} within 250ms");
    assert_not_connected(client, &message);
}

#[test]
fn each_attempt_has_the_full_timeout() {
    let fake = crate::fake::with_worker();
    fake.inject(fake::Fault::delay(Duration::from_secs(3600)));
    fake.inject(fake::Fault::delay(Duration::from_millis(150)));
    let start = Instant::now();
    fake.client().with_timeout(TIMEOUT).delete_webhook("wrk_1").unwrap();
    assert!(start.elapsed() >= TIMEOUT + Duration::from_millis(150));
    fake.assert_faults_used();
}

#[test]
fn total_timeout_limits_all_attempts_and_waits_together() {
    for (wait, slept) in [("0.005", 15), ("0.005", 250), ("50", 0)] {
        let server = Server::responding([response_with(429, &[("Retry-After", wait)], "")]);
        let client = builder(server.base_url())
            .total_timeout(TIMEOUT)
            .max_retries(u32::MAX)
            .sleep_with(move |_| thread::sleep(Duration::from_millis(slept)));
        let error = timed(Duration::ZERO, || client.build().unwrap().retrieve_webhook("wrk_1"));
        assert_eq!(error.attempts() > 1, slept == 15, "{error}");
        assert!(error.to_string().contains("within the total timeout of 250ms"), "{error}");
    }
}

#[test]
fn no_timeout_is_too_long() {
    let server = Server::responding([response(200, ANY_BODY)]);
    let longest = Duration::MAX;
    let builder = builder(server.base_url()).timeout(longest).connect_timeout(longest).total_timeout(longest);
    builder.build().unwrap().regenerate_token("wrk_1").unwrap();
}
