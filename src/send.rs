//! The one place that sends a request, and sends it again.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use log::debug;
use serde::de::DeserializeOwned;
use ureq::Body;
use ureq::http::header::{CONTENT_TYPE, HeaderValue};
use ureq::http::{Method, Request, Response, StatusCode, Uri};

use crate::agent::LARGEST_HEADERS;
use crate::client::{Call, Shared};
use crate::error::{ErrorKind, Inner};
use crate::failure::{Failure, kept};
use crate::redact::secret_parts;
use crate::{Error, HandingerClient, connect, response, retry};

/// The longest worker id that is sent, in bytes.
const LONGEST_WORKER_ID: usize = 1024;
/// Longer timeouts are cut to this: a point in time beyond the clock's reach cannot be computed with.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl HandingerClient {
    /// Sends a call until it succeeds, fails for good, or runs out of tries or time.
    pub(crate) fn send<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, Error> {
        let refused = |problem: &str| Error::invalid_input(call.action, problem);
        self.options.check().map_err(refused)?;
        let total = self.options.total_timeout.map(|total| total.min(LONGEST_TIMEOUT));
        let sending = Sending {
            client: self,
            call,
            uri: uri(&self.shared, call).map_err(refused)?,
            body: body(call),
            deadline: total.map(|total| Instant::now() + total),
        };
        sending.run()
    }
}

/// A call on its way.
struct Sending<'a> {
    client: &'a HandingerClient,
    call: &'a Call<'a>,
    uri: Uri,
    /// `None` for a request that has no body, not even an empty one.
    body: Option<Vec<u8>>,
    /// When the call must have ended, if it must.
    deadline: Option<Instant>,
}

/// What follows a failed try.
enum Next {
    TryAgain,
    /// With the reason, where it is not plain.
    GiveUp(Option<String>),
}

