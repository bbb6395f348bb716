//! The client: the five endpoints, and the options of one call.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::{Duration, Instant};

use percent_encoding::{PercentEncode, utf8_percent_encode};
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::http::{Http, MAX_LINE, MAX_WORKER_ID, Method, Options, Request, in_words};
use crate::lenient::{DecodeError, from_json};
use crate::redact::{COMPONENT, secret_parts};
use crate::types::{UpdateWebhook, Webhook, WebhookExecutionList};

const WEBHOOK: &str = "/api/workers/{workerId}/webhook";
const REGENERATE_TOKEN: &str = "/api/workers/{workerId}/webhook/regenerate-token";
const EXECUTIONS: &str = "/api/workers/{workerId}/webhook/executions";

/// A client of the worker-webhook API.
///
/// Created by [`new`](Self::new), [`from_env`](Self::from_env) or a [`builder`](Self::builder). A clone is cheap and
/// shares the connections. `Debug` prints no key and no headers.
///
/// Every call blocks the calling thread until it has succeeded or failed for good. The client starts no runtime, can be
/// used from several threads at once, and sends each request from the thread that called.
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
/// The client keeps a connection for the next read ([`retrieve_webhook`](Self::retrieve_webhook),
/// [`list_executions`](Self::list_executions) and the iterators) for 15 s, or as long as an
/// [`agent`](crate::HandingerClientBuilder::agent) of your own says. Calls that change something open a new one.
///
/// HTTP/1.1 matches responses to requests only by their order on the connection (RFC 9112 §9.3). If a server or proxy
/// sends a second, stray response to one request, the next read on that connection may return it. The client closes a
/// connection on which a stray response has arrived, but cannot see one that is still on its way.
/// [`reuse_connections(false)`](crate::HandingerClientBuilder::reuse_connections) rules this out.
///
/// A response without a length ends where the server closes the connection (RFC 9112 §6.3). If it is truncated, its
/// JSON does not decode: the error is [`Decode`](crate::ErrorKind::Decode), and is not retried.
///
/// After a `fork`, use the client in only one of the two processes: they share its connections, and each could receive
/// the other's responses.
#[derive(Clone)]
pub struct HandingerClient {
    http: Arc<Http>,
    options: Options,
}

