//! The engine: one request in, one complete response or an [`Error`] out. It knows nothing of webhooks.

mod agent;
mod attempt;
mod base_url;
mod connect;
mod headers;
mod location;
mod resolve;
mod response;
mod retry;
mod transport;

use std::collections::hash_map::RandomState;
use std::error::Error as StdError;
use std::fmt::{self, Display};
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use log::debug;
use ureq::Agent;
pub(crate) use ureq::http::Method;
#[cfg(feature = "fake")]
pub(crate) use ureq::http::StatusCode;
use ureq::http::Uri;
use ureq::http::header::HeaderMap;
use ureq::http::uri::Scheme;

use crate::error::{Error, ErrorKind, Failure, Inner, Received};
use base_url::BaseUrl;
use resolve::CachingResolver;

// What is sent and read at the most. Messages are made from these.

/// The longest worker id, in bytes.
pub(crate) const MAX_WORKER_ID: usize = KIB;
/// The longest URL and the longest line of a request's headers, in bytes: servers accept no longer ones, and the system's
/// buffers hold them, so that a server that reads nothing cannot stretch an attempt.
pub(crate) const MAX_LINE: usize = 8 * KIB;
/// The smallest output buffer of a caller's agent, in bytes: ureq sends a line only if the buffer can hold it, and a worker's
/// id comes on top of the base URL.
const MIN_OUTPUT_BUFFER: usize = 2 * MAX_LINE;
/// The largest header section of a request or a response, in bytes.
const MAX_HEADERS: usize = 64 * KIB;
/// The most headers of a response: ureq's own limit.
const MAX_HEADER_COUNT: usize = 128;
/// The largest response body that is read, in bytes after decompression.
const MAX_BODY: usize = 10 * MIB;
/// How much of a response body an error keeps, in bytes.
const MAX_KEPT_BODY: usize = 64 * KIB;
/// The longest wait before a retry that a server can ask for.
const MAX_RETRY_WAIT: Duration = Duration::from_secs(60);
/// Longer times are cut to this: an `Instant` beyond the clock's range cannot be computed with.
const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long the addresses of a host are used after its lookup.
const MAX_ADDRESS_AGE: Duration = Duration::from_secs(60);
/// How many addresses of a host are used: as many as ureq's `ResolvedSocketAddrs` holds.
const MAX_ADDRESSES: usize = 16;
/// How many lookups of one host may be under way at once.
const MAX_LOOKUPS: usize = 4;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A limit in words, such as `64 KiB`.
pub(crate) fn in_words(limit: usize) -> String {
    if limit < MIB { format!("{} KiB", limit / KIB) } else { format!("{} MiB", limit / MIB) }
}

/// What all clones of a client share.
pub(crate) struct Http {
    agent: Agent,
    /// The resolver of our own agent; a caller's agent has its own.
    resolver: Option<CachingResolver>,
    base_url: BaseUrl,
    headers: HeaderMap,
    /// What messages must not repeat: the key and the values of custom headers.
    secrets: Vec<String>,
    reuse_connections: bool,
    sleep: Box<dyn Fn(Duration) + Send + Sync>,
}

/// What [`Http`] is made from.
pub(crate) struct Settings {
    pub(crate) api_key: String,
    pub(crate) base_url: String,
    pub(crate) allow_insecure_http: bool,
    pub(crate) user_agent: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) agent: Option<Agent>,
    pub(crate) reuse_connections: bool,
    pub(crate) sleep: Box<dyn Fn(Duration) + Send + Sync>,
}

/// What each clone of a client can have for itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) total_timeout: Option<Duration>,
    pub(crate) max_retries: u32,
}

pub(crate) struct Request<'a> {
    /// What the request is for, in the imperative; the beginning of an error's message.
    pub(crate) action: &'a dyn Display,
    pub(crate) method: Method,
    /// The path below the base URL, and the query.
    pub(crate) path: String,
    /// The path as it may be logged.
    pub(crate) logged_path: &'static str,
    /// The part of the path that must not be logged, before it is encoded.
    pub(crate) id: &'a str,
    /// JSON; empty for a request with an empty body.
    pub(crate) body: Option<Vec<u8>>,
    /// What messages must not repeat.
    pub(crate) secrets: Vec<&'a str>,
}

