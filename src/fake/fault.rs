//! What can go wrong, which requests it strikes, and the queue of what is still to come.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::FakeHandinger;
use super::http::{Response, reason};
use super::request::{Operation, Request};

/// Something that goes wrong, and the requests that it strikes; see [`FakeHandinger::inject`].
///
/// A fault is one of these:
///
/// | | does what was requested | the client gets |
/// |---|---|---|
/// | [`status`](Self::status) | no | another response, with any headers and body |
/// | [`hang_up`](Self::hang_up) | no | no response: the connection is closed |
/// | [`delay`](Self::delay) | yes, after the delay | the response, late |
/// | [`truncate`](Self::truncate) | yes | the first bytes of the response's body |
/// | [`drip`](Self::drip) | yes | the response, byte by byte |
/// | [`meanwhile`](Self::meanwhile) | yes | the response, after you changed something |
///
/// With [`after_applying`](Self::after_applying) the first two do what was requested too, and the third does it before
/// the delay. Any of them can be [`delayed`](Self::delayed).
///
/// It strikes the next request, unless these say otherwise: [`times`](Self::times), [`always`](Self::always),
/// [`skip`](Self::skip), [`on`](Self::on) and [`when`](Self::when).
///
/// ```
/// use handinger::fake::{FakeHandinger, Fault, Operation};
///
/// let fake = FakeHandinger::start();
/// fake.add_worker("wrk_1");
/// // The second regenerate is applied, but its response is lost.
/// fake.inject(Fault::hang_up().after_applying().on(Operation::RegenerateToken).skip(1));
/// # let client = fake.client();
/// # client.update_webhook("wrk_1", "https://example.com/hook")?;
/// # client.regenerate_token("wrk_1")?;
/// # assert!(client.regenerate_token("wrk_1").unwrap_err().may_have_been_applied());
/// # Ok::<(), handinger::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a fault strikes once it is injected"]
pub struct Fault {
    pub(super) outcome: Outcome,
    pub(super) after_applying: bool,
    pub(super) delay: Duration,
    pub(super) truncate_at: Option<usize>,
    pub(super) drip: Option<Duration>,
    pub(super) change: Option<Change>,
    operation: Option<Operation>,
    predicate: Option<Predicate>,
    skip: usize,
    /// `None` is for ever.
    times: Option<usize>,
}

pub(super) type Change = Arc<dyn Fn(&FakeHandinger) + Send + Sync>;
type Predicate = Arc<dyn Fn(&Request) -> bool + Send + Sync>;

#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Serve,
    Replace(Response),
    HangUp,
}

impl Fault {
    pub(super) fn none() -> Self {
        Self {
            outcome: Outcome::Serve,
            after_applying: false,
            delay: Duration::ZERO,
            truncate_at: None,
            drip: None,
            change: None,
            operation: None,
            predicate: None,
            skip: 0,
            times: Some(1),
        }
    }

