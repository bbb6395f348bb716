//! `Follow` against a model of a service whose history changes before each request, with kills at any item.
//! No sockets and no clock: a test is the server, and sets the time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::iter::{empty, once, repeat_n};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::executions::walk::tests::{config, execution, moments};
use crate::types::WebhookExecutionList;

const WORKER: &str = "wrk_1";
const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
const OVERLAP: i64 = 20 * SECOND;
/// When the model begins.
const EPOCH: i64 = 1_700_000_000 * SECOND;
const NONE_LEFT: &str = "none of those yielded before is left";

fn at(millis: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).unwrap()
}

fn number(execution: &WebhookExecution) -> u32 {
    execution.id.parse().unwrap()
}

/// What happens before a request.
#[derive(Clone, Debug)]
enum Event {
    /// This many, each so many milliseconds after the one before.
    Deliver(u32, i64),
    /// One that is written so many milliseconds after its time.
    DeliverLate(i64),
    /// Removes some neighbours, from a place that is taken modulo the length.
    Remove(usize, usize),
    /// The service removes up to so many of the oldest, as far as it does.
    Trim(usize),
    RemoveAll,
    /// So many milliseconds pass before the next round.
    Pass(i64),
    LoseResponse,
}

/// What a service keeps, at the least.
#[derive(Clone, Copy, Debug, Default)]
enum Keeps {
    /// All but what is removed.
    #[default]
    All,
    /// The newest 50.
    Fifty,
    /// Each for two hours, and as long as a round takes.
    TwoHours,
}

#[derive(Debug)]
struct Owed {
    /// How many gaps had been reported when it was written.
    gaps: usize,
    /// Whether it is not newer than all others.
    is_late: bool,
}

/// A service, and what a program that follows it is owed.
#[derive(Default)]
struct World {
    now: i64,
    until_next_round: i64,
    page_size: usize,
    keeps: Keeps,
    /// The latest written is the first, and not the newest.
    lists_by_writing: bool,
    /// The first of a page are its newest: time and id.
    history: Vec<(i64, u32)>,
    next_id: u32,
    newest: i64,
    /// How many of the first executions are never removed.
    kept: u32,
    /// What happens before each request; then nothing more does.
    events: VecDeque<Option<Event>>,
    requests: usize,
    /// Whether a first round has succeeded.
    has_started: bool,
    /// The executions at the first request of the first round that succeeded.
    initial: Option<HashSet<u32>>,
    /// To be yielded, or else a gap is to be reported.
    owed: HashMap<u32, Owed>,
    /// Whether the service has removed one of these in this round.
    has_just_trimmed: bool,
    yielded: HashSet<u32>,
    gaps: usize,
}

impl World {
    /// With one execution every two seconds until now.
    fn new(count: u32) -> Self {
        let history = (0..count).rev().map(|id| (EPOCH - i64::from(count - id) * 2 * SECOND, id)).collect();
        Self {
            now: EPOCH,
            page_size: 5,
            history,
            next_id: count,
            newest: EPOCH - 2 * SECOND,
            ..Self::default()
        }
    }

    fn write(&mut self, time: i64) {
        let id = self.next_id;
        self.next_id += 1;
        if self.has_started && self.now - time <= OVERLAP {
            self.owed.insert(id, Owed { gaps: self.gaps, is_late: time <= self.newest });
        }
        self.newest = self.newest.max(time);
        let place = self.history.partition_point(|(other, _)| !self.lists_by_writing && *other > time);
        self.history.insert(place, (time, id));
    }

    /// Writes one that is so many milliseconds older than the first of the history.
    fn write_behind(&mut self, millis: i64) {
        self.write(self.history[0].0 - millis);
    }

