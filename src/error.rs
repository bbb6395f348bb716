//! The one error of this crate.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use ureq::http::{HeaderMap, StatusCode};

/// How much of a text by somebody else `Display` repeats, in characters.
const SHOWN_TEXT: usize = 200;

/// What went wrong, in a form to act on.
///
/// `Display` is one short line that tells what was being done, what happened, what the API said of it, how often it
/// was tried, and whether a change may have been made all the same. What lies below, such as an I/O error, is in
/// [`source()`](StdError::source).
///
/// | to learn | ask |
/// |---|---|
/// | what sort of failure it is | [`kind`](Self::kind), or [`is_not_found`](Self::is_not_found) and its like |
/// | what the server answered | [`status`](Self::status), [`message`](Self::message), [`body`](Self::body), [`header`](Self::header) |
/// | whether a change was made | [`may_have_been_applied`](Self::may_have_been_applied) |
/// | how often it was tried | [`attempts`](Self::attempts) |
/// | when to come back | [`retry_after`](Self::retry_after) |
///
/// This crate puts no key, no token and no path or query of a webhook's URL into `Display`, `Debug` or `source()`. The
/// server's own message is repeated there, but without the key, the values of custom headers, and the parts (of 4 bytes
/// or more) of the URL that was to be set; another secret that a server writes into its message is not recognised.
/// [`body`](Self::body) and [`header`](Self::header) give out what the server sent as it was.
///
/// ```
/// use handinger::{ErrorKind, HandingerClient};
///
/// let error = HandingerClient::new("key").unwrap().retrieve_webhook("..").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// assert_eq!(error.to_string(), "retrieve webhook: the worker id must not be `..`");
/// assert_eq!(error.attempts(), 0);
/// ```
pub struct Error(Box<Inner>);

/// The parts of an [`Error`].
pub(crate) struct Inner {
    pub(crate) kind: ErrorKind,
    /// What was being done: `retrieve webhook of worker wrk_1`.
    pub(crate) action: String,
    /// What happened: `the server answered 404`.
    pub(crate) problem: String,
    pub(crate) answer: Option<Box<Answer>>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) attempts: u32,
    /// Why a failure that is worth another try did not get one.
    pub(crate) gave_up: Option<String>,
    pub(crate) may_have_been_applied: bool,
    pub(crate) source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What the server answered, as far as it was read.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) message: Option<String>,
}

/// What sort of failure an [`Error`] is.
///
/// ```
/// # use handinger::{ErrorKind, HandingerClient};
/// let error = HandingerClient::new(" ").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument or setting was refused before anything was sent.
    InvalidInput,
    /// No connection came about: name lookup, TCP, proxy or TLS handshake. Nothing of the request was sent.
    Connect,
    /// The connection broke, or what came over it was not a whole HTTP answer.
    Transport,
    /// No whole answer came within the `timeout` of a try, or within the `total_timeout`.
    Timeout,
    /// The server answered with a 3xx status. Redirects are not followed.
    Redirect,
    /// The server answered with a status that is neither 2xx nor 3xx.
    Status,
    /// The answer is not what the API promises: a 2xx without JSON or of another shape, a body over 10 MiB, or headers
    /// over 64 KiB or more than 128.
    Decode,
    /// A walk over the executions came to its end, but may have missed some. All that it found has been yielded before;
    /// see [`Executions`](crate::Executions), [`PageIter`](crate::PageIter) and [`Follow`](crate::Follow).
    Incomplete,
}

