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
pub(crate) enum Outcome {
    /// Nothing of the request reached the server.
    NotSent,
    /// The request was sent, or a part of it; no whole answer came back.
    NoAnswer,
    /// The server answered with anything but success.
    Refused(StatusCode, Wishes),
    /// The server answered with success, but the answer is unusable, and would be so again.
    Unusable,
}

/// What an answer asks of the client.
#[derive(Clone, Copy)]
pub(crate) struct Wishes {
    /// `x-should-retry`.
    retry: Option<bool>,
    /// How long to wait: zero if the time is over, `None` if it is not said in a form that we know.
    pub(crate) wait: Option<Duration>,
}

impl Wishes {
    pub(crate) fn of(headers: &HeaderMap, now: OffsetDateTime) -> Self {
        let retry = text(headers, "x-should-retry").and_then(|wish| wish.to_ascii_lowercase().parse().ok());
        Self { retry, wait: retry_after(headers, now) }
    }
}

/// What follows from a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) retry: bool,
    pub(crate) may_have_been_applied: bool,
}

/// The table of the crate's front page, row by row.
pub(crate) fn judge(method: &Method, outcome: Outcome) -> Verdict {
    let applied_perhaps = match outcome {
        Outcome::NotSent => false,
        Outcome::NoAnswer | Outcome::Unusable => true,
        // A 503 with a time to come back is a refusal at the door (RFC 9110 §15.6.4).
        Outcome::Refused(StatusCode::SERVICE_UNAVAILABLE, wishes) => wishes.wait.is_none(),
        // Statuses that are not defined are those of a server's error (RFC 9110 §15), and 101 says nothing.
        Outcome::Refused(status, _) => !(status.is_redirection() || status.is_client_error()),
    };
    let repeatable = method.is_idempotent() || !applied_perhaps;
    let worth_it = match outcome {
        Outcome::NotSent | Outcome::NoAnswer => true,
        Outcome::Unusable => false,
        Outcome::Refused(status, wishes) => match wishes.retry {
            Some(wish) => wish && (method.is_idempotent() || !status.is_redirection()),
            None => matches!(status.as_u16(), 408 | 409 | 429 | 500..),
        },
    };
    Verdict { retry: worth_it && repeatable, may_have_been_applied: applied_perhaps && !method.is_safe() }
}

/// How long to wait before the next try; `None` if the server asks for more than [`LONGEST_WAIT`].
///
/// `asked` is the wish of the server, `failures` counts the tries so far, from 1, and `jitter` is between 0 and 1.
pub(crate) fn wait(asked: Option<Duration>, failures: u32, jitter: f64) -> Option<Duration> {
    match asked {
        Some(wait) if wait > LONGEST_WAIT => None,
        Some(wait) if !wait.is_zero() => Some(wait),
        _ => Some(backoff(failures, jitter)),
    }
}

fn backoff(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
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

    fn refused(status: u16, headers: &HeaderMap) -> Outcome {
        let wishes = Wishes::of(headers, OffsetDateTime::UNIX_EPOCH);
        Outcome::Refused(StatusCode::from_u16(status).unwrap(), wishes)
    }

    /// What GET, PUT and DELETE must agree on, and what POST does: whether each is tried again, and whether a change
    /// may have been made.
    #[track_caller]
    fn check(outcome: Outcome, [idempotent, post]: [bool; 2], may_have_been_applied: bool, row: &str) {
        for method in IDEMPOTENT {
            let may_have_been_applied = may_have_been_applied && method != Method::GET;
            let expected = Verdict { retry: idempotent, may_have_been_applied };
            assert_eq!(judge(&method, outcome), expected, "{method} {row}");
        }
        let expected = Verdict { retry: post, may_have_been_applied };
        assert_eq!(judge(&Method::POST, outcome), expected, "POST {row}");
    }

    #[test]
    fn the_table_without_an_answer() {
        check(Outcome::NotSent, [true, true], false, "never sent");
        check(Outcome::NoAnswer, [true, false], true, "sent, and no whole answer");
        check(Outcome::Unusable, [false, false], true, "a whole answer that does not decode");
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
            let outcome = refused(status, &none);
            check(outcome, retries, may_have_been_applied, &row);
        }
    }

    #[test]
    fn a_503_with_a_time_to_come_back_is_a_refusal_and_other_5xx_are_not() {
        for wish in
            [("retry-after", "1"), ("retry-after", "0"), ("retry-after-ms", "1"), ("retry-after", "61")]
        {
            let headers = headers(&[wish]);
            check(refused(503, &headers), [true, true], false, "503");
            for status in [500, 502, 504, 529] {
                let outcome = refused(status, &headers);
                check(outcome, [true, false], true, &format!("{status} {wish:?}"));
            }
        }
        let junk = headers(&[("retry-after", "soon")]);
        check(refused(503, &junk), [true, false], true, "503, junk");
    }

    #[test]
    fn x_should_retry_is_obeyed_but_for_a_post_only_where_nothing_was_changed() {
        for (status, wish, retries, may_have_been_applied) in [
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
            let headers = headers(&[("x-should-retry", wish)]);
            let outcome = refused(status, &headers);
            check(outcome, retries, may_have_been_applied, &format!("{status}, x-should-retry: {wish}"));
        }
        for (wish, retries) in [("true", [true, true]), ("false", [false, false])] {
            let headers = headers(&[("x-should-retry", wish), ("retry-after", "1")]);
            check(refused(503, &headers), retries, false, wish);
        }
    }

    fn now() -> OffsetDateTime {
        OffsetDateTime::parse("2026-01-31T23:59:30.5Z", &Rfc3339).unwrap()
    }

    #[test]
    fn what_retry_after_says() {
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
            ("99999999999999999999", Some(Duration::MAX)),
            (&digits, Some(Duration::MAX)),
            ("0.0000000001", Some(Duration::ZERO)),
            ("Sat, 31 Jan 2026 23:59:40 GMT", Some(Duration::from_millis(9500))),
            ("Sun, 01 Feb 2026 00:00:00 GMT", Some(Duration::from_millis(29_500))),
            (" Sun, 01 Feb 2026 23:59:30 GMT ", Some(Duration::from_millis(86_399_500))),
            ("Sat, 31 Jan 2026 23:59:30 GMT", Some(Duration::ZERO)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(Duration::ZERO)),
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
    fn what_retry_after_ms_says() {
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
    fn milliseconds_go_before_seconds_unless_they_are_junk() {
        for (millis, asked) in [("1500", Duration::from_millis(1500)), ("soon", Duration::from_secs(7))] {
            let headers = headers(&[("retry-after", "7"), ("retry-after-ms", millis)]);
            assert_eq!(retry_after(&headers, now()), Some(asked), "{millis}");
        }
    }

    #[test]
    fn a_wait_of_up_to_60_s_is_the_servers_and_a_longer_one_nobodys() {
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
    fn without_a_wish_the_waits_double_to_8_s_less_a_quarter_of_jitter() {
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
