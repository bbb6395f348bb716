//! What the examples share, so that each of them is about its own subject: whom to talk to, how to end, how to print,
//! and a made-up history for those without an account.
#![allow(dead_code, reason = "each example uses a part of it")]

use std::env;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use handinger::fake::FakeHandinger;
use handinger::{ErrorKind, HandingerClient, RequestStatus, WebhookExecution, WebhookToken};
use time::{OffsetDateTime, Time};

pub(crate) const API_KEY: &str = "HANDINGER_API_KEY";
/// The worker of the demonstrations.
pub(crate) const DEMO_WORKER: &str = "wrk_demo";

/// 2026-11-23T18:00:00Z, since 1970.
const DEMO_NOW: Duration = Duration::from_secs(1_795_456_800);

/// Set but blank counts as set, and is refused later: a secret that a CI job was to have and has not must not turn it
/// into a demonstration.
pub(crate) fn has_api_key() -> bool {
    env::var_os(API_KEY).is_some()
}

/// A fake that has this worker, and the word that it is one: with `missing` set, it would be the real service.
pub(crate) fn start_fake(missing: &str, worker_id: &str) -> FakeHandinger {
    eprintln!("{missing} is not set: this is a demonstration, with a fake Handinger on this machine.");
    let fake = FakeHandinger::start();
    fake.add_worker(worker_id);
    fake
}

/// The real service, or a fake that lives as long as the client is used.
pub(crate) fn connect(worker_id: &str) -> Result<(HandingerClient, Option<FakeHandinger>), handinger::Error> {
    if has_api_key() {
        return Ok((HandingerClient::from_env()?, None));
    }
    let fake = start_fake(API_KEY, worker_id);
    Ok((fake.client(), Some(fake)))
}

/// 0 when all is done, 1 when the service (or anything else) failed, 2 when the program was called wrongly.
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

/// Prints a token to stdout. Whoever was to keep it may have gone, which is no success then. The token of a
/// demonstration goes to nobody who might keep it in earnest.
pub(crate) fn hand_out(token: &WebhookToken, is_demonstration: bool) -> Result<(), String> {
    if is_demonstration {
        eprintln!("with a key, the token would stand alone on standard output: {}", token.as_str());
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

/// In colour if a person looks at stdout and has not asked for none (<https://no-color.org>).
fn paint(code: u8, text: impl Display) -> String {
    let text = text.to_string();
    let plain = text.is_empty()
        || !io::stdout().is_terminal()
        || env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if plain { text } else { format!("\x1b[{code}m{text}\x1b[0m") }
}

/// Somebody else's text on one line of the terminal: it must not move the cursor, nor break the columns.
pub(crate) fn one_line(text: &str, width: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= width {
        return clean;
    }
    clean.chars().take(width - 1).chain(['…']).collect()
}

/// Why a delivery failed: the status that the endpoint answered with, or why it did not answer.
pub(crate) fn cause(execution: &WebhookExecution) -> String {
    match (execution.response_status, &execution.error_message) {
        (Some(status), _) => format!("answered {status}"),
        (None, Some(message)) => one_line(message, 48),
        (None, None) => "no reason given".into(),
    }
}

/// `11-23 14:05`, in UTC.
pub(crate) fn short_time(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC);
    format!("{:02}-{:02} {:02}:{:02}", time.month() as u8, time.day(), time.hour(), time.minute())
}

/// `480 ms`, `1.6 s`.
pub(crate) fn short_duration(ms: u64) -> String {
    if ms < 1000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1000, ms % 1000 / 100) }
}

/// `part` of `whole` as a bar that is `width` long for the whole, in steps of an eighth of a character.
pub(crate) fn bar(part: u64, whole: u64, width: u64) -> String {
    let eighths = part * width * 8 / whole.max(1);
    let full = "█".repeat(usize::try_from(eighths / 8).unwrap_or(0));
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][usize::try_from(eighths % 8).unwrap_or(0)];
    full + rest
}

/// What time it is. In a demonstration it is always the same, and so is what it prints.
pub(crate) fn now() -> OffsetDateTime {
    if has_api_key() { OffsetDateTime::now_utc() } else { OffsetDateTime::UNIX_EPOCH + DEMO_NOW }
}

/// Has the fake deliver `count` times over the last `days`: mostly well, more around noon than at night; yesterday
/// afternoon, the endpoint was down.
pub(crate) fn add_history(fake: &FakeHandinger, worker_id: &str, count: u64, days: u32) {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const TITLES: [&str; 8] = [
        "Weekly sales report",
        "Summarise support tickets",
        "Translate release notes",
        "Check supplier prices",
        "Plan the team offsite",
        "Draft the newsletter",
        "Reconcile invoices",
        "Watch competitor pages",
    ];
    let mut dice = Dice(2026);
    for _ in 0..count {
        let (day, hour) = (dice.roll(days), dice.roll(12) + dice.roll(12));
        let time_of_day = Duration::from_secs(u64::from(hour * 3600 + dice.roll(3600)));
        let mut created_at = now().replace_time(Time::MIDNIGHT) + time_of_day - DAY * day;
        if created_at >= now() {
            created_at -= DAY * days;
        }
        let is_down = day == 1 && (13..16).contains(&hour);
        let fails = dice.roll(100) < if is_down { 80 } else { 4 };
        let (status, message, duration_ms) = match dice.roll(if is_down { 2 } else { 5 }) {
            _ if !fails => (Some(200), None, dice.response_time()),
            0 | 2 => (Some(503), Some("Service Unavailable"), 20 + dice.roll(30)),
            1 => (None, Some("connection refused"), 1 + dice.roll(5)),
            3 => (Some(500), Some("Internal Server Error"), 300 + dice.roll(900)),
            _ => (None, Some("no answer within 10 s"), 10_000),
        };
        let title = TITLES[dice.roll(8) as usize];
        fake.deliver_with(worker_id, |execution| {
            execution.created_at = created_at;
            execution.task_title = Some(title.into());
            execution.request_status = if fails { RequestStatus::Error } else { RequestStatus::Success };
            execution.response_status = status;
            execution.error_message = message.map(Into::into);
            execution.duration_ms = u64::from(duration_ms);
        });
    }
}

/// Chance without chance: the same rolls in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32 % sides
    }

    /// In milliseconds: mostly short, some long.
    fn response_time(&mut self) -> u32 {
        25 + (2 + self.roll(12)) * (2 + self.roll(12)) * (2 + self.roll(12))
    }
}
