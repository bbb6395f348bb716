//! `Follow`, over the fake. Its rule is tested against a model in `src/executions/follow/tests.rs`.

use std::iter::FusedIterator;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handinger::fake::FakeHandinger;
use handinger::{Cursor, Error, ErrorKind, Follow, HandingerClient, WebhookExecution};

use crate::support::{Server, Waits, builder, response_with};

const WORKER: &str = "wrk_1";
const SECOND: Duration = Duration::from_secs(1);

fn fake_with(count: usize) -> FakeHandinger {
    let fake = FakeHandinger::start();
    fake.add_worker(WORKER);
    fake.client().update_webhook(WORKER, "https://example.com/s3cret").unwrap();
    deliver(&fake, count);
    fake
}

fn deliver(fake: &FakeHandinger, count: usize) -> Vec<String> {
    (0..count).map(|_| fake.deliver(WORKER, 200).execution.id).collect()
}

fn ids(executions: Vec<WebhookExecution>) -> Vec<String> {
    executions.into_iter().map(|execution| execution.id).collect()
}

fn client(fake: &FakeHandinger, sleep: impl Fn(Duration) + Send + Sync + 'static) -> HandingerClient {
    HandingerClient::builder(fake.api_key()).base_url(fake.base_url()).sleep_with(sleep).build().unwrap()
}

/// A client, and its waits, during each of which this many are delivered.
fn delivering_while_it_waits(fake: &Arc<FakeHandinger>, count: usize) -> (HandingerClient, Waits) {
    let waits = Waits::default();
    let (record, server) = (waits.recorder(), Arc::clone(fake));
    let client = client(fake, move |wait| {
        record(wait);
        deliver(&server, count);
    });
    (client, waits)
}

#[test]
fn poll_returns_what_is_new_since_the_call_before_oldest_first() {
    let fake = fake_with(3);
    let mut follow = fake.client().follow(WORKER);
    assert_eq!(follow.poll().unwrap(), []);
    assert_eq!(follow.poll().unwrap(), []);
    for count in [1, 2, 50, 120] {
        let new = deliver(&fake, count);
        assert_eq!(ids(follow.poll().unwrap()), new);
        assert_eq!(follow.poll().unwrap(), []);
    }
}

#[test]
fn next_yields_executions_as_they_come_and_waits_through_the_seam() {
    let fake = Arc::new(fake_with(3));
    let (client, waits) = delivering_while_it_waits(&fake, 2);
    let before = fake.request_count();
    let new: Vec<_> = client.follow(WORKER).take(5).map(|execution| execution.unwrap().id).collect();
    let history: Vec<_> = client.executions(WORKER).map(|execution| execution.unwrap().id).collect();
    assert!(new.iter().eq(history[..6].iter().rev().take(5)));
    assert_eq!(waits.take(), [Duration::from_secs(10); 3]);
    assert_eq!(fake.request_count() - before, 4 + 1);

    client.follow(WORKER).interval(SECOND).next().unwrap().unwrap();
    assert_eq!(waits.take(), [SECOND]);
}

#[test]
fn an_interval_of_zero_is_rejected_before_any_request() {
    let fake = fake_with(1);
    let before = fake.request_count();
    let mut follow = fake.client().follow("wrk 1").interval(Duration::ZERO);
    let error = follow.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "follow executions of worker wrk%201: the interval must be more than zero");
    assert!(follow.next().is_none());
    assert_eq!(fake.request_count(), before);
}

#[test]
fn a_client_of_the_fake_waits_at_least_a_millisecond_between_rounds() {
    let fake = fake_with(1);
    let mut follow = fake.client().follow(WORKER);
    follow.poll().unwrap();
    let (before, start) = (fake.request_count(), Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            deliver(&fake, 1);
        });
        follow.next().unwrap().unwrap();
    });
    let rounds = fake.request_count() - before;
    assert!(rounds as u128 <= start.elapsed().as_millis() + 2, "{rounds} in {:?}", start.elapsed());
}

#[test]
fn what_is_written_late_is_yielded_within_the_overlap() {
    let fake = fake_with(3);
    let mut follow = fake.client().follow(WORKER);
    let mut hour = fake.client().follow(WORKER).overlap(3600 * SECOND);
    follow.poll().unwrap();
    hour.poll().unwrap();
    for (seconds, by_default) in [(599, true), (700, false)] {
        let late = fake.deliver_with(WORKER, |execution| execution.created_at -= seconds * SECOND);
        let expected = if by_default { vec![late.execution.clone()] } else { vec![] };
        assert_eq!(follow.poll().unwrap(), expected, "{seconds} s");
        assert_eq!(hour.poll().unwrap(), [late.execution], "{seconds} s");
    }
}

#[test]
fn where_it_starts_changes_neither_the_interval_nor_the_overlap() {
    let fake = Arc::new(fake_with(3));
    let (client, waits) = delivering_while_it_waits(&fake, 1);
    let mut follow = client.follow(WORKER).interval(SECOND).overlap(3600 * SECOND).starting_from(None);
    follow.poll().unwrap();
    let late = fake.deliver_with(WORKER, |execution| execution.created_at -= 700 * SECOND);
    assert_eq!(follow.poll().unwrap(), [late.execution]);
    follow.next().unwrap().unwrap();
    assert_eq!(waits.take(), [SECOND]);
}

