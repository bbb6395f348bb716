//! The walk against a model of the history, and against servers that lie. No sockets: a test is the server.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::env;
use std::fmt::Debug;
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

pub(crate) fn list(ids: impl IntoIterator<Item = u32>, pages: u64, total: u64) -> WebhookExecutionList {
    let logs = ids.into_iter().map(execution).collect();
    WebhookExecutionList { logs, page: 0, page_count: pages, total_count: total }
}

/// What a walk did.
#[derive(Debug, Default)]
struct Outcome {
    yielded: Vec<u32>,
    /// How many responses it was given.
    requests: u64,
    /// How many of the pages accepted had executions that are new.
    news: u64,
    /// Why it may have missed executions.
    gap: Option<&'static str>,
}

impl Outcome {
    /// How many executions were yielded again.
    fn repeated(&self) -> usize {
        self.yielded.len() - self.yielded.iter().collect::<HashSet<_>>().len()
    }
}

/// Walks to the end. The server is given the page that is requested; `None` means that the response is lost.
fn walk(mut server: impl FnMut(u64) -> Option<WebhookExecutionList>) -> Outcome {
    let mut walk = Walk::new();
    let mut outcome = Outcome::default();
    while !walk.is_over {
        let Some(list) = server(walk.page) else { continue };
        outcome.requests += 1;
        if let Some(executions) = walk.accept(list) {
            outcome.news += u64::from(!executions.is_empty());
            outcome.yielded.extend(executions.iter().map(|execution| execution.id.parse::<u32>().unwrap()));
        }
        let Outcome { requests, news, .. } = outcome;
        assert!(requests <= 3 * news + 200, "{requests} requests, {news} of them with news");
        assert!(requests < 10_000, "the walk does not end");
    }
    outcome.gap = walk.gap;
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

/// Events, each after some requests without; nothing happens before the first request.
pub(crate) fn moments<Event: Clone + Debug>(
    event: impl Strategy<Value = Event>,
) -> impl Strategy<Value = VecDeque<Option<Event>>> {
    vec((0_usize..4, event), 0..60).prop_map(|events| {
        let events = events.into_iter().flat_map(|(quiet, event)| repeat_n(None, quiet).chain([Some(event)]));
        once(None).chain(events).collect()
    })
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

/// Deterministic, so that a failure is one for everybody. `HANDINGER_MODEL_FACTOR=100` runs so many times the
/// cases, on another seed.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let factor = env::var("HANDINGER_MODEL_FACTOR").map_or(1, |factor| factor.parse().unwrap());
    let rng_seed = RngSeed::Fixed(3 + u64::from(factor));
    ProptestConfig { cases: cases * factor, rng_seed, failure_persistence: None, ..<_>::default() }
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn every_standing_execution_is_yielded_once_and_in_order(
        count in prop_oneof![3 => 0_u32..=300, 1 => 0_u32..=3_000],
        mut events in moments(event()),
    ) {
        let mut history = History::new(count);
        let outcome = walk(|page| {
            let event = events.pop_front().flatten();
            if let Some(event) = &event {
                history.apply(event);
            }
            (!matches!(event, Some(Event::LoseResponse))).then(|| history.page(page))
        });
        prop_assert_eq!((outcome.repeated(), outcome.gap), (0, None));
        // The newest have the greatest ids.
        let standing: BTreeSet<_> = history.newest_first.iter().filter(|id| **id < count).collect();
        let yielded = outcome.yielded.iter().filter(|id| standing.contains(id));
        prop_assert!(yielded.eq(standing.iter().rev().copied()), "{:?}", outcome);
        prop_assert!(
            outcome.requests <= outcome.news + 1 + 2 * (history.removals + history.changed / PAGE as u64),
            "{} requests for {} pages with news, {} removals, {} executions that came or went",
            outcome.requests, outcome.news, history.removals, history.changed
        );
    }
}

proptest! {
    #![proptest_config(config(50))]

    /// Changes before each request, until patience ends.
    #[test]
    fn a_standing_execution_is_missed_only_with_a_gap(
        count in 100_u32..=3_000,
        events in vec(event(), 100..900),
    ) {
        let mut history = History::new(count);
        let mut events = once(&Event::LoseResponse).chain(&events);
        let outcome = walk(|page| {
            history.apply(events.next().unwrap_or(&Event::LoseResponse));
            Some(history.page(page))
        });
        prop_assert_eq!(outcome.repeated(), 0);
        if outcome.gap.is_none() {
            let yielded: HashSet<_> = outcome.yielded.into_iter().collect();
            let missed = history.newest_first.iter().find(|id| **id < count && !yielded.contains(id));
            prop_assert_eq!(missed, None);
        }
    }
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn a_server_that_says_anything_cannot_hold_it(
        responses in vec(lie(), 1..300),
    ) {
        let mut responses = responses.into_iter();
        let mut fresh = 0..;
        let mut last = Vec::new();
        let mut totals = (0..3).cycle();
        // `walk` counts the requests. After the responses, the server repeats its last page for ever.
        let outcome = walk(|page| {
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

/// What happens before which requests to a history of so many; how many executions and requests that makes, and
/// what is reported. (It cannot be seen from their number that it is the oldest that go.)
#[test]
fn changes_are_seen_through_or_reported() {
    type Case = (u32, fn(u64) -> bool, Event, usize, u64, Option<&'static str>);
    let cases: [Case; 11] = [
        (10_000, |_| true, Event::RemoveOldest(1), 9_607, 393, Some(REMOVALS)),
        (10_000, |number| number % 2 == 0, Event::RemoveOldest(1), 9_802, 397, Some(REMOVALS)),
        (10_000, |number| number % 3 == 0, Event::RemoveOldest(1), 9_805, 587, None),
        (3_000, |number| number > 1 && number % 2 == 1, Event::Remove(0, 1), 3_000, 5_802, None),
        (200, |number| number > 1, Event::Deliver(49), 200, 151, None),
        (200, |number| number > 1, Event::Deliver(50), 50, 202, Some(NOTHING_NEW)),
        (5_000, |number| number == 80, Event::RemoveAll, 79 * PAGE, 81, None),
        (25_000, |number| number == 202, Event::Deliver(10_000), 25_000, 700, None),
        (25_000, |number| number == 202, Event::Deliver(10_050), 10_050, 402, Some(NOTHING_NEW)),
        (25_000, |number| number == 202, Event::Remove(0, 9_900), 25_000, 700, None),
        (25_000, |number| number == 202, Event::Remove(0, 10_050), 24_950, 699, Some(REMOVALS)),
    ];
    for (count, moments, event, yielded, requests, gap) in cases {
        let mut history = History::new(count);
        let mut number = 0;
        let outcome = walk(|page| {
            number += 1;
            if moments(number) {
                history.apply(&event);
            }
            Some(history.page(page))
        });
        let measured = (outcome.yielded.len(), outcome.requests, outcome.repeated(), outcome.gap);
        assert_eq!(measured, (yielded, requests, 0, gap), "{event:?}, {count} at the start");
    }
}

#[test]
fn page_with_news_earns_2_up_to_200() {
    // 150 pages repeat the first, then 30 have news, or 60: that is 150 - 60, or all that there can be.
    for (news, requests) in [(0, 202), (30, 1 + 150 + 30 + 110 + 1), (60, 1 + 150 + 60 + 170 + 1), (99, 451)]
    {
        let outcome = walk(|page| {
            let id = if (152..152 + news).contains(&page) { page } else { 1 };
            Some(list([u32::try_from(id).unwrap()], u64::MAX, 9))
        });
        assert_eq!((outcome.requests, outcome.gap), (requests, Some(NOTHING_NEW)), "{news}");
    }
}

/// What a server does, how many requests and executions that makes, and what is reported. (A page of it has
/// one execution.)
#[test]
fn lies_end_the_walk_or_bring_new_executions() {
    type Server = fn(u32, u32) -> (Option<u32>, u64, u64);
    const MANY: u64 = u64::MAX;
    let servers: [(&str, Server, u64, usize, Option<&str>); 10] = [
        ("ignores the page's number", |_, _| (Some(1), 999, 999), 202, 1, Some(NOTHING_NEW)),
        ("repeats its third page", |page, _| (Some(page.min(3)), MANY, 9), 204, 3, Some(NOTHING_NEW)),
        ("has executions but no pages", |page, _| (Some(page), 0, 0), 1, 1, None),
        ("has too many pages", |page, _| ((page <= 3).then_some(page), MANY, 3), 4, 3, Some(EMPTY_PAGE)),
        ("has an empty page", |page, _| ((page != 3).then_some(page), 9, 9), 3, 2, Some(EMPTY_PAGE)),
        ("has an empty last page", |page, _| ((page != 3).then_some(page), 3, 3), 3, 2, None),
        ("counts none", |page, _| (Some(page), 5, 0), 5, 5, None),
        ("counts more and more", |page, n| (Some(page), 5, MANY - 9 + u64::from(n)), 5, 5, None),
        ("counts fewer and fewer", |page, n| (Some(page), 5, MANY - u64::from(n)), 205, 5, Some(REMOVALS)),
        ("shrinks and grows", |page, n| (Some(page), 5, u64::from(n % 2)), 205, 5, Some(REMOVALS)),
    ];
    for (what, server, requests, executions, gap) in servers {
        let mut number = 0;
        let outcome = walk(|page| {
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
fn walk_of_5_000_pages_takes_less_than_10_mb() {
    const PAGES: u32 = 5_000;
    let measured = allocation_counter::measure(|| {
        let mut yielded = 0;
        let mut walk = Walk::new();
        while !walk.is_over {
            let newest = (PAGES - u32::try_from(walk.page).unwrap()) * 50;
            let page = list(newest..newest + 50, PAGES.into(), u64::from(PAGES) * 50);
            yielded += walk.accept(page).map_or(0, |executions| executions.len());
        }
        assert_eq!(yielded, 250_000);
    });
    println!("{} bytes at most", measured.bytes_max);
    assert!(measured.bytes_max < 10_000_000, "{measured:?}");
}
