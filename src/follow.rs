//! Follows a delivery history: returns new executions as they arrive.

use std::fmt;
use std::iter::{self, FusedIterator};
use std::time::Duration;

use time::OffsetDateTime;

use crate::client::HandingerClient;
use crate::error::{Error, ErrorKind};
use crate::executions::walk::Walk;
use crate::executions::{Source, listing};
use crate::types::WebhookExecution;

use self::cursor::{Found, MAX_REQUESTS, Round};

pub use self::cursor::Cursor;

mod cursor;

const INTERVAL: Duration = Duration::from_secs(10);
const OVERLAP: Duration = Duration::from_secs(120);
/// The maximum wait after an error for which a server can ask.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

const TOO_LONG: &str = "executions may be missing: too many are new";

impl HandingerClient {
    /// Follows a worker's delivery history: returns each new execution once, the oldest first.
    ///
    /// Starts from now, or [from the cursor](Follow::starting_from) of an earlier run. See [`Follow`].
    ///
    /// ```no_run
    /// # let client = handinger::HandingerClient::from_env()?;
    /// for execution in client.follow("wrk_1") {
    ///     match execution {
    ///         Ok(execution) => println!("{execution}"),
    ///         Err(error) => eprintln!("{error:#}"),
    ///     }
    /// }
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn follow(&self, worker_id: &str) -> Follow {
        Follow {
            client: self.clone(),
            worker_id: worker_id.to_owned(),
            source: self.source(worker_id),
            interval: INTERVAL,
            overlap: OVERLAP,
            cursor: Cursor::new(worker_id),
            found: None,
            wait: Duration::ZERO,
            is_over: false,
        }
    }
}

/// An iterator over a worker's new executions; created by [`follow`](HandingerClient::follow).
///
/// Call [`poll`](Self::poll) in a loop, and save the [`cursor`](Self::cursor) after each round. A later run
/// continues from it:
///
/// ```
/// # let fake = handinger::fake::FakeHandinger::start();
/// # fake.add_worker("wrk_1");
/// # let client = fake.client();
/// # client.update_webhook("wrk_1", "https://example.com/hook")?;
/// # let path = std::env::temp_dir().join(format!("handinger-follow-{}.cursor", std::process::id()));
/// # let (stopper, stop) = std::sync::mpsc::channel();
/// # let mut handled = 0;
/// # for run in 0..2 {
/// # if run == 1 { fake.deliver("wrk_1", 200); }
/// # stopper.send(())?;
/// use handinger::Cursor;
///
/// let mut follow = client.follow("wrk_1").starting_from(Cursor::load(&path)?);
/// loop {
///     match follow.poll() {
///         Ok(new) => {
///             for execution in new {
///                 println!("{execution}");
/// #               handled += 1;
///             }
///             follow.cursor().save(&path)?;
///         }
///         Err(error) if follow.is_over() => return Err(error.into()),
///         Err(error) => eprintln!("{error:#}"),
///     }
///     if stop.recv_timeout(follow.poll_after()).is_ok() {
///         break;
///     }
/// }
/// # }
/// # std::fs::remove_file(&path)?;
/// # assert_eq!(handled, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A periodic job polls in the same way, until [`poll_after`](Self::poll_after) is not zero.
///
/// As an iterator, it polls and sleeps by itself. `next()` returns the next execution, or the error of a
/// round. The iterator ends only after a permanent error ([`is_over`](Self::is_over)), so that a `for` loop
/// can print errors and continue, as in the example of [`follow`](HandingerClient::follow).
///
/// # Stopping
///
/// `next()` cannot be interrupted while it waits. To stop quickly, poll, and wait on a channel as above: when
/// a signal handler or another thread sends on it, `recv_timeout` returns at once. A program that never stops
/// can use `thread::sleep(follow.poll_after())` instead.
///
/// # Exactly once
///
/// The loop above is *at least once*: if the program is killed before it has saved the cursor, the next run
/// returns the executions of the last round again. For *exactly once*, write your results and the cursor as
/// text in one database transaction. After a failed transaction, start again [from](Self::starting_from) the
/// saved cursor, because the one in memory counts the executions as yielded.
///
/// # Guarantees
///
/// - Each execution that is written after the first round whose cursor was saved is yielded once, unless it
///   is removed before a round has read it. Earlier executions are not yielded. To handle them as well, iterate
///   over [`executions`](HandingerClient::executions) after the first `poll`; both yield an execution that
///   arrives in between.
/// - An execution that is written late, behind newer ones, is yielded if it is at most
///   [`overlap`](Self::overlap) late. If a restart sets a longer overlap, the shorter one still applies to
///   earlier executions.
/// - An error of kind [`Incomplete`](ErrorKind::Incomplete) precedes the new executions if none of those
///   yielded before is left, so that others may have been added and removed; if a round has made 4,000
///   requests (200,000 executions); or if too many were removed or delivered during a round. The next run
///   reports it again if the cursor was not saved after the `Ok` that follows it.
/// - The service is assumed to keep at least 50 executions, or each for two hours. A history of fewer than 50
///   is therefore complete if the last round is less than two hours ago, or if the history was empty.
/// - A round requests pages from the first until it has read all new executions and the `overlap`. If nothing
///   new arrives for longer than `overlap`, a round makes one request. It holds the new executions in memory.
/// - A failed round changes nothing: the next one finds the same executions.
#[must_use = "nothing is requested before `poll` or `next` is called"]
pub struct Follow {
    client: HandingerClient,
    worker_id: String,
    source: Source,
    interval: Duration,
    overlap: Duration,
    cursor: Cursor,
    /// The result of the last round, until all of it is yielded.
    found: Option<Found>,
    /// The wait after the last round.
    wait: Duration,
    is_over: bool,
}

