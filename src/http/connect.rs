//! Creates ureq's agent, whose connections use ureq's own connectors with two additions.
//!
//! - [`NotSent`] marks an error that occurred before anything of the request was sent, and says where.
//! - [`CachingResolver`] caches the addresses of a host for a minute.
//!
//! `ureq::unversioned` may change in minor versions. This file implements its traits and calls the constructors of its
//! connectors; it constructs none of its structs, because they gain fields.

use std::collections::HashMap;
use std::env;
use std::error::Error as StdError;
use std::fmt;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::{Authority, Scheme};
#[cfg(any(feature = "rustls", feature = "native-tls"))]
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{self, ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::{Agent, Error, Proxy, ProxyProtocol};

use super::settings::{BaseUrl, Configure, without_user};
use super::{MAX_ADDRESS_AGE, proxy};

/// Creates the agent and its resolver, with ureq's defaults, the TLS library and roots that the features
/// select, and the environment's proxy. `configure` may change all of them.
pub(super) fn agent(
    base_url: &BaseUrl,
    user_agent: &str,
    configure: Configure,
) -> Result<(Agent, CachingResolver), String> {
    // A proxy would resolve a loopback host to its own machine, and receive the key.
    let is_direct = base_url.is_loopback();
    let variable = |name: &str| if is_direct { None } else { env::var_os(name) };
    let proxy = proxy::from_variables(&base_url.scheme, &base_url.authority, variable)?;
    // Sets the user agent for proxies, because they do not receive our header.
    let config = Agent::config_builder().proxy(proxy).user_agent(user_agent);
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    let config = config.tls_config(tls_config());
    let config = configure(config);
    let config = if is_direct { config.proxy(None) } else { config }.build();
    check_features(&config, &base_url.scheme)?;
    let resolver = CachingResolver::new(DefaultResolver::default());
    Ok((Agent::with_parts(config, connector(), resolver.clone()), resolver))
}

/// Rejects a configuration that needs a missing feature, because ureq would panic, or connect without it.
fn check_features(config: &Config, scheme: &Scheme) -> Result<(), String> {
    let proxy = config.proxy().map(Proxy::protocol);
    let is_socks = !matches!(proxy, None | Some(ProxyProtocol::Http | ProxyProtocol::Https));
    let is_https = *scheme == Scheme::HTTPS || proxy == Some(ProxyProtocol::Https);
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    let missing = missing_for_tls(config.tls_config());
    #[cfg(not(any(feature = "rustls", feature = "native-tls")))]
    let missing = Some("rustls` or `native-tls");
    if is_socks && !cfg!(feature = "socks-proxy") {
        return Err("a SOCKS proxy needs the cargo feature `socks-proxy` of handinger".into());
    }
    match missing {
        Some(feature) if is_https => Err(format!("https needs the cargo feature `{feature}` of handinger")),
        _ => Ok(()),
    }
}

/// Selects the TLS library and the roots according to the features.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn tls_config() -> TlsConfig {
    let is_rustls = cfg!(feature = "rustls");
    let is_platform = cfg!(feature = "platform-verifier");
    TlsConfig::builder()
        .provider(if is_rustls { TlsProvider::Rustls } else { TlsProvider::NativeTls })
        .root_certs(if is_platform { RootCerts::PlatformVerifier } else { RootCerts::WebPki })
        .build()
}

/// Returns the feature that the configured TLS library or roots need, if this build lacks it.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn missing_for_tls(tls: &TlsConfig) -> Option<&'static str> {
    let is_platform = matches!(tls.root_certs(), RootCerts::PlatformVerifier);
    match tls.provider() {
        TlsProvider::NativeTls => (!cfg!(feature = "native-tls")).then_some("native-tls"),
        _ if cfg!(not(feature = "rustls")) => Some("rustls"),
        _ => (is_platform && !cfg!(feature = "platform-verifier")).then_some("platform-verifier"),
    }
}

/// Returns the two halves of ureq's `DefaultConnector`, which mark their errors.
fn connector() -> impl Connector {
    let connector = ();
    #[cfg(feature = "socks-proxy")]
    let connector = connector.chain(transport::SocksConnector::default());
    let connector = connector.chain(transport::ConnectProxyConnector::default());
    let connector = connector.chain(transport::TcpConnector::default());
    let connector = ().chain(Marked(Step::Connect, connector));
    #[cfg(feature = "rustls")]
    let connector = connector.chain(Marked(Step::Tls, transport::RustlsConnector::default()));
    #[cfg(feature = "native-tls")]
    let connector = connector.chain(Marked(Step::Tls, transport::NativeTlsConnector::default()));
    connector
}

/// A step on the way to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Lookup,
    /// TCP and proxy.
    Connect,
    Tls,
}

/// A connector that marks its errors.
#[derive(Debug)]
struct Marked<C>(Step, C);

impl<In: Transport, C: Connector<In>> Connector<In> for Marked<C> {
    type Out = C::Out;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<C::Out>, Error> {
        let Self(step, connector) = self;
        connector.connect(details, chained).map_err(|error| NotSent::mark(*step, details.uri, error))
    }
}

/// The mark of an error that occurred before anything of the request was sent.
#[derive(Debug)]
pub(super) struct NotSent {
    step: Step,
    /// The host and port of the base URL or, for the connection to a proxy, of the proxy.
    host: String,
    pub(super) error: Error,
}

