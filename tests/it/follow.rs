//! `Follow`, over sockets. Its rules are tested against a model in `src/follow/tests.rs`.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use handinger::fake::FakeHandinger;
use handinger::{ErrorKind, HandingerClient, WebhookExecution};

use crate::pages::page;
use crate::support::{Server, Waits, builder, client, response, response_with, wait_until};

const WORKER: &str = "wrk_1";
const SECOND: Duration = Duration::from_secs(1);

fn fake_with(count: usize) -> FakeHandinger {
    let fake = crate::fake::with_worker();
    fake.client().update_webhook(WORKER, "https://example.com/s3cret").unwrap();
    deliver(&fake, count);
    fake
}

fn deliver(fake: &FakeHandinger, count: usize) {
    (0..count).for_each(|_| drop(fake.deliver(WORKER, 200)));
}

fn ids<'a>(executions: impl IntoIterator<Item = &'a WebhookExecution>) -> Vec<&'a str> {
    executions.into_iter().map(|execution| execution.id.as_str()).collect()
}

#[test]
fn poll_returns_what_is_new_since_the_call_before_oldest_first() {
    let fake = fake_with(3);
    let mut follow = fake.client().follow(WORKER);
    assert!(follow.poll_after().is_zero());
    assert_eq!(follow.poll().unwrap(), []);
    assert_eq!(follow.poll_after(), 10 * SECOND);
    for count in [1, 2, 50, 120] {
        deliver(&fake, count);
        let new = follow.poll().unwrap();
        let history: Vec<_> = fake.client().executions(WORKER).take(count).map(Result::unwrap).collect();
        assert_eq!(ids(&new), ids(history.iter().rev()));
        assert_eq!(follow.poll().unwrap(), []);
    }
}

#[test]
fn next_yields_executions_as_they_come_and_waits_through_the_seam() {
    let fake = Arc::new(fake_with(3));
    let waits = Waits::default();
    let (record, server) = (waits.recorder(), Arc::clone(&fake));
    let delivering = move |wait: Duration| {
        record(wait);
        if !wait.is_zero() {
            deliver(&server, 2);
        }
    };
    let client = HandingerClient::builder(fake.api_key()).base_url(fake.base_url());
    let client = client.sleep_with(delivering).build().unwrap();
    let new: Vec<_> = client.follow(WORKER).interval(SECOND).take(5).map(Result::unwrap).collect();
    let history: Vec<_> = client.executions(WORKER).take(6).map(Result::unwrap).collect();
    assert_eq!(ids(&new), ids(history.iter().rev().take(5)));
    assert_eq!(waits.take().into_iter().filter(|wait| !wait.is_zero()).collect::<Vec<_>>(), [SECOND; 3]);
}

#[test]
fn rest_of_a_round_is_returned_without_a_request() {
    let fake = fake_with(3);
    let mut follow = fake.client().follow(WORKER);
    follow.poll().unwrap();
    deliver(&fake, 3);
    let first = follow.next().unwrap().unwrap();
    let before = fake.request_count();
    assert!(follow.poll_after().is_zero());
    let mut other = fake.client().follow(WORKER).starting_from(follow.cursor().clone());
    let rest = follow.poll().unwrap();
    assert_eq!(fake.request_count(), before);
    assert_eq!(other.poll().unwrap(), rest, "another run goes on from any item");
    assert!(rest.len() == 2 && !rest.contains(&first));
    assert_eq!(other.starting_from(None).poll().unwrap(), []);
}

