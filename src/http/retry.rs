//! Decides whether and when to retry a failure, after RFC 9110 §9.2.2. All functions are pure.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use ureq::http::{HeaderMap, Method, StatusCode};

use super::{LONGEST_TIME, MAX_RETRY_WAIT};
use crate::error::{Failure, Stage};

/// The first wait if the server does not ask for one, doubled for each further one up to the last.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LAST_BACKOFF: Duration = Duration::from_secs(8);

/// The consequences of a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// A retry may succeed.
    pub(super) is_transient: bool,
    /// A retry may succeed, and cannot apply a change twice.
    pub(super) retry: bool,
    pub(super) may_have_been_applied: bool,
}

/// Implements the table in the documentation of `Error`.
pub(super) fn judge(method: &Method, failure: &Failure) -> Verdict {
    let may_have_been_applied = match failure.stage {
        Stage::Blocked | Stage::NotSent => false,
        // After a 303, the change was made, and its result is elsewhere (RFC 9110 §15.4.4).
        Stage::NoResponse | Stage::Unusable | Stage::Status(StatusCode::SEE_OTHER) => true,
        // An undefined status counts as a server error (RFC 9110 §15), and 101 says nothing about the change.
        Stage::Status(status) => !(status.is_redirection() || status.is_client_error()),
    };
    let is_transient = match failure.stage {
        Stage::NotSent | Stage::NoResponse => true,
        Stage::Blocked | Stage::Unusable => false,
        Stage::Status(status) => {
            should_retry(failure).unwrap_or(matches!(status.as_u16(), 408 | 409 | 429 | 500..))
        }
    };
    let is_redirect = matches!(failure.stage, Stage::Status(status) if status.is_redirection());
    Verdict {
        is_transient,
        retry: is_transient && (method.is_idempotent() || !(may_have_been_applied || is_redirect)),
        may_have_been_applied: may_have_been_applied && !method.is_safe(),
    }
}

/// Returns the response's `x-should-retry`.
fn should_retry(failure: &Failure) -> Option<bool> {
    let value = text(failure.response.as_ref()?.headers(), "x-should-retry")?;
    value.to_ascii_lowercase().parse().ok()
}

/// Returns how long to wait before the next attempt; `None` if the server asks for more than [`MAX_RETRY_WAIT`].
///
/// `attempts` counts those so far, from 1, and `jitter` is between 0 and 1.
pub(super) fn wait(asked: Option<Duration>, attempts: u32, jitter: f64) -> Option<Duration> {
    match asked {
        Some(wait) if wait > MAX_RETRY_WAIT => None,
        Some(wait) if !wait.is_zero() => Some(wait),
        _ => Some(backoff(attempts, jitter)),
    }
}

fn backoff(attempts: u32, jitter: f64) -> Duration {
    let doubled = FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)));
    doubled.min(LAST_BACKOFF).mul_f64(1.0 - jitter / 4.0)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

/// Returns the wait for which the response asks: zero for a past date, `None` if absent or invalid.
pub(super) fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let millis = text(headers, "retry-after-ms").and_then(decimal).map(|millis| seconds(millis / 1000.0));
    millis.or_else(|| {
        let value = text(headers, "retry-after")?;
        decimal(value).map(seconds).or_else(|| {
            // Uses the server's clock, because the local one may differ.
            let now = text(headers, "date").and_then(http_date).unwrap_or(now);
            let wait = Duration::try_from(http_date(value)? - now).unwrap_or(Duration::ZERO);
            Some(wait.min(LONGEST_TIME))
        })
    })
}

/// Parses an IMF-fixdate (RFC 9110 §5.6.7).
fn http_date(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc2822).ok()
}

/// Parses digits with at most one point. Unlike `f64`, accepts no sign, no exponent, no `inf` and no `NaN`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

/// Caps the time, because a caller may add it to an `Instant`.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_TIME).min(LONGEST_TIME)
}

#[cfg(test)]
mod tests {
    use time::format_description::well_known::Rfc3339;
    use ureq::http::{HeaderName, HeaderValue, Response};

    use super::*;
    use crate::error::ErrorKind;

    const IDEMPOTENT: [Method; 3] = [Method::GET, Method::PUT, Method::DELETE];