impl Follow {
    /// Sets how long to wait between two rounds. Must be more than zero. Default: 10 s.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets how late an execution may be written, behind newer ones, and still be yielded. Default: 2 min.
    ///
    /// Rounds read this span again until nothing new has arrived for as long. The cursor holds the id of each
    /// execution in the span.
    pub fn overlap(mut self, overlap: Duration) -> Self {
        self.overlap = overlap;
        self
    }

    /// Starts from the cursor of an earlier run. Default: `None`, which starts from now: the first round
    /// yields no executions.
    ///
    /// With the cursor of another worker, each round fails with an error of kind
    /// [`InvalidInput`](ErrorKind::InvalidInput), without a request.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// let mut follow = client.follow("wrk_1");
    /// follow.poll()?;
    /// let cursor = follow.cursor().clone();
    /// # fake.deliver("wrk_1", 200);
    ///
    /// let mut follow = client.follow("wrk_1").starting_from(cursor);
    /// assert_eq!(follow.poll()?.len(), 1);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn starting_from(self, cursor: impl Into<Option<Cursor>>) -> Self {
        let cursor = cursor.into().unwrap_or_else(|| Cursor::new(&self.worker_id));
        Self { cursor, found: None, wait: Duration::ZERO, is_over: false, ..self }
    }

    /// Returns the current position, from which another run can [start](Self::starting_from).
    ///
    /// Before the first successful round, it is empty, and a run that starts from it starts from now. Save it
    /// after each `Ok` of [`poll`](Self::poll), or after items of the iterator.
    #[must_use]
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Makes one round of requests without waiting, and returns the new executions, the oldest first.
    ///
    /// The first round returns none, because it only notes which executions exist. If `next()` has not
    /// yielded all of the last round, `poll` returns the rest, without a request.
    ///
    /// # Errors
    ///
    /// - The errors of [`list_executions`](HandingerClient::list_executions). The next call makes another
    ///   round, which fails in the same way if [`is_over`](Self::is_over).
    /// - [`Incomplete`](ErrorKind::Incomplete), if executions may be missing. Do not let `?` end the program
    ///   here, because the next call returns those that were found, without a request.
    /// - [`InvalidInput`](ErrorKind::InvalidInput), for a cursor of another worker or an interval of zero.
    pub fn poll(&mut self) -> Result<Vec<WebhookExecution>, Error> {
        if self.found.is_none() {
            self.round(OffsetDateTime::now_utc())?;
        }
        iter::from_fn(|| self.take_next()).collect()
    }

    /// Returns how long to wait before the next [`poll`](Self::poll).
    ///
    /// Zero before the first round, and while `poll` can return executions without a request, as after an
    /// error of kind [`Incomplete`](ErrorKind::Incomplete). Otherwise the [`interval`](Self::interval) or, if
    /// longer, the [`retry_after`](Error::retry_after) of a failed round, up to an hour.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// let mut follow = client.follow("wrk_1");
    /// assert!(follow.poll_after().is_zero());
    /// follow.poll()?;
    /// assert_eq!(follow.poll_after().as_secs(), 10);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn poll_after(&self) -> Duration {
        if self.found.is_some() { Duration::ZERO } else { self.wait }
    }

    /// Returns whether the last round failed with a permanent error.
    ///
    /// These are [`InvalidInput`](ErrorKind::InvalidInput), a redirect, a rejected certificate, a rejection
    /// by the proxy, and a 4xx status other than 408, 409 and 429, such as 401 and 404. After any other
    /// error, continue: the network may recover, and a proxy's HTML page may disappear.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let client = fake.client();
    /// let mut follow = client.follow("wrk_missing");
    /// let error = follow.poll().unwrap_err();
    /// assert!(error.is_not_found() && follow.is_over());
    /// ```
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns the next item that the last round found.
    fn take_next(&mut self) -> Option<Result<WebhookExecution, Error>> {
        let found = self.found.as_mut()?;
        if let Some(problem) = found.gap.take() {
            return Some(Err(Error::incomplete(listing(&self.worker_id), problem)));
        }
        let execution = found.executions.next();
        if let Some(execution) = &execution {
            self.cursor.know(execution);
        }
        if let Some(found) = self.found.take_if(|found| found.executions.len() == 0) {
            self.cursor = found.cursor;
        }
        execution.map(Ok)
    }

    /// Makes a round that starts at this time.
    fn round(&mut self, start: OffsetDateTime) -> Result<(), Error> {
        let found = self.find(start);
        let asked = found.as_ref().err().and_then(Error::retry_after).unwrap_or_default();
        self.wait = self.interval.max(asked.min(LONGEST_WAIT));
        self.is_over = found.as_ref().is_err_and(is_permanent);
        self.found = Some(found?);
        Ok(())
    }

    fn find(&mut self, start: OffsetDateTime) -> Result<Found, Error> {
        let invalid = |problem: &str| Err(Error::invalid_input(listing(&self.worker_id), problem));
        if self.cursor.worker_id != self.worker_id {
            return invalid(&format!("the cursor is of worker {}", self.cursor.worker_id));
        }
        if self.interval.is_zero() {
            return invalid("the interval must be more than zero");
        }
        let mut round = Round::new(&self.cursor, start, self.overlap);
        let mut walk = Walk::new();
        for _ in 0..MAX_REQUESTS {
            let list = (self.source)(walk.page)?;
            let is_last = round.ends_at(&list);
            let Some(executions) = walk.accept(list) else { continue };
            round.accept(executions);
            if is_last || walk.is_over {
                return Ok(round.end(walk.gap, walk.total));
            }
        }
        Ok(round.end(Some(TOO_LONG), walk.total))
    }
}

fn is_permanent(error: &Error) -> bool {
    match (error.kind(), error.status()) {
        (ErrorKind::Connect, _) => !error.is_transient(),
        (ErrorKind::Status, Some(408 | 409 | 429)) => false,
        (ErrorKind::InvalidInput | ErrorKind::Redirect, _) | (ErrorKind::Status, Some(400..500)) => true,
        _ => false,
    }
}

impl Iterator for Follow {
    type Item = Result<WebhookExecution, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.take_next() {
                return Some(item);
            }
            if self.is_over {
                return None;
            }
            self.client.sleep(self.wait);
            if let Err(error) = self.round(OffsetDateTime::now_utc()) {
                return Some(Err(error));
            }
        }
    }
}

impl FusedIterator for Follow {}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow")
            .field("worker_id", &self.worker_id)
            .field("interval", &self.interval)
            .field("overlap", &self.overlap)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
