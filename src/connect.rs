//! How a connection is opened: ureq's own way, with three differences.
//!
//! - ureq looks the host up for every request, on a new thread if there is a timeout, and then mostly takes a
//!   connection from its pool. Here the [`Postponed`] resolver answers at once with a placeholder, and
//!   [`Connect`], which ureq calls only when it really opens a connection, does the lookup.
//! - Whatever fails before there is a connection is marked as [`NotSent`], so that no guess is needed on whether
//!   the request may have reached the server.
//! - A proxy has to have answered in time, too. ureq grants it the whole time again for each piece of its
//!   answer.

use std::error::Error as StdError;
use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport, time,
};
use ureq::{Agent, Timeout};

use crate::sparing::Sparing;

/// An agent with ureq's own resolver and connector behind ours.
pub(crate) fn agent(config: Config) -> Agent {
    let connect =
        Connect { resolver: Box::new(DefaultResolver::default()), connector: DefaultConnector::new() };
    Agent::with_parts(config, connect, Postponed)
}

/// Whether the request that failed with `error` certainly did not leave this machine.
///
/// Of our own agent's errors that is always known; of another agent's, only if the sort of error tells.
pub(crate) fn is_not_sent(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Other(marked) => marked.is::<NotSent>(),
        ureq::Error::Timeout(phase) => matches!(phase, Timeout::Resolve | Timeout::Connect),
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::ConnectProxyFailed(_)
        | ureq::Error::InvalidProxyUrl
        | ureq::Error::Tls(_)
        | ureq::Error::TlsRequired => true,
        // Of TCP, and of the TLS handshake by rustls. That the server refused *our* certificate, it says in other
        // words, and in TLS 1.3 only after the request was sent.
        ureq::Error::Io(error) => {
            error.kind() == ErrorKind::ConnectionRefused
                || error.to_string().starts_with("invalid peer certificate")
        }
        // Of the handshake; later errors of native-tls are I/O errors.
        #[cfg(feature = "native-tls")]
        ureq::Error::NativeTls(_) => true,
        _ => false,
    }
}

/// The TLS libraries are not dependencies of this crate, so their errors are known by their words.
pub(crate) fn is_about_a_certificate(error: &(dyn StdError + 'static)) -> bool {
    error.to_string().contains("certificate")
}

/// The error below the mark, if it is marked; below two of them, if it is about the connection to a proxy.
pub(crate) fn unmarked(error: ureq::Error) -> ureq::Error {
    match error {
        ureq::Error::Other(marked) => match marked.downcast::<NotSent>() {
            Ok(not_sent) => unmarked(not_sent.0),
            Err(other) => ureq::Error::Other(other),
        },
        other => other,
    }
}

/// The mark that a request was not sent.
#[derive(Debug)]
struct NotSent(ureq::Error);

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for NotSent {}

/// Stands for an address that is not known yet; nobody can listen on port 0.
const PLACEHOLDER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

#[derive(Debug)]
struct Postponed;

impl Resolver for Postponed {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addrs = self.empty();
        addrs.push(PLACEHOLDER);
        Ok(addrs)
    }
}

#[derive(Debug)]
struct Connect {
    resolver: Box<dyn Resolver>,
    connector: DefaultConnector,
}

impl Connect {
    fn open(&self, details: &ConnectionDetails<'_>) -> Result<Option<Box<dyn Transport>>, ureq::Error> {
        let deadline = Deadline::of(details);
        // A connection to a proxy comes with the proxy's address, and one through a proxy needs none.
        let addrs = if details.addrs.contains(&PLACEHOLDER) {
            self.resolver.resolve(details.uri, details.config, details.timeout)?
        } else {
            details.addrs.clone()
        };
        let is_open = Arc::new(AtomicBool::new(false));
        let (connect_to_proxy, is_tunnel) = (details.run_connector.clone(), Arc::clone(&is_open));
        let details = ConnectionDetails {
            uri: details.uri,
            addrs,
            config: details.config,
            // All our requests carry timeouts of their own, and nothing else: the TLS set-up of the agent is theirs.
            request_level: false,
            resolver: &*self.resolver,
            now: (details.current_time)(),
            timeout: deadline.limit(details.timeout)?,
            current_time: details.current_time.clone(),
            run_connector: Arc::new(move |details| {
                let transport = connect_to_proxy(details)?;
                Ok(Box::new(ToProxy { transport, deadline, is_tunnel: Arc::clone(&is_tunnel) }))
            }),
            register_shutdown: details.register_shutdown.clone(),
        };
        let transport = self.connector.connect(&details, None);
        is_open.store(true, Ordering::Relaxed);
        transport
    }
}

/// When there must be a connection, if there must.
#[derive(Clone, Copy, Debug)]
struct Deadline(Option<Instant>);

impl Deadline {
    fn of(details: &ConnectionDetails<'_>) -> Self {
        Self(match details.now {
            time::Instant::Exact(now) => now.checked_add(*details.timeout.after),
            _ => None,
        })
    }

    /// The timeout, but no longer than until the deadline.
    fn limit(self, timeout: NextTimeout) -> Result<NextTimeout, ureq::Error> {
        let Self(Some(deadline)) = self else { return Ok(timeout) };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ureq::Error::Timeout(timeout.reason));
        }
        Ok(NextTimeout { after: left.min(*timeout.after).into(), ..timeout })
    }
}

impl Connector for Connect {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let transport = self.open(details).map_err(|error| ureq::Error::Other(Box::new(NotSent(error))))?;
        // Through a proxy a connection lies in another, and only the inner one asks the socket whether it is open.
        let is_direct = details.config.proxy().is_none();
        Ok(transport.map(|inner| if is_direct { Box::new(Sparing::new(inner)) } else { inner }))
    }
}

/// A connection to a proxy: it has a deadline until it is a tunnel to the target.
#[derive(Debug)]
struct ToProxy {
    transport: Box<dyn Transport>,
    deadline: Deadline,
    is_tunnel: Arc<AtomicBool>,
}

impl Transport for ToProxy {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.transport.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let is_tunnel = self.is_tunnel.load(Ordering::Relaxed);
        let timeout = if is_tunnel { timeout } else { self.deadline.limit(timeout)? };
        self.transport.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.transport.is_open()
    }

    fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    #[derive(Debug)]
    struct Slow(SocketAddr);

    impl Resolver for Slow {
        fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
            sleep(Duration::from_millis(100));
            let mut addrs = self.empty();
            addrs.push(self.0);
            Ok(addrs)
        }
    }

    #[test]
    fn a_lookup_takes_its_time_from_that_of_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let resolver = Box::new(Slow(listener.local_addr().unwrap()));
        let connect = Connect { resolver, connector: DefaultConnector::new() };
        let config = Agent::config_builder().proxy(None).timeout_connect(Some(Duration::from_millis(50)));
        let agent = Agent::with_parts(config.build(), connect, Postponed);
        let error = agent.get("http://handinger.test").call().unwrap_err();
        assert!(is_not_sent(&error), "{error:?}");
        assert!(matches!(unmarked(error), ureq::Error::Timeout(Timeout::Connect)));
    }
}
