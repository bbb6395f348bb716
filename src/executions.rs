//! Iterators over the pages and the executions of a delivery history.

use std::fmt;
use std::iter::FusedIterator;
use std::vec;

use percent_encoding::utf8_percent_encode;
use time::OffsetDateTime;

use crate::client::HandingerClient;
use crate::error::Error;
use crate::redact::COMPONENT;
use crate::types::{WebhookExecution, WebhookExecutionList};

use self::walk::Walk;

pub(crate) mod walk;

impl HandingerClient {
    /// Returns an iterator over the pages of a worker's delivery history, newest first, one request a page.
    ///
    /// Deliveries and removals during the iteration move executions from page to page, so that some appear
    /// twice or not at all. Use [`executions`](Self::executions) if that matters.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # for _ in 0..120 { fake.deliver("wrk_1", 200); }
    /// for page in client.execution_pages("wrk_1") {
    ///     let page = page?;
    ///     println!("page {} of {}: {} executions", page.page, page.page_count, page.logs.len());
    /// }
    /// # assert_eq!(client.execution_pages("wrk_1").count(), 3);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn execution_pages(&self, worker_id: &str) -> PageIter {
        PageIter { client: self.clone(), worker_id: worker_id.to_owned(), page: 1, state: State::Walking }
    }

    /// Returns an iterator over a worker's executions, each once, newest first.
    ///
    /// Deliveries and removals during the walk neither repeat nor hide an execution; see [`Executions`].
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # for n in 0..120 { fake.deliver("wrk_1", if n % 10 == 0 { 503 } else { 200 }); }
    /// for execution in client.executions("wrk_1") {
    ///     let execution = execution?;
    ///     if !execution.is_success() {
    ///         println!("{execution}");
    ///     }
    /// }
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn executions(&self, worker_id: &str) -> Executions {
        Executions {
            worker_id: worker_id.to_owned(),
            source: self.source(worker_id),
            walk: Walk::new(),
            page: Vec::new().into_iter(),
            since: None,
            state: State::Walking,
            progress: Progress::default(),
        }
    }

    pub(crate) fn source(&self, worker_id: &str) -> Source {
        let (client, worker_id) = (self.clone(), worker_id.to_owned());
        Box::new(move |page| client.list_executions(&worker_id, page))
    }
}

/// Requests one page. In unit tests, a closure takes the place of the server.
pub(crate) type Source = Box<dyn FnMut(u64) -> Result<WebhookExecutionList, Error> + Send + Sync>;

/// Names the action in an error that has no request.
pub(crate) fn listing(worker_id: &str) -> String {
    format!("list executions of worker {}", utf8_percent_encode(worker_id, COMPONENT))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Walking,
    /// The last request failed.
    Failed,
    Over,
}

/// The pages of a delivery history; returned by [`execution_pages`](HandingerClient::execution_pages).
///
/// - Each `next()` makes one request and yields the page, even an empty one. The iterator holds no page.
/// - It ends after the last page according to the latest `page_count`, which may grow or shrink.
/// - It ends after an error, unless you [`resume`](Self::resume) it.
///
/// The iterator owns what it needs: it borrows neither the client nor the worker id.
#[derive(Debug)]
#[must_use = "iterators are lazy: nothing is requested before `next` is called"]
pub struct PageIter {
    client: HandingerClient,
    worker_id: String,
    page: u64,
    state: State,
}

impl PageIter {
    /// Sets the next page, even after the first `next()`. Default: 1. With 0, `next()` yields an error of
    /// kind [`InvalidInput`](crate::ErrorKind::InvalidInput).
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # for _ in 0..120 { fake.deliver("wrk_1", 200); }
    /// let mut pages = client.execution_pages("wrk_1").starting_at(3);
    /// assert_eq!(pages.next().unwrap()?.logs.len(), 20);
    /// assert!(pages.next().is_none());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn starting_at(self, page: u64) -> Self {
        Self { page, state: State::Walking, ..self }
    }

    /// Continues with the page that failed, like [`Executions::resume`]. Does nothing without an error.
    pub fn resume(&mut self) {
        if self.state == State::Failed {
            self.state = State::Walking;
        }
    }
}

impl Iterator for PageIter {
    type Item = Result<WebhookExecutionList, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state != State::Walking {
            return None;
        }
        let response = self.client.list_executions(&self.worker_id, self.page);
        match &response {
            Ok(list) if self.page < list.page_count => self.page += 1,
            Ok(_) => self.state = State::Over,
            Err(_) => self.state = State::Failed,
        }
        Some(response)
    }
}

impl FusedIterator for PageIter {}

