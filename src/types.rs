//! What travels as JSON, in the API's own words.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::WebhookToken;
use crate::redact::{redact, secret_parts, shown_url};

/// The webhook of a worker: where its deliveries go, and the secret that they carry.
///
/// Handinger sets both or, if the worker has no webhook, neither; one alone is passed on as it came.
///
/// ```
/// # fn main() -> Result<(), serde_json::Error> {
/// let webhook: handinger::Webhook =
///     serde_json::from_str(r#"{ "token": "whk_1", "url": "https://example.com/hook" }"#)?;
/// assert_eq!(webhook.url.as_deref(), Some("https://example.com/hook"));
/// assert!(webhook.token.is_some_and(|token| token.verify("whk_1")));
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WebhookFields")]
#[non_exhaustive]
pub struct Webhook {
    /// Where Handinger POSTs to when a task of the worker completes. May itself be a credential: `Debug` prints no
    /// more of it than the host.
    pub url: Option<String>,
    /// The secret in the `X-Handinger-Token` header of each delivery.
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

/// Tells a field that is `null` from one that is not there: an object with neither field, such as `{"error": …}`
/// under a status of 200, must not pass for "no webhook".
#[derive(Deserialize)]
#[serde(expecting = "an object")]
#[expect(clippy::option_option, reason = "the outer one says whether the field is there")]
struct WebhookFields {
    #[serde(default, deserialize_with = "present")]
    url: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    token: Option<Option<WebhookToken>>,
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl TryFrom<WebhookFields> for Webhook {
    type Error = &'static str;

    fn try_from(fields: WebhookFields) -> Result<Self, Self::Error> {
        match fields {
            WebhookFields { url: None, token: None } => Err("neither `url` nor `token` in the object"),
            WebhookFields { url, token } => Ok(Self { url: url.flatten(), token: token.flatten() }),
        }
    }
}

/// What [`update_webhook`](crate::HandingerClient::update_webhook) is to set.
///
/// A `&str` or `String` converts into an update that sets the URL, `None` into one that removes the webhook; so an
/// `Option<String>` does either (an `Option<&str>` needs `.map(String::from)`).
///
/// ```
/// use handinger::UpdateWebhook;
///
/// assert_eq!(UpdateWebhook::from("https://example.com/hook"), UpdateWebhook::new("https://example.com/hook"));
/// assert_eq!(UpdateWebhook::from(None), UpdateWebhook::clear());
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UpdateWebhook {
    /// The HTTPS endpoint to deliver to; `None` removes the webhook together with its token.
    #[serde(deserialize_with = "Option::deserialize")] // makes the field required: absent is not `null`
    pub url: Option<String>,
}

impl UpdateWebhook {
    /// Sets or replaces the URL. The token stays as it is, or is generated if there was no webhook before.
    ///
    /// ```
    /// let update = handinger::UpdateWebhook::new("https://example.com/hook");
    /// assert_eq!(update.url.as_deref(), Some("https://example.com/hook"));
    /// ```
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: Some(url.into()) }
    }

