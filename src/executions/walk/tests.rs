//! The walk against a model of the history, and against servers that lie. No sockets: a test is the server.

use std::collections::HashSet;
use std::iter::{once, repeat_n};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use time::OffsetDateTime;

use super::*;
use crate::types::RequestStatus;

const PAGE: usize = 50;

/// The walk looks at nothing but the id: all times tie.
pub(crate) fn execution(id: u32) -> WebhookExecution {
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

pub(crate) fn list(
    ids: impl IntoIterator<Item = u32>,
    page_count: u64,
    total_count: u64,
) -> WebhookExecutionList {
    WebhookExecutionList { logs: ids.into_iter().map(execution).collect(), page: 0, page_count, total_count }
}

/// What a walk did.
#[derive(Debug, Default)]
struct Outcome {
    yielded: Vec<u32>,
    /// How many responses it was given.
    requests: u64,
    /// How many different pages it accepted.
    pages: u64,
    /// Why it may have missed executions.
    gap: Option<Gap>,
}

impl Outcome {
    /// How many executions were yielded again.
    fn repeated(&self) -> usize {
        self.yielded.len() - self.yielded.iter().collect::<HashSet<_>>().len()
    }
}

/// Walks to the end, or until it is stuck. The server is given the page that is requested; `None` means that the response is
/// lost.
fn walk(first: u64, mut server: impl FnMut(u64) -> Option<WebhookExecutionList>) -> Outcome {
    let mut walk = Walk::starting_at(first);
    let mut outcome = Outcome::default();
    while !walk.is_over && !walk.is_stuck {
        let page = walk.page;
        let Some(list) = server(page) else { continue };
        outcome.requests += 1;
        if let Some(executions) = walk.accept(list) {
            outcome.yielded.extend(executions.iter().map(|execution| execution.id.parse::<u32>().unwrap()));
            outcome.pages = outcome.pages.max(page - first + 1);
        }
        let Outcome { requests, pages, .. } = outcome;
        assert!(requests <= 3 * pages + 200, "{requests} requests for {pages} pages");
        assert!(requests < 10_000, "the walk does not end");
    }
    outcome.gap = walk.take_gap();
    assert!(outcome.gap.is_some() || !walk.is_stuck);
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
    /// The response is lost: the page is requested again.
    LoseResponse,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1_u32..=3).prop_map(Event::Deliver),
        2 => (1_u32..=200).prop_map(Event::Deliver),
        6 => (any::<usize>(), 1_usize..=3).prop_map(|(at, count)| Event::Remove(at, count)),
        2 => (any::<usize>(), 1_usize..=400).prop_map(|(at, count)| Event::Remove(at, count)),
        2 => (1_usize..=400).prop_map(Event::RemoveOldest),
        1 => Just(Event::RemoveAll),
        2 => Just(Event::LoseResponse),
    ]
}

/// A server that is honest. Ids count up from 0, so that the newest execution has the greatest.
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
        let executions = &self.newest_first;
        let skipped = usize::try_from(page - 1).unwrap() * PAGE;
        let ids = executions.iter().skip(skipped).take(PAGE).copied();
        list(ids, executions.len().div_ceil(PAGE) as u64, executions.len() as u64)
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
            Event::Remove(..) | Event::LoseResponse => 0..0,
        };
        self.removals += u64::from(!removed.is_empty());
        self.newest_first.drain(removed);
        self.changed += self.newest_first.len().abs_diff(length) as u64;
    }
}

/// Deterministic, so that a failure is one for everybody.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(4), failure_persistence: None, ..<_>::default() }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn every_standing_execution_is_yielded_once_and_in_order(
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
            (!matches!(event, Some(Event::LoseResponse))).then(|| history.page(page))
        });
        prop_assert_eq!((outcome.repeated(), outcome.gap), (0, None));
        let standing: HashSet<_> =
            history.newest_first.iter().copied().filter(|id| *id < count).collect();
        let mut yielded = outcome.yielded.clone();
        yielded.retain(|id| standing.contains(id));
        let mut expected: Vec<_> = standing.into_iter().collect();
        expected.sort_unstable_by(|a, b| b.cmp(a));
        prop_assert_eq!(yielded, expected);
        prop_assert!(
            outcome.requests <= outcome.pages + 2 * (history.removals + history.changed / PAGE as u64),
            "{} requests for {} pages, {} removals, {} executions that came or went",
            outcome.requests, outcome.pages, history.removals, history.changed
        );
    }
}

