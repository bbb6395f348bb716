//! Connections as ureq makes them, with something added: fewer system calls ([`Sparing`]), an end to waiting for a proxy
//! ([`ToProxy`]), and no answer left over for the next request ([`Drained`]).

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport, time};

/// A connection that costs fewer system calls. Of the ten that ureq makes for a call, five are left: one to send, one to
/// receive, three to see that the connection is still open.
///
/// - ureq asks a connection whether it is open when a call is done with it, and again before the next one. The second
///   answer is the one that counts, so the first is given unasked.
/// - ureq sets a socket's timeouts when they are not those of the last time, and what is left of a minute never is.
///   Systems measure them no finer than in milliseconds; handed on in [`whole_millis`], they mostly are the same.
#[derive(Debug)]
pub(crate) struct Sparing {
    transport: Box<dyn Transport>,
    in_use: bool,
}

impl Sparing {
    pub(crate) fn new(transport: Box<dyn Transport>) -> Self {
        Self { transport, in_use: false }
    }
}

impl Transport for Sparing {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.in_use = true;
        self.transport.transmit_output(amount, whole_millis(timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
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
fn whole_millis(timeout: NextTimeout) -> NextTimeout {
    let time::Duration::Exact(after) = timeout.after else { return timeout };
    let millis = Duration::new(after.as_secs(), after.subsec_millis() * 1_000_000);
    NextTimeout { after: (millis + Duration::from_millis(1)).into(), ..timeout }
}

/// The timeout, but no longer than until the deadline.
pub(crate) fn until(deadline: Option<Instant>, timeout: NextTimeout) -> Result<NextTimeout, Error> {
    let Some(deadline) = deadline else { return Ok(timeout) };
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Error::Timeout(timeout.reason));
    }
    Ok(NextTimeout { after: left.min(*timeout.after).into(), ..timeout })
}

/// A connection to a proxy: it has a deadline until it is a tunnel to the target.
#[derive(Debug)]
pub(crate) struct ToProxy {
    transport: Box<dyn Transport>,
    deadline: Option<Instant>,
    is_tunnel: Arc<AtomicBool>,
}

impl ToProxy {
    pub(crate) fn new(
        transport: Box<dyn Transport>,
        deadline: Option<Instant>,
        is_tunnel: Arc<AtomicBool>,
    ) -> Self {
        Self { transport, deadline, is_tunnel }
    }
}

impl Transport for ToProxy {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.transport.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let is_tunnel = self.is_tunnel.load(Ordering::Relaxed);
        let timeout = if is_tunnel { timeout } else { until(self.deadline, timeout)? };
        self.transport.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.transport.buffers().input().is_empty() && self.transport.is_open()
    }

    fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }
}

/// Makes connections [`Drained`].
#[derive(Debug)]
pub(crate) struct Drain;

impl<In: Transport> Connector<In> for Drain {
    type Out = Drained<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Drained<In>>, Error> {
        Ok(chained.map(Drained))
    }
}

/// A connection that is not open any more if there is something unread in its buffer, such as a second answer to one
/// request. ureq looks for that above TLS and in the socket: a record that was received together with the one before
/// it, and not decrypted yet, would become the answer to the next request.
#[derive(Debug)]
pub(crate) struct Drained<T>(T);

impl<T: Transport> Transport for Drained<T> {
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

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}
