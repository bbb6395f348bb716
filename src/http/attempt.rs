//! One attempt: sends a request once, receives the response, and names what failed.

use std::error::Error as StdError;
use std::time::Duration;

use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use ureq::Body;
use ureq::http;
use ureq::http::header::{CONTENT_TYPE, HeaderValue, LOCATION};

use super::connect::NotSent;
use super::response::{NOT_DOCUMENTED, describe_unusable, message_in, read};
use super::{Http, MAX_BODY, MAX_HEADERS, MAX_KEPT_BODY, MIB, Request, Response, retry};
use crate::error::{ErrorKind, Failure, Stage};
use crate::lenient::from_json;

/// Sends the request once, and receives a complete 2xx response.
pub(super) fn attempt(http: &Http, request: &Request<'_>, is_retry: bool) -> Result<Response, Failure> {
    let timeout = request.time_left();
    if timeout.is_zero() {
        let problem = format!("no time left {}", request.within(timeout));
        return Err(Failure::new(Stage::NotSent, ErrorKind::Timeout, problem));
    }
    let response = run(http, request, timeout, is_retry).map_err(|error| match NotSent::of(error) {
        Ok(not_sent) => not_connected(http, request, not_sent),
        Err(error) => no_response(request, error),
    })?;
    let (head, body) = response.into_parts();
    let is_success = head.status.is_success();
    let mut bytes = Vec::new();
    let result = read(body, if is_success { MAX_BODY } else { MAX_KEPT_BODY }, &mut bytes);
    let response = Response::from_parts(head, bytes);
    match result {
        // Ignores a truncated or too large body, because the status says more.
        _ if !is_success => Err(error_status(http, request, response)),
        Ok(()) => Ok(response),
        Err(error) => Err(Failure { response: Some(kept(response)), ..no_response(request, error) }),
    }
}

/// Decodes a complete 2xx response.
pub(super) fn decode<T: DeserializeOwned>(
    http: &Http,
    request: &Request<'_>,
    response: Response,
) -> Result<T, Failure> {
    from_json(response.body()).map_err(|reason| {
        let response = kept(response);
        let (problem, title) = describe_unusable(response.body());
        Failure {
            message: title.map(|title| http.redact(request, &title)),
            response: Some(response),
            // Any other problem already includes the reason.
            source: (problem == NOT_DOCUMENTED).then(|| reason.into()),
            ..Failure::new(Stage::Unusable, ErrorKind::Decode, problem)
        }
    })
}

/// Sends the request and receives the head of its response. Request settings override the agent's.
fn run(
    http: &Http,
    request: &Request<'_>,
    timeout: Duration,
    is_retry: bool,
) -> Result<http::Response<Body>, ureq::Error> {
    let connect_timeout = request.options.connect_timeout.min(timeout);
    let mut head = http::Request::new(());
    *head.method_mut() = request.method.clone();
    *head.uri_mut() = request.uri.clone();
    head.headers_mut().clone_from(&http.headers);
    if request.body.as_ref().is_some_and(|body| !body.is_empty()) {
        head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let mut config = http
        .agent
        .configure_request(head)
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
        .https_only(false)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_response_header_size(MAX_HEADERS);
    // Opens a new connection, because a retry must not take another dead one from the pool, and because the outcome of
    // a non-idempotent request would be unknown if the server closed an idle connection at that moment.
    if is_retry || !request.method.is_idempotent() {
        config = config.max_idle_age(Duration::ZERO);
    }
    let head = config.build();
    match request.body.as_deref() {
        Some(body) => http.agent.run(head.map(|()| body)),
        None => http.agent.run(head),
    }
}

/// Returns the failure of an attempt that ended before anything was sent.
fn not_connected(http: &Http, request: &Request<'_>, not_sent: NotSent) -> Failure {
    http.resolver.forget();
    let proxy = http.agent.config().proxy().filter(|proxy| !proxy.is_no_proxy(&request.uri));
    let problem = not_sent.problem(proxy);
    if let ureq::Error::Timeout(_) = not_sent.error {
        let within = request.within(request.options.connect_timeout.min(request.options.timeout));
        return Failure::new(Stage::NotSent, ErrorKind::Timeout, format!("{problem} {within}"));
    }
    let stage = if not_sent.is_final() { Stage::Blocked } else { Stage::NotSent };
    Failure { source: cause(not_sent.error), ..Failure::new(stage, ErrorKind::Connect, problem) }
}

/// Returns the failure of an attempt that was sent, without a complete response or with one over a limit.
fn no_response(request: &Request<'_>, error: ureq::Error) -> Failure {
    let (kind, problem) = match &error {
        ureq::Error::Timeout(_) => {
            let within = request.within(request.options.timeout);
            (ErrorKind::Timeout, format!("no complete response {within}"))
        }
        ureq::Error::BodyExceedsLimit(_) => {
            (ErrorKind::TooLarge, format!("the response body is over {} MiB", MAX_BODY / MIB))
        }
        ureq::Error::LargeResponseHeader(..) => {
            (ErrorKind::TooLarge, format!("the response headers are over {} KiB", MAX_HEADERS / 1024))
        }
        ureq::Error::Io(_) => (ErrorKind::Transport, "connection lost".to_owned()),
        _ => (ErrorKind::Transport, "the response is truncated or malformed".to_owned()),
    };
    let stage = if kind == ErrorKind::TooLarge { Stage::Unusable } else { Stage::NoResponse };
    Failure { source: cause(error), ..Failure::new(stage, kind, problem) }
}

/// Returns the failure of an attempt that received a status other than 2xx.
fn error_status(http: &Http, request: &Request<'_>, response: Response) -> Failure {
    let status = response.status();
    let code = status.as_u16();
    let kind = if status.is_redirection() { ErrorKind::Redirect } else { ErrorKind::Status };
    let problem = match response.headers().get(LOCATION) {
        Some(location) if status.is_redirection() => {
            let target = http.base_url.describe_location(location);
            format!("the server redirects ({code}) to {target}, which is not followed")
        }
        _ => format!("the server returned {code}"),
    };
    let wait = retry::retry_after(response.headers(), OffsetDateTime::now_utc());
    // Proxies repeat the status in the title: `503 Service Unavailable`.
    let message = message_in(response.body()).filter(|_| kind == ErrorKind::Status);
    let message = message.map(|text| text.trim_start_matches(&format!("{code} ")).to_owned());
    Failure {
        message: message.map(|text| http.redact(request, &text)),
        retry_after: wait.filter(|wait| !wait.is_zero()),
        response: Some(kept(response)),
        ..Failure::new(Stage::Status(status), kind, problem)
    }
}

/// Returns the part of a response that an error keeps.
fn kept(mut response: Response) -> Box<Response> {
    response.body_mut().truncate(MAX_KEPT_BODY);
    response.body_mut().shrink_to_fit();
    Box::new(response)
}

/// Returns the error without ureq's wrapper, if its type is public. For all other connection errors, the
/// problem already contains the text.
fn cause(error: ureq::Error) -> Option<Box<dyn StdError + Send + Sync>> {
    match error {
        ureq::Error::Io(error) => Some(Box::new(error)),
        ureq::Error::ConnectProxyFailed(_) | ureq::Error::Timeout(_) => None,
        other => Some(Box::new(other)),
    }
}
