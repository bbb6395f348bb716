//! A cursor records what [`Follow`](super::Follow) has yielded; a round of requests finds new executions.
//!
//! An execution *counts* if its time is not below the floor. A round yields those that count and are not
//! known, the oldest first; yielding makes an id known. When all are yielded, the floor rises, and ids below
//! it are forgotten. The first round only makes executions that count known. The invariants are:
//!
//! > 1. Each execution that was yielded, or was there at the start, is known or below the floor.
//! > 2. Each other execution below the floor was written more than `overlap` after its time; or a gap has
//! >    been reported.
//!
//! So each execution is yielded once, and a new one is missed silently only if it is written that late. The
//! first invariant holds because the floor never falls, not even if a later run sets a longer overlap. The
//! cursor therefore stores the floor.
//!
//! The second holds because the floor rises only as follows. Let N be the newest known execution that is not
//! later than the start of the round, and E one that the round has not found. E was written after the round's
//! first request.
//!
//! - To `overlap` before N: N was written before that request, because a round leaves executions newer than
//!   its first page to the next round. So E is later than N less `overlap`, or too late.
//! - To N itself, if the round starts `overlap` or more after the first round without news: N was written
//!   before that one, so E is later than N, or too late. This holds even if the clocks of two machines
//!   differ. An idle round is then one request.
//!
//! An execution from the future would raise the floor above later ones, so it does not count for N until its
//! time has come.
//!
//! # Gaps
//!
//! A gap is reported before the found executions: a gap of the walk; a round of [`MAX_REQUESTS`] that did not
//! reach the floor; or a round that found new executions, but none that is known or below the floor. As long
//! as one such execution is left, the round could read all later ones, because a service removes the oldest
//! first. If none is left, others may have been added and removed since. This is no gap if the history has
//! fewer than [`KEPT`] executions, and nothing was known or the cursor is, by the local clock, no older than
//! [`KEPT_FOR`], because a service keeps that many, or keeps each for at least that long.
//!
//! An execution that is newer than the first page was written during the walk. If it was yielded now, it
//! would hide the loss of others that were written before it during the walk. (One that is written late
//! during the walk still hides it.)

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process;
use std::str::FromStr;
use std::time::Duration;
use std::vec;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;

use crate::error::Error;
use crate::types::{WebhookExecution, WebhookExecutionList};

const VERSION: u32 = 1;

/// The maximum number of requests in a round.
pub(super) const MAX_REQUESTS: u32 = 4_000;
/// The number of executions that a service keeps, or
const KEPT: u64 = 50;
/// the time for which it keeps each, in milliseconds.
const KEPT_FOR: i64 = 2 * 60 * 60 * 1_000;

const NONE_LEFT: &str = "executions may be missing: none of those yielded before is left";

/// The position up to which [`Follow`](crate::Follow) has yielded a worker's delivery history; returned by
/// [`Follow::cursor`](crate::Follow::cursor).
///
/// [`save`](Self::save) and [`load`](Self::load) keep it in a file. For a database column, `Display` and
/// `FromStr` convert it to a line of text; any serde format works too. The content is not part of the API,
/// but later versions of this crate can read it. It contains no secrets: only the worker id, some times, and
/// the ids of the executions within the [`overlap`](crate::Follow::overlap).
///
/// ```
/// # let fake = handinger::fake::FakeHandinger::start();
/// # fake.add_worker("wrk_1");
/// # let client = fake.client();
/// use handinger::{Cursor, ErrorKind};
///
/// let mut follow = client.follow("wrk_1");
/// follow.poll()?;
/// let line = follow.cursor().to_string();
/// let cursor: Cursor = line.parse()?;
/// assert_eq!(&cursor, follow.cursor());
///
/// assert_eq!("garbage".parse::<Cursor>().unwrap_err().kind(), ErrorKind::InvalidInput);
/// # Ok::<(), handinger::Error>(())
/// ```
// All times are in milliseconds since the epoch. `None` is not skipped, because MessagePack identifies fields
// by position.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    #[serde(deserialize_with = "known_version")]
    version: u32,
    pub(super) worker_id: String,
    /// True after the first successful round.
    started: bool,
    /// `None` if nothing was known yet.
    floor: Option<i64>,
    /// The known ids with their times, none below the floor.
    known: Vec<(String, i64)>,
    /// The start of the last round. A round after a long time that finds nothing does not count, because it
    /// may have missed removed ones: the next execution then reports a gap.
    current_at: Option<i64>,
    /// The start of the first round since which nothing new has been found.
    quiet_since: Option<i64>,
}

