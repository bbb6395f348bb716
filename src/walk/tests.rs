//! The walk against a model of the history, and against servers that lie. No sockets: a test is the server.

use std::collections::HashSet;
use std::iter::{once, repeat_n};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use time::OffsetDateTime;

use super::*;
use crate::RequestStatus;

const PAGE: usize = 50;

/// The walk looks at nothing but the id: all times tie.
fn row(id: u32) -> WebhookExecution {
    WebhookExecution {
        id: id.to_string(),
        created_at: OffsetDateTime::UNIX_EPOCH,
        duration_ms: 0,
        error_message: None,
        request_status: RequestStatus::Success,
        response_status: None,
        task_id: None,
        task_title: None,
        url: String::new(),
        worker_id: String::new(),
    }
}

fn list(ids: impl IntoIterator<Item = u32>, page_count: u64, total_count: u64) -> WebhookExecutionList {
    WebhookExecutionList { logs: ids.into_iter().map(row).collect(), page: 0, page_count, total_count }
}

/// What a walk did.
#[derive(Debug, Default)]
struct Outcome {
    yielded: Vec<u32>,
    /// How many answers it was given.
    requests: u64,
    /// How many different pages it accepted.
    pages: u64,
}

impl Outcome {
    fn assert_none_twice(&self) {
        let different: HashSet<_> = self.yielded.iter().collect();
        assert_eq!(different.len(), self.yielded.len(), "some were yielded twice");
    }
}

/// Walks to the end. The server is told which page is asked for; `None` means that the answer is lost.
fn walk(first: u64, mut server: impl FnMut(u64) -> Option<WebhookExecutionList>) -> Outcome {
    let mut walk = Walk::starting_at(first);
    let mut outcome = Outcome::default();
    while !walk.is_over {
        let page = walk.page;
        let Some(list) = server(page) else { continue };
        outcome.requests += 1;
        if let Some(rows) = walk.accept(list) {
            outcome.yielded.extend(rows.iter().map(|row| row.id.parse::<u32>().unwrap()));
            outcome.pages = outcome.pages.max(page - first + 1);
        }
        assert!(outcome.requests <= 3 * outcome.pages + 200, "more requests than documented: {outcome:?}");
    }
    outcome
}

/// What happens between two requests.
#[derive(Clone, Debug)]
enum Event {
    Deliver(u32),
    /// Removes some neighbours, from a place that is taken modulo the length.
    Remove(usize, usize),
    RemoveOldest(usize),
    RemoveAll,
    /// What was asked for is answered, but the answer is lost: the page is asked for again.
    LoseAnswer,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1_u32..=3).prop_map(Event::Deliver),
        2 => (1_u32..=200).prop_map(Event::Deliver),
        6 => (any::<usize>(), 1_usize..=3).prop_map(|(at, count)| Event::Remove(at, count)),
        2 => (any::<usize>(), 1_usize..=400).prop_map(|(at, count)| Event::Remove(at, count)),
        2 => (1_usize..=400).prop_map(Event::RemoveOldest),
        1 => Just(Event::RemoveAll),
        2 => Just(Event::LoseAnswer),
    ]
}

/// A server that is honest. Ids count up from 0, so that the newest row has the greatest.
struct History {
    newest_first: Vec<u32>,
    next_id: u32,
    removals: u64,
    changed: u64,
}

impl History {
    fn new(count: u32) -> Self {
        Self { newest_first: (0..count).rev().collect(), next_id: count, removals: 0, changed: 0 }
    }

    fn page(&self, page: u64) -> WebhookExecutionList {
        let rows = &self.newest_first;
        let skipped = usize::try_from(page - 1).unwrap() * PAGE;
        let ids = rows.iter().skip(skipped).take(PAGE).copied();
        list(ids, rows.len().div_ceil(PAGE) as u64, rows.len() as u64)
    }

    fn apply(&mut self, event: &Event) {
        let length = self.newest_first.len();
        let removed = match *event {
            Event::Deliver(count) => {
                let ids = self.next_id..self.next_id + count;
                self.next_id = ids.end;
                self.newest_first.splice(0..0, ids.rev());
                0..0
            }
            Event::Remove(at, count) if length > 0 => at % length..(at % length + count).min(length),
            Event::RemoveOldest(count) => length.saturating_sub(count)..length,
            Event::RemoveAll => 0..length,
            Event::Remove(..) | Event::LoseAnswer => 0..0,
        };
        self.removals += u64::from(!removed.is_empty());
        self.newest_first.drain(removed);
        self.changed += self.newest_first.len().abs_diff(length) as u64;
    }
}

/// Deterministic, so that a failure is one for everybody. (`PROPTEST_CASES` and `PROPTEST_RNG_SEED` still count.)
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(4), failure_persistence: None, ..<_>::default() }
}

proptest! {
    #![proptest_config(config(3_000))]

    #[test]
    fn every_standing_row_is_yielded_once_and_in_order(
        count in prop_oneof![0_u32..=300, 0_u32..=3_000],
        events in vec((0_usize..4, event()), 0..60),
    ) {
        let mut history = History::new(count);
        let events = events.iter().flat_map(|(quiet, event)| repeat_n(None, *quiet).chain([Some(event)]));
        // Nothing happens before the first request.
        let mut moments = once(None).chain(events);
        let outcome = walk(1, |page| {
            let event = moments.next().flatten();
            event.into_iter().for_each(|event| history.apply(event));
            (!matches!(event, Some(Event::LoseAnswer))).then(|| history.page(page))
        });
        outcome.assert_none_twice();
        let standing: HashSet<_> =
            history.newest_first.iter().copied().filter(|id| *id < count).collect();
        let mut yielded = outcome.yielded.clone();
        yielded.retain(|id| standing.contains(id));
        let mut expected: Vec<_> = standing.into_iter().collect();
        expected.sort_unstable_by(|a, b| b.cmp(a));
        prop_assert_eq!(yielded, expected);
        prop_assert!(
            outcome.requests <= outcome.pages + 2 * (history.removals + history.changed / PAGE as u64),
            "{} requests for {} pages, {} removals, {} rows that came or went",
            outcome.requests, outcome.pages, history.removals, history.changed
        );
    }
}

#[test]
fn a_removal_before_each_request_does_not_end_the_walk() {
    let mut history = History::new(10_000);
    let outcome = walk(1, |page| {
        history.apply(&Event::RemoveOldest(1));
        Some(history.page(page))
    });
    outcome.assert_none_twice();
    assert_eq!(outcome.yielded.len(), history.newest_first.len());
}

#[test]
fn pages_that_are_gone_are_not_walked_back_over() {
    let mut history = History::new(5_000);
    let outcome = walk(1, |page| {
        if page == 80 && history.removals == 0 {
            history.apply(&Event::RemoveAll);
        }
        Some(history.page(page))
    });
    assert_eq!(outcome.yielded.len(), 79 * PAGE);
    assert_eq!(outcome.requests, 81);
}
