//! A Handinger to test against: [`FakeHandinger`] (feature `fake`).

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use httpmock::{HttpMockRequest, HttpMockResponse, MockServer};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use ureq::http::StatusCode;

use crate::{
    HandingerClient, RequestStatus, UpdateWebhook, Webhook, WebhookExecution, WebhookExecutionList,
    WebhookToken,
};

const API_KEY: &str = "fake-api-key";
const PAGE_SIZE: usize = 50;

/// A Handinger on a port of this machine, with workers, webhooks and a delivery history of its own.
///
/// It does what the API's reference says: a token is generated when a URL is first set, kept by later updates, cleared
/// with the URL, and replaced by a regenerate; a wrong key gets 401, an unknown worker 404; the history is listed
/// newest first, 50 a page. Any HTTP client can talk to it, in any language. When dropped, it forgets everything and
/// answers 404 to whatever is asked; its port may go to a later fake of the same process.
///
/// ```
/// use handinger::fake::FakeHandinger;
///
/// let fake = FakeHandinger::start();
/// fake.add_worker("wrk_1");
/// let client = fake.client();
///
/// client.update_webhook("wrk_1", "https://example.com/hook")?;
/// let delivery = fake.deliver("wrk_1", 503).expect("a webhook is set");
///
/// let history = client.list_executions("wrk_1", 1)?;
/// assert_eq!(history.logs, [delivery.execution]);
/// assert_eq!(history.logs[0].response_status, Some(503));
/// # Ok::<(), handinger::Error>(())
/// ```
///
/// A process can have 25 of them at a time (or `HTTPMOCK_MAX_SERVERS`); a further [`start`](Self::start) waits until
/// one is dropped.
pub struct FakeHandinger {
    server: MockServer,
    state: Arc<Mutex<State>>,
}

/// What Handinger would have sent to the endpoint of a webhook; see [`FakeHandinger::deliver`].
///
/// ```
/// # let fake = handinger::fake::FakeHandinger::start();
/// # fake.add_worker("wrk_1");
/// let webhook = fake.client().update_webhook("wrk_1", "https://example.com/hook")?;
/// let delivery = fake.deliver("wrk_1", 200).unwrap();
/// assert_eq!(delivery.url, "https://example.com/hook");
/// assert!(webhook.token.unwrap().verify(delivery.token.as_str()));
/// # Ok::<(), handinger::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// The endpoint.
    pub url: String,
    /// The value of the `X-Handinger-Token` header.
    pub token: WebhookToken,
    /// What the history now says of it.
    pub execution: WebhookExecution,
}

#[derive(Default)]
struct State {
    workers: HashMap<String, Worker>,
    /// For tokens and ids, so that no two are the same.
    issued: u64,
    requests: usize,
    failures: VecDeque<StatusCode>,
    cuts: usize,
    /// The mocks for late answers, by number, and for how many of the next requests they stand.
    late: VecDeque<(u64, usize)>,
}

#[derive(Default)]
struct Worker {
    url: Option<String>,
    token: Option<WebhookToken>,
    /// Newest first.
    executions: Vec<WebhookExecution>,
}

impl FakeHandinger {
    /// Starts a fake without workers.
    ///
    /// # Panics
    ///
    /// If no port can be had.
    ///
    /// ```
    /// let fake = handinger::fake::FakeHandinger::start();
    /// assert!(fake.base_url().starts_with("http://127.0.0.1:"));
    /// ```
    #[must_use]
    pub fn start() -> Self {
        let server = MockServer::start();
        let state = Arc::new(Mutex::new(State::default()));
        let (in_time, answering) = (Arc::clone(&state), Arc::clone(&state));
        server.mock(|when, then| {
            when.is_true(move |_| lock(&in_time).late.is_empty());
            then.respond_with(move |request| answer(&answering, request));
        });
        Self { server, state }
    }

