//! Reads a response's body up to a limit, and finds the message in an error's body.

use std::io::Read;

use serde_json::Value;
use ureq::Body;

use crate::lenient::from_json;

/// Appends the body to `bytes`. After an error (too large, truncated, too slow), they hold the part received.
pub(super) fn read(mut body: Body, limit: usize, bytes: &mut Vec<u8>) -> Result<(), ureq::Error> {
    let announced = body.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    bytes.reserve_exact(announced.min(limit));
    body.with_config().limit(limit as u64).reader().read_to_end(bytes)?;
    Ok(())
}

pub(super) const NOT_DOCUMENTED: &str = "the response is not what the API documents";

/// Describes an unexpected body, with the title of a page. Omits other text, because it may hold a token.
pub(super) fn describe_unusable(body: &[u8]) -> (&'static str, Option<String>) {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    match text.chars().next() {
        None => ("the response is empty", None),
        Some('<') => ("the response is HTML, not JSON", title_of(text)),
        Some('{' | '[') => (NOT_DOCUMENTED, None),
        Some(_) => ("the response is not a JSON object", None),
    }
}

/// Returns the message in an error's body: JSON in six shapes, an HTML page, or plain text.
pub(super) fn message_in(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim();
    let is_binary = |c: char| c == char::REPLACEMENT_CHARACTER || (c.is_control() && !c.is_whitespace());
    match text.chars().next()? {
        '{' => in_json(text),
        '<' => title_of(text),
        '[' | '"' => None, // JSON of another shape
        _ if text.contains(is_binary) => None,
        _ => Some(text.to_owned()),
    }
}

fn in_json(text: &str) -> Option<String> {
    const PLACES: [&str; 6] =
        ["/error/message", "/error", "/message", "/detail", "/errors/0/message", "/title"];
    let body: Value = from_json(text.as_bytes()).ok()?;
    let texts = PLACES.iter().filter_map(|place| body.pointer(place)?.as_str());
    texts.map(|text| text.trim().to_owned()).find(|text| !text.is_empty())
}

/// Returns the title of a page or else its first heading, where proxies write `502 Bad Gateway`.
fn title_of(page: &str) -> Option<String> {
    let lowercase = page.to_ascii_lowercase(); // keeps the length, so that positions are the same
    let text_of = |element: &str| {
        let tag = lowercase.find(&format!("<{element}"))?;
        let start = tag + lowercase[tag..].find('>')? + 1;
        let end = start + lowercase[start..].find(&format!("</{element}"))?;
        Some(page[start..end].trim()).filter(|text| !text.is_empty())
    };
    text_of("title").or_else(|| text_of("h1")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_of_a_page_is_its_title_or_first_heading() {
        for (page, message) in [
            ("<html><head><title>502 Bad Gateway</title></head><body><h1>Oops</h1>", Some("502 Bad Gateway")),
            ("<!DOCTYPE html>\n<HTML><TITLE lang=en>\n  Not\n found </TITLE>", Some("Not\n found")),
            ("<html><title></title><h1 class='x'>504 Gateway Time-out</h1>", Some("504 Gateway Time-out")),
            ("\u{feff}<html><body><h1>503 Service Unavailable</h1>", Some("503 Service Unavailable")),
            ("<html><title>unfinished", None),
            ("<html><title", None),
            ("<?xml version=\"1.0\"?><error/>", None),
        ] {
            assert_eq!(message_in(page.as_bytes()).as_deref(), message, "{page}");
        }
        assert_eq!(message_in(b"<title>caf\xe9 \xc4\xb0</title>").as_deref(), Some("caf\u{fffd} \u{130}"));
    }
}
