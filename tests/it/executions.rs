//! `Executions`, over the fake.

use std::iter::FusedIterator;
use std::ops::Range;
use std::thread;

use handinger::fake::{FakeHandinger, Fault};
use handinger::{End, Error, ErrorKind, Executions, Progress, WebhookExecution};
use time::{Duration, OffsetDateTime};

use crate::pages::page;
use crate::support::{Server, client};

const WORKER: &str = "wrk_1";

/// A worker's history, which a test changes while it is read. All times in it tie.
struct History<'a> {
    fake: &'a FakeHandinger,
    worker: String,
    newest_first: Vec<String>,
}

impl<'a> History<'a> {
    fn new(fake: &'a FakeHandinger, worker: &str, count: usize) -> Self {
        fake.add_worker(worker);
        fake.client().update_webhook(worker, "https://example.com/s3cret").unwrap();
        let mut history = Self { fake, worker: worker.into(), newest_first: Vec::new() };
        history.deliver(count);
        history
    }

    fn deliver(&mut self, count: usize) {
        for _ in 0..count {
            let at_once =
                |execution: &mut WebhookExecution| execution.created_at = OffsetDateTime::UNIX_EPOCH;
            let delivery = self.fake.deliver_with(&self.worker, at_once);
            self.newest_first.insert(0, delivery.execution.id);
        }
    }

    /// Removes executions by their places from the newest, as far as there are such.
    fn remove(&mut self, places: Range<usize>) {
        let end = places.end.min(self.newest_first.len());
        for id in self.newest_first.drain(places.start.min(end)..end) {
            assert!(self.fake.remove_execution(&self.worker, &id));
        }
    }

    fn executions(&self) -> Executions {
        self.fake.client().executions(&self.worker)
    }
}

fn ids(executions: impl Iterator<Item = Result<WebhookExecution, Error>>) -> Vec<String> {
    executions.map(|execution| execution.unwrap().id).collect()
}

/// One execution a second, the oldest at the epoch.
fn deliver_every_second(fake: &FakeHandinger, count: i64) {
    History::new(fake, WORKER, 0);
    for second in 0..count {
        fake.deliver_with(WORKER, |execution| {
            execution.created_at = OffsetDateTime::UNIX_EPOCH + Duration::seconds(second);
        });
    }
}

#[test]
fn a_quiet_history_is_read_once_with_one_request_a_page() {
    let fake = FakeHandinger::start();
    for (count, requests) in [(0, 1), (1, 1), (49, 1), (50, 1), (51, 2), (100, 2), (101, 3), (270, 6)] {
        let history = History::new(&fake, &format!("wrk_{count}"), count);
        let before = fake.request_count();
        assert_eq!(ids(history.executions()), history.newest_first);
        assert_eq!(fake.request_count() - before, requests, "{count} executions");
    }
}

/// What happens, and how many requests the walk makes when it happens after page 1, and after page 2, of 3.
#[test]
fn what_stands_is_read_once_whatever_is_delivered_or_removed_meanwhile() {
    // What is removed of the 150, and how many are then delivered.
    let changes = [
        ("nothing happens", 0..0, 0, [3, 3]),
        ("one is delivered", 0..0, 1, [4, 4]),
        ("two pages are delivered", 0..0, 100, [5, 5]),
        ("the newest goes", 0..1, 0, [5, 5]),
        ("the oldest goes", 149..150, 0, [5, 5]),
        ("the last one of page 1 goes", 49..50, 0, [5, 5]),
        ("page 1 goes", 0..50, 0, [4, 6]),
        ("pages 1 and 2 go", 0..100, 0, [3, 4]),
        ("the last page goes", 100..150, 0, [4, 4]),
        ("all but the newest go", 1..150, 0, [3, 4]),
        ("all go", 0..150, 0, [3, 4]),
        ("the newest goes and one is delivered", 0..1, 1, [3, 3]),
        ("some go and fewer are delivered", 30..110, 60, [3, 5]),
        ("some go and more are delivered", 30..50, 60, [4, 4]),
    ];
    let fake = FakeHandinger::start();
    for (number, (what, removed, delivered, requests)) in changes.into_iter().enumerate() {
        for pages_read in [1, 2] {
            let case = format!("{what} after page {pages_read}");
            let mut history = History::new(&fake, &format!("wrk_{number}_{pages_read}"), 150);
            let initial = history.newest_first.clone();
            let requests_before = fake.request_count();
            let mut executions = history.executions();
            let mut read = ids(executions.by_ref().take(pages_read * 50));
            history.remove(removed.clone());
            history.deliver(delivered);
            read.extend(ids(executions));

            assert_eq!(fake.request_count() - requests_before, requests[pages_read - 1], "{case}");
            let stands = |id: &&String| initial.contains(id) && history.newest_first.contains(id);
            assert!(read.iter().filter(stands).eq(initial.iter().filter(stands)), "{case}");
            read.sort_unstable();
            assert!(read.windows(2).all(|pair| pair[0] != pair[1]), "{case}");
        }
    }
}