    fn apply(&mut self, event: &Event) {
        let removable: Vec<_> = self.history.iter().copied().filter(|(_, id)| *id >= self.kept).collect();
        let length = removable.len();
        let mut removed = 0..0;
        match *event {
            Event::Deliver(count, millis) => {
                for _ in 0..count {
                    self.now += millis;
                    self.write(self.now);
                }
            }
            // What is written late in the round in which others are trimmed unread hides that they are.
            Event::DeliverLate(_) if self.has_just_trimmed => {}
            Event::DeliverLate(millis) => self.write(self.now - millis),
            Event::Pass(millis) => self.until_next_round += millis,
            Event::Remove(place, count) if length > 0 => {
                removed = place % length..(place % length + count).min(length);
            }
            Event::Trim(count) => {
                let first = match self.keeps {
                    Keeps::All => 0,
                    Keeps::Fifty => 50,
                    Keeps::TwoHours => {
                        removable.partition_point(|(time, _)| *time >= self.now - 2 * HOUR - HOUR / 4)
                    }
                };
                removed = first.max(length.saturating_sub(count)).min(length)..length;
            }
            Event::RemoveAll => removed = 0..length,
            Event::Remove(..) | Event::LoseResponse => {}
        }
        for (_, id) in &removable[removed] {
            self.history.retain(|(_, other)| other != id);
            let is_owed_a_report = matches!(event, Event::Trim(_))
                && !self.yielded.contains(id)
                && self.owed.get(id).is_some_and(|owed| owed.gaps == self.gaps && !owed.is_late);
            if is_owed_a_report {
                self.has_just_trimmed = true;
            } else {
                self.owed.remove(id);
            }
        }
    }

    fn end_round(&mut self) {
        self.has_just_trimmed = false;
        self.now += 10 * SECOND + std::mem::take(&mut self.until_next_round);
    }

    fn request(&mut self, page: u64) -> Result<WebhookExecutionList, Error> {
        let event = self.events.pop_front().flatten();
        if let Some(event) = &event {
            self.apply(event);
        }
        self.requests += 1;
        self.now += 10;
        if self.initial.is_none() {
            self.initial = Some(self.history.iter().map(|(_, id)| *id).collect());
        }
        match event {
            Some(Event::LoseResponse) => Err(Error::invalid_input("list executions", "lost")),
            _ => Ok(self.page(page)),
        }
    }

    fn page(&self, page: u64) -> WebhookExecutionList {
        let size = self.page_size;
        let logs = self.history.iter().skip(usize::try_from(page - 1).unwrap() * size).take(size);
        let logs = logs.map(|(time, id)| WebhookExecution { created_at: at(*time), ..execution(*id) });
        WebhookExecutionList {
            logs: logs.collect(),
            page,
            page_count: self.history.len().div_ceil(size) as u64,
            total_count: self.history.len() as u64,
        }
    }
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

/// A program that follows, on a machine whose clock may differ.
struct Program {
    world: Arc<Mutex<World>>,
    follow: Follow,
    skew: i64,
    saved: String,
    confirmed: HashSet<u32>,
    unsaved: Vec<u32>,
    kills: usize,
}

static CLIENT: LazyLock<HandingerClient> =
    LazyLock::new(|| HandingerClient::builder("key").base_url("http://127.0.0.1:9").build().unwrap());

fn follow(source: Source, cursor: Option<Cursor>) -> Follow {
    let follow = CLIENT.follow(WORKER).overlap(Duration::from_millis(OVERLAP.unsigned_abs()));
    Follow { source, ..follow.starting_from(cursor) }
}

impl Program {
    fn new(world: World) -> Self {
        let world = Arc::new(Mutex::new(world));
        Self {
            follow: follow(Self::source(&world), None),
            world,
            skew: 0,
            saved: Cursor::new(WORKER).to_string(),
            confirmed: HashSet::new(),
            unsaved: Vec::new(),
            kills: 0,
        }
    }

    fn source(world: &Arc<Mutex<World>>) -> Source {
        let world = Arc::clone(world);
        Box::new(move |page| world.lock().unwrap().request(page))
    }

