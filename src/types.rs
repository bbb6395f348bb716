//! The types of the API's JSON, with the API's own names.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::de::Deserializer;
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, UtcOffset};

use crate::error::one_line;
use crate::lenient::{status, whole_number};
use crate::redact::{redact, secret_parts, shown_url};
use crate::token::WebhookToken;

/// A worker's webhook: the URL of its endpoint, and the secret in its deliveries.
///
/// Both fields are `None` if the worker has no webhook, as in `Webhook::default()`. `Serialize` writes the JSON of the
/// API, with the token in clear.
///
/// ```
/// # fn main() -> Result<(), serde_json::Error> {
/// let webhook: handinger::Webhook =
///     serde_json::from_str(r#"{ "token": "whk_1", "url": "https://example.com/hook" }"#)?;
/// assert_eq!(webhook.url.as_deref(), Some("https://example.com/hook"));
/// assert!(webhook.token.is_some_and(|token| token.verify("whk_1")));
/// # Ok(()) }
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "an object")]
#[non_exhaustive]
pub struct Webhook {
    /// The endpoint to which Handinger POSTs when a task of the worker completes. It may be a credential: `Debug` prints
    /// only scheme, host and port.
    // The key is required, so that `{"error": …}` with a status of 200 does not decode as "no webhook".
    #[serde(deserialize_with = "Option::deserialize")]
    pub url: Option<String>,
    /// The secret in the `X-Handinger-Token` header of each delivery.
    #[serde(default)]
    pub token: Option<WebhookToken>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("url", &self.url.as_deref().map(shown_url))
            .field("token", &self.token)
            .finish()
    }
}

/// The change that [`update_webhook`](crate::HandingerClient::update_webhook) makes.
///
/// A `&str` or `String` converts into an update that sets the URL. Only [`clear`](Self::clear) removes the
/// webhook. An `Option` does not convert, so that a missing setting cannot remove it by mistake.
///
/// ```
/// use handinger::UpdateWebhook;
///
/// let update = UpdateWebhook::from("https://example.com/hook");
/// assert_eq!(update, UpdateWebhook::new("https://example.com/hook"));
/// assert_eq!(UpdateWebhook::clear().url, None);
/// ```
///
/// ```compile_fail
/// # fn set(client: handinger::HandingerClient) -> Result<(), handinger::Error> {
/// client.update_webhook("wrk_1", std::env::var("HOOK_URL").ok())?; // does not compile
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UpdateWebhook {
    /// The HTTPS endpoint to deliver to; `None` removes the webhook together with its token.
    #[serde(deserialize_with = "Option::deserialize")] // makes the field required: absent is not `null`
    pub url: Option<String>,
}

impl UpdateWebhook {
    /// Creates an update that sets or replaces the URL. The token stays, or is generated if there was no webhook.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: Some(url.into()) }
    }

    /// Creates an update that removes the webhook and its token, as
    /// [`delete_webhook`](crate::HandingerClient::delete_webhook) does.
    #[must_use]
    pub fn clear() -> Self {
        Self { url: None }
    }
}

impl fmt::Debug for UpdateWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpdateWebhook").field("url", &self.url.as_deref().map(shown_url)).finish()
    }
}

impl From<&str> for UpdateWebhook {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for UpdateWebhook {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

impl From<&String> for UpdateWebhook {
    fn from(url: &String) -> Self {
        Self::new(url)
    }
}

/// The record of a delivery: Handinger's POST to a webhook.
///
/// `Serialize` writes the JSON of the API: camelCase keys and the time as RFC 3339. To print the time in this
/// format, use `created_at.format(&handinger::time::format_description::well_known::Rfc3339)`.
///
/// In a test, create one from JSON, or with the [fake](crate#testing):
///
/// ```
/// # fn main() -> Result<(), serde_json::Error> {
/// use handinger::{RequestStatus, WebhookExecution};
///
/// let execution: WebhookExecution = serde_json::from_str(
///     r#"{ "id": "whe_1", "createdAt": "2026-11-23T18:11:19.117Z", "durationMs": 212,
///          "requestStatus": "error", "responseStatus": 503,
///          "errorMessage": "Service Unavailable", "taskId": "tsk_1", "taskTitle": null,
///          "url": "https://example.com/hook", "workerId": "wrk_1" }"#,
/// )?;
/// assert!(!execution.is_success());
/// assert_eq!(execution.request_status, RequestStatus::Error);
/// assert_eq!(execution.response_status, Some(503));
/// assert_eq!(execution.duration().as_millis(), 212);
/// assert_eq!(execution.created_at.hour(), 18);
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
#[non_exhaustive]
pub struct WebhookExecution {
    /// Identifies the execution.
    pub id: String,
    /// The time of the delivery, with the UTC offset that the server wrote.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// The duration of the delivery in whole milliseconds; see also [`duration`](Self::duration).
    #[serde(deserialize_with = "whole_number")]
    pub duration_ms: u64,
    /// The reason why the delivery failed, if it did.
    #[serde(default)]
    pub error_message: Option<String>,
    /// The outcome: `success` if the endpoint returned a 2xx status; see also [`is_success`](Self::is_success).
    pub request_status: RequestStatus,
    /// The HTTP status that the endpoint returned, if it was reached.
    #[serde(default, deserialize_with = "status")]
    pub response_status: Option<u16>,
    /// The task whose completion triggered the delivery, when known.
    #[serde(default)]
    pub task_id: Option<String>,
    /// The title of that task, when known. A character that the service cut in half becomes U+FFFD.
    #[serde(default)]
    pub task_title: Option<String>,
    /// The endpoint of the delivery. It may be a credential: `Debug` prints only scheme, host and port.
    pub url: String,
    /// The worker to which the webhook belongs.
    pub worker_id: String,
}

impl WebhookExecution {
    /// Returns whether the [`request_status`](Self::request_status) is `success`. False for a status that
    /// this crate does not know.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.request_status == RequestStatus::Success
    }

