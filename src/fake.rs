//! A Handinger to test against, on a loopback port (feature `fake`).
//!
//! [`FakeHandinger`] keeps workers, webhooks and a delivery history, and does what the API's reference says. It is for
//! the tests of your own code: it can fail in every way that your code has to handle, and returns the requests that it
//! received. Clients in any language can talk to it.
//!
//! # A status, with headers
//!
//! A [`Fault`] strikes the next request, unless it says otherwise:
//!
//! ```
//! use handinger::fake::{FakeHandinger, Fault};
//!
//! let fake = FakeHandinger::start();
//! fake.add_worker("wrk_1");
//! fake.inject(Fault::status(429).header("Retry-After", "2"));
//!
//! // The fake's client does not sleep between two attempts.
//! fake.client().retrieve_webhook("wrk_1")?;
//! assert_eq!(fake.request_count(), 2);
//! fake.assert_faults_used();
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! # A token rotation whose response is lost
//!
//! ```
//! use handinger::fake::{FakeHandinger, Fault, Operation};
//!
//! let fake = FakeHandinger::start();
//! fake.add_worker("wrk_1");
//! let client = fake.client();
//! let before = client.update_webhook("wrk_1", "https://example.com/hook")?;
//!
//! fake.inject(Fault::hang_up().after_applying().on(Operation::RegenerateToken));
//! let error = client.regenerate_token("wrk_1").unwrap_err();
//! assert!(error.may_have_been_applied());
//!
//! let after = client.retrieve_webhook("wrk_1")?;
//! assert_ne!(after.token, before.token);
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! # A history that changes between two pages
//!
//! ```
//! use handinger::fake::{FakeHandinger, Fault, Operation};
//!
//! let fake = FakeHandinger::start();
//! fake.add_worker("wrk_1");
//! let client = fake.client();
//! client.update_webhook("wrk_1", "https://example.com/hook")?;
//! for _ in 0..60 {
//!     fake.deliver("wrk_1", 200);
//! }
//!
//! // A delivery pushes the last execution of the first page onto the second.
//! let delivery = Fault::meanwhile(|fake| fake.deliver("wrk_1", 503));
//! fake.inject(delivery.on(Operation::ListExecutions).skip(1));
//!
//! assert_eq!(client.executions("wrk_1").count(), 60); // and each once
//! fake.assert_faults_used();
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! # A service that is down, and back
//!
//! ```
//! use handinger::ErrorKind;
//! use handinger::fake::FakeHandinger;
//!
//! let fake = FakeHandinger::start();
//! fake.add_worker("wrk_1");
//! let client = fake.client();
//!
//! fake.stop();
//! assert_eq!(client.retrieve_webhook("wrk_1").unwrap_err().kind(), ErrorKind::Connect);
//! fake.restart();
//! assert!(client.retrieve_webhook("wrk_1").is_ok());
//! ```
//!
//! # What was sent
//!
//! ```
//! use handinger::fake::{FakeHandinger, Operation};
//!
//! let fake = FakeHandinger::start();
//! fake.add_worker("wrk_1");
//! fake.client().update_webhook("wrk_1", "https://example.com/hook")?;
//!
//! let updates = fake.requests_of(Operation::UpdateWebhook);
//! assert_eq!(updates.len(), 1);
//! assert_eq!(updates[0].body_text(), r#"{"url":"https://example.com/hook"}"#);
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! # A program under test
//!
//! A binary is a client of its own: start it with `HANDINGER_API_KEY` set to [`api_key`](FakeHandinger::api_key) and
//! `HANDINGER_BASE_URL` to [`base_url`](FakeHandinger::base_url), and without `HANDINGER_CUSTOM_HEADERS`. It waits for real
//! before a retry; with the header `retry-after-ms: 1` on a [`Fault::status`], not for long.
//!
//! # Where the reference is silent
//!
//! The reference fixes paths, fields and their order, and that there are 50 executions a page. These responses are the
//! fake's own, each with a body of `{"error":{"message":"…"}}`:
//!
//! | status | for |
//! |---|---|
//! | 400 | an update without a `url`, or with one that is not `https://` and a host; a regenerate without a webhook; a page below 1; a malformed request |
//! | 401 | a missing, wrong or revoked key, whatever else is wrong |
//! | 403 | a worker of somebody else |
//! | 404 | an unknown worker or path |
//! | 405 | another method, with `Allow` |
//! | 413, 431 | a body over 1 MiB, a head over 64 KiB or 100 headers |
//! | 415 | an update whose `Content-Type` is not `application/json` |
//! | 417, 501, 505 | an expectation, transfer coding or version that the fake does not know |
//!
//! A page past the last one is empty. An empty history has no page. The history remains when the webhook is removed.

