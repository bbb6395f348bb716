//! The iterator that waits for new executions. What is new is the [`cursor`](super::cursor)'s matter.

use std::fmt;
use std::iter::FusedIterator;
use std::time::Duration;

use percent_encoding::utf8_percent_encode;
use time::OffsetDateTime;

use crate::client::HandingerClient;
use crate::error::{Error, ErrorKind};
use crate::redact::COMPONENT;
use crate::types::WebhookExecution;

use super::cursor::{Cursor, Found, LIMITS, Limits, Round, Start, Terms, millis};
use super::{End, Executions, RequestPage, incomplete};

const INTERVAL: Duration = Duration::from_secs(10);
const OVERLAP: Duration = Duration::from_secs(600);
/// The longest wait that a server can ask for after an error.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

const NONE_LEFT: &str = "executions may be missing: none of those yielded before is left";
const TOO_LONG: &str = "executions may be missing: too many are new";
const SHORTENED: &str =
    "executions may be missing if they are written late: too many are as recent as the overlap";

/// New executions of a worker as they come; returned by [`follow`](HandingerClient::follow).
///
/// - `next()` waits for the next new execution. It makes a round of requests, and while there is nothing new, another
///   one every [`interval`](Self::interval). Each round yields what it finds, the oldest first.
/// - Each execution is yielded once. One that is written late, behind newer ones, is yielded if it is at most
///   [`overlap`](Self::overlap) older than the newest.
/// - After an error, `next()` continues. The iterator ends only after an error of kind
///   [`InvalidInput`](ErrorKind::InvalidInput). A program should go on after an error that
///   [`is_transient`](Error::is_transient) or of kind [`Incomplete`](ErrorKind::Incomplete), and stop after any other.
/// - If executions may have been missed, it yields an error of kind [`Incomplete`](ErrorKind::Incomplete) ahead of the
///   executions after the gap. It reports once that none of the executions yielded before is left: the service may have
///   removed later ones, too. It reports once that more than 5,000 executions are within the `overlap`, which is then
///   shortened to the last 5,000. It reports each round that could not read the history completely.
///
/// A round requests the first page, and further ones until it meets an execution older than `overlap`. It ends after some
/// 2,000 requests, and holds up to 5,000 executions; if there are more, the next round follows at once. An execution that
/// is removed before a round has read it is not yielded.
///
/// # Across runs
///
/// [`cursor`](Self::cursor) returns what has been yielded so far, to be saved, and
/// [`starting_from`](Self::starting_from) goes on from there. A program that saves it at its first start, and then
/// after each execution, may be killed at any time: its next run misses nothing, and repeats at most one execution.
/// That is *at least once*. For *exactly once*, save the cursor in one database transaction with the program's own
/// work, or make a repetition harmless, as with a table whose key is the execution's id. Save the cursor after an
/// error, too: what it reports once is then not repeated.
///
/// ```
/// # let fake = handinger::fake::FakeHandinger::start();
/// # fake.add_worker("wrk_1");
/// # let client = fake.client();
/// # client.update_webhook("wrk_1", "https://example.com/hook")?;
/// # let file = std::env::temp_dir().join(format!("handinger-{}.cursor", std::process::id()));
/// # for run in 0..2 {
/// use std::fs;
/// use handinger::Cursor;
///
/// // Better than `write`: write another file, and rename it.
/// let save = |cursor: Cursor| fs::write(&file, cursor.to_string());
///
/// let mut deliveries = client.follow("wrk_1");
/// if file.exists() {
///     deliveries = deliveries.starting_from(fs::read_to_string(&file)?.parse::<Cursor>()?);
/// } else {
///     deliveries.poll()?; // finds out what is there: what comes from now on is new
///     save(deliveries.cursor())?;
/// }
/// # if run == 1 { fake.deliver("wrk_1", 503); }
/// # fake.deliver("wrk_1", 200);
/// # let mut count = 0;
/// while let Some(delivery) = deliveries.next() {
///     match delivery {
///         Ok(delivery) => println!("{} {}", delivery.created_at, delivery.request_status),
///         Err(error) => eprintln!("{error}"),
///     }
///     save(deliveries.cursor())?;
/// #   count += 1;
/// #   if count == run + 1 { break; }
/// }
/// # }
/// # let cursor = std::fs::read_to_string(&file)?.parse::<handinger::Cursor>()?;
/// # std::fs::remove_file(&file)?;
/// # assert!(client.follow("wrk_1").starting_from(cursor).poll()?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "iterators are lazy: nothing is requested before `next` is called"]
pub struct Follow {
    client: HandingerClient,
    worker_id: String,
    interval: Duration,
    overlap: Duration,
    limits: Limits,
    cursor: Cursor,
    /// What the last round found and has not been yielded.
    found: Found,
    /// What comes before the executions found.
    gap: Option<Error>,
    /// Whether it was reported that the next execution shortens the overlap.
    has_warned: bool,
    /// How long to wait before the next round.
    wait: Option<Duration>,
    is_over: bool,
}