/// Adds the path to an error, because the system's own message lacks it.
fn naming(path: &Path, kind: io::ErrorKind, error: &dyn fmt::Display) -> io::Error {
    io::Error::new(kind, format!("{}: {error}", path.display()))
}

fn known_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let version = u32::deserialize(deserializer)?;
    if version == VERSION { Ok(version) } else { Err(D::Error::custom("an unknown version of a cursor")) }
}

impl Cursor {
    /// Reads a cursor that was [saved](Self::save) to a file. Returns `None` if there is no such file.
    ///
    /// # Errors
    ///
    /// Any error of reading the file, with its path. The kind is [`InvalidData`](io::ErrorKind::InvalidData)
    /// if the file is empty or not a cursor. To start again from now, delete the file.
    ///
    /// ```
    /// # let directory = std::env::temp_dir();
    /// use handinger::Cursor;
    ///
    /// assert!(Cursor::load(directory.join("no-such.cursor"))?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn load(path: impl AsRef<Path>) -> io::Result<Option<Self>> {
        let path = path.as_ref();
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.map_err(|error| naming(path, error.kind(), &error))?,
        };
        text.parse().map(Some).map_err(|error: Error| naming(path, io::ErrorKind::InvalidData, &error))
    }

    /// Saves the cursor to a file atomically: writes a temporary file beside it, syncs it to the disk, and
    /// renames it. The new file has the default permissions. Two threads must not save to one path at once;
    /// two processes may.
    ///
    /// Save once a round, not once an execution, because each save writes the entire cursor.
    ///
    /// # Errors
    ///
    /// Any error of writing or renaming the file, with its path. The old file then still exists.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # let path = std::env::temp_dir().join(format!("handinger-save-{}.cursor", std::process::id()));
    /// use handinger::Cursor;
    ///
    /// let mut follow = client.follow("wrk_1").starting_from(Cursor::load(&path)?);
    /// for execution in follow.poll()? {
    ///     println!("{execution:?}");
    /// }
    /// follow.cursor().save(&path)?;
    /// # assert_eq!(Cursor::load(&path)?.as_ref(), Some(follow.cursor()));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        // Another process may save to the same path, such as a second run of a cron job.
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}.tmp", process::id()));
        let result = self.write(&temporary).and_then(|()| fs::rename(&temporary, path));
        result.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            naming(path, error.kind(), &error)
        })
    }

    fn write(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut file = File::create(path)?;
        writeln!(file, "{self}")?;
        file.sync_all()
    }

    /// Creates a cursor for the time before the first round.
    pub(super) fn new(worker_id: &str) -> Self {
        Self {
            version: VERSION,
            worker_id: worker_id.to_owned(),
            started: false,
            floor: None,
            known: Vec::new(),
            current_at: None,
            quiet_since: None,
        }
    }

    pub(super) fn know(&mut self, execution: &WebhookExecution) {
        self.known.push((execution.id.clone(), millis(execution.created_at)));
        self.quiet_since = None;
    }

    fn raise_floor(&mut self, start: i64, overlap: i64) {
        let is_quiet = self.quiet_since.is_some_and(|since| start.saturating_sub(since) >= overlap);
        let newest = self.known.iter().map(|(_, at)| *at).filter(|at| *at <= start).max();
        let floor = newest.map(|newest| {
            if is_quiet { newest.min(start.saturating_sub(overlap)) } else { newest.saturating_sub(overlap) }
        });
        self.floor = self.floor.max(floor);
        self.known.retain(|(_, at)| Some(*at) >= self.floor);
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
        // Omits serde_json's message, because it may quote a secret from a wrong file.
        serde_json::from_str(text)
            .map_err(|_| Error::invalid_input("read cursor", "not a cursor that this version can read"))
    }
}

