//! The client, and the one place that sends a request.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::debug;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::de::DeserializeOwned;
use ureq::http::header::{CONTENT_TYPE, HeaderValue};
use ureq::http::uri::{Authority, Scheme};
use ureq::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use ureq::{Agent, Body, Timeout};

use crate::agent::LARGEST_HEADERS;
use crate::error::ErrorKind;
use crate::failure::{Failure, kept};
use crate::redact::secret_parts;
use crate::{Error, UpdateWebhook, connect, response, retry};

/// The longest worker id that is sent, in bytes.
const LONGEST_WORKER_ID: usize = 1024;
/// Longer timeouts are cut to this: a point in time beyond the clock's reach cannot be computed with.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The unreserved characters of RFC 3986 §2.3 stand for themselves in a path segment; all others are encoded.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A client of the worker-webhook API.
///
/// Made by [`new`](Self::new), [`from_env`](Self::from_env) or a [`builder`](Self::builder). A clone is cheap and
/// shares the connections, so that options can be changed for one call:
///
/// ```
/// # use std::time::Duration;
/// # let fake = handinger::fake::FakeHandinger::start();
/// # fake.add_worker("wrk_1");
/// # let client = fake.client();
/// let webhook = client.clone().with_timeout(Duration::from_secs(5)).with_max_retries(0).retrieve_webhook("wrk_1")?;
/// # Ok::<(), handinger::Error>(())
/// ```
///
/// Every call blocks the calling thread until it is done or has failed for good. The client starts no runtime; it can
/// be used from several threads at once, and each call runs on the thread that made it. A connection is kept open for
/// the next call for 15 s. `Debug` prints no key and no headers.
#[derive(Clone)]
pub struct HandingerClient {
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: Options,
}

/// What all clones of a client have in common.
pub(crate) struct Shared {
    pub(crate) agent: Agent,
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    /// The path of the base URL, without a slash at its end.
    pub(crate) prefix: String,
    pub(crate) headers: HeaderMap,
    /// Kept to be kept out of messages.
    pub(crate) api_key: String,
    pub(crate) sleep: Box<dyn Fn(Duration) + Send + Sync>,
}

/// What each clone can have for itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) total_timeout: Option<Duration>,
    pub(crate) max_retries: u32,
}

/// One call of the API, as the endpoints describe it.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// In the imperative: `retrieve webhook`.
    pub(crate) action: &'static str,
    pub(crate) worker_id: &'a str,
    /// What follows the worker's id in the path.
    pub(crate) path: &'static str,
    pub(crate) page: Option<u64>,
    pub(crate) update: Option<&'a UpdateWebhook>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, action: &'static str, worker_id: &'a str, path: &'static str) -> Self {
        Self { method, action, worker_id, path, page: None, update: None }
    }

    /// The worker's id as one segment of a path.
    fn segment(&self) -> PercentEncode<'_> {
        utf8_percent_encode(self.worker_id, SEGMENT)
    }

    /// The path as it may be logged: without the worker's id.
    fn shape(&self) -> String {
        format!("/api/workers/{{workerId}}{}", self.path)
    }

    fn description(&self) -> String {
        let page = self.page.map_or(String::new(), |page| format!(", page {page}"));
        format!("{} of worker {}{page}", self.action, self.segment())
    }

    /// `None` for a request that has no body, not even an empty one.
    fn body(&self) -> Option<Vec<u8>> {
        match self.update {
            Some(update) => serde_json::to_vec(update).ok(),
            None if self.method == Method::POST => Some(Vec::new()),
            None => None,
        }
    }
}

