//! Reading a response: its body within bounds, and the message in an error's body.

use std::io::Read;

use serde_json::Value;
use ureq::Body;

use super::{MAX_BODY, MAX_KEPT_BODY, Response};
use crate::lenient::from_json;

/// Appends the complete body to `bytes`; after an error (too large, truncated, too slow) they hold what came.
pub(super) fn read_complete(mut body: Body, bytes: &mut Vec<u8>) -> Result<(), ureq::Error> {
    let announced = body.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    bytes.reserve_exact(announced.min(MAX_BODY));
    body.with_config().limit(MAX_BODY as u64).reader().read_to_end(bytes)?;
    Ok(())
}

/// Returns the beginning of a body. Its truncation is no failure, because the status has come, and says more.
pub(super) fn read_beginning(mut body: Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = body.as_reader().take(MAX_KEPT_BODY as u64).read_to_end(&mut bytes);
    bytes
}

/// Returns the part of a response that an error keeps.
pub(super) fn kept(mut response: Response) -> Response {
    response.body_mut().truncate(MAX_KEPT_BODY);
    response.body_mut().shrink_to_fit();
    response
}

/// Says what came in place of the API's JSON, with the title of a page. Other text may hold a token.
pub(super) fn describe_unusable(body: &[u8]) -> (&'static str, Option<String>) {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    match text.chars().next() {
        None => ("the response is empty", None),
        Some('<') => ("the response is HTML, not JSON", title_of(text)),
        Some('{' | '[') => ("the response is not what the API documents", None),
        Some(_) => ("the response is not JSON", None),
    }
}

/// Returns the message in an error's body: JSON in six shapes, an HTML page, or plain text.
pub(super) fn message_in(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let message = match text.chars().next()? {
        '{' => in_json(text),
        '<' => title_of(text),
        _ => plain_text(body).map(str::to_owned),
    };
    Some(message?.trim().to_owned()).filter(|message| !message.is_empty())
}

fn in_json(text: &str) -> Option<String> {
    const PLACES: [&str; 6] =
        ["/error/message", "/error", "/message", "/detail", "/errors/0/message", "/title"];
    let body: Value = from_json(text.as_bytes()).ok()?;
    let texts = PLACES.iter().filter_map(|place| body.pointer(place)?.as_str());
    texts.map(str::to_owned).find(|text| !text.trim().is_empty())
}

/// Returns the title of a page or, without one, its first heading: a proxy writes `502 Bad Gateway` there.
fn title_of(page: &str) -> Option<String> {
    let lowercase = page.to_ascii_lowercase(); // of the same length
    let text_of = |element: &str| {
        let tag = lowercase.find(&format!("<{element}"))?;
        let start = tag + lowercase[tag..].find('>')? + 1;
        let end = start + lowercase[start..].find(&format!("</{element}"))?;
        Some(page[start..end].trim()).filter(|text| !text.is_empty())
    };
    text_of("title").or_else(|| text_of("h1")).map(str::to_owned)
}

/// Returns a body that a person wrote as plain text: neither JSON of another shape, nor binary.
fn plain_text(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let is_json = text.trim_ascii_start().starts_with(['[', '"']);
    let is_binary = text.contains(|c: char| c.is_control() && !c.is_whitespace());
    (!is_json && !is_binary).then_some(text)
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
            ("<html><h1><h1>", None),
            ("<?xml version=\"1.0\"?><error/>", None),
            ("<", None),
        ] {
            assert_eq!(message_in(page.as_bytes()).as_deref(), message, "{page}");
        }
        assert_eq!(message_in(b"<title>caf\xe9 \xc4\xb0</title>").as_deref(), Some("caf\u{fffd} \u{130}"));
    }
}
