//! The builder: settings, and the environment.

use std::env::{self, VarError};
use std::fmt;
use std::time::Duration;

use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

use crate::client::HandingerClient;
use crate::error::Error;
use crate::http::{Http, Options, Setting, Settings};

const API_KEY: &str = "HANDINGER_API_KEY";
const BASE_URL: &str = "HANDINGER_BASE_URL";
const CUSTOM_HEADERS: &str = "HANDINGER_CUSTOM_HEADERS";

const DEFAULT_BASE_URL: &str = "https://handinger.com";
const DEFAULT_USER_AGENT: &str = concat!("handinger-rust/", env!("CARGO_PKG_VERSION"));

impl HandingerClient {
    /// Creates a client with this API key and default settings. White space around the key is trimmed.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the key is blank, in quotes, begins with `Bearer `, or is not printable ASCII, or if
    /// the environment sets an unusable proxy.
    pub fn new(api_key: impl Into<String>) -> Result<Self, Error> {
        Self::builder(api_key).build()
    }

    /// Creates a client from environment variables; see [`HandingerClientBuilder::from_env`].
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `HANDINGER_API_KEY` is not set or blank, or another variable is invalid.
    ///
    /// ```no_run
    /// let client = handinger::HandingerClient::from_env()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn from_env() -> Result<Self, Error> {
        HandingerClientBuilder::from_env()?.build()
    }

    /// Returns a builder for a client with this API key.
    pub fn builder(api_key: impl Into<String>) -> HandingerClientBuilder {
        HandingerClientBuilder {
            settings: Settings {
                api_key: Setting::new(api_key.into(), None),
                base_url: Setting::new(DEFAULT_BASE_URL, None),
                allow_insecure_http: false,
                user_agent: DEFAULT_USER_AGENT.to_owned(),
                headers: Vec::new(),
                configure: Box::new(|config| config),
                sleep: Box::new(std::thread::sleep),
            },
            options: Options {
                timeout: Duration::from_secs(60),
                connect_timeout: Duration::from_secs(5),
                total_timeout: None,
                max_retries: 2,
            },
        }
    }
}

/// A builder for a [`HandingerClient`].
///
/// Each setting has a default. [`build`](Self::build) checks all of them.
///
/// ```
/// use std::time::Duration;
/// use handinger::HandingerClient;
///
/// let client = HandingerClient::builder("key")
///     .timeout(Duration::from_secs(10))
///     .total_timeout(Duration::from_secs(30))
///     .header("X-Team", "ops")
///     .build()?;
/// # Ok::<(), handinger::Error>(())
/// ```
///
/// # Proxies
///
/// The client reads a proxy from the environment as curl does: for an `https:` base URL from `https_proxy`,
/// else `all_proxy`; for an `http:` one from `http_proxy`, else `all_proxy`. A lower-case variable takes
/// precedence over its upper-case form. A blank variable counts as not set. `no_proxy` lists exceptions: `*`,
/// hosts with all their subdomains, `host:port`, addresses, and networks such as `10.0.0.0/8`. A SOCKS proxy
/// needs the feature `socks-proxy`. A loopback host is never reached through a proxy.
#[must_use = "a builder does nothing until `build` is called"]
pub struct HandingerClientBuilder {
    settings: Settings,
    options: Options,
}

