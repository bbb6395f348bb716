//! How a client is created: settings, and the environment. What is invalid is rejected before any I/O.

use std::env::{self, VarError};
use std::fmt;
use std::time::Duration;

use ureq::Agent;

use crate::client::HandingerClient;
use crate::error::Error;
use crate::http::{Http, Options, Settings};

const API_KEY: &str = "HANDINGER_API_KEY";
const BASE_URL: &str = "HANDINGER_BASE_URL";
const CUSTOM_HEADERS: &str = "HANDINGER_CUSTOM_HEADERS";

const DEFAULT_BASE_URL: &str = "https://handinger.com";
const DEFAULT_USER_AGENT: &str = concat!("handinger-rust/", env!("CARGO_PKG_VERSION"));

/// Creates a client.
impl HandingerClient {
    /// Creates a client with this API key, and defaults for all else. White space around the key is trimmed.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the key is blank or not printable ASCII.
    ///
    /// ```
    /// let client = handinger::HandingerClient::new("key")?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
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

    /// Returns a builder for a client with this key, to set all else.
    ///
    /// ```
    /// let client = handinger::HandingerClient::builder("key").max_retries(5).build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn builder(api_key: impl Into<String>) -> HandingerClientBuilder {
        HandingerClientBuilder {
            settings: Settings {
                api_key: api_key.into(),
                base_url: DEFAULT_BASE_URL.into(),
                allow_insecure_http: false,
                user_agent: DEFAULT_USER_AGENT.into(),
                headers: Vec::new(),
                agent: None,
                reuse_connections: true,
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
/// Each setting has a default. Nothing is checked before [`build`](Self::build).
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
        let Some(api_key) = variable(API_KEY)? else {
            return Err(invalid(format!("{API_KEY} is not set or blank")));
        };
        let mut builder = HandingerClient::builder(api_key);
        if let Some(base_url) = variable(BASE_URL)? {
            builder = builder.base_url(base_url);
        }
        let headers = variable(CUSTOM_HEADERS)?.unwrap_or_default();
        for line in headers.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let Some((name, value)) = line.split_once(':') else {
                return Err(invalid(format!("a line of {CUSTOM_HEADERS} is not of the form `Name: value`")));
            };
            builder = builder.header(name.trim(), value.trim());
        }
        Ok(builder)
    }

