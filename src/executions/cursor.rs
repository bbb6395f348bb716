//! What [`Follow`](super::Follow) has yielded so far, and what of a history is still to come.
//!
//! A cursor *covers* an execution that is older than its floor, or whose id it knows. A round reads the history from the
//! newest execution to the floor, and yields what is not covered, the oldest first. Whatever is yielded is covered from
//! then on: its id is known, the floor rises to `overlap` before its time, and ids older than the floor are forgotten.
//! A cursor starts by covering what is there. The invariants are:
//!
//! > 1. What was yielded, or was there at the start, is covered.
//! > 2. What is covered, but was neither yielded nor there at the start, is by more than `overlap` older than something
//! >    that was; or a gap has been reported.
//!
//! So each execution is yielded once, and a new one is missed only if it is written later than `overlap` behind others.
//!
//! The first holds because an id is forgotten only when the floor has risen above its time, and the floor never falls
//! (not even when the next run sets a longer overlap: hence it is kept, and not derived). The second holds because
//! `overlap` before something covered is as far as the floor rises, and because a round yields by time, the oldest
//! first: what it has yet to yield is no older than what it has yielded, and so not below the floor. When there are more
//! than [`Limits::found`], it drops the newest, which the next round finds again.
//!
//! A gap is reported before anything is covered that would hide it:
//!
//! - No execution that is covered is left. The service removes the oldest first, so as long as a covered one is there,
//!   all that came after it were there for a round to read. If none is, some may have come and gone. (One that is
//!   written below the floor after that is taken for a covered one.)
//! - The walk was incomplete. The next round may find the rest, if it is not below the floor by then.
//! - The round made [`Limits::requests`] and did not reach the floor. The floor rises to the oldest that was found.
//! - More than [`Limits::known`] executions lie within `overlap`. The floor then rises above the oldest of them.
//!
//! The cursor remembers that nothing is left, and that the overlap is shortened, so that it is reported once, however
//! often the program starts. Whatever is reported, a round yields what it has found.
//!
//! A round leaves what is newer than its whole first page to the next one. That came during the walk, which then promises
//! nothing of what came before it in the same time: yielded now, it could raise the floor above that, or hide that it is
//! gone. And an execution from the future raises the floor no further than one from now.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::Error;
use crate::types::WebhookExecution;

const VERSION: u32 = 1;

/// What bounds the memory and the requests of a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many executions a round holds.
    pub(super) found: usize,
    /// How many ids a cursor knows.
    pub(super) known: usize,
    /// After how many requests a round ends; it accepts no execution of a further one but the first.
    pub(super) requests: u32,
}

pub(super) const LIMITS: Limits = Limits { found: 5_000, known: 5_000, requests: 2_000 };

/// A place in a worker's delivery history, up to which [`Follow`](crate::Follow) has yielded; returned by
/// [`Follow::cursor`](crate::Follow::cursor).
///
/// Save it in any format of serde, or as a line of text by `Display` and `FromStr`. Its content is not part of the API,
/// but later versions of this crate read it. It holds no secret: the worker id, a time, and the ids of the executions
/// within the [`overlap`](crate::Follow::overlap), at most 5,000.
///
/// ```
/// # let fake = handinger::fake::FakeHandinger::start();
/// # fake.add_worker("wrk_1");
/// # let client = fake.client();
/// use handinger::{Cursor, ErrorKind};
///
/// let mut deliveries = client.follow("wrk_1");
/// deliveries.poll()?;
/// let line = deliveries.cursor().to_string();
/// let cursor: Cursor = line.parse()?;
/// assert_eq!(cursor, deliveries.cursor());
///
/// assert_eq!("garbage".parse::<Cursor>().unwrap_err().kind(), ErrorKind::InvalidInput);
/// # Ok::<(), handinger::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Cursor(Fields);

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object")]
struct Fields {
    version: u32,
    /// Plain, so that an error can name it: it is no more secret than the ids of the executions.
    worker_id: String,
    /// Whether what is there at the start has been covered.
    started: bool,
    /// In milliseconds since the epoch, as all times here. `None` if nothing has been covered yet.
    floor: Option<i64>,
    /// The ids of executions that are covered and not below the floor, in order, and their times. No map: it would be 5 %
    /// more of this crate to compile (`cargo llvm-lines`).
    known: Vec<(String, i64)>,
    /// Whether the floor is higher than `overlap` before what is covered, which has been reported.
    shortened: bool,
    /// Whether nothing was left of what is covered at the last round, which has been reported.
    lost_all: bool,
}