/// Returns a time in whole milliseconds, rounded down.
fn millis(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1_000 + i64::from(time.millisecond())
}

/// A round of requests, which reads a history from its newest execution on.
pub(super) struct Round<'a> {
    cursor: &'a Cursor,
    known: HashSet<&'a str>,
    start: i64,
    overlap: i64,
    /// The cursor's floor, or in the first round `overlap` before the newest execution so far.
    floor: Option<i64>,
    /// The newest time on the first page.
    newest: Option<OffsetDateTime>,
    has_met_known: bool,
    found: Vec<WebhookExecution>,
}

impl<'a> Round<'a> {
    pub(super) fn new(cursor: &'a Cursor, start: OffsetDateTime, overlap: Duration) -> Self {
        Self {
            cursor,
            known: cursor.known.iter().map(|(id, _)| id.as_str()).collect(),
            start: millis(start),
            overlap: i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX),
            floor: cursor.floor,
            newest: None,
            has_met_known: false,
            found: Vec::new(),
        }
    }

    /// Returns whether no further page is needed: this one reaches below the floor and has nothing new. A
    /// service may list by the time of writing, so that executions above the floor may follow one below it.
    pub(super) fn ends_at(&self, page: &WebhookExecutionList) -> bool {
        let is_known = |execution: &WebhookExecution| self.known.contains(execution.id.as_str());
        page.logs.iter().any(|execution| self.is_below_floor(execution))
            && page.logs.iter().all(|execution| self.is_below_floor(execution) || is_known(execution))
    }

    fn is_below_floor(&self, execution: &WebhookExecution) -> bool {
        Some(millis(execution.created_at)) < self.floor
    }

    /// Accepts the executions of the next page that have not been accepted before.
    pub(super) fn accept(&mut self, executions: Vec<WebhookExecution>) {
        if self.newest.is_none() {
            self.newest = executions.iter().map(|execution| execution.created_at).max();
        }
        for execution in executions {
            let at = millis(execution.created_at);
            if self.is_below_floor(&execution) || self.known.contains(execution.id.as_str()) {
                self.has_met_known = true;
            } else if Some(execution.created_at) <= self.newest {
                if !self.cursor.started && at <= self.start {
                    self.floor = self.floor.max(Some(at.saturating_sub(self.overlap)));
                }
                self.found.push(execution);
            }
        }
    }

    /// Ends the round, with the walk's gap, if any, and the total number of executions.
    pub(super) fn end(mut self, gap: Option<&'static str>, total: u64) -> Found {
        let Self { cursor, start, .. } = self;
        let has_news = !self.found.is_empty();
        // True if a service that keeps each execution for a time has removed none since the cursor.
        let is_recent = cursor.current_at.is_none_or(|at| start.saturating_sub(at) <= KEPT_FOR);
        let is_complete = total < KEPT && (cursor.known.is_empty() || is_recent);
        let has_lost_all = cursor.started && has_news && !self.has_met_known && !is_complete;

        let mut next = cursor.clone();
        self.found.iter().for_each(|execution| next.know(execution));
        next.started = true;
        if is_recent || has_news || self.has_met_known {
            next.current_at = Some(start);
        }
        if !has_news {
            next.quiet_since.get_or_insert(start);
        }
        next.raise_floor(start, self.overlap);

        if !cursor.started {
            self.found.clear();
        }
        // Executions with equal times are yielded in the order in which they were written.
        self.found.reverse();
        self.found.sort_by_key(|execution| execution.created_at);
        Found {
            gap: gap.or(has_lost_all.then_some(NONE_LEFT)),
            executions: self.found.into_iter(),
            cursor: next,
        }
    }
}

/// The result of a round.
pub(super) struct Found {
    /// The reason why executions may be missing, if any.
    pub(super) gap: Option<&'static str>,
    /// The executions to yield, the oldest first.
    pub(super) executions: vec::IntoIter<WebhookExecution>,
    /// The cursor after all are yielded.
    pub(super) cursor: Cursor,
}

#[cfg(test)]
mod tests;
