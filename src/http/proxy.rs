//! Reads the environment's proxy as curl does, because users copy the same lines everywhere.

use std::ffi::OsString;
use std::net::IpAddr::{self, V4, V6};
use std::num::NonZeroU16;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::Proxy;
use ureq::http::uri::{Authority, Scheme};

use super::settings::address;

const HTTPS: &[&str] = &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const HTTP: &[&str] = &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
const NO_PROXY: &[&str] = &["no_proxy", "NO_PROXY"];

/// The characters to encode in a user and password, because the `http` crate rejects some, such as the
/// backslash of `DOMAIN\user`. A `%` is kept, because it begins an encoded character.
const USERINFO: &AsciiSet = &NON_ALPHANUMERIC.remove(b'%').remove(b':').remove(b'@');

/// Returns the proxy that environment variables set for requests to `scheme://authority`, if any.
///
/// # Errors
///
/// An unusable value is an error, because a direct connection instead would go unnoticed. The message names
/// the variable, but never repeats its value, because it may contain a password.
pub(super) fn from_variables(
    scheme: &Scheme,
    authority: &Authority,
    lookup: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Proxy>, String> {
    let (names, default_port) = if *scheme == Scheme::HTTPS { (HTTPS, 443) } else { (HTTP, 80) };
    let Some((name, value)) = first_set(names, &lookup)? else { return Ok(None) };
    if let Some((_, no_proxy)) = first_set(NO_PROXY, &lookup)? {
        let port = authority.port_u16().unwrap_or(default_port);
        if is_excluded(authority.host(), port, &no_proxy) {
            return Ok(None);
        }
    }
    parse(value.trim()).map(Some).map_err(|problem| format!("{name} {problem}"))
}

/// Returns the name and value of the first variable that is not blank.
fn first_set(
    names: &[&'static str],
    lookup: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<(&'static str, String)>, String> {
    for name in names {
        let value = lookup(name).unwrap_or_default().into_string();
        let value = value.map_err(|_| format!("{name} is not valid Unicode"))?;
        if !value.trim().is_empty() {
            return Ok(Some((name, value)));
        }
    }
    Ok(None)
}

/// Parses `scheme://user:password@host:port/`, in which only the host is required.
fn parse(value: &str) -> Result<Proxy, &'static str> {
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let (userinfo, server) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let (host, port) = split_port(server);
    if host.is_empty() {
        return Err("has no host");
    }
    // ureq treats an invalid port as a missing one, and `+80` as 80.
    if port.is_some_and(|port| port.starts_with('+') || port.parse::<NonZeroU16>().is_err()) {
        return Err("has an invalid port");
    }
    let userinfo = utf8_percent_encode(userinfo, USERINFO);
    Proxy::new(&format!("{scheme}://{userinfo}{server}"))
        .map_err(|_| "is not the URL of an HTTP or SOCKS proxy")
}

/// Splits `host:port`. The colons of an IPv6 address are part of the host, even without brackets.
fn split_port(server: &str) -> (&str, Option<&str>) {
    match server.rsplit_once(':') {
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => (host, Some(port)),
        _ => (server, None),
    }
}

/// Reports whether an entry of `no_proxy` matches the host and port. Commas and white space separate entries.
fn is_excluded(host: &str, port: u16, no_proxy: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address = address(&host);
    no_proxy.to_ascii_lowercase().split(|c: char| c == ',' || c.is_whitespace()).any(|entry| {
        let (pattern, entry_port) = split_port(entry);
        let is_host = match address {
            Some(address) => is_in_network(address, pattern),
            None => is_in_domain(&host, pattern),
        };
        (is_host || pattern == "*") && entry_port.is_none_or(|entry_port| entry_port.parse() == Ok(port))
    })
}

/// Matches a domain and its subdomains, for the patterns `example.com`, `.example.com` and `*.example.com`.
fn is_in_domain(host: &str, pattern: &str) -> bool {
    let domain = pattern.strip_prefix("*.").or(pattern.strip_prefix('.')).unwrap_or(pattern);
    let below = host.strip_suffix(domain.trim_end_matches('.'));
    below.is_some_and(|labels| labels.is_empty() || labels.ends_with('.'))
}

/// Matches an address, or a network such as `10.0.0.0/8`.
fn is_in_network(target: IpAddr, pattern: &str) -> bool {
    let Some((network, length)) = pattern.split_once('/') else { return address(pattern) == Some(target) };
    let common = match (address(network), target) {
        (Some(V4(network)), V4(target)) => (network.to_bits() ^ target.to_bits()).leading_zeros(),
        (Some(V6(network)), V6(target)) => (network.to_bits() ^ target.to_bits()).leading_zeros(),
        _ => return false,
    };
    length.parse().is_ok_and(|length: u32| length <= common)
}

#[cfg(test)]
mod tests;