proptest! {
    #![proptest_config(config(100))]

    /// Removals before each request, until no step back is left; and any first page.
    #[test]
    fn a_standing_execution_is_missed_only_with_a_gap(
        first in 1_u64..=3,
        count in 100_u32..=3_000,
        events in vec(event(), 100..900),
    ) {
        let mut history = History::new(count);
        let mut events = once(&Event::LoseResponse).chain(&events);
        let outcome = walk(first, |page| {
            history.apply(events.next().unwrap_or(&Event::LoseResponse));
            Some(history.page(page))
        });
        prop_assert_eq!(outcome.repeated(), 0);
        if outcome.gap.is_none() {
            // Ids count down from page to page.
            let requested = count.saturating_sub(u32::try_from(first - 1).unwrap() * 50);
            let yielded: HashSet<_> = outcome.yielded.into_iter().collect();
            let missed: Vec<_> = history.newest_first.iter().filter(|id| **id < requested && !yielded.contains(id)).collect();
            prop_assert!(missed.is_empty(), "{missed:?}");
        }
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn a_server_that_says_anything_cannot_hold_it(
        first in prop_oneof![Just(1_u64), 1_u64..=20, Just(u64::MAX - 3)],
        responses in vec(lie(), 1..300),
    ) {
        let mut responses = responses.into_iter();
        let mut fresh = 0..;
        let mut last = Vec::new();
        let mut totals = (0..3).cycle();
        // `walk` counts the requests. After the responses, the server repeats its last page for ever.
        let outcome = walk(first, |page| {
            let Some((executions, page_count, total_count)) = responses.next() else {
                return Some(list(last.clone(), u64::MAX, totals.next().unwrap()));
            };
            match executions {
                Content::Fresh(count) => last = fresh.by_ref().take(count).collect(),
                Content::Repeated => {}
                Content::Old(from) => last = (from..fresh.start).take(3).collect(),
            }
            let page_count = if page_count == 0 { page } else { page.saturating_add(page_count) };
            Some(list(last.clone(), page_count, total_count))
        });
        prop_assert_eq!(outcome.repeated(), 0);
    }
}

#[derive(Clone, Debug)]
enum Content {
    Fresh(usize),
    /// Those of the response before.
    Repeated,
    /// From this id on.
    Old(u32),
}

/// Executions, how many more pages than this one there are said to be, and how many executions.
fn lie() -> impl Strategy<Value = (Content, u64, u64)> {
    let content = prop_oneof![
        4 => (1_usize..5).prop_map(Content::Fresh),
        3 => Just(Content::Repeated),
        1 => (0_u32..1_000).prop_map(Content::Old),
    ];
    let page_count = prop_oneof![1 => Just(0_u64), 50 => Just(1), 50 => any::<u64>()];
    (content, page_count, prop_oneof![0..3_u64, any::<u64>()])
}

/// That it is the oldest that go cannot be seen from their number: where this uses up the steps back, it is reported.
#[test]
fn the_oldest_may_be_trimmed_before_every_third_request_without_a_gap() {
    for (every, gap) in [(1, Some(Gap::Removals)), (2, Some(Gap::Removals)), (3, None)] {
        let mut history = History::new(10_000);
        let mut number = 0;
        let outcome = walk(1, |page| {
            number += 1;
            if number % every == 0 {
                history.apply(&Event::RemoveOldest(1));
            }
            Some(history.page(page))
        });
        assert_eq!((outcome.repeated(), outcome.gap), (0, gap), "every {every}");
        assert!(outcome.yielded.iter().take(history.newest_first.len()).eq(&history.newest_first));
    }
}

#[test]
fn deliveries_are_outrun_if_they_are_fewer_than_a_page_a_request() {
    let cases = [
        (49, 200, 151, None),
        (50, 50, 202, Some(Gap::NothingNew)),
        // Each page has one new execution, and the last page stays as far away as it was.
        (51, 50 + 1001, 1002, Some(Gap::NoCloser)),
    ];
    for (delivered, yielded, requests, gap) in cases {
        let mut history = History::new(200);
        let outcome = walk(1, |page| {
            if page > 1 {
                history.apply(&Event::Deliver(delivered));
            }
            Some(history.page(page))
        });
        assert_eq!((outcome.yielded.len(), outcome.requests, outcome.gap), (yielded, requests, gap));
        assert_eq!(outcome.repeated(), 0);
    }
}

#[test]
fn a_walk_that_is_stuck_goes_on_where_it_was() {
    let mut history = History::new(200);
    let mut walk = Walk::starting_at(1);
    let mut yielded = 0;
    while !walk.is_over {
        if walk.is_stuck {
            assert_eq!(walk.take_gap(), Some(Gap::NothingNew));
            walk.resume();
        } else if (2..400).contains(&walk.page) {
            history.apply(&Event::Deliver(50));
        }
        yielded += walk.accept(history.page(walk.page)).unwrap().len();
    }
    assert_eq!((yielded, walk.take_gap()), (200, None));
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

/// Makes as many requests as can be had: each page is a new one, and the total falls whenever it can.
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

/// What a server does, how many requests and executions that makes, and what is reported. (A page of it has one execution.)
#[test]
fn lies_end_the_walk_or_bring_new_executions() {
    type Server = fn(u32, u32) -> (Option<u32>, u64, u64);
    const MANY: u64 = u64::MAX;
    let servers: &[(&str, Server, u64, usize, Option<Gap>)] = &[
        ("ignores the page's number", |_, _| (Some(1), 999, 999), 202, 1, Some(Gap::NothingNew)),
        (
            "repeats its third page for ever",
            |page, _| (Some(page.min(3)), MANY, 9),
            204,
            3,
            Some(Gap::NothingNew),
        ),
        ("has executions but no pages", |page, _| (Some(page), 0, 0), 1, 1, None),
        (
            "has more pages than executions",
            |page, _| ((page <= 3).then_some(page), MANY, 3),
            4,
            3,
            Some(Gap::EmptyPage),
        ),
        (
            "has an empty page in the middle",
            |page, _| ((page != 3).then_some(page), 9, 9),
            3,
            2,
            Some(Gap::EmptyPage),
        ),
        ("has an empty page at the end", |page, _| ((page != 3).then_some(page), 3, 3), 3, 2, None),
        (
            "counts ever more pages",
            |page, _| (Some(page), u64::from(page) + 2, 9),
            1002,
            1002,
            Some(Gap::NoCloser),
        ),
        ("counts the executions wrong", |page, _| (Some(page), 5, 0), 5, 5, None),
        ("counts executions without end", |page, n| (Some(page), 5, MANY - 9 + u64::from(n)), 5, 5, None),
        (
            "counts ever fewer executions",
            |page, n| (Some(page), 5, MANY - u64::from(n)),
            213,
            5,
            Some(Gap::Removals),
        ),
        (
            "shrinks and grows by turns",
            |page, n| (Some(page), 5, u64::from(n % 2)),
            211,
            5,
            Some(Gap::Removals),
        ),
    ];
    for &(what, server, requests, executions, gap) in servers {
        let mut number = 0;
        let outcome = walk(1, |page| {
            number += 1;
            let (id, page_count, total_count) = server(u32::try_from(page).unwrap(), number);
            Some(list(id, page_count, total_count))
        });
        assert_eq!(outcome.repeated(), 0);
        let measured = (outcome.requests, outcome.yielded.len(), outcome.gap);
        assert_eq!(measured, (requests, executions, gap), "a server that {what}");
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
        let measured = (outcome.yielded.len(), outcome.repeated(), outcome.gap);
        assert_eq!(measured, (12_000, 0, None), "{burst:?}");
    }
}

/// A server that counts wrong takes away the only sign of removals.
#[test]
fn executions_that_vanish_under_a_constant_total_are_missed() {
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

/// The window is what bounds the memory: with the executions of a page, there is nothing else.
#[test]
fn five_thousand_pages_take_no_more_memory_than_four_hundred() {
    let peak = |pages: u32| {
        let measured = allocation_counter::measure(|| {
            let outcome = count_executions(pages);
            assert_eq!(outcome, u64::from(pages) * PAGE as u64);
        });
        assert_eq!(measured.bytes_current, 0);
        measured.bytes_max
    };
    assert_eq!(peak(5_000), peak(400));
}

/// Walks pages without keeping their executions.
fn count_executions(pages: u32) -> u64 {
    let mut walk = Walk::starting_at(1);
    let mut count = 0;
    while !walk.is_over {
        let newest = (pages - u32::try_from(walk.page).unwrap()) * 50;
        let page = list(newest..newest + 50, pages.into(), u64::from(pages) * 50);
        count += walk.accept(page).map_or(0, |executions| executions.len() as u64);
    }
    count
}