/// A complete response with a 2xx status.
pub(crate) struct Response {
    received: Received,
    attempts: u32,
}

const NOT_DOCUMENTED: &str = "the response is not what the API documents";

impl Request<'_> {
    fn log(&self, event: fmt::Arguments<'_>) {
        debug!(target: "handinger", "{} {}: {event}", self.method, self.logged_path);
    }
}

impl Response {
    pub(crate) fn body(&self) -> &[u8] {
        &self.received.body
    }

    /// The error for a body that does not decode.
    pub(crate) fn unusable(
        self,
        request: &Request<'_>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Error {
        request.log(format_args!("{NOT_DOCUMENTED}"));
        let failure = Failure {
            received: Some(attempt::kept(self.received)),
            source: Some(Box::new(source)),
            ..Failure::new(ErrorKind::Decode, NOT_DOCUMENTED)
        };
        let verdict = retry::judge(&request.method, retry::Outcome::Unusable);
        Error::new(Inner {
            action: request.action.to_string(),
            failure,
            attempts: self.attempts,
            note: None,
            is_transient: verdict.is_transient,
            may_have_been_applied: verdict.may_have_been_applied,
        })
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { timeout, connect_timeout, total_timeout, .. } = *self;
        let settings = [
            ("timeout", Some(timeout)),
            ("connect_timeout", Some(connect_timeout)),
            ("total_timeout", total_timeout),
        ];
        match settings.iter().find(|(_, timeout)| *timeout == Some(Duration::ZERO)) {
            Some((name, _)) => Err(format!("the {name} must be more than zero")),
            None => Ok(()),
        }
    }

    /// When a call that begins now must have ended, if it must.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        Some(Instant::now() + self.total_timeout?.min(MAX_TIME))
    }
}

impl Http {
    /// Checks the settings, without any I/O.
    pub(crate) fn new(settings: Settings) -> Result<Self, String> {
        let base_url = BaseUrl::parse(settings.base_url.trim())?;
        if base_url.scheme == Scheme::HTTP && !base_url.is_loopback() && !settings.allow_insecure_http {
            return Err(format!(
                "the base URL would send the key unencrypted to {}; use https, or allow_insecure_http(true)",
                base_url.authority
            ));
        }
        let api_key = settings.api_key.trim();
        let headers = headers::headers(&base_url.authority, api_key, &settings)?;
        let (agent, resolver) = match settings.agent {
            Some(agent) => (agent::callers(agent, &base_url, settings.allow_insecure_http)?, None),
            None => agent::own(&base_url).map(|(agent, resolver)| (agent, Some(resolver)))?,
        };
        let secrets = headers::sensitive(&headers).chain([api_key]).map(String::from).collect();
        let Settings { reuse_connections, sleep, .. } = settings;
        Ok(Self { agent, resolver, base_url, headers, secrets, reuse_connections, sleep })
    }

    fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(String::as_str)
    }

    pub(crate) fn base_url(&self) -> &impl Display {
        &self.base_url
    }

    pub(crate) fn sleep(&self, wait: Duration) {
        (self.sleep)(wait);
    }

    /// Waits as before a retry. Returns false, without waiting, if the deadline comes first.
    pub(crate) fn back_off(&self, failures: u32, deadline: Option<Instant>) -> bool {
        let wait = retry::backoff(failures, jitter());
        let has_time = deadline.is_none_or(|deadline| Instant::now() + wait < deadline);
        if has_time {
            self.sleep(wait);
        }
        has_time
    }

    /// Sends a request until it succeeds, fails for good, or runs out of attempts or time.
    pub(crate) fn send(
        &self,
        options: &Options,
        deadline: Option<Instant>,
        request: &Request<'_>,
    ) -> Result<Response, Error> {
        let invalid = |problem| Error::invalid_input(request.action.to_string(), problem);
        let uri = self.base_url.join(&request.path).map_err(invalid)?;
        Attempts { http: self, options, request, uri, deadline }.run()
    }
}

