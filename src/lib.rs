//! A blocking client for the worker-webhook API of [Handinger](https://handinger.com): five calls, iterators over the
//! delivery history, errors that say what happened, and no async runtime.
//!
//! Handinger runs tasks with AI workers. When a task completes, it POSTs to the worker's webhook. This crate sets and
//! removes webhooks, rotates their tokens, and reads the delivery history. It is for scripts, build scripts and small
//! command-line tools. It is not an official client.
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
//! [`HandingerClient`] documents each. [`rotate_token`](HandingerClient::rotate_token) regenerates the token too, and
//! returns the one in force even if a response is lost.
//!
//! # The delivery history
//!
//! The history is listed newest first, 50 executions a page. It changes while it is read: a delivery moves all
//! executions one place down, and a removal moves older ones up. [`executions`](HandingerClient::executions) yields
//! each execution once, or reports an error. [`since`](Executions::since) stops it at a time:
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
//! [`follow`](HandingerClient::follow) waits for new executions, and yields each as it comes.
//! [`execution_pages`](HandingerClient::execution_pages) yields the pages.
//!
//! # Verifying a delivery
//!
//! Each delivery carries the webhook's token in its `X-Handinger-Token` header. [`WebhookToken::verify`] compares in
//! constant time. Reject a delivery whose token does not verify.
//!
//! ```
//! use handinger::WebhookToken;
//!
//! let token = WebhookToken::new("whk_01HZY31W2SZJ8MJ2FQTR3M1K9D"); // kept from update_webhook
//! # let header: Option<&str> = Some("whk_guess");
//! if !header.is_some_and(|presented| token.verify(presented)) {
//!     println!("not from Handinger: respond with 401");
//! }
//! ```
//!
//! # Errors and retries
//!
//! Every failure is an [`Error`]. It prints as one line, such as
//!
//! ```text
//! regenerate token of worker wrk_1: connection lost; the change may have been applied
//! ```
//!
//! A program asks for its [`kind`](Error::kind), for predicates such as [`is_not_found`](Error::is_not_found) and
//! [`is_transient`](Error::is_transient), and for the server's [`message`](Error::message). Before a call fails, the
//! client retries where that is safe. [`Error`] documents [what to do](Error#what-to-do), and [what has been
//! retried](Error#what-has-been-retried-already).
//!
//! # Settings
//!
//! [`HandingerClient::from_env`] reads the key from `HANDINGER_API_KEY`, and honors `HANDINGER_BASE_URL` and
//! `HANDINGER_CUSTOM_HEADERS` as the API's other clients do. [`HandingerClient::new`] takes the key as an argument, and
//! [`HandingerClient::builder`] sets everything else; [`HandingerClientBuilder::from_env`] combines the two. A single call
//! can have options of its own:
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
//! Three timeouts bound a call. [`timeout`](HandingerClientBuilder::timeout) bounds one attempt, however slowly its
//! bytes come (60 s). [`connect_timeout`](HandingerClientBuilder::connect_timeout) bounds connecting (5 s).
//! [`total_timeout`](HandingerClientBuilder::total_timeout) bounds all attempts and waits together (off by default). A
//! response may have a body of 10 MiB after decompression, and 128 headers of 64 KiB in all.
//!
//! # TLS and proxies
//!
//! rustls checks certificates against Mozilla's roots, unless [features](#cargo-features) select another library or the
//! system's roots. Proxies come from the environment: `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`, and `NO_PROXY` for
//! exceptions. The key is sent only to the base URL: redirects are not followed. An `http:` base URL is rejected unless
//! its host is loopback or [`allow_insecure_http`](HandingerClientBuilder::allow_insecure_http) is set. For everything
//! else, set an [`agent`](HandingerClientBuilder::agent) of [ureq]:
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
//!     // Presents a client certificate if the server or a gateway asks for one.
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
//! The feature `fake`, best enabled in `dev-dependencies`, adds the module `fake`: a Handinger to test against. It
//! listens on a loopback port, keeps workers, webhooks and a history, and fails, delays or hangs up on demand.
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
//! # Examples
//!
//! The package has short programs to run and to copy: `quickstart` (the whole API in 60 lines), `set_webhook`,
//! `rotate_token`, `delivery_report`, `tail_deliveries`, `receive_deliveries` (an endpoint), and `build_script`. Without a
//! key they run against the fake. The README has
//! [the command of each](https://crates.io/crates/handinger#examples), and the head of each file says what to copy. In the
//! package, rather than in a clone, they need `--features fake`.
//!
//! # In a build script
//!
//! A build must not hang, nor fail because a service is down. Set a short
//! [`total_timeout`](HandingerClientBuilder::total_timeout), which bounds each request. After an error, print a
//! `cargo::warning`, leave what an earlier build wrote into `OUT_DIR` if it is about the same worker, and print
//! `rerun-if-changed` for a file that does not exist, so that the next build asks again. The package's
//! `examples/build_script` does so.
//!
//! Without TLS, a cold build takes about half as long; the README has
//! [what a build costs by features](https://crates.io/crates/handinger#features). Name `gzip` beside `native-tls`, since
//! `default-features = false` turns it off as well.
//!
//! # In an async program
//!
//! A call blocks its thread. It needs no runtime and starts none. In an async program, call it on a thread for blocking
//! work, such as that of tokio's `spawn_blocking`. The client is `Send`, `Sync` and cheap to clone.
//!
//! # Cargo features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `rustls` | yes | TLS by rustls with ring, and Mozilla's roots |
//! | `gzip` | yes | asks for compressed responses |
//! | `native-tls` | | TLS by the system's library (OpenSSL on Linux), unless `rustls` is on as well |
//! | `platform-verifier` | | the system's root certificates instead of Mozilla's |
//! | `socks-proxy` | | SOCKS proxies |
//! | `fake` | | the module `fake`, for tests |
//!
//! Without `rustls` and `native-tls` there is no TLS: an `https` base URL is rejected when the client is built.
//!
//! # Logging
//!
//! The client logs through the [log](https://docs.rs/log) facade: target `handinger`, level DEBUG, one line for each
//! attempt and one before each wait. An attempt's line has the method, the path (with `{workerId}` in place of the id),
//! the status or problem, the attempt's number, and the time it took. The client writes no key, no token, no worker's
//! id and no path of a webhook's URL into a line. Of a redirect's target it logs scheme, host and port and, on the base
//! URL's own origin, the path without the worker's id.
//!
//! At TRACE, ureq's own targets (`ureq`, `ureq_proto`) log what is sent and received: leave them off where keys must
//! not be logged.
//!
//! # Versions
//!
//! The crate needs Rust 1.88; only a new minor version may require a later one. Of other crates, the public API
//! contains `time::OffsetDateTime`, `ureq::Agent` in [`agent`](HandingerClientBuilder::agent), and serde's traits. The
//! crate re-exports [`time`] and [`ureq`]; any ureq from 3.5.2 to below 4 fits. Structs and enums may gain fields and
//! variants (`#[non_exhaustive]`). The wording of errors and log lines is not part of the API.
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
mod follow;
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
pub use executions::{Executions, PageIter, Progress};
pub use follow::{Cursor, Follow};
pub use token::WebhookToken;
pub use types::{RequestStatus, UpdateWebhook, Webhook, WebhookExecution, WebhookExecutionList};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
