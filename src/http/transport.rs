//! Connections as ureq makes them, with something added: fewer system calls and an end to waiting for a proxy ([`Socket`]),
//! and no response left over for the next request ([`StrayChecked`]).

use std::cell::Cell;
use std::mem;
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport, time};

thread_local! {
    /// When the tunnel that this thread is opening through a proxy must be open.
    static TUNNEL_DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Opens a tunnel through a proxy within the timeout: ureq grants the proxy all of it for each piece of its response.
pub(super) fn open_tunnel<T>(timeout: NextTimeout, open: impl FnOnce() -> T) -> T {
    struct Reset;

    impl Drop for Reset {
        fn drop(&mut self) {
            TUNNEL_DEADLINE.set(None);
        }
    }

    // Even if ureq panics: the thread may go on to make other requests.
    let _reset = Reset;
    TUNNEL_DEADLINE.set(Instant::now().checked_add(*timeout.after));
    open()
}

/// A connection that is not within another. It costs fewer system calls: of the ten that ureq makes for a call, five are
/// left, one to send, one to receive, three to see that the connection is still open.
///
/// - ureq asks a connection whether it is open when a call is done with it, and again before the next one. Only the
///   second reply matters, so the first is given without asking.
/// - ureq sets a socket's timeouts when they are not those of the last time, and what is left of a minute never is.
///   Systems measure them no finer than in milliseconds; passed on in [`whole_millis`], they mostly are the same.
#[derive(Debug)]
pub(super) struct Socket<T> {
    transport: T,
    in_use: bool,
}

impl<T> Socket<T> {
    pub(super) fn new(transport: T) -> Self {
        Self { transport, in_use: false }
    }
}

impl<T: Transport> Transport for Socket<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.in_use = true;
        self.transport.transmit_output(amount, whole_millis(timeout))
    }

    fn await_input(&mut self, mut timeout: NextTimeout) -> Result<bool, Error> {
        if let Some(deadline) = TUNNEL_DEADLINE.get() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Timeout(timeout.reason));
            }
            timeout.after = left.into();
        }
        self.transport.await_input(whole_millis(timeout))
    }

    fn is_open(&mut self) -> bool {
        mem::take(&mut self.in_use) || self.transport.is_open()
    }

    fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }
}

/// The timeout, up to the next millisecond.
fn whole_millis(mut timeout: NextTimeout) -> NextTimeout {
    if let time::Duration::Exact(after) = timeout.after {
        let millis = Duration::new(after.as_secs(), after.subsec_millis() * 1_000_000);
        timeout.after = (millis + Duration::from_millis(1)).into();
    }
    timeout
}

/// Makes connections [`StrayChecked`].
#[derive(Debug)]
pub(super) struct StrayCheck;

impl<In: Transport> Connector<In> for StrayCheck {
    type Out = StrayChecked<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(StrayChecked))
    }
}

/// A connection below TLS that is not open any more if something is left unread in its buffer, such as a second response
/// to one request. ureq looks for that above TLS and in the socket: a record that was received together with the one
/// before it, and not decrypted yet, would become the response to the next request.
#[derive(Debug)]
pub(super) struct StrayChecked<T>(T);

impl<T: Transport> Transport for StrayChecked<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.0.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.0.buffers().input().is_empty() && self.0.is_open()
    }
}
