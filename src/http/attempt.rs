//! One attempt: sends a request once, receives the response, and names what failed.

use std::error::Error as StdError;
use std::fmt::Display;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use ureq::Body;
use ureq::http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use ureq::http::{Request, Response};

use super::agent;
use super::connect::{self, NotSent};
use super::retry::{Hints, Outcome};
use super::{Attempts, MAX_BODY, MAX_HEADER_COUNT, MAX_HEADERS, MAX_KEPT_BODY, in_words, location, response};
use crate::error::{ErrorKind, Failure, Received};
use crate::redact::redact;

/// How far an attempt came, and what failed.
type Failed = Box<(Outcome, Failure)>;

impl Attempts<'_> {
    pub(super) fn attempt(&self) -> Result<Received, Failed> {
        let timeout = self.time_for_an_attempt();
        if timeout.is_zero() {
            return Err(self.not_sent(ureq::Error::Timeout(ureq::Timeout::Global), timeout));
        }
        let connect_timeout = self.options.connect_timeout.min(timeout);
        let mut response = self.request(timeout).map_err(|error| {
            if connect::is_not_sent(&error) {
                self.not_sent(error, connect_timeout)
            } else {
                no_response(None, error, timeout)
            }
        })?;
        if !response.status().is_success() {
            return Err(self.error_status(response));
        }
        let mut body = Vec::new();
        match response::read_complete(response.body_mut(), &mut body) {
            Ok(()) => Ok(received(response, body)),
            Err(error) => Err(no_response(Some(kept(received(response, body))), error, timeout)),
        }
    }

    /// Sends the request and receives the head of its response. Addresses that were found earlier may be out of date: if no
    /// connection to them can be opened, the host is looked up once more.
    fn request(&self, timeout: Duration) -> Result<Response<Body>, ureq::Error> {
        let started = Instant::now();
        self.request_once(timeout).or_else(|error| {
            let left = timeout.saturating_sub(started.elapsed());
            let resolver = self.http.resolver.as_ref().filter(|_| connect::is_not_sent(&error));
            let is_stale = resolver.is_some_and(|resolver| resolver.forget_before(started));
            if is_stale && !left.is_zero() { self.request_once(left) } else { Err(error) }
        })
    }

    /// Whatever the settings of the agent are, those of the request count.
    fn request_once(&self, timeout: Duration) -> Result<Response<Body>, ureq::Error> {
        let connect_timeout = self.options.connect_timeout.min(timeout);
        let mut request = Request::new(());
        *request.method_mut() = self.request.method.clone();
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().clone_from(&self.http.headers);
        let body = self.request.body.as_deref();
        if body.is_some_and(|body| !body.is_empty()) {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let mut config = self
            .http
            .agent
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
            .max_response_header_size(MAX_HEADERS);
        if !self.http.reuse_connections || !self.request.method.is_safe() {
            // On a new connection: on a pooled one a stray response may be waiting, or the server may be closing it, and
            // then nobody knows what it did.
            config = config.max_idle_age(Duration::ZERO);
        }
        let request = config.build();
        if self.http.resolver.is_some() {
            agent::forget_cookies(&self.http.agent);
        }
        match body {
            Some(body) => self.http.agent.run(request.map(|()| body)),
            None => self.http.agent.run(request),
        }
    }

    /// No connection within `timeout`, or none at all.
    fn not_sent(&self, error: ureq::Error, timeout: Duration) -> Failed {
        let host = &self.http.base_url.authority;
        let error = NotSent::unmark(error);
        let timeout = in_millis(timeout);
        let (kind, problem) = match &error {
            ureq::Error::Timeout(_) => {
                (ErrorKind::Timeout, format!("no connection to {host} within {timeout:?}"))
            }
            error if connect::is_about_a_certificate(error) => {
                (ErrorKind::Connect, format!("the certificate of {host} was rejected"))
            }
            _ => (ErrorKind::Connect, format!("could not connect to {host}")),
        };
        let failure = Failure { is_connect: true, source: Some(cause(error)), ..Failure::new(kind, problem) };
        Box::new((Outcome::NotSent, failure))
    }

    /// A response that is not 2xx. No more of its body is read than is kept; its message is redacted.
    fn error_status(&self, mut response: Response<Body>) -> Failed {
        let body = response::read_beginning(response.body_mut());
        let secrets: Vec<&str> = self.request.secrets.iter().copied().chain(self.http.secrets()).collect();
        let message = response::message_in(&body).map(|text| redact(&text, &secrets));
        let received = Received { message, ..received(response, body) };
        let status = received.status.as_u16();
        let (kind, problem) = match received.headers.get(LOCATION) {
            Some(location) if received.status.is_redirection() => {
                let target = location::shown(location, &self.http.base_url, self.request.id);
                let target = redact(&target, &secrets);
                let problem = format!("the server redirects ({status}) to {target}, which is not followed");
                (ErrorKind::Redirect, problem)
            }
            None if received.status.is_redirection() => {
                (ErrorKind::Redirect, format!("the server returned {status} without a Location"))
            }
            _ => (ErrorKind::Status, format!("the server returned {status}")),
        };
        let hints = Hints::of(&received.headers, OffsetDateTime::now_utc());
        let outcome = Outcome::Status(received.status, hints);
        let failure = Failure {
            retry_after: hints.wait.filter(|wait| !wait.is_zero()),
            received: Some(received),
            ..Failure::new(kind, problem)
        };
        Box::new((outcome, failure))
    }
}