mod connection;
mod fault;
mod http;
mod request;
mod server;
mod state;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use time::OffsetDateTime;

pub use self::fault::Fault;
pub use self::request::{Operation, Request};

use self::http::Response;
use self::server::Server;
use self::state::{State, whole_milliseconds};
use crate::client::HandingerClient;
use crate::token::WebhookToken;
use crate::types::{RequestStatus, WebhookExecution};

/// A Handinger on loopback, with keys, workers, webhooks and a delivery history of its own.
///
/// A token is generated when a URL is first set, kept by later updates, cleared with the URL, and replaced by a
/// regenerate; a wrong key gets 401, an unknown worker 404; the history is listed newest first, 50 a page.
///
/// A process can have any number of fakes. Dropping one closes its port and all of its connections, and ends its
/// threads.
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
pub struct FakeHandinger {
    core: Arc<Core>,
    /// False for what [`Fault::meanwhile`] lends to a closure.
    stops_on_drop: bool,
}

/// What a fake shares with its threads.
struct Core {
    address: SocketAddr,
    api_key: String,
    /// Locked neither while something is written or slept, nor while a test's closure runs.
    state: Mutex<State>,
    server: Mutex<Option<Server>>,
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
    /// The execution that the history now has.
    pub execution: WebhookExecution,
}

/// Starting, stopping, and the keys that the fake accepts.
impl FakeHandinger {
    /// Starts a fake without workers on a free port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// If the system has no port or thread left.
    ///
    /// ```
    /// let fake = handinger::fake::FakeHandinger::start();
    /// assert!(fake.base_url().starts_with("http://127.0.0.1:"));
    /// ```
    #[must_use]
    pub fn start() -> Self {
        Self::start_on((Ipv4Addr::LOCALHOST, 0))
    }

    /// Starts a fake without workers on this address, which must be a loopback one. Port 0 selects a free port.
    ///
    /// # Panics
    ///
    /// If the address is not a loopback one, or cannot be used.
    ///
    /// ```
    /// # use std::net::{Ipv6Addr, TcpListener};
    /// # use handinger::fake::FakeHandinger;
    /// # if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() { return } // a system without IPv6
    /// let fake = FakeHandinger::start_on((Ipv6Addr::LOCALHOST, 0));
    /// assert!(fake.base_url().starts_with("http://[::1]:"));
    /// ```
    #[must_use]
    pub fn start_on(address: impl Into<SocketAddr>) -> Self {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let address = address.into();
        assert!(address.ip().is_loopback(), "{} is not a loopback address", address.ip());
        let listener = listen(address);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let core = Core {
            address: listener.local_addr().expect("a listener has an address"),
            api_key: format!("hnd_fake_{:020}{number}", RandomState::new().hash_one(number)),
            state: Mutex::default(),
            server: Mutex::default(),
        };
        let fake = Self { core: Arc::new(core), stops_on_drop: true };
        fake.add_api_key(fake.api_key());
        fake.serve(listener);
        fake
    }

