//! Reports how well a worker's deliveries arrive: `cargo run --example delivery_report`.
//!
//! To start from it, copy `delivery_report/` and `common/` to `src/bin/` of a crate with
//!
//! ```sh
//! cargo add handinger --features fake
//! cargo add ctrlc lexopt serde_json
//! cargo add indicatif --no-default-features
//! ```

#[path = "../common/mod.rs"]
mod common;
mod demo;
mod progress;
mod report;

use std::error::Error;
use std::process::ExitCode;

use handinger::time::OffsetDateTime;
use handinger::time::format_description::well_known::Rfc3339;
use handinger::{HandingerClient, HandingerClientBuilder};
use indicatif::ProgressDrawTarget;
use lexopt::prelude::*;
use progress::Bar;
use report::Report;

const HELP: &str = "\
Usage: delivery_report [--since WHEN] [--json] [WORKER_ID]

Reads a worker's delivery history and reports how many deliveries arrived, why
the others failed, how long the endpoint took, and which hours are busiest.

  --since WHEN  leave out what is older: 90s, 30m, 24h, 7d, 2w, or a date and
                time such as 2026-11-23T18:00:00Z
  --json        print the figures as JSON

The key is read from HANDINGER_API_KEY; without it, a fake Handinger with a
made-up history is used.

Exit codes: 0 done, 1 the service failed, 2 bad usage.
";

struct Args {
    worker_id: String,
    since: Option<OffsetDateTime>,
    as_json: bool,
}

fn main() -> ExitCode {
    common::exit_code(run())
}

fn run() -> Result<(), Box<dyn Error>> {
    let Args { worker_id, since, as_json } = parse_args()?;
    // On stderr, and only if that is a terminal.
    let bar = Bar::new(ProgressDrawTarget::stderr(), since.map(|since| [since, demo::now()]));
    bar.attach()?;

    let fake = (!common::has_api_key()).then(|| common::start_fake(common::API_KEY, &worker_id));
    let client = match &fake {
        None => HandingerClientBuilder::from_env()?.sleep_with(bar.sleep()).build()?,
        Some(fake) => {
            demo::add_history(fake, &worker_id, 1_500, 7)?;
            fake.client()
        }
    };
    let report = read(&client, &worker_id, since, &bar)?;
    drop(bar);
    common::say(if as_json { report.to_json()? } else { report.to_string() })?;
    Ok(())
}

fn read(
    client: &HandingerClient,
    worker_id: &str,
    since: Option<OffsetDateTime>,
    bar: &Bar,
) -> Result<Report, handinger::Error> {
    let mut report = Report::default();
    let mut executions = client.executions(worker_id).since(since);
    while let Some(execution) = executions.next().transpose()? {
        report.add(&execution);
        bar.show(executions.progress(), execution.created_at);
    }
    Ok(report)
}

fn parse_args() -> Result<Args, lexopt::Error> {
    let (mut worker_id, mut since, mut as_json) = (None, None, false);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => common::help(HELP),
            Long("json") => as_json = true,
            Long("since") => since = Some(parser.value()?.parse_with(parse_since)?),
            Value(value) if worker_id.is_none() => worker_id = Some(value.string()?),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Args { worker_id: common::worker_or_demo(worker_id)?, since, as_json })
}

fn parse_since(text: &str) -> Result<OffsetDateTime, &'static str> {
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .or_else(|| demo::now().checked_sub(common::parse_duration(text)?))
        .ok_or("use 90s, 30m, 24h, 7d, 2w or a date and time")
}