/// The five calls, and `rotate_token`. Each takes the id of a worker, and percent-encodes it; an id that is empty, `.`,
/// `..` or over 1 KiB is `InvalidInput`. Only a worker's creator may make the calls; others get 403. [`Error`]
/// documents how they fail, what has been retried, and what to do.
impl HandingerClient {
    /// Returns the webhook of a worker; both fields are `None` if it has none.
    ///
    /// # Errors
    ///
    /// See [`Error`](Error#what-to-do). Any transient failure is retried.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// let webhook = client.retrieve_webhook("wrk_1")?;
    /// assert_eq!(webhook.url, None);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn retrieve_webhook(&self, worker_id: &str) -> Result<Webhook, Error> {
        self.retrieve_webhook_by(self.options.deadline(), worker_id)
    }

    fn retrieve_webhook_by(&self, deadline: Option<Instant>, worker_id: &str) -> Result<Webhook, Error> {
        self.call_by(deadline, &Call::new("retrieve webhook", Method::GET, WEBHOOK, worker_id), |_| true)
    }

    /// Sets, replaces or removes the webhook's URL, and returns the webhook.
    ///
    /// The first URL generates a token; later ones keep it. [`UpdateWebhook::clear()`] removes URL and token, as
    /// [`delete_webhook`](Self::delete_webhook) does.
    ///
    /// # Errors
    ///
    /// See [`Error`](Error#what-to-do). A URL that is blank or over 8 KiB is `InvalidInput`. Any transient failure is
    /// retried. [`may_have_been_applied`](Error::may_have_been_applied) reports whether the change may have been
    /// applied.
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
        self.update(worker_id, &update.into())
    }

    fn update(&self, worker_id: &str, update: &UpdateWebhook) -> Result<Webhook, Error> {
        let call = Call::new("update webhook", Method::PUT, WEBHOOK, worker_id);
        let invalid = |problem: String| Err(Error::invalid_input(call.action, problem));
        match update.url.as_deref() {
            // A service might take it for "no URL", and remove the webhook and its token.
            Some(url) if url.trim().is_empty() => {
                invalid("the URL must not be blank; UpdateWebhook::clear() removes it".into())
            }
            Some(url) if url.len() > MAX_LINE => invalid(format!("the URL is over {}", in_words(MAX_LINE))),
            _ => self.call(&Call { update: Some(update), ..call }),
        }
    }

    /// Removes the webhook, and returns it with both fields `None`. Handinger then delivers nothing. Does nothing if
    /// there is no webhook.
    ///
    /// # Errors
    ///
    /// See [`Error`](Error#what-to-do). Any transient failure is retried.
    /// [`may_have_been_applied`](Error::may_have_been_applied) reports whether the change may have been applied.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// let webhook = client.delete_webhook("wrk_1")?;
    /// assert_eq!(webhook.url, None);
    /// assert_eq!(webhook.token, None);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn delete_webhook(&self, worker_id: &str) -> Result<Webhook, Error> {
        self.call(&Call::new("delete webhook", Method::DELETE, WEBHOOK, worker_id))
    }

    /// Replaces the webhook's token, and returns the webhook. The old token is invalid at once; the URL stays.
    ///
    /// The API does not document what happens if there is no webhook. [`rotate_token`](Self::rotate_token) finds out
    /// the token in force even if the response is lost.
    ///
    /// # Errors
    ///
    /// See [`Error`](Error#what-to-do). A POST is not idempotent (RFC 9110 §9.2.2): it is retried only if the failed
    /// attempt was certainly not applied. If it may have been, [`may_have_been_applied`](Error::may_have_been_applied)
    /// is true.
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
        self.call(&Call::new("regenerate token", Method::POST, REGENERATE_TOKEN, worker_id))
    }

    /// Replaces the webhook's token, even if a response is lost, and returns the webhook with the new token.
    ///
    /// It retrieves the token, then regenerates it. If the response is lost or carries no new token, it retrieves the
    /// token again. If that is still the old one, it waits as before a retry and regenerates again, at most
    /// `max_retries` times. If somebody else replaces the token at the same time, it may return theirs. The
    /// `total_timeout` bounds all of it. If there is no webhook, it requests a token all the same, and returns what the
    /// API responds.
    ///
    /// # Errors
    ///
    /// See [`Error`](Error#what-to-do). If [`may_have_been_applied`](Error::may_have_been_applied) is false, the old
    /// token is still in force. If it is true, a request whose outcome is unknown may be applied late, even if the error
    /// says that the old token was still in force afterwards; [`retrieve_webhook`](Self::retrieve_webhook) returns the
    /// token in force. It also fails, instead of regenerating again, if a response of unknown outcome asks to wait.
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
        let deadline = self.options.deadline(); // one for all the calls
        let retrieve = || self.retrieve_webhook_by(deadline, worker_id);
        let old = retrieve()?.token;
        let is_new = |webhook: &Webhook| webhook.token.is_some() && webhook.token != old;
        let regenerate = Call::new("regenerate token", Method::POST, REGENERATE_TOKEN, worker_id);
        // Whether an earlier regenerate may still be applied.
        let mut is_open = false;
        let mut failures = 0;
        loop {
            let error = match self.call_by(deadline, &regenerate, is_new) {
                Err(error) if is_open || error.may_have_been_applied() => error,
                result => return result,
            };
            is_open = true;
            failures += 1;
            let may_retry = error.may_have_been_applied()
                && error.retry_after().is_none()
                && failures <= self.options.max_retries;
            match retrieve() {
                Ok(webhook) if is_new(&webhook) => return Ok(webhook),
                Ok(Webhook { token: None, .. }) if old.is_some() => {
                    return Err(error.unsettled("the webhook was removed meanwhile"));
                }
                Ok(_) if may_retry && self.http.back_off(failures, deadline) => {}
                Ok(_) => return Err(error.unsettled("the old token was still in force afterwards")),
                Err(_) => return Err(error.unsettled("the token in force could not be retrieved")),
            }
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
    /// for execution in &page {
    ///     println!("{} {}", execution.created_at, execution.request_status);
    /// }
    /// # assert_eq!(page.logs.len(), 1);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn list_executions(&self, worker_id: &str, page: u64) -> Result<WebhookExecutionList, Error> {
        let call = Call::new("list executions", Method::GET, EXECUTIONS, worker_id);
        if page == 0 {
            return Err(Error::invalid_input(call.action, "pages are counted from 1"));
        }
        self.call(&Call { page: Some(page), ..call })
    }

    fn call<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, Error> {
        self.call_by(self.options.deadline(), call, |_| true)
    }

    /// A response that is not as expected is as useless as one that does not decode.
    fn call_by<T: DeserializeOwned>(
        &self,
        deadline: Option<Instant>,
        call: &Call<'_>,
        is_expected: impl Fn(&T) -> bool,
    ) -> Result<T, Error> {
        self.options.check().map_err(|problem| Error::invalid_input(call.action, problem))?;
        let request = call.request()?;
        let response = self.http.send(&self.options, deadline, &request)?;
        let decoded = from_json(response.body()).and_then(|value| {
            if is_expected(&value) {
                Ok(value)
            } else {
                Err(DecodeError::new("not the change that was asked for"))
            }
        });
        decoded.map_err(|error| response.unusable(&request, error))
    }
}

