//! A blocking client for the worker-webhook API of [Handinger](https://handinger.com): five calls, an iterator over
//! the delivery history, errors that say what happened, and no async runtime.
//!
//! Handinger runs tasks with AI workers. When a task completes, it POSTs to the webhook of its worker. This crate sets
//! and removes these webhooks, rotates their tokens, and reads how the deliveries went. It is for scripts, build scripts
//! and small command-line tools. It is not an official client.
//!
//! ```no_run
//! let client = handinger::HandingerClient::from_env()?;
//!
//! for execution in client.executions("wrk_1") {
//!     let execution = execution?;
//!     if let Some(error) = &execution.error_message {
//!         println!("{} {error}", execution.created_at);
//!     }
//! }
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! # Setting up
//!
//! [`HandingerClient::from_env`] takes the key from `HANDINGER_API_KEY`, and heeds `HANDINGER_BASE_URL` and
//! `HANDINGER_CUSTOM_HEADERS` as the API's other clients do. [`HandingerClient::new`] takes the key itself, and
//! [`HandingerClient::builder`] everything that can be set; each setting has a default. A client is cheap to clone,
//! and its clones share their connections, so that one call can have options of its own:
//!
//! ```
//! # use std::time::Duration;
//! # let fake = handinger::fake::FakeHandinger::start();
//! # fake.add_worker("wrk_1");
//! # let client = fake.client();
//! let webhook = client.clone().with_timeout(Duration::from_secs(5)).with_max_retries(0).retrieve_webhook("wrk_1")?;
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! # The five calls
//!
//! | call | what it does | may be repeated |
//! |---|---|---|
//! | [`retrieve_webhook`](HandingerClient::retrieve_webhook) | tells the URL and token of a worker's webhook | yes |
//! | [`update_webhook`](HandingerClient::update_webhook) | sets, replaces or removes the URL | yes |
//! | [`delete_webhook`](HandingerClient::delete_webhook) | removes URL and token | yes |
//! | [`regenerate_token`](HandingerClient::regenerate_token) | replaces the token | no: each call makes another token |
//! | [`list_executions`](HandingerClient::list_executions) | one page of the delivery history | yes |
//!
//! ```
//! # let fake = handinger::fake::FakeHandinger::start();
//! # fake.add_worker("wrk_1");
//! # let client = fake.client();
//! let webhook = client.update_webhook("wrk_1", "https://example.com/hook")?;
//! let rotated = client.regenerate_token("wrk_1")?;
//! assert_eq!(rotated.url, webhook.url);
//! assert_ne!(rotated.token, webhook.token);
//!
//! client.update_webhook("wrk_1", None)?; // the same as delete_webhook
//! assert_eq!(client.retrieve_webhook("wrk_1")?.url, None);
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! # Walking the history
//!
//! The history is listed newest first, 50 executions a page, and it moves while it is read: a delivery pushes all
//! others one place down, a removal pulls them up. [`executions`](HandingerClient::executions) takes care of that: each
//! execution that is there all the time comes exactly once. [`Executions`] documents its bounds, how to end at a point
//! in time, how to show progress, and how to go on after an error.
//!
//! ```
//! # let fake = handinger::fake::FakeHandinger::start();
//! # fake.add_worker("wrk_1");
//! # let client = fake.client();
//! # client.update_webhook("wrk_1", "https://example.com/hook")?;
//! # for n in 0..120 { fake.deliver("wrk_1", if n % 10 == 0 { 503 } else { 200 }); }
//! let slowest = client
//!     .executions("wrk_1")
//!     .collect::<Result<Vec<_>, _>>()?
//!     .into_iter()
//!     .max_by_key(|execution| execution.duration());
//! # assert!(slowest.is_some());
//! # Ok::<(), handinger::Error>(())
//! ```
//!
//! For the pages as they are, use [`execution_pages`](HandingerClient::execution_pages).
//!
//! # Verifying a delivery
//!
//! Each delivery carries the webhook's token in its `X-Handinger-Token` header. [`WebhookToken::verify`] compares in
//! constant time; whatever does not verify is not from Handinger.
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
//! regenerate token of worker wrk_1: the connection broke; the change may have been applied
//! ```
//!
//! and for the program there are [`kind`](Error::kind), predicates such as [`is_not_found`](Error::is_not_found), and
//! what the server said. Before a failure gets that far, the call has been tried again where that is safe (RFC 9110 §9.2.2):
//!
//! | what happened | retrieve, list, update, delete | regenerate | a change may have been made |
//! |---|---|---|---|
//! | not sent: name lookup, connecting, TLS handshake | again | again | no |
//! | 408, 409, 429 | again | again | no |
//! | 503 with a valid `Retry-After` or `retry-after-ms` | again | again | no |
//! | any other 5xx, or a status from 600 up | again | error | yes |
//! | sent, and then a timeout, a reset, or an answer broken off | again | error | yes |
//! | an answer of success that does not decode, or is too large | error | error | yes |
//! | 3xx, any other 4xx | error | error | no |
//!
//! A server's `x-should-retry: false` stops this for any status; `true` extends it to all of them, but for a regenerate
//! only to 4xx. There are up to two retries ([`max_retries`](HandingerClientBuilder::max_retries)). Before each the
//! client waits as long as the server asks, up to 60 s, or else 0.5 s, then 1, 2, 4 and 8 s, less up to a quarter at
//! random. If the server asks for more than 60 s, the error comes at once, and says how long in
//! [`retry_after`](Error::retry_after).
//!
//! What to do then:
//!
//! | the error | what it means | what to do |
//! |---|---|---|
//! | [`ErrorKind::InvalidInput`] | refused before anything was sent | correct the argument or setting that it names |
//! | [`is_unauthorized`](Error::is_unauthorized), [`is_forbidden`](Error::is_forbidden) | the key is not valid, or not that of the worker's creator | check the key |
//! | [`is_not_found`](Error::is_not_found) | there is no such worker | check the id |
//! | [`is_rate_limited`](Error::is_rate_limited) | too many requests | come back after [`retry_after`](Error::retry_after) |
//! | [`ErrorKind::Connect`], [`ErrorKind::Timeout`], [`ErrorKind::Transport`], [`is_server_error`](Error::is_server_error) | it may pass | come back later; see below after a change |
//! | [`ErrorKind::Redirect`] | the API is elsewhere | set the [`base_url`](HandingerClientBuilder::base_url) that it names, if you trust it |
//! | [`ErrorKind::Decode`] | something other than the API answered, or the API has changed | look at [`body`](Error::body) |
//!
//! If [`may_have_been_applied`](Error::may_have_been_applied) after an update or delete, call it again: the outcome is
//! the same. After a regenerate, ask [`retrieve_webhook`](HandingerClient::retrieve_webhook) for the token in force and
//! compare it with the old one; call again only if it has not changed.
//!
//! # Timeouts
//!
//! Three bounds, of which the last is off unless it is set:
//! [`timeout`](HandingerClientBuilder::timeout) for one try, however slowly its bytes come (60 s);
//! [`connect_timeout`](HandingerClientBuilder::connect_timeout) for its part before the request is sent (5 s);
//! [`total_timeout`](HandingerClientBuilder::total_timeout) for a call with all its tries and waits.
//! An answer is read up to 10 MiB after decompression, its headers up to 64 KiB and 128 in number.
//!
//! # TLS and proxies
//!
//! Certificates are checked against Mozilla's roots by rustls, unless [features](#cargo-features) select another
//! library or the roots of the system. Proxies are taken from the environment: `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`,
//! and `NO_PROXY` for exceptions. The key goes nowhere else: redirects are not followed, and `http:` is refused except to
//! this machine, unless [`allow_insecure_http`](HandingerClientBuilder::allow_insecure_http) says so. For everything
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
//! With the feature `fake`, best among the `dev-dependencies`, there is a Handinger to test against: it listens on
//! a port of this machine, keeps workers, webhooks and a history, and fails, stalls or hangs up when told to.
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
//! client.update_webhook("wrk_1", "https://example.com/hook")?; // succeeds at the third try
//! fake.deliver("wrk_1", 500);
//! assert_eq!(client.list_executions("wrk_1", 1)?.logs[0].response_status, Some(500));
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
//! | `gzip` | yes | asks for compressed answers |
//! | `native-tls` | | TLS by the system's library (OpenSSL on Linux), unless `rustls` is on as well |
//! | `platform-verifier` | | the system's root certificates instead of Mozilla's |
//! | `socks-proxy` | | SOCKS proxies as well |
//! | `fake` | | the module `fake`, for tests |
//!
//! Without `rustls` and `native-tls` there is no TLS: an `https` base URL is refused when the client is built.
//!
//! # Logging
//!
//! Through the [log](https://docs.rs/log) facade, target `handinger`, level DEBUG: a line for each try, with
//! method, path (without the worker's id), status or problem, number of the try and time it took, and a line before each
//! wait. No line has a key, a token, a worker's id, or the path of a webhook's URL. At TRACE, ureq's own targets
//! (`ureq`, `ureq_proto`) log what goes over the wire: leave those off where keys must not be logged.
//!
//! # Versions
//!
//! Needs Rust 1.88; a later one is required only with a new minor version. Of other crates, the public API shows
//! `time::OffsetDateTime`, `ureq::Agent` in [`agent`](HandingerClientBuilder::agent), and serde's traits; [`time`] and
//! [`ureq`] are re-exported in the versions that fit. ureq is held at its minor version 3.5, since part of what is used
//! of it may change with the next; that will take a new minor version of this crate. Structs and enums can grow
//! (`#[non_exhaustive]`). The wording of errors and log lines is not part of the API.
//!
//! # Not supported
//!
//! WebAssembly (there are no sockets), HTTP/2, and the rest of Handinger's API.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod agent;
mod builder;
mod client;
mod connect;
mod error;
mod executions;
mod failure;
#[cfg(feature = "fake")]
pub mod fake;
mod redact;
mod response;
mod retry;
mod send;
mod token;
mod transport;
mod types;
mod webhooks;

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