/// No complete response within `timeout`, or none at all, or one beyond our limits.
fn no_response(received: Option<Received>, error: ureq::Error, timeout: Duration) -> Failed {
    let (outcome, kind, problem) = match &error {
        ureq::Error::Timeout(_) => {
            let timeout = in_millis(timeout);
            (Outcome::NoResponse, ErrorKind::Timeout, format!("no complete response within {timeout:?}"))
        }
        ureq::Error::BodyExceedsLimit(_) => too_large("body is", in_words(MAX_BODY)),
        ureq::Error::LargeResponseHeader(..) => too_large("headers are", in_words(MAX_HEADERS)),
        // Of ureq-proto, whose errors ureq does not re-export.
        ureq::Error::Protocol(error) if error.to_string().ends_with("too many headers") => {
            too_large("has", format_args!("{MAX_HEADER_COUNT} headers"))
        }
        ureq::Error::Io(_) => (Outcome::NoResponse, ErrorKind::Transport, "connection lost".into()),
        _ => (Outcome::NoResponse, ErrorKind::Transport, "the response is not valid HTTP".into()),
    };
    let failure = Failure { received, source: Some(cause(error)), ..Failure::new(kind, problem) };
    Box::new((outcome, failure))
}

fn too_large(what: &str, limit: impl Display) -> (Outcome, ErrorKind, String) {
    (Outcome::Unusable, ErrorKind::TooLarge, format!("the response {what} over {limit}"))
}

/// What an error keeps of a response: its head, and the beginning of its body.
pub(super) fn kept(mut received: Received) -> Received {
    received.body.truncate(MAX_KEPT_BODY);
    received.body.shrink_to_fit();
    received
}

fn received(response: Response<Body>, body: Vec<u8>) -> Received {
    let (head, _) = response.into_parts();
    Received { status: head.status, headers: head.headers, body, message: None }
}

/// What is left of a call's time is an odd number; nobody wants to read its nanoseconds.
fn in_millis(time: Duration) -> Duration {
    let millis = time.as_micros().div_ceil(1000).max(1);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// The error below ours: of an I/O error the error itself, which callers can know, and not ureq's wrapper.
fn cause(error: ureq::Error) -> Box<dyn StdError + Send + Sync> {
    match error {
        ureq::Error::Io(error) => Box::new(error),
        other => Box::new(other),
    }
}