    /// Edits each response from now on.
    fn lie(&mut self, edit: fn(u64, &mut WebhookExecutionList)) {
        let mut source = Self::source(&self.world);
        let lying = move |page| {
            let mut list = source(page)?;
            edit(page, &mut list);
            Ok(list)
        };
        self.follow = follow(Box::new(lying), Some(self.follow.cursor().clone()));
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn deliver(&self, count: u32) {
        self.world().apply(&Event::Deliver(count, SECOND));
    }

    fn start_round(&mut self) -> Result<(), Error> {
        let start = at(self.world().now + self.skew);
        self.follow.round(start)
    }

    /// Makes a round. Returns whether there was anything to yield or report.
    fn round(&mut self, fates: &mut dyn Iterator<Item = Fate>) -> bool {
        let was_started = self.world().has_started;
        if !was_started {
            self.world().initial = None;
        }
        let outcome = self.start_round();
        self.world().end_round();
        if outcome.is_err() {
            self.meet(fates.next().unwrap_or(Fate::Save));
            return true;
        }
        let mut was_busy = false;
        while let Some(item) = self.follow.take_next() {
            was_busy = true;
            match item {
                Ok(execution) => self.take(number(&execution)),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Incomplete);
                    self.world().gaps += 1;
                }
            }
            if self.meet(fates.next().unwrap_or(Fate::Save)) {
                return true;
            }
        }
        if !was_started {
            // What comes while a program is down that has saved nothing yet cannot be known to be new.
            self.meet(Fate::Save);
            self.world().has_started = true;
        }
        was_busy
    }

    fn take(&mut self, id: u32) {
        assert!(!self.confirmed.contains(&id), "{id} again");
        assert!(!self.unsaved.contains(&id), "{id} again in the same run");
        self.unsaved.push(id);
        let mut world = self.world();
        assert!(!world.initial.as_ref().unwrap().contains(&id), "{id} was there at the start");
        world.yielded.insert(id);
    }

    /// Returns whether the program has died, and started again.
    fn meet(&mut self, fate: Fate) -> bool {
        if matches!(fate, Fate::Save | Fate::SaveAndDie) {
            self.saved = self.follow.cursor().to_string();
            self.confirmed.extend(self.unsaved.drain(..));
        }
        let dies = matches!(fate, Fate::SaveAndDie | Fate::Die);
        if dies {
            self.kills += 1;
            self.restart();
            self.unsaved.clear();
        }
        dies
    }

    fn restart(&mut self) {
        self.follow = follow(Self::source(&self.world), Some(self.saved.parse().unwrap()));
    }

    /// Makes rounds while something happens, and then until nothing is left to yield.
    fn run(&mut self, fates: impl Iterator<Item = Fate>) {
        let mut fates = fates;
        while !self.world().events.is_empty() {
            self.round(&mut fates);
        }
        self.deliver(1);
        let mut rounds = 0;
        while self.round(&mut empty()) {
            rounds += 1;
            assert!(rounds < 10, "it does not come to rest");
        }
        let world = self.world();
        for (id, owed) in &world.owed {
            let is_missing = !world.yielded.contains(id) && owed.gaps == world.gaps;
            assert!(!is_missing, "{id} is lost in silence: {owed:?}, {:?}", self.follow.cursor);
        }
    }

    /// What one call of `poll` returns, ten seconds after the one before: ids, or the problem.
    fn poll(&mut self) -> Result<Vec<u32>, String> {
        self.world().now += 10 * SECOND;
        self.world().requests = 0;
        let polled = if self.follow.found.is_none() { self.start_round() } else { Ok(()) }
            .and_then(|()| self.follow.poll());
        self.saved = self.follow.cursor().to_string();
        polled.map(|new| new.iter().map(number).collect()).map_err(|error| error.to_string())
    }

    /// How many requests a call of `poll` makes that returns so many.
    fn requests_of_poll(&mut self, count: usize) -> usize {
        assert_eq!(self.poll().map(|new| new.len()), Ok(count));
        self.world().requests
    }
}

fn gap(problem: &str) -> Result<Vec<u32>, String> {
    Err(format!("list executions of worker {WORKER}: executions may be missing: {problem}"))
}

fn deliveries() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1_u32..=3, 0_i64..=9 * SECOND).prop_map(|(count, millis)| Event::Deliver(count, millis)),
        1 => (1_u32..=40, 0_i64..=3 * SECOND).prop_map(|(count, millis)| Event::Deliver(count, millis)),
        1 => (50_u32..=120, 0_i64..=50).prop_map(|(count, millis)| Event::Deliver(count, millis)),
        4 => (0..=OVERLAP).prop_map(Event::DeliverLate),
        2 => Just(Event::DeliverLate(OVERLAP)),
        2 => (0..=2 * OVERLAP).prop_map(Event::Pass),
        1 => (0..=3 * HOUR).prop_map(Event::Pass),
    ]
}

