//! Replaces a webhook's token: `cargo run --example rotate_token -- WORKER_ID | secret-store put hook`.
//!
//! To start from it, copy `rotate_token.rs` and `common/` to `src/bin/` of a crate with
//!
//! ```sh
//! cargo add handinger --features fake
//! cargo add lexopt
//! ```

mod common;

use std::error::Error;
use std::process::ExitCode;

use lexopt::prelude::*;

const HELP: &str = "\
Usage: rotate_token WORKER_ID

Replaces the token that Handinger sends with each delivery. The new token goes
to stdout, alone, and all else to stderr:

  rotate_token WORKER_ID | secret-store put hook

From then on deliveries carry the new token. Give it to the endpoint at once,
and let the endpoint accept the old one for a while, for deliveries that were on
their way.

If a response is lost, it retrieves the token in force and compares. If it
fails, stdout stays empty, and stderr says whether the old token is in force.

The key is read from HANDINGER_API_KEY; without it, a fake Handinger is used.

Exit codes: 0 done, 1 the service failed, 2 bad usage.
";

const UNCHANGED: &str = "the old token is still in force";
const OPEN: &str = "the old token may still be in force: retrieve the webhook to learn which one is";

fn main() -> ExitCode {
    common::exit_code(run())
}

fn run() -> Result<(), Box<dyn Error>> {
    let worker_id = &worker_id()?;
    let (client, fake) = common::connect(worker_id)?;
    if fake.is_some() {
        client.update_webhook(worker_id, common::DEMO_URL)?;
    }
    // Where there is no token, the API does not say what a regenerate does.
    if client.retrieve_webhook(worker_id)?.token.is_none() {
        return Err("the worker has no webhook, and so no token".into());
    }
    let webhook = client.rotate_token(worker_id).inspect_err(|error| {
        eprintln!("{}", if error.may_have_been_applied() { OPEN } else { UNCHANGED });
    })?;
    let new = webhook.token.ok_or("the webhook has no token")?;
    eprintln!("replaced the token of {worker_id}; the old one is no longer valid");
    Ok(common::hand_out(&new, fake.is_some())?)
}

fn worker_id() -> Result<String, lexopt::Error> {
    let mut worker_id = None;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => common::help(HELP),
            Value(value) if worker_id.is_none() => worker_id = Some(value.string()?),
            _ => return Err(argument.unexpected()),
        }
    }
    worker_id.ok_or("a WORKER_ID is needed".into())
}
