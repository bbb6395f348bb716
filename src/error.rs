//! The one error of this crate.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderMap, StatusCode};

/// How much of a text by somebody else `Display` repeats, in characters.
const MAX_SHOWN_TEXT: usize = 200;

/// Reports why a call failed, and whether a retry may help.
///
/// `Display` is one short line: what was being done, what happened, the API's message, how many attempts were made, and
/// whether a change may have been applied. The cause, such as an I/O error, is in [`source()`](StdError::source). A
/// clone is cheap.
///
/// ```
/// use handinger::{ErrorKind, HandingerClient};
///
/// let error = HandingerClient::new("key").unwrap().retrieve_webhook("..").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// assert_eq!(error.to_string(), "retrieve webhook: the worker id must not be `..`");
/// assert_eq!(error.attempts(), 0);
/// ```
///
/// # What to do
///
/// | the error | what it means | what to do |
/// |---|---|---|
/// | [`InvalidInput`](ErrorKind::InvalidInput) | an argument or setting was rejected before anything was sent | correct what it names |
/// | [`is_unauthorized`](Self::is_unauthorized) (401) | the key is missing, wrong or revoked | check the key |
/// | [`is_forbidden`](Self::is_forbidden) (403) | the key is not that of the worker's creator | use the creator's key |
/// | [`is_not_found`](Self::is_not_found) (404) | there is no such worker | check the id |
/// | [`is_bad_request`](Self::is_bad_request) (400), [`is_unprocessable`](Self::is_unprocessable) (422) | the API rejects what was sent, such as a URL that is not `https` | correct what [`message`](Self::message) names |
/// | [`is_conflict`](Self::is_conflict) (409), 408 | the request conflicted with another one, or the server timed out; retried already | retry later |
/// | [`is_rate_limited`](Self::is_rate_limited) (429) | too many requests; retried already | retry after [`retry_after`](Self::retry_after) |
/// | [`is_server_error`](Self::is_server_error) (5xx) | the service failed; retried already, where that is safe | retry later; see below after a change |
/// | [`Connect`](ErrorKind::Connect), [`Timeout`](ErrorKind::Timeout), [`Transport`](ErrorKind::Transport) | the network failed; retried already, where that is safe | retry later; see below after a change |
/// | [`Redirect`](ErrorKind::Redirect) (3xx) | the server redirects, which the client does not follow | if you trust the URL that it names, set it as [`base_url`](crate::HandingerClientBuilder::base_url) |
/// | [`Decode`](ErrorKind::Decode), [`TooLarge`](ErrorKind::TooLarge) | something other than the API responded, or the API has changed | look at [`body`](Self::body) |
/// | [`Incomplete`](ErrorKind::Incomplete) | an iterator may have missed executions | of `executions` or `execution_pages`: start again, or `resume`; of `follow`: go on |
/// | any other status | the API does not document it; a status from 600 up is retried like a 5xx | look at [`message`](Self::message) |
///
/// [`is_transient`](Self::is_transient) is true where the last column begins with "retry".
///
/// If an update or delete [`may_have_been_applied`](Self::may_have_been_applied), call it again: the outcome is the
/// same. To replace a token for certain, use [`rotate_token`](crate::HandingerClient::rotate_token).
///
/// # What has been retried already
///
/// Before a call fails, the client retries where that is safe (RFC 9110 §9.2.2):
///
/// | what happened | retrieve, list, update, delete | regenerate | a change may have been applied |
/// |---|---|---|---|
/// | never sent: name lookup, connecting, TLS handshake | retry | retry | no |
/// | 408, 409, 429 | retry | retry | no |
/// | 503 with a valid `Retry-After` or `retry-after-ms` | retry | retry | no |
/// | any other 5xx, or a status from 600 up | retry | error | yes |
/// | sent, then a timeout, a lost connection, or a truncated or malformed response | retry | error | yes |
/// | a complete 2xx response that does not decode, or exceeds a limit; 101 | error | error | yes |
/// | 3xx, any other 4xx | error | error | no |
///
/// The response header `x-should-retry: false` stops retries for any status. `true` retries any status; a regenerate
/// only on 4xx.
///
/// The client makes up to [`max_retries`](crate::HandingerClientBuilder::max_retries) retries. Before each, it waits as
/// long as `retry-after-ms` or `Retry-After` asks, up to 60 s. If neither asks for a wait, it waits 0.5 s, then 1, 2, 4
/// and 8 s, less up to a quarter at random. If the server asks for more than 60 s, the call fails at once, and
/// [`retry_after`](Self::retry_after) returns the wait.
///
/// # Secrets
///
/// This crate puts no key, no token, and no path or query of a webhook's URL into `Display`, `Debug` or `source()`.
/// They repeat the server's message, in which the client redacts the key, the values of custom headers, and the path,
/// query, fragment, userinfo and password of the URL that was to be set. It recognizes those of 4 bytes or more,
/// verbatim, percent-encoded or JSON-escaped. It does not recognize other forms, parts of a secret, and secrets that
/// only the server knows. [`body`](Self::body) and [`header`](Self::header) return what the server sent.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

