//! The engine: one request in, one complete 2xx response or an [`Error`] out. It knows nothing of webhooks.

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
use ureq::Agent;
pub(crate) use ureq::http::Method;
#[cfg(feature = "fake")]
pub(crate) use ureq::http::StatusCode;
use ureq::http::Uri;
use ureq::http::header::HeaderMap;

use crate::error::{Error, ErrorKind, Failure, Stage};
use crate::lenient::DecodeError;
use crate::redact::redact;
use attempt::attempt;
use connect::CachingResolver;
use settings::BaseUrl;

pub(crate) use settings::{Setting, Settings};

/// A complete response.
pub(crate) type Response = ureq::http::Response<Vec<u8>>;

// Limits. Error messages quote these constants.

const MIB: usize = 1024 * 1024;
/// The largest header section of a response, in bytes.
const MAX_HEADERS: usize = 64 * 1024;
/// The most headers of a response: ureq's own limit.
const MAX_HEADER_COUNT: usize = 128;
/// The largest response body that is read, in bytes after decompression.
const MAX_BODY: usize = 10 * MIB;
/// The part of a response body that an error keeps, in bytes.
const MAX_KEPT_BODY: usize = 64 * 1024;
/// The longest wait before a retry that a server can ask for.
const MAX_RETRY_WAIT: Duration = Duration::from_secs(60);
/// The time for which the addresses of a host are used after their lookup.
const MAX_ADDRESS_AGE: Duration = Duration::from_secs(60);
/// Caps durations so that adding one to an `Instant` cannot overflow.
const LONGEST_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The parts that all clones of a client share.
pub(crate) struct Http {
    agent: Agent,
    resolver: CachingResolver,
    base_url: BaseUrl,
    headers: HeaderMap,
    /// Texts that messages must not repeat: the key and the values of custom headers.
    secrets: Vec<String>,
    sleep: Box<dyn Fn(Duration) + Send + Sync>,
}

/// Options that may differ between clones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) total_timeout: Option<Duration>,
    pub(crate) max_retries: u32,
}

pub(crate) struct Request<'a> {
    /// The call in the imperative, as an error's message begins: `retrieve webhook of worker wrk_1`.
    pub(crate) action: String,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    /// JSON; empty for a request with an empty body.
    pub(crate) body: Option<Vec<u8>>,
    /// Texts that messages must not repeat.
    pub(crate) secrets: Vec<&'a str>,
    pub(crate) options: Options,
    /// The end of the `total_timeout`.
    pub(crate) deadline: Option<Instant>,
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let timeouts = [Some(self.timeout), Some(self.connect_timeout), self.total_timeout];
        let has_zero = timeouts.contains(&Some(Duration::ZERO));
        if has_zero { Err("a timeout must be more than zero") } else { Ok(()) }
    }

    /// Returns the time by which a call that begins now must have ended.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(self.total_timeout?)
    }
}

impl Request<'_> {
    /// Returns how long an attempt that begins now may take.
    fn time_left(&self) -> Duration {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        left.unwrap_or(LONGEST_TIME).min(self.options.timeout)
    }

    /// Names the setting that ended an attempt: the timeout, or the `total_timeout` if that is over.
    fn within(&self, timeout: Duration) -> String {
        self.total_timeout_within(Duration::ZERO).unwrap_or_else(|| format!("within {timeout:?}"))
    }

    /// Names the `total_timeout` if it is over after the wait.
    fn total_timeout_within(&self, wait: Duration) -> Option<String> {
        let is_over = Instant::now() + wait >= self.deadline?;
        is_over.then(|| {
            format!("within the total timeout of {:?}", self.options.total_timeout.unwrap_or_default())
        })
    }

    fn log(&self, result: &Result<Response, Failure>, attempts: u32, elapsed: Duration) {
        let outcome: &dyn Display = match result {
            Ok(response) => &response.status().as_u16(),
            Err(failure) => &failure.problem,
        };
        let (method, path, millis) = (&self.method, self.uri.path_and_query(), elapsed.as_millis());
        let path = path.map_or("", |path| path.as_str());
        debug!(target: "handinger", "{method} {path}: {outcome} on attempt {attempts} after {millis} ms");
    }
}

