//! The fake's workers and histories, and the effect of each call on them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpStream;
use std::sync::Weak;

use super::fault::Fault;
use super::http::Response;
use super::request::{Operation, Request};
use crate::token::WebhookToken;
use crate::types::{UpdateWebhook, Webhook, WebhookExecution, WebhookExecutionList};

const PAGE_SIZE: usize = 50;

/// The data that a fake's only lock protects.
#[derive(Default)]
pub(super) struct State {
    /// The number of the current run; each stop ends one.
    pub(super) run: u64,
    /// Weak, so that a connection is closed when its thread ends.
    pub(super) connections: Vec<Weak<TcpStream>>,
    pub(super) workers: HashMap<String, Worker>,
    pub(super) requests: Vec<Request>,
    pub(super) faults: Vec<Fault>,
    deliveries: u64,
}

#[derive(Default)]
pub(super) struct Worker {
    pub(super) webhook: Webhook,
    /// Newest first.
    pub(super) executions: Vec<WebhookExecution>,
}

impl State {
    /// Records a request, and returns the first fault that applies to it.
    pub(super) fn receive(&mut self, request: &Request) -> Option<Fault> {
        self.requests.push(request.clone());
        let mut taken = None;
        for fault in self.faults.iter_mut().filter(|fault| fault.is_for(request)) {
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if taken.is_none() {
                fault.struck += 1;
                taken = Some(fault.clone());
            }
        }
        self.faults.retain(|fault| !fault.is_over());
        taken
    }

    pub(super) fn respond(&mut self, request: &Request, api_key: &str) -> Response {
        self.apply(request, api_key).unwrap_or_else(|(status, message)| Response::error(status, message))
    }

    fn apply(&mut self, request: &Request, api_key: &str) -> Result<Response, (u16, &'static str)> {
        let key = request.header("Authorization").and_then(|value| value.strip_prefix("Bearer "));
        if key != Some(api_key) {
            return Err((401, "invalid API key"));
        }
        let (Some(operation), Some(worker_id)) = (request.operation(), request.worker_id()) else {
            return Err((404, "no such path or method"));
        };
        let worker = self.workers.get_mut(&worker_id).ok_or((404, "worker not found"))?;
        match operation {
            Operation::RetrieveWebhook => {}
            Operation::UpdateWebhook => worker.update(&request.body)?,
            Operation::DeleteWebhook => worker.webhook = Webhook::default(),
            Operation::RegenerateToken if worker.webhook.url.is_none() => {
                return Err((400, "the worker has no webhook"));
            }
            Operation::RegenerateToken => worker.webhook.token = Some(new_token()),
            Operation::ListExecutions => {
                let page = request.page().ok_or((400, "page must be a number from 1 up"))?;
                return Ok(Response::json(&worker.list(page)));
            }
        }
        Ok(Response::json(&worker.webhook))
    }

    /// Returns the endpoint and the token of a delivery, and its number.
    pub(super) fn delivery(&mut self, worker_id: &str) -> Result<(String, WebhookToken, u64), &'static str> {
        let worker = self.workers.get(worker_id).ok_or("there is none; call `add_worker` first")?;
        let Webhook { url: Some(url), token: Some(token) } = worker.webhook.clone() else {
            return Err("it has no webhook; call `update_webhook` first");
        };
        self.deliveries += 1;
        Ok((url, token, self.deliveries))
    }

    /// Adds an execution in the order of times. Among those with the same time, the last one is the newest.
    pub(super) fn insert(&mut self, worker_id: &str, execution: WebhookExecution) {
        let executions = &mut self.workers.entry(worker_id.to_owned()).or_default().executions;
        let place = executions.partition_point(|other| other.created_at > execution.created_at);
        executions.insert(place, execution);
    }
}

impl Worker {
    fn update(&mut self, body: &[u8]) -> Result<(), (u16, &'static str)> {
        let update: UpdateWebhook =
            serde_json::from_slice(body).map_err(|_| (400, "the body must be an object with a url"))?;
        self.webhook = match update.url {
            None => Webhook::default(),
            Some(url) if is_https(&url) => {
                let token = self.webhook.token.take().unwrap_or_else(new_token);
                Webhook { url: Some(url), token: Some(token) }
            }
            Some(_) => return Err((400, "url must be an https URL")),
        };
        Ok(())
    }

    fn list(&self, page: u64) -> WebhookExecutionList {
        let skipped = usize::try_from(page - 1).unwrap_or(usize::MAX).saturating_mul(PAGE_SIZE);
        WebhookExecutionList {
            logs: self.executions.iter().skip(skipped).take(PAGE_SIZE).cloned().collect(),
            page,
            page_count: self.executions.len().div_ceil(PAGE_SIZE) as u64,
            total_count: self.executions.len() as u64,
        }
    }
}

fn is_https(url: &str) -> bool {
    url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
}

fn new_token() -> WebhookToken {
    WebhookToken::new(format!("whk_{:020}", random()))
}

/// Returns a random number: each `RandomState` has its own random key.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(())
}
