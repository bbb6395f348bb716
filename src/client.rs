//! The client: the five endpoints, `rotate_token`, and the options of one call.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use percent_encoding::utf8_percent_encode;

use crate::error::Error;
use crate::http::{Http, Method, Options, Request};
use crate::redact::{COMPONENT, secret_parts};
use crate::token::WebhookToken;
use crate::types::{UpdateWebhook, Webhook, WebhookExecutionList};

/// A client of the worker-webhook API.
///
/// Created by [`new`](Self::new), [`from_env`](Self::from_env) or a [`builder`](Self::builder). A clone is cheap and
/// shares the connections. `Debug` prints no key and no headers.
///
/// Every call blocks the calling thread until it succeeds or finally fails. The client starts no runtime.
/// Several threads can use it at once; each request is sent from the calling thread.
///
/// ```
/// # let fake = handinger::fake::FakeHandinger::start();
/// # fake.add_worker("wrk_1");
/// # let client = fake.client();
/// let webhook = client.retrieve_webhook("wrk_1")?;
/// println!("{:?}", webhook.url);
/// # Ok::<(), handinger::Error>(())
/// ```
///
/// # Connections
///
/// Retrieve, update, delete and list reuse a connection for 15 s; a regenerate and each retry open a new one.
/// HTTP/1.1 matches responses to requests only by their order (RFC 9112 §9.3), so that the client may take a
/// stray second response for the next one; `.ureq_config(|config| config.max_idle_connections(0))` rules this
/// out. After a `fork`, use the client in only one of the two processes, because they share its connections.
#[derive(Clone)]
pub struct HandingerClient {
    http: Arc<Http>,
    options: Options,
}

/// The five calls, and `rotate_token`. Each takes the id of a worker, and percent-encodes it; an id that is
/// empty, `.` or `..` is `InvalidInput`. Only a worker's creator may make the calls; others get 403.
/// [`Error`] lists how they fail, what has been retried, and what to do.
impl HandingerClient {
    /// Returns the webhook of a worker; both fields are `None` if it has none.
    ///
    /// # Errors
    ///
    /// See [`Error`](Error#what-to-do). Any transient failure is retried.
    pub fn retrieve_webhook(&self, worker_id: &str) -> Result<Webhook, Error> {
        self.retrieve_from(Instant::now(), worker_id)
    }