/// A request with all its attempts.
struct Attempts<'a> {
    http: &'a Http,
    options: &'a Options,
    request: &'a Request<'a>,
    uri: Uri,
    deadline: Option<Instant>,
}

/// What follows a failed attempt.
enum Next {
    RetryAfter(Duration),
    /// With the reason, where it is not plain.
    GiveUp(Option<String>),
}

impl Attempts<'_> {
    fn run(&self) -> Result<Response, Error> {
        let mut attempts = 0;
        let mut may_have_been_applied = false;
        loop {
            attempts += 1;
            let started = Instant::now();
            let result = self.attempt();
            let elapsed = started.elapsed();
            let (outcome, failure) = match result {
                Ok(received) => {
                    self.request
                        .log(format_args!("{} on attempt {attempts} after {elapsed:?}", received.status));
                    return Ok(Response { received, attempts });
                }
                Err(failed) => *failed,
            };
            self.request.log(format_args!("{} on attempt {attempts} after {elapsed:?}", failure.problem));
            let verdict = retry::judge(&self.request.method, outcome);
            may_have_been_applied |= verdict.may_have_been_applied;
            let note = match self.next(verdict.retry, &failure, attempts) {
                Next::GiveUp(note) => note,
                Next::RetryAfter(wait) => {
                    self.request.log(format_args!("retrying in {wait:?}"));
                    self.http.sleep(wait);
                    // A sleep can take longer than it should.
                    match self.out_of_time(Duration::ZERO) {
                        None => continue,
                        note => note,
                    }
                }
            };
            return Err(Error::new(Inner {
                action: self.request.action.to_string(),
                failure,
                attempts,
                note,
                is_transient: verdict.is_transient,
                may_have_been_applied,
            }));
        }
    }

    fn next(&self, retry: bool, failure: &Failure, attempts: u32) -> Next {
        if !retry || attempts > self.options.max_retries {
            let is_timeout = failure.kind == ErrorKind::Timeout;
            return Next::GiveUp(if is_timeout { self.out_of_time(Duration::ZERO) } else { None });
        }
        match retry::wait(failure.retry_after, attempts, jitter()) {
            None => {
                let asked = failure.retry_after.unwrap_or_default();
                let note =
                    format!("the server asks to wait {asked:?}, which is longer than {MAX_RETRY_WAIT:?}");
                Next::GiveUp(Some(note))
            }
            Some(wait) => match self.out_of_time(wait) {
                None => Next::RetryAfter(wait),
                note => Next::GiveUp(note),
            },
        }
    }

    /// What to say if the call's time is over after the `wait`.
    fn out_of_time(&self, wait: Duration) -> Option<String> {
        let total = self.options.total_timeout?;
        let is_over = Instant::now() + wait >= self.deadline?;
        is_over.then(|| format!("no time left within the total timeout of {total:?}"))
    }

    /// What is left of the call's time, and at most the timeout of an attempt.
    fn time_for_an_attempt(&self) -> Duration {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        left.unwrap_or(MAX_TIME).min(self.options.timeout)
    }
}

/// A number between 0 and 1 that differs from process to process and attempt to attempt: the keys of a [`RandomState`] are
/// random, which is all the randomness that jitter needs.
#[expect(clippy::cast_precision_loss, reason = "a few bits of randomness are enough")]
fn jitter() -> f64 {
    RandomState::new().hash_one(()) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::{KIB, MIB, in_words};

    #[test]
    fn a_limit_is_in_the_larger_unit() {
        for (limit, words) in [(KIB, "1 KiB"), (MIB - KIB, "1023 KiB"), (MIB, "1 MiB"), (10 * MIB, "10 MiB")]
        {
            assert_eq!(in_words(limit), words);
        }
    }
}