    /// Returns the base URL for clients, without a slash at its end.
    ///
    /// It stays the same after [`stop`](Self::stop) and [`restart`](Self::restart).
    ///
    /// ```
    /// # use handinger::{HandingerClient, fake::FakeHandinger};
    /// let fake = FakeHandinger::start();
    /// let client = HandingerClient::builder(fake.api_key()).base_url(fake.base_url()).build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.core.address)
    }

    /// Returns the key that the fake accepts from the start; no two fakes have the same.
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
        &self.core.api_key
    }

    /// Accepts this key as well.
    ///
    /// ```
    /// # use handinger::{HandingerClient, fake::FakeHandinger};
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// fake.add_api_key("key of the CI");
    /// let client = HandingerClient::builder("key of the CI").base_url(fake.base_url()).build()?;
    /// assert!(client.retrieve_webhook("wrk_1").is_ok());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn add_api_key(&self, api_key: &str) {
        self.state().api_keys.insert(api_key.to_owned());
    }

    /// Revokes this key: requests with it get 401. Returns whether it was accepted before.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// let client = fake.client();
    /// fake.revoke_api_key(fake.api_key());
    /// assert!(client.retrieve_webhook("wrk_1").unwrap_err().is_unauthorized());
    /// ```
    #[expect(clippy::must_use_candidate, reason = "called for what it does")]
    pub fn revoke_api_key(&self, api_key: &str) -> bool {
        self.state().api_keys.remove(api_key)
    }

    /// Returns a new client of this fake. It sleeps for 1 ms where another would wait longer, before a retry or between two
    /// rounds of [`follow`](HandingerClient::follow), so that tests do not wait.
    ///
    /// ```
    /// let fake = handinger::fake::FakeHandinger::start();
    /// fake.add_worker("wrk_1");
    /// fake.fail_next(2, 503);
    /// assert!(fake.client().retrieve_webhook("wrk_1").is_ok()); // at the third attempt, at once
    /// ```
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the fake's key and URL are valid")]
    pub fn client(&self) -> HandingerClient {
        let builder = HandingerClient::builder(self.api_key()).base_url(self.base_url());
        let builder = builder.sleep_with(|wait| thread::sleep(wait.min(Duration::from_millis(1))));
        builder.build().expect("valid settings")
    }

    /// Closes the port and all connections, as a service does that goes down. Keys, workers, faults and requests are
    /// kept.
    ///
    /// Requests that a [`Fault::delay`] holds back are dropped. Returns when all threads have ended; within
    /// [`Fault::meanwhile`], when the port is closed. Does nothing if the fake has stopped already.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// fake.stop();
    /// assert!(fake.client().retrieve_webhook("wrk_1").unwrap_err().is_connect());
    /// ```
    pub fn stop(&self) {
        // A statement of its own: the lock is released before the threads are waited for.
        let server = lock(&self.core.server).take();
        if let Some(server) = server {
            server.stop();
        }
    }

    /// Listens again on the same port, after a [`stop`](Self::stop) if the fake has not stopped yet.
    ///
    /// # Panics
    ///
    /// If another program has taken the port. For a minute, the system does not assign it to a program that asks for a
    /// free port.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// fake.restart();
    /// assert!(client.retrieve_webhook("wrk_1").is_ok()); // over a new connection
    /// ```
    pub fn restart(&self) {
        self.stop();
        self.serve(listen(self.core.address));
    }

    fn serve(&self, listener: TcpListener) {
        let core = Arc::clone(&self.core);
        let server = Server::start(listener, move |stream, run| connection::serve(&core, stream, run));
        *lock(&self.core.server) = Some(server.expect("a thread can be started"));
    }

    /// For a closure of a test that one of the fake's own threads calls.
    fn borrowing(core: &Arc<Core>) -> Self {
        Self { core: Arc::clone(core), stops_on_drop: false }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.core.state)
    }
}

/// Workers and their history.
impl FakeHandinger {
    /// Adds a worker without a webhook; does nothing if there is such a worker.
    ///
    /// ```
    /// let fake = handinger::fake::FakeHandinger::start();
    /// assert!(fake.client().retrieve_webhook("wrk_1").unwrap_err().is_not_found());
    /// fake.add_worker("wrk_1");
    /// assert!(fake.client().retrieve_webhook("wrk_1").is_ok());
    /// ```
    pub fn add_worker(&self, worker_id: &str) {
        self.state().workers.entry(worker_id.to_owned()).or_default();
    }

    /// Adds a worker of somebody else, or gives one to somebody else: all requests for it get 403.
    ///
    /// ```
    /// let fake = handinger::fake::FakeHandinger::start();
    /// fake.add_foreign_worker("wrk_1");
    /// assert!(fake.client().retrieve_webhook("wrk_1").unwrap_err().is_forbidden());
    /// ```
    pub fn add_foreign_worker(&self, worker_id: &str) {
        self.state().workers.entry(worker_id.to_owned()).or_default().is_foreign = true;
    }

