//! How to walk a history that changes meanwhile: which page to request next, and which of its executions are new.
//!
//! New deliveries push executions onto later pages, removals pull them onto earlier ones. A *standing* execution is one
//! that is there from the first request to the last. Executions that are there keep their order, those whose times tie
//! too, and new ones come in at the front. The invariant is:
//!
//! > When a page has been accepted, every standing execution up to the end of that page has been yielded.
//!
//! So nothing standing is missed when the last page there is has been accepted, and since the executions of a page are
//! yielded in its order, standing ones are yielded in theirs. It holds for the first page, of which all is yielded.
//! Any other page that is requested is at most one further than the page accepted last, and is accepted only if
//!
//! 1. it has an execution that was yielded before. Every standing execution ahead of that one was ahead of it already
//!    when it was yielded, and by the invariant has been yielded as well; what follows it on this page is yielded now. Or
//! 2. no fewer executions are there in all than when the last page was accepted. All that came in are ahead of those not
//!    yet yielded, so each of these has moved back at least as far as the history has grown; what lay past the accepted
//!    page still does, and what lies ahead of this page has been yielded.
//!
//! Otherwise executions may have been pulled ahead, and the walk steps back to the page before, where the same question
//! is asked. None of this counts the executions of a page: they may be fewer than 50.
//!
//! Where the walk cannot keep the invariant, it notes a [`Gap`] and goes on, or stops where going on has no end.
//!
//! # Bounds
//!
//! - Memory: the ids of executions yielded, of which at least the last [`WINDOW`] are kept. One that comes up again after
//!   more than these is yielded twice. That takes as many deliveries or removals at one stroke, or as fast as it reads.
//! - Steps back: [`STEPS_BACK`], and one for each page further than all before. A page stepped back is one request, and
//!   one more to come forward again: the requests of a walk over `n` pages are at most `n + 2 (STEPS_BACK + n)`, whatever
//!   the server says. Where the oldest are trimmed or a replica lags, the total falls although nothing was pulled ahead,
//!   which cannot be seen from it: such a fall costs a step back, too. When it falls before every second request, the walk
//!   steps back and forth until no step is left.
//! - Pages that bring nothing new: [`BARREN`] in a row, as many as the window can fill, 50 executions a page.
//! - Pages that come no closer to the last one: [`STALLED`] in a row. With 50 deliveries a request, no page brings
//!   anything new; with more, each brings something, and the last page stays as far away as it was.
//!
//! With a first page other than 1, executions that were ahead of it and are pushed onto later pages are new to the walk:
//! it yields them when it meets them, which can be out of turn.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::mem;

use crate::types::{WebhookExecution, WebhookExecutionList};

/// How many yielded executions are remembered at least; at most twice as many.
const WINDOW: usize = 5_000;
/// How many further pages in a row may bring nothing new.
const BARREN: u64 = 200;
/// How many further pages in a row may come no closer to the last page.
const STALLED: u64 = 1_000;
/// How many pages may be stepped back before any is earned.
const STEPS_BACK: u64 = 100;

/// Why a walk may have missed executions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Removals may have pulled executions onto pages that the walk could not go back to.
    Removals,
    /// More than [`BARREN`] pages in a row brought nothing new.
    NothingNew,
    /// More than [`STALLED`] pages in a row came no closer to the last page.
    NoCloser,
    /// A page is empty although it is not the last.
    EmptyPage,
}

impl Gap {
    pub(crate) fn problem(self) -> &'static str {
        match self {
            Self::Removals => "executions may be missing: too many were removed during the walk",
            Self::NothingNew => "executions may be missing: too many pages in a row had nothing new",
            Self::NoCloser => "executions may be missing: new ones came as fast as pages were read",
            Self::EmptyPage => "executions may be missing: a page before the last one is empty",
        }
    }
}

pub(crate) struct Walk {
    /// The page to request next, unless the walk is over.
    pub(crate) page: u64,
    /// Whether the last page has been accepted.
    pub(crate) is_over: bool,
    /// Whether the walk stops here, short of the last page, unless it is told to go on.
    pub(crate) is_stuck: bool,
    gap: Option<Gap>,
    first: u64,
    /// The furthest page accepted.
    furthest: u64,
    /// How many executions there were in all when the last page was accepted.
    total: u64,
    seen: Window,
    /// How many more pages may be stepped back.
    steps_back: u64,
    /// How many pages, each further than all before, brought nothing new since a page last did.
    barren: u64,
    /// How many pages there were after an accepted one, at the least.
    distance: u64,
    /// How many pages, each further than all before, were accepted since that distance last fell.
    stalled: u64,
}

