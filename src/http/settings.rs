//! The base URL and the headers of all requests, with the checks of `build()`.

use std::net::IpAddr;
use std::time::Duration;

use ureq::config::ConfigBuilder;
use ureq::http::Uri;
use ureq::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ureq::http::uri::{Authority, Scheme};
use ureq::typestate::AgentScope;

use crate::error::one_line;

/// A function on the builder of ureq's configuration.
pub(crate) type Configure =
    Box<dyn FnOnce(ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope> + Send + Sync>;

/// The settings that all clones of a client share.
pub(crate) struct Settings {
    pub(crate) api_key: Setting,
    pub(crate) base_url: Setting,
    pub(crate) allow_insecure_http: bool,
    pub(crate) user_agent: String,
    pub(crate) headers: Vec<(String, Setting)>,
    pub(crate) configure: Configure,
    pub(crate) sleep: Box<dyn Fn(Duration) + Send + Sync>,
}

/// A setting's text, and the environment variable that contained it, if any.
pub(crate) struct Setting {
    pub(super) value: String,
    variable: Option<&'static str>,
}

impl Setting {
    /// Trims the value, because values from files, pastes and variables often have white space around them.
    pub(crate) fn new(value: impl AsRef<str>, variable: Option<&'static str>) -> Self {
        Self { value: value.as_ref().trim().to_owned(), variable }
    }

    /// Reads the value with a function, and adds the variable's name to its error.
    pub(super) fn read<T>(&self, read: impl Fn(&str) -> Result<T, String>) -> Result<T, String> {
        read(&self.value).map_err(|problem| match self.variable {
            Some(variable) => format!("{variable}: {problem}"),
            None => problem,
        })
    }
}

pub(super) struct BaseUrl {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    /// The complete URL without a trailing slash.
    pub(super) text: String,
}

impl BaseUrl {
    /// Parses a base URL, and rejects one to which the key must not be sent.
    pub(super) fn parse(url: &str, allow_insecure_http: bool) -> Result<Self, String> {
        // The `http` crate accepts a path that is not ASCII, and would send it unencoded.
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

    /// Describes the target of a redirect by its origin, because a path may hold a secret.
    pub(super) fn describe_location(&self, location: &HeaderValue) -> String {
        let location = String::from_utf8_lossy(location.as_bytes());
        let location = location.split(['?', '#']).next().unwrap_or_default();
        let uri = location.parse::<Uri>().unwrap_or_default();
        match (uri.scheme(), uri.authority()) {
            (Some(scheme), Some(authority)) if *scheme != self.scheme || *authority != self.authority => {
                one_line(&format!("{scheme}://{}", without_user(authority)))
            }
            (None, _) if location.starts_with("//") || location.contains("://") => "another URL".to_owned(),
            _ => "another path of the server".to_owned(),
        }
    }

    pub(super) fn is_loopback(&self) -> bool {
        let host = self.authority.host();
        host.eq_ignore_ascii_case("localhost")
            || address(host).is_some_and(|address| address.to_canonical().is_loopback())
    }
}

/// Parses an IP address, with or without brackets.
pub(super) fn address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

/// Returns the authority without user and password.
pub(super) fn without_user(authority: &Authority) -> &str {
    authority.as_str().rsplit('@').next().unwrap_or_default()
}

/// Reports whether the authority is exactly a host with an optional port, because the `http` crate ends a
/// host at the first `]`, and ureq replaces an invalid port by the scheme's.
fn is_host_and_port(authority: &Authority) -> bool {
    let host = authority.host();
    let port = authority.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    !host.is_empty() && authority.as_str() == format!("{host}{port}")
}

/// Returns the headers of every request.
pub(super) fn headers(settings: &Settings, authority: &Authority) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    // These two are set here, because ureq would create them again for each request.
    headers.insert(header::HOST, printable("the base URL", authority.as_str())?);
    let encoding = if cfg!(feature = "gzip") { "gzip" } else { "identity" };
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encoding));
    headers.insert(header::AUTHORIZATION, settings.api_key.read(authorization)?);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, printable("the user agent", &settings.user_agent)?);
    for (name, setting) in &settings.headers {
        let (name, value) = setting.read(|value| custom(name, value))?;
        // `insert` would panic beyond some thousands of headers.
        headers.try_insert(name, value).map_err(|_| "there are too many headers")?;
    }
    Ok(headers)
}

fn authorization(key: &str) -> Result<HeaderValue, String> {
    if key.is_empty() {
        return Err("the API key is blank".into());
    }
    // Docker's `--env-file` keeps quotes, and a copied header keeps its scheme.
    if key.starts_with(['"', '\'']) || key.ends_with(['"', '\'']) {
        return Err("the API key is in quotes".into());
    }
    if key.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("bearer")) {
        return Err("the API key begins with `Bearer`; set the key alone".into());
    }
    let mut value = printable("the API key", &format!("Bearer {key}"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn custom(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let name = HeaderName::try_from(name).map_err(|_| "a header's name is not valid")?;
    if is_reserved(&name) {
        return Err(format!("the header {name} is set by the client itself"));
    }
    let mut value = printable(&format!("the value of the header {name}"), value)?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Reports whether the header describes the connection or the message, or is set by the client itself.
fn is_reserved(name: &HeaderName) -> bool {
    const FRAMING: [&str; 5] = ["connection", "expect", "te", "transfer-encoding", "upgrade"];
    const OWN: [&str; 5] = ["accept", "accept-encoding", "authorization", "host", "user-agent"];
    let name = name.as_str();
    FRAMING.contains(&name) || OWN.contains(&name) || name.starts_with("content-")
}

/// Rejects tabs and non-ASCII characters, which `HeaderValue` alone would accept.
fn printable(what: &str, text: &str) -> Result<HeaderValue, String> {
    let is_printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let value = HeaderValue::from_str(text).ok().filter(|_| is_printable);
    value.ok_or_else(|| format!("{what} has a control or non-ASCII character"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn location_is_described_by_its_origin() {
        let base_url = BaseUrl::parse("https://handinger.test/v1", false).unwrap();
        for (location, expected) in [
            ("https://login.test/s3cret?s3cret#s3cret", "https://login.test"),
            ("https://user:s3cret@login.test:8443/", "https://login.test:8443"),
            ("http://handinger.test/s3cret", "http://handinger.test"),
            ("https://handinger.test:8443/s3cret", "https://handinger.test:8443"),
            ("https://handinger.test/s3cret", "another path of the server"),
            ("/s3cret//s3cret", "another path of the server"),
            ("login?next=https://s3cret.test", "another path of the server"),
            ("//login.test/s3cret", "another URL"),
            ("https://[s3cret/", "another URL"),
            ("https://s3cret\u{e9}/", "another URL"),
        ] {
            let header = HeaderValue::from_bytes(location.as_bytes()).unwrap();
            assert_eq!(base_url.describe_location(&header), expected, "{location}");
        }
    }
}
