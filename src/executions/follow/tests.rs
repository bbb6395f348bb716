//! `Follow` against a model of the history that changes before each request, with kills at any item. No sockets: a test
//! is the server.

use std::collections::{HashMap, HashSet};
use std::iter::{once, repeat_n};
use std::sync::{Arc, LazyLock, Mutex};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::executions::walk::tests::{config, execution};
use crate::types::WebhookExecutionList;

const WORKER: &str = "wrk_1";
const PAGE: usize = 5;
const SECOND: i64 = 1_000;
const OVERLAP: i64 = 20 * SECOND;
const AMPLE: Limits = Limits { found: 7, known: 10_000, requests: 1_000 };
const SCARCE: Limits = Limits { found: 7, known: 15, requests: 8 };

fn client() -> HandingerClient {
    static CLIENT: LazyLock<HandingerClient> = LazyLock::new(|| {
        HandingerClient::builder("key").base_url("http://127.0.0.1:9").sleep_with(|_| {}).build().unwrap()
    });
    CLIENT.clone()
}

fn follow(limits: Limits, cursor: Option<Cursor>) -> Follow {
    let follow = client().follow(WORKER).overlap(Duration::from_millis(OVERLAP.unsigned_abs()));
    Follow { limits, ..follow.starting_from(cursor) }
}

fn at(millis: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).unwrap()
}

fn number(execution: &WebhookExecution) -> u32 {
    execution.id.parse().unwrap()
}

/// What happens before a request.
#[derive(Clone, Debug)]
enum Event {
    /// This many, each this many seconds after the one before.
    Deliver(u32, i64),
    /// One, this many milliseconds behind the newest.
    DeliverLate(i64),
    /// Removes some neighbours, from a place that is taken modulo the length.
    Remove(usize, usize),
    /// The oldest are removed.
    Trim(usize),
    RemoveAll,
    LoseResponse,
}

/// What happens after an item, or a round that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Save,
    /// The next item comes before the cursor is saved.
    Neglect,
    SaveAndDie,
    Die,
}

/// An execution that is to be yielded.
#[derive(Clone, Copy, Debug)]
struct Owed {
    /// How many gaps had been reported when it was written.
    gaps: usize,
    /// Whether it is not newer than all others.
    is_late: bool,
}

/// Of the cursors that the program has and would start from, at the beginning of a round.
#[derive(Clone, Copy, Debug)]
struct Stage {
    has_started: bool,
    /// Whether they cover something and no gap has been reported since: if all of it goes, that is a gap to report.
    can_report: bool,
    /// Whether the overlap is shortened, which has been reported.
    is_shortened: bool,
}

impl Stage {
    fn of(current: &Cursor, saved: &Cursor) -> Self {
        let cursors = [current, saved];
        Self {
            has_started: current.has_started(),
            can_report: cursors.iter().all(|cursor| {
                cursor.floor().is_some() && cursor.to_string().ends_with(r#""lostAll":false}"#)
            }),
            is_shortened: cursors.iter().any(|cursor| cursor.is_shortened()),
        }
    }
}

/// A server, and what a program that follows it has seen.
struct Model {
    limits: Limits,
    follow: Follow,
    saved: String,
    /// Newest first: time and id.
    history: Vec<(i64, u32)>,
    next_id: u32,
    newest: i64,
    /// How many of the first executions are never removed.
    kept: usize,
    /// Those there when the first round began.
    initial: HashSet<u32>,
    owed: HashMap<u32, Owed>,
    /// Owed executions that were trimmed when a gap could be told from that, and how many had been reported.
    trimmed: HashMap<u32, usize>,
    yielded: HashSet<u32>,
    confirmed: HashSet<u32>,
    unsaved: Vec<u32>,
    gaps: usize,
}

impl Model {
    fn new(limits: Limits, count: u32, kept: usize) -> Self {
        let history = (0..count).rev().map(|id| (i64::from(id) * 2 * SECOND, id)).collect();
        Self {
            limits,
            follow: follow(limits, None),
            saved: follow(limits, None).cursor().to_string(),
            history,
            next_id: count,
            newest: i64::from(count) * 2 * SECOND,
            kept,
            initial: HashSet::new(),
            owed: HashMap::new(),
            trimmed: HashMap::new(),
            yielded: HashSet::new(),
            confirmed: HashSet::new(),
            unsaved: Vec::new(),
            gaps: 0,
        }
    }