/// What a call that failed leaves behind.
pub(crate) struct Inner {
    /// What was being done: `retrieve webhook of worker wrk_1`.
    pub(crate) action: String,
    /// The last attempt's.
    pub(crate) failure: Failure,
    pub(crate) attempts: u32,
    /// Such as why a transient failure was not retried.
    pub(crate) note: Option<String>,
    pub(crate) is_transient: bool,
    pub(crate) may_have_been_applied: bool,
}

/// What failed.
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    /// In words: `the server returned 404`.
    pub(crate) problem: String,
    pub(crate) is_connect: bool,
    pub(crate) received: Option<Received>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) source: Option<Box<dyn StdError + Send + Sync>>,
}

/// A response, as far as it was read.
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) message: Option<String>,
}

/// The kind of failure that an [`Error`] reports.
///
/// [`Error`] has predicates for the rest: [`is_not_found`](Error::is_not_found) and its like for statuses,
/// [`is_transient`](Error::is_transient), and [`is_timeout`](Error::is_timeout) and [`is_connect`](Error::is_connect),
/// which can both be true.
///
/// ```
/// # use handinger::{ErrorKind, HandingerClient};
/// let error = HandingerClient::new(" ").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// assert_eq!(error.kind().to_string(), "invalid input");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument or setting was rejected before anything was sent.
    InvalidInput,
    /// No connection could be opened: name lookup, TCP, proxy or TLS handshake failed. Nothing of the request was sent.
    Connect,
    /// The connection was lost, or the response was truncated or not valid HTTP.
    Transport,
    /// No complete response came within the `timeout` of an attempt or the `total_timeout`, or no connection within the
    /// `connect_timeout`.
    Timeout,
    /// The server returned a 3xx status. Redirects are not followed.
    Redirect,
    /// The server returned a status that is neither 2xx nor 3xx.
    Status,
    /// The response exceeds a limit: a body over 10 MiB after decompression, headers over 64 KiB, or more than 128
    /// headers.
    TooLarge,
    /// A 2xx response whose body is not the JSON that the API documents.
    Decode,
    /// An iterator may have missed executions. What it does next is documented at [`Executions`](crate::Executions),
    /// [`PageIter`](crate::PageIter) and [`Follow`](crate::Follow).
    Incomplete,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::InvalidInput => "invalid input",
            Self::Connect => "connection failed",
            Self::Transport => "connection lost or malformed response",
            Self::Timeout => "timeout",
            Self::Redirect => "redirect",
            Self::Status => "error status",
            Self::TooLarge => "response too large",
            Self::Decode => "unexpected response body",
            Self::Incomplete => "executions may be missing",
        })
    }
}

impl Failure {
    pub(crate) fn new(kind: ErrorKind, problem: impl Into<String>) -> Self {
        Self {
            kind,
            problem: problem.into(),
            is_connect: false,
            received: None,
            retry_after: None,
            source: None,
        }
    }
}

impl Error {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Input that was rejected before any I/O.
    pub(crate) fn invalid_input(action: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::of_no_attempt(ErrorKind::InvalidInput, action.into(), &problem.into())
    }

    /// An iterator that may have missed executions.
    pub(crate) fn incomplete(action: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::of_no_attempt(ErrorKind::Incomplete, action.into(), &problem.into())
    }

    fn of_no_attempt(kind: ErrorKind, action: String, problem: &str) -> Self {
        Self::new(Inner {
            action,
            failure: Failure::new(kind, one_line(problem)),
            attempts: 0,
            note: None,
            is_transient: false,
            may_have_been_applied: false,
        })
    }

    /// Adds what a later call found out, which leaves open whether the change was applied.
    pub(crate) fn unsettled(mut self, found_out: &str) -> Self {
        let inner = Arc::get_mut(&mut self.0).expect("nobody has cloned it yet");
        inner.may_have_been_applied = true;
        inner.note = Some(match inner.note.take() {
            Some(note) => format!("{note}; {found_out}"),
            None => found_out.into(),
        });
        self
    }

    fn received(&self) -> Option<&Received> {
        self.0.failure.received.as_ref()
    }