impl NotSent {
    fn mark(step: Step, uri: &Uri, error: Error) -> Error {
        match error {
            // An error of the connection to a proxy is marked already. ureq's connectors never create
            // `Error::Other` themselves.
            Error::Other(marked) => Error::Other(marked),
            error => {
                let host = uri.authority().map(without_user).unwrap_or_default().to_owned();
                Error::Other(Box::new(Self { step, host, error }))
            }
        }
    }

    /// Returns the mark, or an unmarked error itself.
    pub(super) fn of(error: Error) -> Result<Self, Error> {
        match error {
            Error::Other(error) => error.downcast().map(|marked| *marked).map_err(Error::Other),
            error => Err(error),
        }
    }

    /// Describes the failure, with the host and the proxy.
    pub(super) fn problem(&self, proxy: Option<&Proxy>) -> String {
        const HINT: &str = "; the cargo feature `platform-verifier` of handinger trusts the issuers that this \
                            machine trusts";
        let host = &self.host;
        let (peer, via) = match proxy.and_then(|proxy| proxy.uri().authority()).map(without_user) {
            Some(proxy) if proxy == host => (format!("the proxy {host}"), String::new()),
            Some(proxy) => (host.clone(), format!(" through the proxy {proxy}")),
            None => (host.clone(), String::new()),
        };
        match self.step {
            Step::Lookup => format!("could not look up {peer}"),
            Step::Connect => {
                let status = self.proxy_status().map(|status| format!(", which returned {status}"));
                format!("could not connect to {peer}{via}{}", status.unwrap_or_default())
            }
            // By `platform-verifier`, in a container without the package `ca-certificates`.
            Step::Tls if self.error.to_string().contains("No CA certificates") => {
                format!(
                    "could not verify the certificate of {peer}{via}: this machine has no root certificates"
                )
            }
            Step::Tls if self.is_certificate_rejected() => {
                let is_unknown = self.error.to_string().contains("UnknownIssuer");
                let hint = if is_unknown && cfg!(not(feature = "platform-verifier")) { HINT } else { "" };
                format!("the certificate of {peer}{via} was rejected{hint}")
            }
            Step::Tls => format!("could not complete the TLS handshake with {peer}{via}"),
        }
    }

    /// Reports whether a retry would fail in the same way.
    pub(super) fn is_final(&self) -> bool {
        match &self.error {
            // tinyproxy returns 401 for a wrong password.
            Error::ConnectProxyFailed(_) => matches!(self.proxy_status(), Some(401 | 403 | 407)),
            // A wrong SOCKS password. Errors of the system, such as EACCES by a firewall, have a number.
            Error::Io(error) if error.kind() == ErrorKind::PermissionDenied => error.raw_os_error().is_none(),
            _ => self.is_certificate_rejected(),
        }
    }

    /// Returns the status in `CONNECT proxy failed: proxy server responded 407/407`.
    fn proxy_status(&self) -> Option<u16> {
        match &self.error {
            Error::ConnectProxyFailed(reason) => reason.rsplit('/').next()?.parse().ok(),
            _ => None,
        }
    }

    /// Recognizes errors by their text, because the TLS libraries are not dependencies of this crate.
    fn is_certificate_rejected(&self) -> bool {
        let text = self.error.to_string();
        // An alert comes from the server, and may concern the client's certificate.
        let is_certificate = text.contains("certificate") && !text.contains("alert");
        self.step == Step::Tls && (is_certificate || text.contains("cert chain")) // native-tls on Windows
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for NotSent {}

/// Caches the addresses of a host for [`MAX_ADDRESS_AGE`], because ureq looks a host up before every request,
/// even with a pooled connection.
#[derive(Clone, Debug)]
pub(super) struct CachingResolver {
    resolver: Arc<dyn Resolver>,
    cache: Arc<Mutex<Cache>>,
}

#[derive(Debug, Default)]
struct Cache {
    /// The hosts of the base URL and of any proxy, each with the time of its lookup.
    hosts: HashMap<(Option<Scheme>, Option<Authority>), (ResolvedSocketAddrs, Instant)>,
    /// The number of times that the cache has been cleared.
    failures: usize,
}

impl CachingResolver {
    fn new(resolver: impl Resolver) -> Self {
        Self { resolver: Arc::new(resolver), cache: Arc::default() }
    }

    /// Clears the cache, and rotates the addresses of later lookups by one more, because ureq does not try
    /// the next address after some errors of a single one, such as EACCES by a firewall.
    pub(super) fn forget(&self) {
        let mut cache = self.cache();
        // If several threads fail with the same addresses, only the first rotates them.
        if !cache.hosts.is_empty() {
            cache.hosts.clear();
            cache.failures += 1;
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        // The key includes the scheme, because each address has a port.
        let host = (uri.scheme().cloned(), uri.authority().cloned());
        if let Some((addresses, looked_up)) = self.cache().hosts.get(&host)
            && looked_up.elapsed() < MAX_ADDRESS_AGE
        {
            return Ok(addresses.clone());
        }
        let found = self.resolver.resolve(uri, config, timeout);
        let mut addresses = found.map_err(|error| NotSent::mark(Step::Lookup, uri, error))?;
        let mut cache = self.cache();
        let by = cache.failures % addresses.len().max(1);
        addresses.rotate_left(by);
        cache.hosts.insert(host, (addresses.clone(), Instant::now()));
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests;
