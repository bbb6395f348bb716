//! The headers that all requests carry.

use ureq::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ureq::http::uri::Authority;

use super::{MAX_HEADERS, MAX_LINE, Settings, in_words};

/// Headers that describe the connection or the message, or that have a setting of their own.
const RESERVED: [HeaderName; 13] = [
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

/// What every request carries, the headers included that ureq would otherwise add to each one anew.
pub(super) fn headers(
    authority: &Authority,
    api_key: &str,
    settings: &Settings,
) -> Result<HeaderMap, String> {
    if api_key.is_empty() {
        return Err("the API key is blank".into());
    }
    let mut authorization =
        printable(&format!("Bearer {api_key}")).ok_or("the API key has a control or non-ASCII character")?;
    authorization.set_sensitive(true);
    let user_agent =
        printable(&settings.user_agent).ok_or("the user agent has a control or non-ASCII character")?;
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| "the base URL's host is not valid")?;
    let encoding = if cfg!(feature = "gzip") { "gzip" } else { "identity" };
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, authorization);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, user_agent);
    headers.insert(header::HOST, host);
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encoding));
    if !settings.reuse_connections {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    for (name, value) in &settings.headers {
        let (name, value) = checked(name, value)?;
        // Beyond some thousands of headers `insert` panics.
        headers.try_insert(name, value).map_err(|_| "there are too many headers")?;
    }
    check_sizes(&headers)?;
    Ok(headers)
}

/// The values of the headers that are secret.
pub(super) fn sensitive(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok())
}

fn checked(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let name = HeaderName::try_from(name).map_err(|_| "a header's name is not valid")?;
    if RESERVED.contains(&name) {
        return Err(format!("the header {name} is set by the client itself"));
    }
    let mut value = printable(value)
        .ok_or_else(|| format!("the value of the header {name} has a control or non-ASCII character"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn check_sizes(headers: &HeaderMap) -> Result<(), String> {
    let mut sum = 0;
    for (name, value) in headers {
        let size = name.as_str().len() + value.len();
        if size > MAX_LINE {
            return Err(format!("the header {name} is over {}", in_words(MAX_LINE)));
        }
        sum += size;
    }
    if sum > MAX_HEADERS {
        return Err(format!("the headers are over {} in all", in_words(MAX_HEADERS)));
    }
    Ok(())
}

/// `HeaderValue` by itself accepts tabs, and from a `String` whatever is not ASCII.
fn printable(text: &str) -> Option<HeaderValue> {
    let is_printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_printable.then(|| HeaderValue::from_str(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_at_most_8_kib_and_all_have_64_kib() {
        let check = |sizes: &[usize]| {
            let mut headers = HeaderMap::new();
            for (number, size) in sizes.iter().enumerate() {
                let name = HeaderName::try_from(format!("x-{number}")).unwrap();
                let value = "v".repeat(size - name.as_str().len());
                headers.insert(name, value.parse().unwrap());
            }
            check_sizes(&headers)
        };
        assert_eq!(check(&[MAX_LINE]), Ok(()));
        assert_eq!(check(&[MAX_LINE + 1]), Err("the header x-0 is over 8 KiB".into()));
        assert_eq!(check(&[MAX_LINE; 8]), Ok(()));
        assert_eq!(
            check(&[&[MAX_LINE; 8][..], &[3]].concat()),
            Err("the headers are over 64 KiB in all".into())
        );
    }
}