impl HandingerClient {
    /// The same client with another `timeout`: how long one try may take, from connecting to the end of the body.
    /// At most a year; zero is refused by the next call.
    ///
    /// ```
    /// # let client = handinger::HandingerClient::new("key")?;
    /// let patient = client.clone().with_timeout(std::time::Duration::from_secs(300));
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// The same client with another `total_timeout`: how long a call may take with all its tries and waits. `None`
    /// for no bound but that of the single tries.
    ///
    /// ```
    /// # let client = handinger::HandingerClient::new("key")?;
    /// let hurried = client.clone().with_total_timeout(std::time::Duration::from_secs(2));
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn with_total_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.total_timeout = timeout.into();
        self
    }

    /// The same client with another `max_retries`: how often a failed try is repeated, if it may be.
    ///
    /// ```
    /// # let client = handinger::HandingerClient::new("key")?;
    /// let once = client.clone().with_max_retries(0);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn with_max_retries(mut self, max_retries: u32) -> Self {
        self.options.max_retries = max_retries;
        self
    }

    /// Sends a call until it succeeds, fails for good, or runs out of tries or time.
    pub(crate) fn send<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, Error> {
        let uri = self.uri(call)?;
        let body = call.body();
        let deadline = self.deadline(call)?;
        let mut tries = 0;
        let mut may_have_been_applied = false;
        loop {
            tries += 1;
            let started = Instant::now();
            let result = self.try_once(call, &uri, body.as_deref(), deadline);
            let elapsed = started.elapsed();
            let failure = match result {
                Ok((status, value)) => {
                    debug!("{} {}: {status} at try {tries}, after {elapsed:?}", call.method, call.shape());
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            let problem = &failure.inner.problem;
            debug!("{} {}: {problem} at try {tries}, after {elapsed:?}", call.method, call.shape());
            let asked = failure.retry_after();
            let verdict = retry::judge(&call.method, failure.outcome(), asked);
            may_have_been_applied |= verdict.may_have_been_applied;
            if let Err(gave_up) = self.wait(call, verdict.retry, asked, tries, deadline) {
                let mut inner = failure.inner;
                inner.gave_up = match inner.kind {
                    ErrorKind::Timeout => gave_up.or_else(|| self.out_of_time(deadline, Duration::ZERO)),
                    _ => gave_up,
                };
                inner.action = call.description();
                inner.retry_after = asked.filter(|wait| !wait.is_zero());
                inner.attempts = tries;
                inner.may_have_been_applied = may_have_been_applied;
                return Err(Error::new(inner));
            }
        }
    }

    fn uri(&self, call: &Call<'_>) -> Result<Uri, Error> {
        let refused = |problem: &str| Error::invalid_input(call.action, problem);
        match call.worker_id {
            "" => return Err(refused("the worker id must not be empty")),
            "." => return Err(refused("the worker id must not be `.`")),
            ".." => return Err(refused("the worker id must not be `..`")),
            id if id.len() > LONGEST_WORKER_ID => return Err(refused("the worker id is over 1 KiB")),
            _ => {}
        }
        let Shared { scheme, authority, prefix, .. } = &*self.shared;
        let mut path = format!("{prefix}/api/workers/{}{}", call.segment(), call.path);
        if let Some(page) = call.page {
            path.push_str("?page=");
            path.push_str(&page.to_string());
        }
        let uri =
            Uri::builder().scheme(scheme.clone()).authority(authority.clone()).path_and_query(path).build();
        uri.map_err(|_| refused("the base URL is too long"))
    }

    /// When the call must have ended, if it must.
    fn deadline(&self, call: &Call<'_>) -> Result<Option<Instant>, Error> {
        let Options { timeout, total_timeout, .. } = self.options;
        if timeout.is_zero() || total_timeout.is_some_and(|total| total.is_zero()) {
            return Err(Error::invalid_input(call.action, "a timeout must be more than zero"));
        }
        Ok(total_timeout.map(|total| Instant::now() + total.min(LONGEST_TIMEOUT)))
    }

    /// Waits for the time of the next try; if there is to be none, tells why, where that is not plain.
    fn wait(
        &self,
        call: &Call<'_>,
        retry: bool,
        asked: Option<Duration>,
        tries: u32,
        deadline: Option<Instant>,
    ) -> Result<(), Option<String>> {
        if !retry || tries > self.options.max_retries {
            return Err(None);
        }
        let Some(wait) = retry::wait(asked, tries, jitter()) else {
            return Err(Some("the server asks for a longer wait than 60s".into()));
        };
        if let Some(gave_up) = self.out_of_time(deadline, wait) {
            return Err(Some(gave_up));
        }
        debug!("{} {}: next try in {wait:?}", call.method, call.shape());
        (self.shared.sleep)(wait);
        // A sleep can take longer than it should.
        self.out_of_time(deadline, Duration::ZERO).map_or(Ok(()), |gave_up| Err(Some(gave_up)))
    }

    /// What to say if the call's time is over after the `wait`.
    fn out_of_time(&self, deadline: Option<Instant>, wait: Duration) -> Option<String> {
        let total = self.options.total_timeout?;
        (Instant::now() + wait >= deadline?)
            .then(|| format!("no time left within the total timeout of {total:?}"))
    }

    fn try_once<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        uri: &Uri,
        body: Option<&[u8]>,
        deadline: Option<Instant>,
    ) -> Result<(StatusCode, T), Failure> {
        let timeout = self.time_for_a_try(deadline);
        let host = self.shared.authority.as_str();
        if timeout.is_zero() {
            return Err(Failure::not_sent(ureq::Error::Timeout(Timeout::Global), host, timeout));
        }
        let mut answer = match self.request(call, uri, body, timeout) {
            Ok(answer) => answer,
            Err(error) if connect::is_not_sent(&error) => {
                return Err(Failure::not_sent(error, host, self.options.connect_timeout.min(timeout)));
            }
            Err(error) => return Err(Failure::no_answer(None, error, timeout)),
        };
        let status = answer.status();
        if !status.is_success() {
            return Err(Failure::refused(answer, &self.secrets(call)));
        }
        let mut body = Vec::new();
        if let Err(error) = response::read_whole(answer.body_mut(), &mut body) {
            return Err(Failure::no_answer(Some(kept(answer, body)), error, timeout));
        }
        match response::decode(&body) {
            Ok(value) => Ok((status, value)),
            Err(error) => Err(Failure::unusable(kept(answer, body), error)),
        }
    }

    /// What is left of the call's time, and at most the timeout of a try.
    fn time_for_a_try(&self, deadline: Option<Instant>) -> Duration {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        left.unwrap_or(LONGEST_TIMEOUT).min(self.options.timeout)
    }

    /// Sends one request and receives the head of its answer, whatever the settings of the agent are.
    fn request(
        &self,
        call: &Call<'_>,
        uri: &Uri,
        body: Option<&[u8]>,
        timeout: Duration,
    ) -> Result<Response<Body>, ureq::Error> {
        let mut request = Request::new(());
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = uri.clone();
        request.headers_mut().clone_from(&self.shared.headers);
        if call.update.is_some() {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let agent = &self.shared.agent;
        let connect_timeout = Some(self.options.connect_timeout.min(timeout));
        let mut config = agent
            .configure_request(request)
            .timeout_global(Some(timeout))
            .timeout_resolve(connect_timeout)
            .timeout_connect(connect_timeout)
            .timeout_per_call(None)
            .timeout_send_request(None)
            .timeout_send_body(None)
            .timeout_recv_response(None)
            .timeout_recv_body(None)
            .timeout_per_read(None)
            .timeout_per_write(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_response_header_size(LARGEST_HEADERS);
        if !call.method.is_idempotent() {
            // Not on a connection from the pool: the server may be closing it, and then nobody knows what it did.
            config = config.max_idle_age(Duration::ZERO);
        }
        let request = config.build();
        match body {
            Some(body) => agent.run(request.map(|()| body)),
            None => agent.run(request),
        }
    }

    /// What must not be repeated from a message of the server.
    fn secrets<'a>(&'a self, call: &Call<'a>) -> Vec<&'a str> {
        let Shared { api_key, headers, .. } = &*self.shared;
        let url = call.update.and_then(|update| update.url.as_deref()).unwrap_or_default();
        let headers =
            headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
        secret_parts(url).into_iter().chain([api_key.as_str()]).chain(headers).collect()
    }
}

impl fmt::Debug for HandingerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { scheme, authority, prefix, .. } = &*self.shared;
        f.debug_struct("HandingerClient")
            .field("base_url", &format_args!("{scheme}://{authority}{prefix}"))
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A number between 0 and 1 that differs from process to process and try to try: the keys of a [`RandomState`] are
/// random, which is all the randomness that jitter needs.
#[expect(clippy::cast_precision_loss, reason = "a few bits of randomness are enough")]
fn jitter() -> f64 {
    RandomState::new().hash_one(()) as f64 / u64::MAX as f64
}