    /// The base URL for clients, without a slash at its end.
    ///
    /// ```
    /// # use handinger::{HandingerClient, fake::FakeHandinger};
    /// let fake = FakeHandinger::start();
    /// let client = HandingerClient::builder(fake.api_key()).base_url(fake.base_url()).build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn base_url(&self) -> String {
        self.server.base_url()
    }

    /// The key that the fake accepts. All others get 401.
    ///
    /// ```
    /// # use handinger::{HandingerClient, fake::FakeHandinger};
    /// let fake = FakeHandinger::start();
    /// let stranger = HandingerClient::builder("another key").base_url(fake.base_url()).build()?;
    /// assert!(stranger.retrieve_webhook("wrk_1").unwrap_err().is_unauthorized());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn api_key(&self) -> &str {
        API_KEY
    }

    /// A client of this fake. It does not sleep between two tries, so that tests do not wait.
    ///
    /// # Panics
    ///
    /// Never: the fake's key and URL are valid.
    ///
    /// ```
    /// let fake = handinger::fake::FakeHandinger::start();
    /// fake.add_worker("wrk_1");
    /// fake.fail_next(2, 503);
    /// assert!(fake.client().retrieve_webhook("wrk_1").is_ok()); // at the third try, at once
    /// ```
    #[must_use]
    pub fn client(&self) -> HandingerClient {
        let builder = HandingerClient::builder(self.api_key()).base_url(self.base_url()).sleep_with(|_| {});
        builder.build().expect("valid settings")
    }

    /// Adds a worker without a webhook; does nothing if there is such a worker.
    ///
    /// ```
    /// let fake = handinger::fake::FakeHandinger::start();
    /// assert!(fake.client().retrieve_webhook("wrk_1").unwrap_err().is_not_found());
    /// fake.add_worker("wrk_1");
    /// assert!(fake.client().retrieve_webhook("wrk_1").is_ok());
    /// ```
    pub fn add_worker(&self, worker_id: &str) {
        self.lock().workers.entry(worker_id.to_owned()).or_default();
    }

    /// A task of the worker completes: what Handinger would send to the webhook's endpoint, and the history's entry for
    /// the case that the endpoint answers with `response_status`, or cannot be reached (`None`).
    ///
    /// Nothing is sent. Returns `None` if the worker is unknown or has no webhook.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// assert_eq!(fake.deliver("wrk_1", 200), None); // no webhook yet
    ///
    /// fake.client().update_webhook("wrk_1", "https://example.com/hook")?;
    /// assert!(fake.deliver("wrk_1", 200).is_some());
    /// assert!(fake.deliver("wrk_1", None).is_some());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn deliver(&self, worker_id: &str, response_status: impl Into<Option<u16>>) -> Option<Delivery> {
        let response_status = response_status.into();
        self.deliver_with(worker_id, |execution| {
            execution.response_status = response_status;
            if !matches!(response_status, Some(200..=299)) {
                execution.request_status = RequestStatus::Error;
                execution.error_message = Some(match response_status {
                    Some(status) => format!("the endpoint answered {status}"),
                    None => "the endpoint could not be reached".into(),
                });
            }
        })
    }

    /// [`deliver`](Self::deliver), with an entry in the history that is edited before it is added: at first that of a
    /// success (200) right now.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # fake.client().update_webhook("wrk_1", "https://example.com/hook")?;
    /// let delivery = fake.deliver_with("wrk_1", |execution| {
    ///     execution.created_at -= std::time::Duration::from_secs(3600);
    ///     execution.task_title = Some("Weekly report".into());
    /// });
    /// # assert_eq!(delivery.unwrap().execution.task_title.as_deref(), Some("Weekly report"));
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn deliver_with(
        &self,
        worker_id: &str,
        edit: impl FnOnce(&mut WebhookExecution),
    ) -> Option<Delivery> {
        let mut state = self.lock();
        let worker = state.workers.get(worker_id)?;
        let (url, token) = (worker.url.clone()?, worker.token.clone()?);
        let number = state.next_number();
        let mut execution = WebhookExecution {
            id: format!("whe_{number:026}"),
            created_at: now(),
            duration_ms: 120,
            error_message: None,
            request_status: RequestStatus::Success,
            response_status: Some(200),
            task_id: Some(format!("tsk_{number:026}")),
            task_title: Some(format!("Task {number}")),
            url: url.clone(),
            worker_id: worker_id.to_owned(),
        };
        edit(&mut execution);
        state.insert(worker_id, execution.clone());
        Some(Delivery { url, token, execution })
    }

    /// Adds an entry to a worker's history, at the place that its time gives it; the worker is added if need be.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// let execution = serde_json::from_value(serde_json::json!({
    ///     "id": "whe_1", "createdAt": "2026-11-23T18:11:19.117Z", "durationMs": 212, "requestStatus": "success",
    ///     "url": "https://example.com/hook", "workerId": "wrk_1"
    /// }))?;
    /// fake.add_execution("wrk_1", execution);
    /// assert_eq!(fake.client().list_executions("wrk_1", 1)?.total_count, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_execution(&self, worker_id: &str, execution: WebhookExecution) {
        self.add_worker(worker_id);
        self.lock().insert(worker_id, execution);
    }

    /// Removes an entry from a worker's history, as a service does that keeps it only for a time. Returns whether it was
    /// there.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # fake.client().update_webhook("wrk_1", "https://example.com/hook")?;
    /// let delivery = fake.deliver("wrk_1", 200).unwrap();
    /// assert!(fake.remove_execution("wrk_1", &delivery.execution.id));
    /// assert!(!fake.remove_execution("wrk_1", &delivery.execution.id));
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[expect(clippy::must_use_candidate, reason = "called for what it does")]
    pub fn remove_execution(&self, worker_id: &str, execution_id: &str) -> bool {
        let mut state = self.lock();
        let Some(worker) = state.workers.get_mut(worker_id) else {
            return false;
        };
        let before = worker.executions.len();
        worker.executions.retain(|execution| execution.id != execution_id);
        worker.executions.len() < before
    }

    /// Answers the next `count` requests with a status instead of doing what they ask for.
    ///
    /// # Panics
    ///
    /// If the status is not one of a failure, between 300 and 599.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// fake.fail_next(1, 403);
    /// assert!(fake.client().retrieve_webhook("wrk_1").unwrap_err().is_forbidden());
    /// assert!(fake.client().retrieve_webhook("wrk_1").is_ok());
    /// ```
    pub fn fail_next(&self, count: usize, status: u16) {
        assert!((300..600).contains(&status), "{status} is not a status between 300 and 599");
        let status = StatusCode::from_u16(status).expect("a valid status");
        self.lock().failures.extend(std::iter::repeat_n(status, count));
    }

    /// Does what the next `count` requests ask for, but closes the connection in place of an answer.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # fake.client().update_webhook("wrk_1", "https://example.com/hook")?;
    /// fake.cut_next(1);
    /// let error = fake.client().regenerate_token("wrk_1").unwrap_err();
    /// assert!(error.may_have_been_applied());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn cut_next(&self, count: usize) {
        self.lock().cuts += count;
    }

    /// Holds the next `count` requests back for some time before it does what they ask for and answers. What a client
    /// asked that gave up meanwhile is not done; for an answer that comes too late, see [`cut_next`](Self::cut_next).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// fake.delay_next(1, Duration::from_millis(200));
    /// let hurried = fake.client().with_timeout(Duration::from_millis(50)).with_max_retries(0);
    /// assert!(hurried.retrieve_webhook("wrk_1").unwrap_err().is_timeout());
    /// ```
    pub fn delay_next(&self, count: usize, delay: Duration) {
        if count == 0 {
            return;
        }
        let number = self.lock().next_number();
        let (matching, answering) = (Arc::clone(&self.state), Arc::clone(&self.state));
        self.server.mock(|when, then| {
            // Counted here, before the delay, so that a request that comes meanwhile is not held back as well. The mock
            // that answers in time stands aside while any are to be late, and of those the first asked comes first.
            when.is_true(move |_| lock(&matching).take_late(number));
            then.delay(delay).respond_with(move |request| answer(&answering, request));
        });
        // Not before the mock is there: a request would find that all stand aside.
        self.lock().late.push_back((number, count));
    }

    /// How many requests have been answered, or cut, since the start.
    ///
    /// ```
    /// let fake = handinger::fake::FakeHandinger::start();
    /// let _ = fake.client().retrieve_webhook("wrk_1");
    /// assert_eq!(fake.request_count(), 1);
    /// ```
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.lock().requests
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for FakeHandinger {
    fn drop(&mut self) {
        // httpmock itself does so only when it needs the server again.
        self.server.reset();
    }
}

