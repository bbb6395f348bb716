//! The progress bar: how much has been read, and whether the client waits.

use std::thread;
use std::time::Duration;

use handinger::time::OffsetDateTime;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::common::short_time;

/// The carriage return leaves the cursor at the start of the line: there the `^C` that a terminal prints does not wrap
/// to a second line, which nothing would clear.
const TEMPLATE: &str = "{wide_bar} {msg}\r";

/// A bar over the executions, or over the time between `since` and now: with `since`, nobody knows how many executions
/// there will be.
pub(crate) struct Bar {
    bar: ProgressBar,
    /// From when to when the bar runs, with `since`.
    period: Option<[OffsetDateTime; 2]>,
}

impl Bar {
    pub(crate) fn new(target: ProgressDrawTarget, period: Option<[OffsetDateTime; 2]>) -> Self {
        let style = ProgressStyle::with_template(TEMPLATE).expect("a valid template");
        Self { bar: ProgressBar::with_draw_target(Some(1), target).with_style(style), period }
    }

    /// Shows how far the walk is; the execution of `at` was yielded last.
    pub(crate) fn show(&self, progress: handinger::Progress, at: OffsetDateTime) {
        let count = progress.executions;
        let (position, length, message) = match self.period {
            Some([since, now]) => (
                seconds(at, now),
                seconds(since, now),
                format!("{count} deliveries, back to {}", short_time(at)),
            ),
            None => (count, progress.total_count, format!("{count} of {} deliveries", progress.total_count)),
        };
        self.bar.set_message(message);
        self.bar.set_length(length);
        self.bar.set_position(position.min(length));
    }

    /// Returns what the client does between two attempts: it says so, and sleeps.
    pub(crate) fn sleep(&self) -> impl Fn(Duration) + Send + Sync + 'static {
        let bar = self.bar.clone();
        move |wait| {
            let message = bar.message();
            bar.set_message(format!("retrying in {:.1} s", wait.as_secs_f32()));
            bar.force_draw(); // else the bar may find that it has drawn too recently
            thread::sleep(wait);
            bar.set_message(message);
        }
    }

    /// Keeps the bar up to date, and clears it when a person interrupts the program.
    pub(crate) fn attach(&self) -> Result<(), ctrlc::Error> {
        // A bar skips what follows too soon, such as the last executions of a page.
        self.bar.enable_steady_tick(Duration::from_millis(100));
        let bar = self.bar.clone();
        ctrlc::set_handler(move || {
            bar.finish_and_clear();
            std::process::exit(130) // 128 + SIGINT, as shells have it
        })
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn seconds(from: OffsetDateTime, to: OffsetDateTime) -> u64 {
    u64::try_from((to - from).whole_seconds()).unwrap_or(0)
}
