//! Reports on a worker's deliveries of the last 7 days, or without a number on all of them: `cargo run
//! --example delivery_report -- wrk_1 7`.
//!
//! Needs `HANDINGER_API_KEY`, or the two variables that the example `fake_server` prints.
//! To start from it, copy this file to `src/main.rs`, and `cargo add handinger`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io::{self, IsTerminal, Write};
use std::process;

use handinger::time::{Date, Duration, OffsetDateTime};
use handinger::{HandingerClient, WebhookExecution};

/// The lower bounds of the histogram's bins, in milliseconds.
const BINS: [u64; 8] = [0, 50, 100, 200, 400, 800, 1_600, 3_200];

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let (worker_id, days) = match &args[..] {
        [worker_id] => (worker_id, None),
        [worker_id, days] => match days.parse::<u16>() {
            Ok(days) => (worker_id, Some(days)),
            Err(error) => fail(2, format!("DAYS: {error}")),
        },
        _ => fail(2, "Usage: delivery_report WORKER_ID [DAYS]"),
    };
    let client = HandingerClient::from_env().unwrap_or_else(|error| fail(2, error));
    if let Err(error) = report(&client, worker_id, days) {
        fail(1, error);
    }
}

fn report(client: &HandingerClient, worker_id: &str, days: Option<u16>) -> Result<(), Box<dyn Error>> {
    let mut executions = client.executions(worker_id);
    if let Some(days) = days {
        executions = executions.since(OffsetDateTime::now_utc() - Duration::days(days.into()));
    }
    let mut report = Report::default();
    while let Some(execution) = executions.next() {
        report.add(&execution?);
        if io::stderr().is_terminal() {
            let progress = executions.progress();
            eprint!("\r{} of {}\r", progress.executions, progress.total_count);
        }
    }
    // Unlike `println!`, this returns an error if the reader of a pipe has exited.
    Ok(writeln!(io::stdout(), "{report}")?)
}

#[derive(Default)]
struct Report {
    count: usize,
    failed: usize,
    /// The dates of the oldest and the newest delivery.
    period: Option<(Date, Date)>,
    /// The number of failed deliveries by reason.
    reasons: BTreeMap<String, usize>,
    /// The duration of each response, in milliseconds.
    durations: Vec<u64>,
    /// The number of deliveries by hour of the day, in UTC.
    hours: [usize; 24],
}

impl Report {
    fn add(&mut self, execution: &WebhookExecution) {
        let at = execution.created_at.to_utc();
        let (oldest, newest) = self.period.unwrap_or((at.date(), at.date()));
        self.period = Some((oldest.min(at.date()), newest.max(at.date())));
        self.count += 1;
        self.hours[usize::from(at.hour())] += 1;
        if !execution.is_success() {
            self.failed += 1;
            *self.reasons.entry(reason(execution)).or_default() += 1;
        }
        if execution.response_status.is_some() {
            self.durations.push(execution.duration_ms);
        }
    }
}

fn reason(execution: &WebhookExecution) -> String {
    match (execution.response_status, &execution.error_message) {
        (Some(status), _) => format!("returned {status}"),
        (None, Some(message)) => message.chars().filter(|c| !c.is_control()).take(34).collect(),
        (None, None) => "no reason given".into(),
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some((oldest, newest)) = self.period else { return f.write_str("no deliveries") };
        writeln!(f, "{} deliveries, {oldest} to {newest} (UTC)", self.count)?;
        let arrived = self.count - self.failed;
        let permille = arrived * 1000 / self.count;
        let arrived = bar(arrived, self.count, 50);
        writeln!(f, "  {}.{} %  {arrived:░<50}  {} failed", permille / 10, permille % 10, self.failed)?;
        if self.failed > 0 {
            self.show_reasons(f)?;
        }
        if !self.durations.is_empty() {
            self.show_durations(f)?;
        }
        self.show_hours(f)
    }
}

impl Report {
    fn show_reasons(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nWhy they failed")?;
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by_key(|(_, count)| Reverse(**count));
        for (reason, count) in reasons.into_iter().take(8) {
            writeln!(f, "{count:>7}  {reason:<34}  {}", bar(*count, self.failed, 30))?;
        }
        Ok(())
    }

    fn show_durations(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut durations = self.durations.clone();
        durations.sort_unstable();
        let [p50, p90, p99, max] =
            [50, 90, 99, 100].map(|p| durations[(durations.len() * p).div_ceil(100) - 1]);
        writeln!(f, "\nHow long the endpoint took to respond (ms)")?;
        writeln!(f, "  p50 {p50}   p90 {p90}   p99 {p99}   max {max}")?;
        let mut bins = [0; BINS.len()];
        for ms in durations {
            bins[BINS.partition_point(|from| *from <= ms) - 1] += 1;
        }
        let most = bins.into_iter().max().unwrap_or(0);
        for (from, count) in BINS.into_iter().zip(bins).filter(|(_, count)| *count > 0) {
            writeln!(f, "{count:>7}  from {from:>4}  {}", bar(count, most, 50))?;
        }
        Ok(())
    }

    fn show_hours(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nBusiest hours (UTC)")?;
        let most = self.hours.into_iter().max().unwrap_or(0).max(1);
        let column =
            |count: usize| ["  ", "▁▁", "▂▂", "▃▃", "▄▄", "▅▅", "▆▆", "▇▇", "██"][(count * 8).div_ceil(most)];
        writeln!(f, "  {}", self.hours.map(column).concat())?;
        write!(f, "  00    03    06    09    12    15    18    21")
    }
}

/// Returns a bar in steps of an eighth, `width` characters long if `part` equals the total.
fn bar(part: usize, whole: usize, width: usize) -> String {
    let eighths = part * width * 8 / whole.max(1);
    "█".repeat(eighths / 8) + ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8]
}

fn fail(code: i32, problem: impl Display) -> ! {
    eprintln!("{problem:#}");
    process::exit(code)
}