/// Options of one call. Each method returns a client that has one option changed, and shares the connections and all
/// else.
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
    /// let webhook = client.with_timeout(Duration::from_secs(5)).with_max_retries(0).retrieve_webhook("wrk_1")?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        self.with_options(Options { timeout, ..self.options })
    }

    /// Returns a client with another [`connect_timeout`](crate::HandingerClientBuilder::connect_timeout): how long an
    /// attempt may take to connect. With zero, calls fail as `InvalidInput`.
    ///
    /// ```
    /// # let client = handinger::HandingerClient::new("key")?;
    /// let hurried = client.with_connect_timeout(std::time::Duration::from_secs(1));
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn with_connect_timeout(&self, connect_timeout: Duration) -> Self {
        self.with_options(Options { connect_timeout, ..self.options })
    }

    /// Returns a client with another [`total_timeout`](crate::HandingerClientBuilder::total_timeout): how long a call
    /// may take with all its attempts and waits. `None` sets no bound; with zero, calls fail as `InvalidInput`.
    ///
    /// ```
    /// # let client = handinger::HandingerClient::new("key")?;
    /// let hurried = client.with_total_timeout(std::time::Duration::from_secs(2));
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn with_total_timeout(&self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with_options(Options { total_timeout: timeout.into(), ..self.options })
    }

    /// Returns a client with another [`max_retries`](crate::HandingerClientBuilder::max_retries): how often a failed
    /// attempt is retried, if that is safe.
    ///
    /// ```
    /// # let client = handinger::HandingerClient::new("key")?;
    /// let once = client.with_max_retries(0);
    /// # Ok::<(), handinger::Error>(())
    /// ```
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

    /// Waits the way that the client waits before a retry.
    pub(crate) fn sleep(&self, wait: Duration) {
        self.http.sleep(wait);
    }
}

impl fmt::Debug for HandingerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandingerClient")
            .field("base_url", &format_args!("{}", self.http.base_url()))
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// One call of the API.
struct Call<'a> {
    /// In the imperative: `retrieve webhook`.
    action: &'static str,
    method: Method,
    /// The path, with `{workerId}` in the place of the id.
    path: &'static str,
    worker_id: &'a str,
    page: Option<u64>,
    update: Option<&'a UpdateWebhook>,
}

impl<'a> Call<'a> {
    fn new(action: &'static str, method: Method, path: &'static str, worker_id: &'a str) -> Self {
        Self { action, method, path, worker_id, page: None, update: None }
    }

    fn segment(&self) -> PercentEncode<'_> {
        utf8_percent_encode(self.worker_id, COMPONENT)
    }

    fn request(&self) -> Result<Request<'_>, Error> {
        let invalid = |problem: String| Error::invalid_input(self.action, problem);
        check_worker_id(self.worker_id).map_err(invalid)?;
        let mut path = self.path.replace("{workerId}", &Cow::from(self.segment()));
        if let Some(page) = self.page {
            path.push_str("?page=");
            path.push_str(&page.to_string());
        }
        Ok(Request {
            action: self,
            method: self.method.clone(),
            path,
            logged_path: self.path,
            id: self.worker_id,
            body: self.body(),
            secrets: self.update.and_then(|update| update.url.as_deref()).map_or(Vec::new(), secret_parts),
        })
    }

    /// `None` for a request that has no body, not even an empty one.
    fn body(&self) -> Option<Vec<u8>> {
        match self.update {
            Some(update) => Some(serde_json::to_vec(update).expect("a struct with a string is JSON")),
            None if self.method == Method::POST => Some(Vec::new()),
            None => None,
        }
    }
}

impl Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of worker {}", self.action, self.segment())?;
        self.page.map_or(Ok(()), |page| write!(f, ", page {page}"))
    }
}

fn check_worker_id(id: &str) -> Result<(), String> {
    match id {
        "" => Err("the worker id must not be empty".into()),
        // A path of `.` or `..` segments would lead elsewhere.
        "." | ".." => Err(format!("the worker id must not be `{id}`")),
        id if id.len() > MAX_WORKER_ID => Err(format!("the worker id is over {}", in_words(MAX_WORKER_ID))),
        _ => Ok(()),
    }
}
