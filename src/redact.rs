//! Redaction: messages contain no key or token, and only the scheme and host of a webhook's URL.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The unreserved characters of RFC 3986 §2.3 stand for themselves in a component of a URL; all others are encoded.
pub(crate) const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The minimum length of a redacted secret, because a shorter one would blank out ordinary words.
const MIN_SECRET: usize = 4;

/// Replaces every occurrence of a secret, verbatim or percent-encoded.
pub(crate) fn redact(text: &str, secrets: &[&str]) -> String {
    let secrets = secrets.iter().filter(|secret| secret.len() >= MIN_SECRET);
    let encoded = |secret: &str| utf8_percent_encode(secret, COMPONENT).to_string();
    let forms: Vec<String> = secrets.flat_map(|secret| [secret.to_string(), encoded(secret)]).collect();
    let (mut redacted, mut rest) = (String::new(), text);
    while let Some(character) = rest.chars().next() {
        let found = forms.iter().filter(|form| rest.starts_with(form.as_str()));
        // Takes the longest, because another secret may be a part of it.
        if let Some(length) = found.map(String::len).max() {
            redacted.push_str("[redacted]");
            rest = &rest[length..];
        } else {
            redacted.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    redacted
}

/// The parts of a URL. For any other text, `rest` holds all of it.
#[derive(Default)]
struct Parts<'a> {
    scheme: &'a str,
    userinfo: &'a str,
    host: &'a str,
    rest: &'a str,
}

fn split(url: &str) -> Parts<'_> {
    let is_scheme = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let Some(colon) = url.find("://").filter(|&colon| is_scheme(&url[..colon])) else {
        return Parts { rest: url, ..Parts::default() };
    };
    let (scheme, after) = url.split_at(colon + 3);
    let (authority, rest) = after.split_at(after.find(['/', '?', '#', '\\']).unwrap_or(after.len()));
    let (userinfo, host) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    Parts { scheme, userinfo, host, rest }
}

/// Returns the URL as `Debug` prints it: `https://example.com/…`.
pub(crate) fn shown_url(url: &str) -> String {
    let Parts { scheme, host, rest, .. } = split(url);
    let rest = if rest.len() > 1 { "/…" } else { rest };
    format!("{scheme}{host}{rest}")
}

/// Returns the parts of a URL that a message must not repeat.
pub(crate) fn secret_parts(url: &str) -> Vec<&str> {
    let Parts { userinfo, rest, .. } = split(url);
    let userinfo = userinfo.trim_end_matches('@');
    let (_, password) = userinfo.split_once(':').unwrap_or_default();
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    vec![rest, path, path.trim_start_matches('/'), query, fragment, userinfo, password]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_and_host_of_a_url_are_shown() {
        for (url, shown) in [
            ("https://example.com/hook/s3cret?key=1", "https://example.com/…"),
            ("https://example.com", "https://example.com"),
            ("https://example.com/", "https://example.com/"),
            ("https://example.com?s3cret", "https://example.com/…"),
            ("https://user:s3cret@example.com:8443/x", "https://example.com:8443/…"),
            ("https://a@b@example.com/x", "https://example.com/…"),
            ("s3cret", "/…"),
            ("example.com/s3cret?next=https://x.example/", "/…"),
            ("s3cret://", "s3cret://"),
            ("s3/cret://example.com", "/…"),
            ("", ""),
        ] {
            assert_eq!(shown_url(url), shown, "{url}");
        }
    }

    #[test]
    fn a_message_keeps_its_words_and_loses_the_secrets() {
        let url = "https://user:pass@example.com/hook/s3cret?key=1234#s3cretFragment";
        assert_eq!(
            redact(&format!("no: {url}, /hook/s3cret, hook/s3cret, key=1234, no pass"), &secret_parts(url)),
            "no: https://[redacted]@example.com[redacted]#[redacted], [redacted], [redacted], [redacted], no [redacted]"
        );
        assert_eq!(redact("/ is not a path", &secret_parts("https://example.com/")), "/ is not a path");
        let secret = "/hook/a \"b\"";
        for form in ["/hook/a \"b\"", "%2Fhook%2Fa%20%22b%22"] {
            assert_eq!(redact(&format!("no {form}!"), &[secret]), "no [redacted]!", "{form}");
        }
        assert_eq!(redact("s3cret-key", &["s3cret", "s3cret-key"]), "[redacted]");
        assert_eq!(redact("no redacted s3cret", &["s3cret", "redacted"]), "no [redacted] [redacted]");
    }
}
