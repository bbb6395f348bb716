//! Faults, and the requests to which they apply.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::FakeHandinger;
use super::http::{Response, reason};
use super::request::{Operation, Request};

/// A fault, and the requests that it strikes; see [`FakeHandinger::inject`].
///
/// | | applies the request | the client gets |
/// |---|---|---|
/// | [`status`](Self::status) | no | another response, with any headers and body |
/// | [`hang_up`](Self::hang_up) | no | no response: the connection is closed |
/// | [`delay`](Self::delay) | after the delay | the response, late |
/// | [`truncate`](Self::truncate) | yes | the first bytes of the response's body |
/// | [`meanwhile`](Self::meanwhile) | after the function | the response, after you changed something |
///
/// With [`after_applying`](Self::after_applying), each of them applies the request first.
///
/// It strikes the next request, unless [`times`](Self::times), [`always`](Self::always), [`skip`](Self::skip)
/// or [`on`](Self::on) say otherwise.
///
/// ```
/// # use handinger::fake::{Fault, Operation};
/// // The second regenerate is applied, but its response is lost.
/// let fault = Fault::hang_up().after_applying().on(Operation::RegenerateToken).skip(1);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a fault strikes once it is injected"]
pub struct Fault {
    pub(super) action: Action,
    pub(super) after_applying: bool,
    operation: Option<Operation>,
    pub(super) skip: usize,
    /// The number of requests to strike; `None` is all.
    times: Option<usize>,
    /// The number of requests struck so far.
    pub(super) struck: usize,
}

#[derive(Clone)]
pub(super) enum Action {
    Respond(Response),
    HangUp,
    Delay(Duration),
    Truncate(usize),
    Meanwhile(Arc<dyn Fn(&FakeHandinger) + Send + Sync>),
}

impl Fault {
    fn new(action: Action) -> Self {
        Self { action, after_applying: false, operation: None, skip: 0, times: Some(1), struck: 0 }
    }

    /// Responds with a status instead of applying the request.
    ///
    /// The body is an error message in JSON, or empty below 300. [`body`](Self::body) sets another one.
    ///
    /// # Panics
    ///
    /// If the status is not between 200 and 999.
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault};
    /// # let fake = FakeHandinger::start();
    /// let down = Fault::status(502).body("<h1>Bad gateway</h1>");
    /// fake.inject(down.times(3));
    /// let error = fake.client().retrieve_webhook("wrk_1").unwrap_err();
    /// assert_eq!(error.body(), b"<h1>Bad gateway</h1>");
    /// ```
    #[track_caller]
    pub fn status(status: u16) -> Self {
        assert!((200..1000).contains(&status), "{status} is not a status between 200 and 999");
        let response =
            if status < 300 { Response::new(status, "") } else { Response::error(status, reason(status)) };
        Self::new(Action::Respond(response))
    }

    /// Closes the connection instead of responding.
    pub fn hang_up() -> Self {
        Self::new(Action::HangUp)
    }

    /// Waits, applies the request, and then responds. Applies it even if the client has disconnected.
    pub fn delay(delay: Duration) -> Self {
        Self::new(Action::Delay(delay))
    }

    /// Sends only the first `length` bytes of the response's body, at most all but the last one, and closes
    /// the connection.
    pub fn truncate(length: usize) -> Self {
        Self::new(Action::Truncate(length))
    }

    /// Calls a function when the request has arrived, and then applies the request.
    ///
    /// This simulates events while the code under test is busy, such as a delivery between two pages or an
    /// outage. The function can use the fake without limits. If it panics, the connection is closed.
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault, Operation};
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # for _ in 0..60 { fake.deliver("wrk_1", 200); }
    /// // A delivery pushes the last execution of the first page onto the second.
    /// let delivery = Fault::meanwhile(|fake| fake.deliver("wrk_1", 503));
    /// fake.inject(delivery.on(Operation::ListExecutions).skip(1));
    /// let all = client.executions("wrk_1").collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(all.len(), 60); // each once
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn meanwhile<R>(change: impl Fn(&FakeHandinger) -> R + Send + Sync + 'static) -> Self {
        Self::new(Action::Meanwhile(Arc::new(move |fake| drop(change(fake)))))
    }

    /// Adds a header to the response of [`status`](Self::status).
    ///
    /// # Panics
    ///
    /// If the fault is not a [`status`](Self::status), if the name or value cannot be sent, or if the fake
    /// sets the header itself: `Content-Length`, `Transfer-Encoding`, `Connection`.
    #[track_caller]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert!(!name.is_empty() && name.bytes().all(is_token), "{name:?} is not the name of a header");
        assert!(!value.contains(['\r', '\n', '\0']), "{value:?} is not the value of a header");
        for own in ["Content-Length", "Transfer-Encoding", "Connection"] {
            assert!(!name.eq_ignore_ascii_case(own), "{own} is set by the fake; see Fault::truncate");
        }
        self.response().headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body of the response of [`status`](Self::status). Its `Content-Type` is JSON, unless a
    /// [`header`](Self::header) sets another one.
    ///
    /// # Panics
    ///
    /// If the fault is not a [`status`](Self::status).
    #[track_caller]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.response().body = body.into();
        self
    }

    #[track_caller]
    fn response(&mut self) -> &mut Response {
        match &mut self.action {
            Action::Respond(response) => response,
            other => panic!("only a fault with a status has headers and a body, not {other:?}"),
        }
    }

    /// Applies the request first; the fault concerns only the response.
    pub fn after_applying(mut self) -> Self {
        self.after_applying = true;
        self
    }

    /// Strikes this many requests. Default: 1.
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// Strikes all requests until [`clear_faults`](FakeHandinger::clear_faults).
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    /// Lets this many requests pass first, among those that [`on`](Self::on) selects. Default: 0.
    ///
    /// Requests count from when the fault was injected, even if another fault strikes them.
    pub fn skip(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    /// Strikes only requests of this operation. Default: all.
    pub fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    pub(super) fn is_for(&self, request: &Request) -> bool {
        self.operation.is_none() || self.operation == request.operation()
    }

    /// Returns whether the fault strikes no further requests.
    pub(super) fn is_over(&self) -> bool {
        self.times == Some(self.struck)
    }

    /// Returns whether the fault has struck as often as it should; once is enough for `always`.
    pub(super) fn is_used(&self) -> bool {
        self.struck == self.times.unwrap_or(self.struck.max(1))
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Respond(response) => write!(f, "status({})", response.status),
            Self::HangUp => f.write_str("hang_up"),
            Self::Delay(delay) => write!(f, "delay({delay:?})"),
            Self::Truncate(length) => write!(f, "truncate({length})"),
            Self::Meanwhile(_) => f.write_str("meanwhile(…)"),
        }
    }
}
