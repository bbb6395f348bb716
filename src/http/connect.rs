//! How a connection is opened: ureq's own way, with two differences.
//!
//! - Whatever fails before there is a connection is marked as [`NotSent`], so that no guess is needed on whether
//!   the request may have reached the server.
//! - A connection on which something unread is left below TLS is not reused; see [`StrayCheck`].
//!
//! Of `ureq::unversioned`, which may change in minor versions, only traits are implemented and constructors called.

use std::error::Error as StdError;
use std::fmt;
use std::io::ErrorKind;

use ureq::config::Config;
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, TcpConnector, Transport,
};
use ureq::{Agent, Error, Timeout};

use super::resolve::CachingResolver;
use super::transport::{Socket, StrayCheck, open_tunnel};

/// An agent with ureq's own connectors.
pub(super) fn agent(config: Config, resolver: CachingResolver) -> Agent {
    Agent::with_parts(config, Marking(chain()), resolver)
}

/// Whether the request that failed with `error` was certainly not sent.
///
/// Of our own agent's errors that is always known; of another agent's, only if the kind of error says so.
pub(super) fn is_not_sent(error: &Error) -> bool {
    match error {
        Error::Other(marked) => marked.is::<NotSent>(),
        Error::Timeout(phase) => matches!(phase, Timeout::Resolve | Timeout::Connect),
        Error::HostNotFound
        | Error::ConnectionFailed
        | Error::ConnectProxyFailed(_)
        | Error::InvalidProxyUrl
        | Error::Tls(_)
        | Error::TlsRequired => true,
        // Of TCP, and of the TLS handshake by rustls. That the server rejected *our* certificate, it says in other
        // words, and in TLS 1.3 only after the request was sent.
        Error::Io(error) => {
            error.kind() == ErrorKind::ConnectionRefused
                || error.to_string().starts_with("invalid peer certificate")
        }
        // Of the handshake; later errors of native-tls are I/O errors.
        #[cfg(feature = "native-tls")]
        Error::NativeTls(_) => true,
        _ => false,
    }
}

/// The TLS libraries are not dependencies of this crate, so their errors are known by their words.
pub(super) fn is_about_a_certificate(error: &(dyn StdError + 'static)) -> bool {
    error.to_string().contains("certificate")
}

/// The mark that a request was not sent.
#[derive(Debug)]
pub(super) struct NotSent(Error);

impl NotSent {
    pub(super) fn mark(error: Error) -> Error {
        Error::Other(Box::new(Self(error)))
    }

    /// The error below the mark, if it is marked; below two of them, if it is about the connection to a proxy.
    pub(super) fn unmark(error: Error) -> Error {
        match error {
            Error::Other(marked) => match marked.downcast::<Self>() {
                Ok(not_sent) => Self::unmark(not_sent.0),
                Err(other) => Error::Other(other),
            },
            other => other,
        }
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for NotSent {}

/// What ureq's `DefaultConnector` does, with [`StrayCheck`] between TCP (or the tunnel through a proxy) and TLS. Settings
/// that it would complain of are rejected when the client is built.
fn chain() -> impl Connector {
    let connector = ();
    #[cfg(feature = "socks-proxy")]
    let connector = connector.chain(ureq::unversioned::transport::SocksConnector::default());
    let connector =
        connector.chain(ConnectProxyConnector::default()).chain(TcpConnector::default()).chain(StrayCheck);
    #[cfg(feature = "rustls")]
    let connector = connector.chain(ureq::unversioned::transport::RustlsConnector::default());
    #[cfg(feature = "native-tls")]
    let connector = connector.chain(ureq::unversioned::transport::NativeTlsConnector::default());
    connector
}

/// Marks what the connectors within it report.
#[derive(Debug)]
struct Marking<C>(C);

impl<C: Connector> Connector for Marking<C> {
    type Out = Box<dyn Transport>;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Self::Out>, Error> {
        // Through a proxy a connection is within another, which is opened by a call of this method in this one.
        let is_direct = details.config.proxy().is_none();
        let open = || self.0.connect(details, None);
        let transport = if is_direct { open() } else { open_tunnel(details.timeout, open) };
        let transport = transport.map_err(NotSent::mark)?;
        Ok(transport.map(|transport| -> Self::Out {
            if is_direct { Box::new(Socket::new(transport)) } else { Box::new(transport) }
        }))
    }
}

#[cfg(test)]
mod tests;
