//! How a client is made: settings, the environment, and what is refused before any I/O.

use std::env::{self, VarError};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::http::Uri;
use ureq::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ureq::http::uri::{Authority, Scheme};

use crate::agent::{self, LONGEST_LINE};
use crate::client::{Options, Shared};
use crate::{Error, HandingerClient};

const API_KEY: &str = "HANDINGER_API_KEY";
const BASE_URL: &str = "HANDINGER_BASE_URL";
const CUSTOM_HEADERS: &str = "HANDINGER_CUSTOM_HEADERS";

const DEFAULT_BASE_URL: &str = "https://handinger.com";
const DEFAULT_USER_AGENT: &str = concat!("handinger-rust/", env!("CARGO_PKG_VERSION"));

/// Headers that describe the connection or the message, or that have a setting of their own.
const RESERVED_HEADERS: [HeaderName; 13] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::USER_AGENT,
];

impl HandingerClient {
    /// A client with the given API key, and a default for everything else.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the key is blank or cannot be sent in a header.
    ///
    /// ```
    /// let client = handinger::HandingerClient::new("key")?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn new(api_key: impl Into<String>) -> Result<Self, Error> {
        Self::builder(api_key).build()
    }

    /// A client as the environment says; see [`HandingerClientBuilder::from_env`].
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `HANDINGER_API_KEY` is not set or blank, or something in the environment is refused.
    ///
    /// ```no_run
    /// let client = handinger::HandingerClient::from_env()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn from_env() -> Result<Self, Error> {
        HandingerClientBuilder::from_env()?.build()
    }

    /// A builder for a client with settings of its own.
    ///
    /// ```
    /// let client = handinger::HandingerClient::builder("key").max_retries(5).build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn builder(api_key: impl Into<String>) -> HandingerClientBuilder {
        HandingerClientBuilder {
            api_key: api_key.into(),
            base_url: DEFAULT_BASE_URL.into(),
            allow_insecure_http: false,
            headers: Vec::new(),
            user_agent: DEFAULT_USER_AGENT.into(),
            agent: None,
            sleep: Box::new(std::thread::sleep),
            options: Options {
                timeout: Duration::from_secs(60),
                connect_timeout: Duration::from_secs(5),
                total_timeout: None,
                max_retries: 2,
            },
        }
    }
}

/// The settings of a [`HandingerClient`] to be.
///
/// Nothing is checked before [`build`](Self::build), so that the settings can be chained.
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
    api_key: String,
    base_url: String,
    allow_insecure_http: bool,
    headers: Vec<(String, String)>,
    user_agent: String,
    agent: Option<Agent>,
    sleep: Box<dyn Fn(Duration) + Send + Sync>,
    options: Options,
}

