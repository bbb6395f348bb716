//! A fake Handinger for tests, on a loopback port (feature `fake`).
//!
//! ```
//! use handinger::fake::FakeHandinger;
//!
//! let fake = FakeHandinger::start();
//! fake.add_worker("wrk_1");
//! fake.client().update_webhook("wrk_1", "https://example.com/hook")?;
//! fake.deliver("wrk_1", 503);
//! fake.fail_next(1, 429);
//! let all = fake.client().executions("wrk_1").collect::<Result<Vec<_>, _>>()?;
//! assert_eq!(all.len(), 1); // after a retry
//! fake.assert_faults_used();
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! [`FakeHandinger`] stores workers, webhooks and a delivery history, and follows the API's reference. It can
//! fail in every way that your code has to handle ([`Fault`]), and records the requests it receives.
//!
//! Clients in any language can use it. To run a program against it, set its environment:
//! `Command::new("my-tool").envs(fake.env())`. Such a program really waits before a retry; the header
//! `retry-after-ms: 1` on a [`Fault::status`] shortens the wait.
//!
//! # Undocumented responses
//!
//! The API does not document these responses. Each has a body of `{"error":{"message":"…"}}`:
//!
//! | status | for |
//! |---|---|
//! | 400 | an update without an `https://` URL or `null`; a regenerate without a webhook; a page below 1 |
//! | 401 | a missing or wrong key, whatever else is wrong |
//! | 404 | an unknown worker, path or method |
//!
//! A page past the last one is empty. An empty history has no page. The history outlives the webhook.
//!
//! The fake serves GET, PUT, POST and DELETE over HTTP/1.1, with a `Content-Length` of at most 1 MiB or
//! without a body. It responds to anything else, such as a chunked body, with 400, and closes the connection.

mod fault;
mod http;
mod request;
mod server;
mod state;

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use time::OffsetDateTime;

pub use self::fault::Fault;
pub use self::request::{Operation, Request};

use self::server::Core;
use crate::client::HandingerClient;
use crate::token::WebhookToken;
use crate::types::{RequestStatus, WebhookExecution};

/// A fake Handinger on loopback, with its own key, workers, webhooks and delivery history.
///
/// A process can have any number of fakes. Dropping one closes its port and connections, and ends its
/// threads.
pub struct FakeHandinger {
    core: Arc<Core>,
    /// False for the fake that [`Fault::meanwhile`] passes to a function.
    stops_on_drop: bool,
}

/// A delivery that Handinger would have made to the endpoint of a webhook; see [`FakeHandinger::deliver`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// The URL of the endpoint.
    pub url: String,
    /// The value of the `X-Handinger-Token` header.
    pub token: WebhookToken,
    /// The execution that was added to the history.
    pub execution: WebhookExecution,
}

/// Starting and stopping, and settings for clients.
impl FakeHandinger {
    /// Starts a fake without workers on a free port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// If the system has no free port or thread.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self { core: Core::start(), stops_on_drop: true }
    }

    /// Returns a new client of this fake.
    ///
    /// To keep tests fast, it sleeps for at most 1 ms before a retry or between two rounds of
    /// [`follow`](HandingerClient::follow).
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the fake's key and URL are valid")]
    pub fn client(&self) -> HandingerClient {
        let builder = HandingerClient::builder(self.api_key()).base_url(self.base_url());
        let builder = builder.sleep_with(|wait| thread::sleep(wait.min(Duration::from_millis(1))));
        builder.build().expect("valid settings")
    }

    /// Returns the base URL for clients, such as `http://127.0.0.1:34567`. It is the same after a restart.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.core.address)
    }

    /// Returns the API key that the fake accepts, which is different for each fake.
    #[must_use]
    pub fn api_key(&self) -> &str {
        &self.core.api_key
    }

    /// Returns the environment variables for a client of this fake, for
    /// [`Command::envs`](std::process::Command::envs).
    ///
    /// `HANDINGER_CUSTOM_HEADERS` is empty, so that the program does not inherit any.
    #[must_use]
    pub fn env(&self) -> [(&'static str, String); 3] {
        [
            ("HANDINGER_API_KEY", self.api_key().to_owned()),
            ("HANDINGER_BASE_URL", self.base_url()),
            ("HANDINGER_CUSTOM_HEADERS", String::new()),
        ]
    }

    /// Closes the port and all connections, as in an outage: clients cannot connect.
    ///
    /// Workers, faults and requests are kept, and the port is reserved for [`restart`](Self::restart).
    /// Requests that a fault delays are dropped. Does nothing if the fake is already stopped.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// let client = fake.client();
    /// fake.stop();
    /// assert!(client.retrieve_webhook("wrk_1").unwrap_err().is_connect());
    /// fake.restart();
    /// assert!(client.retrieve_webhook("wrk_1").is_ok());
    /// ```
    pub fn stop(&self) {
        self.core.stop();
    }

    /// Listens again on the same port. [`stop`](Self::stop)s the fake first if it is running.
    ///
    /// # Panics
    ///
    /// If another program has taken the port, or the system has no free thread.
    #[track_caller]
    pub fn restart(&self) {
        self.core.restart();
    }
}

/// Workers and their history.
impl FakeHandinger {
    /// Adds a worker without a webhook; does nothing if the worker exists.
    pub fn add_worker(&self, worker_id: &str) {
        self.core.state().workers.entry(worker_id.to_owned()).or_default();
    }

