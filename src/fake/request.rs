//! A request as the fake received it, and the call that it makes.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

/// A request as the fake received it; see [`FakeHandinger::requests`](super::FakeHandinger::requests).
///
/// `Debug` prints method, path, query and body, and no header, because one is the key.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The method, for example `PUT`.
    pub method: String,
    /// The path as sent, percent-encoded, without the query.
    pub path: String,
    /// The text after the `?`, if any.
    pub query: Option<String>,
    /// Names and values in the order sent. Bytes that are not UTF-8 become U+FFFD.
    pub headers: Vec<(String, String)>,
    /// The body; empty if there is none.
    pub body: Vec<u8>,
}

/// One of the five calls of the API.
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

impl Request {
    /// Returns the value of the first header with this case-insensitive name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// Returns the body as text; bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn body_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Returns the call that the request makes, even if its worker is unknown or its key is wrong; `None` for
    /// another path or method.
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        let (_, resource) = self.target()?;
        match (&*self.method, resource) {
            ("GET", "webhook") => Some(Operation::RetrieveWebhook),
            ("PUT", "webhook") => Some(Operation::UpdateWebhook),
            ("DELETE", "webhook") => Some(Operation::DeleteWebhook),
            ("POST", "webhook/regenerate-token") => Some(Operation::RegenerateToken),
            ("GET", "webhook/executions") => Some(Operation::ListExecutions),
            _ => None,
        }
    }

    /// Returns the worker in the path, decoded; `None` for another path.
    #[must_use]
    pub fn worker_id(&self) -> Option<String> {
        let (worker_id, _) = self.target()?;
        Some(percent_decode_str(worker_id).decode_utf8_lossy().into_owned())
    }

    fn target(&self) -> Option<(&str, &str)> {
        self.path.strip_prefix("/api/workers/")?.split_once('/')
    }

    /// Returns the page that the query selects, from 1; `None` if it is not a number.
    pub(super) fn page(&self) -> Option<u64> {
        let mut pairs = self.query.as_deref().unwrap_or_default().split('&');
        let page = pairs.find_map(|pair| pair.strip_prefix("page=")).unwrap_or("1");
        page.parse().ok().filter(|page| *page > 0)
    }

    /// Returns whether the connection ends with the response.
    pub(super) fn closes(&self) -> bool {
        let options = self.header("Connection").unwrap_or_default();
        options.split(',').any(|option| option.trim().eq_ignore_ascii_case("close"))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = self.query.as_deref().map_or(String::new(), |query| format!("?{query}"));
        write!(f, "{} {}{query} {}", self.method, self.path, self.body_text())
    }
}
