//! `rotate_token`: if a response is lost, the call finds out which token is in force, and sends nothing again.

use std::thread;
use std::time::Duration;

use handinger::fake::{FakeHandinger, Fault, Operation};
use handinger::{Error, ErrorKind, HandingerClient};

use crate::support::Waits;

/// A fake whose only worker has a webhook, and its token.
fn fake() -> (FakeHandinger, String) {
    let fake = crate::fake::with_worker();
    let webhook = fake.client().update_webhook("wrk_1", "https://example.com/hook").unwrap();
    (fake, webhook.token.unwrap().as_str().to_owned())
}

/// Strikes the regenerate.
fn responds(status: u16) -> Fault {
    Fault::status(status).body(r#"{"message":"as the test says"}"#).on(Operation::RegenerateToken)
}

fn unavailable() -> Fault {
    responds(503).header("Retry-After", "7")
}

fn lost() -> Fault {
    Fault::hang_up().on(Operation::RegenerateToken)
}

fn carries(token: &str) -> Fault {
    responds(200).body(format!(r#"{{"url":"https://example.com/hook","token":"{token}"}}"#))
}

/// Makes a fault from the token before the call.
type FaultOf = fn(&str) -> Fault;

/// The methods of the requests after the update, by their initials.
fn requests(fake: &FakeHandinger) -> String {
    fake.requests()[1..].iter().map(|request| &request.method[..1]).collect()
}

#[test]
fn token_is_replaced_once_even_if_the_response_is_lost_or_carries_no_new_one() {
    let cases: [(_, FaultOf); 9] = [
        ("GP", |_| responds(200).skip(1)),
        ("GPPP", |_| responds(429).times(2)),
        ("GPG", |_| lost().after_applying()),
        ("GPG", |_| unavailable().after_applying()),
        ("GPG", |_| responds(502).header("x-should-retry", "true").after_applying()),
        ("GPG", |_| responds(303).after_applying()),
        ("GPG", |_| responds(200).body(r#"{"url":null,"token":null}"#).after_applying()),
        ("GPG", |_| responds(200).body("done").after_applying()),
        ("GPG", |old| carries(old).after_applying()),
    ];
    for (expected, fault) in cases {
        let (fake, old) = fake();
        fake.inject(fault(&old));
        let webhook = fake.client().rotate_token("wrk_1").unwrap();
        assert_eq!(requests(&fake), expected);
        assert_ne!(webhook.token.as_ref().unwrap().as_str(), old);
        assert_eq!(webhook, fake.client().retrieve_webhook("wrk_1").unwrap());
    }
}

/// The error after these requests, and the waits. The message ends with this text.
#[track_caller]
fn failed(fake: &FakeHandinger, expected: &str, end: &str) -> (Error, Vec<Duration>) {
    let waits = Waits::default();
    let builder = HandingerClient::builder(fake.api_key()).base_url(fake.base_url());
    let error = builder.sleep_with(waits.recorder()).build().unwrap().rotate_token("wrk_1").unwrap_err();
    assert_eq!(requests(fake), expected, "{error}");
    assert!(error.to_string().ends_with(&format!(" of worker wrk_1: {end}")), "{error}");
    (error, waits.take())
}

const OPEN: &str = "the change may have been applied";

#[test]
fn nothing_is_sent_again_while_the_old_token_is_in_force() {
    let cases: [(_, FaultOf); 3] = [
        ("connection lost", |_| lost()),
        ("the response carries no new token", carries),
        ("the server returned 503: as the test says", |_| unavailable()),
    ];
    for (problem, fault) in cases {
        let (fake, old) = fake();
        fake.inject(fault(&old));
        let end = format!("{problem}; the old token was still in force afterwards; {OPEN}");
        let (error, waits) = failed(&fake, "GPG", &end);
        assert_eq!((error.attempts(), waits.len()), (1, 0));
        assert_eq!(error.retry_after(), (error.status() == Some(503)).then(|| Duration::from_secs(7)));
    }
}

#[test]
fn later_rejection_does_not_settle_what_the_regenerate_left_open() {
    for fault in [lost(), lost().after_applying()] {
        let (fake, _) = fake();
        fake.inject(fault);
        fake.inject(Fault::status(404).on(Operation::RetrieveWebhook).skip(1));
        let end = format!("connection lost; the token in force could not be retrieved; {OPEN}");
        let (error, _) = failed(&fake, "GPG", &end);
        assert_eq!((error.kind(), error.status()), (ErrorKind::Transport, None));
    }
}

#[test]
fn missing_webhook_is_reported() {
    let (removed, _) = fake();
    removed.inject(lost());
    let remove = |fake: &FakeHandinger| drop(fake.client().delete_webhook("wrk_1").unwrap());
    removed.inject(Fault::meanwhile(remove).on(Operation::RetrieveWebhook).skip(1));
    failed(&removed, "GPGD", &format!("connection lost; the webhook had no token afterwards; {OPEN}"));

    let (none, _) = fake();
    none.client().delete_webhook("wrk_1").unwrap();
    none.inject(responds(200).body(r#"{"url":null,"token":null}"#));
    let end = format!("the response carries no new token; the webhook had no token afterwards; {OPEN}");
    failed(&none, "DGPG", &end);
}

#[test]
fn rejected_request_leaves_the_old_token() {
    for (fault, expected, end) in [
        (Fault::status(403).on(Operation::RetrieveWebhook), "G", "the server returned 403: Forbidden"),
        (responds(400), "GP", "the server returned 400: as the test says"),
        (responds(429).always(), "GPPP", "the server returned 429: as the test says (3 attempts)"),
    ] {
        let (fake, _) = fake();
        fake.inject(fault);
        let (error, waits) = failed(&fake, expected, end);
        assert!(!error.may_have_been_applied(), "{error}");
        assert_eq!(waits.len() + 1, error.attempts() as usize);
    }
    let (fake, old) = fake();
    fake.inject(responds(422).body(format!("cannot replace {old}")));
    failed(&fake, "GP", "the server returned 422: cannot replace [redacted]");
}

#[test]
fn total_timeout_limits_all_calls_together() {
    let (fake, _) = fake();
    fake.inject(Fault::status(429).times(1).on(Operation::RetrieveWebhook).header("retry-after-ms", "1"));
    fake.inject(responds(429).times(3).header("retry-after-ms", "1"));
    let client = HandingerClient::builder(fake.api_key())
        .base_url(fake.base_url())
        .total_timeout(Duration::from_millis(500))
        .sleep_with(|_| thread::sleep(Duration::from_millis(200)))
        .build()
        .unwrap();
    let error = client.rotate_token("wrk_1").unwrap_err();
    assert!(error.to_string().ends_with("; no time left within the total timeout of 500ms"), "{error}");
    assert!("GGPP".starts_with(&requests(&fake)), "{}", requests(&fake));
    // The next rotation has as much time again.
    client.with_total_timeout(Duration::from_secs(60)).rotate_token("wrk_1").unwrap();

    // A regenerate that takes all the time leaves none for the second retrieve.
    let (fake, _) = self::fake();
    fake.inject(Fault::delay(Duration::from_secs(3600)).on(Operation::RegenerateToken));
    fake.client().with_total_timeout(Duration::from_millis(200)).rotate_token("wrk_1").unwrap_err();
    assert!("GP".starts_with(&requests(&fake)), "{}", requests(&fake));
}
