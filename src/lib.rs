//! A blocking client for the worker-webhook API of [Handinger](https://handinger.com).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod client;
mod connect;
mod error;
mod failure;
#[cfg(feature = "fake")]
pub mod fake;
mod pages;
mod redact;
mod response;
mod retry;
mod sparing;
mod token;
mod types;
mod walk;
mod webhooks;

pub use builder::HandingerClientBuilder;
pub use client::HandingerClient;
pub use error::{Error, ErrorKind};
pub use pages::{Executions, PageIter, Progress};
pub use token::WebhookToken;
pub use types::{RequestStatus, UpdateWebhook, Webhook, WebhookExecution, WebhookExecutionList};
