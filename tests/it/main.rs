//! Everything that a user of the crate can see, tested over real sockets: one file a theme.

mod agents;
mod bounds;
mod costs;
mod environment;
mod errors;
mod examples;
mod executions;
mod fake;
mod faults;
mod follow;
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