#[test]
fn iterator_ends_after_what_no_later_round_can_mend_and_goes_on_after_all_else() {
    let html = response(200, "<!DOCTYPE html><title>Sign in</title>");
    let mut cases = vec![(html, false), (b"no HTTP\r\n\r\n".to_vec(), false)];
    cases.push((response_with(302, &[("Location", "/")], ""), true));
    cases.extend([400, 401, 403, 404, 418, 422].map(|status| (response(status, ""), true)));
    cases.extend([408, 409, 429, 500, 503, 600].map(|status| (response(status, ""), false)));
    for (response, is_over) in cases {
        let shown = String::from_utf8_lossy(&response).into_owned();
        let server = Server::responding([response.clone(), response, page("a", "1")]);
        let client = builder(server.base_url()).max_retries(0).build().unwrap();
        let mut follow = client.follow(WORKER);
        follow.next().unwrap().unwrap_err();
        assert_eq!(follow.is_over(), is_over, "{shown}");
        if is_over {
            assert!(follow.next().is_none() && follow.next().is_none(), "{shown}");
            assert_eq!(server.requests().len(), 1, "{shown}");
            // A program that polls on may do so.
            follow.poll().unwrap_err();
        } else {
            follow.next().unwrap().unwrap_err();
        }
        assert_eq!(follow.poll().unwrap(), [], "{shown}");
        assert!(!follow.is_over(), "{shown}");
    }
    let mut unreachable = client("http://127.0.0.1:1").follow(WORKER);
    assert!(unreachable.poll().unwrap_err().is_connect());
    assert!(!unreachable.is_over());
}

#[test]
fn server_can_ask_for_a_longer_wait_up_to_an_hour() {
    for (asked, wait) in [("5", 10), ("120", 120), ("7200", 3600)] {
        let server = Server::responding([response_with(429, &[("Retry-After", asked)], ""), page("a", "1")]);
        let client = builder(server.base_url()).max_retries(0).build().unwrap();
        let mut follow = client.follow(WORKER);
        assert!(follow.poll().unwrap_err().is_rate_limited());
        assert_eq!(follow.poll_after(), wait * SECOND, "{asked}");
        follow.poll().unwrap();
        assert_eq!(follow.poll_after(), 10 * SECOND);
    }
}

/// With an interval of an hour, and a program that polls as the documentation shows.
#[test]
fn channel_stops_a_program_that_polls_at_once() {
    let fake = fake_with(1);
    let (stopper, stop) = mpsc::channel();
    let mut follow = fake.client().follow(WORKER).interval(3600 * SECOND);
    std::thread::scope(|scope| {
        let daemon = scope.spawn(move || {
            loop {
                follow.poll().unwrap();
                if stop.recv_timeout(follow.poll_after()).is_ok() {
                    break;
                }
            }
        });
        // The first round is made at once, and the wait begins.
        wait_until(|| fake.request_count() == 2);
        stopper.send(()).unwrap();
        daemon.join().unwrap();
    });
    assert_eq!(fake.request_count(), 2);
}

#[test]
fn unusable_settings_and_cursors_are_rejected_without_a_request() {
    let fake = fake_with(3);
    fake.add_worker("wrk 2");
    let mut other = fake.client().follow("wrk 2");
    let unstarted = other.cursor().clone();
    other.poll().unwrap();
    let before = fake.request_count();
    let of_another = "list executions of worker wrk_1: the cursor is of worker wrk 2";
    for (mut follow, message) in [
        (fake.client().follow(WORKER).starting_from(unstarted), of_another),
        (fake.client().follow(WORKER).starting_from(other.cursor().clone()), of_another),
        (
            fake.client().follow("wrk 2").interval(Duration::ZERO),
            "list executions of worker wrk%202: the interval must be more than zero",
        ),
    ] {
        let cursor = follow.cursor().clone();
        let error = follow.poll().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), message);
        assert!(follow.is_over() && follow.next().is_none());
        assert_eq!(follow.cursor(), &cursor, "what is saved is not overwritten");
    }
    assert_eq!(fake.request_count(), before);
}

#[test]
fn settings_outlast_a_new_start() {
    let mut follow = client("http://127.0.0.1:1").follow(WORKER);
    assert_eq!(format!("{follow:?}"), "Follow { worker_id: \"wrk_1\", interval: 10s, overlap: 120s, .. }");
    follow = follow.interval(SECOND).overlap(3600 * SECOND).starting_from(None);
    assert_eq!(format!("{follow:?}"), "Follow { worker_id: \"wrk_1\", interval: 1s, overlap: 3600s, .. }");
}
