//! The client and its options, and what a call is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use ureq::Agent;
use ureq::http::uri::{Authority, Scheme};
use ureq::http::{HeaderMap, Method};

use crate::UpdateWebhook;

/// The unreserved characters of RFC 3986 §2.3 stand for themselves in a path segment; all others are encoded.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A client of the worker-webhook API.
///
/// Made by [`new`](Self::new), [`from_env`](Self::from_env) or a [`builder`](Self::builder). A clone is cheap, shares the
/// connections, and can have options of its own: see [`with_timeout`](Self::with_timeout) and its like.
///
/// Every call blocks the calling thread until it is done or has failed for good. The client starts no runtime; it can
/// be used from several threads at once, and each call runs on the thread that made it. A connection is kept for the next
/// call for 15 s, or as long as an [`agent`](crate::HandingerClientBuilder::agent) of your own says. `Debug` prints no key
/// and no headers.
///
/// ```
/// # let fake = handinger::fake::FakeHandinger::start();
/// # fake.add_worker("wrk_1");
/// # let client = fake.client();
/// let webhook = client.retrieve_webhook("wrk_1")?;
/// println!("{:?}", webhook.url);
/// # Ok::<(), handinger::Error>(())
/// ```
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
    pub(crate) fn segment(&self) -> PercentEncode<'_> {
        utf8_percent_encode(self.worker_id, SEGMENT)
    }

    /// The path as it may be logged: without the worker's id.
    pub(crate) fn shape(&self) -> String {
        format!("/api/workers/{{workerId}}{}", self.path)
    }

    pub(crate) fn description(&self) -> String {
        let page = self.page.map_or(String::new(), |page| format!(", page {page}"));
        format!("{} of worker {}{page}", self.action, self.segment())
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
    /// for no bound but that of the single tries; zero is refused by the next call.
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
}

impl HandingerClient {
    /// Waits, in tests without sleeping.
    pub(crate) fn sleep(&self, wait: Duration) {
        (self.shared.sleep)(wait);
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let Self { timeout, connect_timeout, total_timeout, .. } = *self;
        let has_zero = [Some(timeout), Some(connect_timeout), total_timeout].contains(&Some(Duration::ZERO));
        if has_zero { Err("a timeout must be more than zero") } else { Ok(()) }
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