impl Error {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Box::new(inner))
    }

    /// A refusal before any I/O.
    pub(crate) fn invalid_input(action: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::new(Inner {
            kind: ErrorKind::InvalidInput,
            action: action.into(),
            problem: problem.into(),
            answer: None,
            retry_after: None,
            attempts: 0,
            gave_up: None,
            may_have_been_applied: false,
            source: None,
        })
    }

    /// A walk that may have missed executions.
    pub(crate) fn incomplete(action: impl Into<String>, problem: impl Into<String>) -> Self {
        let Self(inner) = Self::invalid_input(action, problem);
        Self::new(Inner { kind: ErrorKind::Incomplete, ..*inner })
    }

    /// What sort of failure it is.
    ///
    /// ```
    /// # let error = handinger::HandingerClient::new("").unwrap_err();
    /// assert_eq!(error.kind(), handinger::ErrorKind::InvalidInput);
    /// ```
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The HTTP status, if the server answered.
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
        self.0.answer.as_ref().map(|answer| answer.status.as_u16())
    }

    /// What the API says of the failure in its own words, if it does. Neither shortened nor cleaned of line breaks,
    /// but without secrets that the client knows.
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
        self.0.answer.as_ref()?.message.as_deref()
    }

    /// The first 64 KiB of the answer's body, as they came; empty if no answer came.
    ///
    /// Of an answer that did not decode it may hold the token that was to be returned: handle it as a secret.
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
        self.0.answer.as_ref().map_or(&[], |answer| &answer.body)
    }

    /// A header of the answer, such as `x-request-id`, to quote to support. The name's case does not matter;
    /// `None` if the header is not there or not text.
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
        self.0.answer.as_ref()?.headers.get(name)?.to_str().ok()
    }

    /// How long the server asks to wait before the next request (`retry-after-ms`, or `Retry-After`, RFC 9110
    /// §10.2.3), when it does and the time is not over already.
    ///
    /// Up to 60 s are waited for by the client itself while it has tries left; a longer time is in the error at once.
    ///
    /// ```
    /// # use handinger::HandingerClient;
    /// # let error = HandingerClient::new("").unwrap_err();
    /// if let Some(wait) = error.retry_after() {
    ///     eprintln!("come back in {} s", wait.as_secs());
    /// }
    /// ```
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// How many requests were made: 0 for bad input, up to 1 + `max_retries` otherwise.
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

    /// Whether an update, delete or regenerate may have been made although it failed.
    ///
    /// True when some try reached the server and its outcome is not known: the connection broke, time ran out, the
    /// answer was a 5xx or could not be read. False when every try was certainly refused or never sent, and for the
    /// calls that change nothing.
    ///
    /// After `true`: update and delete can simply be called again. After a regenerate, the old token may be invalid
    /// already: [`retrieve_webhook`](crate::HandingerClient::retrieve_webhook) tells which one is in force, and a
    /// second regenerate would replace it once more.
    ///
    /// ```
    /// # use handinger::fake::FakeHandinger;
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook").unwrap();
    /// fake.cut_next(1); // the token is replaced, but the answer is lost
    ///
    /// let token = match client.regenerate_token("wrk_1") {
    ///     Err(error) if error.may_have_been_applied() => client.retrieve_webhook("wrk_1")?.token,
    ///     other => other?.token,
    /// };
    /// assert!(token.is_some());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn may_have_been_applied(&self) -> bool {
        self.0.may_have_been_applied
    }

    /// Whether the server answered 400: it did not understand the request.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let client = fake.client();
    /// fake.fail_next(1, 400);
    /// assert!(client.retrieve_webhook("wrk_1").unwrap_err().is_bad_request());
    /// ```
    #[must_use]
    pub fn is_bad_request(&self) -> bool {
        self.status() == Some(400)
    }

    /// Whether the server answered 401: the API key is missing, wrong or revoked.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let client = fake.client();
    /// fake.fail_next(1, 401);
    /// assert!(client.retrieve_webhook("wrk_1").unwrap_err().is_unauthorized());
    /// ```
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        self.status() == Some(401)
    }

    /// Whether the server answered 403: only the creator of a worker may see and change its webhook.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let client = fake.client();
    /// fake.fail_next(1, 403);
    /// assert!(client.retrieve_webhook("wrk_1").unwrap_err().is_forbidden());
    /// ```
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.status() == Some(403)
    }

    /// Whether the server answered 404: it knows no such worker.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let client = fake.client();
    /// fake.fail_next(1, 404);
    /// assert!(client.retrieve_webhook("wrk_1").unwrap_err().is_not_found());
    /// ```
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether the server answered 409: the request conflicts with another one.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let client = fake.client();
    /// fake.fail_next(3, 409); // at each of the three tries
    /// assert!(client.retrieve_webhook("wrk_1").unwrap_err().is_conflict());
    /// ```
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409)
    }

    /// Whether the server answered 422: it understood the request, but not the values in it.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let client = fake.client();
    /// fake.fail_next(1, 422);
    /// assert!(client.retrieve_webhook("wrk_1").unwrap_err().is_unprocessable());
    /// ```
    #[must_use]
    pub fn is_unprocessable(&self) -> bool {
        self.status() == Some(422)
    }

    /// Whether the server answered 429: too many requests; see [`retry_after`](Self::retry_after).
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let client = fake.client();
    /// fake.fail_next(3, 429); // at each of the three tries
    /// assert!(client.retrieve_webhook("wrk_1").unwrap_err().is_rate_limited());
    /// ```
    #[must_use]
    pub fn is_rate_limited(&self) -> bool {
        self.status() == Some(429)
    }

    /// Whether the server answered with a 5xx status.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let client = fake.client();
    /// fake.fail_next(3, 503); // at each of the three tries
    /// assert!(client.retrieve_webhook("wrk_1").unwrap_err().is_server_error());
    /// ```
    #[must_use]
    pub fn is_server_error(&self) -> bool {
        self.0.answer.as_ref().is_some_and(|answer| answer.status.is_server_error())
    }

    /// Whether time ran out for the last try: its `timeout`, or what was left of the `total_timeout`. Short for
    /// [`ErrorKind::Timeout`]. Where there is no time left to wait for another try, the last failure is returned as it is.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let client = fake.client();
    /// fake.delay_next(1, Duration::from_millis(200));
    /// let hurried = client.clone().with_timeout(Duration::from_millis(50)).with_max_retries(0);
    /// assert!(hurried.retrieve_webhook("wrk_1").unwrap_err().is_timeout());
    /// ```
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
    }

    /// Whether no connection came about. Short for [`ErrorKind::Connect`].
    ///
    /// ```
    /// // Nobody listens on this port.
    /// let builder = handinger::HandingerClient::builder("key").base_url("http://127.0.0.1:9").max_retries(0);
    /// assert!(builder.build()?.retrieve_webhook("wrk_1").unwrap_err().is_connect());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.kind() == ErrorKind::Connect
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { action, problem, attempts, gave_up, may_have_been_applied, .. } = &*self.0;
        write!(f, "{}: {problem}", one_line(action))?;
        let message = self.message().map(one_line).unwrap_or_default();
        if !message.is_empty() {
            write!(f, ": {message}")?;
        }
        if *attempts > 1 {
            write!(f, " ({attempts} tries)")?;
        }
        if let Some(reason) = gave_up {
            write!(f, "; {reason}")?;
        }
        if *may_have_been_applied {
            f.write_str("; the change may have been applied")?;
        }
        Ok(())
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
        if let Some((end, _)) = line.char_indices().nth(SHOWN_TEXT) {
            line.truncate(end);
            line.push('…');
            break;
        }
    }
    line
}

impl fmt::Debug for Error {
    /// Leaves out the answer's body and headers, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind())
            .field("display", &self.to_string())
            .field("status", &self.status())
            .field("attempts", &self.attempts())
            .field("retry_after", &self.retry_after())
            .field("may_have_been_applied", &self.may_have_been_applied())
            .field("source", &self.source().map(ToString::to_string))
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