impl Follow {
    pub(super) fn new(client: HandingerClient, worker_id: &str) -> Self {
        Self {
            client,
            worker_id: worker_id.to_owned(),
            interval: INTERVAL,
            overlap: OVERLAP,
            limits: LIMITS,
            cursor: Cursor::new(worker_id),
            found: Found::default(),
            gap: None,
            has_warned: false,
            wait: None,
            is_over: false,
        }
    }

    /// Sets how long `next()` waits between two rounds. More than zero. Default: 10 s.
    ///
    /// After an error with a longer [`retry_after`](Error::retry_after), it waits that long, up to an hour. It waits
    /// with the function of [`sleep_with`](crate::HandingerClientBuilder::sleep_with).
    ///
    /// ```
    /// # let client = handinger::HandingerClient::new("key")?;
    /// let deliveries = client.follow("wrk_1").interval(std::time::Duration::from_secs(60));
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets how late an execution may appear and still be yielded: at most this much older than the newest. Default: 10
    /// min.
    ///
    /// Each round reads this span again, and the cursor holds the id of each execution in it.
    ///
    /// ```
    /// # let client = handinger::HandingerClient::new("key")?;
    /// let deliveries = client.follow("wrk_1").overlap(std::time::Duration::from_secs(3600));
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn overlap(mut self, overlap: Duration) -> Self {
        self.overlap = overlap;
        self
    }