fn removals() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (any::<usize>(), 1_usize..=3).prop_map(|(place, count)| Event::Remove(place, count)),
        2 => (any::<usize>(), 1_usize..=20).prop_map(|(place, count)| Event::Remove(place, count)),
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

proptest! {
    #![proptest_config(config(100))]

    /// As long as the oldest are not removed, there is no gap. Clocks may differ.
    #[test]
    fn every_new_execution_is_yielded_once(
        count in prop_oneof![1_u32..=4, 5_u32..=60],
        lists_by_writing in prop_oneof![3 => Just(false), 1 => Just(true)],
        skew in prop_oneof![Just(0), -10 * OVERLAP..10 * OVERLAP],
        events in moments(prop_oneof![
            8 => deliveries(),
            3 => removals(),
            1 => (OVERLAP..=3 * OVERLAP).prop_map(Event::DeliverLate),
            1 => Just(Event::LoseResponse),
        ]),
        fates in vec(fate(), 0..200),
    ) {
        // A page that holds all that is written late between two rounds: else the newest are not on the
        // first.
        let page_size = if lists_by_writing { 100 } else { 5 };
        let world = World { page_size, lists_by_writing, kept: count, events, ..World::new(count) };
        let mut program = Program::new(world);
        program.skew = skew;
        program.run(fates.into_iter());
        prop_assert_eq!(program.world().gaps, 0);
    }

    /// What a service removes before it is yielded is reported, if it keeps what `cursor` takes for granted.
    #[test]
    fn loss_is_reported(
        count in prop_oneof![1_u32..=4, 5_u32..=120],
        keeps in prop_oneof![Just(Keeps::Fifty), Just(Keeps::TwoHours)],
        events in moments(prop_oneof![
            6 => deliveries(),
            2 => (1_usize..=200).prop_map(Event::Trim),
            2 => Just(Event::LoseResponse),
        ]),
        fates in vec(fate(), 0..200),
    ) {
        Program::new(World { keeps, events, ..World::new(count) }).run(fates.into_iter());
    }

    /// As long as there are fewer than 50, and rounds within two hours, whatever is removed.
    #[test]
    fn small_history_is_never_reported(
        count in 0_u32..=4,
        events in moments(prop_oneof![
            4 => (0_u32..=1, 0_i64..=9 * SECOND).prop_map(|(count, millis)| Event::Deliver(count, millis)),
            1 => (0..=OVERLAP).prop_map(Event::DeliverLate),
            3 => removals(),
            1 => (0..=HOUR / 4).prop_map(Event::Pass),
        ]),
    ) {
        let events = events.into_iter().take(140).collect();
        let mut program = Program::new(World { events, ..World::new(count) });
        program.run(empty());
        prop_assert_eq!(program.world().gaps, 0);
    }
}

/// The same history, killed at each item in turn, before the cursor is saved and after.
#[test]
fn kill_at_any_item_costs_at_most_that_item_again() {
    for place in 0..22 {
        for fate in [Fate::SaveAndDie, Fate::Die] {
            let events = [
                Event::Deliver(17, 2 * SECOND),
                Event::DeliverLate(OVERLAP),
                Event::Deliver(3, 9 * SECOND),
                Event::Remove(1, 2),
                Event::DeliverLate(SECOND),
            ];
            let events = events.into_iter().flat_map(|event| [None, None, None, Some(event)]).collect();
            let mut program = Program::new(World { kept: 30, events, ..World::new(30) });
            program.run(repeat_n(Fate::Save, place).chain([fate]));
            assert_eq!((program.kills, program.world().gaps), (1, 0));
        }
    }
}

/// A program after its first round, on a history of so many executions with full pages.
fn started(count: u32) -> Program {
    let mut program = Program::new(World { page_size: 50, ..World::new(count) });
    assert_eq!(program.poll(), Ok(vec![]));
    program.world().has_started = true;
    program
}