    /// Sets, replaces or removes the webhook's URL, and returns the webhook.
    ///
    /// The first URL generates a token; later ones keep it. [`UpdateWebhook::clear()`] removes URL and token, as
    /// [`delete_webhook`](Self::delete_webhook) does.
    ///
    /// # Errors
    ///
    /// See [`Error`](Error#what-to-do). A blank URL is `InvalidInput`. Any transient failure is retried.
    ///
    /// ```
    /// use handinger::UpdateWebhook;
    ///
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// let webhook = client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// assert!(webhook.token.is_some());
    ///
    /// let webhook = client.update_webhook("wrk_1", UpdateWebhook::clear())?;
    /// assert_eq!(webhook.token, None);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn update_webhook(
        &self,
        worker_id: &str,
        update: impl Into<UpdateWebhook>,
    ) -> Result<Webhook, Error> {
        const ACTION: &str = "update webhook";
        let update = update.into();
        // A service might interpret a blank URL as "no URL", and remove the webhook with its token.
        if update.url.as_deref().is_some_and(|url| url.trim().is_empty()) {
            let problem = "the URL must not be blank; UpdateWebhook::clear() removes it";
            return Err(Error::invalid_input(ACTION, problem));
        }
        let request = self.request(ACTION, Method::PUT, worker_id, "")?;
        let body = serde_json::to_vec(&update);
        let body = body.map_err(|error| Error::invalid_input(ACTION, error.to_string()))?;
        // Trimmed, because a URL from a file ends in a newline, which the server's message omits.
        let secrets = update.url.as_deref().map(str::trim).map(secret_parts).unwrap_or_default();
        self.http.send(&Request { body: Some(body), secrets, ..request })
    }

    /// Removes the webhook, and returns it with both fields `None`. Handinger then makes no deliveries. Does
    /// nothing if there is no webhook.
    ///
    /// # Errors
    ///
    /// See [`Error`](Error#what-to-do). Any transient failure is retried.
    pub fn delete_webhook(&self, worker_id: &str) -> Result<Webhook, Error> {
        self.http.send(&self.request("delete webhook", Method::DELETE, worker_id, "")?)
    }

    /// Replaces the webhook's token, and returns the webhook. The old token is invalid at once; the URL stays.
    ///
    /// The API does not document what happens if there is no webhook. [`rotate_token`](Self::rotate_token)
    /// returns the token in force even if the response is lost.
    ///
    /// # Errors
    ///
    /// See [`Error`](Error#what-to-do). A POST is not idempotent (RFC 9110 §9.2.2): the client retries it
    /// only if the failed attempt was certainly not applied. Otherwise
    /// [`may_have_been_applied`](Error::may_have_been_applied) returns true.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// let old = client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// let new = client.regenerate_token("wrk_1")?;
    /// assert_eq!(new.url, old.url);
    /// assert_ne!(new.token, old.token);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn regenerate_token(&self, worker_id: &str) -> Result<Webhook, Error> {
        self.http.send(&self.regenerate_request(worker_id)?)
    }

    /// Replaces the webhook's token, even if a response is lost, and returns the webhook with the new token.
    ///
    /// First retrieves the token, then regenerates it once. If the response is lost or carries no new token,
    /// the method retrieves the token again, and returns it if it has changed. If another program replaces
    /// the token at the same time, it may return that one. The `total_timeout` limits all requests together.
    ///
    /// # Errors
    ///
    /// See [`Error`](Error#what-to-do). If [`may_have_been_applied`](Error::may_have_been_applied) is false,
    /// the old token is still in force. If it is true, the message says what the second retrieve found. A
    /// request with an unknown outcome may still be applied later, even if that retrieve returned the old
    /// token; [`retrieve_webhook`](Self::retrieve_webhook) returns the token in force.
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault, Operation};
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # let old = client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// // The token is replaced, but the response is lost.
    /// fake.inject(Fault::hang_up().after_applying().on(Operation::RegenerateToken));
    /// let new = client.rotate_token("wrk_1")?;
    /// assert_ne!(new.token, old.token);
    /// # assert_eq!(client.retrieve_webhook("wrk_1")?, new);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn rotate_token(&self, worker_id: &str) -> Result<Webhook, Error> {
        let started = Instant::now(); // the `total_timeout` limits all the calls together
        let old = self.retrieve_from(started, worker_id)?.token;
        let is_new = |webhook: &Webhook| webhook.token.is_some() && webhook.token != old;
        let secrets = old.iter().map(WebhookToken::as_str).collect();
        let regenerate = Request { secrets, started, ..self.regenerate_request(worker_id)? };
        let error = match self.http.send(&regenerate) {
            Ok(webhook) if is_new(&webhook) => return Ok(webhook),
            Ok(_) => Error::unusable(&regenerate.action, "the response carries no new token"),
            Err(error) if error.may_have_been_applied() => error,
            Err(error) => return Err(error),
        };
        match self.retrieve_from(started, worker_id) {
            Ok(webhook) if is_new(&webhook) => Ok(webhook),
            Ok(Webhook { token: None, .. }) => Err(error.noting("the webhook had no token afterwards")),
            Ok(_) => Err(error.noting("the old token was still in force afterwards")),
            Err(_) => Err(error.noting("the token in force could not be retrieved")),
        }
    }

    /// Returns one page of the delivery history, newest first: up to 50 executions. Pages are counted from 1; a page
    /// past the last one is empty.
    ///
    /// To read more than one page, use [`executions`](Self::executions) or [`execution_pages`](Self::execution_pages).
    ///
    /// # Errors
    ///
    /// See [`Error`](Error#what-to-do). Page 0 is `InvalidInput`. Any transient failure is retried.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # fake.deliver("wrk_1", 200);
    /// let page = client.list_executions("wrk_1", 1)?;
    /// println!("{} executions in all", page.total_count);
    /// for execution in &page.logs {
    ///     println!("{execution}");
    /// }
    /// # assert_eq!(page.logs.len(), 1);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn list_executions(&self, worker_id: &str, page: u64) -> Result<WebhookExecutionList, Error> {
        const ACTION: &str = "list executions";
        if page == 0 {
            return Err(Error::invalid_input(ACTION, "pages are counted from 1"));
        }
        let request = self.request(ACTION, Method::GET, worker_id, &format!("/executions?page={page}"))?;
        let action = format!("{}, page {page}", request.action);
        self.http.send(&Request { action, ..request })
    }

    fn retrieve_from(&self, started: Instant, worker_id: &str) -> Result<Webhook, Error> {
        let request = self.request("retrieve webhook", Method::GET, worker_id, "")?;
        self.http.send(&Request { started, ..request })
    }

    fn regenerate_request(&self, worker_id: &str) -> Result<Request<'static>, Error> {
        let request = self.request("regenerate token", Method::POST, worker_id, "/regenerate-token")?;
        Ok(Request { body: Some(Vec::new()), ..request })
    }

    fn request(
        &self,
        action: &'static str,
        method: Method,
        worker_id: &str,
        below: &str,
    ) -> Result<Request<'static>, Error> {
        // A path with such a segment would address another resource.
        if matches!(worker_id, "" | "." | "..") {
            return Err(Error::invalid_input(action, format!("the worker id must not be {worker_id:?}")));
        }
        let worker_id = utf8_percent_encode(worker_id, COMPONENT);
        let uri = self.http.url(&format!("/api/workers/{worker_id}/webhook{below}"));
        Ok(Request {
            action: format!("{action} of worker {worker_id}"),
            method,
            uri: uri.map_err(|problem| Error::invalid_input(action, problem))?,
            body: None,
            secrets: Vec::new(),
            options: self.options,
            started: Instant::now(),
        })
    }
}