impl Sending<'_> {
    fn run<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let Self { call, .. } = self;
        let mut attempts = 0;
        let mut may_have_been_applied = false;
        loop {
            attempts += 1;
            let started = Instant::now();
            let result = self.try_once();
            let elapsed = started.elapsed();
            let failure = match result {
                Ok((status, value)) => {
                    self.log(format_args!("{status} at try {attempts}, after {elapsed:?}"));
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            self.log(format_args!("{} at try {attempts}, after {elapsed:?}", failure.problem));
            let verdict = retry::judge(&call.method, failure.outcome);
            may_have_been_applied |= verdict.may_have_been_applied;
            if let Next::GiveUp(gave_up) = self.wait_for_next_try(verdict.retry, &failure, attempts) {
                return Err(Error::new(Inner {
                    kind: failure.kind,
                    action: call.description(),
                    retry_after: failure.asked_wait().filter(|wait| !wait.is_zero()),
                    problem: failure.problem,
                    answer: failure.answer,
                    attempts,
                    gave_up,
                    may_have_been_applied,
                    source: failure.source,
                }));
            }
        }
    }

    fn log(&self, what: std::fmt::Arguments<'_>) {
        debug!(target: "handinger", "{} {}: {what}", self.call.method, self.call.shape());
    }

    /// Returns when it is time for the next try, if there is to be one.
    fn wait_for_next_try(&self, retry: bool, failure: &Failure, attempts: u32) -> Next {
        if !retry || attempts > self.client.options.max_retries {
            // That time was short is plain only if it was not the time of the whole call.
            let is_timeout = failure.kind == ErrorKind::Timeout;
            return Next::GiveUp(self.out_of_time(Duration::ZERO).filter(|_| is_timeout));
        }
        let Some(wait) = retry::wait(failure.asked_wait(), attempts, jitter()) else {
            return Next::GiveUp(Some("the server asks for a longer wait than 60s".into()));
        };
        if let Some(reason) = self.out_of_time(wait) {
            return Next::GiveUp(Some(reason));
        }
        self.log(format_args!("next try in {wait:?}"));
        (self.client.shared.sleep)(wait);
        // A sleep can take longer than it should.
        self.out_of_time(Duration::ZERO).map_or(Next::TryAgain, |reason| Next::GiveUp(Some(reason)))
    }

    /// What to say if the call's time is over after the `wait`.
    fn out_of_time(&self, wait: Duration) -> Option<String> {
        let total = self.client.options.total_timeout?;
        let is_over = Instant::now() + wait >= self.deadline?;
        is_over.then(|| format!("no time left within the total timeout of {total:?}"))
    }

    /// What is left of the call's time, and at most the timeout of a try.
    fn time_for_a_try(&self) -> Duration {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        left.unwrap_or(LONGEST_TIMEOUT).min(self.client.options.timeout)
    }

    fn try_once<T: DeserializeOwned>(&self) -> Result<(StatusCode, T), Failure> {
        let timeout = self.time_for_a_try();
        let host = self.client.shared.authority.as_str();
        if timeout.is_zero() {
            return Err(Failure::out_of_time(host));
        }
        let connect_timeout = self.client.options.connect_timeout.min(timeout);
        let mut answer = self.request(timeout, connect_timeout).map_err(|error| {
            if connect::is_not_sent(&error) {
                Failure::not_sent(error, host, connect_timeout)
            } else {
                Failure::no_answer(None, error, timeout)
            }
        })?;
        let status = answer.status();
        if !status.is_success() {
            return Err(Failure::refused(answer, &self.secrets()));
        }
        let mut body = Vec::new();
        if let Err(error) = response::read_whole(answer.body_mut(), &mut body) {
            return Err(Failure::no_answer(Some(kept(answer, body)), error, timeout));
        }
        match response::decode(&body) {
            Ok(value) => Ok((status, value)),
            Err(error) => Err(Failure::unusable(kept(answer, body), error)),
        }
    }

    /// Sends one request and receives the head of its answer, whatever the settings of the agent are.
    fn request(&self, timeout: Duration, connect_timeout: Duration) -> Result<Response<Body>, ureq::Error> {
        let Shared { agent, headers, .. } = &*self.client.shared;
        let mut request = Request::new(());
        *request.method_mut() = self.call.method.clone();
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().clone_from(headers);
        if self.call.update.is_some() {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let mut config = agent
            .configure_request(request)
            .timeout_global(Some(timeout))
            .timeout_resolve(Some(connect_timeout))
            .timeout_connect(Some(connect_timeout))
            .timeout_per_call(None)
            .timeout_send_request(None)
            .timeout_send_body(None)
            .timeout_recv_response(None)
            .timeout_recv_body(None)
            .timeout_per_read(None)
            .timeout_per_write(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_response_header_size(LARGEST_HEADERS);
        if !self.call.method.is_idempotent() {
            // Not on a connection from the pool: the server may be closing it, and then nobody knows what it did.
            config = config.max_idle_age(Duration::ZERO);
        }
        let request = config.build();
        match &self.body {
            Some(body) => agent.run(request.map(|()| &**body)),
            None => agent.run(request),
        }
    }

    /// What must not be repeated from a message of the server.
    fn secrets(&self) -> Vec<&str> {
        let Shared { api_key, headers, .. } = &*self.client.shared;
        let url = self.call.update.and_then(|update| update.url.as_deref()).unwrap_or_default();
        let headers =
            headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
        secret_parts(url).into_iter().chain([api_key.as_str()]).chain(headers).collect()
    }
}

fn uri(shared: &Shared, call: &Call<'_>) -> Result<Uri, &'static str> {
    match call.worker_id {
        "" => return Err("the worker id must not be empty"),
        "." => return Err("the worker id must not be `.`"),
        ".." => return Err("the worker id must not be `..`"),
        id if id.len() > LONGEST_WORKER_ID => return Err("the worker id is over 1 KiB"),
        _ => {}
    }
    let Shared { scheme, authority, prefix, .. } = shared;
    let mut path = format!("{prefix}/api/workers/{}{}", call.segment(), call.path);
    if let Some(page) = call.page {
        path.push_str("?page=");
        path.push_str(&page.to_string());
    }
    let uri = Uri::builder().scheme(scheme.clone()).authority(authority.clone()).path_and_query(path).build();
    uri.map_err(|_| "the URL is not valid")
}

fn body(call: &Call<'_>) -> Option<Vec<u8>> {
    match call.update {
        Some(update) => Some(serde_json::to_vec(update).expect("a struct with a string is JSON")),
        None if call.method == Method::POST => Some(Vec::new()),
        None => None,
    }
}

/// A number between 0 and 1 that differs from process to process and try to try: the keys of a [`RandomState`] are
/// random, which is all the randomness that jitter needs.
#[expect(clippy::cast_precision_loss, reason = "a few bits of randomness are enough")]
fn jitter() -> f64 {
    RandomState::new().hash_one(()) as f64 / u64::MAX as f64
}
