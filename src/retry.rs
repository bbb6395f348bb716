//! Which failure is tried again, and when: pure functions, after RFC 9110 §9.2.2.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use ureq::http::{HeaderMap, Method, StatusCode};

/// The longest wait that a server can ask of the client.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Without a wish of the server: the first wait, doubled with every further one, and the last.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LAST_BACKOFF: Duration = Duration::from_secs(8);

/// How far a failed try came.
#[derive(Clone, Copy)]
pub(crate) enum Outcome<'a> {
    /// Nothing of the request reached the server.
    NotSent,
    /// The request was sent, or a part of it; no whole answer came back.
    NoAnswer,
    /// The server answered with something else than success.
    Refused(StatusCode, &'a HeaderMap),
    /// The server answered with success, but the answer is unusable, and would be so again.
    Unusable,
}

/// What follows from a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) retry: bool,
    pub(crate) may_have_been_applied: bool,
}

/// The table of the crate's front page, row by row.
///
/// `asked` is what [`retry_after`] found in the answer.
pub(crate) fn judge(method: &Method, outcome: Outcome<'_>, asked: Option<Duration>) -> Verdict {
    let applied_perhaps = match outcome {
        Outcome::NotSent => false,
        Outcome::NoAnswer | Outcome::Unusable => true,
        // A 503 with a time to come back is a refusal at the door (RFC 9110 §15.6.4).
        Outcome::Refused(StatusCode::SERVICE_UNAVAILABLE, _) => asked.is_none(),
        Outcome::Refused(status, _) => status.is_server_error(),
    };
    let repeatable = method.is_idempotent() || !applied_perhaps;
    let worth_it = match outcome {
        Outcome::NotSent | Outcome::NoAnswer => true,
        Outcome::Unusable => false,
        Outcome::Refused(status, headers) => match should_retry(headers) {
            Some(wish) => wish && (method.is_idempotent() || !status.is_redirection()),
            None => matches!(status.as_u16(), 408 | 409 | 429 | 500..=599),
        },
    };
    Verdict { retry: worth_it && repeatable, may_have_been_applied: applied_perhaps && !method.is_safe() }
}

fn should_retry(headers: &HeaderMap) -> Option<bool> {
    headers.get("x-should-retry")?.to_str().ok()?.trim().to_ascii_lowercase().parse().ok()
}

/// How long to wait before the next try; `None` if the server asks for more than [`LONGEST_WAIT`].
///
/// `asked` is what [`retry_after`] found, `failures` counts the tries so far, from 1, and `jitter` is between 0 and 1.
pub(crate) fn wait(asked: Option<Duration>, failures: u32, jitter: f64) -> Option<Duration> {
    match asked {
        Some(wait) if wait > LONGEST_WAIT => None,
        Some(wait) if !wait.is_zero() => Some(wait),
        _ => Some(backoff(failures, jitter)),
    }
}

fn backoff(failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(8);
    let longest = (FIRST_BACKOFF * 2_u32.pow(doublings)).min(LAST_BACKOFF);
    longest.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0)
}

/// How long the server asks to wait: zero if the time is over, `None` if it does not ask in a form that we know.
pub(crate) fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim());
    let millis = text("retry-after-ms").and_then(decimal).map(|millis| seconds(millis / 1000.0));
    millis.or_else(|| {
        let value = text("retry-after")?;
        decimal(value).map(seconds).or_else(|| until(value, now))
    })
}

/// A number of digits and at most one point, unlike what `f64` would take: no sign, no exponent, no `inf` or `NaN`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// The time left until an HTTP date (the preferred format of RFC 9110 §5.6.7, which is one of RFC 2822 too).
fn until(date: &str, now: OffsetDateTime) -> Option<Duration> {
    let at = OffsetDateTime::parse(date, &Rfc2822).ok()?;
    Some(Duration::try_from(at - now).unwrap_or(Duration::ZERO))
}