    /// Returns the kind of failure.
    ///
    /// ```
    /// # let error = handinger::HandingerClient::new("").unwrap_err();
    /// assert_eq!(error.kind(), handinger::ErrorKind::InvalidInput);
    /// ```
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.failure.kind
    }

    /// Returns the HTTP status, if a response came.
    ///
    /// ```
    /// # use handinger::fake::FakeHandinger;
    /// # let fake = FakeHandinger::start();
    /// # let client = fake.client();
    /// let error = client.retrieve_webhook("wrk_unknown").unwrap_err();
    /// assert_eq!(error.status(), Some(404));
    /// ```
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.received().map(|received| received.status.as_u16())
    }

    /// Returns the API's message, if an error response carries one: [redacted](Self#secrets), but not shortened, with
    /// its line breaks.
    ///
    /// The body may be JSON (`{"error": {"message": "…"}}`, `{"error": "…"}` or `{"message": "…"}`) or plain text. Of
    /// an HTML page, as proxies send it, the message is the title or else the first heading.
    ///
    /// ```
    /// # use handinger::fake::FakeHandinger;
    /// # let fake = FakeHandinger::start();
    /// # let client = fake.client();
    /// let error = client.retrieve_webhook("wrk_unknown").unwrap_err();
    /// assert_eq!(error.message(), Some("worker not found"));
    /// ```
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.received()?.message.as_deref()
    }

    /// Returns the first 64 KiB of the response body, after decompression; empty if no response came.
    ///
    /// A body that did not decode may hold the token that was to be returned: handle it as a secret.
    ///
    /// ```
    /// # use handinger::fake::FakeHandinger;
    /// # let fake = FakeHandinger::start();
    /// # let client = fake.client();
    /// let error = client.retrieve_webhook("wrk_unknown").unwrap_err();
    /// assert_eq!(error.body(), br#"{"error":{"message":"worker not found"}}"#);
    /// ```
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.received().map_or(&[], |received| &received.body)
    }

    /// Returns a header of the response, such as `x-request-id` to quote to support. The case of the name does not
    /// matter. `None` if the header is absent or not text.
    ///
    /// ```
    /// # use handinger::fake::FakeHandinger;
    /// # let fake = FakeHandinger::start();
    /// # let client = fake.client();
    /// let error = client.retrieve_webhook("wrk_unknown").unwrap_err();
    /// assert_eq!(error.header("Content-Type"), Some("application/json"));
    /// assert_eq!(error.header("not a name"), None);
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.received()?.headers.get(name)?.to_str().ok()
    }

    /// Returns how long the server asks to wait before the next request (`retry-after-ms`, or `Retry-After`, RFC 9110
    /// §10.2.3), at most a year. `None` if it does not ask, or asks for zero or for a date in the past.
    ///
    /// The client itself [waits up to 60 s](Self#what-has-been-retried-already) while it has retries left.
    ///
    /// ```
    /// # use handinger::HandingerClient;
    /// # let error = HandingerClient::new("").unwrap_err();
    /// if let Some(wait) = error.retry_after() {
    ///     eprintln!("retry in {} s", wait.as_secs());
    /// }
    /// ```
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.failure.retry_after
    }

    /// Returns how many attempts were made, from 1 to 1 + `max_retries`; 0 for
    /// [`InvalidInput`](ErrorKind::InvalidInput) and [`Incomplete`](ErrorKind::Incomplete).
    ///
    /// ```
    /// # use handinger::fake::FakeHandinger;
    /// # let fake = FakeHandinger::start();
    /// # let client = fake.client();
    /// assert_eq!(client.retrieve_webhook("").unwrap_err().attempts(), 0);
    /// assert_eq!(client.retrieve_webhook("wrk_unknown").unwrap_err().attempts(), 1);
    /// ```
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Returns whether an update, delete or regenerate may have been applied although the call failed.
    ///
    /// True if any attempt was sent and its outcome is not known: the connection was lost, time ran out, or the
    /// response was a 5xx or could not be read. False if each attempt was rejected or never sent, and for the calls
    /// that change nothing.
    ///
    /// See [what to do](Self#what-to-do). After a regenerate, the old token may be invalid already.
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault};
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook").unwrap();
    /// fake.inject(Fault::hang_up().after_applying()); // the token is replaced, but the response is lost
    ///
    /// let error = client.regenerate_token("wrk_1").unwrap_err();
    /// assert!(error.may_have_been_applied());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn may_have_been_applied(&self) -> bool {
        self.0.may_have_been_applied
    }

    /// Returns whether the same call may succeed later, without a correction.
    ///
    /// True for a connection that could not be opened or was lost, a malformed or truncated response, a timeout, and
    /// the statuses 408, 409, 429 and from 500 up, unless `x-should-retry` says otherwise. Before you call
    /// [`regenerate_token`](crate::HandingerClient::regenerate_token) again, see
    /// [`may_have_been_applied`](Self::may_have_been_applied).
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let client = fake.client();
    /// fake.fail_next(3, 503); // on each of the three attempts
    /// let error = client.retrieve_webhook("wrk_1").unwrap_err();
    /// if error.is_transient() {
    ///     eprintln!("{error}; using what was known before");
    /// }
    /// # assert!(error.is_transient());
    /// # assert!(!client.retrieve_webhook("wrk_unknown").unwrap_err().is_transient());
    /// ```
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.0.is_transient
    }

    /// Returns whether the server returned 400: it does not understand the request.
    ///
    /// All predicates for statuses are used in this way:
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let client = fake.client();
    /// let error = client.retrieve_webhook("wrk_unknown").unwrap_err();
    /// if error.is_not_found() {
    ///     eprintln!("there is no such worker");
    /// } else if error.is_unauthorized() || error.is_forbidden() {
    ///     eprintln!("this needs the key of the worker's creator");
    /// }
    /// # assert!(error.is_not_found());
    /// ```
    #[must_use]
    pub fn is_bad_request(&self) -> bool {
        self.status() == Some(400)
    }

    /// Returns whether the server returned 401: the API key is missing, wrong or revoked.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        self.status() == Some(401)
    }

    /// Returns whether the server returned 403: only the creator of a worker may see and change its webhook.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.status() == Some(403)
    }

    /// Returns whether the server returned 404: it knows no such worker.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Returns whether the server returned 409: the request conflicts with another one.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409)
    }

    /// Returns whether the server returned 422: it understands the request, but not the values in it.
    #[must_use]
    pub fn is_unprocessable(&self) -> bool {
        self.status() == Some(422)
    }

    /// Returns whether the server returned 429: too many requests; see [`retry_after`](Self::retry_after).
    #[must_use]
    pub fn is_rate_limited(&self) -> bool {
        self.status() == Some(429)
    }

    /// Returns whether the server returned a 5xx status.
    #[must_use]
    pub fn is_server_error(&self) -> bool {
        self.received().is_some_and(|received| received.status.is_server_error())
    }

    /// Returns whether time ran out for the last attempt: its `timeout`, its `connect_timeout`, or what was left of the
    /// `total_timeout`. If the `total_timeout` leaves no time for a retry, the error is that of the last attempt.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use handinger::fake::{FakeHandinger, Fault};
    /// # let fake = FakeHandinger::start();
    /// # let client = fake.client();
    /// fake.inject(Fault::delay(Duration::from_millis(200)));
    /// let hurried = client.with_timeout(Duration::from_millis(50)).with_max_retries(0);
    /// assert!(hurried.retrieve_webhook("wrk_1").unwrap_err().is_timeout());
    /// ```
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
    }

    /// Returns whether no connection could be opened for the last attempt, so that nothing of it was sent. A connection
    /// that timed out is both [`is_timeout`](Self::is_timeout) and `is_connect`.
    ///
    /// ```
    /// // Nobody listens on this port.
    /// let builder = handinger::HandingerClient::builder("key").base_url("http://127.0.0.1:9").max_retries(0);
    /// assert!(builder.build()?.retrieve_webhook("wrk_1").unwrap_err().is_connect());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.0.failure.is_connect
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { action, failure, attempts, note, may_have_been_applied, .. } = &*self.0;
        write!(f, "{}: {}", one_line(action), failure.problem)?;
        let message = self.message().map(one_line).unwrap_or_default();
        if !message.is_empty() {
            write!(f, ": {message}")?;
        }
        if *attempts > 1 {
            write!(f, " ({attempts} attempts)")?;
        }
        if let Some(note) = note {
            write!(f, "; {note}")?;
        }
        if *may_have_been_applied {
            f.write_str("; the change may have been applied")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    /// Leaves out the response's body and headers, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind())
            .field("display", &self.to_string())
            .field("status", &self.status())
            .field("attempts", &self.attempts())
            .field("retry_after", &self.retry_after())
            .field("is_transient", &self.is_transient())
            .field("may_have_been_applied", &self.may_have_been_applied())
            .field("source", &self.source().map(ToString::to_string))
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.failure.source.as_deref().map(|source| source as _)
    }
}

/// `text` on one line, without control characters and of bounded length.
pub(crate) fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if let Some((end, _)) = line.char_indices().nth(MAX_SHOWN_TEXT) {
            line.truncate(end);
            line.push('…');
            break;
        }
    }
    line
}
