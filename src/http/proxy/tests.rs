use ureq::http::Uri;

use super::*;

/// The proxy for a URL with these variables, as `NAME=value` between semicolons.
fn lookup_proxy(variables: &str, url: &str) -> Result<Option<Proxy>, String> {
    let variables: Vec<_> = variables.split(';').filter_map(|variable| variable.split_once('=')).collect();
    let url: Uri = url.parse().unwrap();
    from_variables(url.scheme().unwrap(), url.authority().unwrap(), |name| {
        variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| OsString::from(value))
    })
}

#[test]
fn proxy_comes_from_the_variable_that_curl_reads() {
    for (variables, for_https, for_http) in [
        ("", "direct", "direct"),
        ("https_proxy=a", "a", "direct"),
        ("HTTPS_PROXY=a", "a", "direct"),
        ("http_proxy=a", "direct", "a"),
        ("HTTP_PROXY=a", "direct", "a"),
        ("all_proxy=a", "a", "a"),
        ("ALL_PROXY=a", "a", "a"),
        // Lower case before upper case.
        ("HTTPS_PROXY=b;https_proxy=a;HTTP_PROXY=d;http_proxy=c", "a", "c"),
        ("ALL_PROXY=b;all_proxy=a", "a", "a"),
        // The variable of the scheme before that of all schemes.
        ("all_proxy=b;https_proxy=a", "a", "b"),
        ("all_proxy=b;HTTPS_PROXY=a", "a", "b"),
        ("all_proxy=b;http_proxy=a", "b", "a"),
        ("all_proxy=b;HTTP_PROXY=a", "b", "a"),
        // The other scheme's variable does not matter, even with a value that cannot be used.
        ("http_proxy=a;https_proxy=b", "b", "a"),
        ("http_proxy=ftp://a;https_proxy=b", "b", "http_proxy"),
        // A blank value is not set.
        ("https_proxy=;http_proxy= \t\r\n", "direct", "direct"),
        ("https_proxy=;HTTPS_PROXY=a", "a", "direct"),
        ("https_proxy=;HTTPS_PROXY= ;all_proxy=a", "a", "a"),
        // `no_proxy` is read in the same way, and before the proxy.
        ("all_proxy=a;no_proxy=handinger.test", "direct", "direct"),
        ("all_proxy=a;NO_PROXY=handinger.test", "direct", "direct"),
        ("all_proxy=a;no_proxy=b;NO_PROXY=*", "a", "a"),
        ("all_proxy=a;no_proxy= ;NO_PROXY=*", "direct", "direct"),
        ("all_proxy=ftp://a;no_proxy=handinger.test", "direct", "direct"),
    ] {
        for (url, expected) in [("https://handinger.test", for_https), ("http://handinger.test", for_http)] {
            let host = match lookup_proxy(variables, url) {
                Ok(Some(proxy)) => proxy.host().to_owned(),
                Ok(None) => "direct".to_owned(),
                Err(message) => message.split(' ').next().unwrap().to_owned(),
            };
            assert_eq!(host, expected, "{variables:?} {url}");
        }
    }
}

/// The proxy as `protocol://user:password@host:port`, with user and password decoded.
fn shown(proxy: &Proxy) -> String {
    let userinfo = match (proxy.username(), proxy.password()) {
        (None, _) => String::new(),
        (Some(user), None) => format!("{user}@"),
        (Some(user), Some(password)) => format!("{user}:{password}@"),
    };
    let protocol = proxy.protocol().to_string().to_lowercase();
    format!("{protocol}://{userinfo}{}:{}", proxy.host(), proxy.port())
}

