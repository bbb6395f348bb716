//! How well a worker's deliveries arrive: `cargo run --example delivery_report`.

#[path = "../common/mod.rs"]
mod common;
mod report;

use std::error::Error;
use std::process::ExitCode;

use common::DEMO_WORKER;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use lexopt::prelude::*;
use report::Report;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

const HELP: &str = "\
Usage: delivery_report [--since WHEN] [--json] [WORKER_ID]

Reads a worker's delivery history and tells how many deliveries arrived, why the
others failed, how long the endpoint took to answer, and when most is delivered.

  --since WHEN  leave out what is older: 90m, 24h, 7d, or a date and time
                such as 2026-11-23T18:00:00Z
  --json        print the figures as JSON

The key is read from HANDINGER_API_KEY; without it, a fake Handinger with a
made-up history is used.

Exit codes: 0 done, 1 the service failed, 2 bad usage.
";

#[derive(Default)]
struct Args {
    worker_id: Option<String>,
    since: Option<OffsetDateTime>,
    as_json: bool,
}

fn main() -> ExitCode {
    common::exit_code(run())
}

fn run() -> Result<(), Box<dyn Error>> {
    let Args { worker_id, since, as_json } = parse_args()?;
    let worker_id = worker_id.unwrap_or(DEMO_WORKER.into());
    let (client, fake) = common::connect(&worker_id)?;
    if let Some(fake) = &fake {
        client.update_webhook(&worker_id, "https://example.com/handinger-webhook")?;
        common::add_history(fake, &worker_id, 1_500, 7);
    }

    let mut executions = client.executions(&worker_id);
    let bar = if let Some(since) = since {
        executions = executions.since(since);
        progress_bar("{pos} deliveries") // and it is not known how many there will be
    } else {
        progress_bar("{bar:40} {pos} of {len} deliveries")
    };
    let mut report = Report::default();
    while let Some(execution) = executions.next().transpose()? {
        report.add(&execution);
        let progress = executions.progress();
        bar.set_length(progress.total_count);
        bar.set_position(progress.executions);
    }
    drop(bar);
    common::say(if as_json { report.to_json()? } else { report.to_string() })?;
    Ok(())
}

/// On stderr, and only if that is a terminal. It is gone when it is dropped.
fn progress_bar(template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("a valid template");
    ProgressBar::new(0).with_style(style).with_finish(ProgressFinish::AndClear)
}

fn parse_args() -> Result<Args, lexopt::Error> {
    let mut args = Args::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => common::help(HELP),
            Long("json") => args.as_json = true,
            Long("since") => args.since = Some(parser.value()?.parse_with(parse_since)?),
            Value(value) if args.worker_id.is_none() => args.worker_id = Some(value.string()?),
            _ => return Err(argument.unexpected()),
        }
    }
    if args.worker_id.is_none() && common::has_api_key() {
        return Err("with HANDINGER_API_KEY set, a WORKER_ID is needed".into());
    }
    Ok(args)
}

fn parse_since(text: &str) -> Result<OffsetDateTime, &'static str> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(time);
    }
    let ago = [("m", 60), ("h", 60 * 60), ("d", 24 * 60 * 60)].into_iter().find_map(|(unit, seconds)| {
        let count: u32 = text.strip_suffix(unit)?.parse().ok()?;
        Some(Duration::seconds(i64::from(count) * seconds))
    });
    ago.and_then(|ago| common::now().checked_sub(ago)).ok_or("neither like 24h or 7d nor a date and time")
}