#[test]
fn another_run_goes_on_from_the_cursor_after_any_item() {
    let fake = fake_with(3);
    let mut follow = fake.client().follow(WORKER);
    follow.poll().unwrap();
    let new = deliver(&fake, 4);
    for yielded in 0..new.len() {
        let line = follow.cursor().to_string();
        let mut other = fake.client().follow(WORKER).starting_from(line.parse::<Cursor>().unwrap());
        assert_eq!(ids(other.poll().unwrap()), new[yielded..]);
        assert_eq!(follow.next().unwrap().unwrap().id, new[yielded]);
    }
    // What `next` has left of its round is returned without a request.
    deliver(&fake, 2);
    follow.next().unwrap().unwrap();
    let before = fake.request_count();
    assert_eq!(follow.poll().unwrap().len(), 1);
    assert_eq!(fake.request_count(), before);
    assert_eq!(fake.client().follow(WORKER).starting_from(None).poll().unwrap(), []);
}

#[test]
fn an_error_is_an_item_and_nothing_is_lost() {
    let fake = fake_with(60);
    let mut follow = fake.client().follow(WORKER);
    // At the start, and at the second page of a round.
    fake.fail_next(3, 500);
    assert_eq!(follow.next().unwrap().unwrap_err().status(), Some(500));
    follow.poll().unwrap();
    let new = deliver(&fake, 60);
    let cursor = follow.cursor();
    fake.fail_next(3, 503);
    assert_eq!(follow.next().unwrap().unwrap_err().status(), Some(503));
    assert_eq!(follow.cursor(), cursor);
    assert!(follow.by_ref().take(60).map(|execution| execution.unwrap().id).eq(new));
    fake.fail_next(3, 503);
    assert!(follow.poll().is_err());
    assert_eq!(follow.poll().unwrap(), []);
}

#[test]
fn after_an_error_it_waits_as_long_as_the_server_asks_up_to_an_hour() {
    for (asked, wait) in [("5", 10), ("120", 120), ("7200", 3600)] {
        let server = Server::responding([response_with(429, &[("Retry-After", asked)], "")]);
        let waits = Waits::default();
        let client = builder(server.base_url()).sleep_with(waits.recorder()).max_retries(0).build().unwrap();
        let mut follow = client.follow(WORKER);
        assert!(follow.next().unwrap().unwrap_err().is_rate_limited());
        assert!(waits.take().is_empty(), "the first round is made at once");
        assert!(follow.next().unwrap().unwrap_err().is_rate_limited());
        assert_eq!(waits.take(), [wait * SECOND], "{asked}");
    }
}

#[test]
fn executions_that_are_all_gone_are_reported_once() {
    let fake = fake_with(3);
    let mut follow = fake.client().follow(WORKER);
    follow.poll().unwrap();
    for execution in fake.client().executions(WORKER) {
        fake.remove_execution(WORKER, &execution.unwrap().id);
    }
    let new = deliver(&fake, 2);
    let error = follow.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incomplete);
    assert_eq!(
        error.to_string(),
        "list executions of worker wrk_1: executions may be missing: none of those yielded before is left"
    );
    assert!(follow.take(2).map(|execution| execution.unwrap().id).eq(new));
}

#[test]
fn a_cursor_of_another_worker_is_rejected_without_a_request() {
    let fake = fake_with(3);
    let mut other = fake.client().follow("wrk_2");
    fake.add_worker("wrk_2");
    for cursor in [other.cursor(), {
        other.poll().unwrap();
        other.cursor()
    }] {
        let before = fake.request_count();
        let mut follow = fake.client().follow(WORKER).starting_from(cursor.clone());
        let assert_rejected = |error: Error| {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), "follow executions of worker wrk_1: the cursor is of worker wrk_2");
        };
        assert_rejected(follow.poll().unwrap_err());
        assert_rejected(
            fake.client().follow(WORKER).starting_from(cursor.clone()).next().unwrap().unwrap_err(),
        );
        assert_eq!(follow.cursor(), cursor, "what is saved is not overwritten");
        assert!(follow.next().is_none());
        assert_eq!(fake.request_count(), before);
    }
}

#[test]
fn invalid_input_ends_it() {
    let client = fake_with(0).client();
    let mut follow = client.follow("..");
    assert_eq!(follow.next().unwrap().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(follow.next().is_none());
}

#[test]
fn it_owns_what_it_needs_and_shows_nothing_secret() {
    fn is_fused_and_owned(_: &(impl FusedIterator + Send + 'static)) {}

    let fake = fake_with(2);
    let mut follow: Follow = fake.client().follow(WORKER);
    is_fused_and_owned(&follow);
    follow.poll().unwrap();
    assert_eq!(format!("{follow:?}"), "Follow { worker_id: \"wrk_1\", interval: 10s, overlap: 600s, .. }");
    assert!(!follow.cursor().to_string().contains("example.com"));
}
