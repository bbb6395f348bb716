//! How a connection is opened: ureq's own way, with four differences.
//!
//! - ureq looks the host up for every request, on a new thread if there is a timeout, and then mostly takes a
//!   connection from its pool. Here the [`Postponed`] resolver answers at once with a placeholder, and
//!   [`Connect`], which ureq calls only when it really opens a connection, does the lookup.
//! - Whatever fails before there is a connection is marked as [`NotSent`], so that no guess is needed on whether
//!   the request may have reached the server.
//! - Each step has what is left of the time. ureq grants the whole of it to a lookup and to TCP each, and to a proxy
//!   for each piece of its answer.
//! - A connection on which there is something unread below TLS is not used again; see [`Drain`].

use std::error::Error as StdError;
use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport, time,
};
use ureq::{Agent, Timeout};

use crate::transport::{Drain, Sparing, ToProxy, until};

/// An agent with ureq's own resolver and connector behind ours.
pub(crate) fn agent(config: Config) -> Agent {
    Agent::with_parts(config, Connect { resolver: DefaultResolver::default(), connector: chain() }, Postponed)
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

/// What [`DefaultConnector`](ureq::unversioned::transport::DefaultConnector) does, with [`Drain`] between TCP (or the
/// tunnel through a proxy) and TLS. Settings that it would complain of are refused when the client is built.
fn chain() -> impl Connector {
    let connector = ();
    #[cfg(feature = "socks-proxy")]
    let connector = connector.chain(ureq::unversioned::transport::SocksConnector::default());
    let connector =
        connector.chain(ConnectProxyConnector::default()).chain(TcpConnector::default()).chain(Drain);
    #[cfg(feature = "rustls")]
    let connector = connector.chain(ureq::unversioned::transport::RustlsConnector::default());
    #[cfg(feature = "native-tls")]
    let connector = connector.chain(ureq::unversioned::transport::NativeTlsConnector::default());
    connector
}

#[derive(Debug)]
struct Connect<R, C> {
    resolver: R,
    connector: C,
}

impl<R: Resolver, C: Connector> Connect<R, C> {
    fn open(&self, details: &ConnectionDetails<'_>) -> Result<Option<Box<dyn Transport>>, ureq::Error> {
        let deadline = match details.now {
            time::Instant::Exact(start) => start.checked_add(*details.timeout.after),
            _ => None,
        };
        // A connection to a proxy comes with the proxy's address, and one through a proxy needs none.
        let addrs = if details.addrs.contains(&PLACEHOLDER) {
            self.resolver.resolve(details.uri, details.config, details.timeout)?
        } else {
            details.addrs.clone()
        };
        let timeout = until(deadline, details.timeout)?;
        let is_open = Arc::new(AtomicBool::new(false));
        let (connect_to_proxy, is_tunnel) = (details.run_connector.clone(), Arc::clone(&is_open));
        let details = ConnectionDetails {
            uri: details.uri,
            addrs,
            config: details.config,
            // All our requests carry timeouts of their own, and nothing else: the TLS set-up of the agent is theirs.
            request_level: false,
            resolver: &self.resolver,
            now: (details.current_time)(),
            timeout,
            current_time: details.current_time.clone(),
            run_connector: Arc::new(move |details| {
                let transport = connect_to_proxy(details)?;
                Ok(Box::new(ToProxy::new(transport, deadline, Arc::clone(&is_tunnel))))
            }),
            register_shutdown: details.register_shutdown.clone(),
        };
        let transport = self.connector.connect(&details, None);
        is_open.store(true, Ordering::Relaxed);
        Ok(transport?.map(|transport| Box::new(transport) as Box<dyn Transport>))
    }
}

impl<R: Resolver, C: Connector> Connector for Connect<R, C> {
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

#[cfg(test)]
mod tests;