    fn headers(headers: &[(&'static str, &str)]) -> HeaderMap {
        let parsed = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        parsed.collect()
    }

    fn failure_at(stage: Stage) -> Failure {
        Failure::new(stage, ErrorKind::Status, "")
    }

    fn response(status: u16, headers: &[(&'static str, &str)]) -> Failure {
        let mut response = Response::new(Vec::new());
        *response.headers_mut() = self::headers(headers);
        let stage = Stage::Status(StatusCode::from_u16(status).unwrap());
        Failure { response: Some(Box::new(response)), ..failure_at(stage) }
    }

    /// Checks a line of the table: whether GET, PUT and DELETE are retried, whether POST is, and whether a change may have
    /// been made. A failure is transient exactly if the former are retried.
    #[track_caller]
    fn check(failure: &Failure, [idempotent, post]: [bool; 2], may_have_been_applied: bool, line: &str) {
        for method in IDEMPOTENT {
            let may_have_been_applied = may_have_been_applied && method != Method::GET;
            let expected = Verdict { is_transient: idempotent, retry: idempotent, may_have_been_applied };
            assert_eq!(judge(&method, failure), expected, "{method} {line}");
        }
        let expected = Verdict { is_transient: idempotent, retry: post, may_have_been_applied };
        assert_eq!(judge(&Method::POST, failure), expected, "POST {line}");
    }

    #[test]
    fn stages_without_a_status_are_judged_as_documented() {
        check(&failure_at(Stage::Blocked), [false, false], false, "a rejected certificate");
        check(&failure_at(Stage::NotSent), [true, true], false, "never sent");
        check(&failure_at(Stage::NoResponse), [true, false], true, "sent, and no complete response");
        check(&failure_at(Stage::Unusable), [false, false], true, "a response that does not decode");
    }

    #[test]
    fn every_status_is_judged_as_documented() {
        for status in 100..1000 {
            let (retries, may_have_been_applied) = match status {
                200..300 => continue,
                100..200 | 303 => ([false, false], true),
                408 | 409 | 429 => ([true, true], false),
                500.. => ([true, false], true),
                _ => ([false, false], false),
            };
            check(&response(status, &[]), retries, may_have_been_applied, &status.to_string());
        }
    }

    #[test]
    fn retry_after_does_not_prove_that_a_5xx_was_not_applied() {
        for status in [500, 502, 503, 504, 529] {
            for header in [("retry-after", "1"), ("retry-after", "0"), ("retry-after-ms", "1")] {
                check(&response(status, &[header]), [true, false], true, &format!("{status} {header:?}"));
            }
        }
    }

    #[test]
    fn x_should_retry_is_obeyed_for_a_post_only_if_nothing_was_changed() {
        for (status, value, retries, may_have_been_applied) in [
            (400, "true", [true, true], false),
            (404, "true", [true, true], false),
            (422, "True", [true, true], false),
            (429, "true", [true, true], false),
            (303, "true", [true, false], true),
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
            let failure = response(status, &[("x-should-retry", value)]);
            check(&failure, retries, may_have_been_applied, &format!("{status}, x-should-retry: {value}"));
        }
    }

    fn now() -> OffsetDateTime {
        OffsetDateTime::parse("2026-01-31T23:59:30.5Z", &Rfc3339).unwrap()
    }

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let digits = "9".repeat(400);
        for (value, asked) in [
            ("0", Duration::ZERO),
            ("000", Duration::ZERO),
            ("0.0", Duration::ZERO),
            ("1", Duration::from_secs(1)),
            ("007", Duration::from_secs(7)),
            ("2.5", Duration::from_millis(2500)),
            (".25", Duration::from_millis(250)),
            ("3.", Duration::from_secs(3)),
            ("\t 12 \t", Duration::from_secs(12)),
            ("86400", Duration::from_secs(86_400)),
            ("99999999999999999999", LONGEST_TIME),
            (&digits, LONGEST_TIME),
            ("0.0000000001", Duration::ZERO),
            ("Sat, 31 Jan 2026 23:59:40 GMT", Duration::from_millis(9500)),
            ("Sun, 01 Feb 2026 00:00:00 GMT", Duration::from_millis(29_500)),
            (" Sun, 01 Feb 2026 23:59:30 GMT ", Duration::from_millis(86_399_500)),
            ("Sat, 31 Jan 2026 23:59:30 GMT", Duration::ZERO),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Duration::ZERO),
            ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_TIME),
        ] {
            assert_eq!(retry_after(&headers(&[("retry-after", value)]), now()), Some(asked), "{value}");
        }
        let invalid = "|.|-1|+1|1.2.3|1,5|5 s|1e3|1e400|0x10|NaN|inf|\u{665}|soon|2026-02-01T00:00:00Z|\
            Sat, 31 Feb 2026 00:00:00 GMT";
        for value in invalid.split('|') {
            assert_eq!(retry_after(&headers(&[("retry-after", value)]), now()), None, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now()), None);
    }

    #[test]
    fn retry_after_date_is_measured_from_the_date_of_the_response() {
        for (date, asked) in [
            ("Sat, 31 Jan 2026 23:49:30 GMT", Some(Duration::from_secs(30))),
            ("Sat, 31 Jan 2026 23:50:00 GMT", Some(Duration::ZERO)),
            ("ten to midnight", Some(Duration::ZERO)),
        ] {
            let headers = headers(&[("date", date), ("retry-after", "Sat, 31 Jan 2026 23:50:00 GMT")]);
            assert_eq!(retry_after(&headers, now()), asked, "{date}");
        }
    }

    #[test]
    fn retry_after_ms_is_a_number() {
        for (value, asked) in [
            ("0", Some(Duration::ZERO)),
            (" 250 ", Some(Duration::from_millis(250))),
            ("0.5", Some(Duration::from_micros(500))),
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
