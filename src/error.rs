//! The error type of this crate.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Response, StatusCode};

/// The maximum length of a server's text in `Display`, in characters.
const MAX_SHOWN_TEXT: usize = 200;

/// The error of a call: why it failed, and whether a retry may help.
///
/// `{error}` prints one line: the call, what failed and where, the API's message, the number of attempts, and
/// whether a change may have been applied. `{error:#}` appends the causes (shown here on two lines):
///
/// ```text
/// retrieve webhook of worker wrk_1: could not connect to handinger.com (3 attempts):
/// Connection refused (os error 111)
/// ```
///
/// A clone is cheap.
///
/// ```
/// use handinger::{ErrorKind, HandingerClient};
///
/// let error = HandingerClient::new("key").unwrap().retrieve_webhook("..").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// assert_eq!(error.to_string(), "retrieve webhook: the worker id must not be \"..\"");
/// ```
///
/// # What to do
///
/// | the error | what it means | what to do |
/// |---|---|---|
/// | [`InvalidInput`](ErrorKind::InvalidInput) | an argument or setting was rejected before anything was sent | correct the value that it names |
/// | [`is_unauthorized`](Self::is_unauthorized) (401) | the key is missing, wrong or revoked | check the key |
/// | [`is_forbidden`](Self::is_forbidden) (403) | the key is not that of the worker's creator | use the creator's key |
/// | [`is_not_found`](Self::is_not_found) (404) | there is no such worker | check the id |
/// | [`is_bad_request`](Self::is_bad_request) (400), [`is_unprocessable`](Self::is_unprocessable) (422) | the API rejects the request, such as a URL that is not `https` | correct the value that [`message`](Self::message) names |
/// | [`is_conflict`](Self::is_conflict) (409), 408 | the request conflicted with another one, or the server timed out; retried already | retry later |
/// | [`is_rate_limited`](Self::is_rate_limited) (429) | too many requests; retried already | retry after [`retry_after`](Self::retry_after) |
/// | [`is_server_error`](Self::is_server_error) (5xx) | the service or a gateway failed; retried already, unless it was a regenerate | retry later; see below after a change |
/// | [`Connect`](ErrorKind::Connect) | no connection; retried already, unless a certificate was rejected or a proxy rejected the client | read `{error:#}`; retry later if [`is_transient`](Self::is_transient) |
/// | [`Timeout`](ErrorKind::Timeout), [`Transport`](ErrorKind::Transport) | the network failed; retried already, if that is safe | retry later; see below after a change |
/// | [`Redirect`](ErrorKind::Redirect) (3xx) | the server redirects, which the client does not follow | if you trust the origin that it names, set it as [`base_url`](crate::HandingerClientBuilder::base_url) |
/// | [`Decode`](ErrorKind::Decode), [`TooLarge`](ErrorKind::TooLarge) | something other than the API responded, or the API has changed | look at [`body`](Self::body) |
/// | [`Incomplete`](ErrorKind::Incomplete) | an iterator may have missed executions | `executions`: start again; `follow`: continue |
///
/// If an update or delete [`may_have_been_applied`](Self::may_have_been_applied), call it again: the outcome is the
/// same. To be certain that a token is replaced, use [`rotate_token`](crate::HandingerClient::rotate_token).
///
/// # What has been retried already
///
/// The client retries before a call fails, if that is safe (RFC 9110 §9.2.2):
///
/// | what happened | retrieve, list, update, delete | regenerate | a change may have been applied |
/// |---|---|---|---|
/// | certificate rejected; the proxy returned 401, 403 or 407, or rejected a SOCKS password | error | error | no |
/// | otherwise never sent: name lookup, connection, TLS handshake | retry | retry | no |
/// | 408, 409, 429 | retry | retry | no |
/// | 5xx, or a status from 600 up | retry | error | yes |
/// | sent, then a timeout, a lost connection, or a truncated or malformed response | retry | error | yes |
/// | a complete 2xx response that does not decode, or exceeds a limit; 101; 303 | error | error | yes |
/// | any other 3xx or 4xx | error | error | no |
///
/// The response header `x-should-retry: false` disables retries for any status. `true` enables them for any
/// status, but for a regenerate only after a 4xx.
///
/// Before each retry, the client waits as long as `retry-after-ms` or `Retry-After` asks, up to 60 s. Without
/// these headers, it waits 0.5 s, then 1, 2, 4 and 8 s, less up to a quarter at random. If the server asks
/// for more than 60 s, the call fails at once, and [`retry_after`](Self::retry_after) returns the wait.
///
/// # Secrets
///
/// `Display`, `Debug` and `source()` contain no key, no token, and no path or query of a webhook's URL. They repeat the
/// server's message, in which the client redacts the key, the values of custom headers, and the path, query, fragment
/// and userinfo of the URL that was to be set. It recognizes them verbatim and percent-encoded; secrets shorter than 4
/// bytes are not redacted. [`body`](Self::body) and [`header`](Self::header) are not redacted.
#[derive(Clone)]
pub struct Error {
    /// The call, with which the message begins: `retrieve webhook of worker wrk_1`.
    action: Arc<str>,
    /// The failure of the last attempt.
    failure: Arc<Failure>,
    attempts: u32,
    /// Additions to the message, such as why a transient failure was not retried, each after a semicolon.
    notes: String,
    is_transient: bool,
    may_have_been_applied: bool,
}

