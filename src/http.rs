//! Sends a request, and returns a complete 2xx response or an [`Error`]. Independent of webhooks.

mod attempt;
mod connect;
mod proxy;
mod response;
mod retry;
mod settings;

use std::collections::hash_map::RandomState;
use std::fmt::Display;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use log::{debug, info};
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::Uri;
use ureq::http::header::HeaderMap;

use crate::error::{Error, Failure};
use crate::redact::redact;
use attempt::{attempt, decode};
use connect::CachingResolver;
use settings::BaseUrl;

pub(crate) use settings::{Setting, Settings};
pub(crate) use ureq::http::Method;
#[cfg(feature = "fake")]
pub(crate) use ureq::http::StatusCode;

/// A complete response.
pub(crate) type Response = ureq::http::Response<Vec<u8>>;

// Limits. Error messages quote these constants.

const MIB: usize = 1024 * 1024;
/// The maximum size of a response's header section, in bytes.
const MAX_HEADERS: usize = 64 * 1024;
/// The maximum size of a response body, in bytes after decompression.
const MAX_BODY: usize = 10 * MIB;
/// The maximum size of the body in an error, in bytes.
const MAX_KEPT_BODY: usize = 64 * 1024;
/// The maximum wait before a retry for which a server can ask.
const MAX_RETRY_WAIT: Duration = Duration::from_secs(60);
/// The maximum age of cached addresses.
const MAX_ADDRESS_AGE: Duration = Duration::from_secs(60);
/// Caps durations so that adding one to an `Instant` cannot overflow.
const LONGEST_TIME: Duration = Duration::from_secs(31_536_000); // a year

/// The parts that all clones of a client share.
pub(crate) struct Http {
    agent: Agent,
    resolver: CachingResolver,
    base_url: BaseUrl,
    headers: HeaderMap,
    /// Texts that messages must not repeat: the key and the values of custom headers.
    secrets: Vec<String>,
    pub(crate) sleep: Box<dyn Fn(Duration) + Send + Sync>,
}

/// Options that may differ between clones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) total_timeout: Option<Duration>,
    pub(crate) max_retries: u32,
}

/// One call, which may take several attempts.
pub(crate) struct Request<'a> {
    /// The beginning of an error's message: `retrieve webhook of worker wrk_1`.
    pub(crate) action: String,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    /// JSON, or empty for an empty body.
    pub(crate) body: Option<Vec<u8>>,
    /// Texts that messages must not repeat.
    pub(crate) secrets: Vec<&'a str>,
    pub(crate) options: Options,
    /// The start of the call and of its `total_timeout`.
    pub(crate) started: Instant,
}

impl Options {
    /// Rejects a timeout of zero.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let timeouts = [Some(self.timeout), Some(self.connect_timeout), self.total_timeout];
        let has_zero = timeouts.contains(&Some(Duration::ZERO));
        if has_zero { Err("a timeout must be more than zero") } else { Ok(()) }
    }
}

impl Request<'_> {
    /// Returns the timeout of an attempt that begins now.
    fn time_left(&self) -> Duration {
        let total_timeout = self.options.total_timeout.unwrap_or(LONGEST_TIME);
        total_timeout.saturating_sub(self.started.elapsed()).min(self.options.timeout).min(LONGEST_TIME)
    }

    /// Names the limit that ended an attempt: this timeout, or the `total_timeout` if that is over.
    fn within(&self, timeout: Duration) -> String {
        // ureq rounds the time for each of up to 16 addresses down to a millisecond.
        let rounding = Duration::from_millis(16);
        self.within_total_timeout(rounding).unwrap_or_else(|| format!("within {timeout:?}"))
    }

    /// Names the `total_timeout` if this wait would exceed it.
    fn within_total_timeout(&self, wait: Duration) -> Option<String> {
        let total_timeout = self.options.total_timeout?;
        let is_over = self.started.elapsed() + wait >= total_timeout;
        is_over.then(|| format!("within the total timeout of {total_timeout:?}"))
    }

    fn log(&self, result: &Result<Response, Failure>, attempts: u32, elapsed: Duration) {
        let outcome: &dyn Display = match result {
            Ok(response) => &response.status().as_u16(),
            Err(failure) => &failure.problem,
        };
        let (method, millis) = (&self.method, elapsed.as_millis());
        let path = self.uri.path_and_query().map_or("", |path| path.as_str());
        debug!(target: "handinger", "{method} {path}: {outcome} on attempt {attempts} after {millis} ms");
    }
}