impl HandingerClientBuilder {
    /// A builder with the key and settings of the environment, the same that the API's other clients read:
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
            return Err(refused(format!("{API_KEY} is not set or blank")));
        };
        let mut builder = HandingerClient::builder(api_key);
        if let Some(base_url) = variable(BASE_URL)? {
            builder = builder.base_url(base_url);
        }
        let headers = variable(CUSTOM_HEADERS)?.unwrap_or_default();
        for line in headers.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let Some((name, value)) = line.split_once(':') else {
                return Err(refused(format!("a line of {CUSTOM_HEADERS} is not of the form `Name: value`")));
            };
            builder = builder.header(name.trim(), value.trim());
        }
        Ok(builder)
    }

    /// Where the API is: `/api/workers/…` is appended. May carry a path prefix and a slash at its end; no query, and no
    /// user or password.
    ///
    /// The key is sent there, so `http:` is refused for any host but this machine; see
    /// [`allow_insecure_http`](Self::allow_insecure_http). For this machine, a proxy set in the environment is not
    /// used.
    ///
    /// Default: `https://handinger.com`.
    ///
    /// ```
    /// let client = handinger::HandingerClient::builder("key").base_url("https://gateway.example/handinger").build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn base_url(mut self, base_url: impl Into<String>) -> Self {
        self.base_url = base_url.into();
        self
    }

    /// Whether an `http:` base URL may name another machine. The key and all tokens then travel unencrypted.
    ///
    /// Default: `false`.
    ///
    /// ```
    /// let builder = handinger::HandingerClient::builder("key").base_url("http://gateway.internal");
    /// let client = builder.allow_insecure_http(true).build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn allow_insecure_http(mut self, allow: bool) -> Self {
        self.allow_insecure_http = allow;
        self
    }

    /// How long one try may take: name lookup, connecting, sending, and receiving the whole answer, however slowly its
    /// bytes come. More than zero; more than a year counts as a year.
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

    /// How much of a try's [`timeout`](Self::timeout) may go into opening a connection: name lookup, TCP, a proxy,
    /// and the TLS handshake. More than zero.
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

    /// How long a call may take with all its tries and the waits between them. More than zero; `None` for no bound
    /// but that of the single tries.
    ///
    /// Default: `None`, so that a call can take 1 + `max_retries` times the `timeout`, and up to 60 s more between
    /// two tries.
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

    /// How often a failed try is repeated, if it may be; see the [table](crate#errors-and-retries).
    ///
    /// Default: 2, so three tries in all.
    ///
    /// ```
    /// let client = handinger::HandingerClient::builder("key").max_retries(5).build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn max_retries(mut self, max_retries: u32) -> Self {
        self.options.max_retries = max_retries;
        self
    }

    /// A header for every request. Of several values for one name, the last counts.
    ///
    /// Not for headers that the client sets itself, such as `Authorization`: those are refused. The value is printable
    /// ASCII. It is treated as a secret: `Debug` does not show it, and errors do not repeat it.
    ///
    /// Default: none.
    ///
    /// ```
    /// let client = handinger::HandingerClient::builder("key").header("X-Team", "ops").build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The `User-Agent` of every request: printable ASCII.
    ///
    /// Default: `handinger-rust/` and the version of this crate.
    ///
    /// ```
    /// let client = handinger::HandingerClient::builder("key").user_agent("my-tool/1.0").build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// An agent of your own: for a proxy, private root certificates, a client certificate, or another transport.
    ///
    /// Its connections, transport, resolver, middleware and TLS settings are used. What this crate promises holds
    /// whatever else the agent is set to: statuses, redirects, timeouts and bounds on headers are set for each request.
    /// Four things are less exact than with the client's own agent: ureq looks the host up for each request, on a
    /// thread of its own; an I/O error while connecting, which ureq does not tell from one later, counts as "may have
    /// been applied"; a proxy may take the `connect_timeout` anew for each piece of its answer; and of a server that
    /// sends two answers to one request over TLS, ureq may take the second for the answer to the next request.
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
        self.agent = Some(agent);
        self
    }

    /// How to wait between two tries. For tests that should not take their time, and for programs that want to show
    /// that they wait.
    ///
    /// Default: [`std::thread::sleep`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// let client = handinger::HandingerClient::builder("key")
    ///     .sleep_with(|wait: Duration| {
    ///         eprintln!("trying again in {} s", wait.as_secs_f32());
    ///         std::thread::sleep(wait);
    ///     })
    ///     .build()?;
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn sleep_with(mut self, sleep: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        self.sleep = Box::new(sleep);
        self
    }

    /// Checks the settings and makes the client. Nothing is sent.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a key that is blank, a key, user agent or header that is not printable ASCII, a header that is
    /// malformed or reserved, a base URL that is not http(s) or carries a query, fragment, user or password, `http:` to
    /// another machine, `https:` in a build without TLS, a header or base URL of over 8 KiB, a timeout of zero, a proxy
    /// that this build cannot use, and an agent that could not send such requests, or whose input buffer could not hold
    /// the 64 KiB of an answer's largest headers. The key is never repeated in the error.
    ///
    /// ```
    /// let error = handinger::HandingerClient::builder("key").base_url("ftp://example.com").build().unwrap_err();
    /// assert!(error.to_string().starts_with("build client: the base URL must begin with https://"));
    /// ```
    pub fn build(self) -> Result<HandingerClient, Error> {
        self.options.check().map_err(refused)?;
        let (scheme, authority, prefix) = parse_base_url(self.base_url.trim())?;
        let is_local = is_loopback(authority.host());
        if scheme == Scheme::HTTP && !is_local && !self.allow_insecure_http {
            return Err(refused(format!(
                "the base URL would send the key unencrypted to {authority}; use https, or allow_insecure_http(true)"
            )));
        }
        let api_key = self.api_key.trim().to_owned();
        let headers = headers(&authority, &api_key, &self.user_agent, self.headers)?;
        let agent = match self.agent {
            Some(agent) => agent::callers(agent, &scheme, &authority),
            None => agent::own(&scheme, &authority, is_local),
        };
        let agent = agent.map_err(refused)?;
        let shared = Shared { agent, scheme, authority, prefix, headers, api_key, sleep: self.sleep };
        Ok(HandingerClient { shared: Arc::new(shared), options: self.options })
    }
}