#[test]
fn each_loss_is_reported_once() {
    let mut program = started(60);
    for last in [160, 260, 360] {
        program.deliver(100);
        program.world().apply(&Event::Trim(100));
        assert_eq!(program.poll(), gap(NONE_LEFT));
        assert_eq!(program.follow.poll_after(), Duration::ZERO, "what was found is there");
        program.restart();
        assert_eq!(program.poll(), gap(NONE_LEFT), "what is not saved is not known");
        assert_eq!(program.poll(), Ok((last - 60..last).collect()));
        assert_eq!(program.follow.poll_after(), INTERVAL);
        assert_eq!(program.poll(), Ok(vec![]));
    }
}

/// All that was there is gone, and two rounds find nothing. Then some are delivered, and the oldest of them are
/// gone as well. (The first that a history ever has are no loss however late they come.)
#[test]
fn loss_of_all_is_reported_unless_fewer_than_50_are_left_and_the_last_round_is_recent() {
    for (at_start, away, delivered, left, is_reported) in [
        (0, DAY, 49, 49, false),
        (0, DAY, 50, 50, true),
        (0, 0, 1_000, 100, true),
        (60, 0, 49, 49, false),
        (60, 0, 50, 50, true),
        (3, 2 * HOUR - 11 * SECOND, 2, 2, false),
        (3, 2 * HOUR, 2, 2, true),
    ] {
        let mut program = started(at_start);
        program.world().now += away;
        program.world().apply(&Event::RemoveAll);
        assert_eq!(program.poll(), Ok(vec![]));
        assert_eq!(program.poll(), Ok(vec![]));
        program.deliver(delivered);
        program.world().apply(&Event::Trim((delivered - left) as usize));
        if is_reported {
            assert_eq!(program.poll(), gap(NONE_LEFT));
        }
        let next = at_start + delivered;
        assert_eq!(program.poll(), Ok((next - left..next).collect()), "{at_start}, {away}, {delivered}");
        program.world().apply(&Event::RemoveAll);
        program.deliver(1);
        assert_eq!(program.poll(), Ok(vec![next]), "a round was made moments ago");
    }
}

/// Of 120 new executions, the second page is listed behind one that is older than the floor.
#[test]
fn execution_below_the_floor_hides_none_behind_it() {
    let mut program = started(60);
    program.world().lists_by_writing = true;
    program.deliver(100);
    program.world().apply(&Event::DeliverLate(HOUR));
    program.deliver(20);
    let new = (60..181).filter(|id| *id != 160).collect();
    assert_eq!(program.poll(), Ok(new));
}

/// The walk steps back to page 1, whose only execution that it has not taken in is older than the floor.
#[test]
fn page_that_is_read_again_hides_none_behind_it() {
    let mut program = started(60);
    program.world().lists_by_writing = true;
    program.deliver(51);
    let events = [None, Some(Event::Remove(0, 1)), Some(Event::DeliverLate(HOUR))];
    program.world().events.extend(events);
    assert_eq!(program.poll(), Ok((60..111).collect()));
}

/// One delivery a day that is kept 12 h, three each Monday kept three days, and a history that is cleared
/// weekly; polled every ten minutes, and hourly.
#[test]
fn quiet_services_raise_no_alarm() {
    let services: [fn(i64, i64) -> Option<Event>; 3] = [
        |_, hour| match hour {
            9 => Some(Event::Deliver(1, 0)),
            21 => Some(Event::RemoveAll),
            _ => None,
        },
        |day, hour| match (day % 7, hour) {
            (0, 9..=11) => Some(Event::Deliver(1, 0)),
            (3, 9..=11) => Some(Event::Trim(1)),
            _ => None,
        },
        |day, hour| match (day % 7, hour) {
            (0, 0) => Some(Event::RemoveAll),
            _ => (hour % 5 == 1).then_some(Event::Deliver(1, 0)),
        },
    ];
    for (number, service) in services.into_iter().enumerate() {
        for minutes in [&[0, 10, 20, 30, 40, 50][..], &[30]] {
            let mut program = started(0);
            let mut yielded = 0;
            for hour in 0..60 * 24 {
                let start = EPOCH + HOUR + hour * HOUR;
                program.world().now = start;
                if let Some(event) = service(hour / 24, hour % 24) {
                    program.world().apply(&event);
                }
                for minute in minutes {
                    program.world().now = start + minute * 60 * SECOND;
                    yielded += program.poll().unwrap_or_else(|gap| panic!("service {number}: {gap}")).len();
                }
            }
            assert_eq!(u32::try_from(yielded).unwrap(), program.world().next_id);
        }
    }
}

