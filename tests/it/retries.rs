//! The table of retries, row by row, and the waits.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use handinger::{Error, ErrorKind, HandingerClient};
use socket2::{Domain, Socket, Type};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::support::{
    ANYTHING, CALLS, Fault, KEY, Server, WEBHOOK, Waits, answer, answer_with, builder, client, sends,
    sends_and_resets,
};

/// Which calls are tried again.
#[derive(Clone, Copy)]
enum Again {
    All,
    /// All but regenerate.
    Idempotent,
    None,
}

impl Again {
    fn holds_for(self, call: &str) -> bool {
        match self {
            Self::All => true,
            Self::Idempotent => call != "regenerate",
            Self::None => false,
        }
    }
}

struct Row {
    what: String,
    fault: Fault,
    again: Again,
    /// Whether the server makes the change before it fails.
    applies: bool,
}

/// Every row of the table whose requests reach the server.
fn table() -> Vec<Row> {
    let row = |what: &str, fault, again, applies| Row { what: what.into(), fault, again, applies };
    let status = |status: u16, headers: &[(&str, &str)], again, applies| {
        // Announced, so that no later try takes the connection for one to be used again.
        let closing = [headers, &[("Connection", "close")]].concat();
        row(&format!("{status} {headers:?}"), sends(answer_with(status, &closing, "")), again, applies)
    };
    let mut rows = vec![
        row("a close in place of an answer", sends(""), Again::Idempotent, true),
        row("a reset in place of an answer", sends_and_resets(""), Again::Idempotent, true),
        row("half a head", sends("HTTP/1.1 200 OK\r\nContent-Le"), Again::Idempotent, true),
        row("half a body", sends(&answer(200, ANYTHING)[..60]), Again::Idempotent, true),
        row("no HTTP", sends("SSH-2.0-OpenSSH_9.6\r\n"), Again::Idempotent, true),
        row("no JSON", sends(answer(200, "done")), Again::None, true),
        row("an empty 204", sends("HTTP/1.1 204 No Content\r\n\r\n"), Again::None, true),
        row("another object", sends(answer(200, r#"{"error": "no"}"#)), Again::None, true),
    ];
    rows.extend([408, 409, 429].map(|code| status(code, &[], Again::All, false)));
    rows.extend([500, 501, 502, 503, 504, 529].map(|code| status(code, &[], Again::Idempotent, true)));
    rows.extend([300, 301, 302, 303, 304, 307, 308].map(|code| status(code, &[], Again::None, false)));
    rows.extend([400, 401, 403, 404, 410, 422, 451].map(|code| status(code, &[], Again::None, false)));
    let (yes, no) = (("x-should-retry", "true"), ("x-should-retry", "false"));
    let (seconds, millis) = (("Retry-After", "1"), ("retry-after-ms", "1"));
    rows.extend([
        status(503, &[seconds], Again::All, false),
        status(503, &[millis], Again::All, false),
        status(500, &[seconds], Again::Idempotent, true),
        status(404, &[yes], Again::All, false),
        status(307, &[yes], Again::Idempotent, false),
        status(500, &[yes], Again::Idempotent, true),
        status(503, &[yes, seconds], Again::All, false),
        status(429, &[no], Again::None, false),
        status(500, &[no], Again::None, true),
        status(503, &[no, seconds], Again::None, false),
        status(404, &[("x-should-retry", "perhaps")], Again::None, false),
    ]);
    rows
}

#[test]
fn after_a_passing_fault_a_call_is_repeated_as_the_table_says() {
    for Row { what, fault, again, applies } in table() {
        for (name, call) in CALLS {
            let server = Server::faulty(1, &fault);
            let result = call(&client(server.base_url()));

            let requests = server.requests().len();
            let applied = usize::from(applies) + requests - 1;
            assert_eq!(requests, 1 + usize::from(again.holds_for(name)), "{name}: {what}");
            assert_eq!(result.is_ok(), again.holds_for(name), "{name}: {what}: {result:?}");
            assert!(name != "regenerate" || applied <= 1, "{what}: applied {applied} times");
        }
    }
}

#[test]
fn under_a_lasting_fault_a_call_ends_as_the_table_says() {
    for Row { what, fault, again, applies } in table() {
        for (name, call) in CALLS {
            let server = Server::faulty(usize::MAX, &fault);
            let waits = Waits::default();
            let error =
                call(&builder(server.base_url()).sleep_with(waits.recorder()).build().unwrap()).unwrap_err();

            let tries = if again.holds_for(name) { 3 } else { 1 };
            assert_eq!(error.attempts(), tries, "{name}: {what}: {error}");
            assert_eq!(server.requests().len(), tries as usize, "{name}: {what}");
            assert_eq!(waits.take().len(), tries as usize - 1, "{name}: {what}");
            let is_change = !matches!(name, "retrieve" | "list");
            assert_eq!(error.may_have_been_applied(), applies && is_change, "{name}: {what}: {error}");
            assert_eq!(
                error.to_string().ends_with("; the change may have been applied"),
                error.may_have_been_applied()
            );
            assert_eq!(error.to_string().contains("(3 tries)"), tries == 3, "{error}");
        }
    }
}

#[test]
fn that_a_change_may_have_been_applied_is_not_forgotten_over_later_tries() {
    for later in [429, 404] {
        let cut = "HTTP/1.1 200 OK\r\n";
        let server = Server::start(move |number, connection| {
            connection.request();
            let refusal = answer_with(later, &[("Connection", "close")], "");
            connection.send(if number == 0 { cut.into() } else { refusal });
        });
        let error = client(server.base_url()).delete_webhook("wrk_1").unwrap_err();
        assert_eq!(error.status(), Some(later));
        assert!(error.may_have_been_applied(), "{error}");
    }
}

#[test]
fn max_retries_bounds_the_requests() {
    for (max_retries, requests) in [(0, 1), (1, 2), (5, 6)] {
        let server = Server::answering([answer(503, "")]);
        let client = client(server.base_url()).with_max_retries(max_retries);
        let error = client.retrieve_webhook("wrk_1").unwrap_err();
        assert_eq!((error.attempts(), server.requests().len()), (requests, requests as usize));
    }
}

/// All five calls fail for good without that anything was sent, after `attempts` tries each.
#[track_caller]
fn is_never_sent(client: &HandingerClient, kind: ErrorKind, waits: &Waits) -> Vec<Error> {
    let errors = CALLS.map(|(name, call)| {
        let error = call(client).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert_eq!(error.attempts(), 3, "{name}: {error}");
        assert_eq!(waits.take().len(), 2, "{name}");
        assert!(!error.may_have_been_applied(), "{name}: {error}");
        assert!(std::error::Error::source(&error).is_some(), "{name}: {error}");
        error
    });
    errors.into()
}

/// A port of this machine that is taken but where nobody listens, yet.
fn silent_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

#[test]
fn a_refused_connection_is_tried_again_for_all_calls() {
    let (_socket, address) = silent_port();
    let waits = Waits::default();
    let client = builder(format!("http://{address}")).sleep_with(waits.recorder()).build().unwrap();
    for error in is_never_sent(&client, ErrorKind::Connect, &waits) {
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
        assert_eq!(source.map(std::io::Error::kind), Some(std::io::ErrorKind::ConnectionRefused));
        assert!(error.to_string().contains(&format!("could not connect to {address}")), "{error}");
    }
}

#[test]
fn after_a_refused_connection_every_call_succeeds_once_the_server_is_there() {
    for (name, call) in CALLS {
        let (socket, address) = silent_port();
        let server = Arc::new(OnceLock::new());
        let start = {
            let server = Arc::clone(&server);
            move |_| {
                socket.listen(16).unwrap();
                let listener = TcpListener::from(socket.try_clone().unwrap());
                let started = Server::on(listener, |_, connection| {
                    connection.answer_all(answer(200, ANYTHING));
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
fn an_unknown_host_is_tried_again_for_all_calls() {
    let waits = Waits::default();
    // A name that no server needs to be asked about: no label may be longer than 63 bytes.
    let client = builder(format!("http://{}.invalid", "x".repeat(64)))
        .allow_insecure_http(true)
        .sleep_with(waits.recorder())
        .build()
        .unwrap();
    is_never_sent(&client, ErrorKind::Connect, &waits);
}

#[test]
fn a_connection_that_nobody_accepts_is_tried_again_for_all_calls() {
    let (socket, address) = silent_port();
    socket.listen(0).unwrap();
    // With the queue full, the kernel ignores who knocks.
    let patience = Duration::from_millis(50);
    let queue: Vec<_> =
        std::iter::from_fn(|| TcpStream::connect_timeout(&address, patience).ok()).take(64).collect();
    assert!(queue.len() < 64, "this kernel's queue has no end");

    let waits = Waits::default();
    let client = builder(format!("http://{address}"))
        .timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_millis(20))
        .sleep_with(waits.recorder())
        .build()
        .unwrap();
    for error in is_never_sent(&client, ErrorKind::Timeout, &waits) {
        assert!(error.to_string().contains(&format!("no connection to {address} within 20ms")), "{error}");
    }
}

#[test]
#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn a_failed_tls_handshake_is_tried_again_for_all_calls() {
    let closes: Fault = Arc::new(|_| {});
    let resets: Fault = Arc::new(|connection| connection.reset_at_the_end());
    let is_no_tls: Fault = Arc::new(|connection| {
        connection.send(answer(400, "this is not the https port"));
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
        is_never_sent(&client.unwrap(), ErrorKind::Connect, &waits);
        assert_eq!(server.connections(), 15);
        assert_eq!(server.requests(), [""; 0]);
    }
}

/// The waits and the result of a call that is refused once with these headers.
fn refused_once(headers: &[(&str, &str)]) -> (Vec<Duration>, Result<(), Error>, usize) {
    let server = Server::answering([answer_with(429, headers, ""), answer(200, WEBHOOK)]);
    let waits = Waits::default();
    let client = builder(server.base_url()).sleep_with(waits.recorder()).build().unwrap();
    let result = client.retrieve_webhook("wrk_1").map(drop);
    (waits.take(), result, server.requests().len())
}

#[test]
fn a_wait_that_the_server_asks_for_is_made_exactly() {
    for (headers, wait) in [
        (&[("Retry-After", "1")][..], 1000),
        (&[("Retry-After", "60")], 60_000),
        (&[("Retry-After", "0.25")], 250),
        (&[("retry-after", "  7  ")], 7000),
        (&[("retry-after-ms", "1")], 1),
        (&[("Retry-After-MS", "1500")], 1500),
        (&[("retry-after-ms", "60000")], 60_000),
        (&[("Retry-After", "9"), ("retry-after-ms", "20")], 20),
        (&[("retry-after-ms", "soon"), ("Retry-After", "9")], 9000),
    ] {
        let (waits, result, requests) = refused_once(headers);
        assert_eq!(waits, [Duration::from_millis(wait)], "{headers:?}");
        assert!(result.is_ok() && requests == 2, "{headers:?}: {result:?}");
    }
}

#[test]
fn a_wait_until_a_date_lasts_until_then() {
    let date = (OffsetDateTime::now_utc() + Duration::from_secs(50)).format(&Rfc2822).unwrap();
    let date = date.replace("+0000", "GMT");
    let (waits, result, _) = refused_once(&[("Retry-After", &date)]);
    assert!(matches!(waits[..], [wait] if wait <= Duration::from_secs(50) && wait > Duration::from_secs(20)));
    result.unwrap();
}

#[test]
fn a_wish_that_is_none_is_answered_with_the_usual_wait() {
    for value in [
        "0",
        "0.0",
        "-1",
        "-0.5",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "soon",
        "",
        "NaN",
        "inf",
        "1e400",
        "1e1",
        "0x5",
    ] {
        for name in ["Retry-After", "retry-after-ms"] {
            let (waits, result, requests) = refused_once(&[(name, value)]);
            let usual = Duration::from_millis(375)..=Duration::from_millis(500);
            assert!(waits.len() == 1 && usual.contains(&waits[0]), "{name}: {value}: {waits:?}");
            assert!(result.is_ok() && requests == 2, "{name}: {value}: {result:?}");
        }
    }
}

#[test]
fn a_wait_of_over_60_s_comes_back_at_once_and_is_in_the_error() {
    for (name, value, wait) in [
        ("Retry-After", "61", Duration::from_secs(61)),
        ("Retry-After", "60.001", Duration::from_millis(60_001)),
        ("Retry-After", "86400", Duration::from_secs(86_400)),
        ("Retry-After", "99999999999999999999", Duration::MAX),
        ("retry-after-ms", "60001", Duration::from_millis(60_001)),
    ] {
        let (waits, result, requests) = refused_once(&[(name, value)]);
        let error = result.unwrap_err();
        assert_eq!((waits, requests), (vec![], 1), "{name}: {value}");
        assert_eq!((error.attempts(), error.retry_after()), (1, Some(wait)), "{name}: {value}");
        assert!(error.to_string().ends_with("429; the server asks for a longer wait than 60s"), "{error}");
    }
    let (waits, result, _) = refused_once(&[("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT")]);
    assert!(result.unwrap_err().retry_after() > Some(Duration::from_secs(86_400)));
    assert!(waits.is_empty());
}

#[test]
fn the_error_after_the_last_try_carries_the_wait_that_is_left_to_the_caller() {
    let server = Server::answering([answer_with(429, &[("Retry-After", "7")], "")]);
    let error = client(server.base_url()).regenerate_token("wrk_1").unwrap_err();
    assert_eq!((error.attempts(), error.retry_after()), (3, Some(Duration::from_secs(7))));

    let server = Server::answering([answer_with(429, &[("Retry-After", "0")], "")]);
    let error = client(server.base_url()).regenerate_token("wrk_1").unwrap_err();
    assert_eq!(error.retry_after(), None, "there is nothing to wait for");
}

#[test]
fn the_waits_double_up_to_8_s_less_a_jitter_that_varies() {
    let server = Server::answering([answer(500, "")]);
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
fn without_a_seam_the_wait_is_slept() {
    let server = Server::answering([answer_with(429, &[("retry-after-ms", "80")], ""), answer(200, WEBHOOK)]);
    let client = HandingerClient::builder(KEY).base_url(server.base_url()).build().unwrap();
    let start = Instant::now();
    client.retrieve_webhook("wrk_1").unwrap();
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[test]
fn no_wait_is_begun_that_would_outlast_the_total_timeout() {
    let server = Server::answering([answer_with(429, &[("Retry-After", "50")], "")]);
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
fn after_a_wait_that_took_longer_than_it_should_no_try_is_begun() {
    let server = Server::answering([answer_with(429, &[("retry-after-ms", "1")], "")]);
    let client = builder(server.base_url())
        .total_timeout(Duration::from_millis(280))
        .sleep_with(|_| std::thread::sleep(Duration::from_millis(290)))
        .build()
        .unwrap();
    let error = client.retrieve_webhook("wrk_1").unwrap_err();
    assert_eq!((error.status(), error.attempts(), server.requests().len()), (Some(429), 1, 1));
    assert!(error.to_string().ends_with("429; no time left within the total timeout of 280ms"), "{error}");
}