#[test]
fn removals_before_each_page_are_seen_through() {
    let fake = FakeHandinger::start();
    let mut history = History::new(&fake, WORKER, 500);
    let mut executions = history.executions();
    let mut read = Vec::new();
    while let Some(execution) = executions.next().transpose().unwrap() {
        read.push(execution.id);
        if read.len() % 50 == 0 {
            history.remove(0..1);
        }
    }
    // The ten that went had been read.
    assert_eq!(history.newest_first.len(), 490);
    assert_eq!(read.len(), 500);
    assert!(read.ends_with(&history.newest_first));
}

#[test]
fn an_error_keeps_what_was_read_and_names_the_page_and_resume_goes_on_there() {
    let fake = FakeHandinger::start();
    let mut history = History::new(&fake, WORKER, 150);
    let standing = history.newest_first[1..].to_vec();
    let mut executions = history.executions();
    let mut read = ids(executions.by_ref().take(50));

    fake.fail_next(3, 500);
    let error = executions.next().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "list executions of worker wrk_1, page 2: the server returned 500: Internal Server Error (3 attempts)"
    );
    assert!(executions.next().is_none());
    assert!(executions.next().is_none());
    assert_eq!(fake.request_count(), 1 + 1 + 3); // one is the update of the webhook

    // Everything moves in the meantime.
    history.deliver(30);
    history.remove(30..31);
    executions.resume();
    read.extend(ids(executions.by_ref()));
    assert_eq!(read.len(), 150);
    assert_eq!(read[1..], standing);
}

#[test]
fn responses_that_are_truncated_are_requested_again() {
    let fake = FakeHandinger::start();
    let history = History::new(&fake, WORKER, 120);
    let mut executions = history.executions();
    let mut read = Vec::new();
    loop {
        if read.len() % 50 == 0 {
            fake.inject(Fault::hang_up().after_applying().times(2));
        }
        let Some(execution) = executions.next().transpose().unwrap() else { break };
        read.push(execution.id);
    }
    assert_eq!(read, history.newest_first);
}

#[test]
fn since_ends_at_the_first_older_execution_without_a_further_request() {
    let fake = FakeHandinger::start();
    deliver_every_second(&fake, 120);
    // The newest is of second 119, and page 1 ends with second 70.
    for (second, count, requests) in [
        (200, 0, 1),
        (119, 1, 1),
        (71, 49, 1),
        // That all of page 1 is young enough leaves the question open.
        (70, 50, 2),
        (69, 51, 2),
        (20, 100, 3),
        (0, 120, 3),
        (-1, 120, 3),
    ] {
        let before = fake.request_count();
        let since = OffsetDateTime::UNIX_EPOCH + Duration::seconds(second);
        let mut executions = fake.client().executions(WORKER).since(since);
        assert_eq!(executions.by_ref().count(), count, "since second {second}");
        assert_eq!(fake.request_count() - before, requests, "since second {second}");
        assert_eq!(executions.size_hint(), (0, Some(0)));
        executions.resume();
        assert!(executions.next().is_none(), "only an error can be resumed from");
    }
}