    /// Starts where another run ended. Default: `None`, which starts from now: the first round yields no executions.
    ///
    /// With the cursor of another worker, the first item is an error of kind [`InvalidInput`](ErrorKind::InvalidInput),
    /// and nothing is requested.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// let mut deliveries = client.follow("wrk_1");
    /// deliveries.poll()?;
    /// let cursor = deliveries.cursor();
    /// # fake.deliver("wrk_1", 200);
    ///
    /// let mut deliveries = client.follow("wrk_1").starting_from(cursor);
    /// assert_eq!(deliveries.poll()?.len(), 1);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn starting_from(self, cursor: impl Into<Option<Cursor>>) -> Self {
        let cursor = cursor.into().unwrap_or_else(|| Cursor::new(&self.worker_id));
        let Self { client, worker_id, interval, overlap, .. } = self;
        Self { interval, overlap, cursor, ..Self::new(client, &worker_id) }
    }

    /// Returns what has been yielded so far, to [go on from](Self::starting_from) in another run.
    ///
    /// Before the first round it is empty: a run that starts from it starts from now.
    ///
    /// ```
    /// # let client = handinger::HandingerClient::new("key")?;
    /// let deliveries = client.follow("wrk_1");
    /// println!("{}", deliveries.cursor());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor.clone()
    }

    /// Makes one round without waiting, and returns what is new, the oldest first: for a program that runs from time to
    /// time. If `next()` has not yielded all of its last round, `poll` returns the rest, without a request.
    ///
    /// Returns at most 5,000 executions; if there are more, the next call returns them. Without a cursor, the first
    /// call returns none: it notes which executions there are.
    ///
    /// # Errors
    ///
    /// Those of [`list_executions`](HandingerClient::list_executions). The next call makes another round. After an error
    /// of kind [`Incomplete`](ErrorKind::Incomplete), it returns what was found after the gap: call it again. An error of kind
    /// [`InvalidInput`](ErrorKind::InvalidInput) is returned for a cursor of another worker.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// use handinger::ErrorKind;
    ///
    /// let mut deliveries = client.follow("wrk_1");
    /// # deliveries.poll()?;
    /// # for _ in 0..3 { fake.deliver("wrk_1", 200); }
    /// let new = match deliveries.poll() {
    ///     Err(error) if error.kind() == ErrorKind::Incomplete => {
    ///         eprintln!("{error}");
    ///         deliveries.poll()?
    ///     }
    ///     other => other?,
    /// };
    /// assert_eq!(new.len(), 3);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn poll(&mut self) -> Result<Vec<WebhookExecution>, Error> {
        self.poll_with(&mut HandingerClient::list_executions)
    }

    /// `poll()`, with what makes a request handed in: tests of the rules are the server themselves.
    fn poll_with(&mut self, read: &mut dyn RequestPage) -> Result<Vec<WebhookExecution>, Error> {
        if self.gap.is_none() && self.found.is_empty() {
            self.round(read)?;
        }
        let mut new = Vec::new();
        while let Some(item) = self.take_next() {
            match item {
                Ok(execution) => new.push(execution),
                Err(error) if new.is_empty() => return Err(error),
                Err(error) => {
                    self.gap = Some(error);
                    break;
                }
            }
        }
        Ok(new)
    }

    /// `next()`, in the same way.
    fn next_with(&mut self, read: &mut dyn RequestPage) -> Option<Result<WebhookExecution, Error>> {
        loop {
            if let Some(item) = self.take_next() {
                return Some(item);
            }
            if self.is_over {
                return None;
            }
            if let Some(wait) = self.wait.take() {
                self.client.sleep(wait);
            }
            if let Err(error) = self.round(read) {
                return Some(Err(error));
            }
        }
    }

    /// Returns the next of what the last round found.
    fn take_next(&mut self) -> Option<Result<WebhookExecution, Error>> {
        if let Some(gap) = self.gap.take() {
            return Some(Err(gap));
        }
        // A walk can yield an execution twice after thousands of deliveries at once.
        while self.found.oldest().is_some_and(|execution| self.cursor.covers(execution)) {
            self.found.take_oldest();
        }
        let terms = self.terms();
        let execution = self.found.oldest()?;
        if !self.has_warned && self.cursor.would_shorten(execution, &terms) {
            self.has_warned = true;
            return Some(Err(self.incomplete(SHORTENED)));
        }
        self.has_warned = false;
        self.cursor.cover(execution, &terms);
        self.found.take_oldest().map(Ok)
    }

    fn round(&mut self, read: &mut dyn RequestPage) -> Result<(), Error> {
        let gap = self.find(read).inspect_err(|error| {
            let wait = error.retry_after().unwrap_or_default().min(LONGEST_WAIT);
            self.wait = Some(wait.max(self.interval));
            self.is_over = error.kind() == ErrorKind::InvalidInput;
        })?;
        self.gap = gap;
        Ok(())
    }

    /// Returns a gap, if there is one.
    fn find(&mut self, read: &mut dyn RequestPage) -> Result<Option<Error>, Error> {
        if self.cursor.worker_id() != self.worker_id {
            let problem = format!("the cursor is of worker {}", self.cursor.worker_id());
            return Err(self.invalid(&problem));
        }
        if self.interval.is_zero() {
            return Err(self.invalid("the interval must be more than zero"));
        }
        if self.cursor.has_started() { self.go_on(read) } else { self.start(read) }
    }

    /// Covers what is there. Returns a gap, if there is one.
    fn start(&mut self, read: &mut dyn RequestPage) -> Result<Option<Error>, Error> {
        let mut start = Start::new(&self.worker_id, self.terms());
        let mut walk = self.client.executions(&self.worker_id);
        let gap = read_back(&mut walk, read, |execution, _| start.accept(&execution))?;
        self.cursor = start.finish();
        self.wait = Some(self.interval);
        Ok(gap.or_else(|| self.cursor.is_shortened().then(|| self.incomplete(SHORTENED))))
    }

    /// Finds what is not covered. Returns a gap, if there is one.
    fn go_on(&mut self, read: &mut dyn RequestPage) -> Result<Option<Error>, Error> {
        let mut round = Round::new(&self.cursor, &self.limits);
        let mut walk = self.client.executions(&self.worker_id).since(self.cursor.floor());
        let mut is_too_long = false;
        let gap = read_back(&mut walk, read, |execution, requests| {
            round.accept(execution);
            is_too_long = requests > self.limits.requests;
            !is_too_long
        })?;
        let (found, has_covered) = round.finish();
        self.found = found;
        self.wait = (!self.found.has_more).then_some(self.interval);
        if gap.is_some() {
            return Ok(gap);
        }
        if is_too_long {
            self.cursor.skip_to(self.found.oldest());
            return Ok(Some(self.incomplete(TOO_LONG)));
        }
        let is_reported = self.cursor.note(has_covered || walk.end() == Some(End::Since));
        Ok(is_reported.then(|| self.incomplete(NONE_LEFT)))
    }

    fn invalid(&self, problem: &str) -> Error {
        let worker_id = utf8_percent_encode(&self.worker_id, COMPONENT);
        Error::invalid_input(format!("follow executions of worker {worker_id}"), problem)
    }

    fn incomplete(&self, problem: &str) -> Error {
        incomplete(&self.worker_id, problem)
    }

    fn terms(&self) -> Terms {
        Terms { now: millis(OffsetDateTime::now_utc()), overlap: self.overlap, limits: self.limits }
    }
}

/// Reads from the newest execution on, as long as `accept` returns true for one and the number of requests made. Returns a
/// gap of the walk, if there is one.
fn read_back(
    walk: &mut Executions,
    read: &mut dyn RequestPage,
    mut accept: impl FnMut(WebhookExecution, u32) -> bool,
) -> Result<Option<Error>, Error> {
    let mut requests = 0;
    let mut newest = None;
    while let Some(item) = walk.next_with(&mut |client: &HandingerClient, worker_id: &str, page| {
        requests += 1;
        read(client, worker_id, page)
    }) {
        match item {
            Ok(execution) => {
                if requests == 1 {
                    newest = newest.max(Some(execution.created_at));
                }
                let came_meanwhile = Some(execution.created_at) > newest;
                if !came_meanwhile && !accept(execution, requests) {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::Incomplete => return Ok(Some(error)),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

impl Iterator for Follow {
    type Item = Result<WebhookExecution, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_with(&mut HandingerClient::list_executions)
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
