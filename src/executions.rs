//! The delivery history: page by page, execution by execution, and as it grows.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::iter::FusedIterator;
use std::vec;

use percent_encoding::utf8_percent_encode;
use time::OffsetDateTime;

use crate::client::HandingerClient;
use crate::error::Error;
use crate::redact::COMPONENT;
use crate::types::{WebhookExecution, WebhookExecutionList};

use self::walk::Walk;

pub use self::cursor::Cursor;
pub use self::follow::Follow;

mod cursor;
mod follow;
mod walk;

/// The repeat in a row that is reported.
const REPEATS: u32 = 5;

impl HandingerClient {
    /// Returns an iterator over the pages of a worker's delivery history, newest first, one request a page.
    ///
    /// Deliveries and removals during the walk move executions from page to page: some then appear twice, or not at
    /// all. Use [`executions`](Self::executions) where that matters.
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
        PageIter {
            client: self.clone(),
            worker_id: worker_id.to_owned(),
            page: 1,
            hasher: RandomState::new(),
            previous: None,
            repeats: 0,
            state: State::Walking,
        }
    }

    /// Returns an iterator over a worker's executions, each of them once, newest first.
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
    ///         println!("{} {:?}", execution.created_at, execution.error_message);
    ///     }
    /// }
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn executions(&self, worker_id: &str) -> Executions {
        Executions {
            client: self.clone(),
            worker_id: worker_id.to_owned(),
            walk: Walk::starting_at(1),
            page: Vec::new().into_iter(),
            since: None,
            after: HashSet::new(),
            state: State::Walking,
            end: None,
            progress: Progress::default(),
        }
    }
}

impl HandingerClient {
    /// Returns an iterator that yields a worker's new executions as they come, the oldest first, each once.
    ///
    /// It starts from now, or [from where another run ended](Follow::starting_from). See [`Follow`].
    ///
    /// ```no_run
    /// # let client = handinger::HandingerClient::from_env()?;
    /// for delivery in client.follow("wrk_1") {
    ///     match delivery {
    ///         Ok(delivery) => println!("{} {}", delivery.created_at, delivery.request_status),
    ///         Err(error) => eprintln!("{error}"),
    ///     }
    /// }
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn follow(&self, worker_id: &str) -> Follow {
        Follow::new(self.clone(), worker_id)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Walking,
    /// The last item was an error.
    Failed,
    Over,
}

/// How a page is requested.
trait RequestPage: FnMut(&HandingerClient, &str, u64) -> Result<WebhookExecutionList, Error> {}
impl<F: FnMut(&HandingerClient, &str, u64) -> Result<WebhookExecutionList, Error>> RequestPage for F {}

fn incomplete(worker_id: &str, problem: &str) -> Error {
    let worker_id = utf8_percent_encode(worker_id, COMPONENT);
    Error::incomplete(format!("list executions of worker {worker_id}"), problem)
}

/// The pages of a delivery history; returned by [`execution_pages`](HandingerClient::execution_pages).
///
/// - Each `next()` makes one request, and another for each page that it skips. The iterator holds at most one page.
/// - It ends after the last page, following `page_count` as it grows or shrinks, or at an empty page.
/// - It skips a page that repeats the one before it, as happens when 50 executions are delivered between two requests.
///   The fifth repeat in a row is an error of kind [`Incomplete`](crate::ErrorKind::Incomplete): the server may ignore
///   the page number.
/// - It ends after an error, unless you [`resume`](Self::resume) it.
///
/// The iterator owns what it needs: it borrows neither the client nor the worker id.
#[derive(Debug)]
#[must_use = "iterators are lazy: nothing is requested before `next` is called"]
pub struct PageIter {
    client: HandingerClient,
    worker_id: String,
    page: u64,
    hasher: RandomState,
    /// The ids on the page before, as a hash.
    previous: Option<u64>,
    repeats: u32,
    state: State,
}

impl PageIter {
    /// Starts at this page, also after the first `next()`. Default: 1. With 0, `next()` yields an error of kind
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput).
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
        Self { page, previous: None, state: State::Walking, ..self }
    }

    /// Continues after an error, with the page that failed or past the repeated ones. Does nothing otherwise.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # for _ in 0..120 { fake.deliver("wrk_1", 200); }
    /// let mut pages = client.execution_pages("wrk_1");
    /// assert_eq!(pages.next().unwrap()?.page, 1);
    /// # fake.fail_next(3, 500);
    /// if let Some(Err(error)) = pages.next() {
    ///     eprintln!("{error}");
    ///     pages.resume();
    /// }
    /// assert_eq!(pages.next().unwrap()?.page, 2);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn resume(&mut self) {
        if self.state == State::Failed {
            self.state = State::Walking;
        }
    }

    /// Requests one page. Returns `None` if it is empty or repeats the one before.
    fn read(&mut self) -> Result<Option<WebhookExecutionList>, Error> {
        let list = self.client.list_executions(&self.worker_id, self.page)?;
        if list.logs.is_empty() || self.page >= list.page_count {
            self.state = State::Over;
        }
        self.page = self.page.saturating_add(1);
        let ids = self.hash_ids(&list);
        if self.previous.replace(ids) != Some(ids) {
            self.repeats = 0;
            return Ok(Some(list).filter(|list| !list.logs.is_empty()));
        }
        self.repeats += 1;
        if self.repeats < REPEATS || self.state == State::Over {
            return Ok(None);
        }
        self.repeats = 0;
        Err(incomplete(&self.worker_id, "executions may be missing: the server repeats a page"))
    }

    fn hash_ids(&self, list: &WebhookExecutionList) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        list.iter().for_each(|execution| execution.id.hash(&mut hasher));
        hasher.finish()
    }
}