#[test]
fn after_ends_before_the_first_of_its_ids_without_a_further_request() {
    let fake = FakeHandinger::start();
    let mut history = History::new(&fake, WORKER, 120);
    for (places, count, requests) in [
        (&[0][..], 0, 1),
        (&[49], 49, 1),
        (&[50], 50, 2),
        (&[119], 119, 3),
        (&[70, 30], 30, 1),
        (&[30, 70], 30, 1),
    ] {
        let before = fake.request_count();
        let after = |executions: Executions, place: &usize| executions.after(&history.newest_first[*place]);
        let mut executions = places.iter().fold(history.executions(), after);
        assert_eq!(executions.end(), None);
        assert_eq!(ids(executions.by_ref()), history.newest_first[..count], "after {places:?}");
        assert_eq!(fake.request_count() - before, requests, "after {places:?}");
        assert_eq!(executions.end(), Some(End::After));
    }

    // One of two that is gone is no loss; both are.
    let [gone, kept] = [90, 110].map(|place| history.newest_first[place].clone());
    history.remove(90..91);
    let mut executions = history.executions().after(&gone).after(kept);
    assert_eq!((executions.by_ref().count(), executions.end()), (109, Some(End::After)));
    let mut executions = history.executions().after(gone);
    assert_eq!((executions.by_ref().count(), executions.end()), (119, Some(End::LastPage)));
}

#[test]
fn a_walk_that_is_complete_can_be_asked_how_it_ended() {
    let fake = FakeHandinger::start();
    deliver_every_second(&fake, 60);
    let newest = fake.client().list_executions(WORKER, 1).unwrap().logs.remove(0).id;
    let since = OffsetDateTime::UNIX_EPOCH + Duration::seconds(30);
    let executions = || fake.client().executions(WORKER);
    for (mut executions, end) in [
        (executions(), End::LastPage),
        (executions().starting_at(9), End::LastPage),
        (executions().since(since), End::Since),
        (executions().since(OffsetDateTime::UNIX_EPOCH), End::LastPage),
        (executions().after(&newest), End::After),
        (executions().since(since + Duration::HOUR).after(&newest), End::After),
        (executions().after("").since(since).starting_at(2), End::Since),
    ] {
        assert_eq!(executions.end(), None);
        while let Some(execution) = executions.next() {
            execution.unwrap();
            assert_eq!(executions.end(), None);
        }
        assert_eq!(executions.end(), Some(end));
    }

    let mut failing = executions();
    fake.fail_next(3, 500);
    assert!(failing.next().unwrap().is_err());
    assert_eq!(failing.end(), None);
}

#[test]
fn a_walk_that_may_have_missed_executions_says_so_after_all_it_found() {
    let server = Server::responding([page("a b", "9"), page("", "9"), page("b c", "3")]);
    let mut executions = client(server.base_url()).executions(WORKER);
    assert_eq!(ids(executions.by_ref().take(2)), ["a", "b"]);
    let error = executions.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incomplete);
    assert_eq!(
        error.to_string(),
        "list executions of worker wrk_1: executions may be missing: a page before the last one is empty"
    );
    assert!(executions.next().is_none());
    assert_eq!(executions.end(), None);

    executions.resume();
    assert_eq!(ids(executions.by_ref()), ["c"]);
    assert_eq!(executions.end(), Some(End::LastPage));
}

#[test]
fn it_can_start_at_another_page() {
    let fake = FakeHandinger::start();
    let mut history = History::new(&fake, WORKER, 120);
    assert_eq!(ids(history.executions().starting_at(2)), history.newest_first[50..]);
    assert_eq!(ids(history.executions().starting_at(3)), history.newest_first[100..]);
    assert_eq!(ids(history.executions().starting_at(4)), [""; 0]);
    assert_eq!(ids(history.executions().starting_at(u64::MAX)), [""; 0]);

    let error = history.executions().starting_at(0).next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);

    // It steps back to the page it started at, and no further.
    let mut executions = history.executions().starting_at(2);
    let mut read = ids(executions.by_ref().take(50));
    history.remove(10..40);
    read.extend(ids(executions));
    assert_eq!(read, history.newest_first[20..]);
}

#[test]
fn starting_at_a_page_forgets_what_was_read_but_not_where_to_end() {
    let fake = FakeHandinger::start();
    deliver_every_second(&fake, 120);
    let since = OffsetDateTime::UNIX_EPOCH + Duration::seconds(10);
    let mut executions = fake.client().executions(WORKER).since(since);
    assert_eq!(executions.by_ref().count(), 110);
    let mut again = executions.starting_at(2);
    assert_eq!(again.progress(), fake.client().executions(WORKER).progress());
    assert_eq!(again.by_ref().count(), 60);
    assert_eq!(again.progress().executions, 60);

    let last = fake.client().list_executions(WORKER, 2).unwrap().logs.swap_remove(9).id;
    assert_eq!(fake.client().executions(WORKER).after(last).starting_at(2).count(), 9);
}