impl Http {
    /// Checks the settings, without any I/O.
    pub(crate) fn new(settings: Settings) -> Result<Self, String> {
        let setting = &settings.base_url;
        let base_url = BaseUrl::parse(setting.value.trim(), settings.allow_insecure_http)
            .map_err(|problem| setting.rejected(problem))?;
        let headers = settings::headers(&settings, &base_url.authority)?;
        let (agent, resolver) = connect::agent(&base_url, &settings.user_agent, settings.configure)?;
        let values = settings.headers.into_iter().map(|(_, setting)| setting.value);
        let secrets = values.chain([settings.api_key.value.trim().to_owned()]).collect();
        Ok(Self { agent, resolver, base_url, headers, secrets, sleep: settings.sleep })
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.base_url.text
    }

    /// Returns the URL of a path below the base URL.
    pub(crate) fn url(&self, path: &str) -> Result<Uri, &'static str> {
        format!("{}{path}", self.base_url.text).parse().map_err(|_| "the URL is too long")
    }

    pub(crate) fn sleep(&self, wait: Duration) {
        (self.sleep)(wait);
    }

    /// Sends a request until it succeeds, fails for good, or runs out of retries or time. Returns the response and the
    /// number of attempts.
    pub(crate) fn send(&self, request: &Request<'_>) -> Result<(Response, u32), Error> {
        request.options.check().map_err(|problem| Error::invalid_input(&request.action, problem))?;
        let mut attempts = 0;
        let mut may_have_been_applied = false;
        loop {
            attempts += 1;
            let started = Instant::now();
            let result = attempt(self, request, attempts > 1);
            request.log(&result, attempts, started.elapsed());
            let failure = match result {
                Ok(response) => return Ok((response, attempts)),
                Err(failure) => failure,
            };
            let verdict = retry::judge(&request.method, &failure);
            may_have_been_applied |= verdict.may_have_been_applied;
            let error = Error::new(&request.action, failure);
            let error = error.after(attempts, verdict.is_transient, may_have_been_applied);
            if !verdict.retry || attempts > request.options.max_retries {
                return Err(error);
            }
            if let Some(note) = self.wait_before_retry(request, &error) {
                return Err(error.noting(&note));
            }
        }
    }

    /// Waits, or returns why there is no time for a retry.
    fn wait_before_retry(&self, request: &Request<'_>, error: &Error) -> Option<String> {
        let asked = error.retry_after();
        let Some(wait) = retry::wait(asked, error.attempts(), jitter()) else {
            let asked = asked.unwrap_or_default();
            return Some(format!("the server asks to wait {asked:?}, longer than {MAX_RETRY_WAIT:?}"));
        };
        let out_of_time = |wait| Some(format!("no time left {}", request.total_timeout_within(wait)?));
        let note = out_of_time(wait);
        if note.is_none() {
            info!(target: "handinger", "retrying in {wait:?}: {error}");
            self.sleep(wait);
        }
        // A sleep can take longer than it should.
        note.or_else(|| out_of_time(Duration::ZERO))
    }

    /// Returns the error for a complete 2xx response that does not decode.
    pub(crate) fn unusable(
        &self,
        request: &Request<'_>,
        response: Response,
        attempts: u32,
        source: DecodeError,
    ) -> Error {
        let (problem, title) = response::describe_unusable(response.body());
        let failure = Failure {
            message: title.map(|title| redact(&title, &self.secrets(request))),
            response: Some(Box::new(response::kept(response))),
            source: Some(Box::new(source)),
            ..Failure::new(Stage::Unusable, ErrorKind::Decode, problem)
        };
        Error::new(&request.action, failure).after(attempts, false, !request.method.is_safe())
    }

    /// Texts that a message must not repeat.
    fn secrets<'a>(&'a self, request: &Request<'a>) -> Vec<&'a str> {
        self.secrets.iter().map(String::as_str).chain(request.secrets.iter().copied()).collect()
    }
}

/// Returns a number between 0 and 1: the keys of a [`RandomState`] are random, which is all that jitter needs.
#[expect(clippy::cast_precision_loss, reason = "a few bits of randomness are enough")]
fn jitter() -> f64 {
    RandomState::new().hash_one(()) as f64 / u64::MAX as f64
}