/// The executions of a delivery history; returned by [`executions`](HandingerClient::executions).
///
/// - Each execution that is in the history from the first request to the last is yielded exactly once, in the
///   server's order, newest first. An execution that is added or removed meanwhile may be yielded or not, and
///   out of order.
/// - `next()` makes a request only after the previous page has been yielded. The iterator holds one page, and
///   a hash of the id of each execution that it has yielded.
/// - The iterator ends after an error. [`resume`](Self::resume) continues after any error except
///   [`Incomplete`](crate::ErrorKind::Incomplete).
///
/// If thousands of removals or deliveries outrun the iterator, it may miss executions. It then yields all
/// that it finds, and then an error of kind [`Incomplete`](crate::ErrorKind::Incomplete).
///
/// The iterator owns what it needs: it borrows neither the client nor the worker id.
///
/// ```
/// # let fake = handinger::fake::FakeHandinger::start();
/// # fake.add_worker("wrk_1");
/// # let client = fake.client();
/// # client.update_webhook("wrk_1", "https://example.com/hook")?;
/// # for n in 0..120 { fake.deliver("wrk_1", if n % 10 == 0 { 503 } else { 200 }); }
/// // All of them, or the first error.
/// let all = client.executions("wrk_1").collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(all.len(), 120);
///
/// // The newest: a single request.
/// let newest = client.executions("wrk_1").next().transpose()?;
/// assert_eq!(newest.as_ref(), all.first());
///
/// // The tasks of those that failed; errors pass through.
/// let failed = client.executions("wrk_1").filter_map(|execution| match execution {
///     Ok(execution) if !execution.is_success() => execution.task_id.map(Ok),
///     Ok(_) => None,
///     Err(error) => Some(Err(error)),
/// });
/// assert_eq!(failed.collect::<Result<Vec<_>, _>>()?.len(), 12);
/// # Ok::<(), handinger::Error>(())
/// ```
#[must_use = "iterators are lazy: nothing is requested before `next` is called"]
pub struct Executions {
    worker_id: String,
    source: Source,
    walk: Walk,
    /// The rest of the last page that was read.
    page: vec::IntoIter<WebhookExecution>,
    since: Option<OffsetDateTime>,
    state: State,
    progress: Progress,
}

/// The progress of a walk; returned by [`Executions::progress`].
///
/// At the end, `executions` may differ from `total_count`, because [`since`](Executions::since) stops early,
/// and executions are added and removed meanwhile. All fields are zero before the first request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Progress {
    /// The number of the last page that was read.
    pub page: u64,
    /// The number of pages according to the latest response.
    pub page_count: u64,
    /// The number of executions yielded so far.
    pub executions: u64,
    /// The number of executions in the history according to the latest response.
    pub total_count: u64,
}

impl Executions {
    /// Stops at the first execution older than `time`, and requests no later pages. Default: does not stop.
    ///
    /// To get the executions since an earlier run, use [`follow`](HandingerClient::follow) with a cursor,
    /// because a run that continues from a time misses executions that are written late, behind newer ones.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # fake.deliver("wrk_1", 200);
    /// use std::time::{Duration, SystemTime};
    ///
    /// let an_hour_ago = SystemTime::now() - Duration::from_secs(3600); // or an `OffsetDateTime`
    /// let recent = client.executions("wrk_1").since(an_hour_ago);
    /// let recent = recent.collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(recent.len(), 1);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn since(mut self, time: impl Into<OffsetDateTime>) -> Self {
        self.since = Some(time.into());
        self
    }

    /// Continues with the page that failed, without repeating executions. Does nothing without an error, nor
    /// after one of kind [`Incomplete`](crate::ErrorKind::Incomplete), because all executions that could be
    /// found have been yielded.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # for _ in 0..120 { fake.deliver("wrk_1", 200); }
    /// # fake.fail_next(3, 503);
    /// let mut executions = client.executions("wrk_1");
    /// let mut resumes_left = 10;
    /// let mut count = 0;
    /// while let Some(execution) = executions.next() {
    ///     match execution {
    ///         Ok(_) => count += 1,
    ///         Err(error) if error.is_transient() && resumes_left > 0 => {
    ///             resumes_left -= 1;
    ///             eprintln!("{error:#}");
    ///             executions.resume();
    ///         }
    ///         Err(error) => return Err(error),
    ///     }
    /// }
    /// assert_eq!(count, 120);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn resume(&mut self) {
        if self.state == State::Failed {
            self.state = State::Walking;
        }
    }

    /// Returns the progress so far, even after an error and at the end.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # for _ in 0..120 { fake.deliver("wrk_1", 200); }
    /// let mut executions = client.executions("wrk_1");
    /// while let Some(execution) = executions.next() {
    ///     println!("{}", execution?.id);
    ///     let progress = executions.progress();
    ///     eprint!("\r{} of {}", progress.executions, progress.total_count);
    /// }
    /// # assert_eq!(executions.progress().executions, 120);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress
    }

    fn read_page(&mut self) -> Result<(), Error> {
        let page = self.walk.page;
        let list = (self.source)(page)?;
        self.progress =
            Progress { page, page_count: list.page_count, total_count: list.total_count, ..self.progress };
        self.page = self.walk.accept(list).unwrap_or_default().into_iter();
        Ok(())
    }

    fn end(&mut self) -> Option<Result<WebhookExecution, Error>> {
        self.state = State::Over;
        self.walk.gap.map(|problem| Err(Error::incomplete(listing(&self.worker_id), problem)))
    }
}

impl Iterator for Executions {
    type Item = Result<WebhookExecution, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.state == State::Walking {
            match self.page.next() {
                Some(execution) if self.since.is_some_and(|since| execution.created_at < since) => {
                    return self.end();
                }
                Some(execution) => {
                    self.progress.executions += 1;
                    return Some(Ok(execution));
                }
                None if self.walk.is_over => return self.end(),
                None => {
                    if let Err(error) = self.read_page() {
                        self.state = State::Failed;
                        return Some(Err(error));
                    }
                }
            }
        }
        None
    }
}

impl FusedIterator for Executions {}

impl fmt::Debug for Executions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executions")
            .field("worker_id", &self.worker_id)
            .field("since", &self.since)
            .field("state", &self.state)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