#[test]
fn nothing_is_requested_ahead_of_need() {
    let fake = FakeHandinger::start();
    let history = History::new(&fake, WORKER, 120);
    let before = fake.request_count();
    let mut executions = history.executions().since(OffsetDateTime::UNIX_EPOCH);
    assert_eq!(fake.request_count() - before, 0);
    for number in 0..120 {
        executions.next().unwrap().unwrap();
        assert_eq!(fake.request_count() - before, 1 + number / 50);
    }
    assert!(executions.next().is_none());
    assert_eq!(fake.request_count() - before, 3);

    assert_eq!(ids(history.executions().take(50)).len(), 50);
    assert_eq!(fake.request_count() - before, 4);
}

#[test]
fn progress_reports_page_executions_and_totals() {
    let fake = FakeHandinger::start();
    let mut history = History::new(&fake, WORKER, 120);
    let mut executions = history.executions();
    let reported =
        |progress: Progress| (progress.page, progress.page_count, progress.executions, progress.total_count);
    assert_eq!(reported(executions.progress()), (0, 0, 0, 0));
    executions.next();
    assert_eq!(reported(executions.progress()), (1, 3, 1, 120));
    executions.nth(48);
    assert_eq!(reported(executions.progress()), (1, 3, 50, 120));
    history.deliver(31);
    executions.next();
    assert_eq!(reported(executions.progress()), (2, 4, 51, 151));
    fake.fail_next(3, 500);
    let error = executions.find_map(Result::err);
    assert!(error.is_some());
    assert_eq!(reported(executions.progress()), (2, 4, 69, 151));
    executions.resume();
    assert_eq!(executions.by_ref().count(), 51);
    assert_eq!(reported(executions.progress()), (4, 4, 120, 151));
}

#[test]
fn size_hint_never_promises_what_may_not_come() {
    let fake = FakeHandinger::start();
    let history = History::new(&fake, WORKER, 51);
    let mut executions = history.executions();
    for left in (0..=51).rev() {
        assert_eq!(executions.size_hint(), (0, None), "{left} left");
        assert_eq!(executions.next().is_some(), left > 0);
    }
    assert_eq!(executions.size_hint(), (0, Some(0)));

    let mut executions = history.executions();
    fake.fail_next(3, 500);
    assert!(executions.next().unwrap().is_err());
    assert_eq!(executions.size_hint(), (0, None), "it may be resumed");
}

#[test]
fn debug_shows_how_far_it_is_and_nothing_secret() {
    let fake = FakeHandinger::start();
    let history = History::new(&fake, WORKER, 2);
    let mut executions = history.executions();
    executions.next();
    let debug = format!("{executions:?}");
    assert_eq!(
        debug,
        "Executions { worker_id: \"wrk_1\", since: None, state: Walking, progress: Progress { page: 1, \
         page_count: 1, executions: 1, total_count: 2 }, .. }"
    );
}

#[test]
fn it_goes_with_what_iterators_are_used_with() -> Result<(), Error> {
    fn is_fused_and_owned(_: &(impl FusedIterator + Send + 'static)) {}

    let fake = FakeHandinger::start();
    let history = History::new(&fake, WORKER, 120);
    fake.deliver(WORKER, 503);

    is_fused_and_owned(&history.executions());
    let executions = fake.client().executions(&String::from(WORKER));
    assert_eq!(thread::spawn(move || executions.count()).join().unwrap(), 121);

    assert_eq!(history.executions().collect::<Result<Vec<_>, _>>()?.len(), 121);
    assert_eq!(history.executions().filter_map(Result::ok).count(), 121);
    assert_eq!(history.executions().take(7).collect::<Result<Vec<_>, _>>()?.len(), 7);
    let mut errors = 0;
    for execution in history.executions() {
        errors += usize::from(!execution?.is_success());
    }
    assert_eq!(errors, 1);

    fake.fail_next(3, 503);
    let error = history.executions().collect::<Result<Vec<_>, _>>().unwrap_err();
    assert_eq!(error.status(), Some(503));
    Ok(())
}
