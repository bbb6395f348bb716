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
    let (first_segment, _) = location.split_once('/').unwrap_or((location, ""));
    if first_segment.contains(':') {
        return absolute(location, base_url, id);
    }
    let path_start = location.split(['?', '#']).next()?;
    let _: Uri = format!("/{path_start}").parse().ok()?;
    Some(without_id(path_start, id))
}

fn absolute(location: &str, base_url: &BaseUrl, id: &str) -> Option<String> {
    let uri: Uri = location.parse().ok()?;
    let (scheme, authority) = (uri.scheme()?, uri.authority()?);
    let (_, host_and_port) = authority.as_str().rsplit_once('@').unwrap_or(("", authority.as_str()));
    let is_own = *scheme == base_url.scheme && *authority == base_url.authority;
    let path = if is_own { without_id(uri.path(), id) } else { String::new() };
    Some(format!("{scheme}://{host_and_port}{path}"))
}

fn without_id(path: &str, id: &str) -> String {
    let decoded = |segment| percent_decode_str(segment).collect::<Vec<u8>>();
    let id = decoded(id);
    let shown = |segment| if decoded(segment) == id { "[redacted]" } else { segment };
    path.split('/').map(shown).collect::<Vec<_>>().join("/")
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
            ("/login?next=https://example.com/s3cret", "/login"),
            ("login?s3cret", "login"),
            ("?s3cret", ""),
            ("mailto:s3cret", "an invalid URL"),
            ("https:s3cret", "an invalid URL"),
            ("https://ex\u{e4}mple.com/", "an invalid URL"),
            ("not\ta url", "an invalid URL"),
        ] {
            let value = HeaderValue::from_bytes(location.as_bytes()).unwrap();
            assert_eq!(shown(&value, &base_url, "wrk%201"), shown_as, "{location}");
        }
    }
}