impl fmt::Debug for FakeHandinger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeHandinger").field("base_url", &self.base_url()).finish_non_exhaustive()
    }
}

/// The state stays sound whatever panics: nothing in here does so halfway through a change.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(state: &Mutex<State>, request: &HttpMockRequest) -> HttpMockResponse {
    let mut state = lock(state);
    state.requests += 1;
    let (status, body) = match state.failures.pop_front() {
        Some(status) => refusal(status.as_u16(), status.canonical_reason().unwrap_or("failed as asked")),
        None => state.handle(request),
    };
    if state.cuts > 0 {
        state.cuts -= 1;
        drop(state);
        // httpmock has no way to cut an answer; unwinding ends the task of the connection, and prints nothing.
        resume_unwind(Box::new("cut_next"));
    }
    HttpMockResponse::builder().status(status).header("content-type", "application/json").body(body).build()
}

type Answer = (u16, String);

fn success(value: &impl Serialize) -> Answer {
    match serde_json::to_string(value) {
        Ok(body) => (200, body),
        Err(error) => refusal(500, &error.to_string()),
    }
}

fn refusal(status: u16, message: &str) -> Answer {
    (status, json!({ "error": { "message": message } }).to_string())
}

impl State {
    fn handle(&mut self, request: &HttpMockRequest) -> Answer {
        let authorization = request.headers_vec().iter().find(|(name, _)| name == "authorization");
        if authorization.is_none_or(|(_, value)| *value != format!("Bearer {API_KEY}")) {
            return refusal(401, "invalid API key");
        }
        let uri = request.uri();
        let path: Vec<_> = uri.path().split('/').collect();
        let ["", "api", "workers", worker_id, "webhook", rest @ ..] = &*path else {
            return refusal(404, "no such path");
        };
        let worker_id = percent_decode_str(worker_id).decode_utf8_lossy();
        let token = self.new_token();
        let Some(worker) = self.workers.get_mut(&*worker_id) else {
            return refusal(404, "worker not found");
        };
        match (request.method_str(), rest) {
            ("GET", []) => success(&worker.webhook()),
            ("PUT", []) => worker.update(request.body_ref(), token),
            ("DELETE", []) => worker.set(None, token),
            ("POST", ["regenerate-token"]) => worker.regenerate(token),
            ("GET", ["executions"]) => worker.list(uri.query().unwrap_or_default()),
            (_, [] | ["regenerate-token" | "executions"]) => refusal(405, "method not allowed"),
            _ => refusal(404, "no such path"),
        }
    }