    /// Removes the webhook and its token, as [`delete_webhook`](crate::HandingerClient::delete_webhook) does.
    ///
    /// ```
    /// assert_eq!(handinger::UpdateWebhook::clear().url, None);
    /// ```
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

impl From<Option<String>> for UpdateWebhook {
    fn from(url: Option<String>) -> Self {
        Self { url }
    }
}

/// One attempt of Handinger to deliver to a webhook.
///
/// ```
/// # fn main() -> Result<(), serde_json::Error> {
/// use handinger::{RequestStatus, WebhookExecution};
///
/// let execution: WebhookExecution = serde_json::from_str(
///     r#"{ "id": "whe_1", "createdAt": "2026-11-23T18:11:19.117Z", "durationMs": 212, "requestStatus": "error",
///          "responseStatus": 503, "errorMessage": "Service Unavailable", "taskId": "tsk_1", "taskTitle": null,
///          "url": "https://example.com/hook", "workerId": "wrk_1" }"#,
/// )?;
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
    /// Identifies the attempt.
    pub id: String,
    /// When the attempt was made, at the offset that the server wrote.
    #[serde(with = "rfc3339")]
    pub created_at: OffsetDateTime,
    /// How long the attempt took, in whole milliseconds; see also [`duration`](Self::duration).
    #[serde(deserialize_with = "whole_number")]
    pub duration_ms: u64,
    /// Why it failed, if it did.
    #[serde(default, deserialize_with = "free_text")]
    pub error_message: Option<String>,
    /// Whether the endpoint answered with a 2xx status.
    pub request_status: RequestStatus,
    /// The HTTP status that the endpoint answered with, when it was reached.
    #[serde(default)]
    pub response_status: Option<u16>,
    /// The task whose completion set the delivery off, when known.
    #[serde(default)]
    pub task_id: Option<String>,
    /// That task's title, when known. A half of a character that the service cut in two is U+FFFD here.
    #[serde(default, deserialize_with = "free_text")]
    pub task_title: Option<String>,
    /// Where the attempt went. May itself be a credential: `Debug` prints no more of it than the host.
    pub url: String,
    /// The worker whose webhook it is.
    pub worker_id: String,
}

impl WebhookExecution {
    /// Whether the endpoint took the delivery: the [`request_status`](Self::request_status) is `success`. False for a
    /// status that this crate does not know.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # fake.client().update_webhook("wrk_1", "https://example.com/hook")?;
    /// assert!(fake.deliver("wrk_1", 200).unwrap().execution.is_success());
    /// assert!(!fake.deliver("wrk_1", 503).unwrap().execution.is_success());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.request_status == RequestStatus::Success
    }

    /// [`duration_ms`](Self::duration_ms) as a [`Duration`].
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # fake.client().update_webhook("wrk_1", "https://example.com/hook")?;
    /// let delivery = fake.deliver_with("wrk_1", |execution| execution.duration_ms = 1500).unwrap();
    /// assert_eq!(delivery.execution.duration().as_secs_f32(), 1.5);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.duration_ms)
    }
}

impl fmt::Debug for WebhookExecution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error_message = self.error_message.as_deref().map(|text| redact(text, secret_parts(&self.url)));
        f.debug_struct("WebhookExecution")
            .field("id", &self.id)
            .field("created_at", &self.created_at)
            .field("duration_ms", &self.duration_ms)
            .field("error_message", &error_message)
            .field("request_status", &self.request_status)
            .field("response_status", &self.response_status)
            .field("task_id", &self.task_id)
            .field("task_title", &self.task_title)
            .field("url", &shown_url(&self.url))
            .field("worker_id", &self.worker_id)
            .finish()
    }
}

/// How a delivery attempt ended.
///
/// ```
/// use handinger::RequestStatus;
///
/// assert_eq!(RequestStatus::Error.as_str(), "error");
/// assert_eq!(RequestStatus::from("throttled"), RequestStatus::Other("throttled".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestStatus {
    /// The endpoint answered with a 2xx status.
    Success,
    /// It answered with another status, or not at all.
    Error,
    /// A status that the API did not have when this crate was written, as the server spelled it.
    Other(String),
}

impl RequestStatus {
    /// The status as the API spells it.
    ///
    /// ```
    /// assert_eq!(handinger::RequestStatus::Success.as_str(), "success");
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Other(status) => status,
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
            other => Self::Other(other.to_owned()),
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
        read_str(deserializer, |status| Ok(Self::from(status)))
    }
}

/// One page of a worker's delivery history, newest first, at most 50 executions.
///
/// Iterates over its executions, by value and by reference.
///
/// ```
/// # fn main() -> Result<(), serde_json::Error> {
/// let page: handinger::WebhookExecutionList =
///     serde_json::from_str(r#"{ "logs": [], "page": 1, "pageCount": 0, "totalCount": 0 }"#)?;
/// for execution in &page {
///     println!("{} {}", execution.created_at, execution.request_status);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
#[non_exhaustive]
pub struct WebhookExecutionList {
    /// The executions of this page.
    pub logs: Vec<WebhookExecution>,
    /// Which page this is, counted from 1.
    #[serde(deserialize_with = "whole_number")]
    pub page: u64,
    /// How many pages there were when the server answered.
    #[serde(deserialize_with = "whole_number")]
    pub page_count: u64,
    /// How many executions there were when the server answered, on all pages together.
    #[serde(deserialize_with = "whole_number")]
    pub total_count: u64,
}

