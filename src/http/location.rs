//! The target of a redirect, as messages and the log may show it.

use percent_encoding::percent_decode_str;
use ureq::http::{HeaderValue, Uri};

use super::base_url::BaseUrl;
use crate::error::one_line;

/// The origin and, on the base URL's own, the path without the id. The rest may hold anything.
pub(super) fn shown(location: &HeaderValue, base_url: &BaseUrl, id: &str) -> String {
    let shown = location.to_str().ok().and_then(|location| reference(location, base_url, id));
    shown.map_or("an invalid URL".into(), |shown| one_line(&shown))
}

/// A reference may leave out the scheme, and the authority as well (RFC 3986 §4.2).
fn reference(location: &str, base_url: &BaseUrl, id: &str) -> Option<String> {
    if location.starts_with("//") {
        return absolute(&format!("{}:{location}", base_url.scheme), base_url, id);
    }
    let path = location.split(['?', '#']).next()?;
    if path.split('/').next()?.contains(':') {
        return absolute(location, base_url, id);
    }
    let _: Uri = format!("/{path}").parse().ok()?;
    Some(without_id(path, id))
}

fn absolute(location: &str, base_url: &BaseUrl, id: &str) -> Option<String> {
    let uri: Uri = location.parse().ok()?;
    let (scheme, authority) = (uri.scheme()?, uri.authority()?);
    let (_, host_and_port) = authority.as_str().rsplit_once('@').unwrap_or(("", authority.as_str()));
    let is_own = *scheme == base_url.scheme && *authority == base_url.authority;
    let path = if is_own { without_id(uri.path(), id) } else { String::new() };
    Some(format!("{scheme}://{host_and_port}{path}"))
}

/// The path, with each segment redacted that has the id in it; all of it, if the id spans segments.
fn without_id(path: &str, id: &str) -> String {
    let has_id = |text| {
        let decoded: Vec<u8> = percent_decode_str(text).collect();
        decoded.windows(id.len()).any(|part| part == id.as_bytes())
    };
    let shown = |segment| if has_id(segment) { "[redacted]" } else { segment };
    let path = path.split('/').map(shown).collect::<Vec<_>>().join("/");
    if has_id(&path) { "/[redacted]".into() } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_location_the_origin_is_shown_and_on_the_own_origin_the_path() {
        let base_url = BaseUrl::parse("https://handinger.test:8443/prefix").unwrap();
        for (location, shown_as) in [
            ("https://example.com/s3cret?s3cret#s3cret", "https://example.com"),
            ("https://user:s3cret@example.com:81/s3cret", "https://example.com:81"),
            ("HTTPS://example.com", "https://example.com"),
            ("//example.com/s3cret", "https://example.com"),
            (
                "https://handinger.test:8443/v2/wrk%201/webhook?s3cret",
                "https://handinger.test:8443/v2/[redacted]/webhook",
            ),
            ("https://handinger.test:8443/wrk%201", "https://handinger.test:8443/[redacted]"),
            ("https://handinger.test/wrk%201", "https://handinger.test"),
            ("http://handinger.test:8443/wrk%201", "http://handinger.test:8443"),
            ("/v2/w%72k%201/webhook#s3cret", "/v2/[redacted]/webhook"),
            ("/v2/wrk 1.json", "an invalid URL"),
            ("/v2/wrk%201.json/webhook", "/v2/[redacted]/webhook"),
            ("/v2/id=wrk%201;v=2", "/v2/[redacted]"),
            ("wrk%201", "[redacted]"),
            ("/login?next=https://example.com/s3cret", "/login"),
            ("login?s3cret", "login"),
            ("login?next=https://example.com/s3cret", "login"),
            ("login#s3:cret", "login"),
            ("?s3cret", ""),
            ("mailto:s3cret", "an invalid URL"),
            ("https:s3cret", "an invalid URL"),
            ("https://ex\u{e4}mple.com/", "an invalid URL"),
            ("not\ta url", "an invalid URL"),
        ] {
            let value = HeaderValue::from_bytes(location.as_bytes()).unwrap();
            assert_eq!(shown(&value, &base_url, "wrk 1"), shown_as, "{location}");
        }
        for (location, shown_as) in [
            ("/workers/a/b/webhook", "/[redacted]"),
            ("/workers/a%2Fb/webhook", "/workers/[redacted]/webhook"),
            ("/workers/a/c", "/workers/a/c"),
        ] {
            let value = HeaderValue::from_static(location);
            assert_eq!(shown(&value, &base_url, "a/b"), shown_as, "{location}");
        }
    }
}
