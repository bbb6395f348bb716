//! What the service keeps, and what each call does to it.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use serde::Serialize;
use serde_json::Value;
use time::{OffsetDateTime, UtcOffset};

use super::fault::Faults;
use super::http::Response;
use super::request::{Malformed, Request, Resource};
use crate::token::WebhookToken;
use crate::types::WebhookExecution;

const PAGE_SIZE: usize = 50;

#[derive(Default)]
pub(super) struct State {
    pub(super) api_keys: HashSet<String>,
    pub(super) workers: HashMap<String, Worker>,
    pub(super) requests: Vec<Request>,
    pub(super) faults: Faults,
    /// For tokens and ids, so that no two are the same.
    issued: u64,
}

#[derive(Default)]
pub(super) struct Worker {
    pub(super) is_foreign: bool,
    pub(super) url: Option<String>,
    pub(super) token: Option<WebhookToken>,
    /// Newest first.
    pub(super) executions: Vec<WebhookExecution>,
}

impl State {
    /// Does what a request asks for.
    pub(super) fn respond(&mut self, request: &Request) -> Response {
        self.route(request).unwrap_or_else(|error| error)
    }

    fn route(&mut self, request: &Request) -> Result<Response, Response> {
        let is_options = request.method == "OPTIONS";
        if is_options && request.path == "*" {
            return Ok(Response::empty(204));
        }
        let target = request.target();
        if is_options && let Ok(Some((_, resource))) = target {
            return Ok(Response::empty(204).with_header("Allow", allowed(resource)));
        }
        if !self.is_authorized(request) {
            return Err(Response::error(401, "invalid API key").with_header("WWW-Authenticate", "Bearer"));
        }
        let (worker_id, resource) =
            target.map_err(malformed)?.ok_or_else(|| Response::error(404, "no such path"))?;
        let token = self.new_token();
        let worker =
            self.workers.get_mut(&worker_id).ok_or_else(|| Response::error(404, "worker not found"))?;
        if worker.is_foreign {
            return Err(Response::error(403, "the worker belongs to somebody else"));
        }
        match (&*request.method, resource) {
            ("GET" | "HEAD", Resource::Webhook) => Ok(worker.webhook()),
            ("PUT", Resource::Webhook) => worker.update(request, token),
            ("DELETE", Resource::Webhook) => Ok(worker.set(None, token)),
            ("POST", Resource::Token) => worker.regenerate(token),
            ("GET" | "HEAD", Resource::Executions) => worker.list(request),
            _ => Err(Response::error(405, "method not allowed").with_header("Allow", allowed(resource))),
        }
    }

    fn is_authorized(&self, request: &Request) -> bool {
        let values: Vec<_> = request.header_values("authorization").collect();
        let [value] = *values else { return false };
        value.split_once(' ').is_some_and(|(scheme, key)| {
            scheme.eq_ignore_ascii_case("bearer") && self.api_keys.contains(key.trim_start_matches(' '))
        })
    }

    /// Adds an execution at the place that its time gives it.
    pub(super) fn insert(&mut self, worker_id: &str, execution: WebhookExecution) {
        let executions = &mut self.workers.entry(worker_id.to_owned()).or_default().executions;
        let place = executions.partition_point(|other| other.created_at > execution.created_at);
        executions.insert(place, execution);
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }

    fn new_token(&mut self) -> WebhookToken {
        let number = self.next_number();
        WebhookToken::new(format!("whk_{:020}{number:06}", RandomState::new().hash_one(number)))
    }
}

/// The webhook on the wire, in the reference's order.
#[derive(Serialize)]
struct WebhookBody<'a> {
    token: Option<&'a str>,
    url: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListBody<'a> {
    logs: Vec<ExecutionBody<'a>>,
    page: u64,
    page_count: usize,
    total_count: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecutionBody<'a> {
    id: &'a str,
    created_at: String,
    duration_ms: u64,
    error_message: Option<&'a str>,
    request_status: &'a str,
    response_status: Option<u16>,
    task_id: Option<&'a str>,
    task_title: Option<&'a str>,
    url: &'a str,
    worker_id: &'a str,
}

