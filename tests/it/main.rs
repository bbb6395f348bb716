//! Tests of the public API over real sockets, one file a theme.

mod agents;
mod bounds;
mod costs;
mod environment;
mod errors;
mod examples;
mod executions;
mod fake;
mod fake_faults;
mod fake_life;
mod fake_server;
mod faults;
mod input;
mod pages;
mod properties;
mod proxies;
mod redirects;
mod retries;
mod secrets;
mod timeouts;
mod tls;
mod wire;

mod support;