/// The reason why one attempt failed.
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    pub(crate) kind: ErrorKind,
    /// The description in the message: `the server returned 404`.
    pub(crate) problem: String,
    /// The part of the response that was read.
    pub(crate) response: Option<Box<Response<Vec<u8>>>>,
    /// The API's message in the response, redacted.
    pub(crate) message: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The stage that an attempt reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing of the request was sent, and a retry would fail in the same way.
    Blocked,
    /// Nothing of the request was sent.
    NotSent,
    /// At least a part of the request was sent; no complete response arrived.
    NoResponse,
    /// A response with a status other than 2xx.
    Status(StatusCode),
    /// The response was complete but unusable, and a retry would return the same.
    Unusable,
}

/// The kind of failure that an [`Error`] reports.
///
/// [`Error`] has predicates for the rest: [`is_not_found`](Error::is_not_found) and its like for statuses,
/// [`is_transient`](Error::is_transient), and [`is_timeout`](Error::is_timeout) and [`is_connect`](Error::is_connect),
/// which can both be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument or setting was rejected before anything was sent.
    InvalidInput,
    /// No connection could be opened: name lookup, TCP, proxy or TLS handshake failed. Nothing of the request was sent.
    Connect,
    /// The connection was lost, or the response was truncated or malformed.
    Transport,
    /// No complete response arrived within the `timeout` of an attempt or the `total_timeout`, or no
    /// connection could be opened within the `connect_timeout`.
    Timeout,
    /// The server returned a 3xx status. Redirects are not followed.
    Redirect,
    /// The server returned a status that is neither 2xx nor 3xx.
    Status,
    /// The response exceeds a limit: a body over 10 MiB after decompression, or headers over 64 KiB.
    TooLarge,
    /// The body of a 2xx response is not the JSON that the API documents.
    Decode,
    /// An iterator may have missed executions; see [`Executions`](crate::Executions) and [`Follow`](crate::Follow).
    Incomplete,
}

impl Failure {
    pub(crate) fn new(stage: Stage, kind: ErrorKind, problem: impl Into<String>) -> Self {
        Self {
            stage,
            kind,
            problem: problem.into(),
            response: None,
            message: None,
            retry_after: None,
            source: None,
        }
    }
}

impl Error {
    pub(crate) fn new(action: &str, failure: Failure) -> Self {
        Self {
            action: action.into(),
            failure: Arc::new(failure),
            attempts: 0,
            notes: String::new(),
            is_transient: false,
            may_have_been_applied: false,
        }
    }

    /// Creates the error for input that was rejected before any I/O.
    pub(crate) fn invalid_input(action: impl AsRef<str>, problem: impl AsRef<str>) -> Self {
        let problem = one_line(problem.as_ref());
        Self::new(action.as_ref(), Failure::new(Stage::Blocked, ErrorKind::InvalidInput, problem))
    }

    /// Creates the error of an iterator that may have missed executions.
    pub(crate) fn incomplete(action: impl AsRef<str>, problem: &str) -> Self {
        Self::new(action.as_ref(), Failure::new(Stage::Unusable, ErrorKind::Incomplete, problem))
    }

    /// Creates the error for a complete 2xx response without the result of the change.
    pub(crate) fn unusable(action: &str, problem: &str) -> Self {
        Self::new(action, Failure::new(Stage::Unusable, ErrorKind::Decode, problem)).after(1, false, true)
    }

    pub(crate) fn after(self, attempts: u32, is_transient: bool, may_have_been_applied: bool) -> Self {
        Self { attempts, is_transient, may_have_been_applied, ..self }
    }

    /// Appends a note to the message.
    pub(crate) fn noting(self, note: &str) -> Self {
        Self { notes: format!("{}; {note}", self.notes), ..self }
    }

