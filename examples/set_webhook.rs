//! Sets, replaces or removes a worker's webhook:
//! `cargo run --example set_webhook -- wrk_1 https://example.com/hook`, or `--clear` in place of the URL.
//!
//! Needs `HANDINGER_API_KEY`, or the two variables that the example `fake_server` prints.
//! To start from it, copy this file to `src/main.rs`, and `cargo add handinger`.

use std::env;
use std::fmt::Display;
use std::process;

use handinger::{Error, HandingerClient, UpdateWebhook, Webhook};

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let [worker_id, url] = &args[..] else { fail(2, "Usage: set_webhook WORKER_ID URL | --clear") };
    let update = if url == "--clear" { UpdateWebhook::clear() } else { UpdateWebhook::new(url) };
    let client = HandingerClient::from_env().unwrap_or_else(|error| fail(2, error));
    if let Err(error) = set(&client, worker_id, update) {
        fail(1, error);
    }
}

fn set(client: &HandingerClient, worker_id: &str, update: UpdateWebhook) -> Result<(), Error> {
    let before = client.retrieve_webhook(worker_id)?;
    let after = client.update_webhook(worker_id, update)?;
    println!("before: {}", url(&before));
    println!("now: {}", url(&after));
    if after.token.is_some() && before.token.is_none() {
        println!("The token is new. The endpoint needs one: `rotate_token` replaces and prints it.");
    }
    Ok(())
}

fn url(webhook: &Webhook) -> &str {
    webhook.url.as_deref().unwrap_or("none")
}

fn fail(code: i32, problem: impl Display) -> ! {
    eprintln!("{problem:#}");
    process::exit(code)
}
