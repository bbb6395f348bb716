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
        id: format!("{id:07}"),
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
    /// How many rows were yielded again.
    fn repeated(&self) -> usize {
        self.yielded.len() - self.yielded.iter().collect::<HashSet<_>>().len()
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
        let Outcome { requests, pages, .. } = outcome;
        assert!(requests <= 3 * pages + 200, "{requests} requests for {pages} pages");
        assert!(requests < 10_000, "the walk does not end");
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

/// Deterministic, so that a failure is one for everybody.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(4), failure_persistence: None, ..<_>::default() }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn every_standing_row_is_yielded_once_and_in_order(
        count in prop_oneof![3 => 0_u32..=300, 1 => 0_u32..=3_000],
        events in vec((0_usize..4, event()), 0..60),
    ) {
        let mut history = History::new(count);
        let events = events.iter().flat_map(|(quiet, event)| repeat_n(None, *quiet).chain([Some(event)]));
        // Nothing happens before the first request.
        let mut moments = once(None).chain(events);
        let outcome = walk(1, |page| {
            let event = moments.next().flatten();
            if let Some(event) = event {
                history.apply(event);
            }
            (!matches!(event, Some(Event::LoseAnswer))).then(|| history.page(page))
        });
        prop_assert_eq!(outcome.repeated(), 0);
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

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn a_server_that_says_anything_cannot_hold_it(
        first in prop_oneof![Just(1_u64), 1_u64..=20, Just(u64::MAX - 3)],
        answers in vec(lie(), 1..300),
    ) {
        let mut answers = answers.into_iter();
        let mut fresh = 0..;
        let mut last = Vec::new();
        let mut totals = (0..3).cycle();
        // `walk` counts the requests. After the answers, the server repeats its last page for ever.
        let outcome = walk(first, |page| {
            let Some((rows, page_count, total_count)) = answers.next() else {
                return Some(list(last.clone(), u64::MAX, totals.next().unwrap()));
            };
            match rows {
                Rows::Fresh(count) => last = fresh.by_ref().take(count).collect(),
                Rows::Repeated => {}
                Rows::Old(from) => last = (from..fresh.start).take(3).collect(),
            }
            let page_count = if page_count == 0 { page } else { page.saturating_add(page_count) };
            Some(list(last.clone(), page_count, total_count))
        });
        prop_assert_eq!(outcome.repeated(), 0);
    }
}

#[derive(Clone, Debug)]
enum Rows {
    Fresh(usize),
    /// Those of the answer before.
    Repeated,
    /// From this id on.
    Old(u32),
}

/// Rows, how many pages more than this one there are said to be, and how many rows.
fn lie() -> impl Strategy<Value = (Rows, u64, u64)> {
    let rows = prop_oneof![
        4 => (1_usize..5).prop_map(Rows::Fresh),
        3 => Just(Rows::Repeated),
        1 => (0_u32..1_000).prop_map(Rows::Old),
    ];
    let page_count = prop_oneof![1 => Just(0_u64), 50 => Just(1), 50 => any::<u64>()];
    (rows, page_count, prop_oneof![0..3_u64, any::<u64>()])
}

#[test]
fn a_removal_before_each_request_does_not_end_the_walk() {
    let mut history = History::new(10_000);
    let outcome = walk(1, |page| {
        history.apply(&Event::RemoveOldest(1));
        Some(history.page(page))
    });
    assert_eq!(outcome.repeated(), 0);
    assert_eq!(outcome.yielded.len(), history.newest_first.len());
}

