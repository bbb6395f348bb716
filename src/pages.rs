//! The delivery history, page by page and execution by execution.

use std::fmt;
use std::iter::FusedIterator;
use std::vec;

use time::OffsetDateTime;

use crate::walk::Walk;
use crate::{Error, HandingerClient, WebhookExecution, WebhookExecutionList};

impl HandingerClient {
    /// The pages of a worker's delivery history, one request a page, from the newest to the last.
    ///
    /// What is delivered or removed during the walk moves executions from page to page: some then appear twice, or not
    /// at all. Use [`executions`](Self::executions) where that matters.
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
    pub fn execution_pages(&self, worker_id: impl Into<String>) -> PageIter {
        PageIter {
            client: self.clone(),
            worker_id: worker_id.into(),
            page: 1,
            previous: Vec::new(),
            is_over: false,
        }
    }

    /// The executions of a worker's delivery history, each of them once, from the newest to the oldest.
    ///
    /// Each execution that is there from the first request to the last is yielded once, whatever is delivered or
    /// removed meanwhile; see [`Executions`].
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # for n in 0..120 { fake.deliver("wrk_1", if n % 10 == 0 { 503 } else { 200 }); }
    /// use handinger::RequestStatus;
    ///
    /// for execution in client.executions("wrk_1") {
    ///     let execution = execution?;
    ///     if execution.request_status == RequestStatus::Error {
    ///         println!("{} {:?}", execution.created_at, execution.error_message);
    ///     }
    /// }
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn executions(&self, worker_id: impl Into<String>) -> Executions {
        Executions {
            client: self.clone(),
            worker_id: worker_id.into(),
            walk: Walk::starting_at(1),
            rows: Vec::new().into_iter(),
            since: None,
            state: State::Walking,
            progress: Progress::default(),
        }
    }
}

/// The pages of a delivery history; made by [`execution_pages`](HandingerClient::execution_pages).
///
/// Each `next()` makes one request and nothing is asked for ahead of need. The iterator follows `page_count` as it
/// grows or shrinks. It ends after the last page, before a page that is empty, before a page that repeats the one
/// before it (as a server sends them that ignores the page's number), and after an error. It holds no more than one
/// page, and owns what it needs: it borrows neither the client nor the worker's id.
#[derive(Debug)]
#[must_use = "iterators are lazy: nothing is requested before `next` is called"]
pub struct PageIter {
    client: HandingerClient,
    worker_id: String,
    page: u64,
    /// The ids on the page before.
    previous: Vec<String>,
    is_over: bool,
}

impl PageIter {
    /// Starts at another page than the first, or anew. Pages are counted from 1; with 0, the next `next()` is an error.
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
        Self { page, previous: Vec::new(), is_over: false, ..self }
    }

    /// The page that the next request asks for; after an error, the page that failed, to go on from there:
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # for _ in 0..120 { fake.deliver("wrk_1", 200); }
    /// let mut pages = client.execution_pages("wrk_1");
    /// pages.next();
    /// # fake.fail_next(3, 500);
    /// if let Some(Err(error)) = pages.next() {
    ///     eprintln!("{error}");
    ///     let failed = pages.next_page();
    ///     pages = pages.starting_at(failed);
    /// }
    /// assert_eq!(pages.next().unwrap()?.page, 2);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn next_page(&self) -> u64 {
        self.page
    }
}

impl Iterator for PageIter {
    type Item = Result<WebhookExecutionList, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        // Over, unless there is a page that is not the last.
        self.is_over = true;
        let list = match self.client.list_executions(&self.worker_id, self.page) {
            Ok(list) => list,
            Err(error) => return Some(Err(error)),
        };
        let ids: Vec<_> = list.iter().map(|execution| execution.id.clone()).collect();
        if ids.is_empty() || ids == self.previous {
            return None;
        }
        self.previous = ids;
        self.is_over = self.page >= list.page_count;
        self.page = self.page.saturating_add(1);
        Some(Ok(list))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.is_over.then_some(0))
    }
}

impl FusedIterator for PageIter {}

