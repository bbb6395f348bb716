//! Prints deliveries as they come: `cargo run --example tail_deliveries`.
//!
//! To start from it, copy `tail_deliveries.rs` and `common/` to `src/bin/` of a crate with
//!
//! ```sh
//! cargo add handinger --features fake
//! cargo add ctrlc lexopt
//! ```

mod common;

use std::error::Error;
use std::fs;
use std::io::{self, ErrorKind::NotFound};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::thread;
use std::time::Duration;

use common::{DEMO_URL, cause, dim, green, one_line, red, say, short_duration};
use handinger::fake::{FakeHandinger, Fault};
use handinger::time::format_description::well_known::Rfc3339;
use handinger::{Cursor, ErrorKind, Follow, HandingerClient, WebhookExecution};
use lexopt::prelude::*;

const HELP: &str = "\
Usage: tail_deliveries [--state FILE] [--interval TIME] WORKER_ID

Prints a worker's deliveries as they come: when, whether it arrived, how long
the endpoint took, what it returned, and the task.

  --state FILE     keep in FILE what has been printed, and resume from there.
                   Without such a file, it starts from now.
  --interval TIME  how long to wait between two requests: 10s (the default), 5m

Errors go to stderr. It goes on after those that a retry may mend, and after a
gap in the history.

The key is read from HANDINGER_API_KEY; without it, some deliveries of a fake
Handinger are shown.

Exit codes: 0 nobody reads on, 1 the service failed, 2 bad usage, or a FILE that
holds something else, 130 interrupted.
";

struct Args {
    worker_id: String,
    state: State,
    interval: Option<Duration>,
}

fn main() -> ExitCode {
    common::exit_code(run())
}

fn run() -> Result<(), Box<dyn Error>> {
    let Args { worker_id, state, interval } = parse_args()?;
    // At any moment: the state file is replaced as a whole.
    ctrlc::set_handler(|| process::exit(130))?; // 128 + SIGINT, as shells have it
    if !common::has_api_key() {
        return demonstrate(&worker_id, interval.unwrap_or(Duration::from_millis(200)));
    }
    let cursor = state.load()?;
    let is_resumed = cursor.is_some();
    let mut deliveries = HandingerClient::from_env()?.follow(&worker_id).starting_from(cursor);
    if let Some(interval) = interval {
        deliveries = deliveries.interval(interval);
    }
    if !is_resumed {
        start(&mut deliveries, &state)?;
    }
    tail(&mut deliveries, &state, usize::MAX)
}

/// Finds out what is there already, so that the next run resumes from here even if this one prints nothing.
fn start(deliveries: &mut Follow, state: &State) -> Result<(), Box<dyn Error>> {
    deliveries.poll().map(drop).or_else(go_on)?;
    Ok(state.save(&deliveries.cursor())?)
}

/// Prints so many deliveries and errors, each before it is saved that it was printed.
fn tail(deliveries: &mut Follow, state: &State, items: usize) -> Result<(), Box<dyn Error>> {
    for _ in 0..items {
        match deliveries.next() {
            Some(Ok(delivery)) => print(&delivery)?,
            Some(Err(error)) => go_on(error)?,
            None => break,
        }
        state.save(&deliveries.cursor())?;
    }
    Ok(())
}

/// Prints an error after which the next request may succeed, or returns it.
fn go_on(error: handinger::Error) -> Result<(), handinger::Error> {
    if error.is_transient() || error.kind() == ErrorKind::Incomplete {
        eprintln!("{error}");
        return Ok(());
    }
    Err(error)
}

fn print(delivery: &WebhookExecution) -> io::Result<()> {
    let at = delivery.created_at.replace_nanosecond(0).unwrap_or(delivery.created_at);
    let at = at.format(&Rfc3339).unwrap_or_else(|_| at.to_string());
    let outcome = if delivery.is_success() { green("arrived") } else { red("failed ") };
    let duration = short_duration(delivery.duration_ms);
    let title = one_line(delivery.task_title.as_deref().unwrap_or_default(), 40);
    let line = format!("{}  {outcome}  {duration:>7}  {:<18}  {title}", dim(at), cause(delivery));
    say(line.trim_end())
}