    fn page(&self, page: u64) -> WebhookExecutionList {
        let skipped = usize::try_from(page - 1).unwrap() * PAGE;
        let logs = self
            .history
            .iter()
            .skip(skipped)
            .take(PAGE)
            .map(|(time, id)| WebhookExecution { created_at: at(*time), ..execution(*id) });
        WebhookExecutionList {
            logs: logs.collect(),
            page,
            page_count: self.history.len().div_ceil(PAGE) as u64,
            total_count: self.history.len() as u64,
        }
    }

    fn write(&mut self, time: i64, stage: Stage) {
        let id = self.next_id;
        self.next_id += 1;
        let place = self.history.partition_point(|(other, _)| *other > time);
        self.history.insert(place, (time, id));
        let earliest = if stage.is_shortened { self.newest + 1 } else { self.newest - OVERLAP };
        if stage.has_started && time >= earliest {
            self.owed.insert(id, Owed { gaps: self.gaps, is_late: time <= self.newest });
        }
        self.newest = self.newest.max(time);
    }

    fn apply(&mut self, event: &Event, stage: Stage) {
        let kept = u32::try_from(self.kept).unwrap();
        let removable: Vec<_> = self.history.iter().map(|(_, id)| *id).filter(|id| *id >= kept).collect();
        let length = removable.len();
        let removed = match *event {
            Event::Deliver(count, seconds) => {
                (0..count).for_each(|_| self.write(self.newest + seconds * SECOND, stage));
                0..0
            }
            Event::DeliverLate(millis) => {
                self.write(self.newest - millis, stage);
                0..0
            }
            Event::Remove(place, count) if length > 0 => place % length..(place % length + count).min(length),
            Event::Trim(count) if kept == 0 => length.saturating_sub(count)..length,
            Event::RemoveAll if kept == 0 => 0..length,
            _ => 0..0,
        };
        for id in &removable[removed] {
            self.history.retain(|(_, other)| other != id);
            let is_unreported =
                |owed: Owed| !owed.is_late && owed.gaps == self.gaps && !self.yielded.contains(id);
            let is_owed = self.owed.remove(id).is_some_and(is_unreported);
            if is_owed && stage.can_report && matches!(event, Event::Trim(_)) {
                self.trimmed.insert(*id, self.gaps);
            }
        }
    }

    /// Makes a round, with the events that happen meanwhile. Returns whether there was anything to yield or report.
    fn round(
        &mut self,
        events: &mut dyn Iterator<Item = Option<Event>>,
        fates: &mut dyn Iterator<Item = Fate>,
    ) -> bool {
        let mut follow = std::mem::replace(&mut self.follow, follow(self.limits, None));
        let saved: Cursor = self.saved.parse().unwrap();
        let stage = Stage::of(&follow.cursor, &saved);
        let mut is_first = true;
        let outcome = follow.round(&mut |_: &HandingerClient, _: &str, page| {
            let event = events.next().flatten();
            if let Some(event) = &event {
                self.apply(event, stage);
            }
            if std::mem::take(&mut is_first) && !stage.has_started {
                self.initial = self.history.iter().map(|(_, id)| *id).collect();
            }
            match event {
                Some(Event::LoseResponse) => Err(Error::invalid_input("", "lost")),
                _ => Ok(self.page(page)),
            }
        });
        self.follow = follow;
        if outcome.is_err() {
            self.follow.is_over = false;
            self.meet(fates.next().unwrap_or(Fate::Save));
            return true;
        }
        if !stage.has_started {
            // What comes while a program is down that has saved nothing yet cannot be known to be new.
            self.meet(Fate::Save);
        }
        let mut was_busy = false;
        while let Some(item) = self.follow.take_next() {
            was_busy = true;
            match item {
                Ok(execution) => {
                    let id = number(&execution);
                    assert!(!self.confirmed.contains(&id), "{id} again");
                    assert!(!self.initial.contains(&id), "{id} was there at the start");
                    assert!(!self.unsaved.contains(&id), "{id} again in the same run");
                    self.yielded.insert(id);
                    self.unsaved.push(id);
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Incomplete);
                    self.gaps += 1;
                }
            }
            if self.meet(fates.next().unwrap_or(Fate::Save)) {
                break;
            }
        }
        was_busy
    }

