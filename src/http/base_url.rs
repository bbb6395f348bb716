//! The base URL: where all requests go.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::http::Uri;
use ureq::http::uri::{Authority, Scheme};

use super::{MAX_LINE, in_words};

pub(super) struct BaseUrl {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    /// The path, without a slash at its end.
    prefix: String,
}

impl BaseUrl {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        if url.len() > MAX_LINE {
            return Err(format!("the base URL is over {}", in_words(MAX_LINE)));
        }
        // The `http` crate accepts them in a path, and would send them as they are.
        if !url.is_ascii() {
            return Err("the base URL must be ASCII; percent-encode what is not".into());
        }
        if url.contains(['?', '#']) {
            return Err("the base URL must not carry a query or fragment".into());
        }
        let parts = url.parse::<Uri>().map_err(|_| "the base URL is not a URL")?.into_parts();
        let scheme = parts.scheme.filter(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
        let (Some(scheme), Some(authority)) = (scheme, parts.authority) else {
            return Err("the base URL must begin with https://, or http:// for a loopback host".into());
        };
        if authority.as_str().contains('@') {
            return Err("the base URL must not carry a user or password".into());
        }
        if !is_host_and_port(authority.as_str()) {
            return Err("the base URL's host or port is not valid".into());
        }
        let path = parts.path_and_query.as_ref().map_or("", |path| path.path());
        Ok(Self { scheme, authority, prefix: path.trim_end_matches('/').to_owned() })
    }

    /// The URL of a path below the base URL.
    pub(super) fn join(&self, path: &str) -> Result<Uri, &'static str> {
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone());
        let uri = uri.path_and_query(format!("{}{path}", self.prefix)).build();
        uri.map_err(|_| "the URL is not valid")
    }

    pub(super) fn is_loopback(&self) -> bool {
        let host = self.authority.host();
        host.eq_ignore_ascii_case("localhost")
            || address(host).is_some_and(|address| address.to_canonical().is_loopback())
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

/// A host, and at most a port of digits. The `http` crate accepts more, and ends the host at the first `]`.
fn is_host_and_port(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    is_host(host) && port.is_none_or(is_port)
}

/// An address, or a name whose last label has something other than digits: otherwise it is an address gone wrong.
fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    address(host).is_some()
        || (name.split('.').all(is_label) && !name.rsplit('.').next().is_none_or(is_number))
}

/// Brackets are for IPv6 alone: `[127.0.0.1]` would be looked up as a name.
fn address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ureq::unversioned::resolver::DefaultResolver;

    use super::*;

    #[test]
    fn a_host_is_an_address_or_a_name() {
        for url in [
            "https://example.com",
            "https://example.com.",
            "https://example.com:443/prefix/",
            "https://my_service:8080",
            "https://xn--bcher-kva.example",
            "https://1.example.com",
            "https://3com",
            "https://10.0.0.1:1",
            "https://[2001:db8::1]",
            "https://[::ffff:127.0.0.1]:8443",
        ] {
            assert!(BaseUrl::parse(url).is_ok(), "{url}");
        }
        for url in [
            "http://[::1]evil.example:18080",
            "http://127.0.0.1:+80",
            "http://127.0.0.1:",
            "http://127.0.0.1:65536",
            "http://127.0.0.1:8 0",
            "https://[v1.x]",
            "https://[127.0.0.1]",
            "https://[fe80::1%25eth0]",
            "https://[::1",
            "https://::1",
            "https://1.2.3.256",
            "https://1.2.3.4.5",
            "https://127.1",
            "https://2130706433",
            "https://a..b",
            "https://.example.com",
            "https://example.com..",
            "https://.",
            "https://:443",
            "https://ex%61mple.com",
            "https://example.com:80:80",
            "https://b\u{fc}cher.example",
        ] {
            assert!(BaseUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_base_url_has_at_most_8_kib() {
        for (length, is_valid) in [(MAX_LINE, true), (MAX_LINE + 1, false)] {
            let url = format!("{:/<length$}", "https://example.com/");
            assert_eq!(BaseUrl::parse(&url).is_ok(), is_valid, "{length}");
        }
    }

    #[test]
    fn loopback_hosts() {
        for (url, is_loopback) in [
            ("http://localhost:1", true),
            ("http://LOCALHOST", true),
            ("http://127.0.0.1", true),
            ("http://127.255.255.254", true),
            ("http://[::1]", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://localhost.example.com", false),
            ("http://128.0.0.1", false),
            ("http://[::2]", false),
        ] {
            assert_eq!(BaseUrl::parse(url).unwrap().is_loopback(), is_loopback, "{url}");
        }
    }

    /// All sequences of up to three of these, each of which has been part of a URL that was taken for another.
    const PIECES: [&str; 24] = [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[",
        "]",
        ":",
        "@",
        ".",
        "0",
        "1",
        "0x7f",
        "%31",
        "80",
        "+",
        "-",
        "_",
        " ",
        "\\",
        "/",
        "\t",
        "evil.example",
        "::1",
        "\u{e9}",
    ];

    #[test]
    fn what_is_taken_for_loopback_is_connected_to_there_and_sent_as_it_is() {
        let mut accepted = 0;
        let pieces = || PIECES.into_iter().chain([""]);
        for first in pieces() {
            for second in pieces() {
                for third in pieces() {
                    let url = format!("http://{first}{second}{third}");
                    let Ok(base_url) = BaseUrl::parse(&url) else { continue };
                    let uri = base_url.join("/api").unwrap();
                    let authority = uri.authority().unwrap();
                    assert!(url.starts_with(&format!("http://{authority}")), "{url}");
                    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:[]-_".contains(&byte);
                    assert!(authority.as_str().bytes().all(is_plain), "{url}");
                    let target = DefaultResolver::host_and_port(&Scheme::HTTP, authority).unwrap();
                    let is_loopback = match target.parse::<SocketAddr>() {
                        Ok(address) => address.ip().to_canonical().is_loopback(),
                        Err(_) => target.rsplit_once(':').unwrap().0 == "localhost",
                    };
                    assert_eq!(base_url.is_loopback(), is_loopback, "{url}: {target}");
                    accepted += 1;
                }
            }
        }
        assert!(accepted > 100, "{accepted}");
    }
}
