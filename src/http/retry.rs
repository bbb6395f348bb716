//! Which failure is retried, and when: pure functions, after RFC 9110 §9.2.2.

use std::time::Duration;

use time::format_description::well_known::Rfc2822;
use time::{Date, OffsetDateTime};
use ureq::http::{HeaderMap, Method, StatusCode};

use super::{MAX_RETRY_WAIT, MAX_TIME};

/// Where the server does not ask for a wait: the first, doubled for every further one, and the last.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LAST_BACKOFF: Duration = Duration::from_secs(8);

/// How far a failed attempt came.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    /// Nothing of the request was sent.
    NotSent,
    /// The request was sent, or a part of it; no complete response came back.
    NoResponse,
    /// A response with a status other than 2xx.
    Status(StatusCode, Hints),
    /// A 2xx response that is unusable, and would be so again.
    Unusable,
}

/// What a response asks of the client.
#[derive(Clone, Copy)]
pub(super) struct Hints {
    /// `x-should-retry`.
    should_retry: Option<bool>,
    /// How long to wait: zero if the time is over, `None` if it is not said in a valid form.
    pub(super) wait: Option<Duration>,
}

impl Hints {
    pub(super) fn of(headers: &HeaderMap, now: OffsetDateTime) -> Self {
        let should_retry = text(headers, "x-should-retry");
        let should_retry = should_retry.and_then(|value| value.to_ascii_lowercase().parse().ok());
        Self { should_retry, wait: retry_after(headers, now) }
    }
}

/// What follows from a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether a retry may succeed where the attempt failed.
    pub(super) is_transient: bool,
    /// Whether it is safe to find out.
    pub(super) retry: bool,
    pub(super) may_have_been_applied: bool,
}

/// The table in the documentation of `Error`, row by row.
pub(super) fn judge(method: &Method, outcome: Outcome) -> Verdict {
    let may_have_been_applied = match outcome {
        Outcome::NotSent => false,
        Outcome::NoResponse | Outcome::Unusable => true,
        // A 503 with a time to retry after was rejected at the door (RFC 9110 §15.6.4).
        Outcome::Status(StatusCode::SERVICE_UNAVAILABLE, hints) => hints.wait.is_none(),
        // Statuses that are not defined are those of a server's error (RFC 9110 §15), and 101 says nothing.
        Outcome::Status(status, _) => !(status.is_redirection() || status.is_client_error()),
    };
    let is_transient = match outcome {
        Outcome::NotSent | Outcome::NoResponse => true,
        Outcome::Unusable => false,
        Outcome::Status(status, hints) => {
            hints.should_retry.unwrap_or(matches!(status.as_u16(), 408 | 409 | 429 | 500..))
        }
    };
    let is_redirect = matches!(outcome, Outcome::Status(status, _) if status.is_redirection());
    Verdict {
        is_transient,
        retry: is_transient && (method.is_idempotent() || !(may_have_been_applied || is_redirect)),
        may_have_been_applied: may_have_been_applied && !method.is_safe(),
    }
}

/// How long to wait before the next attempt; `None` if the server asks for more than [`MAX_RETRY_WAIT`].
///
/// `asked` is what the server asks for, `attempts` counts those so far, from 1, and `jitter` is between 0 and 1.
pub(super) fn wait(asked: Option<Duration>, attempts: u32, jitter: f64) -> Option<Duration> {
    match asked {
        Some(wait) if wait > MAX_RETRY_WAIT => None,
        Some(wait) if !wait.is_zero() => Some(wait),
        _ => Some(backoff(attempts, jitter)),
    }
}

pub(super) fn backoff(attempts: u32, jitter: f64) -> Duration {
    let doubled = FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)));
    doubled.min(LAST_BACKOFF).mul_f64(1.0 - jitter / 4.0)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let millis = text(headers, "retry-after-ms").and_then(decimal).map(|millis| seconds(millis / 1000.0));
    millis.or_else(|| {
        let value = text(headers, "retry-after")?;
        decimal(value).map(seconds).or_else(|| until(value, now))
    })
}

/// A number of digits and at most one point, unlike what `f64` would accept: no sign, no exponent, no `inf` or `NaN`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

/// Capped, so that a caller can add it to an `Instant`.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(MAX_TIME).min(MAX_TIME)
}

