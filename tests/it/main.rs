//! Tests of the public API over real sockets, one file a theme.

mod bounds;
mod costs;
mod errors;
mod examples;
mod executions;
mod fake;
mod fake_server;
mod faults;
mod follow;
mod fuzz;
mod input;
mod pages;
mod proxies;
mod redirects;
mod retries;
mod rotate;
mod secrets;
mod timeouts;
mod tls;
mod types;
mod wire;

mod support;