    /// Sets the URL of the API, to which `/api/workers/…` is appended. It may carry a path prefix and a trailing slash,
    /// but no query, fragment, user or password.
    ///
    /// An `http:` URL is rejected unless its host is loopback (`localhost`, `127.0.0.0/8`, `::1`) or
    /// [`allow_insecure_http`](Self::allow_insecure_http) is set. For a loopback host, the client ignores proxies set
    /// in the environment.
    ///
    /// Default: `https://handinger.com`.
    ///
    /// ```
    /// let client = handinger::HandingerClient::builder("key").base_url("https://gateway.example/handinger").build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn base_url(mut self, base_url: impl Into<String>) -> Self {
        self.settings.base_url = base_url.into();
        self
    }

    /// Sets whether the key may be sent unencrypted: over an `http:` base URL to a host that is not loopback, or
    /// through an [`agent`](Self::agent)'s proxy to any `http:` base URL. All tokens then travel unencrypted, too.
    ///
    /// Default: `false`.
    ///
    /// ```
    /// let builder = handinger::HandingerClient::builder("key").base_url("http://gateway.internal");
    /// let client = builder.allow_insecure_http(true).build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn allow_insecure_http(mut self, allow: bool) -> Self {
        self.settings.allow_insecure_http = allow;
        self
    }

    /// Sets how long one attempt may take: name lookup, connecting, sending, and receiving the complete response,
    /// however slowly its bytes come. Must be more than zero; more than a year counts as a year.
    ///
    /// Default: 60 s.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let client = handinger::HandingerClient::builder("key").timeout(Duration::from_secs(10)).build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Sets how long the name lookup of an attempt may take, and how long opening its connection: TCP, a proxy, and the
    /// TLS handshake. Must be more than zero.
    ///
    /// Together, the two may take twice as long. If cached addresses are out of date, the attempt repeats both once.
    /// The [`timeout`](Self::timeout) bounds all of it.
    ///
    /// Default: 5 s.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let client = handinger::HandingerClient::builder("key").connect_timeout(Duration::from_secs(2)).build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options.connect_timeout = timeout;
        self
    }

    /// Sets how long a call may take with all its attempts and the waits between them. Must be more than zero; `None`
    /// sets no bound.
    ///
    /// Of an iterator, it bounds each request with its retries, not the walk.
    ///
    /// Default: `None`. A call can then take 1 + `max_retries` times the `timeout`, and up to 60 s before each retry.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let client = handinger::HandingerClient::builder("key").total_timeout(Duration::from_secs(30)).build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn total_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.total_timeout = timeout.into();
        self
    }

    /// Sets how often a failed attempt is retried, if that is safe; see
    /// [`Error`](crate::Error#what-has-been-retried-already).
    ///
    /// Default: 2, so three attempts in all.
    ///
    /// ```
    /// let client = handinger::HandingerClient::builder("key").max_retries(5).build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn max_retries(mut self, max_retries: u32) -> Self {
        self.options.max_retries = max_retries;
        self
    }

    /// Adds a header to every request: printable ASCII, at most 8 KiB, and 64 KiB for all headers together. Of several
    /// values for one name, the last counts.
    ///
    /// Headers that the client sets itself, such as `Authorization`, are rejected. The value is a secret, like the key:
    /// `Debug` does not print it, and [errors redact it](crate::Error#secrets).
    ///
    /// Default: none.
    ///
    /// ```
    /// let client = handinger::HandingerClient::builder("key").header("X-Team", "ops").build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the `User-Agent` of every request: printable ASCII.
    ///
    /// Default: `handinger-rust/` and the version of this crate.
    ///
    /// ```
    /// let client = handinger::HandingerClient::builder("key").user_agent("my-tool/1.0").build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.settings.user_agent = user_agent.into();
        self
    }

    /// Sets whether reads may reuse a connection. With `false`, every request opens a connection of its own and carries
    /// `Connection: close`. No call can then return a [stray response](HandingerClient#connections) to an earlier
    /// request.
    ///
    /// Default: `true`. Calls that change something open a new connection in any case.
    ///
    /// ```
    /// let client = handinger::HandingerClient::builder("key").reuse_connections(false).build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn reuse_connections(mut self, reuse: bool) -> Self {
        self.settings.reuse_connections = reuse;
        self
    }

    /// Sets an agent of your own: for a proxy, private root certificates, a client certificate, or another transport.
    ///
    /// The client uses its connections, transport, resolver, middleware, proxy and TLS settings. It overrides the
    /// agent's settings for statuses, redirects, timeouts and bounds on headers in each request. Some promises are
    /// weaker than with the client's own agent:
    ///
    /// - ureq looks the host up for each request, on a new thread. The number of these threads is not bounded, and ureq
    ///   panics if the system has none left.
    /// - The `connect_timeout` starts anew with each piece of a proxy's response to `CONNECT`, so a slow proxy can
    ///   outlast the `timeout`.
    /// - ureq does not distinguish an I/O error while connecting from a later one, so the change counts as "may have
    ///   been applied".
    /// - If a server sends two responses to one request over TLS, ureq may take the second for the response to the next
    ///   request.
    /// - If any crate in the build enables ureq's feature `cookies`, the agent keeps and sends cookies.
    ///
    /// Default: an agent with ureq's defaults: proxies from the environment (`ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`,
    /// `NO_PROXY`), and the root certificates that the [cargo features](crate#cargo-features) select.
    ///
    /// ```
    /// use handinger::ureq;
    ///
    /// let proxy = ureq::Proxy::new("http://proxy.example:3128").expect("a valid URL");
    /// let agent = ureq::Agent::config_builder().proxy(Some(proxy)).build().new_agent();
    /// let client = handinger::HandingerClient::builder("key").agent(agent).build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn agent(mut self, agent: Agent) -> Self {
        self.settings.agent = Some(agent);
        self
    }

    /// Sets the function that waits before a retry and between two rounds of [`follow`](HandingerClient::follow): for
    /// tests that must not wait, and for programs that show the wait.
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
    /// - a key that is blank, or a key, user agent or header that is not printable ASCII (the error never repeats the
    ///   key),
    /// - a header that is malformed, reserved or over 8 KiB, or headers of over 64 KiB in all,
    /// - a base URL that is not http(s), is not ASCII, is over 8 KiB, has an invalid host or port, or carries a query,
    ///   fragment, user or password,
    /// - a key that would travel unencrypted, unless [`allow_insecure_http`](Self::allow_insecure_http) is set,
    /// - a timeout of zero,
    /// - an `https:` URL, a proxy or an agent that needs a cargo feature which is off,
    /// - an agent whose buffers cannot hold the largest headers: 64 KiB of a response, 16 KiB of a request.
    ///
    /// ```
    /// let error = handinger::HandingerClient::builder("key").base_url("ftp://example.com").build().unwrap_err();
    /// assert!(error.to_string().starts_with("build client: the base URL must begin with https://"));
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

fn invalid(problem: impl Into<String>) -> Error {
    Error::invalid_input("build client", problem)
}

/// A variable of the environment; a blank one counts as not set.
fn variable(name: &str) -> Result<Option<String>, Error> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.trim().is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(invalid(format!("{name} is not Unicode"))),
    }
}