/// The time left until an HTTP date, in any of the three formats of RFC 9110 §5.6.7.
fn until(date: &str, now: OffsetDateTime) -> Option<Duration> {
    let at = OffsetDateTime::parse(date, &Rfc2822).ok().or_else(|| {
        let date = from_rfc850(date, now.date()).or_else(|| from_asctime(date))?;
        OffsetDateTime::parse(&date, &Rfc2822).ok()
    })?;
    Some(Duration::try_from(at - now).unwrap_or(Duration::ZERO).min(MAX_TIME))
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`, as RFC 2822 writes it. A year more than 50 years ahead is one of the past.
fn from_rfc850(date: &str, today: Date) -> Option<String> {
    let (_, date) = date.split_once(", ")?;
    let (date, time) = date.split_once(' ')?;
    let mut parts = date.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let year: i32 = year.parse().ok().filter(|_| year.len() == 2)?;
    let year = today.year() - today.year() % 100 + year;
    let year = if year > today.year() + 50 { year - 100 } else { year };
    Some(format!("{day} {month} {year} {time}"))
}

/// `Sun Nov  6 08:49:37 1994`, as RFC 2822 writes it.
fn from_asctime(date: &str) -> Option<String> {
    let mut parts = date.split_ascii_whitespace().skip(1);
    let (month, day, time, year) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(format!("{day} {month} {year} {time} GMT"))
}

#[cfg(test)]
mod tests {
    use time::format_description::well_known::Rfc3339;
    use ureq::http::{HeaderName, HeaderValue};

    use super::*;

    const IDEMPOTENT: [Method; 3] = [Method::GET, Method::PUT, Method::DELETE];

    fn headers(headers: &[(&'static str, &str)]) -> HeaderMap {
        let parsed = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        parsed.collect()
    }

    fn outcome_of(status: u16, headers: &HeaderMap) -> Outcome {
        let hints = Hints::of(headers, OffsetDateTime::UNIX_EPOCH);
        Outcome::Status(StatusCode::from_u16(status).unwrap(), hints)
    }

    /// What GET, PUT and DELETE must agree on, and what POST does: whether each is retried, and whether a change may have
    /// been made. Of the former, exactly what is transient is retried.
    #[track_caller]
    fn check(outcome: Outcome, [idempotent, post]: [bool; 2], may_have_been_applied: bool, row: &str) {
        for method in IDEMPOTENT {
            let may_have_been_applied = may_have_been_applied && method != Method::GET;
            let expected = Verdict { is_transient: idempotent, retry: idempotent, may_have_been_applied };
            assert_eq!(judge(&method, outcome), expected, "{method} {row}");
        }
        let expected = Verdict { is_transient: idempotent, retry: post, may_have_been_applied };
        assert_eq!(judge(&Method::POST, outcome), expected, "POST {row}");
    }

    #[test]
    fn the_table_without_a_response() {
        check(Outcome::NotSent, [true, true], false, "never sent");
        check(Outcome::NoResponse, [true, false], true, "sent, and no complete response");
        check(Outcome::Unusable, [false, false], true, "a complete response that does not decode");
    }

    #[test]
    fn the_table_of_statuses() {
        let none = HeaderMap::new();
        for status in 100..1000 {
            let row = status.to_string();
            let (retries, may_have_been_applied) = match status {
                200..300 => continue,
                100..200 => ([false, false], true),
                408 | 409 | 429 => ([true, true], false),
                500.. => ([true, false], true),
                _ => ([false, false], false),
            };
            let outcome = outcome_of(status, &none);
            check(outcome, retries, may_have_been_applied, &row);
        }
    }

    #[test]
    fn a_503_with_a_time_to_retry_after_was_not_applied() {
        for hint in
            [("retry-after", "1"), ("retry-after", "0"), ("retry-after-ms", "1"), ("retry-after", "61")]
        {
            let headers = headers(&[hint]);
            check(outcome_of(503, &headers), [true, true], false, "503");
            for status in [500, 502, 504, 529] {
                let outcome = outcome_of(status, &headers);
                check(outcome, [true, false], true, &format!("{status} {hint:?}"));
            }
        }
        let junk = headers(&[("retry-after", "soon")]);
        check(outcome_of(503, &junk), [true, false], true, "503, junk");
    }

    #[test]
    fn x_should_retry_is_obeyed_but_for_a_post_only_where_nothing_was_changed() {
        for (status, value, retries, may_have_been_applied) in [
            (400, "true", [true, true], false),
            (404, "true", [true, true], false),
            (422, "True", [true, true], false),
            (429, "true", [true, true], false),
            (307, "true", [true, false], false),
            (500, "true", [true, false], true),
            (503, "true", [true, false], true),
            (408, "false", [false, false], false),
            (429, "FALSE", [false, false], false),
            (500, "false", [false, false], true),
            (503, "false", [false, false], true),
            (404, "perhaps", [false, false], false),
            (404, "1", [false, false], false),
            (404, "", [false, false], false),
            (429, "no", [true, true], false),
            (500, "tr\u{fc}e", [true, false], true),
        ] {
            let headers = headers(&[("x-should-retry", value)]);
            let outcome = outcome_of(status, &headers);
            check(outcome, retries, may_have_been_applied, &format!("{status}, x-should-retry: {value}"));
        }
        for (value, retries) in [("true", [true, true]), ("false", [false, false])] {
            let headers = headers(&[("x-should-retry", value), ("retry-after", "1")]);
            check(outcome_of(503, &headers), retries, false, value);
        }
    }

    fn now() -> OffsetDateTime {
        OffsetDateTime::parse("2026-01-31T23:59:30.5Z", &Rfc3339).unwrap()
    }

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let day = Duration::from_secs(24 * 60 * 60);
        let digits = "9".repeat(400);
        for (value, asked) in [
            ("0", Some(Duration::ZERO)),
            ("000", Some(Duration::ZERO)),
            ("0.0", Some(Duration::ZERO)),
            ("1", Some(Duration::from_secs(1))),
            ("007", Some(Duration::from_secs(7))),
            ("2.5", Some(Duration::from_millis(2500))),
            (".25", Some(Duration::from_millis(250))),
            ("3.", Some(Duration::from_secs(3))),
            ("\t 12 \t", Some(Duration::from_secs(12))),
            ("60", Some(Duration::from_secs(60))),
            ("61", Some(Duration::from_secs(61))),
            ("86400", Some(day)),
            ("99999999999999999999", Some(MAX_TIME)),
            (&digits, Some(MAX_TIME)),
            ("0.0000000001", Some(Duration::ZERO)),
            ("Sat, 31 Jan 2026 23:59:40 GMT", Some(Duration::from_millis(9500))),
            ("Sun, 01 Feb 2026 00:00:00 GMT", Some(Duration::from_millis(29_500))),
            (" Sun, 01 Feb 2026 23:59:30 GMT ", Some(Duration::from_millis(86_399_500))),
            ("Sat, 31 Jan 2026 23:59:30 GMT", Some(Duration::ZERO)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(Duration::ZERO)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(MAX_TIME)),
            ("Saturday, 31-Jan-26 23:59:40 GMT", Some(Duration::from_millis(9500))),
            ("Sunday, 31-Jan-76 23:59:40 GMT", Some(MAX_TIME)),
            ("Monday, 31-Jan-77 23:59:40 GMT", Some(Duration::ZERO)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(Duration::ZERO)),
            ("Sunday, 06-Nov-194 08:49:37 GMT", None),
            ("Sat Jan 31 23:59:40 2026", Some(Duration::from_millis(9500))),
            ("Sun Feb  1 00:00:00 2026", Some(Duration::from_millis(29_500))),
            ("Sun Nov  6 08:49:37 1994", Some(Duration::ZERO)),
            ("Sun Nov", None),
            ("Sat, 31 Feb 2026 00:00:00 GMT", None),
            ("2026-02-01T00:00:00Z", None),
            ("", None),
            (".", None),
            ("-1", None),
            ("+1", None),
            ("1.2.3", None),
            ("1,5", None),
            ("5 s", None),
            ("1e3", None),
            ("1e400", None),
            ("0x10", None),
            ("NaN", None),
            ("inf", None),
            ("soon", None),
            ("\u{665}", None),
        ] {
            assert_eq!(
                retry_after(&headers(&[("retry-after", value)]), now()),
                asked,
                "Retry-After: {value}"
            );
        }
        assert_eq!(retry_after(&HeaderMap::new(), now()), None);
    }

    #[test]
    fn retry_after_ms_is_a_number() {
        for (value, asked) in [
            ("0", Some(Duration::ZERO)),
            ("1", Some(Duration::from_millis(1))),
            ("1500", Some(Duration::from_millis(1500))),
            ("0.5", Some(Duration::from_micros(500))),
            (" 250 ", Some(Duration::from_millis(250))),
            ("60001", Some(Duration::from_millis(60_001))),
            ("1e400", None),
            ("-5", None),
            ("NaN", None),
            ("Sun, 01 Feb 2026 00:00:00 GMT", None),
        ] {
            assert_eq!(retry_after(&headers(&[("retry-after-ms", value)]), now()), asked, "{value}");
        }
    }

    #[test]
    fn milliseconds_precede_seconds_unless_they_are_invalid() {
        for (millis, asked) in [("1500", Duration::from_millis(1500)), ("soon", Duration::from_secs(7))] {
            let headers = headers(&[("retry-after", "7"), ("retry-after-ms", millis)]);
            assert_eq!(retry_after(&headers, now()), Some(asked), "{millis}");
        }
    }

    #[test]
    fn a_server_can_ask_for_a_wait_of_up_to_60_s() {
        for (asked, expected) in [
            (Duration::from_nanos(1), Some(Duration::from_nanos(1))),
            (Duration::from_secs(60), Some(Duration::from_secs(60))),
            (Duration::from_nanos(60_000_000_001), None),
            (Duration::MAX, None),
        ] {
            assert_eq!(wait(Some(asked), 1, 0.5), expected, "{asked:?}");
        }
    }

    #[test]
    fn backoff_doubles_to_8_s_less_up_to_a_quarter_of_jitter() {
        for asked in [None, Some(Duration::ZERO)] {
            let waits =
                |jitter| [1, 2, 3, 4, 5, 6, 40, u32::MAX].map(|failures| wait(asked, failures, jitter));
            let seconds = |waits: [f64; 8]| waits.map(|wait| Some(Duration::from_secs_f64(wait)));
            assert_eq!(waits(0.0), seconds([0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0]));
            assert_eq!(waits(0.5), seconds([0.4375, 0.875, 1.75, 3.5, 7.0, 7.0, 7.0, 7.0]));
            assert_eq!(waits(1.0), seconds([0.375, 0.75, 1.5, 3.0, 6.0, 6.0, 6.0, 6.0]));
        }
    }
}
