//! A made-up history, the same in every run, for those without an account.

use std::time::Duration;

use handinger::RequestStatus;
use handinger::fake::FakeHandinger;
use handinger::time::{OffsetDateTime, Time};

use crate::common::{DEMO_URL, has_api_key};

/// 2026-11-23T18:00:00Z, since 1970.
const DEMO_NOW: Duration = Duration::from_secs(1_795_456_800);

/// Returns the time; in a demonstration always the same, so that it prints the same.
pub(crate) fn now() -> OffsetDateTime {
    if has_api_key() { OffsetDateTime::now_utc() } else { OffsetDateTime::UNIX_EPOCH + DEMO_NOW }
}

/// Adds `count` deliveries of the last `days`: more around noon than at night, and most of them successes; yesterday
/// afternoon, the endpoint was down.
pub(crate) fn add_history(
    fake: &FakeHandinger,
    worker_id: &str,
    count: u64,
    days: u32,
) -> Result<(), handinger::Error> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    fake.client().update_webhook(worker_id, DEMO_URL)?;
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
            _ => (None, Some("no response within 10 s"), 10_000),
        };
        fake.deliver_with(worker_id, |execution| {
            execution.created_at = created_at;
            execution.request_status = if fails { RequestStatus::Error } else { RequestStatus::Success };
            execution.response_status = status;
            execution.error_message = message.map(Into::into);
            execution.duration_ms = u64::from(duration_ms);
        });
    }
    Ok(())
}

/// Rolls the same numbers in every run.
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