impl Worker {
    fn webhook(&self) -> Response {
        let token = self.token.as_ref().map(WebhookToken::as_str);
        Response::json(200, &WebhookBody { token, url: self.url.as_deref() })
    }

    fn set(&mut self, url: Option<String>, new_token: WebhookToken) -> Response {
        self.token = url.is_some().then(|| self.token.take().unwrap_or(new_token));
        self.url = url;
        self.webhook()
    }

    fn update(&mut self, request: &Request, new_token: WebhookToken) -> Result<Response, Response> {
        if !is_json(request) {
            return Err(Response::error(415, "the content type must be application/json"));
        }
        let body = serde_json::from_slice::<Value>(&request.body).unwrap_or_default();
        match body.as_object().and_then(|object| object.get("url")) {
            Some(Value::Null) => Ok(self.set(None, new_token)),
            Some(Value::String(url)) if is_https_url(url) => Ok(self.set(Some(url.clone()), new_token)),
            Some(Value::String(_)) => Err(Response::error(400, "url must be an https URL")),
            _ => Err(Response::error(400, "the body must be an object with a url")),
        }
    }

    fn regenerate(&mut self, new_token: WebhookToken) -> Result<Response, Response> {
        if self.url.is_none() {
            return Err(Response::error(400, "the worker has no webhook"));
        }
        self.token = Some(new_token);
        Ok(self.webhook())
    }

    fn list(&self, request: &Request) -> Result<Response, Response> {
        let page = request.query_value("page").map_err(malformed)?.unwrap_or("1".into());
        let page =
            parse_page(&page).ok_or_else(|| Response::error(400, "page must be a number from 1 up"))?;
        let skipped = usize::try_from(page - 1).unwrap_or(usize::MAX).saturating_mul(PAGE_SIZE);
        let body = ListBody {
            logs: self.executions.iter().skip(skipped).take(PAGE_SIZE).map(ExecutionBody::from).collect(),
            page,
            page_count: self.executions.len().div_ceil(PAGE_SIZE),
            total_count: self.executions.len(),
        };
        Ok(Response::json(200, &body))
    }
}

impl<'a> From<&'a WebhookExecution> for ExecutionBody<'a> {
    fn from(execution: &'a WebhookExecution) -> Self {
        Self {
            id: &execution.id,
            created_at: timestamp(execution.created_at),
            duration_ms: execution.duration_ms,
            error_message: execution.error_message.as_deref(),
            request_status: execution.request_status.as_str(),
            response_status: execution.response_status,
            task_id: execution.task_id.as_deref(),
            task_title: execution.task_title.as_deref(),
            url: &execution.url,
            worker_id: &execution.worker_id,
        }
    }
}

fn malformed(_: Malformed) -> Response {
    Response::error(400, "malformed percent-encoding")
}

fn allowed(resource: Resource) -> &'static str {
    match resource {
        Resource::Webhook => "GET, HEAD, PUT, DELETE, OPTIONS",
        Resource::Token => "POST, OPTIONS",
        Resource::Executions => "GET, HEAD, OPTIONS",
    }
}

fn is_json(request: &Request) -> bool {
    let media_type = request.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

/// Whether it is `https://` and a host, and has no white space or control character.
fn is_https_url(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case("https")
        && !host.is_empty()
        && !host.starts_with(':')
        && !url.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// The number of a page. One that is too large for a `u64` is as far past the end as the largest.
fn parse_page(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let page = is_number.then(|| text.parse().unwrap_or(u64::MAX));
    page.filter(|page| *page > 0)
}

/// The service's clock counts milliseconds.
pub(super) fn whole_milliseconds(time: OffsetDateTime) -> OffsetDateTime {
    time.replace_millisecond(time.millisecond()).unwrap_or(time)
}

/// `2019-12-27T18:11:19.117Z`: the reference's form, with three digits whatever they are.
fn timestamp(time: OffsetDateTime) -> String {
    let time = time.checked_to_offset(UtcOffset::UTC).unwrap_or(time);
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second, millisecond) = time.to_hms_milli();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}
