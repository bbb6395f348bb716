//! Decides how to walk a changing history: the page to request next, and the executions that are new.
//!
//! New deliveries push executions onto later pages, removals pull them onto earlier ones. A *standing*
//! execution is one that exists from the first request to the last. Existing executions keep their order,
//! even those with equal times, and new ones are added at the front. The invariant is:
//!
//! > When a page has been accepted, every standing execution up to the end of that page has been yielded.
//!
//! So no standing execution is missed when the last page has been accepted. Standing executions are yielded
//! in their order, because those of a page are yielded in its order. The invariant holds for page 1, which is
//! yielded completely. Any other requested page is at most one after the page accepted last, and is accepted
//! only if
//!
//! 1. it has an execution that was yielded before. Every standing execution ahead of that one was already
//!    ahead of it when it was yielded, and by the invariant has been yielded as well; those after it on this
//!    page are yielded now. Or
//! 2. the total is no smaller than when the last page was accepted. All added executions are ahead of those
//!    not yet yielded, so each of the latter has moved back at least as far as the history has grown.
//!    Executions past the accepted page are still past it, and those ahead of this page have been yielded.
//!
//! Otherwise executions may have been pulled ahead, and the walk steps back: to the page before, or from past
//! the last page to the last. The same conditions apply to that page. The proof allows pages of fewer than 50
//! executions. It requires unique ids, and a `total_count` of the same moment as its page.
//!
//! # Bounds
//!
//! *Patience* is a counter that limits the requests. It starts at [`PATIENCE`]. A page with news (an
//! execution not yielded before) adds 2, up to [`PATIENCE`]. Every other request subtracts 1: one that steps
//! back, or a page with nothing new. So there are at most 200 requests, and 3 for each page with news.
//! Patience ends in two ways, each a gap:
//!
//! - The total falls before every second request, a hundred times in a row, although nothing was pulled
//!   ahead: the oldest are trimmed, or another replica lags. The total does not show this, and each fall
//!   costs a step back and a page with nothing new. Or 10,000 are removed at once, which costs 200 steps. The
//!   walk then continues without steps back.
//! - 50 are delivered before each request, 200 times in a row, or 10,000 at once: no page has anything new.
//!   The walk then ends.
//!
//! An empty page before the last is a gap too, and ends the walk, because all pages after it may be empty.
//!
//! The hashes of all ids yielded are kept: up to 21 bytes an execution, and 31 while the set grows.

use std::collections::HashSet;
use std::hash::BuildHasher;

use crate::types::{WebhookExecution, WebhookExecutionList};

const PATIENCE: u32 = 200;

const REMOVALS: &str = "executions may be missing: too many were removed during the walk";
const NOTHING_NEW: &str = "executions may be missing: too many pages in a row had nothing new";
const EMPTY_PAGE: &str = "executions may be missing: a page before the last one is empty";

pub(crate) struct Walk {
    /// The page to request next, unless the walk is over.
    pub(crate) page: u64,
    pub(crate) is_over: bool,
    /// The reason why executions may be missing, if any.
    pub(crate) gap: Option<&'static str>,
    /// The total number of executions when the last page was accepted.
    pub(crate) total: u64,
    /// The yielded ids, as 64-bit hashes with a random key. The probability that two of a million ids have
    /// the same hash is 1 in 37 million.
    seen: HashSet<u64>,
    patience: u32,
}

impl Walk {
    pub(crate) fn new() -> Self {
        Self { page: 1, is_over: false, gap: None, total: 0, seen: HashSet::new(), patience: PATIENCE }
    }

    /// Accepts the requested page and returns its new executions, or returns `None` if the walk steps back.
    pub(crate) fn accept(&mut self, list: WebhookExecutionList) -> Option<Vec<WebhookExecution>> {
        if self.may_be_pulled_ahead(&list) && self.gap.is_none() {
            if self.lose_patience() {
                self.page = (self.page - 1).min(list.page_count).max(1);
                return None;
            }
            self.gap = Some(REMOVALS);
        }
        let is_empty = list.logs.is_empty();
        let mut executions = list.logs;
        let hasher = self.seen.hasher().clone();
        executions.retain(|execution| self.seen.insert(hasher.hash_one(&execution.id)));
        self.total = list.total_count;
        self.is_over = self.page >= list.page_count;
        if self.is_over {
            return Some(executions);
        }
        self.page += 1;
        if is_empty {
            self.end_early(EMPTY_PAGE);
        } else if !executions.is_empty() {
            self.patience = PATIENCE.min(self.patience + 2);
        } else if !self.lose_patience() {
            self.end_early(NOTHING_NEW);
        }
        Some(executions)
    }

    /// Returns whether removals may have pulled executions ahead of this page before they were yielded.
    fn may_be_pulled_ahead(&self, list: &WebhookExecutionList) -> bool {
        self.page > 1
            && list.total_count < self.total
            && !list
                .logs
                .iter()
                .any(|execution| self.seen.contains(&self.seen.hasher().hash_one(&execution.id)))
    }

    /// Returns whether there was patience left to lose.
    fn lose_patience(&mut self) -> bool {
        let is_left = self.patience > 0;
        self.patience = self.patience.saturating_sub(1);
        is_left
    }

    fn end_early(&mut self, gap: &'static str) {
        self.is_over = true;
        self.gap = Some(gap);
    }
}

#[cfg(test)]
pub(crate) mod tests;