impl Walk {
    pub(crate) fn starting_at(page: u64) -> Self {
        Self {
            page,
            is_over: false,
            is_stuck: false,
            gap: None,
            first: page,
            furthest: 0,
            total: 0,
            seen: Window::default(),
            steps_back: STEPS_BACK,
            barren: 0,
            distance: u64::MAX,
            stalled: 0,
        }
    }

    /// Takes in the page that was requested. Returns its new executions, or `None` if the walk has to step back.
    pub(crate) fn accept(&mut self, list: WebhookExecutionList) -> Option<Vec<WebhookExecution>> {
        let WebhookExecutionList { logs: mut executions, page_count, total_count, .. } = list;
        let is_known = |execution: &WebhookExecution| self.seen.contains(&execution.id);
        if self.page > 1 && total_count < self.total && !executions.iter().any(is_known) {
            if self.step_back(page_count) {
                return None;
            }
            self.gap.get_or_insert(Gap::Removals);
        }
        let is_empty = executions.is_empty();
        executions.retain(|execution| self.seen.insert(&execution.id));
        self.total = total_count;
        self.is_over = self.page >= page_count;
        self.measure(page_count.saturating_sub(self.page), !executions.is_empty());
        if is_empty && !self.is_over {
            self.stop(Gap::EmptyPage);
        }
        self.page = self.page.saturating_add(1);
        Some(executions)
    }

    /// Returns why the walk may have missed executions since the last call, if it may have.
    pub(crate) fn take_gap(&mut self) -> Option<Gap> {
        self.gap.take()
    }

    /// Goes on where the walk got stuck, with all its patience.
    pub(crate) fn resume(&mut self) {
        self.is_stuck = false;
        self.barren = 0;
        self.stalled = 0;
    }

    /// Returns whether there was a step left to take.
    fn step_back(&mut self, page_count: u64) -> bool {
        // Pages past the last one are empty.
        let back = self.page.saturating_sub(page_count).max(1);
        let back = back.min(self.page - self.first).min(self.steps_back);
        self.page -= back;
        self.steps_back -= back;
        back > 0
    }

    /// Notes what the accepted page has brought, and whether going on has an end.
    fn measure(&mut self, distance: u64, has_new: bool) {
        if self.page > self.furthest {
            self.furthest = self.page;
            self.steps_back += 1;
            self.barren += 1;
            self.stalled += 1;
        }
        if has_new {
            self.barren = 0;
        }
        if distance < self.distance {
            self.distance = distance;
            self.stalled = 0;
        }
        if self.barren > BARREN {
            self.stop(Gap::NothingNew);
        } else if self.stalled > STALLED {
            self.stop(Gap::NoCloser);
        }
    }

    fn stop(&mut self, gap: Gap) {
        if !self.is_over {
            self.is_stuck = true;
            self.gap.get_or_insert(gap);
        }
    }
}

/// The last ids, as hashes of 64 bits under a random key: that two of them are the same by accident is less likely than
/// a failing memory.
#[derive(Default)]
struct Window {
    hasher: RandomState,
    recent: HashSet<u64, Unhashed>,
    /// The [`WINDOW`] ids before the recent ones.
    older: HashSet<u64, Unhashed>,
}

impl Window {
    fn contains(&self, id: &str) -> bool {
        self.has(self.hasher.hash_one(id))
    }

    fn has(&self, hash: u64) -> bool {
        self.recent.contains(&hash) || self.older.contains(&hash)
    }

    /// Returns whether the id is new.
    fn insert(&mut self, id: &str) -> bool {
        let hash = self.hasher.hash_one(id);
        if self.has(hash) {
            return false;
        }
        if self.recent.len() == WINDOW {
            mem::swap(&mut self.recent, &mut self.older);
            self.recent.clear();
        }
        self.recent.insert(hash)
    }
}

/// What is a hash already is not hashed again, which would cost a walk some 4 % (`cargo bench --bench calls`).
#[derive(Clone, Copy, Default)]
struct Unhashed;

impl BuildHasher for Unhashed {
    type Hasher = Identity;

    fn build_hasher(&self) -> Identity {
        Identity(0)
    }
}

struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only u64 are hashed");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
pub(super) mod tests;
