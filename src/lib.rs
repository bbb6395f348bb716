//! A blocking client for the worker-webhook API of [Handinger](https://handinger.com): five calls, iterators over the
//! delivery history, errors that say what happened, and no async runtime.
//!
//! Handinger runs tasks with AI workers. When a task completes, it POSTs to the webhook of its worker. This crate sets
//! and removes these webhooks, rotates their tokens, and reads how the deliveries went. It is for scripts, build scripts
//! and small command-line tools. It is not an official client.
//!
//! ```no_run
//! let client = handinger::HandingerClient::from_env()?; // HANDINGER_API_KEY
//!
//! for execution in client.executions("wrk_1") {
//!     let execution = execution?;
//!     if !execution.is_success() {
//!         println!("{} {}", execution.created_at, execution.error_message.unwrap_or_default());
//!     }
//! }
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! # The five calls
//!
//! ```
//! # let fake = handinger::fake::FakeHandinger::start();
//! # fake.add_worker("wrk_1");
//! # let client = fake.client();
//! let webhook = client.update_webhook("wrk_1", "https://example.com/hook")?; // sets the URL, and a token
//! assert_eq!(client.retrieve_webhook("wrk_1")?, webhook);
//!
//! let regenerated = client.regenerate_token("wrk_1")?; // another token; the old one is invalid
//! assert_ne!(regenerated.token, webhook.token);
//!
//! let newest = client.list_executions("wrk_1", 1)?; // one page of the delivery history
//! println!("{} deliveries", newest.total_count);
//!
//! client.delete_webhook("wrk_1")?; // the same as update_webhook("wrk_1", UpdateWebhook::clear())
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! [`HandingerClient`] documents each. On top of them, [`rotate_token`](HandingerClient::rotate_token) regenerates the token
//! and makes sure which one is in force, even if a response is lost.
//!
//! # The delivery history
//!
//! The history is listed newest first, 50 executions a page, and it moves while it is read: a delivery pushes all
//! executions one place down, a removal pulls them up. [`executions`](HandingerClient::executions) yields each execution
//! once all the same, or reports an error. `since` and `after` stop it where an earlier run has been:
//!
//! ```
//! # let fake = handinger::fake::FakeHandinger::start();
//! # fake.add_worker("wrk_1");
//! # let client = fake.client();
//! # client.update_webhook("wrk_1", "https://example.com/hook")?;
//! # for n in 0..120 { fake.deliver("wrk_1", if n % 10 == 0 { 503 } else { 200 }); }
//! use handinger::time::{Duration, OffsetDateTime};
//!
//! let yesterday = OffsetDateTime::now_utc() - Duration::DAY;
//! let recent = client.executions("wrk_1").since(yesterday).collect::<Result<Vec<_>, _>>()?;
//! let failed = recent.iter().filter(|execution| !execution.is_success()).count();
//! println!("{failed} of {} deliveries failed", recent.len());
//! # assert_eq!((failed, recent.len()), (12, 120));
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! [`follow`](HandingerClient::follow) waits for new executions and yields them as they come.
//! [`execution_pages`](HandingerClient::execution_pages) returns the pages as they are.
//!
//! # Verifying a delivery
//!
//! Each delivery carries the webhook's token in its `X-Handinger-Token` header. [`WebhookToken::verify`] compares in
//! constant time. What does not verify is not from Handinger.
//!
//! ```
//! use handinger::WebhookToken;
//!
//! let token = WebhookToken::new("whk_01HZY31W2SZJ8MJ2FQTR3M1K9D"); // kept from update_webhook
//! # let header: Option<&str> = Some("whk_guess");
//! if !header.is_some_and(|presented| token.verify(presented)) {
//!     println!("401");
//! }
//! ```
//!
//! # Errors and retries
//!
//! There is one [`Error`]. Printed, it is a line like
//!
//! ```text
//! regenerate token of worker wrk_1: connection lost; the change may have been applied
//! ```
//!
//! For the program there are [`kind`](Error::kind), predicates such as [`is_not_found`](Error::is_not_found) and
//! [`is_transient`](Error::is_transient), and what the server said. By the time you see an error, the client has already
//! retried where that is safe. [`Error`] documents [what to do](Error#what-to-do), and
//! [what is retried](Error#what-has-been-retried-already).
//!
//! # Settings
//!
//! [`HandingerClient::from_env`] reads the key from `HANDINGER_API_KEY`, and honors `HANDINGER_BASE_URL` and
//! `HANDINGER_CUSTOM_HEADERS` as the API's other clients do. [`HandingerClient::new`] takes the key itself, and
//! [`HandingerClient::builder`] everything that can be set. A single call can have options of its own:
//!
//! ```
//! # use std::time::Duration;
//! # let fake = handinger::fake::FakeHandinger::start();
//! # fake.add_worker("wrk_1");
//! # let client = fake.client();
//! let webhook = client.with_timeout(Duration::from_secs(5)).with_max_retries(0).retrieve_webhook("wrk_1")?;
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! Three timeouts bound a call: [`timeout`](HandingerClientBuilder::timeout) for one attempt, however slowly its bytes
//! come (60 s); [`connect_timeout`](HandingerClientBuilder::connect_timeout) within it (5 s); and
//! [`total_timeout`](HandingerClientBuilder::total_timeout) for all attempts and waits together (off by default). A
//! response body is read up to 10 MiB after decompression, headers up to 64 KiB and 128 in number.
//!
//! # TLS and proxies
//!
//! Certificates are checked against Mozilla's roots by rustls, unless [features](#cargo-features) select another
//! library or the roots of the system. Proxies are taken from the environment: `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`,
//! and `NO_PROXY` for exceptions. The key goes nowhere else: redirects are not followed, and `http:` is rejected except to
//! a loopback host, unless [`allow_insecure_http`](HandingerClientBuilder::allow_insecure_http) says so. For everything
//! else, hand in an [`agent`](HandingerClientBuilder::agent) of [ureq]:
//!
#![cfg_attr(feature = "rustls", doc = "```")]
#![cfg_attr(not(feature = "rustls"), doc = "```ignore")]
//! use handinger::HandingerClient;
//! use handinger::ureq::{self, tls};
//! use tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
//!
//! # fn read(name: &str) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
//! #     let key = rcgen::KeyPair::generate()?;
//! #     let certificate = rcgen::CertificateParams::new(vec!["localhost".into()])?.self_signed(&key)?;
//! #     Ok(if name == "key.pem" { key.serialize_pem() } else { certificate.pem() }.into_bytes())
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tls = TlsConfig::builder()
//!     // Trusts the certificates of a private authority, and no others.
//!     .root_certs(RootCerts::new_with_certs(&[Certificate::from_pem(&read("ca.pem")?)?]))
//!     // Shows a certificate of its own, if the server or a gateway asks for one.
//!     .client_cert(Some(ClientCert::new_with_certs(
//!         &[Certificate::from_pem(&read("client.pem")?)?],
//!         PrivateKey::from_pem(&read("key.pem")?)?,
//!     )))
//!     .build();
//! let agent = ureq::Agent::config_builder()
//!     .tls_config(tls)
//!     .proxy(Some(ureq::Proxy::new("http://user:password@proxy.example:3128")?))
//!     .build()
//!     .new_agent();
//! let client = HandingerClient::builder("key").agent(agent).build()?;
//! # Ok(()) }
//! ```
//!
//! # Testing your own tool
//!
//! With the feature `fake`, best among the `dev-dependencies`, the module `fake` has a Handinger to test against. It
//! listens on a loopback port, keeps workers, webhooks and a history, and fails, stalls or hangs up on demand.
//!
#![cfg_attr(feature = "fake", doc = "```")]
#![cfg_attr(not(feature = "fake"), doc = "```ignore")]
//! use handinger::fake::FakeHandinger;
//!
//! let fake = FakeHandinger::start();
//! fake.add_worker("wrk_1");
//! let client = fake.client(); // or any client, with fake.base_url() and fake.api_key()
//!
//! fake.fail_next(2, 503);
//! client.update_webhook("wrk_1", "https://example.com/hook")?; // succeeds on the third attempt
//! fake.deliver("wrk_1", 500);
//! assert!(!client.list_executions("wrk_1", 1)?.logs[0].is_success());
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! # In a build script
//!
//! A build must not hang, nor fail because a service is down: set a short
//! [`total_timeout`](HandingerClientBuilder::total_timeout), and fall back on what was known before with a
//! `cargo::warning`. The repository's `examples/build_script` is a crate that does so.
//!
//! # In an async program
//!
//! A call blocks its thread. It does not look for a runtime and does not start one, so it works inside one, but there it
//! belongs on a thread for blocking work, such as that of tokio's `spawn_blocking`. The client is `Send`, `Sync` and
//! cheap to clone.
//!
//! # Cargo features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `rustls` | yes | TLS by rustls with ring, and Mozilla's roots |
//! | `gzip` | yes | asks for compressed responses |
//! | `native-tls` | | TLS by the system's library (OpenSSL on Linux), unless `rustls` is on as well |
//! | `platform-verifier` | | the system's root certificates instead of Mozilla's |
//! | `socks-proxy` | | SOCKS proxies as well |
//! | `fake` | | the module `fake`, for tests |
//!
//! Without `rustls` and `native-tls` there is no TLS: an `https` base URL is rejected when the client is built.
//!
//! # Logging
//!
//! Through the [log](https://docs.rs/log) facade, target `handinger`, level DEBUG: a line for each attempt, with
//! method, path (with `{workerId}` in place of the worker's id), status or problem, number of the attempt and the time it
//! took, and a line before each wait. The client writes no key, no token, no worker's id and no path of a webhook's URL into
//! a line. Of a redirect's target it logs scheme, host and port and, on the base URL's own origin, the path without the
//! worker's id.
//!
//! At TRACE, ureq's own targets (`ureq`, `ureq_proto`) log what goes over the wire: leave those off where keys must not be
//! logged.
//!
//! # Versions
//!
//! Needs Rust 1.88; a later one is required only with a new minor version. Of other crates, the public API shows
//! `time::OffsetDateTime`, `ureq::Agent` in [`agent`](HandingerClientBuilder::agent), and serde's traits; [`time`] and
//! [`ureq`] are re-exported in the versions that fit. Any ureq from 3.5.2 to below 4 will do. Structs and enums can grow
//! (`#[non_exhaustive]`). The wording of errors and log lines is not part of the API.
//!
//! # Not supported
//!
//! Async, headers for a single call, WebAssembly (there are no sockets), HTTP/2, and the rest of Handinger's API.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod client;
mod error;
mod executions;
#[cfg(feature = "fake")]
pub mod fake;
mod http;
mod lenient;
mod redact;
mod token;
mod types;

// They show in the API, so that callers need the versions that it is built with.
pub use {time, ureq};

pub use builder::HandingerClientBuilder;
pub use client::HandingerClient;
pub use error::{Error, ErrorKind};
pub use executions::{Cursor, End, Executions, Follow, PageIter, Progress};
pub use token::WebhookToken;
pub use types::{RequestStatus, UpdateWebhook, Webhook, WebhookExecution, WebhookExecutionList};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
