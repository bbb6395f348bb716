//! The agent of ureq beneath the client: our own, or a caller's that meets our conditions.

use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::{Authority, Scheme};
use ureq::{Agent, Proxy, ProxyProtocol};

use super::base_url::BaseUrl;
use super::resolve::CachingResolver;
use super::{MAX_HEADERS, MIN_OUTPUT_BUFFER, connect, in_words};

/// ureq with its defaults, but for the TLS library and roots that the features select.
pub(super) fn own(base_url: &BaseUrl) -> Result<(Agent, CachingResolver), String> {
    if base_url.scheme == Scheme::HTTPS && !cfg!(any(feature = "rustls", feature = "native-tls")) {
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
    if base_url.is_loopback() {
        // A loopback host is not reached through another host, and the key would go there unencrypted.
        config = config.proxy(None);
    }
    let config = config.build();
    check_features(&config, &base_url.scheme, &base_url.authority)?;
    let resolver = CachingResolver::default();
    Ok((connect::agent(config, resolver.clone()), resolver))
}

/// Rejects agents whose settings cannot be overridden per request, and would make our requests fail or leak.
pub(super) fn callers(agent: Agent, base_url: &BaseUrl, allow_insecure_http: bool) -> Result<Agent, String> {
    let config = agent.config();
    let is_http = base_url.scheme == Scheme::HTTP;
    if config.https_only() && is_http {
        return Err("the agent allows https only, and the base URL is http".into());
    }
    // ureq takes a head that fills the buffer for a lost connection.
    if config.input_buffer_size() <= MAX_HEADERS {
        return Err(format!("the agent's input buffer must be larger than {}", in_words(MAX_HEADERS)));
    }
    if config.output_buffer_size() < MIN_OUTPUT_BUFFER {
        return Err(format!("the agent's output buffer must be at least {}", in_words(MIN_OUTPUT_BUFFER)));
    }
    check_features(config, &base_url.scheme, &base_url.authority)?;
    if is_http && !allow_insecure_http && proxy(config, &base_url.authority).is_some() {
        return Err(
            "the agent's proxy would receive the key unencrypted; use https, or allow_insecure_http(true)"
                .into(),
        );
    }
    Ok(agent)
}

/// Empties the cookie jar that every agent has if some other crate in the build enables ureq's feature `cookies`. Then the
/// agent has a method of its own with this name, which precedes that of the trait.
pub(super) fn forget_cookies(agent: &Agent) {
    agent.cookie_jar_lock().clear();
}

trait WithoutCookies {
    fn cookie_jar_lock(&self) -> NoCookies {
        NoCookies
    }
}

impl WithoutCookies for Agent {}

struct NoCookies;

impl NoCookies {
    #[expect(clippy::unused_self, reason = "stands in for that of ureq's jar")]
    fn clear(&mut self) {}
}

/// The proxy that requests to `authority` go through.
fn proxy<'a>(config: &'a Config, authority: &Authority) -> Option<&'a Proxy> {
    let target = Uri::from(authority.clone());
    config.proxy().filter(|proxy| !proxy.is_no_proxy(&target))
}

/// Where this build lacks what the settings ask for, ureq panics when it connects, or connects without it.
fn check_features(config: &Config, scheme: &Scheme, authority: &Authority) -> Result<(), String> {
    let proxy = proxy(config, authority).map(Proxy::protocol);
    let is_socks = proxy.is_some_and(|proxy| !matches!(proxy, ProxyProtocol::Http | ProxyProtocol::Https));
    let missing = if is_socks && !cfg!(feature = "socks-proxy") {
        Some(("a SOCKS proxy", "socks-proxy"))
    } else if *scheme == Scheme::HTTPS || proxy == Some(ProxyProtocol::Https) {
        missing_for_tls(config, proxy)
    } else {
        None
    };
    if let Some((what, feature)) = missing {
        return Err(format!("{what} needs the cargo feature `{feature}` of handinger"));
    }
    Ok(())
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn missing_for_tls(config: &Config, _: Option<ProxyProtocol>) -> Option<(&'static str, &'static str)> {
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
fn missing_for_tls(_: &Config, proxy: Option<ProxyProtocol>) -> Option<(&'static str, &'static str)> {
    (proxy == Some(ProxyProtocol::Https)).then_some(("an https proxy", "rustls"))
}
