//! How to walk a history that changes meanwhile: which page to ask for next, and which of its rows are new.
//!
//! New deliveries push rows onto later pages, removals pull them onto earlier ones. A *standing* row is one that is
//! there from the first request to the last; standing rows never change their order. The invariant is:
//!
//! > When a page has been accepted, every standing row up to the end of that page has been yielded.
//!
//! It holds for the first page. Every further page follows the last accepted one, and is accepted only if
//!
//! 1. it has a row that was yielded before. Then every standing row ahead of that row was yielded too, since it stood
//!    ahead of it on the accepted page as well; and what follows it on this page is yielded now. Or
//! 2. no fewer rows are there in all than when the last page was accepted. Rows come only at the front, so every
//!    standing row has moved back by at least as much as the history has grown, which is not negative: no row that
//!    was beyond the accepted page is now ahead of this one.
//!
//! Otherwise rows may have been pulled ahead, and the walk takes one step back, to the page before, where the same
//! question is asked. Rows that were yielded already are known by their ids, of which the last [`WINDOW`] are kept.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::{WebhookExecution, WebhookExecutionList};

/// How many yielded rows are remembered.
pub(crate) const WINDOW: usize = 5_000;
/// How many pages in a row may bring nothing new, and how many steps back are free: what the window covers.
const PATIENCE: u64 = (WINDOW / 50) as u64;

#[derive(Debug)]
pub(crate) struct Walk {
    /// The page to ask for next, unless the walk is over.
    pub(crate) page: u64,
    pub(crate) is_over: bool,
    first: u64,
    /// The last page accepted that lies further than all before it.
    furthest: u64,
    /// How many rows there were in all when the last page was accepted.
    total: Option<u64>,
    seen: Window,
    /// How many steps back may still be taken. Each new page earns one. With every step back a page comes that has to
    /// be read again, so a walk over `n` pages makes at most `3 n + 2 PATIENCE` requests, whatever the server says.
    steps_back: u64,
    /// How many pages in a row brought nothing new.
    barren: u64,
}

impl Walk {
    pub(crate) fn starting_at(page: u64) -> Self {
        Self {
            page,
            is_over: false,
            first: page,
            furthest: 0,
            total: None,
            seen: Window::default(),
            steps_back: PATIENCE,
            barren: 0,
        }
    }

    /// Takes in the page that was asked for. Returns its new rows, or `None` if the walk has to step back.
    pub(crate) fn accept(&mut self, list: WebhookExecutionList) -> Option<Vec<WebhookExecution>> {
        let WebhookExecutionList { logs, page_count, total_count, .. } = list;
        let count = logs.len();
        let may_have_skipped =
            self.page > self.first && self.total.is_some_and(|before| total_count < before);
        if may_have_skipped && self.steps_back > 0 && !logs.iter().any(|row| self.seen.contains(&row.id)) {
            self.steps_back -= 1;
            self.page -= 1;
            return None;
        }
        let new: Vec<_> = logs.into_iter().filter(|row| self.seen.insert(&row.id)).collect();
        self.total = Some(total_count);
        self.barren = if new.is_empty() { self.barren + 1 } else { 0 };
        if self.page > self.furthest {
            self.furthest = self.page;
            self.steps_back += 1;
        }
        self.is_over = count == 0 || self.page >= page_count || self.barren > PATIENCE;
        self.page = self.page.saturating_add(1);
        Some(new)
    }
}

/// The last [`WINDOW`] ids, as hashes of 64 bits under a random key: that two of them are the same by accident is less
/// likely than a failing memory.
#[derive(Default)]
struct Window {
    hasher: RandomState,
    known: HashSet<u64, Unhashed>,
    order: VecDeque<u64>,
}

impl Window {
    fn contains(&self, id: &str) -> bool {
        self.known.contains(&self.hasher.hash_one(id))
    }

    /// Returns whether the id is new.
    fn insert(&mut self, id: &str) -> bool {
        let hash = self.hasher.hash_one(id);
        let is_new = self.known.insert(hash);
        if is_new {
            self.order.push_back(hash);
            if self.order.len() > WINDOW
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
        is_new
    }
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Window of {} ids", self.order.len())
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