#[test]
fn round_without_end_is_reported_after_4_000_requests() {
    for (mut program, found) in [(Program::new(World::new(3)), vec![]), (started(3), vec![1_001])] {
        // Each page behind the first is newer than the first.
        program.lie(|page, list| {
            let page = u32::try_from(page).unwrap();
            let time = EPOCH + i64::from(page) * SECOND;
            list.logs = vec![WebhookExecution { created_at: at(time), ..execution(1_000 + page) }];
            list.page_count = 1_000_000_000;
        });
        assert_eq!(program.poll(), gap("too many are new"));
        assert_eq!(program.world().requests, 4_000);
        assert_eq!(program.poll(), Ok(found));
    }
}

#[test]
fn gap_of_the_walk_is_reported_before_what_was_found() {
    let mut program = started(3);
    program.deliver(1);
    program.lie(|_, list| list.page_count = 9);
    for new in [vec![3], vec![]] {
        assert_eq!(program.poll(), gap("a page before the last one is empty"));
        assert_eq!(program.poll(), Ok(new));
    }
}

#[test]
fn idle_round_is_one_request_after_a_quiet_overlap() {
    for (within_overlap, requests) in [(0, 1), (500, 11), (5_000, 101)] {
        let mut program = started(60);
        program.follow.overlap = Duration::from_secs(600);
        program.world().now += DAY;
        program.world().apply(&Event::Deliver(within_overlap, 100));
        program.requests_of_poll(within_overlap as usize);
        // A round takes 10 s, and up to 1.01 s of requests.
        for round in 0..54 {
            assert_eq!(program.requests_of_poll(0), requests, "{within_overlap}, round {round}");
        }
        (0..8).for_each(|_| drop(program.poll().unwrap()));
        for _ in 0..3 {
            assert_eq!(program.requests_of_poll(0), 1, "{within_overlap}");
        }
        assert!(program.saved.len() < 250, "ids below the floor are forgotten");
        program.deliver(1);
        assert_eq!(program.requests_of_poll(1), 2);
    }
}

#[test]
fn backlog_of_100_000_is_read_once() {
    let mut program = started(60);
    let history = (0..100_000_u32).rev().map(|id| (EPOCH + DAY + i64::from(id) * SECOND, 60 + id));
    program.world().history.splice(0..0, history);
    program.world().now += 3 * DAY;
    assert_eq!(program.requests_of_poll(100_000), 2_001);
    assert_eq!(program.requests_of_poll(0), 1);
}

#[test]
fn late_execution_is_found_at_most_the_overlap_after_its_time() {
    let mut program = started(60);
    program.deliver(1);
    assert_eq!(program.poll(), Ok(vec![60]));
    program.world().now += 10 * SECOND - 10;
    program.world().write_behind(OVERLAP);
    program.world().write_behind(OVERLAP + 1);
    assert_eq!(program.poll(), Ok(vec![61]));
    // After two quiet rounds with the overlap between them, only what is not older than the newest.
    for _ in 0..4 {
        assert_eq!(program.poll(), Ok(vec![]));
    }
    program.world().write_behind(0);
    program.world().write_behind(1);
    assert_eq!(program.poll(), Ok(vec![63]));
}

/// The new one is written five seconds after the round has started, on a server whose clock is behind.
#[test]
fn round_with_news_is_no_quiet_time() {
    let mut program = started(60);
    program.skew = 300 * SECOND;
    program.world().events.push_back(Some(Event::Deliver(1, 5 * SECOND)));
    let first = program.world().now;
    assert_eq!(program.poll(), Ok(vec![60]));
    program.world().now = first + OVERLAP;
    assert_eq!(program.poll(), Ok(vec![]));
    program.world().apply(&Event::DeliverLate(OVERLAP - 4 * SECOND));
    assert_eq!(program.poll(), Ok(vec![61]));
}

