//! What became of a try that failed: how far it came, and the beginnings of an [`Error`](crate::Error).

use std::error::Error as StdError;
use std::time::Duration;

use time::OffsetDateTime;
use ureq::Body;
use ureq::http::Response;
use ureq::http::header::LOCATION;

use crate::connect;
use crate::error::{Answer, ErrorKind, Inner, one_line};
use crate::redact::redact;
use crate::response::{self, DecodeError};
use crate::retry::{self, Outcome};

pub(crate) struct Failure {
    reach: Reach,
    pub(crate) inner: Box<Inner>,
}

/// [`Outcome`] without the answer, which is in [`Inner`].
#[derive(Clone, Copy)]
enum Reach {
    NotSent,
    NoAnswer,
    Refused,
    Unusable,
}

impl Failure {
    fn new(
        reach: Reach,
        kind: ErrorKind,
        problem: String,
        answer: Option<Answer>,
        source: Option<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { reach, inner: Box::new(Inner { kind, problem, answer, source, ..Inner::default() }) }
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
        Self::new(Reach::NotSent, kind, problem, None, Some(cause(error)))
    }

    /// No whole answer; `answer` is what came of it, if a whole head did.
    pub(crate) fn no_answer(answer: Option<Answer>, error: ureq::Error, timeout: Duration) -> Self {
        let timeout = in_millis(timeout);
        let (reach, kind, problem) = match &error {
            ureq::Error::Timeout(_) => {
                (Reach::NoAnswer, ErrorKind::Timeout, format!("no whole answer within {timeout:?}"))
            }
            ureq::Error::BodyExceedsLimit(_) => {
                (Reach::Unusable, ErrorKind::Decode, "the answer's body is over 10 MiB".into())
            }
            ureq::Error::LargeResponseHeader(..) => {
                (Reach::Unusable, ErrorKind::Decode, "the answer's headers are over 64 KiB".into())
            }
            // Of ureq-proto, whose errors ureq does not re-export.
            ureq::Error::Protocol(error) if error.to_string().ends_with("too many headers") => {
                (Reach::Unusable, ErrorKind::Decode, "the answer has over 128 headers".into())
            }
            ureq::Error::Io(_) => (Reach::NoAnswer, ErrorKind::Transport, "the connection broke".into()),
            _ => (Reach::NoAnswer, ErrorKind::Transport, "the answer is not valid HTTP".into()),
        };
        Self::new(reach, kind, problem, answer, Some(cause(error)))
    }

    /// A whole answer of success that does not say what it should.
    pub(crate) fn unusable(answer: Answer, error: DecodeError) -> Self {
        let problem = "the answer is not what the API promises".into();
        Self::new(Reach::Unusable, ErrorKind::Decode, problem, Some(answer), Some(Box::new(error)))
    }

    /// An answer without success. Of its body, no more is read than is kept; its message is rid of `secrets`.
    pub(crate) fn refused(mut answer: Response<Body>, secrets: &[&str]) -> Self {
        let body = response::read_beginning(answer.body_mut());
        let message = response::message_in(&body).map(|text| redact(&text, secrets.iter().copied()));
        let answer = Answer { message, ..kept(answer, body) };
        let status = answer.status.as_u16();
        let (kind, problem) = if answer.status.is_redirection() {
            let target = answer.headers.get(LOCATION).map_or("nowhere".into(), |location| {
                one_line(&redact(&String::from_utf8_lossy(location.as_bytes()), secrets.iter().copied()))
            });
            (
                ErrorKind::Redirect,
                format!("the server redirects ({status}) to {target}, which is not followed"),
            )
        } else {
            (ErrorKind::Status, format!("the server answered {status}"))
        };
        Self::new(Reach::Refused, kind, problem, Some(answer), None)
    }

    pub(crate) fn outcome(&self) -> Outcome<'_> {
        match (self.reach, &self.inner.answer) {
            (Reach::NotSent, _) => Outcome::NotSent,
            (Reach::Unusable, _) => Outcome::Unusable,
            (Reach::Refused, Some(answer)) => Outcome::Refused(answer.status, &answer.headers),
            (Reach::NoAnswer | Reach::Refused, _) => Outcome::NoAnswer,
        }
    }

    /// How long the answer asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let answer = self.inner.answer.as_ref()?;
        retry::retry_after(&answer.headers, OffsetDateTime::now_utc())
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
