//! Sets, replaces or removes the webhook of a worker: `cargo run --example set_webhook -- WORKER_ID URL`.

mod common;

use std::error::Error;
use std::process::ExitCode;

use common::one_line;
use lexopt::prelude::*;

const HELP: &str = "\
Usage: set_webhook [--print-token] WORKER_ID URL
       set_webhook --clear WORKER_ID

Sets or replaces the URL that Handinger delivers to, or removes the webhook
together with its token.

  --clear        remove the webhook
  --print-token  print the webhook's token, alone, to stdout:
                 set_webhook --print-token WORKER_ID URL | secret-store put hook

What was changed is told on stderr. The key is read from HANDINGER_API_KEY;
without it, a fake Handinger is used.

Exit codes: 0 done, 1 the service failed, 2 bad usage.
";

struct Args {
    worker_id: String,
    /// `None` to remove the webhook.
    url: Option<String>,
    print_token: bool,
}

fn main() -> ExitCode {
    common::exit_code(run())
}

fn run() -> Result<(), Box<dyn Error>> {
    let Args { worker_id, url, print_token } = parse_args()?;
    let (client, fake) = common::connect(&worker_id)?;

    let before = client.retrieve_webhook(&worker_id)?;
    // Setting a URL twice does no harm, so that the client tries again where it can, and so can who called us.
    let after = client.update_webhook(&worker_id, url)?;

    let shown = |url: &Option<String>| one_line(url.as_deref().unwrap_or("none"), 90);
    eprintln!("before  {}", shown(&before.url));
    eprintln!("now     {}", shown(&after.url));
    match (&before.token, &after.token) {
        (_, None) => eprintln!("token   none"),
        (old, new) if old == new => eprintln!("token   the same as before"),
        _ => eprintln!("token   a new one: the endpoint must know it to tell deliveries from forgeries"),
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
    if url.is_some() == clear {
        return Err("either a URL or --clear is needed".into());
    }
    Ok(Args { worker_id, url, print_token })
}