/// Options for single calls. Each method returns a client with one option changed, which shares the
/// connections.
impl HandingerClient {
    /// Returns a client with another [`timeout`](crate::HandingerClientBuilder::timeout): how long one attempt may
    /// take. With zero, calls fail as `InvalidInput`.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// use std::time::Duration;
    ///
    /// let hurried = client.with_timeout(Duration::from_secs(5)).with_max_retries(0);
    /// let webhook = hurried.retrieve_webhook("wrk_1")?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        self.with_options(Options { timeout, ..self.options })
    }

    /// Returns a client with another [`total_timeout`](crate::HandingerClientBuilder::total_timeout): how long a call
    /// may take with all its attempts and waits. `None` sets no limit; with zero, calls fail as `InvalidInput`.
    #[must_use]
    pub fn with_total_timeout(&self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with_options(Options { total_timeout: timeout.into(), ..self.options })
    }

    /// Returns a client with another [`max_retries`](crate::HandingerClientBuilder::max_retries): how often a failed
    /// attempt is retried, if that is safe.
    #[must_use]
    pub fn with_max_retries(&self, max_retries: u32) -> Self {
        self.with_options(Options { max_retries, ..self.options })
    }

    fn with_options(&self, options: Options) -> Self {
        Self { http: Arc::clone(&self.http), options }
    }
}

impl HandingerClient {
    pub(crate) fn from_parts(http: Http, options: Options) -> Self {
        Self { http: Arc::new(http), options }
    }

    /// Waits with the function of `sleep_with`.
    pub(crate) fn sleep(&self, wait: Duration) {
        (self.http.sleep)(wait);
    }
}

impl fmt::Debug for HandingerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandingerClient")
            .field("base_url", &self.http.base_url())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