#[test]
fn proxy_url_is_read_as_people_write_it() {
    for (values, expected) in [
        // Without a scheme, with a path, and with the white space of a file with Windows line ends.
        (
            "http://a.test:1;a.test:1;a.test:1/;http://a.test:01;http://a.test:1\r; http://a.test:1 \n",
            "http://a.test:1",
        ),
        (
            "http://a.test:2/path?query#fragment;http://a.test:2?query;http://a.test:2#fragment",
            "http://a.test:2",
        ),
        // Every scheme, and its port.
        ("http://a.test;HTTP://a.test;a.test", "http://a.test:80"),
        ("https://a.test", "https://a.test:443"),
        ("socks4://a.test", "socks4://a.test:1080"),
        ("socks4a://a.test", "socks4a://a.test:1080"),
        ("socks5://a.test;socks://a.test/", "socks5://a.test:1080"),
        ("socks5h://a.test;SOCKS5H://a.test", "socks5h://a.test:1080"),
        ("http://a.test:65535", "http://a.test:65535"),
        // Addresses.
        ("10.0.0.1", "http://10.0.0.1:80"),
        ("[2001:db8::1]:3128", "http://[2001:db8::1]:3128"),
        ("http://[2001:db8::1]", "http://[2001:db8::1]:80"),
        // User and password.
        ("http://user@a.test:1", "http://user@a.test:1"),
        ("http://user:@a.test:1", "http://user:@a.test:1"),
        ("http://:pass@a.test:1", "http://:pass@a.test:1"),
        ("user:8080@a.test;http://user:8080@a.test", "http://user:8080@a.test:80"),
        ("http://u%40x:p%40%3A%2F%3F%23%25%20%5B%5D%5C+%C3%A9@a:1", "http://u@x:p@:/?#% []\\+é@a:1"),
        ("http://user:p%2540@a.test:1", "http://user:p%40@a.test:1"),
        ("http://user:100%@a.test:1", "http://user:100%@a.test:1"),
        ("http://user:p:s@s@a.test:1", "http://user:p:s@s@a.test:1"),
        ("http://user:p^{|}[]\"<é @a.test:1", "http://user:p^{|}[]\"<é @a.test:1"),
        ("http://CORP\\user:pass@a.test:1;CORP\\user:pass@a.test:1", "http://CORP\\user:pass@a.test:1"),
        ("socks5h://user:p%40ss@a.test:1", "socks5h://user:p@ss@a.test:1"),
    ] {
        for value in values.split(';') {
            let proxy = lookup_proxy(&format!("https_proxy={value}"), "https://handinger.test").unwrap();
            assert_eq!(shown(&proxy.unwrap()), expected, "{value:?}");
        }
    }
}