    /// Returns [`duration_ms`](Self::duration_ms) as a [`Duration`].
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.duration_ms)
    }
}

/// Prints one line that sorts by time: RFC 3339 in UTC with three decimals, the outcome, the duration and the error
/// message. Control characters become spaces.
impl fmt::Display for WebhookExecution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A time at the end of the year 9999 may be out of range in UTC.
        let at = self.created_at.checked_to_offset(UtcOffset::UTC).unwrap_or(self.created_at);
        let (date, hour, minute, second) = (at.date(), at.hour(), at.minute(), at.second());
        write!(
            f,
            "{date}T{hour:02}:{minute:02}:{second:02}.{:03}Z {}",
            at.millisecond(),
            one_line(self.request_status.as_str())
        )?;
        if let Some(status) = self.response_status {
            write!(f, " {status}")?;
        }
        write!(f, " {} ms", self.duration_ms)?;
        match self.error_message.as_deref().map(one_line) {
            Some(message) if !message.is_empty() => write!(f, " {message}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for WebhookExecution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secrets = secret_parts(&self.url);
        let redacted = |text: &Option<String>| text.as_deref().map(|text| redact(text, &secrets));
        f.debug_struct("WebhookExecution")
            .field("id", &self.id)
            .field("created_at", &self.created_at)
            .field("duration_ms", &self.duration_ms)
            .field("error_message", &redacted(&self.error_message))
            .field("request_status", &redact(self.request_status.as_str(), &secrets))
            .field("response_status", &self.response_status)
            .field("task_id", &redacted(&self.task_id))
            .field("task_title", &redacted(&self.task_title))
            .field("url", &shown_url(&self.url))
            .field("worker_id", &self.worker_id)
            .finish()
    }
}

/// The outcome of a delivery; see also [`WebhookExecution::is_success`].
///
/// ```
/// use handinger::RequestStatus;
///
/// assert_eq!(RequestStatus::Error.as_str(), "error");
/// assert_eq!(RequestStatus::from("throttled").as_str(), "throttled");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RequestStatus {
    /// The endpoint returned a 2xx status.
    Success,
    /// The endpoint returned another status, or could not be reached.
    Error,
    /// A status that this crate does not know. Only `From<&str>` creates it, so it never holds a known one.
    #[non_exhaustive]
    Other {
        /// The status as the server spelled it.
        status: String,
    },
}

impl RequestStatus {
    /// Returns the status as the API spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Other { status } => status,
        }
    }
}

impl fmt::Display for RequestStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<&str> for RequestStatus {
    fn from(status: &str) -> Self {
        match status {
            "success" => Self::Success,
            "error" => Self::Error,
            other => Self::Other { status: other.to_owned() },
        }
    }
}

impl Serialize for RequestStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RequestStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Borrows from the input if possible, because a copy would cost an allocation for each execution.
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct Status<'a>(#[serde(borrow)] Cow<'a, str>);

        Status::deserialize(deserializer).map(|Status(status)| Self::from(&*status))
    }
}

/// One page of a worker's delivery history, newest first, at most 50 executions.
///
/// `Serialize` writes the JSON of the API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
#[non_exhaustive]
pub struct WebhookExecutionList {
    /// The executions of this page.
    pub logs: Vec<WebhookExecution>,
    /// The number of this page, counted from 1.
    #[serde(deserialize_with = "whole_number")]
    pub page: u64,
    /// The number of pages at the time of the response.
    #[serde(deserialize_with = "whole_number")]
    pub page_count: u64,
    /// The number of executions on all pages at the time of the response.
    #[serde(deserialize_with = "whole_number")]
    pub total_count: u64,
}