    /// Responds with a status instead of doing what was requested.
    ///
    /// For statuses from 300 up, the body is an error message in JSON; below, it is empty. [`body`](Self::body) sets
    /// another.
    ///
    /// # Panics
    ///
    /// If the status is not between 200 and 999.
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault};
    /// # let fake = FakeHandinger::start();
    /// fake.inject(Fault::status(429).header("Retry-After", "120"));
    /// let error = fake.client().retrieve_webhook("wrk_1").unwrap_err();
    /// assert_eq!(error.retry_after().unwrap().as_secs(), 120);
    /// ```
    pub fn status(status: u16) -> Self {
        assert!((200..1000).contains(&status), "{status} is not a status between 200 and 999");
        let message = match reason(status) {
            "" => "failed as asked",
            reason => reason,
        };
        let response = if status < 300 { Response::empty(status) } else { Response::error(status, message) };
        Self { outcome: Outcome::Replace(response), ..Self::none() }
    }

    /// Closes the connection instead of responding, before anything is done.
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault};
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// fake.inject(Fault::hang_up());
    /// assert!(fake.client().retrieve_webhook("wrk_1").is_ok()); // at the second attempt
    /// ```
    pub fn hang_up() -> Self {
        Self { outcome: Outcome::HangUp, ..Self::none() }
    }

    /// Waits before anything is done; then the fake does what was requested, even if the client has given up by then.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use handinger::fake::{FakeHandinger, Fault};
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// let client = fake.client().with_timeout(Duration::from_millis(100)).with_max_retries(0);
    ///
    /// fake.inject(Fault::delay(Duration::from_secs(3600)).after_applying());
    /// let error = client.update_webhook("wrk_1", "https://example.com/hook").unwrap_err();
    /// assert!(error.is_timeout() && error.may_have_been_applied());
    /// assert!(client.retrieve_webhook("wrk_1")?.url.is_some()); // it was
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn delay(delay: Duration) -> Self {
        Self::none().delayed(delay)
    }

    /// Sends only the first `length` bytes of the response's body, at most all but the last one, and closes the
    /// connection.
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault, Operation};
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # fake.client().update_webhook("wrk_1", "https://example.com/hook")?;
    /// fake.inject(Fault::truncate(10).on(Operation::RegenerateToken));
    /// assert!(fake.client().regenerate_token("wrk_1").unwrap_err().may_have_been_applied());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn truncate(length: usize) -> Self {
        Self { truncate_at: Some(length), ..Self::none() }
    }

    /// Sends the response, head and body, byte by byte, with a pause after each.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use handinger::fake::{FakeHandinger, Fault};
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// fake.inject(Fault::drip(Duration::from_millis(50)));
    /// let client = fake.client().with_timeout(Duration::from_millis(200)).with_max_retries(0);
    /// assert!(client.retrieve_webhook("wrk_1").unwrap_err().is_timeout());
    /// ```
    pub fn drip(pause: Duration) -> Self {
        Self { drip: Some(pause), ..Self::none() }
    }

    /// Calls a function when the request has arrived, and then does what was requested.
    ///
    /// This is for what happens while the code under test is busy: a delivery between two pages, a key that is revoked,
    /// a service that stops. The function can call everything that the fake has; what it returns is dropped. If it
    /// panics, the connection is closed.
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault, Operation};
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// let rotated = Fault::meanwhile(|fake| fake.client().regenerate_token("wrk_1"));
    /// fake.inject(rotated.on(Operation::RetrieveWebhook).skip(1));
    ///
    /// let before = client.retrieve_webhook("wrk_1")?;
    /// let after = client.retrieve_webhook("wrk_1")?;
    /// assert_ne!(before.token, after.token);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn meanwhile<R>(change: impl Fn(&FakeHandinger) -> R + Send + Sync + 'static) -> Self {
        let change = move |fake: &FakeHandinger| drop(change(fake));
        Self { change: Some(Arc::new(change)), ..Self::none() }
    }

    /// Adds a header to the response of [`status`](Self::status).
    ///
    /// A name may be repeated. `Content-Type`, `Content-Length` and `Connection` replace the fake's own; after the
    /// latter two, or a `Transfer-Encoding`, the connection is closed.
    ///
    /// # Panics
    ///
    /// If the fault is not one of [`status`](Self::status), or the name or value cannot be sent.
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault};
    /// # let fake = FakeHandinger::start();
    /// fake.inject(Fault::status(307).header("Location", "https://elsewhere.example/"));
    /// let error = fake.client().retrieve_webhook("wrk_1").unwrap_err();
    /// assert_eq!(error.header("Location"), Some("https://elsewhere.example/"));
    /// ```
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert!(!name.is_empty() && name.bytes().all(is_token), "{name:?} is not the name of a header");
        assert!(!value.contains(['\r', '\n', '\0']), "{value:?} is not the value of a header");
        self.response().headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body of the response of [`status`](Self::status), in place of an error message.
    ///
    /// Its type is JSON, unless a [`header`](Self::header) says otherwise.
    ///
    /// # Panics
    ///
    /// If the fault is not one of [`status`](Self::status).
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault};
    /// # let fake = FakeHandinger::start();
    /// fake.inject(Fault::status(502).header("Content-Type", "text/html").body("<h1>Bad gateway</h1>").times(3));
    /// let error = fake.client().retrieve_webhook("wrk_1").unwrap_err();
    /// assert_eq!(error.body(), b"<h1>Bad gateway</h1>");
    /// ```
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.response().body = body.into();
        self
    }

    fn response(&mut self) -> &mut Response {
        match &mut self.outcome {
            Outcome::Replace(response) => response,
            _ => panic!("only a fault with a status has headers and a body"),
        }
    }

    /// Does what was requested first; the fault concerns only the response.
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault};
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client().with_max_retries(0);
    /// fake.inject(Fault::status(504).after_applying());
    /// assert!(client.update_webhook("wrk_1", "https://example.com/hook").is_err());
    /// assert!(client.retrieve_webhook("wrk_1")?.url.is_some());
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn after_applying(mut self) -> Self {
        self.after_applying = true;
        self
    }

    /// Waits before the rest of the fault: a late status, a connection that is silent before it closes.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use handinger::fake::{FakeHandinger, Fault};
    /// # let fake = FakeHandinger::start();
    /// fake.inject(Fault::status(404).delayed(Duration::from_millis(50)));
    /// assert!(fake.client().retrieve_webhook("wrk_1").unwrap_err().is_not_found());
    /// ```
    pub fn delayed(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Strikes this many requests. Default: 1.
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault};
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// fake.inject(Fault::status(503).times(2));
    /// assert!(fake.client().retrieve_webhook("wrk_1").is_ok()); // at the third attempt
    /// ```
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// Strikes all requests until [`clear_faults`](FakeHandinger::clear_faults).
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault};
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// fake.inject(Fault::status(503).always());
    /// assert!(fake.client().retrieve_webhook("wrk_1").unwrap_err().is_server_error());
    /// fake.clear_faults();
    /// assert!(fake.client().retrieve_webhook("wrk_1").is_ok());
    /// ```
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    /// Lets this many requests pass first, of those that [`on`](Self::on) and [`when`](Self::when) select. Default: 0.
    ///
    /// Requests count from when the fault was injected, even if another fault strikes them.
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault};
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// fake.inject(Fault::status(403).skip(1));
    /// assert!(fake.client().retrieve_webhook("wrk_1").is_ok());
    /// assert!(fake.client().retrieve_webhook("wrk_1").unwrap_err().is_forbidden());
    /// ```
    pub fn skip(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    /// Strikes only requests of this operation. Default: all.
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault, Operation};
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// fake.inject(Fault::status(500).on(Operation::ListExecutions).always());
    /// assert!(fake.client().list_executions("wrk_1", 1).is_err());
    /// assert!(fake.client().retrieve_webhook("wrk_1").is_ok());
    /// ```
    pub fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Strikes only requests for which this returns true. Default: all.
    ///
    /// It is called once for each request, of the operation in [`on`](Self::on) if there is one.
    ///
    /// ```
    /// # use handinger::fake::{FakeHandinger, Fault};
    /// # let fake = FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// fake.inject(Fault::status(500).when(|request| request.query.as_deref() == Some("page=2")).always());
    /// assert!(fake.client().list_executions("wrk_1", 1).is_ok());
    /// assert!(fake.client().list_executions("wrk_1", 2).is_err());
    /// ```
    pub fn when(mut self, predicate: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.predicate = Some(Arc::new(predicate));
        self
    }

    pub(super) fn never_strikes(&self) -> bool {
        self.times == Some(0)
    }

    pub(super) fn selects(&self, request: &Request) -> bool {
        (self.operation.is_none() || self.operation == request.operation())
            && self.predicate.as_ref().is_none_or(|predicate| predicate(request))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Fault");
        match &self.outcome {
            Outcome::Serve => &mut shown,
            Outcome::Replace(response) => shown.field("status", &response.status),
            Outcome::HangUp => shown.field("hang_up", &true),
        };
        if self.after_applying {
            shown.field("after_applying", &true);
        }
        if !self.delay.is_zero() {
            shown.field("delay", &self.delay);
        }
        if let Some(length) = self.truncate_at {
            shown.field("truncate", &length);
        }
        if let Some(pause) = self.drip {
            shown.field("drip", &pause);
        }
        if self.change.is_some() {
            shown.field("meanwhile", &format_args!("…"));
        }
        if let Some(operation) = self.operation {
            shown.field("on", &operation);
        }
        if self.predicate.is_some() {
            shown.field("when", &format_args!("…"));
        }
        if self.skip > 0 {
            shown.field("skip", &self.skip);
        }
        match self.times {
            Some(times) => shown.field("times", &times),
            None => shown.field("always", &true),
        };
        shown.finish()
    }
}

