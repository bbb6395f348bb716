//! New executions as they come.

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
/// The longest wait that a server can ask for after an error.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

const TOO_LONG: &str = "executions may be missing: too many are new";

impl HandingerClient {
    /// Follows a worker's delivery history: returns new executions as they come, the oldest first, each once.
    ///
    /// It starts from now, or [from where another run ended](Follow::starting_from). See [`Follow`].
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

/// New executions of a worker as they come; returned by [`follow`](HandingerClient::follow).
///
/// A program [`poll`](Self::poll)s, and saves the [`cursor`](Self::cursor) after each round. A later run goes
/// on from it:
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
/// A job that runs from time to time polls in the same way, until [`poll_after`](Self::poll_after) is not
/// zero.
///
/// As an iterator, it polls and sleeps by itself. `next()` returns the next execution, or the error of a
/// round. The iterator ends after an error that no later round can mend ([`is_over`](Self::is_over)), so that
/// a `for` loop that prints errors is right, as [`follow`](HandingerClient::follow) shows it.
///
/// # Stopping
///
/// `next()` cannot be interrupted while it waits. To stop within moments, poll, and wait on a channel as
/// above: a signal handler or another thread sends on `stop`, and `recv_timeout` returns at once. Without
/// anything to stop it, `thread::sleep(follow.poll_after())` does.
///
/// # Exactly once
///
/// The loop above is *at least once*: if the program is killed before it has saved the cursor, the next run
/// returns the executions of the last round again. For *exactly once*, write what they lead to and the cursor
/// as text in one database transaction. After a failed transaction, start anew [from](Self::starting_from)
/// the cursor that is saved, because this one counts the executions as yielded.
///
/// # Guarantees
///
/// - Each execution that is written after the first round whose cursor was saved is yielded once, unless it is
///   removed before a round has read it. What was there before is not yielded.
/// - One that is written late, behind newer ones, is yielded if that is at most [`overlap`](Self::overlap)
///   after its time. If a restart sets a longer overlap, the shorter one still applies to what came before.
/// - An error of kind [`Incomplete`](ErrorKind::Incomplete) comes, before what was found, when none of the
///   executions yielded before is left, so that others may have come and gone; when a round has made 4,000
///   requests (200,000 executions); and when too many were removed or delivered during a round. The next run
///   reports it again if the cursor was not saved after the `Ok` that follows it.
/// - A service is assumed to keep at least 50 executions, or each for two hours. A history of fewer than 50 is
///   therefore complete if the last round is less than two hours ago, or if there were none.
/// - A round requests the first page, and further ones until it has read what is new and the `overlap`. A
///   history without news for longer than `overlap` costs one request. A round holds in memory what is new.
/// - A round that fails changes nothing: the next one finds the same.
#[must_use = "nothing is requested before `poll` or `next` is called"]
pub struct Follow {
    client: HandingerClient,
    worker_id: String,
    source: Source,
    interval: Duration,
    overlap: Duration,
    cursor: Cursor,
    /// The last round's, until all is yielded.
    found: Option<Found>,
    /// How long to wait after the last round.
    wait: Duration,
    is_over: bool,
}

impl Follow {
    /// Sets how long to wait between two rounds. More than zero. Default: 10 s.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets how long after its time an execution may be written, behind newer ones, and still be yielded.
    /// Default: 2 min.
    ///
    /// Rounds read this span again until nothing new has come for as long, and the cursor holds the id of
    /// each execution in it.
    pub fn overlap(mut self, overlap: Duration) -> Self {
        self.overlap = overlap;
        self
    }

    /// Starts where another run ended. Default: `None`, which starts from now: the first round yields no
    /// executions.
    ///
    /// With the cursor of another worker, each round fails with an error of kind
    /// [`InvalidInput`](ErrorKind::InvalidInput), and nothing is requested.
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

    /// Returns what has been yielded so far, to [go on from](Self::starting_from) in another run.
    ///
    /// Before the first successful round it is empty: a run that starts from it starts from now. Save it
    /// after each `Ok` of [`poll`](Self::poll), or after items of the iterator.
    #[must_use]
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Makes one round of requests without waiting, and returns what is new, the oldest first.
    ///
    /// The first round returns none: it notes which executions there are. If `next()` has not yielded all of
    /// its last round, `poll` returns the rest, without a request.
    ///
    /// # Errors
    ///
    /// - Those of [`list_executions`](HandingerClient::list_executions). The next call makes another round;
    ///   if [`is_over`](Self::is_over), that fails in the same way.
    /// - [`Incomplete`](ErrorKind::Incomplete), if executions may be missing. The next call returns those
    ///   that were found, without a request: do not let `?` end the program here.
    /// - [`InvalidInput`](ErrorKind::InvalidInput), for a cursor of another worker or an interval of zero.
    pub fn poll(&mut self) -> Result<Vec<WebhookExecution>, Error> {
        if self.found.is_none() {
            self.round(OffsetDateTime::now_utc())?;
        }
        iter::from_fn(|| self.take_next()).collect()
    }

    /// Returns how long to wait before the next [`poll`](Self::poll).
    ///
    /// Zero before the first round, and while something is there to be returned without a request, as after
    /// an error of kind [`Incomplete`](ErrorKind::Incomplete). Else the [`interval`](Self::interval), or as
    /// long as a failed round's [`retry_after`](Error::retry_after) asks, up to an hour.
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

    /// Returns whether the last round failed with an error that no later round can mend.
    ///
    /// These are [`InvalidInput`](ErrorKind::InvalidInput), a redirect, a rejected certificate, a rejection
    /// by the proxy, and a 4xx status other than 408, 409 and 429, such as 401 and 404. After any other
    /// error, go on: the network may be back, and a proxy's HTML page be gone.
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

    /// Returns the next of what the last round found.
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
