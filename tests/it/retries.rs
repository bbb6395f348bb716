//! The table of retries, case by case, and the waits.

use std::net::TcpListener;
#[cfg(target_os = "linux")]
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use handinger::fake::{self, FakeHandinger};
use handinger::{Error, ErrorKind, HandingerClient};
use time::{OffsetDateTime, format_description};

use crate::support::{
    ANY_BODY, CALLS, Fault, KEY, Server, WEBHOOK, Waits, builder, client, response, response_with, sends,
    sends_and_resets, unlistened,
};

/// Which calls are retried.
#[derive(Clone, Copy)]
enum Retried {
    All,
    /// All but regenerate.
    Idempotent,
    None,
}

impl Retried {
    fn includes(self, call: &str) -> bool {
        match self {
            Self::All => true,
            Self::Idempotent => call != "regenerate",
            Self::None => false,
        }
    }
}

struct Case {
    what: String,
    fault: Fault,
    retried: Retried,
    /// Whether the server makes the change before it fails.
    applies: bool,
}

/// Every case of the table in which the request reaches the server.
fn table() -> Vec<Case> {
    let case = |what: &str, fault, retried, applies| Case { what: what.into(), fault, retried, applies };
    let status = |status: u16, headers: &[(&str, &str)], retried, applies| {
        // The server closes the connection: without the header, the next attempt could use it and lose it.
        let closing = [headers, &[("Connection", "close")]].concat();
        case(&format!("{status} {headers:?}"), sends(response_with(status, &closing, "")), retried, applies)
    };
    let mut cases = vec![
        case("a close instead of a response", sends(""), Retried::Idempotent, true),
        case("a reset instead of a response", sends_and_resets(""), Retried::Idempotent, true),
        case("half a head", sends("HTTP/1.1 200 OK\r\nContent-Le"), Retried::Idempotent, true),
        case("half a body", sends(&response(200, ANY_BODY)[..60]), Retried::Idempotent, true),
        case("no HTTP", sends("SSH-2.0-OpenSSH_9.6\r\n"), Retried::Idempotent, true),
        case("no JSON", sends(response(200, "done")), Retried::None, true),
        case("an empty 204", sends("HTTP/1.1 204 No Content\r\n\r\n"), Retried::None, true),
        case("another object", sends(response(200, r#"{"error": "no"}"#)), Retried::None, true),
    ];
    cases.extend([408, 409, 429].map(|code| status(code, &[], Retried::All, false)));
    cases.extend([500, 501, 502, 503, 504, 529].map(|code| status(code, &[], Retried::Idempotent, true)));
    cases.extend([300, 301, 302, 303, 304, 307, 308].map(|code| status(code, &[], Retried::None, false)));
    cases.extend([400, 401, 403, 404, 410, 422, 451].map(|code| status(code, &[], Retried::None, false)));
    let (yes, no) = (("x-should-retry", "true"), ("x-should-retry", "false"));
    let (seconds, millis) = (("Retry-After", "1"), ("retry-after-ms", "1"));
    cases.extend([
        status(503, &[seconds], Retried::All, false),
        status(503, &[millis], Retried::All, false),
        status(500, &[seconds], Retried::Idempotent, true),
        status(404, &[yes], Retried::All, false),
        status(307, &[yes], Retried::Idempotent, false),
        status(500, &[yes], Retried::Idempotent, true),
        status(503, &[yes, seconds], Retried::All, false),
        status(429, &[no], Retried::None, false),
        status(500, &[no], Retried::None, true),
        status(503, &[no, seconds], Retried::None, false),
        status(404, &[("x-should-retry", "perhaps")], Retried::None, false),
    ]);
    cases
}

#[test]
fn after_one_fault_a_call_is_retried_as_the_table_says() {
    for Case { what, fault, retried, applies } in table() {
        for (name, call) in CALLS {
            let server = Server::faulty(1, &fault);
            let result = call(&client(server.base_url()));

            let requests = server.requests().len();
            let applied = usize::from(applies) + requests - 1;
            assert_eq!(requests, 1 + usize::from(retried.includes(name)), "{name}: {what}");
            assert_eq!(result.is_ok(), retried.includes(name), "{name}: {what}: {result:?}");
            assert!(name != "regenerate" || applied <= 1, "{what}: applied {applied} times");
        }
    }
}

#[test]
fn with_a_permanent_fault_a_call_ends_as_the_table_says() {
    for Case { what, fault, retried, applies } in table() {
        for (name, call) in CALLS {
            let server = Server::faulty(usize::MAX, &fault);
            let waits = Waits::default();
            let error =
                call(&builder(server.base_url()).sleep_with(waits.recorder()).build().unwrap()).unwrap_err();

            let attempts = if retried.includes(name) { 3 } else { 1 };
            assert_eq!(error.attempts(), attempts, "{name}: {what}: {error}");
            assert_eq!(server.requests().len(), attempts as usize, "{name}: {what}");
            assert_eq!(waits.take().len(), attempts as usize - 1, "{name}: {what}");
            let is_change = !matches!(name, "retrieve" | "list");
            assert_eq!(error.may_have_been_applied(), applies && is_change, "{name}: {what}: {error}");
            assert_eq!(
                error.to_string().ends_with("; the change may have been applied"),
                error.may_have_been_applied()
            );
            assert_eq!(error.to_string().contains("(3 attempts)"), attempts == 3, "{error}");
        }
    }
}

#[test]
fn may_have_been_applied_survives_later_attempts() {
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
fn max_retries_bounds_the_attempts() {
    for (max_retries, requests) in [(0, 1), (1, 2), (5, 6)] {
        let server = Server::responding([response(503, "")]);
        let client = client(server.base_url()).with_max_retries(max_retries);
        let error = client.retrieve_webhook("wrk_1").unwrap_err();
        assert_eq!((error.attempts(), server.requests().len()), (requests, requests as usize));
    }
}

/// Asserts that each of the five calls fails after three attempts, none of which sent anything.
#[track_caller]
fn assert_never_sent(client: &HandingerClient, kind: ErrorKind, waits: &Waits) -> Vec<Error> {
    let errors = CALLS.map(|(name, call)| {
        let error = call(client).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.is_connect(), "{name}: {error}");
        assert_eq!(error.is_timeout(), kind == ErrorKind::Timeout, "{name}: {error}");
        assert_eq!(error.attempts(), 3, "{name}: {error}");
        assert_eq!(waits.take().len(), 2, "{name}");
        assert!(!error.may_have_been_applied(), "{name}: {error}");
        assert!(std::error::Error::source(&error).is_some(), "{name}: {error}");
        error
    });
    errors.into()
}

#[test]
fn every_call_is_retried_after_a_refused_connection() {
    let (_socket, address) = unlistened();
    let waits = Waits::default();
    let client = builder(format!("http://{address}")).sleep_with(waits.recorder()).build().unwrap();
    for error in assert_never_sent(&client, ErrorKind::Connect, &waits) {
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
        assert_eq!(source.map(std::io::Error::kind), Some(std::io::ErrorKind::ConnectionRefused));
        assert!(error.to_string().contains(&format!("could not connect to {address}")), "{error}");
    }
}

#[test]
fn every_call_succeeds_when_the_server_starts_after_a_refused_connection() {
    for (name, call) in CALLS {
        let (socket, address) = unlistened();
        let server = Arc::new(OnceLock::new());
        let start = {
            let server = Arc::clone(&server);
            move |_| {
                socket.listen(16).unwrap();
                let listener = TcpListener::from(socket.try_clone().unwrap());
                let started = Server::on(listener, |_, connection| {
                    connection.respond_to_all(response(200, ANY_BODY));
                });
                assert!(server.set(started).is_ok(), "one wait");
            }
        };
        let client = builder(format!("http://{address}")).sleep_with(start).build().unwrap();
        call(&client).unwrap();
        assert_eq!(server.get().unwrap().requests().len(), 1, "{name}");
    }
}

#[test]
fn every_call_is_retried_after_the_lookup_of_an_unknown_host() {
    let waits = Waits::default();
    // The lookup of this name sends nothing, since no label may be longer than 63 bytes.
    let client = builder(format!("http://{}.invalid", "x".repeat(64)))
        .allow_insecure_http(true)
        .sleep_with(waits.recorder())
        .build()
        .unwrap();
    assert_never_sent(&client, ErrorKind::Connect, &waits);
}

/// Other systems need not ignore new connections while a backlog is full: Windows refuses them.
#[cfg(target_os = "linux")]
#[test]
fn every_call_is_retried_after_a_connect_timeout() {
    let (socket, address) = unlistened();
    socket.listen(0).unwrap();
    let timeout = Duration::from_millis(50);
    let backlog: Vec<_> =
        std::iter::from_fn(|| TcpStream::connect_timeout(&address, timeout).ok()).take(64).collect();
    assert!(backlog.len() < 64, "the backlog is never full");

    let waits = Waits::default();
    let client = builder(format!("http://{address}"))
        .timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_millis(20))
        .sleep_with(waits.recorder())
        .build()
        .unwrap();
    for error in assert_never_sent(&client, ErrorKind::Timeout, &waits) {
        assert!(error.to_string().contains(&format!("no connection to {address} within 20ms")), "{error}");
    }
}

#[test]
#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn every_call_is_retried_after_a_failed_tls_handshake() {
    let closes: Fault = Arc::new(|_| {});
    let resets: Fault = Arc::new(|connection| connection.reset_on_close());
    let is_no_tls: Fault = Arc::new(|connection| {
        connection.send(response(400, "this is not the https port"));
        connection.stay_silent();
    });
    let alert: Fault = Arc::new(|connection| {
        connection.send([21, 3, 3, 0, 2, 2, 40]);
        connection.stay_silent();
    });
    for fault in [closes, resets, is_no_tls, alert] {
        let server = Server::faulty(usize::MAX, &fault);
        let waits = Waits::default();
        let client = builder(format!("https://{}", server.address())).sleep_with(waits.recorder()).build();
        let end = format!(": could not connect to {} (3 attempts)", server.address());
        for error in assert_never_sent(&client.unwrap(), ErrorKind::Connect, &waits) {
            assert!(error.to_string().ends_with(&end), "{error}");
        }
        assert_eq!(server.connections(), 15);
        assert_eq!(server.requests(), [""; 0]);
    }
}

/// The waits, the result and the number of requests of a call whose first response is a 429 with these headers.
fn rejected_once(headers: &[(&str, &str)]) -> (Vec<Duration>, Result<(), Error>, usize) {
    let server = Server::responding([response_with(429, headers, ""), response(200, WEBHOOK)]);
    let waits = Waits::default();
    let client = builder(server.base_url()).sleep_with(waits.recorder()).build().unwrap();
    let result = client.retrieve_webhook("wrk_1").map(drop);
    (waits.take(), result, server.requests().len())
}

#[test]
fn a_requested_wait_is_made_exactly() {
    for (headers, wait) in [
        (&[("Retry-After", "60")][..], 60_000),
        (&[("retry-after", "0.25")], 250),
        (&[("Retry-After-MS", "1")], 1),
    ] {
        let (waits, result, requests) = rejected_once(headers);
        assert_eq!(waits, [Duration::from_millis(wait)], "{headers:?}");
        assert!(result.is_ok() && requests == 2, "{headers:?}: {result:?}");
    }
}

/// The formats of an HTTP date (RFC 9110 §5.6.7): the one to write, and the two obsolete ones that are to be read.
const HTTP_DATES: [&str; 3] = [
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT",
    "[weekday], [day]-[month repr:short]-[year repr:last_two] [hour]:[minute]:[second] GMT",
    "[weekday repr:short] [month repr:short] [day padding:space] [hour]:[minute]:[second] [year]",
];

#[test]
fn a_wait_until_a_date_ends_at_that_date() {
    for format in HTTP_DATES {
        let format = format_description::parse_borrowed::<2>(format).unwrap();
        let date = (OffsetDateTime::now_utc() + Duration::from_secs(50)).format(&format).unwrap();
        let (waits, result, requests) = rejected_once(&[("Retry-After", &date)]);
        let expected = Duration::from_secs(20)..=Duration::from_secs(50);
        assert!(matches!(&waits[..], [wait] if expected.contains(wait)), "{date}: {waits:?}");
        assert!(result.is_ok() && requests == 2, "{date}: {result:?}");
    }
}

#[test]
fn what_a_server_asks_for_can_be_added_to_an_instant() {
    let digits = "9".repeat(400);
    for header in [
        ("Retry-After", "18446744073709551615"),
        ("Retry-After", "18446744073709551616.999"),
        ("Retry-After", &digits),
        ("retry-after-ms", &digits),
        ("retry-after-ms", "18446744073709551615"),
        ("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"),
        ("Retry-After", "Fri Dec 31 23:59:59 9999"),
    ] {
        let (waits, result, _) = rejected_once(&[header]);
        let wait = result.unwrap_err().retry_after().unwrap();
        assert!(waits.is_empty() && wait <= Duration::from_secs(365 * 86_400), "{header:?}: {wait:?}");
        assert!(Instant::now().checked_add(wait).is_some(), "{header:?}");
    }
}

#[test]
fn invalid_retry_after_falls_back_to_backoff() {
    let millis = ["0.0", "-0.5", "Thu, 01 Jan 1970 00:00:00 GMT", "soon", "", "inf", "1e1", "0x5"];
    let seconds = ["0", "-0.5", "soon"];
    let headers = millis.map(|value| ("retry-after-ms", value)).into_iter();
    for header in headers.chain(seconds.map(|value| ("Retry-After", value))) {
        let (waits, result, requests) = rejected_once(&[header]);
        let backoff = Duration::from_millis(375)..=Duration::from_millis(500);
        assert!(waits.len() == 1 && backoff.contains(&waits[0]), "{header:?}: {waits:?}");
        assert!(result.is_ok() && requests == 2, "{header:?}: {result:?}");
    }
}

#[test]
fn a_requested_wait_over_60_s_is_reported_at_once() {
    for (name, value, wait) in [
        ("Retry-After", "60.001", Duration::from_millis(60_001)),
        ("Retry-After", "99999999999999999999", Duration::from_secs(365 * 86_400)),
        ("retry-after-ms", "60001", Duration::from_millis(60_001)),
    ] {
        let (waits, result, requests) = rejected_once(&[(name, value)]);
        let error = result.unwrap_err();
        assert_eq!((waits, requests), (vec![], 1), "{name}: {value}");
        assert_eq!((error.attempts(), error.retry_after()), (1, Some(wait)), "{name}: {value}");
        let note = format!("429; the server asks to wait {wait:?}, which is longer than 60s");
        assert!(error.to_string().ends_with(&note), "{error}");
    }
    let (waits, result, _) = rejected_once(&[("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT")]);
    assert!(result.unwrap_err().retry_after() > Some(Duration::from_secs(86_400)));
    assert!(waits.is_empty());
}

#[test]
fn the_error_of_the_last_attempt_carries_the_requested_wait() {
    let server = Server::responding([response_with(429, &[("Retry-After", "7")], "")]);
    let error = client(server.base_url()).regenerate_token("wrk_1").unwrap_err();
    assert_eq!((error.attempts(), error.retry_after()), (3, Some(Duration::from_secs(7))));

    let server = Server::responding([response_with(429, &[("Retry-After", "0")], "")]);
    let error = client(server.base_url()).regenerate_token("wrk_1").unwrap_err();
    assert_eq!(error.retry_after(), None, "there is nothing to wait for");
}

#[test]
fn the_backoff_doubles_to_8_s_less_a_jitter_that_varies() {
    let server = Server::responding([response(500, "")]);
    let waits = Waits::default();
    let client = builder(server.base_url()).max_retries(25).sleep_with(waits.recorder()).build().unwrap();
    client.delete_webhook("wrk_1").unwrap_err();

    let waits = waits.take();
    assert_eq!(waits.len(), 25);
    for (wait, longest) in waits.iter().zip([0.5, 1.0, 2.0, 4.0].into_iter().chain(std::iter::repeat(8.0))) {
        let seconds = wait.as_secs_f64();
        assert!(longest * 0.75 <= seconds && seconds <= longest, "{wait:?} is not about {longest} s");
    }
    assert!(waits[4..].iter().any(|wait| *wait != waits[4]), "{waits:?}");
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

#[test]
fn a_wait_that_would_outlast_the_total_timeout_is_not_made() {
    let server = Server::responding([response_with(429, &[("Retry-After", "50")], "")]);
    let waits = Waits::default();
    let client = builder(server.base_url())
        .total_timeout(Duration::from_secs(30))
        .sleep_with(waits.recorder())
        .build()
        .unwrap();
    let error = client.retrieve_webhook("wrk_1").unwrap_err();
    assert_eq!((waits.take(), server.requests().len(), error.attempts()), (vec![], 1, 1));
    assert_eq!((error.status(), error.retry_after()), (Some(429), Some(Duration::from_secs(50))));
    assert!(error.to_string().ends_with("429; no time left within the total timeout of 30s"), "{error}");

    let patient = client.with_total_timeout(Duration::from_secs(3600));
    assert_eq!(patient.retrieve_webhook("wrk_1").unwrap_err().attempts(), 3);
    assert_eq!(waits.take(), [Duration::from_secs(50); 2]);
}

#[test]
fn no_attempt_follows_a_wait_that_outlasted_the_total_timeout() {
    let server = Server::responding([response_with(429, &[("retry-after-ms", "1")], "")]);
    let client = builder(server.base_url())
        .total_timeout(Duration::from_millis(280))
        .sleep_with(|_| std::thread::sleep(Duration::from_millis(290)))
        .build()
        .unwrap();
    let error = client.retrieve_webhook("wrk_1").unwrap_err();
    assert_eq!((error.status(), error.attempts(), server.requests().len()), (Some(429), 1, 1));
    assert!(error.to_string().ends_with("429; no time left within the total timeout of 280ms"), "{error}");
}
