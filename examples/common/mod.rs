//! What the larger examples share, so that each of them is about its own subject: which service to talk to, how to end,
//! and how to print.
#![allow(dead_code, reason = "each example uses a part of it")]

use std::env;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use handinger::fake::FakeHandinger;
use handinger::time::{Duration, OffsetDateTime, UtcOffset};
use handinger::{ErrorKind, HandingerClient, WebhookExecution, WebhookToken};

pub(crate) const API_KEY: &str = "HANDINGER_API_KEY";
/// The worker of the demonstrations, and its endpoint.
pub(crate) const DEMO_WORKER: &str = "wrk_demo";
pub(crate) const DEMO_URL: &str = "https://example.com/handinger-webhook";

/// A blank key counts as set, and is rejected later: a CI job that lacks its secret must not run the demonstration.
pub(crate) fn has_api_key() -> bool {
    env::var_os(API_KEY).is_some()
}

/// Starts a fake that has this worker, and says on stderr that the real service needs the variable `missing`.
pub(crate) fn start_fake(missing: &str, worker_id: &str) -> FakeHandinger {
    eprintln!("{missing} is not set: this is a demonstration with a fake.");
    let fake = FakeHandinger::start();
    fake.add_worker(worker_id);
    fake
}

/// Returns a client of the real service, or of a fake that lives as long as it is kept.
pub(crate) fn connect(worker_id: &str) -> Result<(HandingerClient, Option<FakeHandinger>), handinger::Error> {
    if has_api_key() {
        return Ok((HandingerClient::from_env()?, None));
    }
    let fake = start_fake(API_KEY, worker_id);
    Ok((fake.client(), Some(fake)))
}

/// Returns the worker that was named; a demonstration has one of its own.
pub(crate) fn worker_or_demo(worker_id: Option<String>) -> Result<String, lexopt::Error> {
    match worker_id {
        None if has_api_key() => Err(format!("with {API_KEY} set, a WORKER_ID is needed").into()),
        worker_id => Ok(worker_id.unwrap_or_else(|| DEMO_WORKER.into())),
    }
}

/// Parses a time such as `90s`, `30m`, `24h`, `7d` or `2w`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        'w' => 7 * 24 * 60 * 60,
        _ => return None,
    };
    let count = text.strip_suffix(unit).filter(|count| !count.starts_with('+'))?.parse::<u32>().ok()?;
    Some(Duration::seconds(i64::from(count) * seconds))
}

/// Returns 0 for success, 1 if the service (or anything else) failed, 2 for bad usage.
pub(crate) fn exit_code(result: Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS; // whoever reads our output, say `head`, has seen enough
    }
    eprintln!("error: {error}");
    if error.is::<lexopt::Error>() {
        eprintln!("Try --help.");
        return ExitCode::from(2);
    }
    let Some(error) = error.downcast_ref::<handinger::Error>() else { return ExitCode::FAILURE };
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    ExitCode::from(if error.kind() == ErrorKind::InvalidInput { 2 } else { 1 })
}

/// Prints what `--help` asks for, and ends.
pub(crate) fn help(text: &str) -> ! {
    let _ = write!(io::stdout(), "{text}");
    std::process::exit(0)
}

/// Prints a token to stdout, or reports that nobody reads it. A demonstration's token goes to stderr, so that nobody
/// stores it by mistake.
pub(crate) fn hand_out(token: &WebhookToken, is_demonstration: bool) -> Result<(), String> {
    if is_demonstration {
        eprintln!("with a key, stdout would carry the token alone: {}", token.as_str());
        return Ok(());
    }
    say(token.as_str())
        .map_err(|error| format!("the token is in force, but could not be written to stdout: {error}"))
}

/// Prints a line to stdout. Unlike `println!`, it does not panic when nobody reads on.
pub(crate) fn say(line: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

pub(crate) fn bold(text: impl Display) -> String {
    paint(1, text)
}

pub(crate) fn dim(text: impl Display) -> String {
    paint(2, text)
}

pub(crate) fn red(text: impl Display) -> String {
    paint(31, text)
}

pub(crate) fn green(text: impl Display) -> String {
    paint(32, text)
}

/// Colors the text if stdout is a terminal and `NO_COLOR` is not set (<https://no-color.org>).
fn paint(code: u8, text: impl Display) -> String {
    let text = text.to_string();
    let plain = text.is_empty()
        || !io::stdout().is_terminal()
        || env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if plain { text } else { format!("\x1b[{code}m{text}\x1b[0m") }
}

/// Makes somebody else's text fit one line of the terminal: no control characters, at most `width` characters.
pub(crate) fn one_line(text: &str, width: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= width {
        return clean;
    }
    clean.chars().take(width - 1).chain(['…']).collect()
}

/// Says why a delivery failed: the status that the endpoint returned, or why it returned none.
pub(crate) fn cause(execution: &WebhookExecution) -> String {
    match (execution.response_status, &execution.error_message) {
        (Some(status), _) => format!("returned {status}"),
        (None, Some(message)) => one_line(message, 34),
        (None, None) => "no reason given".into(),
    }
}

/// Formats a time as `11-23 14:05`, in UTC.
pub(crate) fn short_time(time: OffsetDateTime) -> String {
    let time = time.to_offset(UtcOffset::UTC);
    format!("{:02}-{:02} {:02}:{:02}", time.month() as u8, time.day(), time.hour(), time.minute())
}

/// Formats milliseconds as `480 ms` or `1.6 s`.
pub(crate) fn short_duration(ms: u64) -> String {
    if ms < 1000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1000, ms % 1000 / 100) }
}