    fn insert(&mut self, worker_id: &str, execution: WebhookExecution) {
        let executions = &mut self.workers.entry(worker_id.to_owned()).or_default().executions;
        let place = executions.partition_point(|other| other.created_at > execution.created_at);
        executions.insert(place, execution);
    }

    fn next_number(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }

    fn new_token(&mut self) -> WebhookToken {
        let number = self.next_number();
        WebhookToken::new(format!("whk_{:020}{number:06}", RandomState::new().hash_one(number)))
    }

    /// Whether the next request is for the late mock with this number; if so, it is counted.
    fn take_late(&mut self, number: u64) -> bool {
        let Some((_, count)) = self.late.front_mut().filter(|(first, _)| *first == number) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.late.pop_front();
        }
        true
    }
}

impl Worker {
    fn webhook(&self) -> Webhook {
        Webhook { url: self.url.clone(), token: self.token.clone() }
    }

    fn set(&mut self, url: Option<String>, new_token: WebhookToken) -> Answer {
        self.token = url.is_some().then(|| self.token.take().unwrap_or(new_token));
        self.url = url;
        success(&self.webhook())
    }

    fn update(&mut self, body: &[u8], new_token: WebhookToken) -> Answer {
        match serde_json::from_slice::<UpdateWebhook>(body) {
            Ok(UpdateWebhook { url: Some(url) }) if !url.starts_with("https://") => {
                refusal(400, "url must be an https URL")
            }
            Ok(UpdateWebhook { url }) => self.set(url, new_token),
            Err(_) => refusal(400, "the body must be an object with a url"),
        }
    }

    fn regenerate(&mut self, new_token: WebhookToken) -> Answer {
        if self.url.is_none() {
            return refusal(400, "the worker has no webhook");
        }
        self.token = Some(new_token);
        success(&self.webhook())
    }

    fn list(&self, query: &str) -> Answer {
        let page = query.split('&').find_map(|pair| pair.strip_prefix("page=")).unwrap_or("1");
        let Some(page) = page.parse::<u64>().ok().filter(|page| *page > 0) else {
            return refusal(400, "page must be a number from 1 up");
        };
        let skipped = usize::try_from(page - 1).unwrap_or(usize::MAX).saturating_mul(PAGE_SIZE);
        success(&WebhookExecutionList {
            logs: self.executions.iter().skip(skipped).take(PAGE_SIZE).cloned().collect(),
            page,
            page_count: self.executions.len().div_ceil(PAGE_SIZE) as u64,
            total_count: self.executions.len() as u64,
        })
    }
}

/// The service's clock counts milliseconds.
fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_millisecond(now.millisecond()).unwrap_or(now)
}