    /// Returns whether the program has died, and started again.
    fn meet(&mut self, fate: Fate) -> bool {
        if matches!(fate, Fate::Save | Fate::SaveAndDie) {
            self.saved = self.follow.cursor().to_string();
            self.confirmed.extend(self.unsaved.drain(..));
        }
        let dies = matches!(fate, Fate::SaveAndDie | Fate::Die);
        if dies {
            let cursor: Cursor = self.saved.parse().unwrap();
            self.follow = follow(self.limits, Some(cursor.clone()));
            self.unsaved.clear();
            // Two runs that start from the same cursor yield the same.
            let [one, other] = [(); 2].map(|()| self.items_of(follow(self.limits, Some(cursor.clone()))));
            assert_eq!(one, other);
        }
        dies
    }

    fn items_of(&self, mut follow: Follow) -> Vec<Result<u32, ErrorKind>> {
        follow.round(&mut |_: &HandingerClient, _: &str, page| Ok(self.page(page))).unwrap();
        let items = std::iter::from_fn(|| follow.take_next());
        items.map(|item| item.map(|execution| number(&execution)).map_err(|error| error.kind())).collect()
    }

    fn run(&mut self, events: impl Iterator<Item = Option<Event>>, fates: impl Iterator<Item = Fate>) {
        let (mut events, mut fates) = (events.peekable(), fates);
        while events.peek().is_some() {
            self.round(&mut events, &mut fates);
        }
        let mut rounds = 0;
        while self.round(&mut std::iter::empty(), &mut std::iter::empty()) {
            rounds += 1;
            assert!(rounds < 2_000, "it does not come to rest");
        }
        for (id, owed) in &self.owed {
            let is_missing = !self.yielded.contains(id) && owed.gaps == self.gaps;
            assert!(!is_missing, "{id} is lost in silence: {owed:?}, {:?}", self.follow.cursor);
        }
        for (id, gaps) in &self.trimmed {
            let is_missing = !self.yielded.contains(id) && *gaps == self.gaps;
            assert!(!is_missing, "{id} was trimmed in silence, {:?}", self.follow.cursor);
        }
    }
}

/// `latest`: how many milliseconds behind the newest one may be written.
fn event(latest: i64) -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1_u32..=3, 0_i64..=9).prop_map(|(count, seconds)| Event::Deliver(count, seconds)),
        2 => (1_u32..=40, 0_i64..=3).prop_map(|(count, seconds)| Event::Deliver(count, seconds)),
        1 => (1_u32..=2, 15_i64..=100).prop_map(|(count, seconds)| Event::Deliver(count, seconds)),
        5 => (0..=OVERLAP).prop_map(Event::DeliverLate),
        1 => Just(Event::DeliverLate(OVERLAP)),
        1 => (OVERLAP..=latest).prop_map(Event::DeliverLate),
        4 => (any::<usize>(), 1_usize..=3).prop_map(|(place, count)| Event::Remove(place, count)),
        2 => (any::<usize>(), 1_usize..=20).prop_map(|(place, count)| Event::Remove(place, count)),
        2 => Just(Event::LoseResponse),
        3 => (1_usize..=40).prop_map(Event::Trim),
        1 => Just(Event::RemoveAll),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Save),
        2 => Just(Fate::Neglect),
        1 => Just(Fate::SaveAndDie),
        1 => Just(Fate::Die),
    ]
}

/// Events, each after some requests without.
fn moments(events: Vec<(usize, Event)>) -> impl Iterator<Item = Option<Event>> {
    once(None).chain(events.into_iter().flat_map(|(quiet, event)| repeat_n(None, quiet).chain([Some(event)])))
}

proptest! {
    #![proptest_config(config(600))]

    /// With memory enough, and as long as the oldest are not removed, there is no gap.
    #[test]
    fn every_new_execution_is_yielded_once(
        count in prop_oneof![1_u32..=4, 5_u32..=60],
        events in vec((0_usize..4, event(3 * OVERLAP)), 0..60),
        fates in vec(fate(), 0..200),
    ) {
        let mut model = Model::new(AMPLE, count, count as usize);
        model.run(moments(events), fates.into_iter());
        prop_assert_eq!(model.gaps, 0);
    }

    #[test]
    fn what_may_be_missing_is_reported(
        count in prop_oneof![0_u32..=4, 5_u32..=60],
        limits in prop_oneof![Just(AMPLE), Just(SCARCE)],
        events in vec((0_usize..4, event(OVERLAP)), 0..60),
        fates in vec(fate(), 0..200),
    ) {
        let mut model = Model::new(limits, count, 0);
        model.run(moments(events), fates.into_iter());
    }
}