/// The executions of a delivery history; made by [`executions`](HandingerClient::executions).
///
/// Each `next()` makes a request only when there is no row left of the page before. The iterator owns what it needs: it
/// borrows neither the client nor the worker's id.
///
/// ```
/// # let fake = handinger::fake::FakeHandinger::start();
/// # fake.add_worker("wrk_1");
/// # let client = fake.client();
/// # client.update_webhook("wrk_1", "https://example.com/hook")?;
/// # for n in 0..120 { fake.deliver("wrk_1", if n % 10 == 0 { 503 } else { 200 }); }
/// use handinger::RequestStatus;
///
/// // All of them, or the first error.
/// let all = client.executions("wrk_1").collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(all.len(), 120);
///
/// // The newest: a single request.
/// let newest = client.executions("wrk_1").next().transpose()?;
/// assert_eq!(newest.as_ref(), all.first());
///
/// // The newest ten.
/// for execution in client.executions("wrk_1").take(10) {
///     println!("{}", execution?.created_at);
/// }
///
/// // The tasks of those that failed; errors pass through.
/// let failed = client.executions("wrk_1").filter_map(|execution| match execution {
///     Ok(execution) if execution.request_status == RequestStatus::Error => execution.task_id.map(Ok),
///     Ok(_) => None,
///     Err(error) => Some(Err(error)),
/// });
/// assert_eq!(failed.collect::<Result<Vec<_>, _>>()?.len(), 12);
/// # Ok::<(), handinger::Error>(())
/// ```
///
/// # What it promises
///
/// Within the bounds below, each execution that is in the history from the first request to the last is yielded exactly
/// once, and none twice, whatever is delivered and removed between any two requests. They come in the server's order,
/// newest first.
/// What comes or goes during the walk may or may not be yielded, and out of turn.
///
/// Rows that new deliveries push onto later pages are known by their ids and dropped. When removals may have pulled
/// rows onto pages that were read already (the `total_count` falls, and the page has no row that is known), the
/// iterator goes back page by page until it meets a row that it knows.
///
/// # What it takes for granted, and its bounds
///
/// That new executions come in ahead of those not yet read, and that `total_count` and `page_count` are those of the
/// same moment as the page. Rows that go while `total_count` stays may make it miss as many. Within that:
///
/// - **Memory**: 50 rows, and the ids of the last 5,000 to 10,000 as hashes. A row that comes up again after more than
///   5,000 others is yielded twice: that takes as many deliveries or removals at one stroke, or as fast as it reads.
/// - **Requests**: one a page, two more when the total falls, and two more for each page that it then goes back further.
///   All in all it goes back by no more than 100 pages, and one for each page read: it never makes more than three
///   requests for each page and 200. When it has used them up, in a history that loses rows all the time, it only goes
///   forward, and may miss what removals move ahead.
/// - **Its end**: the last page as the server counts them, an empty page, or 201 further pages in a row without anything
///   new. So a server that repeats itself cannot hold it; but neither can it keep up with 50 or more deliveries from
///   each request to the next, and ends early when that goes on for 201 pages.
/// - With [`starting_at`](Self::starting_at), what removals move ahead of the first page asked for is not looked for.
///
/// # After an error
///
/// Everything before it has been yielded, and the error names the page. The iterator is over then, unless it is told
/// to [`resume`](Self::resume).
#[must_use = "iterators are lazy: nothing is requested before `next` is called"]
pub struct Executions {
    client: HandingerClient,
    worker_id: String,
    walk: Walk,
    rows: vec::IntoIter<WebhookExecution>,
    since: Option<OffsetDateTime>,
    state: State,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Walking,
    Failed,
    Over,
}

/// How far [`Executions`] is, for a person who waits; see [`Executions::progress`].
///
/// With [`since`](Executions::since), or when executions are removed meanwhile, fewer than `total_count` are yielded.
///
/// ```
/// # let fake = handinger::fake::FakeHandinger::start();
/// # fake.add_worker("wrk_1");
/// # let client = fake.client();
/// let progress = client.executions("wrk_1").progress();
/// assert_eq!(progress.total_count, 0); // nothing is known before the first request
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The page that was read last.
    pub page: u64,
    /// How many pages there are, as last told by the server.
    pub page_count: u64,
    /// How many executions have been yielded.
    pub executions: u64,
    /// How many executions there are in all, as last told by the server.
    pub total_count: u64,
}

impl Executions {
    /// Ends before the first execution older than `time`, without a request for a further page. `None`, the default,
    /// for all there are.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # fake.deliver("wrk_1", 200);
    /// use std::time::Duration;
    ///
    /// let an_hour_ago = handinger::time::OffsetDateTime::now_utc() - Duration::from_secs(3600);
    /// let recent = client.executions("wrk_1").since(an_hour_ago).collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(recent.len(), 1);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn since(mut self, time: impl Into<Option<OffsetDateTime>>) -> Self {
        self.since = time.into();
        self
    }

    /// Starts at another page than the first. Pages are counted from 1; with 0, the first `next()` is an error.
    ///
    /// After the first `next()`, it starts all over: what was read is forgotten.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # for _ in 0..120 { fake.deliver("wrk_1", 200); }
    /// assert_eq!(client.executions("wrk_1").starting_at(3).count(), 20);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn starting_at(self, page: u64) -> Self {
        Self { walk: Walk::starting_at(page), since: self.since, ..self.client.executions(self.worker_id) }
    }

    /// Goes on after an error, with the page that failed and without repeating what was yielded. Does nothing otherwise.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # for _ in 0..120 { fake.deliver("wrk_1", 200); }
    /// # fake.fail_next(3, 503);
    /// let mut executions = client.executions("wrk_1");
    /// let mut patience = 10;
    /// let mut count = 0;
    /// while let Some(execution) = executions.next() {
    ///     match execution {
    ///         Ok(_) => count += 1,
    ///         Err(error) if error.is_server_error() && patience > 0 => {
    ///             patience -= 1;
    ///             eprintln!("{error}");
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

    /// How far the walk is. Changes with every request and every execution yielded.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # for _ in 0..120 { fake.deliver("wrk_1", 200); }
    /// let mut executions = client.executions("wrk_1");
    /// while let Some(execution) = executions.next().transpose()? {
    ///     let progress = executions.progress();
    ///     eprint!("\r{} of {}", progress.executions, progress.total_count);
    ///     # let _ = execution;
    /// }
    /// assert_eq!(executions.progress().executions, 120);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress
    }

    fn read_page(&mut self) -> Result<(), Error> {
        let page = self.walk.page;
        let list = self.client.list_executions(&self.worker_id, page)?;
        self.progress =
            Progress { page, page_count: list.page_count, total_count: list.total_count, ..self.progress };
        if let Some(rows) = self.walk.accept(list) {
            self.rows = rows.into_iter();
        }
        Ok(())
    }
}

impl Iterator for Executions {
    type Item = Result<WebhookExecution, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.state == State::Walking {
            match self.rows.next() {
                Some(row) if self.since.is_some_and(|since| row.created_at < since) => {
                    self.state = State::Over;
                }
                Some(row) => {
                    self.progress.executions += 1;
                    return Some(Ok(row));
                }
                None if self.walk.is_over => self.state = State::Over,
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

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, (self.state == State::Over).then_some(0))
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
