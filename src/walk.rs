//! How to walk a history that changes meanwhile: which page to ask for next, and which of its rows are new.
//!
//! New deliveries push rows onto later pages, removals pull them onto earlier ones. A *standing* row is one that is
//! there from the first request to the last. Rows that are there do not change their order, and new ones come in at
//! the front. The invariant is:
//!
//! > When a page has been accepted, every standing row up to the end of that page has been yielded.
//!
//! So nothing standing is missed when the last page there is has been accepted, and since the rows of a page are
//! yielded in its order, standing rows are yielded in theirs. It holds for the first page, of which all is yielded.
//! Any other page that is asked for is at most one further than the page accepted last, and is accepted only if
//!
//! 1. it has a row that was yielded before. Every standing row ahead of that one was ahead of it already when it was
//!    yielded, and by the invariant has been yielded as well; what follows it on this page is yielded now. Or
//! 2. no fewer rows are there in all than when the last page was accepted. All rows that came in are ahead of those not
//!    yet yielded, so each of these has moved back at least as far as the history has grown; what lay past the accepted
//!    page still does, and what lies ahead of this page has been yielded.
//!
//! Otherwise rows may have been pulled ahead, and the walk steps back to the page before, where the same question is
//! asked. None of this counts the rows of a page: they may be fewer than 50.
//!
//! Rows that come up again are known by their ids, of which at least the last [`WINDOW`] are kept.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::mem;

use crate::{WebhookExecution, WebhookExecutionList};

/// How many yielded rows are remembered at least; at most twice as many.
const WINDOW: usize = 5_000;
/// How many further pages in a row may bring nothing new: as many as the window can fill, 50 rows a page.
const PATIENCE: u64 = 200;
/// How many pages may be stepped back before any is earned.
const STEPS_BACK: u64 = 100;

#[derive(Debug)]
pub(crate) struct Walk {
    /// The page to ask for next, unless the walk is over.
    pub(crate) page: u64,
    pub(crate) is_over: bool,
    first: u64,
    /// The furthest page accepted.
    furthest: u64,
    /// How many rows there were in all when the last page was accepted.
    total: u64,
    seen: Window,
    /// How many more pages may be stepped back. Each page further than all before earns one. A page stepped back is one
    /// request, and one more to come forward again: the requests of a walk over `n` pages are less than
    /// `n + 2 (STEPS_BACK + n)`, whatever the server says.
    steps_back: u64,
    /// How many pages, each further than all before, brought nothing new since a page last did.
    barren: u64,
}

impl Walk {
    pub(crate) fn starting_at(page: u64) -> Self {
        Self {
            page,
            is_over: false,
            first: page,
            furthest: 0,
            total: 0,
            seen: Window::default(),
            steps_back: STEPS_BACK,
            barren: 0,
        }
    }

    /// Takes in the page that was asked for. Returns its new rows, or `None` if the walk has to step back.
    pub(crate) fn accept(&mut self, list: WebhookExecutionList) -> Option<Vec<WebhookExecution>> {
        let WebhookExecutionList { logs: mut rows, page_count, total_count, .. } = list;
        if total_count < self.total && !rows.iter().any(|row| self.seen.contains(&row.id)) {
            // Pages past the last one are not asked for: they are empty.
            let back = self.page.saturating_sub(page_count).max(1);
            let back = back.min(self.page - self.first).min(self.steps_back);
            if back > 0 {
                self.page -= back;
                self.steps_back -= back;
                return None;
            }
        }
        let is_empty = rows.is_empty();
        rows.retain(|row| self.seen.insert(&row.id));
        if !rows.is_empty() {
            self.barren = 0;
        }
        if self.page > self.furthest {
            self.furthest = self.page;
            self.steps_back += 1;
            self.barren += u64::from(rows.is_empty());
        }
        self.total = total_count;
        self.is_over = is_empty || self.page >= page_count || self.barren > PATIENCE;
        self.page = self.page.saturating_add(1);
        Some(rows)
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

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ids", self.recent.len() + self.older.len())
    }
}

/// What is a hash already is not hashed again.
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
mod tests;
