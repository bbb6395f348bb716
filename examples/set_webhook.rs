//! Sets, replaces or removes a worker's webhook: `cargo run --example set_webhook -- WORKER_ID URL`.
//!
//! To start from it, copy `set_webhook.rs` and `common/` to `src/bin/` of a crate with
//!
//! ```sh
//! cargo add handinger --features fake
//! cargo add lexopt
//! ```

mod common;

use std::error::Error;
use std::process::ExitCode;

use common::one_line;
use handinger::UpdateWebhook;
use lexopt::prelude::*;

const HELP: &str = "\
Usage: set_webhook [--print-token] WORKER_ID URL
       set_webhook --clear WORKER_ID

Sets or replaces the URL that Handinger delivers to, or removes the webhook
together with its token.

  --clear        remove the webhook
  --print-token  print the webhook's token, alone, to stdout:
                 set_webhook --print-token WORKER_ID URL | secret-store put hook

Stderr says what changed. The key is read from HANDINGER_API_KEY; without it, a
fake Handinger is used.

Exit codes: 0 done, 1 the service failed, 2 bad usage.
";

struct Args {
    worker_id: String,
    update: UpdateWebhook,
    print_token: bool,
}

fn main() -> ExitCode {
    common::exit_code(run())
}

fn run() -> Result<(), Box<dyn Error>> {
    let Args { worker_id, update, print_token } = parse_args()?;
    let (client, fake) = common::connect(&worker_id)?;

    let before = client.retrieve_webhook(&worker_id)?;
    // An update can be repeated safely: the client retries it, and whoever runs this program can run it again.
    let after = client.update_webhook(&worker_id, update)?;

    let shown = |url: &Option<String>| one_line(url.as_deref().unwrap_or("none"), 72);
    eprintln!("before  {}", shown(&before.url));
    eprintln!("now     {}", shown(&after.url));
    match (&before.token, &after.token) {
        (_, None) => eprintln!("token   none"),
        (old, new) if old == new => eprintln!("token   the same as before"),
        _ => eprintln!("token   a new one: the endpoint needs it to verify deliveries"),
    }
    if let Some(token) = after.token.filter(|_| print_token) {
        common::hand_out(&token, fake.is_some())?;
    }
    Ok(())
}

fn parse_args() -> Result<Args, lexopt::Error> {
    let (mut worker_id, mut url, mut clear, mut print_token) = (None, None, false, false);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => common::help(HELP),
            Long("clear") => clear = true,
            Long("print-token") => print_token = true,
            Value(value) if worker_id.is_none() => worker_id = Some(value.string()?),
            Value(value) if url.is_none() => url = Some(value.string()?),
            _ => return Err(argument.unexpected()),
        }
    }
    let worker_id = worker_id.ok_or("a WORKER_ID is needed")?;
    let update = match (url, clear) {
        (Some(url), false) => UpdateWebhook::new(url),
        (None, true) => UpdateWebhook::clear(),
        _ => return Err("either a URL or --clear is needed".into()),
    };
    Ok(Args { worker_id, update, print_token })
}
