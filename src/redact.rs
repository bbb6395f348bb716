//! What may be shown of a secret: nothing of a key or token, and of a webhook's URL only where it points to.

use std::cmp::Reverse;

/// Shorter secrets would blank out half of any sentence, and protect nothing.
const SHORTEST: usize = 4;

/// `text` with every occurrence of a secret replaced. The longest goes first: another may be a part of it.
pub(crate) fn redact<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let mut secrets: Vec<_> = secrets.into_iter().filter(|secret| secret.len() >= SHORTEST).collect();
    secrets.sort_by_key(|secret| Reverse(secret.len()));
    secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[redacted]"))
}

/// The parts of a URL; of something that is no URL, all is `rest`.
#[derive(Default)]
struct Parts<'a> {
    scheme: &'a str,
    userinfo: &'a str,
    host: &'a str,
    rest: &'a str,
}

fn split(url: &str) -> Parts<'_> {
    let Some(colon) = url.find("://") else {
        return Parts { rest: url, ..Parts::default() };
    };
    let (scheme, after) = url.split_at(colon + 3);
    let (authority, rest) = after.split_at(after.find(['/', '?', '#', '\\']).unwrap_or(after.len()));
    let (userinfo, host) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    Parts { scheme, userinfo, host, rest }
}

/// A URL as `Debug` prints it: `https://example.com/…`.
pub(crate) fn shown_url(url: &str) -> String {
    let Parts { scheme, host, rest, .. } = split(url);
    let rest = if rest.len() > 1 { "/…" } else { rest };
    format!("{scheme}{host}{rest}")
}

/// The parts of a URL that a message must not repeat.
pub(crate) fn secret_parts(url: &str) -> [&str; 6] {
    let Parts { userinfo, rest, .. } = split(url);
    let userinfo = userinfo.trim_end_matches('@');
    let (_, password) = userinfo.split_once(':').unwrap_or_default();
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    [rest, path, query, fragment, userinfo, password]
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
            ("", ""),
        ] {
            assert_eq!(shown_url(url), shown, "{url}");
        }
    }

    #[test]
    fn a_message_keeps_its_words_and_loses_the_secrets() {
        let url = "https://user:pass@example.com/hook/s3cret?key=1234";
        let text = "no: https://user:pass@example.com/hook/s3cret?key=1234, /hook/s3cret, key=1234";
        assert_eq!(
            redact(text, secret_parts(url)),
            "no: https://[redacted]@example.com[redacted], [redacted], [redacted]"
        );
        assert_eq!(redact("no user:pass, no pass", secret_parts(url)), "no [redacted], no [redacted]");
        assert_eq!(redact("/ is not a path", secret_parts("https://example.com/")), "/ is not a path");
        let url = "https://example.com/hook#s3cret";
        assert_eq!(
            redact("no: /hook, /hook#s3cret", secret_parts(url)),
            "no: [redacted], [redacted]#[redacted]"
        );
        assert_eq!(redact("s3cret-key", ["s3cret", "s3cret-key"]), "[redacted]");
    }
}