impl TryFrom<Fields> for Cursor {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        let Fields { version, started, floor, ref known, .. } = fields;
        if version != VERSION {
            return Err("a cursor of a version that this one does not know");
        }
        let is_valid = if started {
            known.iter().all(|(_, at)| date(*at).is_some() && floor.is_some_and(|floor| *at >= floor))
                && known.is_sorted_by(|(a, _), (b, _)| a < b)
        } else {
            known.is_empty() && floor.is_none()
        };
        // A floor may be too early for a date, if the overlap is that long. One that is too late would cover all.
        let has_floor_of_past = floor.is_none_or(|floor| date(floor.max(0)).is_some());
        if is_valid && has_floor_of_past && known.len() <= LIMITS.known {
            Ok(Self(fields))
        } else {
            Err("a cursor that contradicts itself")
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // What serde_json says may repeat the text, and whoever reads the wrong file may have read a secret.
        serde_json::from_str(text)
            .map_err(|_| Error::invalid_input("read cursor", "not a cursor that this version can read"))
    }
}

/// A time in whole milliseconds, rounded down.
pub(super) fn millis(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1_000 + i64::from(time.millisecond())
}

fn date(millis: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok()
}

/// What is the same for all executions that are covered at a time.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) now: i64,
    pub(super) overlap: Duration,
    pub(super) limits: Limits,
}

impl Terms {
    fn floor(&self, at: i64) -> i64 {
        let overlap = i64::try_from(self.overlap.as_millis()).unwrap_or(i64::MAX);
        at.min(self.now).saturating_sub(overlap)
    }
}

impl Cursor {
    /// A cursor that covers nothing and has yet to start.
    pub(super) fn new(worker_id: &str) -> Self {
        Self(Fields {
            version: VERSION,
            worker_id: worker_id.to_owned(),
            started: false,
            floor: None,
            known: Vec::new(),
            shortened: false,
            lost_all: false,
        })
    }

    /// Whether what is there at the start has been covered.
    pub(super) fn has_started(&self) -> bool {
        self.0.started
    }

    pub(super) fn worker_id(&self) -> &str {
        &self.0.worker_id
    }

    pub(super) fn is_shortened(&self) -> bool {
        self.0.shortened
    }

    /// The time of the floor. `None` if there is none, or if it is too early for a date.
    pub(super) fn floor(&self) -> Option<OffsetDateTime> {
        self.0.floor.and_then(date)
    }

    pub(super) fn covers(&self, execution: &WebhookExecution) -> bool {
        self.is_below_floor(execution) || self.place_of(&execution.id).is_ok()
    }

    /// Where this id is known or, as an error, where it belongs.
    fn place_of(&self, id: &str) -> Result<usize, usize> {
        self.0.known.binary_search_by(|(known, _)| known.as_str().cmp(id))
    }

    fn is_below_floor(&self, execution: &WebhookExecution) -> bool {
        self.0.floor.is_some_and(|floor| millis(execution.created_at) < floor)
    }

    /// Whether covering this execution shortens the overlap, which has not been reported.
    pub(super) fn would_shorten(&self, execution: &WebhookExecution, terms: &Terms) -> bool {
        if self.0.shortened || self.0.known.len() < terms.limits.known {
            return false;
        }
        let mut next = self.clone();
        next.cover(execution, terms);
        next.0.shortened
    }