impl Iterator for PageIter {
    type Item = Result<WebhookExecutionList, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.state == State::Walking {
            match self.read() {
                Ok(Some(list)) => return Some(Ok(list)),
                Ok(None) => {}
                Err(error) => {
                    self.state = State::Failed;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, (self.state == State::Over).then_some(0))
    }
}

impl FusedIterator for PageIter {}

/// The executions of a delivery history; returned by [`executions`](HandingerClient::executions).
///
/// - Each execution that is in the history from the first request to the last is yielded exactly once, in the server's
///   order, newest first. One that is added or removed meanwhile may be yielded or not, and out of order.
/// - If the walk may have missed an execution, it yields all that it finds, and then an error of kind
///   [`Incomplete`](crate::ErrorKind::Incomplete). [`end`](Self::end) returns how a complete walk ended.
/// - `next()` makes a request only when the page before has been yielded. The iterator ends after an error, unless you
///   [`resume`](Self::resume) it.
/// - It holds one page, and hashes of the ids of up to 10,000 executions. It makes at most 3 × pages + 200 requests.
///
/// The walk assumes that ids are unique, that executions keep their order, even with equal times, that new ones appear
/// ahead of those not yet yielded, and that `total_count` and `page_count` belong to the same moment as their page. If
/// `total_count` falls between two responses, because executions were removed (even the oldest) or another replica lags
/// behind, the walk makes up to two requests more. It becomes incomplete if this happens before every second request
/// for 100 pages. It also becomes incomplete if 50 executions are delivered before each request for 200 pages, or more
/// than 50 for 1,000 pages. After 5,000 deliveries or removals at once, it may yield an execution twice.
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
/// // The newest ten.
/// for execution in client.executions("wrk_1").take(10) {
///     println!("{}", execution?.created_at);
/// }
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
    client: HandingerClient,
    worker_id: String,
    walk: Walk,
    /// What is left of the page that was read last.
    page: vec::IntoIter<WebhookExecution>,
    since: Option<OffsetDateTime>,
    after: HashSet<String>,
    state: State,
    /// Why the walk has ended, even if it may have missed executions.
    end: Option<End>,
    progress: Progress,
}

/// How a complete walk of [`Executions`] ended; see [`Executions::end`].
///
/// ```
/// # let fake = handinger::fake::FakeHandinger::start();
/// # fake.add_worker("wrk_1");
/// let mut executions = fake.client().executions("wrk_1");
/// assert!(executions.next().is_none());
/// assert_eq!(executions.end(), Some(handinger::End::LastPage));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// The last page was read to its end.
    LastPage,
    /// An execution older than [`since`](Executions::since) was met.
    Since,
    /// An execution with an id given to [`after`](Executions::after) was met.
    After,
}

/// How far the walk of [`Executions`] is; see [`Executions::progress`].
///
/// In the end, `executions` may be less or more than `total_count`: [`since`](Executions::since) and
/// [`after`](Executions::after) stop early, and executions are added and removed during the walk.
///
/// ```
/// # let fake = handinger::fake::FakeHandinger::start();
/// # fake.add_worker("wrk_1");
/// # let client = fake.client();
/// let progress = client.executions("wrk_1").progress();
/// assert_eq!(progress.total_count, 0); // nothing is known before the first request
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Progress {
    /// The page that was read last.
    pub page: u64,
    /// How many pages there were at the server's latest response.
    pub page_count: u64,
    /// How many executions have been yielded.
    pub executions: u64,
    /// How many executions there were in all at the server's latest response.
    pub total_count: u64,
}

impl Executions {
    /// Stops at the first execution older than `time`; later pages are not fetched. Default: `None`, no such stop.
    ///
    /// The history is listed newest first, but an execution may appear late, behind newer ones. A run that continues
    /// from the time of an earlier run misses it: choose a `time` some minutes earlier, or use
    /// [`follow`](HandingerClient::follow).
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

