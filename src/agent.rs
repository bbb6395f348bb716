//! The agent of ureq beneath the client: one of our own, or a caller's that will do.

use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::{Authority, Scheme};
use ureq::{Agent, Proxy, ProxyProtocol};

use crate::connect;

/// The largest header section of an answer that is read, in bytes.
pub(crate) const LARGEST_HEADERS: usize = 64 * 1024;
/// The longest line of a request's head, in bytes: servers take no longer ones.
pub(crate) const LONGEST_LINE: usize = 8 * 1024;
/// ureq sends a line only if its output buffer can hold it. A worker's id comes on top of the base URL.
const SMALLEST_OUTPUT_BUFFER: usize = 2 * LONGEST_LINE;

/// ureq with its defaults, but for the TLS library and roots that the features select.
pub(crate) fn own(scheme: &Scheme, authority: &Authority, is_local: bool) -> Result<Agent, String> {
    if *scheme == Scheme::HTTPS && !cfg!(any(feature = "rustls", feature = "native-tls")) {
        return Err("an https base URL needs the cargo feature `rustls` or `native-tls` of handinger".into());
    }
    let mut config = Agent::config_builder();
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    {
        use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

        let mut tls = TlsConfig::builder();
        if cfg!(not(feature = "rustls")) {
            tls = tls.provider(TlsProvider::NativeTls);
        }
        if cfg!(feature = "platform-verifier") {
            tls = tls.root_certs(RootCerts::PlatformVerifier);
        }
        config = config.tls_config(tls.build());
    }
    if is_local {
        // The way to this machine is not through another one, and the key would go there unencrypted.
        config = config.proxy(None);
    }
    let config = config.build();
    check_features(&config, scheme, authority)?;
    Ok(connect::agent(config))
}

/// What of a caller's agent cannot be set for a single request must be such that our requests pass.
pub(crate) fn callers(agent: Agent, scheme: &Scheme, authority: &Authority) -> Result<Agent, String> {
    let config = agent.config();
    if config.https_only() && *scheme == Scheme::HTTP {
        return Err("the agent allows https only, and the base URL is http".into());
    }
    // ureq takes a head that fills the buffer for a broken connection.
    if config.input_buffer_size() <= LARGEST_HEADERS {
        return Err("the agent's input buffer must be larger than 64 KiB".into());
    }
    if config.output_buffer_size() < SMALLEST_OUTPUT_BUFFER {
        return Err("the agent's output buffer must not be smaller than 16 KiB".into());
    }
    check_features(config, scheme, authority)?;
    Ok(agent)
}

/// Where this build lacks what the settings ask for, ureq panics when it connects, or connects without it.
fn check_features(config: &Config, scheme: &Scheme, authority: &Authority) -> Result<(), String> {
    let target = Uri::from(authority.clone());
    let proxy = config.proxy().filter(|proxy| !proxy.is_no_proxy(&target)).map(Proxy::protocol);
    let is_socks = proxy.is_some_and(|proxy| !matches!(proxy, ProxyProtocol::Http | ProxyProtocol::Https));
    let missing = if is_socks && !cfg!(feature = "socks-proxy") {
        Some(("a SOCKS proxy", "socks-proxy"))
    } else if *scheme == Scheme::HTTPS || proxy == Some(ProxyProtocol::Https) {
        missing_for_tls(config)
    } else {
        None
    };
    if let Some((what, feature)) = missing {
        return Err(format!("{what} needs the cargo feature `{feature}` of handinger"));
    }
    Ok(())
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn missing_for_tls(config: &Config) -> Option<(&'static str, &'static str)> {
    use ureq::tls::{RootCerts, TlsProvider};

    let tls = config.tls_config();
    let uses_rustls = tls.provider() == TlsProvider::Rustls;
    if uses_rustls && !cfg!(feature = "rustls") {
        Some(("TLS by rustls", "rustls"))
    } else if tls.provider() == TlsProvider::NativeTls && !cfg!(feature = "native-tls") {
        Some(("TLS by the system's library", "native-tls"))
    } else if uses_rustls
        && matches!(tls.root_certs(), RootCerts::PlatformVerifier)
        && !cfg!(feature = "platform-verifier")
    {
        Some(("trust in the system's root certificates", "platform-verifier"))
    } else {
        None
    }
}

/// Without features of ours, the settings cannot be seen. A caller's agent may have TLS of its own, or fails to connect;
/// a proxy that is spoken to by TLS would be spoken to without.
#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
fn missing_for_tls(config: &Config) -> Option<(&'static str, &'static str)> {
    let proxy = config.proxy().map(Proxy::protocol);
    (proxy == Some(ProxyProtocol::Https)).then_some(("an https proxy", "rustls"))
}