    /// Returns the kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.failure.kind
    }

    /// Returns the HTTP status, if a response arrived.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        Some(self.failure.response.as_ref()?.status().as_u16())
    }

    /// Returns the API's message, if an error response has one. It is [redacted](Self#secrets), but not
    /// shortened, and keeps its line breaks.
    ///
    /// The message is `error.message`, `error`, `message`, `detail`, `title` or `errors[0].message` of a JSON body,
    /// the text of a plain one, or the title or first heading of an HTML page.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let client = fake.client();
    /// let error = client.retrieve_webhook("wrk_unknown").unwrap_err();
    /// assert_eq!(error.status(), Some(404));
    /// assert_eq!(error.message(), Some("worker not found"));
    /// ```
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.failure.message.as_deref()
    }

    /// Returns the first 64 KiB of the response body, after decompression; empty if no response arrived.
    ///
    /// Treat it as a secret, because a body that did not decode may contain the token.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.failure.response.as_ref().map_or(&[], |response| response.body())
    }

    /// Returns a header of the response, such as `x-request-id` for a support request. The name is
    /// case-insensitive. `None` if the header is absent or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.failure.response.as_ref()?.headers().get(name)?.to_str().ok()
    }

    /// Returns how long the server asks to wait before the next request (`retry-after-ms`, or `Retry-After`, RFC 9110
    /// §10.2.3), at most a year. `None` if it does not ask for a wait, or asks for zero or a date in the past.
    ///
    /// The client itself [waits up to 60 s](Self#what-has-been-retried-already) while it has retries left.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.failure.retry_after
    }

    /// Returns how many attempts were made, from 1 to 1 + `max_retries`; 0 for
    /// [`InvalidInput`](ErrorKind::InvalidInput) and [`Incomplete`](ErrorKind::Incomplete).
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns whether an update, delete or regenerate may have been applied although the call failed.
    ///
    /// True if any attempt was sent and its outcome is unknown: the connection was lost, time ran out, or the
    /// response was a 5xx or could not be read. False if each attempt was rejected or never sent, and for
    /// calls that change nothing. After a regenerate, the old token may be invalid already.
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault};
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook").unwrap();
    /// // The token is replaced, but the response is lost.
    /// fake.inject(Fault::hang_up().after_applying());
    ///
    /// let error = client.regenerate_token("wrk_1").unwrap_err();
    /// assert!(error.may_have_been_applied());
    /// ```
    #[must_use]
    pub fn may_have_been_applied(&self) -> bool {
        self.may_have_been_applied
    }

    /// Returns whether the same call may succeed later without changes.
    ///
    /// True if the [table](Self#what-has-been-retried-already) says "retry" for a retrieve, unless
    /// `x-should-retry` says otherwise. False for [`Incomplete`](ErrorKind::Incomplete), after which `follow`
    /// continues nevertheless: check [`is_over`](crate::Follow::is_over) there. Before you call
    /// [`regenerate_token`](crate::HandingerClient::regenerate_token) again, see
    /// [`may_have_been_applied`](Self::may_have_been_applied).
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let client = fake.client();
    /// fake.fail_next(3, 503); // on each of the three attempts
    /// let error = client.retrieve_webhook("wrk_1").unwrap_err();
    /// if error.is_transient() {
    ///     eprintln!("{error:#}; using what was known before");
    /// }
    /// # assert!(error.is_transient());
    /// # assert!(!client.retrieve_webhook("wrk_unknown").unwrap_err().is_transient());
    /// ```
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.is_transient
    }

    /// Returns whether the server returned 400: the request is malformed.
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

    /// Returns whether the server returned 404: there is no such worker.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Returns whether the server returned 409: the request conflicts with another one.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409)
    }

    /// Returns whether the server returned 422: the request contains invalid values.
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
        matches!(self.status(), Some(500..=599))
    }

    /// Returns whether the last attempt exceeded its `timeout`, its `connect_timeout`, or the rest of the
    /// `total_timeout`. If the `total_timeout` leaves no time for a retry, the error is that of the last attempt.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
    }

    /// Returns whether no connection could be opened for the last attempt, so that nothing of it was sent. A connection
    /// that timed out is both [`is_timeout`](Self::is_timeout) and `is_connect`.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        let is_not_sent = matches!(self.failure.stage, Stage::Blocked | Stage::NotSent);
        is_not_sent && self.kind() != ErrorKind::InvalidInput
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", one_line(&self.action), self.failure.problem)?;
        let message = self.message().map(one_line).unwrap_or_default();
        if !message.is_empty() {
            write!(f, ": {message}")?;
        }
        if self.attempts > 1 {
            write!(f, " ({} attempts)", self.attempts)?;
        }
        f.write_str(&self.notes)?;
        if self.may_have_been_applied {
            f.write_str("; the change may have been applied")?;
        }
        if f.alternate() {
            let mut cause = self.source();
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    /// Omits the response's body and headers, because they may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self:#})", self.kind())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.failure.source.as_deref().map(|source| source as _)
    }
}

/// Converts a text to one line without control characters, and shortens it to [`MAX_SHOWN_TEXT`].
pub(crate) fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_SHOWN_TEXT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
