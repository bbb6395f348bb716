use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use ureq::Agent;
use ureq::http::Uri;

use super::*;

type Variables<'a> = &'a [(&'a str, &'a str)];

/// The proxy for a URL, as `protocol://user:password@host:port` with user and password decoded, or `direct`.
fn proxy_for(variables: Variables<'_>, url: &str) -> Result<String, String> {
    let proxy = lookup_proxy(url, |name| {
        variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| OsString::from(value))
    })?;
    Ok(proxy.map_or("direct".into(), |proxy| {
        let userinfo = match (proxy.username(), proxy.password()) {
            (None, _) => String::new(),
            (Some(user), None) => format!("{user}@"),
            (Some(user), Some(password)) => format!("{user}:{password}@"),
        };
        let protocol = proxy.protocol().to_string().to_lowercase();
        format!("{protocol}://{userinfo}{}:{}", proxy.host(), proxy.port())
    }))
}

fn lookup_proxy(url: &str, lookup: impl Fn(&str) -> Option<OsString>) -> Result<Option<Proxy>, String> {
    let url: Uri = url.parse().unwrap();
    from_variables(url.scheme().unwrap(), url.authority().unwrap(), lookup)
}

#[test]
fn proxy_comes_from_the_variable_that_curl_reads() {
    const HTTP: &str = "http://handinger.test";
    const HTTPS: &str = "https://handinger.test";
    let table: &[(Variables<'_>, &str, &str)] = &[
        (&[], HTTPS, "direct"),
        (&[("https_proxy", "http://a:1")], HTTPS, "http://a:1"),
        (&[("HTTPS_PROXY", "http://a:1")], HTTPS, "http://a:1"),
        (&[("http_proxy", "http://a:1")], HTTP, "http://a:1"),
        (&[("HTTP_PROXY", "http://a:1")], HTTP, "http://a:1"),
        (&[("all_proxy", "http://a:1")], HTTP, "http://a:1"),
        (&[("all_proxy", "http://a:1")], HTTPS, "http://a:1"),
        (&[("ALL_PROXY", "http://a:1")], HTTP, "http://a:1"),
        (&[("ALL_PROXY", "http://a:1")], HTTPS, "http://a:1"),
        // Lower case before upper case.
        (&[("HTTPS_PROXY", "http://b:2"), ("https_proxy", "http://a:1")], HTTPS, "http://a:1"),
        (&[("HTTP_PROXY", "http://b:2"), ("http_proxy", "http://a:1")], HTTP, "http://a:1"),
        (&[("ALL_PROXY", "http://b:2"), ("all_proxy", "http://a:1")], HTTPS, "http://a:1"),
        // The variable of the scheme before that of all schemes.
        (&[("all_proxy", "socks5://b:2"), ("https_proxy", "http://a:1")], HTTPS, "http://a:1"),
        (&[("all_proxy", "socks5://b:2"), ("https_proxy", "http://a:1")], HTTP, "socks5://b:2"),
        (&[("all_proxy", "socks5://b:2"), ("HTTPS_PROXY", "http://a:1")], HTTPS, "http://a:1"),
        (&[("all_proxy", "socks5://b:2"), ("HTTP_PROXY", "http://a:1")], HTTP, "http://a:1"),
        // The variable of the other scheme, even with a value that cannot be used.
        (&[("http_proxy", "http://a:1"), ("HTTP_PROXY", "http://a:1")], HTTPS, "direct"),
        (&[("https_proxy", "http://a:1"), ("HTTPS_PROXY", "http://a:1")], HTTP, "direct"),
        (&[("http_proxy", "ftp://a:1"), ("https_proxy", "http://a:1")], HTTPS, "http://a:1"),
        // A blank value is not set.
        (&[("https_proxy", "")], HTTPS, "direct"),
        (&[("https_proxy", " \t\r\n")], HTTPS, "direct"),
        (&[("https_proxy", ""), ("HTTPS_PROXY", "http://a:1")], HTTPS, "http://a:1"),
        (&[("https_proxy", ""), ("HTTPS_PROXY", ""), ("all_proxy", "http://a:1")], HTTPS, "http://a:1"),
        // `no_proxy` is read in the same way, and before the proxy.
        (&[("all_proxy", "http://a:1"), ("no_proxy", "handinger.test")], HTTPS, "direct"),
        (&[("all_proxy", "http://a:1"), ("NO_PROXY", "handinger.test")], HTTPS, "direct"),
        (&[("all_proxy", "http://a:1"), ("no_proxy", "b"), ("NO_PROXY", "*")], HTTPS, "http://a:1"),
        (&[("all_proxy", "http://a:1"), ("no_proxy", " "), ("NO_PROXY", "*")], HTTPS, "direct"),
        (&[("all_proxy", "ftp://a:1"), ("no_proxy", "handinger.test")], HTTPS, "direct"),
    ];
    for (variables, url, expected) in table {
        assert_eq!(proxy_for(variables, url).as_deref(), Ok(*expected), "{variables:?} {url}");
    }
}

#[test]
fn proxy_url_is_read_as_people_write_it() {
    for (value, expected) in [
        ("http://proxy.test:3128", "http://proxy.test:3128"),
        ("http://proxy.test:3128/", "http://proxy.test:3128"),
        ("http://proxy.test:3128/path?query#fragment", "http://proxy.test:3128"),
        ("http://proxy.test:3128?query", "http://proxy.test:3128"),
        ("http://proxy.test:3128#fragment", "http://proxy.test:3128"),
        // White space around it, as from a file with Windows line ends.
        ("http://proxy.test:3128\r", "http://proxy.test:3128"),
        (" http://proxy.test:3128 \n", "http://proxy.test:3128"),
        // No scheme.
        ("proxy.test:3128", "http://proxy.test:3128"),
        ("proxy.test:3128/", "http://proxy.test:3128"),
        ("user:pass@proxy.test:3128", "http://user:pass@proxy.test:3128"),
        ("10.0.0.1", "http://10.0.0.1:80"),
        ("[2001:db8::1]:3128", "http://[2001:db8::1]:3128"),
        // Every scheme, and its port.
        ("http://proxy.test", "http://proxy.test:80"),
        ("https://proxy.test", "https://proxy.test:443"),
        ("socks4://proxy.test", "socks4://proxy.test:1080"),
        ("socks4a://proxy.test", "socks4a://proxy.test:1080"),
        ("socks5://proxy.test", "socks5://proxy.test:1080"),
        ("socks5h://proxy.test", "socks5h://proxy.test:1080"),
        ("socks://proxy.test/", "socks5://proxy.test:1080"),
        ("http://[2001:db8::1]", "http://[2001:db8::1]:80"),
        ("HTTP://proxy.test", "http://proxy.test:80"),
        ("SOCKS5H://proxy.test", "socks5h://proxy.test:1080"),
        ("http://proxy.test:65535", "http://proxy.test:65535"),
        ("http://proxy.test:03128", "http://proxy.test:3128"),
        // User and password.
        ("http://user@proxy.test:1", "http://user@proxy.test:1"),
        ("http://user:@proxy.test:1", "http://user:@proxy.test:1"),
        ("http://:pass@proxy.test:1", "http://:pass@proxy.test:1"),
        ("http://user:8080@proxy.test", "http://user:8080@proxy.test:80"),
        ("http://u%40x:p%40%3A%2F%3F%23%25%20%5B%5D%5C+%C3%A9@a:1", "http://u@x:p@:/?#% []\\+é@a:1"),
        ("http://user:p%2540@proxy.test:1", "http://user:p%40@proxy.test:1"),
        ("http://user:100%@proxy.test:1", "http://user:100%@proxy.test:1"),
        ("http://user:p:s@s@proxy.test:1", "http://user:p:s@s@proxy.test:1"),
        ("http://user:p^{|}[]\"<é @proxy.test:1", "http://user:p^{|}[]\"<é @proxy.test:1"),
        ("http://CORP\\user:pass@proxy.test:8080", "http://CORP\\user:pass@proxy.test:8080"),
        ("CORP\\user:pass@proxy.test:8080", "http://CORP\\user:pass@proxy.test:8080"),
        ("socks5h://user:p%40ss@proxy.test:1", "socks5h://user:p@ss@proxy.test:1"),
    ] {
        let variables: Variables<'_> = &[("https_proxy", value)];
        assert_eq!(proxy_for(variables, "https://handinger.test").as_deref(), Ok(expected), "{value:?}");
    }
}

#[test]
fn no_proxy_excludes_hosts_domains_and_networks() {
    for (no_proxy, url, is_direct) in [
        // Entries, and what separates them.
        ("corp.example", "https://corp.example", true),
        ("localhost,corp.example", "https://corp.example", true),
        ("localhost, corp.example", "https://corp.example", true),
        ("localhost ,corp.example\r", "https://corp.example", true),
        ("localhost corp.example", "https://corp.example", true),
        ("other.example", "https://corp.example", false),
        (",, ,", "https://corp.example", false),
        // Domains.
        ("corp.example", "https://a.corp.example", true),
        ("corp.example", "https://a.b.corp.example", true),
        ("example", "https://corp.example", true),
        ("corp.example", "https://notcorp.example", false),
        ("corp.example", "https://corp.example.org", false),
        ("a.corp.example", "https://corp.example", false),
        (".corp.example", "https://a.corp.example", true),
        (".corp.example", "https://corp.example", true),
        ("*.corp.example", "https://a.corp.example", true),
        ("*.corp.example", "https://corp.example", true),
        ("*corp.example", "https://corp.example", false),
        ("*.corp.example", "https://notcorp.example", false),
        (".", "https://corp.example", false),
        ("*.", "https://corp.example", false),
        // All hosts.
        ("*", "https://corp.example", true),
        ("localhost, *", "https://corp.example", true),
        ("*", "https://10.1.2.3", true),
        // Case and trailing dots.
        ("CORP.example", "https://corp.EXAMPLE", true),
        ("corp.example.", "https://corp.example", true),
        ("corp.example", "https://corp.example.", true),
        ("10.1.2.3", "https://10.1.2.3.", true),
        // Ports.
        ("corp.example:443", "https://corp.example", true),
        ("corp.example:80", "http://corp.example", true),
        ("corp.example:80", "https://corp.example", false),
        ("corp.example:443", "http://corp.example", false),
        ("corp.example:8443", "https://corp.example", false),
        ("corp.example:8443", "https://a.corp.example:8443", true),
        (".corp.example:8443", "https://a.corp.example:8443", true),
        ("corp.example", "https://corp.example:8443", true),
        ("corp.example:x", "https://corp.example", false),
        ("*:8443", "https://corp.example", false),
        // Addresses.
        ("10.1.2.3", "https://10.1.2.3", true),
        ("10.1.2.3", "https://10.1.2.4", false),
        ("10.1.2.3:8443", "https://10.1.2.3:8443", true),
        ("10.1.2.3:8443", "https://10.1.2.3", false),
        ("2.3", "https://10.1.2.3", false),
        ("2001:db8::1", "https://[2001:db8::1]", true),
        ("2001:DB8:0::1", "https://[2001:db8::1]:8443", true),
        ("2001:db8::2", "https://[2001:db8::1]", false),
        ("[2001:db8::1]", "https://[2001:db8::1]", true),
        ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443", true),
        ("[2001:db8::1]:8443", "https://[2001:db8::1]", false),
        // Networks.
        ("10.0.0.0/8", "https://10.255.2.3", true),
        ("10.0.0.0/8", "https://11.0.0.0", false),
        ("10.1.2.3/32", "https://10.1.2.3", true),
        ("10.1.2.3/33", "https://10.1.2.3", false),
        ("10.1.2.3/", "https://10.1.2.3", false),
        ("0.0.0.0/0", "https://10.1.2.3", true),
        ("0.0.0.0/0", "https://[2001:db8::1]", false),
        ("10.0.0.0/8", "https://corp.example", false),
        ("10.0.0.0/8:443", "https://10.1.2.3", true),
        ("2001:db8::/32", "https://[2001:db8:1::1]", true),
        ("2001:db8::/32", "https://[2001:db9::1]", false),
        ("2001:db8::1/128", "https://[2001:db8::1]", true),
        ("2001:db8::1/129", "https://[2001:db8::1]", false),
        ("[2001:db8::]/32", "https://[2001:db8::1]", true),
    ] {
        let variables: Variables<'_> = &[("all_proxy", "http://proxy.test:3128"), ("no_proxy", no_proxy)];
        let expected = if is_direct { "direct" } else { "http://proxy.test:3128" };
        assert_eq!(proxy_for(variables, url).as_deref(), Ok(expected), "{no_proxy:?} {url}");
    }
}

#[test]
fn unusable_proxy_is_an_error_that_names_the_variable_alone() {
    const SCHEME: &str = "has a scheme other than http, https, socks4, socks4a, socks5 and socks5h";
    const PORT: &str = "has an invalid port";
    const HOST: &str = "has no host";
    const URL: &str = "is not the URL of a proxy";
    for (value, problem) in [
        ("ftp://s3cret@proxy.test", SCHEME),
        ("://proxy.test", SCHEME),
        ("\"http://proxy.test:3128\"", SCHEME),
        ("http://user:s3cret@proxy.test:0", PORT),
        ("http://proxy.test:65536", PORT),
        ("http://proxy.test:99999", PORT),
        ("http://proxy.test:abc", PORT),
        ("http://proxy.test:+80", PORT),
        ("http://proxy.test:-1", PORT),
        ("http://proxy.test:", PORT),
        ("http://[2001:db8::1]:0", PORT),
        ("http:/proxy.test:3128", PORT),
        ("'proxy.test:3128'", PORT),
        ("http://user:s3/cret@proxy.test:3128", PORT),
        ("http://", HOST),
        ("/", HOST),
        (":3128", HOST),
        ("//proxy.test:3128", HOST),
        ("http://user:s3cret@", HOST),
        ("http://user:s3cret@:3128", HOST),
        ("http://2001:db8::1", URL),
        ("http://2001:db8::1:3128", URL),
        ("http://[2001:db8::1", URL),
        ("http://proxy.test:80:3128", URL),
        ("http://proxy test:3128", URL),
        ("http://pro%78y.test", URL),
        ("http://user:s3cret%FF@proxy.test", URL),
    ] {
        for name in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            let result = proxy_for(&[(name, value)], "https://handinger.test");
            assert_eq!(result, Err(format!("{name} {problem}")), "{value:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn value_that_is_not_unicode_is_an_error_if_it_is_used() {
    use std::os::unix::ffi::OsStringExt as _;

    let table: &[(Variables<'_>, &str, Option<&str>)] = &[
        (&[], "https_proxy", Some("https_proxy is not valid Unicode")),
        (&[], "ALL_PROXY", Some("ALL_PROXY is not valid Unicode")),
        (&[("no_proxy", "*")], "https_proxy", Some("https_proxy is not valid Unicode")),
        (&[("https_proxy", "a")], "no_proxy", Some("no_proxy is not valid Unicode")),
        // These are not used.
        (&[], "no_proxy", None),
        (&[], "http_proxy", None),
        (&[("https_proxy", "a")], "all_proxy", None),
    ];
    for (variables, not_unicode, expected) in table {
        let result = lookup_proxy("https://handinger.test", |name| {
            let value = variables.iter().find(|(variable, _)| *variable == name);
            let value = value.map(|(_, value)| OsString::from(value));
            value.or_else(|| (name == *not_unicode).then(|| OsString::from_vec(b"http://a\xff".to_vec())))
        });
        assert_eq!(result.err().as_deref(), *expected, "{variables:?} {not_unicode}");
    }
}

#[test]
fn user_and_password_reach_the_proxy_decoded() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let request = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0].into());
        }
        stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").unwrap();
        request
    });
    let proxy = parse(&format!("http://CORP\\us%65r:p%40%3A%2F%25%C3%A9@{address}/")).unwrap();
    let agent: Agent = Agent::config_builder().proxy(Some(proxy)).build().into();
    agent.get("http://handinger.test").call().unwrap_err();
    // The base64 of `CORP\user:p@:/%é`.
    let expected = "\r\nProxy-Authorization: Basic Q09SUFx1c2VyOnBAOi8lw6k=\r\n";
    let request = request.join().unwrap();
    assert!(request.contains(expected), "{request}");
}