    /// Completes a task of the worker: returns what Handinger would send to the webhook's endpoint, and adds the
    /// execution to the history.
    ///
    /// The endpoint responds with `response_status`, or cannot be reached (`None`). Nothing is sent to it. Returns
    /// `None` if the worker is unknown or has no webhook.
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
        self.deliver_at(worker_id, OffsetDateTime::now_utc(), response_status)
    }

    /// Delivers as [`deliver`](Self::deliver) does, but at this time, in whole milliseconds.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use handinger::time::OffsetDateTime;
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # fake.client().update_webhook("wrk_1", "https://example.com/hook")?;
    /// let yesterday = OffsetDateTime::now_utc() - Duration::from_secs(24 * 60 * 60);
    /// let delivery = fake.deliver_at("wrk_1", yesterday, 503).unwrap();
    /// assert!(!delivery.execution.is_success());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn deliver_at(
        &self,
        worker_id: &str,
        time: OffsetDateTime,
        response_status: impl Into<Option<u16>>,
    ) -> Option<Delivery> {
        let response_status = response_status.into();
        self.deliver_with(worker_id, |execution| {
            execution.created_at = time;
            execution.response_status = response_status;
        })
    }

    /// Delivers as [`deliver`](Self::deliver) does, with an execution that `edit` changes before it is added.
    ///
    /// `edit` receives a success (status 200) of now, and may call the fake. Then the two statuses are made to agree: a
    /// `response_status` that is not 2xx makes it an error, and an error loses a 2xx status.
    /// [`add_execution`](Self::add_execution) leaves them as they are.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # fake.client().update_webhook("wrk_1", "https://example.com/hook")?;
    /// let delivery = fake.deliver_with("wrk_1", |execution| {
    ///     execution.task_title = Some("Weekly report".into());
    ///     execution.duration_ms = 10_000;
    ///     execution.response_status = Some(504);
    /// });
    /// assert!(!delivery.unwrap().execution.is_success());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn deliver_with(
        &self,
        worker_id: &str,
        edit: impl FnOnce(&mut WebhookExecution),
    ) -> Option<Delivery> {
        let (url, token, number) = {
            let mut state = self.state();
            let worker = state.workers.get(worker_id)?;
            let (url, token) = (worker.url.clone()?, worker.token.clone()?);
            (url, token, state.next_number())
        };
        let mut execution = WebhookExecution {
            id: format!("whe_{number:026}"),
            created_at: OffsetDateTime::now_utc(),
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
        execution.created_at = whole_milliseconds(execution.created_at);
        make_consistent(&mut execution);
        self.state().insert(worker_id, execution.clone());
        Some(Delivery { url, token, execution })
    }

    /// Adds an execution to a worker's history unchanged, in the order of its time; adds the worker if there is none.
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
        self.state().insert(worker_id, execution);
    }

    /// Removes an execution from a worker's history, as a service does that keeps executions only for a time. Returns
    /// whether it was there.
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
        let mut state = self.state();
        let Some(worker) = state.workers.get_mut(worker_id) else { return false };
        let before = worker.executions.len();
        worker.executions.retain(|execution| execution.id != execution_id);
        worker.executions.len() < before
    }
}

/// Faults.
impl FakeHandinger {
    /// Adds a fault to the end of the queue. Each request takes the first fault that is for it, and no other.
    ///
    /// ```
    /// use handinger::fake::{FakeHandinger, Fault, Operation};
    ///
    /// let fake = FakeHandinger::start();
    /// fake.add_worker("wrk_1");
    /// fake.inject(Fault::status(503));
    /// fake.inject(Fault::hang_up());
    /// assert!(fake.client().retrieve_webhook("wrk_1").is_ok()); // at the third attempt
    /// ```
    pub fn inject(&self, fault: Fault) {
        if !fault.never_strikes() {
            self.state().faults.push(fault);
        }
    }

    /// Responds to the next `count` requests with a status instead of doing what was requested.
    ///
    /// Short for [`inject`](Self::inject) of a [`Fault::status`].
    ///
    /// # Panics
    ///
    /// If the status is not between 200 and 999.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// fake.fail_next(1, 403);
    /// assert!(fake.client().retrieve_webhook("wrk_1").unwrap_err().is_forbidden());
    /// assert!(fake.client().retrieve_webhook("wrk_1").is_ok());
    /// ```
    pub fn fail_next(&self, count: usize, status: u16) {
        self.inject(Fault::status(status).times(count));
    }