/// A file for a cursor, if there is one.
struct State(Option<PathBuf>);

impl State {
    /// Returns the cursor in the file; `None` if there is no file.
    fn load(&self) -> Result<Option<Cursor>, lexopt::Error> {
        let Some(file) = &self.0 else { return Ok(None) };
        let unusable = |error: &dyn Error| format!("cannot resume from {}: {error}", file.display());
        match fs::read_to_string(file) {
            Ok(text) => Ok(Some(text.parse().map_err(|error: handinger::Error| unusable(&error))?)),
            Err(error) if error.kind() == NotFound => Ok(None),
            Err(error) => Err(unusable(&error).into()),
        }
    }

    /// Replaces the file by a new one, so that it is complete even if this program is killed meanwhile.
    fn save(&self, cursor: &Cursor) -> Result<(), String> {
        let Some(file) = &self.0 else { return Ok(()) };
        let mut temporary = file.clone().into_os_string();
        temporary.push(".tmp");
        let temporary = Path::new(&temporary);
        fs::write(temporary, cursor.to_string())
            .and_then(|()| fs::rename(temporary, file))
            .map_err(|error| format!("cannot write {}: {error}", file.display()))
    }
}

fn demonstrate(worker_id: &str, interval: Duration) -> Result<(), Box<dyn Error>> {
    let fake = common::start_fake(common::API_KEY, worker_id);
    fake.client().update_webhook(worker_id, DEMO_URL)?;
    // Unlike `fake.client()`, one that sleeps; and it shows a failure at once.
    let client = HandingerClient::builder(fake.api_key()).base_url(fake.base_url()).max_retries(0).build()?;
    let mut deliveries = client.follow(worker_id).interval(interval);
    let state = State(None);
    start(&mut deliveries, &state)?;
    fake.inject(Fault::hang_up().skip(1));
    thread::scope(|scope| {
        scope.spawn(|| deliver(&fake, worker_id));
        tail(&mut deliveries, &state, TASKS.len() + 1)
    })
}

/// The tasks of the demonstration: the endpoint's response, how long it took in milliseconds, and the title.
const TASKS: [(Option<u16>, u64, &str); 5] = [
    (Some(204), 212, "Weekly report"),
    (Some(204), 1_640, "Compare suppliers"),
    (Some(503), 35, "Triage the inbox"),
    (None, 2, "Translate the manual"),
    (Some(204), 187, "Sort the invoices"),
];

fn deliver(fake: &FakeHandinger, worker_id: &str) {
    for (response_status, duration_ms, title) in TASKS {
        thread::sleep(Duration::from_millis(250));
        fake.deliver_with(worker_id, |execution| {
            execution.response_status = response_status;
            execution.duration_ms = duration_ms;
            execution.task_title = Some(title.into());
            if response_status.is_none() {
                execution.error_message = Some("connection refused".into());
            }
        });
    }
}

fn parse_args() -> Result<Args, lexopt::Error> {
    let (mut worker_id, mut state, mut interval) = (None, None, None);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => common::help(HELP),
            Long("state") => state = Some(parser.value()?.into()),
            Long("interval") => interval = Some(parser.value()?.parse_with(parse_interval)?),
            Value(value) if worker_id.is_none() => worker_id = Some(value.string()?),
            _ => return Err(argument.unexpected()),
        }
    }
    if state.is_some() && !common::has_api_key() {
        return Err("--state needs HANDINGER_API_KEY: a demonstration must not overwrite the file".into());
    }
    Ok(Args { worker_id: common::worker_or_demo(worker_id)?, state: State(state), interval })
}

fn parse_interval(text: &str) -> Result<Duration, &'static str> {
    let interval = common::parse_duration(text).filter(|interval| interval.is_positive());
    Ok(interval.ok_or("use 10s, 5m or 1h")?.unsigned_abs())
}
