//! A connection that costs fewer system calls. Of the ten that ureq makes for a call, five are left: one to send, one to
//! receive, three to see that the connection is still open.
//!
//! - ureq asks a connection whether it is open when a call is done with it, and again before the next one. The second
//!   answer is the one that counts, so the first is given unasked.
//! - ureq sets a socket's timeouts when they are not those of the last time, and what is left of a minute never is.
//!   Systems measure them no finer than in milliseconds; handed on in [`whole_millis`], they mostly are the same.

use std::mem;
use std::time::Duration;

use ureq::Error;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport, time};

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