    /// Completes a task of the worker: returns the delivery that Handinger would make to the webhook's
    /// endpoint, and adds the execution to the history.
    ///
    /// The endpoint returns `response_status`, or cannot be reached (`None`). Nothing is sent to it.
    ///
    /// # Panics
    ///
    /// If the worker is unknown or has no webhook.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// let webhook = fake.client().update_webhook("wrk_1", "https://example.com/hook")?;
    /// let delivery = fake.deliver("wrk_1", 200);
    /// assert_eq!(delivery.url, "https://example.com/hook");
    /// assert!(webhook.token.unwrap().verify(delivery.token.as_str()));
    /// assert!(!fake.deliver("wrk_1", None).execution.is_success());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[track_caller]
    pub fn deliver(&self, worker_id: &str, response_status: impl Into<Option<u16>>) -> Delivery {
        self.deliver_with(worker_id, |execution| execution.response_status = response_status.into())
    }

    /// Delivers as [`deliver`](Self::deliver) does, with an execution that `edit` changes before it is added.
    ///
    /// `edit` receives a current success (status 200), and may call the fake. If the `response_status` is not
    /// 2xx afterwards, the execution is an error.
    ///
    /// # Panics
    ///
    /// If the worker is unknown or has no webhook.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # fake.client().update_webhook("wrk_1", "https://example.com/hook")?;
    /// let delivery = fake.deliver_with("wrk_1", |execution| {
    ///     execution.created_at -= Duration::from_secs(60 * 60);
    ///     execution.response_status = Some(504);
    /// });
    /// assert!(!delivery.execution.is_success());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[track_caller]
    pub fn deliver_with(&self, worker_id: &str, edit: impl FnOnce(&mut WebhookExecution)) -> Delivery {
        let begun = self.core.state().delivery(worker_id);
        let (url, token, number) = match begun {
            Ok(begun) => begun,
            Err(problem) => panic!("cannot deliver to worker {worker_id}: {problem}"),
        };
        let now = OffsetDateTime::now_utc();
        let mut execution = WebhookExecution {
            id: format!("whe_{number:026}"),
            created_at: now.replace_millisecond(now.millisecond()).unwrap_or(now), // as the API writes times
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
        mark_failure(&mut execution);
        self.core.state().insert(worker_id, execution.clone());
        Delivery { url, token, execution }
    }

    /// Adds an execution to a worker's history unchanged, sorted by its time.
    ///
    /// Adds the worker if it does not exist. Outside this crate, create an execution from JSON.
    pub fn add_execution(&self, worker_id: &str, execution: WebhookExecution) {
        self.core.state().insert(worker_id, execution);
    }

    /// Removes an execution from a worker's history, as a service with limited retention does. Returns
    /// whether the execution existed.
    #[expect(clippy::must_use_candidate, reason = "called for what it does")]
    pub fn remove_execution(&self, worker_id: &str, execution_id: &str) -> bool {
        let mut state = self.core.state();
        let Some(worker) = state.workers.get_mut(worker_id) else { return false };
        let place = worker.executions.iter().position(|execution| execution.id == execution_id);
        place.map(|place| worker.executions.remove(place)).is_some()
    }
}

/// Faults and recorded requests.
impl FakeHandinger {
    /// Adds a fault to the end of the queue. Each request takes only the first fault that applies to it.
    pub fn inject(&self, fault: Fault) {
        if !fault.is_over() {
            self.core.state().faults.push(fault);
        }
    }

    /// Injects `Fault::status(status).times(count)`.
    ///
    /// # Panics
    ///
    /// If the status is not between 200 and 999.
    #[track_caller]
    pub fn fail_next(&self, count: usize, status: u16) {
        self.inject(Fault::status(status).times(count));
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        // The lock is released before the faults are dropped, because they own a test's functions.
        let faults = std::mem::take(&mut self.core.state().faults);
        drop(faults);
    }

    /// Asserts that all faults were used, so that a test cannot pass without them.
    ///
    /// # Panics
    ///
    /// If a fault has not struck as often as it should, or one of [`Fault::always`] has never struck.
    #[track_caller]
    pub fn assert_faults_used(&self) {
        let mut unused = self.core.state().faults.clone();
        unused.retain(|fault| !fault.is_used());
        assert!(unused.is_empty(), "unused faults: {unused:?}");
    }

    /// Returns all requests in the order of their arrival, including those that a fault struck.
    ///
    /// A request arrives when its body is complete. Malformed requests are not recorded.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.core.state().requests.clone()
    }

    /// Returns how many [`requests`](Self::requests) have arrived.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.core.state().requests.len()
    }

    /// Clears the recorded [`requests`](Self::requests), such as those of a test's setup.
    ///
    /// Call this in a fake that runs for a long time, because it keeps each request in memory.
    pub fn clear_requests(&self) {
        self.core.state().requests.clear();
    }
}

impl Drop for FakeHandinger {
    fn drop(&mut self) {
        if self.stops_on_drop {
            self.core.stop();
        }
    }
}

impl fmt::Debug for FakeHandinger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeHandinger").field("base_url", &self.base_url()).finish_non_exhaustive()
    }
}

/// Turns an execution without a 2xx response into an error with a message.
fn mark_failure(execution: &mut WebhookExecution) {
    let cause = match execution.response_status {
        Some(200..=299) => return,
        Some(status) => format!("the endpoint responded with {status}"),
        None => "the endpoint could not be reached".into(),
    };
    if execution.request_status == RequestStatus::Success {
        execution.request_status = RequestStatus::Error;
    }
    execution.error_message.get_or_insert(cause);
}