#[test]
fn no_proxy_excludes_hosts_domains_and_networks() {
    for (no_proxy, excluded, others) in [
        // A host and the domains below it.
        ("a.test", "a.test b.a.test c.b.a.test a.TEST a.test. a.test:8443", "xa.test a.test.org test"),
        ("A.test", "a.test", ""),
        ("a.test.", "a.test", ""),
        (".a.test", "a.test b.a.test", "xa.test"),
        ("*.a.test", "a.test b.a.test", "xa.test"),
        ("*a.test", "", "a.test"),
        (".", "", "a.test"),
        ("*.", "", "a.test"),
        ("*", "a.test 10.1.2.3 [2001:db8::1]", ""),
        // Several entries.
        ("b.test,a.test", "a.test b.test", "c.test"),
        ("b.test, *", "a.test", ""),
        ("b.test ,a.test\r", "a.test b.test", "c.test"),
        ("b.test a.test", "a.test b.test", "c.test"),
        (",, ,", "", "a.test"),
        // Ports.
        ("a.test:443", "a.test", "http://a.test"),
        ("a.test:80", "http://a.test", "a.test"),
        ("a.test:8443", "b.a.test:8443", "a.test"),
        (".a.test:8443", "b.a.test:8443", "b.a.test"),
        ("a.test:x", "", "a.test"),
        ("*:8443", "a.test:8443", "a.test"),
        // Addresses.
        ("10.1.2.3", "10.1.2.3 10.1.2.3.", "10.1.2.4"),
        ("10.1.2.3:8443", "10.1.2.3:8443", "10.1.2.3"),
        ("2.3", "", "10.1.2.3"),
        ("2001:db8::1", "[2001:db8::1]", "[2001:db8::2]"),
        ("2001:DB8:0::1", "[2001:db8::1]:8443", ""),
        ("[2001:db8::1]", "[2001:db8::1]", ""),
        ("[2001:db8::1]:8443", "[2001:db8::1]:8443", "[2001:db8::1]"),
        // Networks.
        ("10.0.0.0/8", "10.255.2.3", "11.0.0.0 a.test"),
        ("10.0.0.0/8:443", "10.1.2.3", "10.1.2.3:8443"),
        ("10.1.2.3/32", "10.1.2.3", "10.1.2.2"),
        ("10.1.2.3/33", "", "10.1.2.3"),
        ("10.1.2.3/", "", "10.1.2.3"),
        ("0.0.0.0/0", "10.1.2.3", "[2001:db8::1]"),
        ("2001:db8::/32", "[2001:db8:1::1]", "[2001:db9::1]"),
        ("2001:db8::1/128", "[2001:db8::1]", "[2001:db8::]"),
        ("2001:db8::1/129", "", "[2001:db8::1]"),
        ("[2001:db8::]/32", "[2001:db8::1]", ""),
    ] {
        for (hosts, is_direct) in [(excluded, true), (others, false)] {
            for host in hosts.split_whitespace() {
                let url = if host.contains("://") { host.to_owned() } else { format!("https://{host}") };
                let proxy = lookup_proxy(&format!("all_proxy=proxy.test;no_proxy={no_proxy}"), &url);
                assert_eq!(proxy.unwrap().is_none(), is_direct, "{no_proxy:?} {url}");
            }
        }
    }
}

#[test]
fn unusable_proxy_is_an_error_that_names_the_variable_alone() {
    for (problem, values) in [
        (
            "has an invalid port",
            "http://user:s3cret@proxy.test:0;http://proxy.test:65536;http://proxy.test:99999;http://proxy.test:abc;\
             http://proxy.test:+80;http://proxy.test:-1;http://proxy.test:;http://[2001:db8::1]:0;\
             http:/proxy.test:3128;'proxy.test:3128';\"http://proxy.test:3128\";http://user:s3/cret@proxy.test:3128",
        ),
        ("has no host", "http://;/;:3128;//proxy.test:3128;http://user:s3cret@;http://user:s3cret@:3128"),
        (
            "is not the URL of an HTTP or SOCKS proxy",
            "ftp://s3cret@proxy.test;://proxy.test;http://2001:db8::1;http://2001:db8::1:3128;http://[2001:db8::1;\
             http://proxy.test:80:3128;http://proxy test:3128;http://pro%78y.test;http://user:s3cret%FF@proxy.test",
        ),
    ] {
        for value in values.split(';') {
            for name in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
                let result = lookup_proxy(&format!("{name}={value}"), "https://handinger.test");
                assert_eq!(result.unwrap_err(), format!("{name} {problem}"), "{value:?}");
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn value_that_is_not_unicode_is_an_error_if_it_is_used() {
    use std::os::unix::ffi::OsStringExt as _;

    for (is_set, not_unicode, is_used) in [
        ("", "https_proxy", true),
        ("", "ALL_PROXY", true),
        ("no_proxy", "https_proxy", true),
        ("https_proxy", "no_proxy", true),
        ("", "no_proxy", false),
        ("", "http_proxy", false),
        ("https_proxy", "all_proxy", false),
    ] {
        let url = Uri::from_static("https://handinger.test");
        let result = from_variables(url.scheme().unwrap(), url.authority().unwrap(), |name| {
            let not_unicode = (name == not_unicode).then(|| OsString::from_vec(b"http://a\xff".to_vec()));
            not_unicode.or_else(|| (name == is_set).then(|| "*".into()))
        });
        let expected = is_used.then(|| format!("{not_unicode} is not valid Unicode"));
        assert_eq!(result.err(), expected, "{is_set} {not_unicode}");
    }
}
