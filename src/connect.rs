//! How a connection is opened: ureq's own way, with two differences.
//!
//! - ureq looks the host up for every request, on a new thread if there is a timeout, and then mostly takes a
//!   connection from its pool. Here the [`Postponed`] resolver answers at once with a placeholder, and
//!   [`Connect`], which ureq calls only when it really opens a connection, does the lookup.
//! - Whatever fails before there is a connection is marked as [`NotSent`], so that no guess is needed on whether
//!   the request may have reached the server.

use std::error::Error as StdError;
use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport};
use ureq::{Agent, Timeout};

use crate::sparing::Sparing;

/// An agent with ureq's own resolver and connector behind ours.
pub(crate) fn agent(config: Config) -> Agent {
    Agent::with_parts(config, Connect::default(), Postponed)
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
        ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => true,
        other => is_about_a_certificate(other),
    }
}

/// The TLS libraries are not dependencies of this crate, so their errors are known by their words.
pub(crate) fn is_about_a_certificate(error: &(dyn StdError + 'static)) -> bool {
    error.to_string().contains("certificate")
}

/// The error below the mark, if it is marked.
pub(crate) fn unmarked(error: ureq::Error) -> ureq::Error {
    match error {
        ureq::Error::Other(marked) => match marked.downcast::<NotSent>() {
            Ok(not_sent) => not_sent.0,
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

#[derive(Debug, Default)]
struct Connect {
    resolver: DefaultResolver,
    connector: DefaultConnector,
}

impl Connect {
    fn open(&self, details: &ConnectionDetails<'_>) -> Result<Option<Box<dyn Transport>>, ureq::Error> {
        // A connection to a proxy comes with the proxy's address, and one through a proxy needs none.
        let addrs = if details.addrs.contains(&PLACEHOLDER) {
            self.resolver.resolve(details.uri, details.config, details.timeout)?
        } else {
            details.addrs.clone()
        };
        let details = ConnectionDetails {
            uri: details.uri,
            addrs,
            config: details.config,
            // All our requests carry timeouts of their own, and nothing else: the TLS set-up of the agent is theirs.
            request_level: false,
            resolver: &self.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        self.connector.connect(&details, None)
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