    pub(super) fn cover(&mut self, execution: &WebhookExecution, terms: &Terms) {
        let at = millis(execution.created_at);
        let floor = terms.floor(at);
        if self.0.floor.is_none_or(|old| old <= floor) {
            self.0.shortened = false;
            self.raise_floor(floor);
        }
        match self.place_of(&execution.id) {
            Ok(place) => self.0.known[place].1 = at,
            Err(place) => self.0.known.insert(place, (execution.id.clone(), at)),
        }
        self.0.lost_all = false;
        while self.0.known.len() > terms.limits.known {
            let oldest = self.0.known.iter().map(|(_, at)| *at).min().unwrap_or_default();
            self.0.shortened = true;
            self.raise_floor(oldest.saturating_add(1));
        }
    }

    /// Notes whether anything that is covered is left. Returns whether it is to be reported that nothing is.
    pub(super) fn note(&mut self, is_left: bool) -> bool {
        let has_lost_all = self.0.floor.is_some() && !is_left;
        let was_noted = mem::replace(&mut self.0.lost_all, has_lost_all);
        has_lost_all && !was_noted
    }

    /// Covers all that is older than this execution.
    pub(super) fn skip_to(&mut self, execution: Option<&WebhookExecution>) {
        if let Some(execution) = execution {
            self.0.shortened = true;
            self.raise_floor(millis(execution.created_at));
        }
    }

    fn raise_floor(&mut self, floor: i64) {
        self.0.floor = Some(floor);
        self.0.known.retain(|(_, at)| *at >= floor);
    }
}

/// The first round: covers what is there.
pub(super) struct Start {
    cursor: Cursor,
    terms: Terms,
}

impl Start {
    pub(super) fn new(worker_id: &str, terms: Terms) -> Self {
        Self { cursor: Cursor::new(worker_id), terms }
    }

    /// Takes in the next older execution. Returns whether one more is needed.
    pub(super) fn accept(&mut self, execution: &WebhookExecution) -> bool {
        let is_needed = !self.cursor.is_below_floor(execution);
        if is_needed {
            self.cursor.cover(execution, &self.terms);
        }
        is_needed
    }

    pub(super) fn finish(mut self) -> Cursor {
        self.cursor.0.started = true;
        self.cursor
    }
}

/// A later round: finds what is not covered.
pub(super) struct Round<'a> {
    cursor: &'a Cursor,
    limit: usize,
    found: Found,
    has_covered: bool,
}

/// What a round has found.
#[derive(Default)]
pub(super) struct Found {
    /// The newest is the first; those of one time are in the order in which they were read.
    executions: VecDeque<WebhookExecution>,
    /// Whether there are newer ones, which have been dropped.
    pub(super) has_more: bool,
}

impl<'a> Round<'a> {
    pub(super) fn new(cursor: &'a Cursor, limits: &Limits) -> Self {
        Self { cursor, limit: limits.found, found: Found::default(), has_covered: false }
    }

    /// Takes in the next older execution.
    pub(super) fn accept(&mut self, execution: WebhookExecution) {
        if self.cursor.covers(&execution) {
            self.has_covered = true;
        } else {
            self.found.insert(execution, self.limit);
        }
    }

    /// Returns what was found, and whether something covered was met.
    pub(super) fn finish(self) -> (Found, bool) {
        (self.found, self.has_covered)
    }
}

impl Found {
    fn insert(&mut self, execution: WebhookExecution, limit: usize) {
        let place = self.executions.partition_point(|other| other.created_at >= execution.created_at);
        self.executions.insert(place, execution);
        if self.executions.len() > limit {
            self.executions.pop_front();
            self.has_more = true;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.executions.is_empty()
    }

    pub(super) fn oldest(&self) -> Option<&WebhookExecution> {
        self.executions.back()
    }

    pub(super) fn take_oldest(&mut self) -> Option<WebhookExecution> {
        self.executions.pop_back()
    }
}

#[cfg(test)]
mod tests;