/// The same history, killed at each item in turn, before the cursor is saved and after.
#[test]
fn a_kill_at_any_item_costs_at_most_that_item_again() {
    let events = || {
        let events = [
            Event::Deliver(17, 2),
            Event::DeliverLate(OVERLAP),
            Event::Deliver(3, 9),
            Event::Remove(1, 2),
            Event::DeliverLate(SECOND),
        ];
        moments(events.into_iter().map(|event| (3, event)).collect())
    };
    for place in 0..22 {
        for fate in [Fate::SaveAndDie, Fate::Die] {
            let mut model = Model::new(AMPLE, 30, 30);
            model.run(events(), repeat_n(Fate::Save, place).chain([fate]));
            assert_eq!(model.gaps, 0);
        }
    }
}

const ANY: Stage = Stage { has_started: true, can_report: false, is_shortened: false };

fn deliver(model: &mut Model, count: u32) {
    model.apply(&Event::Deliver(count, 1), ANY);
}

/// What one call of `poll` returns: ids, or the problem.
fn poll(model: &mut Model) -> Result<Vec<u32>, String> {
    let mut follow = std::mem::replace(&mut model.follow, follow(AMPLE, None));
    let polled = follow.poll_with(&mut |_: &HandingerClient, _: &str, page| Ok(model.page(page)));
    model.follow = follow;
    polled.map(|new| new.iter().map(number).collect()).map_err(|error| error.to_string())
}

fn gap(problem: &str) -> Result<Vec<u32>, String> {
    Err(format!("list executions of worker wrk_1: {problem}"))
}

#[test]
fn a_burst_of_more_than_a_round_holds_comes_in_turn() {
    let mut model = Model::new(AMPLE, 12, 0);
    assert_eq!(poll(&mut model), Ok(vec![]));
    deliver(&mut model, 20);
    assert_eq!(poll(&mut model), Ok((12..19).collect()));
    assert_eq!(model.follow.wait, None, "the rest is there already");
    assert_eq!(poll(&mut model), Ok((19..26).collect()));
    assert_eq!(poll(&mut model), Ok((26..32).collect()));
    assert_eq!(model.follow.wait, Some(INTERVAL));
    assert_eq!(poll(&mut model), Ok(vec![]));
}

#[test]
fn an_empty_history_is_no_gap_and_its_first_executions_are_new() {
    let mut model = Model::new(AMPLE, 0, 0);
    assert_eq!(poll(&mut model), Ok(vec![]));
    assert_eq!(poll(&mut model), Ok(vec![]));
    deliver(&mut model, 3);
    assert_eq!(poll(&mut model), Ok(vec![0, 1, 2]));
}

#[test]
fn a_cursor_whose_executions_are_all_gone_is_a_gap_once() {
    for restarts in [false, true] {
        let restart = |model: &mut Model| {
            if restarts {
                model.follow = follow(AMPLE, Some(model.follow.cursor().to_string().parse().unwrap()));
            }
        };
        let mut model = Model::new(AMPLE, 12, 0);
        assert_eq!(poll(&mut model), Ok(vec![]));
        deliver(&mut model, 6);
        model.apply(&Event::Trim(14), ANY);
        assert_eq!(poll(&mut model), gap(NONE_LEFT));
        restart(&mut model);
        assert_eq!(poll(&mut model), Ok((14..18).collect()));
        restart(&mut model);
        assert_eq!(poll(&mut model), Ok(vec![]));

        model.apply(&Event::RemoveAll, ANY);
        assert_eq!(poll(&mut model), gap(NONE_LEFT));
        restart(&mut model);
        assert_eq!(poll(&mut model), Ok(vec![]));
        deliver(&mut model, 2);
        assert_eq!(poll(&mut model), Ok(vec![18, 19]));
        restart(&mut model);
        model.apply(&Event::RemoveAll, ANY);
        assert_eq!(poll(&mut model), gap(NONE_LEFT), "another one");
    }
}

#[test]
fn what_one_round_cannot_read_is_a_gap() {
    let mut model = Model::new(AMPLE, 12, 0);
    model.follow.limits = SCARCE;
    assert_eq!(poll(&mut model), Ok(vec![]));
    deliver(&mut model, 60);
    assert_eq!(poll(&mut model), gap(TOO_LONG));
    // The first execution of a ninth page is read; 41 of 72.
    assert_eq!(poll(&mut model), Ok((31..38).collect()));
    assert!(model.follow.cursor.is_shortened(), "the overlap does not reach back beyond the gap");
}

