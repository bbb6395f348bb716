//! What became of a try that failed: how far it came, and the beginnings of an [`Error`](crate::Error).

use std::error::Error as StdError;
use std::time::Duration;

use time::OffsetDateTime;
use ureq::Body;
use ureq::http::Response;
use ureq::http::header::LOCATION;

use crate::connect;
use crate::error::{Answer, ErrorKind, one_line};
use crate::redact::redact;
use crate::response::{self, DecodeError};
use crate::retry::{Outcome, Wishes};

pub(crate) struct Failure {
    pub(crate) outcome: Outcome,
    pub(crate) kind: ErrorKind,
    pub(crate) problem: String,
    /// As much of it as came.
    pub(crate) answer: Option<Box<Answer>>,
    pub(crate) source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    /// There was no time left to connect to `host`.
    pub(crate) fn out_of_time(host: &str) -> Self {
        Self::not_sent(ureq::Error::Timeout(ureq::Timeout::Global), host, Duration::ZERO)
    }

    /// No connection to `host` within `timeout`, or none at all.
    pub(crate) fn not_sent(error: ureq::Error, host: &str, timeout: Duration) -> Self {
        let error = connect::unmarked(error);
        let timeout = in_millis(timeout);
        let (kind, problem) = match &error {
            ureq::Error::Timeout(_) => {
                (ErrorKind::Timeout, format!("no connection to {host} within {timeout:?}"))
            }
            error if connect::is_about_a_certificate(error) => {
                (ErrorKind::Connect, format!("the certificate of {host} was refused"))
            }
            _ => (ErrorKind::Connect, format!("could not connect to {host}")),
        };
        Self { outcome: Outcome::NotSent, kind, problem, answer: None, source: Some(cause(error)) }
    }

    /// No whole answer within `timeout`, or none at all, or one past our bounds.
    pub(crate) fn no_answer(answer: Option<Answer>, error: ureq::Error, timeout: Duration) -> Self {
        let timeout = in_millis(timeout);
        let (outcome, kind, problem) = match &error {
            ureq::Error::Timeout(_) => {
                (Outcome::NoAnswer, ErrorKind::Timeout, format!("no whole answer within {timeout:?}"))
            }
            ureq::Error::BodyExceedsLimit(_) => {
                (Outcome::Unusable, ErrorKind::Decode, "the answer's body is over 10 MiB".into())
            }
            ureq::Error::LargeResponseHeader(..) => {
                (Outcome::Unusable, ErrorKind::Decode, "the answer's headers are over 64 KiB".into())
            }
            // Of ureq-proto, whose errors ureq does not re-export.
            ureq::Error::Protocol(error) if error.to_string().ends_with("too many headers") => {
                (Outcome::Unusable, ErrorKind::Decode, "the answer has over 128 headers".into())
            }
            ureq::Error::Io(_) => (Outcome::NoAnswer, ErrorKind::Transport, "the connection broke".into()),
            _ => (Outcome::NoAnswer, ErrorKind::Transport, "the answer is not valid HTTP".into()),
        };
        Self { outcome, kind, problem, answer: answer.map(Box::new), source: Some(cause(error)) }
    }

    /// A whole answer of success that does not say what it should.
    pub(crate) fn unusable(answer: Answer, error: DecodeError) -> Self {
        Self {
            outcome: Outcome::Unusable,
            kind: ErrorKind::Decode,
            problem: "the answer is not what the API promises".into(),
            answer: Some(Box::new(answer)),
            source: Some(Box::new(error)),
        }
    }

    /// An answer that is not 2xx. Of its body, no more is read than is kept; its message is rid of `secrets`.
    pub(crate) fn refused(mut answer: Response<Body>, secrets: &[&str]) -> Self {
        let body = response::read_beginning(answer.body_mut());
        let message = response::message_in(&body).map(|text| redact(&text, secrets.iter().copied()));
        let answer = Answer { message, ..kept(answer, body) };
        let status = answer.status.as_u16();
        let (kind, problem) = if answer.status.is_redirection() {
            let target = answer.headers.get(LOCATION).map_or("nowhere".into(), |location| {
                one_line(&redact(&String::from_utf8_lossy(location.as_bytes()), secrets.iter().copied()))
            });
            let problem = format!("the server redirects ({status}) to {target}, which is not followed");
            (ErrorKind::Redirect, problem)
        } else {
            (ErrorKind::Status, format!("the server answered {status}"))
        };
        let wishes = Wishes::of(&answer.headers, OffsetDateTime::now_utc());
        let outcome = Outcome::Refused(answer.status, wishes);
        Self { outcome, kind, problem, answer: Some(Box::new(answer)), source: None }
    }

    /// How long the server asks to wait.
    pub(crate) fn asked_wait(&self) -> Option<Duration> {
        match self.outcome {
            Outcome::Refused(_, wishes) => wishes.wait,
            _ => None,
        }
    }
}

/// What is kept of an answer: its head, and the beginning of its body.
pub(crate) fn kept(answer: Response<Body>, mut body: Vec<u8>) -> Answer {
    let (head, _) = answer.into_parts();
    body.truncate(response::KEPT_BODY);
    body.shrink_to_fit();
    Answer { status: head.status, headers: head.headers, body, message: None }
}

/// What is left of a call's time is an odd number; nobody wants to read its nanoseconds.
fn in_millis(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// The error below ours: of an I/O error the error itself, which callers can know, and not ureq's wrapper.
fn cause(error: ureq::Error) -> Box<dyn StdError + Send + Sync> {
    match error {
        ureq::Error::Io(error) => Box::new(error),
        other => Box::new(other),
    }
}
