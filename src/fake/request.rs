//! A request as the fake received it, and which of the five calls it makes.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

/// Headers whose values `Debug` does not print.
const SECRET_HEADERS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// A request as the fake received it; see [`FakeHandinger::requests`](super::FakeHandinger::requests).
///
/// `Debug` prints the body as text, and redacts the key.
///
/// ```
/// # let fake = handinger::fake::FakeHandinger::start();
/// # fake.add_worker("wrk_1");
/// fake.client().list_executions("wrk_1", 2)?;
///
/// let request = &fake.requests()[0];
/// assert_eq!(request.method, "GET");
/// assert_eq!(request.path, "/api/workers/wrk_1/webhook/executions");
/// assert_eq!(request.query.as_deref(), Some("page=2"));
/// assert_eq!(request.header("Accept"), Some("application/json"));
/// assert!(!format!("{request:?}").contains(fake.api_key()));
/// # Ok::<(), handinger::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The method, for example `PUT`.
    pub method: String,
    /// The path as it was sent, percent-encoded, without the query.
    pub path: String,
    /// What follows the `?`, if there is one.
    pub query: Option<String>,
    /// Names and values in the order in which they were sent. Bytes that are not UTF-8 become U+FFFD.
    pub headers: Vec<(String, String)>,
    /// The body, without the framing of its chunks. Trailers are discarded.
    pub body: Vec<u8>,
}

/// One of the five calls of the API.
///
/// ```
/// use handinger::fake::{Fault, Operation};
/// # let fake = handinger::fake::FakeHandinger::start();
/// # fake.add_worker("wrk_1");
///
/// fake.inject(Fault::status(403).on(Operation::UpdateWebhook));
/// assert!(fake.client().retrieve_webhook("wrk_1").is_ok());
/// assert!(fake.client().update_webhook("wrk_1", "https://example.com/hook").is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `GET /api/workers/{workerId}/webhook`.
    RetrieveWebhook,
    /// `PUT /api/workers/{workerId}/webhook`.
    UpdateWebhook,
    /// `DELETE /api/workers/{workerId}/webhook`.
    DeleteWebhook,
    /// `POST /api/workers/{workerId}/webhook/regenerate-token`.
    RegenerateToken,
    /// `GET /api/workers/{workerId}/webhook/executions`.
    ListExecutions,
}

/// What a path leads to.
#[derive(Clone, Copy)]
pub(super) enum Resource {
    Webhook,
    Token,
    Executions,
}

/// A path or query with a `%` that is not followed by two hexadecimal digits, or whose bytes are not UTF-8.
pub(super) struct Malformed;

impl Request {
    /// Returns the value of the first header with this name, whose case does not matter.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let _ = fake.client().retrieve_webhook("wrk_1");
    /// assert!(fake.requests()[0].header("user-agent").unwrap().starts_with("handinger-rust/"));
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).next()
    }

    /// Returns the body as text; bytes that are not UTF-8 become U+FFFD.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let _ = fake.client().update_webhook("wrk_1", "https://example.com/hook");
    /// assert_eq!(fake.requests()[0].body_text(), r#"{"url":"https://example.com/hook"}"#);
    /// ```
    #[must_use]
    pub fn body_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Returns the call that the request makes, whether or not its worker exists and its key is valid; `None` for
    /// another path or method.
    ///
    /// ```
    /// # use handinger::fake::Operation;
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let _ = fake.client().delete_webhook("wrk_1");
    /// assert_eq!(fake.requests()[0].operation(), Some(Operation::DeleteWebhook));
    /// ```
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        let (_, resource) = self.target().ok()??;
        match (&*self.method, resource) {
            ("GET", Resource::Webhook) => Some(Operation::RetrieveWebhook),
            ("PUT", Resource::Webhook) => Some(Operation::UpdateWebhook),
            ("DELETE", Resource::Webhook) => Some(Operation::DeleteWebhook),
            ("POST", Resource::Token) => Some(Operation::RegenerateToken),
            ("GET", Resource::Executions) => Some(Operation::ListExecutions),
            _ => None,
        }
    }

    /// Returns the worker in the path, decoded; `None` for another path.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # let _ = fake.client().retrieve_webhook("a worker");
    /// assert_eq!(fake.requests()[0].worker_id().as_deref(), Some("a worker"));
    /// ```
    #[must_use]
    pub fn worker_id(&self) -> Option<String> {
        Some(self.target().ok()??.0)
    }

    pub(super) fn header_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
    }

    /// The worker and what of it the path leads to; `None` if it leads nowhere.
    pub(super) fn target(&self) -> Result<Option<(String, Resource)>, Malformed> {
        let segments = self.path.split('/').map(percent_decode).collect::<Result<Vec<_>, _>>()?;
        let segments: Vec<_> = segments.iter().map(|segment| &**segment).collect();
        let ["", "api", "workers", worker_id, "webhook", rest @ ..] = &*segments else { return Ok(None) };
        let resource = match rest {
            [] => Resource::Webhook,
            ["regenerate-token"] => Resource::Token,
            ["executions"] => Resource::Executions,
            _ => return Ok(None),
        };
        Ok(Some(((*worker_id).to_owned(), resource)))
    }

    /// The first value of this name in the query.
    pub(super) fn query_value(&self, name: &str) -> Result<Option<Cow<'_, str>>, Malformed> {
        let mut pairs = self.query.as_deref().unwrap_or_default().split('&');
        let value = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.map(percent_decode).transpose()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| {
                let is_secret = SECRET_HEADERS.iter().any(|secret| name.eq_ignore_ascii_case(secret));
                (name, if is_secret { "[redacted]" } else { value })
            })
            .collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("query", &self.query)
            .field("headers", &headers)
            .field("body", &self.body_text())
            .finish()
    }
}

fn percent_decode(text: &str) -> Result<Cow<'_, str>, Malformed> {
    let is_escape = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(is_escape) {
        return Err(Malformed);
    }
    percent_decode_str(text).decode_utf8().map_err(|_| Malformed)
}