#[test]
fn oldest_is_yielded_first_however_a_service_lists() {
    let mut program = started(60);
    program.world().lists_by_writing = true;
    program.deliver(3);
    program.world().apply(&Event::DeliverLate(3 * SECOND / 2));
    assert_eq!(program.poll(), Ok(vec![60, 63, 61, 62]));
}

/// The clock is set right by five minutes: that is no quiet time.
#[test]
fn clock_that_jumps_raises_the_floor_at_most_to_the_overlap_before_now() {
    let mut program = started(60);
    program.skew = -300 * SECOND;
    program.deliver(1);
    assert_eq!(program.poll(), Ok(vec![60]));
    for skew in [-300, 0] {
        program.skew = skew * SECOND;
        program.start_round().unwrap();
        assert!(program.follow.take_next().is_none());
    }
    program.world().apply(&Event::DeliverLate(OVERLAP - 5 * SECOND));
    assert_eq!(program.poll(), Ok(vec![61]));
}

/// A cursor saved in the middle of a round must not count the time before that as quiet.
#[test]
fn quiet_ends_with_the_first_of_a_round_that_is_yielded() {
    let mut program = started(60);
    (0..4).for_each(|_| assert_eq!(program.poll(), Ok(vec![])));
    program.deliver(2);
    program.round(&mut once(Fate::SaveAndDie));
    // The other is gone when the next round is made, which therefore has no news.
    program.world().apply(&Event::Remove(0, 1));
    assert_eq!(program.poll(), Ok(vec![]));
    program.world().write_behind(OVERLAP - SECOND);
    assert_eq!(program.poll(), Ok(vec![62]));
}

#[test]
fn time_in_the_future_hides_nothing() {
    let mut program = started(3);
    program.world().apply(&Event::DeliverLate(-DAY));
    program.world().apply(&Event::DeliverLate(0));
    assert_eq!(program.poll(), Ok(vec![4, 3]));
    program.world().apply(&Event::DeliverLate(OVERLAP / 2));
    assert_eq!(program.poll(), Ok(vec![5]));
}

#[test]
fn longer_overlap_at_a_restart_reaches_back_only_to_the_floor() {
    let mut program = started(60);
    program.follow.overlap = Duration::MAX;
    program.world().apply(&Event::DeliverLate(HOUR));
    program.deliver(1);
    assert_eq!(program.poll(), Ok(vec![61]));
    assert_eq!(program.poll(), Ok(vec![]), "the floor does not fall");
}

/// As after a failed transaction.
#[test]
fn new_start_from_the_saved_cursor_forgets_the_last_round() {
    let mut program = started(3);
    let saved = program.follow.cursor().clone();
    program.deliver(2);
    program.start_round().unwrap();
    assert_eq!(number(&program.follow.take_next().unwrap().unwrap()), 3);
    program.follow = program.follow.starting_from(saved.clone());
    assert_eq!(program.poll(), Ok(vec![3, 4]));

    program.world().events.push_back(Some(Event::LoseResponse));
    program.poll().unwrap_err();
    assert!(program.follow.is_over() && !program.follow.poll_after().is_zero());
    program.follow = program.follow.starting_from(saved);
    assert!(!program.follow.is_over() && program.follow.poll_after().is_zero());
}

#[test]
fn round_that_fails_leaves_the_cursor_as_it_was() {
    let mut program = Program::new(World::new(3));
    assert_eq!(program.follow.cursor(), &Cursor::new(WORKER));
    for found in [vec![], vec![4], vec![5]] {
        program.deliver(1);
        let cursor = program.follow.cursor().clone();
        program.world().events.push_back(Some(Event::LoseResponse));
        program.poll().unwrap_err();
        assert_eq!(program.follow.cursor(), &cursor);
        assert_eq!(program.poll(), Ok(found));
    }
}