impl fmt::Debug for HandingerClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandingerClientBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

fn refused(problem: impl Into<String>) -> Error {
    Error::invalid_input("build client", problem)
}

/// A variable of the environment; a blank one counts as not set.
fn variable(name: &str) -> Result<Option<String>, Error> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.trim().is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(refused(format!("{name} is not Unicode"))),
    }
}

fn parse_base_url(url: &str) -> Result<(Scheme, Authority, String), Error> {
    if url.len() > LONGEST_LINE {
        return Err(refused("the base URL is over 8 KiB"));
    }
    let parts = url.parse::<Uri>().map_err(|_| refused("the base URL is not a URL"))?.into_parts();
    let scheme = parts.scheme.filter(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
    let (Some(scheme), Some(authority)) = (scheme, parts.authority) else {
        return Err(refused("the base URL must begin with https://, or http:// for this machine"));
    };
    if authority.as_str().contains('@') {
        return Err(refused("the base URL must not carry a user or password"));
    }
    // `http` reads `host:99999` as a host without a port.
    let after_host = authority.as_str().strip_prefix(authority.host());
    if authority.host().is_empty() || (authority.port_u16().is_none() && after_host != Some("")) {
        return Err(refused("the base URL's host or port is not valid"));
    }
    if url.contains(['?', '#']) {
        return Err(refused("the base URL must not carry a query or fragment"));
    }
    let path = parts.path_and_query.as_ref().map_or("", |path| path.path());
    Ok((scheme, authority, path.trim_end_matches('/').to_owned()))
}

fn is_loopback(host: &str) -> bool {
    // `[127.0.0.1]` is a name for the resolver to look up, and no address: brackets are for IPv6 alone.
    let address = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    };
    host.eq_ignore_ascii_case("localhost")
        || address.is_some_and(|address| address.to_canonical().is_loopback())
}

/// What every request carries, the headers included that ureq would otherwise add to each one anew.
fn headers(
    authority: &Authority,
    api_key: &str,
    user_agent: &str,
    custom: Vec<(String, String)>,
) -> Result<HeaderMap, Error> {
    if api_key.is_empty() {
        return Err(refused("the API key is blank"));
    }
    let mut authorization = printable(&format!("Bearer {api_key}"))
        .ok_or_else(|| refused("the API key has a control or non-ASCII character"))?;
    authorization.set_sensitive(true);
    let user_agent = printable(user_agent)
        .ok_or_else(|| refused("the user agent has a control or non-ASCII character"))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, authorization);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, user_agent);
    let host = HeaderValue::from_str(authority.as_str());
    headers.insert(header::HOST, host.map_err(|_| refused("the base URL's host is not valid"))?);
    let encoding = if cfg!(feature = "gzip") { "gzip" } else { "identity" };
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encoding));
    for (name, value) in custom {
        let name = HeaderName::try_from(name).map_err(|_| refused("a header's name is not valid"))?;
        if RESERVED_HEADERS.contains(&name) {
            return Err(refused(format!("the header {name} is set by the client itself")));
        }
        let mut value = printable(&value).ok_or_else(|| {
            refused(format!("the value of the header {name} has a control or non-ASCII character"))
        })?;
        value.set_sensitive(true);
        // Beyond some thousands of headers `insert` panics.
        headers.try_insert(name, value).map_err(|_| refused("there are too many headers"))?;
    }
    let too_long = headers.iter().find(|(name, value)| name.as_str().len() + value.len() > LONGEST_LINE);
    if let Some((name, _)) = too_long {
        return Err(refused(format!("the header {name} is over 8 KiB")));
    }
    Ok(headers)
}

/// `HeaderValue` by itself lets tabs pass, and from a `String` whatever is not ASCII.
fn printable(text: &str) -> Option<HeaderValue> {
    let is_printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_printable.then(|| HeaderValue::from_str(text).ok()).flatten()
}