    /// Stops at the execution with this id, and does not yield it; later pages are not fetched. Call it again to add
    /// ids: the walk stops at the first that it meets.
    ///
    /// If it meets none, because all have been removed, it yields every execution there is, and [`end`](Self::end)
    /// returns [`End::LastPage`]. It misses an execution that appears late, behind the one with this id, as
    /// [`since`](Self::since) does.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # let last_id = fake.deliver("wrk_1", 200).execution.id;
    /// # for _ in 0..3 { fake.deliver("wrk_1", 200); }
    /// use handinger::End;
    ///
    /// let mut new = client.executions("wrk_1").after(last_id);
    /// while let Some(execution) = new.next().transpose()? {
    ///     println!("{}", execution.id);
    /// }
    /// if new.end() != Some(End::After) {
    ///     eprintln!("the last execution has been removed: some after it may be gone as well");
    /// }
    /// # assert_eq!((new.end(), new.progress().executions), (Some(End::After), 3));
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn after(mut self, execution_id: impl Into<String>) -> Self {
        self.after.insert(execution_id.into());
        self
    }

    /// Starts at this page. Default: 1. With 0, `next()` yields an error of kind
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput).
    ///
    /// Executions ahead of that page are yielded only if deliveries push them onto it or a later one, and then out of
    /// order. After the first `next()`, the walk starts anew and forgets what it has read.
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
        Self {
            walk: Walk::starting_at(page),
            since: self.since,
            after: self.after,
            ..self.client.executions(&self.worker_id)
        }
    }

    /// Continues after an error, with the page that failed, and without repeating what was yielded. Does nothing
    /// otherwise.
    ///
    /// After an error of kind [`Incomplete`](crate::ErrorKind::Incomplete), it continues with the pages that are left,
    /// if any; what it missed is not yielded.
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
    ///         Err(error) if error.is_server_error() && resumes_left > 0 => {
    ///             resumes_left -= 1;
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
            self.walk.resume();
            self.state = if self.end.is_some() { State::Over } else { State::Walking };
        }
    }

    /// Returns how the walk ended; `None` before its end, and after an error.
    ///
    /// `Some` means that the walk is complete, but for the errors of kind [`Incomplete`](crate::ErrorKind::Incomplete)
    /// after which it was resumed.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # fake.deliver("wrk_1", 200);
    /// let mut executions = client.executions("wrk_1").after("whe_removed");
    /// assert_eq!(executions.by_ref().count(), 1);
    /// assert_eq!(executions.end(), Some(handinger::End::LastPage));
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.end.filter(|_| self.state == State::Over)
    }

    /// Returns how far the walk is. It changes with every request and every execution yielded.
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

    /// `next()`, with what makes a request handed in: tests of the rules are the server themselves.
    fn next_with(&mut self, read: &mut dyn RequestPage) -> Option<Result<WebhookExecution, Error>> {
        if self.state != State::Walking {
            return None;
        }
        let item = self.step(read).transpose();
        self.state = match item {
            Some(Ok(_)) => State::Walking,
            Some(Err(_)) => State::Failed,
            None => State::Over,
        };
        item
    }

    fn step(&mut self, read: &mut dyn RequestPage) -> Result<Option<WebhookExecution>, Error> {
        loop {
            let end = match self.page.next() {
                Some(execution) if self.after.contains(&execution.id) => End::After,
                Some(execution) if self.since.is_some_and(|since| execution.created_at < since) => End::Since,
                Some(execution) => {
                    self.progress.executions += 1;
                    return Ok(Some(execution));
                }
                None if self.walk.is_over => End::LastPage,
                None if self.walk.is_stuck => return self.report_gap().map(|()| None),
                None => {
                    self.read_page(read)?;
                    continue;
                }
            };
            self.end = Some(end);
            return self.report_gap().map(|()| None);
        }
    }

    fn read_page(&mut self, read: &mut dyn RequestPage) -> Result<(), Error> {
        let page = self.walk.page;
        let list = read(&self.client, &self.worker_id, page)?;
        self.progress =
            Progress { page, page_count: list.page_count, total_count: list.total_count, ..self.progress };
        if let Some(executions) = self.walk.accept(list) {
            self.page = executions.into_iter();
        }
        Ok(())
    }

    fn report_gap(&mut self) -> Result<(), Error> {
        self.walk.take_gap().map_or(Ok(()), |gap| Err(incomplete(&self.worker_id, gap.problem())))
    }
}

impl Iterator for Executions {
    type Item = Result<WebhookExecution, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_with(&mut HandingerClient::list_executions)
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

#[cfg(test)]
mod tests;