impl Http {
    /// Checks the settings, without any I/O.
    pub(crate) fn new(settings: Settings) -> Result<Self, String> {
        let base_url = settings.base_url.read(|url| BaseUrl::parse(url, settings.allow_insecure_http))?;
        let headers = settings::headers(&settings, &base_url.authority)?;
        let (agent, resolver) = connect::agent(&base_url, &settings.user_agent, settings.configure)?;
        let values = settings.headers.into_iter().map(|(_, setting)| setting.value);
        let secrets = values.chain([settings.api_key.value]).collect();
        Ok(Self { agent, resolver, base_url, headers, secrets, sleep: settings.sleep })
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.base_url.text
    }

    /// Returns the URL of a path below the base URL.
    pub(crate) fn url(&self, path: &str) -> Result<Uri, &'static str> {
        format!("{}{path}", self.base_url.text).parse().map_err(|_| "the URL is too long")
    }

    /// Sends a request until it succeeds, fails for good, or runs out of retries or time.
    pub(crate) fn send<T: DeserializeOwned>(&self, request: &Request<'_>) -> Result<T, Error> {
        request.options.check().map_err(|problem| Error::invalid_input(&request.action, problem))?;
        let mut attempts = 0;
        let mut may_have_been_applied = false;
        loop {
            attempts += 1;
            let started = Instant::now();
            let result = attempt(self, request, attempts > 1);
            request.log(&result, attempts, started.elapsed());
            let failure = match result.and_then(|response| decode(self, request, response)) {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let verdict = retry::judge(&request.method, &failure);
            may_have_been_applied |= verdict.may_have_been_applied;
            let error = Error::new(&request.action, failure);
            let error = error.after(attempts, verdict.is_transient, may_have_been_applied);
            let is_over = error.is_timeout() && request.within_total_timeout(Duration::ZERO).is_some();
            if !verdict.retry || attempts > request.options.max_retries || is_over {
                return Err(error);
            }
            if let Err(note) = self.wait_before_retry(request, &error) {
                return Err(error.noting(&note));
            }
        }
    }

    /// Waits, or returns why there is no time for a retry.
    fn wait_before_retry(&self, request: &Request<'_>, error: &Error) -> Result<(), String> {
        let asked = error.retry_after();
        let Some(wait) = retry::wait(asked, error.attempts(), jitter()) else {
            let asked = asked.unwrap_or_default();
            return Err(format!("the server asks to wait {asked:?}, longer than {MAX_RETRY_WAIT:?}"));
        };
        let check_time = |wait| match request.within_total_timeout(wait) {
            Some(within) => Err(format!("no time left {within}")),
            None => Ok(()),
        };
        check_time(wait)?;
        info!(target: "handinger", "retrying in {wait:?}: {error}");
        (self.sleep)(wait);
        check_time(Duration::ZERO) // a sleep can take longer than requested
    }

    /// Redacts the secrets of the client and of the request.
    fn redact(&self, request: &Request<'_>, text: &str) -> String {
        let secrets = self.secrets.iter().map(String::as_str);
        redact(text, &secrets.chain(request.secrets.iter().copied()).collect::<Vec<_>>())
    }
}

/// Returns a number between 0 and 1. The random keys of a [`RandomState`] are random enough for jitter.
#[expect(clippy::cast_precision_loss, reason = "a few bits of randomness are enough")]
fn jitter() -> f64 {
    RandomState::new().hash_one(()) as f64 / u64::MAX as f64
}