impl HandingerClientBuilder {
    /// Returns a builder with the settings of these environment variables, which the API's other clients read too:
    ///
    /// | variable | what it sets |
    /// |---|---|
    /// | `HANDINGER_API_KEY` | the key; required |
    /// | `HANDINGER_BASE_URL` | [`base_url`](Self::base_url), unless blank |
    /// | `HANDINGER_CUSTOM_HEADERS` | [`header`](Self::header)s, one `Name: value` a line |
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the key is not set or blank, a variable is not Unicode, or a line has no colon.
    ///
    /// ```no_run
    /// let client = handinger::HandingerClientBuilder::from_env()?.max_retries(5).build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn from_env() -> Result<Self, Error> {
        let not_set = || invalid(format!("{API_KEY} is not set or blank"));
        let mut builder = HandingerClient::builder("");
        builder.settings.api_key = Setting::new(variable(API_KEY)?.ok_or_else(not_set)?, Some(API_KEY));
        if let Some(base_url) = variable(BASE_URL)? {
            builder.settings.base_url = Setting::new(base_url, Some(BASE_URL));
        }
        let headers = variable(CUSTOM_HEADERS)?.unwrap_or_default();
        for line in headers.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let Some((name, value)) = line.split_once(':') else {
                return Err(invalid(format!("a line of {CUSTOM_HEADERS} is not of the form `Name: value`")));
            };
            let value = Setting::new(value, Some(CUSTOM_HEADERS));
            builder.settings.headers.push((name.trim().to_owned(), value));
        }
        Ok(builder)
    }

    /// Sets the URL of the API, to which `/api/workers/…` is appended. It may carry a path prefix and a trailing slash,
    /// but no query, fragment, user or password.
    ///
    /// An `http:` URL is rejected unless its host is loopback (`localhost`, `127.0.0.0/8`, `::1`) or
    /// [`allow_insecure_http`](Self::allow_insecure_http) is set.
    ///
    /// Default: `https://handinger.com`.
    pub fn base_url(mut self, base_url: impl Into<String>) -> Self {
        self.settings.base_url = Setting::new(base_url.into(), None);
        self
    }

    /// Sets whether the key and all tokens may be sent unencrypted, over an `http:` base URL to a host that
    /// is not loopback.
    ///
    /// Default: `false`.
    pub fn allow_insecure_http(mut self, allow: bool) -> Self {
        self.settings.allow_insecure_http = allow;
        self
    }

    /// Sets how long one attempt may take: name lookup, connecting, sending, and receiving the complete
    /// response, however slowly its bytes arrive. Must be more than zero. Times over a year count as a year.
    ///
    /// Default: 60 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Limits the name lookup of an attempt and, separately, the opening of its connection: TCP, a proxy, and
    /// the TLS handshake. Must be more than zero. The [`timeout`](Self::timeout) limits both together.
    ///
    /// A host with several addresses shares this time among them: if the first of two is dead, each new
    /// connection takes two thirds of that time. [`ureq_config`](Self::ureq_config) can restrict the client to
    /// IPv4 or IPv6. With an HTTP proxy, the time applies separately to the lookup of the proxy, to the
    /// connection to it, and to each piece of its response to CONNECT.
    ///
    /// Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options.connect_timeout = timeout;
        self
    }

    /// Sets how long a call may take with all its attempts and the waits between them. Must be more than zero; `None`
    /// sets no limit. For an iterator, this limits each request.
    ///
    /// Default: `None`. A call can then take 1 + `max_retries` times the `timeout`, and up to 60 s before each retry.
    pub fn total_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.total_timeout = timeout.into();
        self
    }

    /// Sets how often a failed attempt is retried, if that is safe; see
    /// [`Error`](crate::Error#what-has-been-retried-already).
    ///
    /// Default: 2, so three attempts in all.
    pub fn max_retries(mut self, max_retries: u32) -> Self {
        self.options.max_retries = max_retries;
        self
    }

    /// Adds a header to every request. The value must be printable ASCII; white space around it is trimmed.
    /// If a name is set twice, the last value wins.
    ///
    /// [`build`](Self::build) rejects headers that the client sets itself, such as `Authorization`. The value
    /// is a secret: `Debug` does not print it, and [errors redact it](crate::Error#secrets).
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.headers.push((name.into(), Setting::new(value.into(), None)));
        self
    }

    /// Sets the `User-Agent` of every request. It must be printable ASCII.
    ///
    /// Default: `handinger-rust/` and the version of this crate.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.settings.user_agent = user_agent.into();
        self
    }

    /// Sets a function that changes the configuration of ureq's agent: a proxy, root certificates, a client
    /// certificate, the address family, or the connection pool. A second call replaces the first function.
    ///
    /// The configuration holds the TLS library and roots that the [cargo features](crate#cargo-features) select, and
    /// the [environment's proxy](Self#proxies); `.proxy(None)` removes the proxy. Timeouts, redirects, statuses, header
    /// limits and `https_only` have no effect, because the client sets them for each request.
    ///
    /// ```
    /// use handinger::HandingerClient;
    /// use handinger::ureq::config::IpFamily;
    ///
    /// let client = HandingerClient::builder("key")
    ///     .ureq_config(|config| config.proxy(None).ip_family(IpFamily::Ipv4Only))
    ///     .build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    ///
    /// For a private authority and a client certificate (with the feature `native-tls` alone, add
    /// `.provider(TlsProvider::NativeTls)`). With rustls, the first call panics in ureq if the key is not that
    /// of the certificate:
    ///
    #[cfg_attr(feature = "rustls", doc = "```")]
    #[cfg_attr(not(feature = "rustls"), doc = "```ignore")]
    /// use handinger::HandingerClient;
    /// use handinger::ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
    ///
    /// # fn read(name: &str) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    /// #     let key = rcgen::KeyPair::generate()?;
    /// #     let certificate = rcgen::CertificateParams::new(vec!["localhost".into()])?.self_signed(&key)?;
    /// #     Ok(if name == "key.pem" { key.serialize_pem() } else { certificate.pem() }.into_bytes())
    /// # }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let authority = Certificate::from_pem(&read("ca.pem")?)?;
    /// let certificate = Certificate::from_pem(&read("client.pem")?)?;
    /// let key = PrivateKey::from_pem(&read("key.pem")?)?;
    /// let tls = TlsConfig::builder()
    ///     .root_certs(RootCerts::new_with_certs(&[authority]))
    ///     .client_cert(Some(ClientCert::new_with_certs(&[certificate], key)))
    ///     .build();
    /// let builder = HandingerClient::builder("key");
    /// let client = builder.ureq_config(|config| config.tls_config(tls)).build()?;
    /// # Ok(()) }
    /// ```
    pub fn ureq_config(
        mut self,
        configure: impl FnOnce(ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope> + Send + Sync + 'static,
    ) -> Self {
        self.settings.configure = Box::new(configure);
        self
    }

    /// Sets the function that waits before a retry and between two rounds of
    /// [`follow`](HandingerClient::follow), for tests that must not wait and for programs that show the wait.
    ///
    /// Default: [`std::thread::sleep`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// let client = handinger::HandingerClient::builder("key")
    ///     .sleep_with(|wait: Duration| {
    ///         eprintln!("retrying in {} s", wait.as_secs_f32());
    ///         std::thread::sleep(wait);
    ///     })
    ///     .build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn sleep_with(mut self, sleep: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        self.settings.sleep = Box::new(sleep);
        self
    }

    /// Checks the settings and creates the client. Nothing is sent.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for
    ///
    /// - a key that is blank, in quotes, or begins with `Bearer ` (the error never repeats the key),
    /// - a key, user agent or header that is not printable ASCII, and a header that the client sets itself,
    /// - a base URL that is not http(s), is not ASCII, has an invalid host or port, or carries a query, fragment, user or
    ///   password,
    /// - a key that would travel unencrypted, unless [`allow_insecure_http`](Self::allow_insecure_http) is set,
    /// - a timeout of zero,
    /// - an unusable [proxy](Self#proxies) in the environment,
    /// - an `https:` URL, a proxy or a TLS library that needs a disabled cargo feature.
    ///
    /// ```
    /// let builder = handinger::HandingerClient::builder("key").base_url("ftp://example.com");
    /// let error = builder.build().unwrap_err().to_string();
    /// assert!(error.starts_with("build client: the base URL must begin with https://"));
    /// ```
    pub fn build(self) -> Result<HandingerClient, Error> {
        self.options.check().map_err(invalid)?;
        let http = Http::new(self.settings).map_err(invalid)?;
        Ok(HandingerClient::from_parts(http, self.options))
    }
}

impl fmt::Debug for HandingerClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandingerClientBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

fn invalid(problem: impl AsRef<str>) -> Error {
    Error::invalid_input("build client", problem)
}

/// Returns an environment variable, or `None` if it is blank.
fn variable(name: &str) -> Result<Option<String>, Error> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.trim().is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(invalid(format!("{name} is not Unicode"))),
    }
}
