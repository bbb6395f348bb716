//! `Executions`, over the fake. How it walks is tested against a model in `src/executions/walk/tests.rs`.

use std::thread;
use std::time::SystemTime;

use handinger::fake::FakeHandinger;
use handinger::{Error, Executions, Progress, WebhookExecution};
use serde_json::json;
use time::{Duration, OffsetDateTime};

const WORKER: &str = "wrk_1";

/// An execution of this number, so many seconds after the epoch.
fn execution(number: usize, seconds: i64) -> WebhookExecution {
    let execution = json!({
        "id": format!("whe_{number}"), "createdAt": "1970-01-01T00:00:00Z", "durationMs": 1,
        "requestStatus": "success", "url": "https://example.com/s3cret", "workerId": WORKER,
    });
    let mut execution: WebhookExecution = serde_json::from_value(execution).unwrap();
    execution.created_at += Duration::seconds(seconds);
    execution
}

/// Adds executions of these numbers, one a second.
fn add(fake: &FakeHandinger, numbers: std::ops::Range<usize>) {
    numbers.for_each(|number| fake.add_execution(WORKER, execution(number, i64::try_from(number).unwrap())));
}

fn fake_with(count: usize) -> FakeHandinger {
    let fake = crate::fake::with_worker();
    add(&fake, 0..count);
    fake
}

fn executions(fake: &FakeHandinger) -> Executions {
    fake.client().executions(WORKER)
}

fn numbers(executions: impl Iterator<Item = Result<WebhookExecution, Error>>) -> Vec<usize> {
    executions.map(|execution| execution.unwrap().id.trim_start_matches("whe_").parse().unwrap()).collect()
}

#[test]
fn quiet_history_is_read_once_with_one_request_a_page_that_is_needed() {
    for (count, requests) in [(0, 1), (1, 1), (50, 1), (51, 2), (100, 2), (101, 3)] {
        let fake = fake_with(count);
        let mut executions = executions(&fake);
        assert_eq!(fake.request_count(), 0);
        for read in 0..count {
            assert_eq!(numbers(executions.by_ref().take(1)), [count - 1 - read]);
            assert_eq!(fake.request_count(), 1 + read / 50, "{read} of {count} executions");
        }
        assert!(executions.next().is_none());
        assert_eq!(fake.request_count(), requests, "{count} executions");
    }
}

#[test]
fn error_names_the_page_and_resume_goes_on_there() {
    let fake = fake_with(150);
    let mut executions = executions(&fake);
    let mut read = numbers(executions.by_ref().take(50));
    fake.fail_next(3, 500);
    let error = executions.next().unwrap().unwrap_err();
    assert!(error.to_string().starts_with("list executions of worker wrk_1, page 2: "), "{error}");
    assert!(executions.next().is_none() && executions.next().is_none());
    assert_eq!(fake.request_count(), 1 + 3);

    add(&fake, 150..180);
    executions.resume();
    read.extend(numbers(executions.by_ref()));
    assert!(read.into_iter().eq((0..150).rev()));
    executions.resume();
    assert!(executions.next().is_none(), "only an error can be resumed from");
}

#[test]
fn since_ends_at_the_first_older_execution_without_a_further_request() {
    let fake = fake_with(120);
    // The newest is of second 119, and page 1 ends with second 70: an older one can only be on page 2.
    for (second, count, requests) in
        [(200, 0, 1), (119, 1, 1), (71, 49, 1), (70, 50, 2), (69, 51, 2), (20, 100, 3), (-1, 120, 3)]
    {
        let before = fake.request_count();
        let since = OffsetDateTime::UNIX_EPOCH + Duration::seconds(second);
        let mut since = executions(&fake).since(since);
        assert_eq!(since.by_ref().count(), count, "since second {second}");
        assert_eq!(fake.request_count() - before, requests, "since second {second}");
        since.resume();
        assert!(since.next().is_none());
    }
    let since = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(117_500);
    assert_eq!(executions(&fake).since(since).count(), 2);
}

#[test]
fn progress_reports_page_executions_and_totals() {
    let fake = fake_with(120);
    let mut executions = executions(&fake);
    let reported =
        |progress: Progress| (progress.page, progress.page_count, progress.executions, progress.total_count);
    assert_eq!(reported(executions.progress()), (0, 0, 0, 0));
    executions.nth(49);
    assert_eq!(reported(executions.progress()), (1, 3, 50, 120));
    add(&fake, 120..151);
    executions.next();
    assert_eq!(reported(executions.progress()), (2, 4, 51, 151));
    fake.fail_next(3, 500);
    assert!(executions.find_map(Result::err).is_some());
    assert_eq!(reported(executions.progress()), (2, 4, 69, 151));
    executions.resume();
    assert_eq!(executions.by_ref().count(), 51);
    assert_eq!(reported(executions.progress()), (4, 4, 120, 151));
}

#[test]
fn iterator_can_move_to_another_thread_and_its_debug_shows_nothing_secret() {
    let fake = fake_with(2);
    let mut executions = fake.client().executions(&String::from(WORKER));
    executions.next();
    assert_eq!(
        format!("{executions:?}"),
        "Executions { worker_id: \"wrk_1\", since: None, state: Walking, progress: Progress { page: 1, \
         page_count: 1, executions: 1, total_count: 2 }, .. }"
    );
    assert_eq!(thread::spawn(move || executions.count()).join().unwrap(), 1);
}
