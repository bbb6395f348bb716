//! The figures of the report, as text and as JSON.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use handinger::WebhookExecution;
use handinger::time::format_description::well_known::Rfc3339;
use handinger::time::{OffsetDateTime, UtcOffset};
use serde_json::json;

use crate::common::{bold, cause, dim, green, red, short_duration};

/// The lower bounds of the histogram's bins, in milliseconds.
const BINS: [u64; 8] = [0, 50, 100, 200, 400, 800, 1_600, 3_200];

#[derive(Default)]
pub(crate) struct Report {
    arrived: u64,
    failed: u64,
    oldest: Option<OffsetDateTime>,
    newest: Option<OffsetDateTime>,
    causes: BTreeMap<String, u64>,
    /// How many deliveries took so many milliseconds; only those that got a response.
    durations: BTreeMap<u64, u64>,
    histogram: [u64; BINS.len()],
    /// Deliveries by the hour of the day, in UTC.
    hours: [u64; 24],
}

impl Report {
    pub(crate) fn add(&mut self, execution: &WebhookExecution) {
        if execution.is_success() {
            self.arrived += 1;
        } else {
            self.failed += 1;
            *self.causes.entry(cause(execution)).or_default() += 1;
        }
        if execution.response_status.is_some() {
            let ms = execution.duration_ms;
            *self.durations.entry(ms).or_default() += 1;
            self.histogram[BINS.partition_point(|from| *from <= ms) - 1] += 1;
        }
        let at = execution.created_at.to_offset(UtcOffset::UTC);
        self.oldest = Some(self.oldest.map_or(at, |oldest| oldest.min(at)));
        self.newest = self.newest.max(Some(at));
        self.hours[usize::from(at.hour())] += 1;
    }

    /// Returns the duration that this share of the responses did not exceed.
    fn percentile(&self, percent: u64) -> Option<u64> {
        let mut left = (self.durations.values().sum::<u64>() * percent).div_ceil(100);
        self.durations.iter().find_map(|(ms, count)| {
            left = left.saturating_sub(*count);
            (left == 0).then_some(*ms)
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 deliveries")]
    fn success_percent(&self) -> Option<f64> {
        let count = self.arrived + self.failed;
        (count > 0).then(|| (self.arrived as f64 / count as f64 * 1000.0).round() / 10.0)
    }

    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        let time = |time: Option<OffsetDateTime>| time.and_then(|time| time.format(&Rfc3339).ok());
        let [p50, p90, p99, max] = [50, 90, 99, 100].map(|percent| self.percentile(percent));
        let bin = |(from, count)| json!({ "fromMs": from, "count": count });
        serde_json::to_string_pretty(&json!({
            "arrived": self.arrived,
            "failed": self.failed,
            "successPercent": self.success_percent(),
            "oldest": time(self.oldest),
            "newest": time(self.newest),
            "causes": self.causes,
            "responseMs": { "p50": p50, "p90": p90, "p99": p99, "max": max },
            "responseHistogram": BINS.iter().zip(self.histogram).map(bin).collect::<Vec<_>>(),
            "deliveriesByHourUtc": self.hours,
        }))
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let count = self.arrived + self.failed;
        let (Some(oldest), Some(newest), Some(percent)) = (self.oldest, self.newest, self.success_percent())
        else {
            return f.write_str("no deliveries");
        };
        writeln!(f, "{count} deliveries, {} to {} (UTC)", oldest.date(), newest.date())?;
        let arrived = bar(self.arrived, count, 50);
        let failed = "░".repeat(50_usize.saturating_sub(arrived.chars().count()));
        writeln!(f, "  {percent:5.1} %  {}{}  {} failed", green(arrived), red(failed), self.failed)?;

        if self.failed > 0 {
            writeln!(f, "\n{}", bold("Why they failed"))?;
            let mut causes: Vec<_> = self.causes.iter().collect();
            causes.sort_by_key(|(_, count)| Reverse(*count));
            let (shown, others) = causes.split_at(causes.len().min(8));
            for (cause, count) in shown {
                writeln!(f, "  {count:>7}  {cause:<26}  {}", red(bar(**count, *shown[0].1, 30)))?;
            }
            if !others.is_empty() {
                writeln!(
                    f,
                    "  {:>7}  for other reasons",
                    others.iter().map(|(_, count)| **count).sum::<u64>()
                )?;
            }
        }

        if let [Some(p50), Some(p90), Some(p99), Some(max)] = [50, 90, 99, 100].map(|p| self.percentile(p)) {
            writeln!(f, "\n{}", bold("How long the endpoint took to respond"))?;
            let [p50, p90, p99, max] = [p50, p90, p99, max].map(short_duration);
            writeln!(f, "  p50 {p50}   p90 {p90}   p99 {p99}   max {max}")?;
            let most = self.histogram.into_iter().max().unwrap_or(0);
            let last = self.histogram.iter().rposition(|count| *count > 0).unwrap_or(0);
            for (from, count) in BINS.iter().zip(self.histogram).take(last + 1) {
                let line =
                    format!("{count:>7}  from {:>7}  {}", short_duration(*from), green(bar(count, most, 50)));
                writeln!(f, "  {}", line.trim_end())?;
            }
        }

        writeln!(f, "\n{}", bold("Busiest hours (UTC)"))?;
        let most = self.hours.into_iter().max().unwrap_or(0);
        let column = |count: u64| {
            let eighths = usize::try_from((count * 8).div_ceil(most)).unwrap_or(8);
            [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"][eighths].repeat(2)
        };
        writeln!(f, "  {}", self.hours.map(column).concat().trim_end())?;
        writeln!(f, "  {}", dim("00    03    06    09    12    15    18    21"))?;
        let mut busiest: Vec<_> = self.hours.into_iter().enumerate().collect();
        busiest.sort_by_key(|(_, count)| Reverse(*count));
        let busiest: Vec<_> =
            busiest.iter().take(3).map(|(h, count)| format!("{h:02}:00 ({count})")).collect();
        write!(f, "  most at {}", busiest.join(", "))
    }
}

/// Returns `part` of `whole` as a bar that is `width` long for the whole, in steps of an eighth of a character.
fn bar(part: u64, whole: u64, width: u64) -> String {
    let eighths = part * width * 8 / whole.max(1);
    let full = "█".repeat(usize::try_from(eighths / 8).unwrap_or(0));
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][usize::try_from(eighths % 8).unwrap_or(0)];
    full + rest
}