/// The faults that were injected and may still strike, in order.
#[derive(Default)]
pub(super) struct Faults {
    queue: Vec<Queued>,
    issued: u64,
}

pub(super) struct Queued {
    number: u64,
    fault: Arc<Fault>,
    /// What is left of the fault's `skip` and `times`.
    skip: usize,
    times: Option<usize>,
    has_struck: bool,
}

impl Faults {
    pub(super) fn push(&mut self, fault: Fault) {
        self.issued += 1;
        let Fault { skip, times, .. } = fault;
        self.queue.push(Queued { number: self.issued, fault: fault.into(), skip, times, has_struck: false });
    }

    /// Removes all faults. They own a test's closures, so the caller drops them, and holds no lock then.
    pub(super) fn clear(&mut self) -> Vec<Queued> {
        mem::take(&mut self.queue)
    }

    /// All faults by number. Whether they select a request is asked without a lock, since that calls a test's code.
    pub(super) fn all(&self) -> Vec<(u64, Arc<Fault>)> {
        self.queue.iter().map(|queued| (queued.number, Arc::clone(&queued.fault))).collect()
    }

    /// Takes the first of the faults that select a request. Those that wait for a later request count this one.
    pub(super) fn take(&mut self, selecting: &[u64]) -> Option<Arc<Fault>> {
        let mut taken = None;
        for queued in self.queue.iter_mut().filter(|queued| selecting.contains(&queued.number)) {
            if queued.skip > 0 {
                queued.skip -= 1;
            } else if taken.is_none() {
                taken = Some(Arc::clone(&queued.fault));
                queued.times = queued.times.map(|times| times - 1);
                queued.has_struck = true;
            }
        }
        self.queue.retain(|queued| queued.times != Some(0));
        taken
    }

    /// The faults that have not struck as often as they should; those that always strike should at least once.
    pub(super) fn unused(&self) -> Vec<Fault> {
        let unused = self.queue.iter().filter(|queued| queued.times.is_some() || !queued.has_struck);
        unused
            .map(|&Queued { ref fault, skip, times, .. }| Fault { skip, times, ..Fault::clone(fault) })
            .collect()
    }
}
