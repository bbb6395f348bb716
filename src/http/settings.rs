//! The base URL and the headers of all requests: what `build()` rejects.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ureq::config::ConfigBuilder;
use ureq::http::Uri;
use ureq::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ureq::http::uri::{Authority, Scheme};
use ureq::typestate::AgentScope;

/// A function on the builder of ureq's configuration.
pub(crate) type Configure =
    Box<dyn FnOnce(ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope> + Send + Sync>;

/// The settings that all clones of a client share.
pub(crate) struct Settings {
    pub(crate) api_key: Setting,
    pub(crate) base_url: Setting,
    pub(crate) allow_insecure_http: bool,
    pub(crate) user_agent: String,
    /// Names and values.
    pub(crate) headers: Vec<(String, Setting)>,
    pub(crate) configure: Configure,
    pub(crate) sleep: Box<dyn Fn(Duration) + Send + Sync>,
}

/// A text, and the environment variable that it comes from, if it does.
pub(crate) struct Setting {
    pub(crate) value: String,
    pub(crate) variable: Option<&'static str>,
}

impl From<String> for Setting {
    fn from(value: String) -> Self {
        Self { value, variable: None }
    }
}

impl Setting {
    /// Names the variable in front of a problem with the value.
    pub(super) fn rejected(&self, problem: impl fmt::Display) -> String {
        match self.variable {
            Some(variable) => format!("{variable}: {problem}"),
            None => problem.to_string(),
        }
    }
}

pub(super) struct BaseUrl {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    /// The complete URL, without a slash at its end.
    pub(super) text: String,
}

impl BaseUrl {
    /// Reads a base URL to which the key may be sent.
    pub(super) fn parse(url: &str, allow_insecure_http: bool) -> Result<Self, String> {
        // The `http` crate accepts a path that is not ASCII, and would send it as it is.
        let uri = url.parse::<Uri>().ok().filter(|_| url.is_ascii());
        let parts = uri.ok_or("the base URL is not a URL")?.into_parts();
        let scheme = parts.scheme.filter(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
        let (Some(scheme), Some(authority)) = (scheme, parts.authority) else {
            return Err("the base URL must begin with https://, or http:// for a loopback host".into());
        };
        if url.contains(['?', '#']) || authority.as_str().contains('@') {
            return Err("the base URL must not carry a query, fragment, user or password".into());
        }
        if !is_host_and_port(&authority) {
            return Err("the base URL's host or port is not valid".into());
        }
        let base_url = Self { scheme, authority, text: url.trim_end_matches('/').to_owned() };
        if base_url.scheme == Scheme::HTTP && !base_url.is_loopback() && !allow_insecure_http {
            return Err(format!(
                "the base URL would send the key unencrypted to {}; use https, or allow_insecure_http(true)",
                base_url.authority
            ));
        }
        Ok(base_url)
    }

    /// Describes the target of a redirect: its origin alone, because a path may hold a secret.
    pub(super) fn describe_location(&self, location: &HeaderValue) -> String {
        let location = location.to_str().unwrap_or_default();
        let is_without_scheme = location.starts_with("//");
        let location =
            if is_without_scheme { format!("{}:{location}", self.scheme) } else { location.to_owned() };
        let Ok(uri) = location.parse::<Uri>() else { return "an invalid URL".to_owned() };
        match (uri.scheme(), uri.authority()) {
            (Some(scheme), Some(authority)) if *scheme != self.scheme || *authority != self.authority => {
                format!("{scheme}://{}", without_user(authority))
            }
            _ => "another path of the server".to_owned(),
        }
    }

    pub(super) fn is_loopback(&self) -> bool {
        let host = self.authority.host();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address| address.to_canonical().is_loopback())
    }
}

/// Returns the authority without user and password.
pub(super) fn without_user(authority: &Authority) -> &str {
    authority.as_str().rsplit('@').next().unwrap_or_default()
}

/// Reports whether the authority is exactly a host and at most a port, because the `http` crate ends a host at the first
/// `]`, and ureq takes an invalid port for the scheme's.
fn is_host_and_port(authority: &Authority) -> bool {
    let host = authority.host();
    match authority.as_str().strip_prefix(host) {
        Some("") => !host.is_empty(),
        Some(port) => {
            authority.port_u16().is_some_and(|number| !host.is_empty() && port == format!(":{number}"))
        }
        None => false,
    }
}

/// Returns the headers of every request.
pub(super) fn headers(settings: &Settings, authority: &Authority) -> Result<HeaderMap, String> {
    let key = &settings.api_key;
    let authorization = authorization(key.value.trim()).map_err(|problem| key.rejected(problem))?;
    let user_agent =
        printable(&settings.user_agent).ok_or("the user agent has a control or non-ASCII character")?;
    // ureq would make these two anew for each request.
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| "the base URL's host is not valid")?;
    let mut headers = HeaderMap::new();
    let encoding = if cfg!(feature = "gzip") { "gzip" } else { "identity" };
    headers.insert(header::HOST, host);
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encoding));
    headers.insert(header::AUTHORIZATION, authorization);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, user_agent);
    for (name, setting) in &settings.headers {
        let (name, value) = custom(name, &setting.value).map_err(|problem| setting.rejected(problem))?;
        // `insert` panics beyond some thousands of headers.
        headers.try_insert(name, value).map_err(|_| "there are too many headers")?;
    }
    Ok(headers)
}

fn authorization(key: &str) -> Result<HeaderValue, &'static str> {
    if key.is_empty() {
        return Err("the API key is blank");
    }
    // Docker's `--env-file` keeps the quotes of a line, and a copied header keeps its scheme.
    if key.starts_with(['"', '\'']) || key.ends_with(['"', '\'']) {
        return Err("the API key is in quotes");
    }
    if key.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("bearer")) {
        return Err("the API key begins with `Bearer`; set the key alone");
    }
    let mut value =
        printable(&format!("Bearer {key}")).ok_or("the API key has a control or non-ASCII character")?;
    value.set_sensitive(true);
    Ok(value)
}

fn custom(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let name = HeaderName::try_from(name).map_err(|_| "a header's name is not valid")?;
    if is_reserved(&name) {
        return Err(format!("the header {name} is set by the client itself"));
    }
    let mut value = printable(value)
        .ok_or_else(|| format!("the value of the header {name} has a control or non-ASCII character"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Reports whether the header describes the connection or the message, or is set by the client itself.
fn is_reserved(name: &HeaderName) -> bool {
    let is_framing =
        matches!(name.as_str(), "connection" | "expect" | "te" | "transfer-encoding" | "upgrade");
    let is_own =
        matches!(name.as_str(), "accept" | "accept-encoding" | "authorization" | "host" | "user-agent");
    is_framing || is_own || name.as_str().starts_with("content-")
}

/// `HeaderValue` by itself accepts tabs and characters that are not ASCII.
fn printable(text: &str) -> Option<HeaderValue> {
    let is_printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_printable.then(|| HeaderValue::from_str(text).ok()).flatten()
}