#[test]
fn deliveries_are_outrun_if_they_are_fewer_than_a_page_a_request() {
    for (delivered, yielded, requests) in [(49, 200, 151), (50, 50, 202)] {
        let mut history = History::new(200);
        let outcome = walk(1, |page| {
            if page > 1 {
                history.apply(&Event::Deliver(delivered));
            }
            Some(history.page(page))
        });
        assert_eq!((outcome.yielded.len(), outcome.requests), (yielded, requests));
        assert_eq!(outcome.repeated(), 0);
    }
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

/// Asks for as many requests as can be had: each page is a new one, and the total falls whenever it can.
#[test]
fn three_requests_a_page_and_200_in_all_is_the_worst() {
    for pages in [1, 2, 3, 50, 101, 300] {
        let mut ids = 0..;
        let mut furthest = 0;
        let outcome = walk(1, |page| {
            // On the way forward nothing falls, so that each further page earns its step back.
            let is_forward = page > furthest && page < pages;
            furthest = furthest.max(page);
            let total = if is_forward || page == 1 { 2 } else { 1 };
            Some(list(ids.by_ref().take(1), pages, total))
        });
        let steps_back = if pages == 1 { 0 } else { 100 + pages - 1 };
        assert_eq!(outcome.pages, pages);
        assert_eq!(outcome.requests, pages + 2 * steps_back, "{pages} pages");
    }
}

/// What a server does, and how many requests and rows that makes. (A page of it has one row.)
#[test]
fn lies_end_the_walk_or_bring_new_rows() {
    type Server = fn(u32, u32) -> (Option<u32>, u64, u64);
    const MANY: u64 = u64::MAX;
    let servers: &[(&str, Server, u64, usize)] = &[
        ("ignores the page's number", |_, _| (Some(1), 999, 999), 202, 1),
        ("repeats its third page for ever", |page, _| (Some(page.min(3)), MANY, 9), 204, 3),
        ("has rows but no pages", |page, _| (Some(page), 0, 0), 1, 1),
        ("has more pages than rows", |page, _| ((page <= 3).then_some(page), MANY, 3), 4, 3),
        ("has an empty page in the middle", |page, _| ((page != 3).then_some(page), 9, 9), 3, 2),
        ("counts the rows wrong", |page, _| (Some(page), 5, 0), 5, 5),
        ("counts rows without end", |page, n| (Some(page), 5, MANY - 9 + u64::from(n)), 5, 5),
        ("counts ever fewer rows", |page, n| (Some(page), 5, MANY - u64::from(n)), 213, 5),
        ("shrinks and grows by turns", |page, n| (Some(page), 5, u64::from(n % 2)), 211, 5),
    ];
    for &(what, server, requests, rows) in servers {
        let mut number = 0;
        let outcome = walk(1, |page| {
            number += 1;
            let (id, page_count, total_count) = server(u32::try_from(page).unwrap(), number);
            Some(list(id, page_count, total_count))
        });
        assert_eq!(outcome.repeated(), 0);
        assert_eq!((outcome.requests, outcome.yielded.len()), (requests, rows), "a server that {what}");
    }
}

#[test]
fn a_burst_of_5_000_deliveries_or_removals_is_seen_through() {
    let bursts = [
        // The window is full, and holds all that was yielded.
        (201, Event::Deliver(10_000)),
        // It has just forgotten the first half.
        (202, Event::Deliver(5_000)),
        (202, Event::Remove(5_050, 5_000)),
    ];
    for (at, burst) in bursts {
        let mut history = History::new(12_000);
        let outcome = walk(1, |page| {
            if page == at && history.changed == 0 {
                history.apply(&burst);
            }
            Some(history.page(page))
        });
        assert_eq!((outcome.yielded.len(), outcome.repeated()), (12_000, 0), "{burst:?}");
    }
}

/// Without a total to trust, there is no telling: this is given up.
#[test]
fn rows_that_vanish_under_a_constant_total_are_missed() {
    let mut history = History::new(500);
    let outcome = walk(1, |page| {
        history.apply(&Event::Remove(0, 1));
        Some(WebhookExecutionList { total_count: 500, page_count: 10, ..history.page(page) })
    });
    assert_eq!(outcome.requests, 10);
    assert_eq!(outcome.repeated(), 0);
    assert_eq!(outcome.yielded.len(), 500 - 1 - 9);
}

#[test]
fn the_last_page_that_a_number_can_name_is_the_last() {
    let outcome = walk(u64::MAX, |_| Some(list([1], u64::MAX, 1)));
    assert_eq!((outcome.requests, outcome.yielded.len()), (1, 1));
}

/// The window is what bounds the memory: with the pages' rows, there is nothing else.
#[test]
fn five_thousand_pages_take_no_more_memory_than_four_hundred() {
    let peak = |pages: u32| {
        let measured = allocation_counter::measure(|| {
            let outcome = count_rows(pages);
            assert_eq!(outcome, u64::from(pages) * PAGE as u64);
        });
        assert_eq!(measured.bytes_current, 0);
        measured.bytes_max
    };
    assert_eq!(peak(5_000), peak(400));
}

/// Walks pages without keeping their rows.
fn count_rows(pages: u32) -> u64 {
    let mut walk = Walk::starting_at(1);
    let mut count = 0;
    while !walk.is_over {
        let newest = (pages - u32::try_from(walk.page).unwrap()) * 50;
        let page = list(newest..newest + 50, pages.into(), u64::from(pages) * 50);
        count += walk.accept(page).map_or(0, |rows| rows.len() as u64);
    }
    count
}
