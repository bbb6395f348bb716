//! A blocking client for the worker-webhook API of [Handinger](https://handinger.com): five calls, iterators over the
//! delivery history, errors that say what happened, and no async runtime.
//!
//! Handinger runs tasks with AI workers. When a task completes, Handinger POSTs to the worker's webhook: a *delivery*.
//! The API calls its record an *execution*. This crate sets and removes webhooks, rotates their tokens, and reads the
//! executions. It is for scripts, build scripts and small command-line tools. It is not an official client.
//!
//! ```no_run
//! let client = handinger::HandingerClient::from_env()?; // HANDINGER_API_KEY
//!
//! for execution in client.executions("wrk_1") {
//!     let execution = execution?;
//!     if !execution.is_success() {
//!         println!("{execution}");
//!     }
//! }
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! # Calls
//!
//! [`HandingerClient`] has a method for each endpoint, and `rotate_token`, which also handles a lost response:
//!
//! ```
//! # let fake = handinger::fake::FakeHandinger::start();
//! # fake.add_worker("wrk_1");
//! # let client = fake.client();
//! let webhook = client.update_webhook("wrk_1", "https://example.com/hook")?;
//! assert_eq!(client.retrieve_webhook("wrk_1")?, webhook);
//!
//! let rotated = client.rotate_token("wrk_1")?; // regenerate_token: one request, no check
//! assert_ne!(rotated.token, webhook.token);
//!
//! let newest = client.list_executions("wrk_1", 1)?; // one page, at most 50
//! client.delete_webhook("wrk_1")?;
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! A delivery carries the webhook's token in a header. [`WebhookToken::verify`] compares it in constant time.
//!
//! # History
//!
//! [`executions`](HandingerClient::executions) yields each execution once, newest first, or reports an error.
//! The history may change meanwhile: a delivery moves all executions one place down, a removal moves older
//! ones up. [`since`](Executions::since) stops the iterator at a time. [`follow`](HandingerClient::follow)
//! returns new executions as they arrive, and continues after a restart; see [`Follow`].
//! [`execution_pages`](HandingerClient::execution_pages) yields the pages as the server sends them.
//!
//! # Errors
//!
//! Every failure is an [`Error`]. `{error:#}` prints it as one line: the call, what failed, and the causes.
//! In code, check its [`kind`](Error::kind), predicates such as [`is_not_found`](Error::is_not_found), and
//! whether a change [may have been applied](Error::may_have_been_applied). The client retries before a call
//! fails, if that is safe. [`Error`] lists what to do, and what has been retried.
//!
//! # Settings
//!
//! [`HandingerClient::from_env`] reads `HANDINGER_API_KEY`, `HANDINGER_BASE_URL` and `HANDINGER_CUSTOM_HEADERS`. Every
//! client reads the [proxy](HandingerClientBuilder#proxies) as curl does. [`HandingerClient::builder`] has all settings:
//! timeouts, retries, headers and, through ureq's configuration, TLS and the connection pool.
//! [`with_timeout`](HandingerClient::with_timeout) and its like return a changed client that shares the connections.
//!
//! # Testing
//!
//! The feature `fake`, best enabled in `dev-dependencies`, adds the module `fake`: a Handinger on a loopback port. It
//! stores workers, webhooks and a history. On demand, it fails, delays a response or closes a connection.
//!
#![cfg_attr(feature = "fake", doc = "```")]
#![cfg_attr(not(feature = "fake"), doc = "```ignore")]
//! use handinger::fake::FakeHandinger;
//!
//! let fake = FakeHandinger::start();
//! fake.add_worker("wrk_1");
//! fake.fail_next(2, 503);
//! // The third attempt succeeds.
//! fake.client().update_webhook("wrk_1", "https://example.com/hook")?;
//! assert!(!fake.deliver("wrk_1", 500).execution.is_success());
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! # Guides
//!
//! [`recipes`] has short programs for a script, a daemon, a database, async code, a company's network and more.
//! [`from_python`] compares the crate with the official Python client.
//!
//! # Cargo features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `rustls` | yes | TLS by rustls with ring, and Mozilla's roots |
//! | `gzip` | yes | asks for compressed responses |
//! | `native-tls` | | TLS by the system's library (OpenSSL on Linux), unless `rustls` is on as well; Mozilla's roots |
//! | `platform-verifier` | | trusts the system's roots instead, and on Linux honors `SSL_CERT_FILE` |
//! | `socks-proxy` | | SOCKS proxies |
//! | `fake` | | the module `fake`, for tests |
//!
//! Without `rustls` and `native-tls` there is no TLS: `build()` rejects an `https` base URL.
//! `default-features = false` turns `gzip` off as well. A company that inspects TLS installs its root in the
//! system's store, which `platform-verifier` trusts.
//!
//! # Logging
//!
//! The client logs through [log](https://docs.rs/log), target `handinger`: at DEBUG a line for each attempt
//! with method, path, status, attempt number and milliseconds; at INFO a line before each retry. No line
//! contains a key, a token, or a webhook's URL beyond its host. Do not enable TRACE for ureq's targets,
//! because ureq then logs the requests.
//!
//! # Versions
//!
//! The crate needs Rust 1.88, and any ureq from 3.5.2 to below 4. The public API contains serde's traits, and
//! types of [time](https://docs.rs/time) and [ureq](https://docs.rs/ureq), which it re-exports. Only a new
//! minor version may require a later Rust. The wording of errors and log lines is not part of the API.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod client;
mod error;
mod executions;
#[cfg(feature = "fake")]
pub mod fake;
mod follow;
mod http;
mod lenient;
mod redact;
mod token;
mod types;

#[cfg(any(doc, doctest))]
#[doc = include_str!("../docs/recipes.md")]
pub mod recipes {}

#[cfg(any(doc, doctest))]
#[doc = include_str!("../docs/from-python.md")]
pub mod from_python {}

// Re-exported because their types are in the public API, so that callers need the same versions.
pub use {time, ureq};

pub use builder::HandingerClientBuilder;
pub use client::HandingerClient;
pub use error::{Error, ErrorKind};
pub use executions::{Executions, PageIter, Progress};
pub use follow::{Cursor, Follow};
pub use token::WebhookToken;
pub use types::{RequestStatus, UpdateWebhook, Webhook, WebhookExecution, WebhookExecutionList};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