#[test]
fn a_round_that_could_not_read_the_history_completely_is_reported_each_time() {
    let mut model = Model::new(AMPLE, 3, 0);
    assert_eq!(poll(&mut model), Ok(vec![]));
    deliver(&mut model, 1);
    let mut follow = follow(AMPLE, Some(model.follow.cursor()));
    let mut server =
        |_: &HandingerClient, _: &str, page| Ok(WebhookExecutionList { page_count: 9, ..model.page(page) });
    let problem = "executions may be missing: a page before the last one is empty";
    let mut poll = || {
        let polled = follow.poll_with(&mut server);
        polled.map(|new| new.iter().map(number).collect()).map_err(|error| error.to_string())
    };
    assert_eq!(poll(), gap(problem));
    assert_eq!(poll(), Ok(vec![3]));
    assert_eq!(poll(), gap(problem));
}

#[test]
fn more_executions_than_a_cursor_knows_shorten_the_overlap_which_is_reported_once() {
    let mut model = Model::new(AMPLE, 3, 0);
    model.follow.limits = Limits { found: 100, ..SCARCE };
    assert_eq!(poll(&mut model), Ok(vec![]));
    // All within the overlap, of which 15 can be known.
    deliver(&mut model, 20);
    assert_eq!(poll(&mut model), Ok((3..15).collect()));
    let cursor = model.follow.cursor();
    assert_eq!(poll(&mut model), gap(SHORTENED));
    assert_eq!(model.follow.cursor(), cursor, "a run that is killed here reports it again");
    assert_eq!(poll(&mut model), Ok((15..23).collect()));
    deliver(&mut model, 1);
    assert_eq!(poll(&mut model), Ok(vec![23]));

    let mut model = Model::new(AMPLE, 100, 0);
    model.follow.limits = Limits { known: 5, ..SCARCE };
    assert_eq!(poll(&mut model), gap(SHORTENED), "at the start, too");
    assert_eq!(poll(&mut model), Ok(vec![]));
}

#[test]
fn a_time_in_the_future_hides_nothing() {
    let mut model = Model::new(AMPLE, 3, 0);
    let now = millis(OffsetDateTime::now_utc());
    model.newest = now - 30 * SECOND;
    assert_eq!(poll(&mut model), Ok(vec![]));
    model.write(now + 1_000_000 * SECOND, ANY);
    model.newest = now - 2 * SECOND;
    model.write(now, ANY);
    assert_eq!(poll(&mut model), Ok(vec![4, 3]));
    model.write(now - 10 * SECOND, ANY);
    assert_eq!(poll(&mut model), Ok(vec![5]));
}

#[test]
fn a_longer_overlap_than_in_the_run_before_repeats_nothing() {
    let mut model = Model::new(AMPLE, 60, 0);
    assert_eq!(poll(&mut model), Ok(vec![]));
    model.follow = follow(AMPLE, Some(model.follow.cursor())).overlap(Duration::MAX);
    deliver(&mut model, 1);
    assert_eq!(poll(&mut model), Ok(vec![60]));
}

#[test]
fn next_waits_between_rounds_but_not_for_what_is_there() {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let recorder = {
        let waits = Arc::clone(&waits);
        move |wait| waits.lock().unwrap().push(wait)
    };
    let client =
        HandingerClient::builder("key").base_url("http://127.0.0.1:9").sleep_with(recorder).build().unwrap();
    let second = Duration::from_secs(1);
    let mut follow = Follow { limits: AMPLE, ..client.follow(WORKER).interval(second) };
    let mut model = Model::new(AMPLE, 3, 0);
    let mut rounds = 0;
    let mut server = |_: &HandingerClient, _: &str, page| {
        rounds += u32::from(page == 1);
        match rounds {
            // Eleven are more than a round holds.
            3 | 5 if page == 1 => model.apply(&Event::Deliver(11, 1), ANY),
            7.. => return Err(Error::invalid_input("", "")),
            _ => {}
        }
        Ok(model.page(page))
    };
    let mut items: Vec<_> = std::iter::from_fn(|| follow.next_with(&mut server)).collect();
    assert!(items.pop().unwrap().is_err());
    assert_eq!(items.iter().flatten().map(number).collect::<Vec<_>>(), (3..25).collect::<Vec<_>>());
    // Rounds 4 and 6 take what is left of the rounds before.
    assert_eq!(*waits.lock().unwrap(), [second; 4]);
}