    /// Does what the next `count` requests ask for, but closes the connection instead of responding.
    ///
    /// Short for [`inject`](Self::inject) of a [`Fault::hang_up`] [`after_applying`](Fault::after_applying).
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # fake.client().update_webhook("wrk_1", "https://example.com/hook")?;
    /// fake.lose_next(1);
    /// let error = fake.client().regenerate_token("wrk_1").unwrap_err();
    /// assert!(error.may_have_been_applied());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn lose_next(&self, count: usize) {
        self.inject(Fault::hang_up().after_applying().times(count));
    }

    /// Waits before it does what the next `count` requests ask for, and responds.
    ///
    /// Short for [`inject`](Self::inject) of a [`Fault::delay`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// fake.delay_next(1, Duration::from_millis(200));
    /// let client = fake.client().with_timeout(Duration::from_millis(50)).with_max_retries(0);
    /// assert!(client.retrieve_webhook("wrk_1").unwrap_err().is_timeout());
    /// ```
    pub fn delay_next(&self, count: usize, delay: Duration) {
        self.inject(Fault::delay(delay).times(count));
    }

    /// Removes all faults.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// fake.fail_next(10, 503);
    /// fake.clear_faults();
    /// assert!(fake.client().retrieve_webhook("wrk_1").is_ok());
    /// ```
    pub fn clear_faults(&self) {
        // A statement of its own: the faults are dropped after the lock.
        let faults = self.state().faults.clear();
        drop(faults);
    }

    /// Returns the faults that have not struck as often as they should, with what is left of their `skip` and `times`,
    /// and those of [`Fault::always`] that never struck.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// fake.fail_next(2, 503);
    /// fake.fail_next(1, 429);
    /// let _ = fake.client().with_max_retries(0).retrieve_webhook("wrk_1");
    /// let unused = format!("{:?}", fake.unused_faults());
    /// assert_eq!(unused, "[Fault { status: 503, times: 1 }, Fault { status: 429, times: 1 }]");
    /// ```
    #[must_use]
    pub fn unused_faults(&self) -> Vec<Fault> {
        self.state().faults.unused()
    }

    /// Asserts that there are no [`unused_faults`](Self::unused_faults): that the test tested what it was meant to.
    ///
    /// # Panics
    ///
    /// If there are.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// fake.fail_next(1, 404);
    /// let _ = fake.client().retrieve_webhook("wrk_1");
    /// fake.assert_faults_used();
    /// ```
    #[track_caller]
    pub fn assert_faults_used(&self) {
        let unused = self.unused_faults();
        assert!(unused.is_empty(), "unused faults: {unused:?}");
    }
}

/// Requests that were received.
impl FakeHandinger {
    /// Returns all requests since the start, in the order of their arrival, those that a fault struck too.
    ///
    /// A request arrives when its body is complete. Malformed requests are not recorded.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// let _ = fake.client().retrieve_webhook("wrk_1");
    /// let paths: Vec<_> = fake.requests().into_iter().map(|request| request.path).collect();
    /// assert_eq!(paths, ["/api/workers/wrk_1/webhook"]);
    /// ```
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// Returns the [`requests`](Self::requests) of one operation.
    ///
    /// ```
    /// # use handinger::fake::Operation;
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// let _ = fake.client().retrieve_webhook("wrk_1");
    /// assert!(fake.requests_of(Operation::UpdateWebhook).is_empty());
    /// ```
    #[must_use]
    pub fn requests_of(&self, operation: Operation) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.operation() == Some(operation));
        requests
    }

    /// Returns how many [`requests`](Self::requests) have arrived.
    ///
    /// ```
    /// let fake = handinger::fake::FakeHandinger::start();
    /// let _ = fake.client().retrieve_webhook("wrk_1");
    /// assert_eq!(fake.request_count(), 1);
    /// ```
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.state().requests.len()
    }
}

impl Drop for FakeHandinger {
    fn drop(&mut self) {
        if self.stops_on_drop {
            self.stop();
        }
    }
}

impl fmt::Debug for FakeHandinger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeHandinger").field("base_url", &self.base_url()).finish_non_exhaustive()
    }
}

impl Core {
    /// Records a request, and returns the fault that it takes.
    fn receive(&self, request: &Request) -> Option<Fault> {
        let faults = {
            let mut state = lock(&self.state);
            state.requests.push(request.clone());
            state.faults.all()
        };
        let selecting: Vec<_> =
            faults.iter().filter(|(_, fault)| fault.selects(request)).map(|(number, _)| *number).collect();
        lock(&self.state).faults.take(&selecting)
    }

    fn respond(&self, request: &Request) -> Response {
        lock(&self.state).respond(request)
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    TcpListener::bind(address).unwrap_or_else(|error| panic!("cannot listen on {address}: {error}"))
}

/// `success` is for a 2xx response, and `error` for everything else.
fn make_consistent(execution: &mut WebhookExecution) {
    let is_2xx = matches!(execution.response_status, Some(200..=299));
    if execution.request_status == RequestStatus::Success && !is_2xx {
        execution.request_status = RequestStatus::Error;
    } else if execution.request_status == RequestStatus::Error && is_2xx {
        execution.response_status = None;
    }
    if execution.request_status == RequestStatus::Error && execution.error_message.is_none() {
        execution.error_message = Some(match execution.response_status {
            Some(status) => format!("the endpoint responded with {status}"),
            None => "the endpoint could not be reached".into(),
        });
    }
}

/// No panic leaves anything behind these locks halfway changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