impl WebhookExecutionList {
    /// Iterates over the executions of this page, as `&list` does in a `for` loop.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// let page = fake.client().list_executions("wrk_1", 1)?;
    /// assert_eq!(page.iter().filter(|execution| !execution.is_success()).count(), 0);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn iter(&self) -> std::slice::Iter<'_, WebhookExecution> {
        self.logs.iter()
    }
}

impl IntoIterator for WebhookExecutionList {
    type Item = WebhookExecution;
    type IntoIter = std::vec::IntoIter<WebhookExecution>;

    fn into_iter(self) -> Self::IntoIter {
        self.logs.into_iter()
    }
}

impl<'a> IntoIterator for &'a WebhookExecutionList {
    type Item = &'a WebhookExecution;
    type IntoIter = std::slice::Iter<'a, WebhookExecution>;

    fn into_iter(self) -> Self::IntoIter {
        self.logs.iter()
    }
}

/// `createdAt`: any date and time of RFC 3339 §5.6.
mod rfc3339 {
    use super::{Deserializer, OffsetDateTime, Rfc3339, Serializer, read_str};
    use serde::ser::Error as _;

    pub(super) fn serialize<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&at.format(&Rfc3339).map_err(S::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<OffsetDateTime, D::Error> {
        read_str(deserializer, |text| {
            OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "not a date and time of RFC 3339")
        })
    }
}

/// Reads a string where it stands in the input, without a copy.
fn read_str<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    read: impl FnOnce(&str) -> Result<T, &'static str>,
) -> Result<T, D::Error> {
    struct StrVisitor<F>(F);

    impl<T, F: FnOnce(&str) -> Result<T, &'static str>> Visitor<'_> for StrVisitor<F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            (self.0)(text).map_err(E::custom)
        }
    }

    deserializer.deserialize_str(StrVisitor(read))
}

/// A number of things: `12`, but also the `12.0` or `12.7` of a service that counts in floating point. What is
/// below 0 becomes 0, and what is past 2⁶⁴ becomes the largest number there is.
fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct WholeNumber;

    impl Visitor<'_> for WholeNumber {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number")
        }

        fn visit_u64<E>(self, number: u64) -> Result<u64, E> {
            Ok(number)
        }

        fn visit_i64<E>(self, number: i64) -> Result<u64, E> {
            Ok(number.max(0).unsigned_abs())
        }

        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates, as wanted"
        )]
        fn visit_f64<E>(self, number: f64) -> Result<u64, E> {
            Ok(number as u64)
        }
    }

    deserializer.deserialize_u64(WholeNumber)
}

/// Text that people wrote and services cut: a lone surrogate, half of a character outside the basic plane, is
/// replaced by U+FFFD where `String` would refuse the whole page.
pub(crate) fn free_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct FreeText(String);

    impl<'de> Deserialize<'de> for FreeText {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            // As bytes, since serde_json hands out a lone surrogate only there (as three bytes of WTF-8).
            deserializer.deserialize_bytes(TextVisitor)
        }
    }

    struct TextVisitor;

    impl Visitor<'_> for TextVisitor {
        type Value = FreeText;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }

        fn visit_str<E>(self, text: &str) -> Result<FreeText, E> {
            Ok(FreeText(text.to_owned()))
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<FreeText, E> {
            Ok(FreeText(str::from_utf8(bytes).map_or_else(|_| replace_lone_surrogates(bytes), str::to_owned)))
        }
    }

    Ok(Option::<FreeText>::deserialize(deserializer)?.map(|FreeText(text)| text))
}

/// In WTF-8 a surrogate is the byte `ED` and two more, of which none is valid alone: replacing the first and
/// dropping the others gives one U+FFFD for each.
fn replace_lone_surrogates(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if chunk.invalid().first() == Some(&0xED) {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}
